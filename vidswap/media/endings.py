"""How a file ends: whether all of it is there that its head tells of, and whether another film lies behind it.

FFmpeg reads a file that breaks off as if it ended there, and ends at an FLV's second header and at a Matroska's third.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import BinaryIO

from vidswap.media.containers import demuxer_of

_FILM = re.compile(rb"\0\0\0[\x10-\x40]ftyp(mp4|iso|avc|qt  |MSNV|3gp|M4V)")
_LONGEST_HEAD = 64  # bytes
_SEGMENT = b"\x18\x53\x80\x67"  # the one element of a Matroska that holds all others (RFC 9559, 5.1)
_READ = 1 << 20  # bytes


def is_followed(path: Path, container: str, place: int) -> bool:
    """Whether another film begins anywhere behind a byte of a file; `container` is FFmpeg's name of its kind."""
    head, before = demuxer_of(container).head, b""
    if head is None:
        return False
    with path.open("rb") as file:
        file.seek(place + 1)
        while chunk := file.read(_READ):
            if re.search(head, before + chunk):
                return True
            before = chunk[-_LONGEST_HEAD:]
    return False


def holds_film(path: Path) -> bool:
    """Whether a film lies behind a JPEG, as in a motion photo."""
    data = path.read_bytes()
    return data.startswith(b"\xff\xd8") and bool(_FILM.search(data))


def breaks_off(path: Path, container: str) -> bool:
    """Whether a Matroska is shorter than it says, or an FLV ends amid a picture or sound."""
    breaks = _BREAKS.get(container)
    if breaks is None:
        return False
    with path.open("rb") as file:
        return breaks(file, path.stat().st_size)


def _matroska_breaks(file: BinaryIO, size: int) -> bool:
    end = _segment_end(file.read(_LONGEST_HEAD * 4))
    return end is not None and end > size


def _flv_breaks(file: BinaryIO, size: int) -> bool:
    if size <= 24:
        return False
    file.seek(size - 4)
    back = 4 + int.from_bytes(file.read(4), "big")
    file.seek(max(size - back, 0))
    head = file.read(4)
    return back > size or head[0] & 31 not in (8, 9, 18) or int.from_bytes(head[1:], "big") + 15 != back


def _segment_end(data: bytes) -> int | None:
    """The byte at which a Matroska's first segment ends, as its head says; None where it says nothing, as live ones."""
    place = data.find(_SEGMENT) + len(_SEGMENT)
    if place < len(_SEGMENT) or place >= len(data) or not data[place]:
        return None
    length = 9 - data[place].bit_length()  # bytes of the number; its first set bit tells them (RFC 8794, 4)
    size = int.from_bytes(data[place : place + length], "big") & (1 << 7 * length) - 1
    return None if size == (1 << 7 * length) - 1 else place + length + size


_BREAKS = {"matroska,webm": _matroska_breaks, "flv": _flv_breaks}
