"""Glasses, beards, scarves and strands of hair put on a face in a picture, with the parts that they become."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from vidswap.face import geometry, landmarks
from vidswap.swap.parts import BEARD, ELSE, FRONT, HAIR, LENS, RIM
from vidswap.train.augment import patch, polygon
from vidswap.train.heads import Random
from vidswap.train.parts_labels import UNSURE
from vidswap.types import Array

LOWER = np.array([58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 434, 432, 410, 391, 393,
                  164, 167, 165, 186, 212, 214])  # fmt: skip  # where beards grow, the lips aside
OPAQUE = 0.6  # a lens that takes more than this of the light hides what lies behind


@dataclass(frozen=True, eq=False)
class Scene:
    """A picture (S, S, 3) float32 of 0 to 255, the part of each pixel (S, S) uint8, and the face's mesh (478, 3)."""

    rgb: Array
    parts: Array
    mesh: Array

    @property
    def size(self) -> int:
        return len(self.rgb)

    def under(self, over: Array, alpha: Array, part: int) -> Scene:
        """With `over` (S, S, 3) or a colour laid over it by alpha (S, S), which becomes a part where it is most."""
        rgb = self.rgb + (over - self.rgb) * alpha[..., None]
        return replace(self, rgb=rgb.astype(np.float32), parts=np.where(alpha > 0.5, part, self.parts).astype(np.uint8))


def lined(points: Array, wide: float, size: int, is_closed: bool = False) -> Array:
    """(size, size) float32 in 0 to 1: a line through points (K, 2); thinner than a pixel it is fainter."""
    big = np.zeros((2 * size, 2 * size), np.uint8)
    line = np.rint((points[:, :2] * 2 + 0.5) * 16).astype(np.int32)
    cv2.polylines(big, [line], is_closed, 255, max(1, round(2 * wide)), cv2.LINE_AA, 4)
    small = cv2.resize(big, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32)
    return np.asarray(small * np.float32(min(1.0, 2 * wide) / 255))


def smooth_noise(size: int, cells: int, rng: Random) -> Array:
    """(size, size) float32 of normal noise, `cells` to a side."""
    return np.asarray(cv2.resize(rng.normal(0, 1, (cells, cells)).astype(np.float32), (size, size),
                                 interpolation=cv2.INTER_CUBIC))  # fmt: skip


# -- glasses ----------------------------------------------------------------------------------------------------------


def glasses(scene: Scene, mean: Array, rng: Random) -> Scene:
    """Spectacles or sunglasses of a random make."""
    size, pose = scene.size, geometry.face_pose(scene.mesh, mean)
    own = geometry.normalised(scene.mesh, pose)
    wide, high, drop = rng.uniform(0.2, 0.3), rng.uniform(0.12, 0.24), rng.uniform(-0.01, 0.06)
    angle, power = np.linspace(0, 2 * np.pi, 40, endpoint=False), 2 / rng.uniform(2, 5)
    droop, before = rng.uniform(-0.25, 0.25), rng.uniform(0.04, 0.12)
    tint = rng.uniform(0, 0.1) if rng.random() < 0.6 else rng.uniform(0.15, 0.4) if rng.random() < 0.25 else None
    tint = rng.uniform(OPAQUE + 0.1, 1.0) if tint is None else tint
    lenses = []
    for side, eye in zip((-1, 1), landmarks.EYES):
        middle = own[eye].mean(0) + np.array([side * rng.normal(0.02, 0.01), drop, -before])
        x = np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** power * wide
        y = np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** power * high
        x = x * (1 + droop * y / high * 0.5)
        lenses.append(middle + np.stack([x, y, 0.25 * (middle[0] + x) ** 2 - 0.25 * middle[0] ** 2], 1))
    flat = [geometry.posed(lens.astype(np.float32), pose)[:, :2] for lens in lenses]
    inside = np.maximum(*(polygon(lens, size) for lens in flat))
    scene = _lensed(scene, inside, tint, rng)
    frame = _frame(lenses, flat, pose, size, rng)
    bright = rng.choice([rng.uniform(5, 50), rng.uniform(60, 230)], p=[0.65, 0.35])
    colour = bright * np.exp(rng.normal(0, 0.25, 3)) * (1 + 0.25 * smooth_noise(size, 8, rng)[..., None])
    shadow = cv2.GaussianBlur(np.roll(frame, int(rng.integers(1, 4)), 0), (0, 0), 1.2) * rng.uniform(0, 0.35)
    scene = replace(scene, rgb=scene.rgb * (1 - shadow[..., None]))
    alpha = frame * rng.uniform(0.75, 1)
    made = scene.under(np.clip(colour, 0, 255), alpha, RIM)
    return replace(made, parts=np.where(frame > 0.4, RIM, made.parts).astype(np.uint8))


