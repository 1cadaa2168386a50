"""How long and how hard is trained: `--set name=value ...` for a trainer's own Schedule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import isfinite
from typing import Any, TypeVar

from vidswap.cli.words import Parser
from vidswap.errors import UsageError, quoted
from vidswap.settings import whole

Planned = TypeVar("Planned", bound=Any)  # a trainer's Schedule


def schedule_words(words: Parser) -> None:
    words.add_argument("--seed", type=_seed, default=0, metavar="N",
                       help="equal seeds give equal models: 0 to 4294967295 (default: 0)")  # fmt: skip
    words.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE",
                       help="a longer or shorter plan: steps=... (default: the trainer's own)")  # fmt: skip


def changed(schedule: Planned, words: Sequence[str]) -> Planned:
    """A schedule with key=value words as values of the types that its own have. Raises UsageError."""
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
    return replace(schedule, **changes)


def _seed(words: str) -> int:
    try:
        return whole(0, 2**32 - 1).read(words)
    except ValueError as error:
        raise UsageError(f"--seed is {quoted(words)}", "allowed: 0 to 4294967295") from error
