"""A shot's Faces -> Tracks: matched over time, ended where a face turns into somebody else's, gaps filled, steadied."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf, log

import numpy as np

from vidswap.face import geometry
from vidswap.plan.persons import SAME, VIEWS, TrackSummary, embedding_of
from vidswap.read.dissolves import Dissolve
from vidswap.read.fill import Filled, fill
from vidswap.types import Array, Face, Shot, Track

GAP = 20  # frames without the face after which a track ends
REACH = 0.5  # how far, in sizes of the face, its points may lie from where they are expected
DRIFT = 0.03  # more of that for every frame it was not seen
LATE = 0.05  # what every frame costs since a path was seen last, where a sight does not tell who it is
OTHER = 0.05  # cosine below which two embeddings are surely not one person
SWITCHED = 0.65  # cosine that no look before reaches with any after, where a face turned into another unseen
LEAP = 0.12  # in sizes of a face, how far no face moves from frame to frame
FEW = 200  # looks that stand for all of a long track
LOOKS, AMID = 3, 3  # that are compared to each side of a switch, and at most so many between, which show both
TWICE = 0.25  # two meshes nearer than this, in sizes of the face, are one face found twice
EVIDENCE = 2.5  # sum of scores that makes a track worth having
SHOWN = 0.15  # part of the map of what is visible that is face, half of the usual: with less there is nothing to swap


@dataclass(frozen=True, eq=False, slots=True)
class _Sight:
    """A face found in a frame, the `place`-th there; its five points (5, 2), its size (the root of its box's area,
    pixels), how much of it is `shown` (0 to 255). All else of it is read again when it is needed."""

    index: int
    place: int
    points: Array
    size: float
    score: float
    shown: float
    embedding: Array | None


_Look = tuple[_Sight, Array]  # a sight that came with its embedding


@dataclass
class _Path:
    """A track in the making: where a face was found."""

    sights: list[_Sight] = field(default_factory=list)
    look: _Look | None = None

    def add(self, sight: _Sight) -> None:
        self.sights.append(sight)
        self.look = self.look if sight.embedding is None else (sight, sight.embedding)

    @property
    def first(self) -> _Sight:
        return self.sights[0]

    @property
    def last(self) -> _Sight:
        return self.sights[-1]

    @property
    def looks(self) -> list[_Look]:
        return [(sight, sight.embedding) for sight in self.sights if sight.embedding is not None]

    def expected(self, index: int) -> Array:
        """(5, 2) where its points should be if it moves on as it did, which is trusted for a few frames."""
        before = self.sights[-4:][0]
        if before is self.last:
            return self.last.points
        speed = (self.last.points - before.points) / (self.last.index - before.index)
        return np.asarray(self.last.points + speed * min(index - self.last.index, 6))


def tracks_in(
    shot: Shot, faces: Sequence[list[Face]], first: int, number: int, dissolves: Sequence[Dissolve] = ()
) -> list[tuple[Track, TrackSummary]]:
    """The faces of one shot followed through it, with ids from `number` on; `faces[i]` are those of frame `first + i`,
    where one of score 0 says that nothing in its place resembles a face; `dissolves` are those in the shot.

    Tracks are ordered by where they start, never leave the shot, and hold each face once. Frames between two sightings
    are filled in (`seen` False), for up to GAP frames. Whose they are is not known before all shots are: until then
    each is person 0, and has the embedding of its summary or one zero. `faces` are read again for a track's frames."""
    whole = (part for path in _follow(shot, faces, first, dissolves) for part in _parted(path, dissolves))
    paths = [path for path in whole if _counts(path, shot)]
    paths.sort(key=lambda path: (path.first.index, float(path.first.points[0, 0])))
    summaries = [_summary(path, dissolves) for path in paths]
    tracks, beside = list[Track](), list[Filled]()
    for id_, (path, known) in enumerate(zip(paths, summaries), number):
        sights = np.array([(sight.index, sight.place) for sight in path.sights])
        beside.append(fill(id_, sights, lambda index: faces[index - first], known, beside))
        tracks.append(Track(id_, 0, known.start, known.stop, embedding_of(known), beside[-1], known.screen))
    return list(zip(tracks, summaries))


