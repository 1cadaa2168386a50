"""Captions, a title and a mark on the frames of a result, in its own planes, as they are stored.

What a caption does to a plane is worked out once, when it comes: each frame then costs one multiplication and addition
over its box.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vidswap.errors import UsageError
from vidswap.media.colour import from_sdr, is_hdr
from vidswap.media.native import colour_of, planes
from vidswap.media.subtitles import TEXT_CODECS, Cue, apart, cues_in, read_cues
from vidswap.settings import TitleSettings
from vidswap.types import Array, Clip, Shot
from vidswap.write.composite import sampled, yuv_matrix
from vidswap.write.lettering import Lettering, Page, caption, mark, refuse_captions, title

KEPT = 4  # letterings that stay worked out
HEADED = 4.0  # seconds that a heading stays
OWN = "own"  # in place of a file: the clip's own subtitles
_LOOK = re.compile(r"\{[^}]*\}")


@dataclass(frozen=True)
class Inscription:
    """What is written on a result: `cues` that come and go, seconds from its beginning; a `heading`, and `label`, a
    mark that stays, in a `corner`; in the `safe` area, in a `font`, as Page has them."""

    cues: tuple[Cue, ...] = ()
    heading: str = ""
    label: str = ""
    corner: str = "top-left"
    safe: tuple[float, ...] = (0.05, 0.05, 0.05, 0.05)
    font: Path | None = None


def inscription_of(clip: Clip, span: Shot, settings: TitleSettings) -> Inscription | None:
    """What is to be written on the frames of a span; None for nothing. Raises InputError, UsageError."""
    if settings.is_empty:
        return None
    cues, begins = list[Cue](), Fraction(int(clip.pts[span.start] - clip.pts[0]) * clip.time_base)
    if settings.captions == Path(OWN):
        cues, begins = own_cues(clip), begins + int(clip.pts[0]) * clip.time_base
    elif settings.captions:
        cues = cues_in(settings.captions)
    moved = [replace(cue, start=max(cue.start - begins, Fraction(0)), end=cue.end - begins) for cue in apart(cues)]
    shown = tuple(cue for cue in moved if cue.end > 0)
    return Inscription(shown, settings.title, settings.label, settings.corner, settings.safe, settings.font)


def own_cues(clip: Clip) -> list[Cue]:
    """The cues of a clip's first track of subtitles that is text. Raises UsageError."""
    index = next((each.index for each in clip.streams if each.kind == "subtitle" and each.codec in TEXT_CODECS), None)
    if index is None:
        raise UsageError(f"{clip.path} has no subtitles of text", "give an .srt or .vtt file: `title.captions`")
    return read_cues(clip.path, index, clip.stretches)[0]


def inscriber(inscription: Inscription, size: tuple[int, int]) -> Callable[[Any, float], None]:
    """What writes on a native picture of a size, in place, that is shown at a second of the result. What cannot be
    drawn is refused at once; captions are drawn when they come: a film has thousands. Raises InputError, UsageError."""
    page = Page(*size, inscription.safe, inscription.font)
    always = [mark(inscription.label, page, inscription.corner)] if inscription.label else []
    below = sum(len(each.alpha) for each in always if inscription.corner.startswith("top"))
    headings = [title(inscription.heading, page, below)] if inscription.heading else []
    captions = [plain(cue.text) for cue in inscription.cues]
    refuse_captions(captions, page)
    drawn = lru_cache(KEPT)(lambda place: caption(captions[place], page))
    starts = [float(cue.start) for cue in inscription.cues]

    def shown(second: float) -> Iterator[Lettering]:
        yield from always
        if second < HEADED:
            yield from headings
        place = bisect_right(starts, second) - 1
        if place >= 0 and second < inscription.cues[place].end:
            yield drawn(place)

    worked_out = lru_cache(KEPT)(_worked_out)

    def inscribe(native: Any, second: float) -> None:
        letterings = list(shown(second))
        if letterings:
            native.make_writable()
        for lettering in letterings:
            tags = (native.format.name, *colour_of(native), tuple((p.width, p.height) for p in native.planes[:3]))
            for plane, (part, added, kept) in zip(planes(native), worked_out(_Kind(native, tags), lettering)):
                there = plane[part]
                there[:] = np.rint(there * kept + added).astype(plane.dtype)

    return inscribe


def plain(text: str) -> str:
    """The words of a cue, without what ASS says of their look."""
    return _LOOK.sub("", text).replace("\\N", "\n").replace("\\n", "\n").replace("\\h", " ").strip()


class _Kind:
    """A native picture that stands for all of its kind."""

    def __init__(self, native: Any, tags: tuple[object, ...]) -> None:
        self.native, self.tags = native, tags

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Kind) and self.tags == other.tags

    def __hash__(self) -> int:
        return hash(self.tags)


def _worked_out(kind: _Kind, lettering: Lettering) -> list[tuple[Any, Array, Array]]:
    """For each plane: the part of it that a lettering lies on, what is added there, what is left of what was there."""
    native, stored = kind.native, planes(kind.native)[:3]
    rgb, alpha, x, y = lettering.rgb, lettering.alpha, lettering.x, lettering.y
    if is_hdr(native.color_trc):
        rgb = from_sdr(rgb, native.color_trc, native.color_primaries)
    found = []
    for plane, to_channel in zip(stored, yuv_matrix(native), strict=False):
        across, down = (-(-full // part) for full, part in zip(stored[0].shape[::-1], plane.shape[::-1], strict=True))
        colour = alpha * cv2.transform(rgb.astype(np.float32), to_channel[None])
        added, taken = (sampled(each, across, down) for each in (colour, alpha))
        place = np.s_[y // down : y // down + added.shape[0], x // across : x // across + added.shape[1]]
        size = plane[place].shape
        found.append((place, added[: size[0], : size[1]], 1 - taken[: size[0], : size[1]]))
    return found
