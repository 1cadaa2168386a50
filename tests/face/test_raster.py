"""Drawing a textured mesh."""

import cv2
import numpy as np
import pytest

from vidswap.face import geometry, landmarks
from vidswap.face import raster as surface

SIZE = 256


@pytest.fixture(scope="module")
def mesh(form):
    return geometry.posed(form.mean, (90.0, np.eye(3), np.array([127.5, 100.0, 0.0])))


@pytest.fixture(scope="module")
def picture():
    rng = np.random.default_rng(3)
    return cv2.GaussianBlur(rng.integers(0, 256, (SIZE, SIZE, 3)).astype(np.uint8), (0, 0), 3)


def test_triangles_cover_the_face_and_nothing_is_left_open(form, mesh):
    drawing = surface.draw(form, surface.with_ring(mesh, mesh), SIZE)
    outline = np.zeros((SIZE // 2,) * 2, np.uint8)
    cv2.fillPoly(outline, [np.round((mesh[landmarks.OVAL, :2] - 0.5) / 2).astype(np.int32)], 1)
    inside = cv2.erode(outline, np.ones((3, 3))) > 0
    assert (drawing.part[inside] >= 0).all()
    assert set(np.unique(drawing.part[inside])) <= {0, 1, 2}
    assert (drawing.part[inside] == 2).mean() < 0.01  # lips all but closed: hardly a mouth interior
    assert (drawing.part[drawing.part >= 0] == 3).any()


def test_a_face_drawn_where_it_is_does_not_change(form, mesh, picture):
    target = surface.with_ring(mesh, mesh)
    drawing = surface.draw(form, target, SIZE)
    again = surface.texture(form, drawing, picture, target)
    inside = cv2.erode(cv2.resize((drawing.part >= 0).astype(np.uint8), (SIZE, SIZE)), np.ones((5, 5))) > 0
    assert np.abs(again[inside].astype(int) - picture[inside]).max() <= 2


def test_a_moved_face_takes_its_texture_along(form, mesh, picture):
    moved = mesh + np.array([6, 4, 0], np.float32)
    drawing = surface.draw(form, surface.with_ring(moved, mesh), SIZE)
    drawn = surface.texture(form, drawing, picture, surface.with_ring(mesh, mesh))
    nose = np.round(mesh[4, :2]).astype(int)
    there = drawn[nose[1] + 4 - 3 : nose[1] + 4 + 4, nose[0] + 6 - 3 : nose[0] + 6 + 4].astype(int)
    here = picture[nose[1] - 3 : nose[1] + 4, nose[0] - 3 : nose[0] + 4]
    assert np.abs(there - here).max() <= 3


def test_nearer_covers_farther():
    points = np.array([[2, 2], [28, 2], [2, 28], [2, 2], [28, 2], [2, 28]], np.float32)
    depth = np.array([5, 5, 5, 1, 1, 1], np.float32)
    triangles = np.array([[3, 4, 5], [0, 1, 2]])
    assert surface.draw_triangles(points, depth, triangles, 32)[8, 8] == 0
    assert surface.draw_triangles(points, -depth, triangles, 32)[8, 8] == 1


def test_an_open_mouth_has_an_inside(form, mesh):
    open_mouth = opened(mesh, 20)
    drawing = surface.draw(form, surface.with_ring(open_mouth, mesh), SIZE)
    lips = ((open_mouth[13, :2] + open_mouth[14, :2]) / 4).round().astype(int)
    assert drawing.part[lips[1], lips[0]] == 2


def opened(mesh, by: float):
    """A face whose lower lip and chin are lower."""
    middle, low = mesh[[13, 14], 1].mean(), mesh.copy()
    low[(mesh[:, 1] > middle) & (np.abs(mesh[:, 0] - mesh[4, 0]) < 15), 1] += by
    return low


def test_lips_that_close_show_nothing_of_what_was_between_them(form, mesh):
    grin = opened(mesh, 20)
    photo = np.full((SIZE, SIZE, 3), 100, np.uint8)
    teeth = np.round(grin[[*landmarks.INNER_LIPS], :2]).astype(np.int32)
    cv2.fillPoly(photo, [teeth], (255, 255, 255))
    photo = cv2.erode(photo, np.ones((5, 5)))  # lips of 2 pixels around them
    drawing = surface.draw(form, surface.with_ring(mesh, mesh), SIZE)
    drawn = surface.texture(form, drawing, photo, surface.with_ring(grin, grin))
    skin = cv2.resize((drawing.part == 0).astype(np.uint8), (SIZE, SIZE), interpolation=cv2.INTER_NEAREST)
    assert photo.max() == 255
    assert drawn[cv2.erode(skin, np.ones((3, 3))) > 0].max() < 130
    assert surface.texture(form, surface.draw(form, surface.with_ring(grin, mesh), SIZE), photo,
                           surface.with_ring(grin, grin)).max() == 255  # fmt: skip


def test_what_is_stretched_is_not_torn(form, mesh, picture):
    """A jaw that drops is read smoothly: only where neighbours lie apart in the picture is anything softened."""
    target = surface.with_ring(opened(mesh, 6), mesh)
    drawing = surface.draw(form, target, SIZE)
    half = surface.sampling_map(drawing.seen, drawing.target, surface.with_ring(mesh, mesh), form.triangles)
    assert surface._torn(half, drawing.part >= 0)[drawing.part >= 0].mean() < 0.02
