"""Inpainting in latents, which the big engines have in common: warped and relit selfies in, the same painted over.

Likeness comes from the warp, of which so much is noised and made clean again as `strength` says; where nothing may
change, latents and pixels are the warp's own. Only what the model changes is smoothed along time, so that what moves
is not dragged along. Noise hangs on the face (sampler.noise), so no frame depends on where windows fall.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from vidswap.errors import EngineError
from vidswap.swap import complexion
from vidswap.swap.engine import Advance, Needs
from vidswap.swap.engines import warp
from vidswap.swap.placement import Batches
from vidswap.swap.sampler import Denoise, Levels, bands_before, low_band, noise, sample, smooth_latents
from vidswap.types import Array, Crops, Identity, Swapped

RING = 3  # of a drawing's parts, what lies around the face
BAND = 2  # latent pixels a side that are smoothed as one: 16 of a picture
SPREAD = 0.5  # about how far a model takes latents from the warp: told by no real weights
GROWN, SOFT = 1 / 40, 1 / 80  # of a crop's side: how far beyond the face may be painted, and how softly that ends
Network = Callable[[Tensor, float, slice], Tensor]  # some rows (n, C, h, w), a time, which rows -> what it predicts


@dataclass(frozen=True, eq=False)
class Start:
    """What a window of T frames is painted from: `crops` without their margin, S pixels wide; `pictures` (T, 3, S, S)
    float32 the relit selfies in their surroundings, in [-1, 1]; `masks` (T, 1, S, S) float32 how much of each pixel may
    change, 0 to 1; `latents` (T, C, h, w) of the pictures, `free` (T, 1, h, w) the masks there."""

    crops: Crops
    identity: Identity
    pictures: Tensor
    masks: Tensor
    latents: Tensor
    free: Tensor


class Model(Protocol):
    """A model that paints in latents. What it is handed and gives is float32, latents on its own device."""

    @property
    def network(self) -> Any:
        """The module whose weights are large."""
        ...

    @property
    def levels(self) -> Levels:
        """The way it goes, cut to its strength already."""
        ...

    @property
    def renoised(self) -> bool:
        """Whether noise is drawn anew at each step, as consistency models want it."""
        ...

    @property
    def shared(self) -> int:
        """Frames that neighbouring batches share, since its network sees a batch together; 0 where each is alone."""
        ...

    @property
    def batches(self) -> Batches: ...

    def encode(self, pictures: Tensor) -> Tensor:
        """Latents (n, C, h, w) of pictures (n, 3, S, S) in [-1, 1]."""
        ...

    def decode(self, latents: Tensor) -> Tensor:
        """The pictures of latents."""
        ...

    def predictor(self, start: Start) -> Network:
        """Its network, told all but the noise of a window. It is asked for rows of it, in batches."""
        ...


@dataclass(frozen=True, eq=False)
class Painter:
    """The engine: values that `swap` is a function of. `base` is as wide as the model's pictures; `key` is all that
    answers depend on beside it."""

    base: warp.Warp
    model: Model
    key: str
    seed: int = 0
    smooth: float = 0.5
    exact: bool = True

    @property
    def needs(self) -> Needs:
        """As warp's, in the model's size."""
        return self.base.needs

    @property
    def network(self) -> Any:
        """The model's, whose memory is given back at the end."""
        return self.model.network

    def swap(self, crops: Crops, identity: Identity, before: Swapped | None, progress: Advance) -> Swapped:
        """The identity's face in each crop; `before.latents` are the low bands of what was changed in the window
        before. Raises EngineError."""
        frames = self.base.frames(crops, identity)
        inner = complexion.framed(crops, self.needs.size)
        masks = [paintable(frame, inner.mask[row], inner.mesh[row]) for row, frame in enumerate(frames)]
        with torch.inference_mode():
            start = self._start(inner, identity, [frame.picture for frame in frames], masks)
            painted = self._painted(start, bands_before(crops, before), progress)
            pictures = self.model.batches.over(len(crops), lambda rows: self.model.decode(painted[rows]).cpu())
            change = low_band(painted - start.latents, BAND).cpu().numpy()
        answer = self.base.laid(crops, frames, [
            blended(frame.picture, as_levels(picture), mask) for frame, picture, mask in zip(frames, pictures, masks)
        ])  # fmt: skip
        return replace(answer, latents=change)

    def _start(self, crops: Crops, identity: Identity, warps: list[Array], masks: list[Array]) -> Start:
        pictures = torch.from_numpy(np.stack(warps).transpose(0, 3, 1, 2) / np.float32(127.5) - 1)
        latents = self.model.batches.over(len(crops), lambda rows: self.model.encode(pictures[rows]))
        whole = torch.from_numpy(np.stack(masks)[:, None])
        free = interpolate(whole, size=latents.shape[-2:], mode="area").to(latents)
        return Start(crops, identity, pictures, whole, latents, free)

    def _painted(self, start: Start, before: Tensor | None, progress: Advance) -> Tensor:
        """The latents of a window (T, C, h, w), made clean again from some noise."""
        levels, kind = self.model.levels, start.latents.shape[1:]
        steps = len(levels.times)
        drawn = self._noise(start, (steps, *kind) if self.model.renoised else (1, *kind))
        denoise = self._denoise(start, before)
        again = (lambda step: drawn[:, step]) if self.model.renoised else None
        cleaner = sample(denoise, levels.noised(start.latents, drawn[:, 0]), levels.sigmas, again)
        for step in range(1, steps + 1):
            x = next(cleaner)
            progress(step, steps)
        return x

    def _noise(self, start: Start, shape: tuple[int, ...]) -> Tensor:
        """(T, *shape) of the window's frames."""
        first, track = start.crops.start, start.crops.track
        rows = [noise(self.seed, track, first + row, shape) for row in range(len(start.crops))]
        return torch.stack(rows).to(start.latents)

    def _denoise(self, start: Start, before: Tensor | None) -> Denoise:
        model, network = self.model, self.model.predictor(start)

        def denoise(x: Tensor, sigma: float) -> Tensor:
            def clean(rows: slice) -> Tensor:
                return model.levels.denoiser(lambda seen, time: network(seen, time, rows))(x[rows], sigma)

            change = (model.batches.over(len(x), clean, model.shared) - start.latents) * start.free
            return start.latents + smooth_latents(change, before, self.smooth, BAND, SPREAD) * (start.free > 0)

        return denoise


