"""A part of a picture as one of another shape: exact where nothing changes, smooth where it moves, tags kept."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import av
import cv2
import numpy as np
import pytest
from footage import texture

from vidswap.media.native import planes
from vidswap.media.view import View
from vidswap.write.reframe import reframe
from vidswap.write.target import Shape


def picture(width=192, height=108, form="yuv420p", seed=0):
    """A native picture of a smooth texture, with tags."""
    wide = texture(seed, width, height)
    native = av.VideoFrame.from_ndarray(wide, format="rgb24").reformat(format=form, dst_colorspace=1)
    native.colorspace, native.color_range, native.color_primaries, native.color_trc = 1, 1, 9, 16
    native.pts, native.time_base, native.duration = 7, Fraction(1, 50), 3
    return native


def psnr(one, other, top=255):
    return 10 * np.log10(top**2 / max(np.square(one.astype(float) - other).mean(), 1e-9))


@pytest.mark.parametrize("form", ["yuv420p", "yuv422p10le", "gbrp", "gray", "yuva420p"])
def test_a_picture_that_is_shown_as_it_is_stays_the_same_to_the_bit(form):
    native = picture(form=form)
    before = [plane.copy() for plane in planes(native)]
    same = reframe(native, np.array([0.0, 0, 192, 108]), Shape(192, 108))
    assert same is native
    assert all((plane == old).all() for plane, old in zip(planes(same), before, strict=True))


@pytest.mark.parametrize("form", [
    "yuv420p", "yuvj420p", "yuv444p", "yuv422p10le", "gbrp", "gbrp10le", "gray", "yuva420p",
])  # fmt: skip
def test_a_crop_of_whole_pixels_at_its_size_is_exact_and_keeps_its_tags(form):
    native = picture(form=form)
    made = reframe(native, np.array([40.0, 20, 64, 80]), Shape(64, 80))
    assert (made.width, made.height, made.format.name) == (64, 80, form)
    assert (made.pts, made.time_base, made.duration) == (7, Fraction(1, 50), 3)
    assert (made.colorspace, made.color_range, made.color_primaries, made.color_trc) == (1, native.color_range, 9, 16)
    for plane, old in zip(planes(made), planes(native), strict=True):
        across, down = native.width // old.shape[1], native.height // old.shape[0]
        assert (plane == old[20 // down : 100 // down, 40 // across : 104 // across]).all()


@pytest.mark.parametrize("form", ["yuv420p", "yuv444p10le"])
@pytest.mark.parametrize("corner", [(40.5, 20.0), (41.0, 20.25), (33.3, 21.7)])
def test_a_crop_between_pixels_is_read_between_them(form, corner):
    native = picture(form=form)
    top = (1 << native.format.components[0].bits) - 1
    made = reframe(native, np.array([*corner, 64, 80]), Shape(64, 80))
    for plane, old in zip(planes(made), planes(native), strict=True):
        across, down = native.width // old.shape[1], native.height // old.shape[0]
        x, y = corner[0] / across, corner[1] / down
        ways = np.array([[1.0, 0, x], [0, 1, y]])
        how = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        want = cv2.warpAffine(old.astype(np.float32), ways, plane.shape[::-1], flags=how)
        assert psnr(plane, want, top) > 44


def test_a_pan_moves_evenly():
    """What is seen moves by as much as the camera, in the other direction, a tenth of a pixel at a time."""
    native, shape = picture(384, 216), Shape(152, 270)
    noise = cv2.GaussianBlur(np.random.default_rng(0).uniform(-1, 1, (216, 384)).astype(np.float32), (0, 0), 2)
    planes(native)[0][:] = 128 + 100 * noise / np.abs(noise).max()
    seen = [planes(reframe(native, np.array([100 + step / 10, 0, 122, 216]), shape))[0] for step in range(12)]
    steps = [(np.diff(one.astype(float)), (other.astype(float) - one)[:, :-1]) for one, other in pairwise(seen)]
    moved = [(slope * change)[:, 4:-4].sum() / (slope**2)[:, 4:-4].sum() for slope, change in steps]
    assert moved == pytest.approx([152 / 122 / 10] * 11, rel=0.15)


def test_chroma_stays_with_luma():
    """Where a crop is enlarged, colours are sited as before: left, half-way down."""
    native = av.VideoFrame(192, 108, "yuv420p")
    luma, blue, red = planes(native)
    x = np.arange(192)
    luma[:], blue[:], red[:] = x, x[::2], 128
    made = planes(reframe(native, np.array([20.0, 0, 60, 108]), Shape(180, 324)))
    want = made[0][:, ::2].reshape(162, 2, 90).mean(1)
    assert np.abs(made[1].astype(float) - want)[:, 3:-3].max() <= 1


@pytest.mark.parametrize(("sides", "inside"), [((108, 192), (108, 60)), ((240, 80), (142, 80))])
def test_what_is_of_another_shape_stands_whole_before_a_blurred_fill(sides, inside):
    native = picture()
    made = reframe(native, np.array([0.0, 0, 192, 108]), Shape(*sides))
    for plane, old in zip(planes(made), planes(native), strict=True):
        step = native.width // old.shape[1]
        width, height = inside[0] // step, inside[1] // step
        left, top = (plane.shape[1] - width) // 2, (plane.shape[0] - height) // 2
        seen = plane[top : top + height, left : left + width]
        assert psnr(seen, cv2.resize(old, (width, height), interpolation=cv2.INTER_AREA)) > 30
        rest = np.concatenate([plane[:top].ravel(), plane[:, :left].ravel()])
        assert rest.std() > 0
        assert np.abs(np.diff(plane[: max(top - 2, 0)].astype(int), axis=0)).max(initial=0) < 8
    assert made.width, made.height == sides


@pytest.mark.parametrize("turn", [((0, 1), (-1, 0)), ((0, -1), (1, 0)), ((-1, 0), (0, -1)), ((-1, 0), (0, 1))])
def test_a_turned_picture_comes_out_upright(turn):
    native = picture(form="yuv444p")
    view = View(192, 108, turn)
    size = (108, 192) if turn[0][0] == 0 else (192, 108)
    made = reframe(native, np.array([10.0, 20, 60, 40]), Shape(60, 40), view.to_stored)
    for plane, old in zip(planes(made), planes(native), strict=True):
        seen = (old.T if turn[0][0] == 0 else old)[:: sum(turn[1]), :: sum(turn[0])]
        assert seen.shape == size[::-1]
        assert (plane == seen[20:60, 10:70]).all()
    whole = reframe(native, np.array([0.0, 0, *size]), Shape(*size), view.to_stored)
    assert whole is not native


def test_pixels_become_square():
    native = picture(96, 108, "yuv420p")
    view = View(96, 108, pixel=Fraction(2))
    made = reframe(native, np.array([40.0, 0, 108, 108]), Shape(108, 108), view.to_stored)
    want = cv2.resize(planes(native)[0][:, 20:74], (108, 108), interpolation=cv2.INTER_CUBIC)
    assert psnr(planes(made)[0], want) > 40


def test_fields_are_not_mixed():
    native = picture(form="yuv420p")
    for plane in planes(native):
        plane[::2], plane[1::2] = 60, 200
    native.interlaced_frame  # noqa: B018 - PyAV lets nobody set it
    made = reframe(Interlaced(native), np.array([40.0, 20, 60, 60]), Shape(90, 90))
    assert all((plane == 60).all() for plane in planes(made))


class Interlaced:
    """A native picture that says that it is of two fields."""

    interlaced_frame = True

    def __init__(self, native):
        self._native = native

    def __getattr__(self, name):
        return getattr(self._native, name)
