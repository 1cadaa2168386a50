"""Whatever a decoder yields -> planes that can be painted on; planar RGB -> what encoders of film take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from av import VideoFrame
from av.video.reformatter import VideoReformatter

from vidswap.facts import PixelFormat
from vidswap.media.colour import BT709, FULL, LIMITED, UNTAGGED, matrix_of
from vidswap.media.filters import EXACT, EXACT_WORDS, Chain, Filter, filtered
from vidswap.types import Array

_TAGS = ("pts", "time_base", "duration", "colorspace", "color_range", "color_primaries", "color_trc")
_RANGES = {LIMITED: ":in_range=limited:out_range=limited", FULL: ":in_range=full:out_range=full"}  # as `scale` says it


def film_maker() -> VideoReformatter:
    """A converter for `planar`: one for all pictures of a thread is many times faster than one each."""
    return VideoReformatter()


def colour_of(native: Any) -> tuple[int, int, int, int]:
    """Its tags: colorspace, color_range, color_primaries, color_trc."""
    return native.colorspace, native.color_range, native.color_primaries, native.color_trc


def format_of(native: Any, interlaced: bool = False) -> PixelFormat:
    """What a picture is made of; `interlaced`: others of its clip are of two fields."""
    form, parts = native.format, native.format.components
    sampling = _sampling(form) if len(parts) > 2 else "400"
    full, fields = form.name.startswith("yuvj"), interlaced or bool(native.interlaced_frame)
    clear = any(part.is_alpha for part in parts)
    return PixelFormat(sampling, parts[0].bits, full, fields, native.width, native.height, form.is_rgb, clear)


def _sampling(form: Any) -> str:
    one, *colours = form.components
    if not colours:  # black and white
        return "420"
    return "444" if colours[0].width == one.width else "422" if colours[0].height == one.height else "420"


def editable(native: Any, reformatter: VideoReformatter, matrix: int) -> Any:
    """A decoder's frame as planes that can be painted on, `matrix` being that of what is untagged: YUV or grey itself;
    packed YUV with its sampling and depth; RGB as planar RGB of its depth, with its transparency."""
    form = native.format
    if is_planar_yuv(form):
        if form.name.startswith("yuvj") and native.color_range == LIMITED:  # FFmpeg keeps the name where ranges change
            plain = reformatter.reformat(native, format=form.name.replace("yuvj", "yuv"), src_color_range=FULL,
                                         dst_color_range=FULL, threads=1)  # fmt: skip
            plain.color_range, plain.colorspace = LIMITED, native.colorspace
            native = _at_its_time(plain, native)
        if native.colorspace == UNTAGGED and matrix == BT709:
            native.colorspace = BT709
        return native
    bits = next(deep for deep in (8, 10, 12, 16, 32) if deep >= form.components[0].bits)
    deep = "" if bits == 8 else f"{min(bits, 16)}le"
    clear = "a" if any(part.is_alpha for part in form.components) else ""
    if form.is_rgb or form.has_palette or len(form.components) == 2:  # grey with transparency
        to = f"gbr{clear}p{deep}"
        made = reformatter.reformat(native, format=to, interpolation=EXACT, threads=1)
    else:
        to = f"yuv{clear}{_sampling(form)}p{deep}"
        made = reformatter.reformat(native, format=to, interpolation=EXACT, dst_colorspace=matrix,
                                    dst_color_range="MPEG", threads=1)  # fmt: skip
        made.colorspace, made.color_range = matrix, LIMITED
    return _at_its_time(made, native)


def copy_frame(native: Any) -> Any:
    """Another frame of the same pixels, tags and side data, which are copied when one of the two is written to."""
    return _at_its_time(filtered(native), native)


def _at_its_time(made: Any, native: Any) -> Any:
    """What was made of a picture, shown when that is."""
    made.pts, made.time_base, made.duration = native.pts, native.time_base, native.duration
    return made


def planar(native: Any, reformatter: VideoReformatter) -> Any:
    """The frame itself, tagged, if it is planar YUV or grey; else converted: 4:2:0 for players, 4:4:4 if its size is
    odd, because x264 takes no odd 4:2:0."""
    matrix = matrix_of(native.width, native.height)
    if is_planar_yuv(native.format):
        if native.colorspace == UNTAGGED and matrix == BT709:
            native.colorspace = BT709
        return native
    deep = "10le" if native.format.components[0].bits > 8 else ""
    to = f"yuv{'444' if native.width % 2 or native.height % 2 else '420'}p{deep}"
    made = reformatter.reformat(native, format=to, interpolation=EXACT, dst_colorspace=matrix, dst_color_range="MPEG",
                                threads=1)  # fmt: skip
    made.colorspace, made.color_range = matrix, LIMITED
    return _at_its_time(made, native)


def plain(native: Any, rgb: Callable[[Any], Array], reformatter: VideoReformatter) -> Any:
    """A picture as every screen takes it: 8 bits, 4:2:0, BT.709, limited range; `rgb` makes it what is seen of it."""
    seen = VideoFrame.from_ndarray(rgb(native), format="rgb24")
    made = reformatter.reformat(seen, format="yuv420p", interpolation=EXACT, dst_colorspace=BT709,
                                dst_color_range="MPEG", threads=1)  # fmt: skip
    made.colorspace, made.color_range, made.color_primaries, made.color_trc = BT709, LIMITED, BT709, BT709
    return _at_its_time(made, native)


class Fitter:
    """Brings pictures of other sizes to one, as players do: whole, in their own shape, black around them."""

    def __init__(self, width: int, height: int) -> None:
        self._size = width, height
        self._chain = Chain(self._filters)

    def fit(self, native: Any) -> Any:
        """The picture itself where it has the size."""
        return native if (native.width, native.height) == self._size else self._chain.through(native)

    def _filters(self, native: Any) -> list[Filter]:
        width, height = self._size
        kept = _RANGES.get(native.color_range, "")
        zoom = min(width / native.width, height / native.height)
        if zoom * min(native.width, native.height) < 2:  # a line, as only damage has it: nothing would be left
            return [("scale", f"{width}:{height}:{EXACT_WORDS}{kept}")]
        whole = f"force_original_aspect_ratio=decrease:force_divisible_by={1 + (width > 2)}"
        return [("scale", f"{width}:{height}:{whole}:{EXACT_WORDS}{kept}"), ("pad", f"{width}:{height}:-1:-1")]


def sized(native: Any, width: int, height: int, reformatter: VideoReformatter) -> Any:
    """A picture, brought to another size."""
    if (native.width, native.height) == (width, height):
        return native
    return reformatter.reformat(native, width, height, interpolation=EXACT, threads=1)


def empty_like(native: Any, width: int, height: int) -> Any:
    """A picture of another size with a native picture's format, times and colour tags, its pixels yet to be set."""
    made = VideoFrame(width, height, native.format.name)
    for tag in _TAGS:
        if (value := getattr(native, tag)) is not None:
            setattr(made, tag, value)
    return made


def planes(native: Any) -> list[Array]:
    """Views (h, w) on the planes of a native picture of 8 to 16 bits: Y, U, V, or G, B, R, or grey; transparency."""
    dtype = np.dtype(np.uint16 if native.format.components[0].bits > 8 else np.uint8)
    return [
        np.frombuffer(plane, dtype).reshape(plane.height, plane.line_size // dtype.itemsize)[:, : plane.width]
        for plane in native.planes
    ]


def is_planar_yuv(shape: Any) -> bool:
    """Whether a format (`av.VideoFormat`) is planar YUV, with or without alpha, or grey, of 8 to 16 bits."""
    planes, bits = [part.plane for part in shape.components], shape.components[0].bits
    alone = planes in ([0], [0, 1, 2], [0, 1, 2, 3])  # each component has a plane to itself; the fourth is alpha
    return alone and 8 <= bits <= 16 and not (shape.is_rgb or shape.has_palette or shape.is_big_endian)
