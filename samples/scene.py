"""Rooms that do not exist, light, a camera and film: pictures RGB float32 in 0..1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from motion import Puppet, smooth
from numpy.typing import NDArray
from portrait import blur, grid_of

Array = NDArray[Any]
Colour = tuple[float, float, float]
LAMPS = ((1.0, 0.60, 0.25), (1.0, 0.76, 0.45), (0.95, 0.40, 0.22), (0.35, 0.60, 0.75), (1.0, 0.68, 0.38))
BOOKS = ((0.42, 0.16, 0.10), (0.14, 0.22, 0.26), (0.48, 0.38, 0.24), (0.20, 0.24, 0.16), (0.10, 0.09, 0.10))


@dataclass(frozen=True)
class Light:
    """Where a lamp hangs (x right, y down, z away, from the face), how strong it is, and the room's colour."""

    towards: tuple[float, float, float]
    strength: float
    gain: Colour = (1.0, 1.0, 1.0)


def lit(doll: Puppet, light: Light) -> Array:
    """The portrait's picture under another light, by the slope of its depth (a diffuse surface, Lambert)."""
    size = doll.depth.shape
    small = cv2.resize(doll.depth, None, fx=0.125, fy=0.125, interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), 3.5)
    down, across = (side / 8 for side in np.gradient(small))
    normal = np.dstack([across, down, -np.ones_like(small)])
    normal = normal / np.linalg.norm(normal, axis=-1, keepdims=True)
    lamp = np.array(light.towards) / np.linalg.norm(light.towards)
    shade = 1 + light.strength * ((normal * lamp).sum(-1) - 0.5)
    shade = cv2.resize(shade.astype(np.float32), size[::-1], interpolation=cv2.INTER_CUBIC)
    return np.clip(doll.portrait.rgb * shade[..., None] * np.array(light.gain), 0, 1).astype(np.float32)


def gradient(size: tuple[int, int], corners: Sequence[Colour]) -> Array:
    """(h, w, 3) between the colours of the corners: top left, top right, bottom left, bottom right."""
    small = np.array(corners, np.float32).reshape(2, 2, 3)
    x, y = (np.linspace(0, 1, length) for length in (size[0], size[1]))
    u, v = smooth(x)[None, :, None], smooth(y)[:, None, None]
    top, bottom = small[0, 0] * (1 - u) + small[0, 1] * u, small[1, 0] * (1 - u) + small[1, 1] * u
    return np.asarray(top * (1 - v) + bottom * v, np.float32)


def street_at_dusk(size: tuple[int, int], seed: int) -> Array:
    """A street's lights far out of focus behind a window."""
    draw = np.random.default_rng(seed)
    picture = gradient(size, ((0.07, 0.13, 0.20), (0.16, 0.17, 0.20), (0.06, 0.08, 0.11), (0.20, 0.13, 0.09)))
    colours = np.array(LAMPS)
    place = grid_of(size[::-1])
    for _ in range(46):
        centre = (draw.uniform(0, size[0]), size[1] * float(np.clip(draw.normal(0.45, 0.2), 0.05, 0.95)))
        radius = draw.uniform(0.018, 0.05) * size[0]
        distance = np.hypot(*(place - centre).transpose(2, 0, 1))
        disc = smooth((radius - distance) / 4 + 0.5) * (0.75 + 0.25 * np.clip(distance / radius, 0, 1) ** 3)
        picture += disc[..., None] * colours[draw.integers(len(colours))] * draw.uniform(0.05, 0.5)
    for x in (0.12, 0.9):
        bar = smooth(1 - np.abs(place[..., 0] / size[0] - x) / 0.035)
        picture *= 1 - 0.75 * bar[..., None]
    return blur(np.clip(picture, 0, 1).astype(np.float32), 2.2)


def room_with_lamp(size: tuple[int, int], seed: int) -> Array:
    """A wall, a shelf of books and a lamp, out of focus."""
    draw = np.random.default_rng(seed)
    picture = gradient(size, ((0.30, 0.22, 0.15), (0.50, 0.36, 0.22), (0.16, 0.12, 0.10), (0.26, 0.18, 0.12)))
    for floor in (0.16, 0.47, 0.80):
        bottom, x = int(floor * size[1]), 0.0
        while x < 0.46 * size[0]:
            width, top = draw.uniform(0.012, 0.035) * size[0], int((floor - draw.uniform(0.17, 0.25)) * size[1])
            colour = tuple(float(part) * draw.uniform(0.6, 1.1) for part in BOOKS[draw.integers(len(BOOKS))])
            cv2.rectangle(picture, (int(x), top), (int(x + width), bottom), colour, -1)
            x += width + draw.uniform(0, 3)
        board = int((floor + 0.03) * size[1])
        cv2.rectangle(picture, (0, bottom), (int(0.48 * size[0]), board), (0.16, 0.09, 0.05), -1)
    picture = blur(picture, 0.011 * size[0])
    place = grid_of(size[::-1]) / size
    shade = smooth(1.6 - np.hypot((place[..., 0] - 0.84) / 0.075, (place[..., 1] - 0.34) / 0.14) ** 2)
    glow = np.exp(-(((place[..., 0] - 0.84) / 0.28) ** 2 + ((place[..., 1] - 0.40) / 0.5) ** 2))
    lamp = blur(shade.astype(np.float32), 13)
    picture += glow[..., None] * np.array((0.34, 0.21, 0.09)) + lamp[..., None] * np.array((0.62, 0.52, 0.36))
    return np.clip(picture, 0, 1).astype(np.float32)


def joined(rgb: Array, alpha: Array, behind: Array) -> Array:
    """The person before the room, a little of the room's light wrapped round the edge."""
    soft_alpha = blur(alpha, 6)
    wrap = (alpha * (1 - soft_alpha) * 0.5)[..., None] * blur(behind, 9)
    return np.asarray(rgb * alpha[..., None] + behind * (1 - alpha[..., None]) + wrap)


def filmed(picture: Array, draw: np.random.Generator) -> Array:
    """uint8: darker corners, warm lights over cool shadows, grain that is strongest in the middle tones."""
    height, width = picture.shape[:2]
    place = (grid_of((height, width)) / (width, height) - 0.5) * 2
    picture = picture * (1 - 0.16 * (place**2).sum(-1) / 2)[..., None]
    level = picture.mean(-1, keepdims=True)
    picture = picture + (level - 0.45) * np.array((0.045, 0.008, -0.05)) + np.array((0.004, 0.008, 0.012))
    noise = cv2.GaussianBlur(draw.standard_normal((height, width)).astype(np.float32), (0, 0), 0.55)
    strength = 0.011 * (0.45 + 2.2 * np.clip(level[..., 0], 0, 1) * (1 - np.clip(level[..., 0], 0, 1)))
    picture = picture + (noise / noise.std() * strength)[..., None]
    return np.asarray((np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8))
