"""Light, contrast and sharpness of the footage, on the selfie."""

import cv2
import numpy as np
import pytest

from vidswap.face import geometry, raster, relight

SIZE = 256
SKIN, GROUND = (200, 150, 120), (60, 60, 60)


@pytest.fixture(scope="module")
def mesh(form):
    return geometry.posed(form.mean, (90.0, np.eye(3), np.array([127.5, 100.0, 0.0])))


@pytest.fixture(scope="module")
def drawing(form, mesh):
    return raster.draw(form, raster.with_ring(mesh, mesh), SIZE)


@pytest.fixture(scope="module")
def face(paint, mesh):
    return paint(mesh, SIZE, SKIN, GROUND)


@pytest.mark.parametrize("cast", [(0.6, 0.6, 0.6), (1.2, 0.9, 0.7), (0.7, 0.9, 1.3)])
def test_the_light_becomes_the_actors(face, drawing, cast):
    actor = np.clip(face * np.array(cast), 0, 255).astype(np.uint8)
    before = np.abs(face.astype(float) - actor)[drawing_mask(drawing)].mean()
    after = np.abs(relight.relight(face, actor, drawing, relight.LightSettings(inside=1.0)) - actor)[
        drawing_mask(drawing)
    ].mean()
    assert after < 0.25 * before


@pytest.mark.parametrize("share", [0.05, 0.15, 0.3])
def test_in_the_dark_no_face_glows(paint, mesh, drawing, share):
    """The actor in a frame that is all but black: the selfie is as dark, eyes, lips and colours too."""
    face = paint(mesh, SIZE, SKIN, GROUND)
    actor = np.rint(face * share).astype(np.uint8)
    how = relight.Tone(contrast=1.1, colour=1.1)
    lit = relight.relight(face, actor, drawing, relight.LightSettings(), how)
    inside = drawing_mask(drawing)
    assert lit[inside].mean() < 1.35 * actor[inside].mean() + 2
    assert np.percentile(lit[inside].max(-1), 99) < 1.5 * np.percentile(actor[inside].max(-1), 99) + 6
    spread = np.ptp(lit[inside], axis=-1).mean()
    assert spread < 1.6 * np.ptp(actor[inside].astype(float), axis=-1).mean() + 4


def drawing_mask(drawing):
    skin = cv2.resize((drawing.part == 0).astype(np.uint8), (SIZE, SIZE))
    return cv2.erode(skin, np.ones((9, 9))) > 0


def test_a_face_in_its_own_light_stays(face, drawing):
    lit = relight.relight(face, face, drawing, relight.LightSettings())
    assert np.abs(lit - face)[drawing_mask(drawing)].mean() < 1.0


def test_sharpness_is_found_and_given(face, drawing):
    rng = np.random.default_rng(0)
    sharp = np.clip(face + rng.normal(0, 10, face.shape), 0, 255).astype(np.float32)
    soft = cv2.GaussianBlur(sharp, (0, 0), 0.8)
    mask = relight.face_alpha(drawing, relight.LightSettings())
    how = relight.sharpness_of(sharp, soft, mask, 1.0)
    assert how.blur == pytest.approx(0.8, abs=0.3)
    assert how.sharpen == 0
    assert relight.sharpness_of(soft, sharp, mask, 1.0).sharpen > 0.5
    assert relight.sharpness_of(sharp, sharp, mask, 1.0).blur == pytest.approx(0, abs=0.15)


def test_contrast_of_hazy_footage_is_taken_over(face, drawing):
    hazy = np.clip((face.astype(float) - 128) * 0.7 + 140, 0, 255).astype(np.uint8)
    settings = relight.LightSettings()
    how = relight.contrast_of(relight.relight(face, hazy, drawing, settings), hazy, drawing, settings)
    assert 0.6 <= how.contrast < 0.9


def test_of_the_footages_contrast_a_person_takes_half():
    how = relight.halfway(relight.Tone(contrast=0.64, colour=0.81, blur=1.0, sharpen=0.2))
    assert how == relight.Tone(contrast=pytest.approx(0.8), colour=pytest.approx(0.9), blur=1.0, sharpen=0.2)


def test_eyes_keep_their_contrast_and_sharpness(face, drawing):
    """In hazy, soft footage skin is toned down; eyes are not."""
    rng = np.random.default_rng(0)
    rich = np.clip(face + rng.normal(0, 12, face.shape), 0, 255).astype(np.uint8)
    lids = relight.eyes_share(drawing, SIZE)
    eyes, skin = lids > 0.9, (lids < 0.01) & drawing_mask(drawing)
    toned = relight.relight(rich, rich, drawing, relight.LightSettings(), relight.Tone(contrast=0.6))
    soft = relight.tone(toned, relight.Tone(blur=1.0), 1.0, lids)
    fine = [cv2.Laplacian((p @ relight.LUMA).astype(np.float32), cv2.CV_32F) for p in (rich, soft)]
    assert eyes.sum() > 100
    assert fine[1][eyes].std() > 0.8 * fine[0][eyes].std()
    assert fine[1][skin].std() < 0.4 * fine[0][skin].std()


def test_hair_over_the_face_is_told_from_skin(face, mesh):
    photo = face.copy()
    x, y = np.round(mesh[234, :2]).astype(int)
    photo[y - 20 : y + 20, x : x + 14] = (30, 20, 15)
    alike = relight.skin_alike(photo, mesh)
    cheek = np.round(mesh[205, :2]).astype(int)
    assert alike[y - 10 : y + 10, x + 3 : x + 10].max() < 0.2
    assert alike[cheek[1], cheek[0]] > 0.9


def test_the_edge_of_the_face_is_soft_and_its_middle_solid(drawing, mesh):
    alpha = relight.face_alpha(drawing, relight.LightSettings())
    nose = np.round(mesh[4, :2]).astype(int)
    assert alpha[nose[1], nose[0]] == pytest.approx(1)
    assert np.abs(np.diff(alpha + drawing.mouth, axis=1)).max() < 0.3
    assert alpha[:20].max() == 0
