"""Shots as small files: what whole-shot engines are handed, and what they give back.

What is handed over is a film that any service takes: H.264 in 4:2:0, BT.709, at a constant rate, its index first, no
sound. What comes back is somebody else's file, and read as such.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from vidswap.errors import InputError
from vidswap.media.colour import BT709, LIMITED, matrix_of
from vidswap.media.encoder import reproducible
from vidswap.media.filters import EXACT
from vidswap.media.native import editable
from vidswap.media.sidedata import beside
from vidswap.media.source import film_of, opened
from vidswap.media.view import View, turn_in
from vidswap.types import Array

_OPTIONS = {"crf": "12", "preset": "fast"}  # finer than is seen: it is encoded twice more
_MUXING = {"movflags": "faststart", "movie_timescale": "90000"}


def write_shot(path: Path, pictures: Iterable[Array], rate: Fraction, kind: str = "mp4") -> None:
    """Write pictures (H, W, 3) uint8 RGB of one size, with even sides, as a film. `kind` is FFmpeg's name of the
    container, "mp4" or "mov". Raises OSError."""
    reformatter = VideoReformatter()
    with av.open(f"file:{path}", "w", format=kind, container_options=_MUXING) as target:
        track = None
        for number, picture in enumerate(pictures):
            track = track or _track(target, picture.shape, rate)
            rgb = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame = reformatter.reformat(rgb, format="yuv420p", interpolation=EXACT, dst_colorspace=BT709,
                                         dst_color_range="MPEG", threads=1)  # fmt: skip
            frame.pts, frame.time_base = number, 1 / rate
            target.mux(track.encode(frame))
        if track is not None:
            target.mux(track.encode(None))


def _track(target: Any, shape: tuple[int, ...], rate: Fraction) -> Any:
    track = target.add_stream("libx264", rate=rate, options=dict(_OPTIONS))
    if params := reproducible("libx264"):
        track.codec_context.options = {**_OPTIONS, "x264-params": ":".join(params)}
    context = track.codec_context
    context.height, context.width, context.pix_fmt = *shape[:2], "yuv420p"
    context.time_base = track.time_base = 1 / rate
    context.thread_type = "FRAME"  # sliced, as is the default, pictures would be larger
    context.colorspace, context.color_range, context.color_primaries, context.color_trc = BT709, LIMITED, BT709, BT709
    return track


class ShotReader:
    """The pictures of a film by their numbers; one after another is cheap, and none but the last is kept."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pictures: Generator[tuple[float, Array], None, None] | None = None
        self._number, self._picture = -1, np.empty((0, 0, 3), np.uint8)

    def at(self, number: int) -> Array:
        """(H, W, 3) uint8: a picture as it is seen. Raises InputError, IndexError."""
        if self._pictures is None or number < self._number:
            self.close()
            self._pictures = pictures_of(self._path)
        while self._number < number:
            found = next(self._pictures, None)
            if found is None:
                raise IndexError(number)
            self._number, self._picture = self._number + 1, found[1]
        return self._picture

    def close(self) -> None:
        """Let go of the file."""
        if self._pictures is not None:
            self._pictures.close()
        self._pictures, self._number = None, -1


def pictures_of(path: Path) -> Generator[tuple[float, Array], None, None]:
    """When each picture of a film is shown, seconds since the first, and the picture as it is seen, (H, W, 3) uint8.
    Raises InputError where the file is none, or damaged."""
    try:
        with opened(path) as container:
            stream = film_of(container)
            if stream is None:
                raise InputError(f"{path} has no pictures", "it must be a film")
            stream.thread_type = "AUTO"
            try:
                yield from _seen(container.decode(stream))
            finally:  # a decoder's threads may need the interpreter: stop them while it is free to answer
                stream.codec_context.flush_buffers()
    except (av.FFmpegError, OSError) as error:
        raise InputError(f"{path} cannot be read as a film ({error.strerror})", "it is damaged, or cut off") from error


def _seen(natives: Iterator[Any]) -> Iterator[tuple[float, Array]]:
    reformatter, begins, time = VideoReformatter(), None, 0.0
    for native in natives:
        time = time if native.time is None else native.time
        begins = time if begins is None else begins
        size = native.width, native.height
        plain = editable(native, reformatter, matrix_of(*size))
        yield time - begins, View(*size, turn_in(beside(native))).rgb(plain, reformatter)
