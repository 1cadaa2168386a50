"""Frames in order, and windows over them -> each frame with the answers that cover it; few frames wait.

And the threads in which stages overlap: `ahead` makes items before they are asked for, `beside` has them used up while
the next are made. The caller's thread, which is the one that hears Ctrl-C, never waits for more than the other's
current item; both leave no thread behind, whatever is raised where.
"""

from __future__ import annotations

from _thread import start_new_thread
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Generic, TypeVar

from vidswap.types import Frame, Swapped

Item = TypeVar("Item")
Made = TypeVar("Made")
Layer = tuple[Swapped, int]  # a swapped window, and the row of it that belongs to the frame


@dataclass(frozen=True, eq=False)
class Call:
    """A window that is swapped, by `swap`, as soon as its frames [start, stop) are there."""

    start: int
    stop: int
    swap: Callable[[Sequence[Frame]], Swapped]


def relay(footage: Iterable[Frame], calls: Iterable[Call], reach: int) -> Iterator[tuple[Frame, list[Layer]]]:
    """Every frame of `footage`, with the layers that cover it. The calls come by their `stop`; none is longer than
    `reach` frames. So the next one, and all that follow, start at most `reach` before its end: no more frames wait."""
    footage = iter(footage)
    held: deque[Frame] = deque()
    layers: list[Swapped] = []
    for call in calls:
        while not held or held[-1].index < call.stop - 1:
            held.append(next(footage))
            yield from _released(held, layers, call.stop - reach)
        layers = [layer for layer in layers if layer.crops.start + len(layer.crops) > held[0].index]
        layers.append(call.swap([frame for frame in held if frame.index >= call.start]))
    for frame in held:
        yield frame, _over(frame, layers)
    held.clear()
    for frame in footage:
        yield frame, []


def _released(held: deque[Frame], layers: Sequence[Swapped], before: int) -> Iterator[tuple[Frame, list[Layer]]]:
    """Take the frames before index `before` out of `held`, each with its layers."""
    while held and held[0].index < before:
        frame = held.popleft()
        yield frame, _over(frame, layers)


def _over(frame: Frame, layers: Sequence[Swapped]) -> list[Layer]:
    rows = [(layer, frame.index - layer.crops.start) for layer in layers]
    return [(layer, row) for layer, row in rows if 0 <= row < len(layer.crops)]


@contextmanager
def prefetch(items: Iterable[Item], depth: int) -> Iterator[Iterator[Item]]:
    """`items`, pulled in a thread of their own: at most `depth` of them wait or are being made. What is raised there is
    raised where the item would have come. When the context is left the thread ends after its current item, and closes
    `items` if they are a generator."""
    line = _Line[Item](depth)

    def make() -> None:
        try:
            line.fill(items)
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that takes
            line.end(error)

    with _beside(make, line):
        yield line.taken()


def beside(consume: Callable[[Iterator[Item]], Made], items: Iterable[Item], depth: int) -> Made:
    """`consume(items)`, run in a thread of its own while the items are pulled in this one; at most `depth` of them
    wait. What is raised on either side ends both and is raised here; `consume` is then told by Stopped."""
    line = _Line[Item](depth)
    answers: SimpleQueue[tuple[Made] | BaseException] = SimpleQueue()

    def use() -> None:
        try:
            answers.put((consume(line.taken()),))
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that makes
            answers.put(error)
        line.close()

    with _beside(use, line):
        line.fill(items)
        answer = answers.get()
    if isinstance(answer, tuple):
        return answer[0]
    raise answer


class Stopped(BaseException):
    """No more items come, because whoever makes them was stopped."""


class _Line(Generic[Item]):
    """Items on their way from one thread to another, at most `depth`; of queues that signals may interrupt anywhere."""

    def __init__(self, depth: int) -> None:
        self._made: SimpleQueue[tuple[Item] | BaseException | None] = SimpleQueue()
        self._room: SimpleQueue[None] = SimpleQueue()
        for _ in range(depth - 1):
            self._room.put(None)
        self._closed = False

    def fill(self, items: Iterable[Item]) -> None:
        """Put the items in as there is room for them, then their end; no more once the line is closed."""
        with closing(_pulled(items)) as source:
            for item in source:
                self._made.put((item,))
                del item  # it may be large, and the next one take long
                self._room.get()
                if self._closed:
                    return
        self.end(None)

    def end(self, error: BaseException | None) -> None:
        """No item follows, because of `error` if there is one."""
        self._made.put(error)

    def taken(self) -> Iterator[Item]:
        """The items; each makes room for another one. Raises what ended them, Stopped where the line was closed."""
        while isinstance(one := self._made.get(), tuple) and not self._closed:
            self._room.put(None)
            yield one[0]
            del one
        if self._closed:
            raise Stopped
        if isinstance(one, BaseException):
            raise one

    def close(self) -> None:
        """Wake both sides and let neither go on."""
        self._closed = True
        self._made.put(None)
        self._room.put(None)


@contextmanager
def _beside(work: Callable[[], None], line: _Line[Item]) -> Iterator[None]:
    """`work` in another thread. When the context is left the line is closed, and the thread has ended.

    No threading.Thread: a signal amid its start or its disposal, which are written in Python, is lost or leaves it half
    started. Where a signal keeps us from knowing whether the thread was started, one of the two sides takes the only
    `chance`: the thread, which then answers when it has ended, or we, and one that comes late has nothing to do.
    """
    chance, ended, launched = [True], SimpleQueue[None](), False

    def run() -> None:
        if _taken(chance):
            try:
                work()
            finally:
                ended.put(None)

    try:
        start_new_thread(run, ())
        launched = True
        yield
    finally:
        line.close()
        if launched or not _taken(chance):
            ended.get()


def _taken(chance: list[bool]) -> bool:
    """Whether the only item was there to be taken: true for one of any number of threads."""
    try:
        return chance.pop()
    except IndexError:
        return False


def _pulled(items: Iterable[Item]) -> Generator[Item, None, None]:
    """The items; who closes this closes them too, if they are a generator."""
    yield from items
