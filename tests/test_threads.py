"""Threads beside the loop: the same items in the same order, few of them waiting, and nobody left behind."""

import _thread
import gc
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidswap.threads import Consumer, Stopped, mapped, prefetch

DEPTHS = st.integers(1, 4)


def each_of(items: Iterable) -> Iterator:
    yield from items


def beside(consume: Callable[[Iterator], object], items: Iterable, depth: int) -> object:
    """What `consume` makes of the items, each handed over as it is made."""
    with Consumer(consume, depth) as line, closing(each_of(items)) as made:
        for item in made:
            if not line.add(item):
                break
            del item
        return line.finish()


def living() -> int:
    """How many threads run beside this one, however they were started. A plain counter: sys._current_frames, asked
    while threads end, deadlocks Python 3.11.7 now and then."""
    return _thread._count()


def wait_until_living(number: int) -> None:
    """A thread says that it ends a moment before it has."""
    deadline = time.monotonic() + 5
    while living() > number and time.monotonic() < deadline:
        time.sleep(0.0005)
    assert living() == number


@pytest.fixture(autouse=True)
def nobody_left():
    before = living()
    yield
    wait_until_living(before)


class Item:
    pass


class Broken(Exception):
    pass


def pull(items, depth: int) -> list:
    with prefetch(items, depth) as line:
        return list(line)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers()), DEPTHS)
def test_the_same_items_come_in_the_same_order(items, depth):
    assert pull(items, depth) == items
    assert pull(iter(items), depth) == items
    assert beside(list, items, depth) == items


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 12), st.integers(0, 12), DEPTHS)
def test_what_is_raised_comes_where_the_item_would_have(length, broken, depth):
    def items() -> Iterator[int]:
        for number in range(length):
            if number == broken:
                raise Broken(number)
            yield number

    got: list[int] = []
    if broken < length:
        with pytest.raises(Broken) as caught, prefetch(items(), depth) as line:
            got.extend(line)
        assert "items" in [entry.name for entry in caught.traceback], "its traceback says where"
    else:
        got = pull(items(), depth)
    assert got == list(range(min(length, broken)))


@settings(max_examples=40, deadline=None)
@given(DEPTHS, st.integers(1, 30))
def test_no_more_than_depth_wait(depth, taken):
    made: list[int] = []

    def items() -> Iterator[int]:
        for number in count():
            made.append(number)
            yield number

    with prefetch(items(), depth) as line:
        for number in line:
            assert len(made) <= number + 1 + depth
            if number == taken:
                break
        deadline = time.monotonic() + 5
        while len(made) < taken + 1 + depth and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(0.002)
        assert len(made) == taken + 1 + depth, "and as many do"


@settings(max_examples=40, deadline=None)
@given(DEPTHS, st.integers(0, 20))
def test_leaving_early_closes_the_items_in_their_own_thread(depth, taken):
    closed: list[int] = []

    def items() -> Iterator[int]:
        try:
            yield from count()
        finally:
            closed.append(threading.get_ident())

    def use() -> None:
        with prefetch(items(), depth) as line:
            for number in line:
                if number == taken:
                    raise Broken

    with pytest.raises(Broken):
        use()
    assert len(closed) == 1
    assert closed[0] != threading.get_ident()


def test_items_that_were_used_are_not_held():
    alive: weakref.WeakSet[Item] = weakref.WeakSet()

    def items() -> Iterator[Item]:
        for _ in range(50):
            item = Item()
            alive.add(item)
            yield item
            del item

    most = 0
    with prefetch(items(), 2) as line:
        for item in line:
            time.sleep(0.001)
            most = max(most, len(alive))
            del item
    assert most <= 4, "the one in use, two that wait, and one on its way"
    assert beside(lambda line: max(len(alive) for _ in line), items(), 2) <= 4


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 12), st.integers(0, 12), st.integers(0, 12), DEPTHS)
def test_beside_raises_what_either_side_raises_and_both_have_ended(length, maker, user, depth):
    closed: list[str] = []

    def items() -> Iterator[int]:
        try:
            for number in range(length):
                if number == maker:
                    raise Broken("maker")
                yield number
        finally:
            closed.append("maker")

    def use(line: Iterator[int]) -> int:
        try:
            for number in line:
                if number == user:
                    raise Broken("user")
            return length
        finally:
            closed.append("user")

    if min(maker, user) >= length:
        assert beside(use, items(), depth) == length
    else:
        with pytest.raises(Broken) as caught:
            beside(use, items(), depth)
        said = str(caught.value)
        assert said in ("maker", "user")
        if said == "maker":
            assert maker < length
        else:
            assert user < min(length, maker)
    assert sorted(closed) == ["maker", "user"]


