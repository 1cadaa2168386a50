"""The journey of a clip, top to bottom: read, swap, write. The only module that knows the order.

Two passes over the clip: the first finds cuts, faces and tracks, the second swaps, composites and encodes. What is
kept is the first pass's facts and the frames of one window, so memory does not grow with the pictures of a clip.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType

import numpy as np

from vidswap import __version__
from vidswap.castfile import renumbered, write_cast
from vidswap.casting import Cast, Engines, Players, Role, Roles, assign, checked_cast, everybody, found, players_of
from vidswap.errors import UsageError, quoted
from vidswap.face.landmarks import mean_face
from vidswap.files import Named, as_output_error, check_new, check_place, noted_as, refuse_clash
from vidswap.kept import Kept
from vidswap.keys import code_of, key_of, packages
from vidswap.media.containers import named
from vidswap.media.view import to_rgb
from vidswap.models import ROOT
from vidswap.models.packs import find_pack, licence_of
from vidswap.models.registry import registry
from vidswap.plan.file import Plan, open_plan, persons_on, save_plan
from vidswap.plan.store import find_plan
from vidswap.progress import Progress, Report, Stage, quiet
from vidswap.read.analysis import analyse
from vidswap.read.clip import frames, open_clip, span_of
from vidswap.read.faces import open_faces
from vidswap.redo import earlier_of, kept_of, redo_of
from vidswap.settings import Place, Settings, WriteSettings, check_kind, path_of
from vidswap.swap.choice import openings, uncommercial
from vidswap.swap.clipengine import price_of
from vidswap.swap.engine import Load, load_engine
from vidswap.swap.fit import swap_shots
from vidswap.swap.windows import Casting, amid, first_needed, swap_windows
from vidswap.threads import prefetch
from vidswap.timepoint import TimePoint
from vidswap.trust.consent import SELF, SWAP
from vidswap.trust.disclosure import labels
from vidswap.types import Array, Clip, Consent, Identity, Shot, Track
from vidswap.write.composite import composite
from vidswap.write.framing import Framing, framing
from vidswap.write.sheets import CastSheet, Row, cast_sheet, portrait, sheet, timecode, write_picture
from vidswap.write.target import Target, check_picture, plan_target
from vidswap.write.work import WorkFolder, Written, folder_of, open_work
from vidswap.write.writer import open_writer

SHEET_ROWS, PORTRAITS = 6, 6
DECODED = 2  # pictures that wait to be swapped
# What decides a result: our code, and what that stands on.
CODE = ("castfile", "casting", "face", "facts", "kept", "media", "pipeline", "plan", "read", "redo", "swap", "threads",
        "types", "write")
PACKAGES = ("av", "numpy", "opencv-python", "opencv-python-headless", "pillow")


@dataclass(frozen=True)
class Result:
    """What a swap did: `frames` written, `duration` of them in seconds, `swapped` of them painted with another face,
    the `persons` replaced; `resumed` frames were found finished, `repeated` could not be decoded, or not wholly, and
    show the one before, or what the decoder made up; `kept` are as an earlier result has them. `left_out` are the
    clip's streams that no container takes; `notes` say these and all else that a person should know, a line each.
    `licence` is that of the face models; `stages` is where time and memory went."""

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
    kept: int = 0


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
    source: Place, cast: Cast | Role, out: Place, settings: Settings = Settings(), *,
    load: Load = load_engine, report: Report = quiet, use: str = SWAP,
) -> Result:  # fmt: skip
    """Give people in the clip `source` other faces; the result is `out`, whose ending says what kind of file it is:
    without one, the clip's own. Both passes stream: the frames of one window wait.

    `cast` says who plays whom; a Role alone is for the largest person. Its consent must cover `use`, and an engine on
    another machine. `load` opens engines. Raises the errors of errors.py, and no others."""
    progress, notes = begun(settings, report), list[str]()
    source, out, roles = path_of("source", source), path_of("out", out), checked_cast(cast)
    chosen = {role.engine or settings.swap.choice: None for role in everybody(roles)}
    opening = openings(chosen, settings, load)  # an unknown one fails
    notes += uncommercial(chosen)
    faces = cache(lambda: open_faces(settings.read.face_pack))  # not needed where identities and a plan are there
    with ExitStack() as life:
        enter = life.enter_context  # closed whatever is raised
        with progress.stage("open"):
            clip = open_clip(source, settings.read.rate)  # all facts, no pixels
            settings, redo = redo_of(settings, clip)
            span, out = span_of(clip, settings.read.start, settings.read.end), ended_as(out, clip, notes)
            refuse_clash(written_by(out, settings), read_by(settings, clip=source, roles=roles))
            target = plan_target(clip, span, out, settings.write, titles=settings.title)
            earlier = earlier_of(redo, clip, target, written_by(out, settings))
            players = players_of(roles, faces, settings.swap.choice, use)
        with progress.stage("engine"):
            engines = Engines({choice: enter(engine) for choice, engine in opening.items()})
            engines.permit(players)
        folder = enter(open_work(out, report=notes.append))
        # First pass. A plan is a file: yours, the store's, or made now.
        plan = enter(find_plan(clip, span, settings.read, lambda *given: analyse(faces(), *given), progress))
        target = replace(target, span=plan.span)
        kept = kept_of(redo, earlier, target, plan.shots)
        casting = kept.castings(assign(renumbered(players, cast, plan), clip, plan.tracks, plan.persons))
        tags = kept.labels(labels([(each.identity, engines.labels[each.engine]) for each in casting], __version__))
        work = begun_work(folder, plan, casting, engines, (target, settings.write, tags, kept))
        # Whole-shot engines: a shot is paid for once, its file stays in the work folder.
        most, heard = price_of(settings.swap.most), progress.within("shots")
        fitted = enter(closing(swap_shots(clip, plan, engines.whole(casting), work.tickets,
                                          decode=partial(frames, clip), most=most, progress=heard)))  # fmt: skip
        # Second pass: decoder and encoder have threads of their own; engines go on from what the work remembers.
        first = first_needed(engines.windowed(casting), engines.of_windows, work.reached)
        decoded = enter(prefetch(progress.each("decode", frames(clip, first, target.span.stop)), DECODED))
        footage = progress.reported("rendering", progress.each(None, decoded), len(target.span),
                                    first - target.span.start)  # fmt: skip
        writer = enter(open_writer(clip, target, work, tags, progress))
        framed = framing(target, clip, plan.shots, [each.track for each in casting])
        shown = kept.framing(framed, work.reached)
        swapped = swap_windows(footage, engines.windowed(casting), engines.of_windows, work.memory, progress,
                               start=work.reached)  # fmt: skip
        for frame, layers in enter(closing(swapped)):
            with progress.stage("composite"):
                is_painted = composite(frame, [*layers, *fitted.layers(frame)])
                picture = shown(frame)
            writer.add(picture, is_painted)  # earlier ones than `work.reached` fed windows that reach across
        written = writer.finish()
    notes += (*target.notes, *fitted.notes, *noted_of(clip, players, written, target.left_out))
    write_sheet(settings.write.sheet, clip, target, casting, framed)
    done = result_of(clip, target, casting, written, pack=settings.read.face_pack, progress=progress, notes=notes)
    return replace(done, kept=kept.count)


def render(
    source: Place, plan: Place, cast: Cast | Role, out: Place, settings: Settings = Settings(), *,
    load: Load = load_engine, report: Report = quiet,
) -> Result:  # fmt: skip
    """A swap by a plan that was made before, here or elsewhere, with identities that were loaded: no face model is
    opened, and all that is handed over can be sent to another process. With `read.start` and `read.end` of one of the
    plan's `shares`, a part of it. Raises the errors of errors.py."""
    if others := [role.face for role in everybody(checked_cast(cast)) if not isinstance(role.face, Identity)]:
        raise UsageError(f"{quoted(others[0])} is a photo", "allowed: an Identity, which load_identity makes of it")
    check_kind("settings", settings, Settings)
    planned = replace(settings, read=replace(settings.read, plan=path_of("plan", plan)))
    return swap_clip(source, cast, out, planned, load=load, report=report)


