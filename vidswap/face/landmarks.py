"""The points of a face: their names, how they lie on the mean face, and the triangles between them.

Rows of a mesh (478, 3), MediaPipe Face Mesh topology: 468 of the skin, then five of each iris. Left and right are the
picture's; what comes in pairs comes with the left one first.
"""

from __future__ import annotations

import numpy as np

from vidswap.models.registry import path_to
from vidswap.types import Array


def _edges(contour: Array) -> tuple[Array, Array]:
    """The upper and the lower edge of a contour, their ends aside, point above point."""
    half = len(contour) // 2
    return contour[1:half], contour[:half:-1]


# What hardly moves with expression: nose bridge, eye corners, forehead, temples.
RIGID = np.array([1, 4, 5, 6, 168, 33, 133, 362, 263, 10, 151, 9, 8, 234, 454, 127, 356])
# The outline of the face, from the top of the forehead clockwise.
OVAL = np.array([10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176,
                 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109])  # fmt: skip
# Contours: from the left corner over the upper edge to the right corner, and back under the lower one.
LEFT_EYE = np.array([33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7])
RIGHT_EYE = np.array([362, 398, 384, 385, 386, 387, 388, 466, 263, 249, 390, 373, 374, 380, 381, 382])
INNER_LIPS = np.array([78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95])
OUTER_LIPS = np.array([61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146])
EYES = (LEFT_EYE, RIGHT_EYE)
LIDS = (_edges(LEFT_EYE), _edges(RIGHT_EYE))
LIPS = _edges(INNER_LIPS)
IRISES = (np.array([468, 469, 470, 471, 472]), np.array([473, 474, 475, 476, 477]))  # their middle first
# The upper edge of a brow (5), then the lower one (5); the right brow in the order of the left one's mirror image.
BROWS = (np.array([70, 63, 105, 66, 107, 46, 53, 52, 65, 55]),
         np.array([300, 293, 334, 296, 336, 276, 283, 282, 295, 285]))  # fmt: skip

# Single points: corners of the eyes from left to right, the middles of their lids, of the lips, the mouth's corners.
EYE_CORNERS = ((33, 133), (362, 263))
OUTER_CORNERS = (33, 263)
LID_MIDDLES = ((159, 145), (386, 374))
LIP_MIDDLES = (13, 14)
OUTER_LIP_MIDDLES = (0, 17)
MOUTH_CORNERS = (61, 291)
NOSE_TIP, FOREHEAD, CHIN = 1, 10, 152
UPPER_LIP, LOWER_LIP = LIP_MIDDLES
CHEEKS = (np.array([117, 118, 101, 36, 205, 187, 123]), np.array([346, 347, 330, 266, 425, 411, 352]))


def mean_face() -> Array:
    """(478, 3) float32: the mean face that ships, in the face's own frame (see geometry). Raises ModelError."""
    return np.asarray(np.load(path_to("face"))["mean"])


def triangles() -> Array:
    """(854, 3) int16: the triangles of its skin; eyes and mouth are open. Raises ModelError."""
    return np.asarray(np.load(path_to("face"))["triangles"])


def opposite(mean: Array) -> Array:
    """(478,) int64: the point on the other side of the face, for each of the mean face's (478, 3)."""
    mirrored = mean * np.array([-1, 1, 1], np.float32)
    return np.asarray(np.linalg.norm(mirrored[:, None] - mean, axis=2).argmin(1))
