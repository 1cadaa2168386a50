"""What may be before a face in a picture - hands, cups, microphones, masks, letters, things - with its shape."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from vidswap.swap.parts import FRONT
from vidswap.train.augment import Cover, patch, polygon, stroke, thing
from vidswap.train.heads import Random
from vidswap.train.worn import Scene, smooth_noise
from vidswap.types import Array
from vidswap.write import lettering

TARGETS = np.array([13, 14, 152, 200, 61, 291, 205, 425, 50, 280, 1, 33, 263, 10, 148, 377])  # what hands go to
FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_TRIPLEX, cv2.FONT_HERSHEY_COMPLEX,
         cv2.FONT_HERSHEY_PLAIN)  # fmt: skip
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!?.,'"


def hand(scene: Scene, sprite: Array, rng: Random) -> Scene:
    """A sprite (s, s, 2) uint8 of a hand, its shading and shape, in about the face's own tone."""
    size, face = scene.size, float(np.ptp(scene.mesh[:468, 1]))
    zoom = face * rng.uniform(0.9, 1.7) / len(sprite)
    place = scene.mesh[int(rng.choice(TARGETS)), :2] + rng.normal(0, 0.18, 2) * face
    around = rng.uniform(0, 2 * np.pi)
    turn = zoom * np.array([[np.cos(around), -np.sin(around)], [np.sin(around), np.cos(around)]])
    rows, columns = np.nonzero(sprite[..., 1] > 127)
    pick = int(rng.integers(len(rows)))
    middle = np.array([columns[pick], rows[pick]]) * 0.5 + np.array([columns.mean(), rows.mean()]) * 0.5
    matrix = np.hstack([turn, (place - turn @ middle)[:, None]])
    laid = cv2.warpAffine(sprite, matrix, (size, size), flags=cv2.INTER_LINEAR).astype(np.float32)
    tone, steep = _tone(scene, rng), rng.uniform(0.7, 2.2)  # of light over its shape
    grain = 1 + 0.05 * smooth_noise(size, 40, rng) + 0.03 * rng.normal(0, 1, (size, size))
    alpha = laid[..., 1] / 255
    over = tone * (laid[..., :1] / 128 / np.maximum(alpha, 0.2)[..., None]) ** steep * grain[..., None]
    return _solid(scene, np.clip(over, 0, 255), alpha, rng)


def _tone(scene: Scene, rng: Random) -> Array:
    """(3,) of the face's skin, or somewhat another."""
    x, y = np.clip(scene.mesh[rng.choice([50, 280, 151, 205, 425]), :2], 0, scene.size - 1).astype(int)
    own = scene.rgb[max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3].mean((0, 1))
    if rng.random() < 0.12:  # gloved
        return rng.uniform(10, 240, 3)
    return np.asarray(own * rng.uniform(0.7, 1.3) * np.exp(rng.normal(0, 0.05, 3)))


def _solid(scene: Scene, over: Array, alpha: Array, rng: Random) -> Scene:
    """Something solid laid over the scene, with a soft shadow under it."""
    alpha = cv2.GaussianBlur(alpha.astype(np.float32), (0, 0), rng.uniform(0.3, 0.8))
    below = np.roll(alpha, int(rng.integers(0, 5)), 0)
    dark = rng.uniform(0, 0.45) * cv2.GaussianBlur(below, (0, 0), rng.uniform(2, 6))
    shaded = Scene(scene.rgb * (1 - dark[..., None]), scene.parts, scene.mesh)
    return shaded.under(over, alpha, FRONT)


