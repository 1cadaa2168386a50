"""Labelled faces -> models/embedded/mesh/mesh.onnx: 478 points, whether a face is there, and where it is seen.

Input `rgb` (1, 3, 128, 128) float32 in [0, 1]: the crop of geometry.crop_transform, roughly upright and centred.
Outputs `points` (1, 478, 3) in crop pixels, `score` (1, 1) and `visible` (1, 32, 32), both in [0, 1].
The net is a small residual one (He et al., CVPR 2016); the points come out as a mean and a learned linear basis that
starts at the principal components of the training shapes; the loss is the wing loss (Feng et al., CVPR 2018).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidswap.face import landmarks
from vidswap.keys import digest_of
from vidswap.progress import Report, quiet
from vidswap.train import loop
from vidswap.train.export import save_onnx
from vidswap.train.faces import Augmentation, Faces, load_faces, nothing, sample

SIZE, GRID = 128, 32
RANK = 160  # shapes that the net begins with
# Pairs whose distance is an expression: lips, lids, mouth corners, brows over eyes.
PAIRS = np.array([(13, 14), (82, 87), (312, 317), (78, 308), (61, 291), (0, 17), (159, 145), (160, 144), (158, 153),
                  (386, 374), (387, 373), (385, 380), (105, 159), (334, 386), (66, 158), (296, 385)])  # fmt: skip


@dataclass(frozen=True)
class Schedule(loop.Schedule):
    """Of a batch, `fresh` samples are new, the others drawn from the last `kept`; a share are `negatives`."""

    steps: int = 12000
    minutes: float = 50.0
    fresh: int = 8
    kept: int = 4096
    negatives: float = 0.12


class Residual(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    def __init__(self, wide_in: int, wide: int, stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(wide_in, wide, 3, stride, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU(),
            nn.Conv2d(wide, wide, 3, 1, 1, bias=False), nn.BatchNorm2d(wide),
        )  # fmt: skip
        self.short: nn.Module = nn.Identity()
        if stride > 1 or wide_in != wide:
            self.short = nn.Sequential(nn.Conv2d(wide_in, wide, 1, stride, bias=False), nn.BatchNorm2d(wide))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.short(x))


class MeshNet(nn.Module):
    """(B, 3, 128, 128) in [0, 1] -> points (B, 478, 3) in pixels, face logit (B, 1), visibility logits (B, 32, 32)."""

    def __init__(self, mean: Tensor, basis: Tensor) -> None:
        """`mean` (1434,) pixels and `basis` (1434, K) pixels per unit: the shapes to start from."""
        super().__init__()
        # One wide stride-4 convolution keeps what 4x4 pixels hold and costs a third of two narrow fine stages.
        stem = [nn.Conv2d(3, 64, 8, 4, 2, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
        self.fine = nn.Sequential(*stem, Residual(64, 96, 2), Residual(96, 96))
        self.coarse = nn.Sequential(Residual(96, 160, 2), Residual(160, 160))
        last = [nn.Conv2d(192, 64, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
        self.deep = nn.Sequential(Residual(160, 192, 2), *last)
        self.shape = nn.Linear(64 * (SIZE // 32) ** 2, basis.shape[1])
        self.points = nn.Linear(basis.shape[1], len(mean))
        self.points.weight.data, self.points.bias.data = basis.clone(), mean.clone()
        self.score = nn.Linear(64 * (SIZE // 32) ** 2, 1)
        self.side_fine, self.side_coarse = nn.Conv2d(96, 48, 1), nn.Conv2d(160, 48, 1)
        self.visible = nn.Sequential(nn.Conv2d(48, 48, 3, 1, 1), nn.ReLU(), nn.Conv2d(48, 4, 1), nn.PixelShuffle(2))

    def forward(self, rgb: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        fine = self.fine(2 * rgb - 1)
        coarse = self.coarse(fine)
        deep = self.deep(coarse).flatten(1)
        seen = self.side_fine(fine) + F.interpolate(self.side_coarse(coarse), scale_factor=2.0, mode="nearest")
        points = self.points(self.shape(deep)).reshape(-1, 478, 3)
        return points, self.score(deep), self.visible(F.relu(seen))[:, 0]


class Shipped(nn.Module):
    """The net with probabilities for logits, as it is exported."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, rgb: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        points, score, visible = self.net(rgb)
        return points, score.sigmoid(), visible.sigmoid()


