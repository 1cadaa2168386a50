"""Folds beside the mouth are softened by as much of a smile as is taken off; nothing else changes."""

import cv2
import numpy as np

from vidswap.face import geometry
from vidswap.face.creases import softened
from vidswap.face.landmarks import NOSE_TIP, OUTER_LIPS, mean_face

FOLDS = np.array([[129, 203, 206, 216, 212], [358, 423, 426, 436, 432]])  # from the nose past the mouth
DIMPLES = np.array([[205, 187, 214], [425, 411, 434]])  # about these, where a wide smile pushes the cheek together
MEAN = mean_face()
MESH = geometry.posed(MEAN, geometry.Pose(200.0, np.eye(3), np.array([250.0, 230.0, 0.0])))


def folded(lines=FOLDS):
    photo = np.full((520, 500, 3), (200, 150, 120), np.uint8)
    for fold in lines:
        cv2.polylines(photo, [np.round(MESH[fold, :2]).astype(np.int32)], False, (120, 80, 60), 4, cv2.LINE_AA)
    return photo


def depth(photo, lines=FOLDS):
    """How much darker the folds are than the skin, grey levels."""
    x, y = np.round(MESH[lines[:, len(lines[0]) // 2], :2]).astype(int).T
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


def test_so_do_the_folds_beyond_the_corners_of_the_mouth():
    assert depth(softened(folded(DIMPLES), MESH, MEAN, 1.0), DIMPLES) < 0.75 * depth(folded(DIMPLES), DIMPLES)


def test_what_is_red_in_a_fold_goes_with_it():
    x, y = np.round(MESH[FOLDS[:, 2], :2]).astype(int).T
    before, after = (photo[y, x].astype(float).mean(0) for photo in (folded(), softened(folded(), MESH, MEAN, 1.0)))
    assert after[0] / after[2] < before[0] / before[2]


def test_lips_keep_their_edge():
    photo = folded([])
    cv2.fillPoly(photo, [np.round(MESH[OUTER_LIPS, :2]).astype(np.int32)], (150, 60, 70))
    lips = np.zeros(photo.shape[:2], np.uint8)
    cv2.fillPoly(lips, [np.round(MESH[OUTER_LIPS, :2]).astype(np.int32)], 1)
    changed = np.abs(softened(photo, MESH, MEAN, 1.0).astype(int) - photo).max(2)
    assert changed[cv2.dilate(lips, np.ones((3, 3))) > 0].max() <= 2
    assert changed.max() <= 12
