"""A picture redrawn with its mesh moved: where each new pixel fetches its colour, and what the face covers."""

from __future__ import annotations

import cv2
import numpy as np

from vidswap.types import Array


def fetch_map(source: Array, target: Array, triangles: Array, back: Array, size: int) -> tuple[Array, Array]:
    """Where each pixel of the new picture fetches its colour: (S, S, 2) float32 pixels of the old one; and (S, S) bool,
    where the face lies. `source`, `target` are (478, 3) in old and new pixels, `back` (2, 3) maps new pixels to old
    ones off the face."""
    face, inside = drawn(source, target, triangles, size)
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


def drawn(source: Array, target: Array, triangles: Array, size: int) -> tuple[Array, Array]:
    """The face drawn nearest last: (S, S, 2) float32 source pixels and (S, S) bool where it covers."""
    depth = target[triangles, 2].mean(1)
    order = triangles[np.argsort(-depth)]
    corners = target[order, :2].astype(np.float32)
    low = np.clip(np.ceil(corners.min(1)), 0, size).astype(np.int64)
    high = np.clip(np.floor(corners.max(1)) + 1, 0, size).astype(np.int64)
    span = np.maximum(high - low, 0)
    count = span[:, 0] * span[:, 1]
    which = np.repeat(np.arange(len(order)), count)
    step = np.arange(len(which)) - np.repeat(np.cumsum(count) - count, count)
    wide = span[which, 0]
    x, y = low[which, 0] + step % np.maximum(wide, 1), low[which, 1] + step // np.maximum(wide, 1)
    share, hit = barycentric(corners, which, x, y)
    a, b, c = (source[order[which[hit], k], :2] * share[:, k, None] for k in range(3))
    out, inside = np.zeros((size, size, 2), np.float32), np.zeros((size, size), np.bool_)
    out[y[hit], x[hit]] = a + b + c
    inside[y[hit], x[hit]] = True
    return out, inside


def barycentric(corners: Array, which: Array, x: Array, y: Array) -> tuple[Array, Array]:
    """Shares (P, 3) of the corners at those pixels that lie in their triangle, and which do (bool)."""
    a, ab, ac = corners[:, 0], corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0]
    scale = np.where(np.abs(area) > 1e-6, 1 / np.where(area == 0, 1, area), 0)
    dx, dy = x - a[which, 0], y - a[which, 1]
    second = (dx * ac[which, 1] - dy * ac[which, 0]) * scale[which]
    third = (dy * ab[which, 0] - dx * ab[which, 1]) * scale[which]
    first = 1 - second - third
    hit = (first >= -1e-3) & (second >= -1e-3) & (third >= -1e-3) & (scale[which] != 0)
    return np.stack([first, second, third], 1)[hit].astype(np.float32), hit


def fetched(picture: Array, fetch: Array, beyond: Array) -> Array:
    """The picture seen through a fetch map, (S, S, 3) uint8; `beyond` shows where the picture ends."""
    rgb = cv2.remap(picture, fetch, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    height, width = picture.shape[:2]
    x, y = fetch[..., 0], fetch[..., 1]
    outside = (x < -1) | (y < -1) | (x > width) | (y > height)
    return np.asarray(np.where(outside[..., None], beyond, rgb))
