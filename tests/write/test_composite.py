from __future__ import annotations

import av
import cv2
import numpy as np
import pytest
from av.video.reformatter import Interpolation
from footage import make_clip, moving, texture
from hypothesis import given, settings
from hypothesis import strategies as st

from vidswap.read.clip import frames, open_clip
from vidswap.types import Frame, Layer
from vidswap.write.composite import composite, yuv_matrix

SIDE = 64
EXACT = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
FORMATS = ["yuv420p", "yuvj420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p12le", "gray"]


def levels(native):
    bits = native.format.components[0].bits
    dtype = np.dtype(np.uint16 if bits > 8 else np.uint8)
    return [np.frombuffer(plane, dtype).reshape(plane.height, -1)[:, : plane.width].copy() for plane in native.planes]


def frame_of(picture, form="yuv420p", matrix=1):
    source = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
    native = source.reformat(format=form, dst_colorspace=matrix)
    native.colorspace = matrix
    return Frame(0, native, lambda each: each.reformat(format="rgb24").to_ndarray())


def layer(rgb, alpha, to_frame, weight=1.0, track=0, *, depth=0.0):
    return Layer(track, rgb, alpha.astype(np.float32), np.asarray(to_frame, np.float64), weight, depth)


def composited(frame, layers):
    composite(frame, layers)
    return frame.native


def disc(side=SIDE, radius=0.4):
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    return np.clip((radius * side - np.hypot(x, y)) / 4 + 0.5, 0, 1).astype(np.float32)


def flat(colour, side=SIDE):
    return np.full((side, side, 3), colour, np.uint8)


