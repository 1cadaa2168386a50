"""Pictures through affines."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidswap.face import geometry, sampling

HEIGHT, WIDTH, SIDE = 240, 320, 96
ROW, COLUMN = np.mgrid[0:HEIGHT, 0:WIDTH]
RAMP = np.rint(np.stack([COLUMN * 255 / WIDTH, ROW * 255 / HEIGHT, np.full(ROW.shape, 90)], -1)).astype(np.uint8)
NOISE = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)


@st.composite
def crops(draw):
    """Squares of SIDE pixels, turned, from a fifth of the scale to four times, about a place in the picture."""
    angle, zoom = draw(st.floats(-np.pi, np.pi)), np.exp(draw(st.floats(-1.6, 1.4)))
    turn = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = np.array([draw(st.floats(0, WIDTH)), draw(st.floats(0, HEIGHT))])
    return np.hstack([turn, ((SIDE - 1) / 2 - turn @ middle)[:, None]])


@pytest.mark.parametrize("way", [sampling.interpolate, sampling.sample, sampling.sample_patch])
@given(crops())
@settings(max_examples=30)
def test_a_crop_shows_what_lies_there(way, to_crop):
    row, column = np.mgrid[0:SIDE, 0:SIDE]
    there = geometry.apply(geometry.invert(to_crop), np.stack([column, row], -1).astype(float))
    inside = ((there > 6) & (there < np.array([WIDTH, HEIGHT]) - 7)).all(-1)
    expected = there * 255 / np.array([WIDTH, HEIGHT])
    assert np.abs(way(RAMP, to_crop, SIDE)[..., :2] - expected)[inside].max(initial=0) < 3


@given(crops())
@settings(max_examples=30)
def test_four_channels_give_what_three_do(to_crop):
    """What `sample` reads by four channels, since that is quicker, is the same to the bit."""
    four = sampling.interpolate(cv2.cvtColor(NOISE, cv2.COLOR_RGB2RGBA), to_crop, SIDE)
    assert np.array_equal(four[..., :3], sampling.interpolate(NOISE, to_crop, SIDE))
    if geometry.zoom_of(to_crop) > 0.9:
        assert np.array_equal(sampling.sample(NOISE, to_crop, SIDE), sampling.interpolate(NOISE, to_crop, SIDE))


@pytest.mark.parametrize("way", [sampling.sample, sampling.sample_patch])
@pytest.mark.parametrize("shrink", [3, 5])
def test_what_shrinks_is_averaged(way, shrink):
    """Noise through a smaller scale is grey; read at single pixels it would stay noise."""
    to_crop = geometry.enlarge(1 / shrink)
    side = HEIGHT // shrink - 2
    averaged = way(NOISE, to_crop, side)[2:, 2:].std()
    assert averaged < 1.3 * NOISE.std() / shrink
    assert averaged < 0.5 * sampling.interpolate(NOISE, to_crop, side)[2:, 2:].std()


@given(crops())
@settings(max_examples=30)
def test_corners_are_those_of_the_crop(to_crop):
    placed = geometry.apply(to_crop, sampling.corners(to_crop, SIDE).astype(np.float64))
    low, high = -0.5, SIDE - 0.5
    np.testing.assert_allclose(placed, [[low, low], [high, low], [low, high], [high, high]], atol=0.01)
