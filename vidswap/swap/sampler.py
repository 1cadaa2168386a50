"""One sampler for every local engine: `denoise(x, sigma) -> x0` in, ever cleaner pictures out.

With d = (x - x0) / sigma one Euler step is exact for eps models (x = x0 + sigma e) and, with sigma := t, for flow
models (x = (1 - t) x0 + t e). Noise hangs on the face: it is drawn in crop coordinates from (seed, track, frame), so
that a frame has the same noise however the windows fall. Temporal latent smoothing filters the low band of the
predicted x0 along time and leaves the high band to each frame.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

Denoise = Callable[[Tensor, float], Tensor]
STEADY = 0.995  # share of the noise's variance that all frames of a track have in common


def schedule(largest: float, smallest: float, steps: int, rho: float = 7.0) -> list[float]:
    """`steps` falling noise levels and a final 0 (Karras et al. 2022, equation 5)."""
    if steps == 1:
        return [largest, 0.0]
    ramp = np.linspace(largest ** (1 / rho), smallest ** (1 / rho), steps) ** rho
    return [*(float(sigma) for sigma in ramp), 0.0]


def sample(denoise: Denoise, x: Tensor, sigmas: Sequence[float]) -> Iterator[Tensor]:
    """Euler steps (Karras et al. 2022, algorithm 1 without the correction): yields x at each next sigma."""
    for sigma, after in pairwise(sigmas):
        x0 = denoise(x, sigma)
        x = x0 if after == 0 else x0 + (x - x0) * (after / sigma)
        yield x


def noise(seed: int, track: int, frame: int, shape: tuple[int, ...]) -> Tensor:
    """Standard normal noise of a frame, (*shape) float32: mostly the track's, a little the frame's own."""
    common = np.random.default_rng([seed, track]).standard_normal(shape, np.float32)
    own = np.random.default_rng([seed, track, frame + 1]).standard_normal(shape, np.float32)
    return torch.from_numpy(np.sqrt(STEADY) * common + np.sqrt(1 - STEADY) * own)


def low_band(x: Tensor, factor: int) -> Tensor:
    """(T, C, H, W) averaged over squares of `factor` pixels."""
    return avg_pool2d(x, factor) if factor > 1 else x


def smooth_latents(x0: Tensor, before: Tensor | None, smooth: float, factor: int = 8) -> Tensor:
    """`x0` (T, C, H, W) with its low band filtered along time: each frame's becomes the mean over its neighbours,
    nearer ones and more alike ones counting more (bilateral, so that what really changes is not dragged along).

    `before` (K, C, H / factor, W / factor) are low bands of the frames just before, already filtered; `smooth` 0 to 1.
    """
    low = low_band(x0, factor)
    if smooth <= 0 or len(low) + (0 if before is None else len(before)) < 2:
        return x0
    known = low if before is None else torch.cat([before.to(low), low])
    at = torch.arange(len(known) - len(low), len(known), dtype=low.dtype)
    gap = at[:, None] - torch.arange(len(known), dtype=low.dtype)[None]
    reach = 0.5 + 3.0 * smooth
    weight = torch.exp(-0.5 * (gap / reach) ** 2)
    apart = (low[:, None] - known[None]).pow(2).mean(2, keepdim=True)
    alike = torch.exp(-apart / (2 * (0.02 + 0.06 * smooth) ** 2))
    weight = weight[..., None, None, None] * alike
    mean = (weight * known[None]).sum(1) / weight.sum(1)
    change = interpolate(mean - low, size=x0.shape[-2:], mode="bilinear", align_corners=False)
    return x0 + change
