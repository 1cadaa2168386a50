"""The encoder of pictures: what a clip's pictures are like, and an encoder that keeps them so."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.codec.context import Flags

from vidswap.settings import WriteSettings
from vidswap.types import Clip
from vidswap.write import passthrough
from vidswap.write.containers import kind_of, time_base
from vidswap.write.streams import film_of
from vidswap.write.tags import tags as own_tags

_PROCESSOR = Path("/proc/cpuinfo")

Picture = tuple[int, Any]  # index in the clip, av.VideoFrame


@dataclass(frozen=True)
class Recipe:
    """How pictures are encoded: `encoder` by FFmpeg's name, with its `options`; `format` of the samples, `unit` of the
    times, `aspect` the shape of a pixel, `matrix` how players turn or mirror them (nine numbers), `interlaced` two
    fields each, `ordered` no B-frames, `headers` the container keeps what describes the stream, `tags` the track's own
    (its language, its title)."""

    encoder: str
    options: Mapping[str, str]
    format: str
    width: int
    height: int
    rate: Fraction
    unit: Fraction
    colour: tuple[int, int, int, int]
    aspect: Fraction | None
    matrix: tuple[int, ...] | None
    interlaced: bool
    ordered: bool
    headers: bool
    tags: Mapping[str, str]


def recipe_of(clip: Clip, native: Any, out: Path, settings: WriteSettings) -> Recipe:
    """How to encode pictures of a clip, of which `native` is one, for the file `out`. Raises OutputError for what
    cannot be."""
    kind = kind_of(out)
    with passthrough.opened(clip) as source:
        stream = film_of(source)
        aspect, tags = (stream.sample_aspect_ratio or None, own_tags(stream.metadata)) if stream else (None, {})
    options = {"crf": str(settings.crf), "preset": settings.preset}
    if _PROCESSOR.exists() and "avx512" in _PROCESSOR.read_text():
        options["x264-params"] = "asm=AVX2"  # x264's AVX-512 code gives other bytes at each run
    return Recipe(
        encoder="libx264", options=options, format=_pixel_format(native), width=native.width, height=native.height,
        rate=clip.rate.limit_denominator(1001), unit=time_base(kind, clip.pts, clip.time_base, clip.rate),
        colour=clip.colour, aspect=aspect, matrix=_display_matrix(native), interlaced=bool(native.interlaced_frame),
        ordered=kind.ordered, headers=kind.muxer not in ("mpegts", "avi"), tags=tags,
    )  # fmt: skip


def encoder(recipe: Recipe) -> Any:
    """A codec context, open."""
    context = _prepared(av.CodecContext.create(recipe.encoder, "w"), recipe)
    if recipe.headers:
        context.flags |= int(Flags.global_header)
    context.open()
    return context


def track(target: Any, recipe: Recipe) -> Any:
    """A track of a file for what the recipe's encoder yields."""
    made = target.add_stream(recipe.encoder, rate=recipe.rate)
    _prepared(made.codec_context, recipe)
    made.time_base = recipe.unit
    made.metadata.update(recipe.tags)
    if recipe.matrix:
        made.set_display_matrix(recipe.matrix)
    return made


def _prepared(context: Any, recipe: Recipe) -> Any:
    context.options = dict(recipe.options)
    context.framerate, context.time_base, context.bit_rate = recipe.rate, recipe.unit, 0
    context.width, context.height, context.pix_fmt = recipe.width, recipe.height, recipe.format
    context.thread_type = "FRAME"  # the default would cut each picture into slices
    context.flags |= int(Flags.frame_duration)
    if recipe.interlaced:
        context.flags |= int(Flags.interlaced_dct) | int(Flags.interlaced_me)
    if recipe.ordered:
        context.max_b_frames = 0
    context.colorspace, context.color_range, context.color_primaries, context.color_trc = recipe.colour
    if recipe.aspect:
        context.sample_aspect_ratio = recipe.aspect
    return context


def timed(clip: Clip, pictures: Iterable[Picture], origin: int) -> Iterator[Picture]:
    """The pictures, ready to encode: each at its time in the clip, `origin` (pts) being time 0."""
    for index, native in pictures:
        native.pts, native.duration = int(clip.pts[index]) - origin, _duration(clip, index, native)
        native.time_base = clip.time_base
        native.pict_type = 0  # else x264 repeats the source's choice of key pictures, at a fifth more bytes
        yield index, native


def _duration(clip: Clip, index: int, native: Any) -> int:
    """How long a frame is shown, in the clip's unit: up to the next; the last as its container says, or as the one
    before."""
    if index + 1 < len(clip):
        return int(clip.pts[index + 1] - clip.pts[index])
    if native.duration and native.time_base:
        return max(1, round(Fraction(native.duration * native.time_base) / clip.time_base))
    return int(clip.pts[-1] - clip.pts[-2]) if len(clip) > 1 else max(1, round(1 / clip.rate / clip.time_base))


def _pixel_format(native: Any) -> str:
    """The picture's own format where x264 takes it at this size, else the nearest that loses no colour resolution."""
    name, parts = str(native.format.name), native.format.components
    if len(parts) == 1:
        return "gray" if parts[0].bits == 8 else "gray10le"
    wide, tall = parts[1].width == parts[0].width, parts[1].height == parts[0].height
    if (not wide and native.width % 2) or (not tall and native.height % 2):
        wide = True
    sampling = "444" if wide else "422" if tall else "420"
    return f"{'yuvj' if name.startswith('yuvj') else 'yuv'}{sampling}p{'10le' if parts[0].bits > 8 else ''}"


def _display_matrix(native: Any) -> tuple[int, ...] | None:
    """How players turn or mirror the picture: the nine numbers of its side data."""
    try:
        return struct.unpack("<9i", bytes(native.side_data["DISPLAYMATRIX"]))
    except (KeyError, ValueError):  # none; or PyAV does not know another kind of side data of this frame
        return None
