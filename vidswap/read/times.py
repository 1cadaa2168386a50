"""When the pictures of a film are shown: a scan of its packets, without decoding."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from vidswap.errors import InputError
from vidswap.facts import Stretch
from vidswap.media.clocks import Heard, is_leap, laid, leaps
from vidswap.media.containers import demuxer_of
from vidswap.media.endings import breaks_off, is_followed
from vidswap.media.h264 import Fields
from vidswap.media.hevc import Leading
from vidswap.media.late import timed
from vidswap.media.packets import packets
from vidswap.media.source import file_of, opened
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
    field of the one before; which are `keys`, that decoding can begin with; `end` is the byte where the last begins."""

    pts: Array
    dts: Array
    long: Array
    shown: Array
    second: Array
    keys: Array
    end: int = 0


@dataclass(frozen=True, eq=False)
class Times:
    """`pts` (N,) int64 of the shown pictures, strictly increasing, in `unit` seconds; `last` is how long the last is
    shown, 0: not told; `rate` how many come a second. `counted`: pictures have no times of their own, the n-th has the
    n-th. `key` is the time of the first picture that decoding can begin with, None: not told. `doubtful`: the times may
    be those of decoding. `stretches` and `notes`: see Clip."""

    pts: Array
    unit: Fraction
    last: int
    rate: Fraction
    counted: bool = False
    key: int | None = None
    doubtful: bool = False
    stretches: tuple[Stretch, ...] = ()
    notes: tuple[str, ...] = ()

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
    found, stretches = _on_one_clock(_scanned(container, stream, passing), container, stream)
    rate, unit = rate_of(stream), Fraction(stream.time_base)
    kind = demuxer_of(container.format.name)
    by_decoding = kind.ordered
    times = (found.dts if by_decoding else found.pts)[found.shown]
    known = np.flatnonzero(times != _UNTIMED)
    if len(known) == 0 or (by_decoding and len(known) < len(times)):
        counted = by_decoding or (unit * rate).denominator != 1
        return Times(np.arange(len(times), dtype=np.int64), 1 / rate, 1, rate, counted)
    last = max(zip(times.tolist(), _lengths(found)[found.shown].tolist()))
    missing = np.flatnonzero(times == _UNTIMED)
    times[missing] = np.interp(missing, known, times[known]).astype(np.int64)
    times.sort()
    if kind.edits:  # it has the lengths in the order of decoding: only their sum is sure
        total = int(found.long[found.shown | found.second].sum())
        last = last[0], max(total - int(times[-1] - times[0]), 0) or last[1]
    pts, finer = increasing(times, unit)
    rate = borne_out(_halved(rate, times, unit) if found.second.any() else rate, pts, finer)
    return Times(pts, finer, int(last[1] * unit / finer), rate, by_decoding,
                 _key(found, stream, int(unit / finer)), _is_doubtful(found), stretches,
                 _unread(found, container, stream, bool(stretches)))  # fmt: skip


def is_shown(stream: Any) -> Callable[[Any], bool]:
    """What tells of each packet of a film, in order, whether it is a picture that is shown."""
    fields, leading = Fields(stream), Leading(stream)
    return lambda packet: _is_shown(packet) and not (fields.is_second(packet) or leading.is_lost(packet))


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
    fields, leading, times, marks, end = Fields(stream), Leading(stream), array("q"), array("b"), 0
    for packet in passing(packets(container, stream)):
        if not packet.size:
            continue
        for time in (packet.pts, packet.dts):
            times.append(_UNTIMED if time is None or abs(time) > _LATEST else time)
        times.append(packet.duration or 0)
        end = max(end, packet.pos or 0)
        half = fields.is_second(packet)
        marks.extend((_is_shown(packet) and not (half or leading.is_lost(packet)), half, packet.is_keyframe))
        if len(marks) > 3 * MOST_FRAMES:
            raise InputError(f"{file_of(container)} has more than {MOST_FRAMES:,} frames", "cut it into parts first")
    pts, dts, long = np.array(times, np.int64).reshape(-1, 3).T
    shown, second, keys = np.array(marks, np.bool_).reshape(-1, 3).T
    if not shown.any():
        raise InputError(f"{file_of(container)}: its video stream is empty", "the file is damaged")
    return Scanned(pts, dts, long, shown, second, keys, end)


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


def _unread(found: Scanned, container: Any, stream: Any, joined: bool) -> tuple[str, ...]:
    """A line where the file's index, or its header, tells of more than is there; or where another film lies behind."""
    if is_followed(file_of(container), container.format.name, found.end):
        return ("behind the film that is read the file holds another one: cut them apart to have both",)
    return () if joined else _broken_off(found, container, stream)


