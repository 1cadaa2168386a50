"""H.264 whose pictures are fields, each in a packet of its own: as camcorders and broadcasters write it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from vidswap.read.clip import frames, open_clip

SIZE = 64  # pixels of a frame's side; a macroblock has 16 x 16 luma samples and 2 x 8 x 8 of colour
BLOCKS = SIZE // 16
TICK = Fraction(1, 90000)
FIELD, FRAME, LOST = "field", "frame", "lost"  # two packets; one; two, the second of which is not there


class Bits(str):
    """A string of bits, from which the next is made."""

    def u(self, count: int, value: int) -> Bits:
        return Bits(self + f"{value:0{count}b}")

    def ue(self, *values: int) -> Bits:
        return Bits(self + "".join("0" * ((value + 1).bit_length() - 1) + f"{value + 1:b}" for value in values))

    def bytes(self, stop: str = "1") -> bytes:
        bits = self + stop
        return int(bits + "0" * (-len(bits) % 8), 2).to_bytes((len(bits) + 7) // 8, "big")


def unit(head: int, payload: bytes) -> bytes:
    return b"\0\0\0\1" + bytes([head]) + re.sub(rb"\0\0(?=[\0-\3])", b"\0\0\3", payload)


def parameters(matrices: bool) -> bytes:
    """Sequence (fields allowed, 25 frames a second) and picture parameter sets, of the High profile where it is to have
    scaling `matrices`, else of the Main profile."""
    sps = Bits().u(8, 100 if matrices else 77).u(8, 0).u(8, 40).ue(0)
    if matrices:
        sps = sps.ue(1, 0, 0).u(1, 0).u(1, 1).u(1, 1).ue(*[1] * 16).u(7, 0)  # the first of 8 lists: steps of +1
    sps = sps.ue(0, 0, 4, 1).u(1, 0).ue(BLOCKS - 1, BLOCKS // 2 - 1).u(1, 0).u(1, 0).u(1, 1).u(1, 0).u(1, 1)
    sps = sps.u(4, 0).u(1, 1).u(32, 1).u(32, 50).u(1, 1).u(4, 0)
    pps = Bits().ue(0, 0).u(1, 0).u(1, 0).ue(0, 0, 0).u(1, 0).u(2, 0).ue(0, 0, 0).u(1, 1).u(2, 0)
    return unit(0x67, sps.bytes()) + unit(0x68, pps.bytes())


def picture(number: int, field: int | None, level: int) -> bytes:
    """A slice of one grey, uncoded (I_PCM): the whole of frame `number`, or its top (0) or bottom (1) field."""
    first = number == 0 and field != 1
    head = Bits().ue(0, 7, 0).u(4, number % 16)
    head = head.u(1, 0) if field is None else head.u(1, 1).u(1, field)
    head = (head.ue(0) if first else head).u(8, (2 * number + (field or 0)) % 256).u(2 if first else 1, 0).ue(0, 1)
    block = bytes([level]) * 256 + bytes([128]) * 128
    count = BLOCKS * BLOCKS // (1 if field is None else 2)
    body = bytes(head.ue(25).bytes("")) + b"\x0d\0".join([block] * count)
    return unit(0x65 if first else 0x41, body + b"\x80")


def film_of(path: Path, kinds: Sequence[str], matrices: bool = False) -> Path:
    """A film of frames of these kinds, ever brighter, 25 a second; the fields of one are a grey and its next."""
    stream = path.with_suffix(".ts")
    with av.open(str(stream), "w") as target:
        track = target.add_mux_stream("h264", width=SIZE, height=SIZE)
        track.time_base = TICK
        for number, kind in enumerate(kinds):
            for field in {FRAME: (None,), FIELD: (0, 1), LOST: (0,)}[kind]:
                start = unit(9, b"\xf0") + (b"" if field else parameters(matrices))
                packet = av.Packet(start + picture(number, field, 20 + 8 * number + (field or 0)))
                packet.stream, packet.time_base, packet.is_keyframe = track, TICK, not field
                packet.pts = packet.dts = 90000 + 3600 * number + 1800 * (field or 0)
                packet.duration = 3600 if field is None else 1800
                target.mux(packet)
    if path != stream:
        with av.open(str(stream)) as source, av.open(str(path), "w") as target:
            track = target.add_stream_from_template(source.streams.video[0])
            for packet in filter(lambda packet: packet.size, source.demux(video=0)):
                packet.stream = track
                target.mux(packet)
    return path


MIXED = [FRAME, FIELD, FIELD, FRAME, FIELD, LOST, FIELD, FRAME, FRAME, FIELD, FIELD, FIELD]


@pytest.mark.parametrize("ending", ["ts", "mkv", "mp4"])
@pytest.mark.parametrize(("kinds", "matrices"), [([FIELD] * 12, False), ([FIELD] * 12, True), (MIXED, False)])
def test_two_fields_are_one_frame(tmp_path, ending, kinds, matrices):
    clip = open_clip(film_of(tmp_path / f"a.{ending}", kinds, matrices))
    shown = list(frames(clip))
    assert len(clip) == len(kinds)
    told = [frame.repeated for frame in shown]
    broken = kinds.index(LOST) if LOST in kinds else len(kinds)
    assert told[: broken + 1] == [False] * broken + [True] * (LOST in kinds)  # a decoder may doubt what comes after
    times = [float(int(time - clip.pts[0]) * clip.time_base) for time in clip.pts]
    np.testing.assert_allclose(times, [number / 25 for number in range(len(kinds))], atol=0.0011)
    levels = [np.frombuffer(frame.native.planes[0], np.uint8)[0] for frame in shown]
    assert levels == [20 + 8 * (number - (kind == LOST)) for number, kind in enumerate(kinds)]


@pytest.mark.parametrize("ending", ["ts", "mkv", "mp4"])
def test_a_film_of_fields_has_the_rate_of_its_frames(tmp_path, ending):
    clip = open_clip(film_of(tmp_path / f"a.{ending}", [FIELD] * 12))
    assert clip.rate == 25
    assert float(clip.duration(11) * clip.time_base) == pytest.approx(0.04, abs=0.0011)


def test_a_range_of_a_film_of_fields_is_part_of_the_whole(tmp_path):
    clip = open_clip(film_of(tmp_path / "a.ts", MIXED))
    whole = [frame.rgb for frame in frames(clip)]
    for start, stop in ((1, 3), (5, 8), (11, 12)):
        for frame in frames(clip, start, stop):
            np.testing.assert_array_equal(frame.rgb, whole[frame.index])
