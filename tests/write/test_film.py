from __future__ import annotations

import struct
from fractions import Fraction

import av
import numpy as np
import pytest
from footage import make_clip, moving, packets_of, texture, times_of

from vidswap.errors import EngineError, OutputError
from vidswap.media.native import film_maker, planar
from vidswap.read.clip import frames, open_clip
from vidswap.settings import WriteSettings
from vidswap.types import Shot
from vidswap.write.film import Finished, encode, join, write_segments
from vidswap.write.reframe import reframe
from vidswap.write.target import Shape, check_film, plan_target
from vidswap.write.work import WorkFolder, open_work

COUNT = 30
FAST = WriteSettings(crf=10, preset="ultrafast")


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return make_clip(tmp_path_factory.mktemp("encode") / "plain.mp4", moving(COUNT))


def through(path, out, start=0, stop=None, *, settings=FAST, labels=None):
    """Decode, encode: what the pipeline does without a swap."""
    clip, reformatter = open_clip(path), film_maker()
    pictures = ((frame.index, planar(frame.native, reformatter)) for frame in frames(clip, start, stop))
    encode(clip, pictures, out, settings, labels or {})
    return out


def picture_of(frame):
    return frame.index, frame.native


def left_in(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("unit", [Fraction(1, 90000), Fraction(1, 1000000), Fraction(1, 600)])
def test_times_of_variable_rate_are_exact(tmp_path, unit):
    step = int(Fraction(1, 60) / unit)
    pts = np.cumsum(np.random.default_rng(0).integers(1, 3 * step, COUNT))
    pts = (pts - pts[0] + int(Fraction(1, 100) / unit)).astype(int).tolist()  # a late start is kept to 1/90000 s
    source = make_clip(tmp_path / "vfr.mp4", moving(COUNT), pts, unit=unit)
    out = through(source, tmp_path / "out.mp4")
    assert times_of(out) == times_of(source)
    assert len(times_of(out)) == COUNT


def test_how_long_the_last_frame_stays_is_kept(tmp_path):
    source = make_clip(tmp_path / "a.mkv", moving(5), [0, 40, 80, 1000, 1040], unit=Fraction(1, 1000), sound=False)
    with av.open(str(through(source, tmp_path / "out.mp4"))) as made:
        shown = [packet.duration * packet.time_base for packet in made.demux(video=0) if packet.size]
        assert shown[-1] == Fraction(1, 25)
        assert made.duration == pytest.approx(1_080_000, abs=2000)


@pytest.mark.parametrize("delay", [0.0, 0.31])
def test_sound_is_copied_to_the_byte_and_stays_in_place(tmp_path, delay):
    source = make_clip(tmp_path / "a.mp4", moving(COUNT), sound_delay=delay)
    out = through(source, tmp_path / "out.mp4")
    assert packets_of(out) == packets_of(source)
    assert len(packets_of(out)) > 40


@pytest.mark.parametrize("ending", ["mp4", "mov", "mkv"])
def test_containers_keep_sound_and_labels(plain, tmp_path, ending):
    out = through(plain, tmp_path / f"out.{ending}", labels={"comment": "AI-generated: test", "vidswap_seed": "7"})
    before, after = packets_of(plain), packets_of(out)
    assert [payload for _, payload in after] == [payload for _, payload in before]
    slip = {float(b[0] - a[0]) for a, b in zip(before, after, strict=True)}
    shift = float(times_of(out)[0] - times_of(plain)[0])  # mkv has no negative time: all streams move alike
    assert max(abs(each - shift) for each in slip) < 0.0011
    with av.open(str(out)) as made:
        tags = {key.lower(): value for key, value in made.metadata.items()}
    assert tags["comment"] == "AI-generated: test"
    assert tags.get("vidswap_seed") == ("7" if ending == "mkv" else None)


def test_mkv_and_gif_into_mp4(tmp_path):
    mkv = make_clip(tmp_path / "a.mkv", moving(COUNT), unit=Fraction(1, 1000))
    gif = make_clip(tmp_path / "b.gif", moving(6), unit=Fraction(1, 25), sound=False, codec="gif", pix_fmt="rgb8",
                    options={})  # fmt: skip
    for source in (mkv, gif):
        out = through(source, tmp_path / f"{source.stem}.mp4")
        assert times_of(out) == times_of(source)
        with av.open(str(out)) as made:
            assert made.streams.video[0].codec_context.pix_fmt == "yuv420p"
    assert [p for _, p in packets_of(tmp_path / "a.mp4")] == [p for _, p in packets_of(mkv)]


def test_transport_stream_starts_at_its_own_zero(tmp_path):
    source = make_clip(tmp_path / "a.ts", moving(COUNT), unit=Fraction(1, 25))
    out = through(source, tmp_path / "out.mp4")
    before, after = times_of(source), times_of(out)
    assert [time - before[0] for time in before] == [time - after[0] for time in after]
    assert after[0] < Fraction(1, 10)


def test_range_takes_its_sound_along(tmp_path):
    source = make_clip(tmp_path / "a.mp4", moving(50))
    start, stop = 21, 37
    out = through(source, tmp_path / "out.mp4", start, stop)
    begin = times_of(source)[start]
    assert times_of(out) == [time - begin for time in times_of(source)[start:stop]]
    payloads = {payload: time for time, payload in packets_of(source)}
    sound = packets_of(out)
    assert len(sound) >= 16 * 0.04 * 48000 / 1024
    for time, payload in sound:
        assert abs(float(payloads[payload] - begin - time)) < 1 / 48000
    assert sound[0][0] < 0 < sound[2][0], "one packet before the range warms the decoder"
    assert (stop - start) / 25 - 0.03 < sound[-1][0] < (stop - start) / 25


def test_range_from_the_start_ends_the_sound(plain, tmp_path):
    sound = packets_of(through(plain, tmp_path / "out.mp4", 0, 10))
    assert 0.35 < sound[-1][0] < 0.4
    assert sound == packets_of(plain)[: len(sound)]


def test_pictures_survive_lossless(tmp_path):
    source = make_clip(tmp_path / "a.mp4", moving(8), sound=False)
    out = through(source, tmp_path / "out.mp4", settings=WriteSettings(crf=0, preset="ultrafast"))
    for was, now in zip(frames(open_clip(source)), frames(open_clip(out)), strict=True):
        for left, right in zip(was.native.planes, now.native.planes, strict=True):
            a, b = (np.frombuffer(each, np.uint8).reshape(each.height, -1)[:, : each.width] for each in (left, right))
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("pix_fmt", "size", "wanted"),
    [("yuv420p10le", (96, 64), "yuv420p10le"), ("yuv444p", (95, 63), "yuv444p"), ("yuvj420p", (96, 64), "yuvj420p"),
     ("yuv422p", (96, 64), "yuv422p")],
)  # fmt: skip
def test_sampling_and_depth_are_kept(tmp_path, pix_fmt, size, wanted):
    source = make_clip(tmp_path / "a.mp4", moving(3, *size), sound=False, pix_fmt=pix_fmt)
    with av.open(str(through(source, tmp_path / "out.mp4"))) as made:
        stream = made.streams.video[0]
        assert (stream.codec_context.pix_fmt, stream.width, stream.height) == (wanted, *size)


