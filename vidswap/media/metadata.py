"""What a file says about itself: tags, chapters, timecode; what of it still holds for a part of it, elsewhere."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from vidswap.media.containers import Container

# Tags that the muxer writes anew, or that have no meaning in the result.
_STALE = frozenset(
    ("major_brand", "minor_version", "compatible_brands", "encoder", "timecode", "duration", "vendor_id",
     "handler_name", "software", "location-eng", "bps", "number_of_frames", "number_of_bytes", "source_id")
)  # fmt: skip
_STATISTICS = "_statistics"
_NAMED = {"name": "title", "product": "album"}  # mp4 reads a track's title back as `name`, AVI an album as `product`
_RATES = tuple(Fraction(*rate) for rate in ((24000, 1001), (24, 1), (25, 1), (30000, 1001), (30, 1), (48, 1), (50, 1),
                                            (60000, 1001), (60, 1), (100, 1), (120000, 1001), (120, 1)))  # fmt: skip
_DROPPING = (Fraction(30000, 1001), Fraction(60000, 1001))
_MOST = 255  # frames a second that an mp4's timecode can count
_TIMECODE = re.compile(r"(\d\d):(\d\d):(\d\d)([:;.])(\d\d+)")
_SERVICE = 60, 180  # bytes of a transport stream's two names, which share a descriptor of 255


@dataclass(frozen=True)
class Trim:
    """The stretch of a clip that goes into the result, in seconds of the clip's own clock: from `origin`, which becomes
    0, up to `end`, exclusive; None is to where the file ends. `trimmed`: what is before `origin` is left out (else it
    is only the number that the clip's clock begins with)."""

    origin: Fraction = Fraction(0)
    end: Fraction | None = None
    trimmed: bool = False


def tags(metadata: Mapping[str, str]) -> dict[str, str]:
    """Those of a container's or a stream's tags that still hold for the result."""
    kept = {key: text for key, text in metadata.items() if key.lower() not in _STALE}
    return {_NAMED.get(key, key): text for key, text in kept.items() if not key.lower().startswith(_STATISTICS)}


def labelled(metadata: Mapping[str, str], labels: Mapping[str, str], kind: Container) -> dict[str, str]:
    """A container's tags with our labels, which win but for the comment: there the clip's own follows ours.

    mp4, mov and AVI keep those that have a name of their own there (`comment` says all), mkv and webm all. A transport
    stream has a name and a provider: the title, and as much of the comment as fits."""
    theirs = {key.lower(): text for key, text in tags(metadata).items()}
    ours = {key.lower() for key in labels}
    merged = {key: text for key, text in tags(metadata).items() if key.lower() not in ours} | dict(labels)
    if "comment" in ours and theirs.get("comment"):
        merged["comment"] = f"{labels['comment']}\n{theirs['comment']}"
    if not (kind.service and labels):
        return merged
    title = theirs.get("title") or "vidswap"
    name, provider = (_shortened(text, room) for text, room in zip((title, merged.get("comment", "")), _SERVICE))
    return {"service_name": name, "service_provider": provider}


def needs_all_names(metadata: Mapping[str, str], kind: Container) -> bool:
    """Whether a container would lose tags of the clip's own unless all are written by name."""
    return kind.keeps is not None and any(key.lower() not in kind.keeps for key in tags(metadata))


def chapters(listed: Sequence[Any], trim: Trim) -> list[dict[str, Any]]:
    """Chapters as PyAV lists them, those within the trim, clipped at both its ends and moved."""
    moved = []
    for chapter in listed:
        unit = Fraction(chapter["time_base"])
        start, end = (chapter[side] * unit for side in ("start", "end"))
        start = max(start, trim.origin)  # untrimmed, too: an edit list may have hidden where it began
        if trim.end is not None:
            end = min(end, trim.end)
        if start < end:
            at, until = (round((time - trim.origin) / unit) for time in (start, end))
            moved.append({**chapter, "start": at, "end": until, "metadata": dict(chapter.get("metadata", {}))})
    return moved


def timecode_of(*tagged: Mapping[str, str]) -> str | None:
    """The timecode of a clip's first frame, "01:00:00:00", from the first of some tags that tell it."""
    found = (text for tags in tagged for key, text in tags.items() if key.lower() == "timecode")
    return next((text for text in found if _TIMECODE.fullmatch(text)), None)


def counted(rate: Fraction, timecode: str) -> Fraction:
    """The rate that a clip of about `rate` frames a second counts its timecode by; where it drops numbers (";"), one
    of the two for which that is defined (SMPTE ST 12-1)."""
    dropping = timecode[8] != ":"
    near = min(_DROPPING if dropping else _RATES, key=lambda each: abs(each / rate - 1))
    return near if dropping or abs(near / rate - 1) < Fraction(1, 100) else Fraction(max(1, round(rate)))


def is_countable(rate: Fraction | None, timecode: str) -> bool:
    """Whether a video track of `rate` can have the timecode beside it in an mp4, which counts by the track's rate."""
    return rate is not None and 0 < rate <= _MOST and (timecode[8] == ":" or rate in _DROPPING)


def later(timecode: str, rate: Fraction, seconds: Fraction) -> str:
    """The timecode of the frame that comes `seconds` after the one of `timecode`, counted at `rate` (see `counted`).

    Drop-frame numbers leave out the first ones of each minute but the tenths (SMPTE ST 12-1)."""
    parts = _TIMECODE.fullmatch(timecode)
    if parts is None:
        return timecode
    hours, minutes, whole, frame = (int(parts[place]) for place in (1, 2, 3, 5))
    mark = parts[4]
    nominal, dropped = round(rate), 0 if mark == ":" else round(rate / 15)
    total = (hours * 60 + minutes) * 60 + whole
    number = total * nominal + frame - dropped * (total // 60 - total // 600) + round(seconds * rate)
    number %= 24 * 6 * (600 * nominal - 9 * dropped)
    if dropped:
        tens, rest = divmod(number, 600 * nominal - 9 * dropped)
        number += dropped * (9 * tens + max(0, rest - dropped) // (60 * nominal - dropped))
    total, frame = divmod(number, nominal)
    return f"{total // 3600:02}:{total // 60 % 60:02}:{total % 60:02}{mark}{frame:02}"


def _shortened(text: str, room: int) -> str:
    return text.encode()[:room].decode(errors="ignore")
