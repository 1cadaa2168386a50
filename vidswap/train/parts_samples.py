"""Faces, rendered heads, hands and masks -> parts_samples.npz: what the network of parts learns from, in one file.

A row is a square of KEPT pixels framed by swap.parts.framing, with the part of each pixel: known of rendered heads,
told by mesh and colours of faces (train.parts_labels; UNSURE where that does not tell). Sprites of hands, with known
shapes, are laid over these in training. A row is a face, head, hand or mask: of a face and a head, JPEG and PNG of the
parts; of a hand or a mask a PNG sprite alone, whose last channel is its shape.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from vidswap.face import geometry, landmarks
from vidswap.read.faces import FaceReader, open_faces
from vidswap.swap.parts import BEARD, BODY, BROW, ELSE, EYE, HAIR, MOUTH, SKIN, framing
from vidswap.train import heads, sitters, studio
from vidswap.train.hands import load_hand, sprite
from vidswap.train.heads import Random
from vidswap.train.loop import Say, mute
from vidswap.train.parts_labels import UNSURE, Told, labelled, moved, polygon
from vidswap.train.rows import HELD, Row, faces_in, jpeg, png, refuse_models, save
from vidswap.types import Array

KEPT = 224  # side of a row: the network's crops are cut from it, turned and shifted
QUALITY = 90  # of the JPEGs
DIRECTIONS = 24
LAMPS = 0.5  # share of pictures with a lamp
HAND = 160  # side of a hand's sprite
TEACHER = "parts_teacher.npz"


@dataclass(frozen=True)
class Schedule:
    """`people` rendered, each in `poses` poses; so many sprites of `hands`."""

    people: int = 300
    poses: int = 2
    hands: int = 300
    seed: int = 0


def train(data: Path, out: Path, *, schedule: Schedule = Schedule(), say: Say = mute) -> Path:
    """Write `out`/parts_samples.npz from `data`: heads/makehuman, light/environments.npz, occluders, faces and
    portraits with their labels.npz, and, if there is one, `out`/parts_teacher.npz."""
    refuse_models(out, "parts")
    teacher = load_teacher(out / TEACHER)
    rows = [row for folder, held in (("faces", ""), ("portraits", HELD)) for row in faces(data / folder, held, teacher)]
    say(f"{len(rows)} faces")
    rows += sprites(data / "occluders", schedule)
    for number, row in enumerate(rendered(data, schedule)):
        rows.append(row)
        if number % 50 == 0:
            say(f"{number} heads")
    return save(rows, out / "parts_samples.npz")


# -- faces ------------------------------------------------------------------------------------------------------------


def load_teacher(source: Path) -> dict[str, Told]:
    """name -> what is known of a picture, how much of it is a person (s, s) uint8; empty where there is no such file.
    Who looked the pictures over may have named those with `glasses`, and others that are `unfit` and left out."""
    if not source.exists():
        return {}
    stored = np.load(source)
    joints = stored["hand"].reshape(-1, 21, 3)[..., :2]
    none = np.zeros(len(stored["name"]), bool)
    glasses, unfit = (stored.get(key, none) for key in ("glasses", "unfit"))
    return {str(name): Told(person, joints[stored["owner"] == k], bool(glasses[k]), bool(unfit[k]))
            for k, (name, person) in enumerate(zip(stored["name"], stored["person"]))}  # fmt: skip


def faces(folder: Path, held: str, teacher: dict[str, Told]) -> Iterator[Row]:
    """The labelled faces of a folder, but for those whose name ends in `held`."""
    mean = landmarks.mean_face()
    for name, picture, mesh in faces_in(folder, held):
        told = teacher.get(f"{folder.name}/{name}", Told(np.full((2, 2), 255, np.uint8), np.zeros((0, 21, 2))))
        full = cv2.resize(told.person, picture.shape[1::-1], interpolation=cv2.INTER_LINEAR).astype(np.float32) / 255
        if not told.unfit:
            yield face(picture, mesh, replace(told, person=full, hands=told.hands.astype(np.float32)), mean)


def face(picture: Array, mesh: Array, told: Told, mean: Array) -> Row:
    """A picture (H, W, 3) of a face with its mesh, cut and labelled; beyond its edge nothing is sure."""
    big = framing(mesh, mean, KEPT)
    twice = geometry.compose(geometry.enlarge(2), big)
    crop = cv2.warpAffine(np.ascontiguousarray(picture), twice, (2 * KEPT,) * 2, borderMode=cv2.BORDER_REPLICATE)
    crop = cv2.resize(crop, (KEPT, KEPT), interpolation=cv2.INTER_AREA)
    within = cv2.warpAffine(np.ones(picture.shape[:2], np.uint8), big, (KEPT, KEPT), flags=cv2.INTER_NEAREST)
    points = geometry.apply(big, mesh)
    parts = np.where(within > 0, labelled(crop, points, moved(told, big, KEPT)), UNSURE)
    return Row("face", (jpeg(crop, QUALITY), png(parts.astype(np.uint8))), points)


# -- sprites ----------------------------------------------------------------------------------------------------------


def sprites(folder: Path, schedule: Schedule) -> list[Row]:
    """Hands from hand_left.glb and hand_right.glb, and masks from mask__*.png."""
    rng, nowhere = np.random.default_rng([schedule.seed, 1 << 20]), np.zeros((478, 3), np.float32)
    both = [load_hand(folder / f"hand_{name}.glb") for name in ("left", "right")]
    made = [sprite(both[k % 2], HAND, rng) for k in range(schedule.hands)]
    rows = [Row("hand", (png(np.dstack(one)),), nowhere) for one in made]
    for path in sorted(folder.glob("mask__*.png")):
        picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if picture is not None and picture.ndim == 3 and picture.shape[2] == 4:
            small = cv2.resize(picture, (HAND, HAND), interpolation=cv2.INTER_AREA)
            rows.append(Row("mask", (png(cv2.cvtColor(small, cv2.COLOR_BGRA2RGBA)),), nowhere))
    return rows


# -- rendered heads ---------------------------------------------------------------------------------------------------


def rendered(data: Path, schedule: Schedule) -> Iterator[Row]:
    """Rendered heads, person after person; the same for the same schedule."""
    maps, finder = sitters.environments(data), open_faces("embedded")
    for _, head, rng in sitters.poses(data, schedule.people, schedule.poses, schedule.seed):
        row = shot(head, maps[int(rng.integers(len(maps)))], finder, rng)
        if row is not None:
            yield row


def shot(head: heads.Head, environment: Array, finder: FaceReader, rng: Random) -> Row | None:
    """A picture of a head in light, with its parts; None where no face is found in it."""
    directions, sitter = studio.fibonacci(DIRECTIONS), sitters.seated(head, finder, rng)
    if sitter is None:
        return None
    to_row = framing(sitter.mesh, landmarks.mean_face(), KEPT)
    view = sitter.seen(geometry.compose(geometry.enlarge(2), to_row), 2 * KEPT)
    sky = (directions, studio.visibility(head, directions))
    taken = sitters.taken(head, view, environment, sky, lamps=LAMPS, rng=rng)
    lit = cv2.resize(taken.lit, (KEPT, KEPT), interpolation=cv2.INTER_AREA)
    on = cv2.resize(taken.skin, (KEPT, KEPT), interpolation=cv2.INTER_AREA) > 0.6
    top = max(float(np.quantile(lit[on], 0.98)) if on.any() else 1.0, 1e-3) * rng.uniform(0.9, 1.4)
    mesh = geometry.apply(to_row, sitter.mesh)
    parts = parts_of(head, view)[::2, ::2]
    parts = np.where(polygon(mesh[landmarks.INNER_LIPS], KEPT), MOUTH, parts).astype(np.uint8)
    return Row("head", (jpeg(heads.encoded(lit / top), QUALITY), png(parts)), mesh)


def parts_of(head: heads.Head, view: studio.View) -> Array:
    """(S, S) uint8: the parts of a head as it is seen."""
    rest = (head.rest[view.triangle] * view.share[..., None]).sum(1)
    painted = heads.painted(head.looks, rest, np.zeros(len(rest)))
    height, front = -rest[:, 1], -rest[:, 2]
    jaw = 6.2 + 0.5 * np.clip(1.1 - front, 0, 1)  # the chin, and higher towards the ears
    found = np.where(height > jaw, SKIN, BODY)
    found = np.where(np.abs(height - jaw) < 0.08, UNSURE, found)
    for share, part in ((painted.lips, MOUTH), (painted.brow, BROW), (painted.beard, BEARD), (painted.top, HAIR)):
        found = np.where(share > 0.15, UNSURE, found)
        found = np.where(share > 0.35, part, found)
    found = np.where(painted.worn, ELSE, found)
    kind = head.part[view.triangle]
    found = np.where(kind == heads.EYE, EYE, np.where(kind == heads.HAIR, HAIR, found))
    plane = np.full((view.size, view.size), ELSE, np.uint8)
    plane[view.where[0], view.where[1]] = found
    return plane
