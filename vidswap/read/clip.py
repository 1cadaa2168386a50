"""A path -> Clip, a Clip -> Frames. The only decoder of clips; read.stills has pictures, animations and sequences.

The times of a Clip come from a scan of the packets, without decoding; the pictures are then put at those times. So a
clip has as many frames as its file has packets, whatever the header claims and whatever is damaged: a frame that
cannot be decoded repeats the one before it, and says so.

Every `Frame.native` is planar YUV, planar RGB or grey of 8 to 16 bits, in stored orientation, with its transparency;
palettes, packed and semi-planar pictures are converted here, so that no later stage meets them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from fractions import Fraction
from functools import partial
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from vidswap.errors import InputError, UsageError
from vidswap.facts import Stream
from vidswap.media.clocks import notes_on, on_one_clock
from vidswap.media.colour import matrix_of
from vidswap.media.containers import KINDS
from vidswap.media.headers import Headers, parted
from vidswap.media.images import is_pictures
from vidswap.media.native import Fitter, colour_of, copy_frame, editable, format_of, planar
from vidswap.media.packets import packets, refuse_unreadable
from vidswap.media.sidedata import beside
from vidswap.media.source import MOST_PIXELS, film_of, is_playlist, opened
from vidswap.media.streams import is_other_film, streams_of
from vidswap.media.view import Cropper, to_rgb, turn_in, view_of
from vidswap.read import stills
from vidswap.read.times import Times, is_shown, scan
from vidswap.timepoint import TimePoint
from vidswap.types import Clip, Frame, Shot

_STEPS_BACK = (0, 2, 5, 15, 60)  # seconds, tried until the decoder lands before the wanted frame
_VIDEO_KINDS = f"give a film ({', '.join(KINDS).replace('.', '')}), a picture, or a folder of pictures"
_NOTHING = f"the file is damaged, its codec unknown, or its pictures larger than {MOST_PIXELS:,} pixels"
_HELD = 2000  # packets from one key picture to the next, at most
_STRAY = 1  # seconds that a picture is ahead of its neighbours whose time is only damage
_LOOKED = 300  # pictures decoded to see whether they step back in time


def open_clip(path: Path, rate: Fraction = stills.RATE) -> Clip:
    """The facts of a film, a picture, an animation, or a folder of pictures that are shown at `rate`. Of a film all
    packets are read and one picture is decoded.

    Raises InputError: missing, empty, nothing of these, without a video stream, nothing in it decodes, or larger
    than MOST_PIXELS or MOST_FRAMES."""
    refuse_unreadable(path)
    if is_pictures(path):
        return stills.open_pictures(path, rate)
    with _opened(path) as container:
        stream = _video_stream(container, path)
        streams, tags, chapters = streams_of(container), dict(container.metadata), tuple(container.chapters())
        headers, name = Headers(stream), container.format.name
        scanned = scan(container, stream, headers.passing)
    first, times = _begun(path, scanned)
    notes = (*_notes_on(streams), *_notes_on_times(times, len(scanned.pts)))
    colour, around = colour_of(first), beside(first)  # before `planar`: a clip without tags shall stay one
    film = planar(first, VideoReformatter())
    sizes = headers.with_first((film.width, film.height))
    width, height = max(sizes, key=lambda size: size[0] * size[1])
    if len(sizes) > 1:
        width, height = width + width % 2, height + height % 2  # no black is laid around half a sample of colour
        notes += (f"its pictures change their size: all are brought to {width} x {height}, the largest",)
    stored = Fitter(width, height).fit(editable(first, VideoReformatter(), matrix_of(width, height)))
    interlaced = headers.interlaced or bool(first.interlaced_frame)
    return Clip(
        path=path, width=width, height=height, pts=times.pts, time_base=times.unit, rate=times.rate,
        colour=colour if film is first else colour_of(film), rotation=int(first.rotation), streams=streams,
        container=name, turn=turn_in(around), pixel=_film_in(streams).aspect or Fraction(1), last=times.last,
        notes=notes, interlaced=interlaced, counted=times.counted, stretches=times.stretches,
        format=format_of(stored, interlaced), beside=around, tags=tags, chapters=chapters,
    )  # fmt: skip


def frames(clip: Clip, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
    """Frames [start, stop) of a clip in order, one for each of `clip.pts`; memory does not grow with their number.

    The frames share one colour converter: ask for `rgb` in one thread at a time. Raises InputError."""
    stop = len(clip) if stop is None else min(stop, len(clip))
    if start >= stop:
        return
    view = view_of(clip)
    converted, to_stored = to_rgb(clip), view.to_stored
    to_part = partial(view.part, cropper=Cropper(), reformatter=VideoReformatter())
    for index, native, repeated in (stills.pictures if clip.files else _filled)(clip, start, stop):
        yield Frame(
            index, native, converted, to_stored, repeated, to_part if view.is_plain and not clip.files else None
        )


def span_of(clip: Clip, start: TimePoint | None, end: TimePoint | None) -> Shot:
    """The frames of a clip from `start` on, up to `end`; None is the clip's own. Raises UsageError where there are
    none."""
    first = 0 if start is None else index_at(clip, start)
    stop = len(clip) if end is None else index_at(clip, end)
    if first >= stop:
        length = clip.seconds(len(clip) - 1)
        raise UsageError("no frame lies between `read.start` and `read.end`",
                         f"the clip has {len(clip)}, over {length:.2f} s")  # fmt: skip
    return Shot(first, stop)


def index_at(clip: Clip, point: TimePoint) -> int:
    """The first frame at or after a point in time; as many as the clip has where there is none."""
    if point.in_frames:
        return min(int(point.value), len(clip))
    ticks = min(point.ticks(clip.time_base), int(clip.pts[-1] - clip.pts[0]) + 1)  # an int64 holds that
    return int(np.searchsorted(clip.pts - clip.pts[0], ticks))


def _filled(clip: Clip, start: int, stop: int) -> Iterator[tuple[int, Any, bool]]:
    """(index, native, repeated) of each frame of [start, stop): a gap shows the picture before it, or at the very
    beginning the one after; the decoder mends what it can in the same way, and says so. Each is a picture of its own:
    who is handed it may paint on it."""
    at, picture = start - 1, None
    for place, native in chain(_placed(clip, start, stop), [(stop, None)]):
        still = None
        if place > at + 1:
            good = picture or _last_good(clip, start) or native or _next_good(clip, stop)
            if good is None:
                raise InputError(f"{clip.path.name}: no picture in it can be decoded", "the file is damaged")
            still = copy_frame(good)
        if picture is not None:
            yield at, picture, bool(picture.is_corrupt)
        yield from ((missing, copy_frame(still), True) for missing in range(at + 1, place))
        at, picture = place, native


# -- opening ----------------------------------------------------------------------------------------------------------


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        container = opened(path)
    except (av.FFmpegError, OSError) as error:
        if is_playlist(path):
            raise InputError(f"{path} is a playlist: it names other files and holds no film", _VIDEO_KINDS) from error
        reason = "no film, or of a kind that is not read" if isinstance(error, av.ArgumentError) else error.strerror
        raise InputError(f"{path} cannot be read as a video ({reason})", _VIDEO_KINDS) from error
    with container:
        name = container.format.name
        if name.endswith("_pipe") or name in ("image2", "tty"):
            raise InputError(f"{path} is not a video ({name})", _VIDEO_KINDS)
        try:
            yield container
        finally:  # a decoder's threads may need the interpreter: stop them while it is free to answer
            for stream in container.streams.video:
                if stream.codec_context is not None:
                    stream.codec_context.flush_buffers()


def _video_stream(container: Any, path: Path, threads: str = "AUTO") -> Any:
    stream = film_of(container)
    if stream is None:
        raise InputError(f"{path} has no video stream", "choose a file with pictures, not only sound")
    if stream.codec_context is None:
        raise InputError(f"{path}: no decoder for its video codec", "convert it to H.264 first")
    stream.codec_context.options = {"max_pixels": str(MOST_PIXELS)}  # what the pictures themselves say
    stream.thread_type = threads
    return stream


def _film_in(streams: Iterable[Stream]) -> Stream:
    return next(stream for stream in streams if stream.is_film)


def _notes_on(streams: Sequence[Stream]) -> Iterator[str]:
    """A line for each other film and each thumbnail of a file, and for what of its film is not read."""
    film = _film_in(streams)
    for other in filter(is_other_film, streams):
        left = f"stream {other.index} ({other.codec or 'unknown'} video{_sized(other)}) is left out"
        yield f"{left}: stream {film.index} ({film.codec}{_sized(film)}) is taken for the film"
    if film.tags.get("alpha_mode") == "1":  # VP8 and VP9 have a second stream within for it
        yield "its transparency is not read, and not in the result: ffv1 or prores would keep it"


def _notes_on_times(times: Times, there: int) -> Iterator[str]:
    """A line for each thing that is odd about when pictures are shown, of which a file has `there`."""
    if before := there - len(times.pts):
        which = "first picture needs" if before == 1 else f"first {before} pictures need"
        yield f"the {which} others that were cut away: the clip begins after that"
    yield from times.notes
    yield from notes_on(times.stretches, int(times.pts[0]) * times.unit)


def _sized(stream: Stream) -> str:
    return " of {} x {}".format(*stream.size) if stream.size else ""


# -- pictures ---------------------------------------------------------------------------------------------------------


def _decoded(found: Iterable[Any], stream: Any, numbered: bool = False) -> Iterator[Any]:
    """Pictures packet by packet: a damaged packet loses its own picture, not the rest of the file. If `numbered`, the
    pts of each is the number of its packet among those shown. A None at the end: pictures that waited there were lost,
    which happens where a decoder has many at work at once and one of them is damaged."""
    number, shows = -1, is_shown(stream)
    pictures: list[Any]
    for packet in parted(found, stream):
        if numbered:
            number += shows(packet)
            packet.pts = packet.dts = number
        try:
            pictures = stream.decode(packet if packet.size else None)
        except av.FFmpegError:
            pictures = [] if packet.size else [None]
        if not packet.size:
            stream.codec_context.flush_buffers()  # more may come
        for picture in pictures:
            if picture is not None:
                picture.time_base = stream.time_base  # flushing leaves it out
            yield picture


def _placed(clip: Clip, start: int, stop: int, threads: str = "AUTO") -> Iterator[tuple[int, Any]]:
    """(index, native) of the pictures that decode, in order, indices increasing, within [start, stop).

    Where pictures have no times of their own they are counted; a picture is shown at most as many places before its
    turn in decoding as the decoder holds back, which says how many were lost before it."""
    with _opened(clip.path) as container:
        stream = _video_stream(container, clip.path, threads)
        ratio = Fraction(stream.time_base) / clip.time_base
        target = None if clip.counted or start == 0 else int(clip.pts[start] / int(ratio))
        reformatter, fitter = VideoReformatter(), Fitter(clip.width, clip.height)
        matrix = matrix_of(clip.width, clip.height)
        index = -1
        pictures = _from(container, stream, clip, target)
        for native in pictures if clip.counted else _without_strays(pictures):
            if native is None:
                if threads == "AUTO":
                    yield from _placed(clip, max(index + 1, start), stop, "SLICE")
                return
            if clip.counted:
                index = max(index + 1, (native.pts or 0) - stream.codec_context.reorder_depth)
            elif native.pts is None:
                index += int(index >= 0 or target is None)  # after a seek only one with a time tells where we are
            elif (time := native.pts * int(ratio)) >= clip.pts[0]:  # else it leads a group that was cut open
                place = int(np.searchsorted(clip.pts, time))
                if clip.stretches and ratio == 1 and place <= index:  # leads such a group within the film
                    continue
                index = max(index + 1, place)
            if index >= stop:
                return
            if index >= start:
                yield index, fitter.fit(editable(native, reformatter, matrix))


def _without_strays(pictures: Iterable[Any]) -> Iterator[Any]:
    """The pictures but those whose time is only damage: far ahead of the one before and of the one after."""
    before = held = None
    for picture in pictures:
        if held is not None and not (_is_far(before, held) and _is_far(picture, held)):
            yield held
            before = held
        if picture is None:
            yield None
        held = picture
    if held is not None:
        yield held


def _is_far(one: Any, other: Any) -> bool:
    """Whether a picture is shown more than _STRAY seconds before another."""
    if one is None or one.pts is None or other.pts is None:
        return False
    return bool((other.pts - one.pts) * other.time_base > _STRAY)


def _from(container: Any, stream: Any, clip: Clip, target: int | None) -> Iterator[Any]:
    """Pictures from one at or before `target` on, or from the first. Where a seek lands is verified: some containers
    overshoot. Where a clock starts again nobody can seek: packets are passed over instead."""
    if target is None or clip.stretches:
        whole = on_one_clock(packets(container, stream), clip.stretches, stream)
        return _decoded(whole if target is None else _from_key(whole, target), stream, clip.counted)
    for seconds in _STEPS_BACK:
        try:
            container.seek(target - round(seconds / stream.time_base), stream=stream)
        except av.FFmpegError:
            break
        pictures = _decoded(packets(container, stream), stream)
        first = next(pictures, None)
        if first is not None and first.pts is not None and first.pts <= target:
            return chain([first], pictures)
    with suppress(av.FFmpegError):  # then it is read on from where it is
        container.seek(stream.start_time or 0, stream=stream)
    return _decoded(packets(container, stream), stream)


def _from_key(found: Iterator[Any], target: int) -> Iterator[Any]:
    """The packets from the last key picture on that is shown at or before `target`."""
    held = list[Any]()
    for packet in found:
        later = packet.pts is not None and packet.pts > target
        if packet.is_keyframe and not later:
            held = []
        held.append(packet)
        if (packet.is_keyframe and later) or len(held) == _HELD:
            break
    return chain(held, found)


def _last_good(clip: Clip, index: int) -> Any:
    """The last picture before `index` that decodes, or None."""
    last = None
    for _, native in _placed(clip, max(0, index - 1), index) if index else ():
        last = native
    for _, native in () if last or index < 2 else _placed(clip, 0, index):
        last = native
    return last


def _next_good(clip: Clip, index: int) -> Any:
    """The first picture from `index` on that decodes, or None."""
    return next((native for _, native in _placed(clip, index, len(clip))), None) if index < len(clip) else None


def _begun(path: Path, times: Times) -> tuple[Any, Times]:
    """The first picture that decodes, and the times as they are from there on. Raises InputError where none does."""
    with _opened(path) as container:
        stream = _video_stream(container, path, "SLICE")
        pictures = filter(None, _decoded(on_one_clock(packets(container, stream), times.stretches, stream), stream))
        first = next(pictures, None)
        if first is None:
            raise InputError(f"{path}: no picture in it can be decoded", _NOTHING)
        if times.doubtful and stream.codec_context.reorder_depth and _steps_back(islice(pictures, _LOOKED)):
            return first, replace(times, counted=True)
        ticks = Fraction(stream.time_base) / times.unit
        return first, times.beginning(None if first.pts is None else int(first.pts * ticks))


def _steps_back(pictures: Iterator[Any]) -> bool:
    """Whether pictures come out of the decoder, which has them in the order of showing, with times in another."""
    known = (picture.pts for picture in pictures if picture.pts is not None)
    return any(one > two for one, two in pairwise(known))
