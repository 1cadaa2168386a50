"""A shot's Faces -> Tracks: matched over time, gaps filled, meshes steadied; persons found again after a cut."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from vidswap import geometry
from vidswap.read.steady import steadied
from vidswap.types import Array, Face, Shot, Track

VERSION = 1
GAP = 20  # frames without the face after which a track ends
REACH = 0.5  # how far, in sizes of the face, its points may lie from where they are expected
DRIFT = 0.03  # more of that for every frame it was not seen
OTHER = 0.05  # cosine below which two embeddings are surely not one person
SAME = 0.35  # cosine from which two tracks are one person
TWICE = 0.25  # two meshes nearer than this, in sizes of the face, are one face found twice
EVIDENCE = 2.5  # sum of scores that makes a track worth having


@dataclass
class _Path:
    """A track in the making: the frames in which a face was found."""

    frames: list[int] = field(default_factory=list)
    faces: list[Face] = field(default_factory=list)
    points: list[Array] = field(default_factory=list)
    embedding: Array | None = None

    def add(self, index: int, face: Face) -> None:
        self.frames.append(index)
        self.faces.append(face)
        self.points.append(geometry.five_points(face.mesh))
        self.embedding = face.embedding if face.embedding is not None else self.embedding

    def expected(self, index: int) -> Array:
        """(5, 2) where its points should be if it moves on as it did, which is trusted for a few frames."""
        back = min(3, len(self.points) - 1)
        if back == 0:
            return self.points[-1]
        speed = (self.points[-1] - self.points[-1 - back]) / (self.frames[-1] - self.frames[-1 - back])
        return np.asarray(self.points[-1] + speed * min(index - self.frames[-1], 6))


def find_tracks(shots: Sequence[Shot], faces: Sequence[list[Face]], first: int) -> list[Track]:
    """The faces of each shot followed through it; `faces[i]` are those of frame `first + i`, the shots lie anywhere.

    Tracks are ordered by where they start, never cross a cut, and hold each face once. Frames between two sightings
    are filled in (`seen` False), for up to GAP frames. Persons are numbered by time on screen times size."""
    paths = [path for shot in shots for path in _follow(shot, faces, first) if _counts(path, shot)]
    if not paths:
        return []
    paths.sort(key=lambda path: (path.frames[0], float(path.points[0][0, 0])))
    embeddings = _embeddings(paths)
    persons = _persons(paths, embeddings)
    tracks = [_track(i, persons[i], path, embeddings[i]) for i, path in enumerate(paths)]
    return [_uncovered(track, tracks) for track in tracks]


def _follow(shot: Shot, faces: Sequence[list[Face]], first: int) -> Iterator[_Path]:
    """The paths of all faces through one shot."""
    live: list[_Path] = []
    for index in range(max(shot.start, first), min(shot.stop, first + len(faces))):
        yield from (path for path in live if index - path.frames[-1] > GAP)
        live = [path for path in live if index - path.frames[-1] <= GAP]
        found = _distinct(faces[index - first])
        matched = dict(_matches(live, found, index))
        for i, face in enumerate(found):
            path = matched.get(i)
            if path is None:
                path = _Path()
                live.append(path)
            path.add(index, face)
    yield from live


def _distinct(faces: Iterable[Face]) -> list[Face]:
    """The faces, best first, without those found twice."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: -face.score):
        points = geometry.five_points(face.mesh)
        if all(_distance(points, geometry.five_points(k.mesh), _size(k)) > TWICE for k in kept):
            kept.append(face)
    return kept


def _matches(paths: Sequence[_Path], faces: Sequence[Face], index: int) -> Iterator[tuple[int, _Path]]:
    """Faces and the paths they continue, cheapest pair first, each used once."""
    costs = [(_cost(path, face, index), p, f) for p, path in enumerate(paths) for f, face in enumerate(faces)]
    used_paths: set[int] = set()
    used_faces: set[int] = set()
    for cost, p, f in sorted(costs):
        if np.isfinite(cost) and p not in used_paths and f not in used_faces:
            used_paths.add(p)
            used_faces.add(f)
            yield f, paths[p]


