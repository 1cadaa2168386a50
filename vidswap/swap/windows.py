"""A track's span -> overlapping windows with weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vidswap.types import Array


@dataclass(frozen=True, eq=False)
class Window:
    """Frames [start, stop) that an engine is handed at once. `weight` (T,) float32 fades it into its neighbours; over
    all windows the weights of a frame sum to 1."""

    start: int
    stop: int
    weight: Array

    def __len__(self) -> int:
        return self.stop - self.start


def windows(start: int, stop: int, size: int, overlap: int) -> Iterator[Window]:
    """Windows over the frames [start, stop), lazily, in order: each of `size` frames, of which it shares `overlap` with
    the one before. The last one may be shorter, but always brings at least one new frame (so it has more than `overlap`
    frames) unless it is the only one. No frame falls into three windows. Raises ValueError where that cannot be."""
    if size < 1 or not 0 <= overlap <= size // 2:
        raise ValueError(f"windows: expected size >= 1 and overlap at most half of it, got {size} and {overlap}")
    rise = (np.arange(1, overlap + 1) / (overlap + 1)).astype(np.float32)
    here = start
    while here < stop:
        end = min(here + size, stop)
        weight = np.ones(end - here, np.float32)
        if here > start:
            weight[:overlap] = rise
        if end < stop:
            weight[len(weight) - overlap :] = 1 - rise
        yield Window(here, end, weight)
        here = stop if end == stop else end - overlap
