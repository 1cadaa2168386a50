"""Pairs for the swapper, and a training short enough for a test."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from vidswap.face import geometry, landmarks, raster
from vidswap.swap.engines import embedded, warp
from vidswap.train import augment, swapper, swapper_samples
from vidswap.train.rows import decoded, load


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
def company(data):
    return swapper_samples.company(data, "")


@pytest.fixture(scope="module")
def rows(company):
    return [swapper_samples.pair(company, seed % 3, np.random.default_rng(seed)) for seed in range(4)]


@pytest.fixture(scope="module")
def form():
    return raster.surface(landmarks.mean_face(), landmarks.triangles())


@pytest.mark.parametrize("seed", range(4))
def test_a_pair_is_a_swap_and_what_mends_it(rows, form, seed):
    given, residual, weight = (part.float().numpy() for part in swapper.pair(rows[seed], form))
    assert given.shape == (10, embedded.SIDE, embedded.SIDE)
    target = given[:3] + residual
    assert target.min() >= -1.01
    assert target.max() <= 1.01
    inside, outside = weight[0] > 0.9, weight[0] < 0.051
    assert np.abs(residual[:, inside]).mean() > 2 * np.abs(residual[:, outside]).mean()
    assert np.abs(residual[:, outside]).mean() < 0.03


def test_the_network_is_told_the_same_in_training_and_in_use(company, form, monkeypatch):
    """What comes back from the file is what the engine would have made of the frame."""
    seen = []
    frames = warp.Warp.frames
    monkeypatch.setattr(warp.Warp, "frames", lambda *given: seen.append(frames(*given)) or seen[-1])
    row = swapper_samples.pair(company, 1, np.random.default_rng(3))
    used = embedded.conditions(seen[-1], company.base.form, embedded.SIDE)
    given = embedded.Conditions.of(swapper.pair(row, form)[0][None].float())
    for name, near in (("base", 0.02), ("light", 0.05), ("mask", 0.01), ("mesh", 0.02)):
        assert (getattr(used, name) - getattr(given, name)).abs().mean() < near, name


def test_a_pair_keeps_how_light_a_face_is(rows):
    """How dark a person is, and how much light there is, is no errand of the network's: it would make people alike."""
    for row in rows:
        base, target, _, alpha = (decoded(file).astype(float) for file in row.pictures)
        off = np.log((target + 5) / (base + 5))[alpha > 250]
        assert np.abs(np.median(off, axis=0)).max() < 0.05


def test_the_actor_is_another_person(company):
    for seed in range(8):
        assert company.actor(seed % 3, np.random.default_rng(seed)) != seed % 3


def test_light_that_is_put_on_goes_on_beyond_the_face(company):
    """No step at the outline: hair and neck are lit as the face's edge is."""
    grey = np.full((256, 256, 3), 120, np.uint8)
    for seed in range(4):
        seen = swapper_samples.Seen(grey, company.faces.meshes[0])
        lit = swapper_samples.lamps(seen, company.faces.mean, np.random.default_rng(seed))(grey).astype(float)
        assert np.abs(np.diff(lit[..., 1], axis=1)).max() < 40
        assert lit.std() > 0.5


def test_equal_seeds_make_equal_pairs(company):
    one, two = (swapper_samples.pair(company, 1, np.random.default_rng(9)) for _ in range(2))
    assert one.pictures == two.pictures
    assert np.array_equal(one.mesh, two.mesh)


def test_pairs_are_the_same_however_many_make_them(data, tmp_path):
    files = []
    for workers in (0, 2):
        out = tmp_path / str(workers)
        schedule = swapper_samples.Schedule(pairs=3, workers=workers)
        files.append(load(swapper_samples.train(data, out, schedule=schedule)))
    for one, two in zip(*files, strict=True):
        assert one.pictures == two.pictures
        assert np.array_equal(one.mesh, two.mesh)


def test_light_on_a_scene_falls_on_the_answer_and_on_the_actor_alike(company):
    """So that what the network is told of the scene's light holds for the answer."""
    faces = company.faces
    scene = swapper_samples.footage(faces, 0, np.random.default_rng(2))
    light = swapper_samples.lamps(scene, faces.mean, np.random.default_rng(2))
    grey = [np.full_like(scene.picture, level) for level in (60, 90)]
    lit = [light(picture).astype(float) + 1 for picture in grey]
    change = [np.log(after / before[0, 0, 0]) for after, before in zip(lit, grey, strict=True)]
    assert np.corrcoef(change[0].ravel(), change[1].ravel())[0, 1] > 0.95


