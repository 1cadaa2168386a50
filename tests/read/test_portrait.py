"""A photo whose face is cut off, turned or hidden is refused, turned or told of; with the models that ship."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from vidswap.errors import IdentityError
from vidswap.face import geometry, landmarks
from vidswap.read import identity
from vidswap.read.faces import FaceReader, open_faces
from vidswap.read.features import EYE_POINTS, MOUTH_POINTS
from vidswap.read.identity import load_identity
from vidswap.read.portrait import portrait, refuse_cut, roomed, visible
from vidswap.types import Array, Consent, Face, Identity

SELFIE = Path(__file__).parents[2] / "samples" / "selfie.jpg"
RGB = cv2.imread(str(SELFIE))[..., ::-1]
SHAPE = RGB.shape


@pytest.fixture(scope="module")
def reader() -> FaceReader:
    return open_faces("embedded")


@pytest.fixture(scope="module")
def face(reader: FaceReader) -> Face:
    return reader.detect(np.ascontiguousarray(RGB))[0]


@pytest.fixture(autouse=True)
def _few_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "LOOKS", 2)


def taken(rgb: Array, path: Path, reader: FaceReader) -> Identity:
    assert cv2.imwrite(str(path), rgb[..., ::-1])
    return load_identity(path, Consent("self"), reader)


def drawn(rgb: Array, points: Array, colour: tuple[int, int, int], wider: float = 1.0) -> Array:
    """The hull of points (K, 2) painted over."""
    middle = points.mean(0)
    hull = cv2.convexHull(np.int32(middle + wider * (points - middle)))
    return np.asarray(cv2.fillConvexPoly(np.ascontiguousarray(rgb), hull, colour, cv2.LINE_AA))


def with_sunglasses(rgb: Array, mesh: Array) -> Array:
    rgb = np.ascontiguousarray(rgb)
    for eye in EYE_POINTS:
        contour = mesh[eye[:16], :2]
        wide, (x, y) = np.ptp(contour[:, 0]), contour.mean(0)
        axes = (int(0.85 * wide), int(0.65 * wide))
        cv2.ellipse(rgb, (int(x), int(y + 0.1 * wide)), axes, 0, 0, 360, (24, 22, 26), -1, cv2.LINE_AA)
    return rgb


def with_mask(rgb: Array, mesh: Array) -> Array:
    lower = mesh[[195, 117, 346, 132, 361, 172, 397, 152, 150, 379], :2]
    return drawn(rgb, lower, (120, 180, 215), 1.05)


# -- cut off ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("side", "part"), [
    ("left", lambda box: np.s_[:, round((box[0] + box[2]) / 2) :]),
    ("right", lambda box: np.s_[:, : round((box[0] + box[2]) / 2)]),
    ("bottom", lambda box: np.s_[: round(box[1] + 0.66 * (box[3] - box[1]))]),
    ("left", lambda box: np.s_[:, round(0.75 * box[0] + 0.25 * box[2]) :]),
])  # fmt: skip
def test_a_face_that_the_photo_cuts_is_refused_by_side(tmp_path, reader, face, side, part):
    with pytest.raises(IdentityError, match=f"cut off at the {side}.* lie outside cut.png") as caught:
        taken(RGB[part(face.box)], tmp_path / "cut.png", reader)
    assert "whole face" in caught.value.hint


def test_a_face_from_brows_to_chin_is_refused(tmp_path, reader):
    high, wide = SHAPE[:2]
    close = RGB[int(high * 0.30) : int(high * 0.85), int(wide * 0.28) : int(wide * 0.72)]
    with pytest.raises(IdentityError, match="cut off at the"):
        taken(close, tmp_path / "close.png", reader)


def test_parts_of_a_face_larger_than_the_photo_are_no_face(face):
    """The detector lays a small face into a large one, of which little is seen; with room, it finds the large."""
    small, large = at(face, 200, 200, 0.5, 110), at(face, -300, -300, 2.0)

    class Misled(Seeing):
        def detect(self, rgb: Array) -> list[Face]:
            room = (rgb.shape[0] - SHAPE[0]) / 2
            return [at(large, room, room, 1)] if room else [small]

    with pytest.raises(IdentityError, match="cut off at the"):
        portrait(RGB, "a.jpg", Misled())


@pytest.mark.parametrize("larger", [1.0, 0.5])
def test_a_mouth_and_nostrils_are_no_face(face, larger):
    """Of a face whose eyes are cut off the lower part is found, seen nearly as well as a face is; it is also the lower
    part of a larger one."""

    class Misled(Seeing):
        def detect(self, rgb: Array) -> list[Face]:
            return self.faces if rgb is RGB else []

        def follow(self, rgb: Array, mesh: Array) -> Face | None:
            room = (rgb.shape[0] - SHAPE[0]) / 2
            return at(face, room, room - larger * face.mesh[landmarks.LEFT_EYE, 1].max(), larger, 205)

    with pytest.raises(IdentityError, match="cut off at the top") if larger == 1 else nullcontext():
        portrait(RGB, "a.jpg", Misled(at(face, 120, 100, 0.5, 205)))


def test_a_beard_is_no_face_that_hangs(face):
    class Misled(Seeing):
        def detect(self, rgb: Array) -> list[Face]:
            upright = at(face, 0, 0, 1, 130)
            return [upright] if rgb[0, 0, 0] == RGB[-1, -1, 0] and rgb is not RGB else [hanging(upright)]

    with pytest.raises(IdentityError, match=r"no face in a\.jpg"):
        portrait(RGB, "a.jpg", Misled())


def hanging(face: Face) -> Face:
    mesh = geometry.apply(np.array([[-1, 0, SHAPE[1] - 1], [0, -1, SHAPE[0] - 1]]), face.mesh)
    return replace(face, mesh=mesh, box=geometry.bounds(mesh))


def test_a_face_near_the_edge_is_whole(tmp_path, reader, face):
    x0, y0, x1, y1 = face.box.astype(int)
    made = taken(RGB[y0 - 8 : y1 + 8, x0 - 8 : x1 + 8], tmp_path / "tight.png", reader)
    assert made.notes == ()
    moved = made.meshes[0] - (face.mesh - np.array([x0 - 8, y0 - 8, 0]))
    assert np.abs(moved[:, :2]).mean() < 2


def test_what_lies_outside_is_counted_by_eyes_mouth_and_share(face):
    for beyond, said in (("eye", "left: an eye, "), ("mouth", "bottom: the mouth, ")):
        part = landmarks.LEFT_EYE if beyond == "eye" else MOUTH_POINTS
        mesh = np.full((478, 3), 50, np.float32)
        mesh[part[0], 0 if beyond == "eye" else 1] = -1 if beyond == "eye" else 100
        with pytest.raises(IdentityError, match=said):
            refuse_cut(mesh, (100, 100), "a.png")
    chin = np.full((478, 3), 50, np.float32)
    cheeks = np.setdiff1d(np.arange(468), np.concatenate([landmarks.LEFT_EYE, landmarks.RIGHT_EYE, MOUTH_POINTS]))
    chin[cheeks[:46], 0] = 200
    refuse_cut(chin, (100, 100), "a.png")
    chin[cheeks[:48], 0] = 200
    with pytest.raises(IdentityError, match=r"right: 10% of it"):
        refuse_cut(chin, (100, 100), "a.png")


# -- turned, or not alone ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("turn", "said"), [(1, "on its side"), (2, "upside down"), (3, "on its side")])
def test_a_photo_that_lies_is_turned(tmp_path, reader, face, turn, said):
    made = taken(np.rot90(RGB, turn), tmp_path / "lies.png", reader)
    assert made.notes == (f"lies.png lies {said}; it was turned",)
    upright = load_identity(SELFIE, Consent("self"), reader)
    assert float(made.embedding @ upright.embedding) > 0.9
    np.testing.assert_allclose(made.meshes[0], upright.meshes[0], atol=4)


class Seeing:
    """Finds what it is told to find."""

    def __init__(self, *faces: Face) -> None:
        self.faces = list(faces)

    def detect(self, rgb: Array) -> list[Face]:
        return self.faces

    def follow(self, rgb: Array, mesh: Array) -> Face | None:
        return None


def at(face: Face, x: float, y: float, zoom: float, shown: int = 255) -> Face:
    to_place = np.array([[zoom, 0, x], [0, zoom, y]])
    mesh = geometry.apply(to_place, face.mesh)
    return Face(geometry.bounds(mesh), mesh, face.score, None, np.full((4, 4), shown, np.uint8), face.visible_to_frame)


def test_a_face_on_the_neck_of_another_is_none(face):
    """Of one that is none little is seen: the model does not find its parts."""
    person, neck = at(face, 0, -80, 0.8), at(face, 60, 200, 0.6, 90)
    assert portrait(RGB, "a.jpg", Seeing(neck, person)).face is person
    with pytest.raises(IdentityError, match=r"2 faces in a\.jpg") as caught:
        portrait(RGB, "a.jpg", Seeing(at(face, 60, 200, 0.6), person))
    assert "crop" in caught.value.hint


# -- hidden -----------------------------------------------------------------------------------------------------------


def test_a_good_photo_has_no_notes(reader):
    assert load_identity(SELFIE, Consent("self"), reader).notes == ()


def test_sunglasses_are_told(tmp_path, reader, face):
    made = taken(with_sunglasses(RGB, face.mesh), tmp_path / "ada.png", reader)
    assert any(note.startswith("ada.png: the eyes are hidden, by sunglasses") for note in made.notes)


def test_a_mask_is_refused(tmp_path, reader, face):
    with pytest.raises(IdentityError, match=r"ada\.png: mouth and nose are covered, by a mask"):
        taken(with_mask(RGB, face.mesh), tmp_path / "ada.png", reader)


def test_blur_is_told_and_past_use_refused(tmp_path, reader, face):
    high = face.box[3] - face.box[1]
    made = taken(cv2.GaussianBlur(RGB, (0, 0), 0.025 * high), tmp_path / "soft.png", reader)
    assert any("soft.png: the face is out of focus" in note for note in made.notes)
    with pytest.raises(IdentityError, match=r"so blurred that no features|no face in"):
        taken(cv2.GaussianBlur(RGB, (0, 0), 0.06 * high), tmp_path / "gone.png", reader)


def test_a_very_dark_photo_is_told(tmp_path, reader):
    made = taken(RGB // 6, tmp_path / "night.png", reader)
    assert any("night.png: the face is very dark" in note for note in made.notes)


def test_in_a_folder_hidden_faces_are_left_out_and_told(tmp_path, reader, face):
    cv2.imwrite(str(tmp_path / "a_glasses.png"), with_sunglasses(RGB, face.mesh)[..., ::-1])
    cv2.imwrite(str(tmp_path / "b_mask.png"), with_mask(RGB, face.mesh)[..., ::-1])
    alone = load_identity(SELFIE, Consent("self"), reader)
    cv2.imwrite(str(tmp_path / "c_good.png"), RGB[..., ::-1])
    made = load_identity(tmp_path, Consent("self"), reader)
    np.testing.assert_array_equal(made.photos[0], alone.photos[0])
    assert len(made.photos) == 1
    told = sorted(made.notes)[1:]
    assert "1 photo is used: c_good.png (frontal)" in made.notes
    assert told[0].startswith("left out: a_glasses.png: the eyes are hidden")
    assert told[1].startswith("left out: b_mask.png: mouth and nose are covered")


def test_what_is_seen_is_a_share(face):
    assert 0.8 < visible(face) <= 1


@pytest.mark.parametrize("shape", [(300, 400), (900, 160), (5, 3)])
def test_the_room_around_a_photo_is_the_photo_mirrored_and_blurred(shape: tuple[int, int]) -> None:
    """Blurred when it is small, since so wide a blur of a large photo takes minutes: nobody sees the difference."""
    coarse = np.random.default_rng(0).integers(0, 256, (9, 7, 3)).astype(np.uint8)
    rgb = cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC)
    room, wide = roomed(rgb)
    mirrored = cv2.copyMakeBorder(rgb, wide, wide, wide, wide, cv2.BORDER_REFLECT)
    wanted = cv2.GaussianBlur(mirrored, (0, 0), wide / 8)
    wanted[wide : wide + shape[0], wide : wide + shape[1]] = rgb
    assert room.shape == wanted.shape
    assert cv2.absdiff(room, wanted).max() <= 8
    assert cv2.absdiff(room, wanted).mean() < 1
    assert np.array_equal(room[wide : wide + shape[0], wide : wide + shape[1]], rgb)
