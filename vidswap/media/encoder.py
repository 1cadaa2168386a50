"""The encoder of pictures: what a clip's pictures are like, and an encoder that keeps them so."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.codec.context import Flags
from av.video.reformatter import VideoReformatter

from vidswap.errors import OutputError
from vidswap.media.codecs import chosen, lost_in, options_of
from vidswap.media.colour import BT601, FILM625, FULL, LIMITED, RGB, UNTAGGED, matrix_of
from vidswap.media.containers import kind_of, time_base
from vidswap.media.fields import BOTTOM_FIRST, TOP_FIRST, Ordered, marked_whole
from vidswap.media.filters import EXACT
from vidswap.media.metadata import tags as own_tags
from vidswap.media.sidedata import matrix_in
from vidswap.settings import WriteSettings
from vidswap.types import Clip

_PROCESSOR = Path("/proc/cpuinfo")

Picture = tuple[int, Any]  # index in the clip, av.VideoFrame


@dataclass(frozen=True)
class Encoding:
    """How pictures are encoded: `encoder` by FFmpeg's name, with its `options`; `format` of the samples, `unit` of the
    times, `aspect` the shape of a pixel, `matrix` how players turn or mirror them (nine numbers), `fields` in
    which order two make a picture (FFmpeg's number; 0: they are whole), `ordered` no B-frames, `headers` the container
    keeps what describes the stream, `tag` what it calls the codec where that is a choice, `tags` the track's own (its
    language, its title). `library`: whose bytes they are. `notes`: what of the pictures is lost, a line each.
    `loudness`, LUFS, that sound is brought to; None: it is copied."""

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
    fields: int
    ordered: bool
    headers: bool
    tag: str | None
    tags: Mapping[str, str]
    library: str
    notes: tuple[str, ...] = ()
    loudness: float | None = None

    @property
    def is_rgb(self) -> bool:
        """Whether the samples are red, green and blue."""
        return bool(av.VideoFormat(self.format).is_rgb)


def encoding_of(clip: Clip, out: Path, settings: WriteSettings) -> Encoding:
    """How to encode the pictures of a clip for the file `out`. Raises OutputError for what cannot be."""
    kind, film, samples = kind_of(out), clip.film, clip.format
    codec, form = chosen(kind, samples, settings)
    is_rgb = av.VideoFormat(form).is_rgb
    fields = max(film.fields if film else 0, TOP_FIRST) if samples.fields else 0
    parameters = [*reproducible(codec.encoder), *_light(clip.beside, codec.encoder), *_order(fields, codec.encoder)]
    encoding = Encoding(
        encoder="libx264rgb" if is_rgb and codec.name == "h264" else codec.encoder,
        options=options_of(codec, samples, settings, parameters), format=form,
        width=samples.width, height=samples.height,
        rate=min(clip.rate.limit_denominator(1001), codec.fastest),
        unit=time_base(kind, clip.pts, clip.time_base, clip.rate),
        colour=_colour(clip, codec.limited, is_rgb), aspect=film.aspect if film else None,
        matrix=matrix_in(clip.beside),
        fields=fields, ordered=kind.ordered, headers=kind.heads,
        tag=kind.tags_of.get(codec.name), tags=own_tags(film.tags) if film else {},
        library=av.__version__,
        notes=lost_in(codec, form, samples, settings.lossless), loudness=settings.loudness,
    )  # fmt: skip
    try:
        encoder(encoding)
    except (av.FFmpegError, ValueError) as error:
        message = f"{codec.name} cannot encode these pictures ({samples.words})"
        raise OutputError(message, "choose another `write.codec`") from error
    return encoding


def encoder(encoding: Encoding) -> Any:
    """A codec context, open."""
    context = _prepared(av.CodecContext.create(encoding.encoder, "w"), encoding)
    if encoding.headers:
        context.flags |= int(Flags.global_header)
    context.open()
    return context


def track(target: Any, encoding: Encoding) -> Any:
    """A track of a file for what the encoding's encoder yields."""
    made = target.add_stream(encoding.encoder, rate=encoding.rate)
    _prepared(made.codec_context, encoding)
    made.time_base = encoding.unit
    made.metadata.update(encoding.tags)
    if encoding.matrix:
        made.set_display_matrix(encoding.matrix)
    return made


def _prepared(context: Any, encoding: Encoding) -> Any:
    context.options = dict(encoding.options)
    context.framerate, context.time_base, context.bit_rate = encoding.rate, encoding.unit, 0
    context.width, context.height, context.pix_fmt = encoding.width, encoding.height, encoding.format
    if encoding.tag:
        context.codec_tag = encoding.tag
    # cut into slices, as is the default, x264's pictures would be larger; FFmpeg's own encoders know no other threads
    context.thread_type = "FRAME" if encoding.encoder.startswith("lib") else "SLICE"
    context.flags |= int(Flags.frame_duration)
    if encoding.fields:
        context.flags |= int(Flags.interlaced_dct) | int(Flags.interlaced_me)
        context.field_order = encoding.fields
        if encoding.encoder == "libx264":
            context.flags |= int(Flags.copy_opaque)
    if encoding.ordered:
        context.max_b_frames = 0
    context.colorspace, context.color_range, context.color_primaries, context.color_trc = encoding.colour
    if encoding.aspect:
        context.sample_aspect_ratio = encoding.aspect
    return context


