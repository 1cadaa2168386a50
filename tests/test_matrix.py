"""Footage in, footage out: for each kind of clip, what comes out of a render is held against what went in.

A `Case` makes its clip itself; a render with an engine that paints a square takes it through segments and join, as any
other. Then: times and durations of the pictures, every packet of sound, subtitles, covers, fonts, chapters, tags,
languages and dispositions, the slip of sound against pictures, and every pixel outside the square.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.stream import Disposition
from films import CHAPTERS, FONT, PAL, Film, Sound, Text, make_film
from footage import RATE
from rendered import render

from vidswap import __version__
from vidswap.face.geometry import posed
from vidswap.face.landmarks import mean_face
from vidswap.media.native import planes
from vidswap.read.clip import frames, open_clip
from vidswap.settings import WriteSettings
from vidswap.swap.engine import Advance, Needs
from vidswap.types import Consent, Crops, Identity, Shot, Swapped, TrackPart

MEAN = mean_face()
SOMEONE = Identity((np.zeros((8, 8, 3), np.uint8),), (MEAN,), np.ones(4, np.float32) / 2, Consent("self"))
LABEL = f"AI-generated: face swap (vidswap {__version__}); engine: Paint "
LOSSLESS = WriteSettings(preset="ultrafast", lossless=True, segment=7)
BOX = 24  # pixels from the middle of the picture within which the paint lies
HALF_MILLISECOND = Fraction(1, 2000) + Fraction(1, 90000)


@dataclass(frozen=True)
class Case:
    """A kind of clip and what its render keeps. `out` is the ending asked for, "" the clip's own; frames [`start`,
    `stop`) are rendered. `exact`: pixels outside the paint keep their bits. `slack`: by how much a
    picture's time may differ, seconds."""

    name: str
    ending: str
    film: Film = field(default_factory=Film)
    out: str = ""
    start: int = 0
    stop: int | None = None
    settings: WriteSettings = LOSSLESS
    exact: bool = True
    slack: Fraction = Fraction(0)
    times: tuple[Fraction, ...] = ()  # when pictures are shown, where not as the film has them
    dispositions: bool = True  # whether the container tells a stream that is not the default from one that is
    languages: bool = True
    build: Callable[[Path, Film], Path] = make_film

    def shown(self) -> tuple[list[Fraction], list[Fraction]]:
        """Times of the pictures that are rendered, since the first one; how long each is shown."""
        times = list(self.times or self.film.times)
        ends = [*times[1:], times[-1] + self.film.last]
        span = slice(self.start, self.stop)
        lengths = [end - time for time, end in zip(times, ends)][span]
        return [time - times[span][0] for time in times[span]], lengths


class Paint:
    """An engine that lays one colour over the face."""

    key, exact = "matrix", True
    needs = Needs(16, "aligned", 4, 1)

    def swap(self, crops: Crops, identity: Identity, before: Swapped | None, progress: Advance) -> Swapped:
        return Swapped(crops, np.full_like(crops.rgb, (255, 0, 200)), (crops.mask > 0.5).astype(np.float32))


def rendered(source: Path, out: Path, case: Case) -> Path:
    """The clip with a painted square in its middle, by the way that every render takes."""
    clip = open_clip(source)
    span = Shot(case.start, len(clip) if case.stop is None else case.stop)
    count = len(span)
    middle = np.array([clip.width / 2, clip.height / 2, 0])
    mesh = np.repeat(posed(MEAN, (7.0, np.eye(3), middle))[None].astype(np.float32), count, 0)
    grid = np.repeat(np.array([[clip.width / 8, 0, 0], [0, clip.height / 8, 0]])[None], count, 0)
    visible = np.full((count, 8, 8), 255, np.uint8)
    track = TrackPart(0, 0, span.start, mesh, np.ones(count, bool), np.ones(4, np.float32) / 2, visible, grid)
    render(clip, out, [track], Paint(), case.settings, span=span)
    return out


# -- what a file holds, as FFmpeg reads it ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Stream:
    kind: str
    codec: str
    language: str
    title: str
    disposition: int
    packets: list[tuple[Fraction, Fraction, bytes]]  # time, length, payload


