"""What a person sees of a stored picture, and the way back."""

from fractions import Fraction
from functools import partial

import av
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter
from footage import make_clip, moving, texture

from vidswap.face.geometry import apply
from vidswap.media import colour
from vidswap.media.view import Cropper, View
from vidswap.read.clip import frames, open_clip
from vidswap.swap.windows import layer_of
from vidswap.types import Crops, Frame, Swapped
from vidswap.write.composite import composite

TURNS = [((a, 0), (0, d)) for a in (1, -1) for d in (1, -1)] + [((0, c), (b, 0)) for c in (1, -1) for b in (1, -1)]
SIDE = 32


def clip_with(path, **choices):
    return open_clip(make_clip(path, moving(3, 96, 64), sound=False, **choices))


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_turned_clip_is_seen_upright_and_stays_stored_as_it_was(tmp_path, degrees, mirrored):
    def turn(_target, video):
        video.set_display_rotation(degrees, mirrored, False)

    clip, plain = clip_with(tmp_path / "a.mp4", prepare=turn), clip_with(tmp_path / "b.mp4")
    frame, stored = next(frames(clip)), next(frames(plain)).rgb
    assert (clip.width, clip.height) == (frame.native.width, frame.native.height) == (96, 64)
    turned = np.rot90(stored, round(frame.native.rotation / 90)) if not mirrored else None
    if turned is not None:
        np.testing.assert_array_equal(frame.rgb, turned)
    else:
        assert np.linalg.det(frame.to_stored[:, :2]) == -1
    ys, xs = np.indices(frame.rgb.shape[:2])
    back = np.rint(apply(frame.to_stored, np.stack([xs, ys], -1).astype(float))).astype(int)
    np.testing.assert_array_equal(frame.rgb, stored[back[..., 1], back[..., 0]])


@pytest.mark.parametrize("pixel", [Fraction(1), Fraction(4, 3), Fraction(8, 9)])
@pytest.mark.parametrize("turn", TURNS)
def test_every_pixel_seen_leads_to_where_it_is_stored(turn, pixel):
    """A dot drawn in the stored picture is seen where the way back says."""
    view = View(120, 72, turn, pixel)
    for x, y in ((12, 60), (100, 9), (60, 36)):
        stored = np.zeros((72, 120, 3), np.uint8)
        stored[y - 3 : y + 4, x - 3 : x + 4] = 255
        seen = view.rgb(av.VideoFrame.from_ndarray(stored, format="rgb24"), VideoReformatter())[..., 0].astype(float)
        middle = np.array([(seen.sum(axis) * np.arange(seen.shape[1 - axis])).sum() for axis in (0, 1)]) / seen.sum()
        np.testing.assert_allclose(apply(view.to_stored, middle), [x, y], atol=0.06)
        wide, high = view.square
        assert seen.shape == ((high, wide) if turn[0][0] else (wide, high))


def test_an_impossible_shape_of_pixels_is_not_believed():
    assert View(96, 64, pixel=Fraction(1000)).square == (96, 64)
    assert View(96, 64, pixel=Fraction(100, 101)).square == (96, 64)
    assert View(96, 64, pixel=Fraction(3, 2)).square == (144, 64)


def laid(frame, colour, alpha):
    """The frame with a square of `colour` laid on what is seen, its corner at (20, 10), and how it is seen then."""
    to_frame = np.array([[[1.0, 0, 20], [0, 1, 10]]])
    rgb = np.full((1, SIDE, SIDE, 3), colour, np.uint8)
    crops = Crops(0, frame.index, rgb, np.zeros((1, 478, 3), np.float32), np.ones((1, SIDE, SIDE), np.float32),
                  to_frame, np.ones(1, np.float32), np.zeros((478, 3), np.float32))  # fmt: skip
    assert composite(frame, [layer_of(Swapped(crops, rgb, np.full((1, SIDE, SIDE), alpha, np.float32)), 0)])
    return frame.rgb


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("form", ["yuv420p", "yuv444p", "gbrp"])
@pytest.mark.parametrize("pixel", [Fraction(1), Fraction(3, 2)])
def test_what_is_laid_on_the_seen_picture_is_seen_there(turn, form, pixel):
    view, reformatter = View(96, 64, turn, pixel), VideoReformatter()
    native = av.VideoFrame.from_ndarray(texture(3, 96, 64), format="rgb24").reformat(format=form)
    frame = Frame(0, native, partial(view.rgb, reformatter=reformatter), view.to_stored)
    before = frame.rgb
    after = laid(frame, (200, 60, 40), 1.0)
    inside = np.abs(after[18 : 2 + SIDE, 28 : 12 + SIDE].astype(int) - (200, 60, 40))
    assert inside.max() <= (4 if form != "gbrp" else 0)
    far = np.ones(before.shape[:2], bool)
    far[: 22 + SIDE, 8 : 32 + SIDE] = False  # chroma of 4:2:0 is interpolated over some pixels
    np.testing.assert_array_equal(before[far], after[far])


