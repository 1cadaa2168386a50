from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from learning import learnt_from
from torch.nn import functional

from vidswap.face import geometry
from vidswap.face.landmarks import mean_face, triangles
from vidswap.train import people, recognizer
from vidswap.types import Array

ROOT = Path(recognizer.__file__).parent.parent
MEAN, TRIANGLES = mean_face(), triangles()


def made_up(seed: int) -> people.Person:
    """Somebody of coloured noise, a little off the mean shape, upright in a 200 px picture."""
    rng = np.random.default_rng(seed)
    rgb = cv2.resize(rng.integers(0, 256, (12, 12, 3)).astype(np.uint8), (200, 200))
    mesh = geometry.posed(MEAN + rng.normal(0, 0.01, MEAN.shape), (60.0, np.eye(3), np.array([100.0, 90.0, 0.0])))
    return people.person(rgb, mesh, MEAN)


@pytest.fixture(scope="module")
def cast() -> list[people.Person]:
    return [made_up(seed) for seed in range(6)]


@pytest.fixture(scope="module")
def known(cast: list[people.Person]) -> people.Anatomy:
    return people.anatomy(MEAN, TRIANGLES, np.stack([one.shape for one in cast]))


@given(st.integers(0, 2**32 - 1), st.floats(0.05, 0.5))
@settings(max_examples=25, deadline=None)
def test_a_margin_makes_the_same_cosines_cost_more(seed: int, margin: float) -> None:
    source = torch.Generator().manual_seed(seed)
    cosine = torch.rand(4, 9, generator=source) * 2 - 1
    who = torch.randint(9, (4,), generator=source)
    plain = recognizer.margin_loss(cosine, who, 20.0, 0.0)
    assert torch.isclose(plain, functional.cross_entropy(20 * cosine, who))
    assert recognizer.margin_loss(cosine, who, 20.0, margin) > plain


def test_the_margin_is_taken_from_the_right_one_only() -> None:
    cosine, who = torch.zeros(1, 3), torch.tensor([1])
    by_hand = functional.cross_entropy(torch.tensor([[0.0, -2.0, 0.0]]), who)
    assert torch.isclose(recognizer.margin_loss(cosine, who, 10.0, 0.2), by_hand)


def test_pairs_cost_least_when_each_is_nearest_its_other_half() -> None:
    right = torch.eye(4).repeat(2, 1)
    wrong = torch.cat([torch.eye(4), torch.eye(4).roll(1, 0)])
    assert recognizer.pair_loss(right, 16.0) < 0.01
    assert recognizer.pair_loss(wrong, 16.0) > 10


def test_the_painter_shows_the_nearer_triangle_and_fetches_by_its_corners() -> None:
    square = np.array([[0, 0], [8, 0], [0, 8], [8, 8]], np.float32)
    triangles = np.array([[0, 1, 2], [1, 2, 3], [4, 5, 6]])
    target = np.concatenate([square, square[:3] / 2])
    source = np.concatenate([square + 100, square[:3] / 2 + 50]).astype(np.float32)
    depth = np.array([5, 5, 5, 5, 1, 1, 1], np.float32)
    ids, maps = people.paint(target, source, depth, triangles, 12)
    assert ids[1, 1] == 2
    assert ids[7, 7] == 1
    assert ids[11, 11] == -1
    np.testing.assert_allclose(maps[1, 1], [51, 51], atol=1e-3)
    np.testing.assert_allclose(maps[6, 7], [107, 106], atol=1e-3)


def test_an_unmoved_face_paints_itself(cast: list[people.Person], known: people.Anatomy) -> None:
    who = cast[0]
    ids, maps = people.paint(who.points, who.points, people.ringed(who.shape)[:, 2], known.triangles, people.PHOTO)
    own = (ids >= 0) & (ids < known.own)
    y, x = np.nonzero(own)
    assert own.mean() > 0.15
    assert np.median(np.abs(maps[own] - np.stack([x, y], 1))) < 0.01


