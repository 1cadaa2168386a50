"""How fast it is here."""

from __future__ import annotations

import argparse
import re

from vidswap.cli.console import bars, say, say_json
from vidswap.cli.options import engine_words
from vidswap.cli.words import Parser, cache_word, json_word, place, setting_word, settings_of, settings_words
from vidswap.errors import UsageError, quoted
from vidswap.libraries import loading
from vidswap.settings import setting

ABOUT = "how fast, and where time and memory go"


def words(words: Parser) -> None:
    words.add_argument("clip", type=place, metavar="CLIP")
    words.add_argument("--face", type=place, metavar="PHOTO",
                       help="a photo, or a folder of photos (default: a face of the clip itself)")  # fmt: skip
    words.add_argument("--consent", metavar="self|FILE", help="of whom the photo shows, as for swap")
    words.add_argument("--heights", type=_height, nargs="*", default=[480, 720, 1080], metavar="N",
                       help="lines of the clip, scaled, for the overhead beside a plain transcode: even, 64 to 4320 "
                       "(default: 480 720 1080)")  # fmt: skip
    json_word(words)
    settings_words(words, "read", without=("person", "plan"))
    cache_word(words)
    engine_words(words)
    setting_word(words, setting("swap.commercial"))
    settings_words(words, "write", without=("sheet", "resume"))


def run(options: argparse.Namespace) -> None:
    settings = settings_of(options)
    with loading():
        from vidswap.measure.bench import bench, table

    with bars() as report:
        found = bench(options.clip, options.face, options.consent,
                      settings=settings, heights=options.heights, report=report)  # fmt: skip
    if options.json:
        return say_json(found.figures())
    say(*table(found).splitlines())


def _height(words: str) -> int:
    """Even lines of a picture."""
    if not re.fullmatch("[0-9]{2,4}", words) or not 64 <= int(words) <= 4320 or int(words) % 2:
        raise UsageError(f"--heights is {quoted(words)}", "allowed: even numbers of 64 to 4320")
    return int(words)
