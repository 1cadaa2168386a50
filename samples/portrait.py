"""A new person out of several: shapes averaged, textures laid on the average, cut out of the backdrop.

Pictures are RGB float32 in 0..1, meshes (478, 3) float32 pixels of their picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vidswap.face.geometry import apply, fit_similarity
from vidswap.face.landmarks import INNER_LIPS, IRISES, LEFT_EYE, OVAL, RIGHT_EYE, RIGID

Array = NDArray[Any]
LIPS = np.array([61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146])
BROWS = (
    np.array([70, 63, 105, 66, 107, 55, 65, 52, 53, 46]),
    np.array([336, 296, 334, 293, 300, 276, 283, 282, 295, 285]),
)
FEATURES = (LEFT_EYE, RIGHT_EYE, LIPS, *BROWS)


@dataclass(frozen=True, eq=False)
class Portrait:
    """A person in front of nothing: `alpha` (H, W) float32 is 1 on the person."""

    rgb: Array
    mesh: Array
    alpha: Array


@dataclass(frozen=True)
class Recipe:
    """Whose head and clothes, whose faces and how much of each, and whose skin and lashes are seen close up."""

    host: str
    faces: tuple[tuple[str, float], ...]
    detail: str
    light: float = 0.14  # coarser than this is the host's: skin tone and light, in widths of the face
    inset: float = 0.035  # how far inside the host's oval the new face begins, in widths of the face


def load(data: Path, name: str, side: int) -> tuple[Array, Array]:
    """A labelled picture of the data, scaled to `side` pixels of height: rgb, mesh. Raises FileNotFoundError."""
    labels = np.load(data / "labels.npz")
    mesh = labels["mesh"][list(labels["name"]).index(name)].astype(np.float32)
    picture = cv2.imread(str(data / name))
    if picture is None:
        raise FileNotFoundError(data / name)
    zoom = side / picture.shape[0]
    big = cv2.resize(picture, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_LANCZOS4)
    return cv2.cvtColor(big, cv2.COLOR_BGR2RGB).astype(np.float32) / 255, mesh * zoom


def blur(picture: Array, sigma: float) -> Array:
    """A Gaussian; wide ones are made on a smaller picture, for speed."""
    if sigma <= 8:
        return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma))
    step = sigma / 4
    small = cv2.resize(picture, None, fx=1 / step, fy=1 / step, interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), 4)
    return np.asarray(cv2.resize(small, picture.shape[1::-1], interpolation=cv2.INTER_CUBIC))


def spread(points: Array, values: Array, shape: tuple[int, int]) -> Array:
    """Values (K, D) known at points (K, 2), as a smooth (H, W, D) field: a thin-plate spline with some slack."""
    scale = max(shape)
    base = points / scale

    def kernel(a: Array, b: Array) -> Array:
        square = ((a[:, None] - b[None]) ** 2).sum(-1)
        return np.asarray(square * np.log(square + 1e-12) / 2)

    count = len(base)
    plane = np.hstack([np.ones((count, 1)), base])
    system = np.block([[kernel(base, base) + 2e-4 * np.eye(count), plane], [plane.T, np.zeros((3, 3))]])
    solved = np.linalg.solve(system, np.vstack([values, np.zeros((3, values.shape[1]))]))
    rows, columns = ((np.arange(64) + 0.5) * length / 64 - 0.5 for length in shape)  # as cv2.resize sees them
    grid = np.stack(np.meshgrid(columns, rows), -1).reshape(-1, 2) / scale
    coarse = kernel(grid, base) @ solved[:count] + np.hstack([np.ones((len(grid), 1)), grid]) @ solved[count:]
    field = cv2.resize(coarse.reshape(64, 64, -1).astype(np.float32), shape[::-1], interpolation=cv2.INTER_CUBIC)
    return np.asarray(field.reshape(*shape, -1))


def sample(picture: Array, places: Array) -> Array:
    """The picture (H, W, C) looked up at places (h, w, 2)."""
    x, y = (np.ascontiguousarray(places[..., i], np.float32) for i in (0, 1))
    return np.asarray(cv2.remap(picture, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE))


def grid_of(shape: tuple[int, int]) -> Array:
    """(H, W, 2) float32: each pixel's own place."""
    return np.stack(np.meshgrid(np.arange(shape[1]), np.arange(shape[0])), -1).astype(np.float32)