def mask(scene: Scene, sprite: Array, rng: Random) -> Scene:
    """A face mask (s, s, 4) uint8 over nose, mouth and chin, or pulled down."""
    size = scene.size
    rows, columns = np.nonzero(sprite[..., 3] > 127)
    box = np.array([[columns.min(), rows.mean()], [columns.max(), rows.mean()], [columns.mean(), rows.min()],
                    [columns.mean(), rows.max()]], np.float32)  # fmt: skip
    face = float(np.ptp(scene.mesh[:468, 1]))
    down = np.array([0, rng.choice([0.0, 0.25], p=[0.75, 0.25]) * face])
    goal = scene.mesh[[132, 361, rng.choice([6, 197, 5]), 152], :2] + down + rng.normal(0, 0.02, (4, 2)) * face
    goal[3] += (0, 0.06 * face)
    matrix = cv2.estimateAffine2D(box, goal.astype(np.float32))[0]
    laid = cv2.warpAffine(sprite, matrix, (size, size), flags=cv2.INTER_LINEAR).astype(np.float32)
    over = laid[..., :3] * np.exp(rng.normal(0, 0.15, 3)) * rng.uniform(0.5, 1.1)
    return _solid(scene, np.clip(over, 0, 255), laid[..., 3] / 255, rng)


def drink(scene: Scene, scenes: Sequence[Array], rng: Random) -> Scene:
    """A cup, a glass, a bottle or a telephone at the mouth or beside it, with a look of its own."""
    size, face = scene.size, float(np.ptp(scene.mesh[:468, 1]))
    top = scene.mesh[rng.choice([13, 14, 61, 291, 205, 425]), :2] + rng.normal(0, 0.08, 2) * face
    wide, long, lean = rng.uniform(0.12, 0.45) * face, rng.uniform(0.35, 1.0) * face, rng.normal(0, 0.35)
    taper = rng.uniform(0.6, 1.1)
    down, right = np.array([np.sin(lean), np.cos(lean)]), np.array([np.cos(lean), -np.sin(lean)])
    corners = np.array([top - right * wide, top + right * wide, top + right * wide * taper + down * long,
                        top - right * wide * taper + down * long])  # fmt: skip
    alpha = polygon(corners, size)
    y, x = np.mgrid[:size, :size]
    off = ((x - top[0]) * right[0] + (y - top[1]) * right[1]) / wide
    round_off = np.clip(1 - rng.uniform(0, 0.6) * off**2 + rng.uniform(-0.3, 0.3) * off, 0.2, 1.4)
    over = rng.uniform(10, 250, 3) if rng.random() < 0.6 else patch(scenes, size, rng).astype(np.float32)
    return _solid(scene, np.clip(over * round_off[..., None], 0, 255), alpha, rng)


def microphone(scene: Scene, rng: Random) -> Scene:
    """A ball and a stick from below."""
    size, face = scene.size, float(np.ptp(scene.mesh[:468, 1]))
    ball = scene.mesh[rng.choice([14, 17, 152, 200]), :2] + rng.normal(0, 0.12, 2) * face
    radius, lean = rng.uniform(0.08, 0.2) * face, rng.normal(0, 0.6)
    end = ball + np.array([np.sin(lean), np.cos(lean)]) * size
    canvas = np.zeros((size, size), np.uint8)
    stroke(canvas, ball, end, radius * rng.uniform(0.8, 1.4))
    cv2.circle(canvas, np.rint(ball * 16).astype(int).tolist(), round(radius * 16), 255, -1, cv2.LINE_AA, 4)
    y, x = np.mgrid[:size, :size]
    away = np.hypot(x - ball[0] + 0.4 * radius, y - ball[1] + 0.4 * radius) / radius
    tone = rng.uniform(10, 110) * np.exp(rng.normal(0, 0.1, 3))
    mesh = np.sin(x * rng.uniform(0.8, 2.5)) * np.sin(y * rng.uniform(0.8, 2.5))
    light = 1.5 - 0.6 * np.minimum(away, 2) + 0.25 * mesh
    return _solid(scene, np.clip(tone * np.clip(light, 0.2, 2)[..., None], 0, 255), canvas / np.float32(255), rng)


