"""A report of `vidswap evaluate` -> which frames of an earlier result stay, and which shots are swapped anew.

Whoever wrote the report, it is believed only where clip and result have the very bytes that it names. Faces are not
followed across cuts, so a shot can be made anew by itself.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from vidswap.errors import InputError, UsageError, quoted
from vidswap.files import Named, refuse_clash
from vidswap.kept import Kept, joined
from vidswap.media.colour import is_hdr
from vidswap.plan.store import source_of
from vidswap.read.clip import open_clip
from vidswap.records import Damaged, content_of, from_json
from vidswap.settings import Settings
from vidswap.timepoint import TimePoint
from vidswap.types import Clip, Shot
from vidswap.write.target import Target

LARGEST_FILE = 64 << 20  # bytes: some ten thousand shots
ANEW = "make it anew: vidswap evaluate CLIP OUT -o FILE"


@dataclass(frozen=True)
class JudgedFile:
    """A file that was evaluated: its path as it was given, and its digest."""

    path: str
    sha256: str


@dataclass(frozen=True)
class JudgedShot:
    """A shot of the clip: its frames [start, stop), and why it fell short; not at all, if that is empty."""

    number: int
    frames: tuple[int, int]
    fell_short: Sequence[str]


@dataclass(frozen=True)
class Judgement:
    """What of a report is read: the clip and the result, which shows the frames `part` of it, and the shots of that."""

    clip: JudgedFile
    swapped: JudgedFile
    part: tuple[int, int]
    shots: Sequence[JudgedShot]


@dataclass(frozen=True)
class Redo:
    """What is to be made anew: the `shots` of the `report` that are. What it judged are the frames `part` of the clip,
    in the `earlier` result whose digest is `digest`."""

    report: Path
    earlier: Path
    digest: str
    part: Shot
    shots: tuple[Shot, ...]


def redo_of(settings: Settings, clip: Clip) -> tuple[Settings, Redo | None]:
    """What of a clip is to be made anew, if that is asked for; and the settings, with the part that was judged where
    they choose none. Raises InputError, UsageError."""
    report, asked = settings.swap.redo, settings.swap.shots
    if report is None:
        if asked:
            raise UsageError("`swap.shots` are those of a report, and there is none", "name it: `swap.redo`")
        return settings, None
    found = read_report(report)
    if source_of(clip) != found.clip.sha256:
        raise UsageError(f"{report} is the report of another clip than {clip.path}", ANEW)
    short = {shot.number for shot in found.shots if shot.fell_short}
    if unknown := sorted(set(asked) - {shot.number for shot in found.shots}):
        raise UsageError(f"{report} has no shot {unknown[0]}", f"it has {len(found.shots)}: `swap.shots` from 0 on")
    if not (asked or short):
        raise UsageError(f"none of the {len(found.shots)} shots fell short, as {report} has it: there is nothing to do",
                         "name those that you want anew all the same: `swap.shots`")  # fmt: skip
    shots = tuple(Shot(*shot.frames) for shot in found.shots if shot.number in (asked or short))
    earlier = _place_of(found.swapped.path, report)
    part = Shot(*found.part)
    redo = Redo(report, earlier, found.swapped.sha256, part, shots)
    if settings.read.start is settings.read.end is None:
        start, end = (TimePoint(Fraction(edge), in_frames=True) for edge in found.part)
        settings = replace(settings, read=replace(settings.read, start=start, end=end))
    return settings, redo


def earlier_of(redo: Redo | None, clip: Clip, target: Target, outputs: Sequence[Named]) -> Clip | None:
    """The earlier result that a report is of, if there is one. Raises UsageError where it is another, or of another
    kind than the target; OutputError where one of the `outputs` would replace it, but the first, the result itself."""
    if redo is None:
        return None
    refuse_clash(outputs, [("the report", redo.report)])
    refuse_clash(outputs[1:], [("the earlier result", redo.earlier)])
    if target.span != redo.part:
        judged, asked = (f"{span.start}f to {span.stop}f" for span in (redo.part, target.span))
        raise UsageError(f"{redo.report} is of the frames {judged}, not of {asked}",
                         "leave `read.start` and `read.end` out")  # fmt: skip
    earlier = open_clip(redo.earlier)
    if source_of(earlier) != redo.digest:
        raise UsageError(f"{redo.earlier} is another one than when it was evaluated", ANEW)
    if differs := _difference(earlier, target, clip):
        raise UsageError(f"{redo.earlier} has {differs}", "give the settings that it was made with, or swap all anew")
    return earlier


def kept_of(redo: Redo | None, earlier: Clip | None, target: Target, shots: Sequence[Shot]) -> Kept:
    """What stays of an earlier result in a target: all but those `shots` of a plan that are to be made anew; nothing,
    without one."""
    if redo is None or earlier is None:
        return Kept(target.span, (target.span,))
    meant = [shot for shot in shots if any(shot.start < each.stop and each.start < shot.stop for each in redo.shots)]
    return Kept(target.span, tuple(joined(meant)), earlier, redo.digest, target.encoding)


def read_report(path: Path) -> Judgement:
    """What a file says that `vidswap evaluate` wrote. Raises InputError."""
    try:
        found = from_json(Judgement, content_of(path, LARGEST_FILE), more="ignore")
        _refuse_unlikely(found)
        return found
    except FileNotFoundError as error:
        raise InputError(f"there is no report {path}", ANEW) from error
    except Damaged as error:
        raise InputError(f"{path} is no report, or damaged ({error})", ANEW) from error
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})", "check its name and its permissions") from error


def _refuse_unlikely(found: Judgement) -> None:
    """Raise Damaged where what a report says cannot be."""
    (start, stop), reached = found.part, found.part[0]
    if not 0 <= start < stop <= 1 << 40:
        raise Damaged("its part is none")
    if [shot.number for shot in found.shots] != list(range(len(found.shots))):
        raise Damaged("its shots are not numbered from 0 on")
    for shot in found.shots:
        if not reached <= shot.frames[0] < shot.frames[1] <= stop:
            raise Damaged("a shot lies outside its part, or in another")
        reached = shot.frames[1]
    if not found.swapped.path or "\0" in found.swapped.path:
        raise Damaged("it names no result")


def _place_of(name: str, report: Path) -> Path:
    """Where the result lies that a report names: there, seen from here or from the report's folder, or beside the
    report. Raises InputError."""
    told = Path(name)
    for place in (told, report.parent / told, report.parent / told.name):
        if os.path.exists(place):  # a name that can be none is not there, either
            return place
    raise InputError(f"the result {quoted(name)}, which {report} is of, is not there", "put it beside the report")


def _difference(earlier: Clip, target: Target, clip: Clip) -> str:
    """In what an earlier result differs from what the target would be; "" where in nothing that counts."""
    seen, span = target.seen(clip), target.span
    if (earlier.width, earlier.height) != (seen.width, seen.height):
        return f"{earlier.width}x{earlier.height} pixels, not {seen.width}x{seen.height}"
    if len(earlier) != len(span):
        return f"{len(earlier)} frames, not {len(span)}"
    there, wanted = (np.array([each.seconds(index) for index in range(first, first + len(span))])
                     for each, first in ((earlier, 0), (clip, span.start)))  # fmt: skip
    if np.abs(there - (wanted - wanted[0])).max() > float(1 / clip.rate) / 2:
        return "its frames at other times than the clip"
    if is_hdr(earlier.colour[3]) != is_hdr(seen.colour[3]):
        return "HDR pictures, not SDR" if is_hdr(earlier.colour[3]) else "SDR pictures, not HDR"
    return "pictures that are turned otherwise" if target.encoding and earlier.turn != seen.turn else ""
