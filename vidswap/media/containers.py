"""Containers of film, a record each: what it takes, how it tells of times, sound, words and covers.

`KINDS` are those that are written, by their endings, `READ` what is odd about those that are read. Nowhere else does a
container's name decide anything. What a container takes is asked of FFmpeg's own muxer, but for transport streams,
whose muxer would wrap anything in private data that no player finds again.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from math import gcd
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import av
import numpy as np

from vidswap.errors import OutputError
from vidswap.types import Array, Clip

_FINEST = 1000  # ticks a second of an AVI: each tick without a picture costs 8 bytes of its index and an empty chunk


@dataclass(frozen=True)
class Container:
    """A kind of file that is written. `muxer` is FFmpeg's name of it; `codecs` make its video where nobody chose, the
    first of them that keeps the pictures; `carries` is all it takes where its standards say that, `refuses` what its
    muxer says it takes, and then does not. `ordered`: it has no times of display, only an even beat from 0 on in the
    order of decoding, so that pictures must be encoded in the order they are shown (no B-frames), and no sound before
    them. `edits`: it has edit lists, so that times before 0 are hidden, and an end within a packet told. `turns`: it
    tells how pictures are turned or mirrored. `heads`: it keeps what describes a stream apart from its packets;
    `tags_of` is what it calls a codec where that is a choice. `text` is the codec of its own subtitles of text,
    `covers` where covers lie. `keeps` are the tags that it has names for (None: any), unless `keeping_all` are its
    muxer's options; `service`: it has two short names in place of tags. `counts`: its timecode is counted by the rate
    of its track. `options` are its muxer's, of which it reads the file again for `rereading`."""

    ending: str
    muxer: str
    codecs: tuple[str, ...] = ("h264", "hevc", "av1", "vp9")
    carries: frozenset[str] | None = None
    refuses: frozenset[str] = frozenset()
    ordered: bool = False
    edits: bool = False
    turns: bool = True
    heads: bool = True
    archive: bool = False  # FFV1, which alone keeps transparency to the bit, is at home in it
    fonts: bool = False  # takes attachments
    chapters: bool = False
    text: str | None = None
    covers: Literal["track", "attachment"] | None = None
    keeps: frozenset[str] | None = None
    keeping_all: Mapping[str, str] = field(default_factory=dict)
    service: bool = False
    counts: bool = False
    tags_of: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    rereading: tuple[str, ...] = ()

    @property
    def codec(self) -> str:
        """What its video is made with where nobody chose, if that keeps the pictures."""
        return self.codecs[0]

    def takes(self, codec: str) -> bool:
        """Whether it takes streams of a codec, by FFmpeg's name of it ("h264", "subrip")."""
        if self.carries is not None:
            return codec in self.carries
        return codec not in self.refuses and _is_muxed(self.muxer, codec)

    def words_for(self, codec: str) -> str | None:
        """The codec that subtitles of `codec` become in it; None where it has none or they are no text."""
        return self.text if codec in TEXTS else None


TEXTS = ("subrip", "webvtt", "mov_text", "ass", "text")  # subtitles that say the same in other words
# Tags that mp4 and mov keep under names of their own; the switch for all others makes them drop cover pictures.
_COMMON = frozenset(("title", "artist", "album", "date", "comment", "genre", "copyright", "creation_time", "location"))
_MP4 = _COMMON | {"album_artist", "composer", "grouping", "lyrics", "description", "synopsis", "show", "episode_id",
                  "network", "keywords", "track", "disc"}  # fmt: skip
# What transport streams carry by their standards (ISO 13818-1, ATSC, DVB, SMPTE 302M, opus in ts).
_TRANSPORTED = frozenset(
    ("h264", "hevc", "mpeg1video", "mpeg2video", "mpeg4", "mp2", "mp3", "aac", "aac_latm", "ac3", "eac3", "dts",
     "truehd", "opus", "s302m", "dvb_subtitle", "dvb_teletext", "hdmv_pgs_subtitle")
)  # fmt: skip


def _of_mp4(ending: str, muxer: str, keeps: frozenset[str], **more: Any) -> Container:
    """Of the family of mp4 and mov. Edit lists count in the movie's unit: at the default 1/1000 s the sound would start
    up to 1 ms off."""
    return Container(ending, muxer, edits=True, chapters=True, text="mov_text", keeps=keeps, counts=True,
                     tags_of={"hevc": "hvc1"}, options={"movflags": "faststart", "movie_timescale": "90000"},
                     keeping_all={"movflags": "faststart+use_metadata_tags"}, rereading=("movflags",),
                     **more)  # fmt: skip


