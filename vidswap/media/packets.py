"""The packets of a file up to its end, and no further: a failing disk is told from that, a pipe from a file.

FFmpeg ends a file quietly, or as if it were damaged, where the system cannot read on. So whatever ends the packets,
what lies behind the last of them is read here once: only where that succeeds has the file come to its end.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from vidswap.errors import InputError
from vidswap.media.source import file_of

_CHUNK = 1 << 20  # bytes
_MICROSECONDS = 1_000_000
_KINDS = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}
_FAILING = "the disk or the network fails: copy the clip elsewhere, or try again"


def refuse_unreadable(path: Path) -> None:
    """Raises InputError for what is no folder and no file that can be read as often as it takes: it is missing, empty,
    a pipe, a socket or a device."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"there is no file {path}", "check the path of the clip") from error
    except (OSError, ValueError) as error:  # ValueError: no possible path
        hint = "check its name and its permissions" if isinstance(error, PermissionError | ValueError) else _FAILING
        raise InputError(f"{path} cannot be read ({getattr(error, 'strerror', error)})", hint) from error
    kind = _KINDS.get(stat.S_IFMT(found.st_mode))
    if kind:
        hint = "a clip is read several times: save it as a file first, `cat > clip.ts`, and give that"
        raise InputError(f"{path} is {kind}, which cannot be read twice", hint)
    if stat.S_ISREG(found.st_mode) and found.st_size == 0:
        raise InputError(f"{path} is empty", "copy or download the clip again")


def packets(container: Any, *streams: Any) -> Iterator[Any]:
    """The packets of streams of an open file in the order they lie there, up to its end or to where it breaks off; at
    last an empty one for each stream. Raises InputError where the system fails to read it."""
    reached, moment, whole = 0, 0.0, True
    try:
        for packet in container.demux(*streams):
            reached = max(reached, packet.pos or 0)
            if packet.pts is not None:
                moment = float(packet.pts * packet.time_base) - (container.start_time or 0) / _MICROSECONDS
            yield packet
    except av.FFmpegError:
        whole = False
    read_on(file_of(container), reached, moment)
    if not whole:
        yield from map(end_of, streams or container.streams)


def read_on(path: Path, place: int, moment: float) -> None:
    """Read a file from a byte to its end, for nothing but to see whether that works. Raises InputError, which names the
    second `moment` of the film up to which it did."""
    with suppress(FileNotFoundError):  # removed, but not from under those who have it open
        try:
            with path.open("rb", buffering=0) as file:
                file.seek(min(place, os.fstat(file.fileno()).st_size))
                while file.read(_CHUNK):
                    pass
        except FileNotFoundError:
            raise
        except OSError as error:
            raise InputError(f"{path} cannot be read beyond {moment:.1f} s ({error.strerror})", _FAILING) from error


def end_of(stream: Any) -> Any:
    """An empty packet, at which a decoder yields what it holds back."""
    packet = av.Packet()
    packet.stream, packet.time_base = stream, stream.time_base
    return packet


def seconds(packet: Any) -> Fraction:
    """Time of a packet; 0 where it has none."""
    time = packet.pts if packet.pts is not None else packet.dts
    return (time or 0) * Fraction(packet.time_base)
