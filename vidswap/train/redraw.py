"""A picture redrawn with its mesh moved: where each new pixel fetches its colour, and what the face covers."""

from __future__ import annotations

import cv2
import numpy as np

from vidswap.face.raster import draw_triangles, sampling_map
from vidswap.types import Array


def fetch_map(source: Array, target: Array, triangles: Array, back: Array, size: int) -> tuple[Array, Array]:
    """Where each pixel of the new picture fetches its colour: (S, S, 2) float32 pixels of the old one; and (S, S) bool,
    where the face lies. `source`, `target` are (478, 3) in old and new pixels, `back` (2, 3) maps new pixels to old
    ones off the face."""
    seen = draw_triangles(target, target[:, 2], triangles, size)
    face, inside = sampling_map(seen, target, source, triangles), seen >= 0
    y, x = np.mgrid[:size, :size].astype(np.float32)
    plain = np.stack([x, y], -1) @ back[:, :2].T.astype(np.float32) + back[:, 2].astype(np.float32)
    strayed = np.where(inside[..., None], face - plain, 0).astype(np.float32)
    around = plain + spread(strayed, inside.astype(np.float32))
    return np.where(inside[..., None], face, around).astype(np.float32), inside


def spread(value: Array, known: Array) -> Array:
    """(S, S, C) values carried outward from where they are known, fading to 0 far away: coarse to fine normalised
    convolution (Knutsson and Westin 1993)."""
    size = len(known)
    small = (size // 2, size // 2)
    value, known = cv2.resize(value, small), cv2.resize(known, small)
    out = np.zeros_like(value)
    for reach in (size / 12, size / 40, size / 128):
        share = cv2.GaussianBlur(known, (0, 0), reach)[..., None]
        out += (cv2.GaussianBlur(value, (0, 0), reach) / (share + 1e-4) - out) * np.clip(3 * share, 0, 1)
    return np.asarray(cv2.resize(out, (size, size)))


def fetched(picture: Array, fetch: Array, beyond: Array) -> Array:
    """The picture seen through a fetch map, (S, S, 3) uint8; `beyond` shows where the picture ends."""
    rgb = cv2.remap(picture, fetch, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    height, width = picture.shape[:2]
    x, y = fetch[..., 0], fetch[..., 1]
    outside = (x < -1) | (y < -1) | (x > width) | (y > height)
    return np.asarray(np.where(outside[..., None], beyond, rgb))
