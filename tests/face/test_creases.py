"""Folds beside the mouth are softened by as much of a smile as is taken off; nothing else changes."""

import cv2
import numpy as np

from vidswap.face import geometry
from vidswap.face.creases import FOLDS, softened
from vidswap.face.landmarks import NOSE_TIP, mean_face

MEAN = mean_face()
MESH = geometry.posed(MEAN, geometry.Pose(200.0, np.eye(3), np.array([250.0, 230.0, 0.0])))


def folded():
    photo = np.full((520, 500, 3), (200, 150, 120), np.uint8)
    for fold in FOLDS:
        cv2.polylines(photo, [np.round(MESH[fold, :2]).astype(np.int32)], False, (120, 80, 60), 4, cv2.LINE_AA)
    return photo


def depth(photo):
    """How much darker the folds are than the skin, grey levels."""
    x, y = np.round(MESH[FOLDS[:, 2], :2]).astype(int).T
    return 150 - float(cv2.GaussianBlur(photo, (0, 0), 1.5)[y, x, 1].mean())


def test_folds_go_with_the_smile():
    none, half, whole = (depth(softened(folded(), MESH, MEAN, smile)) for smile in (0, 0.5, 1))
    assert none == depth(folded())
    assert whole < half < none
    assert whole < 0.75 * none


def test_skin_elsewhere_stays():
    photo = folded()
    photo[::7] //= 2  # texture
    changed = (softened(photo, MESH, MEAN, 1.0) != photo).any(2)
    x, y = np.round(MESH[NOSE_TIP, :2]).astype(int)
    assert not changed[y - 8 : y + 8, x - 8 : x + 8].any()
    assert not changed[:60].any()
