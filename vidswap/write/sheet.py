"""Before and after as a picture: the frames side by side, and what changed seen closer."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from vidswap.types import Array

TALL, MARGIN, HEAD, LINE = 240, 8, 34, 22  # pixels: a picture, the space around it, the headings, a row's time
CHANGED = 8.0  # grey levels, averaged around a pixel: more is the swap, less is the encoder
AROUND = 1.3  # side of the closer look over the changed region
PAPER, INK, PALE = 246, (30, 30, 30), (110, 110, 110)
SheetRow = tuple[int, float, Array, Array]  # a frame's index, its second, the original and the result (H, W, 3)


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


def inscribe(page: Array, words: str, place: tuple[int, int], size: float, colour: tuple[int, int, int]) -> None:
    """Write words on a page (H, W, 3) with their lower left corner at `place` (x, y)."""
    cv2.putText(page, words, place, cv2.FONT_HERSHEY_SIMPLEX, size, colour, 1, cv2.LINE_AA)
