"""What is seen in photos."""

from __future__ import annotations

import argparse

import vidswap
from vidswap.cli.console import bars, say, say_json
from vidswap.cli.words import Parser, json_word, place, setting_word, settings_of
from vidswap.libraries import loading
from vidswap.settings import setting

ABOUT = "what is seen in photos of a person, and what would make them better"


def words(words: Parser) -> None:
    words.add_argument("photos", type=place, nargs="+", metavar="PHOTO", help="photos, or folders of them")
    words.add_argument("-o", "--out", type=place, metavar="PNG", help="also as a picture (default: none)")
    json_word(words)
    setting_word(words, setting("read.face_pack"))


def run(options: argparse.Namespace) -> None:
    with bars() as report, loading():
        found = vidswap.look_at(options.photos, options.out, settings_of(options), report=report)
    if options.json:
        return say_json([{"photo": str(look.path), "will_do": look.will_do, "words": look.words} for look in found])
    for look in found:
        say(f"{look.path}: {'will do' if look.will_do else 'will not do'}", *(f"  {line}" for line in look.words))
    if options.out:
        say(f"{options.out}: the photos, with what was found in them")
