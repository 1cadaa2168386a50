"""A person keeps their own complexion, in the scene's light, and the actor's other skin follows."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidswap.face import geometry, landmarks
from vidswap.face.skin import PLAIN
from vidswap.progress import quiet
from vidswap.swap import complexion, matte, tone
from vidswap.swap.engines import warp
from vidswap.swap.light import DARKEST, GAMMA, SIDE, LightModel, edges, plain
from vidswap.swap.parts import Before
from vidswap.swap.tone import Weights
from vidswap.types import Crops, Identity

DARK, FAIR, GROUND = (96, 62, 44), (204, 158, 133), (60, 110, 160)


class Told:
    """In place of the network: light is what `told` says of a picture (SIDE, SIDE, 3) in 0 to 1."""

    def __init__(self, told):
        self.told = told

    def run(self, _, given):
        return (self.told(given["rgb"][0].transpose(1, 2, 0)).transpose(2, 0, 1)[None].astype(np.float32),)


def even_light(rgb):
    return np.zeros_like(rgb)


def lit_aside(rgb):
    """Light that falls off across a picture: the left is four times as bright as the right."""
    return np.broadcast_to(np.linspace(0.7, -0.7, SIDE)[None, :, None], rgb.shape)


TOLD = Weights(white=0.0, eyes=0.0, told=1.0, seen=0.0, varied=0.0, shaped=0.0, usual=0.0, hue=1.0)


@pytest.fixture(autouse=True)
def _as_told(monkeypatch):
    """What the network tells is believed, and nothing else."""
    for name in ("PHOTO", "FILM"):
        monkeypatch.setattr(complexion, name, TOLD)
    for name, value in (("TINTS", (0, 0, 1)), ("WARM", np.zeros((3, 3))), ("STRANGE", 1e3), ("SAME", 1e-3)):
        monkeypatch.setattr(tone, name, value)


@pytest.fixture(scope="module")
def own(engine):
    """own(told) -> the engine warp with a person's own complexion, and `told` for the network of light."""
    triangles = landmarks.triangles().astype(int)

    def own(told=even_light):
        model = LightModel(Told(told), engine.form.mean, triangles)
        return warp.Warp(engine.form, engine.person, needs=warp.OWN, model=model)

    return own


def face_on_neck(mesh, size, skin, neck=None):
    """A painted face, neck and shirt."""
    picture = np.empty((size, size, 3), np.uint8)
    picture[:] = GROUND
    rim = mesh[landmarks.OVAL, :2]
    (left, _), (right, bottom) = rim.min(0), rim.max(0)
    part = (right - left) / 4
    collar = int(bottom + 2 * part)
    cv2.rectangle(picture, (int(left + part), int(bottom - part)), (int(right - part), collar), neck or skin, -1)
    cv2.rectangle(picture, (0, collar), (size, size), (200, 200, 60), -1)
    cv2.fillPoly(picture, [np.round(rim).astype(np.int32)], skin)
    for eye in (landmarks.LEFT_EYE, landmarks.RIGHT_EYE, landmarks.INNER_LIPS):
        cv2.fillPoly(picture, [np.round(mesh[eye, :2]).astype(np.int32)], (30, 20, 20))
    return cv2.GaussianBlur(picture, (0, 0), 1.0)


@pytest.fixture(scope="module")
def scene(engine):
    """scene(skin) -> a window of one frame, 768 wide, of an actor with that skin."""

    def scene(skin):
        size = warp.OWN.size + 2 * warp.OWN.margin
        mesh = geometry.posed(engine.form.mean, (170.0, np.eye(3), np.array([383.5, 350.0, 0.0])))
        turn = geometry.crop_transform(mesh, engine.form.mean, warp.OWN.size) + np.array([[0, 0, warp.OWN.margin]])
        mesh, picture = geometry.apply(turn, mesh), face_on_neck(geometry.apply(turn, mesh), size, skin)
        one = np.ones(1, np.float32)
        mask = np.ones((1, size, size), np.float32)
        return Crops(1, 0, picture[None], mesh[None], mask, geometry.invert(turn)[None], one, engine.form.mean)

    return scene


