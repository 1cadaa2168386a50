"""What of the network's change is used: light; features and complexion stay the person's."""

import cv2
import numpy as np
import pytest
import torch

from vidswap.swap.engines import embedded, warp
from vidswap.swap.engines.warp import Warped

SIZE = warp.NEEDS.size


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(1)
    picture = cv2.GaussianBlur(rng.uniform(60, 190, (SIZE, SIZE, 3)).astype(np.float32), (0, 0), 4)
    alpha = np.zeros((SIZE, SIZE), np.float32)
    cv2.circle(alpha, (SIZE // 2, SIZE // 2), SIZE // 4, 1.0, -1)
    return Warped(picture, picture.astype(np.uint8), alpha, None, None)


def changed(frame, change) -> np.ndarray:
    """What is added to the picture, in levels, by a change (h, w, 3) in levels."""
    told = torch.from_numpy(np.ascontiguousarray(change.transpose(2, 0, 1), np.float32) / 127.5)
    return embedded.finished(frame, told).astype(float) - frame.picture


def plane(*levels: float) -> np.ndarray:
    return np.broadcast_to(np.array(levels, np.float32), (embedded.SIDE, embedded.SIDE, 3)).copy()


INSIDE = np.s_[SIZE * 3 // 8 : SIZE * 5 // 8, SIZE * 3 // 8 : SIZE * 5 // 8]


def test_light_is_taken_from_the_change(frame):
    """Brighter on one side, darker on the other: light as wide as a cheek arrives."""
    slope = plane(1, 1, 1) * np.linspace(-30, 30, embedded.SIDE, dtype=np.float32)[None, :, None]
    added = changed(frame, slope)
    wanted = np.broadcast_to(np.linspace(-30, 30, SIZE)[None, :, None], added.shape)
    np.testing.assert_allclose(added[INSIDE], wanted[INSIDE], atol=1.5)
    assert np.abs(added[: SIZE // 8]).max() <= 0.5, "far from the face nothing changes"


@pytest.mark.parametrize("levels", [(20, 20, 20), (-16, 4, 12)])
def test_complexion_is_not(frame, levels):
    """Nobody is made paler or darker: the mean of a change is left out."""
    assert np.abs(changed(frame, plane(*levels))[INSIDE]).max() < 1.5


def test_features_are_not(frame):
    fine = plane(0, 0, 0)
    fine[::2], fine[1::2] = 30, -30
    assert np.abs(changed(frame, fine)[INSIDE]).max() < 3
