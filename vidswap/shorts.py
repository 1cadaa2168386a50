"""A scene -> a short that is ready to be posted: cut, swapped, reframed, captioned, levelled, labelled, and checked
against what the platform takes."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import date
from fractions import Fraction
from functools import cache
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any

from vidswap import __version__
from vidswap.casting import LARGEST, Cast, Role, checked_cast, found, named
from vidswap.errors import InputError, UsageError, quoted
from vidswap.files import as_output_error, check_place, noted_as, refuse_clash, write_whole
from vidswap.media.native import film_maker, sized
from vidswap.media.upload import Upload, upload_of
from vidswap.media.view import to_rgb
from vidswap.moments import Moment, moments_of, persons_in
from vidswap.pipeline import Result, begun, evenly, read_by, swap_clip
from vidswap.plan.file import Plan, save_plan
from vidswap.plan.store import find_plan
from vidswap.progress import Progress, Report, quiet
from vidswap.read.analysis import analyse
from vidswap.read.clip import frames, open_clip, span_of
from vidswap.read.faces import open_faces
from vidswap.records import Damaged, from_toml
from vidswap.settings import Place, ReadSettings, Settings, TitleSettings, WriteSettings, path_of
from vidswap.swap.engine import Load, load_engine
from vidswap.timepoint import TimePoint
from vidswap.trust.disclosure import disclosure
from vidswap.types import Array, Clip, Track
from vidswap.write.pictures import write_pictures
from vidswap.write.sheets import moment_sheet, timecode, write_picture
from vidswap.write.target import check_picture

LENGTH = 15.0  # seconds
LABELS = MappingProxyType({
    "de": "KI-generiert", "en": "AI-generated", "es": "Generado con IA", "fr": "Généré par IA", "it": "Generato con IA",
    "nl": "Met AI gemaakt", "pl": "Wygenerowane przez AI", "pt": "Gerado por IA", "sv": "AI-genererat",
    "tr": "Yapay zekâ ile üretildi", "uk": "Створено ШІ",
})  # fmt: skip
PRESETS = "presets.toml"
GIF_WIDE, GIF_RATE = 360, 12.5  # pixels, pictures a second
SHOWN = 5  # pictures of a moment on a sheet


@dataclass(frozen=True)
class Preset:
    """What a platform takes, as presets.toml explains."""

    name: str
    shape: str
    rates: tuple[float, float]
    seconds: tuple[float, float]
    bytes: int
    megabits: float
    loudness: float
    safe: tuple[float, float, float, float]
    declare: str
    source: str
    read: str


@dataclass(frozen=True)
class Short:
    """What was made: the swap's `result`, the `moment` of the clip that it shows, its `cover` picture, and `post`, the
    record of what to declare; `amiss` is what of the file the platform would not take, a line each; `gif` the small
    animation, if wanted."""

    result: Result
    moment: Moment
    cover: Path
    post: Path
    amiss: tuple[str, ...]
    gif: Path | None = None


@dataclass(frozen=True)
class Wishes:
    """How a short is to be: about so many seconds `length`; its label in a `language`, or, where `unlabelled` says why
    there is none, without; with a small animation of it beside, a `gif`, or without."""

    length: float = LENGTH
    language: str = "en"
    unlabelled: str = ""
    gif: bool = False


def presets_in(path: Path | None = None) -> dict[str, Preset]:
    """The presets of a file, by the word for each; those that come with vidswap. Raises InputError."""
    try:
        content = path.read_bytes() if path else (files("vidswap") / PRESETS).read_bytes()
        return from_toml(dict[str, Preset], content)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})", "check its name and its permissions") from error
    except Damaged as error:
        raise InputError(f"{path} is no file of presets ({error})", f"copy a table of vidswap's {PRESETS}") from error


def short_clip(
    source: Place, cast: Cast | Role, out: Place, preset: Preset, settings: Settings = Settings(), *,
    wishes: Wishes = Wishes(), load: Load = load_engine, report: Report = quiet,
) -> Short:  # fmt: skip
    """Make a short of a clip for a platform: of its best moment, between `read.start` and `read.end`. What `settings`
    say of the file goes before the preset. Raises the errors of errors.py."""
    source, out, roles = path_of("source", source), path_of("out", out), checked_cast(cast)
    written, titled = written_for(preset, settings.write), titled_for(preset, settings.title, wishes)
    clip = open_clip(source, settings.read.rate)
    cover, post, gif = (out.with_suffix(ending) for ending in (".jpg", ".post.json", ".gif"))
    made = [("the short", out), ("its cover", cover), ("the record for posting", post),
            *[("the animation", gif)] * wishes.gif]  # fmt: skip
    refuse_clash(made, read_by(settings, clip=source, roles=roles))
    for _, each in made:
        check_place(each)
    refuse_rate(float(clip.rate), preset)
    with TemporaryDirectory(prefix="vidswap-") as folder:
        plan = Path(folder) / "clip.plan"
        length = min(wishes.length, preset.seconds[1])
        moment = best_moment(clip, cast, settings.read, length=length, keep=plan, progress=begun(settings, report))
        read = replace(settings.read, plan=plan, start=at(moment.start), end=at(moment.stop))
        told = replace(settings, read=read, write=written, title=titled)
        result = swap_clip(source, cast, out, told, load=load, report=report)
    with noted_as(f"the short itself, {out}, is finished"):
        first = moment.best - moment.start
        write_picture(cover, next(frames(open_clip(result.out), first, first + 1)).rgb)
        amiss = tuple(amiss_in(upload_of(result.out), preset))
        record = {**posted(result, moment, preset), "cover": cover.name, "label": titled.label or None,
                  "unlabelled_because": wishes.unlabelled or None, "amiss": amiss}  # fmt: skip
        with as_output_error(post):
            write_whole(post, json.dumps(record, indent=2, ensure_ascii=False).encode())
        if wishes.gif:
            animate(result.out, gif)
    return Short(result, moment, cover, post, amiss, gif if wishes.gif else None)


def animate(film: Path, gif: Path) -> None:
    """Write a small animation of a film. Raises OutputError."""
    clip, reformatter = open_clip(film), film_maker()
    step = max(1, round(float(clip.rate) / GIF_RATE))
    width = min(clip.width, GIF_WIDE) // 2 * 2
    height = max(round(clip.height * width / clip.width / 2) * 2, 2)
    small = replace(clip, width=width, height=height, pts=clip.pts[::step], last=0,
                    format=replace(clip.format, width=width, height=height))  # fmt: skip
    pictures = ((frame.index // step, sized(frame.native, width, height, reformatter))
                for frame in frames(clip) if frame.index % step == 0)  # fmt: skip
    labels = {"comment": clip.tags.get("comment", disclosure(__version__))}
    with TemporaryDirectory(dir=gif.parent, prefix=".vidswap-") as folder:
        write_pictures(small, pictures, len(small), gif, folder=Path(folder), labels=labels, show=to_rgb(small))


def best_moment(
    clip: Clip, cast: Cast | Role, settings: ReadSettings, *, length: float, keep: Path, progress: Progress
) -> Moment:  # fmt: skip
    """Where those of a cast are at their best, for about so many seconds; the clip's plan is kept as a file. Raises
    NoFaceError and what making a plan does."""
    who = list(cast) if isinstance(cast, Mapping) else [LARGEST]
    with planned(clip, settings, progress) as plan:
        save_plan(plan, keep)
        return moments_of(clip, plan.span, plan.shots, tracks_of(plan, who), length=length, count=1)[0]


def find_moments(
    source: Place, out: Place | None = None, settings: Settings = Settings(), *, length: float = LENGTH, count: int = 5,
    report: Report = quiet,
) -> list[tuple[Moment, float, float]]:  # fmt: skip
    """The best moments of a clip for those whom `read.person` names, each with its first and last second; drawn as the
    picture `out`, if wanted. Raises the errors of errors.py."""
    progress, source = begun(settings, report), path_of("source", source)
    clip, drawn = open_clip(source, settings.read.rate), path_of("out", out) if out else None
    if drawn:
        refuse_clash([("the picture", drawn)], read_by(settings, clip=source))
        check_picture(drawn)
    who = named(settings.read.person)
    with planned(clip, settings.read, progress) as plan:
        best = moments_of(clip, plan.span, plan.shots, tracks_of(plan, who), length=length, count=count)
    timed = [(each, clip.seconds(each.start), clip.seconds(each.stop - 1)) for each in best]
    if drawn:
        rows = [(f"{timecode(first)}-{timecode(last)}  score {each.score:.2f}", pictures_of(clip, each))
                for each, first, last in timed]  # fmt: skip
        write_picture(drawn, moment_sheet(rows))
    return timed


@contextmanager
def planned(clip: Clip, settings: ReadSettings, progress: Progress) -> Iterator[Plan]:
    """The plan of a clip, made now if need be. Raises NoFaceError where nobody is in it."""
    span, faces = span_of(clip, settings.start, settings.end), cache(lambda: open_faces(settings.face_pack))
    with find_plan(clip, span, settings, lambda *given: analyse(faces(), *given), progress) as plan:
        found(plan.persons)
        yield plan


def tracks_of(plan: Plan, who: Collection[int | str]) -> Sequence[Track]:
    """The tracks of some persons; all where there are none of them."""
    people = persons_in(who, plan.persons)
    return [track for track in plan.tracks if track.person in people] or plan.tracks


def pictures_of(clip: Clip, moment: Moment) -> list[Array]:
    """Some frames of a moment, in order."""
    return [next(frames(clip, index, index + 1)).rgb for index in evenly(range(moment.start, moment.stop), SHOWN)]


def at(frame: int) -> TimePoint:
    return TimePoint(Fraction(frame), in_frames=True)


def refuse_rate(rate: float, preset: Preset) -> None:
    """Raise UsageError for a clip of more or fewer pictures a second than the platform takes: none are made up."""
    least, most = preset.rates
    if not least - 0.1 <= rate <= most + 0.1:
        raise UsageError(f"the clip has {rate:.6g} pictures a second; {preset.name} takes {least:g} to {most:g}",
                         "bring it to another rate first")  # fmt: skip


def written_for(preset: Preset, own: WriteSettings) -> WriteSettings:
    """How a platform's files are written, where nothing else is asked for."""
    return replace(own, shape=own.shape or preset.shape, codec=own.codec or "h264",
                   sdr=True, loudness=preset.loudness if own.loudness is None else own.loudness,
                   megabits=own.megabits or preset.megabits)  # fmt: skip


