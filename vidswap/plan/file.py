"""What the first pass over a clip found, as a file: its shots, and its tracks with their meshes.

A plan is an .npz that numpy reads without pickle: `header` is JSON as bytes (on what the plan depends, its shots, where
its tracks begin and end), `embeddings` says who the tracks are, and their frames lie in pieces of PIECE, so that a
render reads what its next window needs and memory does not grow with the clip.
"""

from __future__ import annotations

import json
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from vidswap.errors import InputError, UsageError
from vidswap.files import as_output_error, whole
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
)
from vidswap.types import MESH_POINTS, PER_FRAME, Array, Parted, Shot, TrackPart, joined

FORMAT = 1
PIECE = 32  # frames of a track that are packed together
KEPT = 16  # pieces that stay unpacked, some 7 MB: two for each of eight faces at a time
HEADER_MOST = 16_000_000  # bytes: room for some 400,000 tracks
DENSE = 16  # times as many bytes as it takes in the file, beside 64 kB, are believed to be a header
FACES_MOST = 64  # faces a frame, on average; more are not read but refused
GRID_MOST, EMBEDDING_MOST = 256, 8192
DAMAGED = (  # all that zipfile, json and numpy raise over bytes that are not theirs
    zipfile.BadZipFile, zlib.error, struct.error, OSError, EOFError, ValueError, RuntimeError, OverflowError,
)  # fmt: skip
ANEW = "make it anew: vidswap plan CLIP -o FILE"

Facts = Mapping[str, Any]  # what a plan depends on: "source", "size", "span", "models", "settings", "versions"


@dataclass(frozen=True, eq=False)
class Track:
    """A track whose frames [start, stop) stay in the file until asked for."""

    id: int
    person: int
    start: int
    stop: int
    embedding: Array  # (E,) float32, unit
    first: int  # frame at which its first piece begins
    piece: Callable[[int], TrackPart]

    def __len__(self) -> int:
        return self.stop - self.start

    def part(self, start: int, stop: int) -> TrackPart:
        """Its frames [start, stop). Raises InputError where the file is damaged."""
        begin, end = (start - self.first) // PIECE, (stop - 1 - self.first) // PIECE + 1
        return joined([self.piece(number) for number in range(begin, end)]).part(start, stop)

    def seen(self) -> Iterator[int]:
        """The frames in which the face was seen, not filled in."""
        for start in range(self.start, self.stop, PIECE):
            piece = self.part(start, min(start + PIECE, self.stop))
            yield from (start + np.flatnonzero(piece.seen)).tolist()


@dataclass(frozen=True, eq=False)
class Plan:
    """`name` of the clip, `facts` that the plan depends on, and what was found in the frames of `span`."""

    path: Path
    name: str
    facts: Facts
    span: Shot
    shots: tuple[Shot, ...]
    tracks: tuple[Track, ...]

    def within(self, span: Shot) -> Plan:
        """What of it lies in a narrower span."""
        shots = tuple(Shot(*_both(shot, span)) for shot in self.shots if _meet(shot, span))
        tracks = (replace(each, start=max(each.start, span.start), stop=min(each.stop, span.stop))
                  for each in self.tracks if _meet(each, span))  # fmt: skip
        return replace(self, span=span, shots=shots, tracks=tuple(tracks))

    def refuse_unless(self, facts: Facts) -> None:
        """Raise UsageError, which says what differs, where `facts` are not those that this plan depends on. Of the span
        it is enough that it lies within the plan's."""
        if self.facts.get("source") != facts["source"]:
            raise UsageError(f"{self.path} is the plan of another clip ({self.name})", ANEW)
        if self.facts["versions"] != facts["versions"]:
            differ = ", ".join(f"{_printable(name)} {_printable(old)}, here {facts['versions'].get(name)}"
                               for name, old in self.facts["versions"].items()
                               if old != facts["versions"].get(name))  # fmt: skip
            raise UsageError(f"{self.path} was made by another version ({differ or 'of fewer stages'})", ANEW)
        if self.facts.get("models") != facts["models"]:
            raise UsageError(f"{self.path} was made with other face models", f"give its `read.face_pack`, or {ANEW}")
        start, stop = facts["span"]
        if not self.span.start <= start < stop <= self.span.stop:
            inside = f"it covers the frames {self.span.start}f to {self.span.stop}f"
            raise UsageError(f"{self.path} does not cover `read.start` to `read.end`; {inside}",
                             f"choose within, or {ANEW}")  # fmt: skip
        others = facts.keys() - {"span"}
        if self.facts.keys() != facts.keys() or any(self.facts[name] != facts[name] for name in others):
            raise UsageError(f"{self.path} was made with other settings", ANEW)


