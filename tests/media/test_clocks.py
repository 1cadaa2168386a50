"""Films whose clock starts again or leaps on the way, and those where a picture is only held for long."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import rendered
from films import PAL, Film, Sound, Text, make_film
from footage import moving, packets_of, times_of
from hypothesis import given
from hypothesis import strategies as st

from vidswap.errors import InputError
from vidswap.measure.align import compare_sound, part_of, seconds_of
from vidswap.media.clocks import leaps
from vidswap.media.sound import sounds
from vidswap.read.clip import frames, open_clip
from vidswap.settings import WriteSettings
from vidswap.write.film import encode

COUNT = 30
PICTURES = moving(COUNT, 96, 64)


def part(path: Path, begin: Fraction = Fraction(0), count: int = COUNT, **choices: Any) -> Path:
    """A film of one second and a fifth, with noise for sound, that begins at a time of its clock."""
    later = {"output_ts_offset": str(float(begin))} if begin else {}
    sound = Sound("aac" if path.suffix == ".flv" else "mp2")
    return make_film(path, Film(times=[PAL * i for i in range(count)], sounds=[sound], muxing=later, **choices))


def joined(folder: Path, ending: str, begins: Sequence[Fraction]) -> tuple[Path, list[Path]]:
    """Films joined as bytes, as `cat` does it; and they by themselves."""
    unit = {"mkv": Fraction(1, 1000), "flv": Fraction(1, 1000), "mpg": PAL}.get(ending, Fraction(1, 90000))
    codec = {"codec": "mpeg2video", "options": {}} if ending == "mpg" else {}
    parts = [part(folder / f"{number}.{ending}", begin, unit=unit, **codec) for number, begin in enumerate(begins)]
    whole = folder / f"joined.{ending}"
    heads = [9 + 4 if ending == "flv" and number else 0 for number in range(len(parts))]  # a live stream has one head
    whole.write_bytes(b"".join(each.read_bytes()[head:] for each, head in zip(parts, heads)))
    return whole, parts


def pictures_first(path: Path, ahead: int = 12) -> bytes:
    """A transport stream in which the first pictures come before all sound."""
    early = path.with_stem(f"early{path.stem}")
    with av.open(str(path)) as source, av.open(str(early), "w") as target:
        tracks = {each.index: target.add_stream_from_template(each) for each in source.streams}
        found = [packet for packet in source.demux() if packet.size]
        first = [packet for packet in found if packet.stream.type == "video"][:ahead]
        for packet in [*first, *(packet for packet in found if packet not in first)]:
            packet.stream = tracks[packet.stream.index]
            target.mux_one(packet)
    return early.read_bytes()


def places(shown: Sequence[object]) -> list[int]:
    """Which picture of a part each frame is."""
    return [int(np.argmin([np.abs(each.rgb.astype(int) - picture).mean() for picture in PICTURES])) for each in shown]  # type: ignore[attr-defined]


JOINED = [
    ("ts", (0, 0)), ("ts", (0, 0, 0)), ("ts", (50, 3)), ("ts", (3, 50)), ("mkv", (0, 0)), ("mpg", (0, 0)),
    ("flv", (3600, 0)),
]  # fmt: skip


@pytest.mark.parametrize(("ending", "begins"), JOINED)
def test_each_part_is_laid_behind_the_one_before(tmp_path, ending, begins):
    whole, parts = joined(tmp_path, ending, [Fraction(begin) for begin in begins])
    clip, count = open_clip(whole), sum(len(open_clip(each)) for each in parts)
    shown = list(frames(clip))
    assert len(clip) == count
    assert not any(frame.repeated for frame in shown)
    assert set(np.round(np.diff(clip.pts) * float(clip.time_base), 2)) == {0.04}
    alone = [place for each in parts for place in places(list(frames(open_clip(each))))]
    assert places(shown) == alone
    assert [note for note in clip.notes if "laid behind" in note]


@pytest.mark.parametrize("out", [".mkv", ".mp4", ".mov", ".ts"])
@pytest.mark.parametrize(("source", "begins"), [("ts", (0, 0)), ("ts", (3, 50)), ("mkv", (0, 0))])
def test_sound_stays_with_the_pictures_of_its_part(tmp_path, source, begins, out):
    whole, parts = joined(tmp_path, source, [Fraction(begin) for begin in begins])
    clip, result = open_clip(whole), tmp_path / f"out{out}"
    encode(clip, ((frame.index, frame.native) for frame in frames(clip)), result, WriteSettings(preset="ultrafast"), {})
    own = [(payload, time - times_of(each)[0], number)
           for number, each in enumerate(parts) for time, payload in packets_of(each)]  # fmt: skip
    heard, pictures = packets_of(result), times_of(result)
    assert len(pictures) == len(parts) * COUNT
    assert len(own) - 3 <= len(heard) <= len(own)
    assert all(one < two for (one, _), (two, _) in itertools.pairwise(heard))
    left = iter(own)
    for time, payload in heard:
        since, number = next((since, number) for theirs, since, number in left if theirs == payload)
        assert abs(time - pictures[number * COUNT] - since) < Fraction(1, 300)


def test_its_sound_is_called_the_same(tmp_path):
    whole, _ = joined(tmp_path, "ts", [Fraction(0), Fraction(0)])
    clip, result = open_clip(whole), tmp_path / "out.mkv"
    encode(clip, ((frame.index, frame.native) for frame in frames(clip)), result, WriteSettings(preset="ultrafast"), {})
    made = open_clip(result)
    heard = sounds(whole, clip.stretches), sounds(result)
    assert compare_sound(*heard, *seconds_of(clip, made, part_of(clip, made, heard))).word == "same"


def test_a_range_across_the_join_is_part_of_the_whole(tmp_path):
    whole, _ = joined(tmp_path, "ts", [Fraction(0), Fraction(0)])
    clip = open_clip(whole)
    every = [frame.rgb for frame in frames(clip)]
    for start, stop in ((1, 4), (25, 34), (30, 33), (47, 60)):
        shown = list(frames(clip, start, stop))
        assert [frame.index for frame in shown] == list(range(start, stop))
        for frame in shown:
            np.testing.assert_array_equal(frame.rgb, every[frame.index])
    result = tmp_path / "out.mp4"
    encode(clip, ((frame.index, frame.native) for frame in frames(clip, 40, 55)), result, WriteSettings(), {})
    second = packets_of(tmp_path / "1.ts")
    begins = times_of(tmp_path / "1.ts")[10]
    heard = [time for time, payload in packets_of(result) if payload == second[20][1]]
    assert abs(heard[0] - (second[20][0] - begins)) < Fraction(1, 1000)


def test_a_render_goes_on_in_the_second_part(tmp_path, monkeypatch):
    source, _ = joined(tmp_path, "ts", [Fraction(0), Fraction(0)])
    once, twice = tmp_path / "once.mkv", tmp_path / "twice.mkv"
    rendered.rendered(source, once)

    def until(clip, start, stop):
        for frame in frames(clip, start, stop):
            if frame.index == 52:
                raise InputError("pulled", "plug it in")
            yield frame

    with monkeypatch.context() as patch:
        patch.setattr("vidswap.pipeline.frames", until)
        with pytest.raises(InputError, match="pulled"):
            rendered.rendered(source, twice)
    assert rendered.rendered(source, twice).resumed == 40
    assert once.read_bytes() == twice.read_bytes()


@pytest.mark.parametrize(("ending", "words"), [("mkv", b"hello"), ("mp4", b"\0\5hello")])
def test_subtitles_of_each_part_come_with_its_pictures(tmp_path, ending, words):
    film = Film(times=[PAL * i for i in range(COUNT)], texts=[Text("subrip")], unit=Fraction(1, 1000))
    parts = [make_film(tmp_path / f"{number}.mkv", film) for number in range(2)]
    whole, result = tmp_path / "joined.mkv", tmp_path / f"out.{ending}"
    whole.write_bytes(b"".join(each.read_bytes() for each in parts))
    clip = open_clip(whole)
    encode(clip, ((frame.index, frame.native) for frame in frames(clip)), result, WriteSettings(preset="ultrafast"), {})
    shown = [time for time, payload in packets_of(result, "subtitle") if payload.startswith(words)]
    assert [float(time) for time in shown] == pytest.approx([0.3, 0.3 + COUNT / 25], abs=0.002)


# -- no new clock -----------------------------------------------------------------------------------------------------


def with_gap(path: Path, held: Fraction, *, sound: bool, gap: bool = False) -> Path:
    """A film whose picture stands still for a while; its sound, if there is one, goes on or pauses as well."""
    times = [PAL * i for i in range(10)] + [held + PAL * i for i in range(10, 20)]
    film = Film(times=times, sounds=[Sound("mp2")] if sound else (), unit=Fraction(1, 1000),
                options={"crf": "20", "bf": "0", "preset": "ultrafast"})  # fmt: skip
    make_film(path, film)
    if not gap:
        return path
    paused = path.with_stem("paused")
    with av.open(str(path)) as source, av.open(str(paused), "w") as target:
        tracks = {each.index: target.add_stream_from_template(each) for each in source.streams}
        for packet in source.demux():
            time = packet.pts and packet.pts * packet.time_base
            silent = packet.stream.type == "audio" and time and Fraction(2, 5) < time - source.start_time / 10**6 < held
            if packet.size and not silent:
                packet.stream = tracks[packet.stream.index]
                target.mux(packet)
    return paused


@pytest.mark.parametrize(("name", "held", "sound", "gap"), [
    ("slide.ts", 5, True, False), ("slide.ts", 15, True, False), ("silent.ts", 5, False, False),
    ("slide.mkv", 15, True, False), ("pause.mkv", 15, True, True), ("slide.mp4", 15, False, False),
])  # fmt: skip
def test_a_picture_that_is_held_is_no_new_clock(tmp_path, name, held, sound, gap):
    clip = open_clip(with_gap(tmp_path / name, Fraction(held), sound=sound, gap=gap))
    assert clip.stretches == ()
    assert len(clip) == 20
    assert max(np.diff(clip.pts) * float(clip.time_base)) == pytest.approx(held + 0.04, abs=0.002)


@pytest.mark.parametrize(("ending", "held"), [("mkv", 1), ("mkv", 4), ("mkv", 40), ("ts", 4), ("flv", 4)])
def test_pictures_that_are_held_between_others_decoded_earlier_keep_their_times(tmp_path, ending, held):
    moments = [held * second + PAL * i for second, count in ((0, 3), (1, 2), (2, 2)) for i in range(count)]
    options = {"crf": "20", "bf": "3", "preset": "veryfast"}
    clip = open_clip(make_film(tmp_path / f"a.{ending}", Film(times=moments, options=options, unit=Fraction(1, 1000))))
    shown = [int(time) * clip.time_base for time in clip.pts]
    assert clip.stretches == ()
    assert [time - shown[0] for time in shown] == moments


def test_how_often_a_clock_starts_again_is_said(tmp_path):
    clip = open_clip(joined(tmp_path, "ts", [Fraction(0)] * 3)[0])
    assert "starts again at 0:01.2, and once after that" in " ".join(clip.notes)


def test_slides_without_sound_are_no_new_clocks(tmp_path):
    times = [Fraction(12) * i for i in range(6)]
    clip = open_clip(make_film(tmp_path / "slides.ts", Film(times=times, options={"bf": "0"})))
    assert clip.stretches == ()
    assert set(np.diff(clip.pts) * clip.time_base) == {12}


@pytest.mark.parametrize(("held", "sound"), [(5, True), (15, False)])
def test_a_clock_that_leaps_with_sound_and_pictures_is_a_new_one(tmp_path, held, sound):
    clip = open_clip(with_gap(tmp_path / "leap.ts", Fraction(held), sound=sound, gap=sound))
    assert len(clip.stretches) == 2
    assert max(np.diff(clip.pts) * float(clip.time_base)) < 0.2


# -- arithmetic -------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(6, 40), st.integers(0, 1000)), min_size=1, max_size=5))
def test_clocks_are_told_apart_where_they_start_again(drawn):
    clock, wanted = list[float](), list[int]()
    for count, begin in drawn:
        stretch = [begin + 0.04 * i for i in range(count)]
        if clock and not -0.1 <= stretch[0] - clock[-1] <= 2:
            wanted.append(len(clock))
        clock += stretch
    found, odd = leaps(np.array(clock), 0.1)
    if all(abs(begin - other) > 5 for (_, begin), (_, other) in itertools.combinations(drawn, 2)):
        assert (found, odd) == (wanted, [])


@given(st.integers(10, 60), st.data())
def test_times_that_are_only_damage_start_no_clock(count, data):
    clock = np.arange(count) * 0.04 + 100
    hit = data.draw(st.integers(1, count - 7))
    length = data.draw(st.integers(1, 4))
    clock[hit : hit + length] = data.draw(st.sampled_from((0.0, 50.0, 500.0, 1e9)))
    clock[data.draw(st.integers(hit + length + 1, count - 1))] = np.nan
    assert leaps(clock, 0.1) == ([], list(range(hit, hit + length)))


@pytest.mark.parametrize(("ending", "count"), [("flv", 2), ("mkv", 3)])
def test_a_film_behind_those_that_are_read_is_told_of(tmp_path, ending, count):
    parts = [part(tmp_path / f"{number}.{ending}", unit=Fraction(1, 1000)) for number in range(count)]
    whole = tmp_path / f"joined.{ending}"
    whole.write_bytes(b"".join(each.read_bytes() for each in parts))
    assert open_clip(parts[0]).notes == ()
    assert [note for note in open_clip(whole).notes if "holds another" in note]


@pytest.mark.parametrize("count", [40, 15])
def test_sound_of_short_parts_goes_with_the_pictures_of_its_own(tmp_path, count):
    """As segments of a live stream are, each beginning at 0; pictures come in the file well before their sound."""
    options = {"preset": "ultrafast", "crf": "20", "bf": "3", "refs": "4"}
    parts = [part(tmp_path / f"{number}.ts", count=count, options=options) for number in range(4)]
    whole = tmp_path / "joined.ts"
    whole.write_bytes(b"".join(map(pictures_first, parts)))
    clip = open_clip(whole)
    heard = sounds(whole, clip.stretches)[0]
    steps = np.diff(heard.times) * float(heard.unit)
    assert len(clip) == 4 * count
    assert len(heard.times) >= sum(len(packets_of(each)) for each in parts) - 3
    assert steps.min() > 0.02
    assert steps.max() < 0.13


# -- what else changes where films are joined -------------------------------------------------------------------------


OPEN = {
    "libx264": {"preset": "veryfast", "bf": "2", "crf": "10", "x264-params": "open-gop=1:keyint=12:scenecut=0"},
    "libx265": {"preset": "ultrafast", "x265-params": "log-level=none:bframes=3:keyint=12:min-keyint=12:open-gop=1"},
    "mpeg2video": {"bf": "2", "g": "12", "qmin": "1", "qmax": "3", "sc_threshold": "1000000000"},
}


def cut_amid_a_group(path: Path) -> Path:
    """A transport stream from its third key picture on."""
    late = path.with_stem("late")
    with av.open(str(path)) as source, av.open(str(late), "w") as target:
        video = source.streams.video[0]
        track, keys = target.add_stream_from_template(video), 0
        for packet in source.demux(video):
            keys += packet.is_keyframe and packet.size > 0
            if keys > 2 and packet.size:
                packet.stream = track
                target.mux(packet)
    return late


@pytest.mark.parametrize("codec", OPEN)
def test_a_part_that_begins_amid_an_open_group_loses_no_picture_of_the_one_before(tmp_path, codec):
    unit = PAL if codec == "mpeg2video" else Fraction(1, 90000)
    film = Film(times=[PAL * i for i in range(40)], codec=codec, options=OPEN[codec], unit=unit)
    first = make_film(tmp_path / "0.ts", film)
    second = cut_amid_a_group(first)
    whole = tmp_path / "joined.ts"
    whole.write_bytes(first.read_bytes() + second.read_bytes())
    alone = list(frames(open_clip(first))) + list(frames(open_clip(second)))
    clip = open_clip(whole)
    shown = list(frames(clip))
    assert not any(frame.repeated for frame in shown)
    assert len(shown) == len(alone)
    for one, other in zip(shown, alone, strict=True):
        np.testing.assert_array_equal(one.rgb, other.rgb)
    for start, stop in ((36, 44), (41, 50)):
        part = list(frames(clip, start, stop))
        assert all((one.rgb == other.rgb).all() for one, other in zip(part, shown[start:stop], strict=True))


def test_no_picture_is_lost_where_mpeg2_changes_its_size(tmp_path):
    film = Film(times=[PAL * i for i in range(15)], codec="mpeg2video", options={"bf": "2", "g": "12"}, unit=PAL)
    parts = [make_film(tmp_path / f"{wide}.ts", replace(film, size=(wide, 64))) for wide in (96, 128)]
    whole = tmp_path / "joined.ts"
    whole.write_bytes(b"".join(each.read_bytes() for each in parts))
    shown = list(frames(open_clip(whole)))
    assert len(shown) == 30
    assert not any(frame.repeated for frame in shown)


def coloured(matrix: int, whole_range: bool):
    def tag(_target, video):
        video.codec_context.colorspace, video.codec_context.color_range = matrix, 2 if whole_range else 1

    return tag


def test_a_part_in_other_colours_and_samples_is_brought_to_those_of_the_first(tmp_path):
    """BT.709, BT.601 in 4:4:4, BT.601 in the full range."""
    kinds = ((1, False, "yuv420p"), (5, False, "yuv444p"), (5, True, "yuv420p"))
    parts = [part(tmp_path / f"{number}.ts", count=10, pix_fmt=form, prepare=coloured(matrix, full),
                  options={"crf": "4", "preset": "ultrafast"})
             for number, (matrix, full, form) in enumerate(kinds)]  # fmt: skip
    whole, result = tmp_path / "joined.ts", tmp_path / "out.mkv"
    whole.write_bytes(b"".join(each.read_bytes() for each in parts))
    clip = open_clip(whole)
    shown = list(frames(clip))
    assert {frame.native.colorspace for frame in shown} == {1, 5}
    encode(clip, ((frame.index, frame.native) for frame in frames(clip)), result, WriteSettings(crf=1), {})
    for before, after in zip(shown, frames(open_clip(result)), strict=True):
        assert np.abs(before.rgb.astype(int) - after.rgb).mean() < 2.5, before.index


@pytest.mark.parametrize("ending", ["ts", "mpg", "flv"])
def test_a_live_stream_begins_at_0_whatever_its_clock(tmp_path, ending):
    path = joined(tmp_path, ending, [Fraction(3600)])[1][0]
    clip, result = open_clip(path), tmp_path / "out.mp4"
    assert clip.pts[0] * clip.time_base > 3000
    encode(clip, ((frame.index, frame.native) for frame in frames(clip)), result, WriteSettings(), {})
    assert min(times_of(result)[0], packets_of(result)[0][0]) == 0
    assert times_of(result)[0] - packets_of(result)[0][0] == pytest.approx(
        times_of(path)[0] - packets_of(path)[0][0], abs=0.001)  # fmt: skip


def test_a_film_cut_amid_a_group_and_without_sound_begins_at_once(tmp_path):
    source = make_film(tmp_path / "a.ts", Film(options={"x264-params": "keyint=10:min-keyint=10:scenecut=0"}))
    cut, result = tmp_path / "cut.ts", tmp_path / "out.mp4"
    with av.open(str(source)) as before, av.open(str(cut), "w") as after:
        track = after.add_stream_from_template(before.streams.video[0])
        for packet in list(before.demux(video=0))[4:]:
            if packet.size:
                packet.stream = track
                after.mux(packet)
    clip = open_clip(cut)
    encode(clip, ((frame.index, frame.native) for frame in frames(clip)), result, WriteSettings(), {})
    assert times_of(result)[0] == 0
    assert len(times_of(result)) == len(clip) == 20
