"""Kinds of files: which ending is which, what each takes, how fine its times are.

What a container takes is asked of FFmpeg's own muxer, but for transport streams, whose muxer would wrap anything in
private data that no player finds again.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from math import gcd
from pathlib import Path

import av
import numpy as np

from vidswap.errors import OutputError
from vidswap.types import Array, Clip


@dataclass(frozen=True)
class Container:
    """A kind of file. `muxer` is FFmpeg's name of it, `codec` what its video is made with where nobody chose, `unit`
    the one unit of its times (None: each stream has its own). `ordered`: it has no times of display, only an even beat
    in the order of decoding, so that pictures must be encoded in the order they are shown (no B-frames). `turns`: tells
    how pictures are turned or mirrored."""

    ending: str
    muxer: str
    codec: str = "h264"
    unit: Fraction | None = None
    ordered: bool = False
    fonts: bool = False  # takes attachments
    chapters: bool = False
    turns: bool = True

    @property
    def is_mp4(self) -> bool:
        """Of the family of mp4 and mov: edit lists, negative times, one set of tags."""
        return self.muxer in ("mp4", "mov")


KINDS = {
    kind.ending: kind
    for kind in (
        Container(".mp4", "mp4", chapters=True),
        Container(".m4v", "mp4", chapters=True),
        Container(".mov", "mov", chapters=True),
        Container(".mkv", "matroska", unit=Fraction(1, 1000), fonts=True, chapters=True),
        Container(".webm", "webm", codec="vp9", unit=Fraction(1, 1000), chapters=True),
        Container(".ts", "mpegts", unit=Fraction(1, 90000), turns=False),
        Container(".avi", "avi", codec="mpeg4", ordered=True, turns=False),
    )
}
# What transport streams carry by their standards (ISO 13818-1, ATSC, DVB, SMPTE 302M, opus in ts).
_TRANSPORTED = frozenset(
    ("h264", "hevc", "mpeg1video", "mpeg2video", "mpeg4", "mp2", "mp3", "aac", "aac_latm", "ac3", "eac3", "dts",
     "truehd", "opus", "s302m", "dvb_subtitle", "dvb_teletext", "hdmv_pgs_subtitle")
)  # fmt: skip
# What a muxer says it takes, and then refuses when it is to write the header.
_REFUSED = frozenset((*(("mov", codec) for codec in ("opus", "flac", "truehd", "av1", "vp9", "vp8")),
                      # taken, but shown late: no times of display, and decoders cannot tell that none are needed
                      *(("avi", codec) for codec in ("h264", "hevc"))))  # fmt: skip
_FINEST = 1000  # ticks a second of an AVI: each tick without a picture costs 8 bytes of its index and an empty chunk


def kind_of(out: Path) -> Container:
    """The kind of file that the ending of `out` names. Raises OutputError for any other."""
    kind = KINDS.get(out.suffix.lower())
    if kind is None:
        raise OutputError(f"{out.name} has no known ending", f"end the output in one of: {' '.join(KINDS)}")
    return kind


def named(out: Path, clip: Clip) -> Path:
    """The result's path: where it has no ending, with that of the clip, which is a film; .mp4 where the clip's is none
    of ours (a raw stream's). Raises OutputError for a path that names nothing ("", ".", "..")."""
    if out.name in ("", ".."):
        raise OutputError(f"the result has no name, it is {str(out)!r}", "give the path of a file, or of a new folder")
    if out.suffix or out.is_dir() or clip.files:
        return out
    ending = clip.path.suffix.lower()
    return out.with_name(out.name + (ending if ending in KINDS else ".mp4"))


@cache
def takes(muxer: str, codec: str) -> bool:
    """Whether a muxer ("mp4", "matroska" ...) takes streams of a codec, by FFmpeg's name of it ("h264", "subrip")."""
    if muxer == "mpegts":
        return codec in _TRANSPORTED
    if (muxer, codec) in _REFUSED:
        return False
    with av.open(io.BytesIO(), "w", format=muxer) as trial:
        try:
            trial.add_mux_stream(codec)
        except ValueError:  # refused, or no codec at all
            return False
    return True


def taking(codecs: Iterable[str]) -> tuple[str, ...]:
    """The endings whose containers take streams of all of these codecs."""
    wanted = tuple(codecs)
    return tuple(ending for ending, kind in KINDS.items() if all(takes(kind.muxer, codec) for codec in wanted))


def time_base(kind: Container, pts: Array, unit: Fraction, rate: Fraction) -> Fraction:
    """The unit to give a video track whose frames come at `pts` (N,) times `unit` seconds, about `rate` a second.

    AVI knows one beat a stream: there the longest of which all times are multiples. Raises OutputError where it would
    be finer than a millisecond."""
    if not kind.ordered:
        return unit
    steps = np.unique(np.diff(pts))
    beat = Fraction(gcd(*(int(step) for step in steps))) * unit if len(steps) else 1 / rate
    if beat * _FINEST < 1:
        raise OutputError(
            f"the clip's frames come at uneven times, and {kind.ending} keeps an even beat", "name the output .mkv"
        )
    return beat
