import io
import struct
from fractions import Fraction

import av
import numpy as np
import pytest
from footage import moving
from PIL import Image

from vidswap.media.sidedata import beside, matrix_in
from vidswap.read.clip import frames, open_clip
from vidswap.settings import WriteSettings
from vidswap.write.film import encode

ORIENTATION = 0x0112
MIRRORED = ((1, 1), (1, -1), (-1, -1), (-1, 1), (1, 1), (1, -1), (-1, -1), (-1, 1))  # down, across
PICTURES = moving(3, 96, 64)


def camera_film(path, orientation):
    """JPEGs in a row, with EXIF, which PyAV has no name for, that says how the camera was held."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    with av.open(str(path), "w") as target:
        track = target.add_stream("mjpeg", rate=25)
        track.width, track.height, track.pix_fmt = 96, 64, "yuvj420p"
        for number, picture in enumerate(PICTURES):
            data = io.BytesIO()
            Image.fromarray(picture).save(data, "JPEG", exif=exif, quality=95)
            packet = av.Packet(data.getvalue())
            packet.stream, packet.time_base, packet.is_keyframe = track, Fraction(1, 25), True
            packet.pts = packet.dts = number
            target.mux(packet)
    return path


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_film_is_seen_as_its_exif_says(tmp_path, orientation):
    clip = open_clip(camera_film(tmp_path / "a.mkv", orientation))
    down, across = MIRRORED[orientation - 1]
    for frame, picture in zip(frames(clip), PICTURES, strict=True):
        upright = (picture.swapaxes(0, 1) if orientation > 4 else picture)[::down, ::across]
        assert frame.rgb.shape == upright.shape
        assert np.abs(frame.rgb.astype(int) - upright).mean() < 6


def test_what_is_rendered_of_it_is_turned_alike(tmp_path):
    clip, out = open_clip(camera_film(tmp_path / "a.mkv", 6)), tmp_path / "out.mp4"
    encode(clip, ((frame.index, frame.native) for frame in frames(clip)), out, WriteSettings(), {})
    made = open_clip(out)
    assert (made.turn, made.rotation) == (clip.turn, -90)


def test_side_data_is_found_beside_a_kind_without_a_name(tmp_path):
    with av.open(str(camera_film(tmp_path / "a.mkv", 6))) as container:
        native = next(container.decode(video=0))
    with pytest.raises(ValueError, match="Type"):
        list(native.side_data)
    matrix = beside(native)["DISPLAYMATRIX"]
    assert struct.unpack("<9i", matrix)[:5] == (0, 65536, 0, -65536, 0)
    assert "CONTENT_LIGHT_LEVEL" not in beside(native)
    assert matrix_in(beside(av.VideoFrame(16, 16, "yuv420p"))) is None
