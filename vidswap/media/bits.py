"""Coded pictures as bits, and as the units that they are laid in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from vidswap.media.source import codec_of

HEAD = 2048  # bytes of a packet in which its parameters lie
START = re.compile(rb"\x00\x00\x01")


class Bits:
    """Bits of a payload, the first one first."""

    def __init__(self, data: bytes) -> None:
        self._left = 8 * len(data)
        self._value = int.from_bytes(data, "big")

    def read(self, count: int = 1) -> int:
        """The next `count` bits, as a number. Raises ValueError where they are not there."""
        self._left -= count
        if self._left < 0:
            raise ValueError("no bits are left")
        return self._value >> self._left & (1 << count) - 1

    def golomb(self) -> int:
        """An unsigned number of H.264's, ue(v)."""
        zeros = 0
        while not self.read():
            zeros += 1
        return (1 << zeros) - 1 + self.read(zeros)

    def signed(self) -> int:
        """A number of H.264's with a sign, se(v)."""
        number = self.golomb()
        return (number + 1) // 2 if number % 2 else -number // 2


def unit_finder(stream: Any) -> Callable[[Any], Iterator[bytes]]:
    """What yields the first bytes of each unit of a packet, with a start code before it, or its length, as mp4 has."""
    extra = bytes(stream.codec_context.extradata or b"")
    if extra[:1] != b"\x01":
        return lambda packet: started(bytes(memoryview(packet)[:HEAD]))
    place = 21 if codec_of(stream) == "hevc" else 4
    lengths = (extra[place] & 3) + 1 if len(extra) > place else 4
    return lambda packet: _measured(memoryview(packet), lengths)


def new_extra(packet: Any) -> bytes:
    """A stream's own header, where a packet brings another; else nothing."""
    return bytes(packet.get_sidedata("new_extradata")) if packet.has_sidedata("new_extradata") else b""


def started(data: bytes) -> Iterator[bytes]:
    for found in START.finditer(data):
        if found.end() < len(data):
            yield data[found.end() : found.end() + 256]


def _measured(data: memoryview, lengths: int) -> Iterator[bytes]:
    place = 0
    while place + lengths < len(data):
        length = int.from_bytes(data[place : place + lengths], "big")
        if length:
            yield bytes(data[place + lengths : place + lengths + min(length, 256)])
        place += lengths + length
