"""What a stream of an open file is: its codec, its start, whether it goes along, how FFmpeg sees its packets."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from vidswap.media.containers import taking
from vidswap.media.late import known
from vidswap.media.source import codec_of, is_cover


def stream_name(stream: Any) -> str:
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
        return not (codec_of(stream) and known(stream))
    return bool(stream.type == "subtitle" and not taking([codec_of(stream)]))


def is_mp4(container: Any) -> bool:
    """Whether an open file, read or written, is an mp4 or a mov: has edit lists, so that times before 0 are hidden."""
    return container.format.name.startswith("mov,") or container.format.name in ("mp4", "mov")


def seconds(packet: Any) -> Fraction:
    """Time of a packet; 0 where it has none."""
    time = packet.pts if packet.pts is not None else packet.dts
    return (time or 0) * Fraction(packet.time_base)
