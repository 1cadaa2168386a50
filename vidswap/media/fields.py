"""Whole pictures among pictures of two fields: television, film in a recording of it.

An encoder is told once for all that pictures are interlaced. FFV1 tells of each whether it is; ProRes cannot; x264 says
of all that they are, in a message before each picture (ISO 14496-10, D.1.3: pic_struct), which is set right here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from vidswap.media.filters import Chain

BOTTOM_FIRST = (3, 4)  # FFmpeg's numbers of the orders of fields
TOP_FIRST = 2  # the first of them: 0 is unknown, 1 that there are none
_MESSAGE = re.compile(rb"(\x00\x00\x01\x06\x01\x01)[\x32\x42](?=\x80)")  # a picture of two fields, no clock
_WHOLE = b"\\1\x04"  # pic_struct 0


class Ordered:
    """Hands encoders whole pictures in the order of the fields around them: x264 changes its own with each picture, and
    pictures that still wait in it would get the new one."""

    def __init__(self, order: int) -> None:
        mode = "bff" if order in BOTTOM_FIRST else "tff"
        self._chain = Chain(lambda _: [("setfield", f"mode={mode}")])

    def ordered(self, native: Any) -> Any:
        """The picture; `opaque` of it says whether it is whole: [True]."""
        whole = not native.interlaced_frame
        if whole:
            times = native.pts, native.duration, native.time_base
            native = self._chain.through(native)
            native.pts, native.duration, native.time_base = times
        native.opaque = [whole]  # a list of its own: PyAV keeps them by identity, and forgets it with its first owner
        return native


def marked_whole(packets: Iterable[Any]) -> Iterator[Any]:
    """Packets of x264; those of whole pictures (`opaque` of the picture) say that they are."""
    for packet in packets:
        if packet.opaque == [True]:
            packet.update(_MESSAGE.sub(_WHOLE, bytes(packet), count=1))
        yield packet
