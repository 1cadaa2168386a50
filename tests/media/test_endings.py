"""Files that break off, and that only seem to."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from films import PAL, Film, Sound, make_film
from hypothesis import given
from hypothesis import strategies as st

from vidswap.media.endings import breaks_off
from vidswap.read.clip import open_clip

KINDS = [("mkv", "libx264", "aac"), ("webm", "libvpx", "libopus"), ("flv", "libx264", "aac")]


def film(path: Path, codec: str, sound: str, **muxing: str) -> Path:
    options = {} if codec == "libvpx" else {"preset": "ultrafast", "bf": "2"}
    return make_film(path, Film(times=[PAL * i for i in range(50)], codec=codec, sounds=[Sound(sound)], options=options,
                                unit=Fraction(1, 1000), muxing=muxing))  # fmt: skip


@pytest.mark.parametrize(("ending", "codec", "sound"), KINDS)
def test_a_file_that_breaks_off_is_told_of(tmp_path, ending, codec, sound):
    whole = film(tmp_path / f"whole.{ending}", codec, sound)
    assert open_clip(whole).notes == ()
    part = tmp_path / f"part.{ending}"
    part.write_bytes(whole.read_bytes()[: int(0.7 * whole.stat().st_size)])
    clip = open_clip(part)
    assert 10 < len(clip) < 50
    assert [note for note in clip.notes if "breaks off after 1." in note or "breaks off after 0." in note]


def test_a_live_recording_that_tells_no_length_is_whole(tmp_path):
    assert open_clip(film(tmp_path / "live.mkv", "libx264", "aac", live="1")).notes == ()


@given(st.sampled_from(["matroska,webm", "flv"]), st.binary(max_size=80))
def test_whatever_a_file_holds_its_end_is_looked_at(tmp_path_factory, container, data):
    path = tmp_path_factory.mktemp("any") / "file"
    path.write_bytes(b"\x1a\x45\xdf\xa3\x18\x53\x80\x67" + data)
    assert breaks_off(path, container) in (True, False)