def _lensed(scene: Scene, inside: Array, tint: float, rng: Random) -> Scene:
    size = scene.size
    dark = rng.uniform(0, 70) * np.exp(rng.normal(0, 0.3, 3))
    ramp = np.linspace(1, rng.uniform(0.5 if tint < OPAQUE else 0.85, 1), size, dtype=np.float32)[:, None]
    part = FRONT if tint > OPAQUE else LENS
    tinted = scene.under(dark, inside * np.minimum(tint * ramp, 1), part)
    parts = np.where(inside > 0.5, part, scene.parts).astype(np.uint8)
    if rng.random() < 0.55:
        sheen = np.clip(smooth_noise(size, int(rng.integers(4, 12)), rng) - rng.uniform(0, 1.2), 0, 1)
        light = rng.uniform(120, 255) * np.exp(rng.normal(0, 0.12, 3))
        tinted = tinted.under(np.minimum(light, 255), inside * sheen * rng.uniform(0.1, 0.8), part)
    return replace(tinted, parts=parts)


def _frame(lenses: list[Array], flat: list[Array], pose: geometry.Pose, size: int, rng: Random) -> Array:
    """(S, S) float32: rims, bridge and arms."""
    unit = pose.scale
    thick = float(np.exp(rng.uniform(np.log(0.008), np.log(0.06)))) * unit
    kind = rng.random()
    rims = [lined(lens, thick if kind < 0.8 else 0.3 * thick, size, True) for lens in flat]
    if kind > 0.9:  # half-rimmed: the upper edge only
        rims = [lined(lens[20:], thick, size) for lens in flat]
    inner = [lenses[0][lenses[0][:, 0].argmax()], lenses[1][lenses[1][:, 0].argmin()]]
    top = (inner[0] + inner[1]) / 2 - [0, rng.uniform(0.0, 0.06), 0.03]
    rims.append(lined(geometry.posed(np.stack([inner[0], top, inner[1]]).astype(np.float32), pose), thick, size))
    for side, lens in zip((-1, 1), lenses):
        hinge = lens[(side * lens[:, 0] - 0.5 * lens[:, 1]).argmax()]
        ear = np.array([side * 0.74, hinge[1] + 0.02, hinge[2] + 0.75])
        arm = geometry.posed(np.stack([hinge, (hinge + 2 * ear) / 3, ear]).astype(np.float32), pose)
        if side * (arm[-1, 0] - arm[0, 0]) > 0:  # else behind the head
            rims.append(lined(arm, 0.8 * thick, size))
    return np.asarray(np.max(rims, axis=0))


# -- hair and cloth ---------------------------------------------------------------------------------------------------


def hair_colour(scene: Scene, rng: Random) -> Array:
    """(3,) of the hair that is seen, or any."""
    seen = scene.rgb[scene.parts == HAIR]
    if len(seen) > 50 and rng.random() < 0.7:
        return np.asarray(np.median(seen, 0) * rng.uniform(0.8, 1.2))
    if rng.random() < 0.6:
        return rng.uniform(8, 60) * np.array([1.1, 0.95, 0.85])
    return rng.uniform(60, 200) * np.array([1.1, 0.9, 0.65])


