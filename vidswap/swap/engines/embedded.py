"""The engine `embedded`: the small diffusion model that ships with vidswap, started from the warped selfie.

Diffusion runs on the residual to the warp (x0 = what the scene changes in it), in pixels at a fifth of the crop's side,
so that identity comes from the warp and cannot be lost, and its detail stays at full size. Conditions: the warp in its
surroundings, the actor's face as a 16 x 16 blur (light, tone), the face's mask, the mesh. Preconditioning follows
Karras et al. 2022 (EDM); the blur instead of a hole follows APPLE (arXiv 2601.15288).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from vidswap.face.raster import Surface, places
from vidswap.keys import key_of, packages
from vidswap.models.registry import digests, path_to
from vidswap.settings import Setting, number, one_of, whole
from vidswap.swap.engine import Advance, Needs
from vidswap.swap.engines import warp
from vidswap.swap.network import DTYPES, network_in, tried, unusable
from vidswap.swap.sampler import Denoise, bands_before, low_band, noise, sample, schedule, smooth_latents
from vidswap.threads import mapped
from vidswap.types import Array, Crops, Identity, Swapped

SIDE = 96  # of the pictures that the network sees: light and colour need no more
PATCH = 4  # the network sees squares of this side as channels: attention-free and quick on a CPU
SPREAD = 0.1  # standard deviation of the residual, in pictures of [-1, 1]
BLUR = 8  # side of the low band, which is smoothed over time
SEEN = 16  # side of the blur in which the network sees the actor
LIGHT = 0.03  # width (sigma, share of the side) below which a change is no light but features: beards and creases
BATCH = 4
LIBRARIES = ("torch", "diffusers")
SPEED = "quick"


@dataclass(frozen=True)
class Settings:
    complexion: Setting[str, str] = Setting(one_of(warp.COMPLEXIONS), "own", warp.COMPLEXION)
    steps: Setting[int, int] = Setting(whole(1, 100), 1, "of the sampler: fewer are faster")
    seed: Setting[int, int] = Setting(whole(0, 2**32 - 1), 0, "equal ones give equal results")
    smooth: Setting[float, float] = Setting(number(0, 1), 0.5, "steadiness over time: 0 is each frame alone")
    dtype: Setting[str, str] = Setting(
        one_of(("auto", *DTYPES)), "auto", "the numbers it computes in", "auto, what is quicker on this machine"
    )


def models(settings: Settings) -> tuple[str, ...]:
    """The models that it opens, by their names in the registry."""
    return *warp.models(warp.Settings(settings.complexion)), "swapper"


@dataclass(frozen=True, eq=False)
class Conditions:
    """What the network is told of T frames, all float32: `base` (T, 3, h, w) the warp in its surroundings in [-1, 1],
    `light` (T, 3, h, w) a blur of the actor, `mask` (T, 1, h, w), `mesh` (T, 3, h, w) place on the mean face."""

    base: Tensor
    light: Tensor
    mask: Tensor
    mesh: Tensor

    @classmethod
    def of(cls, planes: Tensor) -> Conditions:
        """Those of frames' `planes` (T, 10, h, w)."""
        return cls(planes[:, :3], planes[:, 3:6], planes[:, 6:7], planes[:, 7:])

    def __getitem__(self, rows: slice) -> Conditions:
        return Conditions(self.base[rows], self.light[rows], self.mask[rows], self.mesh[rows])


def conditions(frames: list[warp.Warped], form: Surface, side: int) -> Conditions:
    """The conditions of warped frames, pictures of `side` pixels."""

    def small(picture: Array) -> Array:
        return np.asarray(cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA), np.float32)

    told = np.stack([planes(small(f.picture), small(f.around), small(f.alpha), places(form, f.drawing, side))
                     for f in frames])  # fmt: skip
    return Conditions.of(torch.from_numpy(told))


def planes(base: Array, around: Array, alpha: Array, mesh: Array) -> Array:
    """(10, s, s) float32, the conditions one after the other: of the warp in its surroundings and these alone (s, s, 3)
    in 0 to 255, the opacity of the face (s, s), and where on the mean face each pixel lies (s, s, 3)."""
    told = base / 127.5 - 1, blurred(around, len(base)) / 127.5 - 1, alpha[..., None], mesh
    return np.ascontiguousarray(np.concatenate(told, -1).transpose(2, 0, 1), np.float32)


def blurred(picture: Array, side: int) -> Array:
    """A thumbnail, enlarged again: light and tone, nobody's features."""
    tiny = cv2.resize(picture, (SEEN, SEEN), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(tiny, (side, side), interpolation=cv2.INTER_CUBIC))


