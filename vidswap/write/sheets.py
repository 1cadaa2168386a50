"""Sheets drawn of what was done, and their files: before and after side by side, and the cast, a row a person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from vidswap.face import geometry
from vidswap.face.sampling import interpolate
from vidswap.files import as_output_error, write_whole
from vidswap.types import Array

TALL, MARGIN, HEAD, LINE = 240, 8, 34, 22  # pixels: a picture, the space around it, the headings, a row's time
CHANGED = 8.0  # grey levels, averaged around a pixel: more is the swap, less is the encoder
AROUND = 1.3  # side of the closer look over the changed region
PAPER, INK, PALE = 246, (30, 30, 30), (110, 110, 110)
SheetRow = tuple[int, float, Array, Array]  # a frame's index, its second, the original and the result (H, W, 3)
SIDE, TEXT = 160, 210  # pixels: a portrait, the column of words


def write_picture(out: Path, rgb: Array) -> None:
    """Write `rgb` (H, W, 3) uint8. Raises OutputError."""
    with as_output_error(out):
        write_whole(out, cv2.imencode(out.suffix, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))[1].tobytes())


# -- before and after -------------------------------------------------------------------------------------------------


def sheet(rows: Sequence[SheetRow]) -> Array:
    """A row for each moment: original, swapped, both closer. All pictures of one size: (H, W, 3) uint8 RGB."""
    height, width = rows[0][2].shape[:2]
    wide = max(1, round(TALL * width / height))
    lefts = np.cumsum([MARGIN, *(side + MARGIN for side in (wide, wide, TALL, TALL))])
    step = LINE + TALL
    page = np.full((HEAD + len(rows) * step + MARGIN, int(lefts[-1]), 3), PAPER, np.uint8)
    for left, words in zip(lefts, ("original", "swapped", "original, closer", "swapped, closer")):
        inscribe(page, words, (int(left), HEAD - 12), 0.55, INK)
    for row, (index, seconds, before, after) in enumerate(rows):
        top = HEAD + row * step
        inscribe(page, f"{timecode(seconds)}  frame {index}", (MARGIN, top + LINE - 7), 0.42, PALE)
        x, y, side = changed(before, after)
        closer = [_shown(picture[y : y + side, x : x + side], TALL) for picture in (before, after)]
        for left, picture in zip(lefts, (_shown(before, wide), _shown(after, wide), *closer)):
            page[top + LINE : top + step, left : left + picture.shape[1]] = picture
    return page


def timecode(seconds: float) -> str:
    """Minutes, seconds and hundredths: 0:07.25."""
    hundredths = round(seconds * 100)
    return f"{hundredths // 6000}:{hundredths // 100 % 60:02d}.{hundredths % 100:02d}"


def changed(before: Array, after: Array) -> tuple[int, int, int]:
    """x, y and side of a square around the largest region that differs; the middle of the frame where none does."""
    height, width = before.shape[:2]
    near = max(3, min(height, width) // 60) | 1
    differs = cv2.blur(cv2.absdiff(before, after).max(-1), (near, near)) > CHANGED
    _, _, facts, _ = cv2.connectedComponentsWithStats(differs.astype(np.uint8))
    x, y, across, down = 0, 0, width, height
    if len(facts) > 1:
        x, y, across, down, _ = facts[1 + int(facts[1:, cv2.CC_STAT_AREA].argmax())].tolist()
    side = min(height, width, max(16, round(AROUND * max(across, down))))
    left = min(max(0, round(x + (across - side) / 2)), width - side)
    upper = min(max(0, round(y + (down - side) / 2)), height - side)
    return left, upper, side


def _shown(picture: Array, wide: int) -> Array:
    """The picture scaled to (TALL, wide), averaged where it shrinks."""
    finer = picture.shape[0] > TALL
    return np.asarray(cv2.resize(picture, (wide, TALL), interpolation=cv2.INTER_AREA if finer else cv2.INTER_CUBIC))


# -- the cast ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Row:
    """One person: the number, from when to when they are on screen (seconds), portraits (SIDE, SIDE, 3) in order."""

    number: int
    spans: tuple[tuple[float, float], ...]
    portraits: tuple[Array, ...]

    @property
    def seconds(self) -> float:
        """Time on screen, all spans together."""
        return sum(last - first for first, last in self.spans)


@dataclass(frozen=True, eq=False)
class CastSheet:
    """Who is in a clip: a row each, drawn as the picture `out`; `notes` are what a person should know of how the clip
    was read, a line each."""

    out: Path
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()


def portrait(rgb: Array, mesh: Array, mean: Array, side: int = SIDE) -> Array:
    """The face of `mesh` (478, 3) cut out of the picture `rgb` (H, W, 3): (side, side, 3) uint8, upright."""
    large = 2 * side  # drawn large, then averaged, so that a large face does not alias
    turn = geometry.crop_transform(mesh, mean, large)
    picture = interpolate(rgb, turn, large)
    return np.asarray(cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA))


def cast_sheet(rows: Sequence[Row]) -> Array:
    """All persons, one below the other: (H, W, 3) uint8 RGB."""
    step = SIDE + MARGIN
    columns = max(len(row.portraits) for row in rows)
    page = np.full((len(rows) * step + MARGIN, TEXT + columns * step + MARGIN, 3), PAPER, np.uint8)
    for top, row in zip(range(MARGIN, len(page), step), rows):
        inscribe(page, f"person {row.number}", (2 * MARGIN, top + 60), 0.8, INK)
        inscribe(page, f"{row.seconds:.1f} s on screen", (2 * MARGIN, top + 90), 0.5, PALE)
        inscribe(page, f"from {row.spans[0][0]:.1f} to {row.spans[-1][1]:.1f} s", (2 * MARGIN, top + 112), 0.5, PALE)
        for left, picture in zip(range(TEXT, page.shape[1], step), row.portraits):
            page[top : top + SIDE, left : left + SIDE] = picture
    return page


def moment_sheet(rows: Sequence[tuple[str, Sequence[Array]]]) -> Array:
    """A row for each moment: its words, and pictures (H, W, 3) of it: (H, W, 3) uint8 RGB."""
    strips = [np.hstack([_small(picture) for picture in pictures]) for _, pictures in rows]
    wide = max(each.shape[1] for each in strips) + 2 * MARGIN
    page = np.full((len(rows) * (SIDE + LINE) + MARGIN, wide, 3), PAPER, np.uint8)
    for top, (words, _), strip in zip(range(0, len(page), SIDE + LINE), rows, strips):
        inscribe(page, words, (MARGIN, top + LINE - 6), 0.5, INK)
        page[top + LINE : top + LINE + SIDE, MARGIN : MARGIN + strip.shape[1]] = strip
    return page


def _small(picture: Array) -> Array:
    """A picture SIDE pixels high."""
    wide = max(1, round(SIDE * picture.shape[1] / picture.shape[0]))
    return np.asarray(cv2.resize(picture, (wide, SIDE), interpolation=cv2.INTER_AREA))


def inscribe(page: Array, words: str, place: tuple[int, int], size: float, colour: tuple[int, int, int]) -> None:
    """Write words on a page (H, W, 3) with their lower left corner at `place` (x, y)."""
    cv2.putText(page, words, place, cv2.FONT_HERSHEY_SIMPLEX, size, colour, 1, cv2.LINE_AA)
