"""Kinds of picture files, a record each: how one is known, read and written. The one door to Pillow's readers, each
named, none guessed."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

QUALITY = 95  # of JPEG and lossy WebP
FILM = (".mjpeg", ".mjpg")  # many jpg in one file


def _is_shallow(picture: Any) -> bool:
    return False


def _is_deep_png(picture: Any) -> bool:
    with open(picture.filename, "rb") as file:
        return file.read(25)[24:] == b"\x10"


def _is_deep_tiff(picture: Any) -> bool:
    return 16 in tuple(picture.tag_v2.get(258, ()))


@dataclass(frozen=True)
class ImageKind:
    """A kind of picture file, by Pillow's `name` of it. `begins` is how such a file begins, a pattern, `reader` what
    reads it; `is_deep` tells of an open one whether it has 16 bits a channel, of which Pillow makes 8. `parts`: folders
    of such are read. `stills`: single pictures are written as it, `deep`: of 16 bits, too; `moves`: animations are,
    whose times count in `tick` ms; `photos`: photos of a person are read of it, and sheets written. `clear`: it keeps
    transparency; `indexed`: it has 256 colours at most. `holds` is what it says besides pixels, and `saving` how it is
    written, in Pillow's words."""

    name: str
    endings: tuple[str, ...]
    begins: bytes = b"$."
    reader: Any = None
    is_deep: Callable[[Any], bool] = _is_shallow
    parts: bool = True
    stills: bool = False
    deep: bool = False
    moves: bool = False
    photos: bool = False
    clear: bool = True
    indexed: bool = False
    tick: int = 1
    holds: tuple[str, ...] = ()
    saving: Mapping[str, Any] = field(default_factory=dict)


KINDS = (
    ImageKind("PNG", (".png",), rb"\x89PNG\r\n\x1a\n", PngImageFile, _is_deep_png, stills=True, moves=True, photos=True,
              deep=True, holds=("pnginfo", "exif", "icc_profile", "dpi")),
    ImageKind("JPEG", (".jpg", ".jpeg"), rb"\xff\xd8\xff", JpegImageFile, stills=True, photos=True, clear=False,
              holds=("exif", "xmp", "icc_profile", "dpi"), saving={"quality": QUALITY, "subsampling": 0}),
    ImageKind("WEBP", (".webp",), rb"(?s)RIFF....WEBP", WebPImageFile, stills=True, moves=True, photos=True,
              holds=("exif", "xmp", "icc_profile"), saving={"method": 4}),
    ImageKind("BMP", (".bmp",), rb"BM", BmpImageFile),
    ImageKind("TIFF", (".tif", ".tiff"), rb"II\*\0|MM\0\*", TiffImageFile, _is_deep_tiff, stills=True,
              holds=("exif", "icc_profile", "dpi"), saving={"compression": "tiff_lzw"}),
    ImageKind("GIF", (".gif",), rb"GIF8[79]a", GifImageFile, parts=False, moves=True, indexed=True, tick=10,
              holds=("comment",), saving={"optimize": False}),
    ImageKind("HEIF", (".heic", ".heif"), parts=False, photos=True),  # read.photo knows and reads it by itself
)  # fmt: skip
# What Pillow, libheif and OpenCV raise over damaged files.
BROKEN = (OSError, ValueError, SyntaxError, EOFError, LookupError, TypeError, ArithmeticError, AttributeError,
          RuntimeError, MemoryError, struct.error, Image.DecompressionBombError, cv2.error)  # fmt: skip


def is_pictures(path: Path) -> bool:
    """Whether a path is a folder, or a file that begins as a picture or an animation does."""
    if path.is_dir():
        return True
    if path.suffix.lower() in FILM:
        return False
    try:
        return kind_of(path) is not None
    except OSError:  # whoever reads it as film will say why
        return False


def kind_called(path: Path) -> ImageKind | None:
    """The kind of picture that the ending of a path names; None for all else."""
    return next((kind for kind in KINDS if path.suffix.lower() in kind.endings), None)


def kind_of(path: Path) -> ImageKind | None:
    """The kind of picture, or animation, that a file begins as; None for all else. Raises OSError."""
    with path.open("rb") as file:
        return kind_in(file.read(16))


def kind_in(head: bytes) -> ImageKind | None:
    """The kind of picture that begins so; None for all else."""
    return next((kind for kind in KINDS if re.match(kind.begins, head)), None)


def is_deep(picture: Any) -> bool:
    """Whether an open picture has 16 bits a channel, whatever Pillow makes of it."""
    return any(kind.is_deep(picture) for kind in KINDS if kind.name == picture.format)


def endings_of(wanted: Callable[[ImageKind], bool]) -> tuple[str, ...]:
    """The endings of the kinds that are wanted."""
    return tuple(ending for kind in KINDS if wanted(kind) for ending in kind.endings)
