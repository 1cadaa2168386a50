"""Heads, environments and face pictures -> light_samples.npz: what the network of light learns from, in one file.

Every picture is the aligned crop that the network sees (geometry.crop_transform on the mean face). Of a rendered person
there are the picture and the colours without light, JPEGs, and a PNG of masks of the person, the eyes and the skin; of
a face that nobody rendered, the picture alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from vidswap.face import geometry, landmarks
from vidswap.read.faces import open_faces
from vidswap.train import heads, studio
from vidswap.train.heads import Random
from vidswap.train.loop import Say, mute
from vidswap.train.rows import HELD, Row, faces_in, jpeg, png, refuse_models, save
from vidswap.types import Array

SIZE = 128
FOUND = 256  # side of the picture in which the mesh of a rendered head is found
QUALITY = 93  # of the JPEGs


@dataclass(frozen=True)
class Schedule:
    """`people` rendered, each in `poses` poses and each of those in `lights`."""

    people: int = 300
    poses: int = 1
    lights: int = 6
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Sitter:
    """Person `number` in a pose, as the camera sees them, with their mesh (478, 3) in pixels of the sample."""

    number: int
    head: heads.Head
    view: studio.View
    mesh: Array


def train(data: Path, out: Path, *, schedule: Schedule = Schedule(), say: Say = mute) -> Path:
    """Write `out`/light_samples.npz from `data`: heads/makehuman, light/environments.npz, and faces and portraits with
    their labels.npz."""
    refuse_models(out, "light")
    rows = list(faces(data / "faces", "")) + list(faces(data / "portraits", HELD))
    say(f"{len(rows)} faces")
    for number, row in enumerate(rendered(data, schedule)):
        rows.append(row)
        if number % 60 == 0:
            say(f"{number} heads")
    return save(rows, out / "light_samples.npz")


def faces(folder: Path, held: str) -> Iterator[Row]:
    """The labelled faces of a folder, but for those whose name ends in `held`."""
    mean = landmarks.mean_face()
    for _, picture, mesh in faces_in(folder, held):
        crop, moved = aligned(picture, mesh, mean)
        yield Row("face", (jpeg(crop, QUALITY),), moved)


def aligned(picture: Array, mesh: Array, mean: Array) -> tuple[Array, Array]:
    """A picture's aligned crop, shrunk by areas from twice its side, and the mesh in it."""
    big = cv2.warpAffine(
        np.ascontiguousarray(picture), geometry.crop_transform(mesh, mean, 2 * SIZE), (2 * SIZE,) * 2,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    small = cv2.resize(big, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    return np.asarray(small), geometry.apply(geometry.crop_transform(mesh, mean, SIZE), mesh)


def rendered(data: Path, schedule: Schedule) -> Iterator[Row]:
    """Rendered heads, person after person; the same for the same schedule."""
    material = heads.load_material(data / "heads" / "makehuman")
    environments = np.load(data / "light" / "environments.npz")
    maps = [environments[name].astype(np.float32) for name in environments.files]
    finder, mean, directions = open_faces("embedded"), landmarks.mean_face(), studio.fibonacci(studio.DIRECTIONS)
    for number in range(schedule.people):
        rng = np.random.default_rng([schedule.seed, number])
        body, looks, hair = heads.person(material, rng)
        for _ in range(schedule.poses):
            head = heads.posed(material, body, looks, hair, rng)
            normal = studio.normals(head.points, head.triangles)
            flat = studio.project(head, float(rng.uniform(0.9, 1.1)), FOUND)
            found = finder.detect(plain(head, studio.seen(head, flat, FOUND, normal), rng))
            if len(found) != 1:
                continue
            turn = geometry.crop_transform(found[0].mesh, mean, 2 * SIZE)
            view = studio.seen(head, geometry.apply(turn, flat), 2 * SIZE, normal)
            sees = studio.visibility(head, directions)
            mesh = geometry.apply(geometry.crop_transform(found[0].mesh, mean, SIZE), found[0].mesh)
            for _ in range(schedule.lights):
                sitter = Sitter(number, head, view, mesh)
                yield one(sitter, directions, sees, maps[int(rng.integers(len(maps)))], rng)


def plain(head: heads.Head, view: studio.View, rng: Random) -> Array:
    """(S, S, 3) uint8: a head in light from the camera, on grey."""
    colour, _ = studio.coloured(head, view, rng)
    picture = np.full((view.size, view.size, 3), 0.25, np.float32)
    picture[view.where[0], view.where[1]] = colour * (0.3 + np.maximum(-view.normal[:, 2:], 0))
    return heads.encoded(picture / max(float(np.quantile(picture, 0.98)), 0.05) * 0.8)


def one(sitter: Sitter, directions: Array, sees: Array, environment: Array, rng: Random) -> Row:
    """A picture of a head in a random turn of an environment, maybe with a lamp. `top` in its facts is the light that
    is white in the picture, `tone` the luma of its skin without light."""
    turn = float(rng.uniform(0, 360))
    energy = studio.surroundings(environment, turn, directions)
    balance = (energy.mean() / np.maximum(energy.mean(0), 1e-6)) ** rng.uniform(0.4, 1.0)  # as cameras do
    energy = energy * balance
    lamp = lamp_beside(energy, rng) if rng.random() < 0.55 else None
    behind = backdrop(environment * balance, turn, sitter.view.size, rng)
    lights = studio.Lights(directions, sees, energy, lamp)
    shot = studio.shoot(sitter.head, sitter.view, lights, behind, rng)
    lit, bare, skin, eyes, cover = (
        cv2.resize(plane, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
        for plane in (shot.lit, shot.albedo, shot.skin, shot.eyes, shot.cover)
    )
    on = skin > 0.6
    top = max(float(np.quantile(lit[on], 0.995)) if on.any() else 1.0, 1e-3)
    masks = png(np.rint(np.dstack([cover, eyes, skin]) * 255).astype(np.uint8))
    tone = float(np.median(bare[on] @ [0.2126, 0.7152, 0.0722])) if on.any() else 0.3
    facts = {"person": float(sitter.number), "top": top, "tone": tone}
    colours = (jpeg(heads.encoded(light), QUALITY) for light in (lit / top, bare))
    return Row("head", (*colours, masks), sitter.mesh, facts)


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
