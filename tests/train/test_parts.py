"""The network of parts: what it learns from, and a training short enough for a test."""

import json
import struct
from dataclasses import replace

import cv2
import numpy as np
import onnxruntime
import pytest
import torch

from vidswap.errors import InputError, UsageError
from vidswap.face import geometry, landmarks
from vidswap.models import ROOT
from vidswap.swap.parts import (
    BEARD,
    BODY,
    ELSE,
    EYE,
    FRONT,
    HAIR,
    LENS,
    MOUTH,
    PARTS,
    RIM,
    SIDE,
    SKIN,
    PartsModel,
    framing,
)
from vidswap.train import before, hands, parts, parts_samples, worn
from vidswap.train.parts_labels import OPEN, UNSURE, Told, labelled, moved
from vidswap.train.rows import Row, decoded, jpeg, load, png, save

TONE, DARK, GREEN = (205, 160, 135), (40, 28, 22), (40, 160, 60)


@pytest.fixture(scope="module")
def mean():
    return landmarks.mean_face()


def posed(mean, side):
    mesh = geometry.posed(mean, (80.0, np.eye(3), np.array([160.0, 150.0, 0.0])))
    return geometry.apply(framing(mesh, mean, side), mesh)


def portrait(mesh, side):
    """Skin in the face's outline and under it, dark hair above, green behind."""
    picture = np.empty((side, side, 3), np.uint8)
    picture[:] = GREEN
    rim = mesh[landmarks.OVAL, :2]
    low, high = rim.min(0), rim.max(0)
    middle = tuple(np.rint((low + high) / 2).astype(int).tolist())
    cv2.ellipse(picture, middle, tuple(np.rint((high - low) * 1.0).astype(int).tolist()), 0, 180, 360, DARK, -1)
    neck = slice(int(mesh[152, 1]) - 10, side), slice(middle[0] - 20, middle[0] + 20)
    picture[neck] = TONE
    cv2.fillPoly(picture, [np.rint(rim).astype(np.int32)], TONE)
    noise = np.random.default_rng(0).normal(0, 2, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def scene(mean):
    mesh = posed(mean, SIDE)
    return worn.Scene(portrait(mesh, SIDE).astype(np.float32), np.full((SIDE, SIDE), SKIN, np.uint8), mesh)


@pytest.fixture(scope="module")
def rows(mean):
    mesh, made = posed(mean, parts_samples.KEPT), []
    picture = portrait(mesh, parts_samples.KEPT)
    told = labelled(picture, mesh, nobody(parts_samples.KEPT))
    for kind in ("face", "head", "face", "head"):
        files = (jpeg(picture, parts_samples.QUALITY), png(told))
        made.append(Row(kind, files, mesh))
    shade, shape = np.full((64, 64), 128, np.uint8), np.zeros((64, 64), np.uint8)
    shape[10:50, 24:40] = 255
    sprite = png(np.dstack([shade, shape]))
    made.append(Row("hand", (sprite,), np.zeros((478, 3), np.float32)))
    return made


def nobody(side):
    return Told(np.ones((side, side), np.float32), np.zeros((0, 21, 2), np.float32))


@pytest.fixture
def data(rows, tmp_path):
    save(rows, tmp_path / "parts_samples.npz")
    return tmp_path


def at(plane, point):
    x, y = np.rint(point[:2]).astype(int)
    return plane[y, x]


def test_labels_follow_mesh_colours_and_place(mean):
    mesh = posed(mean, SIDE)
    person = np.ones((SIDE, SIDE), np.float32)
    person[:, :12] = 0
    told = labelled(portrait(mesh, SIDE), mesh, Told(person, np.zeros((0, 21, 2), np.float32)))
    assert at(told, mesh[50]) == at(told, mesh[151]) == SKIN
    assert at(told, mesh[13]) == MOUTH
    assert at(told, mesh[landmarks.LEFT_EYE].mean(0)) == EYE
    assert at(told, mesh[10] - [0, 14, 0]) == HAIR
    assert at(told, mesh[152] + [0, 14, 0]) == BODY
    assert (told[:, :8] == ELSE).all()
    assert at(told, [SIDE - 6, SIDE // 2]) == UNSURE, "neither skin nor hair, and no background"


def test_a_hand_is_before_the_face_and_open_at_its_edge(mean):
    mesh = posed(mean, SIDE)
    fan = np.array([[0, 60]] + [[(k - 2) * 8 + j * (k - 2) * 3, 45 - 9 * j] for k in range(5) for j in range(4)])
    hand = (mesh[13, :2] + fan).astype(np.float32)
    told = labelled(portrait(mesh, SIDE), mesh, Told(np.ones((SIDE, SIDE), np.float32), hand[None]))
    assert at(told, hand[9]) == FRONT
    assert (told == OPEN).sum() > 50
    away = moved(Told(np.ones((8, 8), np.float32), hand[None] + 10_000), np.eye(2, 3), SIDE)
    assert len(away.hands) == 0


def test_glasses_lie_before_the_eyes(scene, mean):
    kinds = set()
    for seed in range(12):
        made = worn.glasses(scene, mean, np.random.default_rng(seed))
        eye = at(made.parts, scene.mesh[landmarks.LEFT_EYE].mean(0))
        assert eye in (LENS, FRONT)
        kinds.add(eye)
        assert 20 < (made.parts == RIM).sum() < 0.2 * SIDE**2
        assert at(made.parts, scene.mesh[152]) == SKIN
        changed = np.abs(made.rgb - scene.rgb).max(-1)[made.parts == FRONT]
        assert not len(changed) or np.median(changed) > 20, "what hides all behind it is seen"
    assert kinds == {LENS, FRONT}


@pytest.mark.parametrize(("dress", "part"), [
    (worn.beard, BEARD), (worn.strands, HAIR),
    (lambda s, r: worn.cloth(s, [np.full((60, 60, 3), 90, np.uint8)], r), ELSE),
    (before.letters, FRONT), (before.microphone, FRONT),
    (lambda s, r: before.drink(s, [np.full((60, 60, 3), 90, np.uint8)], r), FRONT),
    (lambda s, r: before.something(s, [np.full((60, 60, 3), 90, np.uint8)], r), FRONT),
    (lambda s, r: before.mask(s, np.dstack([np.full((40, 40, 3), 200, np.uint8), np.full((40, 40), 255, np.uint8)]), r),
     FRONT),
])  # fmt: skip
def test_what_is_put_on_is_labelled_where_the_picture_changed(scene, dress, part):
    sums = 0
    for seed in range(8):
        made, again = (dress(scene, np.random.default_rng(seed)) for _ in range(2))
        np.testing.assert_array_equal(made.rgb, again.rgb)
        new = (made.parts == part) & (scene.parts != part)
        sums += int(new.sum())
        if new.any():
            assert (np.abs(made.rgb - scene.rgb).max(-1)[new] > 0.5).mean() > 0.8
        assert set(np.unique(made.parts)) <= {SKIN, part, UNSURE}
    assert sums > 200


def glb(path):
    """A hand of five flat fingers, each joint with a small triangle of its own."""
    names = [f"{finger}-{bone}" for finger in hands.FINGERS for bone in hands.BONES
             if finger != "thumb" or bone != "phalanx-intermediate"] + ["wrist"]  # fmt: skip
    places = []
    for name in names[:-1]:
        column = next(k for k, finger in enumerate(hands.FINGERS) if name.startswith(finger))
        row = next(k for k, bone in enumerate(hands.BONES) if name.endswith(bone))
        places.append([0.02 * column - 0.04, -0.03 * row, 0.0])
    places.append([0.0, 0.03, 0.0])
    corner = np.array([[-0.01, -0.015, 0], [0.01, -0.015, 0], [0, 0.02, 0]])
    points = np.float32([place + c for place in np.array(places) for c in corner])
    joints = np.uint8(np.repeat(np.arange(len(names)), 3)[:, None] * [1, 0, 0, 0])
    weights = np.float32(np.ones((len(points), 1)) * [1, 0, 0, 0])
    corners = np.arange(len(points)).astype(np.uint16)
    parts_, views, start = [points, joints, weights, corners], [], 0
    for one in parts_:
        views.append({"byteOffset": start, "byteLength": one.nbytes})
        start += one.nbytes
    kinds = [(5126, "VEC3"), (5121, "VEC4"), (5126, "VEC4"), (5123, "SCALAR")]
    told = {
        "nodes": [{"name": name, "translation": place} for name, place in zip(names, places)],
        "skins": [{"joints": list(range(len(names)))}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0, "JOINTS_0": 1, "WEIGHTS_0": 2}, "indices": 3}]}],
        "accessors": [{"bufferView": k, "componentType": kind, "type": wide, "count": len(one)}
                      for k, (one, (kind, wide)) in enumerate(zip(parts_, kinds))],
        "bufferViews": views,
    }  # fmt: skip
    text = json.dumps(told).encode()
    text += b" " * (-len(text) % 4)
    blob = b"".join(one.tobytes() for one in parts_)
    head = struct.pack("<4sII", b"glTF", 2, 28 + len(text) + len(blob)) + struct.pack("<I4s", len(text), b"JSON")
    path.write_bytes(head + text + struct.pack("<I4s", len(blob), b"BIN\0") + blob)
    return path


