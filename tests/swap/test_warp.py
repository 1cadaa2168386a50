"""The engine warp."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from vidswap.face import geometry, landmarks
from vidswap.progress import quiet
from vidswap.swap.engines import warp
from vidswap.types import Crops, Identity


def test_putting_a_person_onto_themselves_hardly_changes_them(engine, window, identity):
    crops = window(2)
    photo, mesh = crops.rgb[0], crops.mesh[0]
    own = Identity((photo,), (mesh,), identity.embedding, identity.consent)
    swapped = engine.swap(crops, own, None, quiet)
    changed = np.abs(swapped.rgb[0].astype(int) - crops.rgb[0]) * swapped.alpha[0][..., None]
    assert changed.mean() < 1.5


def test_skin_takes_the_scenes_light(engine, window, identity):
    """The selfie is light, the actor dark: the result is as dark as the actor."""
    crops = window(1)
    swapped = engine.swap(crops, identity, None, quiet)
    nose = np.round(crops.mesh[0, 5, :2]).astype(int)
    patch = np.s_[nose[1] - 12 : nose[1] + 12, nose[0] - 12 : nose[0] + 12]
    assert np.abs(swapped.rgb[0][patch].mean((0, 1)) - crops.rgb[0][patch].mean((0, 1))).max() < 20


def test_the_tone_is_the_same_for_all_frames_of_a_window(engine, window, identity, monkeypatch):
    crops = window(4)
    seen = []
    real = warp.Warp.render
    monkeypatch.setattr(warp.Warp, "render", lambda *given: seen.append(given[2]) or real(*given))
    engine.frames(crops, identity)
    assert len(seen) == 4
    assert len(set(seen)) == 1


def test_a_hand_before_the_face_is_found_in_the_mask(window):
    crops = window(1)
    mask = crops.mask[0].copy()
    assert warp.covered(mask, crops.mesh[0]).max() == 0
    mask[250:330, 230:290] = 0
    assert warp.covered(mask, crops.mesh[0])[260:320, 240:280].min() > 0.9


@pytest.mark.parametrize("wide", [0.8, 0.9, 1.1, 1.2])
def test_a_face_of_another_width_has_one_cheek_on_each_side(engine, window, paint, identity, wide):
    """Along a line through the cheeks: scene, skin, scene, and skin begins where the person's face does, not where the
    actor's did. Far from the face nothing moves."""
    crops, skin, ground = window(1, start=2), np.array([160, 110, 90]), np.array([90, 100, 110])
    mesh = geometry.posed(engine.form.mean * [wide, 1.0, 1.0], (120.0, np.eye(3), np.array([200.0, 170.0, 0.0])))
    photo = paint(mesh, 400, tuple(skin.tolist()), (40, 60, 40))
    person = Identity((photo,), (mesh,), identity.embedding, identity.consent)
    swapped, drawn = engine.swap(crops, person, None, quiet), engine.frames(crops, person)[0]
    alpha, line = swapped.alpha[0][..., None], round(float(crops.mesh[0, 1, 1]))
    shown = swapped.rgb[0] * alpha + crops.rgb[0] * (1 - alpha)

    def edges(picture):
        row = picture[line].astype(float)
        is_skin = np.abs(row - skin).max(-1) < np.abs(row - ground).max(-1)
        return np.flatnonzero(np.diff(is_skin.astype(int)))

    outline = drawn.mesh[landmarks.OVAL]
    beside = np.sort(outline[np.abs(outline[:, 1] - line) < 25, 0])[[0, -1]]
    before, after = edges(crops.rgb[0]), edges(shown)
    assert len(after) == 2, "one cheek on each side"
    assert np.abs(after - beside).max() <= 4
    assert np.abs(after - before).min() >= 3, "this is not where the actor's face ended"
    assert np.array_equal(shown[0:60, 0:60], crops.rgb[0][0:60, 0:60])


def test_a_face_in_its_own_complexion_reaches_to_its_edge(engine, window, identity):
    """The actor's skin shows through in a wide seam only where it lends its complexion."""
    crops = window(1)
    narrow = replace(engine, light=warp.OWN_LIGHT).frames(crops, identity)[0]
    wide = engine.frames(crops, identity)[0]
    face = np.isin(wide.drawing.part, (0, 1))
    shown = [(cv2.resize(each.alpha, face.shape[::-1])[face] > 0.95).mean() for each in (narrow, wide)]
    assert shown[0] > 0.8
    assert shown[1] < 0.75


def test_masks_must_fit_their_crops(window):
    crops = window(1)
    with pytest.raises(ValueError, match=r"Crops\.mask"):
        Crops(0, 0, crops.rgb, crops.mesh, crops.mask[:, :10], crops.to_frame, crops.weight, crops.neutral)


def test_a_beard_is_worn_up_to_the_outline(engine, identity, window):
    (photo,), (mesh,) = identity.photos, identity.meshes
    beard = cv2.convexHull(np.rint(mesh[[58, 172, 136, 149, 152, 378, 365, 397, 288, 393, 167], :2]).astype(np.int32))
    grown = np.zeros(photo.shape[:2], np.uint8)
    cv2.fillConvexPoly(grown, beard, 255)
    hair = np.clip(np.random.default_rng(0).normal((60, 45, 40), 22, photo.shape), 0, 255).astype(np.uint8)
    share = cv2.GaussianBlur(grown, (0, 0), 3).astype(np.float32) / 255
    dark = cv2.blendLinear(hair, photo, share, 1 - share)
    lips = cv2.convexHull(np.rint(mesh[landmarks.OUTER_LIPS, :2]).astype(np.int32))
    cv2.fillConvexPoly(dark, lips, (150, 90, 80))
    plain, bearded = (engine.frames(window(1), replace(identity, photos=(each,)))[0] for each in (photo, dark))
    np.testing.assert_allclose(bearded.alpha[plain.alpha > 0.5], plain.alpha[plain.alpha > 0.5], atol=0.2)
    x, y = np.rint(bearded.mesh[200, :2]).astype(int)
    assert bearded.picture[y, x].mean() < 0.8 * plain.picture[y, x].mean()
