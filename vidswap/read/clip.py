"""A path -> Clip, a Clip -> Frames. The only decoder.

The times of a Clip come from a scan of the packets, without decoding; the pictures are then put at those times. So a
clip has as many frames as its file has packets, whatever the header claims and whatever is damaged: a frame that
cannot be decoded repeats the one before it.

Every `Frame.native` is planar YUV (or grey) of 8 to 16 bits, in stored orientation; palettes, RGB and semi-planar
pictures are converted here, so that no later stage meets them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.stream import Disposition
from av.video.reformatter import Interpolation, VideoReformatter

from vidswap.errors import InputError
from vidswap.types import Array, Clip, Frame

# Without these flags swscale's rounding alone costs 1.5 dB after encoding.
_EXACT = (
    Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
)
_BT709, _UNTAGGED, _BT601, _LIMITED = 1, 2, 6, 1
_HD_LINES = 720  # from here on an untagged picture is BT.709; FFmpeg alone would take it for BT.601
_NUDGE = 90  # ticks that a tick is split into, to part frames with the same time
_STEPS_BACK = (0, 2, 5, 15, 60)  # seconds, tried until the decoder lands before the wanted frame
_VIDEO_KINDS = "give an mp4, mov, mkv, webm, avi, ts or gif file"


def open_clip(path: Path) -> Clip:
    """The facts of a video file. Reads all packets, decodes one picture.

    Raises InputError: missing, a folder, empty, not a video, without a video stream, or nothing in it decodes."""
    _refuse_unreadable(path)
    with _opened(path) as container:
        stream = _video_stream(container, path)
        pts, time_base = _times(container, stream)
        streams, name = tuple(each.type for each in container.streams), container.format.name
        rate = Fraction(stream.average_rate or stream.guessed_rate or 25)
    first = _first_picture(path)
    colour = _colour(first)  # before _planar: a clip without tags shall stay one, players guess alike then
    planar = _planar(first, VideoReformatter())
    return Clip(
        path=path, width=planar.width, height=planar.height, pts=pts, time_base=time_base, rate=rate,
        colour=colour if planar is first else _colour(planar), rotation=int(first.rotation), streams=streams,
        container=name,
    )  # fmt: skip


def frames(clip: Clip, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
    """Frames [start, stop) of a clip in order, one for each of `clip.pts`; memory does not grow with their number.

    The frames share one colour converter: ask for `rgb` in one thread at a time. Raises InputError."""
    stop = len(clip) if stop is None else min(stop, len(clip))
    if start >= stop:
        return
    to_rgb = partial(_rgb, VideoReformatter())
    index = start
    for place, native in _placed(clip, start, stop):
        if place > index:  # a gap: the picture before it, or at the very beginning the one after
            still = _last_good(clip, index) or native
            yield from (Frame(missing, _copy(still), to_rgb) for missing in range(index, place))
        yield Frame(place, native, to_rgb)
        index = place + 1
    if index < stop:
        still = _last_good(clip, index)
        if still is None:
            raise InputError(f"{clip.path.name}: no picture in it can be decoded", "the file is damaged")
        yield from (Frame(missing, _copy(still), to_rgb) for missing in range(index, stop))


# -- opening ----------------------------------------------------------------------------------------------------------


def _refuse_unreadable(path: Path) -> None:
    if not path.exists():
        raise InputError(f"there is no file {path}", "check the path of the clip")
    if path.is_dir():
        raise InputError(f"{path} is a folder", _VIDEO_KINDS)
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty", "copy or download the clip again")


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    av.logging.set_libav_level(av.logging.PANIC)  # FFmpeg's own chatter would drown our one line
    try:
        container = av.open(f"file:{path}", metadata_errors="ignore")
    except (av.FFmpegError, OSError) as error:
        raise InputError(f"{path} cannot be read as a video ({error.strerror})", _VIDEO_KINDS) from error
    with container:
        name = container.format.name
        if name.endswith("_pipe") or name in ("image2", "tty"):
            raise InputError(f"{path} is not a video ({name})", _VIDEO_KINDS)
        yield container


def _video_stream(container: Any, path: Path) -> Any:
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            if stream.codec_context is None:
                raise InputError(f"{path}: no decoder for its video codec", "convert it to H.264 first")
            stream.thread_type = "AUTO"
            return stream
    raise InputError(f"{path} has no video stream", "choose a file with pictures, not only sound")


# -- times ------------------------------------------------------------------------------------------------------------


def _times(container: Any, stream: Any) -> tuple[Array, Fraction]:
    """Strictly increasing times of the shown frames and their unit.

    AVI and raw streams carry no times of display, FFmpeg makes some up in decoding order: there the n-th picture gets
    the n-th time of decoding, or n / rate."""
    shown = [(packet.pts, packet.dts) for packet in _packets(container, stream) if _is_shown(packet)]
    if not shown:
        raise InputError(f"{container.name.removeprefix('file:')}: its video stream is empty", "the file is damaged")
    pts, dts = ([times[side] for times in shown] for side in (0, 1))
    times = dts if container.format.name == "avi" else pts
    if any(time is None for time in times):
        rate = Fraction(stream.average_rate or stream.guessed_rate or 25)
        return np.arange(len(shown), dtype=np.int64), 1 / rate
    return increasing(np.sort(np.array(times, np.int64)), Fraction(stream.time_base))


def increasing(pts: Array, time_base: Fraction) -> tuple[Array, Fraction]:
    """Sorted times made strictly increasing; where two were equal the later one is moved by 1/90 of a tick."""
    if np.all(np.diff(pts) > 0):
        return pts, time_base
    order = np.arange(len(pts))
    return np.maximum.accumulate(pts * _NUDGE - order) + order, time_base / _NUDGE


def _is_shown(packet: Any) -> bool:
    if not packet.size or packet.is_discard:  # the end marker, or hidden by an edit list
        return False
    hidden = packet.stream.codec_context.name == "vp8" and not memoryview(packet)[0] & 0x10  # an alternate reference
    return not hidden


def _packets(container: Any, stream: Any) -> Iterator[Any]:
    """The packets of a stream up to the end or to where the file breaks off, then an end marker."""
    try:
        yield from container.demux(stream)
    except av.FFmpegError:
        yield av.Packet()


# -- pictures ---------------------------------------------------------------------------------------------------------


def _decoded(container: Any, stream: Any) -> Iterator[Any]:
    """Pictures packet by packet: a damaged packet loses its own picture, not the rest of the file."""
    for packet in _packets(container, stream):
        try:
            pictures = stream.decode(packet if packet.size else None)
        except av.FFmpegError:
            continue
        for picture in pictures:
            picture.time_base = stream.time_base  # flushing leaves it out
            yield picture


def _placed(clip: Clip, start: int, stop: int) -> Iterator[tuple[int, Any]]:
    """(index, native) of the pictures that decode, in order, indices increasing, within [start, stop)."""
    with _opened(clip.path) as container:
        stream = _video_stream(container, clip.path)
        ratio = Fraction(stream.time_base) / clip.time_base
        counted = clip.container == "avi" or ratio.denominator != 1
        target = None if counted or start == 0 else int(clip.pts[start] / int(ratio))
        reformatter = VideoReformatter()
        index = -1
        for native in _decoded(container, stream) if target is None else _from(container, stream, target):
            if counted or native.pts is None:
                index += 1
            else:
                index = max(index + 1, int(np.searchsorted(clip.pts, native.pts * int(ratio))))
            if index >= stop:
                return
            if index >= start:
                yield index, _sized(_planar(native, reformatter), clip, reformatter)


def _from(container: Any, stream: Any, target: int) -> Iterator[Any]:
    """Pictures from one at or before `target` on. Where a seek lands is verified: some containers overshoot."""
    for seconds in _STEPS_BACK:
        try:
            container.seek(target - round(seconds / stream.time_base), stream=stream)
        except av.FFmpegError:
            break
        pictures = _decoded(container, stream)
        first = next(pictures, None)
        if first is not None and first.pts is not None and first.pts <= target:
            return chain([first], pictures)
    container.seek(stream.start_time or 0, stream=stream)
    return _decoded(container, stream)


def _last_good(clip: Clip, index: int) -> Any:
    """The last picture before `index` that decodes, or None. Decodes anew: who was handed it may have changed it."""
    last = None
    for _, native in _placed(clip, max(0, index - 1), index):
        last = native
    for _, native in () if last or index < 2 else _placed(clip, 0, index):
        last = native
    return last


def _first_picture(path: Path) -> Any:
    with _opened(path) as container:
        for picture in islice(_decoded(container, _video_stream(container, path)), 1):
            return picture
    raise InputError(f"{path}: no picture in it can be decoded", "the file is damaged, or its codec is not supported")


# -- colour -----------------------------------------------------------------------------------------------------------


def _colour(native: Any) -> tuple[int, int, int, int]:
    return native.colorspace, native.color_range, native.color_primaries, native.color_trc


def _planar(native: Any, reformatter: VideoReformatter) -> Any:
    """The frame itself, tagged, if it is planar YUV or grey; else converted: 4:2:0 for players, 4:4:4 if its size is
    odd, because x264 takes no odd 4:2:0."""
    matrix = _BT709 if native.height >= _HD_LINES else _BT601
    if _is_planar_yuv(native.format):
        if native.colorspace == _UNTAGGED and matrix == _BT709:
            native.colorspace = _BT709
        return native
    to = "yuv444p" if native.width % 2 or native.height % 2 else "yuv420p"
    planar = reformatter.reformat(native, format=to, interpolation=_EXACT, dst_colorspace=matrix,
                                  dst_color_range="MPEG", threads=1)  # fmt: skip
    planar.colorspace, planar.color_range = matrix, _LIMITED
    planar.pts, planar.time_base, planar.duration = native.pts, native.time_base, native.duration
    return planar


def _sized(native: Any, clip: Clip, reformatter: VideoReformatter) -> Any:
    """A picture whose size changes in the middle of a stream, brought back to the clip's."""
    if (native.width, native.height) == (clip.width, clip.height):
        return native
    return reformatter.reformat(native, clip.width, clip.height, interpolation=_EXACT, threads=1)


