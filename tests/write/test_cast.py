"""The cast's picture: a row a person, portraits upright and centred."""

import cv2
import numpy as np

from vidswap.face.geometry import apply, crop_transform, posed
from vidswap.face.landmarks import mean_face
from vidswap.write.sheets import SIDE, Row, cast_sheet, portrait

MEAN = mean_face()


def turned(degrees: float) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def test_portrait_shows_the_face_upright_and_in_the_middle():
    mesh = posed(MEAN, (60.0, turned(40), np.array([150, 120, 0])))
    picture = np.zeros((240, 320, 3), np.uint8)
    cv2.circle(picture, mesh[10, :2].round().astype(int).tolist(), 6, (255, 0, 0), -1)  # forehead
    cv2.circle(picture, mesh[152, :2].round().astype(int).tolist(), 6, (0, 0, 255), -1)  # chin
    seen = portrait(picture, mesh, MEAN)
    assert seen.shape == (SIDE, SIDE, 3)
    forehead, chin = (np.argwhere(seen[..., channel] > 128).mean(0) for channel in (0, 2))
    expected = apply(crop_transform(mesh, MEAN, SIDE), mesh[[10, 152]])[:, 1::-1]
    assert np.abs(np.stack([forehead, chin]) - expected).max() < 1.5
    assert forehead[0] < SIDE / 2 < chin[0]
    assert abs(forehead[1] - chin[1]) < 3


def test_cast_sheet_has_a_row_for_each_person():
    face = np.full((SIDE, SIDE, 3), (200, 30, 30), np.uint8)
    rows = [Row(0, ((0.0, 2.0), (3.0, 3.5)), (face, face)), Row(1, ((1.0, 2.0),), (face,))]
    assert rows[0].seconds == 2.5
    page = cast_sheet(rows)
    red = (page == (200, 30, 30)).all(-1)
    assert red.sum() == 3 * SIDE * SIDE
    assert red[: page.shape[0] // 2].sum() == 2 * SIDE * SIDE
