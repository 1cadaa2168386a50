"""A file -> its sound as it is stored, undecoded: each packet's time and digest, and PCM sample by sample."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from vidswap.errors import InputError
from vidswap.facts import Stretch
from vidswap.keys import digest_of_bytes
from vidswap.media.clocks import on_one_clock
from vidswap.media.images import is_pictures
from vidswap.media.late import timed
from vidswap.media.packets import packets
from vidswap.media.source import film_of, header_bytes, opened, sample_bytes
from vidswap.types import Array

_DIGEST = 16  # bytes of a sha256 that are kept


@dataclass(frozen=True, eq=False)
class Sound:
    """A stream of sound. `times` (N,) int64 of its packets, in `unit` seconds of the file's clock, and their `digests`
    (N,) of 16 bytes; `sample` is the bytes of a sample of all channels where it is PCM, 0 elsewhere, `rate` samples a
    second; `end` when the last packet ends."""

    path: Path
    index: int
    codec: str
    unit: Fraction
    times: Array
    digests: Array
    sample: int
    rate: int
    end: Fraction

    def seconds(self, packet: int) -> Fraction:
        """When a packet begins."""
        return int(self.times[packet]) * self.unit

    def pcm(self, first: int = 0) -> Iterator[bytes]:
        """The bytes of the PCM samples from the sample `first` on, packet by packet. Raises InputError."""
        ahead = first * self.sample
        with _opened(self.path) as container:
            for packet in packets(container, container.streams[self.index]):
                if packet.size > ahead:
                    yield bytes(packet)[ahead:]
                ahead = max(0, ahead - packet.size)


def sounds(path: Path, stretches: Sequence[Stretch] = ()) -> list[Sound]:
    """All streams of sound in a file, in its order, on the one clock that `stretches` make of it (see Clip); none where
    it is of pictures. Raises InputError.

    Of AAC that comes in ADTS (transport streams) only what the headers wrap is told, as other containers have it."""
    if is_pictures(path):
        return []
    with _opened(path) as container:
        streams = [stream for stream in container.streams.audio if stream.codec_context]
        found: dict[int, list[tuple[int, bytes, int]]] = {stream.index: [] for stream in streams}
        film = film_of(container)
        wanted = [*streams, film] if stretches else streams
        for packet in on_one_clock(timed(packets(container, *wanted), streams), stretches, film) if streams else ():
            if packet.stream.index not in found:
                continue
            content = _payload(packet)
            if content and packet.pts is not None:
                digest = bytes.fromhex(digest_of_bytes(content))[:_DIGEST]
                found[packet.stream.index].append((packet.pts, digest, packet.duration or 0))
        return [_sound(path, stream, found[stream.index]) for stream in streams]


def _sound(path: Path, stream: Any, found: list[tuple[int, bytes, int]]) -> Sound:
    context, unit = stream.codec_context, Fraction(stream.time_base)
    times = np.array([time for time, _, _ in found], np.int64)
    digests = np.array([digest for _, digest, _ in found], f"V{_DIGEST}")
    end = max((time + length for time, _, length in found), default=0) * unit
    sample, rate = sample_bytes(stream), context.sample_rate
    return Sound(path, stream.index, context.name, unit, times, digests, sample, rate, Fraction(end))


def _payload(packet: Any) -> bytes:
    """What a packet holds, without its header; nothing of one that lost it."""
    head = header_bytes(packet)
    return b"" if head is None else bytes(packet)[head:]


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with opened(path) as container:
            yield container
    except (av.FFmpegError, OSError) as error:
        raise InputError(f"the sound of {path} cannot be read ({error.strerror})", "the file is damaged") from error
