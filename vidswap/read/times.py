"""When the pictures of a film are shown: a scan of its packets, without decoding."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from vidswap.errors import InputError
from vidswap.media.headers import Fields
from vidswap.media.packets import packets
from vidswap.media.source import path_of
from vidswap.types import Array

MOST_FRAMES = 10_000_000  # two days at 60 a second
_NUDGE = 90  # ticks that a tick is split into, to part frames with the same time
_FASTEST, _SLOWEST = 1000, Fraction(1, 3600)  # frames a second that a header is believed
_LOOSELY = Fraction(3, 2)  # times finer or coarser than what a header says, which is no lie yet
_UNTIMED = -(1 << 63)  # stands for a packet's missing time
_LATEST = 1 << 53  # ticks; a later time is damage


@dataclass(frozen=True, eq=False)
class Scanned:
    """The packets of a film in the order of decoding: `pts` and `dts` (P,) int64 in its stream's ticks (_UNTIMED where
    there is none), how `long` they say they are; which are `shown` (P,) bool, a picture each, and which the `second`
    field of the one before; which are `keys`, that decoding can begin with."""

    pts: Array
    dts: Array
    long: Array
    shown: Array
    second: Array
    keys: Array


@dataclass(frozen=True, eq=False)
class Times:
    """`pts` (N,) int64 of the shown pictures, strictly increasing, in `unit` seconds; `last` is how long the last is
    shown, 0: not told; `rate` how many come a second. `counted`: pictures have no times of their own, the n-th has the
    n-th. `key` is the time of the first picture that decoding can begin with, None: not told. `doubtful`: the times may
    be those of decoding."""

    pts: Array
    unit: Fraction
    last: int
    rate: Fraction
    counted: bool = False
    key: int | None = None
    doubtful: bool = False

    def beginning(self, first: int | None) -> Times:
        """The times from those on of the picture that decodes first (`first`, in `unit`), unless it is only damage that
        keeps the ones before it from being shown: those before a key picture need others, which were cut away."""
        if self.counted or first is None:
            return self
        begin = first if self.key is None else min(first, self.key)
        return replace(self, pts=self.pts[self.pts >= begin])


def scan(container: Any, stream: Any, passing: Any = iter) -> Times:
    """Read all packets of a film, which go through `passing`. Raises InputError: there are none, or too many; its disk
    fails.

    AVI and raw streams carry no times of display, FFmpeg makes some up in decoding order: there the n-th picture gets
    the n-th time of decoding, or n / rate. Elsewhere a missing time lies between those of its neighbours."""
    found = _scanned(container, stream, passing)
    rate, unit = rate_of(stream), Fraction(stream.time_base)
    by_decoding = container.format.name == "avi"
    times = (found.dts if by_decoding else found.pts)[found.shown]
    known = np.flatnonzero(times != _UNTIMED)
    if len(known) == 0 or (by_decoding and len(known) < len(times)):
        counted = by_decoding or (unit * rate).denominator != 1
        return Times(np.arange(len(times), dtype=np.int64), 1 / rate, 1, rate, counted)
    last = max(zip(times.tolist(), _lengths(found)[found.shown].tolist()))
    missing = np.flatnonzero(times == _UNTIMED)
    times[missing] = np.interp(missing, known, times[known]).astype(np.int64)
    times.sort()
    if container.format.name.startswith("mov"):  # it has the lengths in the order of decoding: only their sum is sure
        total = int(found.long[found.shown | found.second].sum())
        last = last[0], max(total - int(times[-1] - times[0]), 0) or last[1]
    pts, finer = increasing(times, unit)
    rate = borne_out(_halved(rate, times, unit) if found.second.any() else rate, pts, finer)
    return Times(pts, finer, int(last[1] * unit / finer), rate, by_decoding,
                 _key(found, stream, int(unit / finer)), _is_doubtful(found))  # fmt: skip


def is_shown(stream: Any) -> Callable[[Any], bool]:
    """What tells of each packet of a film, in order, whether it is a picture that is shown."""
    fields = Fields(stream)
    return lambda packet: _is_shown(packet) and not fields.is_second(packet)


def rate_of(stream: Any) -> Fraction:
    """Frames a second, as the header says; 25 where that cannot be."""
    for rate in (stream.average_rate, stream.guessed_rate):
        if rate and _SLOWEST <= rate <= _FASTEST:
            return Fraction(rate)
    return Fraction(25)


def borne_out(rate: Fraction, pts: Array, unit: Fraction) -> Fraction:
    """A header's frames a second where the times of the pictures bear it out, else those of the times: recordings of
    browsers claim 1000."""
    if len(pts) < 2:
        return rate
    average = (len(pts) - 1) / (int(pts[-1] - pts[0]) * unit)
    usual = 1 / (Fraction(float(np.median(np.diff(pts)))) * unit)
    if min(average, usual) / _LOOSELY <= rate <= max(average, usual) * _LOOSELY:
        return rate
    own = average if average * _LOOSELY > usual else usual  # most come in an even beat, between them are gaps
    return min(max(own, _SLOWEST), Fraction(_FASTEST)).limit_denominator(1001)


def increasing(pts: Array, time_base: Fraction) -> tuple[Array, Fraction]:
    """Sorted times made strictly increasing; where two were equal the later one is moved by 1/90 of a tick."""
    if np.all(np.diff(pts) > 0):
        return pts, time_base
    order = np.arange(len(pts))
    return np.maximum.accumulate(pts * _NUDGE - order) + order, time_base / _NUDGE


def _scanned(container: Any, stream: Any, passing: Any) -> Scanned:
    fields, times, marks = Fields(stream), array("q"), array("b")
    for packet in passing(packets(container, stream)):
        if not packet.size:
            continue
        for time in (packet.pts, packet.dts):
            times.append(_UNTIMED if time is None or abs(time) > _LATEST else time)
        times.append(packet.duration or 0)
        half = fields.is_second(packet)
        marks.extend((_is_shown(packet) and not half, half, packet.is_keyframe))
        if len(marks) > 3 * MOST_FRAMES:
            raise InputError(f"{path_of(container)} has more than {MOST_FRAMES:,} frames", "cut it into parts first")
    pts, dts, long = np.array(times, np.int64).reshape(-1, 3).T
    shown, second, keys = np.array(marks, np.bool_).reshape(-1, 3).T
    if not shown.any():
        raise InputError(f"{path_of(container)}: its video stream is empty", "the file is damaged")
    return Scanned(pts, dts, long, shown, second, keys)


def _is_shown(packet: Any) -> bool:
    if not packet.size or packet.is_discard:  # the end marker, or hidden by an edit list
        return False
    hidden = packet.stream.codec_context.name == "vp8" and not memoryview(packet)[0] & 0x10  # an alternate reference
    return not hidden


def _lengths(found: Scanned) -> Array:
    """How long the packets are; a first field with its second, unless it already says so."""
    long, seconds = found.long.copy(), np.flatnonzero(found.second)
    halves = seconds[found.pts[seconds] - found.pts[seconds - 1] >= long[seconds - 1]]
    long[halves - 1] += found.long[halves]
    return long


def _halved(rate: Fraction, times: Array, unit: Fraction) -> Fraction:
    """The rate of frames of which fields are packets; a header may count those."""
    steps = np.diff(times)
    return rate / 2 if len(steps) and float(np.median(steps) * unit * rate) > 1.5 else rate


def _key(found: Scanned, stream: Any, finer: int) -> int | None:
    """When the first key picture is shown. A damaged one is none to FFmpeg, but the file's index may know it."""
    index, begins = next(iter(stream.index_entries), None), (int(found.pts[0]), int(found.dts[0]))
    listed = index is not None and index.is_keyframe and index.timestamp in begins
    keys = [0] if listed else np.flatnonzero(found.keys)
    known = [int(found.pts[key]) for key in keys[:1] if found.pts[key] != _UNTIMED]
    return known[0] * finer if known else None


def _is_doubtful(found: Scanned) -> bool:
    """Whether all times of display are those of decoding: in another order they would be wrong."""
    return bool(np.all(found.pts == found.dts))
