"""A swap before it is rendered: a few moments of it as a picture, how long all of it would take, and where it is hard.

Moments are swapped in pieces of some frames, each with the face models if no plan of the clip is there yet, so that it
takes seconds however long the clip is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from time import perf_counter

import numpy as np

from vidswap.castfile import CastList, renumbered
from vidswap.casting import Cast, Engines, Role, assign, checked_cast, everybody, players_of
from vidswap.errors import NoFaceError, UsageError
from vidswap.files import refuse_clash
from vidswap.media.view import to_rgb
from vidswap.pipeline import SHEET_ROWS, begun, ended_as, lasting, read_by, written_by
from vidswap.plan.file import Plan, persons_on, subsample
from vidswap.plan.header import Facts
from vidswap.plan.store import facts_of, find_plan, is_kept
from vidswap.progress import Progress, Report, quiet
from vidswap.read.analysis import analyse
from vidswap.read.clip import frames, open_clip, span_of
from vidswap.read.faces import open_faces
from vidswap.redo import earlier_of, kept_of, redo_of
from vidswap.settings import Place, ReadSettings, Settings, path_of
from vidswap.swap.choice import openings
from vidswap.swap.engine import Load, load_engine
from vidswap.swap.windows import Casting, swap_windows, within
from vidswap.trust.consent import SWAP
from vidswap.types import Clip, Crops, Shot, Swapped, Track
from vidswap.write.camera import subjects_of
from vidswap.write.composite import composite
from vidswap.write.framing import Framing, framing
from vidswap.write.sheets import SheetRow, sheet, timecode, write_picture
from vidswap.write.target import Target, plan_target

PIECE = 8  # frames that a moment is swapped with: engines smooth over time
SHORT = 200  # frames of a clip that is gone through as a whole, for its plan
SMALL = 48.0  # pixels of a head's height below which a face has hardly features
TURNED, FILLED, COVERED = 0.6, 0.3, 0.3  # of a look, of frames and of a face: more is hard
LOOKED_AT = 100  # frames of a track that tell how hard it is


@dataclass(frozen=True)
class Preview:
    """What a swap would be: the `picture` of its moments; `frames` of pictures of `size` (width, height), lasting
    `duration` seconds; about `seconds` to render here; the `persons` replaced; `hard` are shots in which a swap tends
    to show, and `notes` all else that a person should know, a line each."""

    picture: Path
    frames: int
    size: tuple[int, int]
    duration: float
    seconds: float
    persons: tuple[int, ...]
    hard: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def preview_clip(
    source: Place, cast: Cast | Role, out: Place, picture: Place, settings: Settings = Settings(), *,
    load: Load = load_engine, report: Report = quiet, use: str = SWAP,
) -> Preview:  # fmt: skip
    """Draw moments of what `swap_clip` would make of the same, before and after, as `picture`; of `out` nothing is
    written, but all is refused that a swap would refuse. Raises the errors of errors.py."""
    progress, notes = begun(settings, report), list[str]()
    source, out, roles = path_of("source", source), path_of("out", out), checked_cast(cast)
    picture, settings = path_of("picture", picture), replace(settings, write=replace(settings.write, sheet=picture))
    chosen = {role.engine or settings.swap.choice: None for role in everybody(roles)}
    opening = openings(chosen, settings, load)
    faces = cache(lambda: open_faces(settings.read.face_pack))
    with ExitStack() as life:
        clip = open_clip(source, settings.read.rate)
        settings, redo = redo_of(settings, clip)
        span, out = span_of(clip, settings.read.start, settings.read.end), ended_as(out, clip, notes)
        refuse_clash(written_by(out, settings), read_by(settings, clip=source, roles=roles))
        target = plan_target(clip, span, out, settings.write, titles=settings.title)
        earlier = earlier_of(redo, clip, target, written_by(out, settings))
        players = players_of(roles, faces, settings.swap.choice, use)
        engines = Engines({choice: life.enter_context(engine) for choice, engine in opening.items()})
        engines.permit(players)
        refuse_whole(engines)
        facts = facts_of(clip, settings.read.face_pack)  # once: the clip's digest is among them
        pieces, reading = pieces_of(facts, span, settings.read, cast)
        shown = list[Moment]()
        for piece in progress.reported("preview", pieces, len(pieces)):
            found = find_plan(clip, piece, reading, lambda *given: analyse(faces(), *given), progress, facts=facts)
            with found as plan:
                known = renumbered(players, cast, plan)
                casting = assign(known, clip, plan.tracks, plan.persons) if plan.persons else []
                casting = kept_of(redo, earlier, replace(target, span=plan.span), plan.shots).castings(casting)
                shown += shown_of(Piece(clip, plan, casting, target, engines), progress)
    if not any(each.persons for each in shown):
        raise NoFaceError("at none of the moments is anybody seen who is played", "choose `read.start` and `read.end`")
    write_picture(picture, sheet([each.row for each in shown]))
    persons = tuple(sorted({person for each in shown for person in each.persons}))
    hard = tuple(dict.fromkeys(line for each in shown for line in each.hard))
    took = float(np.median([each.seconds for each in shown])) * len(span)
    size = (target.shape.width, target.shape.height)
    notes += (*clip.notes, *target.notes)
    return Preview(picture, len(span), size, lasting(clip, span), took, persons, hard, tuple(notes))


def refuse_whole(engines: Engines) -> None:
    """Raise UsageError for an engine that is handed whole shots: a moment is as slow, and as dear, as its shot."""
    if len(engines.labels) > len(engines.of_windows):
        name = next(choice.name for choice in engines.labels if choice not in engines.of_windows)
        raise UsageError(f"the engine {name} makes whole shots, of which there is no preview",
                         "swap a short part: `read.start`, `read.end`")  # fmt: skip


def pieces_of(facts: Facts, span: Shot, settings: ReadSettings, cast: object) -> tuple[list[Shot], ReadSettings]:
    """The parts of a span that are gone through, and how: all of it where a plan is there, or soon made, or persons are
    told by numbers, that only a whole plan has; else a piece around each moment, of which nothing is kept."""
    numbered = isinstance(cast, CastList) or (isinstance(cast, Mapping) and any(isinstance(who, int) for who in cast))
    if numbered or settings.plan or len(span) <= SHORT or is_kept(facts, span, settings):
        return [span], settings
    starts = np.linspace(span.start, span.stop - PIECE, 2 * SHEET_ROWS + 1)[1::2].astype(int)
    return [Shot(int(start), int(start) + PIECE) for start in starts], replace(settings, cache=None)


@dataclass(frozen=True, eq=False)
class Moment:
    """A row of the sheet, whose faces are replaced in it, where a swap is hard about it, and how long a frame took."""

    row: SheetRow
    persons: tuple[int, ...]
    hard: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, eq=False)
class Piece:
    """A part of a clip that is swapped on trial."""

    clip: Clip
    plan: Plan
    casting: Sequence[Casting]
    target: Target
    engines: Engines

    def framing(self) -> Framing:
        """What makes its frames the target's."""
        tracks = [each.track for each in self.casting]
        return framing(replace(self.target, span=self.plan.span), self.clip, self.plan.shots, tracks)


