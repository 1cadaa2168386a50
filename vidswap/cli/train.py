"""Models made anew."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from inspect import signature
from math import isfinite
from types import MappingProxyType

from vidswap.cli.console import bars, say
from vidswap.cli.words import Parser, place
from vidswap.errors import UsageError, quoted
from vidswap.libraries import loading
from vidswap.models import ROOT
from vidswap.settings import whole

ABOUT = "make a model anew from labelled face pictures"
# What can be trained, and what its folder of data must hold.
TRAINED = MappingProxyType({
    "shape": "labels.npz", "detector": "labels.npz", "mesh": "labels.npz", "features": "labels.npz",
    "recognizer": "labels.npz", "swapper": "labels.npz", "light_samples": "heads", "light": "light_samples.npz",
    "parts_samples": "heads", "parts": "parts_samples.npz",
})  # fmt: skip


def words(words: Parser) -> None:
    words.add_argument("model", choices=tuple(TRAINED))
    words.add_argument("--data", type=place, required=True, metavar="DIR", help="pictures, labels.npz, topology.npz")
    words.add_argument("--out", type=place, default=ROOT / "embedded", metavar="DIR",
                       help="where the model goes (default: in place)")  # fmt: skip
    words.add_argument("--scenes", type=place, metavar="DIR", help="pictures without a face (default: none)")
    words.add_argument("--seed", type=_seed, default=0, metavar="N",
                       help="equal seeds give equal models: 0 to 4294967295 (default: 0)")  # fmt: skip
    words.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE",
                       help="a longer or shorter plan: steps=... (default: the trainer's own)")  # fmt: skip


def run(options: argparse.Namespace) -> None:
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
        offered["schedule"] = replace(usual, **_changes(usual, options.set))
    with bars() as offered["report"]:
        made = trainer.train(options.data, options.out, **{name: offered[name] for name in accepted if name in offered})
    if options.out.resolve() == (ROOT / "embedded").resolve():
        from vidswap.models.registry import record_checksums

        record_checksums({"face" if options.model == "shape" else options.model})
    say(f"{made}: trained")


def _changes(schedule: object, words: Sequence[str]) -> dict[str, object]:
    """key=value words as values of the types that the schedule's own have. Raises UsageError."""
    changes: dict[str, object] = {}
    for word in words:
        key, _, value = word.partition("=")
        try:
            kind = type(vars(schedule)[key])
            changes[key] = kept = bool(int(value)) if kind is bool else kind(value)
            if isinstance(kept, float) and not isfinite(kept):
                raise ValueError
        except (KeyError, ValueError) as error:
            raise UsageError(f"--set {quoted(word)} cannot be", f"the schedule is {schedule}") from error
    return changes


def _seed(words: str) -> int:
    try:
        return whole(0, 2**32 - 1).read(words)
    except ValueError as error:
        raise UsageError(f"--seed is {quoted(words)}", "allowed: 0 to 4294967295") from error
