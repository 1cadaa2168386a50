"""Windows cover a span once, whatever their size."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidswap.swap.windows import windows


@st.composite
def spans(draw):
    start, count = draw(st.integers(0, 1000)), draw(st.integers(1, 300))
    size = draw(st.integers(1, 64))
    return start, start + count, size, draw(st.integers(0, size // 2))


@given(spans())
def test_weights_sum_to_one_in_every_frame(span):
    start, stop, size, overlap = span
    total, depth = np.zeros(stop - start), np.zeros(stop - start, int)
    for window in windows(start, stop, size, overlap):
        assert len(window.weight) == len(window) <= size
        total[window.start - start : window.stop - start] += window.weight
        depth[window.start - start : window.stop - start] += 1
    np.testing.assert_allclose(total, 1, atol=1e-6)
    assert depth.max() <= 2


@given(spans())
def test_windows_come_in_order_share_the_overlap_and_bring_something_new(span):
    start, stop, size, overlap = span
    made = list(windows(start, stop, size, overlap))
    assert made[0].start == start
    assert made[-1].stop == stop
    for before, after in pairwise(made):
        assert before.stop - after.start == overlap
        assert len(before) == size
        assert len(after) > overlap


@given(spans())
def test_no_frame_is_faded_out_entirely(span):
    assert all((window.weight > 0).all() for window in windows(*span))


def test_a_crossfade_is_a_straight_line():
    first, second = windows(0, 13, 8, 3)
    np.testing.assert_allclose(first.weight, [1, 1, 1, 1, 1, 0.75, 0.5, 0.25])
    np.testing.assert_allclose(second.weight, [0.25, 0.5, 0.75, 1, 1, 1, 1, 1])


def test_windows_are_lazy():
    endless = windows(0, 10**12, 16, 4)
    assert next(endless).stop == 16


def test_an_empty_span_has_no_window():
    assert list(windows(5, 5, 8, 2)) == []


@pytest.mark.parametrize(("size", "overlap"), [(0, 0), (4, 3), (4, -1), (1, 1)])
def test_a_frame_may_not_fall_into_three_windows(size, overlap):
    with pytest.raises(ValueError, match="at most half"):
        list(windows(0, 10, size, overlap))
