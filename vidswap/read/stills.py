"""Still pictures, animations and folders of pictures -> a Clip and its native frames, as if they were film.

Pillow reads them, OpenCV those of 16 bits, which Pillow would cut to 8. Pixels stay RGB (planar, with alpha where there
is some) or grey, so that those nobody touches come back to the bit; how a camera was held (EXIF) is undone here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from PIL import ImageSequence

from vidswap.errors import InputError
from vidswap.media.colour import FULL
from vidswap.media.endings import holds_film
from vidswap.media.images import BROKEN, endings_of, is_deep, kind_of
from vidswap.media.native import colour_of, format_of, planar
from vidswap.media.source import MOST_PIXELS
from vidswap.types import Array, Clip

KINDS = "give a png, jpg, webp, bmp, tiff or gif file, or a folder of such pictures of one size"
MOST_FRAMES = 100_000
RATE = Fraction(25)  # of a sequence, where nobody says; a still is shown for one such frame
UNIT = Fraction(1, 1000)  # of an animation's times
_HASTY, _USUAL = 10, 100  # ms: players show a frame of up to the one for the other
_AS_IT_IS = cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
_MOTION = "a film lies behind the picture (a motion photo): it is left out, only the picture is taken"
_ORIENTATION = 0x0112  # the EXIF tag; its values 5 to 8 are transposed, then mirrored (down, across)
_MIRRORED = {1: (1, 1), 2: (1, -1), 3: (-1, -1), 4: (-1, 1), 5: (1, 1), 6: (1, -1), 7: (-1, -1), 8: (-1, 1)}
_GBR = {1: "gray", 3: "gbrp", 4: "gbrap"}  # planar formats by number of channels


def open_pictures(path: Path, rate: Fraction = RATE) -> Clip:
    """The facts of a still, an animation, or a folder of pictures (in natural order: 2 before 10), shown at `rate`.
    Raises InputError."""
    if path.is_dir():
        files = _sequence(path)
        return _clip(path, "sequence", files, [1] * len(files), 1 / rate)
    with _reading(path) as picture:
        lengths = _lengths(picture) if _moves(picture) else []
    if len(lengths) > 1:
        return _clip(path, "animation", (path,), lengths, UNIT)
    still = _clip(path, "still", (path,), [1], 1 / rate)
    return replace(still, notes=(_MOTION,)) if holds_film(path) else still


def pictures(clip: Clip, start: int, stop: int) -> Iterator[tuple[int, Any, bool]]:
    """(index, native, repeated) of the frames [start, stop): one that cannot be decoded repeats the one before it, or
    at the very beginning the one after. Raises InputError."""
    last: Array | None = None
    waiting = 0
    for index, pixels in _decoded(clip, start, stop):
        repeated = pixels is None or pixels.shape[:2] != (clip.height, clip.width)
        last = last if repeated else pixels
        if last is None:
            waiting += 1
            continue
        yield from ((index - waiting + k, native_of(last), True) for k in range(waiting))
        yield index, native_of(last), repeated
        waiting = 0
    if waiting:
        raise InputError(f"{clip.path}: no picture in it can be decoded", "the file is damaged")


def native_of(pixels: Array) -> Any:
    """(H, W), (H, W, 3) or (H, W, 4) of uint8 or uint16 -> a planar frame of the same values."""
    height, width = pixels.shape[:2]
    channels = pixels.reshape(height, width, -1)
    form = _GBR[channels.shape[2]] + ("16le" if pixels.dtype == np.uint16 else "")
    native = av.VideoFrame(width, height, form)
    for plane, channel in zip(native.planes, (1, 2, 0, 3) if channels.shape[2] > 1 else (0,), strict=False):
        rows = np.frombuffer(plane, pixels.dtype).reshape(height, -1)
        rows[:, :width] = channels[..., channel]
    native.color_range, native.time_base = FULL, UNIT
    return native


# -- what is there ----------------------------------------------------------------------------------------------------


def _clip(path: Path, kind: str, files: tuple[Path, ...], lengths: list[int], unit: Fraction) -> Clip:
    first = next((pixels for file in files for _, pixels in _pixels(file, 0, 1) if pixels is not None), None)
    if first is None:
        raise InputError(f"{path}: no picture in it can be decoded", "the file is damaged")
    native = native_of(first)
    form, film = format_of(native), planar(native, av.video.reformatter.VideoReformatter())
    pts = np.cumsum([0, *lengths[:-1]], dtype=np.int64)
    rate = Fraction(len(lengths)) / (sum(lengths) * unit)
    return Clip(
        path=path, width=first.shape[1], height=first.shape[0], pts=pts, time_base=unit, rate=rate,
        colour=colour_of(film), rotation=0, streams=(), container=kind, last=lengths[-1], files=files, format=form,
    )  # fmt: skip


def _sequence(folder: Path) -> tuple[Path, ...]:
    parts = endings_of(lambda kind: kind.parts)
    try:
        found = [file for file in folder.iterdir() if file.suffix.lower() in parts and not file.name.startswith(".")]
    except OSError as error:
        raise InputError(f"{folder} cannot be read ({error.strerror})", "check its permissions") from error
    if not found:
        raise InputError(f"there is no picture in the folder {folder}", KINDS)
    if len(found) > MOST_FRAMES:
        raise InputError(f"{folder} has more than {MOST_FRAMES:,} pictures", "cut it into parts first")
    files = tuple(sorted(found, key=_natural))
    sizes = {file: size for file in files if (size := _size(file))}
    for file, size in sizes.items():
        if size != next(iter(sizes.values())):
            raise InputError(f"{file} has another size than the pictures before it", "give all pictures one size")
    return files


def _natural(file: Path) -> list[int | str]:
    """A key that sorts 2 before 10."""
    return [int(word) if word.isdecimal() else word for word in re.split(r"(\d+)", file.name)]


def _size(file: Path) -> tuple[int, int] | None:
    """(width, height) as it is seen; None for what cannot be read."""
    try:
        with _reading(file) as picture:
            wide, high = picture.size
            return (high, wide) if _orientation(picture) > 4 else (wide, high)
    except InputError:
        return None


def _lengths(picture: Any) -> list[int]:
    """How long each frame of an animation is shown, ms; of a damaged one, those that are there."""
    lengths: list[Fraction] = []
    try:
        for frame in ImageSequence.Iterator(picture):
            if len(lengths) == MOST_FRAMES:
                raise InputError(f"{picture.filename} has more than {MOST_FRAMES:,} frames", "cut it into parts first")
            frame.load()
            length = Fraction(frame.info.get("duration") or 0).limit_denominator(65535)
            lengths.append(length if length > _HASTY else Fraction(_USUAL))
    except BROKEN as error:
        _refuse_unread(Path(picture.filename), error)
    lengths = lengths[1:] if _has_poster(picture) else lengths
    ends = [round(sum(lengths[: i + 1])) for i in range(len(lengths))]
    return [end - start for start, end in zip([0, *ends], ends)]


def _moves(picture: Any) -> bool:
    """Whether a file holds more than one picture."""
    try:
        return bool(getattr(picture, "is_animated", False))
    except BROKEN:  # Pillow looks for the second one here
        return False


def _has_poster(picture: Any) -> bool:
    """Whether the first picture of an animated PNG is for readers that know no animation, and not part of it."""
    return bool(picture.info.get("default_image"))


# -- pixels -----------------------------------------------------------------------------------------------------------


def _decoded(clip: Clip, start: int, stop: int) -> Iterator[tuple[int, Array | None]]:
    if clip.container == "sequence":
        for index in range(start, stop):
            yield index, next(_pixels(clip.files[index], 0, 1))[1]
    else:
        yield from _pixels(clip.path, start, stop)


def _pixels(file: Path, start: int, stop: int) -> Iterator[tuple[int, Array | None]]:
    """(index, pixels) of the frames [start, stop) of one file; None for what cannot be decoded."""
    try:
        with _reading(file) as picture:
            ahead = int(_has_poster(picture))
            for index in range(start, stop):
                try:
                    if _moves(picture):
                        picture.seek(index + ahead)
                    yield index, _upright(_values(picture), _orientation(picture))
                except BROKEN as error:
                    _refuse_unread(file, error)
                    yield index, None
    except InputError as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno is not None:
            raise
        yield from ((index, None) for index in range(start, stop))


@contextmanager
def _reading(file: Path) -> Iterator[Any]:
    """A picture, opened but not decoded. Raises InputError.

    Pillow's `Image.open` warns of sizes that are refused here, and to silence it is not for one thread alone."""
    try:
        kind = kind_of(file)
        picture = kind.reader(str(file)) if kind else None
    except BROKEN as error:
        _refuse_unread(file, error)
        raise InputError(f"{file} cannot be read as a picture", KINDS) from error
    if picture is None:
        raise InputError(f"{file} cannot be read as a picture", KINDS)
    with picture:
        if picture.width * picture.height > MOST_PIXELS:
            message = f"{file} says that it has more than {MOST_PIXELS:,} pixels"
            raise InputError(message, "make it smaller; or its header is damaged")
        yield picture


