from __future__ import annotations

import pickle
import re
from fractions import Fraction
from types import SimpleNamespace

import av
import numpy as np
import pytest
from films import Film, make_film
from footage import make_clip, moving
from hypothesis import given
from hypothesis import strategies as st

from vidswap.errors import InputError
from vidswap.facts import PixelFormat
from vidswap.read.clip import frames, open_clip
from vidswap.read.times import increasing, scan

COUNT = 20


def seconds(clip):
    return [int(time) * clip.time_base for time in clip.pts]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return make_clip(tmp_path_factory.mktemp("clip") / "plain.mp4", moving(COUNT))


@pytest.mark.parametrize("ending", ["mp4", "mov", "mkv", "ts", "avi"])
def test_constant_rate_times(tmp_path, ending):
    """Every container gives a frame each 1/25 s, and as many pictures as it has packets, in display order."""
    pictures = moving(COUNT)
    clip = open_clip(make_clip(tmp_path / f"a.{ending}", pictures, unit=Fraction(1, 25)))
    assert len(clip) == COUNT
    steps = np.diff([float(time) for time in seconds(clip)])
    np.testing.assert_allclose(steps, 1 / 25, atol=0.0006)  # mkv counts in ms
    shown = list(frames(clip))
    assert [frame.index for frame in shown] == list(range(COUNT))
    for frame, picture in zip(shown, pictures, strict=True):
        errors = [np.abs(frame.rgb.astype(int) - other).mean() for other in pictures]
        assert int(np.argmin(errors)) == frame.index, "pictures out of order"
        assert np.abs(frame.rgb.astype(int) - picture).mean() < 6


def test_variable_rate_times(tmp_path):
    pts = np.cumsum([100, 512, 7, 1000, 40, 40, 9000, 333, 333, 1]).tolist()
    clip = open_clip(make_clip(tmp_path / "vfr.mp4", moving(10), pts, unit=Fraction(1, 90000)))
    assert seconds(clip) == [Fraction(time, 90000) for time in pts]
    assert [frame.native.pts * Fraction(frame.native.time_base) for frame in frames(clip)] == seconds(clip)


def test_gif_becomes_planar(tmp_path):
    """Its colours stay as they are: RGB."""
    pictures = moving(6)
    path = make_clip(tmp_path / "a.gif", pictures, unit=Fraction(1, 25), sound=False, codec="gif", pix_fmt="rgb8",
                     options={})  # fmt: skip
    clip = open_clip(path)
    shown = list(frames(clip))
    assert len(shown) == len(clip) == 6
    assert {frame.native.format.name for frame in shown} == {"gbrp"}
    assert np.abs(shown[3].rgb.astype(int) - pictures[3]).mean() < 25  # 256 colours


def test_range_equals_part_of_whole(plain):
    clip = open_clip(plain)
    whole = [frame.rgb for frame in frames(clip)]
    for start, stop in ((0, 3), (7, 12), (19, 20), (5, 99)):
        part = list(frames(clip, start, stop))
        assert [frame.index for frame in part] == list(range(start, min(stop, COUNT)))
        for frame in part:
            np.testing.assert_array_equal(frame.rgb, whole[frame.index])
    assert list(frames(clip, 4, 4)) == []


def test_range_after_a_late_key_frame(tmp_path):
    """Seeking lands on a key frame before the wanted one, wherever key frames are."""
    options = {"crf": "10", "x264-params": "keyint=30:min-keyint=30:scenecut=0"}
    clip = open_clip(make_clip(tmp_path / "long.mkv", moving(100, 64, 48), unit=Fraction(1, 1000), options=options))
    whole = [frame.rgb for frame in frames(clip)]
    for start in (1, 29, 30, 31, 59, 61, 98):
        np.testing.assert_array_equal(next(frames(clip, start)).rgb, whole[start])


