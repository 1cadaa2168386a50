"""What can be chosen as an engine."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from vidswap.cli.console import say, say_json
from vidswap.cli.words import Parser, json_word
from vidswap.libraries import loading

ABOUT = "what can be chosen with --engine: here or not, licence, size, memory, speed"
RENDER = 1.5  # GB of the machine's memory that a render takes at its peak, whatever the engine
SPEEDS = {"quick": "frames a second", "slow": "seconds a frame", "GPU": "wants a GPU"}


def words(words: Parser) -> None:
    json_word(words)


def run(options: argparse.Namespace) -> None:
    with loading():
        from vidswap.models.terms import licences
        from vidswap.swap.choice import accelerator, best, offer
        from vidswap.swap.engines import ENGINES

        offers = [offer(name) for name in ENGINES]
    if options.json:
        return say_json({each.name: _facts(each) for each in offers})
    say(f"{'engine':<12}{'here':<6}{'commercial':<12}{'disk':<10}{'memory':<9}{'speed':<17}leaves the machine")
    for each in offers:
        say(_row(each), f"  {each.about}; {'; '.join(licences(each.models))}")
        if each.lacks:
            say(f"  {each.lacks}")
        for words, models in (each.variants or {}).items():
            say(f"  --set {words} opens also {_listed(models)}")
    name, why = best(accelerator())
    say(f"--engine auto takes {name}: {why}")


def _row(offer: Any) -> str:
    from vidswap.models.hub import size_of

    here, money = "no" if offer.lacks else "yes", "yes" if offer.commercial else "no"
    memory = f"{max(offer.memory, RENDER):.1f} GB"
    return (f"{offer.name:<12}{here:<6}{money:<12}{size_of(offer.bytes):<10}{memory:<9}{SPEEDS[offer.speed]:<17}"
            f"{'crops of the face' if offer.uploads else 'nothing'}")  # fmt: skip


def _listed(models: Any) -> str:
    """Models in a row, each with what stands in its way."""
    amiss = [("" if each.here else "not here", "" if each.commercial else "no commercial use") for each in models]
    return ", ".join(f"{each.name} ({', '.join(filter(None, words)) or 'here'})" for each, words in zip(models, amiss))


def _facts(offer: Any) -> dict[str, object]:
    """The same for JSON."""
    return {**asdict(offer), "here": not offer.lacks, "commercial": offer.commercial, "bytes": offer.bytes,
            "memory": offer.memory}  # fmt: skip
