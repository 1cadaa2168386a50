"""Labelled faces -> models/embedded/det_*.onnx: a small face detector in SCRFD's output format.

The head follows SCRFD (Guo et al., "Sample and Computation Redistribution for Efficient Face Detection", ICLR 2022):
strides 8, 16, 32, two square anchors a cell, distances to the four sides and five points in units of the stride, scores
trained with the quality focal loss (Li et al., NeurIPS 2020). The body is ours: plain 3x3 convolutions, which bf16
matrix units run faster than depthwise ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from vidswap.keys import digest_of
from vidswap.progress import Report, quiet
from vidswap.train import loop
from vidswap.train.export import save_onnx
from vidswap.train.scenes import Scene, Scenes, mirrored
from vidswap.types import Array

NAME = "det_plain.onnx"
STRIDES = (8, 16, 32)
SIDES = ((16, 32), (64, 128), (256, 512))  # of the two anchors of a cell, pixels
PER_CELL = 1 + 4 + 10
ECHOES = 8  # batches after which a scene comes again, mirrored


@dataclass(frozen=True)
class Schedule(loop.Schedule):
    """Scenes have the side `size`. `prints`: see Scenes. `settled` norms keep their statistics."""

    steps: int = 2400
    batch: int = 16
    size: int = 256
    prints: float = 0.0
    settled: bool = False


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

    def __init__(self, net: nn.Module) -> None:
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


class Batches(Dataset[loop.Batch]):
    """Batches of scenes: (B, S, S, 3) uint8 and the targets of three levels. Making a scene costs more than learning
    from it, so each comes twice, mirrored and among others (data echoing, Choi et al. 2019)."""

    def __init__(self, data: Path, schedule: Schedule) -> None:
        self._half = schedule.batch // 2
        self._scenes = Scenes(data, schedule.size, schedule.seed, schedule.prints)
        self._kept = loop.Kept(self._fresh, ECHOES + 1)

    def _fresh(self, number: int) -> list[Scene]:
        return [self._scenes.at(number * self._half + place) for place in range(self._half)]

    def __getitem__(self, step: int) -> loop.Batch:
        batch = self._kept(step + ECHOES) + [mirrored(scene) for scene in self._kept(step)]
        levels = zip(*(targets(scene) for scene in batch))
        return tuple(torch.from_numpy(np.stack(part)) for part in ([scene.rgb for scene in batch], *levels))


def as_input(rgb: torch.Tensor) -> torch.Tensor:
    """(B, H, W, 3) uint8 -> (B, 3, H, W) float32 as insightface feeds it; channels last in memory."""
    return (rgb.permute(0, 3, 1, 2).float() - 127.5) / 128.0


def loss_of(net: nn.Module, batch: loop.Batch, _share: float) -> torch.Tensor:
    """The loss of a batch."""
    rgb, *levels = batch
    with torch.autocast(rgb.device.type, torch.bfloat16):
        outs = net(as_input(rgb))
    return loss(outs, levels)


def train(
    data: Path, out: Path, *, schedule: Schedule = Schedule(), say: loop.Say = loop.mute, report: Report = quiet
) -> Path:
    """Train on `data`/*.jpg with labels.npz (and the pictures without faces in the folder `backgrounds` beside it), and
    write `out`/det_plain.onnx.

    A second, shorter part teaches that faces on shirts and posters are nobody's."""
    torch.manual_seed(schedule.seed)
    finer = replace(schedule, steps=max(1, schedule.steps // 4), minutes=schedule.minutes / 4, rate=schedule.rate / 4,
                    seed=schedule.seed + 1, prints=0.35, settled=True)  # fmt: skip
    net: nn.Module = Detector()
    with loop.checkpoints(out, "detector", "detector-finer") as places:
        for part, place in zip((schedule, finer), places):
            lesson = loop.Lesson(net.train(not part.settled), Batches(data, part), loss_of, loop.held, 0.995, 10.0,
                                 source=digest_of(data / "labels.npz"))  # fmt: skip
            net = loop.learn(lesson, part, place, say, report)
        return export(net, out / NAME)


def export(net: nn.Module, target: Path) -> Path:
    """Write ONNX with free height and width."""
    cells = {name: {0: f"cells_{name}"} for name in InsightFormat.NAMES}
    given = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    return save_onnx(InsightFormat(net), given, ("input", *InsightFormat.NAMES), target,
                     {"input": {2: "height", 3: "width"}, **cells})  # fmt: skip