def test_hands_bend_their_fingers_and_have_arms(tmp_path):
    hand = hands.load_hand(glb(tmp_path / "hand.glb"))
    rng = np.random.default_rng(1)
    bent = hands.gesture(hand, rng)
    tips, wrist = hand.joints[:, 0] == 4, hand.joints[:, 0] == hand.wrist
    assert np.abs(bent - hand.points)[tips].max() > 0.005
    np.testing.assert_allclose(bent[wrist], hand.points[wrist], atol=1e-6)
    shade, shape = hands.sprite(hand, 64, rng)
    assert 0.05 < (shape > 127).mean() < 0.8
    assert shade[shape > 200].min() > 0
    edge = np.concatenate([shape[0], shape[-1], shape[:, 0], shape[:, -1]])
    assert edge.max() > 127, "the arm comes from outside"
    (tmp_path / "none.glb").write_bytes(b"not a hand at all, but long enough to be read")
    with pytest.raises(InputError, match="holds no hand"):
        hands.load_hand(tmp_path / "none.glb")


def test_samples_come_back_as_they_were_kept(rows, data):
    again = load(data / "parts_samples.npz")
    assert [(row.kind, row.pictures) for row in again] == [(row.kind, row.pictures) for row in rows]
    np.testing.assert_allclose(again[0].mesh, rows[0].mesh, atol=0.1)
    with pytest.raises(UsageError, match="no model"):
        parts_samples.train(data, ROOT / "embedded")