def _broken_off(found: Scanned, container: Any, stream: Any) -> tuple[str, ...]:
    clock = np.where(found.pts == _UNTIMED, found.dts, found.pts)
    first, reached = int(clock[clock != _UNTIMED].min()), int(max(found.pts.max(), found.dts.max()))
    told = [entry.timestamp for entry in list(stream.index_entries)[-1:]]
    if demuxer_of(container.format.name).ordered:
        told.append(stream.frames - 2)
    there, promised = ((time - first) * float(stream.time_base) for time in (reached, max([reached, *told])))
    if promised > there:
        return (f"the file breaks off after {there:.1f} s; its index tells of {promised:.1f} s",)
    if breaks_off(file_of(container), container.format.name):
        return (f"the file breaks off after {there:.1f} s: it was not copied, or not written, to its end",)
    return ()


def _is_doubtful(found: Scanned) -> bool:
    """Whether all times of display are those of decoding: in another order they would be wrong."""
    return bool(np.all(found.pts == found.dts))


# -- clocks -----------------------------------------------------------------------------------------------------------


def _on_one_clock(found: Scanned, container: Any, stream: Any) -> tuple[Scanned, tuple[Stretch, ...]]:
    """The packets with their times on one clock, and what that is made of; no more than they were where it is one."""
    kind, unit = demuxer_of(container.format.name), Fraction(stream.time_base)
    if kind.back is None:
        return found, ()
    ticks = np.where((found.dts != _UNTIMED) & kind.decoded, found.dts, found.pts)
    clock = np.where(ticks == _UNTIMED, np.nan, ticks * float(unit))
    places, odd = leaps(clock if kind.decoded else _around_keys(clock, found.keys), kind.back)
    found = replace(found, pts=_without(found.pts, odd), dts=_without(found.dts, odd))
    if not places:
        return found, ()
    clock[odd] = np.nan
    heard, usual = _heard(file_of(container), stream.index), float(np.nanmedian(np.abs(np.diff(clock))))
    firsts = [place for place in places if _starts(clock, place, usual, heard, kind.leaps)]
    found = _without_leading(found, firsts)
    parts = list(_parts(found, [0, *firsts]))
    if len(parts) < 2:
        return found, ()
    stretches = laid(parts, clock, unit, heard)
    shift = np.zeros(len(clock), np.int64)
    for stretch in stretches:
        shift[stretch.packet :] = int(stretch.shift / unit)
    pts, dts = (np.where(times == _UNTIMED, times, times + shift) for times in (found.pts, found.dts))
    return replace(found, pts=pts, dts=dts), stretches


def _around_keys(clock: Array, keys: Array) -> Array:
    """The times of key pictures, and of the last ones before them, in seconds; nan for the others: the times of showing
    go to and fro among those as far as pictures are held."""
    return np.where(keys | np.append(keys[1:], False), clock, np.nan)


def _without(times: Array, odd: list[int]) -> Array:
    """The times but those of damage."""
    kept = times.copy()
    kept[odd] = _UNTIMED
    return kept


def _starts(clock: Array, place: int, usual: float, heard: Heard, leaping: bool) -> bool:
    """Whether a clock starts again at a packet, rather than that a picture is held."""
    before = clock[:place][~np.isnan(clock[:place])][-1]
    return clock[place] < before or (leaping and is_leap(before, clock[place], usual, heard))


def _parts(found: Scanned, places: list[int]) -> Iterator[tuple[int, int, int]]:
    """Of the stretches that begin at these packets: where, when the first of its pictures is shown, and the last ends;
    those without pictures belong to the one before."""
    for place, stop in pairwise([*places, len(found.pts)]):
        shown = np.flatnonzero(found.shown[place:stop] & (found.pts[place:stop] != _UNTIMED)) + place
        if len(shown):
            times, last = np.sort(found.pts[shown]), shown[np.argmax(found.pts[shown])]
            usual = int(np.median(np.diff(times))) if len(times) > 1 else 1
            yield place, int(times[0]), int(times[-1]) + (int(found.long[last]) or usual)


def _without_leading(found: Scanned, places: list[int]) -> Scanned:
    """The packets, of those that are shown before the key picture with which a stretch begins none as shown: they need
    others that were cut away."""
    shown = found.shown.copy()
    for place, stop in pairwise([*places, len(shown)]):
        if found.keys[place] and found.pts[place] != _UNTIMED:
            shown[place:stop] &= found.pts[place:stop] >= found.pts[place]
    return replace(found, shown=shown)


def _heard(path: Path, film: int) -> Heard:
    """The packets of pictures and sound of a file. Raises InputError."""
    streams, times = array("h"), array("d")
    with opened(path) as container:
        sound = [stream for stream in container.streams.audio if stream.codec_context]
        for packet in timed(packets(container, container.streams[film], *sound), sound):
            time = packet.dts if packet.dts is not None else packet.pts
            if packet.size and (time is not None or packet.stream.index == film):
                streams.append(0 if packet.stream.index == film else packet.stream.index + 1)
                times.extend((np.nan if time is None else time * packet.time_base,
                              (packet.duration or 0) * packet.time_base))  # fmt: skip
    second, long = np.array(times).reshape(-1, 2).T
    return Heard(np.array(streams), second, long)