@pytest.mark.parametrize(("transfer", "primaries"), [(colour.PQ, 9), (colour.HLG, 9), (colour.PQ, 12)])
def test_hdr_is_seen_in_sdr_and_written_back_in_its_own_light(tmp_path, transfer, primaries):
    def tagged(_target, video):
        context = video.codec_context
        context.colorspace, context.color_range = 9, 1
        context.color_primaries, context.color_trc = primaries, transfer

    wanted = texture(5, 96, 64) // 2 + 40
    coded = np.rint(colour.from_sdr(wanted, transfer, primaries)).astype(np.uint8)
    path = make_clip(tmp_path / "a.mkv", [coded] * 2, unit=Fraction(1, 1000), sound=False, prepare=tagged,
                     pix_fmt="yuv444p10le", options={"crf": "0"})  # fmt: skip
    frame = next(frames(open_clip(path)))
    assert (frame.native.color_trc, frame.native.color_primaries) == (transfer, primaries)
    before = [np.frombuffer(plane, np.uint16).copy() for plane in frame.native.planes]
    seen = frame.rgb
    plain = next(frames(open_clip(path))).native.reformat(format="rgb24").to_ndarray()
    assert plain.mean() < seen.mean() - 5 or transfer == colour.HLG, "PQ shown as it is coded is dark"
    after = laid(frame, (180, 120, 90), 1.0)
    np.testing.assert_allclose(after[14 : 6 + SIDE, 24 : 16 + SIDE], np.broadcast_to((180, 120, 90), (28 - 4, 24, 3)),
                               atol=4)  # fmt: skip
    y = np.frombuffer(frame.native.planes[0], np.uint16).reshape(64, -1)
    untouched = np.ones(y.shape, bool)
    untouched[4 : 16 + SIDE, 14 : 26 + SIDE] = False
    np.testing.assert_array_equal(y[untouched], before[0].reshape(y.shape)[untouched])


def test_sdr_and_back_is_the_same_picture():
    picture = texture(2, 160, 120)
    for transfer in (colour.PQ, colour.HLG):
        coded = np.rint(colour.from_sdr(picture, transfer, 9) * 257).astype(np.uint16)
        assert np.abs(colour.to_sdr(coded, transfer, 9).astype(int) - picture).mean() < 0.05


def test_reference_levels_of_pq_and_hlg():
    """ITU-R BT.2408: graphics white, 203 cd/m2, is 58 % of the PQ signal and 75 % of the HLG signal; it is nearly SDR's
    white. Brighter light stays brighter."""
    for transfer, level in ((colour.PQ, 0.58), (colour.HLG, 0.75)):
        white, bright = (np.full((1, 1, 3), round(code * 65535), np.uint16) for code in (level, level + 0.08))
        assert 195 < colour.to_sdr(white, transfer, 9).mean() < 240
        assert colour.to_sdr(bright, transfer, 9).mean() > colour.to_sdr(white, transfer, 9).mean() + 5


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p", "yuvj420p", "yuv420p10le", "gray"])
@pytest.mark.parametrize("size", [(640, 480), (638, 358), (333, 251)])
def test_a_part_of_a_picture_is_the_same_to_the_bit(pix_fmt, size):
    width, height = size
    made = av.VideoFrame.from_ndarray(texture(3, width, height), format="rgb24").reformat(width, height, pix_fmt)
    view, one, other = View(width, height), VideoReformatter(), VideoReformatter()
    part = partial(view.part, cropper=Cropper(), reformatter=other)
    frame = Frame(0, made, partial(view.rgb, reformatter=one), to_part=part)
    whole, rng = frame.rgb, np.random.default_rng(width)
    for _ in range(12):
        low = rng.uniform(-30, size)
        high = low + rng.uniform(1, 200, 2)
        pixels, (x, y), shape = frame.part(low, high)
        assert shape == (height, width)
        assert all(np.array([x, y]) <= np.maximum(low, 0))
        assert all(np.array([x, y]) + pixels.shape[1::-1] >= np.minimum(high, size))
        np.testing.assert_array_equal(pixels, whole[y : y + pixels.shape[0], x : x + pixels.shape[1]])


def test_a_cropper_takes_pictures_of_any_kind_in_any_order():
    cropper, rng = Cropper(), np.random.default_rng(4)
    pictures = [av.VideoFrame.from_ndarray(texture(seed, 320, 200), format="rgb24").reformat(320, 200, kind)
                for seed, kind in enumerate(["yuv420p", "yuv444p", "yuv420p10le"])]  # fmt: skip
    pictures.append(av.VideoFrame.from_ndarray(texture(5, 96, 64), format="rgb24").reformat(96, 64, "yuv420p"))
    pictures[1].color_range = 2
    for _ in range(40):
        one = pictures[rng.integers(len(pictures))]
        x, y = rng.integers(0, [one.width - 16, one.height - 16]) // 4 * 4
        wide, high = rng.integers([16, 16], [one.width - x + 1, one.height - y + 1]) // 4 * 4
        cut = cropper.crop(one, (x, y, x + wide, y + high))
        assert (cut.width, cut.height, cut.format.name) == (wide, high, one.format.name)
        np.testing.assert_array_equal(luma(cut), luma(one)[y : y + high, x : x + wide])


def luma(native) -> np.ndarray:
    plane, kind = native.planes[0], np.uint16 if native.format.components[0].bits > 8 else np.uint8
    return np.frombuffer(plane, kind).reshape(plane.height, -1)[:, : plane.width]


def test_a_part_of_what_is_seen_otherwise_is_cut_from_the_whole(tmp_path):
    frame = next(frames(clip_with(tmp_path / "a.mp4", prepare=lambda _, video: video.set_display_rotation(90))))
    pixels, corner, shape = frame.part(np.array([10.0, 20.0]), np.array([30.0, 50.0]))
    assert (shape, tuple(corner)) == ((96, 64), (10, 20))
    np.testing.assert_array_equal(pixels, frame.rgb[20:50, 10:30])
