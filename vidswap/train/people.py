"""Labelled face pictures -> many views of many people: what the recogniser learns from.

A person is a picture, its mesh, and a shape in the face's own frame. New people are made of two: one's shape, features
and skin mixed with the other's. A view poses the shape anew, gives it another's expression, light and distance,
projects it, and lays the picture on it triangle by triangle; `vidswap.train.recognizer` degrades and learns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np

from vidswap.face import geometry, landmarks
from vidswap.face.raster import band, draw_triangles, sampling_map
from vidswap.train.faces import closed
from vidswap.types import Array

SIDE = 112
PHOTO = 176  # side of a person's own picture
# Where insightface puts eyes, nose and mouth corners of a 112x112 crop (insightface.utils.face_align.norm_crop).
FIVE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]], np.float32
)
RINGS = ((1.25, 0.15), (1.7, 0.4), (2.4, 0.7))  # around the face: times the oval, pushed back (eye distances)
MOUTH = np.array([61, 291, 13, 14, 0, 17, 78, 308, 84, 314, 37, 267, 152, 148, 377, 18, 200, 57, 287])
EYELIDS = np.array([159, 145, 386, 374, 160, 158, 144, 153, 385, 387, 380, 373])
BROWS = np.concatenate([brow[:5] for brow in landmarks.BROWS])
REACH = ((MOUTH, 0.22), (EYELIDS, 0.08), (BROWS, 0.15))  # a region's points and how far its motion pulls the skin


@dataclass(frozen=True, eq=False)
class Person:
    """`photo` (PHOTO, PHOTO, 3) uint8 RGB, `points` (P, 2) of the mesh and its rings in it, `shape` (478, 3) in the
    face's own frame, `pose` the rotation (3, 3) it was seen in."""

    photo: Array
    points: Array
    shape: Array
    pose: Array


@dataclass(frozen=True, eq=False)
class Anatomy:
    """What all faces share: mean (478, 3), triangles (M, 3) with holes closed and rings added, how many of them are
    the face's own, and for each region of expression its components (478, 3, K) with their spreads (K,)."""

    mean: Array
    triangles: Array
    own: int
    motions: tuple[tuple[Array, Array], ...]


def anatomy(mean: Array, triangles: Array, shapes: Array) -> Anatomy:
    """Learn from (N, 478, 3) shapes how mouth, lids and brows move."""
    own = closed(triangles)
    motions = tuple(_motion(shapes, points, reach) for points, reach in REACH)
    return Anatomy(mean, np.concatenate([own, _ring_triangles()]), len(own), motions)


def _ring_triangles() -> Array:
    count = len(landmarks.OVAL)
    rows = [landmarks.OVAL, *(478 + r * count + np.arange(count) for r in range(len(RINGS)))]
    return np.concatenate([band(near, far) for near, far in pairwise(rows)])


def _motion(shapes: Array, points: Array, reach: float) -> tuple[Array, Array]:
    """Principal motions of a region; they fade out over `reach` (eye distances) around it."""
    centred = shapes - shapes.mean(0)
    _, spread, axes = np.linalg.svd(centred[:, points].reshape(len(shapes), -1), full_matrices=False)
    count = 4
    scores = centred[:, points].reshape(len(shapes), -1) @ axes[:count].T
    pull, *_ = np.linalg.lstsq(scores, centred.reshape(len(shapes), -1), rcond=None)
    mean = shapes.mean(0)
    distance = np.linalg.norm(mean[:, None] - mean[points], axis=-1).min(1)
    fade = np.exp(-((distance / reach) ** 2))
    field = pull.reshape(count, 478, 3) * fade[:, None]
    return np.moveaxis(field, 0, -1), spread[:count] / np.sqrt(len(shapes))


def ringed(shape: Array) -> Array:
    """(478, 3) -> (P, 3): the face with rings of hair and surroundings around its oval."""
    oval = shape[landmarks.OVAL]
    middle = oval.mean(0)
    back = np.array([0, 0, 1], np.float32)
    rings = [middle + grow * (oval - middle) + push * back for grow, push in RINGS]
    return np.concatenate([shape, *rings]).astype(np.float32)


def aligned(shape: Array) -> Array:
    """A face in its own frame (478, 3) laid into the 112x112 crop by its five points."""
    return geometry.apply(geometry.fit_similarity(geometry.five_points(shape), FIVE), shape)


def person(rgb: Array, mesh: Array, mean: Array) -> Person:
    """Cut a labelled picture around its face."""
    transform = geometry.crop_transform(mesh, mean, PHOTO)
    photo = cv2.warpAffine(rgb, transform, (PHOTO, PHOTO), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REFLECT_101)
    mesh = geometry.apply(transform, mesh)
    pose = geometry.face_pose(mesh, mean)
    shape = geometry.normalised(mesh, pose)
    points = geometry.posed(ringed(shape), pose)[:, :2]
    return Person(photo, points, shape, pose.rotation)


