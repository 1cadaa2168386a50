"""The console, where there is one: the only module that prints. Where nobody can hear, nobody is stopped.

A program may be started without any of its three standard files, or with ones that take nothing: no render is lost to
that. What comes out of files (names, tags, versions) is shown without what terminals obey.
"""

from __future__ import annotations

import io
import json
import os
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TextIO

import vidswap

if TYPE_CHECKING:
    from vidswap.progress import Report

_OBEYED = ("Cc", "Cs", "Zl", "Zp")  # kinds of characters: controls, halves of one, ends of lines and paragraphs
_TURNING = "\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"  # show words in another order


class Unheard(Exception):
    """What was printed did not arrive; `gone`: because its reader has gone, as `head` does."""

    def __init__(self, error: Exception) -> None:
        super().__init__(getattr(error, "strerror", None) or str(error))
        self.gone = isinstance(error, BrokenPipeError)


def set_up() -> None:
    """Call it first. A standard file that is closed becomes one that swallows all: else the first file that is opened
    would take its number, and a film be written over by what libraries print. No character is refused."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one
    sys.stdout = sys.stdout or _swallowing(1)
    sys.stderr = sys.stderr or _swallowing(2)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def say(*lines: object) -> None:
    """Print lines where results go; a name with an end of line in it begins none. Raises Unheard."""
    _print("\n".join(plain(str(line)) for line in lines))


def say_json(value: object) -> None:
    """Print a value as one line of JSON, which is ASCII. Raises Unheard."""
    _print(json.dumps(value, default=str))


def tell(words: str) -> None:
    """Print one line where troubles go, if anybody hears it."""
    with suppress(OSError, ValueError):
        print(f"vidswap: {plain(' '.join(words.split()))}", file=sys.stderr)


@contextmanager
def bars() -> Iterator[Report]:
    """A report that draws one bar, for the stage that is at work; nothing where nobody looks."""
    if not sys.stderr.isatty():
        from vidswap.progress import quiet

        yield quiet
        return
    with vidswap.Bars() as report:
        yield report


def arrived() -> None:
    """See to it that what was printed arrives. Raises Unheard."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError) as error:
        raise Unheard(error) from error


def hang_up() -> None:
    """Call it last: what could not be printed is dropped, or Python would complain of it as it ends."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def plain(words: str) -> str:
    """Words with what a terminal would obey, and what is no character at all, written out."""
    return "".join(letter if _is_plain(letter) else letter.encode("unicode_escape").decode() for letter in words)


def _is_plain(letter: str) -> bool:
    return not (unicodedata.category(letter) in _OBEYED or letter in _TURNING)


def _print(words: str) -> None:
    try:
        print(words)
    except (OSError, ValueError) as error:
        raise Unheard(error) from error


def _swallowing(number: int) -> TextIO:
    return open(number, "w", encoding="utf-8", closefd=False)
