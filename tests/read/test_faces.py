"""A face here is a red square: models built on the spot find it, mesh it and tell its colour. So what passes through
vidswap.read.faces is known exactly, and any pack that insightface can load is seen to go through the same code."""

from __future__ import annotations

import socket
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from vidswap.errors import ModelError
from vidswap.face import geometry, sampling
from vidswap.face.landmarks import mean_face
from vidswap.models.packs import find_pack, licence_of
from vidswap.read import faces
from vidswap.types import Array, Face

STRIDE = 16
RED, GREY = (255, 0, 0), (90, 90, 90)
MEAN = mean_face()
FIVE = geometry.five_points(MEAN)
SIDE = 48.0  # of the box that the drawn detector tells


Shape = list[int | str] | None
Nodes, Consts = list[onnx.NodeProto], dict[str, Array]


def save(path: Path, nodes: Nodes, shape: Shape, outs: dict[str, Shape], consts: Consts) -> None:
    graph = helper.make_graph(
        nodes, "drawn", [helper.make_tensor_value_info("in", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, side) for name, side in outs.items()],
        [numpy_helper.from_array(value, name) for name, value in consts.items()],
    )  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def drawn_detector(path: Path) -> None:
    """SCRFD's nine outputs; a cell of stride 16 that is red is a face, its points as in the mean face."""
    biases = {"score": [-30.0, -60.0], "bbox": [SIDE / 2 / STRIDE] * 8, "kps": [*(FIVE * 20 / STRIDE).ravel()] * 2}
    nodes, consts = [], {}
    outs: dict[str, Shape] = {}
    for kind, bias in biases.items():
        for stride in (8, 16, 32):
            name, wide = f"{kind}_{stride}", len(bias) // 2
            weight = np.zeros((len(bias), 3, 1, 1), np.float32)
            if (kind, stride) == ("score", STRIDE):
                weight[0, :2, 0, 0] = 20, -20
            pool, conv, turned = f"pool{name}", f"conv{name}", f"turned{name}"
            consts |= {f"w{name}": weight, f"b{name}": np.array(bias, np.float32), f"s{name}": np.array([-1, wide])}
            nodes += [
                helper.make_node("AveragePool", ["in"], [pool], kernel_shape=[stride] * 2, strides=[stride] * 2),
                helper.make_node("Conv", [pool, f"w{name}", f"b{name}"], [conv]),
                helper.make_node("Sigmoid" if kind == "score" else "Identity", [conv], [f"known{name}"]),
                helper.make_node("Transpose", [f"known{name}"], [turned], perm=[0, 2, 3, 1]),
                helper.make_node("Reshape", [turned, f"s{name}"], [name]),
            ]
            outs[name] = ["cells", wide]
    save(path, nodes, [1, 3, "h", "w"], outs, consts)


def drawn_recogniser(path: Path) -> None:
    """The mean colour of the aligned face, as insightface feeds it."""
    pool = helper.make_node("GlobalAveragePool", ["in"], ["pooled"])
    save(path, [pool, helper.make_node("Flatten", ["pooled"], ["out"])], [1, 3, 112, 112], {"out": [1, 3]}, {})


