"""A picture -> a part of it as a picture of another shape, in the clip's own planes, as they are stored.

Planes are never converted to RGB and back. A crop may begin between pixels: slow pans in whole ones would stutter.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from vidswap.media.native import empty_like, planes
from vidswap.types import Array
from vidswap.write.target import Shape

NEAR = 0.01  # by which shapes may differ and be taken for one
BLURRED = 24  # pixels of the fill are averaged over so many, a side
EXACT = 1 / 64  # of a pixel: what lies nearer to whole ones is taken for it
STORED_AS_SEEN = np.eye(2, 3)
_TAPS = np.arange(-3, 4)


def reframe(native: Any, crop: Array, shape: Shape, to_stored: Array = STORED_AS_SEEN) -> Any:
    """The part `crop` (x y width height, pixels as they are seen) of a native picture as one of `shape`, upright, with
    square pixels, its times and colour tags kept. What is of another shape stands whole before a blurred fill. A
    picture that is shown as it is, is given back itself. `to_stored` (2, 3) is the Frame's.

    The format must be planar, as read.clip makes it. Of two fields the first is taken: rows of both would mix."""
    turn = np.rint(to_stored[:, :2].T / np.abs(to_stored[:, :2]).max(1)).astype(int)
    size = np.abs(np.linalg.inv(to_stored[:, :2])) @ [native.width, native.height]
    sides = np.array([shape.width, shape.height])
    as_stored = (turn == np.eye(2)).all() and (size == [native.width, native.height]).all()
    if as_stored and (crop == [0, 0, *sides]).all() and (size == sides).all():
        return native
    inner = crop[2:] * (sides / crop[2:]).min()
    beside = np.rint((sides - inner) / 4).astype(int) * 2  # even, for chroma
    made = empty_like(native, shape.width, shape.height)
    for stored, target in zip(planes(native), planes(made), strict=True):
        plane = _turned(stored[:: 1 + native.interlaced_frame], turn)
        scale = np.array([plane.shape[1], plane.shape[0]]) / np.rint(size)
        box = crop * [*scale, *scale]
        if as_stored and stored.shape[1] < native.width:  # chroma is sited as MPEG-2's: left, half-way down
            box[0] += 0.25 * (1 - crop[2] / inner[0])
        left, top = (beside * [target.shape[1], target.shape[0]] / sides).round().astype(int)
        inside = target[top : target.shape[0] - top, left : target.shape[1] - left]
        if (beside > NEAR * sides).any():
            target[:] = _fill(plane, box, target.shape)
        else:
            inside = target
        inside[:] = _sampled(plane, box, inside.shape)
    return made


def _turned(plane: Array, turn: Array) -> Array:
    """A stored plane as it is seen; `turn` has the rows of the matrix that turns it, of 1, 0 and -1."""
    plane = plane.T if turn[0, 0] == 0 else plane
    return plane[:: int(turn[1].sum()), :: int(turn[0].sum())]


def _sampled(plane: Array, box: Array, shape: tuple[int, ...]) -> Array:
    """The part `box` (x y width height) of a plane, at another size: enlarged by cubics, shrunk by areas."""
    corner, side = box[:2], np.maximum(np.rint(box[2:]).astype(int), 1)
    corner = np.clip(corner, 0, np.maximum(np.array(plane.shape[1::-1]) - side, 0))
    whole = np.floor(corner + EXACT).astype(int)
    rest = corner - whole
    (x, y), (width, height) = whole, side
    part = np.ascontiguousarray(plane[y : y + height, x : x + width])
    if (rest > EXACT).any():
        part = _shifted(plane, (x, y, width, height), rest)
    shrunk = shape[0] < part.shape[0] or shape[1] < part.shape[1]
    return np.asarray(cv2.resize(part, shape[1::-1], interpolation=cv2.INTER_AREA if shrunk else cv2.INTER_CUBIC))


def _shifted(plane: Array, box: tuple[int, int, int, int], rest: Array) -> Array:
    """A box of a plane, read the part `rest` (x, y) of a pixel further on."""
    x, y, width, height = box
    reach = len(_TAPS)
    left, top = max(x - reach, 0), max(y - reach, 0)
    near = np.ascontiguousarray(plane[top : y + height + reach, left : x + width + reach])
    across, down = map(_kernel, rest)
    anchor = (len(across) // 2, len(down) // 2)
    moved = cv2.sepFilter2D(near, -1, across, down, anchor=anchor, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(moved[y - top :, x - left :][:height, :width])


def _kernel(rest: float) -> Array:
    """(7,) float32: Lanczos's kernel of three lobes (Duchon 1979), which reads between pixels; (1,): which need not."""
    if rest <= EXACT:
        return np.ones(1, np.float32)
    at = _TAPS - rest
    weights = np.sinc(at) * np.sinc(at / 3) * (abs(at) < 3)
    return np.asarray(weights / weights.sum(), np.float32)


def _fill(plane: Array, box: Array, shape: tuple[int, ...]) -> Array:
    """The middle of a box of a plane, blurred, covering all of a picture."""
    x, y, width, height = box
    zoom = min(width / shape[1], height / shape[0])
    side = np.array([shape[1], shape[0]]) * zoom
    low = np.floor(np.array([x, y]) + (np.array([width, height]) - side) / 2).astype(int).clip(0)
    high = np.maximum(np.ceil(low + side).astype(int), low + 1)
    small = np.maximum(np.array(shape[1::-1]) // BLURRED, 2)
    near = np.ascontiguousarray(plane[low[1] : high[1], low[0] : high[0]])
    middle = cv2.resize(near, small.tolist(), interpolation=cv2.INTER_AREA)
    soft = cv2.GaussianBlur(middle, (0, 0), 2, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(soft, shape[1::-1], interpolation=cv2.INTER_CUBIC))
