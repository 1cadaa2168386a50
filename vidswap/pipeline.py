"""The journey of a clip, top to bottom: read, swap, write. The only module that knows the order.

Two passes over the clip: the first finds cuts, faces and tracks, the second swaps, composites and encodes. What is
kept is the first pass's facts and the frames of one window, so memory does not grow with the pictures of a clip.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from vidswap import __version__
from vidswap.analysis import analyse
from vidswap.errors import NoFaceError, UsageError, quoted
from vidswap.face.landmarks import mean_face
from vidswap.files import Named, as_output_error, check_place, noted_as, refuse_clash
from vidswap.keys import code_of, packages
from vidswap.media.containers import named
from vidswap.media.encoder import Encoding
from vidswap.models.packs import find_pack
from vidswap.models.registry import ROOT, registry
from vidswap.plan.file import Plan, save_plan
from vidswap.plan.store import find_plan
from vidswap.progress import Progress, Report, Stage, quiet
from vidswap.read.clip import frames, open_clip
from vidswap.read.faces import open_faces
from vidswap.read.identity import load_identity
from vidswap.render import Job, Made, make, make_pictures
from vidswap.settings import Place, ReadSettings, Settings, WriteSettings, check_kind, path_of
from vidswap.swap.engine import Engine, fenced, load_engine
from vidswap.timepoint import TimePoint
from vidswap.trust.consent import REMOTE, SELF, SWAP, load_consent, permit
from vidswap.trust.disclosure import labels
from vidswap.types import Array, Clip, Consent, Identity, Shot, Track
from vidswap.write.cast import Cast, Row, cast_sheet, portrait
from vidswap.write.picture import write_picture
from vidswap.write.sheet import sheet
from vidswap.write.target import check_picture, plan_target
from vidswap.write.work import WorkFolder, folder_of, open_work

SHEET_ROWS, PORTRAITS = 6, 6
# What decides a result: our code, and what that stands on.
CODE = ("face", "facts", "media", "plan", "read", "render", "swap", "threads", "types", "write")
PACKAGES = ("av", "numpy", "opencv-python", "opencv-python-headless", "pillow")


@dataclass(frozen=True)
class Result:
    """What a swap did: `frames` written, `duration` of them in seconds, `swapped` of them painted with another face,
    the `persons` replaced; `resumed` frames were found finished, `repeated` could not be decoded and show the one
    before. `left_out` are the clip's streams that no container takes; `notes` say these and all else that a person
    should know, a line each. `licence` is that of the face models; `stages` is where time and memory went."""

    out: Path
    frames: int
    duration: float
    swapped: int
    persons: tuple[int, ...]
    licence: str
    stages: Mapping[str, Stage]
    seconds: float
    resumed: int = 0
    repeated: int = 0
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Planned:
    """What a plan holds: `frames` of the clip, `shots` and `tracks` in them, the `persons` found; `bytes` of it.
    `notes` as those of a Result."""

    out: Path
    frames: int
    shots: int
    tracks: int
    persons: tuple[int, ...]
    bytes: int
    notes: tuple[str, ...] = ()


def swap_clip(
    source: Place, photos: Place, consent: Place | Consent, out: Place, *,
    settings: Settings = Settings(), report: Report = quiet, engine: Engine | None = None, use: str = SWAP,
) -> Result:  # fmt: skip
    """Put the person in `photos` (a file or a folder) into the clip `source`; the result is `out`, whose ending says
    what kind of file it is: without one, the clip's own.

    `consent` is "self", the path of a consent record, or one that was read; it must cover `use`, and a remote engine.
    `engine` swaps in place of the one that `settings` name. Raises the errors of errors.py, and no others."""
    check_call(settings, report)
    progress = Progress(report)
    chosen = nullcontext(engine) if engine else load_engine(settings.swap.choice, settings.read.cache)
    source, photos, out = path_of("source", source), path_of("photos", photos), path_of("out", out)
    consent = consent if isinstance(consent, str | Consent) else path_of("consent", consent).absolute()
    with progress.stage("open"):
        clip = open_clip(source, settings.read.rate)
        span, asked, out = span_of(clip, settings.read), out, named(out, clip)
        refuse_clash(written_by(out, settings), read_by(settings, clip=source, photos=photos, consent=consent))
        target = plan_target(clip, span, out, settings.write)
        encoding, lost = target.encoding, target.left_out
        agreed = consent if isinstance(consent, Consent) else load_consent(consent)
        permit(agreed, use)
        reader = open_faces(settings.read.face_pack)
        identity = load_identity(photos, agreed, reader)
    notes = [] if out == asked else [f"{asked} has no ending; the result is {out}, as the clip is"]
    notes += target.notes
    with ExitStack() as life:
        with progress.stage("engine"):  # torch and the weights are the engine's own cost
            used = fenced(life.enter_context(chosen))
            if used.needs.uploads:
                permit(agreed, REMOTE)
        folder = life.enter_context(open_work(out, report=notes.append))
        plan = life.enter_context(find_plan(clip, span, settings.read, partial(analyse, reader), progress))
        span, tracks = plan.span, choose(plan.tracks, settings.read.person)
        tags = labels(identity, f"{used.name} {used.key}", __version__)
        job = Job(clip, span, tracks, used, identity, facts_of(plan), tags)
        work = begun(job, encoding, out, folder, settings.write)
        made = make(job, out, encoding, work, progress) if encoding else make_pictures(job, out, work, progress)
    if settings.write.sheet:
        with noted_as(f"the result itself, {out}, is finished"):
            write_sheet(settings.write.sheet, clip, out, span, tracks)
    return Result(out, len(span), lasting(clip, span), made.painted, persons_on(tracks), reader.licence,
                  progress.stages, progress.seconds, made.resumed, made.repeated, lost,
                  (*notes, *noted_of(clip, identity, made, lost)))  # fmt: skip


def begun(job: Job, encoding: Encoding | None, out: Path, folder: Path, settings: WriteSettings) -> WorkFolder:
    """What of a job is done already, in the work folder of `out`. Raises OutputError."""
    key = job.key(encoding, settings.segment)
    with as_output_error(out):
        return WorkFolder(folder, key, job.span.start, settings.segment, resume=settings.resume)


def write_sheet(place: Path, clip: Clip, out: Path, span: Shot, tracks: Sequence[Track]) -> None:
    """Write the before/after picture of frames with a face. Raises OutputError."""
    covered = sorted({index for track in tracks for index in range(track.start, track.stop)})
    write_picture(place, sheet(list(moments(clip, out, span, evenly(covered, SHEET_ROWS)))))


def lasting(clip: Clip, span: Shot) -> float:
    """How long frames are shown, seconds; the last as long as most."""
    return clip.seconds(span.stop - 1) - clip.seconds(span.start) + float(1 / clip.rate)


def persons_on(tracks: Sequence[Track]) -> tuple[int, ...]:
    """The numbers of the persons on tracks, in order."""
    return tuple(sorted({track.person for track in tracks}))


def check_call(settings: Settings, report: Report) -> None:
    """Raise UsageError where a function was called with what can be neither."""
    check_kind("settings", settings, Settings)
    if not callable(report):
        raise UsageError(f"report is {quoted(report)}", "allowed: a function of a stage, frames done, and all of them")


def written_by(out: Path, settings: Settings) -> list[Named]:
    """All that a swap writes."""
    picture = [("the before/after picture", settings.write.sheet)] if settings.write.sheet else []
    return [("the result", out), ("the folder to work in", folder_of(out)), *picture]


def read_by(
    settings: Settings, *, clip: Path, swapped: Path | None = None, photos: Path | None = None,
    consent: str | Path | Consent = SELF,
) -> list[Named]:  # fmt: skip
    """All that a command reads. Raises ModelError."""
    is_word = isinstance(consent, Consent) or consent == SELF.record or "\0" in str(consent)
    record = None if is_word else Path(str(consent))
    given = {"the clip": clip, "the swapped clip": swapped, "the photo": photos, "the consent record": record,
             "the plan": settings.read.plan}  # fmt: skip
    models = [file.path for model in registry().values() for file in model.files]
    return [
        *((what, path) for what, path in given.items() if path), *(("a model", ROOT / path) for path in models),
        ("the face pack", find_pack(settings.read.face_pack)),
    ]  # fmt: skip


def noted_of(clip: Clip, identity: Identity, made: Made, lost: Sequence[str]) -> tuple[str, ...]:
    """What a person should know of a swap, a line each."""
    bare = () if made.painted else ("no frame has the new face: the actor's is covered, or beyond the picture's edge",)
    words = f"{made.repeated} damaged frames show the picture before them, or what is left of them"
    damaged = (words,) if made.repeated else ()
    films = tuple(stream for stream in lost if stream.endswith("(video)"))  # the clip's own notes have them
    without = (f"{stream} of the clip is left out, no container takes it" for stream in lost if stream not in films)
    return (*clip.notes, *identity.notes, *bare, *damaged, *without)


def cast_clip(source: Place, out: Place, *, settings: Settings = Settings(), report: Report = quiet) -> Cast:
    """Who is in the clip: a row for each person, drawn as the picture `out`. Raises the errors of errors.py."""
    check_call(settings, report)
    progress = Progress(report)
    source, out = path_of("source", source), path_of("out", out)
    clip = open_clip(source, settings.read.rate)
    span = span_of(clip, settings.read)
    refuse_clash([("the picture", out)], read_by(settings, clip=source))
    check_picture(out)
    reader = open_faces(settings.read.face_pack)
    with find_plan(clip, span, settings.read, partial(analyse, reader), progress) as plan:
        tracks = choose(plan.tracks, "all")
        rows = tuple(row_of(number, tracks, clip) for number in persons_on(tracks))
    write_picture(out, cast_sheet(rows))
    return Cast(out, rows, clip.notes)


def row_of(person: int, tracks: Sequence[Track], clip: Clip) -> Row:
    """A person's row in the cast: when they are seen, and how they look then."""
    own, mean = [track for track in tracks if track.person == person], mean_face()
    seen = [(index, track) for track in own for index in track.seen()]
    portraits = []
    for place in evenly(range(len(seen)), PORTRAITS):
        index, track = seen[place]
        frame = next(frames(clip, index, index + 1))
        portraits.append(portrait(frame.rgb, track.part(index, index + 1).mesh[0], mean))
    spans = tuple((clip.seconds(track.start), clip.seconds(track.stop - 1)) for track in own)
    return Row(person, spans, tuple(portraits))