def _follow(shot: Shot, faces: Sequence[list[Face]], first: int, dissolves: Sequence[Dissolve]) -> Iterator[_Path]:
    """The paths of all faces through one shot."""
    live: list[_Path] = []
    for index in range(max(shot.start, first), min(shot.stop, first + len(faces))):
        yield from (path for path in live if index - path.last.index > GAP)
        live = [path for path in live if index - path.last.index <= GAP]
        found = _distinct(_sights(index, faces[index - first]))
        matched = dict(_matches(live, found, dissolves))
        for i, sight in enumerate(found):
            path = matched.get(i)
            if path is None:
                path = _taken_over((one for one in live if not any(one is it for it in matched.values())), sight)
                live.append(path)
            path.add(sight)
    yield from live


def _taken_over(live: Iterable[_Path], sight: _Sight) -> _Path:
    """A new path up to a sight: where that shows somebody else in the place of a path that was followed there, from
    where its face leapt, since its last look, on."""
    path = _Path()
    for before in live if sight.embedding is not None else ():
        near = before.last.index == sight.index - 1 and _distance(before.last.points, sight.points, sight.size) < REACH
        if before.look and near:
            leap, frame = _leap([*before.sights, sight], before.look[0].index, sight.index)
            for each in [each for each in before.sights if each.index >= frame and leap > LEAP]:
                before.sights.remove(each)
                path.add(each)
            break
    return path


def _sights(index: int, faces: Iterable[Face]) -> Iterator[_Sight]:
    for place, face in enumerate(faces):
        if face.score == 0:
            continue
        x0, y0, x1, y1 = geometry.bounds(face.mesh)
        size = max(float(np.sqrt((x1 - x0) * (y1 - y0))), 1.0)
        points, shown = geometry.five_points(face.mesh), float(face.visible.mean())
        yield _Sight(index, place, points, size, face.score, shown, face.embedding)


def _distinct(sights: Iterable[_Sight]) -> list[_Sight]:
    """The faces of a frame, best first, without those found twice."""
    kept: list[_Sight] = []
    for sight in sorted(sights, key=lambda sight: -sight.score):
        if all(_distance(sight.points, other.points, other.size) > TWICE for other in kept):
            kept.append(sight)
    return kept


def _matches(
    paths: Sequence[_Path], sights: Sequence[_Sight], dissolves: Sequence[Dissolve]
) -> Iterator[tuple[int, _Path]]:
    """Which sight continues which path, cheapest pair first, each used once."""
    costs = [(_cost(path, sight, dissolves), p, i) for p, path in enumerate(paths) for i, sight in enumerate(sights)]
    taken: set[int] = set()
    used: set[int] = set()
    for cost, p, i in sorted(costs):
        if np.isfinite(cost) and p not in taken and i not in used:
            taken.add(p)
            used.add(i)
            yield i, paths[p]


def _cost(path: _Path, sight: _Sight, dissolves: Sequence[Dissolve]) -> float:
    """How badly a sight continues a path: distance from where it should be, change of size, another look; infinite
    where it cannot be the same. Who a dissolve leads to is another: where a path turns into them is told later."""
    late = sight.index - path.last.index
    away = _distance(path.expected(sight.index), sight.points, path.last.size)
    away += 0.5 * abs(log(sight.size / path.last.size))
    if away > REACH + DRIFT * late:
        return inf
    if path.look is None or sight.embedding is None:
        return away + 0.25 + LATE * (late - 1)
    before, embedding = path.look
    alike = float(embedding @ sight.embedding)
    led = any(path.first.index < each.start <= sight.index and before.index < each.stop for each in dissolves)
    return inf if alike < OTHER and not led else away + 0.5 * (1 - alike)


def _distance(points: Array, others: Array, size: float) -> float:
    """Mean distance of (5, 2) points, in sizes of a face."""
    return float(np.sqrt(((points - others) ** 2).sum(1)).mean()) / size


def _parted(path: _Path, dissolves: Sequence[Dissolve]) -> Iterator[_Path]:
    """The path, ended wherever its face turns into somebody else's, and begun anew there."""
    over = [each for each in dissolves if _switches_in(path, each)]
    switches = [_switch_in(path, each) for each in over] if over else _switches(path.looks, path.sights)
    for start, stop in pairwise((path.first.index, *switches, path.last.index + 1)):
        part = _Path()
        for sight in path.sights:
            if start <= sight.index < stop:
                part.add(sight)
        if part.sights:
            yield part


