"""What is seen in photos, in words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from vidswap.errors import IdentityError, UsageError
from vidswap.face.landmarks import LOWER_LIP
from vidswap.looks import Look, advice_on, look_at, page_of
from vidswap.read.faces import open_faces
from vidswap.read.identity import Taken, take

SELFIE = Path(__file__).parents[1] / "samples" / "selfie.jpg"


@pytest.fixture(scope="module")
def taken() -> Taken:
    return take(SELFIE, open_faces("embedded"))


def said(taken: Taken, **changed: np.ndarray) -> str:
    other = replace(taken, **changed)
    return "; ".join(advice_on(other.rgb, other.mesh))


def darker(taken: Taken, share: np.ndarray | float) -> np.ndarray:
    return np.asarray((taken.rgb * share).clip(0, 255), np.uint8)


def test_a_good_photo_is_left_alone(taken: Taken) -> None:
    assert said(taken) == ""


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_half_in_shade_is_named(taken: Taken, side: str) -> None:
    middle = taken.mesh[1, 0]
    across = np.arange(taken.rgb.shape[1])
    share = np.where((across < middle) == (side == "left"), 0.55, 1.0)[None, :, None]
    assert f"the {side} half, as you see it, lies in shade" in said(taken, rgb=darker(taken, share))


def test_dark_skin_is_no_dark_photo(taken: Taken) -> None:
    skin = darker(taken, 0.45)
    for x, y in taken.mesh[[468, 473], :2].round().astype(int).tolist():
        cv2.circle(skin, (x, y), 24, (225, 225, 225), -1)
    assert "dark" not in said(taken, rgb=skin)
    assert "the photo is dark" in said(taken, rgb=darker(taken, 0.25))


def test_what_else_is_wrong_is_named(taken: Taken) -> None:
    assert "blurred" in said(taken, rgb=cv2.GaussianBlur(taken.rgb, (0, 0), 9))
    assert "white without any detail" in said(taken, rgb=darker(taken, 2.5))
    assert "the face is small" in said(taken, mesh=taken.mesh * np.float32(0.15))
    mouth = taken.mesh.copy()
    mouth[LOWER_LIP, 1] += 0.1 * np.ptp(taken.mesh[:, 1])
    assert "the mouth is open" in said(taken, mesh=mouth)
    angle = np.radians(40)
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    middle = taken.mesh.mean(0)
    assert "turned aside" in said(taken, mesh=((taken.mesh - middle) @ turn.T + middle).astype(np.float32))


def test_photos_are_looked_at_and_drawn_the_best_first(tmp_path: Path) -> None:
    empty = tmp_path / "empty.png"
    cv2.imwrite(str(empty), np.full((300, 300, 3), 128, np.uint8))
    looks = look_at([empty, SELFIE], tmp_path / "look.png")
    assert [(look.path.name, look.will_do) for look in looks] == [("selfie.jpg", True), ("empty.png", False)]
    assert "no face" in looks[1].words[0]
    page = cv2.imread(str(tmp_path / "look.png"))
    assert page.shape[0] > 600
    with pytest.raises(UsageError):
        look_at([])
    (tmp_path / "folder").mkdir()
    with pytest.raises(IdentityError, match="no photo in"):
        look_at([tmp_path / "folder"])


def test_a_page_holds_any_words() -> None:
    page = page_of([Look(Path("ä" * 80), will_do=False, words=("x" * 400, "y " * 400, ""), picture=None)])
    assert page.ndim == 3
