"""What packets say of their pictures, held against what a decoder makes of them."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from footage import moving
from hypothesis import given, settings
from hypothesis import strategies as st

from vidswap.media.bits import Bits
from vidswap.media.headers import Headers, _vp9
from vidswap.media.source import film_of, opened
from vidswap.read.clip import frames, open_clip

SMALL, LARGE, TALL = (160, 90), (320, 180), (90, 160)
COUNT = 5  # pictures of one size
LINKS = [
    ("libvpx", ".webm"), ("libvpx-vp9", ".webm"), ("libx264", ".ts"), ("libx264", ".mkv"), ("libx265", ".ts"),
    ("libx265", ".mkv"), ("mpeg2video", ".ts"), ("libsvtav1", ".mkv"),
]  # fmt: skip


def packets_of(codec: str, pictures: Sequence[Any], first: int, prepare: Any = None) -> tuple[list[Any], bytes]:
    """Packets of an encoder of their own, its parameters in them; and these."""
    context = av.CodecContext.create(codec, "w")
    context.height, context.width = pictures[0].shape[:2]
    context.pix_fmt, context.time_base, context.framerate = "yuv420p", Fraction(1, 25), 25
    context.options = {"x265-params": "log-level=none:repeat-headers=1"} if codec == "libx265" else {}
    context.thread_count, context.max_b_frames = 1, 0
    context.bit_rate = 2_000_000
    if prepare:
        prepare(context)
    packets = []
    for number, picture in enumerate(pictures):
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
        frame.pts, frame.time_base = first + number, Fraction(1, 25)
        packets += context.encode(frame)
    return packets + context.encode(None), bytes(context.extradata or b"")


def joined(path: Path, codec: str, sizes: Sequence[tuple[int, int]], prepare: Any = None) -> Path:
    """A film whose pictures have these sizes in turn; its header says the first one's."""
    with av.open(str(path), "w") as target:
        track = target.add_stream(codec, rate=25)
        track.width, track.height, track.pix_fmt = *sizes[0], "yuv420p"
        target.start_encoding()
        for number, (wide, high) in enumerate(sizes):
            for packet in packets_of(codec, moving(COUNT, wide, high), number * COUNT, prepare)[0]:
                packet.stream = track
                target.mux(packet)
    return path


def told(path: Path) -> Headers:
    with opened(path) as container:
        headers = Headers(film_of(container))
        assert len(list(headers.passing(container.demux(film_of(container))))) > COUNT
    return headers


@pytest.mark.parametrize(("codec", "ending"), LINKS)
def test_a_size_that_changes_is_never_shrunk(tmp_path, codec, ending):
    clip = open_clip(joined(tmp_path / f"a{ending}", codec, [SMALL, LARGE, SMALL]))
    assert (clip.width, clip.height) == LARGE
    assert any("change their size" in note for note in clip.notes)
    found = list(frames(clip))
    assert len(found) == 3 * COUNT
    small, large = moving(COUNT, *SMALL), moving(COUNT, *LARGE)
    for frame, picture in zip(found, [*small, *large, *small], strict=True):
        if frame.repeated:  # FFmpeg loses the last picture before MPEG-2 changes its size
            continue
        assert (frame.native.width, frame.native.height) == LARGE
        seen = frame.rgb[::2, ::2] if picture.shape[0] == SMALL[1] else frame.rgb
        assert np.abs(seen.astype(int) - picture).mean() < 12


@pytest.mark.parametrize(("codec", "ending"), LINKS)
def test_a_size_that_stays_is_no_note(tmp_path, codec, ending):
    clip = open_clip(joined(tmp_path / f"a{ending}", codec, [SMALL, SMALL]))
    assert ((clip.width, clip.height), clip.notes) == (SMALL, ())


