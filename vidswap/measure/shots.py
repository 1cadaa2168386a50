"""An evaluation's shots: which of them fell short, by whom, why, and where that is worst."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from vidswap.measure.portrayal import Booked, FacePair, Portrayal, WorstFrame, face_pair
from vidswap.types import Array, Clip, Shot, Track
from vidswap.write.sheets import timecode

STRIPS, MOST = 3, 60  # frames of a person that are shown of a shot that fell short; of all of these
Pair = tuple[int, Array, Array]  # index in the original, its picture, the swap's


@dataclass(frozen=True)
class Shortfall:
    """What is wrong with a person in a shot: which figure, what it is, and where it is worst, if any frame is."""

    person: int
    figure: str
    verdict: str
    value: float
    worst: WorstFrame | None

    def __str__(self) -> str:
        where = f", worst at {timecode(self.worst.second)}" if self.worst else ""
        return f"person {self.person}: {self.verdict} ({self.figure} {self.value:.3g}{where})"


@dataclass(frozen=True)
class ShotEvaluation:
    """How good a swap is in the frames of a shot, which last from `second` to `end`: of each person that is seen in it.
    `fell_short` says whose figures are not good; none: the shot is."""

    number: int
    frames: Shot
    second: float
    end: float
    persons: tuple[Portrayal, ...]
    fell_short: tuple[Shortfall, ...]

    @property
    def when(self) -> str:
        """From when to when, and which frames."""
        start, stop = self.frames.start, self.frames.stop
        return f"{timecode(self.second)} to {timecode(self.end)}, frames {start} to {stop - 1}"

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON; what redo.py reads is among it."""
        persons = [each.told() for each in self.persons]
        return {"number": self.number, "frames": [self.frames.start, self.frames.stop],
                "timecode": [timecode(self.second), timecode(self.end)],
                "fell_short": list(map(str, self.fell_short)), "persons": persons}  # fmt: skip


def shots_of(shots: Sequence[Shot], booked: Sequence[Booked], clip: Clip) -> list[ShotEvaluation]:
    """The evaluation of each shot of a plan; the photos are of who is `booked` first, and maybe of the others."""
    found = []
    for number, shot in enumerate(shots):
        persons = [part.portrayal({}) for each in booked if (part := each.within(shot)).faces]
        short = [fall for each in persons for fall in _shortfalls(each, is_of_photos=each.person == booked[0].person)]
        end = clip.seconds(shot.stop - 1) + float(clip.duration(shot.stop - 1) * clip.time_base)
        found.append(ShotEvaluation(number, shot, clip.seconds(shot.start), end, tuple(persons), tuple(short)))
    return found


def _shortfalls(one: Portrayal, *, is_of_photos: bool) -> Iterator[Shortfall]:
    """What is wrong with a person in a shot."""
    for name, verdict in one.shortfalls(is_of_photos=is_of_photos).items():
        value = one.figures.get(name)
        worst = next(iter(one.worst.get(name, ())), None)
        yield Shortfall(one.person, name, verdict, one.lost if value is None else value, worst)


def pictured(
    shots: Sequence[ShotEvaluation], tracks: Sequence[Track], clip: Clip, pair_at: Callable[[int], Pair]
) -> list[ShotEvaluation]:  # fmt: skip
    """The shots, those that fell short with pictures of where they are worst; in a long film of the first of them."""
    left, found = MOST, []
    for shot in shots:
        persons = []
        for each in shot.persons if shot.fell_short else ():
            wrong = [fall.worst.frame for fall in shot.fell_short if fall.person == each.person and fall.worst]
            some = sorted([*dict.fromkeys(wrong)][: min(STRIPS, left)])
            left -= len(some)
            moments = tuple(_pair_of(pair_at(index), each.person, tracks, clip) for index in some)
            persons.append(replace(each, moments=moments))
        found.append(replace(shot, persons=tuple(persons)) if persons else shot)
    return found


def _pair_of(pair: Pair, person: int, tracks: Sequence[Track], clip: Clip) -> FacePair:
    """The face of a person in a pair of pictures."""
    index, before, after = pair
    track = next(each for each in tracks if each.person == person and each.start <= index < each.stop)
    return face_pair(clip.seconds(index), before, after, track.part(index, index + 1).mesh[0])
