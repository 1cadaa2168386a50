from __future__ import annotations

import itertools
import os
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidswap.errors import IdentityError
from vidswap.face import geometry, landmarks
from vidswap.face.landmarks import mean_face
from vidswap.read import identity
from vidswap.read.identity import Taken, _those_alike, load_identity, median_mesh, quality
from vidswap.types import Array, Consent, Face

CONSENT = Consent("self")
ROOT = Path(identity.__file__).parent.parent
MEAN = mean_face()


@pytest.fixture(autouse=True)
def _few_looks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "median" not in request.node.name:
        monkeypatch.setattr(identity, "LOOKS", 2)


def face(x: float, y: float, eyes: float) -> Face:
    """A frontal face, its eye corners `eyes` pixels apart."""
    mesh = geometry.posed(MEAN, (eyes, np.eye(3), np.array([x, y, 0.0])))
    return Face(geometry.bounds(mesh), mesh, 1.0, None, np.full((2, 2), 255, np.uint8), np.eye(2, 3))


class FakeReader:
    """Sees a face wherever a picture has a pure red, green or blue square: x, y of its middle, eye distance half its
    side; who it is, is the colour."""

    def detect(self, rgb: Array) -> list[Face]:
        found = []
        for channel in range(3):
            mask = np.uint8((rgb[..., channel] > 200) & (np.delete(rgb, channel, 2).max(2) < 60))
            count, _, stats, middles = cv2.connectedComponentsWithStats(mask)
            big = [k for k in range(1, count) if stats[k, cv2.CC_STAT_AREA] > 100]
            found += [face(*middles[k], stats[k, cv2.CC_STAT_WIDTH] / 2) for k in big]
        return found

    def follow(self, rgb: Array, mesh: Array) -> Face | None:
        """The nearest face: what a look from a crop slightly aside finds."""
        middle = mesh[:468, :2].mean(0)
        return min(self.detect(rgb), key=lambda f: np.linalg.norm(f.mesh[:468, :2].mean(0) - middle), default=None)

    def embed(self, rgb: Array, mesh: Array) -> Array:
        x, y = mesh[:468, :2].mean(0).astype(int)
        return np.eye(3, dtype=np.float32)[rgb[y, x].argmax()]


def photo(path: Path, *squares: tuple[int, int, int], colour: int = 0, size: tuple[int, int] = (400, 300)) -> Path:
    """Squares of a colour, with a grain, so that they are neither flat nor out of focus."""
    rgb = np.full((size[1], size[0], 3), 128, np.uint8)
    chance = np.random.default_rng(0)
    for x, y, side in squares:
        half, grain = side // 2, max(2, side // 50)
        light = chance.integers(0, 2, (2 * half // grain + 1,) * 2).repeat(grain, 0).repeat(grain, 1)
        light = light[: 2 * half, : 2 * half]
        place = rgb[y - half : y + half, x - half : x + half]
        place[:] = (40 * light)[..., None]
        place[..., colour] = 215 + 40 * light
    assert cv2.imwrite(str(path), rgb[..., ::-1])
    return path


def test_the_photo_is_cut_around_the_face_and_the_mesh_goes_with_it(tmp_path: Path) -> None:
    file = photo(tmp_path / "me.png", (600, 400, 100), size=(1200, 800))
    made = load_identity(file, CONSENT, FakeReader())
    (cut,), (mesh,) = made.photos, made.meshes
    box = geometry.bounds(mesh)
    assert cut.shape[0] == pytest.approx(2.2 * (box[2:] - box[:2]).max(), abs=3)
    red = np.argwhere(cut[..., 0] > 200)[:, ::-1].mean(0)
    np.testing.assert_allclose(mesh[:, :2].mean(0) - face(0, 0, 50).mesh[:, :2].mean(0), red, atol=1.0)
    assert made.consent is CONSENT
    np.testing.assert_allclose(made.embedding, [1, 0, 0], atol=0.02)


def test_a_large_photo_is_kept_smaller_and_the_mesh_still_fits(tmp_path: Path) -> None:
    file = photo(tmp_path / "me.jpg", (1500, 1500, 1200), size=(3000, 3000))
    made = load_identity(file, CONSENT, FakeReader())
    (cut,), (mesh,) = made.photos, made.meshes
    assert max(cut.shape) == 1024
    red = np.argwhere((cut[..., 0] > 200) & (cut[..., 1] < 60))[:, ::-1]
    middle = geometry.apply(np.array([[1, 0, 0], [0, 1, 0]], float), mesh)[landmarks.RIGID].mean(0)[:2]
    np.testing.assert_allclose(middle, red.mean(0), atol=1.5)
    assert np.ptp(red[:, 0]) + 1 == pytest.approx(2 * np.linalg.norm(mesh[33] - mesh[263]), rel=0.02)


def test_no_face_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IdentityError, match=r"no face in empty\.png"):
        load_identity(photo(tmp_path / "empty.png"), CONSENT, FakeReader())


def test_two_faces_are_refused_with_advice_to_crop(tmp_path: Path) -> None:
    file = photo(tmp_path / "pair.png", (100, 150, 80), (300, 150, 80))
    with pytest.raises(IdentityError, match=r"2 faces in pair\.png") as caught:
        load_identity(file, CONSENT, FakeReader())
    assert "crop" in caught.value.hint


def test_a_face_far_larger_than_those_behind_is_meant(tmp_path: Path) -> None:
    file = photo(tmp_path / "crowd.png", (150, 150, 140), (350, 50, 40))
    box = geometry.bounds(load_identity(file, CONSENT, FakeReader()).meshes[0])
    assert box[2] - box[0] > 60


def test_a_tiny_face_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IdentityError, match="only"):
        load_identity(photo(tmp_path / "far.png", (100, 100, 20)), CONSENT, FakeReader())


