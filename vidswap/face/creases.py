"""Creases that a smile makes beside the mouth and the eyes, softened where the smile is taken off.

A smile is more than a shape: taken off the mesh alone, it stays as light and shade in the folds from the nose to the
mouth and at the outer corners of the eyes. These are of a middle size, between the pores, which stay, and the form of
the cheek, which stays as well.
"""

from __future__ import annotations

import cv2
import numpy as np

from vidswap.face import geometry
from vidswap.types import Array

# From the wing of the nose past the corner of the mouth; beside the outer corner of an eye, and under it.
FOLDS = np.array([[129, 203, 206, 216, 212, 57], [358, 423, 426, 436, 432, 287]])
CORNERS = np.array([[130, 226, 35, 143, 111, 31], [359, 446, 265, 372, 340, 261]])
WIDE = (0.055, 0.06)  # to either side of a fold, and about the corner of an eye, in distances of the eye corners
FINE, COARSE = 0.012, 0.075  # sizes between which a crease lies, in the same
SIDE, REACH = 320, 0.8  # pixels of the square in which they are looked at, and half of it in such distances
DEEPEST = 0.85  # of a crease that is taken off with a whole smile


def softened(photo: Array, mesh: Array, mean: Array, smile: float) -> Array:
    """A photo (h, w, 3) uint8 whose mesh is (478, 3) with its creases as much softer as `smile`, 0 to 1, is taken off,
    the photo itself where hardly any is; `mean` is the mean face (478, 3)."""
    if smile < 0.05:
        return photo
    pose = geometry.face_pose(mesh, mean)
    middle = mesh[FOLDS.ravel(), :2].mean(0) * 0.5 + mesh[CORNERS.ravel(), :2].mean(0) * 0.5
    unit = SIDE / (2 * REACH)
    zoom = unit / pose.scale
    to_square = np.hstack([zoom * np.eye(2), ((SIDE - 1) / 2 - zoom * middle)[:, None]])
    kind = cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR
    seen = cv2.warpAffine(cv2.GaussianBlur(photo, (0, 0), max(0.4 / zoom, 0.3)) if kind == cv2.INTER_AREA else photo,
                          to_square, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # fmt: skip
    light = np.log(cv2.cvtColor(seen, cv2.COLOR_RGB2GRAY).astype(np.float32) + 8)
    crease = cv2.GaussianBlur(light, (0, 0), FINE * unit) - cv2.GaussianBlur(light, (0, 0), COARSE * unit)
    placed = geometry.apply(to_square, mesh[:, :2])
    change = np.clip(crease, -0.5, 0.3) * (-DEEPEST * min(smile, 1.0)) * where(placed, unit)
    back = cv2.warpAffine(change, geometry.invert(to_square), photo.shape[1::-1], flags=cv2.INTER_LINEAR)
    return np.asarray(np.clip(np.rint(photo * np.exp(back)[..., None]), 0, 255), np.uint8)


def where(points: Array, unit: float) -> Array:
    """(SIDE, SIDE) float32, 0 to 1: how near to a crease each pixel is, of a mesh (478, 2) in pixels of the square."""
    near = np.zeros((SIDE, SIDE), np.float32)
    for lines, wide in zip((FOLDS, CORNERS), WIDE, strict=True):
        drawn = np.ones((SIDE, SIDE), np.uint8)
        for line in lines:
            cv2.polylines(drawn, [np.round(points[line] * 16).astype(np.int32)], False, 0, 1, cv2.LINE_8, 4)
        away = cv2.distanceTransform(drawn, cv2.DIST_L2, 3)
        near = np.maximum(near, np.exp(-((away / (wide * unit)) ** 2)))
    return near
