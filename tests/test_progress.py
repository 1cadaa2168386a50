"""Where time goes, with a clock of our own making."""

import runpy
import sys
from threading import Barrier, Thread
from time import sleep

import pytest

from vidswap import progress as clocks
from vidswap.progress import Progress


@pytest.fixture
def hands(monkeypatch):
    """A clock whose time is moved by calling hands(seconds)."""
    now = [0.0]
    monkeypatch.setattr(clocks, "perf_counter", lambda: now[0])

    def move(seconds: float) -> None:
        now[0] += seconds

    return move


def test_time_is_booked_to_the_innermost_stage(hands):
    clock = Progress()

    def items():
        for _ in range(3):
            hands(10)
            yield None

    with clock.stage("outer"):
        hands(1)
        for _ in clock.each("inner", items()):
            hands(100)
    hands(1000)
    with clock.stage("inner"):
        hands(5)
    assert {name: stage.seconds for name, stage in clock.stages.items()} == {"outer": 301, "inner": 35}
    assert all(stage.memory > 0 for stage in clock.stages.values())


def test_a_stage_that_fails_is_closed(hands):
    clock = Progress()
    with pytest.raises(KeyError), clock.stage("outer"), clock.stage("inner"):
        raise KeyError
    with clock.stage("after"):
        hands(2)
    assert clock.stages["inner"].seconds == 0
    assert clock.stages["after"].seconds == 2


def test_what_waits_for_another_thread_is_booked_to_nobody(hands):
    clock = Progress()
    with clock.stage("encode"):
        hands(1)
        for _ in clock.each(None, (hands(100) for _ in range(3))):
            hands(10)
    assert {name: stage.seconds for name, stage in clock.stages.items()} == {"encode": 31}
    assert clock.seconds == 331


def test_each_thread_books_what_it_did_itself():
    clock, both = Progress(), Barrier(2)

    def work(name: str) -> None:
        with clock.stage(name), clock.stage("inner"):
            both.wait()
            sleep(0.1)
            both.wait()

    threads = [Thread(target=work, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert clock.stages["inner"].seconds >= 0.2, "busy in two threads at once"
    assert clock.stages["inner"].seconds > clock.seconds
    assert clock.stages.keys() == {"one", "two", "inner"}


def test_progress_is_told_from_nothing_to_all():
    heard: list[tuple[str, int, int]] = []
    clock = Progress(lambda *words: heard.append(words))
    assert list(clock.reported("work", "ab", 2)) == ["a", "b"]
    assert heard == [("work", 0, 2), ("work", 1, 2), ("work", 2, 2)]


def test_memory_is_told_where_no_system_call_of_posix_is(monkeypatch):
    """Windows has no `resource`, and no /proc: the module must load, and what it tells come from elsewhere."""
    monkeypatch.setitem(sys.modules, "resource", None)
    loaded = runpy.run_path(clocks.__file__)
    assert 10e6 < loaded["resident"]() <= loaded["peak"]() < 100e9