@pytest.fixture(scope="module")
def person(engine, identity):
    def person(skin):
        mesh = geometry.posed(engine.form.mean, (120.0, np.eye(3), np.array([200.0, 170.0, 0.0])))
        return Identity((face_on_neck(mesh, 400, skin),), (mesh,), identity.embedding, identity.consent)

    return person


def shown(crops, swapped):
    alpha = swapped.alpha[0][..., None]
    return swapped.rgb[0] * alpha + crops.rgb[0] * (1 - alpha)


def patch(picture, middle, half=6):
    x, y = np.round(middle[:2]).astype(int)
    return picture[y - half : y + half, x - half : x + half].reshape(-1, 3).mean(0)


@pytest.mark.parametrize(("actor", "selfie"), [(FAIR, DARK), (DARK, FAIR)])
def test_face_and_neck_take_the_persons_complexion(own, scene, person, actor, selfie):
    crops = scene(actor)
    picture = shown(crops, own().swap(crops, person(selfie), None, quiet))
    mesh = crops.mesh[0]
    neck = mesh[152, :2] + [0, 0.12 * np.ptp(mesh[:468, 1])]
    for place in (mesh[5], mesh[50], mesh[280], mesh[151], neck):
        assert np.abs(patch(picture, place) - selfie).max() < 14
    assert np.abs(patch(picture, [60, 60]) - GROUND).max() < 0.5, "what is no skin stays"
    assert np.abs(picture[700:] - crops.rgb[0][700:]).max() < 3, "nor does a shirt change"


class Parts:
    """In place of the network of parts: the left half of the mouth's surroundings is before the face."""

    def __init__(self, mesh):
        self.mesh = mesh

    def before(self, crops, _threads):
        (x, y), plane = self.mesh[13, :2].astype(int), np.zeros(crops.rgb.shape[1:3], np.float32)
        plane[y - 60 : y + 80, x - 90 : x] = 1
        return [Before(plane.copy()) for _ in range(len(crops))]


@pytest.mark.parametrize(("thing", "follows"), [(FAIR, True), ((30, 60, 200), False)])
def test_of_what_is_before_the_face_a_hand_takes_the_complexion_and_a_cup_stays(own, scene, person, thing, follows):
    crops = scene(FAIR)
    x, y = crops.mesh[0, 13, :2].astype(int)
    crops.rgb[0, y - 60 : y + 80, x - 90 : x] = thing
    engine, dark = replace(own(), parts=Parts(crops.mesh[0])), person(DARK)
    engine.ready.of(dark.photos[0], lambda photo: own().sitter(photo, dark.meshes[0]))
    picture = shown(crops, engine.swap(crops, dark, None, quiet))
    for place in ((x - 45, y), (x - 70, y + 50)):
        seen = patch(picture, np.array(place))
        assert np.abs(seen - (DARK if follows else thing)).max() < (25 if follows else 1)
    assert np.abs(patch(picture, crops.mesh[0, 280]) - DARK).max() < 25