def _cost(path: _Path, face: Face, index: int) -> float:
    """How badly a face continues a path: distance from where it should be, change of size, another look; infinite
    where it cannot be the same."""
    size = _size(path.faces[-1])
    away = _distance(path.expected(index), geometry.five_points(face.mesh), size)
    away += 0.5 * abs(float(np.log(_size(face) / size)))
    if away > REACH + DRIFT * (index - path.frames[-1]):
        return np.inf
    if path.embedding is None or face.embedding is None:
        return away + 0.25
    alike = float(path.embedding @ face.embedding)
    return np.inf if alike < OTHER else away + 0.5 * (1 - alike)


def _distance(points: Array, others: Array, size: float) -> float:
    """Mean distance of (5, 2) points, in sizes of a face."""
    return float(np.linalg.norm(points - others, axis=1).mean()) / size


def _size(face: Face) -> float:
    """Square root of the area of the mesh's box, pixels."""
    x0, y0, x1, y1 = geometry.bounds(face.mesh)
    return max(float(np.sqrt((x1 - x0) * (y1 - y0))), 1.0)


def _counts(path: _Path, shot: Shot) -> bool:
    """Whether there is enough of a path to be a face: seen well a few times, or through the whole of a short shot."""
    return sum(face.score for face in path.faces) >= min(EVIDENCE, 0.5 * len(shot))


def _frontal(face: Face) -> float:
    """1 for a face seen from the front, 0 in profile: the nose's place between the eyes."""
    left, right, nose = geometry.five_points(face.mesh)[:3]
    along = (right - left) / max(float(np.linalg.norm(right - left)), 1e-6)
    place = float((nose - (left + right) / 2) @ along) / max(float(np.linalg.norm(right - left)), 1e-6)
    return max(1 - 2 * abs(place), 0.0)


def _embeddings(paths: Sequence[_Path]) -> list[Array]:
    """For each path the mean of its embeddings, (E,) unit; large, frontal, certain faces weigh most. Zeros for a path
    that has none."""
    means = []
    for path in paths:
        known = [(face, face.embedding) for face in path.faces if face.embedding is not None]
        total = sum(face.score * (0.1 + _frontal(face)) * _size(face) * embedding for face, embedding in known)
        means.append(np.asarray(total / max(float(np.linalg.norm(total)), 1e-9), np.float32) if known else None)
    width = next((len(mean) for mean in means if mean is not None), 1)
    return [np.zeros(width, np.float32) if mean is None else mean for mean in means]


def _persons(paths: Sequence[_Path], embeddings: Sequence[Array]) -> list[int]:
    """A person's number for each path: the most alike are joined first, as long as they are alike enough and never
    on screen together; 0 is the person with most time on screen times size."""
    groups = [[i] for i in range(len(paths))]
    screen = np.array([sum(_size(face) for face in path.faces) for path in paths])
    means = np.array(embeddings) * screen[:, None]
    together = np.array([[_overlap(a, b) for b in paths] for a in paths])
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


def _overlap(a: _Path, b: _Path) -> bool:
    """Whether two paths have a frame in common (every path has one in common with itself)."""
    return a.frames[0] <= b.frames[-1] and b.frames[0] <= a.frames[-1]


def _track(number: int, person: int, path: _Path, embedding: Array) -> Track:
    """A path made whole: between two sightings the nearer one lends its map of what is visible."""
    frames = np.array(path.frames) - path.frames[0]
    count = int(frames[-1]) + 1
    mesh = steadied(np.stack([face.mesh for face in path.faces]), frames, count)
    seen = np.zeros(count, np.bool_)
    seen[frames] = True
    visible, to_frame = [], []
    for i in range(count):
        face = path.faces[int(np.abs(frames - i).argmin())]
        visible.append(face.visible)
        to_frame.append(face.visible_to_frame if seen[i] else _carried(face, mesh[i]))
    return Track(number, person, path.frames[0], mesh, seen, embedding, np.stack(visible), np.stack(to_frame))


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
