"""What of an actor's mouth is seen in another face."""

import cv2
import numpy as np
import pytest

from vidswap.face import geometry, landmarks, raster
from vidswap.face.mouth import in_own_lips

SIZE = 256
PALE, DARK, TEETH, SKIN = (205, 140, 132), (120, 62, 70), (215, 212, 200), (180, 150, 130)


@pytest.fixture(scope="module")
def drawing(form):
    mesh = geometry.posed(form.mean, (110.0, np.eye(3), np.array([127.5, 90.0, 0.0])))
    middle = mesh[[13, 14], 1].mean()
    mesh[(mesh[:, 1] > middle) & (np.abs(mesh[:, 0] - mesh[4, 0]) < 30), 1] += 14
    return raster.draw(form, raster.with_ring(mesh, mesh), SIZE)


def painted(drawing, lips, teeth=None):
    """A picture of lips, and between them lips as well, but for teeth in the upper half."""
    picture = np.full((SIZE, SIZE, 3), SKIN, np.uint8)
    outline = np.round(drawing.target[landmarks.OUTER_LIPS, :2] * 2 + 0.5).astype(np.int32)
    cv2.fillPoly(picture, [cv2.convexHull(outline)], lips)
    picture = cv2.copyTo(np.full_like(picture, lips), (drawing.mouth > 0).astype(np.uint8), picture)
    if teeth:
        inside = drawing.mouth > 0.9
        picture[inside & (np.arange(SIZE)[:, None] < np.nonzero(inside)[0].mean())] = teeth
    return picture


def test_an_actors_lips_in_a_mouth_take_the_colour_of_the_persons(drawing):
    around, face = painted(drawing, PALE, TEETH), painted(drawing, DARK)
    got = in_own_lips(around, face, drawing).astype(int)
    inside = cv2.erode((drawing.mouth > 0.99).astype(np.uint8), np.ones((3, 3))) > 0
    low = cv2.erode((inside & (around == PALE).all(-1)).astype(np.uint8), np.ones((5, 5))) > 0
    teeth = cv2.erode((inside & (around == TEETH).all(-1)).astype(np.uint8), np.ones((5, 5))) > 0
    assert min(low.sum(), teeth.sum()) > 20
    assert np.abs(got[low] - DARK).max() < 6
    assert np.abs(got[teeth] - TEETH).max() < 6
    assert (got == around)[drawing.mouth == 0].all()


def test_a_closed_mouth_and_the_same_lips_stay(drawing, form):
    around = painted(drawing, PALE, TEETH)
    assert np.abs(in_own_lips(around, painted(drawing, PALE), drawing).astype(int) - around).max() <= 1
    shut = raster.Drawing(drawing.target, drawing.seen, drawing.part, SIZE, np.zeros_like(drawing.mouth))
    assert in_own_lips(around, painted(drawing, DARK), shut) is around