def lookup(target: Array, source: Array, triangles: Array, shape: tuple[int, int]) -> Array:
    """(H, W, 2): a pixel's place in the source mesh, triangle by triangle of the target; outside of it its own."""
    places = grid_of(shape)
    for triangle in triangles:
        corners = target[triangle, :2].astype(np.float32)
        x0, y0 = np.floor(corners.min(0)).astype(int).clip(0)
        x1, y1 = np.ceil(corners.max(0)).astype(int) + 1
        patch = np.zeros((y1 - y0, x1 - x0), np.uint8)
        cv2.fillConvexPoly(patch, np.round(corners - (x0, y0)).astype(np.int32), 1)
        if abs(np.linalg.det(np.hstack([corners, np.ones((3, 1))]))) < 1e-3:
            continue
        affine = cv2.getAffineTransform(corners, source[triangle, :2].astype(np.float32))
        region = places[y0:y1, x0:x1]
        inside = patch[: region.shape[0], : region.shape[1]] > 0
        own = np.argwhere(inside)[:, ::-1] + (x0, y0)
        region[inside] = own @ affine[:, :2].T + affine[:, 2]
    return places


def face_mask(mesh: Array, shape: tuple[int, int], inset: float) -> Array:
    """1 inside the face's oval, drawn in by `inset` of the face's width, fading over as much again."""
    mask = np.zeros(shape, np.uint8)
    cv2.fillPoly(mask, [np.round(mesh[OVAL, :2]).astype(np.int32)], 255)
    reach = max(1.0, float(np.ptp(mesh[OVAL, 0])) * inset)
    inner = cv2.distanceTransform(mask, cv2.DIST_L2, 5)
    depth = np.clip(inner / (2 * reach), 0, 1)
    return np.asarray(depth**2 * (3 - 2 * depth), np.float32)


def without_holes(triangles: Array) -> Array:
    """The mesh's triangles (K, 3) and those that close its eyes and its mouth."""
    rings = zip(IRISES, (LEFT_EYE, RIGHT_EYE))
    eyes = [(iris[0], a, b) for iris, ring in rings for a, b in zip(ring, np.roll(ring, -1))]
    upper, lower = INNER_LIPS[:11], np.append(INNER_LIPS[0], INNER_LIPS[:9:-1])
    lips = [t for i in range(10) for t in ((upper[i], upper[i + 1], lower[i]), (lower[i], upper[i + 1], lower[i + 1]))]
    return np.vstack([triangles, eyes, lips])


def features(mesh: Array, shape: tuple[int, int], grow: float, rings: Sequence[Array] = FEATURES) -> Array:
    """1 on eyes, brows and lips, each grown by `grow` of the face's width and softened as much."""
    mask = np.zeros(shape, np.uint8)
    for ring in rings:
        cv2.fillConvexPoly(mask, cv2.convexHull(np.round(mesh[ring, :2]).astype(np.int32)), 1)
    reach = max(1, round(float(np.ptp(mesh[OVAL, 0])) * grow))
    grown = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1,) * 2))
    return blur(grown.astype(np.float32), reach / 2)