def test_odd_size_without_444(tmp_path):
    pictures = moving(3, 95, 63)
    source = make_clip(tmp_path / "a.avi", pictures, sound=False, codec="mpeg4", unit=Fraction(1, 25), options={})
    with av.open(str(through(source, tmp_path / "out.mp4"))) as made:
        assert (made.streams.video[0].width, made.streams.video[0].height) == (95, 63)


def test_tags_turn_and_shape_are_kept(tmp_path):
    def prepare(target, video):
        video.set_display_rotation(90)
        context = video.codec_context
        context.colorspace, context.color_range, context.color_primaries, context.color_trc = 1, 1, 1, 1
        context.sample_aspect_ratio = Fraction(4, 3)
        target.metadata["title"] = "Scene one"

    source = make_clip(tmp_path / "a.mp4", moving(4), sound=False, prepare=prepare)
    out = through(source, tmp_path / "out.mp4", labels={"comment": "made"})
    seen = []
    for path in (source, out):
        with av.open(str(path)) as opened:
            frame, stream = next(opened.decode(video=0)), opened.streams.video[0]
            matrix = struct.unpack("<9i", bytes(frame.side_data["DISPLAYMATRIX"]))
            tags = frame.colorspace, frame.color_range, frame.color_primaries, frame.color_trc
            seen.append((frame.rotation, matrix, stream.sample_aspect_ratio, tags, opened.metadata["title"]))
    assert seen[0] == seen[1]
    assert seen[0][0] != 0
    assert open_clip(out).rotation == seen[0][0]


