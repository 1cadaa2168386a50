"""parts_samples.npz -> models/embedded/parts/parts.onnx: what each pixel of a face's picture is.

Faces and rendered heads, whose parts are known or mostly so, are dressed anew each time: glasses, beards, hair, scarves
are put on, hands, letters and things before them, and the picture is lit and spoilt as footage is. The net is a small
U-Net (Ronneberger et al. 2015) whose first half starts as the mesh net's, which sees faces at the same scale. What
nobody labelled is mostly known to be nothing before the face, and is held against what says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnx
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidswap.face import landmarks
from vidswap.keys import digest_of
from vidswap.models.registry import path_to
from vidswap.progress import Report, quiet
from vidswap.swap.parts import FRONT, LENS, PARTS, RIM, SIDE
from vidswap.train import augment, before, loop, parts_samples, worn
from vidswap.train.export import save_onnx
from vidswap.train.heads import Random
from vidswap.train.light import Residual
from vidswap.train.parts_labels import OPEN, UNSURE
from vidswap.train.rows import Row, decoded, load
from vidswap.train.worn import Scene
from vidswap.types import Array

KNOWN = (64, 96, 160)  # widths of the mesh net
SQUARE = 4  # pixels of a side that the net sees as channels
WEIGHTS = (0.6, 1.0, 1.2, 1.0, 1.2, 1.0, 3.0, 1.5, 1.2, 1.5, 1.0)  # of the parts, small ones more
RARE = {"glasses": 0.27, "beard": 0.1, "strands": 0.2, "cloth": 0.13, "hand": 0.3, "mask": 0.05, "drink": 0.1,
        "microphone": 0.07, "something": 0.1, "letters": 0.16}  # how often each is put on, in this order  # fmt: skip
BEFORE = [RIM, LENS, FRONT]
SPOILT = (0.25, 0.45, 0.3)  # how often not at all, once, twice


@dataclass(frozen=True)
class Schedule(loop.Schedule):
    """Of a batch, `fresh` samples are new, the others drawn from the last `kept`; `start` is a checkpoint whose weights
    a run begins with."""

    steps: int = 20_000
    batch: int = 24
    fresh: int = 8
    kept: int = 3000
    rate: float = 5e-4  # four times as much where the net is new
    start: str = ""


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut, without norms: as the mesh net has them once they are folded."""

    def __init__(self, wide_in: int, wide: int, stride: int = 1) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(wide_in, wide, 3, stride, 1), nn.Conv2d(wide, wide, 3, 1, 1)
        alike = stride == 1 and wide_in == wide
        self.short: nn.Module = nn.Identity() if alike else nn.Conv2d(wide_in, wide, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.b(F.relu(self.a(x))) + self.short(x))


class Seen(nn.Module):
    """The mesh net's lower half, which knows faces: (B, 3, S, S) in -1 to 1 -> a fourth of the side, an eighth, a
    sixteenth."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, KNOWN[0], 8, 4, 2)
        self.fine = nn.Sequential(Block(KNOWN[0], KNOWN[1], 2), Block(KNOWN[1], KNOWN[1]))
        self.coarse = Block(KNOWN[1], KNOWN[2], 2)

    def forward(self, rgb: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        near = F.relu(self.stem(rgb))
        fine = self.fine(near)
        return near, fine, self.coarse(fine)

    def take(self, source: Path) -> None:
        """Take over the weights of a mesh net's file."""
        graph = onnx.load(str(source)).graph
        known = {one.name: onnx.numpy_helper.to_array(one) for one in graph.initializer}
        told = [node.input for node in graph.node if node.op_type == "Conv"]
        own = [module for module in self.modules() if isinstance(module, nn.Conv2d)]
        for conv, (_, weight, bias) in zip(own, told, strict=False):
            conv.weight.data.copy_(torch.from_numpy(known[weight].copy()))
            conv.bias.data.copy_(torch.from_numpy(known[bias].copy()))  # type: ignore[union-attr]


