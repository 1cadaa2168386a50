"""swapper_samples.npz -> the small diffusion model in models/embedded/swapper, in diffusers' format.

It learns to mend swaps of which the truth is known: what is to be found is the difference, in noise of all levels, most
often of the one at which swapping starts (EDM, Karras et al. 2022). Errors are counted pixel by pixel and averaged over
squares: light and colour are what is used of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vidswap.face import landmarks, raster
from vidswap.keys import digest_of
from vidswap.progress import Report, quiet
from vidswap.swap.engines import embedded
from vidswap.train import loop
from vidswap.train.export import save_pipeline
from vidswap.train.rows import Row, decoded, load

# At the highest level nothing of the residual may show through, neither its mean: a sampler begins with noise alone.
SIGMA_MIN, SIGMA_MAX = 0.03, 20.0
CHANNELS = (64, 128, 192)
SCALES = {1: 1.0, 3: 1.0, 8: 1.5}  # pixels of the squares over which an error is averaged, and how much that counts
FIRST = 0.75  # share of the samples at the noise where swapping starts


@dataclass(frozen=True)
class Schedule(loop.Schedule):
    """torch has `threads`; `finer`: from the weights on that are there already."""

    steps: int = 1_000_000
    minutes: float = 75.0
    batch: int = 16
    rate: float = 1e-3
    threads: int = 1
    finer: bool = False


class Pairs(torch.utils.data.Dataset[loop.Batch]):
    """Batches of random pairs, half of them mirrored, each a little turned, moved, enlarged and of other colours: what
    the network is given (B, 10, S, S), as its conditions one after the other, the residual (B, 3, S, S), and its weight
    (B, 1, S, S)."""

    def __init__(self, rows: list[Row], schedule: Schedule) -> None:
        mean = landmarks.mean_face()
        form = raster.surface(mean, landmarks.triangles())
        self.parts = [torch.stack(part) for part in zip(*(pair(row, form) for row in rows), strict=True)]
        self.schedule = schedule

    def __getitem__(self, step: int) -> loop.Batch:
        rng, count = loop.chance(self.schedule.seed, loop.SAMPLE, step), self.schedule.batch
        some = torch.from_numpy(rng.integers(len(self.parts[0]), size=count))
        flip = torch.from_numpy(rng.random(count) < 0.5).view(-1, 1, 1, 1)
        given, residual, weight = (torch.where(flip, part[some].flip(-1), part[some]).float() for part in self.parts)
        given[:, 7:8] *= torch.where(flip, -1, 1)  # the mesh's x on the mean face
        given, residual, weight = moved((given, residual, weight), rng)
        return *coloured(given, residual, rng), weight


def moved(parts: loop.Batch, rng: np.random.Generator) -> loop.Batch:
    """Parts of pairs (B, C, S, S), all turned, moved and enlarged alike."""
    count = len(parts[0])
    angle, zoom = rng.normal(0, 0.08, count), np.exp(rng.normal(0, 0.05, count))
    cos, sin, shift = np.cos(angle) * zoom, np.sin(angle) * zoom, rng.normal(0, 0.05, (2, count))
    to_pair = torch.from_numpy(np.array([[cos, -sin, shift[0]], [sin, cos, shift[1]]], np.float32)).permute(2, 0, 1)
    grid = F.affine_grid(to_pair, [count, 1, *parts[0].shape[2:]], align_corners=False)
    return tuple(F.grid_sample(part, grid, padding_mode="border", align_corners=False) for part in parts)


def coloured(given: Tensor, residual: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """What the network is given (B, 10, S, S) and the residual (B, 3, S, S) of pictures of other colours."""
    light, hue = rng.normal(0, 0.12, (len(given), 1, 1, 1)), rng.normal(0, 0.05, (len(given), 3, 1, 1))
    gain = torch.from_numpy(np.exp(light + hue)).float()
    pictures = ((given[:, :6] + 1) * torch.cat([gain, gain], 1) - 1).clamp(max=1)
    return torch.cat([pictures, given[:, 6:]], 1), residual * gain


def pair(row: Row, form: raster.Surface) -> loop.Batch:
    """Given (10, S, S), the residual (3, S, S) and its weight (1, S, S), of a pair of swapper_samples; halves."""
    base, target, around, alpha = (decoded(file).astype(np.float32) for file in row.pictures)
    double = 2 * row.mesh + np.array([0.5, 0.5, 0])  # a drawing is half as large as its picture
    drawing = raster.draw(form, raster.with_ring(double, double), 2 * embedded.SIDE)
    told = embedded.planes(base, around, alpha / 255, raster.places(form, drawing, embedded.SIDE))
    counts = 0.05 + embedded.near(alpha / 255)
    parts = told, (target - base).transpose(2, 0, 1) / 127.5, counts[None]
    return tuple(torch.from_numpy(np.ascontiguousarray(part)).half() for part in parts)


def network() -> Any:
    """The U-Net, 6.8 M parameters, without attention (Ronneberger 2015; Ho et al. 2020)."""
    from diffusers import UNet2DModel

    return UNet2DModel(
        in_channels=13 * embedded.PATCH**2,
        out_channels=3 * embedded.PATCH**2,
        block_out_channels=CHANNELS,
        layers_per_block=1,
        down_block_types=("DownBlock2D",) * 3,
        up_block_types=("UpBlock2D",) * 3,
        add_attention=False,
        norm_num_groups=16,
    ).to(memory_format=torch.channels_last)


def begun(folder: Path) -> Any:
    """The U-Net with the weights in `folder`, to be trained further."""
    from diffusers import UNet2DModel

    net = UNet2DModel.from_pretrained(
        folder / "unet", dtype=torch.float32, local_files_only=True, low_cpu_mem_usage=False
    )
    return net.train().to(memory_format=torch.channels_last)


def levels(count: int) -> Tensor:
    """(count,) noise levels: most often the one where swapping starts, the rest anywhere below, by their logarithms."""
    low, high = np.log([SIGMA_MIN, SIGMA_MAX]).tolist()
    sigma = torch.exp(torch.rand(count) * (high - low) + low)
    return torch.where(torch.rand(count) < FIRST, torch.tensor(SIGMA_MAX), sigma)


def loss_of(net: Any, batch: loop.Batch, _share: float) -> Tensor:
    """Weighted distance of the denoised residual to the true one, in units that make every noise level count alike
    (EDM's weighting); absolute, not squared, so that edges stay sharp."""
    given, wanted, weight = (part.float() for part in batch)
    sigma = levels(len(given)).to(given.device)
    s = sigma.view(-1, 1, 1, 1)
    noisy = wanted + s * torch.randn(wanted.shape).to(given.device)
    with torch.autocast(given.device.type, torch.bfloat16):
        found = embedded.residual(net, noisy, sigma, embedded.Conditions.of(given))
    unit = torch.sqrt(s**2 + embedded.SPREAD**2) / (s * embedded.SPREAD)
    error = (found - wanted) * unit * weight
    return torch.stack([share * F.avg_pool2d(error, side).abs().mean() for side, share in SCALES.items()]).sum()


def course(step: int, share: float) -> float:
    """Share of the full rate: to a fiftieth at the end."""
    return loop.cosine(step, share, 0.02)


def train(
    data: Path, out: Path, *, schedule: Schedule = Schedule(), say: loop.Say = loop.mute, report: Report = quiet
) -> Path:
    """Learn from `data`/swapper_samples.npz, most often for so many minutes; writes `out`/swapper and returns it."""
    torch.manual_seed(schedule.seed)
    torch.set_num_threads(schedule.threads)
    source = data / "swapper_samples.npz"
    lesson = loop.Lesson(begun(out / "swapper") if schedule.finer else network(), Pairs(load(source), schedule),
                         loss_of, course, 0.998, 1.0, 1e-3, source=digest_of(source))  # fmt: skip
    with loop.checkpoints(out, "swapper") as (place,):
        return save(loop.learn(lesson, schedule, place, say, report), out / "swapper")


def save(net: Any, folder: Path) -> Path:
    """Write weights (16 bit), noise levels and index in diffusers' format."""
    from diffusers import EDMEulerScheduler

    noise = EDMEulerScheduler(sigma_min=SIGMA_MIN, sigma_max=SIGMA_MAX, sigma_data=embedded.SPREAD)
    return save_pipeline(net, noise, folder)
