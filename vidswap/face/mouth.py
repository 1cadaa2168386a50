"""An actor's mouth in a person's face: between the lips lie teeth and tongue, but bits of the actor's lips as well."""

from __future__ import annotations

import cv2
import numpy as np

from vidswap.face import landmarks
from vidswap.face.raster import Drawing
from vidswap.types import Array

LEAST = 40  # pixels of lips that tell their colour
ALIKE = np.array([36.0, 7.0, 7.0])  # luma and colour differences by which lips vary, at least
FAR = 2.2  # such differences from the usual colour of lips, from which on something is none of theirs
MOST = 1.2  # how far a colour may go, natural logarithm


def in_own_lips(around: Array, face: Array, drawing: Drawing) -> Array:
    """`around` (S, S, 3) uint8, an actor's picture on a drawing of a person's `face` (S, S, 3) uint8: what between the
    lips has the colour of the actor's lips takes that of the person's. Teeth, tongue and the dark stay."""
    points = drawing.target[landmarks.OUTER_LIPS, :2] * 2 + 0.5
    low = np.maximum(np.floor(points.min(0)).astype(int) - 1, 0)
    high = np.minimum(np.ceil(points.max(0)).astype(int) + 2, drawing.size)
    part = np.s_[low[1] : high[1], low[0] : high[0]]
    mouth = drawing.mouth[part]
    if not mouth.any():
        return around
    lips = np.zeros(mouth.shape, np.uint8)
    cv2.fillPoly(lips, [np.round(points - low).astype(np.int32)], 1)
    lips &= (cv2.dilate(mouth, np.ones((3, 3))) < 0.02).astype(np.uint8)
    if lips.sum() < LEAST:
        return around
    own, other = (np.median(picture[part][lips > 0], 0) + 1 for picture in (face, around))
    change = np.clip(np.log(own / other), -MOST, MOST)
    share = _alike(around[part], lips) * mouth
    around = around.copy()
    around[part] = np.clip(np.rint(around[part] * np.exp(share[..., None] * change)), 0, 255)
    return around


def _alike(picture: Array, lips: Array) -> Array:
    """(h, w): 1 where a picture (h, w, 3) has the colour that it has on `lips` (h, w), 0 where it has another."""
    colours = cv2.cvtColor(picture, cv2.COLOR_RGB2YCrCb).astype(np.float32)
    known = colours[lips > 0]
    usual = np.median(known, 0)
    spread = np.maximum(2 * np.median(np.abs(known - usual), 0), ALIKE)
    away = np.sqrt((((colours - usual) / spread) ** 2).sum(-1))
    return np.asarray(cv2.GaussianBlur(np.clip(FAR - away, 0, 1), (0, 0), 0.8))