@dataclass(frozen=True)
class Facts:
    pictures: list[tuple[Fraction, Fraction]]  # time and length in the order of showing
    streams: list[Stream]  # all but the film itself, fonts and data
    fonts: dict[str, bytes]
    chapters: list[tuple[Fraction, Fraction, str]]
    tags: dict[str, str]
    timecode: str | None
    first: Fraction


def facts(path: Path) -> Facts:
    with av.open(str(path)) as source:
        packets: dict[int, list[Any]] = {stream.index: [] for stream in source.streams}
        for packet in source.demux():
            if packet.size > (2 if packet.stream.type == "subtitle" else 0):
                packets[packet.stream.index].append(packet)
        film = next(each for each in source.streams.video if not each.disposition & Disposition.attached_pic)
        ordered = source.format.name == "avi"  # has times of decoding only
        pictures = sorted(_times(packet, ordered) for packet in packets[film.index] if not packet.is_discard)
        streams = [
            _stream(each, packets[each.index]) for each in source.streams
            if each is not film and each.type in ("audio", "video", "subtitle")
        ]  # fmt: skip
        fonts = {each.name: each.data for each in source.streams if each.type == "attachment"}
        chapters = [
            (each["start"] * each["time_base"], each["end"] * each["time_base"], each["metadata"].get("title", ""))
            for each in source.chapters()
        ]
        tags = {key.lower(): text for key, text in source.metadata.items()}
        timecode = film.metadata.get("timecode") or film.metadata.get("TIMECODE") or tags.get("timecode")
        return Facts(pictures, streams, fonts, chapters, tags, timecode, pictures[0][0])


def _times(packet: Any, ordered: bool) -> tuple[Fraction, Fraction]:
    unit, time = Fraction(packet.time_base), packet.dts if ordered else packet.pts
    return (time or 0) * unit, (packet.duration or 0) * unit  # a raw stream has no times at all


def _stream(stream: Any, packets: list[Any]) -> Stream:
    cover = bool(stream.disposition & Disposition.attached_pic)
    held = [((each.pts or 0) * each.time_base, (each.duration or 0) * each.time_base, bytes(each)) for each in packets]
    return Stream(
        "cover" if cover else stream.type, stream.codec_context.codec.canonical_name,
        stream.metadata.get("language", "und"), stream.metadata.get("title") or stream.metadata.get("name", ""),
        int(stream.disposition), held,
    )  # fmt: skip


# -- the cases --------------------------------------------------------------------------------------------------------


def sound(*codecs: str) -> tuple[Sound, ...]:
    return tuple(Sound(codec) for codec in codecs)


