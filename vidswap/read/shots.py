"""Pictures in order -> where the cuts are."""

from __future__ import annotations

import cv2
import numpy as np
from scenedetect.common import FrameTimecode
from scenedetect.detectors import ContentDetector

from vidswap.types import Array

WIDTH = 160  # pixels of the picture that is compared
_PROPOSED = 22.0  # score that makes the detector propose a cut; below its usual 27, as each proposal is looked at again
_ALIKE = 0.35  # correlation of the details of two pictures, from which on they show the same scene in another light
_BLANK = 1.0  # grey levels of detail below which a picture shows nothing: white of a flash, black between scenes


class CutDetector:
    """Tells for each frame, fed in order, whether a cut lies before it; decided at once, without lag.

    PySceneDetect's ContentDetector proposes; a proposal is dropped where the details of the picture stayed (a flash, a
    lamp switched on) or where the picture is blank (a flash's white, a fade's black): the next picture with details is
    compared instead with the last one before."""

    def __init__(self) -> None:
        self._detector = ContentDetector(threshold=_PROPOSED, min_scene_len=0)
        self._count = 0
        self._detail: Array | None = None
        self._doubt = False

    def __call__(self, rgb: Array) -> bool:
        """`rgb` (H, W, 3) uint8. True when a cut lies before this frame; never for the first."""
        small = shrunk(rgb)
        proposed = bool(self._detector.process_frame(FrameTimecode(self._count, 25.0), small[..., ::-1].copy()))
        self._count += 1
        detail, before = detail_of(small), self._detail
        self._doubt |= proposed and before is not None
        if float(detail.std()) < _BLANK:
            self._doubt = before is not None
            return False
        self._detail = detail
        cut = self._doubt and before is not None and correlation(detail, before) < _ALIKE
        self._doubt = False
        return cut


def shrunk(rgb: Array) -> Array:
    """A picture WIDTH pixels wide; one that is already stays as it is."""
    height, width = rgb.shape[:2]
    size = (WIDTH, max(8, round(height * WIDTH / width)))
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)


def detail_of(small: Array) -> Array:
    """Luma without its slow changes, so that light that changes evenly leaves it as it was; float32."""
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(grey, (0, 0), 2) - cv2.GaussianBlur(grey, (0, 0), 8), np.float32)


def correlation(a: Array, b: Array) -> float:
    """Of two pictures of detail, -1 to 1."""
    return float((a * b).mean() / max(float(a.std() * b.std()), 1e-6))
