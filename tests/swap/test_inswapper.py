"""The engine `inswapper`: its network as insightface drives it, and all around it as warp's."""

import warnings
from contextlib import contextmanager
from dataclasses import replace

import cv2
import numpy as np
import onnx
import pytest
import tinyonnx

from vidswap.errors import EngineError, ModelError
from vidswap.face import geometry
from vidswap.keys import digest_of
from vidswap.models import hub
from vidswap.progress import quiet
from vidswap.swap import vectors
from vidswap.swap.engine import load_engine
from vidswap.swap.engines import inswapper
from vidswap.swap.engines.inswapper import PACK, Settings, Swapper, laid_back, models, open_swapper
from vidswap.types import EngineChoice, Swapped

VECTOR = np.random.default_rng(3).normal(size=512).astype(np.float32)
VECTOR /= np.linalg.norm(VECTOR)


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    return tinyonnx.swapper(tmp_path_factory.mktemp("network") / "inswapper_128.onnx")


@pytest.fixture
def opened(network, tmp_path, monkeypatch, identity):
    """opened(**options) -> the engine, to which the drawn person's vector is known."""
    folder = tinyonnx.pack(tmp_path / "pack", PACK)
    listed = replace(hub.entry(PACK), sha256={file.name: digest_of(file) for file in folder.glob("*.onnx")})
    monkeypatch.setattr(vectors, "entry", lambda _name: listed)
    seen = vectors.Sight(identity.photos[0], geometry.five_points(identity.meshes[0]), VECTOR * 3)
    monkeypatch.setattr(vectors, "_sights", lambda *_: (seen,))

    @contextmanager
    def opened(**options):
        given = {"pack": folder, "weights": network} | options
        with load_engine(EngineChoice("inswapper", tuple(given.items()))) as engine:
            yield engine

    return opened


def theirs(network, crop: np.ndarray, mesh: np.ndarray):
    """insightface's own answer on the template, and its way there."""
    from insightface.app.common import Face
    from insightface.model_zoo import get_model

    target = Face(kps=geometry.five_points(mesh))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = get_model(str(network), providers=["CPUExecutionProvider"])
        bgr, way = model.get(np.ascontiguousarray(crop[..., ::-1]), target, Face(embedding=VECTOR), paste_back=False)
    return bgr[..., ::-1], way


def test_the_network_answers_as_insightfaces_own_class(network, window):
    crops, ours = window(2), open_swapper(network)
    for crop, mesh in zip(crops.rgb, crops.mesh):
        face, way = theirs(network, crop, mesh)
        own = inswapper.to_template(geometry.five_points(mesh), 128)
        np.testing.assert_allclose(own, way, atol=1e-5)
        seen = cv2.warpAffine(crop, own, (128, 128), borderValue=0.0)
        np.testing.assert_array_equal(ours.swap(seen, ours.latent(VECTOR)), face)
    assert not np.array_equal(ours.swap(seen, ours.latent(-VECTOR)), face), "another person gives another face"


def test_the_whole_engine_lays_that_face_in_the_scenes_light(opened, network, window, identity):
    """Its tint goes, as low bands are the scene's; its detail stays; nothing is laid beyond the face."""
    crops = window(1)
    with opened(smooth=0.0) as engine:
        answer = engine.swap(crops, identity, None, quiet)
    face, way = theirs(network, crops.rgb[0], crops.mesh[0])
    placed = laid_back(crops.rgb[0], face.astype(np.float32), way)
    inner = answer.alpha[0] > 0.99
    strange, lit = (float(np.abs(each[inner].mean(0) - crops.rgb[0][inner].mean(0)).max())
                    for each in (placed.astype(float), answer.rgb[0].astype(float)))  # fmt: skip
    assert strange > 20
    assert lit < 0.4 * strange
    assert np.array_equal(answer.rgb[0][answer.alpha[0] == 0], crops.rgb[0][answer.alpha[0] == 0])
    assert (answer.alpha[0] == 0).mean() > 0.4


