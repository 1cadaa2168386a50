"""Patches to learn from keep their labels true, and the nets for eyes and mouth keep their promises."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from learning import learnt_from

from vidswap.face import geometry, landmarks
from vidswap.models import registry as weights
from vidswap.read.features import EYE_POINTS, EYE_WIDE, MOUTH_POINTS, patch_transform, pull
from vidswap.train import faces, features, loop

WIDE = {"eye": 31, "mouth": 40}


def coded(height: int, width: int) -> geometry.Array:
    """A picture whose red and green tell x and y."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x, y, np.full_like(x, 90)], -1).astype(np.uint8)


@pytest.fixture(scope="module")
def people() -> faces.Faces:
    mean = landmarks.mean_face()
    mesh = geometry.posed(mean, (80.0, np.eye(3), np.array([115.0, 95.0, 0.0])))
    return faces.Faces(
        pictures=(coded(230, 230),), meshes=mesh[None], mean=mean, scenes=(),
        triangles=faces.closed(landmarks.triangles()), mirror=landmarks.opposite(mean),
    )  # fmt: skip


def test_patch_moves_with_its_mesh(people: faces.Faces) -> None:
    rng = np.random.default_rng(0)
    target = features.squinted(people.meshes[0], people.mean, rng)
    for k, part in enumerate(EYE_POINTS):
        to_patch = features.erred(patch_transform(target, people.mean, part, EYE_WIDE, k == 1), EYE_WIDE, rng)
        points = geometry.apply(to_patch, target)
        rgb = features.patch(people, 0, points, to_patch, rng)
        rows, columns = np.round(points[part[:26], 1::-1]).astype(int).T
        told = rgb[rows, columns, :2].astype(float)
        assert np.median(np.linalg.norm(told - people.meshes[0][part[:26], :2], axis=1)) < 1.5


def test_samples_label_both_eyes_and_the_mouth_alike(people: faces.Faces) -> None:
    samples = features.Samples(people, faces.Augmentation(size=64), 0)
    rng = np.random.default_rng(1)
    for _ in range(10):
        eyes, spots, mouth, lips = samples.one(0, rng)
        assert (eyes.shape, eyes.dtype, mouth.shape) == ((2, 3, 64, 64), torch.uint8, (3, 64, 64))
        assert (spots.shape, lips.shape, lips.dtype) == ((2, 31, 2), (40, 2), torch.float32)
        # In a patch the outer corner of either eye is on the left, and the lips run from left to right.
        assert (spots[:, 0, 0] < spots[:, 8, 0]).all()
        assert lips[0, 0] < lips[10, 0]
        assert lips[20, 0] < lips[30, 0]


def test_squint_raises_lower_lids_only(people: faces.Faces) -> None:
    rng = np.random.default_rng(2)
    changes = np.stack([features.squinted(people.meshes[0], people.mean, rng) - people.meshes[0] for _ in range(40)])
    lower, upper = changes[:, [145, 374], 1], changes[:, [159, 386, 105, 334, 13], 1]
    assert lower.min() < -1.0
    assert np.abs(upper).max() < 1e-3
    assert (lower == 0).any()


def test_parted_lips_open_and_the_rest_stays(people: faces.Faces) -> None:
    rng, mesh = np.random.default_rng(3), people.meshes[0]
    spread = pull(people.mean)
    drawn = [features.parted(mesh, people.mean, spread, rng) for _ in range(30)]
    gaps = np.array([features.lip_gap(one, people.mean) - features.lip_gap(mesh, people.mean) for one in drawn])
    assert gaps.max() > 0.04
    assert (np.abs(gaps) < 1e-6).any()
    assert gaps.min() > -1e-6
    still = [61, 291, 33, 133, 159, 145, 362, 263, 105, 334, 10, 6]
    assert max(np.abs(one[still] - mesh[still]).max() for one in drawn) < 0.6


def test_dim_mouth_paints_between_the_lips_only() -> None:
    rgb = np.full((64, 64, 3), (200, 120, 110), np.uint8)
    angle = np.linspace(np.pi, -np.pi, 20, endpoint=False)
    lips = 32 + np.stack([14 * np.cos(angle), -7 * np.sin(angle)], 1)
    for seed in range(8):
        painted = features.dim_mouth(rgb, lips, np.random.default_rng(seed)).astype(int)
        assert np.abs(painted - rgb)[26:38, 20:44].max() > 10
        assert (painted[:20] == rgb[:20]).all()
        assert (painted[:, 53:] == rgb[:, 53:]).all()


def test_learning_lowers_the_error_and_the_export_agrees(people: faces.Faces, tmp_path: Path) -> None:
    torch.manual_seed(0)
    samples = features.Samples(people, faces.Augmentation(size=64), 0)
    rng = np.random.default_rng(0)
    batch = tuple(torch.stack(parts) for parts in zip(*(samples.one(0, rng) for _ in range(4))))
    nets = features.Nets(torch.full((31, 2), 31.5), torch.full((40, 2), 31.5))
    losses, learnt = learnt_from(loop.Lesson(nets, [batch] * 50, features.loss_of, loop.cosine), 1e-2)
    assert losses[-1] < 0.75 * losses[0]
    folder = features.export(learnt, tmp_path)
    rgb = torch.rand(2, 3, 64, 64)
    told = onnxruntime.InferenceSession(folder / "eye.onnx").run(None, {"rgb": rgb.numpy()})[0]
    assert np.abs(told - learnt.eval().eye(rgb).detach().numpy()).max() < 1e-2


@pytest.mark.parametrize("name", WIDE)
def test_what_ships_keeps_its_promise(name: str) -> None:
    session = onnxruntime.InferenceSession(weights.path_to("features") / f"{name}.onnx")
    (given,), (told,) = session.get_inputs(), session.get_outputs()
    assert (given.name, list(given.shape[1:]), told.name) == ("rgb", [3, 64, 64], "points")
    points = session.run(None, {"rgb": np.full((2, 3, 64, 64), 0.5, np.float32)})[0]
    assert points.shape == (2, WIDE[name], 2)
    assert -16 < points.min() < points.max() < 80


def test_mouth_in_the_mirror_is_the_mirrored_mouth() -> None:
    rgb = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    net = features.Twice(features.PatchNet(torch.full((40, 2), 31.5))).eval()
    plain, mirrored = net(rgb), net(rgb.flip(3))
    assert torch.allclose(63 - plain[:, net.other, 0], mirrored[..., 0], atol=1e-4)
    assert torch.allclose(plain[:, net.other, 1], mirrored[..., 1], atol=1e-4)


def test_gaps_are_between_points_above_one_another(people: faces.Faces) -> None:
    other = landmarks.opposite(people.mean)
    assert (other[MOUTH_POINTS] == MOUTH_POINTS[features.Twice(torch.nn.Identity()).other]).all()
    for pairs, part in ((features.EYE_GAPS[:7], EYE_POINTS[0]), (features.MOUTH_GAPS[:18], MOUTH_POINTS)):
        upper, lower = (people.mean[part[pairs[:, k]]] for k in (0, 1))
        assert (lower[:, 1] > upper[:, 1]).all()
        assert np.abs(lower[:, 0] - upper[:, 0]).max() < 0.04
