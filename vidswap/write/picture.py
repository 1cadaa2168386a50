"""A picture -> a file."""

from __future__ import annotations

from pathlib import Path

import cv2

from vidswap.files import as_output_error, write_whole
from vidswap.types import Array


def write_picture(out: Path, rgb: Array) -> None:
    """Write `rgb` (H, W, 3) uint8. Raises OutputError."""
    with as_output_error(out):
        write_whole(out, cv2.imencode(out.suffix, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))[1].tobytes())
