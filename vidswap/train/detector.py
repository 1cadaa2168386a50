"""Labelled faces -> models/embedded/det_*.onnx: a small face detector in SCRFD's output format.

The head follows SCRFD (Guo et al., "Sample and Computation Redistribution for Efficient Face Detection", ICLR 2022):
strides 8, 16, 32, two square anchors a cell, distances to the four sides and five points in units of the stride, scores
trained with the quality focal loss (Li et al., NeurIPS 2020). The body is ours: plain 3x3 convolutions, which bf16
matrix units run faster than depthwise ones.
"""

from __future__ import annotations

import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, IterableDataset

from vidswap.train.scenes import Scene, Scenes, mirrored
from vidswap.types import Array

NAME = "det_plain.onnx"
STRIDES = (8, 16, 32)
SIDES = ((16, 32), (64, 128), (256, 512))  # of the two anchors of a cell, pixels
PER_CELL = 1 + 4 + 10
Say = Callable[[str], None]


def quiet(_line: str) -> None:
    """A listener that lets progress pass."""


@dataclass(frozen=True)
class Schedule:
    """How long to learn: `steps` of `batch` scenes of side `size`, or `minutes`, whichever ends first. `prints`: see
    Scenes. `settled` norms keep their statistics."""

    steps: int = 2400
    minutes: float = 60.0
    batch: int = 16
    size: int = 256
    rate: float = 2e-3
    prints: float = 0.0
    settled: bool = False
    every: int = 100  # steps between reports, each with an export


class Step(nn.Sequential):
    """3x3 convolution, norm, ReLU; with a shortcut where the shape stays."""

    def __init__(self, narrow: int, wide: int, stride: int = 1) -> None:
        super().__init__(nn.Conv2d(narrow, wide, 3, stride, 1, bias=False), nn.BatchNorm2d(wide))
        self.keeps = narrow == wide and stride == 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = super().forward(x)  # type: ignore[no-untyped-call]
        return F.relu(x + y if self.keeps else y)


class Detector(nn.Module):
    """(B, 3, H, W) in [-1, 1], H and W multiples of 32 -> three (B, H/s, W/s, 2, 15): logit, sides, points."""

    def __init__(self, neck: int = 48) -> None:
        super().__init__()
        self.stem = nn.Sequential(Step(3, 16, 2), Step(16, 32, 2))
        wide = (48, 80, 128)
        self.stages = nn.ModuleList(
            nn.Sequential(Step(a, b, 2), *(Step(b, b) for _ in range(n)))
            for a, b, n in zip((32, *wide), wide, (1, 3, 3))
        )
        self.lateral = nn.ModuleList(nn.Conv2d(c, neck, 1) for c in wide)
        self.merge = nn.ModuleList(Step(neck, neck) for _ in wide)
        self.head = nn.ModuleList(nn.Conv2d(neck, 2 * PER_CELL, 1) for _ in wide)
        for level, head in enumerate(self.head):
            nn.init.normal_(head.weight, std=0.01)  # type: ignore[arg-type]
            head.bias.data = start_bias(level)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        x, features = self.stem(x), []
        for stage, lateral in zip(self.stages, self.lateral):
            x = stage(x)
            features.append(lateral(x))
        outs: list[torch.Tensor] = []
        above = None
        for level in (2, 1, 0):
            y = features[level] if above is None else features[level] + F.interpolate(above, scale_factor=2.0)
            above = self.merge[level](y)
            y = self.head[level](above)
            outs.insert(0, y.permute(0, 2, 3, 1).reshape(y.shape[0], y.shape[2], y.shape[3], 2, PER_CELL))
        return outs


def start_bias(level: int) -> torch.Tensor:
    """Biases that make an untrained net say: hardly a face; if one, as large as the anchor, points in the middle."""
    bias = torch.zeros(2, PER_CELL)
    bias[:, 0] = -4.0
    for anchor, side in enumerate(SIDES[level]):
        bias[anchor, 1:5] = side / 2 / STRIDES[level]
    return bias.flatten()


class InsightFormat(nn.Module):
    """The detector's answer as insightface's SCRFD reads it: score_8 score_16 score_32 bbox_8 ... kps_32, of one
    picture, rows ordered by y, x, anchor."""

    NAMES = tuple(f"{kind}_{stride}" for kind in ("score", "bbox", "kps") for stride in STRIDES)

    def __init__(self, net: Detector) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        flat = [y.reshape(-1, PER_CELL) for y in self.net(x)]
        scores = [torch.sigmoid(y[:, :1]) for y in flat]
        return (*scores, *(y[:, 1:5] for y in flat), *(y[:, 5:] for y in flat))


# --- targets --------------------------------------------------------------------------------------------------------


