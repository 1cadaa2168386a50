"""What goes from the clip into the result as it is: sound, subtitles, covers, fonts, chapters, timecode, tags.

Sound is encoded anew only for another loudness. Text subtitles and covers change their wrapping where the container
knows them by another one; what it cannot hold at all is refused before anything is rendered. Data tracks are not
copied: an mp4's chapters and timecode are made again from what they say, the rest (a camera's own telemetry) FFmpeg has
no way to write.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from fractions import Fraction
from heapq import merge
from math import ceil
from pathlib import Path
from typing import Any

import av
from av.stream import Disposition

from vidswap.errors import OutputError
from vidswap.facts import Stream, Stretch
from vidswap.media import subtitles
from vidswap.media.clocks import on_one_clock
from vidswap.media.containers import Container, demuxer_of, kind_written
from vidswap.media.late import known, timed
from vidswap.media.loudness import Excerpt, add_track, levelled
from vidswap.media.metadata import (
    Trim,
    chapters,
    counted,
    is_countable,
    labelled,
    later,
    needs_all_names,
    tags,
    timecode_of,
)
from vidswap.media.packets import packets, seconds
from vidswap.media.source import codec_of, file_of, film_of, header_bytes, opened, sample_bytes
from vidswap.media.streams import is_carried, stream_name
from vidswap.types import Clip

_MICROSECONDS = 1_000_000
_PREROLL, _PREROLL_TEXT = Fraction(1, 2), Fraction(300)  # seconds read before a trim: sound, cues that are still on
_INTERLEAVED = Fraction(10)  # seconds that packets of one moment may lie apart in a file
_COVERS = {"mjpeg": ("cover.jpg", "image/jpeg"), "png": ("cover.png", "image/png"), "bmp": ("cover.bmp", "image/bmp")}
_NEVER = Fraction(1 << 60)

Tracks = dict[int, Any]  # index in the source -> the track of the result


def opened_for(clip: Clip) -> AbstractContextManager[Any]:
    """The file of a clip, to copy its streams from; None where there are none."""
    return opened(clip.path) if any(map(is_carried, clip.streams)) else nullcontext()


def muxing(clip: Clip, kind: Container) -> dict[str, str]:
    """The options that a container is to be opened with (PyAV's `container_options`) for what comes from a clip."""
    keeps_all = needs_all_names(clip.tags, kind) and not any(stream.is_cover for stream in clip.streams)
    return {**kind.options, **(kind.keeping_all if keeps_all else {})}


def trim_of(clip: Clip, start: int, stop: int) -> Trim:
    """What the frames [start, stop) of a clip are on the clock of its file. The clock of a broadcast, a DVD or a live
    stream begins anywhere: the result's begins at 0, with the first of what goes along."""
    end = None if stop >= len(clip) else Fraction(int(clip.pts[stop]) * clip.time_base)
    if start > 0:
        return Trim(Fraction(int(clip.pts[start]) * clip.time_base), end, trimmed=True)
    if not demuxer_of(clip.container).live:
        return Trim(Fraction(0), end)
    others = (stream.start for stream in clip.streams if is_carried(stream) and stream.start is not None)
    return Trim(min(Fraction(int(clip.pts[0]) * clip.time_base), *others, _NEVER), end)


def copied_streams(clip: Clip, source: Any, target: Any, loudness: float | None = None) -> Tracks:
    """Add to `target` a track for each sound, subtitle, cover and font of `source`, the open file of a clip: index in
    it -> new track. With a `loudness` sound is encoded anew.

    Their packets come from `copied_packets`, but those of fonts, and of covers that become attachments: they are
    written with the header. Raises OutputError where the container refuses one: `check` says so before."""
    tracks, kind = {}, kind_written(target)
    named = kind.edits and demuxer_of(clip.container).edits
    for stream in filter(is_carried, clip.streams):
        try:
            original, remade = source.streams[stream.index], stream.kind == "audio" and loudness is not None
            track = add_track(original, target) if remade else _added(stream, source, target, kind)
        except ValueError as error:
            raise OutputError(f"{target.format.name} takes no {stream_name(stream)}", "name the output .mkv") from error
        if track is None:
            continue
        track.metadata.update(tags(stream.tags))
        if named and "handler_name" in stream.tags:
            track.metadata["handler_name"] = stream.tags["handler_name"]
        track.disposition = Disposition(stream.disposition)
        tracks[stream.index] = track
    return tracks


def describe(clip: Clip, target: Any, video: Any, trim: Trim, labels: Mapping[str, str]) -> None:
    """Tell a file that is being made what the clip's says about itself, and our `labels`: tags, chapters, timecode (of
    the first frame of the trim), the disposition of its video track. Before its header."""
    kind = kind_written(target)
    target.metadata.update(labelled(clip.tags, labels, kind))
    if kind.chapters:
        target.set_chapters(chapters(clip.chapters, trim))
    film = clip.film
    if film is None:  # the clip is of pictures
        return
    video.disposition = Disposition(film.disposition)
    timecode = timecode_of(film.tags, clip.tags)
    if timecode is not None and (not kind.counts or is_countable(video.codec_context.framerate, timecode)):
        begun = trim.origin - (film.start or 0) if trim.trimmed else Fraction(0)
        (target if kind.ordered else video).metadata["timecode"] = later(timecode, counted(clip.rate, timecode), begun)


def copied_packets(
    clip: Clip, source: Any, tracks: Tracks, trim: Trim, loudness: float | None = None
) -> Iterator[Any]:  # fmt: skip
    """The packets of `tracks` (see `copied_streams`) within the trim, ready to mux, in the order of their times.

    Sound is cut to whole packets. In mp4 and mov one packet of each track is kept before the first: it has a negative
    time, an edit list hides it, and the decoder is warm when the sound begins; the last one is told to end with the
    trim. Elsewhere sound starts with the first whole packet. PCM is cut to the sample. Subtitles are cut at both ends.
    """
    kinds = {stream.index: stream for stream in clip.streams}
    reworded = [index for index, track in tracks.items() if _is_reworded(kinds[index], track)]
    remade = [index for index in tracks if kinds[index].kind == "audio" and loudness is not None]
    copied = {index: track for index, track in tracks.items() if index not in (*reworded, *remade)}
    words = [levelled(Excerpt(clip.path, index, trim), tracks[index], loudness or 0) for index in remade]
    for index in reworded:
        cues, _ = subtitles.read_cues(clip.path, index, clip.stretches)
        words.append(subtitles.encoded(subtitles.clipped(cues, trim), tracks[index]))
    return merge(_moved(_packets(source, copied, trim, clip.stretches), copied, trim), *words, key=seconds)


# -- streams ----------------------------------------------------------------------------------------------------------


def _is_reworded(stream: Stream, track: Any) -> bool:
    return stream.kind == "subtitle" and stream.codec != codec_of(track)


def _added(stream: Stream, source: Any, target: Any, kind: Container) -> Any:
    """A new track of `target` for a stream; None where it is written with the header. Raises ValueError."""
    codec, original = stream.codec, source.streams[stream.index]
    if stream.is_cover and kind.covers == "attachment":
        name, form = _COVERS.get(codec, (f"cover.{codec}", f"image/{codec}"))
        form, name = stream.tags.get("mimetype", form), stream.tags.get("filename", name)
        target.add_attachment(name, form, _picture(file_of(source), stream.index))
        return None
    words = kind.words_for(codec)
    if words is None or kind.takes(codec):
        track = target.add_stream_from_template(known(original), opaque=True)
        return None if stream.kind == "attachment" else track
    original.codec_context.open(strict=False)
    track = target.add_stream(words)
    track.time_base = Fraction(1, 1000)
    track.codec_context.subtitle_header = original.codec_context.subtitle_header
    return track


def _picture(path: Path, index: int) -> bytes:
    with opened(path) as source:
        return next((bytes(packet) for packet in packets(source, source.streams[index]) if packet.size), b"")


# -- packets ----------------------------------------------------------------------------------------------------------


def _packets(source: Any, tracks: Tracks, trim: Trim, stretches: Sequence[Stretch]) -> Iterator[Any]:
    """The packets of the copied streams, from a little before the trim to a little after it, or to where the file ends
    or breaks off. Where its clock starts again, from the file's beginning on, those of its film among them."""
    if not tracks:
        return
    streams = [source.streams[index] for index in tracks]
    texts = any(stream.type == "subtitle" for stream in streams)
    place = int((trim.origin - (_PREROLL_TEXT if texts else _PREROLL)) * _MICROSECONDS)
    film = film_of(source)
    if stretches:
        streams.append(film)
    elif trim.trimmed and place > (source.start_time or 0):
        with suppress(av.FFmpegError):  # then it is read from its beginning
            source.seek(place)
    for packet in on_one_clock(timed(packets(source, *streams), streams), stretches, film):
        if trim.end is not None and seconds(packet) > trim.end + _INTERLEAVED:
            return
        yield packet


def _moved(found: Iterable[Any], tracks: Tracks, trim: Trim) -> Iterator[Any]:
    """The packets found of `tracks` that belong into the trim, rewritten to belong there, in the order they come."""
    held: dict[int, Any] = {}  # the last hidden packet of each track
    reached: dict[int, int] = {}
    for packet in found:
        index = packet.stream.index
        if index not in tracks or _is_nothing(packet):
            continue
        track = tracks[index]
        if packet.stream.type == "video":
            yield _readdressed(packet, track, Fraction(0))
            continue
        if trim.end is not None and seconds(packet) >= trim.end:
            continue
        kind = kind_written(track.container)
        if _is_hidden(packet, kind, trim):
            held[index] = packet
            continue
        for each in (held.pop(index, None), packet):
            if each is not None and (each is packet or _warms(each, kind, trim)):
                part = _within(each, trim, kind.edits)
                yield _monotonic(_readdressed(part, track, trim.origin), reached, index)


def _is_nothing(packet: Any) -> bool:
    end_marker = packet.size == 0 and packet.pts is None and packet.dts is None
    is_filler = packet.stream.type == "subtitle" and subtitles.is_filler(packet)
    return end_marker or is_filler or header_bytes(packet) is None


def _is_hidden(packet: Any, kind: Container, trim: Trim) -> bool:
    """Whether a packet lies before the trim: the whole of it where a part can be shown or an edit list hides the rest,
    else any of it. Where there are no edit lists, what one of the source hides is hidden as well."""
    start = seconds(packet)
    end = start + (packet.duration or 0) * Fraction(packet.time_base)
    if kind.edits or packet.stream.type == "subtitle" or sample_bytes(packet.stream):
        return trim.trimmed and end <= trim.origin
    if kind.ordered:  # has no time before 0
        return start < trim.origin
    return bool((trim.trimmed and start < trim.origin) or packet.is_discard)


def _warms(packet: Any, kind: Container, trim: Trim) -> bool:
    """Whether a hidden packet goes along, because the decoder needs it for the first one that is heard."""
    if packet.stream.type != "audio" or sample_bytes(packet.stream):
        return False
    return kind.edits or not (trim.trimmed or kind.ordered)


def _within(packet: Any, trim: Trim, has_edits: bool) -> Any:
    """The part of a packet that lies within the trim. Compressed sound stays whole; its last packet is told to be
    shorter where the container has an end to tell."""
    unit, frame = Fraction(packet.time_base), sample_bytes(packet.stream)
    start = seconds(packet)
    end = start + (packet.duration or 0) * unit
    begin = max(start, trim.origin) if trim.trimmed else start
    stop = end if trim.end is None else min(end, trim.end)
    if (begin, stop) == (start, end) or not packet.duration:
        return packet
    if frame:
        return _samples(packet, frame, begin - start, stop - start)
    if packet.stream.type == "subtitle":
        packet.pts = packet.dts = round(begin / unit)
        packet.duration = round((stop - begin) / unit)
    elif has_edits:
        packet.duration = round((stop - start) / unit)
    return packet


def _samples(packet: Any, frame: int, begin: Fraction, stop: Fraction) -> Any:
    """The samples of a packet of PCM (`frame` bytes each) that begin between two times, seconds since its own."""
    rate, unit = packet.stream.codec_context.sample_rate, Fraction(packet.time_base)
    count = packet.size // frame
    length = packet.duration * unit  # in Matroska of whole milliseconds, less than its samples take
    first, last = (count if time == length else min(count, ceil(time * rate)) for time in (begin, stop))
    part = av.Packet(bytes(packet)[first * frame : last * frame])
    part.stream, part.time_base, part.is_keyframe = packet.stream, packet.time_base, True
    part.pts = part.dts = packet.pts + round(Fraction(first, rate) / unit)
    part.duration = round(Fraction(last - first, rate) / unit)
    return part


def _readdressed(packet: Any, track: Any, origin: Fraction) -> Any:
    shift = round(origin / packet.time_base)
    if packet.pts is not None:
        packet.pts -= shift
    if packet.dts is not None:
        packet.dts -= shift
    packet.stream = track
    return packet


def _monotonic(packet: Any, reached: dict[int, int], index: int) -> Any:
    """The packet, as muxers insist: a broken clip's sound that steps back goes on instead; one without a length is as
    long as the time since the one before (mp4 hides a last packet without one)."""
    before, step = reached.get(index), packet.stream.type == "audio"
    if before is not None and (packet.dts is None or packet.dts < before + step):
        packet.dts = before + step
        packet.pts = packet.dts if packet.pts is None else max(packet.pts, packet.dts)
    if packet.dts is not None:
        if before is not None and not packet.duration and packet.stream.type == "audio":
            packet.duration = packet.dts - before
        reached[index] = packet.dts
    return packet
