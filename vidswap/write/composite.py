"""A frame and swapped crops -> the same frame with them laid over it, in the clip's own planes, as they are stored.

The planes are never converted to RGB and back: each gets only the difference, so that every pixel whose alpha is 0
keeps its very bits. Crops are of what is seen: upright, with square pixels, in SDR; they are brought back here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np

from vidswap.face import geometry
from vidswap.media.colour import FULL, from_sdr, is_hdr
from vidswap.media.native import planes
from vidswap.media.view import Box
from vidswap.types import Array, Frame, Layer

# Kr and Kb of the luma weights, by FFmpeg's number of the matrix (ITU-R BT.709, BT.601, BT.2020; SMPTE 240M; FCC).
_LUMA = {1: (0.2126, 0.0722), 4: (0.30, 0.11), 7: (0.212, 0.087), 9: (0.2627, 0.0593), 10: (0.2627, 0.0593)}
_LUMA_601 = (0.299, 0.114)
_SHOWS = 1 / 255  # an alpha of less changes no level of 8 bits, but for rounding
_SHRINK = 0.8  # below this zoom a crop is first shrunk by areas, or the warp would skip pixels


def composite(frame: Frame, layers: Sequence[Layer]) -> bool:
    """Lay the layers over the frame's native picture, in place; whether they show on any of its pixels.

    Layers of one track are of windows that overlap: their pictures are averaged by weight. Nearer tracks lie over
    farther ones, else the later over the earlier. The native format must be planar YUV, planar RGB or grey, as
    read.clip makes it."""
    if not layers:
        return False
    frame.native.make_writable()  # the decoder still reads its own copy for the frames to come
    stored, tracks = planes(frame.native)[:3], dict[int, list[Layer]]()
    for layer in layers:
        tracks.setdefault(layer.track, []).append(layer)
    farthest_first = sorted(tracks.values(), key=lambda own: -own[0].depth)
    laid = [_lay(own, stored, frame) for own in farthest_first]
    return any(laid)


def _lay(layers: Sequence[Layer], stored: list[Array], frame: Frame) -> bool:
    """Lay the windows of one track over the planes, in place; whether they show."""
    native, (height, width) = frame.native, stored[0].shape
    sheets = [_blended(each) for each in _alike(layers)]
    patches = [patch for sheet in sheets if (patch := _patch(frame, sheet))]
    boxes = np.array([patch.box(width, height) for patch in patches]).reshape(-1, 4)
    boxes = boxes[(boxes[:, :2] < boxes[:, 2:]).all(1)]
    if not len(boxes):
        return False
    (x0, y0), (x1, y1) = boxes[:, :2].min(0), boxes[:, 2:].max(0)
    warped = [_warped(patch, (x0, y0, x1, y1), native) for patch in patches]
    cover = np.asarray(sum(alpha for alpha, _ in warped), np.float32)
    for plane, to_channel in zip(stored, yuv_matrix(native), strict=False):
        colour = sum(alpha * cv2.transform(rgb, to_channel[None]) for alpha, rgb in warped)
        across, down = (-(-full // part) for full, part in zip((width, height), plane.shape[::-1], strict=True))
        added, taken = (sampled(np.asarray(each), across, down) for each in (colour, cover))
        there = plane[y0 // down :, x0 // across :][: added.shape[0], : added.shape[1]]
        mixed = np.rint(there + (added - taken * there))
        there[:] = np.clip(mixed, 0, (1 << native.format.components[0].bits) - 1).astype(plane.dtype)
    return bool((cover > _SHOWS).any())


class _Sheet(NamedTuple):
    """`rgb` (S, S, 3) uint8, `alpha` (S, S) float32, `to_frame` (2, 3): crop pixel -> pixel of the seen picture."""

    rgb: Array
    alpha: Array
    to_frame: Array


def _alike(layers: Sequence[Layer]) -> list[list[_Sheet]]:
    """Layers as sheets, their weights in alpha, by where they lie: aligned windows lie alike where they overlap."""
    found: dict[bytes, list[_Sheet]] = {}
    for layer in layers:
        alpha = layer.alpha if layer.weight == 1 else layer.alpha * np.float32(layer.weight)
        found.setdefault(layer.to_frame.tobytes(), []).append(_Sheet(layer.rgb, alpha, layer.to_frame))
    return list(found.values())


def _blended(sheets: Sequence[_Sheet]) -> _Sheet:
    """Sheets that lie alike as one: brought to the frame together, they cost half."""
    one, *others = sheets
    for other in others:
        # where both are 0 the colours must be theirs all the same: interpolation reaches out there
        rgb = cv2.blendLinear(one.rgb, other.rgb, one.alpha + np.float32(1e-3), other.alpha + np.float32(1e-3))
        one = _Sheet(np.asarray(rgb), one.alpha + other.alpha, one.to_frame)
    return one


def sampled(full: Array, across: int, down: int) -> Array:
    """A full-size picture at the chroma planes' sampling, by areas."""
    if across == down == 1:
        return full
    height, width = full.shape
    full = cv2.copyMakeBorder(full, 0, -height % down, 0, -width % across, cv2.BORDER_REPLICATE)
    size = (full.shape[1] // across, full.shape[0] // down)
    return np.asarray(cv2.resize(full, size, interpolation=cv2.INTER_AREA))


@dataclass(frozen=True, eq=False)
class _Patch:
    """The part of a sheet that shows: `rgb` (h, w, 3) uint8, `alpha` (h, w) float32, `to_stored` (2, 3) from its pixels
    to those of the stored picture, `corners` (4, 2) there, of all alpha above 0."""

    rgb: Array
    alpha: Array
    to_stored: Array
    corners: Array

    def box(self, width: int, height: int) -> Box:
        """The box of the picture that holds it, aligned to any chroma sampling; maybe empty."""
        low = np.floor(self.corners.min(0) - 2).astype(int) // 4 * 4
        high = -(-np.ceil(self.corners.max(0) + 3).astype(int) // 4) * 4
        return max(0, int(low[0])), max(0, int(low[1])), min(width, int(high[0])), min(height, int(high[1]))


def _patch(frame: Frame, sheet: _Sheet) -> _Patch | None:
    """What a sheet lays over the frame; None where it covers nothing."""
    rgb, alpha, to_frame = sheet
    left, top, wide, high = cv2.boundingRect((alpha > 0).view(np.uint8))
    if not wide:
        return None
    to_stored = geometry.compose(frame.to_stored, to_frame)
    x0, x1, y0, y1 = left - 1, left + wide, top - 1, top + high
    corners = np.array([[x0, y0, 1], [x1, y0, 1], [x0, y1, 1], [x1, y1, 1]]) @ to_stored.T
    zoom = geometry.zoom_of(to_stored)
    margin = 2 + math.ceil(2 / zoom)  # what cubics reach for, beyond what shows
    x0, y0 = max(left - margin, 0), max(top - margin, 0)
    part = np.s_[y0 : top + high + margin, x0 : left + wide + margin]
    rgb, alpha = rgb[part], alpha[part]
    step = np.ones(2)
    if zoom < _SHRINK:
        sides = np.array(alpha.shape[::-1])
        small = np.maximum(np.rint(sides * zoom), 2).astype(int)
        rgb, alpha = (cv2.resize(each, small.tolist(), interpolation=cv2.INTER_AREA) for each in (rgb, alpha))
        step = sides / small
    # pixel centres are at integers: x = (x' + 1/2) * step - 1/2
    first = to_stored @ np.append((step - 1) / 2 + [x0, y0], 1)
    placed = np.column_stack([to_stored[:, :2] * step, first])
    return _Patch(rgb, alpha, placed, corners)


def _warped(patch: _Patch, box: Box, native: Any) -> tuple[Array, Array]:
    """Alpha (h, w) and RGB (h, w, 3), float32, of a patch in the box of the stored picture."""
    to_box = patch.to_stored - np.array([[0.0, 0.0, box[0]], [0.0, 0.0, box[1]]])
    size = (int(box[2] - box[0]), int(box[3] - box[1]))
    colour = cv2.warpAffine(patch.rgb, to_box, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    cover = cv2.warpAffine(patch.alpha, to_box, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    if is_hdr(native.color_trc):
        colour = from_sdr(colour, native.color_trc, native.color_primaries)
    return cover, colour.astype(np.float32)


def yuv_matrix(native: Any) -> Array:
    """(3, 4) float32 that takes RGB of 0 to 255, and 1, to the levels of the picture's matrix, range and depth.

    ITU-T H.273, equations 41 to 58; an untagged picture is BT.601, as swscale has it. Planar RGB is stored as GBR."""
    if native.format.is_rgb:
        top = (1 << native.format.components[0].bits) - 1
        return np.hstack([np.eye(3)[[1, 2, 0]] * (top / 255), np.zeros((3, 1))]).astype(np.float32)
    red, blue = _LUMA.get(native.colorspace, _LUMA_601)
    luma = np.array([red, 1 - red - blue, blue])
    rows = np.stack([luma, (np.eye(3)[2] - luma) / (2 - 2 * blue), (np.eye(3)[0] - luma) / (2 - 2 * red)]) / 255
    bits = native.format.components[0].bits
    unit = 1 << (bits - 8)
    if native.color_range == FULL or native.format.name.startswith("yuvj"):
        scale, offset = np.full(3, (1 << bits) - 1.0), np.array([0.0, 128.0, 128.0]) * unit
    else:
        scale, offset = np.array([219.0, 224.0, 224.0]) * unit, np.array([16.0, 128.0, 128.0]) * unit
    return np.hstack([rows * scale[:, None], offset[:, None]]).astype(np.float32)
