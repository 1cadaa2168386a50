"""A small face recogniser, trained on synthetic people only -> models/embedded/rec_faces.onnx (112x112, insightface).

Every person of `vidswap.train.people` is a class. The loss is CosFace (Wang et al., "CosFace: Large Margin Cosine
Loss", CVPR 2018) over all classes plus a softmax over the pairs of the batch (Sohn, "Improved deep metric learning
with multi-class N-pair loss objective", NeurIPS 2016), which learns from the first step. The net is a narrow residual
one with the global depth-wise pooling of MobileFaceNet (Chen et al. 2018): dense convolutions, since those are what a
CPU with bf16 units is fast at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset

from vidswap.keys import digest_of
from vidswap.progress import Report, quiet
from vidswap.train import augment, faces, loop, people
from vidswap.train.export import save_onnx
from vidswap.types import Array

SIZE = people.SIDE
WIDTH = 256


OLD, TIMES = 16, 3  # a view costs more than its degradation: so often each is used, within so many batches


@dataclass(frozen=True)
class Schedule(loop.Schedule):
    """`children` new people are made by mixing two; a batch are views of `batch` / 2 people; `scale` and `margin` are
    the loss's."""

    steps: int = 6000
    minutes: float = 100.0
    batch: int = 64
    children: int = 2000
    rate: float = 1.5e-3
    scale: float = 24.0
    margin: float = 0.25