class PlanWriter:
    """A plan that is being written to `archive`: tracks as they are found, and at the end what is known of them all."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._spans: list[tuple[int, int, int]] = []
        self._grid = 0

    def add(self, track: Parted) -> None:
        """Put a track's frames in, part by part. Raises OSError."""
        row = len(self._spans)
        for number, start in enumerate(range(track.start, track.stop, PIECE)):
            piece = track.part(start, min(start + PIECE, track.stop))
            self._grid = piece.visible.shape[1]
            put_array(self._archive, f"mesh-{row}-{number}", encode_mesh(piece.mesh))
            for kind in PER_FRAME[1:]:
                put_array(self._archive, f"{kind}-{row}-{number}", getattr(piece, kind))
        self._spans.append((track.id, track.start, track.stop))

    def finish(self, name: str, facts: Facts, shots: Sequence[Shot], persons: Sequence[int], embeddings: Array) -> None:
        """Put in what was found in the frames of `facts["span"]` of the clip `name`: its shots, and for each track
        whose it is and its embedding, a row of (N, E) float32. Raises OSError."""
        rows = [(number, person, *span) for (number, *span), person in zip(self._spans, persons, strict=True)]
        header = {
            "format": FORMAT, "name": name, "facts": dict(facts), "shots": [(shot.start, shot.stop) for shot in shots],
            "grid": self._grid, "embedding": embeddings.shape[1], "tracks": rows,
        }  # fmt: skip
        put_array(self._archive, "header", np.frombuffer(json.dumps(header).encode(), np.uint8))
        put_array(self._archive, "embeddings", embeddings)


@contextmanager
def drafted(path: Path) -> Iterator[PlanWriter]:
    """A new plan file, whole when the context is left after `finish`. Raises OSError."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        yield PlanWriter(archive)


@contextmanager
def open_plan(path: Path) -> Iterator[Plan]:
    """The plan in a file, which stays open meanwhile; every byte of it was checked. Raises InputError."""
    with _fence(path):
        archive = zipfile.ZipFile(path)
    with archive:
        with _fence(path):
            plan = _read(path, archive)
        yield plan


def title(path: Path) -> str:
    """One line about a plan file: of which clip, which frames, how many tracks."""
    try:
        with _fence(path), zipfile.ZipFile(path) as archive:
            header = _header(archive)
            start, stop = header["facts"]["span"]
            return f"{_printable(header['name'])}, frames {start} to {stop}, tracks: {len(header['tracks'])}"
    except InputError:
        return "damaged"


def save_plan(plan: Plan, out: Path) -> None:
    """Keep a plan as the file `out`. Raises OutputError."""
    with as_output_error(out), whole(out) as part:
        shutil.copyfile(plan.path, part)


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


def _read(path: Path, archive: zipfile.ZipFile) -> Plan:
    """The plan in an archive. The header says what sizes all else must have; nothing is unpacked before they fit."""
    header = _header(archive)
    span = Shot(*header["facts"]["span"])
    if span.stop > header["facts"]["size"][2]:
        raise ValueError("its span lies outside the clip")
    shots = tuple(Shot(*_whole(pair, 2)) for pair in header["shots"])
    rows = [_whole(row, 4) for row in header["tracks"]]
    if any(not span.start <= start < stop <= span.stop for *_, start, stop in rows):
        raise ValueError("a track lies outside its span")
    if any(not span.start <= shot.start < shot.stop <= span.stop for shot in shots):
        raise ValueError("a shot lies outside its span")
    grid, width = _whole([header["grid"], header["embedding"]], 2)
    long = sum(stop - start for *_, start, stop in rows)
    if grid > GRID_MOST or width > EMBEDDING_MOST or long > FACES_MOST * len(span):
        raise ValueError("it is too large")
    pieces = sum(-(-(stop - start) // PIECE) for *_, start, stop in rows)
    if len(archive.infolist()) != 2 + len(PER_FRAME) * pieces:  # before anything is made of what the header claims
        raise ValueError("parts are missing")
    parts = _parts(rows, grid, width)
    refuse_unless_whole(archive, parts)
    embeddings = array_in(archive, "embeddings", parts)
    read = _pieces(archive, parts)
    tracks = tuple(_trail(row, facts, embeddings[row], read) for row, facts in enumerate(rows))
    return Plan(path, _printable(header["name"]), header["facts"], span, shots, tracks)


def _trail(row: int, facts: Sequence[int], embedding: Array, read: Callable[[int, int], tuple[Array, ...]]) -> Track:
    """The track in a row of the header; `read` gives what its pieces hold."""
    number, person, start, stop = facts

    def piece(index: int) -> TrackPart:
        mesh, seen, visible, to_frame = read(row, index)
        return TrackPart(number, person, start + index * PIECE, mesh, seen, embedding, visible, to_frame)

    return Track(number, person, start, stop, embedding, start, piece)


def _pieces(archive: zipfile.ZipFile, parts: Parts) -> Callable[[int, int], tuple[Array, ...]]:
    """What reads the arrays of a row's piece, and keeps those read last: windows end within pieces, and overlap."""

    @lru_cache(KEPT)
    def read(row: int, index: int) -> tuple[Array, ...]:
        with _fence(Path(str(archive.filename))):
            mesh, seen, visible, to_frame = (array_in(archive, f"{kind}-{row}-{index}", parts) for kind in PER_FRAME)
            return plausible(decode_mesh(mesh, len(seen)), to_frame), seen, visible, to_frame

    return read