def _refuse_unread(file: Path, error: BaseException) -> None:
    """Raises InputError where it was the system that failed to read a file: that is no damage of a picture."""
    if isinstance(error, OSError) and error.errno is not None:
        raise InputError(f"{file} cannot be read ({error.strerror})", "check its permissions, and the disk") from error


def _values(picture: Any) -> Array:
    """(H, W), (H, W, 3) or (H, W, 4): uint16 where the file has 16 bits, else uint8."""
    picture.load()
    if is_deep(picture):
        found = cv2.imdecode(np.fromfile(picture.filename, np.uint8), _AS_IT_IS)
        if found is not None and found.dtype == np.uint16:
            return np.asarray(found[..., [2, 1, 0, 3][: found.shape[2]]] if found.ndim == 3 else found)
    if picture.mode in ("L", "1", "I", "I;16", "I;16B", "F"):
        return np.asarray(picture.convert("L"))
    clear = picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info
    return np.asarray(picture.convert("RGBA" if clear else "RGB"))


def _orientation(picture: Any) -> int:
    try:
        found = picture.getexif().get(_ORIENTATION, 1)
    except BROKEN:
        return 1
    return int(found) if found in _MIRRORED else 1


def _upright(pixels: Array, orientation: int) -> Array:
    if orientation > 4:
        pixels = pixels.swapaxes(0, 1)
    down, across = _MIRRORED[orientation]
    return pixels[::down, ::across]
