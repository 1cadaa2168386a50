"""Keys: any change of what a result depends on is another one, nothing else is."""

import ast
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_imports import MODULES, imported

from vidswap import keys, pipeline
from vidswap.errors import InputError
from vidswap.keys import code_of, digest_of, key_of, packages
from vidswap.plan import store
from vidswap.settings import SwapSettings

FACTS = {"source": "ab", "span": [0, 10], "models": {"mesh": "cd"}, "versions": {"tracks": 1}}


@pytest.mark.parametrize("change", [
    {"source": "ac"}, {"span": [0, 11]}, {"models": {"mesh": "ce"}}, {"versions": {"tracks": 2}}, {"more": None},
])  # fmt: skip
def test_any_changed_fact_is_another_key(change):
    assert key_of({**FACTS, **change}) != key_of(FACTS)


@given(st.dictionaries(st.text(), st.integers() | st.text() | st.lists(st.integers())))
def test_a_key_does_not_depend_on_the_order_of_facts(facts):
    assert key_of(dict(reversed(facts.items()))) == key_of(facts)
    assert len(key_of(facts)) == 64


def test_a_digest_is_that_of_the_bytes_wherever_they_lie(tmp_path):
    for name, content in {"a.mp4": b"film", "b.mp4": b"film", "c.mp4": b"filn"}.items():
        (tmp_path / name).write_bytes(content)
    first, same, other = (digest_of(tmp_path / name) for name in ("a.mp4", "b.mp4", "c.mp4"))
    assert first == same != other
    with pytest.raises(InputError):
        digest_of(tmp_path / "none.mp4")


def test_the_digest_of_several_files_tells_order_names_and_contents(tmp_path):
    def made(*files: tuple[str, bytes]) -> str:
        for name, content in files:
            (tmp_path / name).write_bytes(content)
        return digest_of(*(tmp_path / name for name, _ in files))

    first = made(("1.png", b"a"), ("2.png", b"b"))
    assert made(("1.png", b"a"), ("2.png", b"b")) == first
    others = [made(("1.png", b"b"), ("2.png", b"a")), made(("1.png", b"a"), ("3.png", b"b")),
              made(("2.png", b"b"), ("1.png", b"a")), made(("1.png", b"ab"))]  # fmt: skip
    assert len({first, *others}) == 5


def test_values_of_every_kind_are_told_apart():
    values = [1, "1", True, None, 1.5, Fraction(3, 2), [1, 2], [[1], 2], {"a": 1}, {"a": [1]}, b"a", "a",
              np.zeros(4, np.float32), np.zeros(4), np.zeros((2, 2)), SwapSettings(), SwapSettings("warp")]  # fmt: skip
    assert len(set(map(key_of, values))) == len(values)
    assert key_of(SwapSettings()) == key_of(replace(SwapSettings("warp"), engine="embedded"))


def test_code_is_told_by_its_source(tmp_path, monkeypatch):
    """A module, or one anywhere in a folder of them, is another one as soon as a letter is; no version by hand."""
    monkeypatch.setattr(keys, "PACKAGE", tmp_path)
    code = code_of.__wrapped__
    (tmp_path / "read" / "deep").mkdir(parents=True)
    (tmp_path / "plan.py").write_text("a = 1")
    (tmp_path / "read" / "deep" / "x.py").write_text("b = 1")
    first = code("plan", "read")
    assert code("plan", "read") == first != code("plan") != code("read")
    (tmp_path / "write.py").write_text("not of them")
    (tmp_path / "read" / "notes.txt").write_text("no code")
    assert code("plan", "read") == first
    (tmp_path / "read" / "deep" / "x.py").write_text("b = 2")
    second = code("plan", "read")
    (tmp_path / "read" / "y.py").write_text("")
    assert len({first, second, code("plan", "read")}) == 3
    with pytest.raises(ValueError, match="moved"):  # a room that was renamed must not be passed over
        code("plan", "moved")


def test_packages_are_told_by_their_versions():
    assert packages("numpy") == {"numpy": np.__version__}
    assert packages("no-such-package") == {"no-such-package": ""}


# What decides no picture and no mesh: it refuses, finds files, keeps time; what is chosen there is in the key as it is.
SILENT = {"errors", "files", "keys", "libraries", "models", "processor", "progress", "records", "settings",
          "timepoint", "trust"}  # fmt: skip


def rooms_behind(*modules: str) -> set[str]:
    """The rooms whose code is run when these modules do their work: all that they import, and so on."""
    found, left = set(modules), list(modules)
    while left:
        names = MODULES.keys() & set(imported(ast.parse(MODULES[left.pop()].read_text()))) - {"vidswap"}
        left += names - found
        found |= names
    return {name.split(".")[1] for name in found if "." in name}


def test_a_key_has_all_code_that_decides_and_no_other():
    first_pass = rooms_behind(pipeline.analyse.__module__, "vidswap.plan.store")
    assert first_pass - SILENT == set(store.CODE)
    assert rooms_behind("vidswap.pipeline") - SILENT - {"analysis", "pipeline"} == set(pipeline.CODE) - {"pipeline"}
