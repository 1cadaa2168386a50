"""One sampler for every local engine: `denoise(x, sigma) -> x0` in, ever cleaner pictures out.

Pictures, latents or residuals, on any device, in any numbers. With d = (x - x0) / sigma one Euler step is exact for
noise that is added (x = x0 + sigma e) and for flow (x = (1 - sigma) x0 + sigma e, sigma from 1 to 0). What a network
predicts, of which noise it is told, and by which levels, is the model's own: Levels takes them from its scheduler.

Noise hangs on the face: it is drawn in crop coordinates from (seed, track, frame), so that a frame has the same noise
however the windows fall. Temporal latent smoothing filters the low band of the predicted x0 along time and leaves the
high band to each frame.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import hypot, inf
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from vidswap.types import Crops, Swapped

Denoise = Callable[[Tensor, float], Tensor]
Prediction = Literal["epsilon", "v_prediction", "sample", "flow_prediction"]  # in diffusers' words
KNOWN = 4  # frames before a window that count for it
STEADY = 0.995  # share of the noise's variance that all frames of a track have in common


def schedule(largest: float, smallest: float, steps: int, rho: float = 7.0) -> list[float]:
    """`steps` falling noise levels and a final 0 (Karras et al. 2022, equation 5)."""
    if steps == 1:
        return [largest, 0.0]
    ramp = np.linspace(largest ** (1 / rho), smallest ** (1 / rho), steps) ** rho
    return [*(float(sigma) for sigma in ramp), 0.0]


def sample(
    denoise: Denoise, x: Tensor, sigmas: Sequence[float], again: Callable[[int], Tensor] | None = None
) -> Iterator[Tensor]:
    """Euler steps (Karras et al. 2022, algorithm 1 without the correction): yields x at each next sigma. With noise
    drawn `again` for each step from 1 on, that is added to x0 instead, as consistency models want it (Luo et al. 2023,
    arXiv 2310.04378)."""
    for step, (sigma, after) in enumerate(pairwise(sigmas), 1):
        x0 = denoise(x, sigma)
        if after == 0:
            x = x0
        elif again is None:
            x = x0 + (x - x0) * (after / sigma)
        else:
            x = x0 + again(step).to(x0) * after
        yield x


@dataclass(frozen=True)
class Levels:
    """The way of a model from noise to a picture: falling `sigmas`, the last of them 0; `times`, one fewer, that the
    network is told at them; the kind of what it `predicts`."""

    sigmas: tuple[float, ...]
    times: tuple[float, ...]
    predicts: Prediction

    def cut(self, strength: float) -> Levels:
        """The last part of the way: `strength` 1 is all of it, 0.3 the last three of ten steps, at least one."""
        first = len(self.times) - max(1, round(len(self.times) * strength))
        return replace(self, sigmas=self.sigmas[first:], times=self.times[first:])

    def noised(self, x0: Tensor, noise: Tensor) -> Tensor:
        """A clean picture with as much noise as there is at the first level: where sampling begins."""
        sigma = self.sigmas[0]
        return x0 * (1 - sigma if self.predicts == "flow_prediction" else 1) + noise.to(x0) * sigma

    def denoiser(self, network: Callable[[Tensor, float], Tensor]) -> Denoise:
        """What `sample` asks, of a `network(x, time)` that is handed x as it was trained on it."""
        times = dict(zip(self.sigmas, self.times))

        def denoise(x: Tensor, sigma: float) -> Tensor:
            total = 1.0 if self.predicts == "flow_prediction" else hypot(1, sigma)
            return clean(self.predicts, network(x / total, times[sigma]).to(x), x, sigma)

        return denoise


def clean(predicts: Prediction, out: Tensor, x: Tensor, sigma: float) -> Tensor:
    """x0, of what a network makes of x: the noise e, a velocity v (Salimans & Ho 2022) or flow e - x0, or x0 itself."""
    if predicts == "sample":
        return out
    if predicts == "v_prediction":
        return x / hypot(1, sigma) ** 2 - out * (sigma / hypot(1, sigma))
    return x - sigma * out


def levels_of(scheduler: Any, steps: int, **more: Any) -> Levels:
    """The levels of one of diffusers' schedulers of the first order, in `steps`; `more` goes to its `set_timesteps`
    (`mu` of one that shifts dynamically). Raises ValueError for one that has no such levels."""
    scheduler.set_timesteps(steps, **more)
    name, times = type(scheduler).__name__, tuple(float(time) for time in scheduler.timesteps)
    flow = "FlowMatch" in name or scheduler.config.get("use_flow_sigmas", False)
    predicts: Any = "flow_prediction" if flow else scheduler.config.get("prediction_type", "epsilon")
    if hasattr(scheduler, "sigmas"):
        sigmas = [float(sigma) for sigma in scheduler.sigmas[: len(times)]]
    elif hasattr(scheduler, "alphas_cumprod"):
        kept = scheduler.alphas_cumprod[scheduler.timesteps.cpu().long()].double()
        sigmas = [float(sigma) for sigma in ((1 - kept) / kept).sqrt()]
    else:
        sigmas = []
    falling = all(sigma > after for sigma, after in pairwise([inf, *sigmas, 0.0]))
    if not sigmas or not falling or predicts not in get_args(Prediction) or "EDM" in name:
        raise ValueError(f"{name}, {predicts}: expected a scheduler of the first order, of {get_args(Prediction)}")
    return Levels((*sigmas, 0.0), times, predicts)


def noise(seed: int, track: int, frame: int, shape: tuple[int, ...]) -> Tensor:
    """Standard normal noise of a frame, (*shape) float32: mostly the track's, a little the frame's own."""
    common = np.random.default_rng([seed, track]).standard_normal(shape, np.float32)
    own = np.random.default_rng([seed, track, frame + 1]).standard_normal(shape, np.float32)
    return torch.from_numpy(np.sqrt(STEADY) * common + np.sqrt(1 - STEADY) * own)


def low_band(x: Tensor, factor: int) -> Tensor:
    """(T, C, H, W) averaged over squares of `factor` pixels."""
    return avg_pool2d(x, factor) if factor > 1 else x


def bands_before(crops: Crops, before: Swapped | None) -> Tensor | None:
    """Low bands of the frames just before a window, oldest first, where they are the `latents` of the answer before."""
    if before is None or before.latents is None:
        return None
    first = before.crops.start + len(before.crops) - len(before.latents)  # of the whole answer, whose tail this is
    known = crops.start - first
    return torch.from_numpy(before.latents[max(known - KNOWN, 0) : known]) if known > 0 else None


def smooth_latents(x0: Tensor, before: Tensor | None, smooth: float, factor: int = 8, spread: float = 1.0) -> Tensor:
    """`x0` (T, C, H, W) with its low band filtered along time: each frame's becomes the mean over its neighbours,
    nearer ones and more alike ones counting more (bilateral, so that what really changes is not dragged along).

    `before` (K, C, H / factor, W / factor) are low bands of the frames just before, already filtered; `smooth` 0 to 1;
    `spread` is the standard deviation of what is smoothed, of which a fifth to four fifths count as alike."""
    low = low_band(x0.float(), factor)
    if smooth <= 0 or len(low) + (0 if before is None else len(before)) < 2:
        return x0
    known = low if before is None else torch.cat([before.to(low), low])
    places = torch.arange(len(known), dtype=low.dtype, device=low.device)
    gap = places[len(known) - len(low) :, None] - places[None]
    weight = torch.exp(-0.5 * (gap / (0.5 + 3.0 * smooth)) ** 2)
    apart = (low[:, None] - known[None]).pow(2).mean(2, keepdim=True)
    alike = torch.exp(-apart / (2 * (spread * (0.2 + 0.6 * smooth)) ** 2))
    weight = weight[..., None, None, None] * alike
    mean = (weight * known[None]).sum(1) / weight.sum(1)
    change = interpolate(mean - low, size=x0.shape[-2:], mode="bilinear", align_corners=False)
    return x0 + change.to(x0)
