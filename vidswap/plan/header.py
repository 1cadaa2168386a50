"""The header of a plan file: on what the plan depends, its shots, where its tracks begin and end. Anybody may have
written it: what it says is believed only as far as it can be, and as the file bears it out."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf

import numpy as np

from vidswap.plan.packing import HEAD, Parts, array_in, member_of
from vidswap.records import Damaged, from_json
from vidswap.types import MESH_POINTS, PIECE

FORMAT = 2
HEADER_MOST = 16_000_000  # bytes: room for some 400,000 tracks
DENSE = 16  # times as many bytes as it takes in the file, beside 64 kB, are believed to be a header
FACES_MOST = 64  # faces a frame, on average; more are not read but refused
GRID_MOST, EMBEDDING_MOST = 256, 8192
LARGEST = 2**40  # no number or frame of a track is larger

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


@dataclass(frozen=True)
class _Format:
    format: int


def read_header(archive: zipfile.ZipFile) -> Header:
    """What the header says, its numbers as they can be. Raises Damaged."""
    info = member_of(archive, "header")
    length = info.file_size - HEAD
    if not 0 < length <= min(HEADER_MOST, 65536 + DENSE * info.compress_size):
        raise Damaged("its header is too large")
    content = bytes(array_in(archive, "header", {"header": (np.uint8, (length,))}))
    found = from_json(_Format, content, more="ignore").format
    if found != FORMAT:
        raise Damaged(f"its format is {found}, this version reads {FORMAT}")
    header = from_json(Header, content)
    _refuse_unlikely(header)
    return header


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


def parts_of(header: Header) -> Parts:
    """All arrays that there must be beside the header."""
    parts: Parts = {"embeddings": (np.float32, (len(header.tracks), header.embedding))}
    for row, (_, _, start, stop, _) in enumerate(header.tracks):
        for index, first in enumerate(range(start, stop, PIECE)):
            parts |= parts_of_piece(row, index, min(PIECE, stop - first), header.grid)
    return parts


def parts_of_piece(row: int, index: int, count: int, grid: int) -> Parts:
    """Those of a piece of `count` frames, in the order of PER_FRAME."""
    return {
        f"mesh-{row}-{index}": (np.uint8, (4, count * MESH_POINTS * 3)),
        f"seen-{row}-{index}": (np.bool_, (count,)),
        f"visible-{row}-{index}": (np.uint8, (count, grid, grid)),
        f"visible_to_frame-{row}-{index}": (np.float64, (count, 2, 3)),
    }


def printable(words: str) -> str:
    """A name that may be shown, whatever it is."""
    return "".join(letter if letter.isprintable() else "?" for letter in words[:200])
