"""Which part of a clip another one was made of: by their pictures, and, where both have the same sound, by that.

A render of a part begins at time 0, and containers move all streams together (a transport stream's clock begins
anywhere, Matroska has no time before 0). So two clips are laid over one another first, and what then differs is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import lcm

import cv2
import numpy as np

from vidswap.media.sound import Sound
from vidswap.read.clip import frames
from vidswap.types import Array, Clip, Shot

Seconds = tuple[Fraction, Fraction | None]  # from when to when on a clip's clock; to None: to its end
_SMALL = 48  # side of the pictures that are compared
_TOLD_BY = 5  # first pictures of the part that are looked for
_ALIKE = 0.5  # grey levels by which pictures that look alike may differ: then the sound decides between them
_HEAD = 1 << 16  # bytes of PCM that are looked for
_NEAR = Fraction(1, 50)  # seconds around where they should be


@dataclass(frozen=True)
class SoundMatch:
    """How a clip's sound came through: "same", "changed", "missing" (it had some), or "none" (it has none); `shift` is
    the clip's clock less that of the other one by it, seconds; None where it cannot tell."""

    word: str
    shift: Fraction | None = None


def part_of(before: Clip, after: Clip, sound: tuple[Sequence[Sound], Sequence[Sound]]) -> Shot:
    """The frames of the clip `before` that `after` shows: where its first pictures look most like it; of pictures that
    look alike the one at which the same sound is heard. `sound` is that of both."""
    count = min(len(before), len(after))
    if len(before) <= len(after):
        return Shot(0, count)
    differences = _differences(before, after)
    likely = np.flatnonzero(differences <= differences.min() + _ALIKE)
    ways = [shift for one, other in zip(*sound) for shift in _shifts(one, other)]
    if not ways:
        start = int(differences.argmin())
        return Shot(start, start + count)

    def off(index: int) -> Fraction:
        apart = _time(before, index) - _time(after, 0)
        return min(abs(apart - shift) for shift in ways)

    start = min(likely.tolist(), key=off)
    return Shot(start, start + count)


def seconds_of(before: Clip, after: Clip, part: Shot) -> tuple[Seconds, Fraction]:
    """From when to when a part lasts, and the clock of `before` less that of `after`, as their pictures tell it."""
    start = _time(before, part.start)
    end = _time(before, part.stop) if part.stop < len(before) else None
    return (start, end), start - _time(after, 0)


def compare_sound(before: Sequence[Sound], after: Sequence[Sound], span: Seconds, shift: Fraction) -> SoundMatch:
    """Whether all streams of `after` are those of `before`, in its order, packet by packet or (PCM) sample by sample,
    for as long as the pictures last: over `span`; `shift` is what the pictures tell of the two clocks."""
    if not before or not after:
        return SoundMatch("none" if not before and not after else "missing" if before else "changed")
    if len(before) != len(after):
        return SoundMatch("changed")
    found = [_heard(one, other, span, shift) for one, other in zip(before, after)]
    return found[0] if all(each.word == "same" for each in found) else SoundMatch("changed")


def timing(before: Clip, after: Clip, part: Shot, shift: Fraction | None) -> float:
    """The largest difference of the times at which two clips show the same frame, in milliseconds: by the clock of
    their sound, where `shift` tells it; else counted from their first common frame."""
    apart = _time(before, part.start) - _time(after, 0) if shift is None else shift
    starts = before.pts[part.start : part.stop].tolist(), after.pts[: len(part)].tolist()
    return float(max(abs(a * before.time_base - b * after.time_base - apart) for a, b in zip(*starts)) * 1000)


def _differences(before: Clip, after: Clip) -> Array:
    """(N,) float64: how much the first pictures of `after` differ from those of `before` from each of its frames on
    at which they could begin, grey levels."""

    def small(rgb: Array) -> Array:
        return np.asarray(cv2.resize(rgb, (_SMALL, _SMALL), interpolation=cv2.INTER_AREA), np.float32)

    wanted = [small(frame.rgb) for frame in frames(after, 0, _TOLD_BY)]
    places = len(before) - len(after) + 1
    total = np.zeros(places)
    for frame in frames(before, 0, places + len(wanted) - 1):
        picture = small(frame.rgb)
        for ahead, other in enumerate(wanted):
            if 0 <= frame.index - ahead < places:
                total[frame.index - ahead] += float(np.abs(picture - other).mean()) / len(wanted)
    return total