def plan_clip(source: Place, out: Place, *, settings: Settings = Settings(), report: Report = quiet) -> Planned:
    """Find shots, faces and tracks, and keep them as the file `out` for `swap_clip`. Raises the errors of errors.py."""
    check_call(settings, report)
    progress = Progress(report)
    source, out = path_of("source", source), path_of("out", out)
    clip = open_clip(source, settings.read.rate)
    span = span_of(clip, settings.read)
    refuse_clash([("the plan", out)], read_by(settings, clip=source))
    check_place(out)
    reader = open_faces(settings.read.face_pack)
    with find_plan(clip, span, settings.read, partial(analyse, reader), progress) as plan:
        tracks = choose(plan.tracks, "all")
        save_plan(plan, out)
    persons, size = persons_on(tracks), out.stat().st_size
    return Planned(out, len(plan.span), len(plan.shots), len(tracks), persons, size, clip.notes)


def facts_of(plan: Plan) -> dict[str, object]:
    """What a render depends on beside identity, engine and encoding: the clip, what was found in it, versions."""
    models = {name: [file.sha256 for file in model.files] for name, model in registry().items()}
    code = code_of(*CODE), packages(*PACKAGES)
    return {"plan": plan.key, "version": __version__, "code": code, "models": models}


def moments(clip: Clip, out: Path, span: Shot, indices: Sequence[int]) -> Iterator[tuple[int, float, Array, Array]]:
    """Frames of the clip, each with its index, its second, and what became of it in `out`."""
    result = open_clip(out)
    for index in indices:
        there = min(index - span.start, len(result) - 1)  # an animation may hold fewer: equal ones become one
        before, after = next(frames(clip, index, index + 1)), next(frames(result, there))
        yield index, clip.seconds(index), before.rgb, after.rgb


