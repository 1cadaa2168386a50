"""Endings, what each container takes, and the beat of an AVI."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from vidswap.errors import OutputError
from vidswap.media.containers import KINDS, kind_of, named, takes, taking, time_base
from vidswap.types import Clip


@pytest.mark.parametrize(("ending", "yes", "no"), [
    (".mp4", "h264 hevc av1 aac ac3 opus mov_text", "prores subrip ass webvtt pcm_u8 wavpack"),
    (".mov", "h264 prores pcm_s24le pcm_u8 mov_text", "ffv1 vorbis subrip"),
    (".mkv", "h264 av1 ffv1 prores subrip ass webvtt flac wavpack", "mov_text nonsense"),
    (".webm", "vp9 av1 opus vorbis webvtt", "h264 aac subrip"),
    (".ts", "h264 hevc aac mp3 ac3 opus dvb_subtitle", "vp9 av1 flac pcm_s16le subrip mov_text"),
    (".avi", "mpeg4 ffv1 mp3 ac3 pcm_s16le", "h264 hevc opus alac subrip mov_text"),
])  # fmt: skip
def test_containers_take_what_players_expect(ending, yes, no):
    muxer = KINDS[ending].muxer
    assert [codec for codec in yes.split() if not takes(muxer, codec)] == []
    assert [codec for codec in no.split() if takes(muxer, codec)] == []


def test_every_container_takes_the_codec_it_makes_by_itself():
    assert all(takes(kind.muxer, kind.codec) for kind in KINDS.values())


def test_endings_that_take_all():
    assert taking(["prores", "aac"]) == (".mov", ".mkv")
    assert taking(["vp9", "opus", "webvtt"]) == (".mkv", ".webm")
    assert taking(["subrip", "mov_text"]) == ()


def test_endings_in_capitals_count_and_others_are_refused():
    assert kind_of(Path("A.MOV")).ending == ".mov"
    with pytest.raises(OutputError, match="no known ending") as caught:
        kind_of(Path("a.flv"))
    assert ".webm" in caught.value.hint


@pytest.mark.parametrize(("clip", "out", "wanted"), [
    ("a.MKV", "b", "b.mkv"), ("a.mkv", "b.mp4", "b.mp4"), ("a.h264", "b", "b.mp4"), ("a.webm", "dir/b", "dir/b.webm"),
])  # fmt: skip
def test_a_name_without_an_ending_gets_that_of_the_clip(clip, out, wanted):
    pts = np.zeros(1, np.int64)
    film = Clip(Path(clip), 2, 2, pts, Fraction(1, 25), Fraction(25), (1, 1, 1, 1), 0, ("video",), "any")
    assert named(Path(out), film) == Path(wanted)


@pytest.mark.parametrize(("pts", "unit", "beat"), [
    ([0, 512, 1024], Fraction(1, 12800), Fraction(1, 25)),
    ([0, 1001, 3003], Fraction(1, 30000), Fraction(1001, 30000)),
    ([40, 80, 200], Fraction(1, 1000), Fraction(1, 25)),
    ([7], Fraction(1, 1000), Fraction(1, 24)),
])  # fmt: skip
def test_avi_beats_as_slowly_as_its_times_allow(pts, unit, beat):
    times = np.array(pts, np.int64)
    assert time_base(KINDS[".avi"], times, unit, Fraction(24)) == beat
    assert time_base(KINDS[".mp4"], times, unit, Fraction(24)) == unit


def test_avi_refuses_times_without_a_beat():
    with pytest.raises(OutputError, match="even beat") as caught:
        time_base(KINDS[".avi"], np.array([0, 3001, 6007]), Fraction(1, 90000), Fraction(30))
    assert ".mkv" in caught.value.hint
