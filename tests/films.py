"""Films made on the spot with every kind of stream: several sounds, subtitles, covers, fonts, chapters, timecode."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.stream import Disposition
from footage import RATE, moving, texture

PAL = Fraction(1, 25)
STYLES = b"""[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, \
StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding
Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,1

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""
CUES = ((Fraction(3, 10), Fraction(4, 10), "hello"), (Fraction(8, 10), Fraction(3, 10), "Zoë,\nagain"))
NONE = Disposition(0)
CHAPTERS = ((Fraction(0), Fraction(1, 2), "one"), (Fraction(1, 2), Fraction(6, 5), "two"))
FONT = b"not really a font" * 9


@dataclass(frozen=True)
class Sound:
    """A track of sound: noise, so that no two packets are alike."""

    codec: str = "aac"
    language: str = "und"
    title: str = ""
    delay: Fraction = Fraction(0)
    disposition: Disposition = NONE
    layout: str = "mono"
    rate: int = RATE


@dataclass(frozen=True)
class Text:
    """A track of subtitles: each cue is when it comes, how long it stays (seconds), its words."""

    codec: str
    language: str = "und"
    cues: tuple[tuple[Fraction, Fraction, str], ...] = CUES
    disposition: Disposition = NONE


@dataclass(frozen=True)
class Film:
    """What a film is made of. `times` of the pictures and `last`, how long the last one is shown, in seconds."""

    times: Sequence[Fraction] = tuple(PAL * i for i in range(30))
    last: Fraction = PAL
    size: tuple[int, int] = (96, 64)
    codec: str = "libx264"
    pix_fmt: str = "yuv420p"
    options: dict[str, str] = field(default_factory=lambda: {"preset": "ultrafast", "crf": "20", "bf": "2"})
    unit: Fraction = Fraction(1, 90000)
    sounds: Sequence[Sound] = ()
    texts: Sequence[Text] = ()
    cover: bool = False
    font: bool = False
    chapters: bool = False
    timecode: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    language: str = ""
    muxing: dict[str, str] = field(default_factory=dict)
    format: str | None = None
    prepare: Callable[[Any, Any], None] | None = None  # the target, its video track
    picture: Callable[[Any], None] | None = None  # each frame before it is encoded
    alter: Callable[[list[Any]], None] | None = None  # the video's packets before they are written


def make_film(path: Path, film: Film) -> Path:
    """Write a film. Its container is the one of the path's ending, or `format`."""
    muxing = {"movie_timescale": "90000"} if path.suffix in (".mp4", ".mov", ".m4v") else {}
    if path.suffix == ".avi":
        muxing = {"avoid_negative_ts": "disabled"}  # else the pictures would come later by an MP3's priming
    with av.open(str(path), "w", format=film.format, container_options={**muxing, **film.muxing}) as target:
        video = _video(target, film)
        sounds = [_sound(target, sound) for sound in film.sounds]
        texts = [_text(target, text) for text in film.texts]
        extra = _extras(target, path, film)
        target.start_encoding()
        pictures = list(_pictures(video, film))
        if film.alter:
            film.alter(pictures)
        noise = [_noise(track, sound, film, seed) for seed, (track, sound) in enumerate(zip(sounds, film.sounds))]
        cues = [_cues(track, text) for track, text in zip(texts, film.texts)]
        for packet in sorted(chain(pictures, extra, *noise, *cues), key=_moment):
            target.mux(packet)
    return path


def _moment(packet: Any) -> Fraction:
    time = packet.dts if packet.dts is not None else packet.pts
    return Fraction(-10) if time is None else time * Fraction(packet.time_base)


def _video(target: Any, film: Film) -> Any:
    video = target.add_stream(film.codec, rate=25, options=film.options)
    video.width, video.height, video.pix_fmt = *film.size, film.pix_fmt
    video.codec_context.time_base = video.time_base = film.unit
    video.codec_context.flags |= int(av.codec.context.Flags.frame_duration)
    video.codec_context.thread_count = 1
    if film.language:
        video.metadata["language"] = film.language
    if film.timecode:
        video.metadata["timecode"] = film.timecode
    if film.prepare:
        film.prepare(target, video)
    return video


def _pictures(video: Any, film: Film) -> Iterator[Any]:
    ends = [*film.times[1:], film.times[-1] + film.last]
    for picture, time, end in zip(moving(len(film.times), *film.size), film.times, ends, strict=True):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        frame = frame.reformat(format=film.pix_fmt)
        frame.pts, frame.time_base = round(time / film.unit), film.unit
        frame.duration = round((end - time) / film.unit)
        if film.picture:
            film.picture(frame)
        yield from video.encode(frame)
    yield from video.encode(None)


def _sound(target: Any, sound: Sound) -> Any:
    track = target.add_stream(sound.codec, rate=sound.rate, layout=sound.layout)
    track.metadata["language"] = sound.language
    if sound.title:
        track.metadata["title"] = sound.title
    track.disposition = sound.disposition
    return track


def _noise(track: Any, sound: Sound, film: Film, seed: int) -> Iterator[Any]:
    channels = track.codec_context.layout.nb_channels
    length = round(float(film.times[-1] + film.last - min(film.times[0], 0)) * sound.rate)
    wave = np.random.default_rng(seed).uniform(-0.2, 0.2, (channels, length)).astype(np.float32)
    for start in range(0, length, 1000):
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(wave[:, start : start + 1000]), format="fltp", layout=sound.layout
        )
        frame.sample_rate, frame.time_base = sound.rate, Fraction(1, sound.rate)
        frame.pts = start + round(sound.delay * sound.rate)
        yield from track.encode(frame)
    yield from track.encode(None)