def _conv(inside: int, out: int, side: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inside, out, side, stride, side // 2, bias=False), nn.BatchNorm2d(out))


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(_conv(width, width), nn.ReLU(True), _conv(width, width))
        self.bend = nn.ReLU(True)

    def forward(self, x: Tensor) -> Tensor:
        bent: Tensor = self.bend(x + self.body(x))
        return bent


class Recognizer(nn.Module):
    """(B, 3, 112, 112) RGB in [-1, 1] -> (B, 256), of any length: compare by cosine."""

    def __init__(self, widths: Sequence[int] = (32, 64, 104, 160), depths: Sequence[int] = (0, 1, 2, 2)) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, width, depth in zip((3, *widths), widths, depths, strict=False):
            layers += [_conv(before, width, stride=2), nn.ReLU(True), *(_Residual(width) for _ in range(depth))]
        self.body = nn.Sequential(*layers, _conv(widths[-1], 512, 1), nn.ReLU(True))
        self.pool = nn.Sequential(nn.Conv2d(512, 512, SIZE // 16, groups=512, bias=False), nn.BatchNorm2d(512))
        self.out = nn.Sequential(nn.Flatten(), nn.Linear(512, WIDTH, bias=False), nn.BatchNorm1d(WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        embedded: Tensor = self.out(self.pool(self.body(x)))
        return embedded


def margin_loss(cosine: Tensor, who: Tensor, scale: float, margin: float) -> Tensor:
    """CosFace: cross entropy of (B, C) cosines, the right one lowered by `margin`, all times `scale`."""
    lowered = cosine - margin * functional.one_hot(who, cosine.shape[1])
    return functional.cross_entropy(scale * lowered, who)


def pair_loss(unit: Tensor, scale: float) -> Tensor:
    """Rows i and B/2 + i of `unit` (B, E) are the same person, all others are not: N-pair softmax both ways."""
    half = len(unit) // 2
    alike = scale * unit[:half] @ unit[half:].T
    right = torch.arange(half, device=unit.device)
    return (functional.cross_entropy(alike, right) + functional.cross_entropy(alike.T, right)) / 2


def degrade(rgb: Array, mesh: Array, scenes: tuple[Array, ...], rng: np.random.Generator) -> Array:
    """What a film does to a face (112, 112, 3) uint8 with its mesh: covers, lights, shrinks, blurs, compresses it;
    half the time mirrored."""
    if rng.random() < 0.35:
        rgb = augment.covered(rgb, mesh, scenes, rng)[0]
    rgb = augment.relit(rgb, rng)
    if rng.random() < 0.3:
        small = int(rng.uniform(20, 60))
        rgb = cv2.resize(cv2.resize(rgb, (small, small), interpolation=cv2.INTER_AREA), (SIZE, SIZE))
    if rng.random() < 0.7:
        rgb = augment.spoilt(rgb, rng)
    return np.ascontiguousarray(rgb[:, ::-1] if rng.random() < 0.5 else rgb)


class Views(Dataset[tuple[Array, Array]]):
    """Batches: (B, 112, 112, 3) uint8 and who is in them (B,) int64; the second half repeats the people of the first,
    otherwise posed, lit and degraded."""

    def __init__(self, cast: Sequence[people.Person], known: people.Anatomy, batch: int, seed: int) -> None:
        self.cast, self.known, self.half, self.seed = cast, known, batch // 2, seed
        self.mesh = people.aligned(known.mean)
        self.scenes = tuple(one.photo for one in cast[:64])
        self._kept = loop.Kept(self.fresh, OLD)

    def __getitem__(self, step: int) -> tuple[Array, Array]:
        number, again = divmod(step, TIMES)
        rng = loop.chance(self.seed, loop.ECHO, step)
        if again:
            number = int(rng.integers(max(0, number - OLD + 1), number + 1))
        return self.degraded(self._kept(number), rng)

    def fresh(self, number: int) -> tuple[Array, list[Array]]:
        """Who is in the batch of a number, and their views."""
        rng = loop.chance(self.seed, loop.SAMPLE, number)
        turn, place = divmod(number, len(self.cast) // self.half)
        who = loop.shuffled(turn, len(self.cast), self.seed)[place * self.half :][: self.half] * 2
        return np.array(who), [self.one(k, rng) for k in who]

    def one(self, k: int, rng: np.random.Generator) -> Array:
        around = self.cast[int(rng.integers(len(self.cast)))]
        return people.view(self.cast[k], around, self.known, rng)

    def degraded(self, batch: tuple[Array, list[Array]], rng: np.random.Generator) -> tuple[Array, Array]:
        who, views = batch
        return np.stack([degrade(rgb, self.mesh, self.scenes, rng) for rgb in views]), who


def gather(data: Path, face: Path, schedule: Schedule) -> tuple[list[people.Person], people.Anatomy]:
    """The people of `data` and their `schedule.children`; `face` is the shared mean face (.npz)."""
    shared = np.load(face)
    labels = np.load(data / "labels.npz")
    named = zip(labels["name"], labels["mesh"], strict=True)
    cast = [people.person(faces.read(data / str(name)), mesh, shared["mean"]) for name, mesh in named]
    known = people.anatomy(shared["mean"], shared["triangles"], np.stack([one.shape for one in cast]))
    rng = np.random.default_rng(schedule.seed)
    return cast + list(people.couples(schedule.children, cast, known, rng)), known


def as_input(rgb: Tensor) -> Tensor:
    """(B, 112, 112, 3) uint8 -> (B, 3, 112, 112) in [-1, 1], channels last."""
    return rgb.permute(0, 3, 1, 2).to(torch.float32).sub(127.5).div(127.5)


class Classes(nn.Module):
    """A recogniser with what it is trained by: the `centres` (C, 256) of all people."""

    def __init__(self, net: nn.Module, count: int) -> None:
        super().__init__()
        self.net = net
        self.centres = nn.Parameter(functional.normalize(torch.randn(count, WIDTH)))


def lesson_of(net: nn.Module, batches: Dataset[loop.Batch], count: int, schedule: Schedule) -> loop.Lesson:
    """How `net` learns to tell `count` people apart."""

    def loss(classes: nn.Module, batch: loop.Batch, share: float) -> Tensor:
        rgb, who = batch
        with torch.autocast(rgb.device.type, torch.bfloat16):
            unit = functional.normalize(classes.net(as_input(rgb)).float())  # type: ignore[operator]
        cosine = unit @ functional.normalize(classes.centres).T  # type: ignore[arg-type]
        return margin_loss(cosine, who, schedule.scale, schedule.margin * min(1.0, 2 * share)) + pair_loss(unit, 16.0)

    return loop.Lesson(Classes(net.train(), count), batches, loss, pace, 0.993, quick="centres")


def pace(_step: int, share: float) -> float:
    """Share of the full rate: a short ramp, then a cosine down to nothing."""
    return min(1.0, 20 * share + 0.02) * (0.5 + 0.5 * float(np.cos(np.pi * share)))


def export(net: nn.Module, target: Path) -> Path:
    """Write the net as insightface's ArcFaceONNX reads it: one input (None, 3, 112, 112), one output (None, 256)."""
    given = torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0)) * 2 - 1
    free = {"input": {0: "batch"}, "embedding": {0: "batch"}}
    return save_onnx(net, given, ("input", "embedding"), target, free)


def train(
    data: Path, out: Path, *, schedule: Schedule = Schedule(), say: loop.Say = loop.mute, report: Report = quiet
) -> Path:
    """Make the people of `data`, learn to tell them apart, write `out`/rec_faces.onnx."""
    torch.manual_seed(schedule.seed)
    cast, known = gather(data, out / "face.npz", schedule)
    views: Any = Views(cast, known, schedule.batch, schedule.seed)
    lesson = replace(lesson_of(Recognizer(), views, len(cast), schedule), source=digest_of(data / "labels.npz"))
    with loop.checkpoints(out, "recognizer") as (place,):
        return export(loop.learn(lesson, schedule, place, say, report).get_submodule("net"), out / "rec_faces.onnx")
