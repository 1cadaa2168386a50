"""Selfie's shape, actor's expression."""

import numpy as np
import pytest

from vidswap.face import landmarks
from vidswap.face.expression import LIDS, LIPS, Blend, likeness, perform


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


def test_a_laughing_selfie_does_not_laugh_on_a_calm_actor(person, mean):
    laughing = mean.copy()
    laughing[[61, 291], 1] -= 0.1
    laughing[LIPS[1], 1] += 0.15
    calm, laugh = (perform(person, selfie, mean, mean)[[61, 291], 1].mean() for selfie in (mean, laughing))
    assert abs(laugh - calm) < 0.06  # of 0.1
