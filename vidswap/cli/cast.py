"""Who is in a clip."""

from __future__ import annotations

import argparse

import vidswap
from vidswap.cli.console import bars, say, say_json
from vidswap.cli.words import Parser, cache_word, json_word, place, settings_of, settings_words, warn

ABOUT = "who is in a clip: numbers for --person"


def words(words: Parser) -> None:
    words.add_argument("clip", type=place, metavar="CLIP")
    words.add_argument("-o", "--out", type=place, required=True, metavar="PNG", help="a picture: one row a person")
    words.add_argument("--toml", type=place, metavar="FILE", help="also write a file to fill in with who plays whom, "
                       "for `vidswap swap --cast` (default: none)")  # fmt: skip
    json_word(words)
    settings_words(words, "read", without=("person", "plan"))
    cache_word(words)


def run(options: argparse.Namespace) -> None:
    settings = settings_of(options)
    with bars() as report:
        found = vidswap.cast_clip(options.clip, options.out, toml=options.toml, settings=settings, report=report)
    warn(found.notes)
    if options.json:
        people = [{"person": row.number, "seconds": round(row.seconds, 3), "spans": row.spans} for row in found.rows]
        filed = options.toml and str(options.toml)
        return say_json({"out": str(found.out), "toml": filed, "cast": people, "notes": found.notes})
    for row in found.rows:
        spans = ", ".join(f"{first:.1f}-{last:.1f}" for first, last in row.spans)
        say(f"--person {row.number}: {row.seconds:.1f} s on screen ({spans})")
    say(f"{found.out}: their faces")
    if options.toml:
        say(f"{options.toml}: fill in who plays whom, then: vidswap swap {options.clip} --cast {options.toml} -o OUT")
