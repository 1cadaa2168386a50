"""Similarity fits and the pose-free frame of a face: arrays in, arrays out.

Points are float, x before y before z, pixel centres at integers. The face's own frame is that of the mean face that
ships with the models: origin at the centroid of the rigid points, x right, y down, z away from the viewer, unit =
distance of the outer eye corners.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from vidswap.face import landmarks
from vidswap.types import Array

FACE_IN_CROP = 0.34  # outer eye corners over the side of an aligned crop: the face fills three fifths of its height


class Pose(NamedTuple):
    """`point = scale * rotation @ face + shift`: pixels a unit of the face's own frame, (3, 3), pixels (3,)."""

    scale: float
    rotation: Array
    shift: Array


def five_points(mesh: Array) -> Array:
    """Eyes, nose tip, mouth corners of a (478, 2 or 3) mesh: (5, 2) float32, the order that face recognisers expect."""
    eyes = [mesh[[*corners, *lids], :2].mean(0) for corners, lids in zip(landmarks.EYE_CORNERS, landmarks.LID_MIDDLES)]
    return np.stack([*eyes, *mesh[[landmarks.NOSE_TIP, *landmarks.MOUTH_CORNERS], :2]]).astype(np.float32)


def bounds(mesh: Array) -> Array:
    """x0 y0 x1 y1 of a mesh, float32."""
    return np.concatenate([mesh[:, :2].min(0), mesh[:, :2].max(0)]).astype(np.float32)


def quarters(mesh: Array) -> int:
    """By how many quarters, 0 to 3, a picture must be turned against the clock to make its face (478, 3) upright."""
    left, right = five_points(mesh)[:2]
    x, y = right - left
    return round(float(np.arctan2(y, x)) / (np.pi / 2)) % 4


def fit_similarity(source: Array, target: Array) -> Array:
    """The (2, 3) float64 similarity that takes `source` (K, 2) to `target` (K, 2) with least squares (Umeyama 1991)."""
    scale, rotation, shift = fit_pose(source[:, :2], target[:, :2])
    return np.hstack([scale * rotation, shift[:, None]])


def fit_pose(source: Array, target: Array) -> Pose:
    """The pose that takes `source` (K, D) to `target` (K, D) with least squares, without reflection.

    Umeyama, "Least-squares estimation of transformation parameters between two point patterns", PAMI 1991."""
    a, b = np.asarray(source, np.float64), np.asarray(target, np.float64)
    mean_a, mean_b = a.mean(0), b.mean(0)
    u, spread, vt = np.linalg.svd((b - mean_b).T @ (a - mean_a))
    flip = np.ones(a.shape[1])
    flip[-1] = np.sign(np.linalg.det(u @ vt))
    rotation = (u * flip) @ vt
    scale = float((spread * flip).sum() / ((a - mean_a) ** 2).sum())
    return Pose(scale, rotation, mean_b - scale * rotation @ mean_a)


def face_pose(mesh: Array, mean: Array) -> Pose:
    """The pose of a (478, 3) mesh: what takes the mean face to it, by the points that expression does not move."""
    return fit_pose(mean[landmarks.RIGID], mesh[landmarks.RIGID])


def normalised(mesh: Array, pose: Pose) -> Array:
    """A mesh (478, 3) in the face's own frame, float32."""
    scale, rotation, shift = pose
    return (((mesh - shift) @ rotation) / scale).astype(np.float32)


def own_frame(mesh: Array, mean: Array) -> Array:
    """A mesh (478, 3) in the face's own frame, float32, by the mean face."""
    return normalised(mesh, face_pose(mesh, mean))


def posed(face: Array, pose: Pose) -> Array:
    """A face in its own frame (478, 3) seen in a pose, float32: the inverse of `normalised`."""
    scale, rotation, shift = pose
    return (scale * face @ rotation.T + shift).astype(np.float32)


def crop_transform(mesh: Array, mean: Array, size: int) -> Array:
    """(2, 3) float64: frame pixel -> pixel of the aligned crop of side `size`; upright, scaled by the pose (so that a
    turned head keeps its size), the middle of the face in the middle."""
    scale, rotation, shift = face_pose(mesh, mean)
    roll = np.arctan2(rotation[1, 0] - rotation[0, 1], rotation[0, 0] + rotation[1, 1])
    middle = scale * rotation @ (mean[:468].min(0) + mean[:468].max(0)) / 2 + shift
    zoom = size * FACE_IN_CROP / scale
    turn = zoom * np.array([[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]])
    return np.hstack([turn, ((size - 1) / 2 - turn @ middle[:2])[:, None]])


def invert(transform: Array) -> Array:
    """The inverse of a (2, 3) affine, float64."""
    inverse = np.linalg.inv(transform[:, :2])
    return np.hstack([inverse, -inverse @ transform[:, 2:]])


def compose(second: Array, first: Array) -> Array:
    """The (2, 3) affine that does `first`, then `second`; float64."""
    return np.asarray(second @ np.vstack([first, [0, 0, 1]]))


def enlarge(zoom: float) -> Array:
    """(2, 3): pixel of a picture -> pixel of the same picture `zoom` times as large; pixel centres at integers."""
    return np.array([[zoom, 0, (zoom - 1) / 2], [0, zoom, (zoom - 1) / 2]])


def zoom_of(transform: Array) -> float:
    """How many times as long a (2, 3) affine makes what is seen through it."""
    return float(np.sqrt(abs(np.linalg.det(transform[:, :2]))))


def apply(transform: Array, points: Array) -> Array:
    """A (2, 3) affine on (..., 2 or 3) points, float32; z is scaled by the same zoom."""
    flat = points[..., :2] @ transform[:, :2].T + transform[:, 2]
    if points.shape[-1] == 2:
        return np.asarray(flat, np.float32)
    zoom = np.sqrt(abs(np.linalg.det(transform[:, :2])))
    return np.concatenate([flat, points[..., 2:] * zoom], -1).astype(np.float32)
