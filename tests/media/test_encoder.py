"""Every codec through segments and join: times, samples, tags, light arrive; lossless is; equal runs, equal bytes."""

from __future__ import annotations

import struct
from fractions import Fraction

import av
import numpy as np
import pytest
from footage import make_clip, moving, times_of

from vidswap.errors import OutputError
from vidswap.media.encoder import encoding_of
from vidswap.read.clip import frames, open_clip
from vidswap.settings import WriteSettings
from vidswap.write.film import encode

COUNT = 14
TIMES = np.cumsum([0, *[33, 44, 17] * 5])[:COUNT].tolist()  # ms
DISPLAY = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
CASES = [
    ("h264", ".mp4", "yuv420p", "yuv420p"), ("h264", ".mp4", "yuv422p10le", "yuv422p10le"),
    ("hevc", ".mp4", "yuv420p10le", "yuv420p10le"), ("hevc", ".mkv", "yuv444p", "yuv444p"),
    ("av1", ".mp4", "yuv420p10le", "yuv420p10le"), ("av1", ".webm", "yuv420p", "yuv420p"),
    ("vp9", ".webm", "yuv420p", "yuv420p"), ("prores", ".mov", "yuv420p", "yuv422p10le"),
    ("ffv1", ".mkv", "yuv420p10le", "yuv420p10le"), ("h264", ".ts", "yuv420p", "yuv420p"),
    ("hevc", ".ts", "yuv420p", "yuv420p"), ("ffv1", ".avi", "yuv422p", "yuv422p"),
]  # fmt: skip


def planes(native):
    kind = np.uint16 if native.format.components[0].bits > 8 else np.uint8
    return [np.frombuffer(each, kind).reshape(each.height, -1)[:, : each.width] for each in native.planes]


def clip_of(folder, form="yuv420p", size=(96, 64), pts=TIMES, **choices):
    choices = {"options": {"preset": "ultrafast", "crf": "10"}, **choices}
    return make_clip(folder / "a.mkv", moving(COUNT, *size), pts, Fraction(1, 1000), False, pix_fmt=form, **choices)


def made(source, out, **settings):
    """The clip, encoded in segments and joined."""
    clip = open_clip(source)
    encode(clip, ((each.index, each.native) for each in frames(clip)), out, WriteSettings(segment=5, **settings), {})
    return out


def fast(codec):
    return {"codec": codec, "preset": None if codec in ("ffv1", "prores") else "ultrafast"}


def compared(source, out):
    return zip(frames(open_clip(source)), frames(open_clip(out)), strict=True)


@pytest.mark.parametrize(("codec", "ending", "form", "wanted"), CASES)
def test_each_codec_keeps_times_and_samples(tmp_path, codec, ending, form, wanted):
    even = [40 * i for i in range(COUNT)]
    source = clip_of(tmp_path, form, pts=even if ending == ".avi" else TIMES)
    out = made(source, tmp_path / f"out{ending}", **fast(codec))
    before, after = times_of(source), times_of(out)
    assert [each - before[0] for each in before] == [each - after[0] for each in after]
    with av.open(str(out)) as opened:
        context = opened.streams.video[0].codec_context
        assert (context.codec.canonical_name, context.pix_fmt) == (codec, wanted)
        if (codec, ending) == ("hevc", ".mp4"):
            assert context.codec_tag == "hvc1"
    for was, now in compared(source, out):
        bits = [each.native.format.components[0].bits for each in (was, now)]
        left, right = (planes(each.native)[0] / 2.0**depth for each, depth in zip((was, now), bits, strict=True))
        assert np.abs(left - right).mean() < 0.012


@pytest.mark.parametrize(("codec", "ending", "form"), [
    ("h264", ".mp4", "yuv420p"), ("h264", ".mp4", "yuv422p10le"), ("h264", ".mkv", "yuvj420p"),
    ("hevc", ".mp4", "yuv420p10le"), ("hevc", ".mp4", "yuvj444p"), ("hevc", ".mkv", "gray"),
    ("vp9", ".webm", "yuv420p"), ("ffv1", ".mkv", "yuv422p10le"), ("ffv1", ".mkv", "yuvj420p"),
])  # fmt: skip
def test_lossless_loses_no_bit(tmp_path, codec, ending, form):
    source = clip_of(tmp_path, form)
    out = made(source, tmp_path / f"out{ending}", lossless=True, **fast(codec))
    for was, now in compared(source, out):
        assert (now.native.color_range or 1) == (was.native.color_range or 1)
        for left, right in zip(planes(was.native), planes(now.native), strict=True):
            np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1", "prores", "ffv1"])
