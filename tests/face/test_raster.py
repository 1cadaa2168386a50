"""Drawing a textured mesh."""

from itertools import product

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidswap.face import geometry, landmarks, raster

SIZE = 256


@pytest.fixture(scope="module")
def mesh(form):
    return geometry.posed(form.mean, (90.0, np.eye(3), np.array([127.5, 100.0, 0.0])))


@pytest.fixture(scope="module")
def picture():
    rng = np.random.default_rng(3)
    return cv2.GaussianBlur(rng.integers(0, 256, (SIZE, SIZE, 3)).astype(np.uint8), (0, 0), 3)


def test_triangles_cover_the_face_and_nothing_is_left_open(form, mesh):
    drawing = raster.draw(form, raster.with_ring(mesh, mesh), SIZE)
    outline = np.zeros((SIZE // 2,) * 2, np.uint8)
    cv2.fillPoly(outline, [np.round((mesh[landmarks.OVAL, :2] - 0.5) / 2).astype(np.int32)], 1)
    inside = cv2.erode(outline, np.ones((3, 3))) > 0
    assert (drawing.part[inside] >= 0).all()
    assert set(np.unique(drawing.part[inside])) <= {0, 1, 2}
    assert (drawing.part[inside] == 2).mean() < 0.01  # lips all but closed: hardly a mouth interior
    assert (drawing.part[drawing.part >= 0] == 3).any()


def test_a_face_drawn_where_it_is_does_not_change(form, mesh, picture):
    target = raster.with_ring(mesh, mesh)
    drawing = raster.draw(form, target, SIZE)
    again = raster.texture(form, drawing, picture, target)
    inside = cv2.erode(cv2.resize((drawing.part >= 0).astype(np.uint8), (SIZE, SIZE)), np.ones((5, 5))) > 0
    assert np.abs(again[inside].astype(int) - picture[inside]).max() <= 2


def test_a_moved_face_takes_its_texture_along(form, mesh, picture):
    moved = mesh + np.array([6, 4, 0], np.float32)
    drawing = raster.draw(form, raster.with_ring(moved, mesh), SIZE)
    drawn = raster.texture(form, drawing, picture, raster.with_ring(mesh, mesh))
    nose = np.round(mesh[4, :2]).astype(int)
    there = drawn[nose[1] + 4 - 3 : nose[1] + 4 + 4, nose[0] + 6 - 3 : nose[0] + 6 + 4].astype(int)
    here = picture[nose[1] - 3 : nose[1] + 4, nose[0] - 3 : nose[0] + 4]
    assert np.abs(there - here).max() <= 3


def test_each_pixel_knows_its_place_on_the_mean_face(form, mesh):
    """Seen from the front, places follow pixels, and around the face there are none."""
    where = raster.places(form, raster.draw(form, raster.with_ring(mesh, mesh), SIZE), SIZE)
    for point in (4, 50, 280, 151):  # nose, cheeks, forehead
        x, y = np.round(mesh[point, :2]).astype(int)
        np.testing.assert_allclose(where[y, x, :2], form.mean[point, :2], atol=0.1)
    assert not where[:10].any()


def test_nearer_covers_farther():
    points = np.array([[2, 2], [28, 2], [2, 28], [2, 2], [28, 2], [2, 28]], np.float32)
    depth = np.array([5, 5, 5, 1, 1, 1], np.float32)
    triangles = np.array([[3, 4, 5], [0, 1, 2]])
    assert raster.draw_triangles(points, depth, triangles, 32)[8, 8] == 0
    assert raster.draw_triangles(points, -depth, triangles, 32)[8, 8] == 1


def test_an_open_mouth_has_an_inside(form, mesh):
    open_mouth = opened(mesh, 20)
    drawing = raster.draw(form, raster.with_ring(open_mouth, mesh), SIZE)
    lips = ((open_mouth[13, :2] + open_mouth[14, :2]) / 4).round().astype(int)
    assert drawing.part[lips[1], lips[0]] == 2


def parted(mesh, by: float):
    """A slanting mouth whose inner lips are apart by as many pixels everywhere but at its corners."""
    mouth = mesh.copy()
    upper, lower = landmarks.LIPS
    mouth[landmarks.INNER_LIPS, 1] = mesh[[13, 14], 1].mean() + 0.1 * (mesh[landmarks.INNER_LIPS, 0] - mesh[4, 0])
    mouth[lower, 0] = mouth[upper, 0]
    mouth[lower, 1] = mouth[upper, 1] + by
    return mouth


@pytest.mark.parametrize("gap", [0.5, 0.8, 1.5])
def test_lips_that_hardly_part_are_a_line_that_nowhere_breaks(form, mesh, gap):
    mouth = parted(mesh, gap)
    seen = raster.draw(form, raster.with_ring(mouth, mesh), SIZE).mouth
    left, right = np.round(mouth[[81, 311], 0]).astype(int)
    thick = seen.sum(0)[left : right + 1]
    assert len(thick) > 10
    assert np.abs(thick - gap).max() < 0.3
    assert seen.max() <= 1


def test_lips_that_overlap_have_nothing_between_them(form, mesh):
    assert raster.draw(form, raster.with_ring(parted(mesh, -3), mesh), SIZE).mouth.max() < 0.05


def test_a_nose_before_the_mouth_hides_it(form, mesh):
    mouth = opened(mesh, 20)
    hidden = mouth.copy()
    hidden[[4, 1, 19, 94, 2, 45, 275, 5], 1] += 60  # far down, and nearer than the lips
    hidden[[4, 1, 19, 94, 2, 45, 275, 5], 2] -= 60
    middle = np.round(mouth[[13, 14], :2].mean(0)).astype(int)
    seen, less = (raster.draw(form, raster.with_ring(each, mesh), SIZE).mouth for each in (mouth, hidden))
    assert seen[middle[1], middle[0]] > 0.9
    assert less[middle[1], middle[0]] < 0.1


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
    drawing = raster.draw(form, raster.with_ring(mesh, mesh), SIZE)
    drawn = raster.texture(form, drawing, photo, raster.with_ring(grin, grin))
    skin = cv2.resize((drawing.part == 0).astype(np.uint8), (SIZE, SIZE), interpolation=cv2.INTER_NEAREST)
    assert photo.max() == 255
    assert drawn[cv2.erode(skin, np.ones((3, 3))) > 0].max() < 130
    assert raster.texture(form, raster.draw(form, raster.with_ring(grin, mesh), SIZE), photo,
                           raster.with_ring(grin, grin)).max() == 255  # fmt: skip


def test_what_is_stretched_is_not_torn(form, mesh, picture):
    """A jaw that drops is read smoothly: only where neighbours lie apart in the picture is anything softened."""
    target = raster.with_ring(opened(mesh, 6), mesh)
    drawing = raster.draw(form, target, SIZE)
    half = raster.sampling_map(drawing.seen, drawing.target, raster.with_ring(mesh, mesh), form.triangles)
    assert raster._torn(half, drawing.part >= 0)[drawing.part >= 0].mean() < 0.02


@st.composite
def meshes(draw):
    """Points of a picture of 48 pixels, their depths, and triangles of them."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = draw(st.integers(3, 12))
    triangles = np.stack([rng.choice(count, 3, replace=False) for _ in range(draw(st.integers(1, 8)))])
    return rng.uniform(2, 46, (count, 2)).astype(np.float32), rng.uniform(0, 9, count), triangles


def shares(triangle, x, y):
    """Barycentric coordinates (3,) of a pixel."""
    return np.linalg.solve(np.vstack([triangle.T, np.ones(3)]).astype(float), [x, y, 1.0])


@given(meshes())
@settings(max_examples=40, deadline=None)
def test_the_nearest_triangle_that_holds_a_pixel_is_seen_there(drawn):
    points, depth, triangles = drawn
    corners = points[triangles]
    size = np.abs(np.linalg.det(np.concatenate([corners, np.ones((len(corners), 3, 1))], -1)))
    seen = raster.draw_triangles(points, depth, triangles, 48)
    for y, x in product(range(2, 48, 6), repeat=2):
        holds = [k for k in range(len(triangles)) if size[k] > 30 and shares(corners[k], x, y).min() > 0.02]
        if holds:
            nearest = min(holds, key=lambda k: depth[triangles[k]].mean())
            assert seen[y, x] >= 0
            assert depth[triangles[seen[y, x]]].mean() <= depth[triangles[nearest]].mean()


@given(meshes(), st.floats(-0.6, 0.6), st.floats(0.4, 3))
@settings(max_examples=40, deadline=None)
def test_a_picture_that_was_moved_is_read_where_it_was(drawn, roll, zoom):
    """Where all points move by one affine, so does what is read, whichever triangle it lies in."""
    points, depth, triangles = drawn
    c, s = zoom * np.cos(roll), zoom * np.sin(roll)
    moved = geometry.apply(np.array([[c, -s, 30.0], [s, c, -8.0]]), points)
    seen = raster.draw_triangles(points, depth, triangles, 48)
    read = raster.sampling_map(seen, points, moved, triangles)
    row, column = np.nonzero(seen >= 0)
    corners = np.concatenate([points[triangles], np.ones((len(triangles), 3, 1))], -1)
    whole = np.abs(np.linalg.det(corners))[seen[row, column]] > 30
    expected = geometry.apply(np.array([[c, -s, 30.0], [s, c, -8.0]]), np.stack([column, row], -1).astype(float))
    assert np.abs(read[row, column] - expected)[whole].max(initial=0) < 0.02
    assert (read[seen < 0] == -1).all()
    assert np.isfinite(read).all()


def area(points, triangles):
    a, b, c = (points[triangles[:, k], :2].astype(float) for k in range(3))
    ab, ac = b - a, c - a
    return float(np.abs(ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0]).sum() / 2)


@pytest.mark.parametrize("contour", [*landmarks.EYES, landmarks.INNER_LIPS])
def test_a_strip_fills_its_contour_once(form, contour):
    x, y = form.mean[contour, :2].T.astype(float)
    inside = abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2
    assert area(form.mean, raster.strip(contour)) == pytest.approx(inside, rel=1e-3)


def test_a_band_fills_what_lies_between_two_rings():
    around = np.linspace(0, 2 * np.pi, 36, endpoint=False)
    rings = np.concatenate([radius * np.stack([np.cos(around), np.sin(around)], 1) for radius in (1, 2)])
    polygon = 36 * np.sin(2 * np.pi / 36) / 2  # area of a regular one in the unit circle
    assert area(rings, raster.band(np.arange(36), 36 + np.arange(36))) == pytest.approx(3 * polygon)
