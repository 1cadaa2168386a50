"""Training samples keep their labels true, and the mesh model keeps its promises."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from learning import learnt_from

import vidswap
from vidswap.face import geometry, landmarks
from vidswap.train import augment, faces, loop, mesh, redraw

MODELS = Path(vidswap.__file__).parent / "models" / "embedded"
FRONT = np.array([1, 4, 5, 6, 168, 9, 151, 33, 133, 159, 145, 362, 263, 386, 374, 61, 291, 0, 17, 105, 334, 50, 280])


def coded(height: int, width: int) -> geometry.Array:
    """A picture whose red and green tell x and y."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x, y, np.full_like(x, 90)], -1).astype(np.uint8)


@pytest.fixture(scope="module")
def people() -> faces.Faces:
    mean = landmarks.mean_face()
    turns = [faces.rotated(yaw, pitch) for yaw, pitch in ((0, 0), (20, 5), (-25, -8))]
    meshes = np.stack([geometry.posed(mean, (70.0, turn, np.array([115.0, 95.0, 0.0]))) for turn in turns])
    scenes = (np.full((80, 90, 3), 250, np.uint8), np.full((90, 80, 3), 200, np.uint8))
    return faces.Faces(
        pictures=(coded(230, 230),) * 3, meshes=meshes, mean=mean, scenes=scenes,
        triangles=faces.closed(landmarks.triangles()), mirror=landmarks.opposite(mean),
    )  # fmt: skip


def look(rgb: geometry.Array, points: geometry.Array) -> geometry.Array:
    """(K, 2) the x and y that the colours at these points tell."""
    at = points[:, None, :2].astype(np.float32)
    return cv2.remap(rgb[..., :2].astype(np.float32), at, None, cv2.INTER_LINEAR)[:, 0]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), index=st.integers(0, 2))
def test_picture_moves_with_its_mesh(people: faces.Faces, seed: int, index: int) -> None:
    augmentation = faces.Augmentation(yaw=6, pitch=5, express=0.5, cover=0, relight=0, spoil=0, mirror=False)
    rng = np.random.default_rng(seed)
    target, _ = faces.moved(people.meshes[index], people.mean, augmentation, rng)
    crop = faces.jittered(geometry.crop_transform(target, people.mean, 128), augmentation, rng)
    points = geometry.apply(crop, target)
    fetch, inside = redraw.fetch_map(people.meshes[index], points, people.triangles, geometry.invert(crop), 128)
    rgb = redraw.fetched(people.pictures[index], fetch, np.zeros((128, 128, 3), np.uint8))
    known = FRONT[((points[FRONT, :2] > 3) & (points[FRONT, :2] < 124)).all(1)]
    off = np.linalg.norm(look(rgb, points[known]) - people.meshes[index][known, :2], axis=1)
    assert np.median(off) < 1.0
    assert (off < 4.0).mean() > 0.85  # a nose may hide a corner of an eye
    rows, columns = np.round(points[known, :2]).astype(int).T[::-1]
    assert inside[rows, columns].mean() > 0.85


def test_unmoved_mesh_leaves_the_picture_alone(people: faces.Faces) -> None:
    same = np.array([[1.0, 0, 0], [0, 1, 0]])
    fetch, _ = redraw.fetch_map(people.meshes[0], people.meshes[0], people.triangles, same, 230)
    y, x = np.mgrid[:230, :230]
    assert np.abs(fetch - np.stack([x, y], -1)).max() < 0.05


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_what_is_covered_is_not_visible(people: faces.Faces, seed: int) -> None:
    black = np.zeros((128, 128, 3), np.uint8)
    points = geometry.apply(geometry.crop_transform(people.meshes[0], people.mean, 128), people.meshes[0])
    plain = faces.Sample(black, points, np.ones((128, 128), np.float32))
    augmentation = faces.Augmentation(cover=1, relight=0, spoil=0, mirror=False)
    done = faces.finished(plain, people, augmentation, np.random.default_rng(seed))
    again, cover = augment.covered(black, points, people.scenes, after_first_draw(seed))
    assert np.array_equal(done.rgb, again)
    assert np.all(done.rgb[done.visible == 1] == 0)
    assert np.all(done.visible[cover > 0.99] < 0.02)


def test_most_covers_hide_something(people: faces.Faces) -> None:
    picture, crop = coded(128, 128), geometry.crop_transform(people.meshes[0], people.mean, 128)
    points = geometry.apply(crop, people.meshes[0])
    chances = (np.random.default_rng(seed) for seed in range(30))
    shares = [augment.covered(picture, points, people.scenes, chance)[1].mean() for chance in chances]
    assert np.median(shares) > 0.03
    assert max(shares) < 0.95


