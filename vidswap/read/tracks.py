"""A shot's Faces -> Tracks: matched over time, gaps filled, meshes steadied; persons found again after a cut."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import inf, log

import cv2
import numpy as np

from vidswap import geometry
from vidswap.read.steady import steadied
from vidswap.types import Array, Face, Shot, Track

GAP = 20  # frames without the face after which a track ends
REACH = 0.5  # how far, in sizes of the face, its points may lie from where they are expected
DRIFT = 0.03  # more of that for every frame it was not seen
OTHER = 0.05  # cosine below which two embeddings are surely not one person
SAME = 0.6  # cosine from which two tracks are one person: strangers in the same light reach more than in photos
TWICE = 0.25  # two meshes nearer than this, in sizes of the face, are one face found twice
EVIDENCE = 2.5  # sum of scores that makes a track worth having
SHOWN = 0.15  # part of the map of what is visible that is face, half of the usual: with less there is nothing to swap


@dataclass(frozen=True, eq=False)
class _Sight:
    """A face found in a frame, with its five points (5, 2) and its size: the root of its box's area, pixels."""

    index: int
    face: Face
    points: Array
    size: float


@dataclass
class _Path:
    """A track in the making: where a face was found."""

    sights: list[_Sight] = field(default_factory=list)
    embedding: Array | None = None

    def add(self, sight: _Sight) -> None:
        self.sights.append(sight)
        self.embedding = sight.face.embedding if sight.face.embedding is not None else self.embedding

    @property
    def first(self) -> _Sight:
        return self.sights[0]

    @property
    def last(self) -> _Sight:
        return self.sights[-1]

    def expected(self, index: int) -> Array:
        """(5, 2) where its points should be if it moves on as it did, which is trusted for a few frames."""
        before = self.sights[-4:][0]
        if before is self.last:
            return self.last.points
        speed = (self.last.points - before.points) / (self.last.index - before.index)
        return np.asarray(self.last.points + speed * min(index - self.last.index, 6))


@dataclass(frozen=True, eq=False)
class Sketch:
    """What tells whose a track is: its frames [start, stop), the sum of the face's sizes over them, and its `embedding`
    (E,) float32 unit, None where nothing is known."""

    start: int
    stop: int
    screen: float
    embedding: Array | None


def tracks_in(shot: Shot, faces: Sequence[list[Face]], first: int, number: int) -> list[tuple[Track, Sketch]]:
    """The faces of one shot followed through it, with ids from `number` on; `faces[i]` are those of frame `first + i`.

    Tracks are ordered by where they start, never leave the shot, and hold each face once. Frames between two sightings
    are filled in (`seen` False), for up to GAP frames. Whose they are is not known before all shots are: until then
    each is person 0, and has the embedding of its sketch or one zero."""
    paths = [path for path in _follow(shot, faces, first) if _counts(path, shot)]
    paths.sort(key=lambda path: (path.first.index, float(path.first.points[0, 0])))
    sketches = [_sketch(path) for path in paths]
    tracks = [_track(number + i, path, sketch) for i, (path, sketch) in enumerate(zip(paths, sketches))]
    return [(_uncovered(track, tracks), sketch) for track, sketch in zip(tracks, sketches)]


def _follow(shot: Shot, faces: Sequence[list[Face]], first: int) -> Iterator[_Path]:
    """The paths of all faces through one shot."""
    live: list[_Path] = []
    for index in range(max(shot.start, first), min(shot.stop, first + len(faces))):
        yield from (path for path in live if index - path.last.index > GAP)
        live = [path for path in live if index - path.last.index <= GAP]
        found = _distinct(_sights(index, faces[index - first]))
        matched = dict(_matches(live, found))
        for i, sight in enumerate(found):
            path = matched.get(i)
            if path is None:
                path = _Path()
                live.append(path)
            path.add(sight)
    yield from live


def _sights(index: int, faces: Iterable[Face]) -> Iterator[_Sight]:
    for face in faces:
        x0, y0, x1, y1 = geometry.bounds(face.mesh)
        yield _Sight(index, face, geometry.five_points(face.mesh), max(float(np.sqrt((x1 - x0) * (y1 - y0))), 1.0))


def _distinct(sights: Iterable[_Sight]) -> list[_Sight]:
    """The faces of a frame, best first, without those found twice."""
    kept: list[_Sight] = []
    for sight in sorted(sights, key=lambda sight: -sight.face.score):
        if all(_distance(sight.points, other.points, other.size) > TWICE for other in kept):
            kept.append(sight)
    return kept


def _matches(paths: Sequence[_Path], sights: Sequence[_Sight]) -> Iterator[tuple[int, _Path]]:
    """Which sight continues which path, cheapest pair first, each used once."""
    costs = [(_cost(path, sight), p, i) for p, path in enumerate(paths) for i, sight in enumerate(sights)]
    taken: set[int] = set()
    used: set[int] = set()
    for cost, p, i in sorted(costs):
        if np.isfinite(cost) and p not in taken and i not in used:
            taken.add(p)
            used.add(i)
            yield i, paths[p]


