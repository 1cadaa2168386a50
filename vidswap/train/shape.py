"""Labelled meshes -> models/embedded/face.npz: the mean face in its own frame, and the triangles of the mesh."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vidswap.face import geometry, landmarks
from vidswap.files import as_output_error, whole
from vidswap.types import Array


def mean_face(meshes: Array, rounds: int = 4) -> Array:
    """Generalised Procrustes mean (Gower 1975) of (N, 478, 3) meshes, symmetric, outer eye corners one unit apart."""
    mean = meshes[0].astype(np.float64)
    for _ in range(rounds):
        mean = np.median([geometry.own_frame(m, mean) for m in meshes], axis=0)
        mean = mean - mean[landmarks.RIGID].mean(0)
        mean /= np.linalg.norm(np.subtract(*mean[[*landmarks.OUTER_CORNERS]]))
    return upright(mean)


def upright(mean: Array) -> Array:
    """The mean face turned so that the eye corners lie on x and the forehead stands above the chin."""
    left, right = mean[[*landmarks.OUTER_CORNERS]]
    x = right - left
    y = mean[landmarks.CHIN] - mean[landmarks.FOREHEAD]
    x = x / np.linalg.norm(x)
    y = y - x * (x @ y)
    y = y / np.linalg.norm(y)
    return np.asarray(mean @ np.stack([x, y, np.cross(x, y)]).T, np.float32)


def train(data: Path, out: Path) -> Path:
    """Write `out`/face.npz from `data`/labels.npz and `data`/topology.npz. Raises OutputError."""
    labels, topology = np.load(data / "labels.npz"), np.load(data / "topology.npz")
    target = out / "face.npz"
    with as_output_error(target), whole(target) as part, open(part, "wb") as file:
        np.savez(file, mean=mean_face(labels["mesh"]), triangles=topology["tri"].astype(np.int16))
    return target
