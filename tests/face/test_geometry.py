"""Affines, poses, crops: the arithmetic of points."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidswap.face import geometry
from vidswap.face.landmarks import mean_face

MEAN = mean_face()
POINTS = np.random.default_rng(0).uniform(-500, 500, (20, 2))
IDENTITY = np.eye(3)[:2]


def turned(angle):
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s], [s, c]])


@st.composite
def affines(draw):
    """Turned, scaled by 0.1 to 10 in two directions, shifted, at times mirrored."""
    first, second = (turned(draw(st.floats(-np.pi, np.pi))) for _ in range(2))
    sides = np.exp([draw(st.floats(-2.3, 2.3)) for _ in range(2)]) * [draw(st.sampled_from([1, -1])), 1]
    shift = [[draw(st.floats(-1000, 1000))] for _ in range(2)]
    return np.hstack([first @ np.diag(sides) @ second, shift])


@st.composite
def poses(draw):
    """Any rotation, 20 to 400 pixels between the eyes."""
    axes, _ = np.linalg.qr(np.random.default_rng(draw(st.integers(0, 2**32 - 1))).normal(size=(3, 3)))
    shift = np.array([draw(st.floats(-2000, 2000)) for _ in range(3)])
    return geometry.Pose(draw(st.floats(20, 400)), axes * np.linalg.det(axes), shift)


@given(affines())
def test_an_inverse_takes_points_back(transform):
    there = geometry.apply(transform, POINTS).astype(np.float64)
    back = geometry.apply(geometry.invert(transform), there)
    np.testing.assert_allclose(back, POINTS, atol=0.02)  # float32, seen through up to 10 times
    np.testing.assert_allclose(geometry.compose(geometry.invert(transform), transform), IDENTITY, atol=1e-9)


@given(affines(), affines())
def test_composed_affines_are_one_after_the_other(first, second):
    one = geometry.apply(geometry.compose(second, first), POINTS)
    two = geometry.apply(second, geometry.apply(first, POINTS).astype(np.float64))
    np.testing.assert_allclose(one, two, rtol=1e-5, atol=0.05)
    zooms = [geometry.zoom_of(each) for each in (first, second, geometry.compose(second, first))]
    assert zooms[0] * zooms[1] == pytest.approx(zooms[2])


@given(st.floats(0.05, 20))
def test_what_is_enlarged_keeps_its_outer_corner(zoom):
    corner = geometry.apply(geometry.enlarge(zoom), np.array([-0.5, -0.5]))
    np.testing.assert_allclose(corner, -0.5, atol=1e-5)
    assert geometry.zoom_of(geometry.enlarge(zoom)) == pytest.approx(zoom)
    both = geometry.compose(geometry.enlarge(1 / zoom), geometry.enlarge(zoom))
    np.testing.assert_allclose(both, IDENTITY, atol=1e-9)


@given(affines())
def test_depth_goes_by_the_same_zoom(transform):
    points = np.column_stack([POINTS, np.arange(20.0)])
    moved = geometry.apply(transform, points)
    np.testing.assert_allclose(moved[:, 2], points[:, 2] * geometry.zoom_of(transform), rtol=1e-5)
    assert moved.dtype == np.float32


@given(poses())
def test_a_posed_face_normalised_is_the_face_and_its_pose_is_found(pose):
    mesh = geometry.posed(MEAN, pose)
    np.testing.assert_allclose(geometry.normalised(mesh, pose), MEAN, atol=1e-3)
    found = geometry.face_pose(mesh.astype(np.float64), MEAN)
    assert found.scale == pytest.approx(pose.scale, rel=1e-3)
    np.testing.assert_allclose(found.rotation, pose.rotation, atol=1e-3)
    np.testing.assert_allclose(found.shift, pose.shift, atol=0.05)


@given(poses())
def test_no_pose_mirrors(pose):
    flipped = geometry.posed(MEAN * np.array([1, 1, -1], np.float32), pose)
    assert np.linalg.det(geometry.face_pose(flipped, MEAN).rotation) == pytest.approx(1)


@given(st.floats(-np.pi, np.pi), st.floats(20, 400), st.sampled_from([64, 128, 512]))
def test_crops_are_upright_and_as_large_as_the_face(roll, scale, size):
    rotation = np.eye(3)
    rotation[:2, :2] = turned(roll)
    mesh = geometry.posed(MEAN, geometry.Pose(scale, rotation, np.array([300.0, 200.0, 0.0])))
    placed = geometry.apply(geometry.crop_transform(mesh, MEAN, size), mesh)
    left, right = placed[[33, 263], :2]
    np.testing.assert_allclose(right - left, [geometry.FACE_IN_CROP * size, 0], atol=0.01 * size)
    middle = (placed[:468, :2].min(0) + placed[:468, :2].max(0)) / 2
    np.testing.assert_allclose(middle, (size - 1) / 2, atol=0.01 * size)


@pytest.mark.parametrize("quarters", range(4))
@given(st.floats(-0.7, 0.7))
def test_quarters_make_a_face_upright(quarters, roll):
    """A picture that np.rot90 turns by so many quarters has the face that was asked about upright."""
    mesh = MEAN.copy()
    mesh[:, :2] = MEAN[:, :2] @ turned(roll + quarters * np.pi / 2).T
    assert geometry.quarters(mesh) == quarters
