"""Files of pictures: what kind one is, by how it begins; the one door to Pillow's readers, each named, none guessed."""

from __future__ import annotations

import struct
from pathlib import Path
from types import MappingProxyType
from typing import Any

import cv2
from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

READERS: MappingProxyType[bytes, Any] = MappingProxyType({  # by how a file begins
    b"\x89PNG\r\n\x1a\n": PngImageFile, b"\xff\xd8\xff": JpegImageFile, b"BM": BmpImageFile,
    b"GIF87a": GifImageFile, b"GIF89a": GifImageFile, b"II*\0": TiffImageFile, b"MM\0*": TiffImageFile,
})  # fmt: skip
PHOTOS = (JpegImageFile, PngImageFile, WebPImageFile)  # of which photos of a person are taken
# What Pillow, libheif and OpenCV raise over damaged files.
BROKEN = (OSError, ValueError, SyntaxError, EOFError, LookupError, TypeError, ArithmeticError, AttributeError,
          RuntimeError, MemoryError, struct.error, Image.DecompressionBombError, cv2.error)  # fmt: skip
_FILM = (".mjpeg", ".mjpg")  # many jpg in one file


def is_pictures(path: Path) -> bool:
    """Whether a path is a folder, or a file that begins as a picture or an animation does."""
    if path.is_dir():
        return True
    if path.suffix.lower() in _FILM:
        return False
    try:
        return reader_of(path) is not None
    except OSError:  # whoever reads it as film will say why
        return False


def reader_of(file: Path) -> Any:
    """What reads a file that begins as a picture or an animation does; None for all else. Raises OSError."""
    with file.open("rb") as opened:
        return reader_for(opened.read(16))


def reader_for(head: bytes) -> Any:
    """What reads a picture that begins so; None for all else."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return WebPImageFile
    return next((reader for mark, reader in READERS.items() if head.startswith(mark)), None)
