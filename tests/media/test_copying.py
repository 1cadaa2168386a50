"""What goes along with the pictures: refused before rendering, reworded, clipped, moved."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import pytest
from films import PAL, Film, Sound, Text, make_film
from hypothesis import given, settings
from hypothesis import strategies as st

from vidswap.errors import OutputError
from vidswap.media.containers import KINDS
from vidswap.media.encoder import encoding_of
from vidswap.media.metadata import Trim, chapters, counted, labelled, later, needs_all_names, tags
from vidswap.media.subtitles import Cue, apart, clipped, read_cues
from vidswap.read.clip import open_clip
from vidswap.settings import WriteSettings
from vidswap.write.target import check_film, left_out, refusals

STYLED = ((Fraction(1, 10), Fraction(1, 2), "{\\pos(10,20)}up there"),)
LEANING = ((Fraction(1, 10), Fraction(1, 2), "{\\i1}up{\\i0} there"),)


@dataclass(frozen=True)
class Refusal:
    """A film that cannot go into a container with the ending `out`: what the message names, which endings it offers."""

    ending: str
    film: Film
    out: str
    told: str
    instead: str


REFUSALS = [
    Refusal(".mkv", Film(sounds=(Sound("wavpack"),)), ".mp4", r"stream 1 \(wavpack sound\)", ".mkv would take"),
    Refusal(".mkv", Film(sounds=(Sound(), Sound("libopus"))), ".mov", r"stream 2 \(opus sound\)", ".mp4 or .m4v"),
    Refusal(".mkv", Film(texts=(Text("ass", cues=STYLED),)), ".mp4", r"stream 1 \(ass subtitle\)", ".mkv would"),
    Refusal(".mkv", Film(texts=(Text("subrip"),)), ".ts", r"stream 1 \(subrip subtitle\)", ".mov or .mkv"),
    Refusal(".mkv", Film(font=True), ".mp4", r"stream 1 \(film.ttf attachment\)", ".mkv would"),
    Refusal(".mp4", Film(cover=True), ".mov", r"mjpeg cover picture", ".mp4 or .m4v or .mkv would"),
    Refusal(".mp4", Film(chapters=True, sounds=(Sound(),)), ".ts", "chapters", ".mp4 or .m4v or .mov or .mkv would"),
    Refusal(".mp4", Film(sounds=(Sound("ac3", delay=Fraction(1, 5)),)), ".avi", "before or after the pictures", ".mkv"),
    Refusal(".mkv", Film(texts=(Text("ass", cues=STYLED),), sounds=(Sound("alac"),)), ".avi",
            r"\(alac sound\), stream 2 \(ass subtitle\)", ".mkv would"),
]  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS, ids=lambda case: f"{case.told} in {case.out}")
def test_what_a_container_cannot_hold_is_told_before_rendering(case, tmp_path):
    source = make_film(tmp_path / f"clip{case.ending}", case.film)
    with pytest.raises(OutputError, match=case.told) as caught:
        check_film(open_clip(source), tmp_path / f"out{case.out}")
    assert case.instead in caught.value.hint
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == []


def test_sound_of_no_known_codec_is_left_out_and_told(tmp_path):
    path = make_film(tmp_path / "a.mkv", Film(sounds=(Sound("flac"), Sound("ac3"))))
    path.write_bytes(path.read_bytes().replace(b"A_AC3", b"A_XYZ"))
    clip = open_clip(path)
    check_film(clip, tmp_path / "out.mkv")
    assert left_out(clip) == ("stream 2 (audio)",)


def test_what_a_muxer_refuses_only_when_it_sees_it_is_told_before_rendering(tmp_path):
    path = make_film(tmp_path / "a.mkv", Film(sounds=(Sound("flac"),)))
    path.write_bytes(path.read_bytes().replace(b"A_FLAC", b"A_AAC\0"))  # mp4 takes AAC, but not without its header
    with pytest.raises(OutputError, match="does not take the clip's sound") as caught:
        check_film(open_clip(path), tmp_path / "out.mp4")
    assert ".mkv" in caught.value.hint


def test_an_avi_cannot_begin_with_the_middle_of_compressed_sound(tmp_path):
    packed, plain = (
        open_clip(make_film(tmp_path / f"{codec}.avi", Film(unit=PAL, sounds=(Sound(codec),))))
        for codec in ("libmp3lame", "pcm_s16le")
    )
    check_film(packed, tmp_path / "out.avi")
    check_film(plain, tmp_path / "out.avi", trimmed=True)
    with pytest.raises(OutputError, match="before or after the pictures"):
        check_film(packed, tmp_path / "out.avi", trimmed=True)


def test_what_is_refused_and_how_is_encoded_is_known_without_the_file(tmp_path):
    path = make_film(tmp_path / "a.mkv", Film(sounds=(Sound("wavpack"),), texts=(Text("subrip"),), font=True))
    clip = open_clip(path)
    path.unlink()
    assert refusals(clip, KINDS[".mp4"]) == ["stream 1 (wavpack sound)", "stream 3 (film.ttf attachment)"]
    assert (refusals(clip, KINDS[".mkv"]), left_out(clip)) == ([], ())
    assert encoding_of(clip, tmp_path / "out.mkv", WriteSettings()).encoder == "libx264"


# -- subtitles --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("cues", "plain"), [(STYLED, False), (LEANING, True)])
def test_styled_text_is_told_from_plain_text(tmp_path, cues, plain):
    path = make_film(tmp_path / "a.mkv", Film(texts=(Text("ass", cues=cues),)))
    found, is_plain = read_cues(str(path), 1)
    assert [(cue.start, cue.end, cue.text) for cue in found] == [(cues[0][0], cues[0][0] + cues[0][1], cues[0][2])]
    assert is_plain is plain


spans = st.tuples(st.integers(0, 20), st.integers(1, 8))


@given(st.lists(spans, max_size=8))
def test_cues_cut_apart_say_the_same_at_every_moment(drawn):
    cues = [Cue(Fraction(a), Fraction(a + length), f"<{i}>") for i, (a, length) in enumerate(drawn)]
    cut = apart(cues)
    for one, two in pairwise(cut):
        assert one.end <= two.start
    for tick in range(30):
        moment = tick + Fraction(1, 2)
        said = {cue.text for cue in cues if cue.start <= moment < cue.end}
        now = [cue.text for cue in cut if cue.start <= moment < cue.end]
        assert said == set(now[0].split("\\N") if now else ())


@given(st.lists(spans, max_size=8), st.integers(0, 20), st.integers(1, 10))
def test_cues_of_a_range_are_clipped_at_both_ends(drawn, origin, length):
    cues = [Cue(Fraction(a), Fraction(a + stay), "x") for a, stay in drawn]
    kept = clipped(cues, Trim(Fraction(origin), Fraction(origin + length), trimmed=True))
    assert all(0 <= cue.start < cue.end <= length for cue in kept)
    overlap = sum(max(0, min(a + stay, origin + length) - max(a, origin)) for a, stay in drawn)
    assert sum(cue.end - cue.start for cue in kept) == overlap


# -- tags, chapters, timecode -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("timecode", "rate", "frames", "wanted"), [
    ("01:00:00:00", Fraction(25), 30, "01:00:01:05"),
    ("23:59:59:24", Fraction(25), 1, "00:00:00:00"),
    ("00:00:59;29", Fraction(30000, 1001), 1, "00:01:00;02"),
    ("00:09:59;29", Fraction(30000, 1001), 1, "00:10:00;00"),
    ("00:00:00;00", Fraction(30000, 1001), 17982, "00:10:00;00"),
    ("00:00:00;00", Fraction(60000, 1001), 3600, "00:01:00;04"),
    ("10:00:00:00", Fraction(24000, 1001), 24 * 60, "10:01:00:00"),
])  # fmt: skip
def test_timecode_counts_on(timecode, rate, frames, wanted):
    assert later(timecode, rate, frames / rate) == wanted


@settings(max_examples=200)
@given(st.integers(0, 24 * 6 * 17982 - 1), st.integers(0, 100_000))
def test_drop_frame_timecode_never_shows_a_dropped_number_and_adds_up(start, more):
    rate = Fraction(30000, 1001)
    first = later("00:00:00;00", rate, start / rate)
    minute, second, frame = int(first[3:5]), int(first[6:8]), int(first[9:])
    assert frame < 30
    assert minute % 10 == 0 or second > 0 or frame >= 2
    assert later(first, rate, more / rate) == later("00:00:00;00", rate, (start + more) / rate)


@pytest.mark.parametrize(("about", "timecode", "exact"), [
    (Fraction(25), "01:00:00:00", Fraction(25)),
    (Fraction(2997, 100), "01:00:00;00", Fraction(30000, 1001)),
    (Fraction(28), "01:00:00;00", Fraction(30000, 1001)),
    (Fraction(23976, 1000), "01:00:00:00", Fraction(24000, 1001)),
    (Fraction(12), "01:00:00:00", Fraction(12)),
])  # fmt: skip
def test_timecode_is_counted_at_a_rate_that_is_defined(about, timecode, exact):
    assert counted(about, timecode) == exact


def test_chapters_are_clipped_and_moved():
    unit = Fraction(1, 1000)
    listed = [{"id": i, "start": i * 1000, "end": i * 1000 + 1000, "time_base": unit, "metadata": {}} for i in range(4)]
    kept = chapters(listed, Trim(Fraction(3, 2), Fraction(5, 2), trimmed=True))
    assert [(each["id"], each["start"], each["end"]) for each in kept] == [(1, 0, 500), (2, 500, 1000)]
    assert chapters(listed, Trim()) == listed
    hidden = chapters([{**listed[0], "start": -500}], Trim())
    assert [(each["start"], each["end"]) for each in hidden] == [(0, 1000)]


def test_labels_win_and_the_clips_own_comment_follows():
    ours = {"comment": "made", "vidswap_seed": "7"}
    told = labelled({"COMMENT": "theirs", "ENCODER": "x", "TITLE": "t", "_STATISTICS_TAGS": "y"}, ours, KINDS[".mkv"])
    assert told == {"TITLE": "t", "comment": "made\ntheirs", "vidswap_seed": "7"}
    service = labelled({"title": "t"}, {"comment": "é" * 200}, KINDS[".ts"])
    assert service["service_name"] == "t"
    assert 170 <= len(service["service_provider"].encode()) <= 180


def test_tags_that_only_their_muxer_can_write_are_left_to_it():
    told = tags({"major_brand": "isom", "name": "Main", "NUMBER_OF_FRAMES": "7", "x": "1"})
    assert told == {"title": "Main", "x": "1"}


def test_all_names_are_asked_for_only_where_one_would_be_lost():
    assert not needs_all_names({"title": "a", "encoder": "b"}, KINDS[".mp4"])
    assert needs_all_names({"com.apple.quicktime.model": "a"}, KINDS[".mov"])
    assert not needs_all_names({"anything": "a"}, KINDS[".mkv"])


def test_only_what_no_container_takes_is_left_out(tmp_path):
    made = make_film(tmp_path / "a.mp4", Film(sounds=(Sound(),), chapters=True, timecode="01:00:00:00", cover=True))
    clip = open_clip(made)
    assert [stream.kind for stream in clip.streams].count("data") == 2
    assert left_out(clip) == ()
