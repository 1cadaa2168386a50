"""A face's points -> the drawings that ControlNets were trained to follow, on black.

What public annotators draw, their colours, widths and order, was taken from their sources: InstantID's five points, and
the contours of MediaPipe's mesh as ControlNetMediaPipeFace's. Widths are theirs at the sizes they were trained at.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from vidswap.face import landmarks
from vidswap.face.geometry import five_points
from vidswap.types import Array

# InstantID's: eyes, nose, corners of the mouth, each with its colour; all are tied to the nose.
FIVE = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (255, 0, 255))
NOSE, TIED = 2, (0, 1, 3, 4)
FIVE_SIDE, DOT, STICK, DIM = 1024, 10, 4, 0.6
# MediaPipe's: contours that close, and lines that do not, the picture's left first.
MESH_SIDE, LINE, PUPIL = 512, 2, 2
CONTOURS = (
    (landmarks.OVAL, (10, 200, 10)), (landmarks.LEFT_EYE, (180, 200, 10)), (landmarks.RIGHT_EYE, (10, 200, 180)),
    (landmarks.OUTER_LIPS, (10, 180, 10)), (landmarks.INNER_LIPS, (10, 180, 10)),
)  # fmt: skip
BROWS = ((180, 220, 10), (10, 220, 180))
PUPILS = ((250, 200, 10), (10, 200, 250))


def drawn_points(mesh: Array, size: int) -> Array:
    """(size, size, 3) uint8: the five points of a mesh (478, 3) in pixels, as InstantID's ControlNet knows them."""
    five, picture = five_points(mesh).astype(np.float64), np.zeros((size, size, 3), np.uint8)
    scale = size / FIVE_SIDE
    for end in TIED:
        (x0, y0), (x1, y1) = five[end], five[NOSE]
        middle = (int((x0 + x1) / 2), int((y0 + y1) / 2))
        axes = (int(math.hypot(x0 - x1, y0 - y1) / 2), max(1, round(STICK * scale)))
        turn = int(math.degrees(math.atan2(y0 - y1, x0 - x1)))
        cv2.fillConvexPoly(picture, cv2.ellipse2Poly(middle, axes, turn, 0, 360, 1), FIVE[end])
    picture = (picture * DIM).astype(np.uint8)
    for (x, y), colour in zip(five, FIVE):
        cv2.circle(picture, (int(x), int(y)), max(1, round(DOT * scale)), colour, -1)
    return picture


def drawn_mesh(mesh: Array, size: int) -> Array:
    """(size, size, 3) uint8: outline, eyes, brows, lips and pupils of a mesh (478, 3) in pixels."""
    picture, scale = np.zeros((size, size, 3), np.uint8), size / MESH_SIDE
    points = np.floor(mesh[:, :2]).astype(np.int32)
    width = max(1, round(LINE * scale))
    for contour, colour in CONTOURS:
        cv2.polylines(picture, [points[contour]], True, colour, width)
    for brow, colour in zip(landmarks.BROWS, BROWS):
        cv2.polylines(picture, [points[brow[:5]], points[brow[5:]]], False, colour, width)
    half = max(1, round(PUPIL * scale))
    for iris, colour in zip(landmarks.IRISES, PUPILS):
        x, y = points[iris[0]]
        cv2.rectangle(picture, (int(x) - half, int(y) - half), (int(x) + half - 1, int(y) + half - 1), colour, -1)
    return picture
