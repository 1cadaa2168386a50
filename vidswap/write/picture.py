"""A picture -> a file."""

from __future__ import annotations

from pathlib import Path

import cv2

from vidswap.errors import OutputError
from vidswap.files import as_output_error, check_place, write_whole
from vidswap.types import Array

KINDS = (".png", ".jpg", ".jpeg", ".webp")


def check_picture(out: Path) -> None:
    """Raise OutputError when no picture can be written to `out`. Call it before the work; it leaves nothing behind."""
    if out.suffix.lower() not in KINDS:
        raise OutputError(f"{out}: a picture's name ends in one of {', '.join(KINDS)}", "for example sheet.png")
    check_place(out)


def write_picture(out: Path, rgb: Array) -> None:
    """Write `rgb` (H, W, 3) uint8. Raises OutputError."""
    with as_output_error(out):
        write_whole(out, cv2.imencode(out.suffix, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))[1].tobytes())