def centres(height: int, width: int, stride: int) -> Array:
    """(H/s, W/s, 2) float32: where the anchors stand, x before y, as insightface places them."""
    x, y = np.meshgrid(np.arange(width // stride), np.arange(height // stride))
    return np.asarray(np.stack([x, y], axis=-1) * stride, np.float32)


def encode(boxes: Array, points: Array, at: Array, stride: int) -> Array:
    """(K or 1, 4) boxes and (K or 1, 5, 2) points seen from (K, 2) anchors -> (K, 14) float32 in strides."""
    sides = np.concatenate([at - boxes[:, :2], boxes[:, 2:] - at], axis=1)
    return np.concatenate([sides, (points - at[:, None]).reshape(len(at), 10)], axis=1).astype(np.float32) / stride


def suits(side: float) -> list[tuple[int, int]]:
    """(level, anchor) whose squares fit a face of this side: the nearest in octaves, and a second one near a border."""
    squares = [(own, level, anchor) for level, two in enumerate(SIDES) for anchor, own in enumerate(two)]
    octaves = [(abs(np.log2(side / own)), level, anchor) for own, level, anchor in squares]
    best = min(octaves)
    return [(level, anchor) for gap, level, anchor in octaves if gap < 0.65 or (gap, level, anchor) == best]


def targets(scene: Scene) -> list[Array]:
    """One (H/s, W/s, 2, 16) float32 a level: weight of the cell (0 = do not care), is a face, 14 distances."""
    height, width = scene.rgb.shape[:2]
    levels = []
    for stride in STRIDES:
        level = np.zeros((height // stride, width // stride, 2, 16), np.float32)
        level[..., 0] = 1
        levels.append(level)
    for box, points, counts in sorted(zip(scene.boxes, scene.points, scene.counts), key=lambda f: -_side(f[0])):
        _mark(levels, box, points, bool(counts))
    return levels


def _side(box: Array) -> float:
    return float(np.sqrt((box[2] - box[0]) * (box[3] - box[1])))


def _mark(levels: list[Array], box: Array, points: Array, counts: bool) -> None:
    """Write one face into the targets: cells near its middle must find it, a ring about them may."""
    side, middle = _side(box), (box[:2] + box[2:]) / 2
    fitting = suits(side) if counts else []
    for number, (level, stride) in enumerate(zip(levels, STRIDES)):
        at = centres(level.shape[0] * stride, level.shape[1] * stride, stride)
        away = np.abs(at - middle).max(-1)
        for anchor in (0, 1):
            cells = level[:, :, anchor]
            if not counts:
                cells[away < side / 2, 0] = 0
                continue
            if abs(np.log2(side / SIDES[number][anchor])) < 1.3:
                ring = away < 0.25 * side + 0.5 * stride
                cells[ring & (cells[..., 1] == 0), 0] = 0
            if (number, anchor) not in fitting:
                continue
            near = away < 0.12 * side + 0.5 * stride
            cells[near, :2] = 1
            cells[near, 2:] = encode(box[None], points[None], at[near], stride)


# --- loss -----------------------------------------------------------------------------------------------------------


def iou(sides: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """(K, 4), (K, 4) distances from the same anchors -> (K,) intersection over union."""
    both = torch.minimum(sides, wanted)
    inter = (both[:, 0] + both[:, 2]).clamp(min=0) * (both[:, 1] + both[:, 3]).clamp(min=0)
    area = (sides[:, 0] + sides[:, 2]).clamp(min=0) * (sides[:, 1] + sides[:, 3]).clamp(min=0)
    return inter / (area + (wanted[:, 0] + wanted[:, 2]) * (wanted[:, 1] + wanted[:, 3]) - inter + 1e-6)


def loss(outs: list[torch.Tensor], wanted: list[torch.Tensor]) -> torch.Tensor:
    """Quality focal loss of the scores, IoU loss of the boxes, distance of the points in face sides; over the faces."""
    y = torch.cat([o.float().reshape(-1, PER_CELL) for o in outs])
    t = torch.cat([w.reshape(-1, 16) for w in wanted])
    faces = t[:, 1] > 0
    count = faces.sum().clamp(min=1)
    sides, goal = y[faces, 1:5], t[faces, 2:6]
    overlap = iou(sides, goal)
    quality = torch.zeros_like(t[:, 1])
    quality[faces] = overlap.detach().clamp(min=0.3)
    gap = (quality - y[:, 0].sigmoid()).abs().square()
    score = (F.binary_cross_entropy_with_logits(y[:, 0], quality, reduction="none") * gap * t[:, 0]).sum()
    size = (goal[:, :2] + goal[:, 2:]).mean(1, keepdim=True)
    outside = F.smooth_l1_loss(sides / size, goal / size, beta=0.05, reduction="none").mean(1)
    points = F.smooth_l1_loss(y[faces, 5:] / size, t[faces, 6:] / size, beta=0.05, reduction="none").mean(1)
    return (score * 2 + (1 - overlap + 4 * outside + 4 * points).sum()) / count


# --- training -------------------------------------------------------------------------------------------------------


class Batches(IterableDataset[tuple[torch.Tensor, list[torch.Tensor]]]):
    """Endless batches of scenes: (B, S, S, 3) uint8 and the targets of three levels. Making a scene costs more than
    learning from it, so each comes twice, mirrored and among others (data echoing, Choi et al. 2019)."""

    def __init__(self, data: Path, schedule: Schedule, seed: int) -> None:
        self.data, self.schedule, self.seed = data, schedule, seed

    def __iter__(self) -> Iterator[tuple[torch.Tensor, list[torch.Tensor]]]:
        torch.set_num_threads(1)
        worker = torch.utils.data.get_worker_info()
        number = worker.id if worker else 0
        scenes = iter(Scenes(self.data, self.schedule.size, self.seed + number, self.schedule.prints))
        seen = deque((next(scenes) for _ in range(64)), maxlen=64)
        while True:
            fresh = [next(scenes) for _ in range(self.schedule.batch // 2)]
            batch = fresh + [mirrored(seen.popleft()) for _ in fresh]
            seen.extend(fresh)
            levels = zip(*(targets(scene) for scene in batch))
            rgb = torch.from_numpy(np.stack([scene.rgb for scene in batch]))
            yield rgb, [torch.from_numpy(np.stack(level)) for level in levels]


def as_input(rgb: torch.Tensor) -> torch.Tensor:
    """(B, H, W, 3) uint8 -> (B, 3, H, W) float32 as insightface feeds it; channels last in memory."""
    return (rgb.permute(0, 3, 1, 2).float() - 127.5) / 128.0


def rate_at(step: int, share: float, schedule: Schedule) -> float:
    """Warm up, hold, fall to nothing over the last 40 %; `share` of the time or steps is past."""
    return schedule.rate * min(1.0, (step + 1) / 100, max(0.0, 1 - share) / 0.4)


def train(data: Path, out: Path, seed: int = 0, schedule: Schedule = Schedule(), say: Say = quiet) -> Path:
    """Train on `data`/*.jpg with labels.npz (and the pictures without faces in the folder `backgrounds` beside it), and
    write `out`/det_plain.onnx. Equal seeds give equal scenes. `say` hears a line of progress at each export.

    A second, shorter part teaches that faces on shirts and posters are nobody's."""
    torch.manual_seed(seed)
    target = out / NAME
    net = learn(Detector(), Batches(data, schedule, seed), target, say)
    finer = replace(schedule, steps=max(1, schedule.steps // 4), minutes=schedule.minutes / 4, rate=schedule.rate / 4)
    learn(net, Batches(data, replace(finer, prints=0.35, settled=True), seed + 1), target, say)
    return target


def learn(net: Detector, source: Batches, target: Path, say: Say) -> Detector:
    """Train a copy of `net` as the schedule of `source` says; returns the running mean of its weights, exported too."""
    schedule = source.schedule
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    net = deepcopy(net).train(not schedule.settled).to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    mean = deepcopy(net).eval()
    optimiser = torch.optim.AdamW(net.parameters(), lr=schedule.rate, weight_decay=0.02)
    batches: Any = DataLoader(source, batch_size=None, num_workers=1, prefetch_factor=4)
    began, total = time.monotonic(), 0.0
    for step, (rgb, levels) in zip(range(schedule.steps), batches):
        share = max(step / schedule.steps, (time.monotonic() - began) / 60 / schedule.minutes)
        if share >= 1:
            break
        optimiser.param_groups[0]["lr"] = rate_at(step, share, schedule)
        with torch.autocast(device.type, torch.bfloat16):
            outs = net(as_input(rgb.to(device)))
        value = loss(outs, [level.to(device) for level in levels])
        optimiser.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(net.parameters(), 10.0)
        optimiser.step()
        follow(mean, net, min(0.995, (step + 1) / (step + 10)))
        total += value.item()
        if (step + 1) % schedule.every == 0:
            export(mean, target)
            say(f"{step + 1} of {schedule.steps}: loss {total / schedule.every:.3f}, {time.monotonic() - began:.0f} s")
            total = 0.0
    export(mean, target)
    return mean


@torch.no_grad()
def follow(mean: nn.Module, net: nn.Module, keep: float) -> None:
    """Move the running mean of the weights, which is what ships, towards the net."""
    for slow, fast in zip(mean.state_dict().values(), net.state_dict().values()):
        if slow.dtype.is_floating_point:
            slow.lerp_(fast, 1 - keep)
        else:
            slow.copy_(fast)


def export(net: Detector, target: Path) -> None:
    """Write ONNX with free height and width; batch norms are folded into the convolutions."""
    wrapped = InsightFormat(deepcopy(net).cpu().float().eval())
    cells = {name: {0: f"cells_{name}"} for name in InsightFormat.NAMES}
    with warnings.catch_warnings():  # the newer exporter needs a package more and gives the same graph
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            wrapped, (torch.zeros(1, 3, 64, 96),), str(target), dynamo=False, opset_version=17,
            input_names=["input"], output_names=list(InsightFormat.NAMES),
            dynamic_axes={"input": {2: "height", 3: "width"}, **cells},
        )  # fmt: skip
