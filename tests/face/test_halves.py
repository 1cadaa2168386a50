"""Of who looks aside in a photo, the half that it hardly shows is drawn from the other."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidswap.face import geometry, halves, landmarks
from vidswap.face.raster import draw, surface, texture, with_ring

MEAN = landmarks.mean_face()
FORM = surface(MEAN, landmarks.triangles())
LEFT, RIGHT = MEAN[:, 0] < -0.2, MEAN[:, 0] > 0.2  # of the picture, of a face that looks into the camera


def turned(degrees, up=0.0):
    """(478, 3) the mean face, which looks so far to the picture's right."""
    y, x = np.radians([degrees, up])
    across = np.array([[np.cos(y), 0, -np.sin(y)], [0, 1, 0], [np.sin(y), 0, np.cos(y)]])
    along = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    return geometry.posed(MEAN, geometry.Pose(100.0, across @ along, np.array([128.0, 128.0, 0.0])))


def test_a_face_faces_the_camera_in_its_middle_and_less_at_its_sides():
    seen = halves.facing(turned(0), FORM)
    assert seen[landmarks.NOSE_TIP] > 0.8
    assert seen[[127, 356]].max() < 0.5
    off = np.abs(seen - seen[landmarks.opposite(MEAN)])[:468]
    assert np.quantile(off, 0.95) < 0.1


@given(st.floats(-6, 6), st.floats(-15, 15))
def test_who_looks_into_the_camera_is_drawn_as_seen(degrees, up):
    assert halves.unseen(turned(degrees, up), FORM) is None


@pytest.mark.parametrize("degrees", [30, 40, 50])
def test_of_who_looks_aside_the_far_half_is_unseen(degrees):
    for sign in (1, -1):
        share = halves.unseen(turned(sign * degrees), FORM)
        near, far = (LEFT, RIGHT) if sign > 0 else (RIGHT, LEFT)
        assert share[:478][near].max() == 0
        assert share[:478][far].mean() > 0.5
        assert share[280 if sign > 0 else 50] == 1, "the far cheek"
        assert share.shape == (514,)
        np.testing.assert_array_equal(share[478:], share[landmarks.OVAL])


def test_what_is_mirrored_looks_like_the_half_that_is_seen():
    """Near half white, far half black: a face drawn from the front is white on both sides where it is mirrored."""
    mesh, front = turned(45), turned(0)
    photo = np.zeros((256, 256), np.uint8)
    cv2.fillConvexPoly(photo, cv2.convexHull(np.round(mesh[LEFT, :2]).astype(np.int32)), 255)
    drawing = draw(FORM, with_ring(front, front), 256)
    plain = texture(FORM, drawing, photo, with_ring(mesh, mesh))
    other = texture(FORM, drawing, photo, halves.opposite(mesh, FORM))
    share = halves.laid(halves.unseen(mesh, FORM), FORM, drawing)
    both = plain * (1 - share) + other * share
    x, y = np.round(front[[50, 280], :2]).astype(int).T  # cheeks
    assert plain[y, x].tolist() == [255, 0]
    assert both[y, x].min() > 240


def test_the_seam_does_not_fade_at_the_outline():
    mesh, front = turned(45), turned(0)
    drawing = draw(FORM, with_ring(front, front), 256)
    share = halves.laid(halves.unseen(mesh, FORM), FORM, drawing)
    drawn = cv2.resize((drawing.seen >= 0).astype(np.uint8), (256, 256), interpolation=cv2.INTER_NEAREST)
    far = (np.arange(256) > 200)[None] & (drawn > 0)
    assert share[far].min() > 0.95
