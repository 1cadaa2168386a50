"""Crops: where they are cut, how they shrink, what their masks leave alone."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidswap.face import geometry
from vidswap.face.landmarks import mean_face
from vidswap.swap.crops import cut_crops
from vidswap.swap.engine import Needs
from vidswap.types import Frame, TrackPart, Window

MEAN = mean_face()
GRID = 32
HEIGHT, WIDTH = 360, 480


def meshes_at(places, size=90.0, roll=0.0):
    c, s = np.cos(roll), np.sin(roll)
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    return np.stack([geometry.posed(MEAN, (size, turn, np.array([x, y, 0.0]))) for x, y in places])


def track_of(meshes, visible=None, start=0):
    """A track whose map of what is visible is a square over each face, three eye distances wide."""
    maps, count = [], len(meshes)
    for mesh in meshes:
        cell = 3 * np.linalg.norm(mesh[33] - mesh[263]) / GRID
        x, y = (mesh[:468, :2].min(0) + mesh[:468, :2].max(0)) / 2
        maps.append([[cell, 0, x - cell * (GRID - 1) / 2], [0, cell, y - cell * (GRID - 1) / 2]])
    shown = np.full((count, GRID, GRID), 255, np.uint8) if visible is None else visible
    unit = np.array([1.0], np.float32)
    return TrackPart(7, 0, start, meshes, np.ones(count, np.bool_), unit, shown, np.array(maps, np.float64))


def filmed(pictures, start=0):
    return [Frame(start + i, picture, lambda native: native) for i, picture in enumerate(pictures)]


def whole(track):
    return Window(track.start, track.stop, np.ones(len(track), np.float32))


def cut_all(track, pictures=None, size=128, framing="aligned"):
    if pictures is None:
        pictures = [scene()] * len(track)
    needs = Needs(size=size, framing=framing, window=64, overlap=0)
    return cut_crops(filmed(pictures, track.start), track, whole(track), needs, MEAN)


def scene():
    """Smooth colours: red tells the column, green the row."""
    row, column = np.mgrid[0:HEIGHT, 0:WIDTH]
    return np.rint(np.stack([column * 255 / WIDTH, row * 255 / HEIGHT, np.full(row.shape, 128)], -1)).astype(np.uint8)


faces = st.tuples(
    st.floats(-60, WIDTH + 60), st.floats(-60, HEIGHT + 60), st.floats(25, 260), st.floats(-3, 3),
    st.sampled_from(["aligned", "fixed"]), st.sampled_from([64, 128, 200]),
)  # fmt: skip


@given(faces)
@settings(max_examples=40, deadline=None)
def test_a_crop_shows_what_to_frame_says(spot):
    x, y, size, roll, framing, side = spot
    crops = cut_all(track_of(meshes_at([(x, y)], size, roll)), size=side, framing=framing)
    row, column = np.mgrid[0:side, 0:side]
    there = geometry.apply(crops.to_frame[0], np.stack([column, row], -1).astype(float))
    inside = ((there > 4) & (there < np.array([WIDTH, HEIGHT]) - 5)).all(-1)
    expected = there * 255 / np.array([WIDTH, HEIGHT])
    assert np.abs(crops.rgb[0, ..., :2] - expected)[inside].max(initial=0) < 2


@given(faces)
@settings(max_examples=40, deadline=None)
def test_meshes_go_to_the_crop_and_back(spot):
    x, y, size, roll, framing, side = spot
    meshes = meshes_at([(x, y), (x + 5, y - 3)], size, roll)
    crops = cut_all(track_of(meshes), size=side, framing=framing)
    back = [geometry.apply(to_frame, mesh) for to_frame, mesh in zip(crops.to_frame, crops.mesh, strict=True)]
    np.testing.assert_allclose(back, meshes, atol=0.05)
    assert crops.mesh[..., :2].min() > -0.1 * side
    assert crops.mesh[..., :2].max() < 1.1 * side


@given(faces)
@settings(max_examples=40, deadline=None)
def test_a_mask_is_within_the_frame_and_around_the_face(spot):
    x, y, size, roll, framing, side = spot
    crops = cut_all(track_of(meshes_at([(x, y)], size, roll)), size=side, framing=framing)
    mask = crops.mask[0]
    row, column = np.mgrid[0:side, 0:side]
    there = geometry.apply(crops.to_frame[0], np.stack([column, row], -1).astype(float))
    slack = 0.5 + 1.5 * np.linalg.norm(crops.to_frame[0, :, 0])  # a pixel and a half of the crop
    outside = ((there < -slack) | (there > np.array([WIDTH, HEIGHT]) - 1 + slack)).any(-1)
    assert mask[outside].max(initial=0) == 0
    assert 0 <= mask.min() <= mask.max() <= 1
    nose = np.rint(crops.mesh[0, 4, :2]).astype(int)
    if 0 < there[nose[1], nose[0], 0] < WIDTH - 1 and 0 < there[nose[1], nose[0], 1] < HEIGHT - 1:
        assert mask[nose[1], nose[0]] == 1
    assert mask[0].max() == mask[-1].max() == mask[:, 0].max() == mask[:, -1].max() == 0


def test_an_aligned_face_is_upright_and_in_the_middle():
    crops = cut_all(track_of(meshes_at([(240, 180)], 80, roll=0.7)), size=200)
    eyes = crops.mesh[0, [33, 263], :2]
    np.testing.assert_allclose(eyes[1] - eyes[0], [0.34 * 200, 0], atol=0.5)
    np.testing.assert_allclose((crops.mesh[0, :468, :2].min(0) + crops.mesh[0, :468, :2].max(0)) / 2, 99.5, atol=1)


def test_a_steady_window_has_one_upright_square_that_holds_all():
    track = track_of(meshes_at([(150 + 10 * i, 180) for i in range(10)], 60, roll=0.4))
    crops = cut_all(track, framing="fixed")
    assert (crops.to_frame == crops.to_frame[0]).all()
    assert crops.to_frame[0, 0, 1] == 0
    assert crops.mesh[..., :2].min() > 0
    assert crops.mesh[..., :2].max() < 127


@pytest.mark.parametrize("stripe", [2, 3])
def test_shrinking_averages_where_skipping_would_alias(stripe):
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    picture[:, (np.arange(WIDTH) // stripe) % 2 == 0] = 255
    crops = cut_all(track_of(meshes_at([(240, 180)], 130)), [picture], size=64)  # shrinks six times
    middle = crops.rgb[0, 20:44, 20:44].astype(float)
    assert np.abs(middle - 127.5).max() < 30


def test_at_the_same_scale_nothing_is_blurred():
    picture = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    size = 0.34 * 128
    mesh = meshes_at([(240, 180)], size)
    off = geometry.invert(geometry.crop_transform(mesh[0], MEAN, 128))[:, 2]
    mesh[..., :2] += (np.rint(off) - off).astype(np.float32)
    crops = cut_all(track_of(mesh), [picture])
    x, y = np.rint(crops.to_frame[0, :, 2]).astype(int)
    assert np.abs(crops.rgb[0].astype(int) - picture[y : y + 128, x : x + 128]).mean() < 4


def covered(box, count=9):
    maps = np.full((count, GRID, GRID), 255, np.uint8)
    y0, y1, x0, x1 = box
    maps[:, y0:y1, x0:x1] = 0
    return maps


def still(count=9):
    return meshes_at([(240, 180)] * count)


def test_a_hand_before_the_face_is_left_out_of_the_mask():
    crops = cut_all(track_of(still(), covered((16, 32, 0, 32))))
    bare = cut_all(track_of(still()))
    assert crops.mask[4, 75:].max() < 0.05
    np.testing.assert_allclose(crops.mask[4, :55], bare.mask[4, :55], atol=0.02)


def test_a_spot_or_a_thin_rim_is_not_taken_for_a_hand():
    spot, island = covered((15, 17, 15, 17)), covered((14, 18, 14, 19))
    rim = np.zeros((9, GRID, GRID), np.uint8)
    hull = cv2.convexHull((MEAN[:468, :2] - MEAN[:468, :2].mean(0)) * (GRID / 3) * 0.94 + GRID / 2)
    for picture in rim:
        cv2.fillConvexPoly(picture, np.rint(hull).astype(np.int32), 255)
    bare = cut_all(track_of(still())).mask[4]
    for doubt in (spot, island, rim):
        np.testing.assert_allclose(cut_all(track_of(still(), doubt)).mask[4], bare, atol=0.02)


def test_what_is_covered_does_not_flicker():
    maps = covered((16, 32, 0, 32))
    maps[4] = 255  # missed once
    maps[7] = covered((0, 16, 0, 32), 1)[0]  # seen once where nothing is
    steady, missed = (cut_all(track_of(still(), m)).mask for m in (covered((16, 32, 0, 32)), maps))
    np.testing.assert_allclose(missed[:6], steady[:6], atol=1e-6)


def test_a_frame_filled_in_where_nothing_is_gets_no_mask_and_has_no_say():
    hand = covered((16, 32, 0, 32))
    hand[3], hand[5] = 0, 255
    seen = np.arange(9) != 3
    crops = cut_all(replace(track_of(still(), hand), seen=seen))
    assert not crops.mask[3].any()
    steady = cut_all(track_of(still(), covered((16, 32, 0, 32))))
    np.testing.assert_allclose(crops.mask[seen], steady.mask[seen], atol=1e-6)
    assert cut_all(track_of(still(), hand)).mask[3].any(), "a face that is seen is voted on"


def test_windows_agree_on_the_mask_of_a_frame():
    track = track_of(meshes_at([(240 + i, 180) for i in range(12)]), covered((16, 32, 0, 20), 12), start=30)
    needs = Needs(size=64, framing="aligned", window=8, overlap=4)
    pictures = [scene()] * 8
    ones = np.ones(8, np.float32)
    first = cut_crops(filmed(pictures, 30), track, Window(30, 38, ones), needs, MEAN)
    second = cut_crops(filmed(pictures, 34), track, Window(34, 42, ones), needs, MEAN)
    np.testing.assert_array_equal(first.mask[4:], second.mask[:4])
    np.testing.assert_array_equal(first.rgb[4:], second.rgb[:4])
    assert (second.track, second.start) == (7, 34)


@given(st.integers(0, 2**32 - 1), st.integers(1, 11), st.integers(0, 6), st.sampled_from(["aligned", "fixed"]))
@settings(max_examples=25, deadline=None)
def test_what_the_window_before_holds_is_the_same_cut_anew(seed, middle, overlap, framing):
    rng = np.random.default_rng(seed)
    visible = np.where(rng.random((12, GRID, GRID)) < 0.3, 0, 255).astype(np.uint8)
    track = track_of(meshes_at(rng.uniform(100, 260, (12, 2)), 70.0), visible, start=5)
    pictures = filmed(rng.integers(0, 255, (12, HEIGHT, WIDTH, 3), dtype=np.uint8), 5)
    needs = Needs(size=64, framing=framing, window=16, overlap=8)
    stop = min(middle + overlap, 12)

    def part(start, stop, before=None):
        window = Window(5 + start, 5 + stop, np.ones(stop - start, np.float32))
        return cut_crops(pictures[start:stop], track, window, needs, MEAN, before=before)

    anew, reused = part(middle, 12), part(middle, 12, part(0, stop))
    for name in ("rgb", "mesh", "mask", "to_frame", "weight"):
        np.testing.assert_array_equal(getattr(reused, name), getattr(anew, name))


@pytest.mark.parametrize("framing", ["aligned", "fixed"])
def test_a_margin_shows_more_around_the_same_crop(framing):
    track = track_of(still())
    frames = filmed([scene()] * len(track))
    plain, wide = (
        cut_crops(frames, track, whole(track), Needs(64, framing, 64, 0, margin=margin), MEAN) for margin in (0, 16)
    )
    assert wide.rgb.shape[1:3] == (96, 96)
    assert np.abs(wide.rgb[:, 16:-16, 16:-16].astype(int) - plain.rgb).max() <= 1
    np.testing.assert_array_equal(wide.mask[:, 16:-16, 16:-16], plain.mask)
    assert not wide.mask[:, :16].any()
    np.testing.assert_allclose(wide.mesh - plain.mesh, np.broadcast_to([16, 16, 0], plain.mesh.shape), atol=1e-3)
    for place in ([0, 0], [40, 10]):
        there = geometry.apply(wide.to_frame[0], np.array(place) + 16)
        np.testing.assert_allclose(there, geometry.apply(plain.to_frame[0], np.array(place)), atol=1e-3)


def test_frames_of_another_window_are_refused():
    track = track_of(still())
    needs = Needs(size=64, framing="aligned", window=16, overlap=0)
    with pytest.raises(ValueError, match="expected frames 0 to 8"):
        cut_crops(filmed([scene()] * 9, start=1), track, whole(track), needs, MEAN)
