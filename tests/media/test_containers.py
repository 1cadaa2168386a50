"""Endings, what each container takes, and the beat of an AVI."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from films import Film, Sound, make_film
from footage import packets_of

from vidswap.errors import OutputError
from vidswap.media import containers
from vidswap.media.containers import KINDS, Container, kind_of, named, taking, time_base
from vidswap.read.clip import frames, open_clip
from vidswap.settings import WriteSettings
from vidswap.types import Clip, Shot
from vidswap.write.film import encode
from vidswap.write.target import plan_target, refusals


@pytest.mark.parametrize(("ending", "yes", "no"), [
    (".mp4", "h264 hevc av1 aac ac3 opus mov_text", "prores subrip ass webvtt pcm_u8 wavpack"),
    (".mov", "h264 prores pcm_s24le pcm_u8 mov_text", "ffv1 vorbis subrip"),
    (".mkv", "h264 av1 ffv1 prores subrip ass webvtt flac wavpack", "mov_text nonsense"),
    (".webm", "vp9 av1 opus vorbis webvtt", "h264 aac subrip"),
    (".ts", "h264 hevc aac mp3 ac3 opus dvb_subtitle", "vp9 av1 flac pcm_s16le subrip mov_text"),
    (".avi", "mpeg4 ffv1 mp3 ac3 pcm_s16le", "h264 hevc opus alac subrip mov_text"),
])  # fmt: skip
def test_containers_take_what_players_expect(ending, yes, no):
    kind = KINDS[ending]
    assert [codec for codec in yes.split() if not kind.takes(codec)] == []
    assert [codec for codec in no.split() if kind.takes(codec)] == []


def test_every_container_takes_the_codec_it_makes_by_itself():
    assert all(kind.takes(kind.codec) for kind in KINDS.values())


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


def test_a_container_is_one_record(tmp_path, monkeypatch):
    """One that is added names results, is asked what it takes, offered where others refuse, and written."""
    flv = Container(".flv", "flv", codecs=("h264",), carries=frozenset(("h264", "aac", "mp3")), turns=False)
    sound = make_film(tmp_path / "a.flv", Film(sounds=(Sound("aac"),)))
    other = open_clip(make_film(tmp_path / "b.mkv", Film(sounds=(Sound("ac3"),))))
    clip, out = open_clip(sound), tmp_path / "out.flv"
    with pytest.raises(OutputError, match="no known ending"):
        kind_of(out)
    monkeypatch.setattr(containers, "KINDS", {**KINDS, ".flv": flv})
    assert (kind_of(out), named(tmp_path / "c", clip).name) == (flv, "c.flv")
    assert taking(["h264", "aac"])[-1] == ".flv"
    assert refusals(other, flv) == ["stream 1 (ac3 sound)"]
    target = plan_target(clip, Shot(0, len(clip)), out, WriteSettings(preset="ultrafast"))
    assert target.encoding.encoder == "libx264"
    with pytest.raises(OutputError, match=r"\.flv takes no vp9"):
        plan_target(clip, target.span, out, WriteSettings(codec="vp9"))
    encode(clip, ((frame.index, frame.native) for frame in frames(clip)), out, WriteSettings(preset="ultrafast"), {})
    made = open_clip(out)
    assert (len(made), [stream.codec for stream in made.streams]) == (len(clip), ["h264", "aac"])
    assert [payload for _, payload in packets_of(out)] == [payload for _, payload in packets_of(sound)]
