"""Photos for a reader that sees a face in every square of a pure colour: who it is, is the colour."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from vidswap.face import geometry, landmarks
from vidswap.types import Array, Face

RED, GREEN, BLUE = range(3)
MEAN = landmarks.mean_face()


class Reader:
    """Its faces have eyes half a square's side apart, and are seen wholly."""

    def detect(self, rgb: Array) -> list[Face]:
        found = []
        for channel in range(3):
            mask = np.uint8((rgb[..., channel] > 200) & (np.delete(rgb, channel, 2).max(2) < 70))
            count, _, stats, middles = cv2.connectedComponentsWithStats(mask)
            for k in range(1, count):
                if stats[k, cv2.CC_STAT_AREA] > 100:
                    eyes, (x, y) = stats[k, cv2.CC_STAT_WIDTH] / 2, middles[k]
                    mesh = geometry.posed(MEAN, geometry.Pose(eyes, np.eye(3), np.array([x, y, 0.0])))
                    whole = np.full((2, 2), 255, np.uint8)
                    found.append(Face(geometry.bounds(mesh), mesh, 1.0, None, whole, np.eye(2, 3)))
        return found

    def follow(self, rgb: Array, mesh: Array) -> None:
        return None

    def embed(self, rgb: Array, mesh: Array) -> Array:
        x, y = mesh[:468, :2].mean(0).astype(int)
        return np.eye(3, dtype=np.float32)[rgb[y, x].argmax()]


def photo(path: Path, *squares: tuple[int, int, int], colour: int = RED, size: int = 400, grain: int = 0) -> Path:
    """Squares (x, y, side) of a colour on grey; each `grain` makes another picture of it."""
    rgb = np.full((size, size, 3), 128, np.uint8)
    for x, y, side in squares:
        half = side // 2
        light = np.random.default_rng(grain).integers(0, 2, (2 * half, 2 * half))
        place = rgb[y - half : y + half, x - half : x + half]
        place[:] = (40 * light)[..., None]
        place[..., colour] = 215 + 40 * light
    assert cv2.imwrite(str(path), rgb[..., ::-1])
    return path


def person(folder: Path, count: int = 3) -> Path:
    """A folder of so many photos of one person."""
    folder.mkdir()
    for number in range(count):
        photo(folder / f"{number}.png", (200, 200, 160), grain=number)
    return folder
