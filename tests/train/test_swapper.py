"""Pairs for the swapper, and a training short enough for a test."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from vidswap.face import geometry, landmarks, raster
from vidswap.face.expression import Blend, likeness
from vidswap.swap.engines import embedded, warp
from vidswap.train import swapper
from vidswap.train.faces import load_faces


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Three painted faces with their meshes, laid out as the training data are."""
    folder = tmp_path_factory.mktemp("faces")
    mean = landmarks.mean_face()
    rng, meshes = np.random.default_rng(5), []
    for k in range(3):
        shape = mean * rng.uniform(0.9, 1.1, 3)
        mesh = geometry.posed(shape, (70.0 + 10 * k, np.eye(3), np.array([128.0, 110.0, 0.0])))
        picture = cv2.GaussianBlur(rng.integers(60, 120, (256, 256, 3)).astype(np.uint8), (0, 0), 2)
        cv2.fillPoly(picture, [np.round(mesh[landmarks.OVAL, :2]).astype(np.int32)], (110 + 20 * k, 140, 200))
        for eye in landmarks.EYES:
            cv2.fillPoly(picture, [np.round(mesh[eye, :2]).astype(np.int32)], (30, 30, 30))
        cv2.imwrite(str(folder / f"{k}.jpg"), picture)
        meshes.append(mesh)
    np.savez(folder / "labels.npz", name=np.array(["0.jpg", "1.jpg", "2.jpg"]), mesh=np.stack(meshes))
    np.savez(folder / "topology.npz", tri=landmarks.triangles().astype(np.int64))
    return folder


@pytest.fixture(scope="module")
def faces(data):
    return load_faces(data, detail=swapper.EYES_APART)


@pytest.fixture(scope="module")
def base(faces, data):
    form = raster.surface(faces.mean, np.load(data / "topology.npz")["tri"])
    return warp.Warp(form, likeness(faces.mean, Blend()))


@pytest.mark.parametrize("seed", range(4))
def test_a_pair_is_a_spoilt_picture_and_what_mends_it(faces, base, seed):
    made = swapper.pair(faces, seed % 3, base, np.random.default_rng(seed))
    assert made.given.shape == (10, swapper.SIZE, swapper.SIZE)
    target = made.given[:3] + made.residual
    assert target.min() >= -1.001
    assert target.max() <= 1.001
    inside, outside = made.weight[0] > 0.9, made.weight[0] < 0.051
    assert np.abs(made.residual[:, inside]).mean() > 2 * np.abs(made.residual[:, outside]).mean()
    assert np.abs(made.residual[:, outside]).mean() < 0.02


def test_pairs_never_show_the_targets_face_but_as_a_blur(faces, base):
    """Of the target's own face the network is told 8 x 8 numbers: a change finer than that must not reach it there."""
    made = swapper.pair(faces, 0, base, np.random.default_rng(1))
    light = torch.from_numpy(made.given[3:6])[None]
    tiny = torch.nn.functional.interpolate(light, size=embedded.BLUR, mode="area")
    smooth = torch.nn.functional.interpolate(tiny, size=light.shape[-2:], mode="bicubic")
    assert (light - smooth).abs().mean() < 0.05


def test_equal_seeds_make_equal_pairs(faces, base):
    one, two = (swapper.pair(faces, 1, base, np.random.default_rng(9)) for _ in range(2))
    assert np.array_equal(one.given, two.given)
    assert np.array_equal(one.residual, two.residual)


def test_noise_levels_span_from_the_start_of_a_swap_to_almost_nothing():
    torch.manual_seed(0)
    sigma = swapper.levels(2000)
    assert sigma.max() == pytest.approx(swapper.SIGMA_MAX)
    assert sigma.min() >= swapper.SIGMA_MIN / 2
    assert 0.3 < (sigma == sigma.max()).float().mean() < 0.6


def test_training_writes_what_the_engine_loads(data, tmp_path):
    schedule = swapper.Schedule(minutes=0.02, batch=2, side=64, threads=1, workers=0)
    folder = swapper.train(data, tmp_path, schedule=schedule)
    index = json.loads((folder / "model_index.json").read_text())
    assert index["unet"] == ["diffusers", "UNet2DModel"]
    from diffusers import DiffusionPipeline

    loaded = DiffusionPipeline.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    assert loaded.scheduler.config.sigma_max == swapper.SIGMA_MAX
    assert loaded.unet.config.in_channels == 13 * embedded.PATCH**2


def test_a_residual_without_noise_comes_back(faces, base):
    """At a noise level near 0 the preconditioning hands the picture through, whatever the network says."""
    given = embedded.Conditions(*(torch.zeros(1, c, 32, 32) for c in (3, 3, 1, 3)))
    clean = torch.randn(1, 3, 32, 32) * 0.1
    found = embedded.residual(swapper.network(), clean, torch.full((1,), 1e-4), given)
    assert torch.allclose(found, clean, atol=5e-3)
