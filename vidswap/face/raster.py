"""Mesh and pictures -> pictures with another geometry: the drawing of textured faces."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from vidswap.face import landmarks
from vidswap.types import Array

RING = 1.45  # the circle where the surroundings stand still, in radii of the face's outline
TEAR = 4.0  # a step this many times the usual one is no stretched skin but a gap
SOFT = 1 / 400  # of a picture's side, over which the edges of lips are soft
FINE = 4  # parts of a pixel to which what is seen between lips is drawn


@dataclass(frozen=True, eq=False)
class Surface:
    """What is drawn: `mean` (478, 3) in the face's own frame; `triangles` (K, 3) of skin, eyes, mouth and the ring of
    surroundings, whose 36 outer points follow the 478; `part` (K,) 0 skin, 1 eye, 2 mouth interior, 3 surroundings."""

    mean: Array
    triangles: Array
    part: Array

    @cached_property
    def opposite(self) -> Array:
        """(478,) int64: the point on the other side of the face, for each."""
        return landmarks.opposite(self.mean)


def surface(mean: Array, skin: Array) -> Surface:
    """Close eyes and mouth of the `skin` triangles (K, 3) and put the ring of surroundings around them."""
    ring = band(landmarks.OVAL, 478 + np.arange(len(landmarks.OVAL)))
    eyes = [_fill(mean, np.concatenate([lids, iris]), lids) for lids, iris in
            zip(landmarks.EYES, landmarks.IRISES, strict=True)]  # fmt: skip
    mouth = strip(landmarks.INNER_LIPS)
    parts = [np.asarray(skin, np.int32), np.concatenate(eyes), mouth, ring]
    return Surface(mean, np.concatenate(parts).astype(np.int32), np.repeat(np.arange(4), [len(p) for p in parts]))


def _fill(mean: Array, points: Array, contour: Array) -> Array:
    """Delaunay triangles of `points` inside the polygon `contour` of the mean face."""
    flat = mean[points, :2] * 1000 + 2000
    plane = cv2.Subdiv2D((0, 0, 4000, 4000))
    plane.insert(flat.astype(np.float32))
    corners = np.asarray(plane.getTriangleList()).reshape(-1, 3, 2)
    nearest = np.linalg.norm(corners[:, :, None] - flat[None, None], axis=-1)
    keep = nearest.min(-1).max(-1) < 1.0
    outline = (mean[contour, :2] * 1000 + 2000).astype(np.float32)
    inside = [cv2.pointPolygonTest(outline, (float(c[0]), float(c[1])), False) >= 0 for c in corners.mean(1)]
    return np.asarray(points[nearest.argmin(-1)[keep & np.array(inside)]], np.int32)


def band(near: Array, far: Array) -> Array:
    """(2 K, 3): triangles between two rings (K,) of points."""
    near_next, far_next = np.roll(near, -1), np.roll(far, -1)
    return np.concatenate([np.stack([near, near_next, far], 1), np.stack([near_next, far_next, far], 1)])


def strip(contour: Array) -> Array:
    """(K, 3) int32: triangles between the upper and the lower edge of a contour of landmarks."""
    half = len(contour) // 2
    upper, lower = contour[: half + 1], np.concatenate([contour[:1], contour[: half - 1 : -1]])
    quads = [(upper[i], upper[i + 1], lower[i], lower[i + 1]) for i in range(half)]
    return np.array([t for a, b, c, d in quads for t in ((a, b, c), (b, d, c)) if len(set(t)) == 3], np.int32)


def with_ring(mesh: Array, outline: Array) -> Array:
    """A mesh (478, 3) with the 36 points of the ring around `outline` (478, 3) after it: (514, 3)."""
    rim = outline[landmarks.OVAL]
    middle = (rim.min(0) + rim.max(0)) / 2
    ring = middle + (rim - middle) * RING
    ring[:, 2] = rim[:, 2].max()
    return np.concatenate([mesh, ring]).astype(np.float32)


def filled(shape: tuple[int, ...], *patches: Array) -> Array:
    """(h, w) uint8: 1 within the convex hull of each patch of points (V, 2 or more), rounded to pixels; else 0."""
    inside = np.zeros(shape[:2], np.uint8)
    for points in patches:
        cv2.fillConvexPoly(inside, cv2.convexHull(np.round(points[:, :2]).astype(np.int32)), 1)
    return inside


def draw_triangles(points: Array, depth: Array, triangles: Array, size: int) -> Array:
    """(size, size) int32: which of `triangles` (K, 3) is seen at each pixel, -1 where none. Nearer covers farther
    (painter's algorithm, by the triangle's mean depth); `points` (V, 2) are pixels of the picture to draw."""
    seen = np.full((size, size), -1, np.int32)
    order = np.argsort(-depth[triangles].mean(1), kind="stable")
    fixed = np.round(points[:, :2] * 16).astype(np.int32)[triangles[order]]
    for number, corners in zip(order.tolist(), fixed):
        cv2.fillConvexPoly(seen, corners, number, cv2.LINE_8, 4)
    return seen


def sampling_map(seen: Array, target: Array, source: Array, triangles: Array) -> Array:
    """(size, size, 2) float32: for each pixel drawn by `draw_triangles`, where to read in the source picture.

    Affine in each triangle; `target` and `source` are (V, 2). Pixels that no triangle covers read at (-1, -1)."""
    corners = np.concatenate([target[:, :2][triangles], np.ones((len(triangles), 3, 1))], -1).astype(np.float64)
    thin = np.abs(np.linalg.det(corners)) < 1e-3
    corners[thin] = np.eye(3)
    affine = np.linalg.solve(corners, source[:, :2][triangles].astype(np.float64))
    affine[thin] = 0.0
    affine[thin, 2] = source[triangles[thin], :2].mean(1)
    rates = np.concatenate([affine, [[[0.0, 0.0], [0.0, 0.0], [-1.0, -1.0]]]]).astype(np.float32)  # the last: nowhere
    x, y = (np.arange(side, dtype=np.float32) for side in seen.shape[::-1])
    # taken one number at a time: all six of a pixel at once take four times as long
    each = [np.take(a, seen) * x + np.take(b, seen) * y[:, None] + np.take(c, seen) for a, b, c in rates.T]
    return np.asarray(cv2.merge(each))


@dataclass(frozen=True, eq=False)
class Drawing:
    """Which part of a surface is seen where, at half the size of the picture: `seen` (S/2, S/2) triangle numbers.
    `mouth` (S, S) float32 is how much of each pixel of the picture lies between the lips."""

    target: Array
    seen: Array
    part: Array  # (S/2, S/2) int8: -1 nothing, else as Surface.part
    size: int
    mouth: Array


def draw(form: Surface, target: Array, size: int) -> Drawing:
    """Rasterise the `target` points (514, 3) in a picture of side `size`; half of it is exact enough, since sampling
    is affine in each triangle."""
    half = (target[:, :2] - 0.5) / 2
    seen = draw_triangles(half, target[:, 2], form.triangles, size // 2)
    part = np.append(form.part, -1).astype(np.int8)[seen]
    return Drawing(half, seen, part, size, _between_lips(form, target, seen, size))


def _between_lips(form: Surface, target: Array, seen: Array, size: int) -> Array:
    """(size, size) float32: how much of each pixel lies between the lips of `target` (514, 3), where neither nose nor
    cheek is `seen` before them: lips that hardly part are a thin line, and none where they overlap."""
    share = np.zeros((size, size), np.float32)
    low = np.maximum(np.floor(target[landmarks.INNER_LIPS, :2].min(0)).astype(int) - 1, 0)
    high = np.minimum(np.ceil(target[landmarks.INNER_LIPS, :2].max(0)).astype(int) + 2, size)
    if (high <= low).any():
        return share
    inner = form.triangles[form.part == 2]
    open_ = inner[_turns(form.mean, inner) * _turns(target, inner) > 0]
    fine = np.zeros((high - low)[::-1] * FINE, np.uint8)
    corners = (target[:, :2] - low + 0.5) * FINE - 0.5
    for triangle in np.round(corners * 16).astype(np.int32)[open_]:
        cv2.fillConvexPoly(fine, triangle, 255, cv2.LINE_8, 4)
    covered = cv2.resize(fine, (high - low).tolist(), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    lips = np.append(np.isin(form.triangles, landmarks.INNER_LIPS).any(1), False)[seen].astype(np.uint8)
    shown = cv2.resize(lips, (size, size), interpolation=cv2.INTER_NEAREST)[low[1] : high[1], low[0] : high[0]]
    # what is filled reaches half a part beyond its edges on either side
    share[low[1] : high[1], low[0] : high[0]] = np.clip((covered * FINE - 1) / (FINE - 1), 0, 1) * shown
    return np.asarray(cv2.GaussianBlur(share, (0, 0), SOFT * size))


def _turns(points: Array, triangles: Array) -> Array:
    """(K,) twice the area of triangles (K, 3) of points (V, 2 or more), above 0 for those that turn one way."""
    one, other, third = (points[triangles[:, k], :2] for k in range(3))
    (a, b), (c, d) = (other - one).T, (third - one).T
    return np.asarray(a * d - b * c)


def places(form: Surface, drawing: Drawing, side: int) -> Array:
    """(side, side, 3) float32: where on the mean face each pixel lies, 0 outside: the middle of its triangle."""
    corners = np.concatenate([form.mean, np.zeros((36, 3), np.float32)])[form.triangles].mean(1)
    corners[form.part == 3] = 0
    corners = np.concatenate([corners, np.zeros((1, 3))]).astype(np.float32)
    return np.asarray(cv2.resize(corners[drawing.seen], (side, side), interpolation=cv2.INTER_LINEAR))


def texture(form: Surface, drawing: Drawing, picture: Array, points: Array) -> Array:
    """`picture` read at `points` (514, 2 or 3) and laid on the drawing: (S, S, C), border repeated.

    Where neighbours are read from places that lie apart - lips that close over teeth, a nose before the cheek - nothing
    between those is read, and the step is softened, without the specks of triangles that fold there."""
    half = sampling_map(drawing.seen, drawing.target, points, form.triangles)
    size = (drawing.size, drawing.size)
    torn = cv2.resize(_torn(half, drawing.part >= 0), size, interpolation=cv2.INTER_NEAREST)
    where = cv2.resize(half, size, interpolation=cv2.INTER_LINEAR)
    where = cv2.copyTo(cv2.resize(half, size, interpolation=cv2.INTER_NEAREST), torn, where)
    read = cv2.remap(picture, where, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.copyTo(cv2.blur(cv2.medianBlur(read, 3), (3, 3)), torn, read))


def fields(form: Surface, drawing: Drawing, points: Array, *planes: Array) -> list[Array]:
    """Smooth planes (h, h[, C]) float32 that lie over the picture of `points` (514, 2 or 3), laid on the drawing at
    half its size: (S/2, S/2[, C]) each. Where nothing is drawn they stay as they lie."""
    size = len(drawing.seen)
    middles = np.arange(size, dtype=np.float32)[None].repeat(size, 0) * 2 + 0.5
    where = sampling_map(drawing.seen, drawing.target, points, form.triangles)
    where = np.where((drawing.part < 0)[..., None], np.stack([middles, middles.T], -1), where)
    zooms = [np.float32(len(plane) / drawing.size) for plane in planes]
    places = [(where + np.float32(0.5)) * zoom - np.float32(0.5) for zoom in zooms]
    return [
        np.asarray(cv2.remap(plane, place, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
        for plane, place in zip(planes, places)
    ]


def _torn(where: Array, drawn: Array) -> Array:
    """(h, w) uint8: 1 on both sides of each step in a sampling map (h, w, 2) that is many times as long as its steps
    are, where it is `drawn` (h, w)."""
    torn = np.zeros(drawn.shape, np.uint8)
    for one, other in ((np.s_[:-1], np.s_[1:]), (np.s_[:, :-1], np.s_[:, 1:])):
        across = cv2.absdiff(where[one], where[other])
        step = np.maximum(across[..., 0], across[..., 1]) * (drawn[one] & drawn[other])
        some = step[::4, ::4]
        jumps = step > TEAR * np.median(some[some > 0]) if some.any() else np.zeros(step.shape, bool)
        torn[one] |= jumps
        torn[other] |= jumps
    return torn
