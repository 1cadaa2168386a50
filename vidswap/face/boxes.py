"""Boxes around faces, x0 y0 x1 y1, and what they say: which are of one face, how much of a face is in the picture."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from vidswap.types import Array, Face

SAME = 0.45  # boxes that overlap more (IoU) are one face


def area(box: Array) -> float:
    """Of a box (4 or more,)."""
    return float(np.prod(np.maximum(box[2:4] - box[:2], 0)))


def shared(a: Array, b: Array) -> float:
    """The area that two boxes (4 or more,) have in common."""
    return area(np.concatenate([np.maximum(a[:2], b[:2]), np.minimum(a[2:4], b[2:4])]))


def overlap(a: Array, b: Array) -> float:
    """Intersection over union of two boxes (4,), 0 to 1."""
    both = shared(a, b)
    return both / max(area(a) + area(b) - both, 1e-9)


def inside(box: Array, other: Array) -> bool:
    """Whether most of a box (4 or more,) lies in another."""
    return shared(box, other) > 0.6 * area(box)


def meets(box: Array, other: Array) -> bool:
    """Whether two boxes may be of one face that is seen in two ways."""
    return overlap(box, other) > 0.3 or inside(box, other) or inside(other, box)


def distinct(faces: Iterable[Face]) -> list[Face]:
    """The faces without those that overlap one named before."""
    kept: list[Face] = []
    for face in faces:
        if all(overlap(face.box, other.box) < SAME for other in kept):
            kept.append(face)
    return kept


def within(mesh: Array, rgb: Array) -> float:
    """Which part of the points of a mesh (478, 3) lie in a picture (H, W, 3), 0 to 1."""
    points, limits = mesh[:468, :2], np.array(rgb.shape[1::-1]) - 1
    return float(((points >= 0) & (points <= limits)).all(1).mean())