def test_the_mouth_is_the_networks_too(opened, window, identity):
    crops = window(1)
    middle = np.rint(crops.mesh[0][[13, 14], :2].mean(0)).astype(int)
    with opened() as engine:
        alpha = engine.swap(crops, identity, None, quiet).alpha[0]
    assert alpha[middle[1], middle[0]] > 0.99


def test_a_face_comes_back_to_where_it_was_taken_from(window):
    crops = window(1)
    way = inswapper.to_template(geometry.five_points(crops.mesh[0]), 128)
    seen = cv2.warpAffine(crops.rgb[0], way, (128, 128)).astype(np.float32)
    back = laid_back(crops.rgb[0], seen, way)
    corners = geometry.apply(geometry.invert(way), np.float32([[30, 30], [98, 98]]))
    (x0, y0), (x1, y1) = np.rint(corners).astype(int)
    inner = np.s_[y0:y1, x0:x1]
    assert np.abs(back[inner].astype(int) - cv2.GaussianBlur(crops.rgb[0], (0, 0), 1.0)[inner]).mean() < 2.5
    outside = cv2.warpAffine(np.ones((128, 128), np.float32), geometry.invert(way), back.shape[:2]) == 0
    np.testing.assert_array_equal(back[outside], crops.rgb[0][outside])


def test_what_was_answered_before_steadies_what_follows(opened, window, identity):
    first, second = window(2), window(2, start=1)
    with opened(smooth=1.0) as engine:
        before = engine.swap(first, identity, None, quiet)
        assert before.latents.shape == (2, 3, 16, 16)
        apart = Swapped(before.crops, before.rgb, before.alpha, before.latents + np.float32(0.02))
        alone, after, moved = (engine.swap(second, identity, given, quiet) for given in (None, before, apart))
        assert np.array_equal(engine.swap(second, identity, before.tail(1), quiet).rgb, after.rgb)
    assert not np.array_equal(after.latents, alone.latents)
    assert 0 < (moved.latents - after.latents).mean() < 0.02


def test_the_key_tells_the_network_and_the_pack_and_not_where_they_lie(opened, network, tmp_path):
    moved = tmp_path / "inswapper_128.onnx"
    moved.write_bytes(network.read_bytes())
    other = tinyonnx.swapper(tmp_path / "other.onnx", seed=5)
    keys = []
    for path in (network, moved, other):
        with opened(weights=path) as engine:
            keys.append(engine.key)
    assert keys[0] == keys[1] != keys[2]


def test_it_says_what_it_opens():
    assert models(Settings()) == ("inswapper_128", "buffalo_l")
    assert not any(hub.entry(name).commercial for name in models(Settings()))


def test_a_missing_network_names_where_it_belongs_and_its_licence(opened, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "none"))
    monkeypatch.setenv("HOME", str(tmp_path / "none"))
    with pytest.raises(ModelError, match="'inswapper_128' is not here") as caught, opened(weights=None):
        pass
    assert "inswapper_128.onnx" in caught.value.hint
    assert "non-commercial" in caught.value.hint


def cut(path, network):
    path.write_bytes(network.read_bytes()[:1000])


def without_its_matrix(path, network):
    model = onnx.load(str(network))
    model.graph.initializer.pop()
    onnx.save(model, str(path))


def of_another_kind(path, network):
    tinyonnx.recogniser(path)


@pytest.mark.parametrize("spoil", [cut, without_its_matrix, of_another_kind])
def test_a_file_that_is_no_inswapper_is_one_line(opened, network, tmp_path, spoil):
    path = tmp_path / "wrong.onnx"
    spoil(path, network)
    with pytest.raises(ModelError, match=r"wrong\.onnx cannot be used") as caught, opened(weights=path):
        pass
    assert "\n" not in str(caught.value)


def test_nothing_is_said_on_the_standard_output(network, capfd):
    assert isinstance(open_swapper(network), Swapper)
    assert capfd.readouterr() == ("", "")


def test_a_person_whom_the_pack_does_not_see_is_an_engine_error(opened, window, identity, monkeypatch):
    monkeypatch.setattr(vectors, "_sights", lambda *_: ())
    with opened() as engine, pytest.raises(EngineError, match="the face pack buffalo_l finds no face"):
        engine.swap(window(1), identity, None, quiet)
