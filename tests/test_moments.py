"""Where a clip is at its best: the scores of frames, and the windows that are chosen."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rendered import clip_of, lazy, track_of

from vidswap.face.landmarks import LID_MIDDLES, LOWER_LIP
from vidswap.moments import moments_of, persons_in, scores_of
from vidswap.types import Shot, TrackPart

COUNT = 500  # 20 s


def person(start: int = 0, stop: int = COUNT, zoom: float = 3.0) -> TrackPart:
    part = track_of(0, start, stop)
    return replace(part, mesh=(part.mesh * np.float32(zoom)))


def speaking(part: TrackPart, start: int, stop: int) -> TrackPart:
    """The mouth opens and closes four times a second in the frames [start, stop)."""
    mesh, rows = part.mesh.copy(), np.arange(start, stop) - part.start
    mesh[rows, LOWER_LIP, 1] += 6 * (1 + np.sin(rows * 2 * np.pi * 4 / 25)).astype(np.float32)
    return replace(part, mesh=mesh)


def score(*parts: TrackPart) -> np.ndarray:
    return scores_of(clip_of(COUNT), Shot(0, COUNT), [lazy(part) for part in parts])


def test_a_larger_face_counts_more_and_none_nothing() -> None:
    small, large = score(person(zoom=1.0)), score(person(zoom=2.0))
    assert (large > 1.5 * small).all()
    assert (score(person(100, 200))[:100] == 0).all()
    unseen = replace(person(), seen=np.arange(COUNT) >= 250)
    assert (score(unseen)[:250] == 0).all()


def test_speaking_moving_and_open_eyes_count() -> None:
    plain = person()
    assert score(speaking(plain, 200, 300))[230:270].min() > 1.3 * score(plain)[250]
    walking = plain.mesh + np.linspace(0, 400, COUNT, dtype=np.float32)[:, None, None] * np.array([1, 0, 0], np.float32)
    assert score(replace(plain, mesh=walking))[250] > score(plain)[250]
    shut = plain.mesh.copy()
    for upper, lower in LID_MIDDLES:
        shut[240:250, upper] = shut[240:250, lower]
    assert score(replace(plain, mesh=shut))[245] < 0.7 * score(plain)[245]


def test_the_best_window_is_where_somebody_speaks() -> None:
    track = lazy(speaking(person(), 300, 400))
    best = moments_of(clip_of(COUNT), Shot(0, COUNT), [Shot(0, COUNT)], [track], length=4.0)[0]
    assert abs(best.start - 300) <= 25
    assert best.stop - best.start == 100
    assert best.start <= best.best < best.stop


def test_windows_begin_at_cuts_where_that_costs_little() -> None:
    track, shots = lazy(speaking(person(), 300, 400)), [Shot(0, 290), Shot(290, COUNT)]
    best = moments_of(clip_of(COUNT), Shot(0, COUNT), shots, [track], length=4.0)[0]
    assert best.start == 290


@given(st.integers(1, COUNT), st.floats(0.04, 30), st.integers(1, 6), st.lists(st.integers(1, COUNT - 1), max_size=5))
def test_windows_lie_within_do_not_overlap_and_are_as_long_as_asked(
    count: int, length: float, most: int, cuts: list[int]
) -> None:  # fmt: skip
    edges = sorted({0, count, *(cut for cut in cuts if cut < count)})
    shots = [Shot(*pair) for pair in pairwise(edges)]
    span = Shot(7, 7 + count)
    moved = [Shot(shot.start + 7, shot.stop + 7) for shot in shots]
    track = lazy(person(7, 7 + count))
    found = moments_of(clip_of(7 + count), span, moved, [track], length=length, count=most)
    assert 1 <= len(found) <= most
    assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)
    for each in found:
        assert span.start <= each.start <= each.best < each.stop <= span.stop
        assert each.stop - each.start == pytest.approx(min(length * 25, count), abs=1.01)
    placed = sorted(found, key=lambda each: each.start)
    assert all(one.stop <= other.start for one, other in pairwise(placed))


def test_whom_a_cast_means() -> None:
    seen = {0: 10.0, 1: 30.0, 2: 5.0}
    assert persons_in(["largest"], seen) == {1}
    assert persons_in([0, 7], seen) == {0}
    assert persons_in(["all"], seen) == {0, 1, 2}
    assert persons_in(["largest"], {}) == set()
