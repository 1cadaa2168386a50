"""Labelled face tiles -> endless pictures with several faces each, for training the detector.

Every scene is a background with tiles laid over it at many sizes, angles and looks: whole, cut close with a hard edge,
or cut round and feathered; partly covered by hands and things; then blurred, noised and compressed together. What looks
like a face but is none (skin, hands, clothes, the back of a head) is in the pictures too, without a label.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from scipy.interpolate import LinearNDInterpolator

from vidswap.face import geometry, landmarks
from vidswap.train.augment import Cover, clouds, covered, emblem, patch, relit, skin, soften, spoilt, stencil
from vidswap.train.faces import read
from vidswap.train.loop import SAMPLE, chance
from vidswap.types import Array

# Tiles with further people in them or a label beside the face, as a second detector (YuNet) told.
CROWDED = frozenset([37, 48, 97, 100, 210, 231, 275, 299, 316, 341, 346, 403, 422, 440, 447, 496, 499, 512, 526, 640,
                     723, 784, 834, 957, 1028, 1092, 1104, 1129, 1229, 1243, 1264, 1398, 1447, 1457, 1466, 1469, 1498,
                     1502, 1529, 1587, 1599])  # fmt: skip
FOREHEAD = 0.08  # the mesh ends below the hairline: boxes reach up by this share of their height
SMALLEST, LARGEST = 12.0, 0.94  # sides of the faces: pixels; share of the scene


@dataclass(frozen=True, eq=False)
class Scene:
    """`counts` False: too small or too covered to ask for, yet no background either."""

    rgb: Array  # (S, S, 3) uint8
    boxes: Array  # (N, 4) float32
    points: Array  # (N, 5, 2) float32
    counts: Array  # (N,) bool


def face_box(mesh: Array) -> Array:
    """x0 y0 x1 y1 of the face in (478, 2 or 3) points: the bounds of the mesh and some forehead, float32."""
    box = geometry.bounds(mesh)
    box[1] -= FOREHEAD * (box[3] - box[1])
    return box


def mirrored(scene: Scene) -> Scene:
    """The scene seen in a mirror: left eyes become right ones."""
    last = scene.rgb.shape[1] - 1
    boxes, points = scene.boxes.copy(), scene.points[:, [1, 0, 2, 4, 3]].copy()
    boxes[:, [0, 2]] = last - boxes[:, [2, 0]]
    points[..., 0] = last - points[..., 0]
    return Scene(np.ascontiguousarray(scene.rgb[:, ::-1]), boxes, points, scene.counts)


class Tiles:
    """The labelled tiles, kept compressed in memory."""

    def __init__(self, data: Path) -> None:
        labels = np.load(data / "labels.npz")
        names = [str(name) for name in labels["name"]]
        chosen = [i for i, name in enumerate(names) if int(Path(name).stem) not in CROWDED]
        self.files = [np.fromfile(data / names[i], np.uint8) for i in chosen]
        self.meshes = labels["mesh"][chosen].astype(np.float32)
        sides = self.meshes[:, :, :2].max(1) - self.meshes[:, :, :2].min(1)
        self.sides = np.sqrt(sides.prod(1))

    def __len__(self) -> int:
        return len(self.files)

    def read(self, index: int, side: float) -> tuple[Array, Array]:
        """RGB and mesh of a tile, decoded at the smallest size at which the face is still as large as `side`."""
        shrink = max((s for s in (1, 2, 4, 8) if self.sides[index] / s >= side), default=1)
        flags = {1: cv2.IMREAD_COLOR, 2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4}
        image = np.asarray(cv2.imdecode(self.files[index], flags.get(shrink, cv2.IMREAD_REDUCED_COLOR_8)))
        return np.ascontiguousarray(image[..., ::-1]), (self.meshes[index] + 0.5) / shrink - 0.5


def turned(rgb: Array, mesh: Array, yaw: float, pitch: float) -> tuple[Array, Array]:
    """The head turned in space by two angles (radians): mesh warp of the picture, the surroundings held in place."""
    middle = mesh.mean(0)
    flat = mesh - middle
    flat[:, 2] -= flat[landmarks.OVAL, 2].mean()
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    spin = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]]) @ np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    after = (flat @ spin.T + mesh.mean(0)).astype(np.float32)
    oval = landmarks.OVAL[::3]
    held = [mesh[oval, :2] + (mesh[oval, :2] - middle[:2]) * far for far in (1.2, 4.0, 12.0)]
    half = (mesh[oval, :2] + after[oval, :2]) / 2 + (mesh[oval, :2] - middle[:2]) * 0.5
    source = np.concatenate([mesh[:468:3, :2], mesh[oval, :2] * 1.5 - middle[:2] * 0.5, *held])
    target = np.concatenate([after[:468:3, :2], half, *held])
    height, width = rgb.shape[:2]
    gx, gy = np.meshgrid(np.linspace(0, width - 1, 40), np.linspace(0, height - 1, 40))
    back = LinearNDInterpolator(target, source)(gx, gy)
    back = np.where(np.isfinite(back), back, np.stack([gx, gy], -1)).astype(np.float32)
    dense = cv2.remap(back, *_stretch(height, width, 40), cv2.INTER_LINEAR)
    moved = cv2.remap(rgb, dense[..., 0], dense[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(moved), after


def _stretch(height: int, width: int, cells: int) -> tuple[Array, Array]:
    """Maps that enlarge a grid of (cells, cells) corner-aligned values to a picture."""
    x, y = np.linspace(0, cells - 1, width), np.linspace(0, cells - 1, height)
    mx, my = np.meshgrid(x, y)
    return mx.astype(np.float32), my.astype(np.float32)


class Scenes:
    """Endless scenes of side `size`; equal seeds give equal scenes. `data` holds the tiles, and beside it lies
    `backgrounds` with pictures without faces (without it, colours and stripes serve). `prints` is how often a drawn or
    printed face, which is nobody's, is in the picture, and as often again under a face, as on a shirt."""

    def __init__(self, data: Path, size: int, seed: int, prints: float = 0.0) -> None:
        self.tiles, self.size, self.prints = Tiles(data), size, prints
        self.backgrounds = [read(path) for path in sorted((data.parent / "backgrounds").glob("*.jpg"))]
        self.seed, self.rng = seed, np.random.default_rng(seed)

    def __iter__(self) -> Iterator[Scene]:
        while True:
            yield self.scene()

    def at(self, number: int) -> Scene:
        """The scene of a number, whatever was made before."""
        self.rng = chance(self.seed, SAMPLE, number)
        return self.scene()

    def scene(self) -> Scene:
        """One picture with 0 to 5 faces, the largest first."""
        rng = self.rng
        rgb = self.background()
        if rng.random() < self.prints:
            rgb, _ = self.printed(rgb, rng.uniform(0, self.size, 2), float(np.exp(rng.uniform(3, 5.2))))
        count = rng.choice([0, 1, 2, 3, 5], p=[0.08, 0.34, 0.28, 0.18, 0.12])
        top = np.log(LARGEST * self.size / (1 if count < 3 else 2))
        sides = np.sort(np.exp(rng.uniform(np.log(SMALLEST), top, count)))[::-1]
        faces: list[tuple[Array, float]] = []  # points (478, 2), share seen
        for side in sides:
            rgb, mask, mesh, seen = self.add(rgb, float(side))
            faces = [(points, part * (1 - _share(mask, points))) for points, part in faces]
            faces.append((mesh, seen))
            if rng.random() < self.prints:
                under = geometry.five_points(mesh)[2] + side * np.array([rng.normal(0, 0.4), rng.uniform(1.2, 2.2)])
                rgb, mask = self.printed(rgb, under, side * float(rng.uniform(0.4, 1.8)))
                faces = [(points, part * (1 - _share(mask, points))) for points, part in faces]
        return self.labelled(self.filmed(rgb), faces)

    def background(self) -> Array:
        rng, kind = self.rng, self.rng.random()
        if kind < 0.6 and self.backgrounds:
            return patch(self.backgrounds, self.size, rng)
        if kind < 0.75:
            return clouds(self.size, rng)
        rgb, mesh = self.tiles.read(int(rng.integers(len(self.tiles))), 100)
        rgb = self.faceless(rgb, mesh)
        return patch([rgb], self.size, rng)

    def faceless(self, rgb: Array, mesh: Array) -> Array:
        """A tile whose face is gone: hair, skin or a texture in its place. Bodies, hair and clothes stay."""
        rng = self.rng
        hull = cv2.convexHull(mesh[:468, :2].astype(np.int32))
        mask = np.zeros(rgb.shape[:2], np.uint8)
        cv2.fillConvexPoly(mask, hull, 255)
        mask = cv2.dilate(mask, np.ones((9, 9), np.uint8))
        wide = max(rgb.shape[:2])
        kind = rng.random()
        if kind < 0.4:
            limits = np.array(rgb.shape[1::-1]) - 1
            above = np.clip(mesh[10, :2] - [0, 0.15 * np.ptp(mesh[:, 1])], 0, limits).astype(int)
            grain = rng.normal(1, 0.15, (wide, wide // 4, 1)).astype(np.float32)
            fill = np.clip(rgb[above[1], above[0]] * cv2.resize(grain, (wide, wide))[..., None], 0, 255)
        elif kind < 0.7:
            fill = skin(rgb, mesh, wide, rng)
        else:
            fill = clouds(wide, rng)
        fill = fill[: rgb.shape[0], : rgb.shape[1]]
        soft = soften(mask, 0.03 * np.ptp(mesh[:, 0]))[..., None]
        return np.asarray(rgb * (1 - soft) + fill * soft, np.uint8)

    def add(self, rgb: Array, side: float) -> tuple[Array, Array, Array, float]:
        """Lay one tile over the picture: the picture, what the tile covers (size, size), its points, share seen."""
        rng, size = self.rng, self.size
        tile, mesh = self.tiles.read(int(rng.integers(len(self.tiles))), side * 0.8)
        if rng.random() < 0.3:
            tile, mesh = turned(tile, mesh, rng.uniform(-0.7, 0.7), rng.uniform(-0.35, 0.35))
        gone = rng.random() < 0.06
        if gone:
            tile = self.faceless(tile, mesh)
        matrix = self.place(mesh, side)
        points = geometry.apply(matrix, mesh[:, :2])
        linear = cv2.INTER_LINEAR
        laid = cv2.warpAffine(tile, matrix, (size, size), flags=linear, borderMode=cv2.BORDER_REFLECT)
        mask = self.outline(tile, mesh, matrix)
        laid = relit(laid, rng) if rng.random() < 0.7 else laid
        out = (rgb * (1 - mask[..., None]) + laid * mask[..., None]).astype(np.uint8)
        out, seen = self.cover(out, points)
        return out, mask, points, 0.0 if gone else seen

    def printed(self, rgb: Array, middle: Array, side: float) -> tuple[Array, Array]:
        """Lay a drawn or stencilled face of a side about `middle` over the picture: the picture, what it covers."""
        rng = self.rng
        if rng.random() < 0.6:
            art, where = emblem(max(24, int(side)), rng)
        else:
            tile, mesh = self.tiles.read(int(rng.integers(len(self.tiles))), side)
            x0, y0, x1, y1 = np.clip(face_box(mesh), 0, None).astype(int)
            art, where = stencil(tile[y0:y1, x0:x1], rng)
            where = where if rng.random() < 0.7 else np.ones_like(where)
        zoom, roll = side / len(art), rng.normal(0, 0.2)
        turn = zoom * np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
        matrix = np.hstack([turn, (middle - turn @ (np.array(art.shape[1::-1]) / 2))[:, None]])
        wide = (self.size, self.size)
        art = cv2.warpAffine(art, matrix, wide)
        mask = cv2.warpAffine(where, matrix, wide) * rng.uniform(0.6, 1.0)
        return np.asarray(rgb * (1 - mask[..., None]) + art * mask[..., None], np.uint8), np.asarray(mask)

    def place(self, mesh: Array, side: float) -> Array:
        """(2, 3): tile -> picture; rolled, at times squeezed; the face mostly inside."""
        rng = self.rng
        roll = np.clip(rng.normal(0, 0.3), -0.9, 0.9)
        box = face_box(mesh)
        zoom = side / np.sqrt((box[2:] - box[:2]).prod())
        squeeze = np.diag([rng.uniform(0.75, 1.0) if rng.random() < 0.3 else 1.0, 1.0])
        turn = zoom * np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]]) @ squeeze
        slack = 0.3 * side if rng.random() < 0.3 else -0.4 * side
        low, high = min(-slack, self.size / 2 - 1), max(self.size + slack, self.size / 2)
        at = rng.uniform(low, high, 2)
        return np.hstack([turn, (at - turn @ (box[:2] + box[2:]) / 2)[:, None]])

    def outline(self, tile: Array, mesh: Array, matrix: Array) -> Array:
        """(size, size) float32: how the tile is cut: whole, closer with a hard edge, or round the head and soft."""
        rng = self.rng
        mask = np.zeros(tile.shape[:2], np.uint8)
        x0, y0, x1, y1 = face_box(mesh)
        wide, high = x1 - x0, y1 - y0
        kind = rng.random()
        if kind < 0.5:
            mask[:] = 255
        elif kind < 0.75:
            over, under, left, right = rng.uniform(0.25, 2.0, 4) * [high, high, wide, wide]
            rows = slice(max(0, int(y0 - over)), int(y1 + under))
            mask[rows, max(0, int(x0 - left)) : int(x1 + right)] = 255
        else:
            middle = (int((x0 + x1) / 2), int(y0 + 0.4 * high))
            cv2.ellipse(mask, middle, (int(wide * 0.75), int(high * 0.85)), 0, 0, 360, 255, -1)
            mask = cv2.blur(mask, (max(3, int(wide * 0.15)),) * 2)
        placed = cv2.warpAffine(mask, matrix, (self.size, self.size), flags=cv2.INTER_LINEAR)
        return np.asarray(placed, np.float32) / 255

    def cover(self, rgb: Array, points: Array) -> tuple[Array, float]:
        """A hand or a thing on or beside a face; returns the share of the face that is still seen."""
        rng = self.rng
        if rng.random() > 0.4:
            return rgb, 1.0
        box = face_box(points)
        side, middle = float(np.sqrt((box[2:] - box[:2]).prod())), (box[:2] + box[2:]) / 2
        where = Cover(middle + rng.normal(0, 0.6, 2) * side, side * rng.uniform(0.7, 1.9))
        out, mask = covered(rgb, points, self.backgrounds, rng, where)
        return out, 1 - _share(mask, points)

    def filmed(self, rgb: Array) -> Array:
        """As cameras and encoders show it."""
        return spoilt(relit(rgb, self.rng) if self.rng.random() < 0.7 else rgb, self.rng)

    def labelled(self, rgb: Array, faces: list[tuple[Array, float]]) -> Scene:
        """Boxes clipped to the picture; a face counts when half of it can be seen and is large enough."""
        boxes, points, counts = [], [], []
        for mesh, seen in faces:
            whole = face_box(mesh)
            box = np.clip(whole, 0, self.size - 1)
            inside = (box[2:] - box[:2]).prod() / (whole[2:] - whole[:2]).prod()
            if seen * inside < 0.12:
                continue
            boxes.append(box)
            points.append(geometry.five_points(mesh))
            counts.append(seen * inside > 0.4 and np.sqrt((box[2:] - box[:2]).prod()) >= 0.75 * SMALLEST)
        many = len(boxes)
        boxes_, points_ = np.array(boxes, np.float32).reshape(many, 4), np.array(points, np.float32).reshape(many, 5, 2)
        return Scene(rgb, boxes_, points_, np.array(counts, bool))


def _share(mask: Array, points: Array) -> float:
    """How much of the face's box a mask covers, 0 to 1."""
    x0, y0, x1, y1 = np.clip(geometry.bounds(points), 0, len(mask)).astype(int)
    return float(mask[y0:y1, x0:x1].mean()) if x1 > x0 and y1 > y0 else 1.0
