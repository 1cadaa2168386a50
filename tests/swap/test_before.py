"""What lies before an actor's face stays: told by a network that is played here."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from vidswap.face import geometry, landmarks
from vidswap.swap import parts, skin
from vidswap.swap.engines import warp
from vidswap.swap.parts import FRONT, HAIR, LENS, PARTS, RIM, SIDE, SKIN, PartsModel, framing


class Says:
    """A session that takes what is green for a thing in front, and all else for skin."""

    def run(self, _names, given):
        rgb = given["rgb"][0]
        green = (rgb[1] > rgb[0] + 0.2) & (rgb[1] > rgb[2] + 0.2)
        shares = np.zeros((1, len(PARTS), SIDE, SIDE), np.float32)
        shares[0, FRONT], shares[0, SKIN] = green, ~green
        return [shares]


@pytest.fixture(scope="module")
def model(engine):
    return PartsModel(Says(), engine.form.mean)


def with_thing(crops, thing, rows=None):
    rgb = crops.rgb.copy()
    for row in range(len(crops)) if rows is None else rows:
        cv2.fillPoly(rgb[row], [np.rint(thing).astype(np.int32)], (20, 220, 30))
    return replace(crops, rgb=rgb)


@pytest.fixture(scope="module")
def thing(window):
    """Over mouth and chin, and beyond."""
    x, y = window(1).mesh[0, 13, :2]
    return np.array([[x - 60, y - 20], [x + 60, y - 20], [x + 60, y + 140], [x - 60, y + 140]])


def test_what_is_before_the_face_is_not_painted_over(engine, model, window, identity, thing):
    crops = with_thing(window(4), thing)
    swapped = replace(engine, parts=model).swap(crops, identity, None, lambda *_: None)
    before = np.zeros(crops.rgb.shape[1:3], np.uint8)
    cv2.fillPoly(before, [np.rint(thing).astype(np.int32)], 1)
    inside = cv2.erode(before, np.ones((13, 13), np.uint8)) > 0
    around = cv2.dilate(before, np.ones((25, 25), np.uint8)) == 0
    plain = replace(engine, parts=None).swap(crops, identity, None, lambda *_: None)
    for row in range(len(crops)):
        assert swapped.alpha[row][inside].max() < 0.02
        np.testing.assert_allclose(swapped.alpha[row][around], plain.alpha[row][around], atol=0.02)
    assert plain.alpha[0][inside].max() > 0.9, "without the network it would be"


def test_what_comes_for_one_frame_alone_does_not_flicker(model, window, thing):
    found = model.before(with_thing(window(7), thing, rows=[3]))
    assert max(each.kept.max() for each in found) == 0
    found = model.before(with_thing(window(7), thing, rows=[2, 3, 4, 5]))
    assert [bool(each.kept.max() > 0.5) for each in found] == [False, False, True, True, True, True, False]


def test_the_network_is_asked_in_every_second_frame_and_wherever_something_moves(engine, window, thing):
    class Counts(Says):
        asked = 0

        def run(self, names, given):
            self.asked += 1
            return super().run(names, given)

    def asked(crops):
        counts = Counts()
        PartsModel(counts, engine.form.mean).before(crops)
        return counts.asked

    assert asked(window(9)) == asked(with_thing(window(9), thing)) == 5
    assert asked(window(2)) == 2
    assert asked(with_thing(window(9), thing, rows=range(4, 9))) == 6, "it comes between the third and the fifth"


def test_hair_counts_over_the_forehead_and_near_the_outline_only(engine):
    mesh = geometry.posed(engine.form.mean, (100.0, np.eye(3), np.array([160.0, 150.0, 0.0])))
    mesh = geometry.apply(framing(mesh, engine.form.mean), mesh)
    shares = np.zeros((len(PARTS), SIDE, SIDE), np.float32)
    shares[HAIR] = 1
    found = parts.before(shares, mesh)[..., 0]

    def at(point):
        x, y = np.rint(point[:2]).astype(int)
        return found[y, x]

    assert min(at(mesh[151]), at(mesh[50] * 0.3 + mesh[234] * 0.7)) > 0.99
    assert at(mesh[4]) == at(mesh[13]) == at(mesh[10] - [0, 12, 0]) == 0
    shares[HAIR], shares[RIM] = 0, 0.9
    found = parts.before(shares, mesh)[..., 0]
    assert at(mesh[4]) == at(mesh[152]) == pytest.approx(0.9)
    assert found[-5:].max() == 0, "far from the face nothing is drawn"


def test_sunglasses_hide_both_eyes_and_a_hand_may_hide_one(engine):
    mesh = geometry.posed(engine.form.mean, (100.0, np.eye(3), np.array([160.0, 150.0, 0.0])))
    mesh = geometry.apply(framing(mesh, engine.form.mean), mesh)
    left, right = (np.rint(mesh[eye, :2].mean(0)).astype(int) for eye in landmarks.EYES)

    def kept(*boxes):
        shares = np.zeros((len(PARTS), SIDE, SIDE), np.float32)
        for (x, y), wide, high in boxes:
            shares[FRONT, y - high : y + high, x - wide : x + wide] = 1
        return [float(parts.before(shares, mesh)[y, x, 0]) for x, y in (left, right)]

    assert kept((left, 9, 6)) == [0, 0], "a reflection on one lens"
    assert kept((left, 9, 6), (right, 9, 6)) == [1, 1], "sunglasses"
    assert kept((left, 12, 50)) == [1, 0], "an arm"


def test_thin_rims_are_drawn_through_where_lenses_are_told(engine, window):
    crops = window(3)
    rim = [np.rint(mesh[landmarks.LEFT_EYE, :2].mean(0) + np.array([0, 40])).astype(int) for mesh in crops.mesh]

    def told(lens):
        class Lenses:
            """Lenses over both eyes, whose rims are too thin to be told."""

            def run(self, _names, given):
                shares = np.zeros((1, len(PARTS), SIDE, SIDE), np.float32)
                shares[0, SKIN] = 1 - lens
                shares[0, LENS] = lens
                return [shares]

        return PartsModel(Lenses(), engine.form.mean).before(crops)

    assert all(each.rims is None for each in told(0.2)), "no glasses"
    for each, (x, y), mesh in zip(told(0.9), rim, crops.mesh, strict=True):
        assert each.kept.max() == 0
        assert each.rims[y, x] > 0.9
        assert each.rims[tuple(np.rint(mesh[landmarks.LEFT_EYE, :2].mean(0)).astype(int)[::-1])] == 0


@pytest.mark.parametrize(("frame", "stays"), [(40, True), (140, False)])
def test_rims_are_kept_where_they_are_unlike_the_skin(frame, stays):
    picture = np.full((512, 512, 3), 150, np.uint8)
    picture[240:272] = frame
    plane = np.zeros((SIDE, SIDE, 2), np.float32)
    plane[83:93] = 1
    found = parts.finer(plane, geometry.enlarge(SIDE / 512), picture)
    assert bool(found[250:262].min() > 0.9) is stays
    assert stays or found.max() < 0.2


def test_the_median_is_of_five():
    planes = list(np.random.default_rng(0).random((9, 4, 4, 2), np.float32))
    found = parts.voted(planes)
    np.testing.assert_array_equal(found[4], np.median(planes[2:7], axis=0))
    np.testing.assert_array_equal(found[0], np.median([planes[0]] * 3 + planes[1:3], axis=0))


@pytest.mark.parametrize("tone", [0.3, 1.0, 1.6])
def test_a_line_is_as_much_darker_than_what_is_beside_it_as_it_was(tone):
    crop = np.full((512, 512, 3), 140, np.uint8)
    crop[100:104, 100:200], crop[150:154, 100:200] = 70, 210
    picture, rims = np.full((512, 512, 3), 140 * tone, np.uint8), np.zeros((512, 512), np.float32)
    rims[80:170, 90:150] = 1
    made = parts.drawn_through(picture, crop, rims).astype(float) / picture.mean()
    assert made[101, 120].mean() == pytest.approx(0.5, abs=0.08)
    assert made[151, 120].mean() == pytest.approx(min(1.5, 255 / picture.mean()), abs=0.08)
    assert np.abs(made[:, 152:] - 1).max() == np.abs(made[120:140] - 1).max() == 0


def test_what_is_nowhere_certain_is_not_kept_and_what_is_joined_to_what_is():
    plane = np.zeros((SIDE, SIDE), np.float32)
    plane[20:40, 20:40] = 0.45  # a doubt
    plane[100:120, 20:40], plane[100:120, 40:60] = 0.95, 0.45  # a hand, half of it in the shade
    plane[150, 150] = 1  # a pixel
    found = parts.believed(np.dstack([plane, 0 * plane]))[..., 0]
    assert found[:90].max() == found[140:].max() == 0
    assert found[100:120, 20:40].min() == pytest.approx(1, abs=1e-4)
    assert 0.5 < found[100:120, 40:60].min() < 1


def test_an_edge_of_what_stays_is_the_pictures(model):
    picture = np.full((512, 512, 3), 60, np.uint8)
    picture[:, 256:] = 200
    plane = np.zeros((SIDE, SIDE), np.float32)
    plane[:, SIDE // 2 + 1 :] = 1  # a pixel and a half off: six of the picture's
    to_parts = geometry.enlarge(SIDE / 512)
    found = parts.finer(np.dstack([plane, 0 * plane]), to_parts, picture)
    edge = int((found[256] < 0.5).sum())
    assert abs(edge - 256) <= 4
    assert found[256, :200].max() == 0
    assert found[256, 320:].min() == 1


def test_the_key_tells_the_network(engine, model):
    assert warp.Warp(engine.form, engine.person).key != replace(engine, parts=model).key


def test_what_lies_behind_letters_is_not_drawn_from_them(window):
    crops = window(1)
    rgb, mesh = crops.rgb[0], crops.mesh[0]
    x, y = np.rint(mesh[13, :2]).astype(int)
    kept = np.zeros(rgb.shape[:2], np.float32)
    kept[y - 12 : y + 12, x - 80 : x + 80 : 8] = kept[y - 12 : y + 12, x - 79 : x + 80 : 8] = 1
    kept[:20, :20] = 1
    written = np.where(kept[..., None] > 0, np.uint8(255), rgb)
    found = skin.bared(written, mesh, kept).astype(float)
    seen = np.s_[y - 12 : y + 12, x - 60 : x + 60]
    assert found[seen].max() < rgb[seen].max() + 20, "nothing white is left"
    assert np.abs(found[seen] - rgb[seen]).mean() < 0.6 * np.abs(written[seen].astype(float) - rgb[seen]).mean()
    assert (found[:20, :20] == 255).all(), "far from the face nothing is drawn"
    assert skin.bared(rgb, mesh, 0 * kept) is rgb


def test_of_a_photo_the_network_tells_what_hides_skin_but_no_features(engine):
    mesh = geometry.posed(engine.form.mean, (100.0, np.eye(3), np.array([160.0, 150.0, 0.0])))
    mesh = geometry.apply(geometry.crop_transform(mesh, engine.form.mean, skin.SIDE), mesh)
    shares = np.zeros((len(PARTS), skin.SIDE, skin.SIDE), np.float32)
    shares[FRONT] = 1
    found = skin.told(shares, mesh)

    def at(point):
        x, y = np.rint(point[:2]).astype(int)
        return found[y, x]

    assert at(mesh[151]) == at(mesh[50]) == 1
    assert at(mesh[landmarks.LEFT_EYE].mean(0)) == at(mesh[13]) == 0
    shares[FRONT], shares[SKIN] = 0, 1
    assert skin.told(shares, mesh).max() == 0
