"""Photos -> a person as one recogniser describes them: the vector that an adapter was trained on, and no other.

FaceID and inswapper understand w600k_r50 of insightface's pack buffalo_l, InstantID glintr100 of antelopev2. Vectors
look alike whoever makes them, and of another recogniser's an adapter makes somebody else: so the very file is asked
for. Faces are found and set upright as insightface's FaceAnalysis does, by the pack's own detector.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from insightface.model_zoo import get_model

from vidswap.errors import EngineError, ModelError
from vidswap.face import geometry
from vidswap.face.boxes import overlap
from vidswap.face.template import upright
from vidswap.models.hub import digests_in, entry, how_to_get, place_of
from vidswap.models.sessions import PROVIDERS, session_options, translated
from vidswap.types import Array, Identity

PACKS = MappingProxyType({  # the detector and the recogniser of each
    "buffalo_l": ("det_10g.onnx", "w600k_r50.onnx"),
    "antelopev2": ("scrfd_10g_bnkps.onnx", "glintr100.onnx"),
})  # fmt: skip
SIZES = ((128, 128), (640, 640))  # at which insightface's FaceAnalysis looks for faces, unless told otherwise
SURE = 0.5  # a detection's least score, its choice too
KNOWN = 8  # identities that are kept: a render has few


@dataclass(frozen=True, eq=False)
class Sight:
    """What a pack makes of a `photo` (h, w, 3) uint8: the face's `five` points (5, 2) float32, its `vector` (E,)
    float32, as long as it comes."""

    photo: Array
    five: Array
    vector: Array

    def upright(self, size: int) -> Array:
        """(size, size, 3) uint8: the face on ArcFace's template."""
        return upright(self.photo, self.five, size)


@dataclass(frozen=True, eq=False)
class Recogniser:
    """A face pack that was opened: `sights` are what it makes of an identity's photos, best first, without those in
    which it finds nobody; they are kept. `files` tells the digests of what it is."""

    pack: str
    files: Mapping[str, str]
    sights: Callable[[Identity], tuple[Sight, ...]]

    def vector(self, identity: Identity, unit: bool) -> Array:
        """(E,) float32: the mean over an identity's photos, of unit length (insightface's `normed_embedding`) or as
        long as they come. Raises EngineError where no photo shows the pack a face."""
        vectors = [each.vector for each in self.seen(identity)]
        if not unit:
            return np.asarray(np.mean(vectors, 0), np.float32)
        mean = np.sum([each / np.linalg.norm(each) for each in vectors], 0)
        return np.asarray(mean / np.linalg.norm(mean), np.float32)

    def seen(self, identity: Identity) -> tuple[Sight, ...]:
        """At least one sight. Raises EngineError."""
        found = self.sights(identity)
        if not found:
            raise EngineError(f"the face pack {self.pack} finds no face in {identity.consent.subject}'s photos",
                              "use a sharp photo of the whole face, looking at the camera")  # fmt: skip
        return found


def open_recogniser(pack: str, instead: Path | None = None, threads: int = 1) -> Recogniser:
    """A pack of PACKS, as it was pulled, or the folder `instead` of it. Raises ModelError where it is missing, or its
    recogniser is another than the pack's."""
    folder = place_of(pack, instead)
    files = {name: _digest(pack, folder / name) for name in PACKS[pack]}
    how = {"providers": list(PROVIDERS), "sess_options": session_options(threads)}
    with translated(f"the face pack {pack} cannot be used", f"run `vidswap models verify {pack}`"):
        detector, recogniser = (get_model(str(folder / name), **how) for name in files)
        tasks = [getattr(each, "taskname", "nothing") for each in (detector, recogniser)]
        if tasks != ["detection", "recognition"]:
            raise ValueError(f"its models are for {' and '.join(tasks)}, not for detection and recognition")
        detector.prepare(0, det_thresh=SURE)
    return Recogniser(pack, files, lru_cache(KNOWN)(partial(_sights, detector, recogniser)))


def _digest(pack: str, file: Path) -> str:
    """The sha256 of a pack's detector or recogniser. Raises ModelError where it is missing, or another."""
    listed = entry(pack)
    if not file.is_file():
        raise ModelError(f"the face pack in {file.parent} has no {file.name}", how_to_get(listed))
    (found,) = digests_in(file).values()
    if found != listed.sha256[file.name]:
        raise ModelError(f"{file} is not {pack}'s {file.name}: what it tells of faces, nothing here understands",
                         how_to_get(listed))  # fmt: skip
    return found


def _sights(detector: Any, recogniser: Any, identity: Identity) -> tuple[Sight, ...]:
    pairs = zip(identity.photos, identity.meshes)
    return tuple(sight for photo, mesh in pairs if (sight := _sight(detector, recogniser, photo, mesh)))


def _sight(detector: Any, recogniser: Any, photo: Array, mesh: Array) -> Sight | None:
    """The face of a photo that lies where `mesh` (478, 3) says; None where the pack sees none there."""
    bgr = np.ascontiguousarray(photo[..., ::-1])
    boxes, fives = detector.detect(bgr, input_size=SIZES)
    own = geometry.bounds(mesh)
    best = max(range(len(boxes)), key=lambda k: overlap(boxes[k], own), default=None)
    if best is None or fives is None or overlap(boxes[best], own) <= 0:
        return None
    vector = recogniser.get_feat(upright(bgr, fives[best], recogniser.input_size[0])).flatten()
    return Sight(photo, fives[best], np.asarray(vector, np.float32))
