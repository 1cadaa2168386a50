"""The streams of a file: what it says of each, which go into a result as they are, and which into none."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from vidswap.facts import Stream
from vidswap.media.containers import taking
from vidswap.media.late import known
from vidswap.media.source import codec_of, film_of, is_cover, sample_bytes


def streams_of(container: Any) -> tuple[Stream, ...]:
    """What an open file says of its streams."""
    film = film_of(container)
    return tuple(_facts(stream, stream is film) for stream in container.streams)


def stream_name(stream: Stream) -> str:
    """A stream in words: "aac sound", "mjpeg cover picture", "film.ttf attachment"."""
    kind = "cover picture" if stream.is_cover else {"audio": "sound"}.get(stream.kind, stream.kind)
    name = stream.tags.get("filename") if stream.kind == "attachment" else stream.codec
    return f"{name or 'unknown'} {kind}"


def is_carried(stream: Stream) -> bool:
    """Whether a stream goes into the result as it is."""
    return stream.is_cover or (stream.kind in ("audio", "subtitle", "attachment") and not is_lost(stream))


def is_lost(stream: Stream) -> bool:
    """Whether no container takes a track of sound or subtitles: nothing tells its codec or, of sound, its rate, so that
    no decoder plays it either; or it is of subtitles that only ever lived inside other streams."""
    if stream.kind == "audio":
        return not (stream.codec and stream.rate)
    return stream.kind == "subtitle" and not taking([stream.codec])


def is_other_film(stream: Stream) -> bool:
    """Whether a stream is video beside the film, and no cover: it is in no result."""
    return stream.kind == "video" and not (stream.is_film or stream.is_cover)


def _facts(stream: Any, is_film: bool) -> Stream:
    kind, context = str(stream.type), stream.codec_context
    start = None if stream.start_time is None else Fraction(stream.start_time * stream.time_base)
    sound = known(stream) if kind == "audio" and context else None
    video = context if kind == "video" else None
    return Stream(
        stream.index, kind, str(stream.name or "") if kind == "data" else codec_of(stream), start,
        dict(stream.metadata), int(stream.disposition), is_film, is_cover(stream),
        size=(stream.width, stream.height) if video else None,
        aspect=stream.sample_aspect_ratio or None if video else None, fields=int(video.field_order) if video else 0,
        rate=sound.codec_context.sample_rate if sound else 0, sample=sample_bytes(stream) if sound else 0,
    )  # fmt: skip
