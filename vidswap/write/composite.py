"""A frame and swapped crops -> the same frame with them laid over it, in the clip's own planes, as they are stored.

The planes are never converted to RGB and back: each gets only the difference, so that every pixel whose alpha is 0
keeps its very bits. Crops are of what is seen: upright, with square pixels, in SDR; they are brought back here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from vidswap import hdr
from vidswap.types import Array, Frame, Swapped

Layer = tuple[Swapped, int]
Box = tuple[int, int, int, int]  # x0 y0 x1 y1, exclusive ends

# Kr and Kb of the luma weights, by FFmpeg's number of the matrix (ITU-R BT.709, BT.601, BT.2020; SMPTE 240M; FCC).
_LUMA = {1: (0.2126, 0.0722), 4: (0.30, 0.11), 7: (0.212, 0.087), 9: (0.2627, 0.0593), 10: (0.2627, 0.0593)}
_LUMA_601 = (0.299, 0.114)
_FULL_RANGE = 2
_SHRINK = 0.8  # below this zoom a crop is first shrunk by areas, or the warp would skip pixels


def composite(frame: Frame, layers: Sequence[Layer]) -> Any:
    """The frame's native picture with the layers laid over it; the picture is changed and handed back.

    A layer is a window's answer and the row of this frame in it. Layers of one track are windows that overlap: their
    weights sum to 1, their pictures are averaged. Tracks lie over one another in the order of their first layers.
    The native format must be planar YUV, planar RGB or grey, as read.clip makes it."""
    native = frame.native
    if not layers:
        return native
    native.make_writable()  # the decoder still reads its own copy for the frames to come
    planes = _planes(native)
    for track in dict.fromkeys(swapped.crops.track for swapped, _ in layers):
        _lay([layer for layer in layers if layer[0].crops.track == track], planes, frame)
    return native


def _lay(layers: list[Layer], planes: list[Array], frame: Frame) -> None:
    """Lay the windows of one track over the planes, in place."""
    native, (height, width) = frame.native, planes[0].shape
    places = [_stored(frame, layer) for layer in layers]
    boxes = [_box(layer, place, width, height) for layer, place in zip(layers, places, strict=True)]
    box = (min(b[0] for b in boxes), min(b[1] for b in boxes), max(b[2] for b in boxes), max(b[3] for b in boxes))
    if box[0] >= box[2] or box[1] >= box[3]:
        return
    to_yuv = yuv_matrix(native)
    warped = [_warped(layer, place, box, native) for layer, place in zip(layers, places, strict=True)]
    cover = np.asarray(sum(alpha for alpha, _ in warped), np.float32)
    for plane, to_channel in zip(planes, to_yuv, strict=False):
        colour = sum(alpha * cv2.transform(rgb, to_channel[None]) for alpha, rgb in warped)
        across, down = (-(-full // part) for full, part in zip((width, height), plane.shape[::-1], strict=True))
        added, taken = (_sampled(np.asarray(each), across, down) for each in (colour, cover))
        there = plane[box[1] // down :, box[0] // across :][: added.shape[0], : added.shape[1]]
        mixed = np.rint(there + (added - taken * there))
        there[:] = np.clip(mixed, 0, (1 << native.format.components[0].bits) - 1).astype(plane.dtype)


def _sampled(full: Array, across: int, down: int) -> Array:
    """A full-size picture at the chroma planes' sampling, by areas."""
    if across == down == 1:
        return full
    height, width = full.shape
    full = cv2.copyMakeBorder(full, 0, -height % down, 0, -width % across, cv2.BORDER_REPLICATE)
    size = (full.shape[1] // across, full.shape[0] // down)
    return np.asarray(cv2.resize(full, size, interpolation=cv2.INTER_AREA))


def _stored(frame: Frame, layer: Layer) -> Array:
    """(2, 3): crop pixel -> pixel of the stored picture."""
    to_seen = np.vstack([layer[0].crops.to_frame[layer[1]], [0, 0, 1]])
    return np.asarray(frame.to_stored @ to_seen)


def _warped(layer: Layer, to_frame: Array, box: Box, native: Any) -> tuple[Array, Array]:
    """Alpha times weight (h, w) and RGB (h, w, 3), float32, of one crop in the box of the stored picture."""
    swapped, row = layer
    rgb, alpha = swapped.rgb[row], swapped.alpha[row]
    side = rgb.shape[0]
    zoom = float(np.sqrt(abs(np.linalg.det(to_frame[:, :2]))))
    small = max(2, round(side * zoom))
    if zoom < _SHRINK:
        rgb, alpha = (cv2.resize(each, (small, small), interpolation=cv2.INTER_AREA) for each in (rgb, alpha))
        step = side / small
        # pixel centres are at integers: x = (x' + 1/2) * step - 1/2
        to_frame = np.hstack([to_frame[:, :2] * step, to_frame @ [[(step - 1) / 2], [(step - 1) / 2], [1.0]]])
    to_box = to_frame - np.array([[0.0, 0.0, box[0]], [0.0, 0.0, box[1]]])
    size = (box[2] - box[0], box[3] - box[1])
    colour = cv2.warpAffine(rgb, to_box, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    cover = cv2.warpAffine(alpha, to_box, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    if hdr.is_hdr(native.color_trc):
        colour = hdr.from_sdr(colour, native.color_trc, native.color_primaries)
    return cover * swapped.crops.weight[row], colour.astype(np.float32)


def _box(layer: Layer, to_frame: Array, width: int, height: int) -> Box:
    """The box of the frame that holds all of a layer's alpha above 0, aligned to any chroma sampling; maybe empty."""
    swapped, row = layer
    left, top, wide, high = cv2.boundingRect((swapped.alpha[row] > 0).view(np.uint8))
    if wide == 0:
        return 0, 0, 0, 0
    x0, x1, y0, y1 = left - 1, left + wide, top - 1, top + high
    corners = np.array([[x0, y0, 1], [x1, y0, 1], [x0, y1, 1], [x1, y1, 1]]) @ to_frame.T
    low = np.floor(corners.min(0) - 2).astype(int) // 4 * 4
    high = -(-np.ceil(corners.max(0) + 3).astype(int) // 4) * 4
    return max(0, int(low[0])), max(0, int(low[1])), min(width, int(high[0])), min(height, int(high[1]))


def _planes(native: Any) -> list[Array]:
    """Views (h, w) on the Y, U, V (or G, B, R) planes of a native picture; grey has one."""
    dtype = np.dtype(np.uint16 if native.format.components[0].bits > 8 else np.uint8)
    return [
        np.frombuffer(plane, dtype).reshape(plane.height, plane.line_size // dtype.itemsize)[:, : plane.width]
        for plane in native.planes[:3]
    ]


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
    if native.color_range == _FULL_RANGE or native.format.name.startswith("yuvj"):
        scale, offset = np.full(3, (1 << bits) - 1.0), np.array([0.0, 128.0, 128.0]) * unit
    else:
        scale, offset = np.array([219.0, 224.0, 224.0]) * unit, np.array([16.0, 128.0, 128.0]) * unit
    return np.hstack([rows * scale[:, None], offset[:, None]]).astype(np.float32)