def test_who_is_disguised_has_other_features_in_the_same_scene(company):
    scene = swapper_samples.footage(company.faces, 0, np.random.default_rng(2))
    seen = swapper_samples.disguised(scene, np.random.default_rng(4))
    off = np.abs(seen.picture.astype(float) - scene.picture).mean(-1)
    inside = augment.polygon(scene.mesh[landmarks.OVAL, :2], len(scene.picture))
    assert off[inside > 0.5].mean() > 5
    far = cv2.dilate(inside, np.ones((61, 61))) == 0
    assert off[far].max() <= 1
    assert np.array_equal(seen.mesh, scene.mesh)


def test_what_is_turned_is_turned_alike():
    planes = torch.rand(4, 1, 24, 24)
    one, two = swapper.moved((planes, planes.clone()), np.random.default_rng(3))
    assert torch.equal(one, two)
    assert not torch.allclose(one, planes, atol=0.05)


def test_other_colours_keep_what_mends_a_pair():
    """The pair's answer in other colours is the swap in other colours plus the residual."""
    given, residual = torch.rand(4, 10, 8, 8) - 0.9, torch.rand(4, 3, 8, 8) * 0.1
    seen, rest = swapper.coloured(given, residual, np.random.default_rng(3))
    gain = (seen[:, :3] + 1) / (given[:, :3] + 1)
    assert torch.allclose(seen[:, :3] + rest, (given[:, :3] + residual + 1) * gain - 1, atol=1e-5)
    assert torch.equal(seen[:, 6:], given[:, 6:])
    assert gain.std() > 0.03


def test_noise_levels_span_from_the_start_of_a_swap_to_almost_nothing():
    torch.manual_seed(0)
    sigma = swapper.levels(2000)
    assert sigma.max() == pytest.approx(swapper.SIGMA_MAX)
    assert swapper.SIGMA_MIN <= sigma.min() < 2 * swapper.SIGMA_MIN
    assert 0.7 < (sigma == sigma.max()).float().mean() < 0.9


def test_swapping_starts_from_noise_in_which_nothing_of_the_answer_shows():
    """Where it does, not even in the mean of a whole picture, a network learns to read it there, and finds nothing in
    use, where sampling begins with noise alone."""
    assert swapper.SIGMA_MAX / embedded.SIDE > embedded.SPREAD


def test_training_writes_what_the_engine_loads(data, tmp_path):
    swapper_samples.train(data, tmp_path, schedule=swapper_samples.Schedule(pairs=4))
    schedule = swapper.Schedule(minutes=0.02, batch=2, threads=1, workers=0)
    folder = swapper.train(tmp_path, tmp_path, schedule=schedule)
    index = json.loads((folder / "model_index.json").read_text())
    assert index["unet"] == ["diffusers", "UNet2DModel"]
    from diffusers import DiffusionPipeline

    loaded = DiffusionPipeline.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    assert loaded.scheduler.config.sigma_max == swapper.SIGMA_MAX
    assert loaded.unet.config.in_channels == 13 * embedded.PATCH**2


def test_what_was_trained_further_names_no_folder_of_this_machine(data, tmp_path):
    swapper_samples.train(data, tmp_path, schedule=swapper_samples.Schedule(pairs=2))
    for finer in (False, True):
        schedule = swapper.Schedule(steps=1, batch=2, threads=1, workers=0, finer=finer)
        folder = swapper.train(tmp_path, tmp_path, schedule=schedule)
    assert not [path for path in folder.rglob("*.json") if str(tmp_path) in path.read_text()]


def test_a_residual_without_noise_comes_back():
    """At a noise level near 0 the preconditioning hands the picture through, whatever the network says."""
    given = embedded.Conditions(*(torch.zeros(1, c, 32, 32) for c in (3, 3, 1, 3)))
    clean = torch.randn(1, 3, 32, 32) * 0.1
    found = embedded.residual(swapper.network(), clean, torch.full((1,), 1e-4), given)
    assert torch.allclose(found, clean, atol=5e-3)
