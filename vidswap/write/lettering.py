"""Words drawn to be read over moving pictures: captions, a title, a mark; each a picture with the place where it lies.

White letters with a dark outline are read over anything; lines break where they come out about equally long. Sizes are
shares of the picture's shorter side, so that words look alike in every shape; all lie within its safe area, that is
what no app covers with its own buttons.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import as_file, files
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vidswap.errors import InputError, UsageError, quoted
from vidswap.types import Array

CAPTION, TITLE, MARK = 0.052, 0.068, 0.028  # of the shorter side: the height of letters
OUTLINE, LEADING = 0.09, 1.25  # of a letter's height: the outline's width, from line to line
PADDING, SHADE = 0.55, 0.45  # of a mark's letters, around them; how dark what lies behind them is
MOST_LINES = 4
MISSING = "\0"  # what no font has


@dataclass(frozen=True, eq=False)
class Lettering:
    """Words as a picture: `rgb` (h, w, 3) uint8, `alpha` (h, w) float32, its upper left corner at (x, y), even."""

    rgb: Array
    alpha: Array
    x: int
    y: int


@dataclass(frozen=True)
class Page:
    """What is written on: a picture's `width` and `height`; `safe`, the shares of these at top, right, bottom and left
    that stay free; the `font` (None: Source Sans, for Latin, Greek and Cyrillic letters)."""

    width: int
    height: int
    safe: tuple[float, ...]
    font: Path | None = None

    @property
    def short(self) -> int:
        return min(self.width, self.height)

    @property
    def room(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of the safe area, pixels."""
        top, right, bottom, left = self.safe
        return (round(left * self.width), round(top * self.height),
                round((1 - right) * self.width), round((1 - bottom) * self.height))  # fmt: skip


def caption(words: str, page: Page) -> Lettering:
    """Words at the foot of the safe area, in its middle. Raises InputError, UsageError."""
    return _lines(words, page, CAPTION)


def refuse_captions(words: Iterable[str], page: Page) -> None:
    """Raise UsageError where a caption of these words has a letter that the font lacks, InputError for no font."""
    refuse_unwritable("".join(words), _font(page.font, _height(CAPTION, page)))


def title(words: str, page: Page, below: int = 0) -> Lettering:
    """Words at the head of the safe area, in its middle, so many pixels `below` it. Raises InputError, UsageError."""
    return _lines(words, page, TITLE, below=below)


def mark(words: str, page: Page, corner: str) -> Lettering:
    """Small words in a corner of the safe area, on something dark. Raises InputError, UsageError."""
    font = _font(page.font, _height(MARK, page))
    refuse_unwritable(words, font)
    around = round(PADDING * font.size)
    left, top, right, bottom = (round(edge) for edge in font.getbbox(words))
    width, height = right - left + 2 * around, bottom - top + 2 * around
    alpha, ink = Image.new("L", (width, height)), Image.new("L", (width, height))
    ImageDraw.Draw(alpha).rounded_rectangle((0, 0, width - 1, height - 1), around, fill=round(255 * SHADE))
    ImageDraw.Draw(ink).text((around - left, around - top), words, fill=255, font=font)
    return _placed(np.asarray(ink), np.maximum(np.asarray(alpha), np.asarray(ink)), page, corner)


def _placed(ink: Array, cover: Array, page: Page, corner: str) -> Lettering:
    left, top, right, bottom = page.room
    x = left if corner.endswith("left") else right - ink.shape[1]
    y = top if corner.startswith("top") else bottom - ink.shape[0]
    return _lettering(ink, cover, x, y, page)


def _lettering(ink: Array, cover: Array, x: int, y: int, page: Page) -> Lettering:
    """White ink on black, as far as they cover, within the picture."""
    x, y = (max(0, place) // 2 * 2 for place in (x, y))
    ink, cover = (each[: page.height - y, : page.width - x] for each in (ink, cover))
    grey = np.divide(ink * 255.0, cover, out=np.zeros(ink.shape), where=cover > 0)
    rgb = np.repeat(np.rint(grey.clip(0, 255)).astype(np.uint8)[..., None], 3, axis=2)
    return Lettering(rgb, cover.astype(np.float32) / 255, x, y)


def _height(share: float, page: Page) -> int:
    """Pixels of letters that are to have a share of the shorter side; fewer could not be read."""
    return max(9, round(share * page.short))


def _lines(words: str, page: Page, size: float, below: int | None = None) -> Lettering:
    """Words in the middle, at the foot or, so far `below`, at the head of the safe area."""
    left, top, right, bottom = page.room
    font = _font(page.font, _height(size, page))
    refuse_unwritable(words, font)
    lines = broken(words, font.getlength, right - left)
    outline, step = max(1, round(OUTLINE * font.size)), round(LEADING * font.size)
    width = min(round(max(map(font.getlength, lines))) + 2 * outline + 2, page.width)
    height = step * len(lines) + 2 * outline
    ink, cover = Image.new("L", (width, height)), Image.new("L", (width, height))
    for row, line in enumerate(lines):
        place = ((width - font.getlength(line)) / 2, outline + row * step)
        ImageDraw.Draw(ink).text(place, line, fill=255, font=font)
        ImageDraw.Draw(cover).text(place, line, fill=255, font=font, stroke_width=outline, stroke_fill=255)
    x = (left + right - width) // 2
    return _lettering(np.asarray(ink), np.asarray(cover), x, bottom - height if below is None else top + below, page)


def broken(words: str, length: Any, room: float) -> list[str]:
    """Words as lines that fit into `room` as far as single words do, the fewest that can be, and of these the least
    uneven (the squares of what is left free are least). `length` measures a line."""
    lines = list[str]()
    for part in words.splitlines():
        lines += _broken(part.split(), length, room)
    return lines[:MOST_LINES] or [""]


def _broken(words: Sequence[str], length: Any, room: float) -> list[str]:
    """The best lines of one paragraph, by dynamic programming over where they end (Knuth & Plass 1981, in small)."""
    best: list[tuple[int, float, int]] = [(0, 0.0, 0)]  # lines, unevenness, where the last of them begins
    for stop in range(1, len(words) + 1):
        found = []
        for start in range(stop - 1, -1, -1):
            free = room - length(" ".join(words[start:stop]))
            if free < 0 and start < stop - 1:
                break
            count, uneven, _ = best[start]
            found.append((count + 1, uneven + max(free, 0) ** 2, start))
        best.append(min(found))
    edges = [len(words)]
    while edges[-1] > 0:
        edges.append(best[edges[-1]][2])
    return [" ".join(words[start:stop]) for start, stop in pairwise(reversed(edges))]


def refuse_unwritable(words: str, font: Any) -> None:
    """Raise UsageError for letters that a font does not have: it would draw boxes."""
    box = bytes(font.getmask(MISSING))
    size = font.getmask(MISSING).size
    for letter in dict.fromkeys("".join(words.split())):
        drawn = font.getmask(letter)
        if drawn.size == size and bytes(drawn) == box:
            raise UsageError(f"the font has no {quoted(letter)}", "name one that has: `title.font`, a .ttf file")


@lru_cache(8)
def _font(path: Path | None, size: int) -> Any:
    """A font, its letters about `size` pixels high. Raises InputError."""
    with as_file(files("font_source_sans_pro") / "files" / "SourceSansPro-Semibold.ttf") as own:
        try:
            return ImageFont.truetype(path or own, size)
        except OSError as error:
            raise InputError(f"{path or own} is no font ({error})", "give a .ttf or .otf file") from error
