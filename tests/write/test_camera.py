"""The camera of another shape: bounded, calm, always within the picture, with the face where it belongs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rendered import track_of

from vidswap.types import Shot
from vidswap.write.camera import ACCELERATION, HAIR, SAFE, SPEED, Subjects, camera_path, subjects_of
from vidswap.write.target import Shape

SIZE = (1920, 1080)
TALL = Shape(1080, 1920)
SHAPES = [TALL, Shape(1080, 1080), Shape(1080, 1350), Shape(1920, 1080), Shape(1920, 800), Shape(64, 256)]


def heads_at(x, y=500.0, width=200.0, height=280.0):
    """(T, 1, 4): a head whose middle goes through the points."""
    x, y = np.broadcast_arrays(np.asarray(x, np.float64), y)
    return np.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], 1)[:, None]


def path_of(heads, shape=TALL, shots=None, *, look=0.0, rate=25.0, size=SIZE):
    seconds = np.arange(len(heads)) / rate
    shots = [Shot(0, len(heads))] if shots is None else shots
    return camera_path(shape, size, seconds, shots, Subjects(heads, np.full(heads.shape[:2], look)))


def sways(rng, count, rate, fastest):
    """(T,) a smooth walk, whose speed and acceleration stay within `fastest`."""
    turns = rng.uniform(0.2, 2.0, 4)  # radians a second
    phases = rng.uniform(0, 2 * np.pi, 4)
    parts = np.sin(np.arange(count)[:, None] / rate * turns + phases) * fastest / 4 / np.maximum(turns, turns**2)
    return parts.sum(1)


def is_within(path, size=SIZE):
    return (path[:, :2] >= 0).all() and (path[:, :2] + path[:, 2:] <= np.array(size) + 1e-9).all()


@settings(max_examples=25)
@given(
    st.integers(0, 2**32 - 1), st.integers(1, 120), st.sampled_from(SHAPES),
    st.sampled_from([SIZE, (1080, 1920), (95, 63), (720, 576)]), st.integers(0, 3),
)  # fmt: skip
def test_whatever_people_do_the_camera_is_bounded_and_within_the_picture(seed, count, shape, size, people):
    rng = np.random.default_rng(seed)
    seconds = np.cumsum(rng.uniform(0.005, 0.12, count))
    middle = rng.uniform(-0.2, 1.2, (count, people, 2)) * size  # they leap, and leave the picture
    half = rng.uniform(0.01, 0.6, (1, people, 2)) * min(size) / 2
    heads = np.concatenate([middle - half, middle + half], -1)
    heads[rng.random((count, people)) < 0.3] = np.nan
    cut = int(rng.integers(1, count)) if count > 1 else 1
    shots = [Shot(0, cut), Shot(cut, count)] if cut < count else [Shot(0, count)]
    path = camera_path(shape, size, seconds, shots, Subjects(heads, rng.uniform(-1, 1, (count, people))))
    assert path.shape == (count, 4)
    assert np.isfinite(path).all()
    assert is_within(path, size)
    for shot in shots:
        each, times = path[shot.start : shot.stop], seconds[shot.start : shot.stop]
        assert (each[:, 2:] == each[0, 2:]).all()
        speed = np.diff(each[:, :2], axis=0) / np.diff(times)[:, None] / each[0, 2]
        gain = 2 * np.diff(speed, axis=0) / (times[2:] - times[:-2])[:, None]
        assert np.abs(speed).max(initial=0) <= SPEED * (1 + 1e-6)
        assert np.abs(gain).max(initial=0) <= ACCELERATION * (1 + 1e-6) + 1e-9 / 0.005**2


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1), st.sampled_from([24.0, 25.0, 60.0]), st.sampled_from(SHAPES[:3]))
def test_a_face_that_fits_is_in_the_safe_area(seed, rate, shape):
    rng = np.random.default_rng(seed)
    count = int(4 * rate)
    x = SIZE[0] / 2 + np.clip(sways(rng, count, rate, 0.7 * 607), -700, 700)
    heads = heads_at(x + rng.normal(0, 2, count), 480 + rng.normal(0, 2, count))  # trackers tremble
    path = path_of(heads, shape, rate=rate, look=float(rng.uniform(-1, 1)))
    low, high = path[:, :2] + SAFE * path[:, 2:3], path[:, :2] + path[:, 2:] - SAFE * path[:, 2:3]
    inside = (heads[:, 0, :2] >= low - 1e-6).all(1) & (heads[:, 0, 2:] <= high + 1e-6).all(1)
    assert inside.mean() >= 0.99


def test_a_face_that_stays_is_seen_by_a_camera_that_stands():
    rng = np.random.default_rng(1)
    path = path_of(heads_at(1200 + rng.normal(0, 3, 100)))
    assert (path == path[0]).all()
    assert (path[0] % 2 == 0).all()
    assert abs(path[0, 0] + path[0, 2] / 2 - 1200) < 0.06 * path[0, 2]


def test_the_camera_does_not_tremble_with_the_face():
    rng = np.random.default_rng(2)
    x = np.linspace(500, 1400, 125)
    smooth, shaken = path_of(heads_at(x)), path_of(heads_at(x + rng.normal(0, 4, 125)))
    assert np.abs(np.diff(shaken[:, 0], 2)).max() < 3 * np.abs(np.diff(smooth[:, 0], 2)).max() + 0.1
    assert (np.diff(shaken[:, 0]) > -0.1).all(), "it never goes back"


def test_a_cut_is_not_lagged_behind():
    heads = heads_at(np.repeat([400.0, 1500.0], 50))
    path = path_of(heads, shots=[Shot(0, 50), Shot(50, 100)])
    middle = path[:, 0] + path[:, 2] / 2
    assert np.abs(middle - heads[:, 0, [0, 2]].mean(1)).max() < 0.06 * path[0, 2]


def test_frames_between_shots_are_a_shot_of_their_own():
    path = path_of(heads_at(np.repeat([400.0, 1500.0, 400.0], 20)), shots=[Shot(0, 20), Shot(40, 60)])
    assert path[19, 0] < path[20, 0]
    assert path[39, 0] > path[40, 0]


def test_it_waits_for_someone_who_is_about_to_come():
    heads = heads_at(np.full(100, 1500.0))
    heads[:50] = np.nan
    path = path_of(heads)
    assert np.ptp(path[:, 0]) == 0
    assert abs(path[0, 0] + path[0, 2] / 2 - 1500) < 0.06 * path[0, 2]


def test_there_is_room_before_a_face_that_looks_aside():
    ahead, left, right = (path_of(heads_at(np.full(50, 960.0)), look=look)[0, 0] for look in (0, -1, 1))
    assert left < ahead - 30
    assert right > ahead + 30


def test_there_is_room_above_a_head():
    path = path_of(heads_at(np.full(50, 540.0), np.full(50, 700.0)), Shape(1080, 1080), size=(1080, 1920))
    above, below = 700 - 140 - path[0, 1], path[0, 1] + path[0, 3] - 840
    assert 0.2 < above / path[0, 3] < below / path[0, 3]


def test_two_people_are_held_if_they_fit_else_the_larger():
    near = np.concatenate([heads_at(np.full(50, 800.0)), heads_at(np.full(50, 1050.0), width=150)], 1)
    path = path_of(near)
    assert path[0, 0] < 700
    assert path[0, 0] + path[0, 2] > 1125
    far = np.concatenate([heads_at(np.full(50, 300.0), width=150), heads_at(np.full(50, 1500.0))], 1)
    path = path_of(far)
    assert abs(path[0, 0] + path[0, 2] / 2 - 1500) < 0.06 * path[0, 2]


def test_a_face_larger_than_the_crop_is_held_by_one_of_another_shape():
    path = path_of(heads_at(np.full(50, 960.0), width=800, height=1000))
    assert (path == path[0]).all()
    assert path[0, 2:].tolist() == [874, 1080]
    assert path[0, 0] == pytest.approx(960 - 437, abs=2)
    assert (path_of(heads_at(np.full(50, 960.0), width=5000)) == [0, 0, *SIZE]).all()
    tight = path_of(heads_at(np.full(50, 960.0), width=600))
    assert tight[0, 2:].tolist() == [608, 1080]
    assert tight[0, 0] == pytest.approx(656, abs=4)


def test_all_is_shown_where_that_is_wanted():
    assert (path_of(heads_at(np.full(50, 960.0)), Shape(1080, 1920, "whole")) == [0, 0, *SIZE]).all()


def test_where_nobody_is_the_middle_is_shown():
    path = path_of(np.full((30, 2, 4), np.nan))
    assert (path == [656, 0, 608, 1080]).all()
    assert (path_of(np.full((30, 0, 4), np.nan)) == path).all()


def test_a_small_face_is_gone_nearer_to_as_far_as_no_pixel_is_enlarged():
    heads = heads_at(np.full(50, 2000.0), np.full(50, 900.0), width=60, height=140)
    assert path_of(heads, size=(3840, 2160))[0, 3] == 1920
    assert path_of(heads, Shape(540, 960), size=(3840, 2160))[0, 3] == 960
    assert path_of(heads, Shape(270, 480), size=(3840, 2160))[0, 3] == 480
    large = heads_at(np.full(50, 2000.0), np.full(50, 900.0), width=300, height=700)
    assert path_of(large, Shape(270, 480), size=(3840, 2160))[0, 3] == 2000


@pytest.mark.parametrize("size", [(1080, 1920), (540, 960), (2160, 3840)])
def test_a_picture_of_the_shape_is_shown_as_it_is(size):
    path = path_of(heads_at(np.linspace(100, 300, 50)), size=size)
    assert path[0].tolist() == [0, 0, *size] or size[0] > 1080
    small = heads_at(np.linspace(10, 30, 9), width=9, height=9)
    assert (path_of(small, Shape(96, 64), size=(96, 64)) == [0, 0, 96, 64]).all()


def test_heads_are_those_of_the_tracks():
    track, later = track_of(3, 10, 20), track_of(5, 15, 40)
    seen = subjects_of([later, track], Shot(12, 30))
    assert seen.heads.shape == (18, 2, 4)
    assert np.isnan(seen.heads[8:, 0]).all()
    assert np.isnan(seen.heads[:3, 1]).all()
    low, high = track.mesh[0, :, :2].min(0), track.mesh[0, :, :2].max(0)
    want = [low[0], low[1] - HAIR * (high - low)[1], *high]
    np.testing.assert_allclose(seen.heads[0, 0], want, atol=0.1)
    assert np.abs(seen.look).max() < 0.1
    track.mesh[:, 1, 0] -= 10  # the tip of the nose
    left = subjects_of([track], Shot(12, 13))
    assert left.look[0, 0] < -0.2
    assert left.heads[0, 0, 0] == seen.heads[0, 0, 0]
    assert left.heads[0, 0, 2] > seen.heads[0, 0, 2] + 2, "the back of the head"


@pytest.mark.parametrize("words", [(0, 1920), (1080, 1920, "stretch")])
def test_a_shape_that_cannot_be_is_refused(words):
    with pytest.raises(ValueError, match="expected sides"):
        Shape(*words)
