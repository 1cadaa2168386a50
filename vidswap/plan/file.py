"""What the first pass over a clip found, as a file: its shots, and its tracks with their meshes.

A plan is an .npz that numpy reads without pickle: `header` is JSON as bytes (on what the plan depends, its shots, where
its tracks begin and end), `embeddings` says who the tracks are, and their frames lie in pieces of PIECE, so that a
render reads what its next window needs and memory does not grow with the clip.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from vidswap.errors import InputError, UsageError
from vidswap.files import as_output_error, whole
from vidswap.keys import key_of
from vidswap.plan.header import (
    FORMAT,
    Facts,
    Header,
    Span,
    parts_of,
    parts_of_piece,
    printable,
    read_header,
)
from vidswap.plan.packing import (
    array_in,
    decode_mesh,
    encode_mesh,
    plausible,
    put_array,
    refuse_unless_whole,
)
from vidswap.records import Damaged, unzipping
from vidswap.types import PER_FRAME, PIECE, Array, Shot, Track, TrackPart, joined

KEPT = 16  # pieces that stay unpacked, some 7 MB: two for each of eight faces at a time
ANEW = "make it anew: vidswap plan CLIP -o FILE"


@dataclass(frozen=True, eq=False)
class Plan:
    """What was found in the frames of `span` of the clip `name`, when those of `analysed` were gone through; `facts`
    are what it depends on, `persons` how large and how long each is seen. It crosses to another process without its
    open file, and opens that there when it is read."""

    path: Path
    name: str
    facts: Facts
    analysed: Shot
    span: Shot
    shots: tuple[Shot, ...]
    tracks: tuple[Track, ...]
    persons: Mapping[int, float]

    @property
    def key(self) -> str:
        """A digest of all that its tracks depend on."""
        return key_of((self.facts, self.analysed))

    def within(self, span: Shot) -> Plan:
        """What of it lies in a narrower span."""
        shots = tuple(Shot(*_both(shot, span)) for shot in self.shots if _meet(shot, span))
        tracks = tuple(each.within(*_both(each, span)) for each in self.tracks if _meet(each, span))
        return replace(self, span=span, shots=shots, tracks=tracks, persons=persons_on(tracks))

    def refuse_unless(self, facts: Facts, span: Shot) -> None:
        """Raise UsageError, which says what differs, where `facts` are not those that this plan depends on, or it does
        not cover the span."""
        if self.facts.source != facts.source:
            raise UsageError(f"{self.path} is the plan of another clip ({self.name})", ANEW)
        if self.facts.versions != facts.versions:
            differ = ", ".join(f"{printable(name)} {printable(old)}, here {facts.versions.get(name)}"
                               for name, old in self.facts.versions.items()
                               if old != facts.versions.get(name))  # fmt: skip
            raise UsageError(f"{self.path} was made by another version ({differ or 'of fewer stages'})", ANEW)
        if self.facts.models != facts.models:
            raise UsageError(f"{self.path} was made with other face models", f"give its `read.face_pack`, or {ANEW}")
        if not self.span.start <= span.start < span.stop <= self.span.stop:
            inside = f"it covers the frames {self.span.start}f to {self.span.stop}f"
            raise UsageError(f"{self.path} does not cover `read.start` to `read.end`; {inside}",
                             f"choose within, or {ANEW}")  # fmt: skip
        if self.facts != facts:
            raise UsageError(f"{self.path} was made with other settings", ANEW)


class PlanWriter:
    """A plan that is being written to `archive`: tracks as they are found, and at the end what is known of them all."""

    def __init__(self, archive: zipfile.ZipFile, name: str, facts: Facts, analysed: Shot) -> None:
        legible = name.encode(errors="replace").decode()  # a file's name may be no UTF-8, which JSON must be
        self._archive, self._of = archive, (legible, facts, (analysed.start, analysed.stop))
        self._rows: list[tuple[int, int, int, float]] = []
        self._grid = 0

    def add(self, track: Track) -> None:
        """Put a track's frames in, part by part. Raises OSError."""
        row = len(self._rows)
        for number, start in enumerate(range(track.start, track.stop, PIECE)):
            piece = track.part(start, min(start + PIECE, track.stop))
            self._grid = piece.visible.shape[1]
            put_array(self._archive, f"mesh-{row}-{number}", encode_mesh(piece.mesh))
            for kind in PER_FRAME[1:]:
                put_array(self._archive, f"{kind}-{row}-{number}", getattr(piece, kind))
        self._rows.append((track.id, track.start, track.stop, track.screen))

    def finish(self, span: Shot, shots: Sequence[Shot], persons: Sequence[int], embeddings: Array) -> None:
        """Put in what was found in the frames of `span`: the shots, and for each track whose it is and its embedding, a
        row of (N, E) float32. Raises OSError."""
        rows = tuple((number, who, *rest) for (number, *rest), who in zip(self._rows, persons, strict=True))
        spans = tuple((shot.start, shot.stop) for shot in shots)
        width = embeddings.shape[1]
        header = Header(FORMAT, *self._of, (span.start, span.stop), spans, self._grid, width, rows)  # type: ignore[arg-type]
        put_array(self._archive, "header", np.frombuffer(json.dumps(asdict(header)).encode(), np.uint8))
        put_array(self._archive, "embeddings", embeddings)


