"""Pictures + the source's own streams -> a file. The only encoder.

Pictures become H.264 at the very times of the clip; sound and subtitles are copied packet by packet. The file grows
under the name `OUT.part` and gets its own only when it is whole, so that a failure leaves nothing behind.
"""

from __future__ import annotations

import errno
import io
import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av
from av.codec.context import Flags

from vidswap.errors import OutputError
from vidswap.settings import WriteSettings
from vidswap.types import Clip
from vidswap.write import passthrough

_FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
# Edit lists count in the movie's unit: at the default 1/1000 s the sound would start up to 1 ms off.
_MUXING = {"movflags": "faststart", "movie_timescale": "90000"}
_PROCESSOR = Path("/proc/cpuinfo")
_INTERLEAVED = 2  # seconds that packets of one moment may lie apart in a file
_MICROSECONDS = 1_000_000
_PREROLL = Fraction(1, 2)  # seconds of sound read before a range

Picture = tuple[int, Any]  # index in the clip, av.VideoFrame


def check_writable(clip: Clip, out: Path) -> None:
    """Raise OutputError when `out` cannot become the result: unknown ending, no such folder, not writable, the clip
    itself, or a container that does not take the clip's sound. Call it before rendering; it leaves nothing behind."""
    if out.suffix.lower() not in _FORMATS:
        raise OutputError(f"{out.name} has no known ending", f"end the output in one of: {' '.join(_FORMATS)}")
    if out.is_dir():
        raise OutputError(f"{out} is a folder", "give the path of a file")
    if not out.parent.is_dir():
        raise OutputError(f"there is no folder {out.parent}", "make it first")
    if out.exists() and out.samefile(clip.path):
        raise OutputError(f"{out} is the clip itself", "give the result another name")
    with _fence(out):
        _part(out).touch()
        _part(out).unlink()
    with _fence(out), _source(clip) as source, av.open(io.BytesIO(), "w", format=_format(out)) as trial:
        passthrough.copied_streams(source, trial)


def encode(
    clip: Clip, frames: Iterable[Picture], out: Path, settings: WriteSettings, labels: Mapping[str, str]
) -> None:
    """Write `out` from (index, native picture) of consecutive frames of the clip; times come from `clip.pts`.

    A range that starts after the first frame is moved to time 0, with its sound; one that ends early ends the sound
    too. `labels` join the clip's own tags: mp4 and mov keep those of the usual names (`comment`, `description` ...; the
    switch that would keep all loses cover pictures), mkv all. Raises OutputError; whatever is raised, by `frames` as
    well, no file is left."""
    check_writable(clip, out)
    pictures = iter(frames)
    first = next(pictures, None)
    if first is None:
        raise OutputError("there are no frames to write", "choose a range that has some")
    try:
        with _fence(out), _source(clip) as source, _target(out) as target:
            origin = _origin(clip, first[0], source)
            video = _video_track(target, source, clip, first[1], settings)
            tracks = passthrough.copied_streams(source, target)
            target.metadata.update({**passthrough.tags(source.metadata), **labels})
            target.start_encoding()
            sound = passthrough.moved(_packets(source, tracks, origin), tracks, origin, trimmed=first[0] > 0)
            for packets in _interleaved(_encoded(video, clip, chain([first], pictures), origin), sound):
                target.mux(packets)
        with _fence(out):
            _settle(_part(out), out)
    finally:
        _part(out).unlink(missing_ok=True)


# -- pictures and sound in step ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Step:
    """The packets that came out when a picture went in, when that picture ends, and whether the clip ends there."""

    packets: list[Any]
    end: Fraction
    last: bool


def _encoded(video: Any, clip: Clip, pictures: Iterable[Picture], origin: Fraction) -> Iterator[_Step]:
    shift = round(origin / clip.time_base)
    index, end = 0, Fraction(0)
    for index, native in pictures:
        native.pts, native.duration = int(clip.pts[index]) - shift, _duration(clip, index, native)
        native.time_base = clip.time_base
        native.pict_type = 0  # else x264 repeats the source's choice of key pictures, at a fifth more bytes
        end = (native.pts + native.duration) * clip.time_base
        yield _Step(video.encode(native), end, last=False)
    yield _Step(video.encode(None), end, last=index == len(clip) - 1)