def test_letters_close_together_are_no_hand(scene):
    """Two lines of them, of which the network tells a broad band."""
    crops = scene(FAIR)
    x, y = crops.mesh[0, 13, :2].astype(int)
    before = np.zeros(crops.rgb.shape[1:3], np.float32)
    before[y - 60 : y + 60, x - 90 : x + 90] = 1
    looks = matte.skin_looks(crops, 288)
    hand = matte.hands(crops.rgb[0], before, 144, looks)
    written = crops.rgb[0].copy()
    written[y - 60 : y + 60, x - 90 : x + 90][:, ::20] = 255
    for k in range(5):
        written[y - 60 : y + 60, x - 90 + k : x + 90 : 20] = 255
    letters = matte.hands(written, before, 144, looks)
    inside = np.s_[(y - 40) * 144 // 768 : (y + 40) * 144 // 768, (x - 70) * 144 // 768 : (x + 70) * 144 // 768]
    assert hand[inside].mean() > 0.7
    assert letters[inside].mean() < 0.1


def test_the_scenes_light_falls_on_the_person(own, scene, person):
    """A picture of a fair actor lit from the left, a dark person in flat light: the dark person lit from the left."""
    crops = scene(FAIR)
    light = np.exp(np.linspace(0.7, -0.7, 512) / GAMMA)[None, :, None]
    lit = crops.rgb[0].astype(float)
    lit[128:-128, 128:-128] *= light
    lit = np.clip(lit * 0.8, 0, 255).astype(np.uint8)
    told = iter([even_light, lit_aside])

    def one_after_the_other(rgb):
        return next(told)(rgb)

    scene_lit = Crops(1, 0, lit[None], crops.mesh, crops.mask, crops.to_frame, crops.weight, crops.neutral)
    swapped = own(one_after_the_other).swap(scene_lit, person(DARK), None, quiet)
    picture, mesh = shown(scene_lit, swapped), crops.mesh[0]
    left, right = (patch(picture, mesh[k]) for k in (50, 280))
    before = patch(lit, mesh[50]) / patch(lit, mesh[280])
    np.testing.assert_allclose(left / right, before, rtol=0.12)
    assert np.abs(picture[:, :, 0].mean() - lit[:, :, 0].mean()) > 1


def test_a_photos_own_light_is_taken_off(own, person, engine):
    photo, mesh = person(FAIR).photos[0], person(FAIR).meshes[0]
    turn = geometry.crop_transform(mesh, engine.form.mean, SIDE)
    light = cv2.warpAffine(np.array(lit_aside(np.zeros((SIDE, SIDE, 3)))), geometry.invert(turn), (400, 400),
                           borderMode=cv2.BORDER_REPLICATE)  # fmt: skip
    lit = np.clip(photo * np.exp(light / GAMMA) * 0.7, 0, 255).astype(np.uint8)
    bare = complexion.bare(lit, mesh, own(lit_aside).model)
    left, right = (patch(bare.photo, mesh[k]) for k in (50, 280))
    np.testing.assert_allclose(left, right, rtol=0.05)
    assert np.abs(patch(lit, mesh[50]) / patch(lit, mesh[280]) - 1).min() > 0.2, "it was lit from the left"


def test_light_has_no_features():
    slow = np.tile(np.linspace(-1, 1, SIDE, dtype=np.float32)[None, :, None], (SIDE, 1, 3))
    fine = np.zeros((SIDE, SIDE, 3), np.float32)
    fine[60:66, 30:50] = 1.0  # a brow
    found = plain(slow + fine)
    np.testing.assert_allclose(found[:, 32:-32], slow[:, 32:-32] + plain(fine)[:, 32:-32], atol=1e-4)
    assert plain(fine).max() < 0.3
    np.testing.assert_allclose(plain(slow)[:, 32:-32], slow[:, 32:-32], atol=0.02)


@given(st.integers(0, 2**32 - 1), st.floats(-1.5, 1.5))
def test_what_is_no_skin_keeps_its_bits(seed, change):
    rng = np.random.default_rng(seed)
    picture = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
    skin = np.zeros((16, 16), np.float32)
    skin[:8] = 1
    after = complexion.changed(picture, np.full(3, change), skin)
    np.testing.assert_array_equal(after[8:], picture[8:])
    wanted, were = picture[:8] * np.exp(change / GAMMA), picture[:8].astype(float)
    plain = (wanted <= complexion.KNEE) | (change <= 0)
    assert np.abs(after[:8] - wanted)[plain].max() <= 1
    bright = after[:8][~plain]
    assert (bright >= np.minimum(were[~plain], 255)).all()
    assert (bright <= np.maximum(were[~plain], complexion.WHITE)).all()


def test_the_middle_of_a_wide_crop_lies_where_it_lay(scene):
    crops = scene(FAIR)
    inner = complexion.framed(crops, 512)
    assert inner.rgb.shape == (1, 512, 512, 3)
    for middle, wide in (([0, 0], [128, 128]), ([100, 31], [228, 159])):
        there = geometry.apply(crops.to_frame[0], np.array(wide))
        np.testing.assert_allclose(geometry.apply(inner.to_frame[0], np.array(middle)), there, rtol=1e-5)
    assert complexion.framed(inner, 512) is inner


@given(st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_a_guide_leaves_an_even_plane_even(level, seed):
    guide = np.random.default_rng(seed).random((12, 12)).astype(np.float32)
    found = matte.guided(guide, np.full((12, 12), level, np.float32), 2, 1e-3)
    np.testing.assert_allclose(found, level, atol=1e-3)


def test_burnt_skin_takes_the_hue_of_the_rest(engine):
    mesh = geometry.posed(engine.form.mean, (100.0, np.eye(3), np.array([128.0, 110.0, 0.0])))
    crop = np.full((256, 256, 3), FAIR, np.uint8)
    light = np.zeros((256, 256, 3), np.float32)
    x, y = np.round(mesh[50, :2]).astype(int)
    spot = np.s_[y - 8 : y + 8, x - 8 : x + 8]
    light[spot] = 1.2
    crop[spot] = np.clip(np.array(FAIR) * np.exp(1.2 / GAMMA), 0, 255)  # white, but for blue
    skin = np.array(FAIR) / 255
    more = complexion.burnt(crop, mesh, light, skin)
    flat, mended = (crop[y, x] / 255 * np.exp((part - light[y, x]) / GAMMA) for part in (0, more[y, x]))
    assert np.abs(mended / mended.mean() - skin / skin.mean()).max() < 0.06
    assert np.abs(flat / flat.mean() - skin / skin.mean()).max() > 0.1
    assert np.abs(more[:20]).max() == 0


def logs(skin):
    return np.log((np.array(skin) / 255) ** GAMMA + DARKEST)


def test_with_no_voice_a_darker_photo_is_of_a_darker_person(monkeypatch, own, person):
    monkeypatch.setattr(complexion, "PHOTO", replace(TOLD, told=0.0, usual=0.25))
    monkeypatch.setattr(tone, "TINTS", (0, 0, 0))
    mesh = person(FAIR).meshes[0]
    for level in (-1.0, 1.0):
        model = own(lambda rgb, level=level: np.full_like(rgb, level)).model
        for skin in (FAIR, DARK):
            found = complexion.bare(person(skin).photos[0], mesh, model).tone
            np.testing.assert_allclose(found, logs(skin) - 0.25, atol=0.1)


def test_a_dim_photo_is_told_from_a_dark_person(own, person, monkeypatch):
    """Where all of a photo is darker, its white too, that is the light's; where the skin alone is, it is the skin's."""
    monkeypatch.setattr(complexion, "PHOTO", replace(TOLD, white=1.0, told=0.0))
    model, mesh = own().model, person(FAIR).meshes[0]

    def lightness(skin, dimmed):
        photo = cv2.copyMakeBorder(person(skin).photos[0], 0, 0, 0, 60, cv2.BORDER_CONSTANT, value=(250,) * 3)  # a wall
        return complexion.bare((photo * dimmed).astype(np.uint8), mesh, model).tone.mean()

    bright, dim, dark = lightness(FAIR, 1.0), lightness(FAIR, 0.6), lightness(DARK, 1.0)
    assert dim == pytest.approx(bright, abs=0.15)
    assert dark < bright - 1


@pytest.mark.parametrize(("lab", "hue", "wanted"), [
    ((50, 13, 20), 1.0, (50, 13, 20)), ((50, 17.4, 26.7), 1.0, (50, 17.3, 26.5)),  # richer, as skins are
    ((50, 32, 49), 1.0, (50, 24.2, 37.2)), ((50, 17.4, 26.7), 0.5, (50, 15.2, 23.3)),
    ((50, 16.9, 15.2), 1.0, (50, 14.9, 17.6)), ((50, 45, 5), 1.0, (50, 20.6, 20.8)),  # redder, as hardly any is
    ((84, 8, 14), 1.0, (70, 8, 14)),
])  # fmt: skip
def test_what_no_skin_has_is_the_lights(monkeypatch, lab, hue, wanted):
    monkeypatch.setattr(tone, "STRANGE", 6.0)
    seen = cv2.cvtColor(np.array([[lab]], np.float32), cv2.COLOR_LAB2LRGB)[0, 0]
    found = np.exp(tone.likely(np.log(seen), hue))[None, None].astype(np.float32)
    np.testing.assert_allclose(cv2.cvtColor(found, cv2.COLOR_LRGB2LAB)[0, 0], wanted, atol=1.2)


def test_a_pale_scene_makes_nobody_colourful(monkeypatch):
    monkeypatch.setattr(tone, "SAME", 0.7)
    labs = np.array([[(60, 4, 7), (60, 12, 20)]], np.float32)
    pale, skin = cv2.cvtColor(labs, cv2.COLOR_LAB2LRGB)[0]
    assert tone.colourful(np.log(skin)) == 1
    assert 0.5 < tone.colourful(np.log(pale)) < 0.8


@given(st.tuples(*[st.tuples(st.floats(30, 75), st.floats(5, 25), st.floats(0.2, 1.2))] * 4))
def test_skin_in_a_scene_is_no_bluer_than_the_actors_makes_likely(labs):
    """As far from it as in plain light, so that coloured light, or what is taken for it, turns nobody lilac."""
    colours = [[light, rich * np.cos(hue), rich * np.sin(hue)] for light, rich, hue in labs]
    logs = np.log(cv2.cvtColor(np.array([colours], np.float32), cv2.COLOR_LAB2LRGB)[0])
    (light, rich, hue), (_, _, seen), (_, _, own), (_, _, actor) = labs
    found = tone.lab_of(tone.of_a_kind(*logs))
    bluest = seen + own - actor - tone.TURNED
    assert np.arctan2(found[2], found[1]) == pytest.approx(max(hue, bluest), abs=0.03)
    if hue > bluest:
        np.testing.assert_allclose(found, colours[0], atol=0.5)
    assert found[0] == pytest.approx(light, abs=0.5)
    assert np.hypot(*found[1:]) == pytest.approx(rich, abs=0.7)


def test_the_edge_of_a_shadow_is_light_and_a_brow_is_not():
    light, skin = np.zeros((SIDE, SIDE, 3), np.float32), np.ones((SIDE, SIDE), np.float32)
    light[:, SIDE // 2 :] = -2.0
    whole = plain(light) + edges(light, skin)
    assert np.abs(whole[64, 64 + 4] - -2.0).max() < 0.35
    assert np.abs(plain(light)[64, 64 + 4] - -2.0).max() > 0.5
    assert np.abs(edges(light, np.zeros_like(skin))).max() == 0
    assert np.abs(edges(light * 0.1, skin)).max() == 0, "as faint as a feature"


def test_the_network_is_asked_in_some_frames(own, scene):
    one, asked = scene(FAIR), []

    def told(rgb):
        asked.append(1)
        return np.full_like(rgb, 0.1 * len(asked))

    many = Crops(1, 0, *(np.concatenate([getattr(one, name)] * 6) for name in ("rgb", "mesh", "mask", "to_frame")),
                 np.ones(6, np.float32), one.neutral)  # fmt: skip
    inner = complexion.framed(many, 512)
    found = complexion.followed(inner, own(told).model)
    assert len(asked) == 3
    np.testing.assert_allclose([light.mean() for light, _ in found], [0.1, 0.125, 0.15, 0.175, 0.2, 0.3], atol=1e-3)
    for _, each in found:
        np.testing.assert_allclose(each.seen, logs(FAIR), atol=0.05)


def test_darker_skin_keeps_some_of_its_grain():
    assert complexion.grained(np.zeros(3)) == 1
    change = np.full(3, -2.0)
    assert 1 < complexion.grained(change) < np.exp(2.0 / GAMMA)
    assert complexion.grained(change) == pytest.approx(1 / complexion.grained(-change))


@given(st.floats(0, 2000), st.floats(0, 2000))
def test_bright_skin_is_rolled_off_and_keeps_its_order(one, other):
    low, high = sorted([one, other])
    shown = complexion.rolled_off(np.array([low, high], np.float32), np.zeros(2, np.float32))
    assert 0 <= shown[0] <= shown[1] <= complexion.WHITE
    assert low > complexion.KNEE or shown[0] == np.float32(low)
    levels = np.arange(256, dtype=np.float32)
    assert (complexion.rolled_off(levels, levels) == levels).all()


def test_a_large_photo_is_not_aliased(own, person, engine):
    """Stripes finer than the crop's pixels are grey to the network, whatever its photo's size."""
    told = []
    model = own(lambda rgb: told.append(rgb.copy()) or np.zeros_like(rgb)).model
    someone = person(FAIR)
    photo, mesh = cv2.resize(someone.photos[0], None, fx=6, fy=6), someone.meshes[0] * 6
    stripes = (np.arange(photo.shape[1]) // 2 % 2 * 60)[None, :, None].astype(np.uint8)
    for striped in (photo // 2 + 30, photo // 2 + stripes):
        complexion.bare(striped, mesh, model)
    assert float(np.abs(told[0] - told[1]).mean()) < 0.006


@pytest.mark.parametrize(("neck", "bare"), [((200, 150, 117), True), ((200, 200, 60), False), (GROUND, False)])
def test_a_neck_that_is_paler_than_the_face_is_skin_and_a_collar_is_not(engine, scene, neck, bare):
    crops, red = scene(FAIR), (205, 130, 108)
    (mesh,), size = crops.mesh, crops.rgb.shape[1]
    crops = replace(crops, rgb=face_on_neck(mesh, size, red, neck)[None])
    side = complexion.MATTE * size // warp.OWN.size
    found = matte.skin_matte(crops.rgb[0], mesh, side, matte.skin_looks(crops, side))
    x, y = mesh[152, :2] + (0, 0.15 * np.ptp(mesh[landmarks.OVAL, 1]))
    on_neck = float(found[int(y * side / size), int(x * side / size)])
    assert on_neck > 0.9 if bare else on_neck < 0.1


@pytest.mark.parametrize(("ear", "bare"), [((205, 140, 118), True), ((70, 50, 40), False), (GROUND, False)])
def test_an_ear_that_is_redder_than_the_face_is_skin_and_hair_is_not(scene, ear, bare):
    crops = scene(FAIR)
    (mesh,), size = crops.mesh, crops.rgb.shape[1]
    long = np.ptp(mesh[landmarks.OVAL, 1])
    at = mesh[454, :2] + (0.06 * long, 0)
    picture = crops.rgb[0].copy()
    cv2.rectangle(picture, (0, 0), (size, size // 8), (70, 50, 40), -1)  # as hair is, farther off
    cv2.ellipse(picture, np.round(at).astype(int).tolist(), (int(0.09 * long), int(0.16 * long)), 0, 0, 360, ear, -1)
    crops, side = replace(crops, rgb=picture[None]), complexion.MATTE * size // warp.OWN.size
    found = matte.skin_matte(picture, mesh, side, matte.skin_looks(crops, side))
    x, y = (at[0] + 0.03 * long) * side / size, at[1] * side / size
    assert found[int(y), int(x)] > 0.8 if bare else found[int(y), int(x)] < 0.1


def test_a_neck_does_not_come_and_go_at_once(scene):
    """As a throat grows less like the face it is doubted more; from one window to the next it would flicker else."""
    crops, doubts = scene(FAIR), []
    (mesh,), size = crops.mesh, crops.rgb.shape[1]
    for share in np.linspace(0, 1, 13):
        neck = tuple(round(a + (b - a) * share) for a, b in zip((203, 149, 116), (190, 156, 126), strict=True))
        picture = face_on_neck(mesh, size, (205, 130, 108), neck)
        looks = matte.skin_looks(replace(crops, rgb=picture[None]), complexion.MATTE * size // warp.OWN.size)
        doubts.append(float(looks.doubts[-1]))
    assert doubts[0] == 0
    assert doubts[-1] > 10, "hardly any is left"
    assert min(np.diff(doubts)) >= 0
    assert max(np.diff(doubts)) < 3


@given(st.tuples(*[st.floats(0.35, 0.65)] * 3), st.floats(0.15, 0.3))
def test_a_matte_ends_where_the_picture_does_also_between_colours_as_bright(colour, step):
    """Half as large as its picture, and a pixel of its own short of the edge, which grey levels do not show."""
    picture, found = np.empty((64, 64, 3), np.float32), np.zeros((32, 32), np.float32)
    picture[:] = colour
    picture[:, 34:] += np.array([-step, step * 0.299 / 0.587, 0], np.float32)
    found[:, :16] = 1
    edged = matte.edged(picture, found)
    assert edged[:, 32].min() > 0.5
    assert edged[:, 36].max() < 0.2


def test_a_hand_beside_a_face_does_not_make_its_own_skin_another_things(scene):
    """Skin farther off, an arm or a hand, is nothing that the skin of a face could be told from."""
    crops = scene(FAIR)
    (mesh,), size = crops.mesh, crops.rgb.shape[1]
    lit, paler = (207, 161, 135), (214, 174, 143)
    picture = face_on_neck(mesh, size, FAIR)
    side, hand = complexion.MATTE * size // warp.OWN.size, picture.copy()
    cv2.rectangle(hand, (0, size // 2), (size // 7, size), lit, -1)
    without, beside = (matte.skin_looks(replace(crops, rgb=each[None]), side) for each in (picture, hand))
    one = np.array([[matte.colours(np.full((9, 9, 3), paler, np.uint8))[4, 4]]])
    likely = [matte.alike_of(each.far(one), each.rather(one, each.far(one))).item() for each in (without, beside)]
    assert likely[1] == pytest.approx(likely[0], abs=0.05)


def test_halves_of_a_face_that_differ_are_lit_differently(own, person):
    """What the network missed: one side darker and redder. A mole stays, and is not seen on the other side, too."""
    one = person(FAIR)
    photo, mesh = one.photos[0].astype(float), one.meshes[0]
    middle = mesh[landmarks.NOSE_TIP, 0]
    left = np.arange(photo.shape[1]) < middle
    x, y = np.round(mesh[[50, 280], :2]).astype(int).T  # cheeks
    shaded = photo * np.where(left[None, :, None], [1.05, 0.9, 0.7], 1.0)
    cv2.circle(shaded, (int(x[1]), int(y[1])), 2, (60, 30, 20), -1)
    found = complexion.bare(shaded.astype(np.uint8), mesh, own().model).photo.astype(float)
    before, after = (np.log(cv2.GaussianBlur(each, (0, 0), 6)[y, x] + 1) for each in (shaded, found))
    assert np.abs(np.subtract(*after)).max() < 0.5 * np.abs(np.subtract(*before)).max()
    assert found[y[1], x[1]].mean() < 0.6 * found[y[1], x[1] + 8].mean()
    near = found[y[0] - 12 : y[0] + 13, x[0] - 12 : x[0] + 13].mean(-1)
    assert near.std() < 0.04 * near.mean()


def test_dark_skin_of_an_actor_is_stretched_and_fair_skin_is_not():
    """What is taken for light of a darker skin's darkness is given back, and no skin overtakes another by it."""
    flat, film = np.zeros(3), replace(TOLD, deeper=0.9)
    skins = np.linspace(-3.0, -0.8, 23)

    def level(seen, weights):
        return tone.tone_of(tone.Voices(np.full(3, seen), flat, flat, flat, 0.0, 0.0), weights).own.mean()

    plain, deeper = (np.array([level(skin, weights) for skin in skins]) for weights in (TOLD, film))
    fair = skins > tone.DEEP + 0.05
    np.testing.assert_allclose(deeper[fair], plain[fair], atol=1e-5)
    assert (deeper[skins < tone.DEEP - 0.1] < plain[skins < tone.DEEP - 0.1] - 0.05).all()
    assert (np.diff(deeper) >= -1e-5).all()


@pytest.mark.parametrize(("brow", "bare"), [((230, 168, 125), True), ((70, 50, 40), False), (GROUND, False)])
def test_a_forehead_in_warmer_light_is_skin_up_to_the_hair(scene, brow, bare):
    crops = scene(FAIR)
    (mesh,), size = crops.mesh, crops.rgb.shape[1]
    top, long = mesh[10, :2], np.ptp(mesh[landmarks.OVAL, 1])
    picture = crops.rgb[0].copy()
    cv2.rectangle(picture, (0, 0), (size, size // 8), (70, 50, 40), -1)  # hair
    corner, other = np.round(top + np.array([(-0.1, -0.08), (0.1, 0.02)]) * long).astype(int).tolist()
    cv2.rectangle(picture, corner, other, brow, -1)
    crops, side = replace(crops, rgb=picture[None]), complexion.MATTE * size // warp.OWN.size
    found = matte.skin_matte(picture, mesh, side, matte.skin_looks(crops, side))
    x, y = (top - (0, 0.04 * long)) * side / size
    assert found[int(y), int(x)] > 0.8 if bare else found[int(y), int(x)] < 0.1


def test_a_forehead_that_shines_makes_nobody_fairer(own, person):
    one = person(DARK)
    photo, mesh = one.photos[0].copy(), one.meshes[0]
    forehead = cv2.convexHull(np.round(mesh[list(PLAIN[0]), :2]).astype(np.int32))
    cv2.fillConvexPoly(photo, forehead, (190, 150, 130))
    dull, shining = (complexion.bare(each, mesh, own().model).tone for each in (one.photos[0], photo))
    assert np.abs(shining - dull).max() < 0.1
