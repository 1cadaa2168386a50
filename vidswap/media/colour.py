"""Matrices and ranges of YUV by FFmpeg's numbers, and what untagged pictures have."""

from __future__ import annotations

RGB, BT709, UNTAGGED, FILM625, BT601 = 0, 1, 2, 5, 6  # the last two are one matrix
LIMITED, FULL = 1, 2
_HD = 1280, 720  # from one of these on an untagged picture is BT.709; FFmpeg alone would take it for BT.601


def matrix_of(width: int, height: int) -> int:
    """The matrix of untagged pictures of a size."""
    return BT709 if width >= _HD[0] or height >= _HD[1] else BT601