def residual(network: Any, noisy: Tensor, sigma: Tensor, given: Conditions) -> Tensor:
    """The network's guess of the clean residual (T, 3, h, w); `noisy` is the residual + sigma * noise, `sigma` (T,)."""
    s = sigma.view(-1, 1, 1, 1)
    total = torch.sqrt(s**2 + SPREAD**2)
    seen = torch.cat([noisy / total, given.base, given.light, given.mask, given.mesh], 1)
    told = pixel_unshuffle(seen, PATCH).contiguous(memory_format=torch.channels_last)
    out = pixel_shuffle(network(told.to(network.dtype), torch.log(sigma) * 100, return_dict=False)[0].float(), PATCH)
    return noisy * (SPREAD**2 / total**2) + out * (s * SPREAD / total)


@dataclass(frozen=True, eq=False)
class Embedded:
    """Values that `swap` is a function of."""

    base: warp.Warp
    network: Any
    sigmas: tuple[float, ...]
    settings: Settings
    exact: bool = True

    @property
    def needs(self) -> Needs:
        """As warp's."""
        return self.base.needs

    @property
    def dtype(self) -> str:
        """The name of the numbers that the network computes in."""
        return str(self.network.dtype).removeprefix("torch.")

    @property
    def key(self) -> str:
        """Weights, settings, and in which numbers it computes where, with which libraries."""
        where = (self.dtype, str(getattr(self.network, "device", "cpu")))
        return key_of((self.base.key, digests("swapper"), self.sigmas, self.settings, where, packages(*LIBRARIES)))

    def swap(self, crops: Crops, identity: Identity, before: Swapped | None, progress: Advance) -> Swapped:
        """The identity's face in each crop; `before.latents` are the low bands of the window before."""
        frames = self.base.frames(crops, identity)
        given = conditions(frames, self.base.form, SIDE)
        shape = (3, SIDE, SIDE)
        start = torch.stack([noise(self.settings.seed, crops.track, crops.start + t, shape) for t in range(len(crops))])
        cleaner = sample(self._denoise(given, bands_before(crops, before)), start * self.sigmas[0], self.sigmas)
        for step in range(1, len(self.sigmas)):
            x = next(cleaner)
            progress(step, len(self.sigmas) - 1)
        pictures = mapped(lambda row: finished(frames[row], x[row]), range(len(frames)), self.base.threads)
        answer = self.base.laid(crops, frames, pictures)
        return replace(answer, latents=low_band(x, BLUR).numpy())

    def _denoise(self, given: Conditions, before: Tensor | None) -> Denoise:
        def denoise(x: Tensor, sigma: float) -> Tensor:
            with torch.inference_mode():
                parts = [slice(a, a + BATCH) for a in range(0, len(x), BATCH)]
                levels = torch.full((len(x),), sigma)
                clean = [residual(self.network, x[part], levels[part], given[part]) for part in parts]
            return smooth_latents(torch.cat(clean), before, self.settings.smooth, BLUR, SPREAD)

        return denoise


def near(face: Array) -> Array:
    """(SIDE, SIDE) float32: the opacity (SIDE, SIDE) of a face, grown a little and soft."""
    return np.asarray(cv2.GaussianBlur(cv2.dilate(face, np.ones((5, 5))), (0, 0), 2.0), np.float32)


def finished(frame: warp.Warped, change: Tensor) -> Array:
    """The warp at full size plus the change that was found, near the face only: (S, S, 3) uint8. What of it is finer
    than light is left out, since features are the person's, and so is its mean, since complexion is."""
    size, found = len(frame.alpha), change.permute(1, 2, 0).contiguous().numpy()
    face = cv2.resize(frame.alpha, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    found = cv2.GaussianBlur(found, (0, 0), LIGHT * SIDE)
    found -= np.average(found, axis=(0, 1), weights=np.broadcast_to(face[..., None] + 1e-6, found.shape))
    full = cv2.resize(found * near(face)[..., None], (size, size), interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(np.rint(frame.picture + full * 127.5), 0, 255).astype(np.uint8))


@contextmanager
def load(settings: Settings, cache: Path | None = None) -> Iterator[Embedded]:
    """The engine with its weights, in diffusers' format. In which numbers it computes is tried at first use, and kept
    in the folder `cache`. Raises ModelError."""
    from diffusers import EDMEulerScheduler

    try:
        levels = EDMEulerScheduler.from_pretrained(path_to("swapper") / "scheduler", local_files_only=True).config
    except (OSError, ValueError) as error:
        raise unusable(error) from error
    sigmas = schedule(levels.sigma_max, levels.sigma_min, settings.steps)
    network = network_in(tried(cache).dtype if settings.dtype == "auto" else settings.dtype)
    try:
        with warp.load(warp.Settings(settings.complexion)) as base:
            yield Embedded(base, network, tuple(sigmas), settings)
    finally:
        network.to("meta")  # its memory is given back, whoever still holds the engine