def shown_of(piece: Piece, progress: Progress) -> Iterator[Moment]:
    """Moments of a piece: some evenly over all of a clip, one of a few frames."""
    span, tracks = piece.plan.span, [each.track for each in piece.casting]
    covered = sorted({index for track in tracks for index in range(track.start, track.stop)})
    count = SHEET_ROWS if len(span) > PIECE else 1
    hard = tuple(line for track in tracks for line in hard_in(track, piece.clip))
    shown = piece.framing()
    for index in inner(covered or range(span.start, span.stop), count):
        yield replace(moment(piece, index, shown, progress), hard=hard)


def inner(items: Sequence[int], count: int) -> list[int]:
    """At most `count` of the items, evenly spaced, each in the middle of its part."""
    places = (np.arange(count) + 0.5) * len(items) / count
    return [items[int(place)] for place in dict.fromkeys(places.astype(int).tolist())]


def moment(piece: Piece, index: int, shown: Framing, progress: Progress) -> Moment:
    """A frame before and after, swapped with some around it."""
    clip, plan = piece.clip, piece.plan
    start = min(max(index - PIECE // 2, plan.span.start), max(plan.span.stop - PIECE, plan.span.start))
    near = plan.within(Shot(start, min(start + PIECE, plan.span.stop)))
    casting = [part for each in piece.casting for part in within(each, near.span)]
    seen, began = to_rgb(piece.target.seen(clip)), perf_counter()
    before = next(frames(clip, index, index + 1))
    footage = frames(clip, near.span.start, near.span.stop)
    with closing(swap_windows(footage, casting, piece.engines.of_windows, Recent(), progress)) as swapped:
        for frame, layers in swapped:
            if frame.index == index:
                composite(frame, layers)
                after = seen(shown(frame).native)
    took = (perf_counter() - began) / len(near.span)
    persons = tuple(persons_on(each.track for each in casting if each.track.start <= index < each.track.stop))
    return Moment((index, clip.seconds(index), seen(shown(before).native), after), persons, (), took)


class Recent:
    """The last answer of each track: what a render remembers that nobody goes on with."""

    def __init__(self) -> None:
        self._last: dict[int, Swapped] = {}

    def before(self, track: int) -> Swapped | None:
        return self._last.get(track)

    def keep(self, swapped: Swapped, tail: int, _end: int) -> None:
        self._last[swapped.crops.track] = swapped.tail(tail)

    def release(self, _index: int) -> None:
        pass

    def answer(self, _crops: Crops) -> Swapped | None:
        return None


def hard_in(track: Track, clip: Clip) -> Iterator[str]:
    """Where a track is one on which swaps tend to show, and why, a line each."""
    some = subsample(track, LOOKED_AT)
    row = Shot(some.start, some.stop)
    seen = subjects_of([some], row)
    tall = float(np.median(seen.heads[:, 0, 3] - seen.heads[:, 0, 1]))
    bare = some.visible.mean((1, 2))
    covered = bare < (1 - COVERED) * np.quantile(bare, 0.9)
    reasons = {
        f"the face is small ({tall:.0f} pixels)": tall < SMALL,
        "the face is turned far aside": float((abs(seen.look[:, 0]) > TURNED).mean()) > TURNED,
        "the face is often not to be seen": float((~some.seen).mean()) > FILLED,
        "something is often before the face": float(covered.mean()) > COVERED / 2,
    }
    when = f"{timecode(clip.seconds(track.start))}-{timecode(clip.seconds(track.stop - 1))}, person {track.person}"
    yield from (f"{when}: {reason}" for reason, holds in reasons.items() if holds)