def shares(plan: Place, count: int) -> list[tuple[TimePoint, TimePoint]]:
    """Where a plan can be parted, so that as many machines render about as many frames each: from when to when, always
    at cuts, over which no track goes. At most `count` of them, in order. Raises InputError, UsageError."""
    if type(count) is not int or count < 1:
        raise UsageError(f"count is {quoted(count)}", "allowed: a whole number from 1 on")
    with open_plan(path_of("plan", plan)) as known:
        span, cuts = known.span, np.array([shot.stop for shot in known.shots])
    wanted = [span.start + len(span) * part / count for part in range(1, count)]
    edges = sorted({span.start, span.stop, *(int(cuts[np.abs(cuts - place).argmin()]) for place in wanted)})
    return [(TimePoint(Fraction(start), True), TimePoint(Fraction(stop), True)) for start, stop in pairwise(edges)]


def ended_as(out: Path, clip: Clip, notes: list[str]) -> Path:
    """Where the result goes: with the clip's own ending, where it was given none; then that is noted."""
    ended = named(out, clip)
    if ended != out:
        notes.append(f"{out} has no ending; the result is {ended}, as the clip is")
    return ended


def begun_work(
    folder: Path, plan: Plan, casting: Sequence[Casting], engines: Engines,
    asked: tuple[Target, WriteSettings, object, Kept],
) -> WorkFolder:
    """What of a render is done already: that is where an earlier one of the same key stopped, a digest of all that the
    result depends on but its path. `asked` are the target, how it is written, its labels, and what is kept of an
    earlier result. Raises OutputError."""
    target, settings, tags, kept = asked
    who = {id(each.identity): each.identity for each in casting}  # on many tracks, and each of many photos
    known = {number: key_of(identity) for number, identity in who.items()}
    played = [(each.track.id, each.track.person, each.track.start, each.track.stop, each.track.embedding,
               known[id(each.identity)], each.engine) for each in casting]  # fmt: skip
    models = {name: [file.sha256 for file in model.files] for name, model in registry().items()}
    code = code_of(*CODE), packages(*PACKAGES), __version__
    key = key_of((plan.key, models, code, played, engines.key, replace(target, out=Path()), settings.segment, tags,
                  kept.key))
    with as_output_error(target.out):
        work = WorkFolder(folder, key, target.span.start, settings.segment, runs=kept.runs,
                          resume=settings.resume)
        work.go_on(partial(amid, engines.windowed(casting), engines.of_windows))
    return work


