"""How good a swap is."""

from __future__ import annotations

import argparse

import vidswap
from vidswap.cli.console import bars, say, say_json
from vidswap.cli.words import Parser, cache_word, json_word, place, setting_word, settings_of, warn
from vidswap.settings import setting

ABOUT = "measure a swapped clip against its original"


def words(words: Parser) -> None:
    words.add_argument("clip", type=place, metavar="CLIP", help="the original")
    words.add_argument("swapped", type=place, metavar="OUT", help="the swapped clip")
    words.add_argument("--face", type=place, required=True, metavar="PHOTO", help="who should be in it")
    words.add_argument("-o", "--out", type=place, metavar="FILE", help="also write a report, as JSON with the "
                       "figures of each shot, for `vidswap swap --redo` (default: none)")  # fmt: skip
    words.add_argument("--html", type=place, metavar="FILE", help="the same as a page to look at (default: none)")
    json_word(words)
    setting_word(words, setting("read.plan"), "made by `vidswap plan` of the original")
    setting_word(words, setting("read.face_pack"))
    cache_word(words)


def run(options: argparse.Namespace) -> None:
    settings = settings_of(options)
    with bars() as report:
        found = vidswap.evaluate_clip(options.clip, options.swapped, options.face, out=options.out,
                                      html=options.html, settings=settings, report=report)  # fmt: skip
    warn(found.notes)
    if options.json:
        return say_json(found.as_dict())
    say(*found.rows())
    for written in filter(None, (options.out, options.html)):
        say(f"{written}: the report")