def test_damaged_packets_repeat_and_keep_the_count(plain, tmp_path):
    data = bytearray(plain.read_bytes())
    with av.open(str(plain)) as source:
        hit = [packet.pos for packet in source.demux(video=0) if packet.size][8:10]
    for position in hit:
        data[position + 4 : position + 24] = bytes(20)
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(data)
    clip = open_clip(damaged)
    shown = list(frames(clip))
    assert [frame.index for frame in shown] == list(range(COUNT))
    assert [frame.index for frame in shown if frame.repeated] == [7, 12]
    assert looks_like(clip, moving(COUNT))[6:13] == [6, 6, 8, 9, 10, 11, 11]
    assert shown[-1].rgb.shape == (64, 96, 3)


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_truncated_file_yields_what_is_there(tmp_path, ending):
    whole = make_clip(tmp_path / f"whole.{ending}", [np.random.default_rng(i).integers(0, 255, (64, 96, 3), np.uint8)
                      for i in range(COUNT)], sound=False, unit=Fraction(1, 25),
                      container={"movflags": "faststart"})  # fmt: skip
    cut = tmp_path / f"cut.{ending}"
    data = whole.read_bytes()
    cut.write_bytes(data[: len(data) * 6 // 10])
    clip = open_clip(cut)
    assert 4 <= len(clip) < COUNT
    assert [frame.index for frame in frames(clip)] == list(range(len(clip)))


def test_stills_for_missing_pictures_are_frames_of_their_own(plain, tmp_path):
    """What repeats a picture can be painted on without changing the others."""
    data = plain.read_bytes()
    with av.open(str(plain)) as source:
        packets = [(packet.pos, packet.size) for packet in source.demux(video=0) if packet.size]
    broken = bytearray(data)
    for position, size in packets[-6:]:
        broken[position : position + size] = bytes(size)
    path = tmp_path / "end.mp4"
    path.write_bytes(broken)
    shown = list(frames(open_clip(path)))
    assert len(shown) == COUNT
    before = shown[-2].rgb
    shown[-1].native.make_writable()
    np.frombuffer(shown[-1].native.planes[0], np.uint8)[:] = 16
    np.testing.assert_array_equal(shown[-2].rgb, before)
    assert not np.array_equal(shown[-1].rgb, before)


def test_facts(plain):
    clip = open_clip(plain)
    assert (clip.width, clip.height, clip.rate, clip.rotation) == (96, 64, 25, 0)
    assert [(stream.kind, stream.codec) for stream in clip.streams] == [("video", "h264"), ("audio", "aac")]
    assert clip.film is clip.streams[0]
    assert clip.time_base == Fraction(1, 12800)
    assert clip.format == PixelFormat("420", 8, width=96, height=64)


def test_facts_go_to_another_process_and_are_said_in_a_line(plain):
    clip = open_clip(plain)
    there = pickle.loads(pickle.dumps(clip))
    assert (there.streams, there.tags, there.format) == (clip.streams, clip.tags, clip.format)
    assert np.array_equal(there.pts, clip.pts)
    assert len(repr(clip)) < 700


def test_untagged_hd_is_read_as_709_and_stays_untagged(tmp_path):
    picture = np.zeros((720, 96, 3), np.uint8)
    picture[:] = (200, 60, 30)
    path = make_clip(tmp_path / "hd.mp4", [picture] * 2, sound=False)
    clip = open_clip(path)
    assert clip.colour[0] == 2
    y, u, v = (int(np.frombuffer(plane, np.uint8)[0]) for plane in next(frames(clip)).native.planes)
    red = 255 / 219 * (y - 16) + 1.5748 * 255 / 224 * (v - 128)
    blue = 255 / 219 * (y - 16) + 1.8556 * 255 / 224 * (u - 128)
    np.testing.assert_allclose(next(frames(clip)).rgb[360, 48, [0, 2]], [red, blue], atol=3)  # BT.601 is 14 off


def test_ten_bit_and_444_keep_their_format(tmp_path):
    for name in ("yuv420p10le", "yuv444p", "yuv422p"):
        clip = open_clip(make_clip(tmp_path / f"{name}.mp4", moving(3), sound=False, pix_fmt=name))
        assert next(frames(clip)).native.format.name == name
        assert np.abs(next(frames(clip)).rgb.astype(int) - moving(3)[0]).mean() < 6


def test_what_an_edit_list_hides_is_no_frame(plain, tmp_path):
    """The first ten pictures are in the file, for the decoder, but not in the film."""
    path = tmp_path / "edited.mp4"
    with av.open(str(plain)) as source, av.open(str(path), "w") as target:
        track = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.pts, packet.dts, packet.stream = packet.pts - 10 * 512, packet.dts - 10 * 512, track
                target.mux(packet)
    clip = open_clip(path)
    shown = [frame.rgb for frame in frames(clip)]
    assert len(shown) == len(clip) == COUNT - 10
    for mine, original in zip(shown, frames(open_clip(plain), 10), strict=True):
        np.testing.assert_array_equal(mine, original.rgb)


def test_raw_stream_whose_size_changes(tmp_path):
    parts = [make_clip(tmp_path / f"{size}.h264", moving(8, *size), sound=False) for size in ((96, 64), (64, 96))]
    path = tmp_path / "both.h264"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    clip = open_clip(path)
    assert [frame.rgb.shape for frame in frames(clip)] == [(64, 96, 3)] * 16
    assert seconds(clip) == [Fraction(i, 25) for i in range(16)]


def test_packed_pixels_become_planar(tmp_path):
    """What decoders yield packed becomes planes that can be painted on: with its depth, sampling and transparency."""
    kinds = (
        ("a.mov", "png", "rgb24", "gbrp"), ("b.mov", "png", "ya8", "gbrap"), ("c.mov", "qtrle", "argb", "gbrap"),
        ("d.mkv", "ffv1", "bgr0", "gbrp"), ("e.mkv", "ffv1", "yuva444p", "yuva444p"),
        ("f.mov", "png", "rgb48be", "gbrp16le"), ("g.mkv", "ffv1", "gbrap10le", "gbrap10le"),
        ("h.mkv", "rawvideo", "yuyv422", "yuv422p"), ("i.mkv", "rawvideo", "nv12", "yuv420p"),
    )  # fmt: skip
    for name, codec, pix_fmt, wanted in kinds:
        choices = {"codec": codec, "pix_fmt": pix_fmt, "options": {}}
        path = make_clip(tmp_path / name, moving(3), unit=Fraction(1, 1000), sound=False, **choices)
        frame = list(frames(open_clip(path)))[2]
        assert frame.native.format.name == wanted
        assert np.abs(frame.rgb.mean(-1) - moving(3)[2].mean(-1)).mean() < 12


def test_refusals(tmp_path, plain):
    empty, text = tmp_path / "empty.mp4", tmp_path / "notes.mp4"
    empty.touch()
    text.write_text("this is no video\n" * 50)
    still, folder = tmp_path / "still.png", tmp_path / "folder"
    still.write_bytes(b"\x89PNG\r\n\x1a\n and nothing more")
    folder.mkdir()
    sound = tmp_path / "sound.m4a"
    with av.open(str(plain)) as source, av.open(str(sound), "w", format="mp4") as target:
        track = target.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(source.streams.audio[0]):
            if packet.size:
                packet.stream = track
                target.mux(packet)
    headless = tmp_path / "headless.mp4"
    headless.write_bytes(plain.read_bytes()[:200])
    wrong = {
        tmp_path / "missing.mp4": "there is no file", folder: "no picture in the folder", empty: "is empty",
        text: "cannot be read", still: "cannot be read as a picture", sound: "no video stream",
        headless: "cannot be read",
    }  # fmt: skip
    for path, message in wrong.items():
        with pytest.raises(InputError, match=message) as caught:
            open_clip(path)
        assert caught.value.hint
        assert "\n" not in str(caught.value)


@given(st.lists(st.integers(-1000, 1000), min_size=1, max_size=60))
def test_times_become_strictly_increasing_and_hardly_move(times):
    pts = np.sort(np.array(times, np.int64))
    fixed, unit = increasing(pts, Fraction(1, 1000))
    assert np.all(np.diff(fixed) > 0)
    moved = np.array([int(time) * unit for time in fixed]) - np.array([int(time) * Fraction(1, 1000) for time in pts])
    assert all(0 <= shift <= len(pts) * Fraction(1, 90000) for shift in moved)
    if len(set(times)) == len(times):
        np.testing.assert_array_equal(fixed, pts)


# -- times ------------------------------------------------------------------------------------------------------------


def copied(source, path, change, **choices):
    """A copy of the video of `source`, each packet passed through `change`, which may drop it (None)."""
    with av.open(str(source)) as before, av.open(str(path), "w", **choices) as after:
        track = after.add_stream_from_template(before.streams.video[0])
        for number, packet in enumerate(each for each in before.demux(video=0) if each.size):
            packet.stream = track
            if change(number, packet) is not None:
                after.mux(packet)
    return path


def looks_like(clip, pictures):
    """Which of `pictures` each frame of the clip is."""
    shown = [frame.rgb.astype(int) for frame in frames(clip)]
    return [int(np.argmin([np.abs(rgb - picture).mean() for picture in pictures])) for rgb in shown]


@pytest.mark.parametrize("ending", ["mp4", "mov", "mkv"])
def test_the_last_frame_is_shown_as_long_as_its_file_says(tmp_path, ending):
    path = make_clip(tmp_path / f"a.{ending}", moving(4), [0, 100, 250, 300], unit=Fraction(1, 1000), sound=False,
                     last=700, options={"crf": "10", "bf": "3" if ending == "mkv" else "0"})  # fmt: skip
    clip = open_clip(path)
    assert [clip.duration(i) * clip.time_base for i in range(4)] == [Fraction(n, 1000) for n in (100, 150, 50, 700)]


def test_a_clip_that_starts_late_or_before_zero(tmp_path, plain):
    late = copied(plain, tmp_path / "late.mkv", lambda _, packet: later(packet, 51200))
    assert seconds(open_clip(late))[0] == 4
    early = copied(plain, tmp_path / "early.mov", lambda _, packet: later(packet, -512),
                   container_options={"movie_timescale": "90000", "use_editlist": "0"})  # fmt: skip
    times = seconds(open_clip(early))
    assert len(times) == COUNT
    assert set(np.diff(times)) == {Fraction(1, 25)}


def later(packet, ticks):
    packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks
    return packet


def test_pictures_of_the_same_time_stay_apart_and_in_order(tmp_path):
    times = [0, 40, 80, 80, 80, 200, 240]
    source = make_clip(tmp_path / "a.mkv", moving(7), [40 * i for i in range(7)], unit=Fraction(1, 1000), sound=False,
                       options={"crf": "10", "bf": "0"})  # fmt: skip

    def same(number, packet):
        packet.pts = packet.dts = times[number]
        return packet

    clip = open_clip(copied(source, tmp_path / "same.mkv", same))
    assert len(clip) == 7
    assert [round(float(time) * 1000) for time in seconds(clip)] == times
    assert looks_like(clip, moving(7)) == list(range(7))


@pytest.mark.parametrize("ending", ["h264", "hevc"])
def test_raw_streams_are_counted(tmp_path, ending):
    codec = {"h264": "libx264", "hevc": "libx265"}[ending]
    options = {"crf": "10", "x265-params": "log-level=none"} if ending == "hevc" else {"crf": "10"}
    pictures = moving(12)
    clip = open_clip(make_clip(tmp_path / f"a.{ending}", pictures, sound=False, codec=codec, options=options))
    assert seconds(clip) == [Fraction(i, 25) for i in range(12)]
    assert looks_like(clip, pictures) == list(range(12))


def test_a_raw_stream_cut_amid_an_open_group_begins_with_its_first_key_picture(tmp_path):
    options = {"preset": "ultrafast", "x265-params": "log-level=none:bframes=3:keyint=8:min-keyint=8:open-gop=1"}
    pictures = moving(24)
    whole = make_clip(tmp_path / "a.hevc", pictures, sound=False, codec="libx265", options=options)
    with av.open(str(whole)) as source:
        packets = [bytes(packet) for packet in source.demux(video=0) if packet.size]
    key = next(place for place, packet in enumerate(packets) if kinds_of(packet) & {21})  # one that is no refresh
    cut = tmp_path / "cut.hevc"
    cut.write_bytes(b"".join(packets[key:]))
    clip = open_clip(cut)
    shown = list(frames(clip))
    assert not any(frame.repeated for frame in shown)
    assert looks_like(clip, pictures) == list(range(24 - len(shown), 24))
    assert len(shown) == len(packets) - key - sum(bool(kinds_of(each) & {8, 9}) for each in packets[key : key + 8])


def kinds_of(packet):
    """The kinds of HEVC's units in a packet."""
    return {packet[found.end()] >> 1 & 63 for found in re.finditer(b"\0\0\1", packet)}


@pytest.mark.parametrize("ending", ["ts", "mkv"])
def test_one_damaged_time_costs_one_picture(tmp_path, ending):
    def stray(packets):
        packets[15].pts += round(3 / packets[15].time_base)

    film = Film(times=[Fraction(i, 25) for i in range(150)], alter=stray, unit=Fraction(1, 1000),
                options={"preset": "ultrafast", "bf": "0", "g": "10"})  # fmt: skip
    clip = open_clip(make_film(tmp_path / f"a.{ending}", film))
    shown = list(frames(clip))
    assert len(shown) == 150
    assert sum(frame.repeated for frame in shown) <= 2
    np.testing.assert_array_equal(shown[-1].rgb, list(frames(clip, 140))[-1].rgb)


@pytest.mark.parametrize("frames_between", [0, 3])
@pytest.mark.parametrize("lost", [[5], [9, 10]])
def test_a_picture_lost_in_an_avi_does_not_move_the_others(tmp_path, frames_between, lost):
    """AVI tells no times of display: after a gap the pictures are in their places again within a few frames."""
    pictures = moving(COUNT)
    options = {"crf": "10", "bf": str(frames_between), "g": "6"}
    path = make_clip(tmp_path / "a.avi", pictures, unit=Fraction(1, 25), sound=False, options=options)
    emptied(path, lost)
    clip = open_clip(path)
    assert len(clip) == COUNT
    repeated = [frame.index for frame in frames(clip) if frame.repeated]
    assert repeated
    places = looks_like(clip, pictures)
    assert places[-4:] == [16, 17, 18, 19] or frames_between
    assert all(abs(place - index) <= 6 for index, place in enumerate(places))


def test_a_missing_time_lies_between_its_neighbours():
    class Stream(SimpleNamespace):
        time_base, average_rate, guessed_rate, index_entries = Fraction(1, 1000), 25, 25, ()
        container = SimpleNamespace(format=SimpleNamespace(name="mpegts"))
        codec_context = SimpleNamespace(name="h264", codec=SimpleNamespace(canonical_name="h264"), extradata=None)

    def scanned(times, form="mpegts"):
        packets = [SimpleNamespace(pts=time, dts=time, size=1, is_discard=False, duration=40, stream=Stream(),
                                   pos=None, time_base=Fraction(1, 1000), is_keyframe=True)
                   for time in times]  # fmt: skip
        container = SimpleNamespace(
            format=SimpleNamespace(name=form), demux=lambda _: iter(packets), name="a.ts", start_time=0
        )
        found = scan(container, Stream())
        return [float(int(time) * found.unit) for time in found.pts]

    assert scanned([0, 40, None, 120, 160]) == [0, 0.04, 0.08, 0.12, 0.16]
    assert scanned([0, 80, 40, None, 1 << 60, 200]) == pytest.approx([0, 0.04, 0.08, 0.093, 0.146, 0.2], abs=1e-3)
    assert scanned([None, None, None]) == [0, 0.04, 0.08]
    assert scanned([0, None, 80], "avi") == [0, 0.04, 0.08]


# -- damage -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["mp4", "mkv", "ts", "avi"])
def test_frames_that_cannot_be_decoded_show_the_one_before_and_say_so(tmp_path, ending):
    pictures, lost = moving(COUNT), {7, 8, 13}
    options = {"crf": "10", "bf": "0", "g": "1"}
    path = make_clip(tmp_path / f"a.{ending}", pictures, unit=Fraction(1, 25), sound=False, options=options)
    if ending == "ts":  # its packets are cut up and wrapped
        for number in lost:
            path.write_bytes(without_pieces(path.read_bytes(), number, COUNT))
    else:
        emptied(path, lost)
    shown = list(frames(open_clip(path)))
    told = {frame.index for frame in shown if frame.repeated}
    if ending == "ts":  # the decoder mends these itself
        like = looks_like(open_clip(path), pictures)
        assert told == {index for index in range(COUNT) if like[index] != index} != set()
    else:
        assert told == lost
        assert looks_like(open_clip(path), pictures) == [0, 1, 2, 3, 4, 5, 6, 6, 6, 9, 10, 11, 12, 12, *range(14, 20)]
    assert len(shown) == COUNT


def emptied(path, lost):
    """Overwrite packets, by number in the order of decoding, with zeros."""
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as source:
        payloads = [bytes(packet) for packet in source.demux(video=0) if packet.size]
    for number in lost:
        place = data.index(payloads[number])
        data[place : place + len(payloads[number])] = bytes(len(payloads[number]))
    path.write_bytes(data)


def without_pieces(data, number, count):
    """A transport stream, some bytes of which are zero around picture `number` of `count`."""
    place = len(data) * number // count // 188 * 188 + 40
    return data[:place] + bytes(100) + data[place + 100 :]


@pytest.mark.parametrize("ending", ["mp4", "mov", "mkv", "ts", "avi"])
@pytest.mark.parametrize("share", [0.3, 0.7, 0.95])
def test_a_file_that_breaks_off_is_read_as_far_as_it_goes(tmp_path, ending, share):
    noise = [np.random.default_rng(i).integers(0, 255, (64, 96, 3), np.uint8) for i in range(COUNT)]
    whole = make_clip(tmp_path / f"whole.{ending}", noise, unit=Fraction(1, 25), container={"movflags": "faststart"})
    cut = tmp_path / f"cut.{ending}"
    cut.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * share)])
    clip = open_clip(cut)
    assert len(clip) >= int(COUNT * share * 0.6)
    shown = list(frames(clip))
    assert [frame.index for frame in shown] == list(range(len(clip)))
    assert sum(frame.repeated for frame in shown) <= 4  # what leans on the packet that is cut
    told = [note for note in clip.notes if "breaks off after" in note]
    promised = ending == "mkv" or (ending in ("mp4", "mov", "avi") and share < 0.9)
    assert len(told) == promised, "what a header promised is told"
    assert not open_clip(whole).notes


