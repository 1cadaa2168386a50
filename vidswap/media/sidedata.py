"""What a decoder lays beside a picture: how it is turned, the light of its screen."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

from av.sidedata.sidedata import Type

from vidswap.media.filters import filtered

_NAMED = len(list(Type))  # the first kind that PyAV has no name for: its names have no gaps
_KINDS = range(_NAMED, _NAMED + 16)
_READ = ("DISPLAYMATRIX", "MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL")


def beside(native: Any) -> dict[str, bytes]:
    """What lies beside a picture, of the kinds that we know, by FFmpeg's names of them."""
    try:
        found = native.side_data
        return {name: bytes(found[name]) for name in _READ if name in found}
    except ValueError:  # among it is a kind that PyAV cannot name (EXIF, a view of several): it then shows none
        return beside(filtered(native, *(("sidedata", f"mode=delete:type={kind}") for kind in _KINDS)))


def matrix_in(data: Mapping[str, bytes]) -> tuple[int, ...] | None:
    """How players turn or mirror a picture beside which `data` lies: nine numbers of FFmpeg's, else None."""
    return struct.unpack("<9i", data["DISPLAYMATRIX"]) if "DISPLAYMATRIX" in data else None
