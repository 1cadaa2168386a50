"""What was found in clips and is kept."""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict

from vidswap.cli.console import say, say_json
from vidswap.cli.words import Parser, cache_folder, json_word
from vidswap.errors import UsageError

ABOUT = "what was found in clips and is kept for the next time"


def words(words: Parser) -> None:
    words.add_argument("action", nargs="?", default="list", choices=("list", "clear"))
    json_word(words)


def run(options: argparse.Namespace) -> None:
    from vidswap.plan.store import LIMIT, Cache

    folder = cache_folder()
    if folder is None:
        raise UsageError("there is no home folder to keep a cache in", "set XDG_CACHE_HOME")
    entries = Cache(folder).clear() if options.action == "clear" else Cache(folder).entries()
    total = sum(entry.bytes for entry in entries)
    if options.json:
        return say_json({"folder": folder, "bytes": total, "limit": LIMIT, "cleared": options.action == "clear",
                         "entries": [asdict(entry) for entry in entries]})  # fmt: skip
    if options.action == "list" and entries:
        from vidswap.plan.file import title

        for entry in entries:
            age = _age(time.time() - entry.used)
            say(f"{entry.bytes / 1e6:>8.1f} MB  used {age:>8} ago  {title(entry.path)}")
    said = "removed from" if options.action == "clear" else "in"
    say(f"{len(entries)} entries, {total / 1e6:.1f} MB of at most {LIMIT / 1e6:.0f} MB, {said} {folder}")


def _age(seconds: float) -> str:
    """An age in its largest fitting unit: "3 h"."""
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
