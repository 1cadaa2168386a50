"""How far a face moves, and how much of an actor's movement a swap repeats: meshes (478, 3) in, numbers out.

All is measured in the face's own frame (face.geometry), so that a turned head is no expression; lengths are in
distances of the eye corners.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from vidswap.face import geometry, landmarks
from vidswap.types import Array

NOSE_BASE = 2
STILL = 0.008  # deviation of a movement below which it is the tracker's noise as much as the actor's
SMILES_MORE = 0.08  # distances of the eye corners, by which a photo smiles more than an actor
TOLD = 12  # moments, at least, that a slope is told from


def _brows(face: Array) -> float:
    corners = face[[*np.ravel(landmarks.EYE_CORNERS)], 1].mean()
    return float(corners - face[np.concatenate(landmarks.BROWS), 1].mean())


def _lids(face: Array) -> float:
    return float(np.mean([np.linalg.norm(face[upper] - face[lower], axis=1).mean() for upper, lower in landmarks.LIDS]))


def _jaw(face: Array) -> float:
    return float(face[landmarks.CHIN, 1] - face[NOSE_BASE, 1])


def _corners(face: Array) -> float:
    return float(face[NOSE_BASE, 1] - face[[*landmarks.MOUTH_CORNERS], 1].mean())


def _pucker(face: Array) -> float:
    return -float(np.linalg.norm(np.subtract(*face[[*landmarks.MOUTH_CORNERS]])))


def _gaze(face: Array) -> float:
    offs = []
    for iris, corners in zip(landmarks.IRISES, landmarks.EYE_CORNERS, strict=True):
        left, right = face[[*corners], 0]
        offs.append(face[iris, 0].mean() - (left + right) / 2)
    return float(np.mean(offs))


# Brows raised, lids open, jaw down, corners of the mouth lifted, lips pursed, gaze to the right of the picture.
MOVEMENTS: Mapping[str, Callable[[Array], float]] = {
    "brows": _brows, "lids": _lids, "jaw": _jaw, "corners": _corners, "pucker": _pucker, "gaze": _gaze,
}  # fmt: skip


def movements(mesh: Array, mean: Array) -> Mapping[str, float]:
    """All of MOVEMENTS, and the `smile`, of a mesh in pixels (478, 3)."""
    face = geometry.own_frame(mesh, mean)
    return {**{name: moved(face) for name, moved in MOVEMENTS.items()}, "smile": smile(face)}


def slope(values: Array) -> float | None:
    """By how much the second of (N, 2) goes where the first goes by one; None where that hardly moves.

    Both err alike, so the line is that of least perpendicular distances (Deming 1943): the usual one is too flat."""
    if len(values) < TOLD or values[:, 0].std() < STILL:
        return None
    (own, both), (_, other) = np.cov(values.T)
    if abs(both) < 1e-9:
        return 0.0
    return float((other - own + np.hypot(other - own, 2 * both)) / (2 * both))


def smile(face: Array) -> float:
    """How much of a smile a face in its own frame (478, 3) has: the corners of its mouth lifted and drawn apart."""
    return _corners(face) - _pucker(face) / 2


def kept(photo: float, before: float, after: float) -> float | None:
    """Which share of a photo's smile is seen on an actor who smiles less: 0 none, 1 all. None where the photo hardly
    smiles more."""
    return (after - before) / (photo - before) if photo - before > SMILES_MORE else None
