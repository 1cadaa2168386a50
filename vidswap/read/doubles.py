"""One person shown twice at once: in a mirror, on a split screen.

Two faces that are as alike as one person's are still two, as twins are, unless they also move as one: every look and
turn of the one is at the same moment that of the other, or its mirror image. Measured in docs/who-is-who.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np

from vidswap.face import geometry, landmarks
from vidswap.plan.persons import SAME, TrackSummary, likeness
from vidswap.types import Array, Track

LEAST, MOST = 25, 250  # frames that both are seen in: with fewer nothing is said, no more are compared
FIXED = 0.012  # sizes of a face, by which one is off where the other's copy lies, in the mean
AS_ONE, TURNING = 0.7, 0.8  # correlation of the changes of both faces; of both heads' turns, in a mirror


def doubles_in(found: Sequence[tuple[Track, TrackSummary]], mean: Array) -> Iterator[tuple[int, int]]:
    """Pairs of ids of the tracks of one shot that show one person twice; `mean` is the mean face (478, 3)."""
    for (one, summary), (other, known) in combinations(found, 2):
        both = range(max(one.start, other.start), min(one.stop, other.stop))
        if len(both) >= LEAST and likeness(summary, known) >= SAME and _move_as_one(*_meshes(one, other, both), mean):
            yield one.id, other.id


def _meshes(one: Track, other: Track, both: range) -> tuple[Array, Array]:
    """(T, 478, 3) of each, in frames amid `both` in which both are seen."""
    middle = (both.start + both.stop) // 2
    start, stop = max(both.start, middle - MOST // 2), min(both.stop, middle + MOST // 2)
    parts = [track.part(start, stop) for track in (one, other)]
    rows = parts[0].seen & parts[1].seen
    return parts[0].mesh[rows], parts[1].mesh[rows]


def _move_as_one(some: Array, others: Array, mean: Array) -> bool:
    """Whether meshes (T, 478, 3) and others of the same frames are one face's, or one face's and its mirror image's."""
    if len(some) < LEAST:
        return False
    (changes, rotations), (changes_there, rotations_there) = _motion(some, mean), _motion(others, mean)
    if _correlation(changes, changes_there) > AS_ONE and _apart(some, others) < FIXED:
        return True
    mirrored = mirror_image(some, mean)
    changes, rotations = _motion(mirrored, mean)
    if _correlation(changes, changes_there) <= AS_ONE:
        return False
    return _apart(mirrored, others) < FIXED or _correlation(rotations, rotations_there) > TURNING


def mirror_image(meshes: Array, mean: Array) -> Array:
    """(T, 478, 3) meshes as a mirror in the plane x = 0 shows them: the left eye's points are the right eye's then."""
    return np.asarray(meshes[:, landmarks.opposite(mean)] * np.array([-1, 1, 1], np.float32))


def _motion(meshes: Array, mean: Array) -> tuple[Array, Array]:
    """How the face itself changes (T, 478, 3), and how the head turns (T, 3), about their means over time."""
    poses = [geometry.face_pose(mesh, mean) for mesh in meshes]
    faces = np.stack([geometry.normalised(mesh, pose) for mesh, pose in zip(meshes, poses)])
    rotations = np.stack([pose.rotation[[0, 1, 1], [2, 2, 0]] for pose in poses])
    return faces - faces.mean(0), rotations - rotations.mean(0)


def _apart(some: Array, others: Array) -> float:
    """How far, in sizes of the face, the points of meshes lie from those of others, once one similarity, the same for
    all frames, has taken them there."""
    source, target = (each[:, :468, :2].reshape(-1, 2).astype(np.float64) for each in (some, others))
    moved = geometry.apply(geometry.fit_similarity(source, target), source)
    size = np.sqrt(np.prod(np.ptp(others[:, :468, :2], axis=1), axis=1)).mean()
    return float(np.linalg.norm(moved - target, axis=1).mean() / size)


def _correlation(a: Array, b: Array) -> float:
    """Of two motions, -1 to 1; 0 where one stands still."""
    return float((a * b).sum() / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-9))