def test_a_turned_clip_stays_turned_where_its_first_picture_is_lost(tmp_path):
    def turn(_target, video):
        video.set_display_rotation(90)

    options = {"crf": "10", "bf": "0", "g": "1"}
    path = make_clip(tmp_path / "a.mp4", moving(6), sound=False, prepare=turn, options=options)
    emptied(path, [0])
    clip = open_clip(path)
    shown = list(frames(clip))
    assert [frame.repeated for frame in shown] == [True] + [False] * 5
    assert shown[0].rgb.shape == (96, 64, 3)
    assert shown[0].native.rotation == shown[1].native.rotation != 0


# -- claims -----------------------------------------------------------------------------------------------------------


def test_a_header_that_claims_a_huge_picture_is_refused_before_it_costs_memory(tmp_path):
    choices = {"unit": Fraction(1, 1000), "codec": "ffv1", "options": {}}
    path = make_clip(tmp_path / "a.mkv", moving(2, 320, 256), sound=False, **choices)
    wide, high = (bytes([mark, 0x82, *side.to_bytes(2)]) for mark, side in ((0xB0, 320), (0xBA, 256)))
    claims = path.read_bytes().replace(wide, wide[:2] + b"\xea\x60").replace(high, high[:2] + b"\xea\x60")
    path.write_bytes(claims)
    with pytest.raises(InputError, match="67,108,864 pixels"):
        open_clip(path)


