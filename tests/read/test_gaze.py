"""Irises are found where the picture shows them, whatever a net says."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidswap.face import geometry, landmarks
from vidswap.face.landmarks import mean_face
from vidswap.read.gaze import darkest, irises_seen

MEAN, SIZE = mean_face(), 320
POSE = geometry.Pose(150.0, np.eye(3), np.array([160.0, 160.0, 0.0]))
MESH = geometry.posed(MEAN, POSE)


def looking(aside):
    """A painted face whose eyes look `aside` distances of the eye corners to the right."""
    picture = np.full((SIZE, SIZE, 3), (190, 150, 125), np.uint8)
    for contour, iris in zip(landmarks.EYES, landmarks.IRISES, strict=True):
        lids, inside = np.zeros((SIZE, SIZE), np.uint8), picture.copy()
        cv2.fillPoly(lids, [np.round(MESH[contour, :2]).astype(np.int32)], 1)
        inside[lids > 0] = (225, 222, 218)
        middle = MESH[iris[0], :2] + [aside * POSE.scale, 0]
        cv2.circle(inside, tuple(np.round(middle).astype(int).tolist()), 8, (80, 60, 45), -1, cv2.LINE_AA)
        picture[lids > 0] = inside[lids > 0]
    return cv2.GaussianBlur(picture, (0, 0), 0.7)


@settings(max_examples=12, deadline=None)
@given(aside=st.floats(-0.06, 0.06))
def test_a_look_aside_is_seen(aside):
    found = irises_seen(looking(aside), MESH, MEAN)
    for iris in landmarks.IRISES:
        assert (found[iris[0], 0] - MESH[iris[0], 0]) / POSE.scale == pytest.approx(aside, abs=0.016)
        np.testing.assert_allclose(found[iris] - found[iris[0]], MESH[iris] - MESH[iris[0]], atol=1e-4)


def test_what_shows_no_iris_leaves_them_and_all_else_stays():
    blank = np.full((SIZE, SIZE, 3), 150, np.uint8)
    assert (irises_seen(blank, MESH, MEAN) == MESH).all()
    skin = np.arange(468)
    assert (irises_seen(looking(0.05), MESH, MEAN)[skin] == MESH[skin]).all()


def test_of_a_tiny_face_nothing_is_told():
    small = geometry.posed(MEAN, POSE._replace(scale=20.0, shift=np.array([40.0, 40.0, 0.0])))
    assert irises_seen(looking(0.0), small, MEAN) is small


def test_a_shadow_beside_an_iris_is_none():
    grey = np.full((48, 48), 200, np.uint8)
    grey[:, 34:] = 90
    cv2.circle(grey, (20, 24), 6, 60, -1)
    at, darker = darkest(grey, np.ones((48, 48), np.uint8), np.array([24.0, 24.0]), 6.0)
    assert at == pytest.approx([20, 24], abs=0.7)
    assert darker > 40
