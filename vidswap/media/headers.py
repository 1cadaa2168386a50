"""What packets say of the pictures in them, without decoding: their sizes, and whether any is of two fields.

A film's first picture need not be like the others: calls over a network change their size with the line (VP8, VP9,
H.264), recordings of television are whole pictures here and fields there. Read are the heads of packets as VP8 (RFC
6386, 9.1), VP9 (bitstream specification 7.2), MPEG-2 (ISO 13818-2, 6.2) and H.264 (ISO 14496-10, 7.3) have them;
parameters of others, where they change, are tried on a decoder.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import av

from vidswap.media.packets import end_of
from vidswap.media.source import MOST_PIXELS, codec_of

Size = tuple[int, int]  # width, height
_HEAD = 2048  # bytes of a packet in which its parameters lie
_START = re.compile(rb"\x00\x00\x01")
_WITH_CHROMA = (100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135)  # profiles of H.264 that tell it
_MOST_TRIES = 64  # pictures decoded for their size
_VP9_SYNC = 0x498342
_SPS, _SLICES = 7, (1, 5)  # kinds of H.264's units
_HEVC_SPS, _AV1_SEQUENCE = 33, 1


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
        """All sizes of pictures, `first` being that of the first one that decodes."""
        changes = self._is_tried or len(self.sizes) > 1  # a lone one that is not the decoder's is cropped elsewhere
        return tuple(dict.fromkeys((first, *self.sizes))) if changes else (first,)


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
        return _mpeg2(bytes(memoryview(packet)[:_HEAD]))[0]
    return None


def _reader(stream: Any) -> Callable[[Any], tuple[Size | None, bool]] | None:
    match codec_of(stream):
        case "vp8":
            return lambda packet: (_vp8(bytes(memoryview(packet)[:10])), False)
        case "vp9":
            return lambda packet: (_vp9(bytes(memoryview(packet)[:32])), False)
        case "mpeg1video" | "mpeg2video":
            return lambda packet: _mpeg2(bytes(memoryview(packet)[:_HEAD]))
        case "h264":
            return _H264(stream)
        case "hevc" | "av1":
            return _Tried(stream)
    return None


class _Bits:
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


def _vp8(data: bytes) -> Size | None:
    if data[0] & 1 or data[3:6] != b"\x9d\x01\x2a":
        return None
    wide, high = (int.from_bytes(data[place : place + 2], "little") & 0x3FFF for place in (6, 8))
    return wide, high


def _vp9(data: bytes) -> Size | None:
    """The size that a picture tells: a key one, or another that is made from pictures of another size."""
    bits = _Bits(data)
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


def _pass_colours(bits: _Bits, profile: int) -> None:
    if profile >= 2:
        bits.read()
    is_rgb = bits.read(3) == 7
    bits.read(profile % 2 if is_rgb else 1 + 3 * (profile % 2))  # range and sampling


def _mpeg2(data: bytes) -> tuple[Size | None, bool]:
    size, fields = None, False
    for place in (found.end() for found in _START.finditer(data)):
        unit = data[place : place + 8]
        if unit[0] == 0xB3:
            bits = _Bits(unit[1:])
            size = bits.read(12), bits.read(12)
        elif unit[0] == 0xB5 and unit[1] >> 4 == 8:  # the extension of a picture: its last flag says that it is whole
            fields = not unit[5] & 0x80
    return size, fields


@dataclass(frozen=True)
class _Sequence:
    """What H.264's parameters of a sequence tell. `numbers`: bits of a picture's number; `mixed`: fields and whole
    blocks in one picture."""

    size: Size
    planes: bool
    numbers: int
    whole: bool
    mixed: bool


class _H264:
    """Keeps the parameters by which the heads of slices are read."""

    def __init__(self, stream: Any) -> None:
        self._units = _unit_finder(stream)
        extra = bytes(stream.codec_context.extradata or b"")
        self._sequence = _sequence_in(extra) if extra else None

    def __call__(self, packet: Any) -> tuple[Size | None, bool]:
        if extra := _new_extra(packet):
            self._sequence = _sequence_in(extra)
        known = self._sequence
        if not packet.is_keyframe and (known is None or known.whole or known.mixed):
            return None, False
        fields = False
        for unit in self._units(packet):
            kind = unit[0] & 31
            if kind == _SPS:
                self._sequence = _sequence(unit)
            elif kind in _SLICES and self._sequence and not self._sequence.whole:
                fields = self._sequence.mixed or _field_of(unit, self._sequence) is not None
                break
        return self._sequence.size if self._sequence else None, fields


def _unit_finder(stream: Any) -> Callable[[Any], Iterator[bytes]]:
    """What yields the first bytes of each unit of a packet, with a start code before it, or its length, as mp4 has."""
    extra = bytes(stream.codec_context.extradata or b"")
    if extra[:1] != b"\x01":
        return lambda packet: _started(bytes(memoryview(packet)[:_HEAD]))
    place = 21 if codec_of(stream) == "hevc" else 4
    lengths = (extra[place] & 3) + 1 if len(extra) > place else 4
    return lambda packet: _measured(memoryview(packet), lengths)


def _new_extra(packet: Any) -> bytes:
    """A stream's own header, where a packet brings another; else nothing."""
    return bytes(packet.get_sidedata("new_extradata")) if packet.has_sidedata("new_extradata") else b""


