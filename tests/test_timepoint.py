"""Words for a time: exact, and refused in one line where they are none."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_pipeline import clip_of

from vidswap.errors import UsageError
from vidswap.read.clip import span_of
from vidswap.settings import ReadSettings
from vidswap.timepoint import TimePoint, time_point


@pytest.mark.parametrize(("words", "value", "in_frames"), [
    ("3.5", Fraction(7, 2), False), ("0", Fraction(0), False), (".25", Fraction(1, 4), False),
    ("2:03", Fraction(123), False), ("01:02:03.25", Fraction(372325, 100), False), ("90:00", Fraction(5400), False),
    ("0.1", Fraction(1, 10), False), ("120f", Fraction(120), True), (" 7 ", Fraction(7), False),
])  # fmt: skip
def test_words_are_read_exactly(words, value, in_frames):
    assert time_point(words) == TimePoint(value, in_frames)


@pytest.mark.parametrize("words", ["", "f", "-1", "1.5f", "1:60", "1:60:00", "a", "1e3", "nan", "inf", "1:2:3:4", "1,5",
                                   "٣", "9" * 40, "0x10", "-2f"])  # fmt: skip
def test_other_words_are_refused_with_what_is_allowed(words):
    with pytest.raises(UsageError, match="no time") as caught:
        time_point(words)
    assert "120f" in caught.value.hint


@given(st.integers(0, 99), st.integers(0, 59), st.integers(0, 59), st.integers(0, 10**6 - 1))
def test_hours_minutes_and_seconds_are_the_sum_they_name(hours, minutes, seconds, millionths):
    expected = Fraction(hours * 3600 + minutes * 60 + seconds) + Fraction(millionths, 10**6)
    assert time_point(f"{hours}:{minutes:02d}:{seconds:02d}.{millionths:06d}").value == expected
    assert time_point(f"{hours * 3600 + minutes * 60 + seconds}.{millionths:06d}").value == expected


@given(st.lists(st.integers(1, 900), min_size=1, max_size=30), st.integers(0, 20000), st.integers(1, 20000))
def test_a_span_holds_exactly_the_pictures_within(steps, start, length):
    clip = clip_of(np.cumsum([-400, *steps]) / 1000)
    first, last = TimePoint(Fraction(start, 1000)), TimePoint(Fraction(start + length, 1000))
    times = [int(time - clip.pts[0]) * clip.time_base for time in clip.pts]
    inside = [i for i, time in enumerate(times) if first.value <= time < last.value]
    if not inside:
        with pytest.raises(UsageError, match="no frame"):
            span_of(clip, first, last)
    else:
        span = span_of(clip, first, last)
        assert list(range(span.start, span.stop)) == inside


def test_an_end_before_the_start_is_refused_before_any_clip_is_read():
    for start, end in (("5", "5"), ("10f", "9f"), ("0:07", "6.999")):
        with pytest.raises(UsageError, match=r"read\.end"):
            ReadSettings(time_point(start), time_point(end))
    ReadSettings(time_point("3"), time_point("2f"))  # only the clip can tell