def choose(tracks: Sequence[Track], person: str) -> list[Track]:
    """The tracks of `person`: "largest" (by size and time on screen), "all", or numbers of the cast ("0", "0,2").
    Raises NoFaceError, UsageError."""
    if not tracks:
        raise NoFaceError("nobody's face was found in the clip", "a face should be at least some 40 pixels wide")
    there = {track.person for track in tracks}
    screen = {who: sum(track.screen for track in tracks if track.person == who) for who in sorted(there)}
    words = {"all": there, "largest": {max(screen, key=screen.__getitem__)}}  # of a part of a clip not always the first
    wanted = words[person] if person in words else {int(number) for number in person.split(",")}
    if unknown := sorted(wanted - there):
        missing = f"no person {unknown[0]}" if len(unknown) == 1 else f"none of the persons {unknown}"
        raise UsageError(f"there is {missing} in the clip", f"it has {sorted(there)}: see `vidswap cast`")
    return [track for track in tracks if track.person in wanted]


def span_of(clip: Clip, settings: ReadSettings) -> Shot:
    """The frames between `start` and `end`. Raises UsageError where there are none."""
    start = 0 if settings.start is None else index_at(clip, settings.start)
    stop = len(clip) if settings.end is None else index_at(clip, settings.end)
    if start >= stop:
        length = clip.seconds(len(clip) - 1)
        raise UsageError("no frame lies between `read.start` and `read.end`",
                         f"the clip has {len(clip)}, over {length:.2f} s")  # fmt: skip
    return Shot(start, stop)


def index_at(clip: Clip, moment: TimePoint) -> int:
    """The first frame at or after a moment; as many as the clip has where there is none."""
    if moment.in_frames:
        return min(int(moment.value), len(clip))
    ticks = min(moment.ticks(clip.time_base), int(clip.pts[-1] - clip.pts[0]) + 1)  # an int64 holds that
    return int(np.searchsorted(clip.pts - clip.pts[0], ticks))


def evenly(items: Sequence[int], count: int) -> list[int]:
    """At most `count` of the items, evenly spaced, first and last among them."""
    places = np.linspace(0, len(items) - 1, min(count, len(items)))
    return [int(items[round(place)]) for place in places]