def test_impossible_rates_are_not_believed(tmp_path):
    path = make_clip(tmp_path / "a.mkv", moving(3), [0, 1, 2], unit=Fraction(1, 1000), sound=False)
    assert open_clip(path).rate <= 1000


# -- pictures that lean on others -------------------------------------------------------------------------------------

OPEN = {
    "libx264": {"x264-params": "open-gop=1:keyint=10:min-keyint=10:bframes=3:b-adapt=0:scenecut=0", "crf": "10"},
    "libx265": {"x265-params": "log-level=none:open-gop=1:keyint=10:min-keyint=10:bframes=3:scenecut=0", "crf": "10"},
    "mpeg2video": {"g": "10", "bf": "2", "b": "9M"},
}  # fmt: skip


def cut_open(folder, codec, ending, first, sound=False):
    """A film of 30 pictures that was cut off, without decoding, before its packet `first`."""
    source = make_clip(folder / "whole.ts", moving(30), codec=codec, options=OPEN[codec], unit=Fraction(1, 25),
                       sound=sound)  # fmt: skip
    return copied(source, folder / f"cut.{ending}", lambda number, packet: packet if number >= first else None)


@pytest.mark.parametrize("ending", ["ts", "mkv"])
@pytest.mark.parametrize("codec", OPEN)
@pytest.mark.parametrize("first", [4, 11])
def test_a_film_cut_amid_an_open_group_begins_with_the_first_picture_that_can_be_shown(tmp_path, codec, ending, first):
    clip = open_clip(cut_open(tmp_path, codec, ending, first))
    shown = list(frames(clip))
    assert 8 <= len(clip) <= 22
    assert not any(frame.repeated for frame in shown)
    assert set(np.round(np.diff([float(time) for time in seconds(clip)]), 2)) == {0.04}
    assert looks_like(clip, moving(30)) == list(range(30 - len(clip), 30))
    assert [note for note in clip.notes if "cut away" in note]
    (early,) = frames(clip, 1, 2)
    np.testing.assert_array_equal(early.rgb, shown[1].rgb)


