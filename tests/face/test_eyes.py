"""An eyeball looks where the iris is, under the lids, and both are of one person."""

import cv2
import numpy as np
import pytest

from vidswap.face import geometry, landmarks
from vidswap.face.eyes import eyeballs, look
from vidswap.face.landmarks import mean_face

MEAN, SIZE = mean_face(), 480
POSE = geometry.Pose(260.0, np.eye(3), np.array([240.0, 240.0, 0.0]))
SKIN, WHITE, BROWN, BLUE = (200, 150, 120), (235, 232, 228), (90, 60, 40), (70, 90, 140)


def painted(mesh, irises=(BROWN, BROWN)):
    picture = np.empty((SIZE, SIZE, 3), np.uint8)
    picture[:] = SKIN
    for contour, iris, colour in zip(landmarks.EYES, landmarks.IRISES, irises, strict=True):
        lids, white = np.zeros((SIZE, SIZE), np.uint8), picture.copy()
        cv2.fillPoly(lids, [np.round(mesh[contour, :2]).astype(np.int32)], 1)
        white[lids > 0] = WHITE
        radius = np.ptp(mesh[iris[1:], 0]) / 2
        cv2.circle(white, tuple(np.round(mesh[iris[0], :2]).astype(int).tolist()), round(radius), colour, -1)
        picture[lids > 0] = white[lids > 0]
    return picture


def dark_middle(picture, mesh, eye):
    """x of the middle of what is dark between the lids of an eye."""
    lids = np.zeros((SIZE, SIZE), np.uint8)
    cv2.fillPoly(lids, [np.round(mesh[landmarks.EYES[eye], :2]).astype(np.int32)], 1)
    dark = (picture.max(2) < 150) & (lids > 0)
    return np.nonzero(dark)[1].mean()


@pytest.fixture(scope="module")
def mesh():
    return geometry.posed(MEAN, POSE)


@pytest.fixture(scope="module")
def balls(mesh):
    return eyeballs(painted(mesh), mesh, MEAN)


@pytest.mark.parametrize("aside", [-0.025, 0.0, 0.025])
def test_an_eye_looks_where_the_iris_is(mesh, balls, aside):
    moved = mesh.copy()
    for iris in landmarks.IRISES:
        moved[iris, 0] += aside * POSE.scale
    drawn = look(painted(mesh), np.ones((SIZE, SIZE), np.uint8), balls, moved, POSE)
    for eye in (0, 1):
        went = dark_middle(drawn, mesh, eye) - dark_middle(painted(mesh), mesh, eye)
        assert went == pytest.approx(aside * POSE.scale, abs=2.5)


def test_nothing_changes_but_between_the_lids(mesh, balls):
    picture = np.full((SIZE, SIZE, 3), SKIN, np.uint8)
    drawn = look(picture, np.ones((SIZE, SIZE), np.uint8), balls, mesh, POSE)
    lids = np.zeros((SIZE, SIZE), np.uint8)
    for contour in landmarks.EYES:
        cv2.fillPoly(lids, [np.round(mesh[contour, :2]).astype(np.int32)], 1)
    changed = (drawn != picture).any(2)
    assert changed.sum() > 500
    assert not (changed & (cv2.dilate(lids, np.ones((3, 3))) == 0)).any()


def test_shut_lids_leave_no_speck_of_white(mesh, balls):
    shut = mesh.copy()
    for upper, lower in landmarks.LIDS:
        shut[upper] = shut[lower]
    picture = np.full((SIZE, SIZE, 3), SKIN, np.uint8)
    drawn = look(picture, np.ones((SIZE, SIZE), np.uint8), balls, shut, POSE)
    assert np.abs(drawn.astype(int) - picture).max() < 12


def test_both_irises_are_those_of_one_person(mesh):
    drawn = eyeballs(painted(mesh, (BROWN, BLUE)), mesh, MEAN).pictures
    half = drawn.shape[1] // 2
    left, right = (ball[half - 3 : half + 3, half - 3 : half + 3].mean((0, 1)) for ball in drawn)
    np.testing.assert_allclose(left, right, atol=3)


def test_of_small_or_shut_eyes_nothing_is_made(mesh):
    assert eyeballs(painted(mesh), geometry.posed(MEAN, POSE._replace(scale=40.0)), MEAN) is None
    shut = mesh.copy()
    for upper, lower in landmarks.LIDS:
        shut[upper] = shut[lower]
    assert eyeballs(painted(shut), shut, MEAN) is None