def timed(clip: Clip, pictures: Iterable[Picture], origin: int, encoding: Encoding) -> Iterator[Picture]:
    """The pictures, ready to encode: each in the encoding's format, at its time in the clip, `origin` (pts) being 0."""
    reformatter, ordered = VideoReformatter(), Ordered(encoding.fields)
    for index, native in pictures:
        pts, duration = int(clip.pts[index]) - origin, clip.duration(index)
        fitted = _fitted(native, encoding, reformatter)
        fitted.pts, fitted.duration, fitted.time_base = pts, duration, clip.time_base
        fitted.pict_type = 0  # else x264 repeats the source's choice of key pictures, at a fifth more bytes
        yield index, ordered.ordered(fitted) if encoding.fields and encoding.encoder != "ffv1" else fitted


def encoded(context: Any, native: Any) -> Iterator[Any]:
    """The packets that an encoder or a track yields for a picture, or for None, the end."""
    packets = context.encode(native)
    return marked_whole(packets) if context.name == "libx264" else iter(packets)


def _fitted(native: Any, encoding: Encoding, reformatter: VideoReformatter) -> Any:
    """A picture in the encoding's format, matrix and range, whatever its own are: in some films they change."""
    if native.format.is_rgb:
        if encoding.is_rgb:
            return reformatter.reformat(native, format=encoding.format, interpolation=EXACT, threads=1)
        matrix, reach = encoding.colour[0], encoding.colour[1] or LIMITED
        return reformatter.reformat(native, format=encoding.format, interpolation=EXACT, dst_colorspace=matrix,
                                    dst_color_range=reach, threads=1)  # fmt: skip
    source, wanted = native.color_range or LIMITED, encoding.colour[1] or LIMITED
    other = _matrix(native.colorspace, encoding) != _matrix(encoding.colour[0], encoding)
    if native.format.name == encoding.format and source == wanted and not other:
        return native
    return reformatter.reformat(
        native, format=encoding.format, interpolation=EXACT, src_color_range=source, dst_color_range=wanted, threads=1,
        dst_colorspace=_matrix(encoding.colour[0], encoding) if other and not encoding.is_rgb else None,
    )  # fmt: skip


def _matrix(matrix: int, encoding: Encoding) -> int:
    """A matrix as PyAV takes it, which knows BT.601 by one of its numbers alone; what is untagged has the clip's."""
    known = next((each for each in (matrix, encoding.colour[0]) if each != UNTAGGED), None)
    known = matrix_of(encoding.width, encoding.height) if known is None else known
    return FILM625 if known == BT601 else known


def reproducible(encoder: str) -> list[str]:
    """What makes an encoder yield the same bytes at each run: x264's AVX-512 code does not."""
    avx512 = _PROCESSOR.exists() and "avx512" in _PROCESSOR.read_text()
    return ["asm=AVX2"] if encoder == "libx264" and avx512 else []


def _order(fields: int, encoder: str) -> list[str]:
    """What x264 must be told beside the pictures' own flags."""
    return ["bff=1"] if encoder == "libx264" and fields in BOTTOM_FIRST else []


def _light(beside: Mapping[str, bytes], encoder: str) -> list[str]:
    """HDR10's static metadata (SMPTE ST 2086, CTA 861.3) beside a picture, in the encoder's own words."""
    if encoder not in ("libx264", "libx265", "libsvtav1"):
        return []
    words = {"libx264": ("mastering-display", "cll"), "libx265": ("master-display", "max-cll"),
             "libsvtav1": ("mastering-display", "content-light")}[encoder]  # fmt: skip
    found = []
    if display := beside.get("MASTERING_DISPLAY_METADATA"):
        *ratios, has_colours, has_light = struct.unpack("<22i", display)
        values = [Fraction(*pair) if pair[1] else Fraction(0) for pair in zip(ratios[::2], ratios[1::2])]
        if has_colours and has_light:
            found.append(f"{words[0]}={_display(values, whole=encoder != 'libsvtav1')}")
    if light := beside.get("CONTENT_LIGHT_LEVEL"):
        found.append(f"{words[1]}={','.join(map(str, struct.unpack('<2I', light)))}")
    return [*found, "hdr10=1"] if found and encoder == "libx265" else found


def _display(values: Sequence[Fraction], whole: bool) -> str:
    """A mastering display: primaries R G B and white (x, y each), least and most light in cd/m2; in whole numbers of
    1/50000 and of 1/10000 cd/m2, or as they are."""
    places = [str(round(value * 50000)) if whole else f"{float(value):.5f}" for value in values[:8]]
    most, least = (str(round(value * 10000)) if whole else f"{float(value):.4f}" for value in (values[9], values[8]))
    pairs = {name: f"({places[i]},{places[i + 1]})" for name, i in (("G", 2), ("B", 4), ("R", 0), ("WP", 6))}
    return "".join(f"{name}{pair}" for name, pair in pairs.items()) + f"L({most},{least})"


def _colour(clip: Clip, limited: bool, is_rgb: bool) -> tuple[int, int, int, int]:
    matrix, reach, primaries, light = clip.colour
    return (RGB, FULL, primaries, light) if is_rgb else (matrix, LIMITED if limited else reach, primaries, light)
