"""The cast of a clip as a picture: one row a person, with the number that --person takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from vidswap.face import geometry
from vidswap.face.sampling import interpolate
from vidswap.types import Array
from vidswap.write.sheet import INK, MARGIN, PALE, PAPER, inscribe

SIDE, TEXT = 160, 210  # pixels: a portrait, the column of words


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
