"""The engine warp."""

import numpy as np
import pytest

from vidswap import geometry
from vidswap.swap import warp
from vidswap.types import Crops, Identity


def test_putting_a_person_onto_themselves_hardly_changes_them(engine, window, identity):
    crops = window(2)
    photo, mesh = crops.rgb[0], crops.mesh[0]
    own = Identity((photo,), (mesh,), identity.embedding, identity.consent)
    swapped = engine.swap(crops, own, None)
    changed = np.abs(swapped.rgb[0].astype(int) - crops.rgb[0]) * swapped.alpha[0][..., None]
    assert changed.mean() < 1.5


def test_skin_takes_the_scenes_light(engine, window, identity):
    """The selfie is light, the actor dark: the result is as dark as the actor."""
    crops = window(1)
    swapped = engine.swap(crops, identity, None)
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


def test_a_narrower_face_leaves_no_second_cheek(engine, window, identity):
    """Surroundings are drawn along: the mesh as drawn is what the picture shows, outside it is the scene."""
    crops = window(1)
    frame = engine.frames(crops, identity)[0]
    around = frame.around[0:60, 0:60]
    assert np.array_equal(around, crops.rgb[0][0:60, 0:60])
    assert frame.mesh.shape == (478, 3)
    assert geometry.bounds(frame.mesh)[0] > 0


def test_masks_must_fit_their_crops(window):
    crops = window(1)
    with pytest.raises(ValueError, match=r"Crops\.mask"):
        Crops(0, 0, crops.rgb, crops.mesh, crops.mask[:, :10], crops.to_frame, crops.weight, crops.neutral)
