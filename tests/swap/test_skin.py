"""Skin in a photo where something hides it."""

import cv2
import numpy as np
import pytest

from vidswap.face import geometry, landmarks
from vidswap.face.raster import surface
from vidswap.swap.skin import SIDE, borne_out, hidden, pulled, restored

SKIN, HAIR = np.array([205, 160, 135]), np.array([40, 28, 22])


@pytest.fixture(scope="module")
def mean():
    return landmarks.mean_face()


@pytest.fixture(scope="module")
def form(mean):
    return surface(mean, landmarks.triangles())


@pytest.fixture(scope="module")
def mesh(mean):
    mesh = geometry.posed(mean, (110.0, np.eye(3), np.array([160.0, 150.0, 0.0])))
    return geometry.apply(geometry.crop_transform(mesh, mean, 320), mesh)


def photo(mesh, hair=None):
    """Skin in the face's outline, hair around it and in the polygon `hair`, with the grain of a camera."""
    picture = np.empty((320, 320, 3))
    picture[:] = HAIR
    face = np.zeros((320, 320), np.uint8)
    cv2.fillPoly(face, [np.rint(mesh[landmarks.OVAL, :2]).astype(np.int32)], 1)
    picture[face > 0] = SKIN
    picture[..., 0] += np.linspace(0, 12, 320)[None]
    if hair is not None:
        cv2.fillPoly(picture, [np.rint(hair).astype(np.int32)], HAIR.tolist())
    noise = np.random.default_rng(0).normal(0, 2, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def fringe(mesh):
    """Over the left half of the forehead, joined to the hair outside."""
    brow, top = mesh[105, :2], mesh[103, :2]
    return np.array([top - [30, 40], mesh[10, :2] - [0, 40], mesh[9, :2] - [4, 25], brow - [12, 14], top - [40, 0]])


def inside(mesh, polygon):
    mask, face = np.zeros((320, 320), np.uint8), np.zeros((320, 320), np.uint8)
    cv2.fillPoly(mask, [np.rint(polygon).astype(np.int32)], 1)
    cv2.fillPoly(face, [np.rint(mesh[landmarks.OVAL, :2]).astype(np.int32)], 1)
    return cv2.erode(mask & face, np.ones((9, 9), np.uint8)) > 0


def test_a_fringe_becomes_skin(mesh, form, fringe):
    hairy, plain = photo(mesh, fringe), photo(mesh)
    where = inside(mesh, fringe)
    found = restored(hairy, mesh, form)
    assert np.abs(hairy[where].astype(float) - plain[where]).mean() > 60
    assert np.abs(found[where].astype(float) - plain[where]).mean() < 10


def test_a_bare_face_stays_as_it_is(mesh, form):
    plain = photo(mesh)
    middle = cv2.erode(inside(mesh, mesh[landmarks.OVAL, :2]).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    found = restored(plain, mesh, form)
    np.testing.assert_allclose(found[middle].astype(int), plain[middle], atol=2)


def test_what_lies_around_the_face_becomes_skin_as_well(mesh, form):
    """A turned face is drawn from its very edge, and a little beyond."""
    found, chin = restored(photo(mesh), mesh, form), mesh[152, :2]
    x, y = np.rint(chin + np.array([0, 4])).astype(int)
    np.testing.assert_allclose(found[y, x], SKIN, atol=15)
    x, y = np.rint(chin + np.array([0, 40])).astype(int)
    np.testing.assert_allclose(found[y, x], HAIR, atol=15)


def test_what_does_not_come_from_outside_stays(mesh, form):
    spot = mesh[9, :2] + np.array([[-9, -9], [9, -9], [9, 9], [-9, 9]])
    marked = photo(mesh, spot)
    where = inside(mesh, spot)
    np.testing.assert_allclose(1.0 * restored(marked, mesh, form)[where], marked[where], atol=2)


def test_eyes_and_lips_never_count_as_hidden(mesh, fringe):
    gone = hidden(photo(mesh, fringe), mesh)
    zoomed = geometry.apply(geometry.enlarge(SIDE / 320), mesh)
    for part in (*landmarks.EYES, landmarks.OUTER_LIPS):
        x, y = np.rint(zoomed[part].mean(0)[:2]).astype(int)
        assert gone[y, x] == 0


def test_tone_goes_on_smoothly_where_nothing_is_known():
    picture = np.repeat(np.linspace(0, 100, 64, dtype=np.float32)[None], 64, 0)[..., None].repeat(3, 2)
    weight = np.ones((64, 64), np.float32)
    weight[24:40, 24:40] = 0
    holed = picture * weight[..., None]
    found = pulled(holed, weight)
    assert np.abs(found - picture)[26:38, 26:38].max() < 12


def test_shade_right_within_the_outline_becomes_skin_as_well(mesh, form):
    """As a face turns away from the camera it darkens, and what is behind it shines in."""
    shaded, face = photo(mesh), np.zeros((320, 320), np.uint8)
    cv2.fillPoly(face, [np.rint(mesh[landmarks.OVAL, :2]).astype(np.int32)], 1)
    rim = (face > 0) & (cv2.erode(face, np.ones((7, 7), np.uint8)) == 0)
    shaded[rim] //= 2
    found = restored(shaded, mesh, form)
    assert np.abs(found[rim].astype(float) - SKIN).mean() < 15


def test_the_seam_has_no_specks(mesh, form):
    """Detail is mirrored from the other half only where that is."""
    found = restored(photo(mesh), mesh, form).astype(float)
    face = np.zeros((320, 320), np.uint8)
    cv2.fillPoly(face, [np.rint(mesh[landmarks.OVAL, :2]).astype(np.int32)], 1)
    seam = (cv2.dilate(face, np.ones((9, 9))) > 0) & (cv2.erode(face, np.ones((9, 9))) == 0)
    assert np.abs(found - cv2.medianBlur(found.astype(np.uint8), 5))[seam].max() < 16


def test_only_what_is_seen_to_be_no_skin_counts_as_hidden():
    """Furrows and shade are as dark as hair: a piece counts where its parts say so anywhere."""
    gone, other = np.zeros((SIDE, SIDE), np.float32), np.zeros((SIDE, SIDE), np.float32)
    gone[20:40, 20:80], gone[100:120, 20:80] = 1, 0.8
    other[20:40, 20:50], other[100:104, 20:50] = 0.9, 0.9
    found = borne_out(gone, other)
    np.testing.assert_array_equal(found[:80], gone[:80])
    assert not found[80:].any()
    assert not borne_out(np.zeros_like(gone), other).any()


def test_lit_skin_is_no_cover(mesh):
    """A forehead in the sun is as unlike the cheeks as what is behind it."""
    sunny, polygon = photo(mesh), np.array([mesh[103, :2] - [30, 40], mesh[10, :2] - [0, 40], mesh[9, :2] - [4, 25],
                                             mesh[105, :2] - [12, 14]])  # fmt: skip
    mask = np.zeros((320, 320), np.uint8)
    cv2.fillPoly(mask, [np.rint(polygon).astype(np.int32)], 1)
    sunny[mask > 0] = [250, 205, 180]
    small = cv2.resize(hidden(sunny, mesh), (320, 320))
    assert small[inside(mesh, polygon)].mean() < 0.1
