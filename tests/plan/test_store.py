"""Results by content: found again, made anew when damaged, never too many, whoever else is at it."""

import multiprocessing
import os
import time
from pathlib import Path

import pytest

from vidswap.errors import OutputError
from vidswap.plan.store import ABANDONED, Cache, Entry
from vidswap.types import Shot

SPAN = Shot(0, 10)


def write(content: bytes):
    return lambda part: part.write_bytes(content)


def find(cache: Cache, key: str, span: Shot = SPAN) -> Path | None:
    return next(cache.covering(key, span), None)


def key_of(entry: Entry) -> str:
    return entry.path.stem.split("-")[0]


def age(cache: Cache, key: str, seconds: float) -> None:
    then = time.time() - seconds
    path = find(cache, key)
    assert path is not None
    os.utime(path, (then, then))


def test_what_was_kept_is_found(tmp_path):
    cache = Cache(tmp_path / "not" / "yet")
    assert find(cache, "a") is None
    assert cache.entries() == cache.clear() == []
    path = cache.keep("a", SPAN, write(b"word"))
    assert find(cache, "a") == path
    assert path.read_bytes() == b"word"
    assert find(cache, "b") is None


def test_the_widest_that_covers_a_span_is_found_first(tmp_path):
    cache = Cache(tmp_path)
    for start, stop in ((5, 9), (0, 8), (4, 10), (5, 8), (90, 110)):
        cache.keep("a", Shot(start, stop), write(b""))
    (tmp_path / "a-x-y.plan").touch()
    assert [path.stem for path in cache.covering("a", Shot(5, 8))] == ["a-0-8", "a-4-10", "a-5-9", "a-5-8"]
    assert [path.stem for path in cache.covering("a", Shot(5, 9))] == ["a-4-10", "a-5-9"]
    assert not [*cache.covering("a", Shot(3, 9)), *cache.covering("a", Shot(0, 110))]


def test_what_fails_half_way_leaves_nothing(tmp_path):
    def fail(part: Path) -> None:
        part.write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Cache(tmp_path).keep("a", SPAN, fail)
    assert not list(tmp_path.iterdir())


def test_the_least_recently_used_make_room(tmp_path):
    cache = Cache(tmp_path, limit=250)
    for number, name in enumerate("abc"):
        cache.keep(name, SPAN, write(bytes(80)))
        age(cache, name, 100 - number)
    assert find(cache, "a"), "used now, so the next to go is b"
    cache.keep("d", SPAN, write(bytes(80)))
    assert {key_of(entry) for entry in cache.entries()} == {"a", "c", "d"}
    cache.keep("e", SPAN, write(bytes(300)))
    assert [key_of(entry) for entry in cache.entries()] == ["e"], "too large, but the newest stays"


def test_an_entry_that_goes_while_it_is_read_stays_readable(tmp_path):
    cache = Cache(tmp_path, limit=10)
    with open(cache.keep("a", SPAN, write(b"12345678"))) as file:
        cache.keep("b", SPAN, write(b"12345678"))
        assert find(cache, "a") is None
        assert file.read() == "12345678"


def test_abandoned_parts_go_and_living_ones_stay(tmp_path):
    cache = Cache(tmp_path)
    old, young = tmp_path / "x.1.part", tmp_path / "x.2.part"
    for part in (old, young):
        part.touch()
    os.utime(old, (0, time.time() - ABANDONED - 1))
    cache.keep("a", SPAN, write(b""))
    assert (old.exists(), young.exists()) == (False, True)
    assert [key_of(entry) for entry in cache.clear()] == ["a"]
    assert not list(tmp_path.iterdir())


def test_entries_tell_size_and_age(tmp_path):
    cache = Cache(tmp_path)
    for name, size, old in (("a", 5, 50), ("b", 7, 10)):
        cache.keep(name, SPAN, write(bytes(size)))
        age(cache, name, old)
    assert [(key_of(entry), entry.bytes) for entry in cache.entries()] == [("b", 7), ("a", 5)]
    assert time.time() - cache.entries()[0].used == pytest.approx(10, abs=5)


def test_a_folder_that_cannot_be_emptied_is_told(tmp_path):
    (tmp_path / "a.plan").mkdir()
    (tmp_path / "a.plan" / "inside").touch()
    with pytest.raises(OutputError, match="cannot be emptied"):
        Cache(tmp_path).clear()


def _rush(folder: Path, key: str) -> None:
    for _ in range(40):
        path = Cache(folder, limit=3000).keep(key, SPAN, write(key.encode() * 1000))
        if path.exists():  # the other may have made room
            assert path.read_bytes() == key.encode() * 1000


def test_processes_do_not_collide(tmp_path):
    processes = [multiprocessing.get_context("fork").Process(target=_rush, args=(tmp_path, key)) for key in "aabc"]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    assert not list(tmp_path.glob("*.part"))
    assert all(entry.path.read_bytes() == key_of(entry).encode() * 1000 for entry in Cache(tmp_path).entries())