def strands(scene: Scene, rng: Random) -> Scene:
    """A fringe, curtains, loose strands or braids over forehead and cheeks."""
    size, colour = scene.size, hair_colour(scene, rng)
    rim = scene.mesh[landmarks.OVAL, :2]
    low, high = rim.min(0), rim.max(0)
    kind = rng.choice(["fringe", "curtain", "loose", "braids"], p=[0.45, 0.25, 0.2, 0.1])
    count = {"fringe": rng.integers(30, 110), "curtain": rng.integers(30, 90), "loose": rng.integers(3, 20),
             "braids": rng.integers(2, 7)}[kind]  # fmt: skip
    thick = rng.uniform(4, 9) if kind == "braids" else rng.uniform(0.6, 2.6)
    part, reach = rng.uniform(-0.4, 0.4), rng.uniform(0.12, 0.45)
    alpha, shade = np.zeros((size, size), np.float32), np.zeros((size, size), np.float32)
    centre = low + (high - low) * [0.5 + part, 0]
    for _ in range(int(count)):
        line = _strand(str(kind), centre, np.stack([low, high]), reach, rng)
        one = lined(line, thick * rng.uniform(0.6, 1.3), size)
        light = float(rng.normal(1, 0.22))
        if kind == "braids":
            bands = np.sin(np.arange(size)[:, None] * 2 * np.pi / rng.uniform(4, 9) + np.arange(size)[None] * 0.4)
            shade = np.where(one > 0, light * (1 + 0.35 * bands), shade)
        else:
            shade += one * (light - shade)
        alpha = np.maximum(alpha, one)
    if kind == "fringe" and rng.random() < 0.5:  # combed close
        alpha = np.asarray(cv2.morphologyEx(alpha, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8)))
        shade = np.where(shade > 0, shade, 0.85)
    over = np.clip(colour * np.clip(shade, 0.3, 2.2)[..., None], 0, 255)
    return scene.under(over, np.clip(alpha, 0, 1) * rng.uniform(0.85, 1), HAIR)


def _strand(kind: str, centre: Array, box: Array, reach: float, rng: Random) -> Array:
    """(12, 2): one strand's line, over a face in a box (2, 2)."""
    low, (wide, long) = box[0], box[1] - box[0]
    t = np.linspace(0, 1, 12)
    if kind == "fringe":
        x = low[0] + wide * rng.uniform(-0.05, 1.05)
        start = np.array([x + 0.3 * (centre[0] - x), low[1] - 0.2 * long])
        end = np.array([x + rng.normal(0, 0.05) * wide, low[1] + reach * long * rng.uniform(0.6, 1.2)])
    elif kind == "curtain":
        side = rng.choice([-1, 1])
        x = low[0] + wide * (0.5 + side * rng.uniform(0.3, 0.62))
        start = np.array([centre[0], low[1] - 0.15 * long])
        end = np.array([x, low[1] + long * rng.uniform(0.5, 1.3)])
    else:
        x = low[0] + wide * rng.uniform(0, 1)
        start = np.array([x, low[1] - 0.15 * long])
        end = np.array([low[0] + wide * rng.uniform(-0.1, 1.1), low[1] + long * rng.uniform(0.3, 1.4)])
    bow = rng.normal(0, 0.12) * wide * np.sin(np.pi * t)
    if kind == "curtain":  # out first, then down
        bow = bow + np.sign(end[0] - start[0]) * 0.25 * wide * np.sin(np.pi * t) * (1 - t)
    return np.asarray(start + (end - start) * t[:, None] + np.stack([bow, np.zeros_like(t)], 1))