def _text(target: Any, text: Text) -> Any:
    track = target.add_stream(text.codec)
    track.codec_context.subtitle_header = STYLES
    track.time_base = Fraction(1, 1000)
    track.metadata["language"] = text.language
    track.disposition = text.disposition
    return track


def _cues(track: Any, text: Text) -> Iterator[Any]:
    for number, (start, length, words) in enumerate(text.cues):
        payload = words.encode()
        if text.codec == "mov_text":
            payload = struct.pack(">H", len(payload)) + payload
        if text.codec == "ass":
            payload = f"{number},0,Default,,0,0,0,,".encode() + payload.replace(b"\n", b"\\N")
        packet = av.Packet(payload)
        packet.stream, packet.time_base, packet.is_keyframe = track, Fraction(1, 1000), True
        packet.pts = packet.dts = round(start * 1000)
        packet.duration = round(length * 1000)
        yield packet


def _extras(target: Any, path: Path, film: Film) -> list[Any]:
    """Tags, chapters, the font, the cover; the packets of a cover that is a track."""
    target.metadata.update(film.tags)
    if film.chapters:
        thousand = Fraction(1, 1000)
        target.set_chapters([
            {"id": i, "start": round(start * 1000), "end": round(end * 1000), "time_base": thousand,
             "metadata": {"title": title}}
            for i, (start, end, title) in enumerate(CHAPTERS, 1)
        ])  # fmt: skip
    if film.font:
        target.add_attachment("film.ttf", "font/ttf", FONT)
    if not film.cover:
        return []
    still = path.with_suffix(".cover.jpg")
    av.VideoFrame.from_ndarray(texture(3, 64, 64), format="rgb24").reformat(format="yuvj420p").save(str(still))
    if path.suffix == ".mkv":
        target.add_attachment("cover.jpg", "image/jpeg", still.read_bytes())
        return []
    with av.open(str(still)) as picture:
        track = target.add_stream_from_template(picture.streams.video[0], opaque=True)
        track.disposition = Disposition.attached_pic
        packets = [packet for packet in picture.demux() if packet.size]
    for packet in packets:
        packet.stream = track
        packet.pts = packet.dts = None
    return packets
