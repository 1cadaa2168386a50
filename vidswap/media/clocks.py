"""Files whose clock starts again, or leaps, on the way: recordings joined as bytes, DVDs, live streams, adverts.

Such a film is made of stretches, each on a clock of its own, and each is laid behind the one before: what shifts it is
found once, when the film is scanned, and added to the times of pictures, sound and subtitles alike whenever packets are
read, from the file's beginning on. A picture that is held for long, as in slides, is no leap: sound goes on meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np

from vidswap.facts import Stretch
from vidswap.media.packets import end_of
from vidswap.types import Array

_LEAP, _LEAP_ALONE = 2.0, 10.0  # seconds that a clock leaps at least, where there is sound to leap with it, and not
_SLOW = 20  # frames that take as long as a leap: then it is slides
_ODD = 5  # packets in a row with times that are only damage
_NEAR = 3.0  # seconds that sound may lie apart from the pictures of its moment in a file
_GAP = 0.1  # seconds between packets of sound that follow one another, at most
_OVERLAP = Fraction(1, 10)  # seconds of sound given up where a stretch begins, at most
_HAIR = Fraction(1, 1000)


@dataclass(frozen=True, eq=False)
class Heard:
    """Packets of pictures and sound in the order of a file: which `stream` each is of (0: the film), its `time` and how
    `long` it is, seconds."""

    stream: Array
    time: Array
    long: Array


def leaps(clock: Array, back: float) -> tuple[list[int], list[int]]:
    """The packets (P,) of a film, by their times of decoding `clock` in seconds (nan: not told), at which its clock
    starts again or leaps; and those whose times are only damage, as the ones around them go on."""
    places = np.flatnonzero(~np.isnan(clock))
    times = clock[places]
    steps = np.diff(times)
    found, odd, behind = list[int](), list[int](), 0
    for place in np.flatnonzero((steps < -back) | (steps > _LEAP)) + 1:
        if place < behind:
            continue
        before, ahead = times[place - 1], times[place + 1 : np.searchsorted(places, places[place] + _ODD, "right")]
        returns = np.flatnonzero((ahead > before - back) & (ahead < before + 1))
        if len(returns):
            behind = int(place + 1 + returns[0])
            odd += places[place:behind].tolist()
            behind += 1
        else:
            found.append(int(places[place]))
    return found, odd


def is_leap(before: float, after: float, usual: float, heard: Heard) -> bool:
    """Whether a film's clock leaps forward, from one time to another: its sound does as well; or there is none, and its
    pictures usually come much faster."""
    leap, leapt = after - before, False
    for stream in set(heard.stream.tolist()) - {0}:
        times = heard.time[heard.stream == stream]
        leapt |= any(two - one > max(_LEAP, leap) / 2 and abs(one - before) < _NEAR for one, two in pairwise(times))
    return leapt if np.any(heard.stream > 0) else leap > max(_LEAP_ALONE, _SLOW * usual)


def laid(parts: Sequence[tuple[int, int, int]], clock: Array, unit: Fraction, heard: Heard) -> tuple[Stretch, ...]:
    """Stretches, each behind the one before. `parts` tells of each the first packet of pictures, and when the first of
    these is shown and the last ends, in `unit` seconds of its clock; `clock` is when packets are decoded, seconds."""
    stops = [*(first for first, _, _ in parts[1:]), len(clock)]
    edges = [clock[first:stop][~np.isnan(clock[first:stop])][-1] for (first, _, _), stop in zip(parts, stops)]
    ends = _sound_ends(_in_a_row(parts, edges, unit, [-np.inf] * len(parts)), heard)
    return _in_a_row(parts, edges, unit, ends)


def _in_a_row(
    parts: Sequence[tuple[int, int, int]], edges: Sequence[float], unit: Fraction, ends: Sequence[float]
) -> tuple[Stretch, ...]:
    """The stretches of `parts`, each behind the pictures of the one before, and its sound, which `ends` then; `edges`
    are when their last pictures are decoded."""
    shift, made = 0, list[Stretch]()
    for number, ((first, begin, _), edge) in enumerate(zip(parts, edges)):
        if number:
            end, sound = parts[number - 1][2], ends[number - 1]
            shift += max(end, round((Fraction(sound) - _OVERLAP) / unit)) - begin if np.isfinite(sound) else end - begin
        made.append(Stretch(first, shift * unit, float(begin * unit), float(edge)))
    return tuple(made)


def notes_on(stretches: Sequence[Stretch], origin: Fraction) -> tuple[str, ...]:
    """A line on the stretches of a film whose first picture is shown at `origin` seconds, for a person."""
    if len(stretches) < 2:
        return ()
    minutes, seconds = divmod(max(0.0, float(stretches[1].shift - origin) + stretches[1].begins), 60)
    more = len(stretches) - 2
    later = f", and {'once' if more == 1 else f'{more} times'} after that" if more else ""
    when = f"{int(minutes)}:{seconds:04.1f}{later}"
    return (f"its clock starts again at {when}: each part is laid behind the one before",)


def on_one_clock(packets: Iterable[Any], stretches: Sequence[Stretch], film: Any) -> Iterator[Any]:
    """The packets of a file from its beginning on, those of its film among them, with their times moved as their
    stretches are. Of sound what would overlap the end of the stretch before is left out. Before a stretch that begins
    with a key picture comes an empty packet: what a decoder holds back then belongs to the one before."""
    follower = _Follower(stretches)
    ended: dict[int, tuple[int, Fraction]] = {}  # the stretch of the last packet of a stream, and when that ends
    for packet in packets:
        time = packet.dts if packet.dts is not None else packet.pts
        if not stretches or not packet.size:
            yield packet
            continue
        unit, index, is_sound = Fraction(packet.time_base), packet.stream.index, packet.stream.type == "audio"
        second = None if time is None else float(time * unit)
        length = (packet.duration or 0) * unit
        if index == film.index:
            before, at = follower.here, follower.of_film(second)
            if at > before and packet.is_keyframe:
                yield end_of(film)
        else:
            at = follower.of_other(index, second, float(length))
        _move(packet, round(stretches[at].shift / unit))
        if is_sound and packet.pts is not None:
            earlier, end = ended.get(index, (at, Fraction(0)))
            if at > earlier and packet.pts * unit < end - _HAIR:
                continue
            ended[index] = at, packet.pts * unit + length
        yield packet


class _Follower:
    """Tells the stretch of each packet, as they come.

    Those of pictures are counted. Sound stays in its stretch until its own clock leaps, too, somewhat earlier or later
    in the file: then it goes to the one where it is nearest to the pictures around there, all laid in a row."""

    def __init__(self, stretches: Sequence[Stretch]) -> None:
        self._stretches = stretches
        self._number, self.here, self._clock = -1, 0, stretches[0].begins if stretches else 0.0
        self._others: dict[int, tuple[int, float]] = {}  # where another stream is, and when its last packet ends

    def of_film(self, time: float | None) -> int:
        """The stretch of the film's next packet, by when it is decoded, seconds; None: not told."""
        self._number += 1
        if self.here + 1 < len(self._stretches) and self._number == self._stretches[self.here + 1].packet:
            self.here += 1
            self._clock = self._stretches[self.here].begins
        self._clock = self._clock if time is None else time
        return self.here

    def of_other(self, index: int, time: float | None, length: float) -> int:
        """The stretch of the next packet of another stream, the `index`-th, by its time and length, seconds."""
        at, end = self._others.get(index, (0, None))
        if time is None:
            return at
        if end is None or abs(time - end) > _GAP:
            at = self._nearest(at, time)
        self._others[index] = at, time + length
        return at

    def _nearest(self, at: int, time: float) -> int:
        """The stretch from `at` on, up to the next one, in which a time is nearest to that of the pictures."""
        here = float(self._stretches[self.here].shift) + self._clock
        last = min(self.here + 1, len(self._stretches) - 1)
        within = range(min(at, last), last + 1)
        return min(within, key=lambda stretch: abs(float(self._stretches[stretch].shift) + time - here))


def _sound_ends(stretches: Sequence[Stretch], heard: Heard) -> list[float]:
    """When the sound of each stretch ends, on its own clock; -inf where there is none."""
    follower, ends = _Follower(stretches), [-np.inf] * len(stretches)
    for stream, time, long in zip(heard.stream.tolist(), heard.time.tolist(), heard.long.tolist()):
        if stream == 0:
            follower.of_film(None if np.isnan(time) else time)
        else:
            at = follower.of_other(stream, time, long)
            ends[at] = max(ends[at], time + long)
    return ends


def _move(packet: Any, ticks: int) -> None:
    if packet.pts is not None:
        packet.pts += ticks
    if packet.dts is not None:
        packet.dts += ticks