@pytest.mark.parametrize("shape", [(8, 9), (8, 9, 3), (8, 9, 4)])
def test_pictures_come_back_with_their_channels_in_order(shape):
    picture = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    np.testing.assert_array_equal(decoded(png(picture)), picture)


def test_red_stays_red_in_a_jpeg():
    red = np.full((16, 16, 3), (200, 40, 20), np.uint8)
    np.testing.assert_allclose(decoded(jpeg(red, 95)).astype(int), red, atol=6)


def test_held_out_portraits_are_left_out(tmp_path, mean):
    mesh = posed(mean, 128)
    for name in ("a_06.jpg", "a_07.jpg"):
        cv2.imwrite(str(tmp_path / name), portrait(mesh, 128)[..., ::-1])
    np.savez(tmp_path / "labels.npz", name=np.array(["a_06.jpg", "a_07.jpg"]), mesh=np.stack([mesh] * 2))
    (row,) = parts_samples.faces(tmp_path, "7", {})
    told = cv2.imdecode(np.frombuffer(row.pictures[1], np.uint8), cv2.IMREAD_GRAYSCALE)
    assert at(told, row.mesh[50]) == SKIN
    assert told[-1, 0] == UNSURE, "beyond the picture's edge"


def test_samples_are_equal_by_number(rows):
    samples = parts.Samples(rows, 3)
    one, again, other = samples(5), samples(5), samples(6)
    assert all(torch.equal(a, b) for a, b in zip(one, again, strict=True))
    assert not torch.equal(one[0], other[0])
    assert one[0].shape == (3, SIDE, SIDE)
    assert set(one[1].unique().tolist()) <= {*range(len(PARTS)), UNSURE}