TWO = (Sound("aac", "eng", "Main"), Sound("ac3", "ita", disposition=Disposition.comment))
NTSC = Fraction(1001, 30000)
MILLISECOND = Fraction(1, 1000)
UNEVEN = tuple(Fraction(n, 1000) for n in (0, 40, 73, 140, 141, 300, 340, 400, 480, 620, 640, 700, 733, 800, 1000))
VP9 = {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"}}
MPEG4 = {"codec": "mpeg4", "options": {"qscale": "2"}, "unit": PAL}


def tagged(matrix: int, primaries: int, transfer: int, reach: int = 1) -> Callable[[Any, Any], None]:
    """Colour tags by FFmpeg's numbers; `reach` 1 is limited range, 2 full."""

    def prepare(_: Any, video: Any) -> None:
        context = video.codec_context
        context.colorspace, context.color_primaries, context.color_trc = matrix, primaries, transfer
        context.color_range = reach

    return prepare


def turned(degrees: float, hflip: bool = False) -> Callable[[Any, Any], None]:
    return lambda _, video: video.set_display_rotation(degrees, hflip=hflip)


def wide_pixels(_: Any, video: Any) -> None:
    video.codec_context.sample_aspect_ratio = Fraction(16, 11)


def earlier(packets: list[Any]) -> None:
    """Ten pictures before time 0, for an edit list to hide."""
    for packet in packets:
        packet.pts -= round(Fraction(4, 10) / packet.time_base)
        packet.dts -= round(Fraction(4, 10) / packet.time_base)


def doubled(packets: list[Any]) -> None:
    """The sixth picture at the time of the fifth."""
    packets[5].pts = packets[5].dts = packets[4].pts


def lossless(codec: str) -> WriteSettings:
    return WriteSettings(codec, lossless=True, preset=None if codec == "ffv1" else "ultrafast", segment=7)


FFV1, MPEG = lossless("ffv1"), WriteSettings(segment=7)
LATE = tuple(Fraction(2, 5) + PAL * i for i in range(30))
PLAIN = {"options": {"preset": "ultrafast", "crf": "20", "bf": "0"}}
TRIMMED = Film(sounds=TWO, texts=(Text("mov_text"),), chapters=True, timecode="01:00:00:05")
WEBM = Film(**VP9, unit=MILLISECOND, sounds=sound("libopus"), texts=(Text("webvtt"),))
MKV = {"unit": MILLISECOND, "texts": (Text("subrip", "ger"),), "chapters": True}

CASES = [
    # every container with all it can hold, into its own kind
    Case("mp4 with two sounds, text, cover, chapters, timecode", ".mp4", Film(
        sounds=TWO, texts=(Text("mov_text", "ger"),), cover=True, chapters=True, timecode="01:00:00:00",
        tags={"title": "Scène", "artist": "me"}), dispositions=False),
    Case("mp4 with tags of its own", ".mp4", Film(
        sounds=sound("aac"), tags={"title": "a", "com.maker.model": "X1"}, muxing={"movflags": "use_metadata_tags"})),
    Case("m4v", ".m4v", Film(sounds=sound("aac"))),
    Case("mp4 with opus, flac, mp3", ".mp4", Film(sounds=sound("libopus", "flac", "libmp3lame"))),
    Case("mov with PCM, ALAC and timecode", ".mov", Film(
        sounds=sound("pcm_s24le", "alac"), timecode="00:59:58:20", chapters=True)),
    Case("mov with a maker's tags", ".mov", Film(
        sounds=sound("aac"), tags={"com.apple.quicktime.model": "phone"}, muxing={"movflags": "use_metadata_tags"})),
    Case("mkv with everything", ".mkv", Film(
        unit=MILLISECOND, sounds=(Sound("libopus", "eng", "Main", disposition=Disposition.default),
                                  Sound("flac", "ita", disposition=Disposition.comment), Sound("pcm_s16le"),
                                  Sound("libmp3lame", layout="stereo")),
        texts=(Text("subrip", "ger", disposition=Disposition.forced), Text("ass"), Text("webvtt", "fre")),
        cover=True, font=True, chapters=True, timecode="10:00:00:00", tags={"title": "T", "director": "D"})),
    Case("ts with two sounds", ".ts", Film(sounds=(Sound("aac", "eng"), Sound("mp2", "ita")))),
    Case("avi with B-frames", ".avi", Film(unit=PAL, sounds=sound("libmp3lame"), options={"bf": "2", "crf": "20"}),
         settings=FFV1),
    Case("avi with PCM", ".avi", Film(**MPEG4, sounds=sound("pcm_s16le"), tags={"title": "A"}), settings=FFV1),
    Case("avi by mpeg4", ".avi", Film(**MPEG4, sounds=sound("libmp3lame")), settings=MPEG, exact=False),
    Case("webm", ".webm", Film(**VP9, unit=MILLISECOND, sounds=(Sound("libopus", "eng", "T"),), chapters=True,
                               texts=(Text("webvtt", "ger"),), tags={"title": "w", "maker": "x"})),
    # from one container into another
    Case("mp4 into mkv", ".mp4", Film(sounds=TWO, texts=(Text("mov_text", "ger"),), cover=True, chapters=True,
                                      timecode="01:00:00:00", tags={"title": "t"}), ".mkv", slack=MILLISECOND),
    Case("mkv into mp4", ".mkv", Film(sounds=TWO, unit=MILLISECOND, cover=True, chapters=True, tags={"title": "t"},
                                      texts=(Text("subrip", "ger"), Text("ass"), Text("webvtt"))),
         ".mp4", dispositions=False),
    Case("mkv into mov", ".mkv", Film(sounds=sound("alac", "pcm_s24le"), **MKV), ".mov", dispositions=False),
    Case("mov into mp4", ".mov", Film(sounds=sound("pcm_s24le", "aac"), timecode="01:00:00:00"), ".mp4"),
    Case("ts into mp4", ".ts", Film(sounds=(Sound("aac", "eng"), Sound("ac3", "ita"))), ".mp4"),
    Case("mp4 into ts", ".mp4", Film(sounds=(Sound("aac", "eng"), Sound("ac3", "ita"))), ".ts"),
    Case("avi into mkv", ".avi", Film(**MPEG4, sounds=sound("libmp3lame", "pcm_s16le")), ".mkv"),
    Case("avi with B-frames into mp4", ".avi", Film(unit=PAL, options={"bf": "2", "crf": "20"}), ".mp4"),
    Case("mkv into avi", ".mkv", Film(unit=MILLISECOND, sounds=sound("pcm_s16le", "flac")), ".avi", languages=False,
         settings=FFV1),
    Case("webm into mkv", ".webm", WEBM, ".mkv"),
    Case("webm into mp4", ".webm", WEBM, ".mp4"),
    Case("mkv into webm", ".mkv", Film(sounds=sound("libopus"), tags={"title": "t"}, **MKV), ".webm"),
    Case("mp4 with opus into webm", ".mp4", Film(sounds=sound("libopus"), texts=(Text("mov_text"),)), ".webm",
         slack=MILLISECOND),
    Case("gif into mp4", ".gif", Film(unit=Fraction(1, 100), codec="gif", pix_fmt="rgb8", options={}), ".mp4",
         settings=WriteSettings(segment=7), exact=False),
    Case("raw H.264 into mp4", ".h264", Film(unit=PAL, **PLAIN), ".mp4"),
    Case("raw H.264 with B-frames into mkv", ".h264", Film(unit=PAL), ".mkv"),
    # ranges
    Case("middle of an mp4", ".mp4", TRIMMED, start=7, stop=22, dispositions=False),
    Case("end of an mp4", ".mp4", TRIMMED, start=11, dispositions=False),
    Case("beginning of an mp4", ".mp4", TRIMMED, stop=13, dispositions=False),
    Case("middle of an mp4 into mkv", ".mp4", TRIMMED, ".mkv", 7, 22, dispositions=False, slack=MILLISECOND),
    Case("middle of an mkv", ".mkv", Film(**MKV, sounds=sound("libopus", "flac", "pcm_s16le")), start=9, stop=24),
    Case("middle of an mkv into mp4", ".mkv", Film(**MKV, sounds=sound("libopus", "ac3")), ".mp4", 9, 24,
         dispositions=False),
    Case("middle of a mov with PCM", ".mov", Film(sounds=sound("pcm_s16le", "pcm_s24le")), start=5, stop=17),
    Case("middle of a ts", ".ts", Film(sounds=sound("aac", "ac3")), start=12, stop=25),
    Case("middle of an avi with PCM", ".avi", Film(**MPEG4, sounds=sound("pcm_s16le")), start=8, stop=20,
         settings=FFV1),
    Case("middle of a webm", ".webm", WEBM, start=6, stop=20),
    # time
    Case("uneven mp4", ".mp4", Film(times=UNEVEN, last=Fraction(1, 2), sounds=sound("aac"), **PLAIN)),
    Case("uneven mov, 1/600 s", ".mov", Film(
        times=tuple(Fraction(n, 600) for n in (0, 20, 41, 60, 100, 121, 180)), unit=Fraction(1, 600),
        **PLAIN)),
    Case("uneven mkv", ".mkv", Film(times=UNEVEN, unit=MILLISECOND, sounds=sound("libopus"))),
    Case("uneven mkv into mp4", ".mkv", Film(times=UNEVEN, unit=MILLISECOND, sounds=sound("libopus")), ".mp4"),
    Case("late pictures", ".mp4", Film(times=LATE, sounds=sound("aac"))),
    Case("late pictures in mkv", ".mkv", Film(times=LATE, unit=MILLISECOND, sounds=sound("ac3"))),
    Case("late sound", ".mp4", Film(sounds=(Sound("aac", delay=Fraction(31, 100)),))),
    Case("late sound in ts", ".ts", Film(sounds=(Sound("aac", delay=Fraction(31, 100)),))),
    Case("pictures hidden by an edit list", ".mp4", Film(
        sounds=sound("aac"), alter=earlier, **PLAIN), times=tuple(PAL * i for i in range(20))),
    Case("pictures hidden by an edit list, into mkv", ".mp4", Film(
        sounds=sound("aac"), alter=earlier, **PLAIN), ".mkv", times=tuple(PAL * i for i in range(20)),
        slack=MILLISECOND),
    Case("two pictures at one time", ".mkv", Film(unit=MILLISECOND, alter=doubled, **PLAIN), ".mp4",
         times=tuple(PAL * (i - (i == 5)) for i in range(30)), slack=Fraction(1, 50000)),
    # pictures
    Case("turned by 90 degrees", ".mp4", Film(prepare=turned(90))),
    Case("upside down, mov", ".mov", Film(prepare=turned(180))),
    Case("mirrored, mkv", ".mkv", Film(unit=MILLISECOND, prepare=turned(0, True))),
    Case("wide pixels", ".mp4", Film(prepare=wide_pixels, size=(88, 72))),
    Case("interlaced", ".mp4", Film(options={"preset": "ultrafast", "crf": "10", "flags": "+ildct+ilme",
                                             "x264-params": "tff=1"})),
    Case("odd size", ".mp4", Film(pix_fmt="yuv444p", size=(95, 63))),
    Case("odd size, 4:2:0", ".avi", Film(**MPEG4, size=(95, 63)), ".mkv", settings=FFV1),
    Case("4:2:2", ".mov", Film(pix_fmt="yuv422p")),
    Case("4:4:4", ".mkv", Film(unit=MILLISECOND, pix_fmt="yuv444p")),
    Case("full range", ".mp4", Film(pix_fmt="yuvj420p", prepare=tagged(6, 6, 6, 2))),
    Case("BT.601", ".mp4", Film(prepare=tagged(6, 6, 6))),
    Case("BT.709", ".mp4", Film(prepare=tagged(1, 1, 1))),
    Case("BT.2020", ".mkv", Film(unit=MILLISECOND, prepare=tagged(9, 9, 14))),
    Case("PQ, 10 bit", ".mp4", Film(pix_fmt="yuv420p10le", prepare=tagged(9, 9, 16))),
    Case("HLG, 10 bit, 4:2:2", ".mov", Film(pix_fmt="yuv422p10le", prepare=tagged(9, 9, 18))),
    # codecs
    Case("ProRes by hevc", ".mov", Film(codec="prores_ks", pix_fmt="yuv422p10le", options={}, sounds=sound("pcm_s24le"),
                                        timecode="01:00:00:00"), settings=lossless("hevc")),
    Case("by ffv1", ".mkv", Film(unit=MILLISECOND, pix_fmt="yuv444p10le", sounds=sound("flac")), settings=FFV1),
    Case("by ProRes", ".mov", Film(pix_fmt="yuv422p10le"), settings=WriteSettings("prores", segment=7), exact=False),
    Case("by AV1", ".mp4", Film(), settings=WriteSettings("av1", preset="ultrafast", segment=13), exact=False),
    Case("by h264 as it comes", ".mp4", Film(), settings=WriteSettings(segment=11), exact=False),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_what_comes_out_is_what_went_in(case: Case, tmp_path: Path) -> None:
    source = case.build(tmp_path / f"clip{case.ending}", case.film)
    out = rendered(source, tmp_path / f"out{case.out or case.ending}", case)
    before, after = facts(source), facts(out)
    check_pictures(case, after)
    check_streams(case, before, after)
    check_sound(case, before, after)
    check_words(case, before, after)
    check_facts(case, before, after)
    check_look(case, source, out)
    check_pixels(case, source, out)


def check_pictures(case: Case, after: Facts) -> None:
    """Every picture comes when it did, and stays as long."""
    times, lengths = case.shown()
    found = [time - after.first for time, _ in after.pictures]
    assert len(found) == len(times)
    assert max(abs(a - b) for a, b in zip(found, times)) <= case.slack
    stay = [length for _, length in after.pictures]
    if any(stay):  # transport streams and AVI do not say
        assert max(abs(a - b) for a, b in zip(stay, lengths)) <= 2 * case.slack


def check_streams(case: Case, before: Facts, after: Facts) -> None:
    """The same tracks in the same order, with their languages, titles and dispositions."""
    kinds = [stream.kind for stream in after.streams if stream.kind != "cover"]
    assert kinds == [stream.kind for stream in before.streams if stream.kind != "cover"]
    for a, b in zip(_tracks(before), _tracks(after), strict=True):
        assert b.codec == a.codec or b.kind == "subtitle"
        assert b.language == a.language or not case.languages
        assert b.title == a.title or not case.languages
        told = ~0 if {case.ending, case.out} <= {".mkv", ""} else ~int(Disposition.default)  # mp4 needs a default
        assert (a.disposition ^ b.disposition) & told == 0 or not case.dispositions


def check_sound(case: Case, before: Facts, after: Facts) -> None:
    """Every packet of sound is there, bit by bit; those of a range are the ones of the range; none slips."""
    times, lengths = case.shown()
    film = list(case.times or case.film.times)
    begin = before.first + film[case.start] - film[0]
    end = begin + times[-1] + lengths[-1]
    for a, b in zip(_tracks(before, "audio"), _tracks(after, "audio"), strict=True):
        if a.codec.startswith("pcm"):
            check_samples(a, b, begin, None if case.stop is None else end, after.first)
            continue
        payloads = [bare(payload) for _, _, payload in b.packets]
        whole = [bare(payload) for _, _, payload in a.packets]
        first = whole.index(payloads[0])
        assert payloads == whole[first : first + len(payloads)]
        if case.start == 0 and case.stop is None:
            assert len(payloads) == len(whole)
        heard = [(time, length) for time, length, _ in a.packets[first : first + len(payloads)]]
        assert heard[0][0] <= begin + heard[0][1] + HALF_MILLISECOND or case.start == 0
        assert end is None or case.stop is None or heard[-1][0] < end <= heard[-1][0] + heard[-1][1] + HALF_MILLISECOND
        for (time, _), (now, _, _) in zip(heard, b.packets):
            assert abs((time - begin) - (now - after.first)) <= HALF_MILLISECOND


def check_samples(a: Stream, b: Stream, begin: Fraction, end: Fraction | None, first: Fraction) -> None:
    """PCM is the very samples of the range, which begins and ends at `begin` and `end` in the clip and has its first
    picture at `first` in the result."""
    whole, kept = (b"".join(payload for _, _, payload in each.packets) for each in (a, b))
    frame = int(a.codec[5:7]) // 8
    place = whole.find(kept)
    assert place >= 0
    assert place % frame == 0
    starts = a.packets[0][0] + Fraction(place // frame, RATE)
    assert abs((starts - begin) - (b.packets[0][0] - first)) <= HALF_MILLISECOND
    assert starts <= max(begin, a.packets[0][0]) + HALF_MILLISECOND
    if end is not None:
        assert abs(starts + Fraction(len(kept) // frame, RATE) - end) <= HALF_MILLISECOND


def bare(payload: bytes) -> bytes:
    """A packet of AAC without the header that transport streams put before it (ADTS, ISO 13818-7)."""
    if len(payload) < 2 or payload[0] != 0xFF or payload[1] & 0xF6 != 0xF0:
        return payload
    return payload[7 if payload[1] & 1 else 9 :]


def _tracks(held: Facts, kind: str = "") -> list[Stream]:
    return [stream for stream in held.streams if stream.kind != "cover" and kind in ("", stream.kind)]


def inside(case: Case, spans: Iterable[tuple[Fraction, Fraction, str]]) -> list[tuple[Fraction, Fraction, str]]:
    """Start, end and words of what lies within the rendered range, clipped and moved to its clock."""
    film = list(case.times or case.film.times)
    times, lengths = case.shown()
    begin = film[case.start] if case.start else Fraction(0)
    end = film[case.start] + times[-1] + lengths[-1] if case.stop else Fraction(1000)
    clipped = [(max(a, begin) if case.start else a, min(b, end), words) for a, b, words in spans]
    return [(a - begin, b - begin, words) for a, b, words in clipped if a < b]


def check_words(case: Case, before: Facts, after: Facts) -> None:
    """Subtitles say the same at the same time."""
    shift = after.first if case.start else after.first - before.first
    for text, track in zip(case.film.texts, _tracks(after, "subtitle"), strict=True):
        wanted = inside(case, [(a, a + length, words) for a, length, words in text.cues])
        late = Fraction(0) if case.start else before.first - case.film.times[0]
        for (start, stop, words), (time, length, payload) in zip(wanted, track.packets, strict=True):
            assert abs(time - shift - late - start) <= 2 * HALF_MILLISECOND
            assert abs(length - (stop - start)) <= 2 * HALF_MILLISECOND
            assert words in payload.decode(errors="replace").replace("\\N", "\n")


def check_facts(case: Case, before: Facts, after: Facts) -> None:
    """Covers, fonts, chapters, timecode and tags; and our own label wherever there is a tag to put it in."""
    covers = [[stream.packets[0][2] for stream in held.streams if stream.kind == "cover"] for held in (before, after)]
    assert covers[0] == covers[1]
    assert len(covers[0]) == case.film.cover
    assert after.fonts == before.fonts == ({"film.ttf": FONT} if case.film.font else {})
    wanted = inside(case, CHAPTERS) if case.film.chapters else []
    assert [title for _, _, title in after.chapters] == [title for _, _, title in wanted]
    for (a, b, _), (start, stop, _) in zip(after.chapters, wanted):
        assert max(abs(a - start), abs(b - stop)) <= HALF_MILLISECOND
    if case.film.timecode:
        assert after.timecode == f"{case.film.timecode[:-2]}{int(case.film.timecode[-2:]) + case.start:02}"
    for name, text in case.film.tags.items():
        assert after.tags.get(name) == text
    if (case.out or case.ending) != ".ts":
        assert after.tags["comment"].startswith(LABEL)


def check_look(case: Case, source: Path, out: Path) -> None:
    """Pictures are turned, shaped and coloured as they were; what was RGB says how it became YUV."""

    def look(path: Path) -> tuple[object, ...]:
        with av.open(str(path)) as opened:
            stream = next(each for each in opened.streams.video if not each.disposition & Disposition.attached_pic)
            frame = next(opened.decode(stream))
            turn = bytes(frame.side_data["DISPLAYMATRIX"]) if "DISPLAYMATRIX" in frame.side_data else b""
            reach = frame.color_range or 1  # what is not told is limited
            colour = frame.colorspace, reach, frame.color_primaries, frame.color_trc
            shape = frame.width, frame.height, turn, stream.sample_aspect_ratio or 1, frame.interlaced_frame
            return (*shape, colour if case.film.pix_fmt.startswith("yuv") else None)

    assert look(out) == look(source)


def check_pixels(case: Case, source: Path, out: Path) -> None:
    """Outside the paint all planes keep their bits, inside they do not."""
    clip = open_clip(source)
    span = case.start, len(clip) if case.stop is None else case.stop
    pairs = zip(frames(clip, *span), frames(open_clip(out)), strict=True)
    for was, now in pairs:
        if case.exact:
            assert now.native.format.name == was.native.format.name
        elif now.native.format.name != was.native.format.name:
            continue
        for a, b in zip(planes(was.native)[:3], planes(now.native)[:3], strict=True):
            outside = np.ones(a.shape, bool)
            tall, wide = (side * BOX // full for side, full in zip(a.shape, (clip.height, clip.width)))
            y, x = a.shape[0] // 2, a.shape[1] // 2
            outside[max(0, y - tall) : y + tall, max(0, x - wide) : x + wide] = False
            change = np.abs(a.astype(int) - b)
            assert change[outside].max() == 0 if case.exact else change[outside].mean() < 6
            assert change[~outside].max() > 2


def test_a_transport_stream_says_what_it_is_in_its_service(tmp_path):
    case = Case("label", ".ts")
    made = rendered(make_film(tmp_path / "clip.ts", case.film), tmp_path / "out.ts", case)
    assert LABEL.encode() in made.read_bytes()
