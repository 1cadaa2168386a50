"""Who plays whom, as a file: written for a clip, filled in, read; persons keep their numbers, whatever plan comes."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rendered import SOMEONE, clip_of, facts_for, lazy, track_of, write_plan

from vidswap.castfile import CastList, load_cast, renumbered, sightings_of, write_cast
from vidswap.casting import Player, Role, assign, turns_of
from vidswap.errors import InputError, OutputError, UsageError
from vidswap.files import check_new
from vidswap.plan.file import Plan, open_plan
from vidswap.timepoint import TimePoint, time_point
from vidswap.types import EngineChoice, Shot, TrackPart

WARP = EngineChoice("warp")
COUNT = 100


def placed(number: int, person: int, x: float, start: int = 0, stop: int = COUNT) -> TrackPart:
    """A face with its middle at x."""
    part = track_of(number, start, stop)
    return replace(part, person=person, mesh=part.mesh + np.array([x, 0, 0], np.float32))


def plan_of(folder: Path, tracks: Sequence[TrackPart], **changed: object) -> Path:
    path = folder / "clip.plan"
    write_plan(path, facts_for(COUNT, **changed), Shot(0, COUNT), [Shot(0, COUNT)], tracks)
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A cast file of two persons, as it is written."""
    path = tmp_path / "cast.toml"
    with open_plan(plan_of(tmp_path, [placed(0, 0, 10), placed(1, 1, 200), placed(2, 1, 260, 60, 90)])) as plan:
        write_cast(path, plan, {0: ("people/0.png", ["0:00.00-0:03.96"]), 1: ("people/1.png", ['a "b"\\'])})
    return path


def filled(path: Path, *tables: str) -> Path:
    """The file with a table for each person."""
    head = path.read_text().split("\n[[person]]")[0]
    path.write_text(head + "".join(f"\n[[person]]\n{table}\n" for table in tables))
    return path


def test_a_cast_file_says_who_is_when_to_be_seen(file: Path) -> None:
    read = tomllib.loads(file.read_text())
    assert [person["number"] for person in read["person"]] == [0, 1]
    assert read["person"][1]["seen"] == ['a "b"\\']
    assert [place[0] for place in read["person"][1]["at"]] == [49, 74], "in the middle of each track, longest first"
    with pytest.raises(UsageError, match=r"nobody in .* has a face"):
        load_cast(file)


def test_a_filled_in_file_is_never_written_over(file: Path) -> None:
    with pytest.raises(OutputError, match="may be filled in"):
        check_new(file)


def test_roles_are_what_their_tables_say(file: Path) -> None:
    filled(file, 'number = 0\nface = "ada.jpg"\nconsent = "self"\nonly = ["0:01-0:02", "50f-60f"]',
           'number = 1\nface = "ben"\nconsent = "ben.toml"\nengine = "embedded"\nset = { steps = 2 }\nsame = [3]',
           'number = 2\nface = "eve.jpg"\nconsent = "self"\nskip = true')  # fmt: skip
    cast = load_cast(file)
    assert isinstance(cast, CastList)
    assert list(cast) == [0, 1, 3, 2]
    assert len(cast) == 4
    (ada,), (ben,), nobody = cast[0], cast[1], cast[2]  # type: ignore[misc]
    assert nobody is None
    assert cast[3][0] is ben  # type: ignore[index]
    assert ada.face == file.parent / "ada.jpg", "from the file's folder on"
    assert ada.consent == "self"
    assert ada.only == ((time_point("1"), time_point("2")), (time_point("50f"), time_point("60f")))
    assert ben.consent == file.parent / "ben.toml"
    assert ben.engine == EngineChoice("embedded", (("steps", 2),))


def test_one_number_that_is_two_people_has_two_tables(file: Path) -> None:
    filled(file, 'number = 0\nface = "a.jpg"\nconsent = "self"\nonly = ["0:00-0:02"]',
           'number = 0\nface = "b.jpg"\nconsent = "self"\nonly = ["0:02-0:04"]')  # fmt: skip
    assert [role.face.name for role in load_cast(file)[0]] == ["a.jpg", "b.jpg"]  # type: ignore[union-attr]


@pytest.mark.parametrize(("table", "said"), [
    ('number = 0\nface = "a.jpg"', "has no consent"),
    ('number = 0\nface = "a.jpg"\nconsent = "self"\nonly = ["0:12"]', "only has '0:12'"),
    ('number = 0\nface = "a.jpg"\nconsent = "self"\nonly = ["a-b"]', "'a' is no time"),
    ('number = 0\nface = "a.jpg"\nconsent = "self"\nset = { steps = 2 }', "settings of no engine"),
    ('number = "0"\nface = "a.jpg"', "person.0.number"),
    ('number = 0\nfaces = "a.jpg"', "faces"),
    ('number = 0\nface = "a.jpg"\nconsent = "self"\nsame = [1]\n[[person]]\nnumber = 1\nface = "b.jpg"\n'
     'consent = "self"', "is the same as person 0"),
    ("number = = 0", "no cast file"),
])  # fmt: skip
def test_a_mistake_in_the_file_is_told_in_one_line(file: Path, table: str, said: str) -> None:
    with pytest.raises((InputError, UsageError), match=said) as raised:
        load_cast(filled(file, table))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"x" * (1 << 21), b"[[person]]\n", b"clip = 1\n"])
