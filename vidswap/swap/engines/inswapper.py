"""The engine `inswapper`: insightface's inswapper_128, for who has the file. The yardstick that everybody knows.

It sees a face of 128 pixels on ArcFace's template and a person as w600k_r50 describes them, and gives the same picture
with the person's face. All around it is ours: the picture comes back at the crop's resolution, within the face that the
mesh tells, in the scene's light, with its low band steadied over time, under what covers the face. insightface's own
class is not used: it says its shape to the standard output as it is opened.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from vidswap.face import geometry, landmarks
from vidswap.face import relight as match
from vidswap.face.raster import Drawing, Surface, draw, surface, with_ring
from vidswap.face.template import to_template
from vidswap.keys import key_of, packages
from vidswap.models.hub import digests_in, place_of
from vidswap.models.sessions import last_weights, open_session, session_options, translated
from vidswap.processor import cores
from vidswap.settings import FILE, Place, Setting, number
from vidswap.swap.engine import Advance, Needs
from vidswap.swap.engines import warp
from vidswap.swap.sampler import bands_before, low_band, smooth_latents
from vidswap.swap.vectors import Recogniser, open_recogniser
from vidswap.types import Array, Crops, Identity, Swapped

MODEL, PACK = "inswapper_128", "buffalo_l"
SIDE = 128
VECTOR = 512
BLUR = 8  # pixels of SIDE: what is steadied is coarser
SPREAD = 0.1  # of what a face changes, in pictures of [-1, 1]
EDGE = 3.0  # pixels of SIDE, over which the square's edge fades
NEEDS = Needs(size=512, framing="aligned", window=16, overlap=4)
SPEED = "slow"  # on a processor: 175 GFLOP a face


@dataclass(frozen=True)
class Settings:
    weights: Setting[Place | None, Path | None] = Setting(FILE, None, "inswapper_128.onnx", "where it was put")
    pack: Setting[Place | None, Path | None] = Setting(FILE, None, "the folder of buffalo_l", "as it was pulled")
    smooth: Setting[float, float] = Setting(number(0, 1), 0.5, "steadiness over time: 0 is each frame alone")


def models(settings: Settings) -> tuple[str, ...]:
    """What it opens."""
    return MODEL, PACK


@dataclass(frozen=True, eq=False)
class Swapper:
    """The network, and the matrix (512, 512) that takes a recogniser's vectors to its own."""

    session: Any
    emap: Array

    def latent(self, vector: Array) -> Array:
        """(1, 512) float32: whom to draw, for the unit vector (512,) that the pack tells."""
        latent = np.dot(vector.reshape(1, -1), self.emap)
        latent /= np.linalg.norm(latent)
        return np.asarray(latent, np.float32)

    def swap(self, face: Array, latent: Array) -> Array:
        """(128, 128, 3) uint8: a face of that size on the template, made another's."""
        seen = np.ascontiguousarray(face.transpose(2, 0, 1)[None], np.float32) * np.float32(1 / 255)
        names = [each.name for each in self.session.get_inputs()]
        (drawn,) = self.session.run(None, dict(zip(names, (seen, latent))))
        return np.asarray(np.clip(255 * drawn[0].transpose(1, 2, 0), 0, 255).astype(np.uint8))


