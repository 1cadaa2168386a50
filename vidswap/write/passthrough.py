"""What goes from the source into the result as it is: sound, subtitles, covers, fonts, tags.

Chapters stay out: they are written first, when the end of the range is not known yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any

from av.stream import Disposition

from vidswap.errors import OutputError

# Tags that the muxer writes anew, or that have no meaning in the result.
_STALE = ("major_brand", "minor_version", "compatible_brands", "encoder", "timecode", "duration", "vendor_id",
          "handler_name")  # fmt: skip
_MATROSKA = "matroska"
_EMPTY_TEXT = 2  # bytes: mov_text's fillers between subtitles, which the muxer makes itself


def copied_streams(source: Any, target: Any) -> dict[int, Any]:
    """Add to `target` a copy of each sound, subtitle, cover and font of `source`: index in source -> new stream.

    Sound that the container does not take is refused, the rest then stays out. Raises OutputError."""
    tracks = {}
    for stream in source.streams:
        if not _is_carried(stream, target):
            continue
        try:
            track = target.add_stream_from_template(stream, opaque=True)
        except ValueError as error:
            if stream.type != "audio":
                continue
            codec = stream.codec_context.name if stream.codec_context else "unknown"
            raise OutputError(
                f"{target.format.name} takes no {codec} sound, and sound is never converted", "name the output .mkv"
            ) from error
        track.metadata.update(tags(stream.metadata))
        track.disposition = stream.disposition
        tracks[stream.index] = track
    return tracks


def moved(packets: Iterable[Any], tracks: dict[int, Any], origin: Fraction, trimmed: bool) -> Iterator[Any]:
    """The packets of `tracks`, rewritten to belong there and `origin` seconds earlier, in the order they come.

    Where `trimmed`, what ends before `origin` is left out, but for mp4 and mov one packet of each track is kept before
    the first: it has a negative time, an edit list hides it, and the decoder is warm when the sound begins. Matroska
    has no negative time; there the sound starts with the first whole packet."""
    before: dict[int, Any] = {}
    for packet in packets:
        index = packet.stream.index
        if index not in tracks or _is_filler(packet):
            continue
        matroska = tracks[index].container.format.name == _MATROSKA
        start = seconds(packet)
        late = start if matroska else start + (packet.duration or 0) * packet.time_base
        hidden = (trimmed and (late < origin if matroska else late <= origin)) or (matroska and packet.is_discard)
        if hidden and not is_cover(packet.stream):
            before[index] = packet
            continue
        if trimmed and packet.stream.type == "subtitle" and start < origin:
            _shorten(packet, origin)
        kept = before.pop(index, None)
        if kept is not None and packet.stream.type == "audio" and not (trimmed and matroska):
            yield _readdressed(kept, tracks[index], origin)
        yield _readdressed(packet, tracks[index], origin)


def seconds(packet: Any) -> Fraction:
    """Time of a packet; 0 where it has none."""
    time = packet.pts if packet.pts is not None else packet.dts
    return (time or 0) * Fraction(packet.time_base)


def _is_carried(stream: Any, target: Any) -> bool:
    if stream.type == "video":  # Matroska keeps covers as attachments, a video track would be played
        return is_cover(stream) and target.format.name != _MATROSKA
    return stream.type in ("audio", "subtitle", "attachment")


def is_cover(stream: Any) -> bool:
    """A picture that belongs to the file, not a moving one."""
    return bool(stream.type == "video" and stream.disposition & Disposition.attached_pic)


def _is_filler(packet: Any) -> bool:
    if packet.size == 0 and packet.pts is None and packet.dts is None:
        return True  # the end marker
    stream = packet.stream
    is_text = stream.type == "subtitle" and stream.codec_context.name == "mov_text"
    return bool(is_text and packet.size <= _EMPTY_TEXT)


def _shorten(packet: Any, origin: Fraction) -> None:
    """Let a subtitle that is on when the range begins begin with it."""
    start = round(origin / packet.time_base)
    if packet.pts is not None:
        packet.duration, packet.pts, packet.dts = packet.duration - (start - packet.pts), start, start


def _readdressed(packet: Any, track: Any, origin: Fraction) -> Any:
    shift = 0 if track.type == "video" else round(origin / packet.time_base)
    if packet.pts is not None:
        packet.pts -= shift
    if packet.dts is not None:
        packet.dts -= shift
    packet.stream = track
    return packet


def tags(metadata: dict[str, str]) -> dict[str, str]:
    """Those of a container's or a stream's tags that still hold for the result."""
    kept = {key: value for key, value in metadata.items() if key.lower() not in _STALE}
    if "name" in kept:  # mp4 reads a track's title back under this key
        kept["title"] = kept.pop("name")
    return kept
