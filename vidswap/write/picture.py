"""A picture -> a file."""

from __future__ import annotations

import os
from pathlib import Path

import cv2

from vidswap.errors import OutputError
from vidswap.types import Array

KINDS = (".png", ".jpg", ".jpeg", ".webp")


def check_picture(out: Path) -> None:
    """Raise OutputError when no picture can be written to `out`. Call it before the work; it leaves nothing behind."""
    if out.suffix.lower() not in KINDS:
        raise OutputError(f"{out}: a picture's name ends in one of {', '.join(KINDS)}", "for example sheet.png")
    if not out.parent.is_dir():
        raise OutputError(f"{out}: there is no folder {out.parent}", "make it first")
    if out.is_dir() or not os.access(out if out.exists() else out.parent, os.W_OK):
        raise OutputError(f"{out} cannot be written", "choose another name or folder")


def write_picture(out: Path, rgb: Array) -> None:
    """Write `rgb` (H, W, 3) uint8 by way of a `.part` file. Raises OutputError."""
    part = out.with_name(out.name + ".part")
    try:
        part.write_bytes(cv2.imencode(out.suffix, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))[1].tobytes())
        part.replace(out)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OutputError(f"{out}: {error.strerror}", "choose another folder, or make room") from error
