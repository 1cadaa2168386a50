"""A face's mesh -> the same with its irises where the picture shows them: a dark disc in the white, between the lids.

Nets that learn from portraits, whose people look into the camera, see a third of a look aside. What is looked for here
is told by the picture alone: the place at which a disc of the iris' size is darker than what is beside it (an
integro-differential operator over areas: Daugman, PAMI 1993), which a net's guess only prompts.
"""

from __future__ import annotations

import cv2
import numpy as np

from vidswap.face import geometry, landmarks
from vidswap.face.eyes import eye_in, square_at
from vidswap.types import Array

SIDE, REACH = 48, 0.22  # pixels of the square that an eye is seen in, and half of it in distances of the eye corners
LEAST = 2.2  # radius of an iris in the picture's pixels: of a smaller one nothing is told
OPEN = 0.05  # opening of an eye, in such distances, below which nothing is told
FAINT, CLEAR = 3.0, 12.0  # grey levels by which an iris is darker: from none to all is believed
LIKELY = 0.3  # such distances from where the net sees it, over which a place becomes unlikely
UPWARDS = 0.15  # share that is believed of what lies above or below: there lashes are as dark
BESIDE = (1.15, 1.9)  # what is beside an iris, in its radii


def irises_seen(rgb: Array, mesh: Array, mean: Array) -> Array:
    """The mesh (478, 3) with its irises as a picture (H, W, 3) shows them; as they were where that is not clear."""
    pose = geometry.face_pose(mesh, mean)
    radius = float(np.mean([np.ptp(mesh[iris[1:], 0]) for iris in landmarks.IRISES])) / 2 / pose.scale
    if radius * pose.scale < LEAST:
        return mesh
    found = [_looked_for(rgb, mesh, pose, side, radius) for side in (0, 1)]
    off, trust = np.array([each[0] for each in found]), np.array([each[1] for each in found])
    if not trust.any():
        return mesh
    both = (trust[:, None] * off).sum(0) / trust.sum()  # eyes look together: what one tells is told of the other, too
    mesh = mesh.copy()
    for iris, own, sure in zip(landmarks.IRISES, off, trust, strict=True):
        moved = (0.5 * sure * own + (1 - 0.5 * sure) * both) * [1, UPWARDS]
        mesh[iris, :2] += trust.max() * pose.scale * (pose.rotation[:2, :2] @ moved)
    return mesh


def _looked_for(rgb: Array, mesh: Array, pose: geometry.Pose, side: int, radius: float) -> tuple[Array, float]:
    """(2,) how far the iris of an eye is from where the mesh has it, in the face's own frame; and how sure, 0 to 1."""
    corners, (upper, lower) = mesh[[*landmarks.EYE_CORNERS[side]], :2], landmarks.LIDS[side]
    if np.linalg.norm(mesh[upper] - mesh[lower], axis=1).mean() < OPEN * pose.scale:
        return np.zeros(2), 0.0
    place = square_at(corners.mean(0), pose, REACH, SIDE)
    seen, between = eye_in(rgb, mesh, side, place, SIDE)
    start = geometry.apply(geometry.invert(place), mesh[landmarks.IRISES[side][0], :2])
    unit = SIDE / (2 * REACH)
    at, darker = darkest(cv2.cvtColor(seen, cv2.COLOR_RGB2GRAY), between, start, radius * unit)
    return (at - start) / unit, float(np.clip((darker - FAINT) / (CLEAR - FAINT), 0, 1))


def darkest(grey: Array, between: Array, start: Array, radius: float) -> tuple[Array, float]:
    """(2,) x and y of the disc of a `radius`, pixels, that is most darker than what is beside it in a picture (S, S)
    uint8, as far as that lies `between` lids (S, S), 0 or 1, not far from `start` (2,); and by how many grey levels."""
    inside = between > 0
    if inside.sum() < 12:
        return start, 0.0
    low, high = np.percentile(grey[inside], (5, 85))
    plane = np.clip(grey, low, high).astype(np.float32)  # neither lashes nor lights in the eye
    disc, ring = _around(0, radius), _around(BESIDE[0] * radius, BESIDE[1] * radius)
    left, mask = ring * (np.arange(len(ring)) < len(ring) // 2), between.astype(np.float32)
    dark, in_disc = _mean(plane, mask, disc)
    sides = _mean(plane, mask, left), _mean(plane, mask, left[:, ::-1])
    light, in_ring = _of_both(sides, 0.04 * float(ring.sum()))
    y, x = np.mgrid[: len(grey), : len(grey)].astype(np.float32)
    away = np.hypot(x - start[0], y - start[1]) / (LIKELY * len(grey) / (2 * REACH))
    score = (light - dark) * np.clip(in_disc / (0.45 * disc.sum()), 0, 1) * np.exp(-(away**2) / 2)
    score[(in_ring < 0.04 * ring.sum()) | (in_disc < 0.2 * disc.sum())] = -1
    best = float(score.max())
    if best <= 0:
        return start, 0.0
    share = np.clip((score - 0.85 * best) / (0.15 * best), 0, 1)
    peak = np.unravel_index(int(score.argmax()), score.shape)
    share *= np.hypot(x - peak[1], y - peak[0]) < max(0.6 * radius, 1.5)
    return np.array([(x * share).sum(), (y * share).sum()]) / share.sum(), best


def _of_both(sides: tuple[tuple[Array, Array], tuple[Array, Array]], least: float) -> tuple[Array, Array]:
    """How light it is to both sides, and how much of these is seen: rather the darker one, for a shadow on the other is
    no iris; where less than `least` of a side is seen, the other tells."""
    (left, in_left), (right, in_right) = sides
    count = in_left + in_right
    mean = (left * in_left + right * in_right) / np.maximum(count, 1e-3)
    both = (in_left > least) & (in_right > least)
    return np.where(both, (np.minimum(left, right) + mean) / 2, mean), count


def _around(inner: float, outer: float) -> Array:
    """A square kernel, 1 between two radii about its middle."""
    half = int(np.ceil(outer)) + 1
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    away = np.hypot(x, y)
    soft = np.clip(outer - away + 0.5, 0, 1) - (np.clip(inner - away + 0.5, 0, 1) if inner else 0)
    return np.asarray(soft, np.float32)


def _mean(plane: Array, mask: Array, kernel: Array) -> tuple[Array, Array]:
    """Means of a plane under a kernel where `mask` is 1, and how much of the kernel that is."""
    count = cv2.filter2D(mask, -1, kernel, borderType=cv2.BORDER_CONSTANT)
    total = cv2.filter2D(plane * mask, -1, kernel, borderType=cv2.BORDER_CONSTANT)
    return total / np.maximum(count, 1e-3), count
