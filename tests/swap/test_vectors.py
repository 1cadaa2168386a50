"""The vectors that adapters were trained on: insightface's own, of the very recogniser, or none."""

import warnings
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import tinyonnx

from vidswap.errors import EngineError, ModelError
from vidswap.keys import digest_of
from vidswap.models import hub
from vidswap.read.faces import open_faces
from vidswap.read.identity import load_identity
from vidswap.swap import vectors
from vidswap.swap.vectors import PACKS, open_recogniser
from vidswap.types import Consent

SAMPLES = Path(__file__).parents[2] / "samples"


@pytest.fixture(scope="module")
def person():
    return load_identity(SAMPLES / "selfie.jpg", Consent("self"), open_faces("embedded"))


@pytest.fixture(params=PACKS)
def pack(request, tmp_path, monkeypatch):
    """The name and the folder of a tiny pack, which the list of models takes for the true one."""
    folder = tinyonnx.pack(tmp_path / "tiny", request.param)
    known(monkeypatch, request.param, folder)
    return request.param, folder


def known(monkeypatch, name: str, folder: Path) -> None:
    digests = {file.name: digest_of(file) for file in folder.glob("*.onnx")}
    listed = replace(hub.entry(name), sha256=digests)
    monkeypatch.setattr(vectors, "entry", lambda _name: listed)


def analysed(folder: Path, photo: np.ndarray):
    """The largest face that insightface's own way in finds in a photo."""
    from insightface.app import FaceAnalysis

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-image's, of insightface's alignment
        app = FaceAnalysis(str(folder), providers=["CPUExecutionProvider"])
        app.prepare(ctx_id=-1)
        faces = app.get(np.ascontiguousarray(photo[..., ::-1]))
    return max(faces, key=lambda face: np.prod(face.bbox[2:] - face.bbox[:2]))


def test_the_vector_is_that_of_insightfaces_face_analysis(pack, person):
    name, folder = pack
    theirs = analysed(folder, person.photos[0])
    ours = open_recogniser(name, folder)
    np.testing.assert_allclose(ours.vector(person, unit=True), theirs.normed_embedding, atol=1e-5)
    np.testing.assert_allclose(ours.vector(person, unit=False), theirs.embedding, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(ours.seen(person)[0].five, theirs.kps, atol=1e-3)


def test_several_photos_count_alike_however_long_their_vectors_are(pack, person):
    name, folder = pack
    darker = np.asarray(person.photos[0] // 3, np.uint8)
    both = replace(person, photos=(person.photos[0], darker), meshes=person.meshes * 2)
    ours = open_recogniser(name, folder)
    one, other = (each.vector for each in ours.seen(both))
    assert not np.allclose(np.linalg.norm(one), np.linalg.norm(other), rtol=0.01)
    np.testing.assert_allclose(ours.vector(both, unit=False), (one + other) / 2, rtol=1e-5)
    mean = one / np.linalg.norm(one) + other / np.linalg.norm(other)
    np.testing.assert_allclose(ours.vector(both, unit=True), mean / np.linalg.norm(mean), rtol=1e-5, atol=1e-6)


def test_of_two_faces_in_a_photo_it_is_the_one_that_the_mesh_is_of(pack, person):
    """The other one is larger, and insightface's own choice."""
    name, folder = pack
    photo = person.photos[0]
    large = cv2.resize(photo, None, fx=1.3, fy=1.3)
    canvas = np.zeros((len(large), len(photo[0]) + len(large[0]), 3), np.uint8)
    canvas[: len(photo), : photo.shape[1]], canvas[:, photo.shape[1] :] = photo, large
    both = replace(person, photos=(canvas,))
    five = open_recogniser(name, folder).seen(both)[0].five
    assert five[:, 0].max() < photo.shape[1]
    assert analysed(folder, canvas).kps[:, 0].min() > photo.shape[1]


def test_another_recogniser_is_refused_with_the_command_that_gets_the_right_one(pack, person):
    """Its vectors would look alike, and be of nobody."""
    name, folder = pack
    recogniser = folder / PACKS[name][1]
    tinyonnx.recogniser(recogniser, seed=7)
    with pytest.raises(ModelError, match=f"is not {name}'s {recogniser.name}") as caught:
        open_recogniser(name, folder)
    assert f"vidswap models pull {name}" in caught.value.hint
    assert "non-commercial" in caught.value.hint
    recogniser.unlink()
    with pytest.raises(ModelError, match=f"has no {recogniser.name}"):
        open_recogniser(name, folder)


def test_the_packs_of_the_list_are_looked_at_for_their_digests(tmp_path):
    """Without a test's word for it, a tiny pack is none."""
    for name, (_, recogniser) in PACKS.items():
        assert len(hub.entry(name).sha256[recogniser]) == 64
        with pytest.raises(ModelError, match="is not"):
            open_recogniser(name, tinyonnx.pack(tmp_path / name, name))


def test_a_damaged_pack_is_one_line(pack, monkeypatch):
    name, folder = pack
    file = folder / PACKS[name][1]
    file.write_bytes(file.read_bytes()[:5000])
    known(monkeypatch, name, folder)
    with pytest.raises(ModelError, match=f"the face pack {name} cannot be used") as caught:
        open_recogniser(name, folder)
    assert "\n" not in str(caught.value)


def test_photos_in_which_the_pack_sees_nobody_are_left_out_or_refused(pack, person):
    name, folder = pack
    ours = open_recogniser(name, folder)
    grey = np.full_like(person.photos[0], 128)
    some = replace(person, photos=(grey, person.photos[0]), meshes=person.meshes * 2)
    np.testing.assert_array_equal(ours.vector(some, unit=True), ours.vector(person, unit=True))
    with pytest.raises(EngineError, match=f"the face pack {name} finds no face in self's photos"):
        ours.vector(replace(person, photos=(grey,)), unit=True)


def test_an_identity_is_looked_at_once(pack, person, monkeypatch):
    name, folder = pack
    looks = []
    monkeypatch.setattr(vectors, "_sight", lambda *of: looks.append(of))
    ours = open_recogniser(name, folder)
    for _ in range(3):
        assert ours.sights(person) == ()
    assert len(looks) == 1
