from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidswap import geometry
from vidswap.errors import IdentityError
from vidswap.read import identity
from vidswap.read.identity import load_identity, picture_size, quality, read_picture, settled
from vidswap.types import Array, Consent, Face

CONSENT = Consent("self")
ROOT = Path(identity.__file__).parent.parent
MEAN = np.load(ROOT / "models" / "embedded" / "face.npz")["mean"]


def face(x: float, y: float, eyes: float) -> Face:
    """A frontal face, its eye corners `eyes` pixels apart."""
    mesh = geometry.posed(MEAN, (eyes, np.eye(3), np.array([x, y, 0.0])))
    covered = np.zeros((2, 2), np.uint8)
    return Face(geometry.bounds(mesh), mesh, 1.0, None, covered, np.eye(2, 3))


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
        embedding = rgb[y, x].astype(np.float32)
        return np.asarray(embedding / np.linalg.norm(embedding))


def photo(path: Path, *squares: tuple[int, int, int], colour: int = 0, size: tuple[int, int] = (400, 300)) -> Path:
    rgb = np.full((size[1], size[0], 3), 128, np.uint8)
    for x, y, side in squares:
        rgb[y - side // 2 : y + side // 2, x - side // 2 : x + side // 2] = np.eye(3, dtype=np.uint8)[colour] * 255
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
    middle = geometry.apply(np.array([[1, 0, 0], [0, 1, 0]], float), mesh)[geometry.RIGID].mean(0)[:2]
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


def test_a_folder_without_a_good_photo_says_why_each_was_passed_over(tmp_path: Path) -> None:
    photo(tmp_path / "empty.png")
    photo(tmp_path / "pair.png", (100, 150, 80), (300, 150, 80))
    with pytest.raises(IdentityError, match=r"no face in empty\.png; 2 faces in pair\.png"):
        load_identity(tmp_path, CONSENT, FakeReader())


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IdentityError, match="no photo in"):
        load_identity(tmp_path, CONSENT, FakeReader())


def test_photos_of_two_persons_are_refused_naming_the_odd_one(tmp_path: Path) -> None:
    photo(tmp_path / "a.png", (200, 150, 100), colour=0)
    photo(tmp_path / "b.png", (200, 150, 100), colour=0)
    photo(tmp_path / "c.png", (200, 150, 100), colour=2)
    with pytest.raises(IdentityError, match=r"c\.png shows someone else"):
        load_identity(tmp_path, CONSENT, FakeReader())


def test_a_missing_photo_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IdentityError, match="No such file"):
        load_identity(tmp_path / "nobody.jpg", CONSENT, FakeReader())


@pytest.mark.parametrize("raw", [b"", b"GIF89a" + bytes(40), b"\x89PNG\r\n\x1a\n" + bytes(30), bytes(200)])
def test_what_is_no_picture_is_refused(tmp_path: Path, raw: bytes) -> None:
    file = tmp_path / "odd.jpg"
    file.write_bytes(raw)
    with pytest.raises(IdentityError):
        read_picture(file)


def test_a_picture_that_promises_too_much_is_refused_unopened(tmp_path: Path) -> None:
    file = photo(tmp_path / "bomb.png")
    raw = bytearray(file.read_bytes())
    raw[16:24] = (60000).to_bytes(4) + (60000).to_bytes(4)
    file.write_bytes(raw)
    with pytest.raises(IdentityError, match="60000x60000"):
        read_picture(file)


def test_a_truncated_photo_is_refused_or_read_without_a_crash(tmp_path: Path) -> None:
    raw = photo(tmp_path / "whole.png", (200, 150, 100)).read_bytes()
    file = tmp_path / "half.png"
    file.write_bytes(raw[:60])
    with pytest.raises(IdentityError, match="damaged"):
        read_picture(file)


@pytest.mark.parametrize(("suffix", "size"), [(".jpg", (37, 91)), (".png", (37, 91)), (".webp", (37, 91))])
def test_the_size_is_read_from_the_header(tmp_path: Path, suffix: str, size: tuple[int, int]) -> None:
    assert picture_size(photo(tmp_path / f"one{suffix}", size=size).read_bytes()) == size


def test_lossy_webp_size(tmp_path: Path) -> None:
    raw = cv2.imencode(".webp", np.zeros((50, 70, 3), np.uint8), [cv2.IMWRITE_WEBP_QUALITY, 50])[1].tobytes()
    assert picture_size(raw) == (70, 50)


@given(st.binary(max_size=64), st.sampled_from([b"\xff\xd8", b"RIFF0000WEBPVP8X", b"RIFF0000WEBPVP8 ", b""]))
def test_any_bytes_have_some_size(rest: bytes, start: bytes) -> None:
    width, height = picture_size(start + rest)
    assert width >= 0
    assert height >= 0


def test_exif_orientation_is_honoured(tmp_path: Path) -> None:
    rgb = np.zeros((40, 80, 3), np.uint8)
    rgb[:, :40] = 255  # the left half is bright
    raw = cv2.imencode(".jpg", rgb)[1].tobytes()
    tiff = b"MM\0*\0\0\0\x08" + b"\0\x01" + b"\x01\x12\0\x03\0\0\0\x01\0\x06\0\0" + b"\0\0\0\0"
    exif = b"\xff\xe1" + (2 + 6 + len(tiff)).to_bytes(2) + b"Exif\0\0" + tiff
    file = tmp_path / "turned.jpg"
    file.write_bytes(raw[:2] + exif + raw[2:])
    turned = read_picture(file)
    assert turned.shape == (80, 40, 3)  # orientation 6: turn clockwise, left becomes top
    assert turned[:30].mean() > 200
    assert turned[50:].mean() < 60


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
    chance = np.random.default_rng(1)

    class Shaky(FakeReader):
        def follow(self, rgb: Array, mesh: Array) -> Face | None:
            off = 60 if chance.random() < 0.33 else chance.normal(0, 1, (478, 3))
            return replace(face(100, 100, 40), mesh=(truth + off).astype(np.float32))

    found = settled(np.zeros((200, 200, 3), np.uint8), truth, Shaky())
    assert np.abs(found - truth).mean() < 0.6
