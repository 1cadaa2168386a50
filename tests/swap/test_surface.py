"""Drawing a textured mesh."""

import cv2
import numpy as np
import pytest

from vidswap import geometry
from vidswap.swap import surface

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
    cv2.fillPoly(outline, [np.round((mesh[geometry.OVAL, :2] - 0.5) / 2).astype(np.int32)], 1)
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
    assert geometry.draw_triangles(points, depth, triangles, 32)[8, 8] == 0
    assert geometry.draw_triangles(points, -depth, triangles, 32)[8, 8] == 1


def test_an_open_mouth_has_an_inside(form, mesh):
    opened = mesh.copy()
    middle = mesh[[13, 14], 1].mean()
    opened[(mesh[:, 1] > middle) & (np.abs(mesh[:, 0] - mesh[4, 0]) < 15), 1] += 20
    drawing = surface.draw(form, surface.with_ring(opened, mesh), SIZE)
    lips = ((opened[13, :2] + opened[14, :2]) / 4).round().astype(int)
    assert drawing.part[lips[1], lips[0]] == 2