def test_a_range_in_which_nothing_decodes_shows_the_next_picture_that_does(tmp_path):
    pictures = moving(8)
    path = make_clip(tmp_path / "a.mkv", pictures, unit=Fraction(1, 25), sound=False,
                     options={"crf": "10", "bf": "0", "g": "1"})  # fmt: skip
    emptied(path, [0, 1, 2])
    clip = open_clip(path)
    assert len(clip) == 8
    shown = list(frames(clip, 0, 2))
    assert [frame.repeated for frame in shown] == [True, True]
    np.testing.assert_array_equal(shown[1].rgb, next(frames(clip, 3)).rgb)


@pytest.mark.parametrize("ending", ["mp4", "mov"])
def test_times_that_are_those_of_decoding_are_given_in_the_order_of_showing(tmp_path, ending):
    """An mp4 without composition times (ctts)."""
    pictures = moving(COUNT)
    source = make_clip(tmp_path / "whole.mp4", pictures, options={"crf": "10", "bf": "3", "b_strategy": "0"})

    def untold(_, packet):
        packet.pts = packet.dts = packet.dts + 1024
        return packet

    clip = open_clip(copied(source, tmp_path / f"a.{ending}", untold))
    assert clip.counted
    assert not any(frame.repeated for frame in frames(clip))
    assert looks_like(clip, pictures) == list(range(COUNT))
    assert len(set(np.diff(clip.pts))) == 1
    (late,) = frames(clip, 13, 14)
    assert int(np.argmin([np.abs(late.rgb.astype(int) - each).mean() for each in pictures])) == 13
