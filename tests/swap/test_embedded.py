"""What of the network's change is used: colour and light; features stay the person's."""

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


@pytest.mark.parametrize("levels", [(20, 20, 20), (-16, 4, 12)])
def test_light_and_colour_are_taken_from_the_change(frame, levels):
    added = changed(frame, plane(*levels))
    np.testing.assert_allclose(added[INSIDE].mean((0, 1)), np.array(levels) * embedded.SHARE, atol=0.3)
    assert np.abs(added[: SIZE // 8]).max() <= 0.5, "far from the face nothing changes"


def test_features_are_not(frame):
    fine = plane(0, 0, 0)
    fine[::8], fine[4::8] = 30, -30
    assert np.abs(changed(frame, cv2.GaussianBlur(fine, (0, 0), 1))[INSIDE]).max() < 2
