"""What was made of the last few things: a render asks for the same photo in every window."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

Thing = TypeVar("Thing")
Made = TypeVar("Made")
FEW = 4


class Latest(Generic[Thing, Made]):
    """Keeps what was made of the last FEW things, which are told apart by what they are, not by what they hold."""

    def __init__(self) -> None:
        self._kept: list[tuple[Thing, Made]] = []

    def of(self, thing: Thing, make: Callable[[Thing], Made]) -> Made:
        """What `make` gives for a thing, or gave."""
        known = [made for kept, made in self._kept if kept is thing]
        made = known[0] if known else make(thing)
        self._kept = [*(each for each in self._kept if each[0] is not thing), (thing, made)][-FEW:]
        return made