def at_size(base: warp.Warp, size: int) -> warp.Warp:
    """The warp, drawing crops of another size."""
    known = base.needs
    return replace(base, needs=replace(known, size=size, margin=known.margin * size // known.size, least=0))


def paintable(frame: warp.Warped, mask: Array, mesh: Array) -> Array:
    """(S, S) float32: how much of each pixel may be painted: the drawn face with its mouth, a little beyond its edge,
    but nothing that covers it by the crop's `mask` (S, S)."""
    size = len(frame.alpha)
    face = ((frame.drawing.part >= 0) & (frame.drawing.part < RING)).astype(np.uint8)
    face = cv2.resize(face, (size, size), interpolation=cv2.INTER_NEAREST)
    grown = cv2.dilate(face, np.ones((2 * round(size * GROWN) + 1,) * 2, np.uint8)).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(grown, (0, 0), size * SOFT) * (1 - warp.covered(mask, mesh)), np.float32)


def as_levels(picture: Tensor) -> Array:
    """A picture (3, S, S) in [-1, 1] as (S, S, 3) float32 levels from 0 to 255. Raises EngineError where a model has
    given no numbers."""
    if not bool(torch.isfinite(picture).all()):
        hint = "let it compute in other numbers: the engine's setting dtype, such as float32"
        raise EngineError("the model gave no picture but values that are no numbers", hint)
    return (picture.permute(1, 2, 0).numpy().clip(-1, 1) + 1) * np.float32(127.5)


def blended(picture: Array, painted: Array, mask: Array) -> Array:
    """(S, S, 3) uint8: `painted` as far as the mask says, elsewhere the `picture` as the warp has it."""
    share = mask[..., None]
    return np.asarray(np.clip(np.rint(picture * (1 - share) + painted * share), 0, 255).astype(np.uint8))