def test_a_folder_gives_the_best_photo_first_and_passes_over_bad_ones(tmp_path: Path) -> None:
    photo(tmp_path / "a_small.png", (200, 150, 60))
    photo(tmp_path / "b_large.png", (200, 150, 150))
    photo(tmp_path / "c_empty.png")
    (tmp_path / "d_broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    (tmp_path / "notes.txt").write_text("not a photo")
    made = load_identity(tmp_path, CONSENT, FakeReader())
    assert len(made.photos) == 2
    widths = [np.ptp(mesh[:, 0]) for mesh in made.meshes]
    assert widths[0] > widths[1]
    told = "\n".join(made.notes)
    assert "left out: no face in c_empty.png" in told
    assert "left out: d_broken.jpg is damaged" in told


def test_a_folder_without_a_good_photo_says_why_each_was_passed_over(tmp_path: Path) -> None:
    photo(tmp_path / "empty.png")
    photo(tmp_path / "pair.png", (100, 150, 80), (300, 150, 80))
    with pytest.raises(IdentityError, match=r"no face in empty\.png; 2 faces in pair\.png"):
        load_identity(tmp_path, CONSENT, FakeReader())


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IdentityError, match="no photo in"):
        load_identity(tmp_path, CONSENT, FakeReader())


def test_a_stranger_among_photos_is_left_out_and_told(tmp_path: Path) -> None:
    photo(tmp_path / "a.png", (200, 150, 100), colour=0)
    photo(tmp_path / "b.png", (200, 150, 100), colour=0)
    photo(tmp_path / "c.png", (200, 150, 100), colour=2)
    made = load_identity(tmp_path, CONSENT, FakeReader())
    assert len(made.photos) == 2
    assert "left out: c.png shows someone else than the other photos" in made.notes
    assert any(note.startswith("2 photos are used: ") and "a.png (frontal)" in note for note in made.notes)


def test_two_photos_of_two_persons_are_refused(tmp_path: Path) -> None:
    photo(tmp_path / "a.png", (200, 150, 100), colour=0)
    photo(tmp_path / "c.png", (200, 150, 100), colour=2)
    with pytest.raises(IdentityError, match=r"\.png shows someone else"):
        load_identity(tmp_path, CONSENT, FakeReader())


