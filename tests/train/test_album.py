"""Photos of a person become crops and masks; whoever else is there, and what is of no use, is named and left out."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import pillow_heif
import pytest
from PIL import Image
from sitting import BLUE, GREEN, MEAN, Reader, person, photo

from vidswap.errors import IdentityError
from vidswap.face import geometry
from vidswap.read.clip import frames, open_clip
from vidswap.read.cover import Trouble
from vidswap.read.faces import open_faces
from vidswap.train import album
from vidswap.train.album import FEW, MASK, Page, mask_of, of_one_person, open_album
from vidswap.types import Face

SAMPLES = Path(__file__).parents[2] / "samples"


@pytest.fixture(autouse=True)
def _no_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(album, "troubles", lambda *_: [])


def test_a_page_is_the_aligned_face_and_where_it_is(tmp_path: Path) -> None:
    made = open_album(person(tmp_path / "photos", FEW), Reader(), 128)
    assert [page.name for page in made.pages] == [f"{number}.png" for number in range(FEW)]
    assert made.notes == ()
    for page in made.pages:
        assert page.rgb.shape == (128, 128, 3)
        assert page.mask.shape == (MASK, MASK)
        red = page.rgb[..., 0] > 200
        middle = np.argwhere(cv2.resize(page.mask, (128, 128)) > 0.5).mean(0)
        np.testing.assert_allclose(middle, np.argwhere(red).mean(0), atol=12)
        assert page.mask[MASK // 2, MASK // 2] == 1
        assert page.mask[0].max() == page.mask[:, 0].max() == 0, "surroundings count nothing"


def test_a_mask_ends_where_the_photo_ends_and_where_something_is_before_the_face() -> None:
    mesh = geometry.posed(MEAN, geometry.Pose(80.0, np.eye(3), np.array([120.0, 60.0, 0.0])))
    whole = Face(geometry.bounds(mesh), mesh, 1.0, None, np.full((128, 128), 255, np.uint8),
                 geometry.invert(geometry.crop_transform(mesh, MEAN, 128)))  # fmt: skip
    free = mask_of(whole, np.zeros(3, np.float32), (400, 400))
    assert free[:6].max() == 0
    cut = mask_of(whole, np.zeros(3, np.float32), (130, 400))
    rows = np.flatnonzero(cut.max(1) > 0)
    assert rows.max() < np.flatnonzero(free.max(1) > 0).max(), "below its edge there is nothing"
    covered = whole.visible.copy()
    covered[70:] = 0  # a hand over the mouth
    hidden = mask_of(Face(whole.box, mesh, 1.0, None, covered, whole.visible_to_frame), np.zeros(3, np.float32),
                     (400, 400))  # fmt: skip
    assert free[85, 64] == 1
    assert hidden[85, 64] == 0
    assert hidden[45, 64] == 1


def test_others_and_what_is_of_no_use_are_named_and_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = person(tmp_path / "photos", 3)
    photo(folder / "friend.png", (200, 200, 160), colour=GREEN)
    photo(folder / "nobody.png")
    photo(folder / "pair.png", (100, 200, 100), (300, 200, 100))
    photo(folder / "small.png", (200, 200, 16))
    photo(folder / "veiled.png", (200, 280, 160))
    (folder / "again.png").write_bytes((folder / "0.png").read_bytes())
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    (folder / "vast.png").write_bytes((folder / "0.png").read_bytes()[:16] + struct.pack(">II", 30000, 30000) +
                                      (folder / "0.png").read_bytes()[24:])  # fmt: skip
    (folder / "notes.txt").write_text("no photo")
    hand = Trouble("a hand covers the mouth")
    monkeypatch.setattr(album, "troubles", lambda _rgb, mesh, *_: [hand] * bool(mesh[1, 1] > 270))
    made = open_album(folder, Reader(), 128)
    assert [page.name for page in made.pages] == ["0.png", "1.png", "2.png"]
    said = "\n".join(made.notes)
    for words in ("again.png", "broken.jpg is damaged", "friend.png shows someone else", "no face in nobody.png",
                  "2 faces in pair.png", "small.png is only", "veiled.png: a hand covers the mouth", "vast.png",
                  "only 3 photos"):  # fmt: skip
        assert words in said
    assert "notes.txt" not in said
    assert made.digest == open_album(person(tmp_path / "same", 3), Reader(), 128).digest, "of what is learnt from"


@pytest.mark.parametrize("count", [1, 2])
def test_few_photos_are_allowed_and_warned_of(tmp_path: Path, count: int) -> None:
    folder = person(tmp_path / "photos", count)
    made = open_album(folder if count > 1 else folder / "0.png", Reader(), 128)
    assert len(made.pages) == count
    assert f"only {'one photo' if count == 1 else '2 photos'} to learn from" in made.notes[-1]


def test_a_photo_that_must_be_enlarged_is_told_of(tmp_path: Path) -> None:
    photo(tmp_path / "me.png", (200, 200, 80))
    (note, _few) = open_album(tmp_path / "me.png", Reader(), 256).notes
    assert "a closer photo would teach finer skin" in note


def test_photos_of_phones_are_read(tmp_path: Path) -> None:
    taken = Image.open(photo(tmp_path / "me.png", (200, 200, 160)))
    pillow_heif.from_pillow(taken).save(tmp_path / "me.heic", quality=-1)
    assert len(open_album(tmp_path / "me.heic", Reader(), 128).pages) == 1


@pytest.mark.parametrize(("names", "said"), [
    ((), "no photo in"), (("notes.txt", "film.mp4"), "no photo in"), (("a.jpg", "b.png"), "no usable photo in"),
])  # fmt: skip
def test_a_folder_of_something_else_is_refused(tmp_path: Path, names: tuple[str, ...], said: str) -> None:
    for name in names:
        (tmp_path / name).write_bytes(b"something else")
    with pytest.raises(IdentityError, match=said) as caught:
        open_album(tmp_path, Reader(), 128)
    assert caught.value.hint


def test_nothing_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IdentityError, match="No such file"):
        open_album(tmp_path / "gone", Reader(), 128)


def test_several_persons_of_whom_none_is_in_most_photos_are_refused(tmp_path: Path) -> None:
    for number, colour in enumerate((0, GREEN, BLUE, 0)):
        photo(tmp_path / f"{number}.png", (200, 200, 160), colour=colour, grain=number)
    with pytest.raises(IdentityError, match=r"several people: .* 0\.png, 3\.png") as caught:
        open_album(tmp_path, Reader(), 128)
    assert "alike=0.5" in caught.value.hint
    assert len(open_album(tmp_path, Reader(), 128, alike=-1.0).pages) == 4, "who knows better says so"


def test_the_recogniser_that_ships_sets_an_actor_aside(tmp_path: Path) -> None:
    selfie = cv2.imread(str(SAMPLES / "selfie.jpg"))
    for name, picture in (("a", selfie), ("b", selfie[:, ::-1]), ("c", selfie * 0.8)):
        cv2.imwrite(str(tmp_path / f"{name}.png"), picture)
    (frame,) = frames(open_clip(SAMPLES / "clip.mp4"), 10, 11)
    cv2.imwrite(str(tmp_path / "actor.png"), frame.rgb[..., ::-1])
    made = open_album(tmp_path, open_faces("embedded"), 128)
    assert [page.name for page in made.pages] == ["a.png", "b.png", "c.png"]
    assert "actor.png shows someone else" in made.notes[0]


def test_a_photo_that_is_hardly_alike_is_told_of(tmp_path: Path) -> None:
    pages = [like(1, 0, 0), like(1, 0, 0), like(0.6, 0.8, 0), like(0.3, 0, 0.95)]
    own, notes = of_one_person(pages, tmp_path, 0.5)
    assert own == pages[:3]
    assert "shows someone else (0.2" in notes[0]
    assert "may show someone else (0.6" in notes[1]


def like(*who: float) -> Page:
    return Page("x.png", np.zeros((8, 8, 3), np.uint8), np.ones((8, 8), np.float32), np.array(who, np.float32))
