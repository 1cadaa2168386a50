"""Five points of a face -> where recognisers, and what was trained beside them, expect it: ArcFace's template."""

from __future__ import annotations

import cv2
import numpy as np
from insightface.utils.face_align import arcface_dst
from skimage.transform import estimate_transform

from vidswap.types import Array


def to_template(five: Array, size: int) -> Array:
    """(2, 3) float64: what takes a face with these five points (5, 2) float32 to a square of `size` pixels, where they
    fall on ArcFace's template of 112 pixels, which one of 128 has in its middle."""
    whole = 112 if size % 112 == 0 else 128
    target = (arcface_dst + np.array([(whole - 112) / 2, 0], np.float32)) * np.float32(size / whole)
    return np.asarray(estimate_transform("similarity", five, target).params[:2])


def upright(picture: Array, five: Array, size: int) -> Array:
    """(size, size, 3) uint8: the face with these five points (5, 2) float32, turned and scaled to the template."""
    return np.asarray(cv2.warpAffine(picture, to_template(five, size), (size, size), borderValue=0.0))