def _interleaved(steps: Iterator[_Step], sound: Iterator[Any]) -> Iterator[list[Any]]:
    """Packets of pictures and sound in step, so that the muxer has nothing to hoard. Sound after the last picture goes
    on only where the clip itself ends."""
    held = next(sound, None)
    step = _Step([], Fraction(0), last=True)
    for step in steps:
        yield step.packets
        while held is not None and passthrough.seconds(held) < step.end:
            yield [held]
            held = next(sound, None)
    for packet in () if held is None else chain([held], sound):
        late = passthrough.seconds(packet) - step.end
        if step.last or late < 0:
            yield [packet]
        elif late > _INTERLEAVED:
            return


def _duration(clip: Clip, index: int, native: Any) -> int:
    """How long a frame is shown, in the clip's unit: up to the next; the last as its container says, or as the one
    before."""
    if index + 1 < len(clip):
        return int(clip.pts[index + 1] - clip.pts[index])
    if native.duration and native.time_base:
        return max(1, round(Fraction(native.duration * native.time_base) / clip.time_base))
    return int(clip.pts[-1] - clip.pts[-2]) if len(clip) > 1 else max(1, round(1 / clip.rate / clip.time_base))


def _origin(clip: Clip, index: int, source: Any) -> Fraction:
    """Seconds by which all times are moved: a range begins at 0, and so does a transport stream, whose own clock starts
    anywhere."""
    if index > 0:
        return Fraction(int(clip.pts[index]) * clip.time_base)
    if clip.container == "mpegts":
        return Fraction(source.start_time or 0, _MICROSECONDS)
    return Fraction(0)


def _packets(source: Any, tracks: Mapping[int, Any], origin: Fraction) -> Iterator[Any]:
    """The packets of the copied streams, from a little before `origin` on, up to where the file ends or breaks off."""
    if not tracks:
        return
    try:
        if origin > _PREROLL:
            source.seek(int((origin - _PREROLL) * _MICROSECONDS))
        yield from source.demux([source.streams[index] for index in tracks])
    except av.FFmpegError:
        return


# -- the video track --------------------------------------------------------------------------------------------------


def _video_track(target: Any, source: Any, clip: Clip, native: Any, settings: WriteSettings) -> Any:
    """An H.264 track like the clip's pictures: size, sampling, depth, colour tags, shape of a pixel, turn, fields."""
    options = {"crf": str(settings.crf), "preset": settings.preset}
    if _PROCESSOR.exists() and "avx512" in _PROCESSOR.read_text():
        options["x264-params"] = "asm=AVX2"  # x264's AVX-512 code gives other bytes at each run
    track = target.add_stream("libx264", rate=clip.rate.limit_denominator(1001), options=options)
    context = track.codec_context
    context.time_base = track.time_base = clip.time_base
    context.width, context.height, context.pix_fmt = native.width, native.height, _pixel_format(native)
    context.thread_type = "FRAME"  # the default would cut each picture into slices
    context.flags |= int(Flags.frame_duration)
    if native.interlaced_frame:
        context.flags |= int(Flags.interlaced_dct) | int(Flags.interlaced_me)
    context.colorspace, context.color_range, context.color_primaries, context.color_trc = clip.colour
    original = next(stream for stream in source.streams.video if not passthrough.is_cover(stream))
    if original.sample_aspect_ratio:
        context.sample_aspect_ratio = original.sample_aspect_ratio
    track.metadata.update(passthrough.tags(original.metadata))
    matrix = _display_matrix(native)
    if matrix:
        track.set_display_matrix(matrix)
    return track


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


# -- files ------------------------------------------------------------------------------------------------------------


def _part(out: Path) -> Path:
    return out.with_name(f"{out.name}.part")


def _format(out: Path) -> str:
    return _FORMATS[out.suffix.lower()]


def _source(clip: Clip) -> Any:
    return av.open(f"file:{clip.path}", metadata_errors="ignore")


def _target(out: Path) -> Any:
    av.logging.set_libav_level(av.logging.PANIC)  # what goes wrong is raised, and told in one line
    form = _format(out)
    return av.open(f"file:{_part(out)}", "w", format=form, container_options={} if form == "matroska" else _MUXING)


def _settle(part: Path, out: Path) -> None:
    """Give the finished file its name, once its bytes are on the disk."""
    with open(part, "rb+") as written:
        os.fsync(written.fileno())
    os.replace(part, out)


@contextmanager
def _fence(out: Path) -> Iterator[None]:
    try:
        yield
    except (av.FFmpegError, OSError) as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        hint = "free some space" if full else "check the folder and its permissions, or write an .mkv"
        raise OutputError(f"{out} cannot be written ({error.strerror or error})", hint) from error
