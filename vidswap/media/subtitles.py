"""Text subtitles from one container's words into another's.

SubRip, WebVTT, mov_text and ASS without styling say the same; ASS is what FFmpeg turns each of them into and back. A
track of mov_text holds one sample at a time: where cues overlap they are cut at each other's ends and shown together.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
from av.subtitles.subtitle import SubtitleSet

from vidswap.errors import InputError
from vidswap.facts import Stretch
from vidswap.media.clocks import on_one_clock
from vidswap.media.metadata import Trim
from vidswap.media.packets import packets
from vidswap.media.source import FORMATS, TEXTS, film_of, opened

TEXT_CODECS = frozenset({"subrip", "webvtt", "mov_text", "ass", "ssa", "text"})
_FILLER = 2  # bytes: mov_text's samples between subtitles, which the muxer makes itself
_FIELDS = 9  # of an ASS event: order, layer, style, name, three margins, effect, text
_OVERRIDES = re.compile(r"\{([^}]*)\}")
_EMPHASIS = re.compile(r"(\\[biu][01]?)*")  # what every one of the formats can say
_EVENT = "{},0,Default,,0,0,0,,{}"
_MILLISECOND = Fraction(1, 1000)


@dataclass(frozen=True)
class Cue:
    """Words shown from `start` to `end`, seconds; `text` as ASS has it ("\\N" ends a line)."""

    start: Fraction
    end: Fraction
    text: str


def is_filler(packet: Any) -> bool:
    """Whether a packet is one of mov_text's empty samples between two subtitles."""
    return bool(packet.size <= _FILLER and packet.stream.codec_context.name == "mov_text")


def read_cues(
    path: Path, index: int, stretches: Sequence[Stretch] = (), formats: Sequence[str] = FORMATS
) -> tuple[list[Cue], bool]:  # fmt: skip
    """All cues of the text stream `index` of a file, by their start, and whether they are plain: of one style, and
    saying nothing (a place, a colour, a typeface) that the other formats could not. `stretches` are those of its clip.
    Reads the file to its end."""
    cues, styles, plain = [], set(), True
    with opened(path, formats) as source:
        stream = source.streams[index]
        stream.codec_context.open(strict=False)
        for packet in _packets(source, stream, stretches):
            events = _events(stream, packet)
            start, length = (time * Fraction(packet.time_base) for time in (packet.pts, packet.duration or 0))
            cues += [Cue(start, start + length, text) for text in map(_text, events) if text]
            styles |= {style for event in events for style in event.split(",")[2:3]}
            plain = plain and all(map(_is_plain, events))
    return sorted(cues, key=lambda cue: cue.start), plain and len(styles) <= 1


def cues_in(path: Path) -> list[Cue]:
    """The cues of a file of captions (SubRip, WebVTT, ASS). Raises InputError."""
    try:
        cues, _ = read_cues(path, 0, formats=TEXTS)
    except (av.FFmpegError, OSError, ValueError, IndexError) as error:
        raise InputError(f"{path} is no file of captions ({getattr(error, 'strerror', None) or error})",
                         "give an .srt or .vtt file") from error  # fmt: skip
    if not cues:
        raise InputError(f"{path} has no captions", "give an .srt or .vtt file with some")
    return cues


def clipped(cues: Iterable[Cue], trim: Trim) -> list[Cue]:
    """The cues within the trim, clipped at both its ends and moved."""
    kept = []
    for cue in cues:
        start = max(cue.start, trim.origin) if trim.trimmed else cue.start
        end = cue.end if trim.end is None else min(cue.end, trim.end)
        if start < end:
            kept.append(replace(cue, start=start - trim.origin, end=end - trim.origin))
    return kept


def apart(cues: Sequence[Cue]) -> list[Cue]:
    """The same words at the same times in cues that do not overlap: where several are on, one cue says all."""
    edges = sorted({edge for cue in cues for edge in (cue.start, cue.end)})
    waiting, on, found = deque(sorted(cues, key=lambda cue: cue.start)), list[Cue](), list[Cue]()
    for start, end in pairwise(edges):
        on = [cue for cue in on if cue.end > start]
        while waiting and waiting[0].start <= start:
            on.append(waiting.popleft())
        if on:
            found.append(Cue(start, end, "\\N".join(cue.text for cue in on)))
    return found


def encoded(cues: Sequence[Cue], track: Any) -> Iterator[Any]:
    """Packets of the cues for a text track of a file, in order."""
    for number, cue in enumerate(apart(cues) if track.codec_context.name == "mov_text" else cues):
        start, end = (round(time / _MILLISECOND) for time in (cue.start, cue.end))
        event = _EVENT.format(number, cue.text).encode()
        packet = track.codec_context.encode_subtitle(SubtitleSet.create(event, 0, end - start, start))
        packet.stream, packet.time_base = track, _MILLISECOND
        packet.pts = packet.dts = start
        packet.duration, packet.is_keyframe = end - start, True
        yield packet


def _packets(source: Any, stream: Any, stretches: Sequence[Stretch]) -> Iterator[Any]:
    film = film_of(source)
    wanted = (stream, film) if stretches else (stream,)
    for packet in on_one_clock(packets(source, *wanted), stretches, film):  # where the file breaks off, what is counts
        if packet.stream.index == stream.index and packet.size and packet.pts is not None and not is_filler(packet):
            yield packet


def _events(stream: Any, packet: Any) -> list[str]:
    """What a packet says, as ASS; nothing where it is damaged."""
    with suppress(av.FFmpegError):
        shown = stream.codec_context.decode2(packet)
        return [rect.ass.decode(errors="replace") for rect in shown.rects] if shown else []
    return []


def _text(event: str) -> str:
    return event.split(",", _FIELDS - 1)[-1].strip()


def _is_plain(event: str) -> bool:
    fields = event.split(",", _FIELDS - 1)
    if len(fields) < _FIELDS:
        return False
    margins, effect, text = fields[4:7], fields[7], fields[8]
    emphasis = all(_EMPHASIS.fullmatch(each) for each in _OVERRIDES.findall(text))
    return emphasis and not effect and not any(margin.strip("0 ") for margin in margins)
