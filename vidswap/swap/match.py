"""An answer's pictures -> those that were sent: when they show what, where it lies, in what light.

Services give back other rates and sizes, a few pictures more or fewer, begun a part of a picture early or late; and
what a file says of its times may be wrong. So times are held against what is seen to move. Arrays in, arrays out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d

from vidswap.types import Array

SIDE = 64  # pixels: the longer side of the small pictures that motion is seen in
REACH, FINE = 6, 8  # shifts that are tried: so many pictures to either side, in parts of so many of one
ENDS = 2  # pictures at either end that are averaged with too few, and not looked at
FEW = 3  # pictures that an answer may have more or fewer, and be of the same ones
CALM = 0.3  # grey levels of motion (root mean square): where there is less, times are believed
BETTER = 0.002  # of a correlation: by so much a clock must fit better than the one that the file tells
BLUR = 2.0, 1.0  # pixels and pictures, over which motion is averaged: then it can be read between pictures
STILL = 0.1  # of a picture: a shift of less is none
ALIKE = 0.005  # by which two aspects may differ, and be one
PATCH, RING = 64, 5  # side of a patch around a face, and pixels of it that are left out around the face
FEWEST = 100  # pixels of a patch, from which its light is told
CALMING = 0.2  # seconds over which light is averaged
GAIN = (0.4, 2.5)  # least and most of a light's contrast
_EDGE = 0.01  # of linear light: contrasts below this are noise


@dataclass(frozen=True)
class Clock:
    """When an answer shows what was sent: at `scale * time + shift` seconds; `score` is the correlation of what moves,
    NaN where nothing does."""

    scale: float = 1.0
    shift: float = 0.0
    score: float = float("nan")


def small(rgb: Array) -> Array:
    """(h, w) float32: a picture's grey, its longer side SIDE pixels."""
    zoom = SIDE / max(rgb.shape[:2])
    size = tuple(max(round(side * zoom), 1) for side in rgb.shape[1::-1])
    return np.asarray(cv2.cvtColor(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY), np.float32)


# -- where ------------------------------------------------------------------------------------------------------------


def placement(answer: tuple[Array, tuple[int, int]], sent: tuple[Array, tuple[int, int]]) -> Array:
    """(2, 3): pixel of an answer's picture -> pixel of what was sent; each is given as its mean small picture, and its
    (width, height). An answer of another shape is stretched, cut, or has bars: as it fits best."""
    sides = np.array(sent[1]) / np.array(answer[1])
    if abs(sides[0] / sides[1] - 1) < ALIKE:
        return _scaled(sides, answer[1], sent[1])
    ways = [_scaled(np.broadcast_to(zoom, 2), answer[1], sent[1]) for zoom in (sides, sides.min(), sides.max())]
    return max(ways, key=lambda way: _likeness(_laid(answer[0], way, answer[1], sent), sent[0]))


def _scaled(zoom: Array, one: tuple[int, int], other: tuple[int, int]) -> Array:
    """(2, 3): scaled by `zoom` (x, y), the middle of pictures of a size to that of another; centres at integers."""
    middles = (np.array(one) - 1) / 2, (np.array(other) - 1) / 2
    return np.hstack([np.diag(zoom), (middles[1] - zoom * middles[0])[:, None]])


def laid(pictures: Sequence[Array], way: Array, size: tuple[int, int], sent: tuple[Array, tuple[int, int]]) -> Array:
    """(J, h, w): small pictures of an answer of a `size`, as small pictures of what was `sent`; NaN beyond them."""
    return np.stack([_laid(picture, way, size, sent) for picture in pictures])


def _laid(picture: Array, way: Array, size: tuple[int, int], sent: tuple[Array, tuple[int, int]]) -> Array:
    shape = sent[0].shape
    grow = np.array(size) / picture.shape[::-1], np.array(sent[1]) / shape[::-1]
    zoom = way.diagonal() * grow[0] / grow[1]
    shift = (way[:, 2] + way.diagonal() * (grow[0] - 1) / 2 - (grow[1] - 1) / 2) / grow[1]
    turn = np.hstack([np.diag(zoom), shift[:, None]])
    return np.asarray(cv2.warpAffine(picture, turn, shape[::-1], borderValue=(np.nan,)))


def _likeness(one: Array, other: Array) -> float:
    """The correlation of two pictures where both are."""
    both = ~np.isnan(one) & ~np.isnan(other)
    a, b = one[both] - one[both].mean(), other[both] - other[both].mean()
    return float((a * b).sum() / (np.linalg.norm(a) * np.linalg.norm(b) + 1e-9)) if both.sum() > 1 else -1.0


# -- when -------------------------------------------------------------------------------------------------------------


def clock_of(answer: Array, times: Array, sent: Array, rate: Fraction, beside: Array) -> Clock:
    """The clock of an answer: its small pictures (J, h, w) at `times` (J,) against those that were sent (K, h, w) at
    `rate`. By its times, or picture by picture where their numbers are alike; with the constant shift at which what
    moves agrees best: `beside` the face (h, w), which is another, or with it where nothing else does."""
    seen = np.asarray(~np.isnan(answer).any(0))
    answer, sent = (_blurred(each, seen) for each in (answer, sent))
    for there in (seen & beside, seen):
        ours, theirs = (_moving(each[:, there]) for each in (answer, sent))
        if min(len(ours), len(theirs)) > 2 and there.any() and min(map(_strength, (ours, theirs))) > CALM:
            return _clock(ours, times * float(rate), theirs, float(rate))
    return Clock()


