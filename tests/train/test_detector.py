from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from insightface.model_zoo.scrfd import SCRFD

from vidswap.face import geometry, landmarks
from vidswap.face.landmarks import mean_face
from vidswap.train import detector, scenes
from vidswap.types import Array

MEAN = mean_face()
SIDE = 256
SHIFTS = geometry.five_points(MEAN) / np.ptp(MEAN[:, 1])


class Perfect:
    """A session that answers with the training targets of a scene, in the format of the exported model."""

    def __init__(self, scene: scenes.Scene) -> None:
        levels = [level.reshape(-1, 16) for level in detector.targets(scene)]
        parts = [slice(1, 2), slice(2, 6), slice(6, 16)]
        self.outs = [level[:, part] for part in parts for level in levels]

    def get_inputs(self) -> list[Any]:
        return [Named("input", [1, 3, "height", "width"])]

    def get_outputs(self) -> list[Any]:
        return [Named(name, ["n", 1]) for name in detector.InsightFormat.NAMES]

    def run(self, names: list[str], feed: dict[str, Array]) -> list[Array]:
        assert feed["input"].shape == (1, 3, SIDE, SIDE)
        assert names == list(detector.InsightFormat.NAMES)
        return self.outs


class Named:
    def __init__(self, name: str, shape: list[Any]) -> None:
        self.name, self.shape = name, shape


def scene_of(faces: list[tuple[float, float, float]]) -> scenes.Scene:
    """Faces by middle and side."""
    boxes = np.array([[x - s / 2, y - s / 2, x + s / 2, y + s / 2] for x, y, s in faces], np.float32)
    points = np.array([SHIFTS * s + [x, y] for x, y, s in faces], np.float32)
    return scenes.Scene(np.zeros((SIDE, SIDE, 3), np.uint8), boxes, points, np.ones(len(faces), bool))


@given(st.floats(12, 200), st.floats(0.3, 0.7), st.floats(0.3, 0.7))
@settings(max_examples=60, deadline=None)
def test_insightface_reads_back_the_targets(side: float, x: float, y: float) -> None:
    scene = scene_of([(x * SIDE, y * SIDE, side)])
    reader = SCRFD(session=Perfect(scene))
    found, points = reader.detect(scene.rgb, input_size=(SIDE, SIDE))
    assert len(found) == 1
    assert np.abs(found[0, :4] - scene.boxes[0]).max() < 0.01
    assert np.abs(points[0] - scene.points[0]).max() < 0.01


def test_insightface_reads_back_several_faces() -> None:
    scene = scene_of([(40, 50, 30), (60, 180, 14), (180, 120, 110)])
    found, _ = SCRFD(session=Perfect(scene)).detect(scene.rgb, input_size=(SIDE, SIDE))
    assert sorted(np.round(found[:, 2] - found[:, 0]).tolist()) == [14, 30, 110]


