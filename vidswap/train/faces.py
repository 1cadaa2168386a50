"""Labelled face pictures -> endless training samples: turned in 3-D, re-expressed, cropped, covered, relit, spoilt.

A face is warped by its own mesh: the mesh is moved (expression, head turn), its triangles are drawn with a z-buffer
where they land, and every pixel fetches its colour from where its triangle was; around the face the displacement
fades smoothly. So the labels of the new picture are exact, and so is the map of what is seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from vidswap.errors import InputError
from vidswap.face import geometry, landmarks
from vidswap.face.raster import strip
from vidswap.face.sampling import interpolate
from vidswap.train import augment, redraw
from vidswap.train.shape import mean_face
from vidswap.types import Array

HOLES = (*landmarks.EYES, landmarks.INNER_LIPS)


@dataclass(frozen=True, eq=False, repr=False)
class Faces:
    """Decoded pictures with their meshes, in memory."""

    pictures: tuple[Array, ...]  # each (H, W, 3) uint8 RGB
    meshes: Array  # (N, 478, 3) float32, pixels of its picture
    mean: Array  # (478, 3) float32, the mean face
    triangles: Array  # (K, 3) int64, eyes and mouth filled
    mirror: Array  # (478,) the point on the other side of the face: a mesh flipped left-right is mesh[mirror]
    scenes: tuple[Array, ...]  # pictures without a face, (H, W, 3) uint8 RGB; may be empty

    def __len__(self) -> int:
        return len(self.pictures)


@dataclass(frozen=True)
class Augmentation:
    """How far samples stray. Angles are degrees (standard deviation of normal draws, `roll` the limit of an even one);
    `shift` and `zoom` are shares of the crop; the rest are probabilities."""

    size: int = 128
    yaw: float = 13.0
    pitch: float = 9.0
    roll: float = 22.0
    shift: float = 0.11
    zoom: float = 0.18
    express: float = 0.6
    cover: float = 0.4
    relight: float = 0.8
    spoil: float = 0.8
    mirror: bool = True


@dataclass(frozen=True, eq=False, repr=False)
class Sample:
    rgb: Array  # (S, S, 3) uint8
    mesh: Array  # (478, 3) float32, crop pixels
    visible: Array  # (S, S) float32: 1 where the face is seen, 0 outside it and under an occluder


def load_faces(data: Path, scenes: Path | None = None, detail: float = 72.0) -> Faces:
    """Decode `data`/*.jpg named in `data`/labels.npz (`name`, `mesh`); triangles come from `data`/topology.npz.

    Pictures with more than `detail` pixels between the outer eye corners are shrunk to that, meshes with them.
    """
    labels, topology = np.load(data / "labels.npz"), np.load(data / "topology.npz")
    mean = mean_face(labels["mesh"][:: max(1, len(labels["mesh"]) // 400)])
    shrunk = [shrink(read(data / str(name)), mesh, mean, detail) for name, mesh in zip(labels["name"], labels["mesh"])]
    places = sorted(scenes.glob("*.jpg")) if scenes else []
    return Faces(
        pictures=tuple(picture for picture, _ in shrunk),
        meshes=np.stack([mesh for _, mesh in shrunk]),
        mean=mean,
        triangles=closed(topology["tri"]),
        mirror=landmarks.opposite(mean),
        scenes=tuple(read(place) for place in places),
    )


def read(path: Path) -> Array:
    """A picture, (H, W, 3) uint8 RGB. Raises InputError."""
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise InputError(f"{path} is not a picture that can be read", "labels.npz names the pictures beside it")
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))


def shrink(picture: Array, mesh: Array, mean: Array, detail: float) -> tuple[Array, Array]:
    """The picture with at most `detail` pixels between the outer eye corners, and its mesh."""
    share = min(1.0, detail / geometry.face_pose(mesh, mean).scale)
    height, width = picture.shape[:2]
    small = (max(1, round(width * share)), max(1, round(height * share)))
    zoom = np.array([small[0] / width, small[1] / height], np.float32)
    moved = np.concatenate([(mesh[:, :2] + 0.5) * zoom - 0.5, mesh[:, 2:] * zoom.mean()], 1).astype(np.float32)
    return cv2.resize(picture, small, interpolation=cv2.INTER_AREA), moved


def closed(triangles: Array) -> Array:
    """Triangles with the holes of eyes and mouth filled, (K, 3) int64."""
    return np.concatenate([triangles, *(strip(hole) for hole in HOLES)]).astype(np.int64)


def sample(faces: Faces, index: int, augmentation: Augmentation, rng: np.random.Generator) -> Sample:
    """One training sample from face `index`."""
    size, mesh = augmentation.size, faces.meshes[index]
    target, opened = moved(mesh, faces.mean, augmentation, rng)
    crop = jittered(geometry.crop_transform(target, faces.mean, size), augmentation, rng)
    points = geometry.apply(crop, target)
    fetch, face = redraw.fetch_map(mesh, points, faces.triangles, geometry.invert(crop), size)
    rgb = redraw.fetched(faces.pictures[index], fetch, augment.patch(faces.scenes, size, rng))
    if opened:
        rgb = augment.mouth(rgb, points[landmarks.INNER_LIPS, :2], rng)
    return finished(Sample(rgb, points, face.astype(np.float32)), faces, augmentation, rng)


def nothing(faces: Faces, augmentation: Augmentation, rng: np.random.Generator) -> Array:
    """A crop without a face, or with one far off the middle, (S, S, 3) uint8: a negative."""
    if faces.scenes and rng.random() < 0.7:
        rgb = augment.patch(faces.scenes, augmentation.size, rng)
    else:
        index = int(rng.integers(len(faces)))
        crop = geometry.crop_transform(faces.meshes[index], faces.mean, augmentation.size)
        angle, zoom = rng.uniform(0, 2 * np.pi), np.exp(rng.uniform(-1.0, 1.0))
        crop = zoom * crop
        middle = geometry.apply(crop, faces.meshes[index])[:468].mean(0)[:2]
        away = augmentation.size * rng.uniform(0.5, 0.9) * max(1.0, zoom)
        crop[:, 2] += augmentation.size / 2 - middle + away * np.array([np.cos(angle), np.sin(angle)])
        rgb = interpolate(faces.pictures[index], crop, augmentation.size)
    rgb = augment.relit(rgb, rng) if rng.random() < augmentation.relight else rgb
    return augment.spoilt(rgb, rng) if rng.random() < augmentation.spoil else rgb


def finished(plain: Sample, faces: Faces, augmentation: Augmentation, rng: np.random.Generator) -> Sample:
    """A sample covered, relit, spoilt and mirrored as the augmentation says."""
    rgb, points, visible = plain.rgb, plain.mesh, plain.visible
    if rng.random() < augmentation.cover:
        rgb, cover = augment.covered(rgb, points, faces.scenes, rng)
        visible = visible * (1 - cover)
    if rng.random() < augmentation.relight:
        rgb = augment.relit(rgb, rng)
    if rng.random() < augmentation.spoil:
        rgb = augment.spoilt(rgb, rng)
    if augmentation.mirror and rng.random() < 0.5:
        points = points[faces.mirror] * np.array([-1, 1, 1], np.float32)
        points[:, 0] += augmentation.size - 1
        rgb, visible = rgb[:, ::-1], visible[:, ::-1]
    return Sample(np.ascontiguousarray(rgb), points.astype(np.float32), np.ascontiguousarray(visible))


def moved(mesh: Array, mean: Array, augmentation: Augmentation, rng: np.random.Generator) -> tuple[Array, bool]:
    """The mesh with another expression and turned about the middle of the head, in its picture's pixels; and whether
    the mouth was opened."""
    scale, rotation, shift = pose = geometry.face_pose(mesh, mean)
    face, opened = geometry.normalised(mesh, pose), False
    if rng.random() < augmentation.express:
        face, opened = expressed(face, mean, rng)
    yaw = np.degrees(np.arctan2(rotation[0, 2], rotation[2, 2]))
    # Already turned heads are turned back rather than further: the picture knows nothing of what lies behind.
    add = np.clip(rng.normal(-0.25 * yaw, augmentation.yaw), -30, 30)
    turn = rotated(add, float(np.clip(rng.normal(0, augmentation.pitch), -20, 20)))
    middle = (mean[:468].min(0) + mean[:468].max(0)) / 2
    shift = scale * rotation @ middle + shift - scale * turn @ rotation @ middle
    return geometry.posed(face, geometry.Pose(scale, turn @ rotation, shift)), opened


def rotated(yaw: float, pitch: float) -> Array:
    """(3, 3): a turn about the picture's y axis, then about its x axis, in degrees."""
    x, y = np.radians(pitch), np.radians(yaw)
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    return np.asarray(about_x @ about_y)


def expressed(face: Array, mean: Array, rng: np.random.Generator) -> tuple[Array, bool]:
    """A face in its own frame with the jaw, mouth corners, brows and lids moved; and whether the mouth was opened."""
    face = face.copy()
    jaw = rng.uniform(0, 0.32) * (rng.random() < 0.55)
    for brow in ([105, 66, 107], [334, 296, 336]):
        face += near(mean, mean[brow].mean(0), 0.17) * [rng.normal(0, 0.012), rng.normal(-0.01, 0.03), 0]
    face += lips(mean, rng)
    shut = rng.choice([rng.uniform(-0.35, 0.35), rng.uniform(0.5, 1.0)], p=[0.65, 0.35])
    for side in (0, 1):
        wink = rng.uniform(0, 0.8) * (rng.random() < 0.08)
        face += lids(face, mean, side, float(np.clip(shut + wink + rng.normal(0, 0.05), -0.4, 1.0)))
    face += jaw_drop(mean, jaw)
    return face.astype(np.float32), bool(jaw > 0.03)


def near(mean: Array, point: Array, reach: float) -> Array:
    """(478, 1) weight, 1 at a point of the mean face and fading with the distance."""
    return np.asarray(np.exp(-((mean - point) ** 2).sum(1, keepdims=True) / (2 * reach**2)))


def lips(mean: Array, rng: np.random.Generator) -> Array:
    """(478, 3) displacement: corners drawn out, in, up and down, each a little on its own; the mouth pushed aside, the
    upper lip raised, the lips pressed together or out."""
    moved = np.zeros((478, 3))
    width, height = rng.normal(0, 0.03) - rng.uniform(0, 0.08) * (rng.random() < 0.12), rng.normal(0, 0.03)
    for corner, side in zip(landmarks.MOUTH_CORNERS, (-1, 1)):
        out, rise = width + rng.normal(0, 0.015), height + rng.normal(0, 0.018)
        moved += near(mean, mean[corner], 0.16) * [side * out, rise, 0.3 * out]
    middle = mean[[13, 14]].mean(0)
    moved += near(mean, middle, 0.25) * [rng.normal(0, 0.018), 0, 0]
    raised = rng.uniform(0, 0.05) * (rng.random() < 0.3)
    moved[:, 1] -= raised * np.where(mean[:, 1] < middle[1], near(mean, mean[0], 0.11)[:, 0], 0)
    pressed = rng.uniform(-0.25, 0.6) * (rng.random() < 0.3)
    flat = near(mean * [0.5, 1, 0.5], middle * [0.5, 1, 0.5], 0.13)[:, 0]
    moved[:, 1] -= pressed * flat * (mean[:, 1] - middle[1])
    return moved


def jaw_drop(mean: Array, amount: float) -> Array:
    """(478, 3) displacement of lower lip, chin and jaw by `amount` eye distances; the mouth corners come half along."""
    corner, middle = abs(mean[61, 0]), mean[[13, 14], 1].mean()
    line = middle + (mean[61, 1] - middle) * np.minimum(1, (mean[:, 0] / corner) ** 2)
    lower = np.clip((mean[:, 1] - line) / 0.02 + 0.5, 0, 1) * np.clip(1 - (mean[:, 0] / 0.85) ** 2, 0, 1)
    inner = np.where(np.abs(mean[:, 0]) < corner, 0.25 + 0.75 * np.clip(1 - (mean[:, 0] / corner) ** 2, 0, 1), 0.25)
    share = lower * np.where(mean[:, 1] < mean[17, 1] + 0.03, inner, 0.8)
    return np.asarray(amount * share[:, None] * np.array([0, 1, 0.35]))


def lids(face: Array, mean: Array, side: int, shut: float) -> Array:
    """(478, 3) displacement that closes the left (0) or right (1) eye by the share `shut`, or opens it further (below
    0): the upper lid goes to the lower one, the skin above follows, lower lid, corners and brow stay (radial basis
    interpolation)."""
    upper, lower = landmarks.LIDS[side]
    held = np.concatenate([upper, lower, landmarks.EYE_CORNERS[side], landmarks.BROWS[side][:5]])
    wish = np.zeros((len(held), 3))
    wish[:7] = shut * 0.97 * (face[lower] - face[upper])
    gap = mean[:, None] - mean[held]
    weight = np.exp(-np.sqrt((gap * gap) @ np.ones(3)) / 0.12)
    blend = np.linalg.solve(weight[held] + 1e-3 * np.eye(len(held)), wish)
    return np.asarray(weight @ blend)


def jittered(crop: Array, augmentation: Augmentation, rng: np.random.Generator) -> Array:
    """A crop transform (2, 3) shifted, zoomed and rolled about the middle of the crop."""
    roll = np.radians(rng.uniform(-augmentation.roll, augmentation.roll))
    zoom = np.exp(rng.uniform(-augmentation.zoom, augmentation.zoom))
    turn = zoom * np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
    middle = (augmentation.size - 1) / 2
    shift = (
        middle + augmentation.size * rng.uniform(-augmentation.shift, augmentation.shift, 2) - turn @ [middle, middle]
    )
    return np.hstack([turn @ crop[:, :2], (turn @ crop[:, 2] + shift)[:, None]])