def child(one: Person, two: Person, known: Anatomy, rng: np.random.Generator) -> Person:
    """Someone new: the first's hair and pose, both's shape and features, mixed differently over the face."""
    slope = rng.normal(0, 0.35, 3)
    share = np.clip(rng.uniform(0.3, 0.7) + known.mean @ slope, 0.05, 0.95).astype(np.float32)
    shape = one.shape + share[:, None] * (two.shape - one.shape)
    ids, maps = paint(one.points, two.points, ringed(known.mean)[:, 2], known.triangles, PHOTO)
    other = cv2.remap(two.photo, maps, None, cv2.INTER_LINEAR).astype(np.float32)
    own = (ids >= 0) & (ids < known.own)
    weight = np.zeros(ids.shape, np.float32)
    weight[own] = share[known.triangles[: known.own]].mean(1)[ids[own]]
    weight = cv2.GaussianBlur(cv2.erode(weight, np.ones((5, 5))), (0, 0), 3)[..., None]
    base = one.photo.astype(np.float32)
    if own.any():
        matched = other + (base[own].mean(0) - other[own].mean(0)) * rng.uniform(0.3, 1)
        base = base + weight * (matched - base)
    return Person(np.clip(base, 0, 255).astype(np.uint8), one.points, shape.astype(np.float32), one.pose)


def paint(target: Array, source: Array, depth: Array, triangles: Array, side: int) -> tuple[Array, Array]:
    """Which of `triangles` shows at each pixel (side, side), -1 where none, when their points (P, 2) are at `target`;
    and where it comes from (side, side, 2) float32 in a picture where they are at `source`."""
    seen = draw_triangles(target, depth, triangles, side)
    return seen, sampling_map(seen, target, source, triangles)


def expression(shape: Array, known: Anatomy, rng: np.random.Generator) -> Array:
    """The shape with mouth, lids and brows moved as they differ from face to face."""
    moved = shape.copy()
    for field, spread in known.motions:
        moved += field @ (rng.normal(0, 0.9, len(spread)) * spread).astype(np.float32)
    return moved


def turned(own: Array, rng: np.random.Generator) -> Array:
    """A head rotation (3, 3): somewhere between the one in the picture and any other."""
    yaw, pitch, roll = np.radians(rng.normal(0, (25, 13, 6)))
    about_y = cv2.Rodrigues(np.array([0, np.clip(yaw, -1.1, 1.1), 0]))[0]
    about_x = cv2.Rodrigues(np.array([np.clip(pitch, -0.5, 0.5), 0, 0]))[0]
    about_z = cv2.Rodrigues(np.array([0, 0, roll]))[0]
    keep = cv2.Rodrigues(cv2.Rodrigues(own)[0] * rng.uniform(0, 0.8))[0]
    return np.asarray(about_z @ about_y @ about_x @ keep)


def view(who: Person, around: Person, known: Anatomy, rng: np.random.Generator) -> Array:
    """(112, 112, 3) uint8: the person in another pose, expression, distance and light, aligned by five points that are
    a little off; sometimes with the hair of `around`, always before that one's picture."""
    space = ringed(expression(who.shape, known, rng)) @ turned(who.pose, rng).T
    space[:, :2] /= 1 + rng.uniform(0, 0.18) * space[:, 2:]
    five = geometry.five_points(space[:478])
    transform = geometry.fit_similarity(five, FIVE + rng.normal(0, 1.2, FIVE.shape))
    target = geometry.apply(transform, space)
    ids, maps = paint(target[:, :2], who.points, space[:, 2], known.triangles, SIDE)
    laid = _lay(who.photo, maps).astype(np.float32)
    if rng.random() < 0.4:
        worn = paint(target[:, :2], around.points, space[:, 2], known.triangles, SIDE)[1]
        edge = cv2.GaussianBlur(np.float32(ids >= known.own), (0, 0), 2)[..., None]
        laid += edge * (_lay(around.photo, worn) - laid)
    laid *= _light(target[known.triangles], ids, rng)
    ground = cv2.resize(around.photo[:: rng.choice((1, -1)), : rng.integers(30, PHOTO)], (SIDE, SIDE))
    return np.where(ids[..., None] < 0, ground, np.clip(laid, 0, 255)).astype(np.uint8)


def _lay(photo: Array, maps: Array) -> Array:
    laid = cv2.remap(photo, maps, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(laid)


def _light(triangles: Array, ids: Array, rng: np.random.Generator) -> Array:
    """(side, side, 1) gain of one more lamp, from the mesh's normals, smooth."""
    normal = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-6
    normal *= -np.sign(normal[:, 2:] + 1e-9)  # towards the viewer
    lamp = rng.normal(0, 1, 3) * (1.0, 0.7, 0.5)
    gain = 1 + rng.uniform(0, 0.8) * (normal @ (lamp / np.linalg.norm(lamp)))
    gain = np.append(gain, 1.0)[ids].astype(np.float32)  # ids -1: no triangle
    return np.asarray(np.clip(cv2.GaussianBlur(gain, (0, 0), 5), 0.3, 1.7)[..., None])


def couples(count: int, people: Sequence[Person], known: Anatomy, rng: np.random.Generator) -> Iterator[Person]:
    """`count` new people, each of two drawn ones."""
    for _ in range(count):
        one, two = rng.choice(len(people), 2, replace=False)
        yield child(people[one], people[two], known, rng)