@contextmanager
def drafted(path: Path, name: str, facts: Facts, analysed: Shot) -> Iterator[PlanWriter]:
    """A new file of the plan that was found in the frames `analysed` of the clip `name`, whole when the context is left
    after `finish`. Raises OSError."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        yield PlanWriter(archive, name, facts, analysed)


@contextmanager
def open_plan(path: Path) -> Iterator[Plan]:
    """The plan in a file, which stays open meanwhile; every byte of it was checked. Raises InputError."""
    with _as_input_error(path), unzipping():
        archive = zipfile.ZipFile(path)
    with archive:
        with _as_input_error(path):
            plan = _read(path, archive)
        yield plan


def title(path: Path) -> str:
    """One line about a plan file: of which clip, which frames, how many tracks."""
    try:
        with _as_input_error(path), unzipping(), zipfile.ZipFile(path) as archive:
            header = read_header(archive)
    except InputError:
        return "damaged"
    start, stop = header.span
    return f"{printable(header.name)}, frames {start} to {stop}, tracks: {len(header.tracks)}"


def save_plan(plan: Plan, out: Path) -> None:
    """Keep a plan as the file `out`: what lies in its span. Raises OutputError."""
    with as_output_error(out), whole(out) as part:
        if plan.span == plan.analysed:
            shutil.copyfile(plan.path, part)
            return
        with drafted(part, plan.name, plan.facts, plan.analysed) as draft:
            for track in plan.tracks:
                draft.add(track)
            width = len(plan.tracks[0].embedding) if plan.tracks else 0
            embeddings = np.array([track.embedding for track in plan.tracks], np.float32).reshape(-1, width)
            draft.finish(plan.span, plan.shots, [track.person for track in plan.tracks], embeddings)


def subsample(track: TrackPart | Track, most: int) -> TrackPart:
    """At most `most` frames of a track, evenly spaced, as if they followed one another."""
    step, pieces = -(-len(track) // most), []
    for start in range(track.start, track.stop, PIECE):
        piece = track.part(start, min(start + PIECE, track.stop))
        rows = slice((track.start - start) % step, None, step)
        taken: dict[str, Any] = {kind: getattr(piece, kind)[rows].copy() for kind in PER_FRAME}  # the rest may go
        pieces.append(replace(piece, **taken))
    return joined(pieces)


# -- reading what anybody may have written ----------------------------------------------------------------------------


class _Pieces:
    """The pieces of the tracks in a plan file whose header is known. It crosses to another process without the open
    file: there that is opened when a piece is first asked for, and must have this very header."""

    def __init__(self, path: Path, header: Header, archive: zipfile.ZipFile | None = None) -> None:
        self._path, self._header, self._archive = path, header, archive
        self.unpacked = lru_cache(KEPT)(self._unpacked)  # windows end within pieces, and overlap

    def __reduce__(self) -> tuple[object, ...]:
        return _Pieces, (self._path, self._header)

    def _unpacked(self, row: int, index: int) -> tuple[Array, ...]:
        _, _, start, stop, _ = self._header.tracks[row]
        count = min(PIECE, stop - start - index * PIECE)
        parts = parts_of_piece(row, index, count, self._header.grid)
        with _as_input_error(self._path):
            mesh, seen, visible, to_frame = (array_in(self._opened(), name, parts) for name in parts)
            return plausible(decode_mesh(mesh, count), to_frame), seen, visible, to_frame

    def _opened(self) -> zipfile.ZipFile:
        if self._archive is None:
            with unzipping():
                self._archive = zipfile.ZipFile(self._path)
            if read_header(self._archive) != self._header:
                raise Damaged("it is another one by now")
        return self._archive


@dataclass(frozen=True)
class _Row:
    """What reads the frames of the track in a row of a plan file: a part of it for the frames [start, stop)."""

    pieces: _Pieces
    row: int
    id: int
    person: int
    first: int  # frame at which its first piece begins
    embedding: Array

    def __call__(self, start: int, stop: int) -> TrackPart:
        begin, end = (start - self.first) // PIECE, (stop - 1 - self.first) // PIECE + 1
        return joined([self._piece(number) for number in range(begin, end)]).part(start, stop)

    def _piece(self, index: int) -> TrackPart:
        mesh, seen, visible, to_frame = self.pieces.unpacked(self.row, index)
        start = self.first + index * PIECE
        return TrackPart(self.id, self.person, start, mesh, seen, self.embedding, visible, to_frame)


def _read(path: Path, archive: zipfile.ZipFile) -> Plan:
    """The plan in an archive. The header says what sizes all else must have; nothing is unpacked before they fit."""
    header = read_header(archive)
    if len(archive.infolist()) != 2 + len(PER_FRAME) * header.pieces:  # before anything is made of what it claims
        raise Damaged("parts are missing")
    parts = parts_of(header)
    refuse_unless_whole(archive, parts)
    embeddings = array_in(archive, "embeddings", parts)
    pieces = _Pieces(path, header, archive)
    tracks = tuple(
        Track(number, who, start, stop, embedding, _Row(pieces, row, number, who, start, embedding), screen)
        for row, ((number, who, start, stop, screen), embedding) in enumerate(zip(header.tracks, embeddings))
    )
    shots = tuple(Shot(*span) for span in header.shots)
    return Plan(path, printable(header.name), header.facts, Shot(*header.analysed), Shot(*header.span), shots, tracks,
                persons_on(tracks))  # fmt: skip


def persons_on(tracks: Iterable[Track]) -> dict[int, float]:
    """The persons on tracks, in the order of their numbers, each with the sum of what `screen` says."""
    seen = dict[int, float]()
    for track in tracks:
        seen[track.person] = seen.get(track.person, 0) + track.screen
    return dict(sorted(seen.items()))


def _both(one: Shot | Track, other: Shot) -> Span:
    return max(one.start, other.start), min(one.stop, other.stop)


def _meet(one: Shot | Track, other: Shot) -> bool:
    return one.start < other.stop and other.start < one.stop


@contextmanager
def _as_input_error(path: Path) -> Iterator[None]:
    """What is Damaged, or cannot be read, is the plan in the file `path`."""
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(f"there is no plan {path}", ANEW) from error
    except PermissionError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})", "check its name and its permissions") from error
    except (Damaged, OSError) as error:
        raise InputError(f"{path} is no plan, or damaged ({error})", ANEW) from error
