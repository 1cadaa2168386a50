"""Meshes that tremble are held on a face that moves as its pictures show."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidswap.face import geometry
from vidswap.face.landmarks import mean_face
from vidswap.face.steady import shift, steadied

SIZE = 256
TEXTURE = cv2.GaussianBlur(np.random.default_rng(0).normal(0, 60, (SIZE, SIZE)).astype(np.float32), (0, 0), 3) * 4 + 128


def moved(x, y):
    """The texture, and a face on it, so many pixels to the right and down."""
    turn = np.float32([[1, 0, x], [0, 1, y]])
    grey = cv2.warpAffine(TEXTURE, turn, (SIZE, SIZE), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    mesh = geometry.posed(mean_face(), geometry.Pose(90.0, np.eye(3), np.array([SIZE / 2 + x, SIZE / 2 + y, 0])))
    return np.clip(np.rint(grey), 0, 255).astype(np.uint8)[..., None].repeat(3, 2), mesh


def trembling(rng, shakes):
    """Pictures of a head that shakes, the meshes on it, and these with a tracker's error."""
    pictures, meshes = (np.stack(each) for each in zip(*(moved(*shake) for shake in shakes)))
    return pictures, meshes, meshes + np.pad(rng.normal(0, 0.5, (len(shakes), 2)), ((0, 0), (0, 1)))[:, None]


def jitter(path):
    return float(np.abs(np.diff(path, 2, axis=0)).mean())


def test_a_mesh_that_trembles_is_held_on_a_head_that_shakes():
    rng = np.random.default_rng(1)
    pictures, true, wrong = trembling(rng, rng.normal(0, 1.0, (16, 2)))
    held = steadied(pictures, wrong.astype(np.float32), np.ones(pictures.shape[:3], np.float32))
    assert held.dtype == np.float32
    assert jitter((held - true)[:, 0, :2]) < 0.2 * jitter((wrong - true)[:, 0, :2])
    np.testing.assert_allclose((held - wrong)[:, :1].repeat(478, 1), held - wrong, atol=1e-4, err_msg="as a whole")


def test_what_the_pictures_drift_by_is_not_followed():
    """A constant error is the meshes' own; a slow one stays as well."""
    pictures, true, _ = trembling(np.random.default_rng(0), np.zeros((16, 2)))
    drift = np.linspace(0, 3, 16)[:, None, None] * np.array([1.0, 0.5, 0])
    held = steadied(pictures, (true + drift).astype(np.float32), np.ones(pictures.shape[:3], np.float32))
    np.testing.assert_allclose(held, true + drift, atol=0.25)


@pytest.mark.parametrize("hidden", ["all", "flat", "short"])
def test_where_nothing_is_told_meshes_stay(hidden):
    rng = np.random.default_rng(2)
    pictures, _, wrong = trembling(rng, rng.normal(0, 1.0, (2 if hidden == "short" else 6, 2)))
    seen = np.full(pictures.shape[:3], hidden != "all", np.float32)
    shown = np.full_like(pictures, 90) if hidden == "flat" else pictures
    np.testing.assert_allclose(steadied(shown, wrong.astype(np.float32), seen), wrong, atol=0.02)


@settings(max_examples=20, deadline=None)
@given(x=st.floats(-2, 2), y=st.floats(-2, 2), lighter=st.floats(-20, 20))
def test_a_shift_is_found_whatever_the_light(x, y, lighter):
    seen = np.zeros((SIZE, SIZE), bool)
    seen[60:200, 60:200] = True
    one, other = (picture[..., 0].astype(np.float32) for picture, _ in (moved(0, 0), moved(x, y)))
    np.testing.assert_allclose(shift(one, other + np.float32(lighter), seen, np.zeros(2)), [x, y], atol=0.08)


def test_a_hand_that_moves_before_it_counts_for_little():
    seen = np.zeros((SIZE, SIZE), bool)
    seen[60:200, 60:200] = True
    one, other = (picture[..., 0].astype(np.float32) for picture, _ in (moved(0, 0), moved(1.2, -0.6)))
    one[150:200, 60:110] = 250
    np.testing.assert_allclose(shift(one, other, seen, np.zeros(2)), [1.2, -0.6], atol=0.1)
