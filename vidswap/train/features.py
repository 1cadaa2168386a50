"""Labelled faces -> models/embedded/features/{eye,mouth}.onnx: fine points in patches at the footage's resolution.

Input `rgb` (B, 3, 64, 64) float32 in [0, 1], a patch of read.features.patch_transform; output `points` (B, K, 2) in
patch pixels: 31 of an eye with its brow (the second eye mirrored), 40 of the lips. The nets are small residual ones (He
et al., CVPR 2016) that regress the points; the loss is the wing loss (Feng et al., CVPR 2018) on the points and on the
gaps between them, which are the expression.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from vidswap.face import geometry, landmarks
from vidswap.keys import digest_of
from vidswap.progress import Report, quiet
from vidswap.read.features import (
    EYE_POINTS,
    EYE_WIDE,
    MOUTH_POINTS,
    MOUTH_WIDE,
    SIZE,
    drawn_along,
    patch_transform,
    pull,
)
from vidswap.train import augment, loop, redraw
from vidswap.train.export import save_onnx
from vidswap.train.faces import Augmentation, Faces, load_faces, moved, near
from vidswap.train.mesh import Residual, wing
from vidswap.train.mesh import Schedule as MeshSchedule
from vidswap.types import Array

DETAIL = 110.0  # pixels between the eyes of the pictures kept: a patch is at most a little finer
# Places in EYE_POINTS[0]: lids above one another, corners, brow over lid; in MOUTH_POINTS: lips, corners.
EYE_GAPS = np.array([*((k, 16 - k) for k in range(1, 8)), (0, 8), (18, 4), (17, 2), (19, 6), (23, 4), (16, 0), (20, 8)])
PARTED, TIMES = (0.015, 0.3), 4  # gap between the lips, in eye distances, of faces that come so many times a turn
OPENING = np.r_[np.full(9, 2.5), np.ones(13)]  # how much each gap of a mouth counts: above all how far it is open
MOUTH_GAPS = np.array([*((k, 20 - k) for k in range(1, 10)), *((20 + k, 40 - k) for k in range(1, 10)), (0, 10),
                       (20, 30), (5, 25), (15, 35)])  # fmt: skip


@dataclass(frozen=True)
class Schedule(MeshSchedule):
    """How long to learn: as for the mesh; a sample is two eyes and a mouth."""

    steps: int = 20000
    minutes: float = 35.0


class PatchNet(nn.Module):
    """(B, 3, 64, 64) in [0, 1] -> (B, K, 2) patch pixels, from the mean points (K, 2) on."""

    def __init__(self, mean: Tensor) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 24, 5, 2, 2, bias=False), nn.BatchNorm2d(24), nn.ReLU(),
            Residual(24, 48, 2), Residual(48, 64, 2), Residual(64, 64),
            nn.Conv2d(64, 32, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU(),
            nn.Flatten(), nn.Linear(32 * (SIZE // 8) ** 2, 64), nn.ReLU(),
        )  # fmt: skip
        self.points = nn.Linear(64, mean.numel())
        self.points.bias.data = mean.flatten().clone()

    def forward(self, rgb: Tensor) -> Tensor:
        found: Tensor = self.points(self.body(2 * rgb - 1))
        return found.reshape(-1, found.shape[1] // 2, 2)


class Twice(nn.Module):
    """The mouth's net as it is exported: asked a second time in the mirror, for the mean of both answers."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("other", torch.tensor([*((10 - k) % 20 for k in range(20)),
                                                    *(20 + (10 - k) % 20 for k in range(20))]))  # fmt: skip
        self.register_buffer("flip", torch.tensor([-1.0, 1.0]))
        self.register_buffer("edge", torch.tensor([SIZE - 1.0, 0.0]))

    def forward(self, rgb: Tensor) -> Tensor:
        found, mirrored = self.net(rgb), self.net(rgb.flip(3))[:, self.other]
        both: Tensor = found + mirrored * self.flip + self.edge
        return both / 2