def test_equal_input_gives_equal_bytes(plain, tmp_path):
    settings = WriteSettings(crf=20, preset="medium")
    one, two = (through(plain, tmp_path / f"{name}.mp4", settings=settings) for name in "ab")
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize("error", [EngineError("no"), KeyboardInterrupt(), RuntimeError("bug")])
def test_nothing_stays_behind_a_failure(plain, tmp_path, error):
    clip = open_clip(plain)

    def pictures():
        for frame in frames(clip):
            if frame.index == 12:
                raise error
            yield frame.index, frame.native

    with pytest.raises(type(error)):
        encode(clip, pictures(), tmp_path / "out.mp4", FAST, {})
    assert left_in(tmp_path) == []


def test_a_failure_keeps_the_earlier_result(plain, tmp_path):
    out = tmp_path / "out.mp4"
    out.write_bytes(b"before")

    def pictures():
        yield from ()
        raise EngineError("no")

    with pytest.raises(EngineError):
        encode(open_clip(plain), pictures(), out, FAST, {})
    assert out.read_bytes() == b"before"
    through(plain, out)
    assert len(out.read_bytes()) > 1000
    assert left_in(tmp_path) == ["out.mp4"]


def test_refusals_come_before_rendering(plain, tmp_path):
    clip = open_clip(plain)
    folder = tmp_path / "folder.mp4"
    folder.mkdir()
    wrong = {
        tmp_path / "out.flv": "no known ending", tmp_path / "out": "no known ending", folder: "is a folder",
        tmp_path / "nowhere" / "out.mp4": "no folder", plain: "is the clip itself",
    }  # fmt: skip
    for out, message in wrong.items():
        with pytest.raises(OutputError, match=message) as caught:
            check_film(clip, out)
        assert caught.value.hint
        with pytest.raises(OutputError, match=message):
            encode(clip, iter(()), out, FAST, {})
    check_film(clip, tmp_path / "fine.mp4")
    assert left_in(tmp_path) == ["folder.mp4"]
    with pytest.raises(OutputError, match="no frames"):
        encode(clip, iter(()), tmp_path / "fine.mp4", FAST, {})


@pytest.mark.parametrize(("sound", "copied"), [(True, 1), (False, 0)])
def test_a_clip_is_opened_for_its_facts_its_pictures_and_what_is_copied_of_it(tmp_path, monkeypatch, sound, copied):
    path, opened, really = make_clip(tmp_path / "a.mp4", moving(4), sound=sound), [], av.open
    monkeypatch.setattr(av, "open", lambda file, *rest, **more: opened.append(file) or really(file, *rest, **more))

    def counted():
        count = opened.count(f"file:{path}")
        opened.clear()
        return count

    clip = open_clip(path)
    assert counted() == 2, "its packets, and its first picture"
    target = plan_target(clip, Shot(0, len(clip)), tmp_path / "out.mp4", FAST)
    assert counted() == copied, "muxed for a trial"
    with open_work(target.out, kept=False) as folder:
        work = WorkFolder(folder, "", 0, 240)
        shown = (Finished(*picture_of(frame)) for frame in frames(clip))
        write_segments(clip, shown, work, target.out, target.encoding)
        assert counted() == 1
        join(clip, work, target.out, target.encoding, {})
    assert counted() == copied


@pytest.mark.parametrize("ending", [".ts", ".avi"])
def test_a_turned_clip_is_refused_where_nothing_tells_of_it(tmp_path, ending):
    turned = make_clip(tmp_path / "a.mp4", moving(2), sound=False,
                       prepare=lambda _, video: video.set_display_rotation(90))  # fmt: skip
    with pytest.raises(OutputError, match="turned") as caught:
        check_film(open_clip(turned), tmp_path / f"out{ending}")
    assert ".mkv" in str(caught.value)
    check_film(open_clip(turned), tmp_path / "out.mkv")


def test_a_film_of_another_shape_is_upright_and_has_the_clips_times_and_sound(tmp_path):
    path = make_clip(tmp_path / "a.mp4", moving(6), prepare=lambda _, video: video.set_display_rotation(90))
    clip, shape = open_clip(path), Shape(48, 48)
    target = plan_target(clip, Shot(0, len(clip)), tmp_path / "out.ts", FAST, shape)  # which cannot tell of a turn
    shown = (Finished(frame.index, reframe(frame.native, np.array([0.0, 0, 64, 64]), shape, frame.to_stored))
             for frame in frames(clip))  # fmt: skip
    with open_work(target.out, kept=False) as folder:
        work = WorkFolder(folder, "", 0, 240)
        write_segments(clip, shown, work, target.out, target.encoding)
        join(clip, work, target.out, target.encoding, {})
    made = open_clip(target.out)
    assert (made.width, made.height, made.turn, len(made)) == (48, 48, ((1, 0), (0, 1)), len(clip))
    assert [payload for _, payload in packets_of(target.out)]
    assert np.diff(made.pts).tolist() == [3600] * 5