def _cost(path: _Path, sight: _Sight) -> float:
    """How badly a sight continues a path: distance from where it should be, change of size, another look; infinite
    where it cannot be the same."""
    away = _distance(path.expected(sight.index), sight.points, path.last.size)
    away += 0.5 * abs(log(sight.size / path.last.size))
    if away > REACH + DRIFT * (sight.index - path.last.index):
        return inf
    if path.embedding is None or sight.face.embedding is None:
        return away + 0.25
    alike = float(path.embedding @ sight.face.embedding)
    return inf if alike < OTHER else away + 0.5 * (1 - alike)


def _distance(points: Array, others: Array, size: float) -> float:
    """Mean distance of (5, 2) points, in sizes of a face."""
    return float(np.sqrt(((points - others) ** 2).sum(1)).mean()) / size


def _counts(path: _Path, shot: Shot) -> bool:
    """Whether there is enough of a path to be a face: seen well a few times, or through the whole of a short shot, and
    not covered nearly all the time."""
    shown = np.median([sight.face.visible.mean() for sight in path.sights]) / 255
    return shown >= SHOWN and sum(sight.face.score for sight in path.sights) >= min(EVIDENCE, 0.5 * len(shot))


def _frontal(sight: _Sight) -> float:
    """1 for a face seen from the front, 0 in profile: the nose's place between the eyes."""
    left, right, nose = sight.points[:3]
    between = right - left
    place = float((nose - (left + right) / 2) @ between) / max(float(between @ between), 1e-6)
    return max(1 - 2 * abs(place), 0.0)


def _sketch(path: _Path) -> Sketch:
    """A path's embedding is the mean of those of its sights; large, frontal, certain faces weigh most."""
    known = [(sight, sight.face.embedding) for sight in path.sights if sight.face.embedding is not None]
    total = sum(look.face.score * (0.1 + _frontal(look)) * look.size * embedding for look, embedding in known)
    mean = np.asarray(total / max(float(np.linalg.norm(total)), 1e-9), np.float32) if known else None
    screen = float(sum(sight.size for sight in path.sights))
    return Sketch(path.first.index, path.last.index + 1, screen, mean)


def embeddings_of(sketches: Sequence[Sketch]) -> Array:
    """(N, E) float32: the embeddings; zeros for those that have none."""
    width = next((len(each.embedding) for each in sketches if each.embedding is not None), 1)
    rows = [np.zeros(width, np.float32) if each.embedding is None else each.embedding for each in sketches]
    return np.stack(rows) if rows else np.empty((0, 0), np.float32)


def persons_of(sketches: Sequence[Sketch]) -> list[int]:
    """A person's number for each track: the most alike are joined first, as long as they are alike enough and never
    on screen together; 0 is the person with most time on screen times size."""
    groups = [[i] for i in range(len(sketches))]
    screen = np.array([each.screen for each in sketches])
    means = embeddings_of(sketches) * screen[:, None]
    together = np.array([[a.start < b.stop and b.start < a.stop for b in sketches] for a in sketches])
    while len(groups) > 1:
        unit = means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-9)
        alike = np.where(together, -1, unit @ unit.T)
        a, b = sorted(divmod(int(alike.argmax()), len(groups)))
        if alike[a, b] < SAME:
            break
        groups[a] += groups.pop(b)
        means[a] += means[b]
        together[a] |= together[b]
        together[:, a] |= together[:, b]
        means = np.delete(means, b, 0)
        together = np.delete(np.delete(together, b, 0), b, 1)
    groups.sort(key=lambda group: -screen[group].sum())
    return [number for _, number in sorted((i, number) for number, group in enumerate(groups) for i in group)]


def _track(number: int, path: _Path, sketch: Sketch) -> Track:
    """A path made whole: between two sightings the nearer one lends its map of what is visible."""
    start, count = sketch.start, sketch.stop - sketch.start
    frames = np.array([sight.index - start for sight in path.sights])
    mesh = steadied(np.stack([sight.face.mesh for sight in path.sights]), frames, count)
    seen = np.zeros(count, np.bool_)
    seen[frames] = True
    lenders = [path.sights[int(np.abs(frames - i).argmin())].face for i in range(count)]
    to_frame = [face.visible_to_frame if seen[i] else _carried(face, mesh[i]) for i, face in enumerate(lenders)]
    visible = np.stack([face.visible for face in lenders])
    embedding = np.zeros(1, np.float32) if sketch.embedding is None else sketch.embedding
    return Track(number, 0, start, mesh, seen, embedding, visible, np.stack(to_frame))


def _carried(face: Face, mesh: Array) -> Array:
    """A face's map of what is visible, laid where its mesh has gone."""
    moved = np.vstack([geometry.fit_similarity(face.mesh[:468], mesh[:468]), [0, 0, 1]])
    return np.asarray((moved @ np.vstack([face.visible_to_frame, [0, 0, 1]]))[:2])


def _uncovered(track: Track, tracks: Sequence[Track]) -> Track:
    """The track, with nothing visible where it was filled in behind another face that was seen there."""
    visible = track.visible.copy()
    for other in tracks:
        both = range(max(track.start, other.start), min(track.stop, other.stop))
        hidden = track.start + np.flatnonzero(~track.seen)
        for index in (index for index in hidden if index in both and other.seen[index - other.start]):
            to_grid = geometry.invert(track.visible_to_frame[index - track.start])
            hull = cv2.convexHull(geometry.apply(to_grid, other.mesh[index - other.start, :468, :2]))
            cv2.fillConvexPoly(visible[index - track.start], np.rint(hull).astype(np.int32), 0)
    return replace(track, visible=visible)