def drawn_mesh(path: Path, size: int = 64, grid: int = 8, beside: float = 0.0) -> None:
    """The mean face in the middle of the crop, or so many pixels beside it; the score is how red the middle is, and
    visible is where it is red."""
    points = geometry.apply(geometry.crop_transform(MEAN, MEAN, size), MEAN) + np.float32([beside, 0, 0])
    weight = np.zeros((1, 3, 1, 1), np.float32)
    weight[0, :2, 0, 0] = 1, -1
    cell = size // grid
    consts = {"still": points[None], "w": weight, "none": np.zeros(1, np.float32), "first": np.array([1, grid, grid]),
              "zero": np.array([0, 0, 0, 0]), "at": np.array([size // 2 - 2] * 2), "to": np.array([size // 2 + 2] * 2),
              "axes": np.array([2, 3]), "one": np.array([1, 1])}  # fmt: skip
    nodes = [
        helper.make_node("Conv", ["in", "w"], ["red"]),
        helper.make_node("AveragePool", ["red"], ["cells"], kernel_shape=[cell] * 2, strides=[cell] * 2),
        helper.make_node("Reshape", ["cells", "first"], ["visible"]),
        helper.make_node("Slice", ["red", "at", "to", "axes"], ["middle"]),
        helper.make_node("GlobalAveragePool", ["middle"], ["mean"]),
        helper.make_node("Reshape", ["mean", "one"], ["score"]),
        helper.make_node("Mul", ["none", "none"], ["nought"]),
        helper.make_node("Add", ["still", "nought"], ["points"]),
    ]
    save(path, nodes, [1, 3, size, size], dict.fromkeys(["points", "score", "visible"]), consts)


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pack")
    drawn_detector(folder / "det.onnx")
    drawn_recogniser(folder / "rec.onnx")
    drawn_mesh(folder / "mesh" / "mesh.onnx")
    return folder


@pytest.fixture(scope="module")
def reader(pack: Path) -> faces.FaceReader:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    mesh = faces.MeshModel(onnxruntime.InferenceSession(pack / "mesh" / "mesh.onnx", options), MEAN)
    return faces.FaceReader(faces.open_pack(pack, options), mesh, "drawn")


def picture(*corners: tuple[int, int], colour: tuple[int, int, int] = RED) -> Array:
    """(320, 480, 3): grey, with a square a stride wide at each corner, which the drawn detector takes for a middle."""
    rgb = np.full((320, 480, 3), GREY, np.uint8)
    for x, y in corners:
        rgb[y : y + STRIDE, x : x + STRIDE] = colour
    return rgb


def middle(face: Face) -> Array:
    return (face.box[:2] + face.box[2:]) / 2


def test_any_pack_that_insightface_loads_finds_the_faces(reader: faces.FaceReader) -> None:
    found = sorted(reader.detect(picture((96, 64), (320, 160))), key=lambda face: face.box[0])
    assert len(found) == 2
    want = geometry.apply(geometry.fit_similarity(FIVE, FIVE * 20 + [96, 64]), MEAN)
    assert np.abs(found[0].mesh - want).max() < 0.05
    assert np.allclose(middle(found[1]) - middle(found[0]), [224, 96], atol=0.1)
    assert found[0].embedding is None


def test_a_picture_without_a_face_has_none(reader: faces.FaceReader) -> None:
    assert reader.detect(picture()) == []


def test_the_detector_looks_from_afar_first_and_tells_each_face_once(reader: faces.FaceReader) -> None:
    sizes: list[tuple[int, int]] = []
    known = reader._pack.detector.detect

    def spied(bgr: Array, input_size: tuple[int, int]) -> tuple[Array, Array]:
        sizes.append(input_size)
        return known(bgr, input_size=input_size)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader._pack.detector, "detect", spied)
        assert len(reader.detect(picture((96, 64)))) == 1
    assert sizes == [(256, 192), (480, 320)]


def test_the_mesh_overrules_the_detector(pack: Path, reader: faces.FaceReader) -> None:
    rgb = picture((96, 64))
    assert len(reader.detect(rgb)) == 1
    strict = onnx.load(pack / "mesh" / "mesh.onnx")
    for const in strict.graph.initializer:
        if const.name == "w":
            const.CopyFrom(numpy_helper.from_array(np.zeros((1, 3, 1, 1), np.float32), "w"))
    session = onnxruntime.InferenceSession(strict.SerializeToString())
    app = faces.open_pack(pack, onnxruntime.SessionOptions())
    assert faces.FaceReader(app, faces.MeshModel(session, MEAN), "strict").detect(rgb) == []


@pytest.mark.parametrize(("beside", "count"), [(0.5, 1), (5.0, 0)])
def test_a_mesh_that_disagrees_is_no_face(pack: Path, tmp_path: Path, beside: float, count: int) -> None:
    drawn_mesh(tmp_path / "mesh.onnx", beside=beside)
    mesh = faces.MeshModel(onnxruntime.InferenceSession(tmp_path / "mesh.onnx"), MEAN)
    reader = faces.FaceReader(faces.open_pack(pack, onnxruntime.SessionOptions()), mesh, "drawn")
    found = reader.detect(picture((96, 64)))
    assert len(found) == count
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(faces, "AGREE", 9.0)
        assert len(reader.detect(picture((96, 64)))) == 1


def test_visible_is_laid_where_the_picture_is_red(reader: faces.FaceReader) -> None:
    rgb = picture((96, 64))
    face = reader.detect(rgb)[0]
    rows, columns = np.nonzero(face.visible > 128)
    at = geometry.apply(face.visible_to_frame, np.stack([columns, rows], 1).astype(np.float32))
    assert len(at) >= 2
    assert (at > [95, 63]).all()
    assert (at < [112, 80]).all()


def test_a_followed_face_moves_along_and_is_lost_when_gone(reader: faces.FaceReader) -> None:
    face = reader.detect(picture((96, 64)))[0]
    assert reader.follow(picture((92, 60)), face.mesh) is not None
    assert reader.follow(picture(), face.mesh) is None


def test_embeddings_are_unit_and_see_red_as_red(reader: faces.FaceReader) -> None:
    mesh = reader.detect(picture((96, 64)))[0].mesh
    red = np.full((320, 480, 3), (250, 20, 20), np.uint8)
    vector = reader.embed(red, mesh)
    assert vector.dtype == np.float32
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
    assert vector.argmax() == 0
    assert reader.embed(red[..., ::-1], mesh).argmax() == 2


def test_a_folder_is_a_pack(pack: Path) -> None:
    assert find_pack(str(pack)) == pack.resolve()
    assert str(pack) in licence_of(str(pack))
    assert "non-commercial" in licence_of("buffalo_l")
    assert "non-commercial" not in licence_of("embedded")


def test_a_missing_pack_is_told_without_asking_the_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ModelError, match="no face pack is called 'buffalo_l'") as caught:
        faces.open_faces("buffalo_l")
    assert "`vidswap models pull buffalo_l` gets it: about 288 MB; non-commercial" in caught.value.hint
    with pytest.raises(ModelError, match=r"unpack insightface's buffalo_s into .*/\.insightface"):
        faces.open_faces("buffalo_s")