def test_sound_that_the_container_refuses_names_another(tmp_path):
    source = tmp_path / "a.mkv"
    with av.open(str(source), "w") as target:
        video, sound = target.add_stream("libx264", rate=25), target.add_stream("wavpack", rate=48000, layout="mono")
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        sound.codec_context.format = "fltp"
        for i in range(5):
            frame = av.VideoFrame.from_ndarray(texture(i, 64, 48), format="rgb24")
            frame.pts = i
            target.mux(video.encode(frame))
        noise = av.AudioFrame.from_ndarray(np.zeros((1, 9600), np.float32), format="fltp", layout="mono")
        noise.sample_rate, noise.pts = 48000, 0
        target.mux([*video.encode(None), *sound.encode(noise), *sound.encode(None)])
    clip = open_clip(source)
    with pytest.raises(OutputError, match="wavpack") as caught:
        check_film(clip, tmp_path / "out.mp4")
    assert ".mkv" in caught.value.hint
    assert len(packets_of(through(source, tmp_path / "out.mkv"))) == len(packets_of(source))


def test_a_full_disk_is_told(plain, tmp_path):
    limit = pytest.importorskip("resource")
    before = limit.getrlimit(limit.RLIMIT_FSIZE)
    signal = pytest.importorskip("signal")
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        limit.setrlimit(limit.RLIMIT_FSIZE, (8000, before[1]))
        with pytest.raises(OutputError, match="cannot be written") as caught:
            through(plain, tmp_path / "out.mp4")
    finally:
        limit.setrlimit(limit.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert "space" in caught.value.hint
    assert left_in(tmp_path) == []


def rich(path, plain):
    """`plain` with a cover, a second sound in Italian, and two subtitles at 0.3 and 0.9 s, each 0.4 s long."""
    cover = path.with_suffix(".jpg")
    av.VideoFrame.from_ndarray(texture(3, 64, 64), format="rgb24").save(str(cover))
    with av.open(str(plain)) as source, av.open(str(cover)) as picture, av.open(str(path), "w") as target:
        tracks = [target.add_stream_from_template(source.streams[i]) for i in (0, 1, 1)]
        tracks[2].metadata["language"] = "ita"
        text = target.add_stream("mov_text")
        text.codec_context.subtitle_header = b"[Script Info]\n"
        front = target.add_stream_from_template(picture.streams.video[0], opaque=True)
        front.disposition = av.stream.Disposition.attached_pic
        target.start_encoding()
        for packet in [each for each in picture.demux() if each.size]:
            packet.stream = front
            target.mux(packet)
        for copy in (0, 1):
            source.seek(0)
            for packet in [each for each in source.demux() if each.size and (copy == 0 or each.stream.index == 1)]:
                packet.stream = tracks[packet.stream.index + copy]
                target.mux(packet)
        for start, words in ((300, b"hello"), (900, b"world")):
            packet = av.Packet(struct.pack(">H", len(words)) + words)
            packet.time_base, packet.pts, packet.dts, packet.duration = Fraction(1, 1000), start, start, 400
            packet.is_keyframe, packet.stream = True, text
            target.mux(packet)
    return path


@pytest.mark.parametrize(("start", "wanted"), [(0, [0.3, 0.9]), (15, [0.0, 0.3])])
def test_cover_subtitles_and_all_sound_come_along(plain, tmp_path, start, wanted):
    source = rich(tmp_path / "rich.mp4", plain)
    out = through(source, tmp_path / "out.mp4", start)
    with av.open(str(source)) as before, av.open(str(out)) as after:
        assert [each.type for each in after.streams] == [each.type for each in before.streams]
        assert [each.metadata.get("language") for each in after.streams.audio] == ["und", "ita"]
        assert after.streams[4].disposition & av.stream.Disposition.attached_pic
        covers = [next(bytes(each) for each in one.demux(one.streams[4]) if each.size) for one in (before, after)]
        assert covers[0] == covers[1]
    said = [(float(time), payload[2:]) for time, payload in packets_of(out, "subtitle") if len(payload) > 2]
    assert said == [(pytest.approx(wanted[0], abs=0.001), b"hello"), (pytest.approx(wanted[1], abs=0.001), b"world")]


def test_fields_stay_fields(tmp_path):
    options = {"flags": "+ildct+ilme", "x264-params": "tff=1"}
    source = make_clip(tmp_path / "a.mp4", moving(6), sound=False, options=options)
    with av.open(str(through(source, tmp_path / "out.mp4"))) as made:
        assert all(frame.interlaced_frame for frame in made.decode(video=0))
