"""Threads on either side of the loop that swaps: pictures are decoded ahead of it, and encoded behind it; and within
it, where items do not depend on each other.

The caller's thread, which is the one that hears Ctrl-C, never waits for more than the other's current item; neither
leaves a thread behind, whatever is raised where.
"""

from __future__ import annotations

from _thread import start_new_thread
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from queue import SimpleQueue
from typing import Any, Generic, Self, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


def mapped(function: Callable[[Item], Answer], items: Sequence[Item], threads: int) -> list[Answer]:
    """What a function makes of each item, in their order, by so many threads. Raises what it raises of the first item
    of which it does; those that were not begun then are left."""
    if min(threads, len(items)) < 2:
        return [function(item) for item in items]
    with ThreadPoolExecutor(min(threads, len(items)), "vidswap") as pool:
        try:
            return list(pool.map(function, items))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


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


class Consumer(Generic[Item, Answer]):
    """`consume(items)` in a thread of its own, of items that are handed over one by one; at most `depth` of them wait.
    What is raised there is raised here, at the next item or at the end. When the context is left before `finish`,
    `consume` is told by Stopped; the thread has ended then in any case."""

    def __init__(self, consume: Callable[[Iterator[Item]], Answer], depth: int) -> None:
        self._consume, self._line = consume, _Line[Item](depth)
        self._answers: SimpleQueue[tuple[Answer] | BaseException] = SimpleQueue()

    def __enter__(self) -> Self:
        self._thread = _beside(self._use, self._line)
        self._thread.__enter__()
        return self

    def __exit__(self, *raised: Any) -> None:
        self._thread.__exit__(*raised)

    def add(self, item: Item) -> bool:
        """Hand an item over, as soon as there is room; whether more are wanted. Raises what ended the thread."""
        self._line.offer(item)
        del item  # it may be large, and the last one take long
        if not self._line.has_room():
            self._answered(self._answers.get())
            return False
        return True

    def finish(self) -> Answer:
        """No more items come: what was made of them. Raises what ended the thread."""
        self._line.end(None)
        return self._answered(self._answers.get())

    def _answered(self, answer: tuple[Answer] | BaseException) -> Answer:
        self._answers.put(answer)
        if isinstance(answer, tuple):
            return answer[0]
        raise answer

    def _use(self) -> None:
        try:
            self._answers.put((self._consume(self._line.taken()),))
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that makes
            self._answers.put(error)
        self._line.close()


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
                self.offer(item)
                del item  # it may be large, and the next one take long
                if not self.has_room():
                    return
        self.end(None)

    def offer(self, item: Item) -> None:
        """Put an item in, unless the line is closed."""
        if not self._closed:
            self._made.put((item,))

    def has_room(self) -> bool:
        """Wait until there is room for another item; False once the line is closed."""
        if not self._closed:
            self._room.get()
        return not self._closed

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