def test_a_pack_in_insightfaces_home_is_found_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    drawn_detector(tmp_path / ".insightface" / "models" / "antelope" / "det.onnx")
    assert find_pack("antelope") == (tmp_path / ".insightface" / "models" / "antelope").resolve()


def test_a_folder_without_models_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no \.onnx"):
        find_pack(str(tmp_path))


def test_a_pack_without_a_recogniser_is_refused(tmp_path: Path) -> None:
    drawn_detector(tmp_path / "det.onnx")
    with pytest.raises(ModelError, match="recogniser"):
        faces.open_pack(tmp_path, onnxruntime.SessionOptions())


@pytest.mark.parametrize("content", [b"", b"not a model", bytes(range(256)) * 40])
def test_damaged_models_are_one_clear_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "det.onnx").write_bytes(content)
    with pytest.raises(ModelError, match="cannot be used"):
        faces.open_pack(tmp_path, onnxruntime.SessionOptions())


# --- arithmetic -----------------------------------------------------------------------------------------------------


@given(st.integers(20, 4000), st.integers(20, 4000))
def test_the_detector_sees_the_pictures_shape(height: int, width: int) -> None:
    w, h = faces.detector_size(height, width)
    assert w % 32 == h % 32 == 0
    assert faces.DETECT_SIDE // 2 <= max(w, h) <= faces.DETECT_SIDE
    zoom = max(w, h) / max(width, height)
    assert min(w, h) >= min(width, height) * zoom - 32
    assert min(w, h) < min(width, height) * zoom + 64


