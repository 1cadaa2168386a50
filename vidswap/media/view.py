"""A stored picture -> what a person sees of it: upright, its pixels square, its light that of an SDR screen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Any

import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

from vidswap.media.colour import is_hdr, to_sdr
from vidswap.media.filters import EXACT, Chain
from vidswap.media.sidedata import matrix_in
from vidswap.types import UPRIGHT, Array, Clip

_BLOCK, _APRON = 16, 8  # pixels
_SQUARE, _LONGEST = Fraction(1, 50), 4  # shapes of a pixel that are taken for square, and for a mistake
Box = tuple[int, int, int, int]  # x0 y0 x1 y1, exclusive ends
Turn = tuple[tuple[int, int], tuple[int, int]]


@dataclass(frozen=True, eq=False)
class View:
    """How pictures of `width` x `height` stored pixels are seen. `turn` has the rows of the display matrix, its entries
    1, 0 or -1; `pixel` is the width of a pixel over its height."""

    width: int
    height: int
    turn: Turn = UPRIGHT
    pixel: Fraction = Fraction(1)

    @property
    def square(self) -> tuple[int, int]:
        """(width, height) with square pixels, not turned yet: one side grows, so nothing is lost."""
        if abs(self.pixel - 1) <= _SQUARE or not Fraction(1, _LONGEST) <= self.pixel <= _LONGEST:
            return self.width, self.height
        if self.pixel > 1:
            return round(self.width * self.pixel), self.height
        return self.width, round(self.height / self.pixel)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the seen picture."""
        wide, high = np.abs(np.array(self.turn)) @ self.square
        return int(wide), int(high)

    @property
    def to_stored(self) -> Array:
        """(2, 3) float64: pixel of the seen picture -> pixel of the stored one, pixel centres at integers."""
        wide, high = self.square
        turn = np.array(self.turn, np.float64)
        seen = np.abs(turn) @ [wide, high]
        shift = np.where(turn.sum(1) < 0, seen - 1, 0)  # turned = turn @ squared + shift
        zoom = np.array([self.width / wide, self.height / high])
        return np.hstack([zoom[:, None] * turn.T, (zoom * (0.5 - turn.T @ shift) - 0.5)[:, None]])

    def rgb(self, native: Any, reformatter: VideoReformatter) -> Array:
        """(H, W, 3) uint8: the picture as it is seen."""
        if is_hdr(native.color_trc):
            wide = reformatter.reformat(native, format="rgb48le", interpolation=EXACT, threads=1)
            picture = to_sdr(wide.to_ndarray(), native.color_trc, native.color_primaries)
        else:
            picture = reformatter.reformat(native, format="rgb24", interpolation=EXACT, threads=1).to_ndarray()
        if self.square != (self.width, self.height):
            picture = cv2.resize(picture, self.square, interpolation=cv2.INTER_CUBIC)
        return np.ascontiguousarray(_turned(np.asarray(picture, np.uint8), self.turn))

    @property
    def is_plain(self) -> bool:
        """Whether pictures are seen as they are stored."""
        return self.turn == UPRIGHT and self.square == (self.width, self.height)

    def part(self, native: Any, box: Box, cropper: Cropper, reformatter: VideoReformatter) -> Array:
        """(y1 - y0, x1 - x0, 3) uint8: that part of `rgb`, for a plain view; the same to the bit."""
        x0, y0, x1, y1 = box
        most = 2 * (x1 - x0) * (y1 - y0) > native.width * native.height
        odd = any(native.width % plane.width or native.height % plane.height for plane in native.planes)
        if most or odd or native.interlaced_frame or is_hdr(native.color_trc):
            return self.rgb(native, reformatter)[y0:y1, x0:x1]
        # swscale treats columns in blocks, and looks some pixels beyond for chroma
        left, top = max(x0 - _APRON, 0) // _BLOCK * _BLOCK, max(y0 - _APRON, 0) // _BLOCK * _BLOCK
        right = min(-(-(x1 + _APRON) // _BLOCK) * _BLOCK, native.width)
        bottom = min(-(-(y1 + _APRON) // _BLOCK) * _BLOCK, native.height)
        near = self.rgb(cropper.crop(native, (left, top, right, bottom)), reformatter)
        return near[y0 - top : y1 - top, x0 - left : x1 - left]


class Cropper:
    """Takes boxes out of pictures."""

    def __init__(self) -> None:
        self._chain = Chain(lambda _: [("crop", "exact=1")])

    def crop(self, native: Any, box: Box) -> Any:
        """A box of a picture, without copying it: unlike a copy, it keeps where chroma is sited."""
        (crop,) = self._chain.made_for(native)
        x0, y0, x1, y1 = box
        for name, value in zip("whxy", (x1 - x0, y1 - y0, x0, y0)):
            crop.process_command(name, str(value))
        return self._chain.through(native)


def _turned(picture: Array, turn: Turn) -> Array:
    if turn[0][0] == 0:
        picture = picture.transpose(1, 0, 2)
    return picture[:: sum(turn[1]), :: sum(turn[0])]


def turn_in(data: Mapping[str, bytes]) -> Turn:
    """How the display matrix in what lies beside a picture turns or mirrors it, to the nearest quarter; upright where
    there is none."""
    matrix = matrix_in(data)
    if matrix is None:
        return UPRIGHT
    a, b, c, d = matrix[0], matrix[1], matrix[3], matrix[4]  # x' = a x + c y, y' = b x + d y
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return ((_sign(a), 0), (0, _sign(d)))
    return ((0, _sign(c)), (_sign(b), 0))


def _sign(value: int) -> int:
    return -1 if value < 0 else 1


def view_of(clip: Clip) -> View:
    """How a clip's pictures are seen."""
    return View(clip.width, clip.height, clip.turn, clip.pixel)


def to_rgb(clip: Clip) -> Callable[[Any], Array]:
    """What makes a native picture of a clip as it is seen: (H, W, 3) uint8. Its converter is its own."""
    return partial(view_of(clip).rgb, reformatter=VideoReformatter())