def mix(recipe: Recipe, data: Path, side: int = 960) -> tuple[Array, Array]:
    """The new person, still before the host's backdrop: rgb, mesh.

    Shape: the weighted mean of all. Skin tone and light: the host's low frequencies, so that face, ears and neck
    agree. Features: the faces' weighted mean above them; the finest band and the eyes from one face, to stay sharp."""
    triangles = without_holes(np.load(data / "topology.npz")["tri"])
    host, host_mesh = load(data, recipe.host, side)
    shape = host.shape[:2]
    loaded = {name: load(data, name, side) for name, _ in recipe.faces}
    target = (1 - sum(weight for _, weight in recipe.faces)) * host_mesh
    for name, weight in recipe.faces:
        mesh = loaded[name][1]
        target = target + weight * apply(fit_similarity(mesh[RIGID], host_mesh[RIGID]), mesh)
    body = sample(host, grid_of(shape) + pull(target, host_mesh, shape))
    faces = {name: sample(rgb, lookup(target, mesh, triangles, shape)) for name, (rgb, mesh) in loaded.items()}
    wide = float(np.ptp(target[OVAL, 0]))
    skin = face_mask(target, shape, 0.04) * (1 - features(target, shape, 0.03)) + 1e-3
    above = {name: face / (soft(face, skin, recipe.light * wide) + 0.02) for name, face in faces.items()}
    total = sum(weight for _, weight in recipe.faces)
    structure = sum(weight / total * above[name] for name, weight in recipe.faces)
    near = above[recipe.detail]
    structure = structure + 0.9 * ((near - blur(near, 0.012 * wide)) - (structure - blur(structure, 0.012 * wide)))
    structure = np.minimum(structure, 1.4)
    eyes = features(target, shape, 0.02, (LEFT_EYE, RIGHT_EYE))[..., None]
    structure = structure + eyes * (np.minimum(near, 1.5) - structure)
    mask = face_mask(target, shape, recipe.inset)[..., None]
    calm = face_mask(target, shape, 0.005)[..., None] * (cv2.bilateralFilter(body, 31, 0.07, 9) - body)
    rgb = (body + calm) * (1 - mask) + (soft(body, skin, recipe.light * wide) + 0.02) * structure * mask
    return np.clip(rgb, 0, 1).astype(np.float32), target.astype(np.float32)


def pull(target: Array, source: Array, shape: tuple[int, int]) -> Array:
    """(H, W, 2): where the whole picture comes from when its face moves to `target`; the border stays."""
    height, width = shape
    rim = np.array([(x * width, y * height) for x in (0, 0.25, 0.5, 0.75, 1) for y in (0, 0.25, 0.5, 0.75, 1)
                    if x in (0, 1) or y in (0, 1)], np.float64)  # fmt: skip
    points = np.vstack([target[:468:2, :2], rim])
    moves = np.vstack([(source - target)[:468:2, :2], np.zeros_like(rim)])
    return spread(points, moves, shape)


def soft(picture: Array, mask: Array, sigma: float) -> Array:
    """The picture's low frequencies inside a mask, nothing of the outside leaking in."""
    total = blur(np.dstack([picture * mask[..., None], mask]), sigma)
    return np.asarray(total[..., :3] / (total[..., 3:] + 1e-3))


def dyed(portrait: Portrait, gain: tuple[float, float, float]) -> Portrait:
    """Other hair: gains on R, G, B where the picture is vivid and not the face."""
    rgb = portrait.rgb
    vivid = (rgb.max(-1) - rgb.min(-1)) / (rgb.max(-1) + 0.05)
    where = np.clip((vivid - 0.60) / 0.15, 0, 1) * (1 - face_mask(portrait.mesh, vivid.shape, 0.02))
    dye = 1 + blur(where.astype(np.float32), 2)[..., None] * (np.array(gain, np.float32) - 1)
    return replace(portrait, rgb=rgb * dye)


