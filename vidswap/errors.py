"""What we raise. Every message says what was wrong, what is allowed, and what to do.

VidswapError              exit code
├── UsageError            2    a word of the command or a setting that cannot be
├── InputError            3    the clip: missing, not a video, empty, unreadable
├── IdentityError         4    the photos: no face, several faces, unreadable
├── ConsentError          5    no consent record, expired, or not for this use
├── NoFaceError           6    nobody in the clip to swap
├── OutputError           7    the result cannot be written
├── ModelError            8    weights missing, damaged, or of an unknown kind
├── EngineError           9    the swap itself failed
└── InstallError          10   a library is missing, or cannot be loaded on this machine
A signal ends with 128 and its number, as shells expect: Ctrl-C with 130.
"""

from __future__ import annotations

from reprlib import Repr


class VidswapError(Exception):
    """Something a person can mend: `message` in one line, `hint` what to do, `code` for the shell."""

    code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class UsageError(VidswapError):
    code = 2


class InputError(VidswapError):
    code = 3


class IdentityError(VidswapError):
    code = 4


class ConsentError(VidswapError):
    code = 5


class NoFaceError(VidswapError):
    code = 6


class OutputError(VidswapError):
    code = 7


class ModelError(VidswapError):
    code = 8


class EngineError(VidswapError):
    code = 9


class InstallError(VidswapError, ImportError):
    code = 10


def line_of(error: Exception) -> str:
    """What a library's error says, in its first line; of one that says nothing, what it is called."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def quoted(value: object) -> str:
    """A value in few words, whatever it is: 'a very ... long one'."""
    short = Repr()
    short.maxstring = 60
    try:
        return str(value) if isinstance(value, float) else short.repr(value)
    except ValueError:  # Python does not write out thousands of digits
        return "a number of thousands of digits"
