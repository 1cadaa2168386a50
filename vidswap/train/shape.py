"""Labelled meshes -> models/embedded/face.npz: the mean face in its own frame, and the triangles of the mesh."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vidswap.face import geometry


def mean_face(meshes: geometry.Array, rounds: int = 4) -> geometry.Array:
    """Generalised Procrustes mean (Gower 1975) of (N, 478, 3) meshes, symmetric, outer eye corners one unit apart."""
    mean = meshes[0].astype(np.float64)
    for _ in range(rounds):
        mean = np.median([geometry.normalised(m, geometry.face_pose(m, mean)) for m in meshes], axis=0)
        mean = mean - mean[geometry.RIGID].mean(0)
        mean /= np.linalg.norm(mean[33] - mean[263])
    return upright(mean)


def upright(mean: geometry.Array) -> geometry.Array:
    """The mean face turned so that the eye corners lie on x and the forehead stands above the chin."""
    x = mean[263] - mean[33]
    y = mean[152] - mean[10]
    x = x / np.linalg.norm(x)
    y = y - x * (x @ y)
    y = y / np.linalg.norm(y)
    return np.asarray(mean @ np.stack([x, y, np.cross(x, y)]).T, np.float32)


def train(data: Path, out: Path) -> Path:
    """Write `out`/face.npz from `data`/labels.npz and `data`/topology.npz."""
    labels, topology = np.load(data / "labels.npz"), np.load(data / "topology.npz")
    target = out / "face.npz"
    np.savez(target, mean=mean_face(labels["mesh"]), triangles=topology["tri"].astype(np.int16))
    return target
