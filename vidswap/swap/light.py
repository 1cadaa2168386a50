"""The aligned picture of a face and its mesh -> the light on it: what the picture has to be divided by to leave the
face's own colours. Logarithms of linear light, so that light and colours add up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from vidswap.face import geometry, landmarks
from vidswap.face.averages import averaged
from vidswap.face.raster import draw_triangles
from vidswap.face.skin import between_features
from vidswap.models.registry import path_to
from vidswap.models.sessions import open_session, session_options, translated
from vidswap.types import Array

SIDE = 128
GAMMA = 2.2  # of pictures: what is linear in light is this power of their values
SLOW = 0.065  # share of the side over which light changes: at .02 the actor's features come along, and likeness falls
FINE, STEP = 0.01, 0.3  # the same for edges of shadows, and how high these are at least
DARKEST = 2e-3  # added to light before its logarithm: noise of dark pixels is no light


@dataclass(frozen=True, eq=False)
class LightModel:
    """A session of light.onnx: `rgb` (1, 3, SIDE, SIDE) in 0 to 1 and `geometry` (1, 6, SIDE, SIDE) -> `light` (1, 3,
    SIDE, SIDE); with the mean face (478, 3) and the triangles (K, 3) of its skin."""

    session: Any
    mean: Array
    triangles: Array

    def light(self, picture: Array, mesh: Array) -> Array:
        """(SIDE, SIDE, 3) float32: the logarithm of the light on a picture (S, S, 3) uint8 with its mesh (478, 3),
        framed as geometry.crop_transform does; without edges."""
        return plain(self._told(picture, self._placed(picture, mesh)))

    def light_and_edges(self, picture: Array, mesh: Array) -> tuple[Array, Array]:
        """`light`, and what its edges are besides."""
        placed = self._placed(picture, mesh)
        told = self._told(picture, placed)
        return plain(told), edges(told, between_features(placed, SIDE))

    def _told(self, picture: Array, placed: Array) -> Array:
        rgb = np.ascontiguousarray(shrunk(picture).transpose(2, 0, 1)[None], np.float32) / 255
        told = planes(placed, self.mean, self.triangles)
        (light,) = self.session.run(None, {"rgb": rgb, "geometry": told[None]})
        return np.asarray(light[0].transpose(1, 2, 0))

    def _placed(self, picture: Array, mesh: Array) -> Array:
        return geometry.apply(geometry.enlarge(SIDE / len(picture)), mesh)


def plain(light: Array) -> Array:
    """Light (SIDE, SIDE, 3) without what is finer than light mostly is: features would be taken off with it, and the
    actor's put on."""
    return np.asarray(cv2.GaussianBlur(light, (0, 0), SIDE * SLOW), np.float32)


def edges(light: Array, skin: Array) -> Array:
    """What light (SIDE, SIDE, 3) is besides `plain` on plain `skin` (SIDE, SIDE), where that is so much that no feature
    is taken for it: the edges of shadows."""
    step = averaged(light, skin, SIDE * FINE) - plain(light)
    size = np.abs(step.mean(-1, keepdims=True))
    return np.asarray(step * skin[..., None] * (np.maximum(size - STEP, 0) / np.maximum(size, 1e-6)), np.float32)


def shrunk(picture: Array) -> Array:
    """A picture (S, S, C) at the side that the network sees."""
    return np.asarray(cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA))


def planes(mesh: Array, mean: Array, triangles: Array) -> Array:
    """(6, SIDE, SIDE) float32: normals of a mesh (478, 3) in pixels (x right, y down, z to the viewer) and where on the
    mean face each pixel lies; 0 where there is no face."""
    a, b, c = (mesh[triangles[:, k]] for k in range(3))
    face = np.cross(b - a, c - a)
    face *= np.where(face[:, 2:] > 0, -1, 1)
    normal = np.zeros((len(mesh), 3), np.float32)
    for k in range(3):
        np.add.at(normal, triangles[:, k], face)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-9
    normal[:, 2] *= -1
    told = np.concatenate([normal, mean], 1)[triangles].mean(1)
    seen = draw_triangles(mesh, mesh[:, 2], triangles, SIDE)
    drawn = np.concatenate([told, np.zeros((1, 6))]).astype(np.float32)[seen]
    soft = cv2.GaussianBlur(drawn, (0, 0), 1.0) * (seen >= 0)[..., None]
    return np.ascontiguousarray(soft.transpose(2, 0, 1), np.float32)


def open_light() -> LightModel:
    """The model that ships. Raises ModelError."""
    path = path_to("light")
    with translated("the light model cannot be loaded", "run `vidswap models verify`"):
        session = open_session(path, session_options())
    return LightModel(session, landmarks.mean_face(), landmarks.triangles().astype(int))
