"""What ships."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from vidswap.cli.console import say, say_json
from vidswap.cli.words import Parser, json_word

ABOUT = "what ships: licence, size, sha256"


def words(words: Parser) -> None:
    words.add_argument("action", nargs="?", default="list", choices=("list", "verify", "seal"),
                       help="list them, compare their sha256, or take down new ones after training")  # fmt: skip
    json_word(words)


def run(options: argparse.Namespace) -> None:
    from vidswap.models import ROOT
    from vidswap.models import registry as weights

    known = weights.registry()
    if options.action == "seal":
        present = {name for name, model in known.items() if (ROOT / model.path).exists()}
        known = weights.record_checksums(present)
    if options.action == "verify":
        for name in known:
            weights.path_to(name)
    if options.json:
        return say_json({name: asdict(model) for name, model in known.items()})
    for model in known.values():
        use = "commercial use allowed" if model.commercial else "no commercial use"
        say(f"{model.name}: {model.purpose}", f"  {model.licence}, {use}; {model.source}")
        for file in model.files:
            say(f"  {file.sha256}  {file.bytes:>9,}  {file.path}")
    total = sum(model.bytes for model in known.values())
    say(f"{total / 1e6:.1f} MB" + (", all verified" if options.action == "verify" else ""))
