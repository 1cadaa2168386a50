"""Whole pictures and pictures of two fields in one recording: each stays what it is."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from av.codec.context import Flags
from footage import moving

from vidswap.media.encoder import encoding_of
from vidswap.read.clip import frames, open_clip
from vidswap.settings import WriteSettings
from vidswap.write.film import encode, transcode

FIELDS = int(Flags.interlaced_dct) | int(Flags.interlaced_me)


def television(path: Path, parts: tuple[bool, ...], codec: str = "mpeg2video", length: int = 6) -> Path:
    """A recording whose parts are of two fields a picture, or not."""
    with av.open(str(path), "w") as target:
        track = target.add_stream(codec, rate=25)
        track.width, track.height, track.pix_fmt = 160, 96, "yuv420p"
        target.start_encoding()
        for number, interlaced in enumerate(parts):
            context = av.CodecContext.create(codec, "w")
            context.width, context.height, context.pix_fmt = 160, 96, "yuv420p"
            context.time_base, context.framerate, context.max_b_frames = Fraction(1, 25), 25, 0
            context.flags |= FIELDS * interlaced
            for packet in _packets(context, number * length, length):
                packet.stream = track
                target.mux(packet)
    return path


def _packets(context: Any, first: int, length: int) -> list[Any]:
    packets = []
    for number, picture in enumerate(moving(length, 160, 96)):
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
        frame.pts, frame.time_base = first + number, Fraction(1, 25)
        packets += context.encode(frame)
    return packets + context.encode(None)


def flags(path: Path) -> list[bool]:
    with av.open(str(path)) as container:
        return [bool(frame.interlaced_frame) for frame in container.decode(video=0)]


@pytest.mark.parametrize("parts", [(False, True), (True, False), (False, True, False)])
@pytest.mark.parametrize("codec", ["mpeg2video", "libx264"])
@pytest.mark.parametrize(("ending", "choices"), [
    (".ts", {}), (".mp4", {"lossless": True}), (".mkv", {"codec": "ffv1"}),
])  # fmt: skip
def test_every_picture_stays_what_it_is(tmp_path, parts, codec, ending, choices):
    clip = open_clip(television(tmp_path / "a.ts", parts, codec))
    was = [bool(frame.native.interlaced_frame) for frame in frames(clip)]
    assert set(was) == {True, False}
    out = tmp_path / f"out{ending}"
    for write in (lambda *words: encode(*words, {}), transcode):
        write(clip, ((frame.index, frame.native) for frame in frames(clip)), out, WriteSettings(segment=4, **choices))
        assert flags(out) == was


def test_what_is_whole_throughout_is_encoded_as_before(tmp_path):
    clip = open_clip(television(tmp_path / "a.ts", (False, False)))
    assert not clip.interlaced
    encoding = encoding_of(clip, tmp_path / "out.ts", WriteSettings())
    assert encoding.fields == 0


def test_prores_takes_all_for_fields_where_some_are(tmp_path):
    clip, out = open_clip(television(tmp_path / "a.ts", (False, True))), tmp_path / "out.mov"
    pictures = ((frame.index, frame.native) for frame in frames(clip))
    encode(clip, pictures, out, WriteSettings(codec="prores"), {})
    assert set(flags(out)) == {True}
