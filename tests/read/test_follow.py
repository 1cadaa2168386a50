"""Watching: faces are looked for, followed forwards and back, and missed where they were."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import numpy as np
import pytest

from vidswap.face import geometry
from vidswap.face.landmarks import mean_face
from vidswap.read import follow as watching
from vidswap.read.faces import LYING
from vidswap.read.follow import follow_faces
from vidswap.types import Array, Face

MEAN = mean_face()


class Scripted:
    """A reader whose faces are read off the picture: pixel (0, i) is 255 where face i is there, and is seen by the
    detector, 200 where it can only be followed, 100 where something is left of it."""

    licence, roll = "none", 0.0

    def __init__(self) -> None:
        self.looks: list[int] = []
        self.turns: list[Collection[int]] = []

    def detect(self, rgb: Array, turns: Collection[int], known: Sequence[Face]) -> list[Face]:
        self.looks.append(int(rgb[1, 0, 0]))
        self.turns.append(turns)
        return [face_at(i, self.roll) for i in range(3) if rgb[0, i, 0] == 255]

    def follow(self, rgb: Array, mesh: Array) -> Face | None:
        return face_at(number_of(mesh), self.roll) if rgb[0, number_of(mesh), 0] >= 200 else None

    def glance(self, rgb: Array, mesh: Array) -> float:
        return float(rgb[0, number_of(mesh), 0]) / 255

    def embed(self, rgb: Array, mesh: Array) -> Array:
        return np.array([1, 0], np.float32)


def number_of(mesh: Array) -> int:
    return round(float(geometry.face_pose(mesh, MEAN)[2][0]) / 100)


def face_at(number: int, roll: float = 0.0) -> Face:
    turn = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    mesh = geometry.posed(MEAN, (20.0, turn, np.array([100.0 * number + EDGE, 50, 0])))
    return Face(geometry.bounds(mesh), mesh, 0.9, None, np.zeros((2, 2), np.uint8), np.zeros((2, 3)))


Seen = tuple[list[list[Face]], Scripted]


EDGE = 25  # pixels that the face 0 is from the picture's edge


def watched(there: list[dict[int, int]], cuts: tuple[int, ...] = (), every: int = 4) -> Seen:
    """The faces of each frame, and the reader; `there` has the pixel of each face."""

    def shown() -> Iterator[tuple[int, Array, bool]]:
        for index, pixels in enumerate(there):
            rgb = np.zeros((100, 260, 3), np.uint8)
            for number, value in pixels.items():
                rgb[0, number] = value
            rgb[1, 0] = index
            yield index, rgb, index in cuts

    reader = Scripted()
    return list(follow_faces(shown(), reader, every)), reader  # type: ignore[arg-type]


def counts(seen: list[list[Face]]) -> list[int]:
    """How many faces are seen in each frame."""
    return [sum(face.score > 0 for face in found) for found in seen]


ONE, NONE = {0: 255}, dict[int, int]()


def test_faces_are_followed_between_looks() -> None:
    seen, reader = watched([ONE] * 9)
    assert reader.looks == [0, 4, 8]
    assert counts(seen) == [1] * 9
    assert [found[0].embedding is not None for found in seen] == [i in reader.looks for i in range(9)]


def test_a_cut_is_looked_at_anew() -> None:
    _, reader = watched([ONE] * 4 + [{1: 255}] * 4, cuts=(4,), every=100)
    assert reader.looks == [0, 4]


def test_who_it_is_is_looked_at_when_a_face_has_come_in(monkeypatch: pytest.MonkeyPatch) -> None:
    edges, follow_known = iter([5] * 4 + [25] * 20), Scripted.follow

    def follow(self: Scripted, rgb: Array, mesh: Array) -> Face | None:
        monkeypatch.setattr("test_follow.EDGE", next(edges))
        return follow_known(self, rgb, mesh)

    monkeypatch.setattr(Scripted, "follow", follow)
    monkeypatch.setattr("test_follow.EDGE", 5)
    _, reader = watched([ONE] * 12, every=8)
    assert reader.looks == [0, 5]


def test_a_lost_face_is_looked_for_until_found_or_given_up() -> None:
    seen, reader = watched([ONE] * 3 + [NONE] * 2 + [ONE] * 3, every=20)
    assert reader.looks == [0, 3, 4, 5]
    assert counts(seen) == [1, 1, 1, 0, 0, 1, 1, 1]
    _, reader = watched([ONE] * 2 + [NONE] * 9, every=3)
    assert reader.looks[:4] == [0, 2, 3, 4]
    assert len(reader.looks) <= 7


@pytest.mark.parametrize("pixel", [255, 200])
def test_a_new_face_is_followed_back_to_where_it_came_in(pixel: int) -> None:
    """Also through a frame that was looked at when the detector did not see it yet."""
    seen, reader = watched([ONE] * 3 + [{0: 255, 1: pixel}] * 5 + [{0: 255, 1: 255}] * 4)
    assert reader.looks == [0, 4, 8]
    come = 3 if pixel == 255 else 4  # no more than four pictures are kept
    assert counts(seen) == [1] * come + [2] * (12 - come)


def test_a_face_is_followed_back_to_a_cut_and_no_further() -> None:
    late = [{0: 200}] * 4
    seen, _ = watched([{0: 200}] * 2 + late + [ONE] * 4, cuts=(2,))
    assert counts(seen) == [0, 0] + [1] * 8


def test_what_is_held_of_large_pictures_is_little(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "HELD", 2 * 100 * 260 * 3)
    seen, _ = watched([NONE] + [{0: 200}] * 7 + [ONE], every=8)
    assert counts(seen) == [0] * 6 + [1] * 3


def test_a_place_with_nothing_is_told_from_one_where_something_is_left() -> None:
    seen, _ = watched([ONE] * 2 + [NONE, {0: 100}, NONE] + [ONE] * 3)
    assert [{face.score for face in found} for found in seen] == [{0.9}] * 2 + [{0.0}, set(), {0.0}] + [{0.9}] * 3


@pytest.mark.parametrize("over", [False, True])
def test_where_a_face_went_over_the_edge_it_is_not_looked_for(over: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("test_follow.EDGE", 0 if over else 25)
    seen, _ = watched([ONE] * 2 + [{0: 100}] * 5 + [ONE] * 2)
    assert [[face.score for face in found] for found in seen[2:7]] == [[0.0] if over else []] * 5


def test_a_place_is_bare_before_a_face_as_well() -> None:
    seen, _ = watched([{}, {0: 100}, {}, {0: 200}, ONE])
    assert [[face.score for face in found] for found in seen] == [[0.0], [], [0.0], [0.9], [0.9]]


def test_a_face_that_is_long_gone_is_forgotten() -> None:
    seen, _ = watched([ONE] + [NONE] * 60)
    assert [len(found) for found in seen] == [1] * (1 + watching.GAP) + [0] * (60 - watching.GAP)


def test_where_nobody_is_the_turned_picture_is_looked_at_now_and_then() -> None:
    _, reader = watched([NONE] * 40)
    assert [set(turns) for turns in reader.turns] == [set(LYING), set(), set(), set()] * 2 + [set(LYING), set()]


def test_the_way_that_faces_lie_is_looked_at_for_the_rest_of_the_shot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Scripted, "roll", np.pi / 2)
    _, reader = watched([ONE] * 10, cuts=(9,))
    assert [set(turns) for turns in reader.turns] == [set(LYING), {1}, {1}, set(LYING)]


@pytest.mark.parametrize("degrees", [0, 40, 50, 90, 180, 220, 230, 270, 300, 350])
def test_the_turn_that_makes_a_face_upright(degrees: int) -> None:
    assert geometry.quarters(face_at(0, np.radians(degrees)).mesh) == round(degrees / 90) % 4


def boxed(number: int, side: float) -> Face:
    """A face in the middle of a picture of 480 pixels, of a size."""
    mesh = geometry.posed(MEAN, (side, np.eye(3), np.array([200.0 + number, 240, 0])))
    return Face(geometry.bounds(mesh), mesh, 0.9, None, np.zeros((2, 2), np.uint8), np.zeros((2, 3)))


class Led(Scripted):
    """A small face that, when it has dissolved (pixel 0), is followed on within a large one; that one is seen then, and
    can be followed back for as long as it is there (pixel 1)."""

    def detect(self, rgb: Array, turns: Collection[int], known: Sequence[Face]) -> list[Face]:
        return [boxed(number, side) for number, side in ((0, 30.0), (1, 90.0)) if rgb[0, number, 0] == 255]

    def follow(self, rgb: Array, mesh: Array) -> Face | None:
        small = np.ptp(mesh[:, 0]) < 100
        return boxed(0, 30.0) if small else boxed(1, 90.0) if rgb[0, 1, 0] else None


def test_a_part_of_a_face_that_a_dissolve_led_to_is_none() -> None:
    pictures = [np.zeros((480, 480, 3), np.uint8) for _ in range(24)]
    for i, picture in enumerate(pictures):
        picture[0, int(i >= 12)] = 255
    found = list(follow_faces(((i, picture, False) for i, picture in enumerate(pictures)), Led(), 8))  # type: ignore[arg-type]
    sizes = [[round(float(np.ptp(face.mesh[:, 0]))) for face in faces] for faces in found]
    small, large = sizes[0][0], sizes[-1][0]
    assert sizes == [[small]] * 12 + [[large]] * 12
