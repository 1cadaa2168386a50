"""Heads + environments -> pictures of people in light, with what each pixel would be without it.

An environment becomes DIRECTIONS lights; which of them each point of a head sees is found once a pose, by drawing the
head from every light. A lamp besides casts sharp shadows, found pixel by pixel. Light spreads under the skin, red the
farthest; skin shines by Blinn and Phong's highlight, normalised.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from vidswap.face.raster import draw_triangles
from vidswap.train import heads
from vidswap.train.heads import Head, Random
from vidswap.types import Array

DIRECTIONS = 96
SHADOW = 160  # side of the pictures drawn from the lights, pixels
SHARP = 384  # the same for a lamp
CENTRE, REACH = np.array([0.0, -7.0, -0.4]), 2.6  # of what casts shadows
BIAS = 0.07  # a point this much behind what a light sees is still lit
SPREAD = (0.011, 0.006, 0.0045)  # of light under the skin, sigma in shares of the picture's side; red, green, blue
FRESNEL = 0.035
UP = np.array([0.0, -1.0, 0.0])


@dataclass(frozen=True, eq=False)
class Shot:
    """`lit` and `albedo` (S, S, 3) float32, linear; `skin`, `eyes`, `cover` (S, S) float32 shares: of skin, of eyes,
    of the whole person."""

    lit: Array
    albedo: Array
    skin: Array
    eyes: Array
    cover: Array


@dataclass(frozen=True, eq=False)
class Lamp:
    """A small light: `toward` (3,) unit, `colour` (3,)."""

    toward: Array
    colour: Array


@dataclass(frozen=True, eq=False)
class Lights:
    """`energy` (K, 3) from K `directions` (K, 3), which of these each point of a head `sees` (V, K), and a lamp."""

    directions: Array
    sees: Array
    energy: Array
    lamp: Lamp | None = None


@dataclass(frozen=True, eq=False)
class View:
    """A head as a camera sees it. For the P pixels at `where` (2, P) of a picture of side `size`: the `triangle` seen
    and its `share` (P, 3) of the corners; `normal` (P, 3)."""

    size: int
    where: Array
    triangle: Array
    share: Array
    normal: Array


def fibonacci(count: int) -> Array:
    """(count, 3) even directions (Vogel 1979)."""
    k = np.arange(count) + 0.5
    height, turn = 1 - 2 * k / count, k * np.pi * (3 - 5**0.5)
    side = np.sqrt(1 - height**2)
    return np.stack([side * np.cos(turn), height, side * np.sin(turn)], 1)


def surroundings(environment: Array, turn: float, directions: Array) -> Array:
    """(K, 3) light from each of the `directions`: that of an equirectangular map (h, w, 3) turned by degrees."""
    small = cv2.resize(environment.astype(np.float32), (64, 32), interpolation=cv2.INTER_AREA)
    down, across = (np.arange(32) + 0.5) / 32 * np.pi, (np.arange(64) + 0.5) / 64 * 2 * np.pi + np.radians(turn)
    x, y = np.sin(down)[:, None] * np.sin(across), -np.cos(down)[:, None] + 0 * across
    toward = np.stack([x, y, np.sin(down)[:, None] * np.cos(across)], -1).reshape(-1, 3)
    energy = (small * (np.sin(down) * np.pi / 32 * 2 * np.pi / 64)[:, None, None]).reshape(-1, 3)
    nearest = (toward @ directions.T).argmax(1)
    return np.stack([np.bincount(nearest, energy[:, c], len(directions)) for c in range(3)], 1)


def normals(points: Array, triangles: Array) -> Array:
    """(V, 3) unit normals out of a surface, by the areas of the triangles around each point."""
    a, b, c = (points[triangles[:, k]] for k in range(3))
    face = np.cross(b - a, c - a)
    total = np.stack(
        [sum(np.bincount(triangles[:, k], face[:, axis], len(points)) for k in range(3)) for axis in range(3)], 1
    )
    return np.asarray(total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-9))


def visibility(head: Head, directions: Array) -> Array:
    """(V, K) float32 in 0 to 1: which directions each point sees past the head itself."""
    seen = np.empty((len(head.points), len(directions)), np.float32)
    for k, toward in enumerate(directions):
        depth, flat, far = _from_light(head, toward, SHADOW)
        seen[:, k] = _unshadowed(depth, flat, far)
    return seen


def _from_light(head: Head, toward: Array, side: int) -> tuple[Array, Array, Array]:
    """What a light sees of a head: depths (side, side), and where in it each point lies: (V, 2), depth (V,)."""
    x = np.cross(UP if abs(toward[1]) < 0.95 else np.array([1.0, 0, 0]), toward)
    x /= np.linalg.norm(x)
    axes = np.stack([x, np.cross(toward, x), -toward])
    local = (head.points - CENTRE) @ axes.T
    flat = ((local[:, :2] / REACH) * 0.5 + 0.5) * side - 0.5
    drawn = draw_triangles(flat, local[:, 2], head.triangles, side)
    depth = np.append(local[:, 2][head.triangles].max(1), 99.0)[drawn]
    return depth.astype(np.float32), flat.astype(np.float32), local[:, 2].astype(np.float32)


def _unshadowed(depth: Array, flat: Array, far: Array) -> Array:
    """(N,) share of the four pixels around each of (N, 2) places whose depth is not before `far` (N,)."""
    where = np.clip(flat, 0, len(depth) - 1.001)
    low = where.astype(int)
    part = where - low
    total = np.zeros(len(flat), np.float32)
    for dx in (0, 1):
        for dy in (0, 1):
            weight = (part[:, 0] if dx else 1 - part[:, 0]) * (part[:, 1] if dy else 1 - part[:, 1])
            total += weight * (depth[low[:, 1] + dy, low[:, 0] + dx] > far - BIAS)
    return total


def project(head: Head, zoom: float, size: int) -> Array:
    """(V, 2) pixels of a picture of side `size`, in perspective; `zoom` is how much of it the head fills."""
    distance = 7.0
    local = head.points - np.array([0.0, -6.9, 0.0])
    scale = zoom * size / 3.2 * distance / (distance + local[:, 2:])
    return np.asarray(local[:, :2] * scale + (size - 1) / 2, np.float32)


def seen(head: Head, flat: Array, size: int, normal: Array) -> View:
    """What is seen of a head whose points lie at `flat` (V, 2) in a picture; strands of hair have holes."""
    body = head.part != heads.HAIR
    drawn = draw_triangles(flat, head.points[:, 2], head.triangles[body], size)
    drawn = np.where(drawn >= 0, np.flatnonzero(body)[drawn], -1)
    strands = np.flatnonzero(~body)
    if len(strands):
        over = draw_triangles(flat, head.points[:, 2], head.triangles[strands], size)
        y, x = np.nonzero(over >= 0)
        which = strands[over[y, x]]
        share = _barycentric(flat[head.triangles[which]], np.stack([x, y], 1))
        opaque = heads.read_texture(head.looks.texture, (head.uv[which] * share[..., None]).sum(1))[:, 3] > 110
        behind = drawn[y, x]
        nearer = head.points[head.triangles[which], 2].mean(1) < head.points[head.triangles[behind], 2].mean(1) + 0.05
        put = opaque & (nearer | (behind < 0))
        drawn[y[put], x[put]] = which[put]
    y, x = np.nonzero(drawn >= 0)
    triangle = drawn[y, x]
    share = _barycentric(flat[head.triangles[triangle]], np.stack([x, y], 1))
    corners = head.triangles[triangle]
    smooth = (normal[corners] * share[..., None]).sum(1)
    smooth /= np.maximum(np.linalg.norm(smooth, axis=1, keepdims=True), 1e-6)
    return View(size, np.stack([y, x]), triangle, share, smooth)


def _barycentric(corners: Array, places: Array) -> Array:
    """(N, 3) shares of the corners (N, 3, 2) at places (N, 2), none below 0."""
    a, b, c = (corners[:, k].astype(np.float64) for k in range(3))
    ab, ac, ap = b - a, c - a, places - a
    area = ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0]
    area = np.where(np.abs(area) < 1e-9, 1e-9, area)
    second = (ap[:, 0] * ac[:, 1] - ap[:, 1] * ac[:, 0]) / area
    third = (ab[:, 0] * ap[:, 1] - ab[:, 1] * ap[:, 0]) / area
    share = np.clip(np.stack([1 - second - third, second, third], 1), 0, 1)
    return np.asarray(share / share.sum(1, keepdims=True), np.float32)


def coloured(head: Head, view: View, rng: Random) -> tuple[Array, Array]:
    """(P, 3) linear colour without light, and (P,) how much of it is skin."""
    rest = (head.rest[view.triangle] * view.share[..., None]).sum(1)
    uv = (head.uv[view.triangle] * view.share[..., None]).sum(1)
    grain = rng.standard_normal((view.size, view.size)).astype(np.float32)[view.where[0], view.where[1]]
    colour, skin = heads.albedo(head.looks, rest, uv, grain)
    part = head.part[view.triangle]
    strands = heads.read_texture(head.looks.texture, uv)[:, :3].mean(1, keepdims=True) / 128 * head.looks.dark
    colour = np.where((part == heads.EYE)[:, None], heads.eye_colour(head.looks, rest), colour)
    colour = np.where((part == heads.HAIR)[:, None], strands, colour)
    return np.clip(colour, 2e-3, 0.95), np.where(part == heads.SKIN, skin, 0)


def shaded(head: Head, view: View, lights: Lights, skin: Array) -> tuple[Array, Array]:
    """(S, S, 3) irradiance over pi at the pixels of a view, spread under skin, and (P, 3) what its surface mirrors."""
    corners, gloss = head.triangles[view.triangle], head.looks.gloss
    gain = (lights.sees[corners] * view.share[..., None]).sum(1) * np.maximum(view.normal @ lights.directions.T, 0)
    mirrored = (gain * _highlight(view, lights.directions, gloss, skin)) @ lights.energy
    lit = gain @ lights.energy / np.pi
    if lights.lamp is not None:
        toward, colour = lights.lamp.toward, lights.lamp.colour
        depth, flat, far = _from_light(head, toward, SHARP)
        where, deep = (flat[corners] * view.share[..., None]).sum(1), (far[corners] * view.share).sum(1)
        reached = (np.maximum(view.normal @ toward, 0) * _unshadowed(depth, where, deep))[:, None]
        lit = lit + reached * colour / np.pi
        mirrored = mirrored + reached * _highlight(view, toward[None], gloss, skin) * colour
    return _spread(view, lit, skin), mirrored


def _highlight(view: View, directions: Array, gloss: float, skin: Array) -> Array:
    """(P, K) share of the light from each direction that is mirrored to the camera."""
    half = directions + np.array([0.0, 0.0, -1.0])
    half /= np.maximum(np.linalg.norm(half, axis=1, keepdims=True), 1e-6)
    steep = np.where(skin > 0, 22.0, 60.0)[:, None]
    lobe = np.maximum(view.normal @ half.T, 0) ** steep * (steep + 8) / (8 * np.pi)
    return np.asarray(lobe * FRESNEL * gloss)


def _spread(view: View, lit: Array, skin: Array) -> Array:
    """(S, S, 3) of (P, 3) light at a view's pixels, blurred within skin, 0 elsewhere."""
    plane = np.zeros((view.size, view.size, 3), np.float32)
    within = np.zeros((view.size, view.size), np.float32)
    plane[view.where[0], view.where[1]] = lit
    within[view.where[0], view.where[1]] = skin > 0.3
    for c, sigma in enumerate(SPREAD):
        weight = cv2.GaussianBlur(within, (0, 0), sigma * view.size)
        soft = cv2.GaussianBlur(plane[..., c] * within, (0, 0), sigma * view.size) / np.maximum(weight, 1e-3)
        plane[..., c] += within * (soft - plane[..., c])
    return plane


def shoot(head: Head, view: View, lights: Lights, backdrop: Array, rng: Random) -> Shot:
    """A picture of a head as it is seen in lights; `backdrop` (S, S, 3) linear lies behind."""
    colour, skin = coloured(head, view, rng)
    under, mirrored = shaded(head, view, lights, skin)
    y, x = view.where
    lit, bare = backdrop.copy(), np.zeros_like(backdrop)
    lit[y, x] = colour * under[y, x] + mirrored
    bare[y, x] = colour
    part = head.part[view.triangle]
    planes = [np.zeros(backdrop.shape[:2], np.float32) for _ in range(3)]
    for plane, share in zip(planes, (skin, part == heads.EYE, np.ones(len(part)))):
        plane[y, x] = share
    return Shot(lit, bare, *planes)