def test_doubtful_faces_are_neither_asked_for_nor_punished() -> None:
    scene = scene_of([(128, 128, 64)])
    doubtful = scenes.Scene(scene.rgb, scene.boxes, scene.points, np.zeros(1, bool))
    for level in detector.targets(doubtful):
        assert (level[..., 1] == 0).all()
        middle = level[level.shape[0] // 2, level.shape[1] // 2]
        assert (middle[:, 0] == 0).all()
        assert (level[0, 0, :, 0] == 1).all()


@given(st.floats(6, 700))
def test_every_size_has_an_anchor(side: float) -> None:
    fitting = detector.suits(side)
    assert 1 <= len(fitting) <= 2
    assert all(max(own / side, side / own) < 3 for own in (detector.SIDES[level][anchor] for level, anchor in fitting))


def test_the_loss_is_least_at_the_targets() -> None:
    wanted = [torch.from_numpy(level[None]) for level in detector.targets(scene_of([(100, 120, 60), (200, 60, 20)]))]
    right = [torch.cat([level[..., 1:2] * 20 - 10, level[..., 2:]], -1) for level in wanted]
    shifted = [torch.cat([out[..., :1], out[..., 1:] + 0.3], -1) for out in right]
    silent = [torch.cat([out[..., :1] * 0 - 10, out[..., 1:]], -1) for out in right]
    best = detector.loss(right, wanted)
    assert best < 0.01
    assert detector.loss(shifted, wanted) > best + 0.1
    assert detector.loss(silent, wanted) > best + 0.1


def test_the_exported_model_says_what_the_net_says(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = detector.Detector().eval()
    detector.export(net, tmp_path / "det.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "det.onnx")
    x = torch.randn(1, 3, 64, 160)
    with torch.no_grad():
        want = detector.InsightFormat(net)(x)
    got = dict(zip(detector.InsightFormat.NAMES, session.run(list(detector.InsightFormat.NAMES), {"input": x.numpy()})))
    assert [out.name for out in session.get_outputs()] == list(detector.InsightFormat.NAMES)
    for name, value in zip(detector.InsightFormat.NAMES, want, strict=True):
        assert np.abs(got[name] - value.numpy()).max() < 1e-3
    assert got["kps_16"].shape == (4 * 10 * 2, 10)


# --- scenes ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six drawn faces with their meshes, as the training data come."""
    folder = tmp_path_factory.mktemp("data") / "faces"
    folder.mkdir()
    rng, meshes = np.random.default_rng(0), []
    for number in range(6):
        picture = rng.integers(0, 90, (160, 160, 3)).astype(np.uint8)
        mesh = (MEAN * rng.uniform(40, 60) + [80, 80, 0]).astype(np.float32)
        cv2.fillConvexPoly(picture, cv2.convexHull(mesh[:468, :2].astype(np.int32)), (120, 160, 220))
        for x, y in geometry.five_points(mesh).astype(int).tolist():
            cv2.circle(picture, (x, y), 4, (20, 20, 20), -1)
        cv2.imwrite(str(folder / f"{number:04d}.jpg"), picture)
        meshes.append(mesh)
    np.savez(folder / "labels.npz", name=np.array([f"{n:04d}.jpg" for n in range(6)]), mesh=np.stack(meshes))
    return folder


def test_equal_seeds_give_equal_scenes(data: Path) -> None:
    first, second, other = (scenes.Scenes(data, 128, seed) for seed in (1, 1, 2))
    pairs = [(first.scene(), second.scene(), other.scene()) for _ in range(5)]
    assert all(np.array_equal(a.rgb, b.rgb) and np.array_equal(a.boxes, b.boxes) for a, b, _ in pairs)
    assert any(not np.array_equal(a.rgb, c.rgb) for a, _, c in pairs)


def test_scenes_hold_faces_of_many_sizes_inside_the_picture(data: Path) -> None:
    maker = scenes.Scenes(data, 128, 3)
    made = [maker.scene() for _ in range(40)]
    boxes = np.concatenate([scene.boxes[scene.counts] for scene in made])
    sides = np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(1))
    assert len(boxes) > 20
    assert sides.min() < 24
    assert sides.max() > 60
    assert boxes.min() >= 0
    assert boxes.max() <= 127
    assert any(len(scene.boxes) == 0 for scene in made)
    assert all(scene.rgb.shape == (128, 128, 3) and scene.rgb.dtype == np.uint8 for scene in made)


def test_a_mirrored_scene_mirrored_is_the_scene(data: Path) -> None:
    maker = scenes.Scenes(data, 128, 4)
    scene = next(scene for scene in maker if len(scene.boxes))
    back = scenes.mirrored(scenes.mirrored(scene))
    assert np.array_equal(back.rgb, scene.rgb)
    assert np.allclose(back.boxes, scene.boxes, atol=1e-3)
    assert np.allclose(back.points, scene.points, atol=1e-3)
    assert (scenes.mirrored(scene).points[:, 0, 0] < scenes.mirrored(scene).points[:, 1, 0]).all()


def test_prints_are_no_faces(data: Path) -> None:
    plain, printed = scenes.Scenes(data, 128, 5), scenes.Scenes(data, 128, 5, prints=1.0)
    rgb = np.full((128, 128, 3), 100, np.uint8)
    for _ in range(8):
        shown, mask = printed.printed(rgb, np.array([64, 64]), 40)
        assert mask.max() > 0.3
        assert np.array_equal(shown[mask == 0], rgb[mask == 0])
        assert (shown[mask > 0.5] != 100).any()
    counts = [sum(int(maker.scene().counts.sum()) for _ in range(30)) for maker in (plain, printed)]
    assert 0 < counts[1] <= counts[0] * 1.5


def test_a_turned_head_turns(data: Path) -> None:
    rgb, mesh = scenes.Tiles(data).read(0, 100)
    turned, moved = scenes.turned(rgb, mesh, 0.5, 0.0)
    assert np.ptp(moved[landmarks.OVAL, 0]) < np.ptp(mesh[landmarks.OVAL, 0])
    assert np.abs(moved[:, 1] - mesh[:, 1]).max() < 1e-3
    assert not np.array_equal(turned[60:100, 60:100], rgb[60:100, 60:100])


def test_training_writes_a_detector_that_insightface_opens(data: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    schedule = detector.Schedule(steps=4, batch=4, size=64, seed=1, every=0)
    path = detector.train(data, tmp_path, schedule=schedule, say=lines.append)
    assert len(lines) == 5, "a line a checkpoint: four steps, and one of the finer part"
    reader = SCRFD(model_file=str(path))
    found, points = reader.detect(np.zeros((96, 64, 3), np.uint8), input_size=(64, 96), det_thresh=0.0)
    assert len(found) > 0
    assert points.shape[1:] == (5, 2)
