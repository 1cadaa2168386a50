"""The meshes of one face through a shot -> the same, whole and without jitter.

The whole shot is known, so nothing lags: every filter here is symmetric in time. A mesh is taken apart into its pose
(on the points that this face hardly moves) and its shape; what stands still is smoothed over many frames, what moves
beyond the noise (a blink, a fast word, a turn of the head) over few or none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import comb

import numpy as np

from vidswap.types import Array

RADII = (2, 5)  # frames to each side: first the short filter, then the long one
CALM = 2.0  # a deviation of up to so many times its expected power counts as noise
COMPONENTS = 48  # of a face's changing shape; what is beyond is noise
ROUNDS = 3
PIECE, MARGIN = 1000, 60  # frames steadied at once, and more to each side (longer than any gap)
FILLED = 0.2  # weight of a frame that was filled in, against one more for a frame that was seen


@dataclass(frozen=True, eq=False)
class _Poses:
    """`point = scale * rotation @ face + shift` for each of T frames."""

    scale: Array  # (T,)
    rotation: Array  # (T, 3, 3)
    shift: Array  # (T, 3)

    def off(self, meshes: Array) -> Array:
        """(T, N, 3) meshes in the face's own frame."""
        centred = meshes - self.shift[:, None]
        return np.asarray(np.matmul(centred, self.rotation) / self.scale[:, None, None])

    def on(self, faces: Array) -> Array:
        """(T, N, 3) faces in their poses: the inverse of `off`."""
        turned = np.matmul(faces, self.rotation.transpose(0, 2, 1))
        return np.asarray(turned * self.scale[:, None, None] + self.shift[:, None])


def smooth_track(start: int, count: int, seen: Callable[[int, int], tuple[Array, Array]]) -> Array:
    """(T, 478, 3) float32: the frames [start, start + PIECE) of a track of `count`, filled in and steadied; `seen`
    gives the meshes (n, 478, 3), and the frames (n,) they were seen in, of a part [low, high) of the track."""
    low, high = max(start - MARGIN, 0), min(start + PIECE + MARGIN, count)
    meshes, frames = seen(low, high)
    return np.asarray(_smoothed(meshes, frames - low, high - low)[start - low :][:PIECE], np.float32)


def _smoothed(meshes: Array, frames: Array, count: int) -> Array:
    if len(meshes) == 1:
        return np.repeat(meshes, count, 0)
    poses, face = _align(meshes.astype(np.float64))
    shapes = poses.off(meshes).reshape(len(meshes), -1)
    basis = _basis(shapes - face.ravel())
    size = np.median(poses.scale)
    parts = np.log(poses.scale)[:, None], poses.rotation.reshape(-1, 9), poses.shift / size
    seen = np.zeros(count)
    seen[frames] = 1
    fits = [_rows(seen + FILLED, min(radius, count - 1)) for radius in RADII]
    log_scale, rotation, shift = (_filtered(part, frames, fits) for part in parts)
    changes = ((shapes - face.ravel()) @ basis).T
    change = np.array([_filtered(one[:, None], frames, fits)[:, 0] for one in changes]).reshape(-1, count)
    poses = _Poses(np.exp(log_scale[:, 0]), _nearest_rotation(rotation.reshape(-1, 3, 3)), shift * size)
    faces = face + (basis @ change).T.reshape(count, *face.shape)
    return poses.on(faces)


