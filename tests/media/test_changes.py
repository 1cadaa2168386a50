"""Formats and colours that change in the middle of a film: one format goes in, and nobody's colours jump."""

from dataclasses import dataclass
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from footage import moving

from vidswap.read.clip import frames, open_clip
from vidswap.settings import WriteSettings
from vidswap.swap.windows import layer_of
from vidswap.types import Crops, Swapped
from vidswap.write.composite import composite
from vidswap.write.film import encode

LENGTH, SIZE = 4, (160, 96)


@dataclass(frozen=True)
class Part:
    """How some pictures of a film are stored: matrix and range by FFmpeg's numbers."""

    form: str = "yuv420p"
    matrix: int = 6
    reach: int = 1


PARTS = {
    "sampling": (Part(), Part("yuv422p")), "depth": (Part(), Part("yuv420p10le")),
    "depth down": (Part("yuv420p10le"), Part()),
    "range": (Part(), Part("yuvj420p", reach=2)), "range back": (Part("yuvj420p", reach=2), Part()),
    "matrix": (Part(matrix=6), Part(matrix=1)), "matrix back": (Part(matrix=1), Part(matrix=6)),
    "tags lost": (Part(matrix=1), Part(matrix=2)), "all": (Part(), Part("yuv444p10le", matrix=1)),
}  # fmt: skip


def changing(path, parts):
    with av.open(str(path), "w") as target:
        track = target.add_stream("libx264", rate=25)
        track.width, track.height, track.pix_fmt = *SIZE, "yuv420p"
        target.start_encoding()
        for number, part in enumerate(parts):
            context = av.CodecContext.create("libx264", "w")
            context.width, context.height, context.pix_fmt = *SIZE, part.form
            context.time_base, context.framerate, context.max_b_frames = Fraction(1, 25), 25, 0
            context.options = {"crf": "4", "preset": "ultrafast"}
            context.colorspace, context.color_range = part.matrix, part.reach
            for packet in packets(context, number * LENGTH, part):
                packet.stream = track
                target.mux(packet)
    return path


def packets(context, first, part):
    found = []
    stored = 1 if part.matrix == 2 else part.matrix  # whose tags are lost is as the clip is
    for number, picture in enumerate(moving(LENGTH, *SIZE)):
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame = frame.reformat(format=part.form, dst_colorspace=stored, dst_color_range=part.reach)
        frame.pts, frame.time_base = first + number, Fraction(1, 25)
        found += context.encode(frame)
    return found + context.encode(None)


def painted(frame):
    """The frame with a square of one colour over its middle."""
    middle = np.array([[1.0, 0, SIZE[0] / 2 - 16], [0, 1, SIZE[1] / 2 - 16]])
    rgb, one = np.full((1, 32, 32, 3), (200, 40, 90), np.uint8), np.ones((1, 32, 32), np.float32)
    mesh = np.zeros((1, 478, 3), np.float32)
    crops = Crops(0, frame.index, rgb, mesh, one, middle[None], np.ones(1, np.float32), mesh[0])
    composite(frame, [layer_of(Swapped(crops, rgb, one), 0)])
    return frame.native


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("ending", [".ts", ".mkv"])
def test_colours_do_not_jump(tmp_path, name, ending):
    clip, out = open_clip(changing(tmp_path / "a.ts", PARTS[name])), tmp_path / f"out{ending}"
    encode(clip, ((frame.index, painted(frame)) for frame in frames(clip)), out, WriteSettings(crf=4, segment=5), {})
    made = open_clip(out)
    assert len(made) == len(clip) == 2 * LENGTH
    wanted = moving(LENGTH, *SIZE) * 2
    for frame, picture in zip(frames(made), wanted, strict=True):
        seen = frame.rgb.astype(int)
        assert np.abs(seen[40:56, 72:88] - (200, 40, 90)).max() <= 12
        difference = cv2.blur((seen - picture).astype(np.float32), (9, 9))
        difference[24:72, 56:104] = 0
        assert np.abs(difference.mean((0, 1))).max() < 1.5
        assert np.abs(difference).mean() < 2.5