def says(part):
    """A net that says one part (1, S, S), or the same everywhere."""
    plane = torch.broadcast_to(torch.as_tensor(part), (1, SIDE, SIDE)).long()
    return lambda _rgb: 8 * torch.nn.functional.one_hot(plane, len(PARTS)).permute(0, 3, 1, 2).float()


def test_the_right_answer_costs_least_and_what_is_open_nothing(rows):
    _, goal = (each[None] for each in parts.Samples(rows, 0)(0))
    goal[0, :20, :20] = OPEN
    rgb = torch.zeros(1, 3, SIDE, SIDE, dtype=torch.uint8)
    right = goal.long().clamp(max=len(PARTS) - 1)
    right = torch.where(goal == UNSURE, SKIN, right)
    wrong = torch.where(goal == UNSURE, right, (right + 1) % len(PARTS))
    known, mistaken = (float(parts.loss_of(says(part), (rgb, goal), 0.0)) for part in (right, wrong))
    assert known < 0.5 < mistaken
    other = torch.where(goal == OPEN, (right + 3) % len(PARTS), right)
    assert float(parts.loss_of(says(other), (rgb, goal), 0.0)) == pytest.approx(known)


def test_where_nobody_knows_the_part_there_is_at_least_nothing_before_the_face():
    rgb = torch.zeros(1, 3, SIDE, SIDE, dtype=torch.uint8)
    goal = torch.full((1, SIDE, SIDE), UNSURE, dtype=torch.uint8)
    for part in (RIM, LENS, FRONT):
        assert float(parts.loss_of(says(part), (rgb, goal), 0.0)) > 1
    for part in (SKIN, HAIR, BEARD):
        assert float(parts.loss_of(says(part), (rgb, goal), 0.0)) < 0.01


def test_of_those_who_wear_glasses_nothing_is_told_about_their_eyes(mean, tmp_path):
    mesh = posed(mean, SIDE)
    told = labelled(portrait(mesh, SIDE), mesh, replace(nobody(SIDE), glasses=True))
    assert at(told, mesh[landmarks.LEFT_EYE].mean(0)) == at(told, mesh[6]) == OPEN
    assert at(told, mesh[13]) == MOUTH
    assert at(told, mesh[205]) == SKIN
    person, nobodys = np.full((2, 8, 8), 255, np.uint8), np.zeros((0, 21, 3), np.float32)
    np.savez(tmp_path / "teacher.npz", name=np.array(["f/a.jpg", "f/b.jpg"]), person=person, hand=nobodys,
             owner=np.zeros(0, int), glasses=np.array([True, False]), unfit=np.array([False, True]))  # fmt: skip
    known = parts_samples.load_teacher(tmp_path / "teacher.npz")
    assert [(one.glasses, one.unfit) for one in known.values()] == [(True, False), (False, True)]


def test_a_short_training_ships_a_model(data, mean):
    schedule = parts.Schedule(steps=2, batch=2, fresh=1, kept=4, workers=0)
    target = parts.train(data, data, schedule=schedule)
    assert target == data / "parts" / "parts.onnx"
    model = PartsModel(onnxruntime.InferenceSession(target), mean)
    mesh = posed(mean, 320)
    found, to_parts = model.parts(portrait(mesh, 320), mesh)
    assert found.shape == (len(PARTS), SIDE, SIDE)
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-4)
    middle = geometry.apply(to_parts, mesh)[:468, :2]
    np.testing.assert_allclose((middle.min(0) + middle.max(0)) / 2, (SIDE - 1) / 2, atol=1.5)
