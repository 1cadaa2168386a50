"""What flows checks itself and prints its shape, never its pixels."""

import numpy as np
import pytest

from vidswap.types import Clip, Consent, Face, Identity, Shot


def test_a_repr_tells_shapes_and_no_pixels():
    photo, mesh = np.full((64, 64, 3), 77, np.uint8), np.zeros((478, 3), np.float32)
    text = repr(Identity((photo,), (mesh,), np.ones(4, np.float32) / 2, Consent("self")))
    assert "uint8(64, 64, 3)" in text
    assert "77" not in text


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("box", np.zeros(4)),
        ("mesh", np.zeros((477, 3), np.float32)),
        ("visible", np.zeros((8, 8), np.float32)),
        ("visible_to_frame", np.zeros((2, 3), np.float32)),
        ("embedding", [1.0]),
    ],
)
def test_wrong_arrays_are_named_with_what_was_expected(field, value):
    right = {
        "box": np.zeros(4, np.float32),
        "mesh": np.zeros((478, 3), np.float32),
        "score": 1.0,
        "embedding": None,
        "visible": np.zeros((8, 8), np.uint8),
        "visible_to_frame": np.zeros((2, 3)),
    }
    Face(**right)
    with pytest.raises(ValueError, match=rf"Face\.{field}: expected"):
        Face(**{**right, field: value})


def test_times_must_rise():
    from fractions import Fraction
    from pathlib import Path

    rest = (Fraction(1, 25), Fraction(25), (2, 2, 2, 2), 0, ("video",), "mov")
    clip = Clip(Path("a.mp4"), 16, 16, np.array([10, 20, 35]), *rest)
    assert clip.seconds(2) == 1.0
    for pts in ([10, 10], [20, 10], []):
        with pytest.raises(ValueError, match="strictly increasing"):
            Clip(Path("a.mp4"), 16, 16, np.array(pts, np.int64), *rest)


@pytest.mark.parametrize("ends", [(5, 5), (7, 3), (-1, 4)])
def test_shots_have_frames(ends):
    with pytest.raises(ValueError, match="Shot"):
        Shot(*ends)
