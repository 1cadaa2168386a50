"""A composited frame -> the picture that is written: of the target's shape, with what is written on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from vidswap.media.native import film_maker, plain
from vidswap.media.view import to_rgb, view_of
from vidswap.types import Clip, Frame, Shot, Track
from vidswap.write.camera import camera_path, subjects_of
from vidswap.write.inscription import Inscription, inscriber
from vidswap.write.reframe import reframe
from vidswap.write.target import Target

Framing = Callable[[Frame], Frame]  # a frame as one of the target's shape


def framing(target: Target, clip: Clip, shots: Sequence[Shot], tracks: Sequence[Track]) -> Framing:
    """What makes a frame one of the target's shape, the camera following who is on the tracks, and writes on it."""
    shaped, inscription, span = shaping(target, clip, shots, tracks), target.inscription, target.span
    if inscription is None and not target.is_plain:
        return shaped
    inscribe = inscriber(inscription or Inscription(), (target.shape.width, target.shape.height))
    rgb, reformatter = to_rgb(target.seen(clip)), film_maker()

    def framed(frame: Frame) -> Frame:
        made = shaped(frame)
        if frame.index < span.start:
            return made
        if target.is_plain:
            made = replace(made, native=plain(made.native, rgb, reformatter))
        inscribe(made.native, clip.seconds(frame.index) - clip.seconds(span.start))
        return made

    return framed


def shaping(target: Target, clip: Clip, shots: Sequence[Shot], tracks: Sequence[Track]) -> Framing:
    """What makes a frame one of the target's shape, the camera following who is on the tracks."""
    if not target.is_reshaped:
        return lambda frame: frame
    shape, span, size = target.shape, target.span, view_of(clip).size
    seconds = np.array([clip.seconds(index) for index in range(span.start, span.stop)])
    rows = [Shot(each.start - span.start, each.stop - span.start) for each in shots]
    camera = camera_path(shape, size, seconds, rows, subjects_of(tracks, span))

    def shaped(frame: Frame) -> Frame:
        row = frame.index - span.start
        return frame if row < 0 else replace(frame, native=reframe(frame.native, camera[row], shape, frame.to_stored))

    return shaped
