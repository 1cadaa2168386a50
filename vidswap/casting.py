"""Persons of the clip -> who plays them: photos and consent become identities, and tracks get their players."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain, pairwise
from os import PathLike
from typing import Any, TypeVar

from vidswap.errors import NoFaceError, UsageError, quoted
from vidswap.read.clip import index_at
from vidswap.read.faces import FaceReader
from vidswap.read.identity import load_identity
from vidswap.settings import PEOPLE, SwapSettings, check_kind, path_of
from vidswap.swap.clipengine import ClipEngine, refuse_silent
from vidswap.swap.engine import Fenced, fenced, plays_shots
from vidswap.swap.fit import ClipRole
from vidswap.swap.windows import Casting
from vidswap.timepoint import Time, TimePoint, as_time_point
from vidswap.trust.consent import REMOTE, load_consent, permit
from vidswap.types import Clip, Consent, EngineChoice, Identity, Track

LARGEST, ALL = "largest", "all"
APART = 1 << 20  # between the numbers of a track's parts: more than there are tracks
Own = TypeVar("Own")


@dataclass(frozen=True, eq=False)
class Role:
    """Who plays a person of the clip: photos (a file or a folder) or an Identity that was loaded; whose consent it is
    ("self", the path of a record, or one that was read), which an Identity brings along; with which engine, None: the
    one that the settings name; `only` from when to when, any number of times, none: as long as the person is seen."""

    face: str | PathLike[str] | Identity
    consent: str | PathLike[str] | Consent | None = None
    engine: EngineChoice | None = None
    only: Sequence[tuple[Time, Time]] = ()


# Persons of the clip ("largest", "all", or their numbers) -> who plays them; None: they stay as they are. A number goes
# before "largest", and that before "all". Of several roles of one person the first whose `only` has the time is played.
Cast = Mapping[int | str, Role | Sequence[Role] | None]
Roles = Mapping[int | str, tuple[Role, ...]]  # a cast that was checked


@dataclass(frozen=True, eq=False)
class Player:
    """Who plays, the engine that makes it seen, and from when to when: always, if that is empty."""

    identity: Identity
    engine: EngineChoice
    only: tuple[tuple[TimePoint, TimePoint], ...] = ()


Players = Mapping[int | str, tuple[Player, ...]]


class Engines:
    """The engines of a render, by how they were chosen: `of_windows` are handed windows, their failures are held to be
    EngineErrors; the others whole shots. Raises UsageError for what is neither."""

    def __init__(self, opened: Mapping[EngineChoice, Any]) -> None:
        self._of_shots: dict[EngineChoice, ClipEngine] = {k: each for k, each in opened.items() if plays_shots(each)}
        for engine in self._of_shots.values():
            refuse_silent(engine)
        self.of_windows = {k: fenced(each) for k, each in opened.items() if k not in self._of_shots}
        everyone: dict[EngineChoice, Fenced | ClipEngine] = {**self.of_windows, **self._of_shots}
        self.labels = {choice: engine.label for choice, engine in everyone.items()}  # names and keys, for results

    @property
    def key(self) -> object:
        """All that their answers depend on."""
        of_windows = [(choice, engine.needs, engine.key) for choice, engine in self.of_windows.items()]
        return of_windows, [(choice, engine.key) for choice, engine in self._of_shots.items()]

    def permit(self, players: Players) -> None:
        """Raise ConsentError where an engine sends pictures of somebody who did not agree to that."""
        for player in everybody(players):
            window, shot = self.of_windows.get(player.engine), self._of_shots.get(player.engine)
            if (window and window.needs.uploads) or (shot and shot.uploads):
                permit(player.identity.consent, REMOTE)

    def windowed(self, casting: Sequence[Casting]) -> list[Casting]:
        """Those that are played window by window."""
        return [each for each in casting if each.engine in self.of_windows]

    def whole(self, casting: Sequence[Casting]) -> list[ClipRole]:
        """Those that are played a shot at a time."""
        return [ClipRole(each.track, each.identity, self._of_shots[each.engine])
                for each in casting if each.engine in self._of_shots]  # fmt: skip


def cast_of(people: str | int, role: Role) -> Cast:
    """One role for all `people`: "largest", "all", or numbers ("0,2"). Raises UsageError."""
    return dict.fromkeys(named(people), role)


def named(people: str | int) -> list[int | str]:
    """The keys of a cast that words name: "largest", "all", or numbers ("0,2"). Raises UsageError."""
    try:
        words = PEOPLE.read(str(people).strip())
    except ValueError as error:
        raise UsageError(f"the person is {quoted(people)}", f"allowed: {PEOPLE.allowed}") from error
    return [words] if words in (LARGEST, ALL) else [int(number) for number in words.split(",")]


def checked_cast(cast: Cast | Role) -> Roles:
    """The cast that a function was given; a role alone is for the largest person. Raises UsageError."""
    cast = {LARGEST: cast} if isinstance(cast, Role) else cast
    allowed = f"a Role, or a mapping of persons ({PEOPLE.allowed}) to Roles, None for who stays as they are"
    if not isinstance(cast, Mapping) or not cast:
        raise UsageError(f"cast is {quoted(cast)}", f"allowed: {allowed}")
    listed = dict[int | str, tuple[Role, ...]]()
    for person, given in cast.items():
        several = isinstance(given, Sequence) and not isinstance(given, str)
        roles: tuple[Any, ...] = tuple(given) if several else () if given is None else (given,)  # type: ignore[arg-type]
        known = person in (LARGEST, ALL) or (type(person) is int and person >= 0)
        if not known or not all(isinstance(role, Role) for role in roles):
            raise UsageError(f"cast has {quoted(person)}: {quoted(given)}", f"allowed: {allowed}")
        listed[person] = roles
    if not any(listed.values()):
        raise UsageError("nobody in the cast is played by anybody", "give at least one person a Role")
    checked = {id(role): _checked(role) for role in everybody(listed)}
    return {person: tuple(checked[id(role)] for role in roles) for person, roles in listed.items()}


def everybody(cast: Mapping[int | str, tuple[Own, ...]]) -> Iterator[Own]:
    """All roles, or players, in the order of the cast."""
    return chain.from_iterable(cast.values())


def _checked(role: Role) -> Role:
    only = tuple(_between(span) for span in role.only)
    if role.engine is None:
        return replace(role, only=only)
    check_kind("a role's engine", role.engine, EngineChoice)
    return replace(role, engine=SwapSettings(role.engine.name, role.engine.options).choice, only=only)


def _between(span: tuple[Time, Time]) -> tuple[TimePoint, TimePoint]:
    try:
        start, end = (as_time_point(time) for time in span)
    except (TypeError, ValueError) as error:
        raise UsageError(f"a role's only has {quoted(span)}", 'allowed: pairs of times, as ("0:12", "0:20")') from error
    if end.is_after(start) is False:
        raise UsageError(f"a role's only has {start} to {end}", "the end must come after the start")
    return start, end


def players_of(roles: Roles, reader: Callable[[], FaceReader], engine: EngineChoice, use: str) -> Players:
    """The cast with identities in place of photos, for a `use` that their consent must cover; `engine` is that of roles
    without one of their own. One face in several roles is read once. Raises ConsentError, IdentityError, ModelError."""
    known = {id(role): role for role in everybody(roles)}
    loaded = {number: Player(_identity(role, reader, use), role.engine or engine, tuple(role.only))  # type: ignore[arg-type]
              for number, role in known.items()}  # fmt: skip
    return {person: tuple(loaded[id(role)] for role in own) for person, own in roles.items()}


def _identity(role: Role, reader: Callable[[], FaceReader], use: str) -> Identity:
    if isinstance(role.face, Identity):
        permit(role.face.consent, use)
        return role.face
    if role.consent is None:
        raise UsageError(f"whose face {quoted(role.face)} shows has not agreed to anything",
                         'give the role `consent`: "self", or the path of a consent record')  # fmt: skip
    agreed = role.consent if isinstance(role.consent, Consent) else load_consent(role.consent)
    permit(agreed, use)
    return load_identity(path_of("face", role.face), agreed, reader())


def found(persons: Mapping[int, float]) -> Mapping[int, float]:
    """The persons of a plan. Raises NoFaceError where there are none."""
    if not persons:
        raise NoFaceError("nobody's face was found in the clip", "a face should be at least some 40 pixels wide")
    return persons


def assign(players: Players, clip: Clip, tracks: Sequence[Track], persons: Mapping[int, float]) -> list[Casting]:
    """Who is seen on which track: a person's own role goes before that of the largest, and that before the one for all.
    `persons` are those that there are, by size and time on screen: some may be on none of the tracks. A track on which
    players change becomes several. Raises NoFaceError, UsageError."""
    there = sorted(found(persons))
    if unknown := sorted({person for person in players if isinstance(person, int)} - persons.keys()):
        missing = f"no person {unknown[0]}" if len(unknown) == 1 else f"none of the persons {unknown}"
        raise UsageError(f"there is {missing} in the clip", f"it has {there}: see `vidswap cast`")

    largest = max(there, key=lambda who: persons[who])

    def players_for(person: int) -> tuple[Player, ...]:
        if person in players:
            return players[person]
        return players[LARGEST] if LARGEST in players and person == largest else players.get(ALL, ())

    if not any(map(players_for, there)):
        raise UsageError(f"of the persons in the clip, {there}, nobody is played by anybody", "give one of them a Role")
    turns = cache(lambda person: turns_of(players_for(person), clip))  # not of each of their tracks
    return [Casting(part, player.identity, player.engine)
            for track in tracks for part, player in _played(track, turns(track.person))]  # fmt: skip


Turn = tuple[int, int, Player | None]  # the frames [start, stop), and who plays in them


def turns_of(players: Sequence[Player], clip: Clip) -> list[Turn]:
    """Who plays a person in which frames of a clip, all of them, in order: the first whose `only` has them. Raises
    UsageError for an `only` in which there is none."""
    spans = [(_span(between, clip), player) for player in players for between in player.only or [None]]
    edges = sorted({0, len(clip), *(edge for span, _ in spans for edge in span)})
    turns = list[Turn]()
    for start, stop in pairwise(edges):
        player = next((player for (first, last), player in spans if first <= start and stop <= last), None)
        goes_on = bool(turns) and turns[-1][2] is player
        turns.append((turns.pop()[0] if goes_on else start, stop, player))
    return turns


def _span(between: tuple[TimePoint, TimePoint] | None, clip: Clip) -> tuple[int, int]:
    if between is None:
        return 0, len(clip)
    start, stop = (index_at(clip, point) for point in between)
    if start >= stop:
        raise UsageError(f"a role is to be played only from {between[0]} to {between[1]}, where no frame is",
                         f"the clip lasts {clip.seconds(len(clip) - 1):.2f} s")  # fmt: skip
    return start, stop


def _played(track: Track, turns: Sequence[Turn]) -> Iterator[tuple[Track, Player]]:
    """The parts of a track in which somebody plays, each with a number of its own that does not depend on what of the
    clip is rendered: noise and memory hang on it."""
    for number, (start, stop, player) in enumerate(turns):
        first, last = max(start, track.start), min(stop, track.stop)
        if player and first < last:
            part = track.within(first, last) if last - first < len(track) else track
            yield replace(part, id=track.id + APART * number) if number else part, player
