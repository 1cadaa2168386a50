"""Creases that a smile makes beside the mouth and the eyes, softened where the smile is taken off.

A smile is more than a shape: taken off the mesh alone, it stays as light, shade and red in the folds of the cheeks,
from the nose past the mouth, and at the outer corners of the eyes. These are of a middle size, between pores, which
stay, and the form of the face, which stays as well.
"""

from __future__ import annotations

import cv2
import numpy as np

from vidswap.face import geometry, landmarks
from vidswap.face.averages import averaged
from vidswap.types import Array

# Round the lower cheek: from the wing of the nose under the eye, down before the jaw and back along the mouth.
CHEEKS = np.array([
    [129, 142, 36, 205, 187, 147, 213, 192, 138, 135, 169, 170, 211, 204, 106, 43, 57, 186, 92, 165, 98],
    [358, 371, 266, 425, 411, 376, 433, 416, 367, 364, 394, 395, 431, 424, 335, 273, 287, 410, 322, 391, 327],
])  # fmt: skip
# Beside the outer corner of an eye, and under it.
CORNERS = np.array([[130, 226, 35, 143, 111, 31], [359, 446, 265, 372, 340, 261]])
WIDE = 0.06  # about the corner of an eye, in distances of the eye corners
SOFT = 0.035  # edge of the cheeks' part, in the same; and how far from the lips it ends
FINE, COARSE, BROAD = 0.012, 0.075, 0.16  # sizes between which a crease lies: by the eyes, and on the cheeks, to BROAD
SIDE, REACH = 320, 0.8  # pixels of the square in which they are looked at, and half of it in such distances
DEEPEST = 0.85  # of a crease that is taken off with a whole smile


def softened(photo: Array, mesh: Array, mean: Array, smile: float) -> Array:
    """A photo (h, w, 3) uint8 whose mesh is (478, 3) with its creases as much softer as `smile`, 0 to 1, is taken off,
    the photo itself where hardly any is; `mean` is the mean face (478, 3)."""
    if smile < 0.05:
        return photo
    pose = geometry.face_pose(mesh, mean)
    middle = mesh[CHEEKS.ravel(), :2].mean(0) * 0.5 + mesh[CORNERS.ravel(), :2].mean(0) * 0.5
    unit = SIDE / (2 * REACH)
    zoom = unit / pose.scale
    to_square = np.hstack([zoom * np.eye(2), ((SIDE - 1) / 2 - zoom * middle)[:, None]])
    kind = cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR
    seen = cv2.warpAffine(cv2.GaussianBlur(photo, (0, 0), max(0.4 / zoom, 0.3)) if kind == cv2.INTER_AREA else photo,
                          to_square, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # fmt: skip
    light = np.log(seen.astype(np.float32) + 8)  # each colour: what is in a fold is redder, too
    placed = geometry.apply(to_square, mesh[:, :2])
    change = -DEEPEST * min(smile, 1.0) * creases(light, placed, unit)
    back = cv2.warpAffine(change, geometry.invert(to_square), photo.shape[1::-1], flags=cv2.INTER_LINEAR)
    return np.asarray(np.clip(np.rint(photo * np.exp(back)), 0, 255), np.uint8)


def creases(light: Array, points: Array, unit: float) -> Array:
    """(SIDE, SIDE, 3) float32, what creases add to `light`, the logarithm of a square, in which a mesh is (478, 2)."""
    plain = cv2.GaussianBlur(light, (0, 0), FINE * unit)
    cheeks, eyes = cheek(points, unit), corners(points, unit)
    skin = 1 - cv2.dilate(polygon(points[landmarks.OUTER_LIPS]), np.ones((3, 3)), iterations=round(SOFT * unit / 2))
    coarse = cv2.GaussianBlur(light, (0, 0), COARSE * unit)
    broad = averaged(light, skin * polygon(points[landmarks.OVAL]), BROAD * unit, beyond=light)
    near, far = (np.clip(plain - low, -0.5, 0.3) for low in (coarse, broad))
    lower, upper = (cheeks * skin)[..., None], eyes[..., None]
    return np.asarray(np.where(upper > lower, near * upper, far * lower), np.float32)


def polygon(points: Array) -> Array:
    """(SIDE, SIDE) float32, 1 inside of points (N, 2) in their order."""
    drawn = np.zeros((SIDE, SIDE), np.float32)
    cv2.fillPoly(drawn, [np.round(points).astype(np.int32)], 1.0)
    return drawn


def cheek(points: Array, unit: float) -> Array:
    """(SIDE, SIDE) float32, 0 to 1: how much of each pixel is a lower cheek, of a mesh (478, 2) in pixels."""
    both = np.maximum(*(polygon(points[one]) for one in CHEEKS))
    return np.asarray(cv2.GaussianBlur(both, (0, 0), SOFT * unit))


def corners(points: Array, unit: float) -> Array:
    """(SIDE, SIDE) float32, 0 to 1: how near to an eye's corner each pixel is, of a mesh (478, 2) in pixels."""
    drawn = np.ones((SIDE, SIDE), np.uint8)
    for line in CORNERS:
        cv2.polylines(drawn, [np.round(points[line] * 16).astype(np.int32)], False, 0, 1, cv2.LINE_8, 4)
    away = cv2.distanceTransform(drawn, cv2.DIST_L2, 3)
    return np.asarray(np.exp(-((away / (WIDE * unit)) ** 2)), np.float32)
