"""Persons of the clip -> who plays them: photos and consent become identities, and tracks get their players."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from vidswap.errors import NoFaceError, UsageError, quoted
from vidswap.read.faces import FaceReader
from vidswap.read.identity import load_identity
from vidswap.settings import PEOPLE, SwapSettings, check_kind, path_of
from vidswap.swap.clipengine import ClipEngine, refuse_silent
from vidswap.swap.engine import Fenced, fenced, plays_shots
from vidswap.swap.fit import ClipRole
from vidswap.swap.windows import Casting
from vidswap.trust.consent import REMOTE, load_consent, permit
from vidswap.types import Cast, Consent, EngineChoice, Identity, Role, Track

LARGEST, ALL = "largest", "all"


@dataclass(frozen=True, eq=False)
class Player:
    """Who plays, and the engine that makes it seen."""

    identity: Identity
    engine: EngineChoice


Players = Mapping[int | str, Player | None]


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
        for player in filter(None, players.values()):
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
    try:
        words = PEOPLE.read(str(people).strip())
    except ValueError as error:
        raise UsageError(f"the person is {quoted(people)}", f"allowed: {PEOPLE.allowed}") from error
    return {words: role} if words in (LARGEST, ALL) else {int(number): role for number in words.split(",")}


def checked_cast(cast: Cast | Role) -> Cast:
    """The cast that a function was given; a role alone is for the largest person. Raises UsageError."""
    cast = {LARGEST: cast} if isinstance(cast, Role) else cast
    allowed = f"a Role, or a mapping of persons ({PEOPLE.allowed}) to Roles, None for who stays as they are"
    if not isinstance(cast, Mapping) or not cast:
        raise UsageError(f"cast is {quoted(cast)}", f"allowed: {allowed}")
    for person, role in cast.items():
        known = person in (LARGEST, ALL) or (type(person) is int and person >= 0)
        if not known or not (role is None or isinstance(role, Role)):
            raise UsageError(f"cast has {quoted(person)}: {quoted(role)}", f"allowed: {allowed}")
    if not any(cast.values()):
        raise UsageError("nobody in the cast is played by anybody", "give at least one person a Role")
    roles = {id(role): _checked(role) for role in filter(None, cast.values())}
    return {person: role and roles[id(role)] for person, role in cast.items()}


def _checked(role: Role) -> Role:
    if role.engine is None:
        return role
    check_kind("a role's engine", role.engine, EngineChoice)
    return replace(role, engine=SwapSettings(role.engine.name, role.engine.options).choice)


def players_of(cast: Cast, reader: Callable[[], FaceReader], engine: EngineChoice, use: str) -> Players:
    """The cast with identities in place of photos, for a `use` that their consent must cover; `engine` is that of roles
    without one of their own. One face in several roles is read once. Raises ConsentError, IdentityError, ModelError."""
    loaded, known = dict[int | str, Player | None](), dict[int, Identity]()
    for person, role in cast.items():
        if role and id(role) not in known:
            known[id(role)] = _identity(role, reader, use)
        loaded[person] = Player(known[id(role)], role.engine or engine) if role else None
    return loaded


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


def assign(players: Players, tracks: Sequence[Track], persons: Mapping[int, float]) -> list[Casting]:
    """Who is seen on which track: a person's own role goes before that of the largest, and that before the one for all.
    `persons` are those that there are, by size and time on screen: some may be on none of the tracks. Raises
    NoFaceError, UsageError."""
    there = sorted(found(persons))
    if unknown := sorted({person for person in players if isinstance(person, int)} - persons.keys()):
        missing = f"no person {unknown[0]}" if len(unknown) == 1 else f"none of the persons {unknown}"
        raise UsageError(f"there is {missing} in the clip", f"it has {there}: see `vidswap cast`")

    largest = max(there, key=lambda who: persons[who])

    def player_of(person: int) -> Player | None:
        if person in players:
            return players[person]
        return players[LARGEST] if LARGEST in players and person == largest else players.get(ALL)

    if not any(map(player_of, there)):
        raise UsageError(f"of the persons in the clip, {there}, nobody is played by anybody", "give one of them a Role")
    cast = [(track, player_of(track.person)) for track in tracks]
    return [Casting(track, player.identity, player.engine) for track, player in cast if player]