class Told(nn.Module):
    """What is told from what was seen, and from the picture itself in squares: logits of its full size."""

    def __init__(self, fine: int, wide: int) -> None:
        super().__init__()
        self.low, self.whole = nn.Conv2d(KNOWN[2], wide, 1), nn.Linear(KNOWN[2], wide)
        self.middle, self.r1 = nn.Conv2d(KNOWN[1], wide, 1), Residual(wide)
        self.high, self.up = nn.Conv2d(KNOWN[0], fine, 1), nn.Conv2d(wide, fine, 1)
        self.squares, self.r2, self.r3 = nn.Conv2d(3 * SQUARE**2, fine, 3, 1, 1), Residual(fine), Residual(fine)
        self.out = nn.Conv2d(fine, len(PARTS) * SQUARE**2, 1)

    def forward(self, rgb: Tensor, near: Tensor, fine: Tensor, coarse: Tensor) -> Tensor:
        low = self.low(coarse) + self.whole(coarse.mean((2, 3)))[..., None, None]
        y = self.r1(_twice(low) + self.middle(fine))
        y = self.r2(_twice(self.up(F.silu(y))) + self.high(near) + self.squares(F.pixel_unshuffle(rgb, SQUARE)))
        return F.pixel_shuffle(self.out(F.silu(self.r3(y))), SQUARE)


class PartsNet(nn.Module):
    """(B, 3, SIDE, SIDE) in 0 to 1 -> logits (B, PARTS, SIDE, SIDE)."""

    def __init__(self, fine: int = 32, wide: int = 64) -> None:
        super().__init__()
        self.seen, self.told = Seen(), Told(fine, wide)

    def forward(self, rgb: Tensor) -> Tensor:
        rgb = rgb * 2 - 1
        logits: Tensor = self.told(rgb, *self.seen(rgb))
        return logits