def beard(scene: Scene, rng: Random) -> Scene:
    """A beard, a moustache, or both, of any length and thickness."""
    size = scene.size
    lips = polygon(scene.mesh[landmarks.OUTER_LIPS], size)
    where = polygon(scene.mesh[LOWER], size) * (1 - lips)
    y = np.mgrid[:size, :size][0]
    kind = rng.random()
    if kind < 0.25:
        where = where * (y < scene.mesh[13, 1] + 2)
    elif kind < 0.4:
        where = where * (np.abs(np.mgrid[:size, :size][1] - scene.mesh[152, 0]) < 0.28 * np.ptp(scene.mesh[:, 0]))
    if rng.random() < 0.4:  # long: over the jaw's edge
        down = int(rng.integers(2, 14))
        where = np.maximum(where, cv2.dilate(where, np.ones((2 * down + 1, 3), np.uint8), anchor=(1, 2 * down)) * (
            y > scene.mesh[152, 1] - 8))  # fmt: skip
        where *= 1 - lips
    soft = cv2.GaussianBlur(where.astype(np.float32), (0, 0), rng.uniform(1, 4))
    hair = np.clip(0.6 + 0.35 * rng.normal(0, 1, (size, size)) + 0.25 * smooth_noise(size, 20, rng), 0, 1)
    hair = cv2.blur(hair.astype(np.float32), (1, int(rng.integers(1, 4))))
    alpha = soft * np.clip(hair * rng.uniform(0.5, 1.5), 0, 1)
    colour = hair_colour(scene, rng) * (1 + 0.2 * rng.normal(0, 1, (size, size, 1)))
    made = scene.under(np.clip(colour, 0, 255), alpha, BEARD)
    dense = cv2.GaussianBlur(alpha, (0, 0), 1.5)
    parts = np.where(dense > 0.35, BEARD, np.where(dense > 0.12, UNSURE, scene.parts))
    return replace(made, parts=parts.astype(np.uint8))


def cloth(scene: Scene, scenes: list[Array], rng: Random) -> Scene:
    """A headscarf, a hood, a hat, a shawl or a collar: things that are none of the person's."""
    size = scene.size
    rim = scene.mesh[landmarks.OVAL, :2]
    middle = (rim.min(0) + rim.max(0)) / 2
    half = (rim.max(0) - rim.min(0)) / 2
    y, x = np.mgrid[:size, :size].astype(np.float32)
    wave = 1 + 0.06 * smooth_noise(size, 7, rng)
    across, down = (x - middle[0]) / half[0] * wave, (y - middle[1]) / half[1] * wave
    kind = rng.random()
    if kind < 0.4:  # round the face
        opening = (across / rng.uniform(0.8, 1.1)) ** 2 + ((down - rng.normal(0, 0.1)) / rng.uniform(0.85, 1.15)) ** 2
        outer = (across / rng.uniform(1.3, 1.7)) ** 2 + (down / rng.uniform(1.3, 1.6)) ** 2
        where = (opening > 1) & ((outer < 1) | ((down > 0) & (np.abs(across) < rng.uniform(1.2, 2.2))))
    elif kind < 0.6:  # on the head
        bow = rng.normal(0, 0.15)
        where = (down < -rng.uniform(0.45, 1.0) + bow * across + 0.2 * (across**2)) & (np.abs(across) < 1.4)
        where &= down > -2.2
    elif kind < 0.8:  # over one side
        side = rng.choice([-1, 1])
        where = side * across > rng.uniform(0.55, 1.1) - 0.3 * np.maximum(down, -0.5) * rng.uniform(0, 1)
    else:  # up to the chin
        where = down > rng.uniform(0.75, 1.2) - 0.25 * across**2 * rng.normal(0, 1)
    shape = cv2.GaussianBlur(where.astype(np.float32), (0, 0), rng.uniform(0.5, 1.0))
    texture = patch(scenes, size, rng).astype(np.float32) if rng.random() < 0.5 else np.full((size, size, 3), 1.0)
    colour = rng.uniform(10, 245, 3) if rng.random() < 0.6 else np.full(3, rng.uniform(10, 245))
    over = texture * (colour / max(float(texture.mean()), 1.0) if rng.random() < 0.7 or texture.max() <= 1 else 1.0)
    folds = 1 + 0.22 * smooth_noise(size, int(rng.integers(5, 16)), rng)
    edge = cv2.distanceTransform((shape > 0.5).astype(np.uint8), cv2.DIST_L2, 3)
    folds *= 1 - rng.uniform(0, 0.5) * np.exp(-edge / rng.uniform(1, 5))
    return scene.under(np.clip(over * folds[..., None], 0, 255), shape, ELSE)
