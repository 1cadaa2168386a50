"""Movements are told apart, whichever way the head is turned; slopes say how much of them is repeated."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidswap.face import geometry, landmarks
from vidswap.face.landmarks import mean_face
from vidswap.face.movement import STILL, kept, movements, slope

MEAN = mean_face()


def seen(face, yaw=0.0):
    a = np.radians(yaw)
    turn = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    return geometry.posed(face, geometry.Pose(80.0, turn, np.array([100.0, 90.0, 0.0])))


def brows_up(face):
    face[np.concatenate(landmarks.BROWS), 1] -= 0.05


def lids_shut(face):
    for upper, lower in landmarks.LIDS:
        face[upper] = face[lower]


def jaw_down(face):
    face[landmarks.CHIN, 1] += 0.1


def corners_up(face):
    face[[*landmarks.MOUTH_CORNERS], 1] -= 0.05


def lips_pursed(face):
    face[[*landmarks.MOUTH_CORNERS], 0] *= 0.6


def look_right(face):
    for iris in landmarks.IRISES:
        face[iris, 0] += 0.05


@pytest.mark.parametrize("yaw", [0, 35])
@pytest.mark.parametrize(
    ("change", "name", "sign"),
    [(brows_up, "brows", 1), (lids_shut, "lids", -1), (jaw_down, "jaw", 1), (corners_up, "corners", 1),
     (lips_pursed, "pucker", 1), (look_right, "gaze", 1)],
)  # fmt: skip
def test_each_movement_is_told_and_no_other(change, name, sign, yaw):
    face = MEAN.copy()
    change(face)
    moved, still = movements(seen(face, yaw), MEAN), movements(seen(MEAN, yaw), MEAN)
    assert sign * (moved[name] - still[name]) > 0.03
    others = [moved[each] - still[each] for each in moved if each not in (name, "smile")]
    assert np.abs(others).max() < 0.02


@settings(max_examples=40, deadline=None)
@given(share=st.floats(0.2, 2), off=st.floats(-1, 1), noise=st.floats(0, 0.01), seed=st.integers(0, 99))
def test_the_slope_is_the_share_of_a_movement_that_is_repeated(share, off, noise, seed):
    rng = np.random.default_rng(seed)
    own = 0.1 * rng.normal(size=400)
    pairs = np.stack([own, off + share * own], 1) + noise * rng.normal(size=(400, 2))
    assert slope(pairs) == pytest.approx(share, abs=0.05)


def test_of_an_actor_who_keeps_still_nothing_is_told():
    rng = np.random.default_rng(0)
    assert slope(STILL / 3 * rng.normal(size=(100, 2))) is None
    assert slope(np.ones((3, 2))) is None


def test_a_photos_smile_is_kept_by_the_share_that_is_seen():
    assert kept(0.3, 0.0, 0.12) == pytest.approx(0.4)
    assert kept(0.3, 0.1, 0.1) == 0
    assert kept(0.12, 0.1, 0.3) is None, "who hardly smiles leaves nothing"
