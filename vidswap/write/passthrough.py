"""What goes from the clip into the result as it is: sound, subtitles, covers, fonts, chapters, timecode, tags.

Sound is never encoded anew. Text subtitles and covers change their wrapping where the container knows them by another
one; what it cannot hold at all is refused before anything is rendered. Data tracks are not copied: an mp4's chapters
and timecode are made again from what they say, the rest (a camera's own telemetry) FFmpeg has no way to write.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from fractions import Fraction
from heapq import merge
from math import ceil
from typing import Any

import av
from av.stream import Disposition

from vidswap.errors import OutputError
from vidswap.types import Clip
from vidswap.write import subtitles
from vidswap.write.containers import KINDS, Container, takes
from vidswap.write.tags import Cut, chapters, counted, labelled, later, needs_all_names, tags, timecode_of

# Edit lists count in the movie's unit: at the default 1/1000 s the sound would start up to 1 ms off.
_MP4 = {"movflags": "faststart", "movie_timescale": "90000"}
_MICROSECONDS = 1_000_000
_PREROLL, _PREROLL_TEXT = Fraction(1, 2), Fraction(300)  # seconds read before a cut: sound, cues that are still on
_INTERLEAVED = Fraction(10)  # seconds that packets of one moment may lie apart in a file
_SLIP = Fraction(1, 2000)  # seconds that sound and pictures may slip
_COVERS = {"mjpeg": ("cover.jpg", "image/jpeg"), "png": ("cover.png", "image/png"), "bmp": ("cover.bmp", "image/bmp")}
_PCM = re.compile(r"pcm_(?:[suf](8|16|24|32|64)(?:le|be)?|alaw|mulaw)")

Tracks = dict[int, Any]  # index in the source -> the track of the result


def opened(clip: Clip) -> Any:
    """The file of a clip, to take streams from; one that holds nothing where the clip is of pictures."""
    if clip.files:
        return av.open(io.BytesIO(b";FFMETADATA1\n"), format="ffmetadata")
    return av.open(f"file:{clip.path}", metadata_errors="ignore")


def check(source: Any, kind: Container, codec: str, trimmed: bool = False) -> None:
    """Raise OutputError if a container cannot hold all that goes along of an open file: which stream it refuses, and
    which endings would take everything, and video of `codec`. `trimmed`: the range begins after the first frame."""
    refused = refusals(source, kind, trimmed)
    if not refused:
        return
    able = [each for each in KINDS.values() if takes(each.muxer, codec) and not refusals(source, each, trimmed)]
    others = [each.ending for each in able]
    hint = f"{' or '.join(others)} would take everything" if others else "no container would take all of this clip"
    raise OutputError(f"{kind.ending} cannot hold the clip's {', '.join(refused)}", hint)


def refusals(source: Any, kind: Container, trimmed: bool = False) -> list[str]:
    """What of an open file a container cannot hold, not even in other words: "stream 2 (wavpack sound)" ..."""
    wanted = [stream for stream in source.streams if _is_carried(stream)]
    found = [f"stream {stream.index} ({_told(stream)})" for stream in wanted if not _is_taken(stream, source, kind)]
    if source.chapters() and not kind.chapters:
        found.append("chapters")
    if kind.ordered and any(_slips(stream, source, trimmed) for stream in source.streams.audio):
        found.append("sound that begins before or after the pictures")
    return found


def left_out(source: Any) -> list[str]:
    """Streams of an open file that go into no container: "stream 3 (data)" ..., for a warning. Chapters and timecode of
    an mp4 are not among them, they are made again."""
    films = [stream for stream in source.streams.video if not is_cover(stream)][1:]
    data = [stream for stream in source.streams if stream.type == "data" and not _is_made_again(stream, source)]
    return [f"stream {stream.index} ({stream.type})" for stream in [*films, *data]]


def muxing(source: Any, kind: Container) -> dict[str, str]:
    """The options that a container is to be opened with (PyAV's `container_options`) for what comes from `source`."""
    if not kind.is_mp4:
        return {"avoid_negative_ts": "disabled"} if kind.ordered else {}
    flags = _MP4["movflags"]
    if needs_all_names(source.metadata, kind) and not any(map(is_cover, source.streams)):
        flags += "+use_metadata_tags"  # it makes the muxer forget covers
    return {**_MP4, "movflags": flags}


def cut_of(clip: Clip, source: Any, start: int, stop: int) -> Cut:
    """What the frames [start, stop) of a clip are on the clock of its file. A transport stream's own clock begins
    anywhere: the result's begins at 0."""
    end = None if stop >= len(clip) else Fraction(int(clip.pts[stop]) * clip.time_base)
    if start > 0:
        return Cut(Fraction(int(clip.pts[start]) * clip.time_base), end, trimmed=True)
    begins = Fraction(source.start_time or 0, _MICROSECONDS) if clip.container == "mpegts" else Fraction(0)
    return Cut(begins, end)


def copied_streams(source: Any, target: Any) -> Tracks:
    """Add to `target` a track for each sound, subtitle, cover and font of `source`: index in source -> new track.

    Their packets come from `carried`, but those of fonts, and of covers that become attachments: they are written with
    the header. Raises OutputError where the container refuses one: `check` says so before."""
    tracks = {}
    for stream in filter(_is_carried, source.streams):
        try:
            track = _added(stream, source, target)
        except ValueError as error:
            raise OutputError(f"{target.format.name} takes no {_told(stream)}", "name the output .mkv") from error
        if track is None:
            continue
        track.metadata.update(tags(stream.metadata))
        if _is_mp4(target) and _is_mp4(source) and "handler_name" in stream.metadata:
            track.metadata["handler_name"] = stream.metadata["handler_name"]
        track.disposition = stream.disposition
        tracks[stream.index] = track
    return tracks


def describe(
    source: Any, target: Any, video: Any, cut: Cut, *, rate: Fraction, labels: Mapping[str, str]
) -> None:
    """Tell a file that is being made what the source says about itself, and our `labels`: tags, chapters, timecode (of
    the first frame of the cut; `rate` frames a second), the disposition of its video track. Before its header."""
    kind = next(each for each in KINDS.values() if each.muxer == target.format.name)
    target.metadata.update(labelled(source.metadata, labels, kind))
    if kind.chapters:
        target.set_chapters(chapters(source.chapters(), cut))
    original = next((stream for stream in source.streams.video if not is_cover(stream)), None)
    if original is None:  # the clip is of pictures
        return
    video.disposition = original.disposition
    timecode = timecode_of(source, original)
    if timecode is None:
        return
    rate = counted(rate, timecode)
    timecode = later(timecode, rate, cut.origin - _start(original) if cut.trimmed else Fraction(0))
    (target if kind.ordered else video).metadata["timecode"] = timecode
    video.codec_context.framerate = rate  # mp4's timecode track counts by it


def carried(source: Any, tracks: Tracks, cut: Cut) -> Iterator[Any]:
    """The packets of `tracks` (see `copied_streams`) within the cut, ready to mux, in the order of their times.

    Sound is cut to whole packets. In mp4 and mov one packet of each track is kept before the first: it has a negative
    time, an edit list hides it, and the decoder is warm when the sound begins; the last one is told to end with the
    cut. Elsewhere sound starts with the first whole packet. PCM is cut to the sample. Subtitles are cut at both ends.
    """
    reworded = [index for index, track in tracks.items() if _is_reworded(source.streams[index], track)]
    copied = {index: track for index, track in tracks.items() if index not in reworded}
    words = []
    for index in reworded:
        cues, _ = subtitles.read_cues(source.name, index)
        words.append(subtitles.encoded(subtitles.clipped(cues, cut), tracks[index]))
    return merge(_moved(_packets(source, copied, cut), copied, cut), *words, key=seconds)


def seconds(packet: Any) -> Fraction:
    """Time of a packet; 0 where it has none."""
    time = packet.pts if packet.pts is not None else packet.dts
    return (time or 0) * Fraction(packet.time_base)


def is_cover(stream: Any) -> bool:
    """A picture that belongs to the file, not a moving one."""
    return bool(stream.type == "video" and stream.disposition & Disposition.attached_pic)


# -- streams ----------------------------------------------------------------------------------------------------------


def _codec(stream: Any) -> str:
    """FFmpeg's name of a stream's codec, whatever decodes it; "" where nothing does."""
    return str(stream.codec_context.codec.canonical_name) if stream.codec_context else ""


def _told(stream: Any) -> str:
    kind = "cover picture" if is_cover(stream) else {"audio": "sound"}.get(stream.type, stream.type)
    name = stream.metadata.get("filename") if stream.type == "attachment" else _codec(stream) or "unknown"
    return f"{name} {kind}"


def _start(stream: Any) -> Fraction:
    return (stream.start_time or 0) * Fraction(stream.time_base)


def _is_mp4(container: Any) -> bool:
    return container.format.name.startswith("mov,") or container.format.name in ("mp4", "mov")


def _is_carried(stream: Any) -> bool:
    return is_cover(stream) or stream.type in ("audio", "subtitle", "attachment")


def _slips(sound: Any, source: Any, trimmed: bool) -> bool:
    """Whether a track of sound would slip where every stream begins at 0: unless it begins with the pictures, and, in
    the middle of a clip, can be cut to the sample."""
    if trimmed:
        return not _frame_of(sound)
    start = next((_start(stream) for stream in source.streams.video if not is_cover(stream)), Fraction(0))
    return abs(_start(sound) - start) > _SLIP


def _is_taken(stream: Any, source: Any, kind: Container) -> bool:
    codec = _codec(stream)
    if stream.type == "attachment":
        return kind.fonts
    if is_cover(stream):  # a video track of its own in Matroska would be played, and mov forgets it
        return kind.fonts if kind.fonts else kind.muxer == "mp4" and takes("mp4", codec)
    if takes(kind.muxer, codec):
        return True
    if subtitles.words_of(kind.muxer, codec) is None:
        return False
    return codec != "ass" or subtitles.read_cues(source.name, stream.index)[1]


def _is_made_again(stream: Any, source: Any) -> bool:
    return "timecode" in stream.metadata or bool(source.chapters() and stream.name == "bin_data")


def _is_reworded(stream: Any, track: Any) -> bool:
    return stream.type == "subtitle" and _codec(stream) != _codec(track)


def _added(stream: Any, source: Any, target: Any) -> Any:
    """A new track of `target` for a stream; None where it is written with the header. Raises ValueError."""
    muxer, codec = target.format.name, _codec(stream)
    if is_cover(stream) and muxer == "matroska":
        name, form = _COVERS.get(codec, (f"cover.{codec}", f"image/{codec}"))
        form, name = stream.metadata.get("mimetype", form), stream.metadata.get("filename", name)
        target.add_attachment(name, form, _picture(source.name, stream.index))
        return None
    words = subtitles.words_of(muxer, codec)
    if words is None or takes(muxer, codec):
        track = target.add_stream_from_template(stream, opaque=True)
        return None if stream.type == "attachment" else track
    stream.codec_context.open(strict=False)
    track = target.add_stream(words)
    track.time_base = Fraction(1, 1000)
    track.codec_context.subtitle_header = stream.codec_context.subtitle_header
    return track


def _picture(path: str, index: int) -> bytes:
    with av.open(path, metadata_errors="ignore") as source:
        return next((bytes(packet) for packet in source.demux(source.streams[index]) if packet.size), b"")


# -- packets ----------------------------------------------------------------------------------------------------------


def _packets(source: Any, tracks: Tracks, cut: Cut) -> Iterator[Any]:
    """The packets of the copied streams, from a little before the cut to a little after it, or to where the file ends
    or breaks off."""
    if not tracks:
        return
    streams = [source.streams[index] for index in tracks]
    texts = any(stream.type == "subtitle" for stream in streams)
    place = int((cut.origin - (_PREROLL_TEXT if texts else _PREROLL)) * _MICROSECONDS)
    if cut.trimmed and place > (source.start_time or 0):
        with suppress(av.FFmpegError):  # then it is read from its beginning
            source.seek(place)
    try:
        for packet in source.demux(streams):
            if cut.end is not None and seconds(packet) > cut.end + _INTERLEAVED:
                return
            yield packet
    except av.FFmpegError:
        return


def _moved(packets: Iterable[Any], tracks: Tracks, cut: Cut) -> Iterator[Any]:
    """The packets of `tracks` that belong into the cut, rewritten to belong there, in the order they come."""
    held: dict[int, Any] = {}  # the last hidden packet of each track
    reached: dict[int, int] = {}
    for packet in packets:
        index = packet.stream.index
        if index not in tracks or _is_nothing(packet):
            continue
        track = tracks[index]
        if packet.stream.type == "video":
            yield _readdressed(packet, track, Fraction(0))
            continue
        if cut.end is not None and seconds(packet) >= cut.end:
            continue
        if _is_hidden(packet, track.container, cut):
            held[index] = packet
            continue
        for each in (held.pop(index, None), packet):
            if each is not None and (each is packet or _warms(each, track.container, cut)):
                part = _within(each, cut, _is_mp4(track.container))
                yield _steady(_readdressed(part, track, cut.origin), reached, index)


def _is_nothing(packet: Any) -> bool:
    end_marker = packet.size == 0 and packet.pts is None and packet.dts is None
    return end_marker or (packet.stream.type == "subtitle" and subtitles.is_filler(packet))


def _is_hidden(packet: Any, target: Any, cut: Cut) -> bool:
    """Whether a packet lies before the cut: the whole of it where a part can be shown or an edit list hides the rest,
    else any of it. Where there are no edit lists, what one of the source hides is hidden as well."""
    start = seconds(packet)
    end = start + (packet.duration or 0) * Fraction(packet.time_base)
    if _is_mp4(target) or packet.stream.type == "subtitle" or _frame_of(packet.stream):
        return cut.trimmed and end <= cut.origin
    if target.format.name == "avi":  # has no time before 0
        return start < cut.origin
    return bool((cut.trimmed and start < cut.origin) or packet.is_discard)


def _warms(packet: Any, target: Any, cut: Cut) -> bool:
    """Whether a hidden packet goes along, because the decoder needs it for the first one that is heard."""
    if packet.stream.type != "audio" or _frame_of(packet.stream):
        return False
    return _is_mp4(target) or not (cut.trimmed or target.format.name == "avi")


def _frame_of(stream: Any) -> int:
    """Bytes of one sample of all channels of PCM sound, 0 for all that is not PCM."""
    found = _PCM.fullmatch(_codec(stream)) if stream.type == "audio" else None
    return int(found[1] or 8) // 8 * stream.codec_context.layout.nb_channels if found else 0


def _within(packet: Any, cut: Cut, has_edits: bool) -> Any:
    """The part of a packet that lies within the cut. Compressed sound stays whole; its last packet is told to be
    shorter where the container has an end to tell."""
    unit, frame = Fraction(packet.time_base), _frame_of(packet.stream)
    start = seconds(packet)
    end = start + (packet.duration or 0) * unit
    begin = max(start, cut.origin) if cut.trimmed else start
    stop = end if cut.end is None else min(end, cut.end)
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


def _steady(packet: Any, reached: dict[int, int], index: int) -> Any:
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
