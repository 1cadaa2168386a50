"""A point in a clip, as a person names it: "3.5", "1:02:03.25" or "120f", or a program: 3.5; exact, never a float.

Imports errors only, so that the command line can read such words without loading anything heavy.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from numbers import Rational, Real
from typing import Any

from vidswap.errors import UsageError, quoted

ALLOWED = "give seconds (3.5), a time (1:02:03.25 or 2:03) or a frame (120f), counted from the first picture"
_FRAME = re.compile(r"(\d{1,12})f", re.ASCII)
_TIME = re.compile(r"(?:(?:(\d{1,6}):)?(\d{1,2}):)?(\d{1,12}(?:\.\d{0,12})?|\.\d{1,12})", re.ASCII)


@dataclass(frozen=True)
class TimePoint:
    """`value` seconds after the first picture, or, where `in_frames`, the picture of that index."""

    value: Fraction
    in_frames: bool = False

    def __post_init__(self) -> None:
        if self.value < 0:
            raise UsageError(f"{self} lies before the first picture", ALLOWED)

    def __str__(self) -> str:
        return f"{self.value}f" if self.in_frames else f"{float(self.value):.12g}"

    def ticks(self, unit: Fraction) -> int:
        """The least whole number of `unit` seconds that is not before this moment (which must be one in seconds)."""
        return ceil(self.value / unit)

    def is_after(self, other: TimePoint) -> bool | None:
        """Whether this comes later; None where one is in frames, the other in seconds: only a clip can tell."""
        return self.value > other.value if self.in_frames == other.in_frames else None


Time = TimePoint | str | float | Fraction  # what names a moment; numbers are seconds
LAST = 10**12  # seconds, 30,000 years: what words can say


def as_time_point(value: Any) -> TimePoint:
    """The moment that words, or a number of seconds, name; a float is what it prints as, 0.1 is a tenth. Raises
    UsageError for words, ValueError for what is neither."""
    if isinstance(value, TimePoint):
        return value
    if isinstance(value, str):
        return time_point(value)
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ValueError(f"{quoted(value)} is no time")
    seconds = Fraction(value) if isinstance(value, Rational) else Fraction(repr(float(value)))
    if not 0 <= seconds < LAST:
        raise ValueError(f"{quoted(value)} is no time")
    return TimePoint(seconds)


def time_point(words: str) -> TimePoint:
    """Read "3.5" (seconds), "2:03" or "1:02:03.25" (hours, minutes below 60, seconds below 60), or "120f" (a frame).

    Raises UsageError."""
    words = words.strip()
    if found := _FRAME.fullmatch(words):
        return TimePoint(Fraction(int(found[1])), in_frames=True)
    found = _TIME.fullmatch(words)
    if found is None:
        raise UsageError(f"{quoted(words)} is no time", ALLOWED)
    hours, minutes, seconds = found[1], found[2], Fraction(found[3].rstrip("."))
    if minutes is not None and (seconds >= 60 or (hours is not None and int(minutes) >= 60)):
        raise UsageError(f"{quoted(words)} is no time: seconds, and minutes after hours, go up to 59", ALLOWED)
    return TimePoint(3600 * int(hours or 0) + 60 * int(minutes or 0) + seconds)
