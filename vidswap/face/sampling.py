"""A picture (H, W[, C]) through a (2, 3) affine: crops, patches, portraits.

`to_crop` takes pixels of the picture to pixels of the square that is made, whose side is `size`. Where it reaches
beyond the picture, the last pixels repeat.
"""

from __future__ import annotations

import cv2
import numpy as np

from vidswap.face.geometry import apply, compose, invert, zoom_of
from vidswap.types import Array

LINEAR, CUBIC = cv2.INTER_LINEAR, cv2.INTER_CUBIC


def interpolate(picture: Array, to_crop: Array, size: int, kind: int = LINEAR) -> Array:
    """(S, S[, C]): the picture interpolated at the pixels of the crop, by what is next to them: where that shrinks, the
    pixels between are skipped."""
    return np.asarray(cv2.warpAffine(picture, to_crop, (size, size), flags=kind, borderMode=cv2.BORDER_REPLICATE))


def sample(rgb: Array, to_crop: Array, size: int, kind: int = LINEAR) -> Array:
    """(S, S, 3): a crop of a frame. Where it shrinks, the frame's part is first averaged over areas down to the crop's
    scale, for interpolation alone would skip pixels and alias."""
    zoom = zoom_of(to_crop)
    if zoom > 0.9:
        return _enlarged(rgb, to_crop, size, kind)
    around, limits = corners(to_crop, size), np.array(rgb.shape[1::-1])
    low = np.clip(np.floor(around.min(0)) - 2 / zoom, 0, limits - 1).astype(int)
    high = np.clip(np.ceil(around.max(0)) + 2 / zoom, low + 1, limits).astype(int)
    small, back = _averaged(rgb, low, high, np.maximum(np.rint((high - low) * zoom), 1).astype(int))
    return _enlarged(small, compose(to_crop, back), size, kind)


def sample_patch(rgb: Array, to_crop: Array, size: int) -> Array:
    """(S, S, 3): what a net that looks at faces is shown. Averaged as in `sample`, but over whole pixels: their
    thresholds were set on that."""
    shrink = int(1 / zoom_of(to_crop) + 0.5)
    if shrink < 2:
        return interpolate(rgb, to_crop, size)
    around = apply(invert(to_crop), np.array([[0, 0], [size, 0], [0, size], [size, size]]))
    limits = np.array(rgb.shape[1::-1])
    low = np.clip(np.floor(around.min(0)) - shrink, 0, limits - 1).astype(int)
    high = np.clip(np.ceil(around.max(0)) + shrink, low + 1, limits).astype(int)
    small, back = _averaged(rgb, low, high, np.maximum((high - low) // shrink, 1))
    return interpolate(small, compose(to_crop, back), size)


def corners(to_crop: Array, size: int) -> Array:
    """(4, 2) float32: where the outer corners of a crop lie in the picture."""
    return apply(invert(to_crop), np.array([[0, 0], [size, 0], [0, size], [size, size]]) - 0.5)


def _averaged(picture: Array, low: Array, high: Array, sides: Array) -> tuple[Array, Array]:
    """The box [low, high) of a picture brought to `sides` (2,) by areas; and (2, 3): its pixels -> the picture's."""
    small = cv2.resize(picture[low[1] : high[1], low[0] : high[0]], sides.tolist(), interpolation=cv2.INTER_AREA)
    ratio = (high - low) / sides
    return np.asarray(small), np.hstack([np.diag(ratio), (low + (ratio - 1) / 2)[:, None]])


def _enlarged(rgb: Array, to_crop: Array, size: int, kind: int) -> Array:
    if kind == CUBIC:
        return interpolate(rgb, to_crop, size, kind)
    # at the sides of crops OpenCV takes two thirds of the time for four channels that it takes for three
    four = interpolate(cv2.cvtColor(rgb, cv2.COLOR_RGB2RGBA), to_crop, size, kind)
    return np.asarray(cv2.cvtColor(four, cv2.COLOR_RGBA2RGB))
