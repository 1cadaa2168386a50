"""RGB and transparency go into the result where its codec can; where it cannot, the encoding says so."""

from fractions import Fraction

import av
import numpy as np
import pytest
from footage import make_clip, moving

from vidswap.media.encoder import encoding_of
from vidswap.read.clip import frames, open_clip
from vidswap.settings import WriteSettings
from vidswap.write.film import encode

COUNT = 4


def clear(frame):
    """A frame's transparency runs from left to right."""
    plane = frame.planes[3]
    depth = frame.format.components[3].bits
    kind = np.dtype(np.uint8 if depth == 8 else np.uint16)
    rows = np.frombuffer(plane, kind).reshape(plane.height, -1)
    rows[:, : plane.width] = np.linspace(0, (1 << depth) - 1, plane.width).astype(kind)


def clip_of(folder, codec, form, planes=None, size=(96, 64)):
    """A film whose pictures are of `planes`, planar, brought to `form` for the encoder."""
    path = folder / ("a.mov" if codec in ("png", "qtrle", "prores_ks") else "a.mkv")
    with av.open(str(path), "w") as target:
        track = target.add_stream(codec, rate=25)
        track.width, track.height, track.pix_fmt = *size, form
        for number, picture in enumerate(moving(COUNT, *size)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=planes or form)
            if len(frame.planes) == 4:
                clear(frame)
            frame = frame.reformat(format=form)
            frame.pts, frame.time_base = number, Fraction(1, 25)
            target.mux(track.encode(frame))
        target.mux(track.encode(None))
    return open_clip(path)


def written(clip, out, **choices):
    settings = WriteSettings(segment=3, **choices)
    encode(clip, ((frame.index, frame.native) for frame in frames(clip)), out, settings, {})
    encoding = encoding_of(clip, out, settings)
    return list(frames(open_clip(out))), encoding


def values(native):
    kind = np.uint8 if native.format.components[0].bits == 8 else np.uint16
    return [np.frombuffer(each, kind).reshape(each.height, -1)[:, : each.width].copy() for each in native.planes]


@pytest.mark.parametrize(("source", "out", "choices"), [
    (("png", "rgb24", "gbrp"), ".mkv", {"codec": "ffv1"}), (("png", "rgba", "gbrap"), ".mkv", {"codec": "ffv1"}),
    (("ffv1", "gbrp10le", None), ".mkv", {"codec": "ffv1"}), (("ffv1", "gbrap16le", None), ".mkv", {"codec": "ffv1"}),
    (("ffv1", "yuva420p", None), ".mkv", {"codec": "ffv1"}),
    (("ffv1", "yuva444p10le", None), ".mkv", {"codec": "ffv1"}),
    (("png", "rgb24", "gbrp"), ".avi", {"lossless": True}),
    (("png", "rgb24", "gbrp"), ".mp4", {"lossless": True, "preset": "ultrafast"}),
    (("png", "rgb24", "gbrp"), ".mkv", {"lossless": True, "codec": "hevc", "preset": "ultrafast"}),
    (("ffv1", "gbrp12le", None), ".mkv", {"lossless": True, "codec": "hevc", "preset": "ultrafast"}),
    (("png", "rgb24", "gbrp"), ".webm", {"lossless": True, "preset": "ultrafast"}),
    (("ffv1", "bgr0", "gbrp"), ".mp4", {"lossless": True, "preset": "ultrafast"}),
])  # fmt: skip
def test_no_bit_is_lost_of_rgb_and_transparency(tmp_path, source, out, choices):
    _, form, planes = source
    clip = clip_of(tmp_path, *source)
    made, encoding = written(clip, tmp_path / f"out{out}", **choices)
    assert encoding.notes == ()
    for was, now in zip(frames(clip), made, strict=True):
        assert now.native.format.name == was.native.format.name == (planes or form)
        for left, right in zip(values(was.native), values(now.native), strict=True):
            np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize(("codec", "form", "planes"), [
    ("prores_ks", "yuva444p10le", None), ("qtrle", "argb", "gbrap"), ("ffv1", "yuva420p", None),
])  # fmt: skip
def test_prores_keeps_transparency(tmp_path, codec, form, planes):
    clip = clip_of(tmp_path, codec, form, planes)
    made, encoding = written(clip, tmp_path / "out.mov", codec="prores")
    assert not any("transparency" in note for note in encoding.notes)
    for was, now in zip(frames(clip), made, strict=True):
        assert now.native.format.name.startswith("yuva444p")
        depths = [each.native.format.components[3].bits for each in (was, now)]
        left, right = (values(each.native)[3] / (2.0**deep - 1) for each, deep in zip((was, now), depths, strict=True))
        assert np.abs(left - right).max() < 0.01


@pytest.mark.parametrize(("form", "planes", "choices", "words"), [
    ("rgba", "gbrap", {"lossless": True, "preset": "ultrafast"}, ["transparency is lost"]),
    ("rgba", "gbrap", {}, ["transparency is lost"]),
    ("rgb48be", "gbrp16le", {"lossless": True, "preset": "ultrafast"}, ["rounds"]),
    ("rgb24", "gbrp", {}, []),
])  # fmt: skip
def test_what_is_lost_is_said(tmp_path, form, planes, choices, words):
    encoding = written(clip_of(tmp_path, "png", form, planes), tmp_path / "out.mp4", **choices)[1]
    assert len(encoding.notes) == len(words)
    assert all(word in note for word, note in zip(words, encoding.notes, strict=True))


@pytest.mark.parametrize(("size", "matrix"), [
    ((1280, 544), 1), ((1280, 720), 1), ((960, 720), 1), ((1024, 576), 2), ((1278, 544), 2),
])  # fmt: skip
def test_untagged_film_is_of_high_definition_by_its_width_too(tmp_path, size, matrix):
    options = {"preset": "ultrafast"}
    path = make_clip(tmp_path / "a.mkv", moving(1, *size), unit=Fraction(1, 1000), sound=False, options=options)
    clip = open_clip(path)
    assert clip.colour[0] == 2
    assert next(frames(clip)).native.colorspace == matrix


@pytest.mark.parametrize(("source", "out"), [
    (("png", "rgba", "gbrap"), ".mkv"), (("ffv1", "yuva420p", None), ".mkv"), (("qtrle", "argb", "gbrap"), ".avi"),
])  # fmt: skip
def test_lossless_keeps_transparency_where_it_can(tmp_path, source, out):
    clip = clip_of(tmp_path, *source)
    shown, encoding = written(clip, tmp_path / f"out{out}", lossless=True)
    assert encoding.notes == ()
    for frame, other in zip(frames(clip), shown, strict=True):
        for one, two in zip(values(frame.native), values(other.native), strict=True):
            np.testing.assert_array_equal(one, two)


def test_transparency_that_no_decoder_reads_is_told_of(tmp_path):
    for form, told in (("yuv420p", False), ("yuva420p", True)):
        path = make_clip(tmp_path / f"{form}.webm", moving(2), unit=Fraction(1, 1000), codec="libvpx-vp9", pix_fmt=form,
                         options={"deadline": "realtime"}, sound=False)  # fmt: skip
        assert any("transparency is not read" in note for note in open_clip(path).notes) == told
