"""What a decoder lays beside a picture: how it is turned, the light of its screen."""

from __future__ import annotations

import struct
from typing import Any

from av.sidedata.sidedata import Type

from vidswap.media.filters import filtered

_NAMED = len(list(Type))  # the first kind that PyAV has no name for: its names have no gaps
_KINDS = range(_NAMED, _NAMED + 16)


def side_data(native: Any, name: str) -> bytes | None:
    """The bytes of one kind of a picture's side data, None where it has none."""
    try:
        return bytes(native.side_data[name])
    except KeyError:
        return None
    except ValueError:  # among it is a kind that PyAV cannot name (EXIF, a view of several): it then shows none
        kept = _without_unnamed(native).side_data
        return bytes(kept[name]) if name in kept else None


def display_matrix(native: Any) -> tuple[int, ...] | None:
    """How players turn or mirror a picture: nine numbers of FFmpeg's, None where they do not."""
    matrix = side_data(native, "DISPLAYMATRIX")
    return struct.unpack("<9i", matrix) if matrix else None


def _without_unnamed(native: Any) -> Any:
    return filtered(native, *(("sidedata", f"mode=delete:type={kind}") for kind in _KINDS))
