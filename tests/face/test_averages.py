"""Averages over a part of a picture."""

import numpy as np
import pytest

from vidswap.face.averages import averaged


@pytest.mark.parametrize("shape", [(40, 60), (40, 60, 1), (40, 60, 3)])
def test_only_what_counts_is_averaged_and_goes_on_beyond(shape):
    picture, weight = np.full(shape, 9.0, np.float32), np.zeros((40, 60), np.float32)
    weight[:, :30] = 1
    picture[:, :30] = 3
    found = averaged(picture, weight, 4.0, beyond=50.0)
    assert found.shape == shape
    np.testing.assert_allclose(found[:, :30], 3, atol=0.2)
    np.testing.assert_allclose(found[:, -1], 50, atol=0.5)