def result_of(
    clip: Clip, target: Target, casting: Sequence[Casting], written: Written, *,
    pack: str, progress: Progress, notes: Sequence[str],
) -> Result:  # fmt: skip
    """What there is to say of a result, which is there now."""
    persons, span = tuple(persons_on(each.track for each in casting)), target.span
    return Result(target.out, len(span), lasting(clip, span), written.painted, persons, licence_of(pack),
                  progress.stages, progress.seconds, written.resumed, written.repeated, target.left_out,
                  tuple(notes))  # fmt: skip


def write_sheet(place: Path | None, clip: Clip, target: Target, casting: Sequence[Casting], shown: Framing) -> None:
    """Write the before/after picture of frames with a face, of any where none is played; where one is asked for.
    Raises OutputError."""
    if place is None:
        return
    tracks = [each.track for each in casting]
    covered = sorted({index for track in tracks for index in range(track.start, track.stop)})
    some = evenly(covered or range(target.span.start, target.span.stop), SHEET_ROWS)
    with noted_as(f"the result itself, {target.out}, is finished"):
        write_picture(place, sheet(list(moments(clip, target, some, shown))))


def lasting(clip: Clip, span: Shot) -> float:
    """How long frames are shown, seconds; the last as long as most."""
    return clip.seconds(span.stop - 1) - clip.seconds(span.start) + float(1 / clip.rate)


def begun(settings: Settings, report: Report) -> Progress:
    """The progress of a function that was called with these. Raises UsageError where they cannot be."""
    check_kind("settings", settings, Settings)
    if not callable(report):
        raise UsageError(f"report is {quoted(report)}", "allowed: a function of a stage, frames done, and all of them")
    return Progress(report)


def written_by(out: Path, settings: Settings) -> list[Named]:
    """All that a swap writes."""
    picture = [("the before/after picture", settings.write.sheet)] if settings.write.sheet else []
    return [("the result", out), ("the folder to work in", folder_of(out)), *picture]


def read_by(settings: Settings, roles: Roles = MappingProxyType({}), **given: Path) -> list[Named]:
    """All that a command reads: the files `given` by what they are, and those of roles. Raises ModelError."""
    files = [(f"the {what.replace('_', ' ')}", path) for what, path in given.items()]
    if settings.read.plan:
        files.append(("the plan", settings.read.plan))
    for role in everybody(roles):
        if not isinstance(role.face, Identity):
            files.append(("the photo", path_of("face", role.face)))
        if not (role.consent is None or isinstance(role.consent, Consent) or role.consent == SELF.record):
            words = role.consent if isinstance(role.consent, str) else str(path_of("consent", role.consent))
            files += [("the consent record", Path(words).absolute())] if words and "\0" not in words else []
    models = [("a model", ROOT / file.path) for model in registry().values() for file in model.files]
    return [*files, *models, ("the face pack", find_pack(settings.read.face_pack))]


