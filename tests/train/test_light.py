"""The network of light, its samples, and a training short enough for a test."""

import cv2
import numpy as np
import onnxruntime
import pytest
import torch

from vidswap.errors import UsageError
from vidswap.face import geometry
from vidswap.models import ROOT
from vidswap.models.registry import path_to
from vidswap.swap.light import SIDE, planes
from vidswap.train import light, light_samples, shade, studio
from vidswap.train.rows import Row, load, save


@pytest.fixture(scope="module")
def face():
    return np.load(path_to("face"))


@pytest.fixture(scope="module")
def mesh(face):
    mesh = geometry.posed(face["mean"], (44.0, np.eye(3), np.array([64.0, 56.0, 0.0])))
    return geometry.apply(geometry.crop_transform(mesh, face["mean"], SIDE), mesh)


def coded(picture, kind=".jpg"):
    return cv2.imencode(kind, picture)[1].tobytes()


@pytest.fixture(scope="module")
def rows(mesh):
    rng = np.random.default_rng(0)
    made = []
    for k in range(6):
        bare = np.full((SIDE, SIDE, 3), (60 + 20 * k, 80 + 20 * k, 110 + 20 * k), np.uint8)
        lit = (bare * np.linspace(1.2, 0.6, SIDE)[None, :, None]).astype(np.uint8)
        if k % 2:
            mask = np.full((SIDE, SIDE, 3), (255, 0, 255), np.uint8)
            facts = {"person": k, "top": 1.0, "tone": float(rng.uniform(0.1, 0.5))}
            made.append(Row("head", (coded(lit), coded(bare), coded(mask, ".png")), mesh, facts))
        else:
            made.append(Row("face", (coded(lit),), mesh, {}))
    return made


@pytest.fixture
def data(rows, tmp_path):
    save(rows, tmp_path / "light_samples.npz")
    return tmp_path


def test_samples_come_back_as_they_were_kept(rows, data):
    again = load(data / "light_samples.npz")
    assert [row.pictures for row in again] == [row.pictures for row in rows]
    assert [row.facts for row in again] == [row.facts for row in rows]
    np.testing.assert_allclose(again[3].mesh, rows[3].mesh, atol=0.1)


def test_samples_are_not_put_among_the_models(tmp_path):
    with pytest.raises(UsageError, match="no model"):
        light_samples.train(tmp_path, ROOT / "embedded")


def test_held_out_portraits_are_left_out(tmp_path, mesh):
    names = ["a_06.jpg", "a_07.jpg", "b_17.jpg"]
    for name in names:
        cv2.imwrite(str(tmp_path / name), np.zeros((SIDE, SIDE, 3), np.uint8))
    np.savez(tmp_path / "labels.npz", name=np.array(names), mesh=np.stack([mesh] * 3))
    assert len(list(light_samples.faces(tmp_path, "7"))) == 1
    assert len(list(light_samples.faces(tmp_path, ""))) == 3


def test_planes_tell_where_a_face_looks(face, mesh):
    triangles = face["triangles"].astype(int)
    told = planes(mesh, face["mean"], triangles)
    x, y = np.round(mesh[4, :2]).astype(int)
    assert told[2, y, x] > 0.5, "the nose looks at the viewer"
    cheeks = [np.round(mesh[k, :2]).astype(int) for k in (123, 352)]
    (left, right) = (told[0, y, x] for x, y in cheeks)
    assert left < -0.1
    assert right > 0.1
    assert np.abs(told[:, :4]).max() == 0


def geometry_of(face, mesh, count):
    told = planes(mesh, face["mean"], face["triangles"].astype(int))
    return torch.from_numpy(told)[None].repeat(count, 1, 1, 1)


def test_the_key_of_light_put_on_is_one(face, mesh):
    told = geometry_of(face, mesh, 8)
    normal, on = shade.smooth_normals(told), shade.face_of(told)
    gain, sheen = shade.random_light(normal, on, shade.Chance(1))
    np.testing.assert_allclose(shade.key(gain, on), 1, atol=0.02)
    assert float(gain.min()) >= 0
    assert float(sheen.min()) >= 0
    again = shade.random_light(normal, on, shade.Chance(1))[0]
    assert torch.equal(gain, again)


def test_mirrored_geometry_looks_the_other_way(face, mesh):
    told = geometry_of(face, mesh, 2)
    one, other = light.turned(torch.tensor([False, True]), told)
    assert torch.equal(one, told[0])
    np.testing.assert_allclose(other[0], -told[0, 0].flip(-1))
    np.testing.assert_allclose(other[1], told[0, 1].flip(-1))