@dataclass(frozen=True, eq=False)
class Samples:
    """What the mesh is learnt from, by number: rgb (3, S, S) uint8, mesh (478, 3), visible (32, 32), face (1,): 0 for a
    negative."""

    faces: Faces
    augmentation: Augmentation
    negatives: float
    seed: int

    def __call__(self, number: int) -> loop.Batch:
        index = loop.in_turns(number, len(self.faces), self.seed)
        return self.one(index, loop.chance(self.seed, loop.SAMPLE, number))

    def one(self, index: int, rng: np.random.Generator) -> loop.Batch:
        """A sample of face `index`, or of none."""
        if rng.random() < self.negatives:
            rgb, mesh = nothing(self.faces, self.augmentation, rng), np.zeros((478, 3), np.float32)
            visible, face = np.zeros((GRID, GRID), np.float32), 0.0
        else:
            drawn = sample(self.faces, index, self.augmentation, rng)
            rgb, mesh, face = drawn.rgb, drawn.mesh, 1.0
            visible = cv2.resize(drawn.visible, (GRID, GRID), interpolation=cv2.INTER_AREA)
        picture = torch.from_numpy(np.ascontiguousarray(rgb.transpose(2, 0, 1)))
        return picture, torch.from_numpy(mesh), torch.from_numpy(visible), torch.tensor([face])


def shapes(faces: Faces, augmentation: Augmentation, rank: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Mean (1434,) and scaled principal components (1434, rank) of the meshes of 4 `rank` samples."""
    picks = rng.integers(len(faces), size=4 * rank)
    meshes = np.stack([sample(faces, int(pick), augmentation, rng).mesh.reshape(-1) for pick in picks])
    mean = meshes.mean(0)
    _, spread, axes = np.linalg.svd(meshes - mean, full_matrices=False)
    basis = axes[:rank].T * (spread[:rank] / math.sqrt(len(meshes)))
    return torch.from_numpy(mean).float(), torch.from_numpy(basis).float().contiguous()


@cache
def importance() -> Tensor:
    """(478, 3): how much each coordinate counts; what carries expression counts more, depth less."""
    weight = np.ones((478, 3), np.float32)
    weight[landmarks.OVAL] = 1.3
    weight[np.concatenate(landmarks.BROWS)] = 2.0
    for lips in (landmarks.INNER_LIPS, landmarks.OUTER_LIPS):
        weight[lips] = 3.0
    for eye in (*landmarks.EYES, *landmarks.IRISES):
        weight[eye] = 3.0
    weight[:, 2] *= 0.25
    return torch.from_numpy(weight / weight.mean())


def wing(off: Tensor, width: float = 5.0, bend: float = 1.5) -> Tensor:
    """Wing loss of Feng et al., CVPR 2018: logarithmic for small errors, linear beyond `width` pixels."""
    size = off.abs()
    rest = width - width * math.log(1 + width / bend)
    return torch.where(size < width, width * torch.log1p(size / bend), size - rest)


def loss_of(net: nn.Module, batch: loop.Batch, _share: float) -> Tensor:
    """The loss of a batch."""
    rgb, mesh, visible, face = batch
    picture = (rgb.float() / 255).contiguous(memory_format=torch.channels_last)
    with torch.autocast(rgb.device.type, torch.bfloat16):
        points, score, seen = net(picture)
    there = face[:, 0] > 0.5
    off = points.float()[there] - mesh[there]
    gaps = off[:, PAIRS[:, 0], :2] - off[:, PAIRS[:, 1], :2]
    loss = (wing(off) * importance().to(off.device)).mean() + 0.5 * wing(gaps).mean()
    loss = loss + 0.5 * F.binary_cross_entropy_with_logits(score.float(), face)
    return loss + F.binary_cross_entropy_with_logits(seen.float(), visible)


def export(net: nn.Module, target: Path) -> Path:
    """Write the net as ONNX, one crop at a time."""
    given = torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    return save_onnx(Shipped(net), given, ("rgb", "points", "score", "visible"), target, {})


def prepared(data: Path, scenes: Path | None, schedule: Schedule) -> loop.Lesson:
    """An untrained net that already knows the shapes, and the batches to train it on."""
    torch.manual_seed(schedule.seed)
    faces, augmentation = load_faces(data, scenes), Augmentation(size=SIZE)
    mean, basis = shapes(faces, augmentation, RANK, np.random.default_rng(schedule.seed))
    samples = Samples(faces, augmentation, schedule.negatives, schedule.seed)
    batches = loop.Echoed(samples, schedule.batch, schedule.fresh, schedule.kept, schedule.seed)
    return loop.Lesson(MeshNet(mean, basis), batches, loss_of, loop.cosine, source=digest_of(data / "labels.npz"))


def train(
    data: Path, out: Path, *, scenes: Path | None = None, schedule: Schedule = Schedule(),
    say: loop.Say = loop.mute, report: Report = quiet,
) -> Path:  # fmt: skip
    """Train on `data` (see load_faces; `scenes` holds *.jpg without faces) and write `out`/mesh/mesh.onnx."""
    with loop.checkpoints(out, "mesh") as (place,):
        net = loop.learn(prepared(data, scenes, schedule), schedule, place, say, report)
        return export(net, out / "mesh" / "mesh.onnx")