class Samples:
    """What eyes and mouth are learnt from, by number: eyes (2, 3, S, S) uint8, the second mirrored, their points
    (2, 31, 2); mouth (3, S, S) uint8, its points (40, 2)."""

    def __init__(self, faces: Faces, augmentation: Augmentation, seed: int) -> None:
        self.faces, self.augmentation, self.seed = faces, augmentation, seed
        self.spread = pull(faces.mean)
        gaps = np.array([lip_gap(mesh, faces.mean) for mesh in faces.meshes])
        few, many = PARTED  # most faces have their lips closed
        self.turn = np.repeat(np.arange(len(faces)), np.where((gaps > few) & (gaps < many), TIMES, 1))

    def __call__(self, number: int) -> loop.Batch:
        index = self.turn[loop.in_turns(number, len(self.turn), self.seed)]
        return self.one(int(index), loop.chance(self.seed, loop.SAMPLE, number))

    def one(self, index: int, rng: np.random.Generator) -> loop.Batch:
        """Patches of one face with one expression; each is framed, lit and spoilt on its own."""
        mesh, mean = self.faces.meshes[index], self.faces.mean
        other = squinted(smirked(parted(mesh, mean, self.spread, rng), mean, rng), mean, rng)
        target, _ = moved(other, mean, self.augmentation, rng)
        opened = lip_gap(target, mean) - lip_gap(mesh, mean) > 0.01
        views = []
        left, right = EYE_POINTS
        for part, wide, flip in ((left, EYE_WIDE, False), (right, EYE_WIDE, True), (MOUTH_POINTS, MOUTH_WIDE, None)):
            mirror = bool(rng.random() < 0.5) if flip is None else flip
            plain = patch_transform(target, mean, part, wide, mirror)
            to_patch = erred(plain, wide, rng)
            points = geometry.apply(to_patch, target)
            rgb = patch(self.faces, index, points, to_patch, rng)
            if flip is not None:
                rgb, points = gazing(rgb, points, int(flip), rng)
            if opened and flip is None:
                rgb = (dim_mouth if rng.random() < 0.5 else augment.mouth)(rgb, points[landmarks.INNER_LIPS, :2], rng)
            rgb, points = shown(rgb, points, self.faces, rng), points[:, :2]
            views.append((rgb, points[self.faces.mirror][MOUTH_POINTS] if mirror and flip is None else points[part]))
        eyes, spots = (np.stack(parts) for parts in zip(*views[:2]))
        whole = (eyes.transpose(0, 3, 1, 2), spots, views[2][0].transpose(2, 0, 1), views[2][1])
        return tuple(torch.from_numpy(np.ascontiguousarray(part)) for part in whole)


def lip_gap(mesh: Array, mean: Array) -> float:
    """How far the lips are apart in the middle, in eye distances."""
    return float(np.linalg.norm(np.subtract(*mesh[[*landmarks.LIP_MIDDLES]])) / geometry.face_pose(mesh, mean).scale)


def parted(mesh: Array, mean: Array, spread: Array, rng: np.random.Generator) -> Array:
    """The mesh (478, 3) with the lips a little apart, flatly as in speech or in a smile, or more on one side, in some
    draws; in its picture's pixels. `spread` is read.features.pull."""
    if rng.random() < 0.6:
        return mesh
    pose = geometry.face_pose(mesh, mean)
    face = geometry.normalised(mesh, pose)
    goal, power, widest = face.copy(), rng.uniform(2, 7), rng.uniform(-0.6, 0.6) * (rng.random() < 0.5)
    for first, amount in ((0, -rng.uniform(0, 0.035)), (10, rng.uniform(0, 0.07))):
        for start in (0, 20):
            row = MOUTH_POINTS[start + np.arange(first, first + 11) % 20]
            along = np.linspace(-1, 1, 11) * (1 if first == 0 else -1) - widest
            goal[row, 1] += amount * (1 - (np.abs(along) / (1 + np.sign(along) * -widest)) ** power)
    return geometry.posed(drawn_along(face, goal, spread), pose)