def test_a_person_is_cut_with_the_eyes_level_and_the_mesh_along() -> None:
    turn = cv2.Rodrigues(np.array([0, 0, 0.4]))[0]
    mesh = geometry.posed(MEAN, (60.0, turn, np.array([100.0, 90.0, 0.0])))
    rgb = np.zeros((200, 200, 3), np.uint8)
    nose = mesh[1, :2].round().astype(int)
    cv2.circle(rgb, [int(v) for v in nose], 4, (255, 255, 255), -1)
    who = people.person(rgb, mesh, MEAN)
    assert who.points[33, 1] == pytest.approx(who.points[263, 1], abs=0.5)
    lit = np.argwhere(who.photo[..., 0] > 128)[:, ::-1].mean(0)
    np.testing.assert_allclose(lit, who.points[1], atol=1.0)


def test_a_view_has_the_five_points_where_insightface_puts_them(known: people.Anatomy) -> None:
    aligned = geometry.five_points(people.aligned(MEAN))
    assert np.abs(aligned - people.FIVE).max() < 4


def test_views_differ_but_a_seed_repeats_them(cast: list[people.Person], known: people.Anatomy) -> None:
    def look(seed: int) -> Array:
        return people.view(cast[0], cast[1], known, np.random.default_rng(seed))

    first = look(3)
    assert first.shape == (112, 112, 3)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, look(3))
    assert np.abs(first.astype(int) - look(4)).mean() > 5


def test_a_child_takes_after_both(cast: list[people.Person], known: people.Anatomy) -> None:
    one, two = cast[:2]
    child = people.child(one, two, known, np.random.default_rng(0))
    apart = np.linalg.norm(one.shape - two.shape)
    assert 0.05 * apart < np.linalg.norm(child.shape - one.shape) < 0.95 * apart
    assert 0.05 * apart < np.linalg.norm(child.shape - two.shape) < 0.95 * apart
    middle = slice(60, 110)
    assert np.abs(child.photo[middle, middle].astype(int) - one.photo[middle, middle]).mean() > 5
    np.testing.assert_array_equal(child.photo[:8], one.photo[:8])


def test_a_batch_holds_everybody_twice(cast: list[people.Person], known: people.Anatomy) -> None:
    rgb, who = recognizer.Views(cast, known, 8, seed=1)[0]
    assert rgb.shape == (8, 112, 112, 3)
    assert rgb.dtype == np.uint8
    np.testing.assert_array_equal(who[:4], who[4:])
    assert len(set(who[:4])) == 4


def test_learning_lowers_the_loss(cast: list[people.Person], known: people.Anatomy) -> None:
    torch.manual_seed(0)
    batch = tuple(torch.from_numpy(part) for part in recognizer.Views(cast, known, 8, seed=1)[0])
    lesson = recognizer.lesson_of(tiny(), [batch] * 12, len(cast), recognizer.Schedule())
    losses, _ = learnt_from(lesson, 1.5e-3)
    assert len(losses) == 12
    assert losses[-1] < 0.8 * losses[0]


def tiny() -> recognizer.Recognizer:
    return recognizer.Recognizer(widths=(4, 4, 8, 8), depths=(0, 0, 0, 1))


def test_insightface_reads_the_export(tmp_path: Path) -> None:
    model_zoo = pytest.importorskip("insightface.model_zoo")
    torch.manual_seed(0)
    net = tiny().eval()
    path = recognizer.export(net, tmp_path / "rec_tiny.onnx")
    model = model_zoo.get_model(str(path), providers=["CPUExecutionProvider"])
    assert model.taskname == "recognition"
    assert (model.input_mean, model.input_std, model.input_size) == (127.5, 127.5, (112, 112))
    rgb = np.random.default_rng(0).integers(0, 256, (2, 112, 112, 3)).astype(np.uint8)
    got = model.get_feat([picture[..., ::-1] for picture in rgb])  # it takes BGR
    with torch.no_grad():
        expected = net(recognizer.as_input(torch.from_numpy(rgb)))
    np.testing.assert_allclose(got, expected.numpy(), rtol=1e-3, atol=1e-4)
