"""A photo file -> its pixels: upright, no larger than asked for, in sRGB.

OpenCV decodes what it can, Pillow the rest (CMYK, transparency) and says what a file is; phones save in the wider
colours of Display P3 (an ICC profile), and as HEIC.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pillow_heif
from PIL import Image, ImageCms, ImageOps

from vidswap.errors import IdentityError
from vidswap.media.images import BROKEN, endings_of, kind_in
from vidswap.types import Array

SUFFIXES = endings_of(lambda kind: kind.photos)
HINT = f"use a photo in one of {', '.join(SUFFIXES)}"
MAX_BYTES = 64 << 20
MAX_PIXELS = 120_000_000  # the largest phone cameras have 108 or 200 megapixels but store 12 to 108
PAPER = 128  # grey level behind what is transparent
SAME_COLOURS = 2  # levels by which a profile must change some colour to be another than sRGB
_SPACES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}  # a profile's colours (ICC.1, 7.2.8) and Pillow's word for them


@dataclass(frozen=True, eq=False)
class Photo:
    """`rgb` (H, W, 3) uint8, sRGB, upright as its EXIF says; `notes` say what was wrong with the file, a line each."""

    name: str
    rgb: Array
    notes: tuple[str, ...] = ()


def read_photo(path: Path, side: int) -> Photo:
    """A photo, its longer side at most `side`; of an animation the first picture. Raises IdentityError."""
    raw, notes = _bytes(path), list[str]()
    with _opened(raw, path) as picture:
        _check_size(picture.size, path)
        pixels = _pixels(raw, picture, path)
        profile = picture.info.get("icc_profile")
    pixels = shrunk(pixels, side)[0]
    try:
        rgb = in_srgb(pixels, profile) if profile else pixels
    except (ImageCms.PyCMSError, *BROKEN):
        rgb = pixels
        notes.append(f"the colour profile of {path.name} is damaged; its colours are taken as sRGB")
    if rgb.shape[2] == 4:  # CMYK that says nothing of its inks
        rgb = np.asarray(Image.fromarray(rgb, "CMYK").convert("RGB"))
    return Photo(path.name, np.ascontiguousarray(rgb), tuple(notes))


def shrunk(rgb: Array, side: int) -> tuple[Array, Array]:
    """The picture with its longer side at most `side`, and the zoom (2,) in x and y."""
    height, width = rgb.shape[:2]
    ratio = side / max(height, width)
    if ratio >= 1:
        return rgb, np.ones(2)
    size = (max(1, round(width * ratio)), max(1, round(height * ratio)))
    return cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.array([size[0] / width, size[1] / height])


def in_srgb(pixels: Array, profile: bytes) -> Array:
    """(H, W, 3) or CMYK (H, W, 4) uint8 in the colours of an ICC profile -> (H, W, 3) uint8 sRGB; as it was where the
    profile is sRGB's, or one of other colours than the pixels have. Raises PyCMSError for a profile that is none."""
    source = ImageCms.getOpenProfile(io.BytesIO(profile))
    mode = _SPACES.get(source.profile.xcolor_space, "")
    if mode not in (("CMYK",) if pixels.shape[2] == 4 else ("RGB", "L")):
        return pixels
    change = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")

    def changed(values: Array) -> Array:
        picture = Image.fromarray(np.ascontiguousarray(values[..., 0] if mode == "L" else values), mode)
        return np.asarray(ImageCms.applyTransform(picture, change))

    levels = np.arange(0, 256, 17, dtype=np.uint8)
    some = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(1, -1, 3)
    some = some[:, :, :1].repeat(3, 2) if mode == "L" else some
    if mode != "CMYK" and cv2.absdiff(changed(some), some).max() <= SAME_COLOURS:
        return pixels
    return changed(pixels)


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise IdentityError(f"cannot read the photo {path}: {reason}", "check its name and its permissions") from error
    if len(raw) > MAX_BYTES:
        raise IdentityError(f"{path.name} is larger than {MAX_BYTES >> 20} MB", HINT)
    return raw


def _opened(raw: bytes, path: Path) -> Any:
    """The picture, not yet decoded: what it says of its size is known first. Raises IdentityError.

    HEIC is turned while it is decoded, whatever its EXIF says besides."""
    kind = kind_in(raw[:16])
    try:
        if pillow_heif.is_supported(raw):
            found = pillow_heif.open_heif(raw)
            _check_size(found.size, path)
            return found.to_pillow()
        picture = kind.reader(io.BytesIO(raw)) if kind and kind.photos else None
    except BROKEN as error:
        raise _damaged(path) from error
    if picture is None:
        raise IdentityError(f"{path.name} is not a picture, or of a kind that is not read", HINT)
    _check_size(picture.size, path)
    return picture


def _damaged(path: Path) -> IdentityError:
    return IdentityError(f"{path.name} is damaged, or a part of it is missing", "copy it anew from where it was taken")


def _check_size(size: tuple[int, int], path: Path) -> None:
    if size[0] * size[1] > MAX_PIXELS:
        message = f"{path.name} is {size[0]}x{size[1]}, more than {MAX_PIXELS // 10**6} megapixels"
        raise IdentityError(message, "make it smaller; or its header is damaged")


def _pixels(raw: bytes, picture: Any, path: Path) -> Array:
    """(H, W, 3) uint8, or (H, W, 4) of CMYK; upright. Raises IdentityError."""
    try:
        if picture.mode == "CMYK":
            return np.asarray(ImageOps.exif_transpose(picture))
        if picture.has_transparency_data:
            return _on_paper(ImageOps.exif_transpose(picture).convert("RGBA"))
        if picture.format is None:  # HEIC, which OpenCV does not know
            return np.asarray(picture.convert("RGB"))
        bgr = cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_COLOR)
    except (cv2.error, *BROKEN) as error:
        raise _damaged(path) from error
    if bgr is None:
        raise _damaged(path)
    return np.asarray(bgr[..., ::-1])


def _on_paper(picture: Any) -> Array:
    values = np.asarray(picture)
    alpha = values[..., 3:].astype(np.float32) / 255
    return np.asarray(np.rint(values[..., :3] * alpha + PAPER * (1 - alpha)), np.uint8)