KINDS: Mapping[str, Container] = MappingProxyType({
    kind.ending: kind
    for kind in (
        _of_mp4(".mp4", "mp4", _MP4, covers="track"),
        _of_mp4(".m4v", "mp4", _MP4, covers="track"),
        _of_mp4(".mov", "mov", _COMMON | {"make", "model"},
                refuses=frozenset(("opus", "flac", "truehd", "av1", "vp9", "vp8"))),
        Container(".mkv", "matroska", archive=True, fonts=True, chapters=True, text="subrip", covers="attachment"),
        Container(".webm", "webm", codecs=("vp9", "av1"), chapters=True, text="webvtt"),
        Container(".ts", "mpegts", carries=_TRANSPORTED, turns=False, heads=False, service=True),
        # H.264 and HEVC it takes, but shows late: no times of display, and decoders cannot tell that none are needed
        Container(".avi", "avi", codecs=("mpeg4", "ffv1"), refuses=frozenset(("h264", "hevc")), ordered=True,
                  turns=False, heads=False, archive=True, options={"avoid_negative_ts": "disabled"}),
    )
})  # fmt: skip


@dataclass(frozen=True)
class Demuxer:
    """What is odd about a kind of file that is read, by FFmpeg's `name` of it. `edits` and `ordered`: see Container.
    `live`: its clock begins anywhere; `late`: sound may begin so late that FFmpeg knows too little of it. `back`:
    seconds that its times may step back, where its clock may start again; None: it does not. `leaps`: it may leap
    forward. `decoded`: it tells when packets are decoded; else when they are shown stands for it. `adts`: its AAC has
    headers of its own. `head`: how another film in the same file begins, a pattern, where FFmpeg would end at that."""

    name: str = ""
    edits: bool = False
    ordered: bool = False
    live: bool = False
    late: bool = False
    back: float | None = None
    leaps: bool = False
    decoded: bool = True
    adts: bool = False
    head: bytes | None = None


READ: Mapping[str, Demuxer] = MappingProxyType({
    demuxer.name: demuxer
    for demuxer in (
        Demuxer("mov,mp4,m4a,3gp,3g2,mj2", edits=True),
        Demuxer("matroska,webm", back=0.5, decoded=False,  # EBML's head, with its kind
                head=rb"(?s)\x1a\x45\xdf\xa3.{4,40}?\x42\x82.{1,8}?(matroska|webm)"),
        Demuxer("mpegts", live=True, late=True, back=0.1, leaps=True, adts=True),
        Demuxer("mpeg", live=True, late=True, back=0.1, leaps=True),
        # its version, streams, and that its head is nine bytes long
        Demuxer("flv", live=True, back=0.1, leaps=True, head=rb"FLV\x01[\x01\x04\x05]\0\0\0\x09\0\0\0\0"),
        Demuxer("avi", ordered=True),
    )
})  # fmt: skip


def demuxer_of(name: str) -> Demuxer:
    """What is odd about the kind of file that FFmpeg calls so."""
    return READ.get(name, Demuxer(name))


def kind_of(out: Path) -> Container:
    """The kind of file that the ending of `out` names. Raises OutputError for any other."""
    kind = KINDS.get(out.suffix.lower())
    if kind is None:
        raise OutputError(f"{out.name} has no known ending", f"end the output in one of: {' '.join(KINDS)}")
    return kind


def kind_written(target: Any) -> Container:
    """The kind of a file that is open to be written."""
    return next(kind for kind in KINDS.values() if kind.muxer == target.format.name)


def kinds_that(wanted: Callable[[Container], bool]) -> tuple[str, ...]:
    """The endings of the kinds that are wanted."""
    return tuple(kind.ending for kind in KINDS.values() if wanted(kind))


def taking(codecs: Iterable[str]) -> tuple[str, ...]:
    """The endings whose containers take streams of all of these codecs."""
    wanted = tuple(codecs)
    return kinds_that(lambda kind: all(map(kind.takes, wanted)))


def named(out: Path, clip: Clip) -> Path:
    """The result's path: where it has no ending, with that of the clip, which is a film; .mp4 where the clip's is none
    of ours (a raw stream's). Raises OutputError for a path that names nothing ("", ".", "..")."""
    if out.name in ("", ".."):
        raise OutputError(f"the result has no name, it is {str(out)!r}", "give the path of a file, or of a new folder")
    if out.suffix or out.is_dir() or clip.files:
        return out
    ending = clip.path.suffix.lower()
    return out.with_name(out.name + (ending if ending in KINDS else ".mp4"))


def time_base(kind: Container, pts: Array, unit: Fraction, rate: Fraction) -> Fraction:
    """The unit to give a video track whose frames come at `pts` (N,) times `unit` seconds, about `rate` a second.

    Where there is one beat a stream it is the longest of which all times are multiples. Raises OutputError where that
    would be finer than a millisecond."""
    if not kind.ordered:
        return unit
    steps = np.unique(np.diff(pts))
    beat = Fraction(gcd(*(int(step) for step in steps))) * unit if len(steps) else 1 / rate
    if beat * _FINEST < 1:
        raise OutputError(
            f"the clip's frames come at uneven times, and {kind.ending} keeps an even beat", "name the output .mkv"
        )
    return beat


@cache
def _is_muxed(muxer: str, codec: str) -> bool:
    with av.open(io.BytesIO(), "w", format=muxer) as trial:
        try:
            trial.add_mux_stream(codec)
        except ValueError:  # refused, or no codec at all
            return False
    return True
