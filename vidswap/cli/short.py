"""A short, ready to be posted."""

from __future__ import annotations

import argparse

import vidswap
from vidswap.cli.console import bars, say, say_json
from vidswap.cli.people import cast_told, people_words, swap_words
from vidswap.cli.words import Parser, place, settings_of, warn
from vidswap.errors import UsageError, quoted

ABOUT = "make a short for a platform: cut, swap, reframe, caption, loudness, label"


def words(words: Parser) -> None:
    words.add_argument("clip", type=place, metavar="CLIP", help="the film clip")
    people_words(words)
    words.add_argument("--for", dest="platform", required=True, metavar="PLATFORM",
                       help="tiktok, reels, shorts, feed, story, x, linkedin, or a table of --presets")  # fmt: skip
    words.add_argument("--presets", type=place, metavar="FILE", help="a TOML file of your own (default: vidswap's)")
    words.add_argument("--length", type=float, default=15.0, metavar="S",
                       help="seconds of the best moment between --start and --end (default: 15)")
    words.add_argument("--language", default="en", metavar="CODE", help="of the label (default: en)")
    words.add_argument("--unlabelled", default="", metavar="WHY", help="no label on the pictures; the reason is kept "
                       "in the record for posting (default: labelled)")  # fmt: skip
    words.add_argument("--gif", action="store_true", help="also a small animation of it (default: none)")
    swap_words(words, without=("plan", "redo", "shots"))


def run(options: argparse.Namespace) -> None:
    settings = settings_of(options)
    cast, presets = cast_told(options, settings), vidswap.presets_in(options.presets)
    if options.platform not in presets:
        raise UsageError(f"no preset is called {quoted(options.platform)}", f"choose one of: {', '.join(presets)}")
    wishes = vidswap.Wishes(options.length, options.language, options.unlabelled, options.gif)
    with bars() as report:
        made = vidswap.short_clip(options.clip, cast, options.out, presets[options.platform], settings,
                                  wishes=wishes, report=report)  # fmt: skip
    warn([*made.result.notes, *(f"{presets[options.platform].name} may refuse it: {line}" for line in made.amiss)])
    if options.json:
        return say_json({"out": str(made.result.out), "cover": str(made.cover), "post": str(made.post),
                         "gif": made.gif and str(made.gif),
                         "frames": [made.moment.start, made.moment.stop], "amiss": made.amiss,
                         "notes": made.result.notes, "seconds": round(made.result.seconds, 2)})  # fmt: skip
    say(f"{made.result.out}: {made.result.duration:.1f} s for {presets[options.platform].name}; cover {made.cover}",
        f"when you post it: {presets[options.platform].declare} ({made.post})")  # fmt: skip