@given(st.floats(5, 300), st.floats(-3.1, 3.1), st.tuples(st.floats(-500, 500), st.floats(-500, 500)))
def test_the_first_guess_meets_the_five_points(zoom: float, roll: float, shift: tuple[float, float]) -> None:
    turn = zoom * np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
    five = geometry.apply(np.hstack([turn, np.array(shift)[:, None]]), FIVE)
    guess = faces.placed(MEAN, np.zeros(4), five)
    assert np.abs(geometry.five_points(guess) - five).max() < 1e-3 * zoom + 1e-3


def test_without_points_the_guess_fills_the_box() -> None:
    box = np.array([100, 50, 160, 130], np.float32)
    guess = geometry.bounds(faces.placed(MEAN, box, None))
    assert faces.overlap(guess, box) > 0.85


@given(st.floats(0.1, 2.5), st.floats(-0.6, 0.6), st.integers(60, 140), st.integers(60, 140))
def test_a_crop_shows_what_lies_there(zoom: float, roll: float, x: int, y: int) -> None:
    """On a picture whose values are its coordinates, each pixel of the crop tells where it was taken."""
    ramp = np.stack([*np.meshgrid(np.arange(200), np.arange(200)), np.zeros((200, 200))], -1).astype(np.uint8)
    turn = zoom * np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
    size = 16
    to_crop = np.hstack([turn, ((size - 1) / 2 - turn @ [x, y])[:, None]])
    crop = sampling.sample_patch(ramp, to_crop, size)
    at = geometry.apply(geometry.invert(to_crop), np.array([[4, 4], [12, 5], [7.0, 11]]))
    for (i, j), (u, v) in zip([(4, 4), (5, 12), (11, 7)], at, strict=True):
        if min(u, v) > 12 and max(u, v) < 187:
            assert np.abs(crop[i, j, :2].astype(float) - [u, v]).max() < 1.5


def test_a_shrunk_crop_averages() -> None:
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    crop = sampling.sample_patch(stripes, np.array([[0.25, 0, 0], [0, 0.25, 0]]), 48)
    assert np.abs(crop.astype(float) - 127.5).max() < 8


def test_a_part_of_a_face_lies_inside_it() -> None:
    face = np.array([100, 100, 300, 300], np.float32)
    assert faces.inside(np.array([120, 150, 180, 200], np.float32), face)
    assert faces.inside(np.array([80, 150, 180, 200, 0.9], np.float32), face)
    assert not faces.inside(np.array([20, 150, 120, 200], np.float32), face)
    assert not faces.inside(np.array([0, 0, 400, 400], np.float32), face)


boxes = st.tuples(st.floats(0, 50), st.floats(0, 50), st.floats(1, 50), st.floats(1, 50))


@given(boxes, boxes)
def test_overlap_is_symmetric_and_one_only_with_itself(a: tuple[float, ...], b: tuple[float, ...]) -> None:
    first, second = (np.array([x, y, x + w, y + h]) for x, y, w, h in (a, b))
    assert 0 <= faces.overlap(first, second) <= 1
    assert faces.overlap(first, second) == pytest.approx(faces.overlap(second, first))
    assert faces.overlap(first, first) == pytest.approx(1)


# --- the pack that ships --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def embedded() -> faces.FaceReader:
    return faces.open_faces("embedded")


@pytest.fixture(scope="module")
def selfie() -> Array:
    bgr = cv2.imread(str(Path(__file__).parents[2] / "samples" / "selfie.jpg"))
    assert bgr is not None
    return np.ascontiguousarray(bgr[..., ::-1])


def within(picture: Array, zoom: float, at: tuple[int, int]) -> Array:
    """A grey (720, 1280) frame with the picture in it."""
    small = cv2.resize(picture, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA)
    frame = np.full((720, 1280, 3), GREY, np.uint8)
    frame[at[1] : at[1] + small.shape[0], at[0] : at[0] + small.shape[1]] = small
    return frame


