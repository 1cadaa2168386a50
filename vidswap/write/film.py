"""Pictures + the source's own streams -> a file, by way of finished segments. The only encoder of results.

Pictures are encoded at the very times of the clip, in segments that stand for themselves and stay in the work folder
whatever happens (write.work). When the last one is there they are joined, packet by packet, with the copied sound
and subtitles; the file gets its name when it is whole. An uninterrupted render and one that went on after a crash take
the same path, so their bytes are equal. At the end segments and file exist side by side: a render takes twice the
result's size on the disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path
from typing import Any

import av
import numpy as np

from vidswap.errors import OutputError
from vidswap.files import as_output_error, publish
from vidswap.keys import digest_of_bytes
from vidswap.media import copying
from vidswap.media.containers import kind_of
from vidswap.media.encoder import Encoding, Picture, encoded, encoder, encoding_of, timed, track
from vidswap.media.groups import Group
from vidswap.media.packets import seconds
from vidswap.settings import WriteSettings
from vidswap.types import Clip
from vidswap.write.target import check_film
from vidswap.write.work import MADE, Packet, WorkFolder, open_work

_STEADY = {"fflags": "+bitexact"}  # else Matroska's numbers of tracks are drawn by lot
_PART = f"{MADE}.part"  # the film, until it is whole
_HINT = "check the folder and its permissions, or write an .mkv"
_INTERLEAVED = 2  # seconds that packets of one moment may lie apart in a file


@dataclass(frozen=True, eq=False)
class Finished:
    """A frame that goes into the result. `native` may be a Group, which goes there as it is; those of its other frames
    are None. `repeated`: it could not be decoded, or not wholly; `painted`: there is another face on it."""

    index: int
    native: Any
    repeated: bool = False
    painted: bool = False


def encode(
    clip: Clip, frames: Iterable[Picture], out: Path, settings: WriteSettings, labels: Mapping[str, str]
) -> None:
    """Write `out` from (index, native picture) of consecutive frames of the clip: `render` and `join`, in a work folder
    that does not outlive the call. Raises OutputError; whatever is raised, by `frames` as well, no file is left."""
    check_film(clip, out)
    pictures = iter(frames)
    first = next(pictures, None)
    if first is None:
        raise OutputError("there are no frames to write", "choose a range that has some")
    encoding = encoding_of(clip, out, settings)
    with open_work(out, kept=False) as folder:
        work = WorkFolder(folder, "", first[0], settings.segment)
        write_segments(clip, (Finished(*picture) for picture in chain([first], pictures)), work, out, encoding)
        join(clip, work, out, encoding, labels)


def write_segments(clip: Clip, frames: Iterable[Finished], work: WorkFolder, out: Path, encoding: Encoding) -> None:
    """Encode consecutive frames of the clip, from `work.reached` on, as segments of `work`, each on the disk before the
    next is begun; times come from `clip.pts`. Raises OutputError; whatever is raised, by `frames` as well, the finished
    segments stay."""
    pictures = iter(frames)
    for first in pictures:
        start, chunk = work.reached, list[Finished]()
        waiting = chain([first], islice(pictures, work.boundary_after(start) - start - 1))
        if first.index != start:
            raise ValueError(f"write_segments: expected frame {start}, got {first.index}")

        def natives(waiting: Iterator[Finished] = waiting, chunk: list[Finished] = chunk) -> Iterator[Picture]:
            for each in waiting:
                chunk.append(replace(each, native=None))
                yield each.index, each.native

        with as_output_error(out, av.FFmpegError, hint=_HINT), work.growing() as growing:
            context = encoder(encoding)
            copied = isinstance(first.native, Group)
            growing.add(_copied(clip, natives(), start) if copied else _made(clip, natives(), start, encoding, context))
            span, head = range(start, start + len(chunk)), bytes(context.extradata or b"")
            end = int(clip.pts[span[-1]] - clip.pts[start]) + clip.duration(span[-1])
            counts = [sum(each.repeated for each in chunk), sum(each.painted for each in chunk)]
            work.finish(growing.segment(span, end, head, *counts), growing)


def join(clip: Clip, work: WorkFolder, out: Path, encoding: Encoding, labels: Mapping[str, str]) -> None:
    """Make `out` of all segments of `work` and the clip's own streams, copied.

    A range that starts after the first frame is moved to time 0, with its sound; one that ends early ends the sound
    too. `labels` join the clip's own tags: mp4 and mov keep those of the usual names (`comment`, `description` ...; the
    switch that would keep all loses cover pictures), mkv all. Raises OutputError."""

    def steps(video: Any, shift: int) -> Iterator[_Step]:
        own = digest_of_bytes(bytes(video.codec_context.extradata or b""))
        if any(segment.head != own for segment in work.segments):
            raise OutputError(f"{out}: the segments of it do not fit together", "start over: `write.resume=False`")
        return _joined(video, clip, work, shift)

    _written(clip, (work.start, work.reached), steps, folder=work.folder, out=out, encoding=encoding, labels=labels)


def transcode(clip: Clip, frames: Iterable[Picture], out: Path, settings: WriteSettings) -> None:
    """As `encode`, in one pass without segments: what a render is compared with."""
    pictures = iter(frames)
    first = next(pictures)
    encoding = encoding_of(clip, out, settings)
    with open_work(out, kept=False) as folder:
        _written(clip, (first[0], len(clip)),
                 lambda video, shift: _encoded(video, clip, chain([first], pictures), shift, encoding),
                 folder=folder, out=out, encoding=encoding, labels={})  # fmt: skip


def _written(
    clip: Clip, span: tuple[int, int], steps: Callable[[Any, int], Iterator[_Step]], *,
    folder: Path, out: Path, encoding: Encoding, labels: Mapping[str, str],
) -> None:  # fmt: skip
    """Write `out`, whose pictures, the frames of `span`, are those of `steps`, made for a track and a shift in time."""
    part = folder / _PART
    try:
        with (
            as_output_error(out, av.FFmpegError, hint=_HINT), copying.opened_for(clip) as source,
            _target(folder, out, clip) as target,
        ):  # fmt: skip
            trim = copying.trim_of(clip, *span)
            video = track(target, encoding)
            tracks = copying.copied_streams(clip, source, target, encoding.loudness)
            copying.describe(clip, target, video, trim, labels)
            target.start_encoding()
            others = copying.copied_packets(clip, source, tracks, trim, encoding.loudness)
            for packets in _interleaved(steps(video, round(trim.origin / clip.time_base)), others):
                target.mux(packets)
        with as_output_error(out):
            publish(part, out)
    finally:
        part.unlink(missing_ok=True)


# -- pictures and sound in step ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Step:
    """Packets of pictures, when the last of these ends, and whether the clip ends there."""

    packets: list[Any]
    end: Fraction
    last: bool


def _encoded(video: Any, clip: Clip, pictures: Iterable[Picture], shift: int, encoding: Encoding) -> Iterator[_Step]:
    last, end = False, Fraction(0)
    for index, native in timed(clip, pictures, shift, encoding):
        last, end = index == len(clip) - 1, (native.pts + native.duration) * clip.time_base
        yield _Step(list(encoded(video, native)), end, last=False)
    yield _Step(list(encoded(video, None)), end, last)


def _joined(video: Any, clip: Clip, work: WorkFolder, shift: int) -> Iterator[_Step]:
    """The packets of all segments as one stream. Their times of decoding are made anew for the whole of it: the n-th
    packet is decoded when picture n - delay is shown. Those of each segment would run into those of the next."""
    stop = work.reached
    shown = clip.pts[work.start : stop] - shift
    ends = int(clip.pts[stop - 1]) - shift
    delay = max(segment.delay for segment in work.segments)
    step = max(1, int(np.median(np.diff(shown)))) if len(shown) > 1 else 1
    place = 0
    for segment in work.segments:
        begin = int(clip.pts[segment.start]) - shift
        ends = begin + segment.end
        for payload, time, key in work.read(segment):
            packet = av.Packet(payload)
            packet.stream, packet.time_base, packet.is_keyframe = video, clip.time_base, key
            packet.pts = begin + time
            packet.dts = int(shown[place - delay]) if place >= delay else int(shown[0]) - (delay - place) * step
            after = int(np.searchsorted(shown, packet.pts)) + 1
            packet.duration = (int(shown[after]) if after < len(shown) else ends) - packet.pts
            yield _Step([packet], (packet.dts + step) * clip.time_base, last=False)
            place += 1
    yield _Step([], ends * clip.time_base, last=stop == len(clip))


def _interleaved(steps: Iterator[_Step], sound: Iterator[Any]) -> Iterator[list[Any]]:
    """Packets of pictures and sound in step, so that the muxer has nothing to hoard. Sound after the last picture goes
    on only where the clip itself ends."""
    held = next(sound, None)
    step = _Step([], Fraction(0), last=True)
    for step in steps:
        yield step.packets
        while held is not None and seconds(held) < step.end:
            yield [held]
            held = next(sound, None)
    for packet in () if held is None else chain([held], sound):
        late = seconds(packet) - step.end
        if step.last or late < 0:
            yield [packet]
        elif late > _INTERLEAVED:
            return


def _made(clip: Clip, pictures: Iterable[Picture], start: int, encoding: Encoding, context: Any) -> Iterator[Packet]:
    """The packets of pictures from frame `start` on."""
    natives = (native for _, native in timed(clip, pictures, int(clip.pts[start]), encoding))
    for packet in chain.from_iterable(encoded(context, native) for native in chain(natives, [None])):
        yield bytes(packet), int(packet.pts * packet.time_base / clip.time_base), packet.is_keyframe


def _copied(clip: Clip, pictures: Iterable[Picture], start: int) -> Iterator[Packet]:
    """The packets of groups from frame `start` on, at the times of the clip."""
    for group in (native for _, native in pictures if native is not None):
        for each in group.coded:
            yield each.payload, int(clip.pts[each.index] - clip.pts[start]), each.key


# -- files ------------------------------------------------------------------------------------------------------------


def _target(folder: Path, out: Path, clip: Clip) -> Any:
    kind, part = kind_of(out), f"file:{folder / _PART}"
    return av.open(part, "w", format=kind.muxer, container_options={**_STEADY, **copying.muxing(clip, kind)})
