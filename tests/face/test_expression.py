"""Selfie's shape, actor's expression."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidswap.face import geometry, landmarks
from vidswap.face.expression import Blend, likeness, neutral_shape, open_share, perform
from vidswap.face.landmarks import LIDS, LIPS


@pytest.fixture(scope="module")
def mean(engine):
    return engine.form.mean


@pytest.fixture(scope="module")
def person(mean):
    return likeness(mean, Blend())


def gap(face, pair):
    return np.linalg.norm(face[pair[0], :2] - face[pair[1], :2], axis=1).mean()


def test_an_actor_at_rest_playing_themselves_is_unchanged(person, mean):
    assert np.abs(perform(person, mean, mean, mean) - mean).max() < 1e-4


def test_all_of_the_selfies_shape_where_all_is_asked_for(mean):
    selfie = mean * np.float32(1.1)
    whole = likeness(mean, Blend(1, 1, 1, 1, 1))
    nose = np.array([1, 4, 5, 6, 195, 197])
    assert np.allclose(perform(whole, selfie, mean, mean)[nose], selfie[nose], atol=1e-3)


def test_a_blink_closes_eyes_of_any_size(person, mean):
    blink, wide = mean.copy(), mean.copy()
    for upper, lower in LIDS:
        blink[upper] = blink[lower]
        wide[upper, 1] -= 0.05
    for selfie in (mean, wide):
        face = perform(person, selfie, mean, blink)
        assert all(gap(face, pair) < 1e-3 for pair in LIDS)


def test_who_squints_all_through_a_shot_squints_with_any_face(person, mean):
    """Half as much as their own eyes are narrower; eyes that are narrower than the actor's stay as they are."""
    narrow = mean.copy()
    for upper, lower in LIDS:
        narrow[upper], narrow[lower] = mean[upper] * 0.75 + mean[lower] * 0.25, mean[lower] * 0.75 + mean[upper] * 0.25
    squinting, open_ = perform(person, mean, narrow, narrow), perform(person, narrow, mean, mean)
    for pair in LIDS:
        own = gap(person.own * mean + (1 - person.own) * narrow, pair)
        assert gap(squinting, pair) == pytest.approx((own + gap(narrow, pair)) / 2, rel=0.12)
        assert gap(open_, pair) == pytest.approx(gap(narrow, pair), rel=0.15)


@settings(max_examples=50, deadline=None)
@given(one=st.floats(0, 3), more=st.floats(0, 1))
def test_lids_that_a_mesh_has_nearly_shut_are_shut_and_open_ones_stay(one, more):
    assert 0 <= open_share(one) <= open_share(one + more)
    assert open_share(min(one, 0.25)) == 0
    if 0.7 <= one <= 1.6:
        assert open_share(one) == pytest.approx(one)


def test_lips_part_as_far_as_the_actors_whatever_the_selfie_does(person, mean):
    smiling, talking = mean.copy(), mean.copy()
    smiling[LIPS[1], 1] += 0.1
    talking[LIPS[1], 1] += 0.2
    assert gap(perform(person, smiling, mean, mean), LIPS) == pytest.approx(gap(mean, LIPS), abs=1e-3)
    assert gap(perform(person, smiling, mean, talking), LIPS) == pytest.approx(gap(talking, LIPS), abs=1e-3)


def test_eyes_look_where_the_actor_looks(person, mean):
    aside = mean.copy()
    for iris in landmarks.IRISES:
        aside[iris, 0] += 0.03
    moved = perform(person, mean, mean, aside) - perform(person, mean, mean, mean)
    for iris in landmarks.IRISES:
        assert np.allclose(moved[iris, 0], 0.03, atol=2e-3)


def posed(face):
    return geometry.posed(face, (90.0, np.eye(3), np.array([240.0, 180.0, 0.0])))


def expressive(mean, count=60):
    """A face that is at rest a third of the time, else speaks, blinks or smiles."""
    rest = np.arange(count) % 3 == 0
    meshes = []
    for i in range(count):
        face = mean.copy()
        if not rest[i]:
            face[[14, 17, 84, 314, 152, 148, 377], 1] += 0.12
            face[[159, 386], 1] += 0.06
            face[[61, 291], 0] += np.array([-0.08, 0.08])
            face[[61, 291], 1] -= 0.05
        meshes.append(posed(face))
    return np.stack(meshes)


def test_the_neutral_shape_is_the_face_at_rest(mean):
    got = neutral_shape(expressive(mean), np.ones(60, bool), mean)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, mean, atol=0.01)


def test_lips_that_never_close_are_closed_the_way_they_move(mean):
    meshes = np.repeat(posed(mean)[None], 40, 0)
    for i, mesh in enumerate(meshes):
        mesh[[14, 17, 152], 1] += 90 * (0.12 + 0.08 * np.sin(i))
    rest = neutral_shape(meshes, np.ones(40, bool), mean)
    assert np.linalg.norm(rest[13] - rest[14]) < np.linalg.norm(mean[13] - mean[14]) + 0.02
    np.testing.assert_allclose(rest[[17, 152]], mean[[17, 152]], atol=0.03)
    np.testing.assert_allclose(rest[[61, 159, 4]], mean[[61, 159, 4]], atol=0.01)


def test_lips_that_close_leave_the_corners_even(mean):
    """While the mouth opens the head turns, and the mesh pulls the corner on the far side along."""
    meshes = np.repeat(posed(mean)[None], 40, 0)
    for i, mesh in enumerate(meshes):
        gap = 0.1 + 0.04 * np.sin(i)
        mesh[[14, 17, 152], 1] += 90 * gap
        mesh[61, 0] += 90 * 0.6 * (gap - 0.1)
    rest = neutral_shape(meshes, np.ones(40, bool), mean)
    assert abs(rest[61, 0] + rest[291, 0] - (mean[61, 0] + mean[291, 0])) < 0.03


@pytest.mark.parametrize("count", [1, 2, 7])
def test_a_short_track_has_a_neutral_shape(count, mean):
    meshes = np.repeat(posed(mean)[None], count, 0)
    np.testing.assert_allclose(neutral_shape(meshes, np.ones(count, bool), mean), mean, atol=1e-3)
