"""What the first pass over a clip found, as a file: its shots, and its tracks with their meshes.

A plan is an .npz that numpy reads without pickle: `header` is JSON as bytes (on what the plan depends, its shots, where
its tracks begin and end), `embeddings` says who the tracks are, and their frames lie in pieces of PIECE, so that a
render reads what its next window needs and memory does not grow with the clip.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from math import inf
from pathlib import Path
from typing import Any

import numpy as np

from vidswap.errors import InputError, UsageError
from vidswap.files import as_output_error, whole
from vidswap.keys import key_of
from vidswap.plan.packing import (
    HEAD,
    Parts,
    array_in,
    decode_mesh,
    encode_mesh,
    member_of,
    plausible,
    put_array,
    refuse_unless_whole,
    unzipping,
)
from vidswap.records import Damaged, from_json
from vidswap.types import MESH_POINTS, PER_FRAME, PIECE, Array, Shot, Track, TrackPart, joined

FORMAT = 2
KEPT = 16  # pieces that stay unpacked, some 7 MB: two for each of eight faces at a time
HEADER_MOST = 16_000_000  # bytes: room for some 400,000 tracks
DENSE = 16  # times as many bytes as it takes in the file, beside 64 kB, are believed to be a header
FACES_MOST = 64  # faces a frame, on average; more are not read but refused
GRID_MOST, EMBEDDING_MOST = 256, 8192
LARGEST = 2**40  # no number or frame of a track is larger
ANEW = "make it anew: vidswap plan CLIP -o FILE"

Span = tuple[int, int]  # frames [start, stop)


@dataclass(frozen=True)
class Facts:
    """What the plan of a clip depends on, whatever its span: the digest of the clip, its (width, height, frames), file
    -> digest of the face models, how they are used, and versions of the code and of what that stands on."""

    source: str
    size: tuple[int, int, int]
    models: Mapping[str, str]
    settings: Mapping[str, int]
    versions: Mapping[str, str]


@dataclass(frozen=True)
class Header:
    """What a plan file says of itself: `name` of the clip, the span that was `analysed` and what of it is in the file;
    a row of `tracks` is id, person, start, stop, and the sum of the face's sizes over these frames."""

    format: int
    name: str
    facts: Facts
    analysed: Span
    span: Span
    shots: tuple[Span, ...]
    grid: int
    embedding: int
    tracks: tuple[tuple[int, int, int, int, float], ...]

    @property
    def pieces(self) -> int:
        """In how many pieces its tracks lie."""
        return sum(-(-(stop - start) // PIECE) for _, _, start, stop, _ in self.tracks)


@dataclass(frozen=True, eq=False)
class Plan:
    """What was found in the frames of `span` of the clip `name`, when those of `analysed` were gone through; `facts`
    are what it depends on. It crosses to another process without its open file, and opens that there when it is read.
    """

    path: Path
    name: str
    facts: Facts
    analysed: Shot
    span: Shot
    shots: tuple[Shot, ...]
    tracks: tuple[Track, ...]

    @property
    def key(self) -> str:
        """A digest of all that its tracks depend on."""
        return key_of((self.facts, self.analysed))

    def within(self, span: Shot) -> Plan:
        """What of it lies in a narrower span."""
        shots = tuple(Shot(*_both(shot, span)) for shot in self.shots if _meet(shot, span))
        tracks = tuple(each.within(*_both(each, span)) for each in self.tracks if _meet(each, span))
        return replace(self, span=span, shots=shots, tracks=tracks)

    def refuse_unless(self, facts: Facts, span: Shot) -> None:
        """Raise UsageError, which says what differs, where `facts` are not those that this plan depends on, or it does
        not cover the span."""
        if self.facts.source != facts.source:
            raise UsageError(f"{self.path} is the plan of another clip ({self.name})", ANEW)
        if self.facts.versions != facts.versions:
            differ = ", ".join(f"{_printable(name)} {_printable(old)}, here {facts.versions.get(name)}"
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
        self._archive, self._of = archive, (name, facts, (analysed.start, analysed.stop))
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
            header = _header(archive)
    except InputError:
        return "damaged"
    start, stop = header.span
    return f"{_printable(header.name)}, frames {start} to {stop}, tracks: {len(header.tracks)}"


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
        parts = _parts_of_piece(row, index, count, self._header.grid)
        with _as_input_error(self._path):
            mesh, seen, visible, to_frame = (array_in(self._opened(), name, parts) for name in parts)
            return plausible(decode_mesh(mesh, count), to_frame), seen, visible, to_frame

    def _opened(self) -> zipfile.ZipFile:
        if self._archive is None:
            with unzipping():
                self._archive = zipfile.ZipFile(self._path)
            if _header(self._archive) != self._header:
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
    header = _header(archive)
    _refuse_unlikely(header)
    if len(archive.infolist()) != 2 + len(PER_FRAME) * header.pieces:  # before anything is made of what it claims
        raise Damaged("parts are missing")
    parts = _parts(header)
    refuse_unless_whole(archive, parts)
    embeddings = array_in(archive, "embeddings", parts)
    pieces = _Pieces(path, header, archive)
    tracks = tuple(
        Track(number, who, start, stop, embedding, _Row(pieces, row, number, who, start, embedding), screen)
        for row, ((number, who, start, stop, screen), embedding) in enumerate(zip(header.tracks, embeddings))
    )
    shots = tuple(Shot(*span) for span in header.shots)
    return Plan(path, _printable(header.name), header.facts, Shot(*header.analysed), Shot(*header.span), shots, tracks)


def _refuse_unlikely(header: Header) -> None:
    """Raise Damaged where what a header says cannot be."""
    (start, stop), (first, last) = header.span, header.analysed
    if not 0 <= first <= start < stop <= last <= header.facts.size[2]:
        raise Damaged("its span lies outside the clip")
    if any(not start <= begin < end <= stop for _, _, begin, end, _ in header.tracks):
        raise Damaged("a track lies outside its span")
    if any(not start <= begin < end <= stop for begin, end in header.shots):
        raise Damaged("a shot lies outside its span")
    if any(not (0 <= number < LARGEST and 0 <= who < LARGEST and 0 <= screen < inf)
           for number, who, _, _, screen in header.tracks):  # fmt: skip
        raise Damaged("a track is none")
    long = sum(end - begin for _, _, begin, end, _ in header.tracks)
    fits = 0 <= header.grid <= GRID_MOST and 0 <= header.embedding <= EMBEDDING_MOST
    if not fits or long > FACES_MOST * (stop - start) or stop > LARGEST:
        raise Damaged("it is too large")


def _parts(header: Header) -> Parts:
    """All arrays that there must be beside the header."""
    parts: Parts = {"embeddings": (np.float32, (len(header.tracks), header.embedding))}
    for row, (_, _, start, stop, _) in enumerate(header.tracks):
        for index, first in enumerate(range(start, stop, PIECE)):
            parts |= _parts_of_piece(row, index, min(PIECE, stop - first), header.grid)
    return parts


def _parts_of_piece(row: int, index: int, count: int, grid: int) -> Parts:
    """Those of a piece of `count` frames, in the order of PER_FRAME."""
    return {
        f"mesh-{row}-{index}": (np.uint8, (4, count * MESH_POINTS * 3)),
        f"seen-{row}-{index}": (np.bool_, (count,)),
        f"visible-{row}-{index}": (np.uint8, (count, grid, grid)),
        f"visible_to_frame-{row}-{index}": (np.float64, (count, 2, 3)),
    }


@dataclass(frozen=True)
class _Format:
    format: int


def _header(archive: zipfile.ZipFile) -> Header:
    """What the header says; its numbers still have to fit one another."""
    info = member_of(archive, "header")
    length = info.file_size - HEAD
    if not 0 < length <= min(HEADER_MOST, 65536 + DENSE * info.compress_size):
        raise Damaged("its header is too large")
    content = bytes(array_in(archive, "header", {"header": (np.uint8, (length,))}))
    found = from_json(_Format, content, more="ignore").format
    if found != FORMAT:
        raise Damaged(f"its format is {found}, this version reads {FORMAT}")
    return from_json(Header, content)


def _printable(words: str) -> str:
    """A name that may be shown, whatever it is."""
    return "".join(letter if letter.isprintable() else "?" for letter in words[:200])


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