@given(st.lists(st.integers(0, 2), min_size=1, max_size=7))
def test_strangers_are_those_whom_fewer_photos_show(people: list[int]) -> None:
    rgb, vectors = np.zeros((1, 1, 3), np.uint8), np.eye(3, dtype=np.float32)
    taken = [Taken(Path(f"{place}"), rgb, MEAN, vectors[who], 1.0, (), ()) for place, who in enumerate(people)]
    counts = np.bincount(people, minlength=3)
    if counts.max() * 2 > len(people):
        same, strangers = _those_alike(taken)
        assert {int(photo.embedding.argmax()) for photo in same} == {int(counts.argmax())}
        assert len(same) + len(strangers) == len(people)
        assert len(same) == counts.max()
    elif len(set(people)) > 1:
        with pytest.raises(IdentityError, match="shows someone else"):
            _those_alike(taken)


def test_of_several_people_the_one_is_taken_whom_the_other_photos_show(tmp_path: Path) -> None:
    photo(tmp_path / "a.png", (200, 150, 100), colour=0)
    pair = photo(tmp_path / "b.png", (100, 150, 80), (300, 150, 80))
    pixels = cv2.imread(str(pair))
    pixels[:, 200:] = pixels[:, 200:][..., [2, 1, 0]]  # another colour is another person
    cv2.imwrite(str(pair), pixels)
    made = load_identity(tmp_path, CONSENT, FakeReader())
    assert len(made.photos) == 2
    assert any("b.png shows several people" in note for note in made.notes)
    photo(tmp_path / "a.png", (200, 150, 100), colour=1)
    alone = load_identity(tmp_path, CONSENT, FakeReader())
    assert len(alone.photos) == 1
    assert "left out: 2 faces in b.png" in alone.notes


def test_a_folder_that_cannot_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refused)
    with pytest.raises(IdentityError, match=f"cannot read {tmp_path}: Permission denied") as caught:
        load_identity(tmp_path, CONSENT, FakeReader())
    assert "permissions" in caught.value.hint


def test_a_name_that_can_be_no_folder_or_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IdentityError, match="cannot read"):
        load_identity(tmp_path / ("long" * 100), CONSENT, FakeReader())


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names there")
def test_what_is_no_file_in_a_folder_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jpg")
    (tmp_path / "b.jpg").mkdir()
    with pytest.raises(IdentityError, match="no photo in"):
        load_identity(tmp_path, CONSENT, FakeReader())


def test_a_missing_photo_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IdentityError, match="No such file"):
        load_identity(tmp_path / "nobody.jpg", CONSENT, FakeReader())


def noisy(size: int) -> Array:
    return np.random.default_rng(0).integers(60, 196, (size, size, 3)).astype(np.uint8)


@pytest.mark.parametrize("worse", ["turned", "soft", "dark", "small"])
def test_a_turned_soft_dark_or_small_face_is_worth_less(worse: str) -> None:
    rgb, mesh = noisy(400), face(200, 180, 130).mesh
    other, shape = rgb, mesh
    if worse == "turned":
        about_y = cv2.Rodrigues(np.array([0, 0.7, 0]))[0]
        shape = geometry.posed(MEAN, (130.0, about_y, np.array([200, 180.0, 0])))
    elif worse == "soft":
        other = cv2.GaussianBlur(rgb, (0, 0), 6)
    elif worse == "dark":
        other = rgb // 6
    else:
        other, shape = cv2.resize(rgb, (200, 200)), mesh / 2
    assert quality(other, shape) < 0.9 * quality(rgb, mesh)


def test_a_photos_mesh_is_the_median_of_many_looks():
    """One look in three is far off: the median is not."""
    truth = face(100, 100, 40).mesh
    calls = itertools.count()  # looks are taken by several threads

    class Shaky(FakeReader):
        def follow(self, rgb: Array, mesh: Array) -> Face | None:
            call = next(calls)
            off = 60 if call % 3 == 0 else np.random.default_rng(call).normal(0, 1, (478, 3))
            return replace(face(100, 100, 40), mesh=(truth + off).astype(np.float32))

    found = median_mesh(np.zeros((200, 200, 3), np.uint8), truth, Shaky())
    assert np.abs(found - truth).mean() < 0.6