def at(x, y, zoom=1.0, turn=0.0):
    c, s = zoom * np.cos(turn), zoom * np.sin(turn)
    return np.array([[c, -s, x], [s, c, y]])


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("size", [(128, 96), (127, 95)])
def test_only_what_alpha_covers_changes(form, size):
    frame = frame_of(texture(1, *size), form)
    before = levels(frame.native)
    alpha = disc()
    native = composited(frame, [layer(flat((250, 30, 60)), alpha, at(20, 11))])
    assert native.format.name == form
    covered = np.zeros(size[::-1], bool)
    covered[11 : 11 + SIDE, 20 : 20 + SIDE] = alpha > 0
    for was, now in zip(before, levels(native), strict=True):
        across, down = (-(-full // part) for full, part in zip(size, was.shape[::-1], strict=True))
        touched = np.zeros(was.shape, bool)
        ys, xs = np.nonzero(covered)
        touched[ys // down, xs // across] = True
        np.testing.assert_array_equal(was[~touched], now[~touched])
        assert (was != now)[touched].mean() > 0.8


@pytest.mark.parametrize("form", FORMATS[:-1])
@pytest.mark.parametrize("matrix", [1, 6, 9])
def test_colours_arrive(form, matrix):
    """A patch of a colour laid over the frame reads back as that colour, in every matrix, range, depth, sampling."""
    frame = frame_of(texture(2, 128, 96), form, matrix)
    colour = (200, 90, 40)
    native = composited(frame, [layer(flat(colour), np.ones((SIDE, SIDE), np.float32), at(20, 16))])
    rgb = native.reformat(format="rgb24", interpolation=EXACT).to_ndarray()
    np.testing.assert_allclose(rgb[40, 50], colour, atol=2.5)


@pytest.mark.parametrize("form", ["yuv420p", "yuv444p", "yuv420p10le"])
def test_the_frames_own_pixels_change_next_to_nothing(form):
    picture = texture(3, 128, 96)
    frame = frame_of(picture, form)
    before = levels(frame.native)
    rgb = frame.native.reformat(format="rgb24", interpolation=EXACT).to_ndarray()
    composited(frame, [layer(rgb[16:80, 20:84].copy(), disc(), at(20, 16))])
    for was, now in zip(before, levels(frame.native), strict=True):
        assert np.abs(was.astype(int) - now).mean() < 0.3 * (4 if "10" in form else 1)


def test_weights_of_one_track_average_and_tracks_cover():
    whole = np.ones((SIDE, SIDE), np.float32)
    dark, light = flat((60, 60, 60)), flat((180, 180, 180))

    def grey(*layers):
        native = composited(frame_of(flat((120, 120, 120), 96)), list(layers))
        return int(native.reformat(format="rgb24").to_ndarray()[40, 40, 0])

    place = at(8, 8)
    assert abs(grey(layer(dark, whole, place, 0.25), layer(light, whole, place, 0.75)) - 150) <= 1
    assert abs(grey(layer(dark, whole, place, 1, 0), layer(light, whole, place, 1, 1)) - 180) <= 1
    mixed = [layer(dark, whole, place, 0.5, 0), layer(light, whole, place, 0.5, 1), layer(dark, whole, place, 0.5, 0)]
    assert abs(grey(*mixed) - 120) <= 1  # the first track is complete before the second covers half of it


def test_nearer_faces_lie_over_farther_ones():
    whole, place = np.ones((SIDE, SIDE), np.float32), at(8, 8)
    near, far = layer(flat(90), whole, place, track=0, depth=1.0), layer(flat(190), whole, place, track=1, depth=2.0)
    for layers in ([near, far], [far, near]):
        found = levels(composited(frame_of(flat(30, 96)), layers))[0]
        assert found.max() - found.min() > 20
        assert abs(float(found[40, 40]) - float(levels(composited(frame_of(flat(30, 96)), [near]))[0][40, 40])) <= 1


def test_no_layer_or_no_alpha_changes_nothing():
    frame = frame_of(texture(4, 128, 96))
    before = levels(frame.native)
    nothing = layer(flat((9, 9, 9)), np.zeros((SIDE, SIDE), np.float32), at(5, 5))
    outside = layer(flat((9, 9, 9)), disc(), at(500, -300))
    assert not composite(frame, [])
    assert not composite(frame, [nothing, outside])
    for was, now in zip(before, levels(frame.native), strict=True):
        np.testing.assert_array_equal(was, now)


@given(st.integers(-90, 150), st.integers(-90, 120))
def test_what_is_said_to_be_covered_is_covered(x, y):
    black = frame_of(flat(0, 96))
    before = levels(black.native)
    covered = composite(black, [layer(flat((255, 255, 255)), np.ones((SIDE, SIDE), np.float32), at(x, y))])
    changed = any((was != now).any() for was, now in zip(before, levels(black.native), strict=True))
    assert covered == changed == (-SIDE < x < 96 and -SIDE < y < 96)


def test_inputs_stay():
    laid = layer(texture(5, SIDE, SIDE), disc(), at(10.3, 12.8, 0.6, 0.2))
    kept = laid.rgb.copy(), laid.alpha.copy(), laid.to_frame.copy()
    composited(frame_of(texture(6, 128, 96)), [laid])
    for was, now in zip(kept, (laid.rgb, laid.alpha, laid.to_frame), strict=True):
        np.testing.assert_array_equal(was, now)


def test_pictures_still_being_decoded_keep_theirs(tmp_path):
    """The decoder predicts from pictures it has handed out: painting on one must not show in the next."""
    clip = open_clip(make_clip(tmp_path / "a.mp4", moving(12), sound=False))
    clean = [levels(frame.native) for frame in frames(clip)]
    whole = np.ones((32, 32), np.float32)
    for i, frame in enumerate(frames(clip)):
        if i % 3 == 0:
            composited(frame, [layer(flat((255, 0, 255), 32), whole, at(30, 20))])
        else:
            for was, now in zip(clean[i], levels(frame.native), strict=True):
                np.testing.assert_array_equal(was, now)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.05, 2.5), st.floats(-3.1, 3.1), st.floats(60, 130), st.floats(60, 130))
def test_any_zoom_keeps_place_and_mean(zoom, turn, x, y):
    """However a crop lies in the frame, its alpha's mass and middle arrive where to_frame says, and stripes finer than
    a pixel become their mean instead of a moire."""
    stripes = np.zeros((SIDE, SIDE, 3), np.uint8)
    stripes[:, ::2] = 200
    alpha = disc(radius=0.3)
    middle = (SIDE - 1) / 2
    place = at(0, 0, zoom, turn)
    place[:, 2] = np.array([x, y]) - place[:, :2] @ [middle, middle]
    black = frame_of(np.zeros((192, 192, 3), np.uint8), "yuv444p")
    luma = levels(composited(black, [layer(stripes, alpha, place)]))[0].astype(float) - 16
    mass = luma.sum() * 255 / 219
    wanted = alpha.sum() * 100 * zoom**2
    if wanted < 2000:
        return  # a few dim pixels: rounding is all one sees
    assert mass == pytest.approx(wanted, rel=0.12)
    ys, xs = np.mgrid[:192, :192]
    assert (luma * xs).sum() / luma.sum() == pytest.approx(x, abs=0.3 + 0.6 * zoom)
    assert (luma * ys).sum() / luma.sum() == pytest.approx(y, abs=0.3 + 0.6 * zoom)
    if zoom < 0.4:
        assert luma.max() * 255 / 219 < 135


def test_shrinking_is_exact_in_place():
    """Half size: each pixel of the frame is the mean of four of the crop, without a shift."""
    rng = np.random.default_rng(0)
    rgb = cv2.GaussianBlur(rng.integers(0, 255, (SIDE, SIDE, 3), np.uint8), (0, 0), 2)
    frame = frame_of(np.zeros((64, 64, 3), np.uint8), "yuv444p")
    native = composited(frame, [layer(rgb, np.ones((SIDE, SIDE), np.float32), at(16.25 - 0.5, 16.25 - 0.5, 0.5))])
    out = native.reformat(format="rgb24").to_ndarray()[18:46, 18:46].astype(float)
    wanted = cv2.resize(rgb, (32, 32), interpolation=cv2.INTER_AREA)[2:30, 2:30]
    # crop pixel c lies at c / 2 + 15.75: the pair (0, 1) has its middle at 16
    assert np.abs(out - wanted).mean() < 2


def test_matrix_of_known_colours():
    native = av.VideoFrame(16, 16, "yuv420p")
    native.colorspace, native.color_range = 1, 1
    matrix = yuv_matrix(native)
    np.testing.assert_allclose(matrix @ [255, 255, 255, 1], [235, 128, 128], atol=1e-3)
    np.testing.assert_allclose(matrix @ [255, 0, 0, 1], [62.56, 102.34, 240], atol=0.1)  # BT.709 red
    np.testing.assert_allclose(matrix @ [0, 0, 255, 1], [31.81, 240, 117.73], atol=0.1)
