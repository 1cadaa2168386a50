"""The words that commands that swap have in common: who plays whom, and how."""

from __future__ import annotations

import argparse
import re
from collections.abc import Collection
from pathlib import Path

import vidswap
from vidswap.cli.options import engine_words
from vidswap.cli.words import Parser, cache_word, json_word, place, settings_words
from vidswap.errors import ConsentError, UsageError, quoted
from vidswap.settings import Settings

_NUMBERED = re.compile("([0-9]{1,9})=(.*)", re.DOTALL)
WHO = "allowed: one of --face PHOTO, --role N=PHOTO (any number of them), --cast FILE"


def people_words(words: Parser) -> None:
    words.add_argument("--face", type=place, metavar="PHOTO", help="a photo, or a folder of photos of one person")
    words.add_argument("--role", action="append", default=[], metavar="N=PHOTO", help="who plays person N, as "
                       "`vidswap cast` counts them: several people, each another face (default: none)")  # fmt: skip
    words.add_argument("--cast", type=place, metavar="FILE", help="who plays whom, as `vidswap cast --toml FILE` "
                       "writes it to be filled in (default: none)")  # fmt: skip
    words.add_argument("--consent", action="append", default=[], metavar="self|FILE", help="'self', or a TOML record: "
                       "subject, uses, until; N=FILE is that of --role N")  # fmt: skip


def swap_words(words: Parser, without: Collection[str] = ()) -> None:
    """Where the result goes, and all settings of a swap but those `without`."""
    words.add_argument("-o", "--out", type=place, required=True, metavar="OUT", help="the result, e.g. out.mp4")
    json_word(words)
    settings_words(words, "read", without=without)
    cache_word(words)
    engine_words(words)
    for section in ("swap", "write", "title"):
        settings_words(words, section, without=without)


def cast_told(options: argparse.Namespace, settings: Settings) -> vidswap.Cast:
    """The cast that the words say. Raises ConsentError, InputError, UsageError."""
    told = [name for name in ("face", "role", "cast") if getattr(options, name)]
    if len(told) != 1:
        what = "nobody's face was named" if not told else f"--{told[0]} and --{told[1]} exclude each other"
        raise UsageError(what, WHO)
    if options.cast:
        if options.consent:
            raise UsageError("--consent goes with --face and --role", "in a cast file each person has a consent")
        return vidswap.load_cast(options.cast)
    agreed = dict(map(_numbered, options.consent))
    if options.role:
        return _roles(options.role, agreed)
    if len(options.consent) > 1 or agreed.keys() - {None}:
        raise UsageError("--consent was given for several people", "--face is one person: --consent self, or a record")
    if not agreed:
        raise ConsentError("nobody's consent was named", "--consent self, or the path of a consent record")
    return vidswap.cast_of(settings.read.person, vidswap.Role(options.face, agreed[None]))


def _roles(words: list[str], agreed: dict[int | None, str]) -> vidswap.Cast:
    """The cast of --role and --consent."""
    cast = dict[int | str, vidswap.Role | None]()
    for word in words:
        number, photo = _numbered(word)
        if number is None or not photo:
            raise UsageError(f"--role is {quoted(word)}", "allowed: N=PHOTO, as 0=ada.jpg")
        if number in cast:
            raise UsageError(f"--role says twice who plays person {number}", "choose one, or use a cast file")
        if (consent := agreed.get(number, agreed.get(None))) is None:
            raise ConsentError(f"nobody's consent was named for person {number}",
                               f"--consent {number}=FILE, or --consent self")  # fmt: skip
        cast[number] = vidswap.Role(Path(photo), consent)
    if unknown := sorted(number for number in agreed if number is not None and number not in cast):
        raise UsageError(f"--consent {unknown[0]}=… is of nobody who plays", f"give --role {unknown[0]}=PHOTO as well")
    return cast


def _numbered(word: str) -> tuple[int | None, str]:
    """A word as N=REST, or as it is."""
    found = _NUMBERED.fullmatch(word)
    return (int(found[1]), found[2]) if found else (None, word)
