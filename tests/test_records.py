"""Records: just what they say, or Damaged in one line; nothing that is asked of them is quietly made to fit."""

from contextlib import suppress
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidswap.records import Damaged, from_json, from_toml


@dataclass(frozen=True)
class Toy:
    name: str
    size: tuple[int, int]
    parts: tuple[tuple[str, bool], ...] = ()


WHOLE = b'{"name": "a", "size": [1, 2], "parts": [["b", true]]}'


def test_a_record_is_what_the_text_says():
    assert from_json(Toy, WHOLE) == Toy("a", (1, 2), (("b", True),))
    assert from_toml(Toy, b'name = "a"\nsize = [1, 2]') == Toy("a", (1, 2))
    assert from_json(Toy, WHOLE.replace(b"}", b', "more": 1}'), more="ignore").name == "a"


@pytest.mark.parametrize("content", [
    b"", b"[]", b"7", b"\xff", b"[" * 100_000, b'{"name": "a"}', b'{"name": 1, "size": [1, 2]}', WHOLE[:-1],
    b'{"name": "a", "size": ["1", 2]}', b'{"name": "a", "size": [1.0, 2]}', b'{"name": "a", "size": [true, 2]}',
    b'{"name": "a", "size": [1, 2, 3]}', b'{"name": "a", "size": [1, 2], "a\x1b[2J\\n": 1}',
])  # fmt: skip
def test_what_is_none_is_damaged_and_one_line_says_in_what(content):
    with pytest.raises(Damaged) as caught:
        from_json(Toy, content)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("content", [b"name", b"\xff", b'name = "a"', b'name = "a"\nsize = [1, 2.5]'])
def test_so_it_is_with_toml(content):
    with pytest.raises(Damaged):
        from_toml(Toy, content)


@settings(deadline=None)
@given(st.binary(max_size=80), st.integers(0, len(WHOLE)))
def test_no_bytes_do_more_than_raise_that(content, place):
    for text in (content, WHOLE[:place] + content[:2] + WHOLE[place + 2 :]):
        for read in (from_json, from_toml):
            with suppress(Damaged):
                assert isinstance(read(Toy, text), Toy)
