"""A track of a shot -> what a whole-shot engine is handed of it: which frames, at what rate and size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import ceil

import cv2
import numpy as np

from vidswap.errors import EngineError
from vidswap.media.view import view_of
from vidswap.swap.clipengine import Footage, Limits
from vidswap.types import Array, Clip, Frame, Shot, Track

MARGIN = 8  # frames before and after a face that are handed along: engines are weak at the ends
NEAR = Fraction(1, 50)  # part of a rate, to which an engine's may differ from the clip's before pictures are doubled
OVERLAP = 0.4  # seconds that takes of one shot have in common, over which one fades into the next


@dataclass(frozen=True, eq=False)
class Take:
    """What an engine plays in one call. Of a `track` it plays the frames [start, stop), each with a `weight` (T,) that
    fades takes into one another; `sent` (K,) are the clip's frames that its file shows, one after another, `seconds`
    (K,) when they are shown in the clip; `to_sent` (2, 3) takes pixels of the seen picture to those of the file."""

    track: Track
    start: int
    stop: int
    weight: Array
    sent: Array
    seconds: Array
    footage: Footage
    to_sent: Array

    @property
    def place(self) -> str:
        return f"frames {self.start} to {self.stop - 1}"


def takes_of(track: Track, shot: Shot, clip: Clip, limits: Limits) -> list[Take]:
    """The takes of a track: with MARGIN around it, as long as the engine wants them at least, as far as its shot goes;
    several where that is longer than the engine takes. Raises EngineError where no picture of this shape will do."""
    seconds = (clip.pts - clip.pts[0]) * float(clip.time_base)
    lasts = np.append(seconds[1:], seconds[-1] + float(clip.duration(len(clip) - 1) * clip.time_base))
    rate = rate_within(clip.rate, limits.rates)
    size, to_sent = framed(view_of(clip).size, limits)
    spans = list(_spans(track, shot, seconds, lasts, limits))
    weights = [np.ones(len(span), np.float32) for span in spans]
    for (one, other), (before, after) in zip(pairwise(spans), pairwise(weights)):
        shared = one.stop - other.start
        after[:shared] = np.arange(1, shared + 1) / (shared + 1)
        before[len(before) - shared :] = 1 - after[:shared]
    takes = []
    for span, weight in zip(spans, weights):
        lasting = lasts[span.stop - 1] - seconds[span.start]
        count = max(1, ceil(limits.seconds[0] * rate), min(round(lasting * rate), int(limits.seconds[1] * rate)))
        times = seconds[span.start] + np.arange(count) / float(rate)
        sent = span.start + nearest(seconds[span.start : span.stop], times)
        start, stop = max(span.start, track.start), min(span.stop, track.stop)
        faded, footage = weight[start - span.start : stop - span.start], Footage(count, rate, *size)
        takes.append(Take(track, start, stop, faded, sent, seconds[sent], footage, to_sent))
    return takes


def _spans(track: Track, shot: Shot, seconds: Array, lasts: Array, limits: Limits) -> Iterator[Shot]:
    """The frames of each take, margins included."""
    least, most = limits.seconds
    first, last = max(track.start - MARGIN, shot.start), min(track.stop + MARGIN, shot.stop)
    last = min(max(last, int(np.searchsorted(lasts, seconds[first] + least)) + 1), shot.stop)
    first = max(min(first, int(np.searchsorted(seconds, lasts[last - 1] - least, "right")) - 1), shot.start)
    long = float(lasts[last - 1] - seconds[first])
    shared = min(OVERLAP, most / 2)
    count = 1 if long <= most else ceil((long - shared) / (most - shared))
    step = (long - shared) / count
    for number in range(count):
        start = int(np.searchsorted(seconds, seconds[first] + number * step - 1e-6)) if number else first
        end = seconds[start] + step + shared + 1e-6
        stop = int(np.searchsorted(lasts, end, "right")) if number < count - 1 else last
        if start < track.stop and stop > track.start:
            yield Shot(start, stop)


def nearest(known: Array, wanted: Array) -> Array:
    """For each time that is wanted the number of the nearest that is known, both in order; the later of two."""
    after = np.searchsorted(known, wanted).clip(1, max(len(known) - 1, 1))
    if len(known) == 1:
        return np.zeros(len(wanted), int)
    return np.asarray(after - (wanted - known[after - 1] < known[after] - wanted))


def rate_within(rate: Fraction, rates: tuple[float, float]) -> Fraction:
    """The clip's own rate, or the whole multiple or part of it next to it that an engine takes; else its nearest."""
    least, most = (Fraction(each).limit_denominator(1001) for each in rates)
    nearest = min(max(rate, least), most)
    if abs(nearest / rate - 1) < NEAR:
        return nearest
    for other in (rate, rate * ceil(least / rate), rate / ceil(rate / most)):
        if least <= other <= most:
            return other
    return nearest


def framed(size: tuple[int, int], limits: Limits) -> tuple[tuple[int, int], Array]:
    """(width, height), even, of a file that shows pictures of a `size` within limits, as large as they are if may be,
    with bars where the shape is not taken; and (2, 3): their pixels -> the file's. Raises EngineError."""
    width, height = size
    sides = np.array([max(width, height * limits.aspect[0]), max(height, width / limits.aspect[1])])
    largest = min(limits.sides[1] / sides.max(), float(np.sqrt(limits.pixels / sides.prod())))
    smallest = limits.sides[0] / sides.min()
    if smallest > largest:
        allowed = f"{limits.sides[0]} to {limits.sides[1]} pixels a side, {limits.pixels} in all"
        raise EngineError(f"pictures of {width} x {height} do not fit within {allowed}", "take another engine")
    zoom = min(max(1.0, smallest), largest)
    low, high = (-(-limits.sides[0] // 2) * 2, limits.sides[1] // 2 * 2)
    full = np.clip(np.rint(sides * zoom / 2 - 1e-6).astype(int) * 2, low, high)
    inner = np.minimum(np.rint(np.array(size) * zoom).astype(int), full)
    scale, corner = inner / size, (full - inner) // 2
    to_sent = np.hstack([np.diag(scale), (corner + (scale - 1) / 2)[:, None]])
    return (int(full[0]), int(full[1])), to_sent


def shown(take: Take, frames: Iterable[Frame]) -> Iterator[Array]:
    """The pictures of a take's file, (H, W, 3) uint8; `frames` are the clip's, from the first that it shows on."""
    frames, frame, picture = iter(frames), None, None
    for index in take.sent.tolist():
        while frame is None or frame.index < index:
            frame, picture = next(frames), None
        if picture is None:
            picture = _framed(frame.rgb, take)
        yield picture


def _framed(rgb: Array, take: Take) -> Array:
    """A picture as the file has it: at its size, with black bars."""
    size = take.footage.width, take.footage.height
    if rgb.shape[1::-1] == size:
        return rgb
    inner = np.rint(np.array(rgb.shape[1::-1]) * take.to_sent.diagonal()).astype(int)
    corner = np.rint(take.to_sent[:, 2] - (take.to_sent.diagonal() - 1) / 2).astype(int)
    kind = cv2.INTER_AREA if inner[0] < rgb.shape[1] else cv2.INTER_CUBIC
    picture = np.zeros((size[1], size[0], 3), np.uint8)
    (x, y), (width, height) = corner, inner
    picture[y : y + height, x : x + width] = cv2.resize(rgb, (int(width), int(height)), interpolation=kind)
    return picture