def smirked(mesh: Array, mean: Array, rng: np.random.Generator) -> Array:
    """The mesh (478, 3) with one corner of the mouth drawn up or down and outwards, in some draws; in its picture's
    pixels."""
    if rng.random() < 0.7:
        return mesh
    pose = geometry.face_pose(mesh, mean)
    side = int(rng.integers(2))
    outwards, up = (-1, 1)[side] * rng.uniform(-0.02, 0.05), rng.uniform(-0.03, 0.09)
    corner = near(mean, mean[landmarks.MOUTH_CORNERS[side]], rng.uniform(0.1, 0.18))
    moved = geometry.normalised(mesh, pose) + corner * [outwards, -up, 0.3 * abs(outwards)]
    return geometry.posed(moved.astype(np.float32), pose)


def dim_mouth(rgb: Array, lips: Array, rng: np.random.Generator) -> Array:
    """The inside of a mouth between the inner lips (20, 2), in the shade: a bit darker than the lips, teeth or none."""
    at = np.clip(np.round(lips).astype(int), 0, len(rgb) - 1)
    lip = rgb[at[:, 1], at[:, 0]].mean(0)
    paint = np.broadcast_to(lip * rng.uniform(0.25, 0.8), rgb.shape).astype(np.float32).copy()
    if rng.random() < 0.7:
        share = rng.uniform(0.3, 1.1)
        edge = lips[:11] * (1 - share) + lips[np.r_[0, 19:9:-1]] * share
        teeth = augment.polygon(np.concatenate([lips[:11], edge[::-1]]), len(rgb))[..., None]
        colour = lip * (1 - (grey := rng.uniform(0.3, 1))) + grey * lip.mean()
        paint = paint * (1 - teeth) + np.clip(colour * rng.uniform(0.5, 1.6), 0, 240) * teeth
    inside = augment.polygon(lips, len(rgb))
    return augment.blend(rgb, paint, cv2.GaussianBlur(inside, (0, 0), rng.uniform(0.4, 0.9)))


def squinted(mesh: Array, mean: Array, rng: np.random.Generator) -> Array:
    """The mesh (478, 3) with lower lids pushed up as cheeks do, in some draws; in its picture's pixels."""
    if rng.random() < 0.6:
        return mesh
    pose = geometry.face_pose(mesh, mean)
    face = geometry.normalised(mesh, pose)
    share = rng.uniform(-0.1, 0.5)
    for corners, (upper, lower) in zip(landmarks.EYE_CORNERS, landmarks.LIDS):
        lift = share * np.linalg.norm(face[upper] - face[lower], axis=1).mean()
        below = np.where(mean[:, 1] > mean[[*corners], 1].mean(), near(mean, mean[lower].mean(0), 0.1)[:, 0], 0)
        face[:, 1] -= lift * below
    return geometry.posed(face, pose)