def _parts(rows: Sequence[Sequence[int]], grid: int, width: int) -> Parts:
    parts: Parts = {"embeddings": (np.float32, (len(rows), width))}
    for row, (_, _, start, stop) in enumerate(rows):
        for number, first in enumerate(range(start, stop, PIECE)):
            count = min(PIECE, stop - first)
            parts |= {
                f"mesh-{row}-{number}": (np.uint8, (4, count * MESH_POINTS * 3)),
                f"seen-{row}-{number}": (np.bool_, (count,)),
                f"visible-{row}-{number}": (np.uint8, (count, grid, grid)),
                f"visible_to_frame-{row}-{number}": (np.float64, (count, 2, 3)),
            }
    return parts


def _header(archive: zipfile.ZipFile) -> dict[str, Any]:
    """What the header says, each of the kind that it must be; its numbers still have to fit one another."""
    info = member_of(archive, "header")
    length = info.file_size - HEAD
    if not 0 < length <= min(HEADER_MOST, 65536 + DENSE * info.compress_size):
        raise ValueError("its header is too large")
    header = json.loads(bytes(array_in(archive, "header", {"header": (np.uint8, (length,))})))
    found = header.get("format") if isinstance(header, dict) else None
    if type(found) is not int or found != FORMAT:
        raise ValueError(f"its format is {_printable(found)}, this version reads {FORMAT}")
    kinds = {"name": str, "facts": dict, "shots": list, "tracks": list, "grid": int, "embedding": int}
    facts = header.get("facts")
    versions = facts.get("versions") if isinstance(facts, dict) else None
    if any(type(header.get(name)) is not kind for name, kind in kinds.items()) or not isinstance(versions, dict):
        raise ValueError("its header is none")
    if not all(isinstance(version, (str, int)) for version in versions.values()):
        raise ValueError("versions")
    _whole(facts.get("span"), 2), _whole(facts.get("size"), 3)
    return dict(header)


def _printable(words: Any) -> str:
    """A name that may be shown, whatever it is."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(words)[:200])


def _whole(numbers: Any, count: int) -> list[int]:
    """`count` whole numbers that are not negative, of JSON that may be anything."""
    if not isinstance(numbers, list) or len(numbers) != count:
        raise ValueError("numbers")
    if any(type(each) is not int or not 0 <= each < 2**40 for each in numbers):
        raise ValueError("numbers")
    return numbers


def _both(one: Shot, other: Shot) -> tuple[int, int]:
    return max(one.start, other.start), min(one.stop, other.stop)


def _meet(one: Shot | Track, other: Shot) -> bool:
    return one.start < other.stop and other.start < one.stop


@contextmanager
def _fence(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(f"there is no plan {path}", ANEW) from error
    except PermissionError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})", "check its name and its permissions") from error
    except DAMAGED as error:
        raise InputError(f"{path} is no plan, or damaged ({error})", ANEW) from error