def titled_for(preset: Preset, own: TitleSettings, wishes: Wishes) -> TitleSettings:
    """What is written on a platform's pictures: the label, but where somebody said why not. Raises UsageError."""
    if wishes.language not in LABELS:
        raise UsageError(f"there is no label in {quoted(wishes.language)}",
                         f"choose one of: {', '.join(LABELS)}, or your own words: `title.label`")  # fmt: skip
    label = "" if wishes.unlabelled else own.label or LABELS[wishes.language]
    return replace(own, label=label, safe=preset.safe)


def posted(result: Result, moment: Moment, preset: Preset) -> dict[str, Any]:
    """What whoever posts the short should know and declare."""
    return {
        "platform": preset.name, "file": result.out.name, "ai_generated": True, "declare": preset.declare,
        "frames_of_the_clip": [moment.start, moment.stop], "seconds": round(result.duration, 3),
        "limits": asdict(preset), "made": date.today().isoformat(), "notes": result.notes,
    }  # fmt: skip


def amiss_in(upload: Upload, preset: Preset) -> list[str]:
    """What of a file a platform would not take, or would make anew, a line each."""
    width, height = map(int, preset.shape.split("x"))
    (slow, fast), (short, long) = preset.rates, preset.seconds
    wanted = {
        f"it is {upload.container}, not mp4": "mp4" in upload.container,
        "its index lies at the end: players must load all of it first": upload.begins_at_once,
        f"its pictures are {upload.codec}, {upload.format}, not h264, yuv420p":
            (upload.codec, upload.format) == ("h264", "yuv420p"),
        "its pictures are interlaced": not upload.interlaced,
        f"it is {upload.width}x{upload.height}, not {preset.shape}": (upload.width, upload.height) == (width, height),
        f"it has {upload.rate:.4g} pictures a second, not {slow:g} to {fast:g}":
            slow - 0.1 <= upload.rate <= fast + 0.1,
        f"it lasts {upload.seconds:.1f} s, not {short:g} to {long:g}": short <= upload.seconds <= long + 0.1,
        f"it has {upload.bytes / 1e6:.0f} MB, more than {preset.bytes / 1e6:.0f}": upload.bytes <= preset.bytes,
        f"it takes {upload.megabits:.1f} Mbit/s, more than {preset.megabits:g}":
            upload.megabits <= preset.megabits * 1.1,
        f"its sound is {upload.sound}, {upload.sound_rate} Hz, {upload.channels} channels, not aac, 48 kHz, 2 at most":
            not upload.sound or (upload.sound == "aac" and upload.sound_rate <= 48_000 and upload.channels <= 2),
    }  # fmt: skip
    return [line for line, holds in wanted.items() if not holds]
