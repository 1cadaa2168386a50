"""Models made anew."""

from __future__ import annotations

import argparse
from importlib import import_module
from inspect import signature
from types import MappingProxyType

from vidswap.cli import lora
from vidswap.cli.console import bars, say
from vidswap.cli.schedules import changed, schedule_words
from vidswap.cli.words import Parser, place
from vidswap.errors import UsageError
from vidswap.libraries import loading
from vidswap.models import ROOT

ABOUT = "make a model anew: one that ships, from labelled face pictures, or a LoRA of a person, from photos"
# What can be trained, and what its folder of data must hold.
TRAINED = MappingProxyType({
    "shape": "labels.npz", "expressions": "ict.npz", "detector": "labels.npz", "mesh": "labels.npz",
    "features": "labels.npz", "recognizer": "labels.npz", "light_samples": "heads",
    "light": "light_samples.npz", "parts_samples": "heads", "parts": "parts_samples.npz",
    "swapper_samples": "labels.npz", "swapper": "swapper_samples.npz",
})  # fmt: skip


def words(words: Parser) -> None:
    models = words.add_subparsers(dest="model", required=True, metavar="MODEL", parser_class=Parser)
    for name, needed in TRAINED.items():
        own = models.add_parser(name, help=f"from a folder with {needed}")
        own.add_argument("--data", type=place, required=True, metavar="DIR",
                         help="pictures, labels.npz, topology.npz")  # fmt: skip
        own.add_argument("--out", type=place, default=ROOT / "embedded", metavar="DIR",
                         help="where the model goes (default: in place)")  # fmt: skip
        own.add_argument("--scenes", type=place, metavar="DIR", help="pictures without a face (default: none)")
        schedule_words(own)
    person = models.add_parser("lora", help=lora.ABOUT)
    lora.words(person)
    schedule_words(person)


def run(options: argparse.Namespace) -> None:
    if options.model == "lora":
        return lora.run(options)
    if not (options.data / (needed := TRAINED[options.model])).exists():
        faces = "--data is a folder of faces with labels.npz beside them"
        raise UsageError(f"{options.data} has no {needed}", faces if needed == "labels.npz" else "see the model card")
    for flag, folder in (("--data", options.data), ("--scenes", options.scenes)):
        if folder and folder.exists() and options.out.exists() and options.out.samefile(folder):
            raise UsageError(f"--out is the folder of {flag}", "give the model a folder of its own")
    with loading():
        trainer = import_module(f"vidswap.train.{options.model}")
    accepted = signature(trainer.train).parameters
    offered: dict[str, object] = {"scenes": options.scenes, "say": say}
    if "schedule" in accepted:  # how long and how hard: each trainer's own dataclass
        usual = trainer.Schedule(seed=options.seed)
        offered["schedule"] = changed(usual, options.set)
    with bars() as offered["report"]:
        made = trainer.train(options.data, options.out, **{name: offered[name] for name in accepted if name in offered})
    if options.out.resolve() == (ROOT / "embedded").resolve():
        from vidswap.models.registry import record_checksums

        record_checksums({"face" if options.model == "shape" else options.model})
    say(f"{made}: trained")
