"""The faces of a clip, as a file."""

from __future__ import annotations

import argparse
from dataclasses import asdict

import vidswap
from vidswap.cli.console import bars, say, say_json
from vidswap.cli.words import Parser, cache_word, json_word, place, settings_of, settings_words, warn

ABOUT = "find the faces of a clip once, for any number of swaps"


def words(words: Parser) -> None:
    words.add_argument("clip", type=place, metavar="CLIP")
    words.add_argument("-o", "--out", type=place, required=True, metavar="FILE",
                       help="e.g. clip.plan; for swap --plan")  # fmt: skip
    json_word(words)
    settings_words(words, "read", without=("person", "plan"))
    cache_word(words)


def run(options: argparse.Namespace) -> None:
    settings = settings_of(options)
    with bars() as report:
        made = vidswap.plan_clip(options.clip, options.out, settings=settings, report=report)
    warn(made.notes)
    if options.json:
        return say_json(asdict(made))
    say(f"{made.out}: {made.frames} frames, shots: {made.shots}, persons: {len(made.persons)}, "
        f"tracks: {made.tracks}; {made.bytes / 1e6:.1f} MB")  # fmt: skip