def _align(meshes: Array) -> tuple[_Poses, Array]:
    """Poses of (n, N, 3) meshes and the (N, 3) median face they share: Procrustes analysis in which a point weighs the
    less the more it moves within the face (Gower 1975; Dryden & Mardia 2016, ch. 7)."""
    face, weight = meshes[len(meshes) // 2], np.ones(meshes.shape[1])
    for _ in range(ROUNDS):
        weight = weight / weight.sum()
        face = face - weight @ face
        face = face / np.sqrt((face**2).sum(1).mean())
        poses = _fit(meshes, face, weight)
        shapes = poses.off(meshes)
        face = np.median(shapes, 0)
        spread = ((shapes - face) ** 2).sum(2).mean(0)
        weight = 1 / (spread + np.median(spread) + 1e-12)
    return poses, face


def _fit(meshes: Array, face: Array, weight: Array) -> _Poses:
    """Weighted least-squares poses that take `face` to each of the meshes (Umeyama 1991)."""
    shift = weight @ meshes
    cross = np.matmul((meshes - shift[:, None]).transpose(0, 2, 1), face * weight[:, None])
    rotation = _nearest_rotation(cross)
    scale = (rotation * cross).sum((1, 2)) / (weight @ face**2).sum()
    return _Poses(scale, rotation, shift - scale[:, None] * (rotation @ (weight @ face)))


def _nearest_rotation(matrices: Array) -> Array:
    """The rotation nearest to each of (T, 3, 3) matrices (Kabsch 1976)."""
    u, _, vt = np.linalg.svd(matrices)
    u[:, :, -1] *= np.sign(np.linalg.det(u @ vt))[:, None]
    return np.asarray(u @ vt)


def _basis(changes: Array) -> Array:
    """(D, K) orthonormal directions in which (n, D) changes vary most, through the smaller of the two Gram matrices."""
    if len(changes) <= changes.shape[1]:
        power, left = np.linalg.eigh(changes @ changes.T)
        keep = np.argsort(power)[::-1][: min(COMPONENTS, len(changes) - 1)]
        keep = keep[power[keep] > 1e-9 * max(power.max(), 1e-12)]
        return np.asarray(changes.T @ left[:, keep] / np.sqrt(power[keep]))
    return np.asarray(np.linalg.eigh(changes.T @ changes)[1][:, : -COMPONENTS - 1 : -1])


def _filtered(signal: Array, frames: Array, fits: Sequence[Array]) -> Array:
    """(T, K) from (n, K) seen in `frames`: filled in, and steadied as far as it stands still, by one after the other
    of the `fits` (rows of weights, T each).

    Each frame takes the local quadratic's value as far as its deviation is what noise alone would give (Lee, "Digital
    image enhancement and noise filtering by use of local statistics", PAMI 1980)."""
    noise = _noise(signal, frames)
    whole = np.stack([np.interp(np.arange(len(fits[0])), frames, column) for column in signal.T], 1)
    for rows in fits:
        middle = rows.shape[1] // 2
        change = _weighted(whole, rows) - whole
        expected = noise * ((rows - np.eye(rows.shape[1])[middle]) ** 2).sum(1)
        power = _pooled((change**2).mean(1))
        whole = whole + np.minimum(1, CALM * expected / np.maximum(power, 1e-24))[:, None] * change
    return whole


def _noise(signal: Array, frames: Array) -> float:
    """Variance of white noise in (n, K), from differences of a high order: of all that moves, speech included, they
    leave little, of noise most. Their median over time ignores quick events; a short track gets a lower order."""
    order = min(6, (len(frames) - 1) // 3)
    if order < 2:
        return 0.0
    run = np.flatnonzero(frames[order:] - frames[:-order] == order)
    if len(run) < 4:
        return 0.0
    power = (np.diff(signal, order, axis=0)[run] ** 2).mean(1) / comb(2 * order, order)
    return float(np.median(power)) / (0.455 if signal.shape[1] == 1 else 0.79)  # medians of chi-square over its mean


def _pooled(power: Array) -> Array:
    """(T,) a frame's power together with its neighbours', so that an event is kept from its first frame to its last."""
    padded = np.pad(power, 1, mode="edge")
    return np.asarray(np.maximum(power, (padded[:-2] + 2 * power + padded[2:]) / 4))


def _rows(trust: Array, radius: int) -> Array:
    """(T, 2 radius + 1) weights that give the value at each frame of the quadratic fitted to its neighbours, weighted
    by a bell and by their `trust` (T,); at the ends of the track the fit is one-sided (Cleveland 1979, loess)."""
    steps = np.arange(-radius, radius + 1)
    bell = np.exp(-0.5 * (steps / (0.6 * radius + 0.4)) ** 2)
    weight = bell * np.lib.stride_tricks.sliding_window_view(np.pad(trust, radius), 2 * radius + 1)
    powers = np.stack([np.ones_like(steps), steps, steps**2], 1) / np.array([1, radius or 1, (radius or 1) ** 2])
    normal = np.einsum("tk,ki,kj->tij", weight, powers, powers) + 1e-6 * np.eye(3)
    return np.asarray(np.linalg.solve(normal, (weight[..., None] * powers).transpose(0, 2, 1))[:, 0])


def _weighted(signal: Array, rows: Array) -> Array:
    """(T, K): each frame's neighbours, weighted by its row."""
    radius = rows.shape[1] // 2
    padded = np.pad(signal, ((radius, radius), (0, 0)))
    return np.asarray(sum(rows[:, k, None] * padded[k : k + len(signal)] for k in range(2 * radius + 1)))