def test_the_pack_that_ships_finds_a_face_near_and_far(embedded: faces.FaceReader, selfie: Array) -> None:
    near = embedded.detect(selfie)
    assert len(near) == 1
    side = float(np.ptp(near[0].mesh[:, 0]))
    for wanted, at in ((60, (700, 100)), (200, (200, 150))):
        zoom = wanted / side
        far = embedded.detect(within(selfie, zoom, at))
        assert len(far) == 1
        off = far[0].mesh[:, :2] - (near[0].mesh[:, :2] * zoom + at)
        assert np.linalg.norm(off, axis=1).mean() < 0.06 * wanted
        assert far[0].score > 0.9


def test_the_pack_that_ships_finds_nobody_in_noise(embedded: faces.FaceReader) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (360, 640, 3)).astype(np.uint8)
    assert embedded.detect(noise, faces.LYING) == []
    assert embedded.detect(np.zeros((360, 640, 3), np.uint8)) == []


@pytest.mark.parametrize("degrees", [45, 90, 135, 180, 225, 270, 315])
def test_a_face_is_found_whichever_way_it_lies(embedded: faces.FaceReader, selfie: Array, degrees: int) -> None:
    """Once, with the mesh it has upright; a small turn against the clock of where it is upright is taken for one."""
    upright = embedded.detect(selfie)[0].mesh
    middle, side = upright[:, :2].mean(0), float(np.ptp(upright[:, 0]))
    turn = cv2.getRotationMatrix2D(tuple(map(float, middle)), degrees, 200 / side)
    turn[:, 2] += 320 - middle
    turned = cv2.warpAffine(selfie, turn, (640, 640), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
    (face,) = embedded.detect(turned)
    assert np.linalg.norm(face.mesh[:, :2] - geometry.apply(turn, upright[:, :2]), axis=1).mean() < 0.06 * 200
    assert embedded.embed(turned, face.mesh) @ embedded.embed(selfie, upright) > 0.6


@pytest.mark.parametrize("turn", faces.LYING)
def test_who_lies_beside_somebody_upright_is_found(embedded: faces.FaceReader, selfie: Array, turn: int) -> None:
    frame = within(selfie, 0.5 * 720 / len(selfie), (100, 100))
    frame[200:560, 800:1160] = np.rot90(frame[100:460, 100:460], turn)
    assert len(embedded.detect(frame, faces.LYING)) == 2
    if turn != 2:  # one upside down is seen, and doubted
        assert len(embedded.detect(frame)) == 1, "where somebody is upright, nobody else is looked for unless asked"


@given(st.integers(0, 3), st.integers(1, 9), st.integers(1, 9))
def test_what_was_turned_is_turned_back(turn: int, height: int, width: int) -> None:
    before = np.arange(height * width).reshape(height, width)
    turned = np.rot90(before, turn)
    y, x = np.mgrid[: turned.shape[0], : turned.shape[1]].reshape(2, -1)
    at = geometry.apply(faces.turned_back(turn, *turned.shape), np.stack([x, y], 1)).astype(int)
    assert (before[at[:, 1], at[:, 0]] == turned[y, x]).all()


def test_of_a_face_beyond_the_edge_nothing_is_known(embedded: faces.FaceReader, selfie: Array) -> None:
    whole = within(selfie, 0.5 * 720 / len(selfie), (400, 100))
    mesh = embedded.detect(whole)[0].mesh
    left, wide = mesh[:, 0].min(), np.ptp(mesh[:, 0])
    for part, there in ((0.5, True), (0.15, False)):
        edge = int(left + (1 - part) * wide)
        face = embedded.follow(np.ascontiguousarray(whole[:, edge:]), mesh - np.float32([edge, 0, 0]))
        assert (face is not None) == there


def test_the_pack_that_ships_knows_a_person_again(embedded: faces.FaceReader, selfie: Array) -> None:
    mesh = embedded.detect(selfie)[0].mesh
    darker = (selfie * 0.7).astype(np.uint8)
    again = embedded.follow(darker, mesh)
    assert again is not None
    assert embedded.embed(selfie, mesh) @ embedded.embed(darker, again.mesh) > 0.7