def cut_out(rgb: Array, mesh: Array) -> Portrait:
    """The person without the backdrop: GrabCut (Rother et al., SIGGRAPH 2004) started from the face, its edge softened
    by a guided filter (He et al., ECCV 2010), its rim freed of the backdrop's colour."""
    small = cv2.resize((rgb * 255).astype(np.uint8), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    state = cv2.grabCut(small, seeds(mesh / 2, small.shape[:2]), None, np.zeros((1, 65)), np.zeros((1, 65)), 6,
                        cv2.GC_INIT_WITH_MASK)[0]  # fmt: skip
    solid = largest(np.isin(state, (cv2.GC_FGD, cv2.GC_PR_FGD)))
    solid = cv2.resize(solid.astype(np.float32), rgb.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    solid = blur(solid, 2) > 0.5
    band = 13
    inside = cv2.erode(solid.astype(np.uint8), np.ones((band, band))) > 0
    near = cv2.dilate(solid.astype(np.uint8), np.ones((2 * band, 2 * band))) > 0
    alpha = np.clip((guided(rgb, solid.astype(np.float32), 12, 2e-4) - 0.12) / 0.76, 0, 1)
    alpha = np.where(inside, 1, np.where(near, alpha, 0)).astype(np.float32)
    weight = (alpha > 0.97).astype(np.float32)
    total = blur(np.dstack([rgb * weight[..., None], weight]), 6)
    own = total[..., :3] / (total[..., 3:] + 1e-4)
    certain = np.clip(alpha * 2 - 1, 0, 1)[..., None]
    known = np.clip(total[..., 3:] * 8, 0, 1)
    return Portrait(rgb + (own - rgb) * (1 - certain) * known, mesh, alpha)


def seeds(mesh: Array, shape: tuple[int, int]) -> Array:
    """GrabCut's first guess: face and chest are the person, the upper rim of the picture is not."""
    guess = np.full(shape, cv2.GC_PR_BGD, np.uint8)
    x0, y0, x1, y1 = *mesh[OVAL, :2].min(0), *mesh[OVAL, :2].max(0)
    wide, tall, middle = x1 - x0, y1 - y0, int((x0 + x1) / 2)
    axes = (int(0.85 * wide), int(0.95 * tall))
    cv2.ellipse(guess, (middle, int(y0 + 0.4 * tall)), axes, 0, 0, 360, cv2.GC_PR_FGD, -1)
    chest = np.array([(middle - 0.4 * wide, y1), (middle + 0.4 * wide, y1), (middle + 1.7 * wide, shape[0]),
                      (middle - 1.7 * wide, shape[0])])  # fmt: skip
    cv2.fillConvexPoly(guess, chest.astype(np.int32), cv2.GC_PR_FGD)
    cv2.fillPoly(guess, [mesh[OVAL, :2].astype(np.int32)], cv2.GC_FGD)
    cv2.rectangle(guess, (int(middle - 0.25 * wide), int(y1)), (int(middle + 0.25 * wide), shape[0]), cv2.GC_FGD, -1)
    rim = max(2, int(y0 - 0.75 * tall))
    guess[: max(2, rim // 2)] = cv2.GC_BGD
    guess[: int(0.6 * shape[0]), :4] = guess[: int(0.6 * shape[0]), -4:] = cv2.GC_BGD
    return guess


def largest(mask: Array) -> Array:
    """The largest connected part of a mask, its holes closed."""
    _, labels, facts, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    part = (labels == 1 + int(np.argmax(facts[1:, cv2.CC_STAT_AREA]))).astype(np.uint8)
    outlines, _ = cv2.findContours(part, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(part, outlines, -1, 1, -1)
    return part > 0


def guided(guide: Array, mask: Array, radius: int, slack: float) -> Array:
    """A mask smoothed along the edges of a picture: the guided filter with a colour guide."""

    def mean(values: Array) -> Array:
        return np.asarray(cv2.blur(values, (2 * radius + 1,) * 2))

    centre, level = mean(guide), mean(mask)
    covariance = mean(guide * mask[..., None]) - centre * level[..., None]
    products = mean((guide[..., :, None] * guide[..., None, :]).reshape(*mask.shape, 9)).reshape(*mask.shape, 3, 3)
    spread_of = products - centre[..., :, None] * centre[..., None, :] + slack * np.eye(3, dtype=np.float32)
    slope = np.linalg.solve(spread_of, covariance[..., None])[..., 0].astype(np.float32)
    shift = level - (slope * centre).sum(-1)
    return np.asarray((mean(slope) * guide).sum(-1) + mean(shift), np.float32)
