"""Frames in order, and windows over them -> each frame with the answers that cover it; few frames wait."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from vidswap.types import Frame, Swapped

Layer = tuple[Swapped, int]  # a swapped window, and the row of it that belongs to the frame


@dataclass(frozen=True, eq=False)
class Call:
    """A window that is swapped, by `swap`, as soon as its frames [start, stop) are there."""

    start: int
    stop: int
    swap: Callable[[Sequence[Frame]], Swapped]


def relay(footage: Iterable[Frame], calls: Iterable[Call], reach: int) -> Iterator[tuple[Frame, list[Layer]]]:
    """Every frame of `footage`, with the layers that cover it. The calls come by their `stop`; none is longer than
    `reach` frames. So the next one, and all that follow, start at most `reach` before its end: no more frames wait."""
    footage = iter(footage)
    held: deque[Frame] = deque()
    layers: list[Swapped] = []
    for call in calls:
        while not held or held[-1].index < call.stop - 1:
            held.append(next(footage))
            yield from _released(held, layers, call.stop - reach)
        layers = [layer for layer in layers if layer.crops.start + len(layer.crops) > held[0].index]
        layers.append(call.swap([frame for frame in held if frame.index >= call.start]))
    for frame in held:
        yield frame, _over(frame, layers)
    held.clear()
    for frame in footage:
        yield frame, []


def _released(held: deque[Frame], layers: Sequence[Swapped], before: int) -> Iterator[tuple[Frame, list[Layer]]]:
    """Take the frames before index `before` out of `held`, each with its layers."""
    while held and held[0].index < before:
        frame = held.popleft()
        yield frame, _over(frame, layers)


def _over(frame: Frame, layers: Sequence[Swapped]) -> list[Layer]:
    rows = [(layer, frame.index - layer.crops.start) for layer in layers]
    return [(layer, row) for layer, row in rows if 0 <= row < len(layer.crops)]
