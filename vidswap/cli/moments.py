"""Where a clip is at its best."""

from __future__ import annotations

import argparse

import vidswap
from vidswap.cli.console import bars, say, say_json
from vidswap.cli.words import Parser, cache_word, json_word, place, settings_of, settings_words
from vidswap.libraries import loading

ABOUT = "where somebody is large, turned to the camera, moving and speaking"


def words(words: Parser) -> None:
    words.add_argument("clip", type=place, metavar="CLIP")
    words.add_argument("--length", type=float, default=15.0, metavar="S", help="seconds of each (default: 15)")
    words.add_argument("--count", type=int, default=5, metavar="N", help="of them, at most (default: 5)")
    words.add_argument("-o", "--out", type=place, metavar="PNG", help="a picture: one row a moment (default: none)")
    json_word(words)
    settings_words(words, "read")
    cache_word(words)


def run(options: argparse.Namespace) -> None:
    settings = settings_of(options)
    with bars() as report, loading():
        found = vidswap.find_moments(options.clip, options.out, settings, length=options.length, count=options.count,
                                     report=report)  # fmt: skip
    if options.json:
        return say_json([{"start": round(first, 3), "end": round(last, 3), "score": each.score,
                          "frames": [each.start, each.stop]} for each, first, last in found])  # fmt: skip
    for each, first, last in found:
        words = f"from {first:.2f} s, {last - first:.1f} s, score {each.score:.2f}"
        say(f"--start {each.start}f --end {each.stop}f: {words}")
    if options.out:
        say(f"{options.out}: their pictures")
