"""What a stream of an open file is: its codec, its start, whether it goes along, how FFmpeg sees its packets."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

from vidswap.media.source import codec_of, is_cover
from vidswap.write.containers import taking

_PCM = re.compile(r"pcm_(?:[suf](8|16|24|32|64)(?:le|be)?|alaw|mulaw)")


def told(stream: Any) -> str:
    """A stream in words: "aac sound", "mjpeg cover picture", "film.ttf attachment"."""
    kind = "cover picture" if is_cover(stream) else {"audio": "sound"}.get(stream.type, stream.type)
    name = stream.metadata.get("filename") if stream.type == "attachment" else codec_of(stream)
    return f"{name or 'unknown'} {kind}"


def start_of(stream: Any) -> Fraction:
    """When a stream begins, seconds of its file's clock."""
    return Fraction((stream.start_time or 0) * (stream.time_base or 0))


def is_carried(stream: Any) -> bool:
    """Whether a stream goes into the result as it is."""
    return is_cover(stream) or (stream.type in ("audio", "subtitle", "attachment") and not is_lost(stream))


def is_lost(stream: Any) -> bool:
    """Whether no container takes a track of sound or subtitles: nothing tells its codec or, of sound, its rate, so that
    no decoder plays it either; or it is of subtitles that only ever lived inside other streams."""
    if stream.type == "audio":
        return not (codec_of(stream) and stream.codec_context.sample_rate)
    return bool(stream.type == "subtitle" and not taking([codec_of(stream)]))


def is_damaged(packet: Any) -> bool:
    """Whether a packet of a transport stream's AAC lost its header (ADTS, ISO 13818-7), which other containers read."""
    stream = packet.stream
    if stream.container.format.name != "mpegts" or stream.type != "audio" or codec_of(stream) != "aac":
        return False
    head = bytes(memoryview(packet)[:2])
    return len(head) < 2 or head[0] != 0xFF or head[1] & 0xF0 != 0xF0


def is_mp4(container: Any) -> bool:
    """Whether an open file, read or written, is an mp4 or a mov: has edit lists, so that times before 0 are hidden."""
    return container.format.name.startswith("mov,") or container.format.name in ("mp4", "mov")


def sample_bytes(stream: Any) -> int:
    """Bytes of one sample of all channels of PCM sound, 0 for all that is not PCM."""
    found = _PCM.fullmatch(codec_of(stream)) if stream.type == "audio" else None
    return int(found[1] or 8) // 8 * stream.codec_context.layout.nb_channels if found else 0


def seconds(packet: Any) -> Fraction:
    """Time of a packet; 0 where it has none."""
    time = packet.pts if packet.pts is not None else packet.dts
    return (time or 0) * Fraction(packet.time_base)
