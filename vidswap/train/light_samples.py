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
from vidswap.train import heads, sitters, studio
from vidswap.train.loop import Say, mute
from vidswap.train.rows import HELD, Row, faces_in, jpeg, png, refuse_models, save
from vidswap.types import Array

SIZE = 128
QUALITY = 93  # of the JPEGs
LAMPS = 0.55  # share of pictures with a lamp


@dataclass(frozen=True)
class Schedule:
    """`people` rendered, each in `poses` poses and each of those in `lights`."""

    people: int = 300
    poses: int = 1
    lights: int = 6
    seed: int = 0


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
    maps, finder = sitters.environments(data), open_faces("embedded")
    mean, directions = landmarks.mean_face(), studio.fibonacci(studio.DIRECTIONS)
    for number, head, rng in sitters.poses(data, schedule.people, schedule.poses, schedule.seed):
        sitter = sitters.seated(head, finder, rng)
        if sitter is None:
            continue
        view = sitter.seen(geometry.crop_transform(sitter.mesh, mean, 2 * SIZE), 2 * SIZE)
        sky = (directions, studio.visibility(head, directions))
        mesh = geometry.apply(geometry.crop_transform(sitter.mesh, mean, SIZE), sitter.mesh)
        for _ in range(schedule.lights):
            environment = maps[int(rng.integers(len(maps)))]
            yield lit(sitters.taken(head, view, environment, sky, lamps=LAMPS, rng=rng), mesh, number)


def lit(shot: studio.Shot, mesh: Array, number: int) -> Row:
    """The row of a picture of person `number`. `top` in its facts is the light that is white in the picture, `tone` the
    luma of its skin without light."""
    seen, bare, skin, eyes, cover = (
        cv2.resize(plane, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
        for plane in (shot.lit, shot.albedo, shot.skin, shot.eyes, shot.cover)
    )
    on = skin > 0.6
    top = max(float(np.quantile(seen[on], 0.995)) if on.any() else 1.0, 1e-3)
    masks = png(np.rint(np.dstack([cover, eyes, skin]) * 255).astype(np.uint8))
    tone = float(np.median(bare[on] @ [0.2126, 0.7152, 0.0722])) if on.any() else 0.3
    facts = {"person": float(number), "top": top, "tone": tone}
    colours = (jpeg(heads.encoded(light), QUALITY) for light in (seen / top, bare))
    return Row("head", (*colours, masks), mesh, facts)