def _clock(answer: Array, places: Array, sent: Array, rate: float) -> Clock:
    shift, score = _shifted(answer, places, sent)
    told = Clock(1.0, shift / rate, score)
    step, few = float(np.median(np.diff(places))), abs(len(answer) - len(sent))
    if few > FEW or abs(step - 1) < 1e-3:
        return told
    shift, score = _shifted(answer, np.arange(len(answer), dtype=np.float64), sent)
    likelier = few < abs(len(answer) - len(sent) / step)  # of another rate there would be as many more or fewer
    return Clock(1 / step, shift / rate, score) if score > told.score - (BETTER if likelier else -BETTER) else told


def _strength(moving: Array) -> float:
    """The root mean square of what moves, grey levels."""
    return float(np.sqrt(np.square(moving).mean()))


def _blurred(pictures: Array, seen: Array) -> Array:
    """Pictures (T, h, w), averaged over pixels that are `seen` (h, w)."""
    whole = cv2.GaussianBlur(seen.astype(np.float32), (0, 0), BLUR[0]) + np.float32(1e-6)
    bare = np.where(seen, pictures, np.float32(0))
    return np.stack([cv2.GaussianBlur(each, (0, 0), BLUR[0]) / whole for each in bare])


def _moving(pictures: Array) -> Array:
    """What changes in pictures (T, P), so calm that it can be read between them."""
    return np.asarray(gaussian_filter1d(pictures - pictures.mean(0), BLUR[1], axis=0, mode="nearest"))


def _shifted(answer: Array, places: Array, sent: Array) -> tuple[float, float]:
    """The shift, in pictures that were sent, at which an answer agrees best with them, and its correlation; `places`
    (J,) are those of its pictures among them without a shift."""
    shifts = np.arange(-REACH * FINE, REACH * FINE + 1) / FINE
    scores = np.array([_agreement(answer, places + shift, sent) for shift in shifts])
    best = int(scores.argmax())
    if 0 < best < len(shifts) - 1:  # the top of the parabola through three of them
        low, top, high = scores[best - 1 : best + 2]
        bend = low - 2 * top + high
        finer = float(shifts[best] + (low - high) / 2 / bend / FINE) if bend < 0 else float(shifts[best])
    else:
        finer = float(shifts[best])
    return (0.0 if abs(finer) < STILL else finer), float(scores[best])


def _agreement(answer: Array, places: Array, sent: Array) -> float:
    """The correlation of what moves, where what was sent is read between its pictures."""
    inside = (places >= ENDS) & (places <= len(sent) - 1 - ENDS)
    inside[:ENDS] = inside[len(inside) - ENDS :] = False
    if inside.sum() < max(len(answer) / 2, 2):
        return -1.0
    low = np.minimum(places[inside].astype(int), len(sent) - 2)
    part = (places[inside] - low)[:, None].astype(np.float32)
    read, seen = (1 - part) * sent[low] + part * sent[low + 1], answer[inside]
    read, seen = read - read.mean(0), seen - seen.mean(0)
    return float((read * seen).sum() / (np.linalg.norm(read) * np.linalg.norm(seen) + 1e-9))


# -- light ------------------------------------------------------------------------------------------------------------


def ring_of(points: Array, *pictures: Array) -> Array:
    """(PATCH, PATCH) bool: what lies around the face whose points (V, 2) are pixels of a patch, within all `pictures`,
    whose corners (4, 2) are such pixels too."""
    ring = np.ones((PATCH, PATCH), np.uint8)
    for outline in pictures:
        inside = np.zeros_like(ring)
        cv2.fillConvexPoly(inside, np.rint(outline).astype(np.int32), 1)
        ring &= cv2.erode(inside, np.ones((3, 3), np.uint8))
    face = np.zeros_like(ring)
    cv2.fillConvexPoly(face, np.rint(cv2.convexHull(points)).astype(np.int32), 1)
    face = np.asarray(cv2.dilate(face, np.ones((2 * RING + 1, 2 * RING + 1), np.uint8)))
    return np.asarray((ring > 0) & (face == 0))


def light_of(patch: Array, ring: Array) -> Array:
    """(2, 3) float64: mean and deviation of linear light, red, green and blue, in a ring of a patch (PATCH, PATCH, 3)
    uint8; NaN where that is too little."""
    if ring.sum() < FEWEST:
        return np.full((2, 3), np.nan)
    light = _linear()[patch[ring]]
    return np.stack([light.mean(0), light.std(0)])


def curves(answer: Array, sent: Array, rate: float) -> Array:
    """(J, 256, 3) uint8: for each picture of an answer what its levels become, so that the light around the face is
    that which was sent: their `light_of` (J, 2, 3), in linear light, NaN where it is not known. Smooth in time."""
    known = ~np.isnan(answer).any((1, 2)) & ~np.isnan(sent).any((1, 2))
    if not known.any():
        return np.broadcast_to(np.arange(256, dtype=np.uint8)[:, None], (len(answer), 256, 3))
    rows = np.flatnonzero(known)
    near = rows[np.abs(np.arange(len(answer))[:, None] - rows).argmin(1)]
    calm = [gaussian_filter1d(each[near], CALMING * rate, axis=0, mode="nearest") for each in (answer, sent)]
    gain = np.clip((calm[1][:, 1] + _EDGE) / (calm[0][:, 1] + _EDGE), *GAIN)
    level = _linear()[:, None]
    return np.stack([_levels(g * (level - a) + s) for g, a, s in zip(gain, calm[0][:, 0], calm[1][:, 0])])


def _linear() -> Array:
    """(256,): linear light of the levels of sRGB (IEC 61966-2-1), 0 to 1."""
    level = np.arange(256) / 255
    return np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)


def _levels(light: Array) -> Array:
    """uint8 levels of sRGB of linear light: the inverse of `_linear`."""
    light = np.clip(light, 0, 1)
    level = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.asarray(np.rint(255 * level), np.uint8)
