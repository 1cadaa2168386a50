"""A drawn person: the mean face with paint on it, in any pose, so that engines can be tested without a photo."""

from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from vidswap.face import geometry, landmarks
from vidswap.face import raster as surface
from vidswap.swap.engines import warp
from vidswap.types import Consent, Crops, Identity


def turn(yaw: float) -> np.ndarray:
    """A rotation about the vertical, degrees."""
    a = np.radians(yaw)
    return np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])


@pytest.fixture(scope="session")
def engine() -> Iterator[warp.Warp]:
    with warp.load(warp.Settings(complexion="actor")) as opened:
        yield opened


@pytest.fixture(scope="session")
def paint(engine):
    """paint(mesh (478, 3), size, skin colour, background) -> a picture of a painted face, (S, S, 3) uint8."""

    def paint(mesh: np.ndarray, size: int, skin: tuple[int, int, int], ground: tuple[int, int, int]) -> np.ndarray:
        picture = np.empty((size, size, 3), np.uint8)
        picture[:] = ground
        rng = np.random.default_rng(0)
        cv2.fillPoly(picture, [np.round(mesh[landmarks.OVAL, :2]).astype(np.int32)], skin)
        for patch in (landmarks.LEFT_EYE, landmarks.RIGHT_EYE, landmarks.INNER_LIPS, np.array([70, 63, 105, 66, 107]),
                      np.array([336, 296, 334, 293, 300]), np.array([61, 37, 267, 291, 314, 84])):  # fmt: skip
            cv2.fillPoly(picture, [np.round(mesh[patch, :2]).astype(np.int32)], tuple(int(c) // 2 for c in skin))
        grained = cv2.GaussianBlur(picture, (0, 0), 1.5) + rng.normal(0, 3, picture.shape)
        return np.clip(np.rint(grained), 0, 255).astype(np.uint8)

    return paint


@pytest.fixture(scope="session")
def identity(engine, paint) -> Identity:
    pose = (120.0, np.eye(3), np.array([200.0, 170.0, 0.0]))
    mesh = geometry.posed(engine.form.mean * [0.95, 1.05, 1.0], pose)
    photo = paint(mesh, 400, (225, 180, 150), (40, 60, 40))
    return Identity((photo,), (mesh,), np.full(4, 0.5, np.float32), Consent("self"))


@pytest.fixture(scope="session")
def window(engine, paint):
    """window(count, start=0, size=512, margin=0) -> Crops of an actor who turns their head."""

    def window(count: int, start: int = 0, size: int = 512, margin: int = 0) -> Crops:
        mean, rows = engine.form.mean, []
        for t in range(start, start + count):
            pose = (90.0, turn(3.0 * t - 6), np.array([160.0, 140.0, 0.0]))
            mesh = geometry.posed(mean, pose)
            frame = paint(mesh, 320, (160, 110, 90), (90, 100, 110))
            crop = geometry.crop_transform(mesh, mean, size) + np.array([[0, 0, margin]])
            side = size + 2 * margin
            rows.append((cv2.warpAffine(frame, crop, (side, side)), geometry.apply(crop, mesh), geometry.invert(crop)))
        mask = np.zeros((count, size + 2 * margin, size + 2 * margin), np.float32)
        for row, (_, mesh, _) in zip(mask, rows, strict=True):
            cv2.fillPoly(row, [np.round(mesh[landmarks.OVAL, :2]).astype(np.int32)], 1.0)
        rgb, meshes, back = (np.stack(part) for part in zip(*rows, strict=True))
        return Crops(7, start, rgb, meshes, mask, back, np.ones(count, np.float32), mean)

    return window


@pytest.fixture(scope="session")
def form(engine) -> surface.Surface:
    return engine.form
