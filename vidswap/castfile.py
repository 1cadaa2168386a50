"""A cast as a TOML file: written with a table for each person of a clip, filled in by hand, and read again.

Its numbers are those of the plan that it was written by. Where a clip's plan has become another one (a newer version, a
part of the clip), each person is found again by some of their faces, of which the file keeps frame and place.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vidswap.casting import Cast, Players, Role
from vidswap.errors import InputError, UsageError, quoted
from vidswap.face.boxes import overlap
from vidswap.face.geometry import bounds
from vidswap.files import as_output_error, write_whole
from vidswap.plan.file import Plan
from vidswap.records import Damaged, content_of, from_toml
from vidswap.settings import SwapSettings
from vidswap.timepoint import TimePoint, time_point
from vidswap.types import Array, Track

LARGEST_FILE = 1 << 20  # bytes: a thousand persons
SIGHTINGS = 3  # faces by which a person is found again
ALIKE = 0.3  # least that two boxes of one face have in common, of what they cover together
ANEW = "make it anew with `vidswap cast`"
Sighting = tuple[int, int, int, int, int]  # frame; left, top, right and bottom of a face in it, pixels


@dataclass(frozen=True)
class Person:
    """A table of the file: who plays this person, if anybody, and how."""

    number: int
    face: str = ""
    consent: str = ""
    engine: str = ""
    set: dict[str, Any] = field(default_factory=dict)
    skip: bool = False
    same: list[int] = field(default_factory=list)
    only: list[str] = field(default_factory=list)
    picture: str = ""
    seen: list[str] = field(default_factory=list)
    at: list[tuple[int, int, int, int, int]] = field(default_factory=list)


@dataclass(frozen=True)
class _File:
    clip: str
    source: str
    plan: str
    person: list[Person]


@dataclass(frozen=True, eq=False)
class CastList(Mapping[int | str, Role | Sequence[Role] | None]):
    """A cast that was read from the file `path`, and by what its numbers are known: the digest of the clip, the key of
    the plan, and sightings of each person."""

    path: Path
    cast: Cast
    source: str
    plan: str
    sightings: Mapping[int, Sequence[Sighting]]

    def __getitem__(self, person: int | str) -> Role | Sequence[Role] | None:
        return self.cast[person]

    def __iter__(self) -> Iterator[int | str]:
        return iter(self.cast)

    def __len__(self) -> int:
        return len(self.cast)


def load_cast(path: Path) -> CastList:
    """The cast in a file; paths in it are from its folder on. Raises InputError, UsageError."""
    found = _read(path)
    roles = dict[int, list[Role]]()
    for person in found.person:
        own = _role(person, path) if person.face and not person.skip else None
        for number in (person.number, *person.same):
            roles.setdefault(number, []).extend([own] if own else [])
    _refuse_doubles(found.person, path)
    if not any(roles.values()):
        raise UsageError(f"nobody in {path} has a face", 'fill in a photo or a folder of photos: face = "ada.jpg"')
    cast = {number: tuple(own) or None for number, own in roles.items()}
    sightings = {number: [tuple(each) for person in found.person if number in (person.number, *person.same)
                          for each in person.at] for number in cast}  # fmt: skip
    return CastList(path, cast, found.source, found.plan, sightings)  # type: ignore[arg-type]


def _read(path: Path) -> _File:
    try:
        return from_toml(_File, content_of(path, LARGEST_FILE))
    except FileNotFoundError as error:
        raise InputError(f"there is no cast file {path}", ANEW) from error
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})", "check its name and its permissions") from error
    except Damaged as error:
        raise InputError(f"{path} is no cast file, or has a mistake ({error})", f"mend it, or {ANEW}") from error


def _role(person: Person, path: Path) -> Role:
    """Who plays a person. Raises UsageError."""
    where = f"person {person.number} of {path}"
    if not person.consent:
        raise UsageError(f"{where} has no consent", 'write consent = "self", or the path of a consent record')
    if person.set and not person.engine:
        raise UsageError(f"{where} has settings of no engine", 'name it: engine = "embedded"')
    consent = person.consent if person.consent == "self" else path.parent / person.consent
    choice = SwapSettings(person.engine, tuple(person.set.items())).choice if person.engine else None
    return Role(path.parent / person.face, consent, choice, tuple(_span(words, where) for words in person.only))


def _span(words: str, where: str) -> tuple[TimePoint, TimePoint]:
    start, dash, end = words.partition("-")
    if not dash:
        raise UsageError(f"{where}: only has {quoted(words)}", 'allowed: from-to, as "0:12-0:20"')
    return time_point(start), time_point(end)


def _refuse_doubles(persons: Sequence[Person], path: Path) -> None:
    """Raise UsageError where a person who is said to be the same as another has a face of their own."""
    for person in persons:
        for other in persons:
            if other.number in person.same and other.face and not other.skip:
                raise UsageError(f"{path}: person {other.number} has a face, and is the same as person {person.number}",
                                 f"empty one of them, or take {other.number} out of `same`")  # fmt: skip


# -- whose numbers they are -------------------------------------------------------------------------------------------


def renumbered(players: Players, cast: object, plan: Plan) -> Players:
    """Players by the numbers of a plan, where they came from a file with those of another one; those who are not to be
    seen in it are left out. Raises UsageError where that cannot be told."""
    if not isinstance(cast, CastList):
        return players
    if cast.source != plan.facts.source:
        raise UsageError(f"{cast.path} is the cast of another clip", ANEW)
    if cast.plan == plan.key:
        return {person: own for person, own in players.items() if person in plan.persons}
    found = dict[int | str, Any]()
    for number, sightings in cast.sightings.items():
        for person in {who for each in sightings if (who := _seen(plan.tracks, each)) is not None}:
            if found.setdefault(person, players[number]) != players[number]:
                raise UsageError(f"two persons of {cast.path} are one by now: {number} and another", ANEW)
    if not found:
        raise UsageError(f"nobody of {cast.path} was found again in the clip", f"give a plan, or {ANEW}")
    return found


def _seen(tracks: Sequence[Track], sighting: Sighting) -> int | None:
    """Whose face lies where one was seen; None where there is none."""
    frame, *box = sighting
    there = [track for track in tracks if track.start <= frame < track.stop]
    common = [overlap(np.array(box, np.float32), _box(track, frame)) for track in there]
    best = max(range(len(there)), key=common.__getitem__, default=None)
    return there[best].person if best is not None and common[best] >= ALIKE else None


def _box(track: Track, frame: int) -> Array:
    """(4,): left, top, right and bottom of a face."""
    return bounds(track.part(frame, frame + 1).mesh[0])


# -- writing ----------------------------------------------------------------------------------------------------------


HEAD = """\
# Who plays whom in {clip}. Give a person a `face` (a photo, or a folder of photos of one person) and `consent` ("self",
# or the path of a record); who has none stays as they are. Paths are from this file's folder on. If you like:
#   skip = true                  they stay as they are all the same
#   same = [3, 7]                these numbers are this person, too
#   only = ["0:12-0:20"]         only then; for one number that is two people write its table twice
#   engine = "embedded"          an engine of their own, and its settings: set = {{ steps = 2 }}
clip = {name}
source = {source}  # what follows ties the numbers to the clip: leave it as it is
plan = {plan}
"""
TABLE = """
[[person]]
number = {number}
picture = {picture}
seen = {seen}
face = ""
consent = ""
at = {at}
"""


def sightings_of(tracks: Sequence[Track]) -> list[Sighting]:
    """Some faces of one person, each in the middle of one of their longest tracks."""
    longest = sorted(tracks, key=lambda track: (-len(track), track.start))[:SIGHTINGS]
    middles = [(track, (track.start + track.stop - 1) // 2) for track in longest]
    return [(frame, *(round(float(edge)) for edge in _box(track, frame))) for track, frame in middles]  # type: ignore[misc]


def write_cast(path: Path, plan: Plan, persons: Mapping[int, tuple[str, Sequence[str]]]) -> None:
    """Write a file to fill in: for each person the path of a picture, and the words of when they are seen. Raises
    OutputError."""
    words = HEAD.format(clip=plan.name, name=_toml(plan.name), source=_toml(plan.facts.source), plan=_toml(plan.key))
    for number, (picture, seen) in persons.items():
        at = sightings_of([track for track in plan.tracks if track.person == number])
        words += TABLE.format(number=number, picture=_toml(picture), seen=_toml(seen), at=_toml(at))
    with as_output_error(path):
        write_whole(path, words.encode())


def _toml(value: object) -> str:
    """Words, numbers, or lists of them: JSON writes these as TOML reads them."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