def _started(data: bytes) -> Iterator[bytes]:
    for found in _START.finditer(data):
        if found.end() < len(data):
            yield data[found.end() : found.end() + 256]


def _measured(data: memoryview, lengths: int) -> Iterator[bytes]:
    place = 0
    while place + lengths < len(data):
        length = int.from_bytes(data[place : place + lengths], "big")
        if length:
            yield bytes(data[place + lengths : place + lengths + min(length, 256)])
        place += lengths + length


def _sequence_in(extra: bytes) -> _Sequence | None:
    """The parameters in a stream's own header."""
    units = _started(extra) if extra[:1] != b"\x01" else iter([extra[8 : 8 + int.from_bytes(extra[6:8], "big")]])
    try:
        return next((_sequence(unit) for unit in units if unit and unit[0] & 31 == _SPS), None)
    except ValueError:
        return None


def _sequence(unit: bytes) -> _Sequence:
    bits = _Bits(unit[1:].replace(b"\x00\x00\x03", b"\x00\x00"))
    profile, _ = bits.read(8), bits.read(16)
    bits.golomb()
    chroma, planes = 1, False
    if profile in _WITH_CHROMA:
        chroma, planes = _chroma(bits)
    numbers, order = bits.golomb() + 4, bits.golomb()
    if order == 0:
        bits.golomb()
    elif order == 1:
        bits.read()
        bits.signed(), bits.signed()
        for _ in range(min(bits.golomb(), 255)):
            bits.signed()
    bits.golomb(), bits.read()
    wide, high, whole = 16 * (bits.golomb() + 1), 16 * (bits.golomb() + 1), bool(bits.read())
    mixed = not whole and bool(bits.read())
    bits.read()
    left, right, top, bottom = (bits.golomb() for _ in range(4)) if bits.read() else (0, 0, 0, 0)
    across, down = 2 if chroma in (1, 2) else 1, (2 if chroma == 1 else 1) * (2 - whole)
    size = wide - across * (left + right), high * (2 - whole) - down * (top + bottom)
    return _Sequence(size, planes, numbers, whole, mixed)


def _chroma(bits: _Bits) -> tuple[int, bool]:
    """The sampling of colours, and whether each is coded by itself; what follows them is passed over."""
    chroma = bits.golomb()
    planes = chroma == 3 and bool(bits.read())
    bits.golomb(), bits.golomb(), bits.read()
    if bits.read():
        for number in range(8 if chroma != 3 else 12):
            last = following = 8
            for _ in range((16 if number < 6 else 64) if bits.read() else 0):
                if following:
                    following = (last + bits.signed()) % 256
                last = following or last
    return chroma, planes


def _field_of(unit: bytes, sequence: _Sequence) -> tuple[int, int] | None:
    """The number of a slice's frame, and which field of it that is: 0 top, 1 bottom. None: it is of both."""
    bits = _Bits(unit[1:33].replace(b"\x00\x00\x03", b"\x00\x00"))
    bits.golomb(), bits.golomb(), bits.golomb()
    bits.read(2 * sequence.planes)
    number, is_field = bits.read(sequence.numbers), bits.read()
    return (number, bits.read()) if is_field else None


class _Tried:
    """Where a packet brings parameters that are new, its picture is decoded for its size; the first one only when
    others come."""

    def __init__(self, stream: Any) -> None:
        self._name, self._extra = stream.codec_context.name, stream.codec_context.extradata
        self._is_hevc = codec_of(stream) == "hevc"
        self._units = _unit_finder(stream)
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
            return _new_extra(packet) + b"".join(unit for unit in self._units(packet) if unit[0] >> 1 & 63 == _HEVC_SPS)
        return next(_sequence_units(bytes(memoryview(packet)[:_HEAD])), b"")

    def _decoded(self, packet: Any) -> Size | None:
        context = av.CodecContext.create(self._name, "r")
        context.extradata = _new_extra(packet) or self._extra
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


class Fields:
    """Tells of each packet of a film, in order, whether it holds the second field of the frame that the one before it
    began: in H.264 each field may be a picture and a packet of its own (PAFF; ISO 14496-10, 7.4.1.2.4)."""

    def __init__(self, stream: Any) -> None:
        extra = bytes(stream.codec_context.extradata or b"") if codec_of(stream) == "h264" else b""
        self._sequence = _sequence_in(extra) if extra else None
        self._units = _unit_finder(stream)
        self._first: tuple[int, int] | None = None  # the field that waits for its second: its frame's number, which one

    def is_second(self, packet: Any) -> bool:
        """Whether a packet is not a frame of its own."""
        if self._sequence is None or (self._sequence.whole and not packet.is_keyframe):
            return False
        try:
            field = self._field(packet)
        except (IndexError, ValueError):  # damaged
            return False
        second = field is not None and self._first == (field[0], 1 - field[1])
        self._first = None if second else field
        return second

    def _field(self, packet: Any) -> tuple[int, int] | None:
        """The number of a packet's frame, and which field of it that is: 0 top, 1 bottom. None: it is whole."""
        for unit in self._units(packet):
            if unit[0] & 31 == _SPS:
                self._sequence = _sequence(unit)
            elif unit[0] & 31 in _SLICES and self._sequence and not self._sequence.whole:
                return _field_of(unit, self._sequence)
        return None
