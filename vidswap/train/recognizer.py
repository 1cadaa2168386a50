"""A small face recogniser, trained on synthetic people only -> models/embedded/rec_faces.onnx (112x112, insightface).

Every person of `vidswap.train.people` is a class. The loss is CosFace (Wang et al., "CosFace: Large Margin Cosine
Loss", CVPR 2018) over all classes plus a softmax over the pairs of the batch (Sohn, "Improved deep metric learning
with multi-class N-pair loss objective", NeurIPS 2016), which learns from the first step. The net is a narrow residual
one with the global depth-wise pooling of MobileFaceNet (Chen et al. 2018): dense convolutions, since those are what a
CPU with bf16 units is fast at.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, IterableDataset

from vidswap.train import damage, faces, people
from vidswap.types import Array

SIZE = people.SIDE
WIDTH = 256


@dataclass(frozen=True)
class Schedule:
    """How long and how hard to train: `children` new people made by mixing two, `batch` views of batch / 2 people;
    a machine that cannot do all `steps` in `minutes` does fewer, with the whole schedule."""

    steps: int = 6000
    minutes: float = 100.0
    batch: int = 64
    children: int = 2000
    rate: float = 1.5e-3
    scale: float = 24.0
    margin: float = 0.25
    seed: int = 0


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
        rgb = damage.covered(rgb, mesh, scenes, rng)[0]
    rgb = damage.relit(rgb, rng)
    if rng.random() < 0.3:
        small = int(rng.uniform(20, 60))
        rgb = cv2.resize(cv2.resize(rgb, (small, small), interpolation=cv2.INTER_AREA), (SIZE, SIZE))
    if rng.random() < 0.7:
        rgb = damage.spoilt(rgb, rng)
    return np.ascontiguousarray(rgb[:, ::-1] if rng.random() < 0.5 else rgb)


class Views(IterableDataset[tuple[Array, Array]]):
    """Endless batches: (B, 112, 112, 3) uint8 and who is in them (B,) int64; the second half repeats the people of the
    first, otherwise posed, lit and degraded."""

    def __init__(self, cast: Sequence[people.Person], known: people.Anatomy, batch: int, seed: int) -> None:
        self.cast, self.known, self.half, self.seed = cast, known, batch // 2, seed
        self.mesh = people.aligned(known.mean)
        self.scenes = tuple(one.photo for one in cast[:64])

    def __iter__(self) -> Iterator[tuple[Array, Array]]:
        cv2.setNumThreads(1)
        rng = np.random.default_rng(self.seed)
        drawn: list[int] = []
        shelf: list[tuple[Array, list[Array]]] = []
        while True:
            if len(drawn) < self.half:
                drawn = [int(k) for k in rng.permutation(len(self.cast))]
            who = [drawn.pop() for _ in range(self.half)] * 2
            shelf.append((np.array(who), [self.one(k, rng) for k in who]))
            yield self.degraded(shelf[-1], rng)
            # A view costs more than its degradation: each is used about three times, some batches apart.
            for old in rng.choice(len(shelf), 2, replace=False) if len(shelf) > 8 else ():
                yield self.degraded(shelf[old], rng)
            shelf = shelf[-16:]

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


def learn(
    net: Recognizer, batches: Iterator[tuple[Tensor, Tensor]], classes: int, schedule: Schedule
) -> Iterator[tuple[float, nn.Module]]:
    """Train `net` in place: yields (loss, the running average of the net) after every step."""
    device = next(net.parameters()).device
    net.train()
    centres = nn.Parameter(functional.normalize(torch.randn(classes, WIDTH, device=device)))
    steady = AveragedModel(net, avg_fn=_drift, use_buffers=True)
    optimizer = torch.optim.AdamW(net.parameters(), lr=schedule.rate, weight_decay=0.02)
    optimizer.add_param_group({"params": [centres], "weight_decay": 0.0})
    rates, start, done, step = [schedule.rate, 4 * schedule.rate], monotonic(), 0.0, 0
    while done < 1:
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * _pace(done)
        rgb, who = (part.to(device) for part in next(batches))
        with torch.autocast(device.type, torch.bfloat16):
            unit = functional.normalize(net(as_input(rgb)).float())
        cosine = unit @ functional.normalize(centres).T
        loss = margin_loss(cosine, who, schedule.scale, schedule.margin * min(1.0, 2 * done)) + pair_loss(unit, 16.0)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimizer.step()
        steady.update_parameters(net)
        step += 1
        done = max(step / schedule.steps, (monotonic() - start) / (60 * schedule.minutes))
        yield float(loss.detach()), steady.module


def _drift(average: Tensor, now: Tensor, _: Tensor | int) -> Tensor:
    return average + 0.007 * (now - average)


def _pace(done: float) -> float:
    """Share of the full learning rate: a short ramp, then a cosine down to nothing."""
    return min(1.0, 20 * done + 0.02) * (0.5 + 0.5 * float(np.cos(np.pi * done)))


def export(net: nn.Module, target: Path) -> Path:
    """Write the net as insightface's ArcFaceONNX reads it: one input (None, 3, 112, 112), one output (None, 256)."""
    free = {"input": {0: "batch"}, "embedding": {0: "batch"}}
    with warnings.catch_warnings():  # the newer exporter needs a package that vidswap does without
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            deepcopy(net).cpu().eval(), (torch.zeros(1, 3, SIZE, SIZE),), str(target), dynamo=False,
            input_names=["input"], output_names=["embedding"], dynamic_axes=free, opset_version=17,
        )  # fmt: skip
    return target


def train(data: Path, out: Path, schedule: Schedule | None = None) -> Path:
    """Make the people of `data`, learn to tell them apart, write `out`/rec_faces.onnx; uses a GPU if there is one."""
    schedule = schedule or Schedule()
    torch.manual_seed(schedule.seed)
    cast, known = gather(data, out / "face.npz", schedule)
    views = DataLoader(
        Views(cast, known, schedule.batch, schedule.seed), batch_size=None, num_workers=1, prefetch_factor=4
    )
    net = Recognizer().to("cuda" if torch.cuda.is_available() else "cpu")
    *_, (_, steady) = learn(net, iter(views), len(cast), schedule)
    return export(steady, out / "rec_faces.onnx")
