"""What H.264 says of its pictures before they are decoded (ISO 14496-10, 7.3): their size, and which are of fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vidswap.media.bits import Bits, new_extra, started, unit_finder
from vidswap.media.source import codec_of

_WITH_CHROMA = (100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135)  # profiles that tell it
_SPS, _SLICES = 7, (1, 5)  # kinds of units


@dataclass(frozen=True)
class _Sequence:
    """What H.264's parameters of a sequence tell. `numbers`: bits of a picture's number; `mixed`: fields and whole
    blocks in one picture."""

    size: tuple[int, int]
    planes: bool
    numbers: int
    whole: bool
    mixed: bool


class _Slices:
    """Reads the heads of slices, and keeps the parameters by which they are read."""

    def __init__(self, stream: Any) -> None:
        self._units = unit_finder(stream)
        extra = bytes(stream.codec_context.extradata or b"") if codec_of(stream) == "h264" else b""
        self.sequence = _sequence_in(extra) if extra else None

    def slice_in(self, packet: Any) -> bytes | None:
        """How the first slice of a packet begins; None where there is none, or its sequence has no fields."""
        for unit in self._units(packet):
            if unit[0] & 31 == _SPS:
                self.sequence = _sequence(unit)
            elif unit[0] & 31 in _SLICES and self.sequence and not self.sequence.whole:
                return unit
        return None


class H264(_Slices):
    """Tells the size of a packet's picture, None where it does not say, and whether that may be of two fields."""

    def __call__(self, packet: Any) -> tuple[tuple[int, int] | None, bool]:
        if extra := new_extra(packet):
            self.sequence = _sequence_in(extra)
        known = self.sequence
        if not packet.is_keyframe and (known is None or known.whole or known.mixed):
            return None, False
        unit = self.slice_in(packet)
        known = self.sequence
        fields = unit is not None and known is not None and (known.mixed or _field_of(unit, known) is not None)
        return known.size if known else None, fields


class Fields(_Slices):
    """Tells of each packet of a film, in order, whether it holds the second field of the frame that the one before it
    began: in H.264 each field may be a picture and a packet of its own (PAFF; ISO 14496-10, 7.4.1.2.4)."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._first: tuple[int, int] | None = None  # the field that waits for its second: its frame's number, which one

    def is_second(self, packet: Any) -> bool:
        """Whether a packet is not a frame of its own."""
        if self.sequence is None or (self.sequence.whole and not packet.is_keyframe):
            return False
        try:
            unit = self.slice_in(packet)
            field = None if unit is None else _field_of(unit, self.sequence)
        except (IndexError, ValueError):  # damaged
            return False
        second = field is not None and self._first == (field[0], 1 - field[1])
        self._first = None if second else field
        return second


def _sequence_in(extra: bytes) -> _Sequence | None:
    """The parameters in a stream's own header."""
    units = started(extra) if extra[:1] != b"\x01" else iter([extra[8 : 8 + int.from_bytes(extra[6:8], "big")]])
    try:
        return next((_sequence(unit) for unit in units if unit and unit[0] & 31 == _SPS), None)
    except ValueError:
        return None


def _sequence(unit: bytes) -> _Sequence:
    bits = Bits(unit[1:].replace(b"\x00\x00\x03", b"\x00\x00"))
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


def _chroma(bits: Bits) -> tuple[int, bool]:
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
    bits = Bits(unit[1:33].replace(b"\x00\x00\x03", b"\x00\x00"))
    bits.golomb(), bits.golomb(), bits.golomb()
    bits.read(2 * sequence.planes)
    number, is_field = bits.read(sequence.numbers), bits.read()
    return (number, bits.read()) if is_field else None