def _time(clip: Clip, index: int) -> Fraction:
    return int(clip.pts[index]) * clip.time_base


def _heard(one: Sound, other: Sound, span: Seconds, shift: Fraction) -> SoundMatch:
    if one.sample:
        return _heard_samples(one, other, span, shift)
    ways = {_shift(one, other, place): place for place in _places(one, other)}
    if not ways:
        return SoundMatch("changed")
    nearest = min(ways, key=lambda way: abs(way - shift))
    place, (start, end) = ways[nearest], span
    wanted = [packet for packet in range(len(one.times)) if _is_within(one, packet, start, end)]
    whole = not wanted or (place <= wanted[0] and wanted[-1] < place + len(other.digests))
    return SoundMatch("same", nearest) if whole else SoundMatch("changed")


def _is_within(sound: Sound, packet: int, start: Fraction, end: Fraction | None) -> bool:
    """Whether all of a packet lies within a span."""
    after = sound.seconds(packet + 1) if packet + 1 < len(sound.times) else sound.end
    return sound.seconds(packet) >= start and (end is None or after <= end)


def _shifts(one: Sound, other: Sound) -> list[Fraction]:
    return [] if one.sample else [_shift(one, other, place) for place in _places(one, other)]


def _shift(one: Sound, other: Sound, place: int) -> Fraction:
    """The clock of `one` less that of `other`, whose packets are those of `one` from `place` on; the median, for either
    container may round its times. In silence there are many such places, so all packets are compared at once."""
    finest = lcm(one.unit.denominator, other.unit.denominator)
    count = len(other.times)
    apart = one.times[place : place + count] * int(one.unit * finest) - other.times * int(other.unit * finest)
    return Fraction(int(np.sort(apart)[count // 2]), finest)


def _places(one: Sound, other: Sound) -> list[int]:
    """Where all packets of `other` follow one another among those of `one`."""
    if not len(other.digests):
        return []
    return _all(one.digests.tobytes(), other.digests.tobytes(), one.digests.itemsize)


def _heard_samples(one: Sound, other: Sound, span: Seconds, shift: Fraction) -> SoundMatch:
    """PCM, whose packets other containers cut elsewhere: byte by byte, from where its first ones are found again."""
    if other.sample != one.sample or not len(other.times):
        return SoundMatch("changed")
    head, near = _bytes(other, 0, _HEAD), round(_NEAR * one.rate)
    expected = round((other.seconds(0) + shift - one.seconds(0)) * one.rate)
    begin = max(0, expected - near)
    around = _bytes(one, begin, len(head) + 2 * near * one.sample)
    starts = [begin + place for place in _all(around, head, one.sample)]
    start = min(starts, key=lambda sample: abs(sample - expected), default=None)
    length = None if start is None else _continued(one, start, other)
    if start is None or length is None:
        return SoundMatch("changed")
    first = one.seconds(0) + Fraction(start, one.rate)
    slack = max(one.unit, other.unit, Fraction(2, one.rate))
    whole = first <= max(span[0], one.seconds(0)) + slack
    whole = whole and first + Fraction(length, one.rate) >= min(one.end, span[1] or one.end) - slack
    return SoundMatch("same", first - other.seconds(0)) if whole else SoundMatch("changed")


def _bytes(sound: Sound, first: int, most: int) -> bytes:
    """At most so many bytes from a sample on."""
    found = bytearray()
    for content in sound.pcm(first):
        found += content
        if len(found) >= most:
            break
    return bytes(found[:most])


def _all(whole: bytes, part: bytes, width: int) -> list[int]:
    """All places at which `part` lies in `whole`, counted in items of `width` bytes."""
    found, at = list[int](), whole.find(part)
    while at >= 0:
        if at % width == 0:
            found.append(at // width)
        at = whole.find(part, at + 1)
    return found


def _continued(one: Sound, start: int, other: Sound) -> int | None:
    """How many samples `other` has, if they all follow one another in `one` from the sample `start` on."""
    held, source, total = bytearray(), one.pcm(start), 0
    for content in other.pcm():
        while len(held) < len(content) and (more := next(source, b"")):
            held += more
        if held[: len(content)] != content:
            return None
        del held[: len(content)]
        total += len(content)
    return total // other.sample
