"""A LoRA of a person's face, for the big diffusion engines."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from vidswap.cli.console import bars, say, say_json
from vidswap.cli.schedules import changed
from vidswap.cli.words import Parser, json_word, place, warn
from vidswap.errors import ConsentError
from vidswap.libraries import loading

ABOUT = "a LoRA of a person's face for the big diffusion engines, from photos"
BASES = ("sd15", "sdxl", "flux")


def words(words: Parser) -> None:
    words.add_argument("name", metavar="NAME", help="what it is called, and so its files")
    words.add_argument("--photos", type=place, required=True, metavar="DIR", help="photos of one person, or a photo")
    words.add_argument("--base", required=True, choices=BASES, help="the model that it changes")
    words.add_argument("--consent", metavar="self|FILE", help="'self', or a TOML record: subject, uses, until")
    words.add_argument("--weights", type=place, metavar="DIR",
                       help="a folder that stands for the base (default: the one that was pulled)")  # fmt: skip
    words.add_argument("--out", type=place, metavar="DIR", help="where it goes (default: a folder called NAME)")
    json_word(words)


def run(options: argparse.Namespace) -> None:
    if options.consent is None:
        raise ConsentError("nobody's consent was named", "--consent self, or the path of a consent record")
    with loading():
        from vidswap.train import lora
        from vidswap.trust.consent import load_consent
    consent = load_consent(options.consent)
    order = lora.Order(options.name, options.photos, consent, options.base, options.weights)
    schedule = changed(lora.Schedule(seed=options.seed), options.set)
    out = options.out or Path(options.name)
    with bars() as report:
        made = lora.train(order, out, schedule=schedule, say=(lambda _line: None) if options.json else say,
                          warn=lambda note: warn([note]), report=report)  # fmt: skip
    if options.json:
        return say_json({**asdict(made), "base": options.base})
    alike = "" if made.likeness is None else f", likeness of the samples {made.likeness:.2f}"
    say(f"{made.file}: learnt from {made.photos} photos{alike}", f"{made.card}, {made.consent}: what goes with it")
    if made.sheet:
        say(f"{made.sheet}: photos and samples")
    say(f"licence of the base: {made.licence}", f"use it: --lora {made.file}, called by the words: {made.call}")
