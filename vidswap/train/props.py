"""What scenes have besides faces: backgrounds, hands, things, and what cameras and encoders do to a picture."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from vidswap.types import Array

Random = np.random.Generator


def read_backgrounds(folder: Path) -> list[Array]:
    """The scenes without a face in a folder, RGB; none where there is no folder."""
    found = sorted(folder.glob("*.jpg")) if folder.is_dir() else []
    return [np.asarray(cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)) for path in found]


def sample(rgb: Array, size: int, rng: Random) -> Array:
    """A random square of a picture, 0.3 of it to all, brought to (size, size)."""
    height, width = rgb.shape[:2]
    side = int(min(height, width) * rng.uniform(0.3, 1))
    x, y = rng.integers(0, width - side + 1), rng.integers(0, height - side + 1)
    square = cv2.resize(rgb[y : y + side, x : x + side], (size, size), interpolation=cv2.INTER_AREA)
    return np.asarray(square[:, ::-1] if rng.random() < 0.5 else square)


def clouds(size: int, rng: Random) -> Array:
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


# --- covers ---------------------------------------------------------------------------------------------------------


def blob(size: int, centre: Array, radius: float, rng: Random) -> Array:
    """(size, size) float32 mask: a smooth random shape."""
    angles = np.linspace(0, 2 * np.pi, 14, endpoint=False)
    spread = radius * rng.uniform(0.6, 1.2, len(angles)) * np.array([[rng.uniform(0.5, 1.3)], [1.0]])
    turn = rng.uniform(0, 2 * np.pi)
    outline = centre + np.stack([np.cos(angles + turn) * spread[0], np.sin(angles + turn) * spread[1]], 1)
    mask = np.zeros((size, size), np.uint8)
    cv2.fillPoly(mask, [outline.astype(np.int32)], 255)
    return soften(mask, radius * 0.12)


def hand(size: int, centre: Array, radius: float, rng: Random) -> Array:
    """(size, size) float32 mask: a palm with fingers and an arm, fist to spread."""
    mask = np.zeros((size, size), np.uint8)
    turn, open_ = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 1.3)
    palm = tuple(int(v) for v in centre)
    cv2.ellipse(mask, palm, (int(radius * 0.5) + 1, int(radius * 0.4) + 1), np.degrees(turn), 0, 360, 255, -1)
    for finger in range(5):
        angle = turn + (finger - 2) * rng.uniform(0.12, 0.35)
        tip = centre + radius * (0.55 + open_ * rng.uniform(0.4, 0.8)) * np.array([np.cos(angle), np.sin(angle)])
        cv2.line(mask, palm, tuple(int(v) for v in tip), 255, max(1, int(radius * 0.2)))
    wrist = centre - 4 * radius * np.array([np.cos(turn), np.sin(turn)])
    cv2.line(mask, palm, tuple(int(v) for v in wrist), 255, max(1, int(radius * 0.55)))
    return soften(mask, radius * 0.04)


def soften(mask: Array, spread: float) -> Array:
    """uint8 0..255 -> float32 0..1, blurred by `spread` pixels."""
    wide = max(1, int(spread)) * 2 + 1
    return np.asarray(cv2.blur(mask, (wide, wide)), np.float32) / 255


def skin(rgb: Array, mesh: Array, size: int, rng: Random) -> Array:
    """(size, size, 3) uint8: the face's own skin colour, shaded at random."""
    x, y = np.clip(mesh[rng.choice([50, 280, 151, 205, 425]), :2], 0, np.array(rgb.shape[1::-1]) - 1).astype(int)
    tone = rgb[y, x].astype(np.float32)
    shade = cv2.resize(rng.uniform(0.6, 1.25, (5, 5)).astype(np.float32), (size, size), interpolation=cv2.INTER_CUBIC)
    fine = rng.normal(1, 0.05, (size // 3 + 1, size // 3 + 1)).astype(np.float32)
    shade *= cv2.resize(fine, (size, size))
    return np.asarray(np.clip(tone * shade[..., None], 0, 255), np.uint8)


def emblem(side: int, rng: Random) -> tuple[Array, Array]:
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


def stencil(rgb: Array, rng: Random) -> tuple[Array, Array]:
    """A photograph as a print in two inks, and where the brighter ink is: (H, W, 3) uint8, (H, W) float32."""
    grey = cv2.GaussianBlur(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), (0, 0), 0.015 * len(rgb) + 0.3)
    bright = grey > np.quantile(grey, rng.uniform(0.35, 0.65))
    inks = rng.uniform(0, 255, (2, 3))
    return np.asarray(np.where(bright[..., None], inks[0], inks[1]), np.uint8), np.asarray(bright, np.float32)


def shift_colours(rgb: Array, rng: Random) -> Array:
    """Another exposure, contrast, colour of the light."""
    levels = np.arange(256, dtype=np.float32)[:, None] / 255
    curve = levels ** np.exp(rng.normal(0, 0.3)) * rng.uniform(0.6, 1.15) + rng.normal(0, 0.05)
    curve = (curve - 0.5) * rng.uniform(0.6, 1.15) + 0.5
    table = np.clip(curve * rng.normal(1, 0.07, 3) * 255, 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(rgb, np.ascontiguousarray(table[None])))


def degrade(rgb: Array, rng: Random) -> Array:
    """What cameras and encoders do: light, blur, loss of size, noise, compression."""
    size = len(rgb)
    if rng.random() < 0.7:
        rgb = shift_colours(rgb, rng)
    if rng.random() < 0.06:
        rgb = np.repeat(rgb.mean(-1, keepdims=True), 3, -1).astype(np.uint8)
    kind = rng.random()
    if kind < 0.2:
        small = int(size * rng.uniform(0.4, 0.9))
        rgb = cv2.resize(cv2.resize(rgb, (small, small), interpolation=cv2.INTER_AREA), (size, size))
    elif kind < 0.35:
        rgb = cv2.GaussianBlur(rgb, (0, 0), rng.uniform(0.5, 2.0))
    elif kind < 0.45:
        rgb = cv2.filter2D(rgb, -1, streak(int(rng.integers(3, 12)), rng.uniform(0, np.pi)))
    if rng.random() < 0.35:
        noise = np.zeros(rgb.shape, np.int16)
        cv2.setRNGSeed(int(rng.integers(2**31)))
        cv2.randn(noise, 0, rng.uniform(1, 14))
        rgb = np.clip(rgb + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.5:
        coded = cv2.imencode(".jpg", rgb, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(15, 90))])[1]
        rgb = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR))
    return np.ascontiguousarray(rgb)


def streak(length: int, angle: float) -> Array:
    """The kernel of a movement by `length` pixels."""
    kernel = np.zeros((length, length), np.float32)
    middle = (length - 1) / 2
    step = middle * np.array([np.cos(angle), np.sin(angle)])
    start, stop = np.round(middle - step).astype(int), np.round(middle + step).astype(int)
    cv2.line(kernel, tuple(start.tolist()), tuple(stop.tolist()), 1.0)
    return np.asarray(kernel / kernel.sum())
