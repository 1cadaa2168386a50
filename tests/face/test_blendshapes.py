"""What an expression does to a face is found, and taken off again."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidswap.face.blendshapes import blend_shapes, nonnegative
from vidswap.face.expression import Blend, closable, likeness, perform
from vidswap.face.landmarks import INNER_LIPS, LIPS, MOUTH_CORNERS, OUTER_LIPS, mean_face
from vidswap.face.movement import smile

SHAPES = blend_shapes()


def strengths(**wanted):
    return np.array([wanted.get(name.removesuffix("_L").removesuffix("_R"), 0.0) for name in SHAPES.names])


LAUGH = strengths(mouthSmile=0.8, mouthUpperUp=0.4, jawOpen=0.2, cheekSquint=0.4)


def test_a_face_at_rest_has_no_expression():
    assert SHAPES.of(SHAPES.resting).max() == 0
    np.testing.assert_allclose(SHAPES.at_rest(SHAPES.resting), SHAPES.resting, atol=1e-6)


def test_a_laugh_is_taken_off():
    laughing = SHAPES.resting + SHAPES.moved(LAUGH)
    more = smile(laughing) - smile(SHAPES.resting)
    assert more > 0.1
    assert abs(smile(SHAPES.at_rest(laughing)) - smile(SHAPES.resting)) < 0.2 * more
    assert SHAPES.strength("mouthSmile", SHAPES.of(laughing)) > 0.5


def test_a_nose_stays_a_nose_where_a_laugh_is_taken_off():
    """Of the way that its wings go along with the lip, a third; the corners of the mouth go all of it."""
    laughing = SHAPES.resting + SHAPES.moved(LAUGH)
    whole = np.linalg.norm(SHAPES.moved(SHAPES.lasting(laughing)), axis=1)
    share = np.linalg.norm(laughing - SHAPES.at_rest(laughing), axis=1) / np.maximum(whole, 1e-6)
    wings, corners = [98, 327], [*MOUTH_CORNERS]
    assert whole[wings].min() > 0.02
    assert share[wings].max() < 0.4
    assert share[corners].min() > 0.9


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 999), strong=st.floats(0, 1))
def test_less_of_an_expression_is_left_than_there_was(seed, strong):
    rng = np.random.default_rng(seed)
    face = SHAPES.resting + SHAPES.moved(strong * rng.uniform(0, 1, len(LAUGH)) * (rng.random(len(LAUGH)) < 0.2))
    left = np.linalg.norm(face - SHAPES.moved(SHAPES.of(face)) - SHAPES.resting)
    assert left <= np.linalg.norm(face - SHAPES.resting) + 1e-6


def test_what_tells_people_apart_stays_and_both_sides_alike():
    pressed = SHAPES.resting + SHAPES.moved(strengths(mouthPress=0.6, mouthFrown=0.4))
    np.testing.assert_allclose(SHAPES.at_rest(pressed), pressed, atol=0.01)
    smirk = np.where([name == "mouthSmile_L" for name in SHAPES.names], 0.8, 0.0)
    taken = dict(zip(SHAPES.names, SHAPES.lasting(SHAPES.resting + SHAPES.moved(smirk))))
    assert taken["mouthSmile_L"] == taken["mouthSmile_R"] == pytest.approx(0.4, abs=0.1)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 9999), size=st.integers(1, 12))
def test_the_least_is_found_where_nothing_may_be_negative(seed, size):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(size, size))
    stiff, wanted = root @ root.T + np.eye(size), rng.normal(size=size)
    x = nonnegative(stiff, wanted)
    slope = stiff @ x - wanted
    assert x.min() >= 0
    assert slope.min() > -1e-2, "no step to more would be better"
    assert np.abs(slope[x > 0]).max(initial=0) < 1e-2, "nor one to less"


def test_a_laughing_selfie_does_not_laugh_on_a_calm_actor_and_laughs_with_a_laughing_one():
    mean = mean_face()
    person, own = likeness(mean, Blend()), SHAPES.at_rest(SHAPES.resting + SHAPES.moved(LAUGH))
    neutral, laughing = SHAPES.resting, SHAPES.resting + SHAPES.moved(LAUGH)
    more = smile(laughing) - smile(neutral)
    calm, laugh = (perform(person, own, neutral, actor) for actor in (neutral, laughing))
    assert abs(smile(calm) - smile(neutral)) < 0.4 * more
    assert smile(laugh) - smile(calm) == pytest.approx(more, rel=0.05)


def test_edges_of_parted_lips_lie_in_the_lips_and_closed_ones_stay():
    mean = mean_face()
    parted = mean.copy()
    parted[LIPS[1], 1] += 0.08
    drawn = closable(parted)
    assert np.linalg.norm(drawn[INNER_LIPS] - parted[INNER_LIPS], axis=1).max() > 0.01
    between = np.linalg.norm(drawn[INNER_LIPS] - parted[OUTER_LIPS], axis=1)
    assert (between <= np.linalg.norm(parted[INNER_LIPS] - parted[OUTER_LIPS], axis=1) + 1e-6).all()
    shut = mean.copy()
    shut[LIPS[0]] = shut[LIPS[1]]
    np.testing.assert_allclose(closable(shut), shut, atol=1e-6)
    assert (drawn[[*MOUTH_CORNERS]] == parted[[*MOUTH_CORNERS]]).all()
