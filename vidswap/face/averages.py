"""Averages over a part of a picture."""

from __future__ import annotations

import cv2
import numpy as np

from vidswap.types import Array


def averaged(picture: Array, weight: Array, sigma: float, least: float = 1e-3, beyond: Array | float = 0.0) -> Array:
    """Gaussian low-pass of the weighted part of a picture (h, w[, C]) alone (normalised convolution, Knutsson and
    Westin 1993). Where hardly more than `least` of the `weight` (h, w) is near, it is rather `beyond`."""
    share = weight.reshape(*weight.shape, *[1] * (picture.ndim - 2))
    total = cv2.GaussianBlur(picture * share, (0, 0), sigma).reshape(picture.shape)
    near = cv2.GaussianBlur(weight, (0, 0), sigma).reshape(share.shape)
    return np.asarray((total + least * beyond) / (near + least))