def test_what_is_no_cast_file_is_told_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "cast.toml"
    path.write_bytes(content)
    with pytest.raises(InputError, match="no cast file"):
        load_cast(path)
    with pytest.raises(InputError, match="there is no cast file"):
        load_cast(tmp_path / "none.toml")


# -- whose numbers they are -------------------------------------------------------------------------------------------


def players(*numbers: int) -> dict[int | str, tuple[Player, ...]]:
    return {number: (Player(replace(SOMEONE), WARP),) for number in numbers}


def cast_by(plan: Plan) -> CastList:
    """The cast of the plan's persons, known by it."""
    seen = {who: sightings_of([track for track in plan.tracks if track.person == who]) for who in plan.persons}
    return CastList(Path("cast.toml"), dict.fromkeys(plan.persons, Role(SOMEONE)), plan.facts.source, plan.key, seen)


def test_persons_are_found_again_in_a_plan_that_counts_them_otherwise(tmp_path: Path) -> None:
    with open_plan(plan_of(tmp_path, [placed(0, 0, 10), placed(1, 1, 200)])) as plan:
        cast, known = cast_by(plan), players(0, 1)
        assert renumbered(known, cast, plan) == known
    versions = {"vidswap": "0.2.0", "code": "2"}
    later = [placed(0, 1, 12), placed(1, 0, 198, 0, 60), placed(2, 2, 203, 60, 100), placed(3, 3, 400)]
    with open_plan(plan_of(tmp_path, later, versions=versions)) as plan:
        found = renumbered(known, cast, plan)
        assert found == {1: known[0], 0: known[1]}, "each by their face, not by their number"
        assert renumbered(known, {0: None}, plan) is known, "a cast of no file has the plan's own numbers"


def test_whoever_is_not_to_be_seen_in_a_part_is_left_out(tmp_path: Path) -> None:
    with open_plan(plan_of(tmp_path, [placed(0, 0, 10), placed(1, 1, 200, 60, 100)])) as plan:
        cast, known = cast_by(plan), players(0, 1)
        assert renumbered(known, cast, plan.within(Shot(0, 50))) == {0: known[0]}


def test_numbers_that_can_not_be_told_are_refused(tmp_path: Path) -> None:
    with open_plan(plan_of(tmp_path, [placed(0, 0, 10), placed(1, 1, 200)])) as plan:
        cast, known = replace(cast_by(plan), plan="another"), players(0, 1)
        with pytest.raises(UsageError, match="cast of another clip"):
            renumbered(known, replace(cast, source="another"), plan)
        with pytest.raises(UsageError, match=r"nobody .* was found again"):
            renumbered(known, replace(cast, sightings={0: [(5, 900, 900, 950, 950)], 1: []}), plan)
        both = {0: cast.sightings[0], 1: cast.sightings[0]}
        with pytest.raises(UsageError, match="are one by now"):
            renumbered(known, replace(cast, sightings=both), plan)


# -- who plays when ---------------------------------------------------------------------------------------------------


SPANS = st.lists(st.tuples(st.integers(0, 90), st.integers(1, 40)), max_size=3)


def times(spans: Sequence[tuple[int, int]]) -> tuple[tuple[TimePoint, TimePoint], ...]:
    """From which frame, how many, as a role has it."""
    return tuple((time_point(f"{start}f"), time_point(f"{start + count}f")) for start, count in spans)


@given(st.lists(SPANS, min_size=1, max_size=3))
def test_every_frame_has_the_first_role_that_is_for_it(told: list[list[tuple[int, int]]]) -> None:
    cast = [Player(SOMEONE, WARP, times(spans)) for spans in told]
    turns = turns_of(cast, clip_of(COUNT))
    assert [turns[0][0], turns[-1][1]] == [0, COUNT]
    assert all(one[1] == other[0] and one[2] is not other[2] for one, other in pairwise(turns))
    for start, stop, player in turns:
        for frame in range(start, stop):
            wanted = [each for each, spans in zip(cast, told)
                      if not spans or any(a <= frame < a + n for a, n in spans)]  # fmt: skip
            assert player is next(iter(wanted), None)


@given(SPANS, st.integers(0, 60), st.integers(1, 40))
def test_a_part_of_a_track_is_the_same_whatever_of_the_clip_is_rendered(spans: list[tuple[int, int]], start: int,
                                                                        length: int) -> None:  # fmt: skip
    known = {0: (Player(SOMEONE, WARP, times(spans)), Player(replace(SOMEONE), WARP))}
    whole = lazy(track_of(0, 0, COUNT))
    share = whole.within(start, start + length)

    def numbers(track: object) -> dict[int, tuple[int, object]]:
        cast = assign(known, clip_of(COUNT), [track], {0: 1.0})  # type: ignore[list-item]
        frames = {frame: (each.track.id, each.identity) for each in cast
                  for frame in range(each.track.start, each.track.stop)}  # fmt: skip
        assert sum(len(each.track) for each in cast) == len(frames), "no frame twice"
        return frames

    everywhere = numbers(whole)
    assert len(everywhere) == COUNT
    assert numbers(share) == {frame: everywhere[frame] for frame in range(start, start + length)}


def test_an_only_beyond_the_clip_is_refused() -> None:
    with pytest.raises(UsageError, match="where no frame is"):
        turns_of([Player(SOMEONE, WARP, ((time_point("200f"), time_point("300f")),))], clip_of(COUNT))
