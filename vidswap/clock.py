"""Where a run's time and memory go, by stage, and how far it is: a value that the pipeline carries, no global."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TypeVar

Report = Callable[[str, int, int], None]  # stage, done, total
Item = TypeVar("Item")


def quiet(_stage: str, _done: int, _total: int) -> None:
    """A report that nobody hears."""


@dataclass(frozen=True)
class Stage:
    """Seconds spent in a stage itself (not in the stages it pulled from), and most memory seen at its ends, bytes."""

    seconds: float = 0.0
    memory: int = 0


class Clock:
    """Books time to the innermost open stage, so that lazily pulled stages do not count twice. One thread only."""

    def __init__(self, report: Report = quiet) -> None:
        self.stages: dict[str, Stage] = {}
        self._report = report
        self._open: list[str] = []
        self._since = perf_counter()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Book what happens inside to `name`."""
        self._book()
        self._open.append(name)
        try:
            yield
        finally:
            self._book()
            self._open.pop()

    def each(self, name: str, items: Iterable[Item]) -> Iterator[Item]:
        """`items`, the time it takes to make them booked to `name`."""
        iterator = iter(items)
        end = object()
        while True:
            with self.stage(name):
                item = next(iterator, end)
            if item is end:
                return
            yield item  # type: ignore[misc]

    def told(self, name: str, items: Iterable[Item], total: int, before: int = 0) -> Iterator[Item]:
        """`items`, each reported when the next one is asked for; `before` of the total were done already."""
        self._report(name, before, total)
        for done, item in enumerate(items, before + 1):
            yield item
            self._report(name, done, total)

    def _book(self) -> None:
        now = perf_counter()
        if self._open:
            spent = self.stages.get(self._open[-1], Stage())
            self.stages[self._open[-1]] = Stage(spent.seconds + now - self._since, max(spent.memory, resident()))
        self._since = perf_counter()


def resident() -> int:
    """Bytes of memory this process holds now; where the system does not tell, the most it ever held."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:
        return peak()


def peak() -> int:
    """The most memory this process ever held, bytes."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