def something(scene: Scene, scenes: Sequence[Array], rng: Random) -> Scene:
    """Any shape, with the look of any scene."""
    centre = scene.mesh[int(rng.integers(468)), :2]
    shape = thing(Cover(centre, float(np.ptp(scene.mesh[:468, 1])) * 1.3), scene.size, rng)
    over: Array = patch(scenes, scene.size, rng).astype(np.float32)
    if rng.random() < 0.3:
        over = rng.uniform(5, 250, 3) * (1 + 0.1 * smooth_noise(scene.size, 6, rng)[..., None])
    return _solid(scene, np.clip(over, 0, 255), shape, rng)


def letters(scene: Scene, rng: Random) -> Scene:
    """Lines of writing, as captions and marks are burnt in: with an outline, a shade, or on a bar."""
    size = scene.size
    high = size * float(np.exp(rng.uniform(np.log(0.025), np.log(0.17))))
    at, lines = rng.uniform(0.25, 0.95) * size, int(rng.integers(1, 4))
    body, edge = _printed(size, high, at, rng) if rng.random() < 0.5 else _drawn(size, high, (at, lines), rng)
    if rng.random() < 0.4:  # a mark in a corner, not across
        keep = slice(0, int(rng.uniform(0.3, 0.8) * size))
        body[:, keep], edge[:, keep] = 0, 0
    white = rng.random() < 0.65
    ink = np.full(3, rng.uniform(215, 255)) if white else rng.uniform(0, 255, 3)
    if edge.any():
        paper = np.full(3, rng.uniform(0, 40) if white or ink.mean() > 128 else rng.uniform(200, 255))
        scene = scene.under(paper, edge * rng.uniform(0.7, 1), FRONT)
    elif rng.random() < 0.35:
        bar = np.zeros((size, size), np.float32)
        bar[max(0, int(at - 1.4 * high)) : int(at + (lines - 1) * 1.6 * high + 0.5 * high)] = rng.uniform(0.6, 1)
        scene = scene.under(rng.uniform(0, 60, 3) if ink.mean() > 128 else rng.uniform(190, 255, 3), bar, FRONT)
    return scene.under(ink, body * rng.uniform(0.75, 1), FRONT)


def _words(rng: Random) -> str:
    return "".join(" " if rng.random() < 0.17 else str(rng.choice(list(LETTERS))) for _ in range(36))


def _drawn(size: int, high: float, place: tuple[float, int], rng: Random) -> tuple[Array, Array]:
    """Letters of strokes, from a height in so many lines, and their outline, which may be none: (S, S) float32 each."""
    (at, lines), font = place, int(rng.choice(FONTS))
    scale = high / cv2.getTextSize("H", font, 1.0, 1)[0][1]
    thick = max(1, round(high * rng.uniform(0.06, 0.2)))
    body, edge = np.zeros((size, size), np.uint8), np.zeros((size, size), np.uint8)
    border = max(1, round(high * rng.uniform(0.05, 0.2))) if rng.random() < 0.7 else 0
    for k in range(lines):
        words, left, bottom = _words(rng), int(rng.uniform(-0.6, 0.5) * size), int(at + k * 1.6 * high)
        if border:
            cv2.putText(edge, words, (left, bottom), font, scale, 255, thick + 2 * border, cv2.LINE_AA)
        cv2.putText(body, words, (left, bottom), font, scale, 255, thick, cv2.LINE_AA)
    return body.astype(np.float32) / 255, edge.astype(np.float32) / 255


def _printed(size: int, high: float, at: float, rng: Random) -> tuple[Array, Array]:
    """Letters of a printed type, as captions have them, from a height, and their outline: (S, S) float32 each."""
    page = round(high / lettering.CAPTION)
    made = lettering.caption(_words(rng), lettering.Page(page, page, (0.0,) * 4))
    wide, long = made.alpha.shape[1::-1]
    move = np.array([[1, 0, (size - wide) * rng.uniform(0, 1)], [0, 1, at - rng.uniform(0, 1) * long]])
    laid = cv2.warpAffine(np.dstack([made.rgb[..., 0] / np.float32(255) * made.alpha, made.alpha]), move, (size, size))
    return laid[..., 0], laid[..., 1]
