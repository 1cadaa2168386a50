"""A portrait that turns its head, speaks and blinks: its picture pulled about by fields, frame after frame.

Angles in degrees: yaw > 0 looks to the picture's right, pitch > 0 down, roll > 0 clockwise. Lengths are shares of the
face's width, unless they are pixels of the portrait.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from portrait import Portrait, blur, grid_of, spread

from vidswap.face.landmarks import INNER_LIPS, LEFT_EYE, OVAL, RIGHT_EYE

Array = NDArray[Any]


@dataclass(frozen=True)
class Act:
    """What a face does in one frame: `jaw` 0 (closed) to 1 (wide open), `pout` 0 to 1, `blink` 0 (open) to 1 (shut)."""

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    jaw: float = 0.0
    pout: float = 0.0
    blink: float = 0.0
    brow: float = 0.0


@dataclass(frozen=True, eq=False)
class Puppet:
    """A portrait with `depth` (H, W), pixels away from the viewer, and `grip` (H, W): 1 where the head moves as one."""

    portrait: Portrait
    depth: Array
    grip: Array
    pivot: Array  # (3,): where the neck turns


def puppet(portrait: Portrait) -> Puppet:
    """Depth from the mesh, continued over the hair as on an egg; the neck gives way below the chin."""
    mesh, shape = portrait.mesh, portrait.alpha.shape
    oval = mesh[OVAL]
    middle, wide, tall = oval.mean(0), float(np.ptp(oval[:, 0])), float(np.ptp(oval[:, 1]))
    rings = [oval]
    for grow, back in ((1.25, 0.06), (1.6, 0.14), (2.2, 0.2)):
        ring = middle + (oval - middle) * (grow, grow, 1)
        ring[:, 2] = oval[:, 2].mean() + back * wide
        rings.append(ring)
    known = np.vstack([mesh[:468:2], *rings])
    depth = spread(known[:, :2], known[:, 2:3], shape)[..., 0]
    depth = blur(np.minimum(depth, oval[:, 2].mean() + 0.25 * wide), 0.03 * wide)
    chin = float(oval[:, 1].max())
    y = grid_of(shape)[..., 1]
    grip = 1 - smooth((y - (chin - 0.12 * tall)) / (0.42 * tall))
    pivot = np.array([middle[0], chin + 0.1 * tall, oval[:, 2].mean() + 0.3 * wide])
    return Puppet(portrait, depth, grip.astype(np.float32), pivot)


def smooth(t: Array) -> Array:
    """0 below 0, 1 above 1, without a corner between."""
    t = np.clip(t, 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def rotation(act: Act) -> Array:
    """(3, 3): x right, y down, z away."""
    a, b, c = np.radians([-act.yaw, act.pitch, act.roll])
    around_y = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    around_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    around_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return np.asarray(around_z @ around_x @ around_y)


def turned(doll: Puppet, act: Act, wanted: Array) -> Array:
    """Where the pixels `wanted` (h, w, 2) of the turned portrait lie in the straight one: the inverse of a forward
    field, found by fixed-point iteration (it contracts as long as the head turns by less than some 35 degrees)."""
    points = np.dstack([grid_of(doll.depth.shape), doll.depth]) - doll.pivot
    moves = (points @ (rotation(act) - np.eye(3)).T)[..., :2] * doll.grip[..., None]
    moves = np.ascontiguousarray(moves, np.float32)
    wanted = wanted.astype(np.float32)
    places = wanted
    for _ in range(10):
        there = cv2.remap(moves, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        places = 0.25 * places + 0.75 * (wanted - there)
    return np.asarray(places)


def expressed(portrait: Portrait, act: Act) -> Array:
    """The straight portrait's picture with its face speaking and blinking."""
    mesh = portrait.mesh
    x0, y0 = (mesh[OVAL, :2].min(0) - 30).astype(int).clip(0)
    below = 0.4 * np.ptp(mesh[OVAL, 1])
    x1, y1 = (mesh[OVAL, :2].max(0) + np.array([30, below])).astype(int)
    own = grid_of(portrait.alpha.shape)[y0:y1, x0:x1]
    places = own.copy()
    lift(places, own, mesh, act)
    for ring, top in ((LEFT_EYE, 105), (RIGHT_EYE, 334)):
        shut(places, own, mesh[ring, :2], float(mesh[top, 1]), act.blink)
    gap, mouth = speak(places, own, mesh, act)
    picture = portrait.rgb.copy()
    face = cv2.remap(portrait.rgb, places[..., 0], places[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    picture[y0:y1, x0:x1] = face + gap[..., None] * (mouth - face)
    return picture


def lift(places: Array, own: Array, mesh: Array, act: Act) -> None:
    """Raises the brows and purses the mouth, in place."""
    wide = float(np.ptp(mesh[OVAL, 0]))
    for point in (105, 334):
        distance = (((own - mesh[point, :2]) / (0.2 * wide, 0.13 * wide)) ** 2).sum(-1)
        places[..., 1] += 0.03 * wide * act.brow * np.exp(-distance)
    middle = (mesh[13, :2] + mesh[14, :2]) / 2
    offset = own - middle
    near = np.exp(-((offset / (0.3 * wide, 0.2 * wide)) ** 2).sum(-1))
    places[..., 0] += 0.28 * act.pout * near * offset[..., 0]


def borders(ring: Array, columns: Array) -> tuple[Array, Array]:
    """The upper and the lower edge (C,) of a closed outline (K, 2) at columns x."""
    left, right = ring[ring[:, 0].argmin()], ring[ring[:, 0].argmax()]
    slope = (right[1] - left[1]) / (right[0] - left[0])
    line = left[1] + (ring[:, 0] - left[0]) * slope
    edges = []
    for side in (ring[ring[:, 1] <= line + 1e-3], ring[ring[:, 1] >= line - 1e-3]):
        ordered = side[side[:, 0].argsort()]
        edges.append(np.interp(columns, ordered[:, 0], ordered[:, 1]))
    return edges[0], edges[1]


def shut(places: Array, own: Array, ring: Array, brow: float, amount: float) -> None:
    """Draws the upper lid down over the eye, in place: the skin below the brow stretches, the lashes go along."""
    columns, rows = own[0, :, 0], own[..., 1]
    upper, lower = borders(ring, columns)
    low, high = ring[:, 0].min(), ring[:, 0].max()
    rim = 0.12 * (high - low)
    ease = smooth((columns - low) / rim + 0.4) * smooth((high - columns) / rim + 0.4)
    upper, lower = upper - 3, np.maximum(lower, upper)
    crease = upper - 0.75 * (upper - brow)
    edge = upper + amount * ease * (lower - 1 - upper)
    stretched = crease + (rows - crease) * (upper - crease) / np.maximum(edge - crease, 1)
    inside = (rows > crease) & (rows < edge) & (ease > 0)
    places[..., 1] += np.where(inside, stretched - rows, 0).astype(np.float32)


def speak(places: Array, own: Array, mesh: Array, act: Act) -> tuple[Array, Array]:
    """Lets the jaw down, in place; returns how much of the mouth's inside is seen (h, w) and its colour (h, w, 3)."""
    columns, rows = own[0, :, 0], own[:, 0, 1]
    wide, chin = float(np.ptp(mesh[OVAL, 0])), float(mesh[152, 1])
    upper, lower = borders(mesh[INNER_LIPS, :2], columns)
    seam = (upper + lower) / 2
    middle, half = (mesh[78, 0] + mesh[308, 0]) / 2, (mesh[308, 0] - mesh[78, 0]) / 2 * (1 - 0.25 * act.pout)
    across = (columns - middle) / half
    drop = 0.17 * wide * act.jaw
    opening = drop * np.clip(1 - across**2, 0, 1) ** 0.8
    jaw = 0.8 * drop * np.exp(-((across / 2.1) ** 4))
    for i in range(len(columns)):
        below = rows - seam[i]
        fall = opening[i] + (jaw[i] - opening[i]) * smooth(below / (0.7 * (chin - seam[i])))
        fall = fall * (1 - smooth((rows - chin) / (0.5 * (chin - mesh[1, 1]))))
        rise = -0.16 * opening[i] * (1 - smooth(-below / (0.8 * (seam[i] - mesh[2, 1]))))
        move = np.where(below >= 0, fall, rise)
        moved = np.interp(rows, rows + move, rows)
        places[:, i, 1] += (moved - rows).astype(np.float32)
    top, bottom = seam - 0.16 * opening, seam + opening
    gap = np.clip((own[..., 1] - top) / 2 + 0.2, 0, 1) * np.clip((bottom - own[..., 1]) / 2 + 0.2, 0, 1)
    gap = np.where(opening > 1.5, gap, 0).astype(np.float32)
    return blur(gap, 0.9), inside_mouth(own, across, top, bottom)


def inside_mouth(own: Array, across: Array, top: Array, bottom: Array) -> Array:
    """Teeth above, a tongue below, dark between: (h, w, 3)."""
    depth = own[..., 1] - top
    height = np.maximum(bottom - top, 1)
    arch = np.clip(1 - 0.75 * across**2, 0, 1)
    teeth = np.clip((np.minimum(0.5 * height, 15) * arch**0.5 - depth) / 3, 0, 1) * arch
    grooves = 1 - 0.10 * np.cos(np.pi * across / 0.24) ** 8
    tongue = smooth((depth / height - 0.62) / 0.35) * arch * np.clip((height - 14) / 20, 0, 1)
    colour = np.full((*own.shape[:2], 3), (0.13, 0.045, 0.045))
    colour = colour + tongue[..., None] * (np.array([0.44, 0.19, 0.18]) - colour)
    shade = (0.55 + 0.45 * np.clip(depth / 8, 0, 1)) * grooves
    colour = colour + teeth[..., None] * (np.array([0.74, 0.70, 0.65]) * shade[..., None] - colour)
    return blur(colour.astype(np.float32), 1.2)
