"""What platforms look at in a file that is posted to them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import av

from vidswap.errors import InputError
from vidswap.media.source import codec_of, film_of, opened

_HEAD = 8  # bytes of an mp4's box: its length, and its kind


@dataclass(frozen=True)
class Upload:
    """A file as a platform sees it; `megabits` a second, on average; `begins_at_once`: what tells where its pictures
    are lies before them (mp4's moov before its mdat). Without sound `sound` is "" and its numbers 0."""

    container: str
    codec: str
    format: str
    width: int
    height: int
    rate: float
    seconds: float
    bytes: int
    interlaced: bool
    begins_at_once: bool
    sound: str = ""
    sound_rate: int = 0
    channels: int = 0

    @property
    def megabits(self) -> float:
        return self.bytes * 8 / 1e6 / max(self.seconds, 1e-6)


def upload_of(path: Path) -> Upload:
    """The facts of a file. Raises InputError."""
    try:
        with opened(path) as container:
            film, sounds = film_of(container), container.streams.audio
            if film is None:
                raise InputError(f"{path} has no pictures that move", "give a film")
            context = film.codec_context
            frame = next(container.decode(film))
            sound = sounds[0] if sounds else None
            return Upload(
                container.format.name, codec_of(film), context.format.name, context.width, context.height,
                float(film.average_rate or 0), float((container.duration or 0) / av.time_base), path.stat().st_size,
                bool(frame.interlaced_frame), _is_before(_boxes(path)),
                codec_of(sound) if sound else "", sound.codec_context.sample_rate if sound else 0,
                sound.codec_context.layout.nb_channels if sound else 0,
            )  # fmt: skip
    except (av.FFmpegError, OSError, StopIteration) as error:
        reason = getattr(error, "strerror", "it has no frames")
        raise InputError(f"{path} cannot be read ({reason})", "render it again") from error


def _is_before(boxes: list[str]) -> bool:
    return "moov" in boxes and "mdat" in boxes and boxes.index("moov") < boxes.index("mdat")


def _boxes(path: Path) -> list[str]:
    """The kinds of the boxes of an mp4, in order (ISO/IEC 14496-12); whatever else the file is, few of no sense."""
    kinds, place, size = list[str](), 0, path.stat().st_size
    with path.open("rb") as file:
        while place + _HEAD <= size and len(kinds) < 64:
            file.seek(place)
            head = file.read(2 * _HEAD)
            length, kind = int.from_bytes(head[:4], "big"), head[4:8].decode("latin-1")
            length = int.from_bytes(head[8:16], "big") if length == 1 else length or size - place
            kinds.append(kind)
            place += max(length, _HEAD)
    return kinds
