"""What footage does to faces, and what is beside them: hands and things in front, light, small size, blur, noise,
compression; skin, clouds, drawn and printed faces.

All pictures are (S, S, 3) uint8 RGB; every function returns a new one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from vidswap.types import Array


def patch(scenes: Sequence[Array], size: int, rng: np.random.Generator) -> Array:
    """A random square of a random scene, at a random zoom; noise where there are no scenes."""
    if not scenes:
        return np.asarray(cv2.resize(rng.integers(0, 256, (4, 4, 3)).astype(np.uint8), (size, size)))
    scene = scenes[int(rng.integers(len(scenes)))]
    side = int(rng.uniform(0.25, 0.9) * min(scene.shape[:2]))
    top, left = (int(rng.integers(0, length - side + 1)) for length in scene.shape[:2])
    cut = scene[top : top + side, left : left + side]
    return np.asarray(cv2.resize(cut, (size, size), interpolation=cv2.INTER_AREA))


def mouth(rgb: Array, lips: Array, rng: np.random.Generator) -> Array:
    """An opened mouth painted inside the inner lips (20, 2): dark, reddish, often with teeth above."""
    size = len(rgb)
    inside = polygon(lips, size)
    dark = rng.uniform(5, 60) * np.array([1.0, rng.uniform(0.4, 0.9), rng.uniform(0.4, 0.9)])
    paint = np.broadcast_to(dark, rgb.shape).astype(np.float32).copy()
    if rng.random() < 0.65:
        upper = lips[:11]
        drop = np.array([0, rng.uniform(0.15, 0.5)]) * max(1.0, float(np.ptp(lips[:, 1])))
        teeth = polygon(np.concatenate([upper, (upper + drop)[::-1]]), size)[..., None]
        colour = rng.uniform(110, 235) * np.array([1.0, 0.95, rng.uniform(0.75, 0.95)])
        paint = paint * (1 - teeth) + colour * teeth
    if rng.random() < 0.3:
        tongue = polygon(lips[11:] - [0, 0.35 * np.ptp(lips[:, 1])], size)[..., None]
        paint = paint * (1 - 0.7 * tongue) + 0.7 * tongue * np.array([150, 70, 75])
    return blend(rgb, paint, cv2.GaussianBlur(inside, (3, 3), 0))


def polygon(points: Array, size: int) -> Array:
    """(S, S) float32 in [0, 1]: an antialiased filled polygon (K, 2 or more)."""
    canvas = np.zeros((size, size), np.uint8)
    cv2.fillPoly(canvas, [np.round(points[:, :2] * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return canvas.astype(np.float32) / 255


def blend(rgb: Array, over: Array, alpha: Array) -> Array:
    """`over` laid over `rgb` by alpha (S, S)."""
    mixed = rgb + (over - rgb.astype(np.float32)) * alpha[..., None]
    return np.asarray(np.clip(mixed, 0, 255).astype(np.uint8))


@dataclass(frozen=True, eq=False)
class Cover:
    """Where something is laid over a picture: about the point `centre` (2,), as large as it would be over a face that
    fills a crop of the side `scale`."""

    centre: Array
    scale: float


def covered(
    rgb: Array, mesh: Array, scenes: Sequence[Array], rng: np.random.Generator, where: Cover | None = None
) -> tuple[Array, Array]:
    """A hand or a thing laid over the face, or `where`: the picture and (S, S) float32 how much is covered."""
    size = len(rgb)
    where = where or Cover(mesh[int(rng.integers(468)), :2], size)
    if rng.random() < 0.6:
        shape = hand(where, size, rng)
        colour = rgb[tuple(np.clip(mesh[[50, 280, 151], 1::-1].astype(int), 0, size - 1).T)].astype(np.float32)
        tone = colour[int(rng.integers(3))] * rng.uniform(0.7, 1.25) + rng.normal(0, 10, 3)
        grain = cv2.resize(rng.normal(0, 12, (int(rng.integers(4, 24)),) * 2 + (1,)).astype(np.float32), (size, size))
        over = tone + grain[..., None]
    else:
        shape = thing(where, size, rng)
        over = patch(scenes, size, rng).astype(np.float32)
    # A solid body is darker towards its edge; the distance transform gives it that roundness.
    depth = cv2.distanceTransform((shape > 0.5).astype(np.uint8), cv2.DIST_L2, 3)
    round_off = 1 - rng.uniform(0, 0.5) * np.exp(-depth / rng.uniform(1, 5))
    alpha = cv2.GaussianBlur(shape, (0, 0), rng.uniform(0.4, 1.2))
    shadow = 1 - rng.uniform(0, 0.5) * cv2.GaussianBlur(shape, (0, 0), rng.uniform(2, 6))
    return blend(rgb * shadow[..., None], over * round_off[..., None], alpha), alpha


def hand(where: Cover, size: int, rng: np.random.Generator) -> Array:
    """(S, S): fingers fanning out from a palm that comes in from somewhere; or only a finger or two, or a fist."""
    canvas = np.zeros((size, size), np.uint8)
    angle, width = rng.uniform(0, 2 * np.pi), rng.uniform(0.05, 0.1) * where.scale
    fingers, reach = int(rng.integers(0, 6)), rng.uniform(0.2, 0.55) * where.scale
    palm = where.centre - np.array([np.cos(angle), np.sin(angle)]) * reach * rng.uniform(0.3, 1.0)
    if fingers != 1:
        axes = (width * rng.uniform(1.6, 2.8), width * rng.uniform(1.4, 2.4))
        cv2.ellipse(canvas, (tuple(map(float, palm)), (2 * axes[0], 2 * axes[1]), float(np.degrees(angle))), 255, -1)
        stroke(canvas, palm, palm - np.array([np.cos(angle), np.sin(angle)]) * 1.5 * size, 2.6 * width)
    fan = rng.uniform(0.0, 0.22)
    for finger in range(fingers):
        place = finger - (fingers - 1) / 2
        heading = angle + fan * place
        across = np.array([-np.sin(angle), np.cos(angle)]) * place * width * rng.uniform(0.9, 1.1)
        knuckle = palm + across + np.array([np.cos(heading), np.sin(heading)]) * reach * rng.uniform(0.4, 0.6)
        bend = heading + rng.normal(0, 0.3)
        tip = knuckle + np.array([np.cos(bend), np.sin(bend)]) * reach * rng.uniform(0.3, 0.6)
        stroke(canvas, palm + across, knuckle, width)
        stroke(canvas, knuckle, tip, 0.9 * width)
    return canvas.astype(np.float32) / 255


def stroke(canvas: Array, start: Array, end: Array, width: float) -> None:
    """Draw a thick line with round ends onto a (S, S) uint8 canvas."""
    a, b = (tuple(int(v) for v in np.round(p * 16)) for p in (start, end))
    cv2.line(canvas, a, b, 255, max(1, round(width)), cv2.LINE_AA, 4)


def thing(where: Cover, size: int, rng: np.random.Generator) -> Array:
    """(S, S): an ellipse, a box, a bar or a blob."""
    if rng.random() < 0.4:
        canvas = np.zeros((size, size), np.uint8)
        axes = (float(rng.uniform(0.1, 0.6) * where.scale), float(rng.uniform(0.1, 0.6) * where.scale))
        cv2.ellipse(canvas, (tuple(map(float, where.centre)), axes, float(rng.uniform(0, 180))), 255, -1, cv2.LINE_AA)
        return canvas.astype(np.float32) / 255
    corners = int(rng.integers(3, 9))
    angle = np.sort(rng.uniform(0, 2 * np.pi, corners)) if corners != 4 else np.array([0.6, 2.5, 3.7, 5.7])
    reach = where.scale * rng.uniform(0.08, 0.4, (1 if corners == 4 else corners, 1))
    stretch = np.array([rng.uniform(0.3, 1.5), 1.0])
    spin = rng.uniform(0, np.pi)
    outline = np.stack([np.cos(angle), np.sin(angle)], 1) * reach * stretch
    turn = np.array([[np.cos(spin), np.sin(spin)], [-np.sin(spin), np.cos(spin)]])
    return polygon(outline @ turn + where.centre, size)


def relit(rgb: Array, rng: np.random.Generator) -> Array:
    """Other light: gain, gamma, contrast, cast, saturation, and a gradient as from a lamp at the side."""
    size = len(rgb)
    light = rgb.astype(np.float32) / 255
    if rng.random() < 0.5:
        grey = light.mean(2, keepdims=True)
        light = grey + (light - grey) * (0 if rng.random() < 0.15 else rng.uniform(0.3, 1.3))
    if rng.random() < 0.5:
        light = np.clip(light, 0, 1) ** np.exp(rng.normal(0, 0.3))
    if rng.random() < 0.4:
        angle = rng.uniform(0, 2 * np.pi)
        ramp = np.linspace(-1, 1, size, dtype=np.float32)
        slope = np.cos(angle) * ramp[None, :] + np.sin(angle) * ramp[:, None]
        light = light * np.exp(rng.uniform(0, 0.7) * slope[..., None])
    cast = np.exp(rng.normal(0, 0.08, 3) + rng.normal(0, 0.2))
    contrast = rng.uniform(0.6, 1.2)
    light = ((light - 0.45) * contrast + 0.45) * cast
    return np.asarray(np.clip(light * 255, 0, 255).astype(np.uint8))


def spoilt(rgb: Array, rng: np.random.Generator) -> Array:
    """As a small, soft, noisy, compressed face: shrunk and enlarged again, blurred (also by motion), noise, blocks."""
    size = len(rgb)
    side = int(size * rng.uniform(0.35, 1.0)) if rng.random() < 0.45 else size
    small = cv2.resize(rgb, (side, side), interpolation=cv2.INTER_AREA) if side < size else rgb
    if rng.random() < 0.25:
        small = cv2.GaussianBlur(small, (0, 0), rng.uniform(0.3, 1.6))
    if rng.random() < 0.15:
        length = int(rng.integers(3, 10))
        spin = cv2.getRotationMatrix2D((length // 2, length // 2), rng.uniform(0, 180), 1)
        line = np.zeros((length, length), np.float32)
        line[length // 2] = 1
        kernel = cv2.warpAffine(line, spin, (length, length)) + 1e-6
        small = cv2.filter2D(small, -1, kernel / kernel.sum())
    if rng.random() < 0.4:
        noise = rng.normal(0, rng.uniform(1, 14), small.shape).astype(np.float32)
        small = np.clip(small + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.6:
        small = compressed(small, int(rng.integers(18, 90)))
    return np.asarray(cv2.resize(small, (size, size), interpolation=cv2.INTER_LINEAR) if side < size else small)


def compressed(rgb: Array, quality: int) -> Array:
    """Through JPEG and back."""
    _, data = cv2.imencode(".jpg", rgb, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))


# -- what is no face ---------------------------------------------------------------------------------------------------


def clouds(size: int, rng: np.random.Generator) -> Array:
    """Smooth random colours at several grains, with stripes at times."""
    out = np.zeros((size, size, 3), np.float32) + rng.uniform(20, 230, 3)
    for grain in (3, 12, 60):
        noise = rng.normal(0, rng.uniform(0, 40), (grain, grain, 3)).astype(np.float32)
        out += cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC)
    if rng.random() < 0.4:
        angle, period = rng.uniform(0, np.pi), rng.uniform(4, 60)
        y, x = np.mgrid[:size, :size]
        wave = np.sign(np.sin((x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / period))
        out += wave[..., None] * rng.uniform(5, 60, 3)
    return np.clip(out, 0, 255).astype(np.uint8)


def skin(rgb: Array, mesh: Array, size: int, rng: np.random.Generator) -> Array:
    """(size, size, 3) uint8: the face's own skin colour, shaded at random."""
    x, y = np.clip(mesh[rng.choice([50, 280, 151, 205, 425]), :2], 0, np.array(rgb.shape[1::-1]) - 1).astype(int)
    tone = rgb[y, x].astype(np.float32)
    shade = cv2.resize(rng.uniform(0.6, 1.25, (5, 5)).astype(np.float32), (size, size), interpolation=cv2.INTER_CUBIC)
    fine = rng.normal(1, 0.05, (size // 3 + 1, size // 3 + 1)).astype(np.float32)
    shade *= cv2.resize(fine, (size, size))
    return np.asarray(np.clip(tone * shade[..., None], 0, 255), np.uint8)


def emblem(side: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """A face as it is drawn on shirts and posters, no person's: a skull, a mask, a smiley. (side, side, 3) uint8 and
    where it is (side, side) float32."""
    paper, ink = rng.uniform(120, 255, 3), rng.uniform(0, 90, 3)
    if rng.random() < 0.3:
        paper, ink = ink, paper
    image = np.empty((side, side, 3), np.uint8)
    image[:] = paper
    mask = np.zeros((side, side), np.uint8)
    middle, dark = side // 2, ink.tolist()
    cv2.ellipse(mask, (middle, middle), (int(side * rng.uniform(0.3, 0.48)), int(side * 0.47)), 0, 0, 360, 255, -1)
    apart, high = side * rng.uniform(0.13, 0.22), int(side * rng.uniform(0.36, 0.46))
    eye = (max(1, int(side * rng.uniform(0.04, 0.15))), max(1, int(side * rng.uniform(0.04, 0.12))))
    for way in (-1, 1):
        cv2.ellipse(image, (int(middle + way * apart), high), eye, way * rng.uniform(-20, 20), 0, 360, dark, -1)
    low, wide, thin = int(side * rng.uniform(0.68, 0.8)), side * rng.uniform(0.12, 0.26), max(1, side // 40)
    if rng.random() < 0.7:
        nose = np.array([[0, -0.1], [-0.06, 0.04], [0.06, 0.04]]) * side + [middle, 0.58 * side]
        cv2.fillPoly(image, [nose.astype(np.int32)], dark)
    if rng.random() < 0.5:
        for x in np.linspace(middle - wide, middle + wide, int(rng.integers(4, 9))).astype(int).tolist():
            cv2.line(image, (x, low - 3 * thin), (x, low + 3 * thin), dark, thin)
    cv2.ellipse(image, (middle, low), (int(wide), int(side * rng.uniform(0.01, 0.08)) + 1), 0, 0, 180, dark, thin)
    for _ in range(int(rng.integers(0, 4))):
        ends = rng.integers(0, side, 4).tolist()
        cv2.line(image, (ends[0], ends[1]), (ends[2], ends[3]), dark, int(rng.integers(1, 2 + side // 12)))
    return image, soften(mask, side * 0.02)


def stencil(rgb: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """A photograph as a print in two inks, and where the brighter ink is: (H, W, 3) uint8, (H, W) float32."""
    grey = cv2.GaussianBlur(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), (0, 0), 0.015 * len(rgb) + 0.3)
    bright = grey > np.quantile(grey, rng.uniform(0.35, 0.65))
    inks = rng.uniform(0, 255, (2, 3))
    return np.asarray(np.where(bright[..., None], inks[0], inks[1]), np.uint8), np.asarray(bright, np.float32)


def soften(mask: Array, spread: float) -> Array:
    """uint8 0..255 -> float32 0..1, blurred by `spread` pixels."""
    wide = max(1, int(spread)) * 2 + 1
    return np.asarray(cv2.blur(mask, (wide, wide)), np.float32) / 255