def gazing(rgb: Array, points: Array, eye: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """A patch (S, S, 3) whose left (0) or right (1) eye looks elsewhere, in most draws, and its points (478, 3): the
    iris goes as a disc under the lids, the white of the eye is drawn along. Of looking aside, labelled portraits, whose
    people look at the camera, teach nothing."""
    if rng.random() < 0.25:
        return rgb, points
    iris, (left, right) = landmarks.IRISES[eye], points[[*landmarks.EYE_CORNERS[eye]], :2]
    along, radius = right - left, float(np.linalg.norm(points[iris[1:], :2] - points[iris[0], :2], axis=1).mean())
    across = np.array([-along[1], along[0]]) * (1 if along[0] > 0 else -1)
    now = float((points[iris[0], :2] - left) @ along / (along @ along))
    to = float(np.clip(rng.uniform(0.18, 0.82), 0.1, 0.9)) - now
    shift = to * along + rng.normal(0, 0.05) * across
    y, x = np.mgrid[: len(rgb), : len(rgb)].astype(np.float32)
    away = np.hypot(x - points[iris[0], 0] - shift[0], y - points[iris[0], 1] - shift[1]) / max(radius, 1.0)
    share = np.clip((2.4 - away) / 1.2, 0, 1)
    share = share * share * (3 - 2 * share)
    where = np.stack([x - share * shift[0], y - share * shift[1]], -1).astype(np.float32)
    moved = cv2.remap(rgb, where, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    white = cv2.GaussianBlur(augment.polygon(points[landmarks.EYES[eye], :2], len(rgb)), (0, 0), 0.6)
    points = points.copy()
    points[iris, :2] += shift
    return augment.blend(rgb, moved, white), points


def patch(faces: Faces, index: int, points: Array, to_patch: Array, rng: np.random.Generator) -> Array:
    """Face `index` moved to where its mesh is `points` (478, 3) in a patch, (S, S, 3) uint8; `to_patch` tells where
    all around it lies."""
    around = geometry.invert(to_patch)
    fetch, _ = redraw.fetch_map(faces.meshes[index], points, faces.triangles, around, SIZE)
    return redraw.fetched(faces.pictures[index], fetch, augment.patch(faces.scenes, SIZE, rng))


def erred(to_patch: Array, wide: float, rng: np.random.Generator) -> Array:
    """A patch transform (2, 3) as it comes from a mesh that errs: shifted, zoomed and rolled about the middle."""
    roll, zoom = np.radians(rng.normal(0, 4)), np.exp(rng.normal(0, 0.07))
    turn = zoom * np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
    middle = np.full(2, (SIZE - 1) / 2)
    shift = middle + np.clip(rng.normal(0, 0.04, 2), -0.1, 0.1) * SIZE / wide - turn @ middle
    return np.hstack([turn @ to_patch[:, :2], (turn @ to_patch[:, 2] + shift)[:, None]])


def shown(rgb: Array, points: Array, faces: Faces, rng: np.random.Generator) -> Array:
    """A patch as footage shows it: now and then glasses or something in front, other light, few pixels, blocks."""
    if rng.random() < 0.12:
        rgb = glasses(rgb, points, rng)
    if rng.random() < 0.12:
        rgb, _ = augment.covered(rgb, points, faces.scenes, rng)
    if rng.random() < 0.8:
        rgb = augment.relit(rgb, rng)
    side = int(SIZE * rng.uniform(0.4, 0.9)) if rng.random() < 0.35 else SIZE
    if side < SIZE:
        rgb = cv2.resize(rgb, (side, side), interpolation=cv2.INTER_AREA)
    if rng.random() < 0.75:
        rgb = augment.spoilt(rgb, rng)
    return np.asarray(cv2.resize(rgb, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR) if side < SIZE else rgb)


def glasses(rgb: Array, points: Array, rng: np.random.Generator) -> Array:
    """Rims around both eyes, (S, S, 3) uint8, and at times a tint or a reflection in the glass."""
    rim, glass = np.zeros((2, SIZE, SIZE), np.uint8)
    unit = float(np.linalg.norm(np.subtract(*points[[*landmarks.OUTER_CORNERS], :2])))
    axes = unit * np.array([rng.uniform(0.22, 0.32), rng.uniform(0.13, 0.25)])
    drop = unit * np.array([0, rng.uniform(-0.02, 0.08)])
    thick = max(1, round(unit * rng.uniform(0.01, 0.06)))
    for eye in landmarks.EYES:
        middle = points[eye, :2].mean(0) + drop
        box = (tuple(map(float, middle)), tuple(map(float, 2 * axes)), 0.0)
        cv2.ellipse(glass, box, 255, -1, cv2.LINE_AA)
        cv2.ellipse(rim, box, 255, thick, cv2.LINE_AA)
    shine = cv2.resize(rng.uniform(0, 1, (3, 3)).astype(np.float32) ** 3, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
    tint = np.full(3, rng.uniform(60, 255)) if rng.random() < 0.5 else rng.uniform(0, 90, 3)
    rgb = augment.blend(rgb, tint, glass / np.float32(255) * np.clip(shine, 0, 1) * rng.uniform(0, 0.5))
    return augment.blend(rgb, rng.uniform(0, 110) * np.ones(3), rim / np.float32(255) * rng.uniform(0.5, 1))


class Nets(nn.Module):
    """Both nets, trained together on the same faces."""

    def __init__(self, eye: Tensor, mouth: Tensor) -> None:
        super().__init__()
        self.eye, self.mouth = PatchNet(eye), PatchNet(mouth)

    def forward(self, eyes: Tensor, mouths: Tensor) -> tuple[Tensor, Tensor]:
        return self.eye(eyes), self.mouth(mouths)


def loss_of(nets: nn.Module, batch: loop.Batch, _share: float) -> Tensor:
    """The loss of a batch."""
    eyes, spots, mouths, lips = batch
    pictures = [(part.float() / 255).contiguous(memory_format=torch.channels_last)
                for part in (eyes.flatten(0, 1), mouths)]  # fmt: skip
    with torch.autocast(eyes.device.type, torch.bfloat16):
        found = nets(*pictures)
    loss = torch.zeros((), device=eyes.device)
    kinds = (EYE_GAPS, np.ones(len(EYE_GAPS)), 1.0), (MOUTH_GAPS, OPENING, 0.6)
    for points, truth, (pairs, counts, bend) in zip(found, (spots.flatten(0, 1), lips), kinds):
        off = points.float() - truth
        gaps = wing(off[:, pairs[:, 0]] - off[:, pairs[:, 1]], 5.0, bend)
        share = torch.from_numpy(counts).float().to(off.device)[:, None]
        loss = loss + wing(off, 5.0, 1.0).mean() + 1.5 * (gaps * share).mean()
    return loss


def export(nets: nn.Module, folder: Path) -> Path:
    """Write `folder`/eye.onnx and mouth.onnx, for any number of patches at a time."""
    given, free = torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0)), {0: "b"}
    for name, net in nets.named_children():
        whole = Twice(net) if name == "mouth" else net
        save_onnx(whole, given, ("rgb", "points"), folder / f"{name}.onnx", {"rgb": free, "points": free})
    return folder


def prepared(data: Path, scenes: Path | None, schedule: Schedule) -> loop.Lesson:
    """Untrained nets that know the mean shapes, and the batches to train them on."""
    torch.manual_seed(schedule.seed)
    samples = Samples(load_faces(data, scenes, DETAIL), Augmentation(size=SIZE, express=0.75), schedule.seed)
    rng = np.random.default_rng(schedule.seed)
    some = [samples.one(int(index), rng) for index in rng.integers(len(samples.faces), size=64)]
    eye, mouth = (torch.stack([one[k] for one in some]).reshape(-1, *some[0][k].shape[-2:]).mean(0) for k in (1, 3))
    batches = loop.Echoed(samples, schedule.batch, schedule.fresh, schedule.kept, schedule.seed)
    return loop.Lesson(Nets(eye, mouth), batches, loss_of, loop.cosine, source=digest_of(data / "labels.npz"))


def train(
    data: Path, out: Path, *, scenes: Path | None = None, schedule: Schedule = Schedule(),
    say: loop.Say = loop.mute, report: Report = quiet,
) -> Path:  # fmt: skip
    """Train on `data` (see load_faces; `scenes` holds *.jpg without faces); write eye.onnx and mouth.onnx into
    `out`/features."""
    with loop.checkpoints(out, "features") as (place,):
        return export(loop.learn(prepared(data, scenes, schedule), schedule, place, say, report), out / "features")
