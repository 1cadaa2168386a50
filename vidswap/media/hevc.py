"""What HEVC says of its pictures before they are decoded (ITU-T H.265, 7.4.2.2)."""

from __future__ import annotations

from typing import Any

from vidswap.media.bits import unit_finder
from vidswap.media.source import codec_of

_SKIPPED = (8, 9)  # kinds of slices: pictures that lead a group and lean on the one before it


class Leading:
    """Tells of each packet of a raw stream, in order, whether its picture is never shown, since the stream was cut amid
    an open group: it leads the first key picture. Elsewhere the times of pictures tell that."""

    def __init__(self, stream: Any) -> None:
        self._looks = codec_of(stream) == "hevc" and stream.container.format.name == "hevc"
        self._units = unit_finder(stream) if self._looks else None
        self._keys = 0

    def is_lost(self, packet: Any) -> bool:
        """Whether a packet is of such a picture."""
        if self._units is None or self._keys > 1:
            return False
        self._keys += packet.is_keyframe
        return self._keys == 1 and any(unit[0] >> 1 & 63 in _SKIPPED for unit in self._units(packet))
