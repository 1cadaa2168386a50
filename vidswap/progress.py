"""Where a run's time and memory go, by stage, and how far it is: a value that the pipeline carries, no global.

Stages that overlap in threads are each booked what they were busy, so together they may take longer than the run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from threading import Lock, local
from time import perf_counter
from typing import TypeVar

import psutil

Report = Callable[[str, int, int], None]  # stage, done, total
Item = TypeVar("Item")
PATIENCE = 1.0  # seconds of a call after which it is heard on its way


def quiet(*_told: object) -> None:
    """A report that nobody hears."""


@dataclass(frozen=True)
class Stage:
    """Seconds that a stage itself was busy (not the stages it pulled from, nor while it waited for another thread), and
    most memory seen at its ends, bytes."""

    seconds: float = 0.0
    memory: int = 0


class _Hand(local):
    """What each thread has for itself: its open stages (None: it waits), and since when it is in the innermost."""

    def __init__(self) -> None:
        self.open: list[str | None] = []
        self.since = perf_counter()


class Progress:
    """Books a thread's time to its innermost open stage, so that lazily pulled stages do not count twice."""

    def __init__(self, report: Report = quiet) -> None:
        self.stages: dict[str, Stage] = {}
        self._report = report
        self._began = perf_counter()
        self._hand, self._lock = _Hand(), Lock()

    @property
    def seconds(self) -> float:
        """Since this clock was made, whatever overlapped meanwhile."""
        return perf_counter() - self._began

    @contextmanager
    def stage(self, name: str | None) -> Iterator[None]:
        """Book what this thread does inside to `name`, or to nobody."""
        self._book()
        self._hand.open.append(name)
        try:
            yield
        finally:
            self._book()
            self._hand.open.pop()

    def each(self, name: str | None, items: Iterable[Item]) -> Iterator[Item]:
        """`items`, the time it takes to make them booked to `name`; None where they come from another thread."""
        iterator = iter(items)
        end = object()
        while True:
            with self.stage(name):
                item = next(iterator, end)
            if item is end:
                return
            yield item  # type: ignore[misc]

    def reported(self, name: str, items: Iterable[Item], total: int, before: int = 0) -> Iterator[Item]:
        """`items`, each reported when the next one is asked for; `before` of the total were done already."""
        self._report(name, before, total)
        for done, item in enumerate(items, before + 1):
            yield item
            self._report(name, done, total)

    def within(self, name: str) -> Callable[[int, int], None]:
        """What a call reports on its way, done and of how many: it is heard once the call has taken longer than a
        second."""
        began = perf_counter()

        def advance(done: int, total: int) -> None:
            if perf_counter() - began > PATIENCE:
                self._report(name, done, total)

        return advance

    def _book(self) -> None:
        now, hand = perf_counter(), self._hand
        if hand.open and (name := hand.open[-1]):
            with self._lock:
                spent = self.stages.get(name, Stage())
                self.stages[name] = Stage(spent.seconds + now - hand.since, max(spent.memory, resident()))
        hand.since = perf_counter()


def resident() -> int:
    """Bytes of memory this process holds now."""
    return int(psutil.Process().memory_info().rss)


def peak() -> int:
    """The most memory this process ever held, bytes."""
    try:  # what getrusage tells begins with what the process that started this one held
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        pass
    if psutil.WINDOWS:
        return int(psutil.Process().memory_info().peak_wset)
    resource = import_module("resource")  # Windows has none
    most = int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    return most if psutil.MACOS else most * 1024