def noted_of(clip: Clip, players: Players, written: Written, lost: Sequence[str]) -> Iterator[str]:
    """What a person should know of a swap, a line each."""
    yield from clip.notes
    yield from dict.fromkeys(note for player in everybody(players) for note in player.identity.notes)
    if not written.painted:
        yield "no frame has the new face: the actor's is not there, covered, or beyond the picture's edge"
    if written.repeated:
        yield f"{written.repeated} damaged frames show the picture before them, or what is left of them"
    for stream in lost:
        if not stream.endswith("(video)"):  # the clip's own notes have them
            yield f"{stream} of the clip is left out, no container takes it"


def cast_clip(
    source: Place, out: Place, *, toml: Place | None = None, settings: Settings = Settings(), report: Report = quiet
) -> CastSheet:  # fmt: skip
    """Who is in the clip: a row for each person, drawn as the picture `out`; and `toml`, a file to fill in with who
    plays whom, beside a folder of their portraits. Raises the errors of errors.py."""
    progress = begun(settings, report)
    source, out, filed = path_of("source", source), path_of("out", out), path_of("toml", toml) if toml else None
    clip = open_clip(source, settings.read.rate)
    span = span_of(clip, settings.read.start, settings.read.end)
    files = [("the cast file", filed), ("the folder of portraits", portraits_of(filed))] if filed else []
    refuse_clash([("the picture", out), *files], read_by(settings, clip=source))
    check_picture(out)
    if filed:
        check_new(filed)
    reader = open_faces(settings.read.face_pack)
    with find_plan(clip, span, settings.read, partial(analyse, reader), progress) as plan:
        rows = tuple(row_of(number, plan.tracks, clip) for number in found(plan.persons))
        if filed:
            write_cast(filed, plan, {row.number: write_portrait(row, portraits_of(filed)) for row in rows})
    write_picture(out, cast_sheet(rows))
    return CastSheet(out, rows, clip.notes)


def portraits_of(filed: Path) -> Path:
    """The folder beside a cast file with the portraits of its persons."""
    return filed.with_name(f"{filed.stem}_people")


def write_portrait(row: Row, folder: Path) -> tuple[str, list[str]]:
    """Write a person's portrait into a folder: its path from beside the folder on, and when they are seen. Raises
    OutputError."""
    picture = folder / f"person-{row.number}.png"
    with as_output_error(picture):
        folder.mkdir(exist_ok=True)
    write_picture(picture, row.portraits[len(row.portraits) // 2])
    return f"{folder.name}/{picture.name}", [f"{timecode(first)}-{timecode(last)}" for first, last in row.spans]


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
    progress = begun(settings, report)
    source, out = path_of("source", source), path_of("out", out)
    clip = open_clip(source, settings.read.rate)
    span = span_of(clip, settings.read.start, settings.read.end)
    refuse_clash([("the plan", out)], read_by(settings, clip=source))
    check_place(out)
    reader = open_faces(settings.read.face_pack)
    with find_plan(clip, span, settings.read, partial(analyse, reader), progress) as plan:
        persons = tuple(found(plan.persons))
        save_plan(plan, out)
    return Planned(out, len(plan.span), len(plan.shots), len(plan.tracks), persons, out.stat().st_size, clip.notes)


def moments(
    clip: Clip, target: Target, indices: Sequence[int], shown: Framing
) -> Iterator[tuple[int, float, Array, Array]]:
    """Frames of the clip, each with its index, its second, and what became of it."""
    result, seen = open_clip(target.out), to_rgb(target.seen(clip))
    for index in indices:
        there = min(index - target.span.start, len(result) - 1)  # an animation may hold fewer: equal ones become one
        before, after = next(frames(clip, index, index + 1)), next(frames(result, there))
        yield index, clip.seconds(index), seen(shown(before).native), after.rgb


def evenly(items: Sequence[int], count: int) -> list[int]:
    """At most `count` of the items, evenly spaced, first and last among them."""
    places = np.linspace(0, len(items) - 1, min(count, len(items)))
    return [int(items[round(place)]) for place in places]