@pytest.mark.parametrize("size", [(96, 64), (95, 63)])
def test_fewer_samples_become_more_without_a_loss_of_light(tmp_path, codec, size):
    """An odd size, and 4:2:0 of full range where only more is taken: luma stays, whatever is made of the colours."""
    source = clip_of(tmp_path, "yuvj444p" if size[0] % 2 else "yuvj420p", size)
    kind = {"lossless": True} if codec not in ("prores", "av1") else {}
    if codec == "av1" and size[0] % 2:
        with pytest.raises(OutputError, match="4:4:4"):
            made(source, tmp_path / "out.mkv", **fast(codec))
        return
    out = made(source, tmp_path / "out.mkv", **kind, **fast(codec))
    for was, now in compared(source, out):
        assert (now.native.width, now.native.height) == size
        assert now.native.color_range == (1 if codec == "prores" else 2)
        luma = planes(now.native)[0] / 2.0 ** (now.native.format.components[0].bits - 8)
        if codec == "prores":
            luma = (luma - 16) * 255 / 219
        assert np.abs(planes(was.native)[0] - luma).mean() < (2 if not kind else 0.01)


def hdr(target, video):
    context = video.codec_context
    context.color_range, context.colorspace, context.color_primaries, context.color_trc = 1, 9, 9, 16


@pytest.mark.parametrize(("codec", "ending"), [
    ("h264", ".mp4"), ("hevc", ".mp4"), ("hevc", ".ts"), ("av1", ".mp4"), ("av1", ".webm"), ("ffv1", ".mkv"),
    ("prores", ".mov"),
])  # fmt: skip
def test_hdr_stays_hdr(tmp_path, codec, ending):
    options = {"preset": "ultrafast", "x264-params": f"mastering-display={DISPLAY}:cll=1000,400"}
    source = clip_of(tmp_path, "yuv420p10le", options=options, prepare=hdr)
    out = made(source, tmp_path / f"out{ending}", **fast(codec))
    with av.open(str(out)) as opened:
        frame = next(opened.decode(video=0))
    assert (frame.color_range, frame.colorspace, frame.color_primaries, frame.color_trc) == (1, 9, 9, 16)
    if codec in ("h264", "hevc", "av1"):  # the others have no room for it in their pictures
        display = struct.unpack("<22i", bytes(frame.side_data["MASTERING_DISPLAY_METADATA"]))
        found = [a / b for a, b in zip(display[:20:2], display[1:20:2], strict=True)]
        wanted = [0.68, 0.32, 0.265, 0.69, 0.15, 0.06, 0.3127, 0.329, 0.005, 1000]
        np.testing.assert_allclose(found, wanted, atol=2e-5)
        assert struct.unpack("<2I", bytes(frame.side_data["CONTENT_LIGHT_LEVEL"])) == (1000, 400)


@pytest.mark.parametrize(("codec", "ending"), [("h264", ".mp4"), ("h264", ".ts"), ("prores", ".mov"), ("ffv1", ".mkv")])
@pytest.mark.parametrize(("order", "number"), [("tff", 2), ("bff", 3)])
def test_fields_stay_fields(tmp_path, codec, ending, order, number):
    options = {"preset": "ultrafast", "flags": "+ildct+ilme", "x264-params": f"{order}=1"}
    source = clip_of(tmp_path, "yuv422p10le", options=options)
    with av.open(str(made(source, tmp_path / f"out{ending}", **fast(codec)))) as opened:
        assert opened.streams.video[0].codec_context.field_order == number
        assert all(frame.interlaced_frame for frame in opened.decode(video=0))


def test_a_rate_that_an_encoder_does_not_know_is_no_obstacle(tmp_path):
    pts = list(range(COUNT))
    source = clip_of(tmp_path, pts=pts)
    out = made(source, tmp_path / "out.mp4", **fast("av1"))
    assert times_of(out) == times_of(source)


@pytest.mark.parametrize(("codec", "ending"), [
    ("h264", ".mp4"), ("hevc", ".mp4"), ("av1", ".mp4"), ("vp9", ".webm"), ("prores", ".mov"), ("ffv1", ".mkv"),
])  # fmt: skip
def test_equal_input_gives_equal_bytes(tmp_path, codec, ending):
    source = clip_of(tmp_path, size=(320, 240))
    assert len({made(source, tmp_path / f"{i}{ending}", codec=codec).read_bytes() for i in range(3)}) == 1


def test_a_codec_that_cannot_is_refused_before_rendering(tmp_path):
    clip = open_clip(clip_of(tmp_path, "yuv422p"))
    with pytest.raises(OutputError, match="av1 cannot keep"):
        encoding_of(clip, tmp_path / "out.mp4", WriteSettings(codec="av1"))
    with pytest.raises(OutputError, match="takes no prores"):
        encoding_of(clip, tmp_path / "out.mp4", WriteSettings(codec="prores"))
    assert [path.name for path in tmp_path.iterdir()] == ["a.mkv"]