def after_first_draw(seed: int) -> np.random.Generator:
    rng = np.random.default_rng(seed)
    rng.random()
    return rng


def test_mirroring_swaps_the_sides(people: faces.Faces) -> None:
    assert list(people.mirror[[33, 61, 1, 159, 468]]) == [263, 291, 1, 386, 473]
    augmentation = faces.Augmentation(cover=0, relight=0, spoil=0, mirror=True)
    shown = [faces.sample(people, 0, augmentation, np.random.default_rng(seed)) for seed in range(8)]
    assert all(one.mesh[263, 0] > one.mesh[33, 0] for one in shown)
    red_rises = [float(look(one.rgb, one.mesh[[263]])[0, 0] - look(one.rgb, one.mesh[[33]])[0, 0]) > 0 for one in shown]
    assert set(red_rises) == {True, False}


@given(shut=st.floats(0.3, 1.0))
@settings(max_examples=10, deadline=None)
def test_lids_close_and_brows_stay(people: faces.Faces, shut: float) -> None:
    mean = people.mean
    after = mean + faces.lids(mean, mean, 0, shut)
    before_gap, gap = float(mean[145, 1] - mean[159, 1]), float(after[145, 1] - after[159, 1])
    assert gap == pytest.approx((1 - 0.97 * shut) * before_gap, abs=0.05 * before_gap)
    assert np.abs(after[[105, 145, 263, 13]] - mean[[105, 145, 263, 13]]).max() < 0.01


def test_jaw_opens_the_mouth_and_nothing_above(people: faces.Faces) -> None:
    drop = faces.jaw_drop(people.mean, 0.3)[:, 1]
    assert drop[14] > 0.25
    assert drop[152] > 0.2
    assert np.abs(drop[[13, 1, 33, 263, 10]]).max() < 0.02


@pytest.mark.parametrize("spoil", [augment.relit, augment.spoilt])
def test_augmentation_keeps_size_and_source(spoil: object, people: faces.Faces) -> None:
    picture = coded(128, 128)
    before = picture.copy()
    for seed in range(10):
        out = spoil(picture, np.random.default_rng(seed))  # type: ignore[operator]
        assert (out.shape, out.dtype) == (picture.shape, np.uint8)
    assert np.array_equal(picture, before)


def test_equal_seeds_equal_samples(people: faces.Faces) -> None:
    first, second = (faces.sample(people, 1, faces.Augmentation(), np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(first.rgb, second.rgb)
    assert np.array_equal(first.mesh, second.mesh)


def test_learning_lowers_the_error(people: faces.Faces, tmp_path: Path) -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    samples = mesh.Samples(people, faces.Augmentation(), 0.2, 0)
    one = tuple(torch.stack(part) for part in zip(*(samples.one(i % 3, rng) for i in range(8)), strict=True))
    net = mesh.MeshNet(*mesh.shapes(people, faces.Augmentation(), 16, rng))
    losses, learnt = learnt_from(loop.Lesson(net, [one] * 12, mesh.loss_of, loop.cosine), 2e-3)
    assert losses[-1] < 0.8 * losses[0]
    check_promise(mesh.export(learnt, tmp_path / "mesh.onnx"))


def check_promise(path: Path) -> None:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert [(put.name, put.shape) for put in session.get_inputs()] == [("rgb", [1, 3, 128, 128])]
    assert [put.name for put in session.get_outputs()] == ["points", "score", "visible"]
    points, score, visible = session.run(None, {"rgb": np.full((1, 3, 128, 128), 0.5, np.float32)})
    assert (points.shape, score.shape, visible.shape) == ((1, 478, 3), (1, 1), (1, 32, 32))
    assert np.isfinite(points).all()
    assert 0 <= score.min() <= score.max() <= 1
    assert 0 <= visible.min() <= visible.max() <= 1


def test_shipped_model_keeps_its_promise_and_knows_a_blank() -> None:
    path = MODELS / "mesh" / "mesh.onnx"
    check_promise(path)
    assert path.stat().st_size <= 12_000_000
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    noise = np.random.default_rng(0).random((1, 3, 128, 128), np.float32)
    for blank in (np.full_like(noise, 0.5), noise):
        assert session.run(["score"], {"rgb": blank})[0][0, 0] < 0.5
