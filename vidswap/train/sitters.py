"""Rendered people -> pictures of their heads in environments' light, as samples of light and of parts are made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from vidswap.face import geometry
from vidswap.read.faces import FaceReader
from vidswap.train import heads, studio
from vidswap.train.heads import Random
from vidswap.types import Array

FOUND = 256  # side of the picture in which the mesh of a rendered head is found


@dataclass(frozen=True, eq=False)
class Sitter:
    """A head in a pose with its normals (V, 3), its points `flat` (V, 2) in a picture of FOUND pixels, and the `mesh`
    (478, 3) that is found there."""

    head: heads.Head
    normal: Array
    flat: Array
    mesh: Array

    def seen(self, matrix: Array, size: int) -> studio.View:
        """The head in the crop of that size which `matrix` (2, 3) takes the picture to."""
        return studio.seen(self.head, geometry.apply(matrix, self.flat), size, self.normal)


def environments(data: Path) -> list[Array]:
    """The maps (h, w, 3) of `data`/light/environments.npz."""
    stored = np.load(data / "light" / "environments.npz")
    return [stored[name].astype(np.float32) for name in stored.files]


def poses(data: Path, people: int, each: int, seed: int) -> Iterator[tuple[int, heads.Head, Random]]:
    """So many people of `data`/heads/makehuman, in so many poses `each`: their number, a head, and the chance for all
    that is to be made of it."""
    material = heads.load_material(data / "heads" / "makehuman")
    for number in range(people):
        rng = np.random.default_rng([seed, number])
        body, looks, hair = heads.person(material, rng)
        for _ in range(each):
            yield number, heads.posed(material, body, looks, hair, rng), rng


def seated(head: heads.Head, finder: FaceReader, rng: Random) -> Sitter | None:
    """A head before the camera; None where no face is found in it."""
    normal = studio.normals(head.points, head.triangles)
    flat = studio.project(head, float(rng.uniform(0.9, 1.1)), FOUND)
    found = finder.detect(plain(head, studio.seen(head, flat, FOUND, normal), rng))
    return Sitter(head, normal, flat, found[0].mesh) if len(found) == 1 else None


def plain(head: heads.Head, view: studio.View, rng: Random) -> Array:
    """(S, S, 3) uint8: a head in light from the camera, on grey."""
    colour, _ = studio.coloured(head, view, rng)
    picture = np.full((view.size, view.size, 3), 0.25, np.float32)
    picture[view.where[0], view.where[1]] = colour * (0.3 + np.maximum(-view.normal[:, 2:], 0))
    return heads.encoded(picture / max(float(np.quantile(picture, 0.98)), 0.05) * 0.8)


def taken(head: heads.Head, view: studio.View, environment: Array, sky: tuple[Array, Array], *, lamps: float,
          rng: Random) -> studio.Shot:  # fmt: skip
    """A picture of a head in a random turn of an environment, with a lamp so often; `sky` are the directions (K, 3) of
    its light, and how the head sees them (V, K)."""
    turn = float(rng.uniform(0, 360))
    energy = studio.surroundings(environment, turn, sky[0])
    balance = (energy.mean() / np.maximum(energy.mean(0), 1e-6)) ** rng.uniform(0.4, 1.0)  # as cameras do
    energy = energy * balance
    lamp = lamp_beside(energy, rng) if rng.random() < lamps else None
    behind = backdrop(environment * balance, turn, view.size, rng)
    return studio.shoot(head, view, studio.Lights(*sky, energy, lamp), behind, rng)


def lamp_beside(energy: Array, rng: Random) -> studio.Lamp:
    """A lamp or a sun before the person, of about the strength of all else."""
    toward = rng.normal(0, 1, 3) * (1, 0.6, 0.7) - (0, 0.4, 0.8)
    colour = energy.sum(0).mean() * rng.uniform(0.15, 1.2) * np.exp(rng.normal(0, 0.15, 3))
    return studio.Lamp(toward / np.linalg.norm(toward), colour)


def backdrop(environment: Array, turn: float, size: int, rng: Random) -> Array:
    """(S, S, 3): what of an environment lies behind the person, out of focus."""
    h, w = environment.shape[:2]
    rolled = np.roll(environment, -int(turn / 360 * w) - w // 4 * 3, 1)
    part = rolled[h // 4 : h * 3 // 4, w // 2 - h // 4 : w // 2 + h // 4]
    soft = cv2.GaussianBlur(part.astype(np.float32), (0, 0), float(rng.uniform(0.5, 3)))
    return np.asarray(cv2.resize(soft, (size, size), interpolation=cv2.INTER_LINEAR))