def test_the_user_hears_that_it_is_stopped():
    heard: list[BaseException] = []

    def use(line: Iterator[int]) -> None:
        try:
            for _ in line:
                pass
        except BaseException as error:
            heard.append(error)
            raise

    def items() -> Iterator[int]:
        yield from range(3)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        beside(use, items(), 2)
    assert [type(error) for error in heard] == [Stopped]


def test_a_user_that_has_enough_ends_the_items():
    assert beside(next, count(), 3) == 0


def used_beside(use: Callable[[Iterator], list], items: Iterator) -> list:
    return beside(use, items, 2)


def made_ahead(use: Callable[[Iterator], list], items: Iterator) -> list:
    with prefetch(items, 2) as line:
        return use(line)


@pytest.mark.parametrize("runs", [used_beside, made_ahead])
def test_both_work_at_once(runs):
    """Neither would go on if the other did not work meanwhile."""
    making, using = threading.Event(), threading.Event()

    def items() -> Iterator[bool]:
        yield True
        making.set()
        yield using.wait(5)

    def use(line: Iterator[bool]) -> list[bool]:
        used = [next(line)]
        using.set()
        return [*used, making.wait(5), *line]

    assert runs(use, items()) == [True, True, True]


@given(st.lists(st.integers(), max_size=20), st.integers(1, 5))
def test_mapped_answers_come_in_the_order_of_the_items(items, threads):
    assert mapped(lambda item: item * 3, items, threads) == [item * 3 for item in items]


def test_several_items_are_mapped_at_once():
    """Neither would end if the other had not begun."""
    met = threading.Barrier(2, timeout=5)
    assert sorted(mapped(lambda _: met.wait(), range(2), 2)) == [0, 1]


@pytest.mark.parametrize("threads", [1, 3])
def test_what_is_raised_of_an_item_is_raised_and_the_rest_is_left(threads):
    begun = []

    def use(item: int) -> None:
        begun.append(item)
        if item == 1:
            raise ValueError("the second")
        time.sleep(0.01)

    with pytest.raises(ValueError, match="the second"):
        mapped(use, range(50), threads)
    assert len(begun) < 50


def test_no_room_for_a_thread_is_an_error(monkeypatch):
    def start(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("vidswap.threads.start_new_thread", start)
    with pytest.raises(RuntimeError, match="new thread"):
        beside(list, range(3), 2)


@settings(max_examples=200, deadline=None)
@given(st.floats(1e-5, 0.0005) | st.floats(1e-5, 0.02), DEPTHS)
def test_a_signal_at_any_moment_ends_all_threads(delay, depth):
    def items() -> Iterator[int]:
        for number in range(4000):  # two seconds: a signal that got lost fails the test, and does not hang it
            time.sleep(0.0005)
            yield number

    def use(line: Iterator[int]) -> None:
        for _ in line:
            time.sleep(0.0005)

    def heard(*_: object) -> None:
        raise Broken

    def run() -> None:
        signal.setitimer(signal.ITIMER_REAL, delay)
        with prefetch(items(), depth) as line:
            beside(use, line, depth)

    before = living()
    gc.disable()  # hypothesis has a callback there, in which Python drops what a signal raises
    old = signal.signal(signal.SIGALRM, heard)
    try:
        with pytest.raises(Broken):
            run()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
        gc.enable()
    wait_until_living(before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_process_ends_at_once(number, tmp_path):
    program = f"""
import signal, sys, time
from itertools import count
from pathlib import Path
from vidswap.threads import Consumer, prefetch
def ended(*_): raise SystemExit(143)
signal.signal(signal.SIGTERM, ended)
signal.signal(signal.SIGINT, signal.default_int_handler)
def use(line):
    for number in line:
        Path({str(tmp_path / "going")!r}).touch()
try:
    with prefetch(count(), 2) as line, Consumer(use, 2) as used:
        for number in line:
            used.add(number)
except KeyboardInterrupt:
    sys.exit(130)
"""
    running = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True)
    while running.poll() is None and not Path(tmp_path / "going").exists():
        time.sleep(0.005)
    running.send_signal(number)
    said = running.communicate(timeout=5)[1]
    assert (running.returncode, said) == (128 + number, "")


@pytest.mark.parametrize("after", [False, True])
def test_a_signal_around_the_start_of_a_thread_does_not_hang(monkeypatch, after):
    """Where it comes before the thread is started nobody would answer; where it comes just after, somebody does."""
    started, worked = [], threading.Event()

    def start(run: Callable[[], None], _: tuple[()]) -> None:
        if after:
            started.append(threading.Thread(target=run))
            started[0].start()
        raise KeyboardInterrupt

    def items() -> Iterator[int]:
        worked.set()
        yield from range(100)

    monkeypatch.setattr("vidswap.threads.start_new_thread", start)
    with pytest.raises(KeyboardInterrupt), prefetch(items(), 2):
        pass
    for thread in started:
        thread.join(5)
        assert not thread.is_alive()
    assert after or not worked.is_set()
