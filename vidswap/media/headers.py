"""What packets say of the pictures in them, without decoding: their sizes, and whether any is of two fields.

A film's first picture need not be like the others: calls over a network change their size with the line (VP8, VP9,
H.264), recordings of television are whole pictures here and fields there. Read are the heads of packets as VP8 (RFC
6386, 9.1), VP9 (bitstream specification 7.2), MPEG-2 (ISO 13818-2, 6.2) and H.264 (see h264.py) have them; parameters
of others, where they change, are tried on a decoder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any

import av

from vidswap.media.bits import HEAD, START, Bits, new_extra, unit_finder
from vidswap.media.h264 import H264
from vidswap.media.packets import end_of
from vidswap.media.source import MOST_PIXELS, codec_of

Size = tuple[int, int]  # width, height
_MOST_TRIES = 64  # pictures decoded for their size
_VP9_SYNC = 0x498342
_HEVC_SPS, _AV1_SEQUENCE = 33, 1
_OTHER_SHAPE, _LARGER = 4, 64  # a turned 16:9 has 3.2 times the shape; 320 x 180 to 2560 x 1440 is 64 times the area


class Headers:
    """The sizes of a film's pictures where they change on the way, and whether any may be of two fields, as far as its
    packets tell; read while they pass by."""

    def __init__(self, stream: Any) -> None:
        self.sizes: dict[Size, None] = {}
        self.interlaced = False
        self._see = _reader(stream)
        self._is_tried = isinstance(self._see, _Tried)

    def passing(self, packets: Iterator[Any]) -> Iterator[Any]:
        """The packets, unchanged."""
        for packet in packets:
            if packet.size and self._see:
                try:
                    size, fields = self._see(packet)
                except (IndexError, ValueError, av.FFmpegError):  # damaged
                    size, fields = None, False
                self.interlaced |= fields
                if size and 0 < size[0] * size[1] <= MOST_PIXELS:
                    self.sizes[size] = None
            yield packet

    def with_first(self, first: Size) -> tuple[Size, ...]:
        """All sizes of pictures, `first` being that of the first one that decodes; without what only damage claims."""
        changes = self._is_tried or len(self.sizes) > 1  # a lone one that is not the decoder's is cropped elsewhere
        others = (size for size in self.sizes if _is_likely(size, first))
        return tuple(dict.fromkeys((first, *others))) if changes else (first,)


def _is_likely(size: Size, first: Size) -> bool:
    """Whether pictures that begin with one size can go on with another: turned by a quarter at most, and not many times
    as large. The head of a damaged packet claims anything."""
    shapes = size[0] * first[1], size[1] * first[0]
    return max(shapes) <= _OTHER_SHAPE * min(shapes) and size[0] * size[1] <= _LARGER * first[0] * first[1]


def parted(packets: Iterable[Any], stream: Any) -> Iterator[Any]:
    """The packets, an empty one before each at which MPEG-2's pictures change their size: FFmpeg's decoder forgets the
    one that it holds back there."""
    known: Size | None = None
    for packet in packets:
        if packet.size and packet.is_keyframe and codec_of(stream) in ("mpeg1video", "mpeg2video"):
            size = _size_of(packet)
            if known and size and size != known:
                yield end_of(stream)
            known = size or known
        yield packet


def _size_of(packet: Any) -> Size | None:
    with suppress(IndexError, ValueError):
        return _mpeg2(bytes(memoryview(packet)[:HEAD]))[0]
    return None


def _reader(stream: Any) -> Callable[[Any], tuple[Size | None, bool]] | None:
    match codec_of(stream):
        case "vp8":
            return lambda packet: (_vp8(bytes(memoryview(packet)[:10])), False)
        case "vp9":
            return lambda packet: (_vp9(bytes(memoryview(packet)[:32])), False)
        case "mpeg1video" | "mpeg2video":
            return lambda packet: _mpeg2(bytes(memoryview(packet)[:HEAD]))
        case "h264":
            return H264(stream)
        case "hevc" | "av1":
            return _Tried(stream)
    return None


def _vp8(data: bytes) -> Size | None:
    if data[0] & 1 or data[3:6] != b"\x9d\x01\x2a":
        return None
    wide, high = (int.from_bytes(data[place : place + 2], "little") & 0x3FFF for place in (6, 8))
    return wide, high


def _vp9(data: bytes) -> Size | None:
    """The size that a picture tells: a key one, or another that is made from pictures of another size."""
    bits = Bits(data)
    marker, profile = bits.read(2), bits.read() | bits.read() << 1
    if marker != 2 or (profile == 3 and bits.read()) or bits.read():  # one that is shown again
        return None
    inter, shown, resilient = bits.read(), bits.read(), bits.read()
    alone = inter and not shown and bits.read()
    bits.read(2 if inter and not resilient else 0)
    if not inter or alone:
        if bits.read(24) != _VP9_SYNC:
            return None
        if not inter or profile:
            _pass_colours(bits, profile)
        bits.read(8 if alone else 0)
    else:
        bits.read(8 + 3 * 4)  # what it replaces; what it is made from
        if any(bits.read() for _ in range(3)):  # as large as one of these
            return None
    return bits.read(16) + 1, bits.read(16) + 1


def _pass_colours(bits: Bits, profile: int) -> None:
    if profile >= 2:
        bits.read()
    is_rgb = bits.read(3) == 7
    bits.read(profile % 2 if is_rgb else 1 + 3 * (profile % 2))  # range and sampling


def _mpeg2(data: bytes) -> tuple[Size | None, bool]:
    size, fields = None, False
    for place in (found.end() for found in START.finditer(data)):
        unit = data[place : place + 8]
        if unit[0] == 0xB3:
            bits = Bits(unit[1:])
            size = bits.read(12), bits.read(12)
        elif unit[0] == 0xB5 and unit[1] >> 4 == 8:  # the extension of a picture: its last flag says that it is whole
            fields = not unit[5] & 0x80
    return size, fields


class _Tried:
    """Where a packet brings parameters that are new, its picture is decoded for its size; the first one only when
    others come."""

    def __init__(self, stream: Any) -> None:
        self._name, self._extra = stream.codec_context.name, stream.codec_context.extradata
        self._is_hevc = codec_of(stream) == "hevc"
        self._units = unit_finder(stream)
        self._known: set[bytes] = set()

    def __call__(self, packet: Any) -> tuple[Size | None, bool]:
        if not packet.is_keyframe:
            return None, False
        words = self._parameters(packet)
        if words in self._known or len(self._known) == _MOST_TRIES:
            return None, False
        self._known.add(words)
        return self._decoded(packet) if len(self._known) > 1 else None, False

    def _parameters(self, packet: Any) -> bytes:
        if self._is_hevc:
            return new_extra(packet) + b"".join(unit for unit in self._units(packet) if unit[0] >> 1 & 63 == _HEVC_SPS)
        return next(_sequence_units(bytes(memoryview(packet)[:HEAD])), b"")

    def _decoded(self, packet: Any) -> Size | None:
        context = av.CodecContext.create(self._name, "r")
        context.extradata = new_extra(packet) or self._extra
        copy = av.Packet(bytes(packet))
        for picture in [*context.decode(copy), *context.decode(None)]:
            return picture.width, picture.height
        return None


def _sequence_units(data: bytes) -> Iterator[bytes]:
    """The headers of AV1's sequences in a packet (AV1 bitstream specification, 5.3)."""
    place = 0
    while place + 1 < len(data):
        kind, extended = data[place] >> 3 & 15, data[place] >> 2 & 1
        place += 1 + extended
        length = shift = 0
        while True:
            length |= (data[place] & 127) << shift
            shift += 7
            place += 1
            if not data[place - 1] & 128:
                break
        if kind == _AV1_SEQUENCE:
            yield data[place : place + length]
        place += length
