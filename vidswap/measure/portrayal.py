"""What is measured of a person, frame by frame -> their Portrayal: of the whole clip, and of each of its shots."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple

import cv2
import numpy as np

from vidswap.face import geometry
from vidswap.face.sampling import CUBIC, LINEAR, interpolate
from vidswap.measure import measures
from vidswap.measure.instant import Instant
from vidswap.measure.measures import TIMING, Figure
from vidswap.types import Array, Shot

STRIP_SIDE = 176  # of each picture of a pair
WORST, REST = 3, 0.5  # frames in which a figure is worst, and seconds that lie between them, at least
MAY_LOSE = 0.1  # of the frames with a face, in how many the swap may show none
LOST = "a face that is lost"
Series = Mapping[str, tuple[tuple[float, float], ...]]


@dataclass(frozen=True, eq=False)
class FacePair:
    """One second of both clips around the face, as JPEG."""

    second: float
    before: bytes
    after: bytes


@dataclass(frozen=True)
class WorstFrame:
    """A frame in which a figure is worst, and what that is of it alone; of a slope, how far it lies from the
    actor's."""

    frame: int
    second: float
    value: float


@dataclass(frozen=True)
class Portrayal:
    """How good the swap of one person is, in a clip or in a shot of it; measures.py says what each figure means. A
    figure is None where it could not be measured.

    `person` is the number in the plan; in so many frames its face is there, and of these the swap has none in those
    that are `lost`; `curves` are (second, value); `worst` has a few frames of each figure that has a verdict."""

    person: int
    faces: int
    lost: int
    figures: Mapping[str, float | None]
    curves: Series
    moments: tuple[FacePair, ...]
    worst: Mapping[str, tuple[WorstFrame, ...]]

    @property
    def verdicts(self) -> dict[str, str]:
        """What each figure that was measured says: "good", or what is wrong."""
        measured = ((figure, self.figures.get(figure.name)) for figure in all_figures())
        said = ((figure.name, figure.verdict(value)) for figure, value in measured if value is not None)
        lost = {"lost": LOST} if self.lost > MAY_LOSE * self.faces else {}
        return {**lost, **{name: verdict for name, verdict in said if verdict}}

    def shortfalls(self, *, is_of_photos: bool) -> dict[str, str]:
        """The verdicts by which a shot falls short: what is wrong, and not as somebody may have meant it. What is
        measured on the photos counts only where they are this person's."""
        unsaid = {figure.name for measure in measures.MEASURES for figure in measure.figures
                  if figure.meant or (measure.asks_photos and not is_of_photos)}  # fmt: skip
        return {name: verdict for name, verdict in self.verdicts.items() if verdict != "good" and name not in unsaid}

    def as_dict(self) -> dict[str, Any]:
        """The figures without curves and pictures, ready for JSON."""
        rounded = {name: None if value is None else round(value, 4) for name, value in self.figures.items()}
        return {"person": self.person, "faces": self.faces, "lost": self.lost, **rounded}

    def told(self) -> dict[str, Any]:
        """The same with verdicts and the worst frames."""
        worst = {name: [{key: round(value, 4) for key, value in asdict(frame).items()} for frame in frames]
                 for name, frames in self.worst.items()}  # fmt: skip
        return {**self.as_dict(), "verdicts": self.verdicts, "worst": worst}


def all_figures() -> Iterator[Figure]:
    """All that is measured, in order."""
    yield from chain.from_iterable(measure.figures for measure in measures.MEASURES)
    yield TIMING


class Value(NamedTuple):
    """What a measure says of a frame: a number, or the original's and the swap's."""

    frame: int
    second: float
    value: float | tuple[float, float]


