"""Which codec, which samples, which words: what is kept, what is chosen where nobody chose, what is refused."""

from __future__ import annotations

import pytest

from vidswap.errors import OutputError, UsageError
from vidswap.facts import PixelFormat
from vidswap.media.codecs import CODECS, chosen, options_of
from vidswap.media.containers import KINDS
from vidswap.settings import WriteSettings


def samples(sampling="420", bits=8, width=96, height=64, *, full=False, fields=False):
    return PixelFormat(sampling, bits, full, fields, width, height)


def choice(ending, made, **settings):
    codec, form = chosen(KINDS[ending], made, WriteSettings(**settings))
    return f"{codec.name} {form}"


@pytest.mark.parametrize(("ending", "made", "wanted"), [
    (".mp4", samples(), "h264 yuv420p"),
    (".mp4", samples("422", 10), "h264 yuv422p10le"),
    (".mov", samples("400"), "h264 gray"),
    (".mp4", samples(full=True), "h264 yuvj420p"),
    (".mp4", samples(width=95), "h264 yuv444p"),
    (".mp4", samples(width=95, full=True), "h264 yuvj444p"),
    (".mp4", samples("422", height=63), "h264 yuv422p"),
    (".mp4", samples("444", 9), "h264 yuv444p10le"),
    (".mkv", samples("420", 12), "hevc yuv420p12le"),
    (".avi", samples(), "mpeg4 yuv420p"),
    (".avi", samples("420", 12), "ffv1 yuv420p12le"),
    (".webm", samples(), "vp9 yuv420p"),
    (".webm", samples(bits=10), "av1 yuv420p10le"),
    (".webm", samples("444", bits=10), "vp9 yuv444p"),
    (".mp4", samples(fields=True), "h264 yuv420p"),
    (".mkv", samples("444", 16), "h264 yuv444p10le"),
])  # fmt: skip
def test_what_is_chosen_by_itself_keeps_sampling_and_depth_where_it_can(ending, made, wanted):
    assert choice(ending, made) == wanted


@pytest.mark.parametrize(("ending", "codec", "made", "wanted"), [
    (".mov", "prores", samples(), "prores yuv422p10le"),
    (".mov", "prores", samples("444", 8, 95, 63), "prores yuv444p10le"),
    (".mkv", "ffv1", samples("420", 12, 95), "ffv1 yuv420p12le"),
    (".mkv", "ffv1", samples("422", 14), "ffv1 yuv422p16le"),
    (".mp4", "av1", samples(width=95), "av1 yuv420p"),
    (".mp4", "av1", samples("400"), "av1 yuv420p"),
    (".mp4", "hevc", samples("422", 12), "hevc yuv422p12le"),
])  # fmt: skip
def test_a_chosen_codec_gets_samples_that_hold_all(ending, codec, made, wanted):
    assert choice(ending, made, codec=codec) == wanted


@pytest.mark.parametrize(("ending", "codec", "made", "said", "hint"), [
    (".webm", "h264", samples(), ".webm takes no h264", "`write.codec` av1, vp9"),
    (".mp4", "prores", samples(), ".mp4 takes no prores", ".mov or .mkv"),
    (".mp4", "av1", samples("422"), "av1 cannot keep .*4:2:2", "h264, hevc, vp9"),
    (".mp4", "h264", samples("420", 12), "h264 cannot keep .*12 bits", "hevc"),
    (".mp4", "hevc", samples(fields=True), "hevc cannot keep .*interlaced", "h264"),
    (".mkv", "hevc", samples(width=8), "hevc cannot keep .*8 x 64", "h264"),
    (".avi", "h264", samples(), ".avi takes no h264", "ffv1, mpeg4"),
    (".avi", "mpeg4", samples("420", 12), "mpeg4 cannot keep", "ffv1"),
])  # fmt: skip
def test_a_codec_that_cannot_is_refused_and_another_named(ending, codec, made, said, hint):
    with pytest.raises(OutputError, match=said) as caught:
        choice(ending, made, codec=codec)
    assert hint in caught.value.hint


@pytest.mark.parametrize(("settings", "said"), [
    ({"codec": "prores", "crf": 10}, "prores has no `write.crf` 10"),
    ({"codec": "h264", "crf": 60}, "h264 has no `write.crf` 60"),
    ({"codec": "ffv1", "preset": "fast"}, "ffv1 has no `write.preset`"),
    ({"codec": "prores", "lossless": True}, "prores is never lossless"),
    ({"codec": "av1", "lossless": True}, "av1 is never lossless"),
])  # fmt: skip
def test_what_a_codec_cannot_be_told_is_a_usage_error(settings, said):
    with pytest.raises(UsageError, match=said) as caught:
        choice(".mov" if settings["codec"] == "prores" else ".mkv", samples(), **settings)
    assert caught.value.hint


@pytest.mark.parametrize("settings", [{"codec": "xvid"}, {"preset": "8"}, {"crf": 64}, {"crf": 3, "lossless": True}])
def test_words_that_no_codec_has_are_refused_at_once(settings):
    with pytest.raises(UsageError):
        WriteSettings(**settings)


def test_quality_and_speed_reach_each_encoder():
    def told(name, **settings):
        return options_of(CODECS[name], samples(), WriteSettings(**settings), ["told=1"])

    assert told("h264") == {"crf": "16", "preset": "medium", "x264-params": "told=1"}
    assert told("h264", lossless=True)["qp"] == "0"
    assert told("hevc", crf=20, preset="slow")["preset"] == "slow"
    assert told("hevc", lossless=True)["x265-params"].endswith("lossless=1:told=1")
    assert told("av1", preset="slow")["preset"] == "6"
    assert told("vp9", crf=30)["crf"] == "30"
    assert "crf" not in told("ffv1")
    assert told("mpeg4", crf=5)["global_quality"] == str(5 * 118)