@dataclass(frozen=True, eq=False)
class InSwapper:
    """Values that `swap` is a function of."""

    swapper: Swapper
    recogniser: Recogniser
    form: Surface
    settings: Settings
    weights: str
    light: match.LightSettings = warp.LIGHT
    needs: Needs = NEEDS
    exact: bool = True

    @property
    def key(self) -> str:
        """The digests of the network and of the pack, how much is steadied, and the libraries."""
        libraries = packages("numpy", "opencv-python", "opencv-python-headless", "onnxruntime", "torch")
        return key_of((self.weights, self.recogniser.files, self.settings.smooth, self.light, libraries))

    def swap(self, crops: Crops, identity: Identity, before: Swapped | None, progress: Advance) -> Swapped:
        """The identity's face in each crop; `before.latents` are the low bands of what changed in the window before."""
        latent = self.swapper.latent(self.recogniser.vector(identity, unit=True))
        ways = [to_template(geometry.five_points(mesh), SIDE) for mesh in crops.mesh]
        seen = [cv2.warpAffine(crop, way, (SIDE, SIDE), borderValue=0.0) for crop, way in zip(crops.rgb, ways)]
        drawn = []
        for row, face in enumerate(seen):
            drawn.append(self.swapper.swap(face, latent))
            progress(row + 1, len(crops))
        change = (np.stack(drawn).astype(np.float32) - np.stack(seen)) / 127.5
        calm = smooth_latents(torch.from_numpy(change.transpose(0, 3, 1, 2)).contiguous(), bands_before(crops, before),
                              self.settings.smooth, BLUR, SPREAD)  # fmt: skip
        faces = np.stack(seen) + 127.5 * calm.permute(0, 2, 3, 1).numpy()
        pictures = [laid_back(*each) for each in zip(crops.rgb, faces, ways)]
        rgb, alpha = self._in_light(crops, pictures)
        return Swapped(crops, rgb, alpha, low_band(calm, BLUR).numpy())

    def _in_light(self, crops: Crops, faces: Sequence[Array]) -> tuple[Array, Array]:
        """Faces (S, S, 3) uint8 lit and toned as the scene is, one tone for all, and how much of each to lay."""
        drawings = [drawn_face(self.form, mesh, crops.rgb.shape[1]) for mesh in crops.mesh]
        some = range(0, len(crops), max(1, len(crops) // 4))
        tones = [self._tone(crops, row, faces[row], drawings[row]) for row in some]
        how = match.Tone(*(float(value) for value in np.mean(tones, axis=0)))
        rgb, alpha = [], []
        for row, (crop, face, drawing) in enumerate(zip(crops.rgb, faces, drawings)):
            lit = match.relight(face, crop, drawing, self.light, how)
            toned = match.tone(lit, how, warp.zoom_of(crops, row), match.eyes_share(drawing, drawing.size))
            cover = match.face_alpha(drawing, self.light)
            rgb.append(cv2.copyTo(np.clip(np.rint(toned), 0, 255).astype(np.uint8), (cover > 0).view(np.uint8),
                                  crop.copy()))  # fmt: skip
            alpha.append(cover * (1 - warp.covered(crops.mask[row], crops.mesh[row])))
        return np.stack(rgb), np.stack(alpha).astype(np.float32)

    def _tone(self, crops: Crops, row: int, face: Array, drawing: Drawing) -> tuple[float, float, float, float]:
        """The tone that sets a face into its crop."""
        crop = crops.rgb[row]
        how = match.contrast_of(match.relight(face, crop, drawing, self.light), crop, drawing, self.light)
        lit = match.relight(face, crop, drawing, self.light, how)
        fine = match.sharpness_of(lit, crop, match.face_alpha(drawing, self.light), warp.zoom_of(crops, row))
        return how.contrast, how.colour, fine.blur, fine.sharpen


def drawn_face(form: Surface, mesh: Array, size: int) -> Drawing:
    """Where a crop of `size` shows the face of a mesh (478, 3), its mouth too: the network draws what is in it."""
    drawing = draw(form, with_ring(mesh, mesh), size)
    part = np.where(drawing.part == 2, 0, drawing.part).astype(np.int8)
    return replace(drawing, part=part, mouth=np.zeros_like(drawing.mouth))


def laid_back(crop: Array, face: Array, way: Array) -> Array:
    """(S, S, 3) uint8: a crop with a `face` (128, 128, 3) float32 where the template `way` (2, 3) took it from."""
    size = (len(crop), len(crop))
    back = geometry.invert(way)
    large = cv2.warpAffine(face, back, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    place = np.minimum(np.arange(SIDE), np.arange(SIDE)[::-1]).astype(np.float32)
    fade = np.clip(np.minimum(place, place[:, None]) / EDGE, 0, 1)
    share = cv2.warpAffine(fade, back, size, flags=cv2.INTER_LINEAR)
    mixed = cv2.blendLinear(large, crop.astype(np.float32), share, 1 - share)
    return np.asarray(np.clip(np.rint(mixed), 0, 255).astype(np.uint8))


def open_swapper(path: Path) -> Swapper:
    """The network in a file of inswapper's format. Raises ModelError."""
    with translated(f"{path} cannot be used", "give inswapper_128.onnx, whole"):
        session = open_session(path, session_options(cores()))
        shapes = [list(each.shape) for each in (*session.get_inputs(), *session.get_outputs())]
        emap = last_weights(path)
        if shapes != [[1, 3, SIDE, SIDE], [1, VECTOR], [1, 3, SIDE, SIDE]] or emap.shape != (VECTOR, VECTOR):
            raise ValueError(f"it takes and gives {shapes}, its last weights are {emap.shape}: that is no inswapper")
    return Swapper(session, emap)


@contextmanager
def load(settings: Settings, cache: Path | None = None) -> Iterator[InSwapper]:
    """The engine. Raises ModelError where the network or the face pack is missing, or another."""
    path = place_of(MODEL, settings.weights)
    recogniser = open_recogniser(PACK, settings.pack, cores())
    swapper = open_swapper(path)
    (digest,) = digests_in(path).values()
    form = surface(landmarks.mean_face(), landmarks.triangles())
    yield InSwapper(swapper, recogniser, form, settings, digest)
