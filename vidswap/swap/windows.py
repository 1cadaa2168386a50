"""Frames and who plays whom -> each frame with the layers that cover it: windows over tracks, one after another.

An engine is handed a window of a track at a time, and its own answer to the one before. Few frames wait: a window is
swapped as soon as its last frame is there, and a frame goes on as soon as no window to come can reach it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from heapq import merge
from operator import attrgetter
from typing import Protocol

import numpy as np

from vidswap.face import geometry
from vidswap.face.expression import neutral_shape
from vidswap.face.landmarks import mean_face
from vidswap.plan.file import subsample
from vidswap.progress import Progress
from vidswap.swap.crops import AROUND, cut_crops
from vidswap.swap.engine import Engine, Needs
from vidswap.types import Array, Crops, EngineChoice, Frame, Identity, Layer, Shot, Swapped, Track, TrackPart, Window

RESTING = 250  # frames of a track that its resting face is taken from: all of them would not fit for an hour's take


@dataclass(frozen=True, eq=False)
class Casting:
    """A track, who is seen on it in place of the actor, and the engine that makes it so."""

    track: Track
    identity: Identity
    engine: EngineChoice


def within(casting: Casting, span: Shot) -> Iterator[Casting]:
    """What of a casting lies in a span, if anything."""
    start, stop = max(casting.track.start, span.start), min(casting.track.stop, span.stop)
    if start < stop:
        yield replace(casting, track=casting.track.within(start, stop))


class Memory(Protocol):
    """What engines have answered: to go on from, and not to be asked for again."""

    def before(self, track: int) -> Swapped | None:
        """The last frames of the last answer of a track: those that the next window shares."""
        ...

    def keep(self, swapped: Swapped, tail: int, end: int) -> None:
        """Remember an answer, that the next window shares its last `tail` frames, and that the track ends at `end`."""
        ...

    def release(self, index: int) -> None:
        """No frame before `index` is still to come."""
        ...

    def answer(self, crops: Crops) -> Swapped | None:
        """What was answered to these crops already, in a render that was stopped."""
        ...


def swap_windows(
    frames: Iterable[Frame], casting: Sequence[Casting], engines: Mapping[EngineChoice, Engine], memory: Memory,
    progress: Progress, *, start: int = 0,
) -> Generator[tuple[Frame, list[Layer]], None, None]:  # fmt: skip
    """Every frame, with the layers over it that are known: those of windows that reach beyond frame `start`. `frames`
    begin at `first_needed` at the latest. Raises EngineError."""
    footage, held, swapped = iter(frames), deque[Frame](), list[Swapped]()
    reach = max((engines[each.engine].needs.window for each in casting), default=0)
    calls = (_calls(each, engines[each.engine], start) for each in casting)
    for call in merge(*calls, key=attrgetter("stop")):
        while not held or held[-1].index < call.stop - 1:
            held.append(next(footage))
            while held and held[0].index < call.stop - reach:  # no window that is still to come starts before
                yield held[0], _layers(held.popleft().index, swapped)
        swapped = [each for each in swapped if each.crops.start + len(each.crops) > held[0].index]
        memory.release(held[0].index)
        swapped.append(call.swap([frame for frame in held if frame.index >= call.start], memory, progress))
    while held:
        yield held[0], _layers(held.popleft().index, swapped)
    for frame in footage:
        yield frame, []


@dataclass(frozen=True, eq=False)
class _Call:
    """A window of a track, to be swapped as soon as its frames are there."""

    casting: Casting
    engine: Engine
    window: Window
    known: Callable[[], tuple[Array, Needs]]

    @property
    def start(self) -> int:
        return self.window.start

    @property
    def stop(self) -> int:
        return self.window.stop

    def swap(self, frames: Sequence[Frame], memory: Memory, progress: Progress) -> Swapped:
        """The engine's answer to the window's frames."""
        track, (rest, needs) = self.casting.track, self.known()
        before = memory.before(track.id)
        with progress.stage("crops"):
            near = track.part(max(self.start - AROUND, track.start), min(self.stop + AROUND, track.stop))
            crops = cut_crops(frames, near, self.window, needs, rest, before=before.crops if before else None)
        with progress.stage("engine"):
            swapped = memory.answer(crops) or self.engine.swap(
                crops, self.casting.identity, before, progress.within("engine")
            )
            memory.keep(swapped, needs.overlap, track.stop)
        return swapped


def _calls(casting: Casting, engine: Engine, start: int) -> Iterator[_Call]:
    """The windows of a track that reach beyond frame `start`, in order."""
    known = cache(partial(known_of, casting.track, engine.needs))  # when its first window comes
    for window in _windows_beyond(casting.track, engine.needs, start):
        yield _Call(casting, engine, window, known)


def resting_face(track: Track) -> Array:
    """(478, 3) float32: the resting face of a track, in its own frame."""
    return _at_rest(subsample(track, RESTING))


def _at_rest(some: TrackPart) -> Array:
    return neutral_shape(some.mesh, some.seen, mean_face())


def known_of(track: Track, needs: Needs) -> tuple[Array, Needs]:
    """The resting face of a track, and what an engine that has `needs` needs of it: crops as large as its face is where
    it is largest, so that they are the same all along."""
    some = subsample(track, RESTING)
    rest = _at_rest(some)
    largest = min(geometry.zoom_of(geometry.crop_transform(mesh, rest, needs.size)) for mesh in some.mesh)
    return rest, needs.at(largest)


def _layers(index: int, swapped: Sequence[Swapped]) -> list[Layer]:
    """What covers a frame, where anything of it may be replaced."""
    rows = [(each, index - each.crops.start) for each in swapped]
    return [layer_of(each, row) for each, row in rows if 0 <= row < len(each.crops) and each.crops.mask[row].any()]


def layer_of(swapped: Swapped, row: int) -> Layer:
    """A frame's layer of an engine's answer: `row` of it. Of two faces the larger is taken to be nearer."""
    crops = swapped.crops
    size = np.ptp(crops.mesh[:, :, :2], axis=1).mean() * np.sqrt(abs(np.linalg.det(crops.to_frame[row, :, :2])))
    return Layer(crops.track, swapped.rgb[row], swapped.alpha[row], crops.to_frame[row],
                 float(crops.weight[row]), -float(size))  # fmt: skip


def first_needed(casting: Sequence[Casting], engines: Mapping[EngineChoice, Engine], start: int) -> int:
    """The frame at which decoding begins, so that all windows that reach beyond `start` have theirs."""
    reaching = (next(_windows_beyond(each.track, engines[each.engine].needs, start), None) for each in casting)
    return min([start, *(window.start for window in reaching if window)])


def amid(casting: Sequence[Casting], engines: Mapping[EngineChoice, Engine], boundary: int) -> list[int]:
    """The tracks of which a window ends before a boundary, and another one reaches beyond: by their numbers."""
    first = {each.track.id: next(_windows_beyond(each.track, engines[each.engine].needs, 0)) for each in casting}
    return [each.track.id for each in casting if first[each.track.id].stop <= boundary < each.track.stop]


def _windows_beyond(track: Track, needs: Needs, start: int) -> Iterator[Window]:
    """The windows of a track that reach beyond frame `start`, in order."""
    return (each for each in windows(track.start, track.stop, needs.window, needs.overlap) if each.stop > start)


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