def _is_planar_yuv(shape: Any) -> bool:
    planes, bits = [part.plane for part in shape.components], shape.components[0].bits
    alone = planes in ([0], [0, 1, 2], [0, 1, 2, 3])  # each component has a plane to itself; the fourth is alpha
    return alone and 8 <= bits <= 16 and not (shape.is_rgb or shape.has_palette or shape.is_big_endian)


def _rgb(reformatter: VideoReformatter, native: Any) -> Array:
    picture = reformatter.reformat(native, format="rgb24", interpolation=_EXACT, threads=1)
    return np.asarray(picture.to_ndarray(), np.uint8)


def _copy(native: Any) -> Any:
    """A new frame with the same pixels, colour tags and time."""
    twin = av.VideoFrame(native.width, native.height, native.format.name)
    for source, target in zip(native.planes, twin.planes, strict=True):
        rows = np.frombuffer(source, np.uint8).reshape(source.height, -1)
        room = np.frombuffer(target, np.uint8).reshape(target.height, -1)
        width = min(rows.shape[1], room.shape[1])
        room[:, :width] = rows[:, :width]
    twin.colorspace, twin.color_range = native.colorspace, native.color_range
    twin.color_primaries, twin.color_trc = native.color_primaries, native.color_trc
    twin.pts, twin.time_base, twin.duration = native.pts, native.time_base, native.duration
    return twin
