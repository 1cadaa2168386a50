"""Where on a face plain skin is, by its mesh (478, 3) in pixels of a square picture."""

from __future__ import annotations

import cv2
import numpy as np

from vidswap.face import landmarks
from vidswap.face.raster import filled
from vidswap.types import Array

# Plain skin of the 478 points: between brows and hairline, cheeks, chin; no feature, no rim.
PLAIN = ((67, 109, 10, 338, 297, 299, 296, 336, 9, 107, 66, 69), (50, 101, 118, 117, 123, 147, 187, 205, 36),
         (280, 330, 347, 346, 352, 376, 411, 425, 266), (199, 208, 428, 200))  # fmt: skip
NOSTRILS = np.array([48, 64, 98, 97, 2, 326, 327, 294, 278, 4])
FEATURES = ((landmarks.LEFT_EYE, 1.5), (landmarks.RIGHT_EYE, 1.5), (landmarks.INNER_LIPS, 1.6),
            (landmarks.BROWS[0], 1.3), (landmarks.BROWS[1], 1.3), (NOSTRILS, 1.2))  # fmt: skip


def plain_skin(mesh: Array, size: int) -> Array:
    """(size, size) bool: skin without features, of a mesh (478, 3) in pixels of that picture."""
    return filled((size, size), *(mesh[list(patch)] for patch in PLAIN)) > 0


def face_of(mesh: Array, side: int) -> Array:
    """1 inside the outline of the face, soft at its edge."""
    face = np.zeros((side, side), np.uint8)
    cv2.fillPoly(face, [np.round(mesh[landmarks.OVAL, :2]).astype(np.int32)], 1)
    inner = cv2.erode(face, np.ones((side // 120 | 1,) * 2, np.uint8))
    return np.asarray(cv2.GaussianBlur(inner.astype(np.float32), (0, 0), side / 190))


def features_free(mesh: Array, side: int) -> Array:
    """0 in the eyes and between the lips, 1 elsewhere."""
    free = np.ones((side, side), np.float32)
    for patch in (*landmarks.EYES, landmarks.INNER_LIPS):
        cv2.fillPoly(free, [np.round(mesh[patch, :2]).astype(np.int32)], 0.0)
    return np.asarray(cv2.GaussianBlur(free, (0, 0), 1.0))


def between_features(mesh: Array, side: int) -> Array:
    """0 on eyes, brows, lips and nostrils and right beside them, 1 elsewhere."""
    free = np.ones((side, side), np.float32)
    for points, wider in FEATURES:
        hull = cv2.convexHull(mesh[points, :2].astype(np.float32))[:, 0]
        grown = (hull - hull.mean(0)) * wider + hull.mean(0)
        cv2.fillConvexPoly(free, np.round(grown).astype(np.int32), 0.0)
    return np.asarray(cv2.GaussianBlur(free, (0, 0), side / 128))
