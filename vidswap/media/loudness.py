"""Sound at a wanted loudness: measured as EBU R 128 does (ITU-R BS.1770: gated, over all of what goes along), turned up
or down as a whole, its true peaks held under a ceiling. It is the one way in which sound is encoded anew.

FFmpeg measures (`ebur128`) and limits (`alimiter`, at four times the rate, so that peaks between samples are seen).
Where the limiter takes loudness away the gain is raised, and what comes out measured again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain, pairwise
from math import inf, isfinite, log10
from pathlib import Path
from typing import Any

import av
from av.filter import Graph

from vidswap.errors import InputError
from vidswap.media.metadata import Trim
from vidswap.media.packets import packets
from vidswap.media.source import codec_of, opened

HIGHEST, CEILING = -1.0, -1.5  # dBTP: what platforms ask for, and where limiting begins: encoders add to peaks
SILENT = -69.0  # LUFS: nothing that the gate lets through
LOUDEST = 30.0  # dB: most that sound is turned up; what is softer still is noise
NEAR, ROUNDS = 0.1, 4  # LU off what was wanted; measurements until it is given up
RATE = 48_000  # samples a second of a codec that does not take the source's own
OVER = 4  # times the rate at which peaks are looked for (BS.1770, annex 2)
ENCODERS = {"opus": "libopus", "mp3": "libmp3lame", "vorbis": "libvorbis"}  # codecs whose FFmpeg's own is lacking
Filter = tuple[str, str]
METER: Filter = ("ebur128", "metadata=1:peak=true")


@dataclass(frozen=True)
class Loudness:
    """`lufs`: integrated loudness; `peak`: the highest true peak, dBTP; -inf each for silence."""

    lufs: float
    peak: float


@dataclass(frozen=True)
class Excerpt:
    """A stream of sound of a file, by its index, and what of it goes along."""

    path: Path
    index: int
    trim: Trim = field(default_factory=Trim)


def loudness_of(excerpt: Excerpt, filters: Sequence[Filter] = ()) -> Loudness:
    """How loud an excerpt is, after filters. Raises InputError."""
    return _read(played(excerpt, [*filters, METER]))


def _read(frames: Iterable[Any]) -> Loudness:
    """What the meter says in the end of frames that went through it."""
    measured = {"I": "-inf", "true_peak": "0"}
    for frame in frames:
        measured |= {name: frame.metadata.get(f"lavfi.r128.{name}", old) for name, old in measured.items()}
    lufs, peak = float(measured["I"]), float(measured["true_peak"])
    return Loudness(lufs if lufs > SILENT else -inf, decibels(peak))


def decibels(amplitude: float) -> float:
    """Of an amplitude, 1 is 0 dB."""
    return 20 * log10(amplitude) if amplitude > 0 else -inf


def levelling(excerpt: Excerpt, plain: Loudness, wanted: float, ceiling: float) -> list[Filter]:
    """The filters that bring an excerpt that is `plain` loud to a loudness, LUFS, with its peaks under the ceiling: as
    near as that goes. Silence stays as it is. Raises InputError."""
    if not isfinite(plain.lufs):
        return []
    gain = min(wanted - plain.lufs, LOUDEST)
    if plain.peak + gain <= ceiling:
        return [("volume", f"{gain:.3f}dB")]
    rate = rate_of(excerpt)
    for _ in range(ROUNDS):
        filters = limited(gain, rate, ceiling)
        short = wanted - loudness_of(excerpt, filters).lufs
        if abs(short) <= NEAR or gain + short > LOUDEST:
            break
        gain += short
    return filters


def limited(gain: float, rate: int, ceiling: float) -> list[Filter]:
    """Filters that turn sound up and hold its true peaks under the ceiling."""
    limit = f"limit={10 ** (ceiling / 20):.6f}:level=false:attack=5:release=80:latency=true"
    return [("volume", f"{gain:.3f}dB"), ("aresample", str(OVER * rate)), ("alimiter", limit), ("aresample", str(rate))]


def rate_of(excerpt: Excerpt) -> int:
    """Samples a second."""
    with opened(excerpt.path) as container:
        return int(container.streams[excerpt.index].codec_context.sample_rate)


def played(excerpt: Excerpt, filters: Sequence[Filter]) -> Iterator[Any]:
    """The frames of an excerpt after filters: cut to the sample, gaps filled, the excerpt's beginning at 0. Raises
    InputError."""
    start, end = excerpt.trim.origin, excerpt.trim.end
    edges = [f"start={float(start):.9f}"] * excerpt.trim.trimmed + [f"end={float(end or 0):.9f}"] * (end is not None)
    cut = [("atrim", ":".join(edges))] if edges else []
    run = None
    with opened(excerpt.path) as container:
        stream = container.streams[excerpt.index]
        for frame in _decoded(container, stream):
            if end is not None and frame.time is not None and frame.time > end:
                break
            run = run or _Run(frame, stream, [("aresample", "async=1"), *cut, *filters])
            yield from run.through(frame, start)
    if run:
        yield from run.through(None, start)


def _decoded(container: Any, stream: Any) -> Iterator[Any]:
    """Frames of a stream; packets that cannot be decoded are skipped, as players do."""
    for packet in packets(container, stream):
        with suppress(av.error.InvalidDataError):
            yield from packet.decode()


class _Run:
    """Filters, ready for frames like the first."""

    def __init__(self, frame: Any, stream: Any, filters: Sequence[Filter]) -> None:
        self._graph = Graph()
        self._graph.threads = 1
        source = self._graph.add_abuffer(
            sample_rate=frame.sample_rate, format=frame.format.name, layout=frame.layout.name,
            time_base=frame.time_base or stream.time_base,
        )  # fmt: skip
        made = [source, *(self._graph.add(*each) for each in filters), self._graph.add("abuffersink")]
        for one, other in pairwise(made):
            one.link_to(other)
        self._graph.configure()

    def through(self, frame: Any, origin: Fraction) -> Iterator[Any]:
        with suppress(av.EOFError):  # beyond the cut
            self._graph.push(frame)
        while True:
            try:
                out = self._graph.pull()
            except (av.BlockingIOError, av.EOFError):
                return
            out.pts = (out.pts or 0) - round(origin / Fraction(out.time_base or 1))
            yield out


# -- into a file ------------------------------------------------------------------------------------------------------


def add_track(original: Any, target: Any) -> Any:
    """A track of `target` for sound like that of the stream `original`, to be encoded anew in its codec, or in AAC
    where that has no encoder here. Raises ValueError where the container does not take that."""
    codec, context = codec_of(original), original.codec_context
    name = next((each for each in (ENCODERS.get(codec, codec), "aac") if _encodes(each)), "aac")
    rates = av.Codec(name, "w").audio_rates
    rate = context.sample_rate if not rates or context.sample_rate in rates else RATE
    track = target.add_stream(name, rate=rate, layout=context.layout.name)
    if context.bit_rate and not codec.startswith("pcm"):
        track.codec_context.bit_rate = max(int(context.bit_rate), 64_000 * context.layout.nb_channels)
    track.time_base = Fraction(1, rate)
    return track


def levelled(excerpt: Excerpt, track: Any, wanted: float) -> Iterator[Any]:
    """The packets of an excerpt at a loudness, LUFS, for a track that `add_track` made. Raises InputError."""
    try:
        context, ceiling, plain = track.codec_context, CEILING, loudness_of(excerpt)
        for _ in range(ROUNDS):
            filters = [*levelling(excerpt, plain, wanted, ceiling), *_taken_by(context)]
            over = decoded_loudness(excerpt, filters, context).peak - HIGHEST
            if over <= 0:
                break
            ceiling -= over + NEAR
        for frame in played(excerpt, filters):
            yield from track.encode(frame)
        yield from track.encode(None)
    except av.FFmpegError as error:
        raise InputError(f"the sound of {excerpt.path} cannot be levelled ({error.strerror})",
                         "leave `write.loudness` out: it is copied then") from error  # fmt: skip


def _taken_by(context: Any) -> list[Filter]:
    """Filters that make of sound what an encoder takes."""
    form = f"sample_fmts={context.format.name}:sample_rates={context.sample_rate}:channel_layouts={context.layout.name}"
    return [("aformat", form), ("asetnsamples", f"n={context.frame_size or 1024}:p=0")]


def decoded_loudness(excerpt: Excerpt, filters: Sequence[Filter], context: Any) -> Loudness:
    """How loud an excerpt is that went through filters and an encoder like `context`, and was decoded again: what is
    lost adds to peaks. Raises InputError."""
    encoder = av.CodecContext.create(context.name, "w")
    for name in ("sample_rate", "layout", "format", "time_base"):
        setattr(encoder, name, getattr(context, name))
    if context.bit_rate:
        encoder.bit_rate = context.bit_rate
    encoder.open()
    decoder = av.CodecContext.create(encoder.codec.canonical_name, "r")
    decoder.extradata = encoder.extradata
    decoder.sample_rate, decoder.layout = encoder.sample_rate, encoder.layout

    def metered() -> Iterator[Any]:
        run = None
        for frame in chain(played(excerpt, filters), [None]):
            for packet in encoder.encode(frame):
                for again in decoder.decode(packet):
                    run = run or _Run(again, context, [METER])
                    yield from run.through(again, Fraction(0))
        if run:
            yield from run.through(None, Fraction(0))

    return _read(metered())


def _encodes(name: str) -> bool:
    try:
        return bool(av.Codec(name, "w").is_encoder)
    except (ValueError, av.FFmpegError):
        return False