class Booked:
    """What was measured of a person: frames with their face, those in which the swap lost it, and values by measure."""

    def __init__(self, person: int, due: Sequence[int] = ()) -> None:
        self.person, self._due = person, list(due)
        self.faces, self.lost = list[int](), list[int]()
        self._moments, self._values = list[FacePair](), dict[str, list[Value]]()

    def take(self, index: int, second: float, instant: Instant) -> None:
        """The next frame in which the face is seen; a pair of pictures is kept where one is `due`."""
        self.faces.append(index)
        if instant.found is None:
            self.lost.append(index)
        for measure in measures.MEASURES:
            given = [getattr(instant, need) for need in measure.needs] if index % measure.every == 0 else [None]
            if all(each is not None for each in given) and (value := measure.of(*given)) is not None:
                self._values.setdefault(measure.name, []).append(Value(index, second, value))
        if self._due and index >= self._due[0]:
            self._due = [each for each in self._due if each > index]
            self._moments.append(face_pair(second, instant.before, instant.after, instant.place))

    def within(self, shot: Shot) -> Booked:
        """What of it is of a shot, without pictures."""
        part = Booked(self.person)
        part.faces, part.lost = (own[bisect_left(own, shot.start) : bisect_left(own, shot.stop)]
                                 for own in (self.faces, self.lost))  # fmt: skip
        frame = attrgetter("frame")
        for name, values in self._values.items():
            first, last = (bisect_left(values, edge, key=frame) for edge in (shot.start, shot.stop))
            part._values[name] = values[first:last]
        return part

    def portrayal(self, more: Mapping[str, float]) -> Portrayal:
        """All of it, with `more` figures, which are the clip's own."""
        figures, worst = dict[str, float | None](), dict[str, tuple[WorstFrame, ...]]()
        for measure in measures.MEASURES:
            values = self._values.get(measure.name, [])
            column = np.array([each.value for each in values])
            for figure in measure.figures:
                told = figure.over(column) if values else None
                figures[figure.name] = None if told is None else float(told)
                if told is not None and figure.wanted:
                    worst[figure.name] = tuple(_worst(figure, values, column))
        return Portrayal(self.person, len(self.faces), len(self.lost), {**figures, **more}, self._curves(),
                         tuple(self._moments), worst)  # fmt: skip

    def _curves(self) -> Series:
        curves: dict[str, tuple[tuple[float, float], ...]] = {}
        for name, booked in filter(itemgetter(1), self._values.items()):
            columns = np.array([[each.second, *np.atleast_1d(each.value)] for each in booked]).T.tolist()
            names = [name] if len(columns) == 2 else [f"{name} before", f"{name} after"]
            curves |= {each: tuple(zip(columns[0], column)) for each, column in zip(names, columns[1:])}
        return curves


def _worst(figure: Figure, values: Sequence[Value], column: Array) -> Iterator[WorstFrame]:
    """The frames in which a figure is worst, that first, not all of one moment."""
    alone, off = figure.alone(column)
    taken = list[float]()
    for place in np.argsort(-off, kind="stable").tolist():
        frame, second, _ = values[place]
        if all(abs(second - other) >= REST for other in taken):
            yield WorstFrame(frame, second, float(alone[place]))
            taken.append(second)
        if len(taken) == WORST:
            return


def face_pair(second: float, before: Array, after: Array, mesh: Array) -> FacePair:
    """The face in both clips, to be looked at."""
    box = geometry.bounds(mesh)
    half = 0.85 * (box[2:] - box[:2]).max()
    zoom = STRIP_SIDE / (2 * half)
    shift = STRIP_SIDE / 2 - zoom * (box[:2] + box[2:]) / 2
    to_strip = np.hstack([np.eye(2) * zoom, shift[:, None]])

    def jpeg(rgb: Array) -> bytes:
        strip = interpolate(rgb, to_strip, STRIP_SIDE, LINEAR if zoom < 1 else CUBIC)
        return bytes(cv2.imencode(".jpg", cv2.cvtColor(strip, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 88])[1])

    return FacePair(second, jpeg(before), jpeg(after))
