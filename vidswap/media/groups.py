"""A film that was encoded before -> its groups: packets from one key picture to the next, which stand for themselves.

A group that leans on no other, made by an encoder of the same parameters, can go into another film as it is, and loses
nothing. Of H.264 and HEVC the parameters are compared unit by unit, whatever box they lie in, and all units get the
start codes that encoders write (ISO 14496-15, 5.3.3 and 8.3.3).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from types import MappingProxyType
from typing import Any, NamedTuple

import av

from vidswap.media.colour import LIMITED
from vidswap.media.encoder import Encoding, encoder
from vidswap.media.packets import packets
from vidswap.media.source import codec_of, film_of, opened
from vidswap.types import Clip

_START = re.compile(rb"\x00*\x00\x00\x01")
_CODE = b"\0\0\0\1"


@dataclass(frozen=True)
class Coded:
    """A frame as it is in a film: its number, the packet's payload, and whether it is a key picture."""

    index: int
    payload: bytes
    key: bool


@dataclass(frozen=True)
class Group:
    """The frames [start, stop) of a film, in the order of decoding."""

    start: int
    stop: int
    coded: tuple[Coded, ...]

    def moved(self, by: int) -> Group:
        """The same with other numbers."""
        coded = tuple(replace(each, index=each.index + by) for each in self.coded)
        return Group(self.start + by, self.stop + by, coded)


class _Units(NamedTuple):
    """A codec that is made of units: the `kind` of one, by its first byte; which kinds are `parameters`, which slices
    of `fresh` pictures, that lean on none before. `boxed` are the parameters in mp4's own header, whose byte `lengths`
    says how many bytes the length of a unit takes."""

    kind: Callable[[int], int]
    parameters: tuple[int, ...]
    fresh: tuple[int, ...]
    lengths: int
    boxed: Callable[[bytes], Iterator[bytes]]

    def parameters_in(self, extra: bytes) -> set[bytes]:
        """Those in a stream's own header."""
        units = self.boxed(extra) if extra[:1] == b"\1" else _started(extra)
        return {unit for unit in units if self.kind(unit[0]) in self.parameters}


def _in_avc(extra: bytes) -> Iterator[bytes]:
    place = 5
    for mask in (31, 255):  # of sequences, of pictures
        count, place = extra[place] & mask, place + 1
        place = yield from _counted(extra, place, count)


def _in_hevc(extra: bytes) -> Iterator[bytes]:
    place = 23
    for _ in range(extra[22]):
        count = int.from_bytes(extra[place + 1 : place + 3], "big")
        place = yield from _counted(extra, place + 3, count)


_UNITS = MappingProxyType({
    "h264": _Units(lambda byte: byte & 31, (7, 8), (5,), 4, _in_avc),
    "hevc": _Units(lambda byte: byte >> 1 & 63, (32, 33, 34), (19, 20), 21, _in_hevc),
})  # fmt: skip
_PLAIN = ("vp9", "prores", "ffv1", "mpeg4")  # whose key pictures lean on none before, and whose packets have no box


def groups(clip: Clip, encoding: Encoding) -> Iterator[Group]:
    """The groups of a film that can go into one of that encoding as they are, in order; none where it is of another.
    Raises InputError."""
    if clip.files or clip.counted or clip.stretches:
        return
    damaged = av.FFmpegError, IndexError, ValueError
    with suppress(*damaged), opened(clip.path) as container:
        stream = film_of(container)
        if reader := _reader(stream, clip, encoding):
            ratio = Fraction(stream.time_base) / clip.time_base
            number = {time: index for index, time in enumerate(clip.pts.tolist())}
            shown = ((-1 if packet.pts is None else number.get(int(packet.pts * ratio), -1), packet)
                     for packet in packets(container, stream) if packet.size)  # fmt: skip
            yield from filter(None, map(_closed, _parted(shown, *reader)))


Read = Callable[[Any], bytes]  # a packet's payload, as an encoder writes it
IsFresh = Callable[[bytes], bool]  # whether decoding can begin with the payload of a key picture


def _reader(stream: Any, clip: Clip, encoding: Encoding) -> tuple[Read, IsFresh] | None:
    """What reads packets of a film, where they can go into one of that encoding."""
    context = encoder(encoding)
    name, extra, own = codec_of(stream), *(bytes(each.extradata or b"") for each in (stream.codec_context, context))
    alike = (context.codec.canonical_name, encoding.format, encoding.width, encoding.height)
    if (name, stream.codec_context.pix_fmt, clip.width, clip.height) != alike:
        return None
    units = _UNITS.get(name)
    if units is None:
        plain = name in _PLAIN and encoding.headers and extra == own
        return (bytes, lambda _: True) if plain and _told(clip.colour) == _told(encoding.colour) else None
    if encoding.headers and units.parameters_in(extra) != units.parameters_in(own):
        return None
    needed = {*units.fresh} if encoding.headers else {*units.fresh, *units.parameters}

    def is_fresh(payload: bytes) -> bool:
        kinds = {units.kind(unit[0]) for unit in _started(payload)}
        return needed - {*units.fresh} <= kinds and not kinds.isdisjoint(units.fresh)

    if extra[:1] != b"\1":
        return bytes, is_fresh
    length = (extra[units.lengths] & 3) + 1
    return lambda packet: _with_codes(bytes(packet), length), is_fresh


def _told(colour: tuple[int, ...]) -> tuple[int, ...]:
    """Colours, as they are taken where a film does not tell how far they reach."""
    return (colour[0], colour[1] or LIMITED, *colour[2:])


def _parted(shown: Iterable[tuple[int, Any]], read: Read, is_fresh: IsFresh) -> Iterator[list[Coded]]:
    """Packets with the numbers of their frames, from each picture that decoding can begin with up to the next."""
    group = list[Coded]()
    for index, packet in shown:
        each = Coded(index, read(packet), packet.is_keyframe)
        if each.key and is_fresh(each.payload):
            if group:
                yield group
            group = [each]
        elif group:
            group.append(each)
    if group:
        yield group


def _closed(coded: list[Coded]) -> Group | None:
    """The group of these packets, if they are all frames from the first one on."""
    start, stop = coded[0].index, coded[0].index + len(coded)
    whole = start >= 0 and sorted(each.index for each in coded) == list(range(start, stop))
    return Group(start, stop, tuple(coded)) if whole else None


def _counted(extra: bytes, place: int, count: int) -> Generator[bytes, None, int]:
    """So many units from a byte on, each after its length; returns where they end."""
    for _ in range(count):
        length = int.from_bytes(extra[place : place + 2], "big")
        if length:
            yield extra[place + 2 : place + 2 + length]
        place += 2 + length
    return place


def _started(data: bytes) -> Iterator[bytes]:
    """Units, each after a start code."""
    return filter(None, _START.split(data))


def _with_codes(payload: bytes, length: int) -> bytes:
    """A payload whose units have their lengths before them, with start codes instead."""
    found, place = [], 0
    while place < len(payload):
        end = place + length + int.from_bytes(payload[place : place + length], "big")
        if not place + length < end <= len(payload):
            raise ValueError("a unit is cut off")
        found.append(payload[place + length : end])
        place = end
    return b"".join(_CODE + unit for unit in found)
