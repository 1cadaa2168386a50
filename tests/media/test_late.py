"""Sound that begins so late that FFmpeg has stopped looking for it."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path

import pytest
from films import PAL, Film, Sound, make_film
from footage import packets_of, times_of

from vidswap.media.late import known
from vidswap.media.source import opened
from vidswap.read.clip import frames, open_clip
from vidswap.settings import WriteSettings
from vidswap.write.film import encode
from vidswap.write.target import left_out

LATE = Fraction(8)


@pytest.fixture(scope="module")
def late(tmp_path_factory) -> Path:
    film = Film(times=[PAL * i for i in range(225)], sounds=[Sound("aac", delay=LATE)])
    return make_film(tmp_path_factory.mktemp("late") / "late.ts", film)


@pytest.mark.parametrize("ending", [".mp4", ".mkv", ".ts"])
def test_sound_that_begins_late_comes_along_in_its_place(late, tmp_path, ending):
    clip, out = open_clip(late), tmp_path / f"out{ending}"
    assert left_out(clip) == ()
    encode(clip, ((frame.index, frame.native) for frame in frames(clip)), out, WriteSettings(preset="ultrafast"), {})
    heard, pictures = packets_of(out), times_of(out)
    bare = len(packets_of(late))
    assert bare - 1 <= len(heard) <= bare
    assert abs(heard[0][0] - pictures[0] - LATE) < Fraction(1, 20)
    assert {round(float(two - one), 2) for (one, _), (two, _) in itertools.pairwise(heard)} == {0.02}


def test_a_range_has_its_sound(late, tmp_path):
    clip, out = open_clip(late), tmp_path / "out.mkv"
    encode(clip, ((frame.index, frame.native) for frame in frames(clip, 195, 215)), out, WriteSettings(), {})
    assert abs(packets_of(out)[0][0] - Fraction(5, 25)) < Fraction(1, 20)


def test_sound_that_begins_with_the_pictures_is_known_as_it_is(tmp_path):
    path = make_film(tmp_path / "a.ts", Film(sounds=[Sound("aac")]))
    with opened(path) as source:
        assert known(source.streams.audio[0]) is source.streams.audio[0]