def test_a_short_training_ships_a_model(data, face, mesh):
    target = light.train(data, data, schedule=light.Schedule(steps=2, batch=2, workers=0))
    assert target == data / "light" / "light.onnx"
    session = onnxruntime.InferenceSession(target)
    rgb = np.random.default_rng(0).random((1, 3, SIDE, SIDE)).astype(np.float32)
    (found,) = session.run(None, {"rgb": rgb, "geometry": geometry_of(face, mesh, 1).numpy()})
    assert found.shape == (1, 3, SIDE, SIDE)
    assert np.isfinite(found).all()


def test_batches_are_equal_by_number_and_tell_what_was_put_on(data):
    batches = light.Batches(light.load_samples(data), light.Schedule(batch=3))
    one, again, other = batches[4], batches[4], batches[5]
    assert all(torch.equal(a, b) for a, b in zip(one, again, strict=True))
    assert not torch.equal(one[0], other[0])
    _, _, _, _, seen, _, put, fits, _ = one
    first, second = (shade.linear(part) for part in seen.chunk(2))
    at = (fits > 0.5).expand_as(put)
    off = torch.log((first + 2e-3) / (second + 2e-3)) - put
    assert float(off[at].abs().median()) < 0.15, "but for noise and what a camera does to highlights"


def test_the_skin_of_a_head_counts_most_and_alone_tells_its_light(mesh, tmp_path):
    skin, eyes, cover = (np.zeros((2 * SIDE, 2 * SIDE), np.float32) for _ in range(3))
    cover[:, : int(1.5 * SIDE)], skin[:, :SIDE], eyes[:40, :40], skin[:40, :40] = 1, 1, 1, 0
    bare = np.full((2 * SIDE, 2 * SIDE, 3), 0.3, np.float32)
    lit = bare * np.where(skin > 0, 0.5, 0.2)[..., None].astype(np.float32)
    lit[100:120, 20:40] *= 2  # sheen, which is white in the picture
    head = light_samples.lit(studio.Shot(lit, bare, skin, eyes, cover), mesh, 0)
    save([head, Row("face", head.pictures[:1], mesh, {})], tmp_path / "light_samples.npz")
    samples = light.load_samples(tmp_path)
    assert float(samples.facts[0, 0]) == pytest.approx(0.5, abs=0.02), "not the clothes'"
    counts = light.known(samples, 1, shade.Chance(1))[3][0, 0]
    counts = counts / counts.max()
    counts = counts.flip(-1) if counts[64, 4] < counts[64, -4] else counts
    of_skin, of_eyes, of_cloth, of_nothing = (float(counts[y, x]) for y, x in ((64, 32), (8, 8), (64, 80), (64, 120)))
    assert of_skin > of_eyes > of_cloth > of_nothing == 0


def test_the_right_answer_costs_nothing():
    truth = torch.randn(2, 3, 8, 8)
    assert float(light.heads_loss(torch.zeros_like(truth), torch.ones(2, 1, 8, 8))) == 0
    even = torch.full_like(truth, 0.4)
    whole = torch.ones(2, 1, 8, 8)
    level, shape = (float(light.heads_loss(off, whole)) for off in (even, torch.where(truth > 0, 0.4, -0.4)))
    assert 0 < level < shape, "a wrong shape costs more than a wrong exposure"
    gain, more = torch.full_like(truth, 0.3), torch.full_like(truth, 0.1)
    own = torch.full_like(truth, light.USUAL)
    assert float(light.faces_loss(own + gain, own + more, gain - more, whole, gain)) < 1e-6
    right = float(light.faces_loss(own + gain, own + more, gain - more, whole, gain))
    assert float(light.faces_loss(own, own, gain - more, whole, gain)) > right + 0.01
    unusual = own + torch.randn(2, 3, 1, 1)
    assert float(light.faces_loss(unusual + gain, unusual + more, gain - more, whole, gain)) > right + 0.01
    edge = torch.zeros_like(truth)
    edge[..., 4:] = 0.4
    soft, sharp = torch.linspace(-0.2, 0.2, 8).expand_as(truth), edge - 0.2
    missed = [
        float(light.faces_loss(own + gain, own + gain + off, torch.zeros_like(truth), whole, gain))
        for off in (soft, sharp)
    ]
    assert min(missed) > right


def test_a_grid_is_read_by_place_and_luma():
    grid = torch.zeros(1, 3 * light.BINS, 4, 4)
    grid.view(1, 3, light.BINS, 4, 4)[:, :, -1] = 1.0  # only what is white
    rgb = torch.zeros(1, 3, SIDE, SIDE)
    rgb[..., SIDE // 2 :] = 1.0
    found = light.sliced(grid, rgb)
    assert float(found[..., : SIDE // 2].max()) == 0
    np.testing.assert_allclose(found[..., SIDE // 2 :], 1, atol=1e-5)
