"""A patch lies where its feature is, both eyes alike; what a net says moves the mesh there and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidswap.face import geometry
from vidswap.face.landmarks import mean_face
from vidswap.read import features
from vidswap.types import Array, Face

MEAN = mean_face()
RGB = np.zeros((200, 220, 3), np.uint8)
FAR = np.array([10, 151, 152, 234, 454])  # forehead, chin, ears


def turned(scale: float, roll: float) -> Array:
    cos, sin = np.cos(roll), np.sin(roll)
    spin = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    return geometry.posed(MEAN, (scale, spin, np.array([110.0, 80.0, 0.0])))


def face_of(mesh: Array, visible: int) -> Face:
    grid = np.array([[8.0, 0, 0], [0, 8.0, 0]])
    return Face(geometry.bounds(mesh), mesh, 1.0, None, np.full((32, 32), visible, np.uint8), grid)


def moved_by(shift: Array, mesh: Array) -> features.Refiner:
    """A refiner whose nets find every feature `shift` pixels (of the picture) away from where `mesh` has it."""

    def points(part: Array, wide: float, flip: bool = False) -> Array:
        to_patch = features.patch_transform(mesh, MEAN, part, wide, flip)
        return geometry.apply(to_patch, mesh[part, :2] + shift)

    eyes = np.stack([points(part, features.EYE_WIDE, k == 1) for k, part in enumerate(features.EYE_POINTS)])
    mouth = points(features.MOUTH_POINTS, features.MOUTH_WIDE)[None]
    return features.refiner(lambda _: eyes, lambda _: mouth, MEAN)


@settings(max_examples=30, deadline=None)
@given(scale=st.floats(20, 400), roll=st.floats(-0.6, 0.6), flip=st.booleans())
def test_patch_holds_its_feature_and_leads_back(scale: float, roll: float, flip: bool) -> None:
    mesh = turned(scale, roll)
    for part, wide in ((features.EYE_POINTS[0], features.EYE_WIDE), (features.MOUTH_POINTS, features.MOUTH_WIDE)):
        to_patch = features.patch_transform(mesh, MEAN, part, wide, flip)
        points = geometry.apply(to_patch, mesh[part, :2])
        assert points.mean(0) == pytest.approx([31.5, 31.5], abs=1e-2)
        assert points.min() > 4
        assert points.max() < 59
        assert np.abs(geometry.apply(geometry.invert(to_patch), points) - mesh[part, :2]).max() < 1e-2
        assert np.ptp(points, 0) * wide == pytest.approx(np.ptp(MEAN[part, :2], 0) * 64, abs=2.0)


def test_second_eye_is_the_first_ones_mirror_image() -> None:
    other = np.linalg.norm((MEAN * [-1, 1, 1])[:, None] - MEAN[None], axis=2).argmin(1)
    assert (features.EYE_POINTS[1] == other[features.EYE_POINTS[0]]).all()
    even = ((MEAN + MEAN[other] * [-1, 1, 1]) / 2).astype(np.float32)
    mesh = geometry.posed(even, (90.0, np.eye(3), np.array([110.0, 80.0, 0.0])))
    seen = [geometry.apply(features.patch_transform(mesh, even, part, features.EYE_WIDE, k == 1), mesh[part, :2])
            for k, part in enumerate(features.EYE_POINTS)]  # fmt: skip
    assert np.abs(seen[0] - seen[1]).max() < 0.2


def test_picture_of_the_second_eye_is_mirrored() -> None:
    ramp = np.broadcast_to(np.arange(220, dtype=np.uint8)[None, :, None], (200, 220, 3))
    mesh = turned(90.0, 0.0)
    plain, flipped = (
        features.shown(ramp, features.patch_transform(mesh, MEAN, features.EYE_POINTS[0], features.EYE_WIDE, flip), 64)
        for flip in (False, True)
    )
    assert plain.shape == (1, 3, 64, 64)
    assert np.abs(plain - flipped[..., ::-1]).max() < 0.02


def test_features_go_where_the_nets_say_and_far_points_stay() -> None:
    mesh, shift = turned(80.0, 0.2), np.array([3.0, -2.0], np.float32)
    fine = moved_by(shift, mesh).refine(RGB, face_of(mesh, 255)) - mesh
    for part in (*features.EYE_POINTS, features.MOUTH_POINTS):
        assert np.abs(fine[part, :2] - shift).max() < 0.02
    assert np.abs(fine[:, 2]).max() == 0
    assert np.linalg.norm(fine[FAR], axis=1).max() < 0.35 * np.linalg.norm(shift)
    assert np.linalg.norm(fine, axis=1).max() < 1.2 * np.linalg.norm(shift)


def test_covered_features_keep_the_mesh() -> None:
    mesh = turned(80.0, 0.0)
    fine = moved_by(np.array([4.0, 4.0], np.float32), mesh).refine(RGB, face_of(mesh, 40))
    assert np.abs(fine - mesh).max() == 0


def test_skin_between_the_lids_and_the_brow_does_not_fold() -> None:
    goal, lid = MEAN.copy(), features.EYE_POINTS[0][1:8]
    goal[lid, 1] += 0.05  # the eye closes
    moved = features.drawn_along(MEAN, goal, features.pull(MEAN))
    column = [66, 52, 222, 28, 158]  # from the brow down to the lid
    assert (np.diff(MEAN[column, 1]) > 0).all()
    assert (np.diff(moved[column, 1]) > 0).all()
    assert np.abs(moved[features.EYE_POINTS[1]] - MEAN[features.EYE_POINTS[1]]).max() < 1e-6