def _switches_in(path: _Path, dissolve: Dissolve) -> bool:
    """Whether a path leads through a dissolve from one person to another: no look before it is like any after it."""
    before = [vector for sight, vector in path.looks if sight.index < dissolve.start]
    after = [vector for sight, vector in path.looks if sight.index >= dissolve.stop]
    leads = path.first.index < dissolve.start and path.last.index >= dissolve.stop
    return leads and _likeness(before[-LOOKS:], after[:LOOKS]) < SAME


def _switch_in(path: _Path, dissolve: Dissolve) -> int:
    """The frame of a dissolve from which on the path's face is the second person's: where it leaps over to them, else
    where they prevail."""
    leap, frame = _leap(path.sights, dissolve.start, dissolve.stop)
    return frame if leap > LEAP else dissolve.middle


def _switches(looks: Sequence[_Look], sights: Sequence[_Sight]) -> list[int]:
    """The frames, in order, from which on the face is another, at once or after a few looks that show both: no look
    just before is like any just after, and the first one does not come back."""
    vectors = [vector for _, vector in looks]
    for amid in range(AMID + 1):
        places = range(LOOKS, len(looks) - LOOKS - amid + 1)
        alike = [_likeness(vectors[place - LOOKS : place], vectors[place + amid :][:LOOKS]) for place in places]
        for likeness, place in sorted(zip(alike, places)):
            if likeness >= SWITCHED:
                break
            if _likeness(_some(vectors[:place]), _some(vectors[place + amid :])) < SAME:
                _, frame = _leap(sights, looks[place - 1][0].index, looks[place + amid][0].index)
                return [*_switches(looks[:place], sights), frame, *_switches(looks[place + amid :], sights)]
    return []


def _some(vectors: Sequence[Array]) -> Sequence[Array]:
    """At most FEW of them, evenly spaced."""
    return vectors[:: -(-len(vectors) // FEW)]


def _leap(sights: Sequence[_Sight], after: int, until: int) -> tuple[float, int]:
    """How far, in sizes of the face, its points leap at most from one sight to the next, and to which frame: of those
    after the frame `after`, up to `until`."""
    return max((_distance(one.points, other.points, one.size), other.index)
               for one, other in pairwise(sights) if one.index < until and other.index > after)  # fmt: skip


def _likeness(some: Sequence[Array], others: Sequence[Array]) -> float:
    """The greatest cosine of any of `some` embeddings with any of `others`; -1 where there are none."""
    return float((np.stack(some) @ np.stack(others).T).max()) if some and others else -1.0


def _counts(path: _Path, shot: Shot) -> bool:
    """Whether there is enough of a path to be a face: seen well a few times, or through the whole of a short shot, and
    not covered nearly all the time."""
    shown = np.median([sight.shown for sight in path.sights]) / 255
    return shown >= SHOWN and sum(sight.score for sight in path.sights) >= min(EVIDENCE, 0.5 * len(shot))


def _frontal(sight: _Sight) -> float:
    """1 for a face seen from the front, 0 in profile: the nose's place between the eyes."""
    left, right, nose = sight.points[:3]
    between = right - left
    place = float((nose - (left + right) / 2) @ between) / max(float(between @ between), 1e-6)
    return max(1 - 2 * abs(place), 0.0)


def _summary(path: _Path, dissolves: Sequence[Dissolve]) -> TrackSummary:
    """A path's embedding is the mean of those of its sights; large, frontal, certain faces weigh most. What a dissolve
    shows is left out, unless there is no more. Its views are the means of parts of it that follow one another."""
    looks = [look for look in path.looks if not any(each.start <= look[0].index < each.stop for each in dissolves)]
    looks = looks or path.looks
    edges = np.linspace(0, len(looks), min(VIEWS, len(looks)) + 1).astype(int).tolist() if looks else []
    views = [view for start, stop in pairwise(edges) if (view := _mean(looks[start:stop])) is not None]
    screen = float(sum(sight.size for sight in path.sights))
    return TrackSummary(path.first.index, path.last.index + 1, screen, _mean(looks), tuple(views))


def _mean(looks: Sequence[_Look]) -> Array | None:
    """(E,) float32, unit: the weighted mean of embeddings."""
    total = sum(look.score * (0.1 + _frontal(look)) * look.size * embedding for look, embedding in looks)
    return np.asarray(total / max(float(np.linalg.norm(total)), 1e-9), np.float32) if looks else None