def test_a_picture_of_another_shape_stays_whole_with_black_around(tmp_path):
    clip = open_clip(joined(tmp_path / "a.webm", "libvpx", [LARGE, TALL]))
    tall = list(frames(clip))[-1].rgb
    wide = round(LARGE[1] * TALL[0] / TALL[1])
    left = (LARGE[0] - wide) // 2
    assert tall[:, : left - 4].max() < 8
    assert tall[:, left + wide + 4 :].max() < 8
    assert tall[:, left + 4 : left + wide - 4].mean() > 60


@pytest.mark.parametrize("claim", [(161, 0xA001), (4000, 16), (8000, 8000)])
def test_a_size_that_only_damage_claims_is_not_believed(tmp_path, claim):
    path = joined(tmp_path / "a.webm", "libvpx", [SMALL, SMALL, SMALL])
    head, data = b"\x9d\x01\x2a" + b"".join(side.to_bytes(2, "little") for side in SMALL), path.read_bytes()
    place = data.rindex(head)
    claimed = head[:3] + b"".join(side.to_bytes(2, "little") for side in claim)
    path.write_bytes(data[:place] + claimed + data[place + len(head) :])
    clip = open_clip(path)
    assert ((clip.width, clip.height), clip.notes) == (SMALL, ())
    assert all((frame.native.width, frame.native.height) == SMALL for frame in frames(clip))


@pytest.mark.parametrize("largest", [(321, 181), (320, 181), (321, 180)])
def test_pictures_are_brought_to_even_sizes(tmp_path, largest):
    """4:2:0 has no half a sample of colour: what is laid around the smaller ones would end a pixel short."""
    clip = open_clip(joined(tmp_path / "a.webm", "libvpx", [SMALL, largest]))
    assert (clip.width, clip.height) == tuple(side + side % 2 for side in largest)
    assert {(frame.native.width, frame.native.height) for frame in frames(clip)} == {(clip.width, clip.height)}


@pytest.mark.parametrize(("like", "size"), [("000", (640, 360)), ("001", None), ("1", None)])
def test_vp9_tells_a_size_between_its_key_pictures(like, size):
    """As calls over a network have it: the picture changes its size, and no key picture comes."""
    head = "1000011000" + "0" * 8 + "0" * 12 + like + f"{639:016b}{359:016b}"
    assert _vp9(int(head.ljust(128, "0"), 2).to_bytes(16, "big")) == size


@pytest.mark.parametrize(("flags", "interlaced"), [(0, False), (int(av.codec.context.Flags.interlaced_dct), True)])
@pytest.mark.parametrize(("codec", "ending"), [("libx264", ".ts"), ("libx264", ".mp4"), ("mpeg2video", ".ts")])
def test_fields_are_told_wherever_they_begin(tmp_path, codec, ending, flags, interlaced):
    path = tmp_path / f"a{ending}"
    late = [(SMALL[0] // 2 * 2, 96)] * 2

    def prepare(context: Any, seen: list[int] = []) -> None:  # noqa: B006
        seen.append(0)
        if len(seen) > 1:
            context.flags |= flags

    if ending == ".mp4":
        with av.open(str(path), "w") as target:
            track = target.add_stream(codec, rate=25)
            track.width, track.height, track.pix_fmt = 160, 96, "yuv420p"
            track.codec_context.flags |= flags
            for number, picture in enumerate(moving(COUNT + 1, 160, 96)):
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
                frame.pts = number
                target.mux(track.encode(frame))
            target.mux(track.encode(None))
    else:
        joined(path, codec, late, prepare)
    assert told(path).interlaced is interlaced
    assert open_clip(path).interlaced is interlaced


@given(st.lists(st.integers(0, 1 << 16), max_size=30))
@settings(max_examples=50)
def test_numbers_are_read_as_they_are_written(numbers):
    words = "".join("0" * (len(bin(n + 1)) - 3) + bin(n + 1)[2:] for n in numbers)
    data = int(words + "1" + "0" * (-(len(words) + 1) % 8), 2).to_bytes(-(-(len(words) + 1) // 8), "big")
    bits = Bits(data)
    assert [bits.golomb() for _ in numbers] == numbers
