"""The aligned picture of a face -> what each pixel is: skin, hair, glasses, what is in front of the face, and so on.

A picture's parts are told by a network at SIDE pixels, of which the inner INNER are what an aligned crop shows; around
lie hair, neck and shoulders.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from vidswap.face import geometry, landmarks
from vidswap.face.sampling import sample
from vidswap.models.registry import path_to
from vidswap.models.sessions import open_session, session_options, translated
from vidswap.types import Array

SIDE, INNER = 176, 130
PARTS = ("else", "skin", "brow", "eye", "mouth", "hair", "rim", "lens", "beard", "front", "body")
ELSE, SKIN, BROW, EYE, MOUTH, HAIR, RIM, LENS, BEARD, FRONT, BODY = range(len(PARTS))


def framing(mesh: Array, mean: Array, side: int = SIDE) -> Array:
    """(2, 3) float64: pixel of a picture -> pixel of the square of `side` in which parts are told: the aligned crop at
    INNER pixels, with what lies around."""
    return np.asarray(geometry.crop_transform(mesh, mean, INNER) + np.array([[0, 0, (side - INNER) / 2]]))


@dataclass(frozen=True, eq=False)
class PartsModel:
    """A session of parts.onnx: `rgb` (1, 3, SIDE, SIDE) in 0 to 1 -> `parts` (1, PARTS, SIDE, SIDE), shares that sum to
    1; with the mean face (478, 3)."""

    session: Any
    mean: Array

    def parts(self, picture: Array, mesh: Array) -> tuple[Array, Array]:
        """(PARTS, SIDE, SIDE) float32 of a picture (H, W, 3) uint8 with its mesh (478, 3); and (2, 3): pixel of the
        picture -> pixel of that."""
        to_parts = framing(mesh, self.mean)
        return self.told(sample(picture, to_parts, SIDE)), to_parts

    def told(self, rgb: Array) -> Array:
        """(PARTS, SIDE, SIDE) float32 of an aligned picture (SIDE, SIDE, 3) uint8."""
        seen = np.ascontiguousarray(rgb.transpose(2, 0, 1)[None], np.float32) / 255
        return np.asarray(self.session.run(None, {"rgb": seen})[0][0])


def open_parts() -> PartsModel:
    """The model that ships. Raises ModelError."""
    path = path_to("parts")
    with translated("the parts model cannot be loaded", "run `vidswap models verify`"):
        session = open_session(path, session_options())
    return PartsModel(session, landmarks.mean_face())