def _twice(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


class Shipped(nn.Module):
    """The net with shares for logits, as it is exported."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, rgb: Tensor) -> Tensor:
        shares: Tensor = self.net(rgb).softmax(1)
        return shares


class Samples:
    """What the net learns from, by number: rgb (3, S, S) uint8, parts (S, S) uint8."""

    def __init__(self, rows: list[Row], seed: int) -> None:
        self.rows = [row for row in rows if row.kind in ("face", "head")]
        self.hands, self.masks = (
            [decoded(row.pictures[0]) for row in rows if row.kind == kind] for kind in ("hand", "mask")
        )
        self.mean, self.seed = landmarks.mean_face(), seed
        self.mirror = landmarks.opposite(self.mean)

    def __call__(self, number: int) -> loop.Batch:
        index = loop.in_turns(number, len(self.rows), self.seed)
        rng = loop.chance(self.seed, loop.SAMPLE, number)
        scene = self.framed(self.rows[index], rng)
        dressed = self.dressed(scene, rng)
        rgb = np.clip(dressed.rgb, 0, 255).astype(np.uint8)
        rgb = augment.relit(rgb, rng) if rng.random() < 0.6 else rgb
        for _ in range(int(rng.choice(len(SPOILT), p=SPOILT))):
            rgb = augment.spoilt(rgb, rng)
        picture = torch.from_numpy(np.ascontiguousarray(rgb.transpose(2, 0, 1)))
        return picture, torch.from_numpy(dressed.parts)

    def framed(self, row: Row, rng: Random) -> Scene:
        """A row's middle, turned, shifted, zoomed, mirrored at times."""
        rgb, parts = map(decoded, row.pictures)
        mesh, last = row.mesh, parts_samples.KEPT - 1
        if rng.random() < 0.5:
            rgb, parts = rgb[:, ::-1], parts[:, ::-1]
            mesh = (mesh * np.array([-1, 1, 1]) + np.array([last, 0, 0]))[self.mirror]
        roll, zoom = np.radians(rng.normal(0, 6)), np.exp(rng.normal(0, 0.09))
        turn = zoom * np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
        shift = np.full(2, (SIDE - 1) / 2) + rng.normal(0, 3, 2) - turn @ np.full(2, last / 2)
        matrix = np.hstack([turn, shift[:, None]])
        cut = cv2.warpAffine(np.ascontiguousarray(rgb), matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR,
                             borderMode=cv2.BORDER_REPLICATE)  # fmt: skip
        told = cv2.warpAffine(np.ascontiguousarray(parts), matrix, (SIDE, SIDE), flags=cv2.INTER_NEAREST,
                              borderMode=cv2.BORDER_CONSTANT, borderValue=(UNSURE,))  # fmt: skip
        flat = mesh[:, :2] @ turn.T + shift
        return Scene(cut.astype(np.float32), told, np.column_stack([flat, mesh[:, 2] * zoom]).astype(np.float32))

    def dressed(self, scene: Scene, rng: Random) -> Scene:
        """A scene with things worn and things before it."""
        scenes = [decoded(self.rows[int(rng.integers(len(self.rows)))].pictures[0])]
        ways: dict[str, Callable[[Scene], Scene]] = {
            "beard": lambda s: worn.beard(s, rng), "glasses": lambda s: worn.glasses(s, self.mean, rng),
            "strands": lambda s: worn.strands(s, rng), "cloth": lambda s: worn.cloth(s, scenes, rng),
            "hand": lambda s: before.hand(s, self._one(self.hands, rng)[..., [0, 3]], rng),
            "mask": lambda s: before.mask(s, self._one(self.masks, rng), rng),
            "drink": lambda s: before.drink(s, scenes, rng), "microphone": lambda s: before.microphone(s, rng),
            "something": lambda s: before.something(s, scenes, rng), "letters": lambda s: before.letters(s, rng),
        }  # fmt: skip
        for name, often in RARE.items():
            if rng.random() < often and (self.hands or name != "hand") and (self.masks or name != "mask"):
                scene = ways[name](scene)
        return scene

    def _one(self, sprites: list[Array], rng: Random) -> Array:
        return sprites[int(rng.integers(len(sprites)))]


def loss_of(net: nn.Module, batch: loop.Batch, share: float) -> Tensor:
    """Cross entropy over what is sure; where a label is UNSURE, against what says that something is before the face."""
    rgb, parts = batch
    picture = (rgb.float() / 255).contiguous(memory_format=torch.channels_last)
    with torch.autocast(rgb.device.type, torch.bfloat16):
        logits = net(picture)
    logits = logits.float()
    goal, some = parts.long(), parts == UNSURE
    sure = (parts != OPEN) & ~some
    weight = torch.tensor(WEIGHTS)
    off = F.cross_entropy(logits, goal.clamp(max=len(PARTS) - 1), weight, reduction="none", label_smoothing=0.02)
    rest = [part for part in range(len(PARTS)) if part not in BEFORE]
    behind = logits.logsumexp(1) - logits[:, rest].logsumexp(1)
    loss: Tensor = (off * sure + behind * some).sum() / (sure | some).sum().clamp(min=1)
    return loss


def export(net: nn.Module, target: Path) -> Path:
    """Write the net as swap.parts reads it: `rgb` of one picture, `parts`."""
    given = torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    return save_onnx(Shipped(net), given, ("rgb", "parts"), target, {})


def train(
    data: Path, out: Path, *, schedule: Schedule = Schedule(), say: loop.Say = loop.mute, report: Report = quiet
) -> Path:
    """Learn from `data`/parts_samples.npz and write `out`/parts/parts.onnx."""
    torch.manual_seed(schedule.seed)
    plain, source = PartsNet(), data / "parts_samples.npz"
    plain.seen.take(path_to("mesh"))
    net = loop.begun(plain, schedule.start)
    samples = Samples(load(source), schedule.seed)
    batches = loop.Echoed(samples, schedule.batch, schedule.fresh, schedule.kept, schedule.seed)
    lesson = loop.Lesson(net, batches, loss_of, loop.cosine, 0.998, clip=1.0, shrink=0.01, quick="told.",
                         source=digest_of(source))  # fmt: skip
    with loop.checkpoints(out, "parts") as (place,):
        return export(loop.learn(lesson, schedule, place, say, report), out / "parts" / "parts.onnx")
