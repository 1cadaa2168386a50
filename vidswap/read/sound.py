"""A file -> a digest of its sound as it is stored, undecoded: equal digests are the same sound, bit by bit."""

from __future__ import annotations

import hashlib
from pathlib import Path

import av

from vidswap.errors import InputError
from vidswap.media.source import opened
from vidswap.read.stills import is_pictures


def sound(path: Path) -> str | None:
    """The sha256 of all packets of all audio streams, None where there is no audio stream. Raises InputError."""
    if is_pictures(path):
        return None
    try:
        with opened(path) as container:
            streams = container.streams.audio
            digests = {stream.index: hashlib.sha256() for stream in streams}
            for packet in container.demux(*streams) if streams else ():
                if packet.size:
                    digests[packet.stream.index].update(bytes(packet))
    except (av.FFmpegError, OSError) as error:
        raise InputError(f"the sound of {path} cannot be read ({error.strerror})", "the file is damaged") from error
    return " ".join(digests[index].hexdigest() for index in sorted(digests)) or None
