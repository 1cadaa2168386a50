"""Sound that begins late in a transport stream, or in a part of it that is joined to one without.

FFmpeg has its packets, but knows neither rate nor channels, without which no container takes it; nor how long each is,
so that only the first of those that lie together has a time.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from contextlib import suppress
from fractions import Fraction
from typing import Any

import av

from vidswap.media.containers import demuxer_of
from vidswap.media.packets import packets
from vidswap.media.source import file_of, opened

_BEFORE, _LOOKED = 16 * 188, 1 << 21  # bytes before the first packet of sound, and in all, by which it is known


def known(stream: Any) -> Any:
    """A stream as it is to be copied: itself; the same one as a reader knows it that begins where it does, if FFmpeg
    knows too little of it; None where that one does not know more."""
    if stream.type != "audio" or stream.codec_context.sample_rate:
        return stream
    return _read_late(stream) if demuxer_of(stream.container.format.name).late else None


def timed(packets: Iterable[Any], streams: Iterable[Any]) -> Iterator[Any]:
    """The packets of streams of an open file, those of late sound each with its time and length."""
    late = ((stream, known(stream)) for stream in streams)
    lengths = {stream.index: _length(stream, same) for stream, same in late if same not in (stream, None)}
    ends: dict[int, int] = {}
    for packet in packets:
        length = lengths.get(packet.stream.index)
        if length and packet.size:
            if packet.pts is None:
                packet.pts = packet.dts = ends.get(packet.stream.index)
            packet.duration = packet.duration or length
            if packet.pts is not None:
                ends[packet.stream.index] = packet.pts + packet.duration
        yield packet


def _length(stream: Any, same: Any) -> int:
    """How long a packet of late sound is, in the unit of its stream; 0: not told. `same` is it as it is known."""
    context = same.codec_context
    return round(Fraction(context.frame_size, context.sample_rate) / Fraction(stream.time_base))


def _read_late(stream: Any) -> Any:
    path, form = file_of(stream.container), stream.container.format.name
    with opened(path) as whole:
        places = (packet.pos for packet in packets(whole, whole.streams[stream.index]) if packet.size)
        place = next((place for place in places if place is not None), None)
    if place is None:
        return None
    with path.open("rb") as file:
        file.seek(max(0, place - _BEFORE))
        data = io.BytesIO(file.read(_LOOKED))
    with suppress(av.FFmpegError):
        late = av.open(data, format=form)
        same = (each for each in late.streams.audio if each.id == stream.id)
        return next((each for each in same if each.codec_context.sample_rate), None)
    return None
