"""The before/after sheet shows the right pictures in the right places."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidswap.write.sheets import HEAD, LINE, MARGIN, TALL, changed, sheet, timecode


def grey(height: int = 120, width: int = 200, level: int = 90) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


def with_patch(x: int, y: int, side: int) -> np.ndarray:
    picture = grey()
    picture[y : y + side, x : x + side] = (250, 10, 10)
    return picture


@given(x=st.integers(0, 160), y=st.integers(0, 80), side=st.integers(12, 40))
def test_closer_look_holds_the_change_and_stays_in_the_frame(x: int, y: int, side: int) -> None:
    after = with_patch(x, y, side)
    left, top, square = changed(grey(), after)
    assert left >= 0
    assert top >= 0
    assert left + square <= 200
    assert top + square <= 120
    wrong = (after != grey()).any(-1)
    assert wrong[top : top + square, left : left + square].sum() == wrong.sum()
    assert square <= 2.2 * side + 8


def test_closer_look_takes_the_largest_change_and_ignores_grain() -> None:
    draw = np.random.default_rng(0)
    before = draw.integers(80, 100, (120, 200, 3)).astype(np.uint8)
    after = np.clip(before + draw.integers(-4, 5, before.shape), 0, 255).astype(np.uint8)
    after[40:80, 120:160] = 255
    after[5:10, 5:10] = 255
    left, top, side = changed(before, after)
    assert left <= 120
    assert left + side >= 160
    assert top <= 40
    assert top + side >= 80
    assert side < 90


def test_nothing_changed_shows_the_middle() -> None:
    assert changed(grey(), grey()) == (40, 0, 120)


@pytest.mark.parametrize("shape", [(120, 200), (300, 160), (1080, 1920)])
def test_sheet_lays_out_original_and_swapped(shape: tuple[int, int]) -> None:
    before, after = grey(*shape, level=50), grey(*shape, level=200)
    page = sheet([(0, 0.0, before, after), (50, 2.0, before, after), (75, 3.0, before, after)])
    wide = round(TALL * shape[1] / shape[0])
    assert page.shape == (HEAD + 3 * (LINE + TALL) + MARGIN, 5 * MARGIN + 2 * wide + 2 * TALL, 3)
    assert page.dtype == np.uint8
    for row in range(3):
        line = page[HEAD + row * (LINE + TALL) + LINE + TALL // 2]
        middles = [MARGIN + wide // 2, 2 * MARGIN + wide + wide // 2, 3 * MARGIN + 2 * wide + TALL // 2]
        assert [int(line[x, 0]) for x in middles] == [50, 200, 50]
        assert int(line[page.shape[1] - MARGIN - TALL // 2, 0]) == 200


def test_time_of_each_row_is_written() -> None:
    one, two = (sheet([(0, seconds, grey(), grey())]) for seconds in (1.0, 2.0))
    rows = np.flatnonzero((one != two).any((1, 2)))
    assert HEAD <= rows.min() < rows.max() < HEAD + LINE


@given(st.floats(0, 36000))
def test_timecode_reads_back(seconds: float) -> None:
    minutes, rest = timecode(seconds).split(":")
    assert abs(int(minutes) * 60 + float(rest) - seconds) <= 0.00501
    assert float(rest) < 60
