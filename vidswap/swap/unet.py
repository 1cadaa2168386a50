"""Stable Diffusion's parts as a model that paints in latents: UNet with 4 or 9 channels, or one that sees motion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from vidswap.swap.codecs import Codec, Shifted
from vidswap.swap.guides import Call, Guide
from vidswap.swap.latent import Network, Start
from vidswap.swap.placement import Batches, Placed
from vidswap.swap.sampler import Levels

INPAINTING = 9  # channels of a UNet that is shown the mask, and what is around it
MOTION_SHARED = 4  # frames that neighbouring batches of a motion network share


@dataclass(frozen=True, eq=False)
class Prompt:
    """What the UNet is told in words, nobody's first and then the scene's: `words` (2, 77, D), and for SDXL `pooled`
    (2, P), with the `sizes` (6,) that it was trained to be told."""

    words: Tensor
    pooled: Tensor | None = None
    sizes: tuple[float, ...] = ()


@dataclass(frozen=True, eq=False)
class StableDiffusion:
    """A Model (swap.latent). `guidance` 1 asks the UNet once, more than that twice: without the prompt as well."""

    pipeline: Any
    prompt: Prompt
    placed: Placed
    batches: Batches
    levels: Levels
    guidance: float
    guides: tuple[Guide, ...] = ()
    renoised: bool = False
    moving: bool = False

    @property
    def network(self) -> Any:
        return self.pipeline.unet

    @property
    def shared(self) -> int:
        return MOTION_SHARED if self.moving else 0

    @property
    def codec(self) -> Codec:
        """The autoencoder, in the UNet's scale."""
        return Shifted(self.pipeline.vae, self.placed)

    def encode(self, pictures: Tensor) -> Tensor:
        return self.codec.encode(pictures)

    def decode(self, latents: Tensor) -> Tensor:
        return self.codec.decode(latents)

    def predictor(self, start: Start) -> Network:
        """The UNet, told the prompt, what the guides know, and for inpainting the mask."""
        shown = self._shown(start) if self.network.config.in_channels == INPAINTING else None
        steers = [guide.steer(self.pipeline, start) for guide in self.guides]
        unet = self.placed.bring(self.network)

        def network(x: Tensor, time: float, rows: slice) -> Tensor:
            seen = x if shown is None else torch.cat([x, shown[rows]], 1)
            call = self._call(seen.to(unet.dtype), time)
            for steer in steers:
                call = steer(call, rows)
            return self._guided(unet(**call)[0], len(x))

        return network

    def _shown(self, start: Start) -> Tensor:
        """(T, 5, h, w): the mask, and the latents of what is not masked."""
        masks = (start.masks >= 0.5).float()
        around = start.pictures * (1 - masks)
        latents = self.batches.over(len(around), lambda rows: self.encode(around[rows]))
        return torch.cat([interpolate(masks.to(latents), size=latents.shape[-2:]), latents], 1)

    def _call(self, seen: Tensor, time: float) -> Call:
        """The UNet's arguments for pictures (n, C, h, w)."""
        halves = 2 if self.guidance > 1 else 1
        sample = torch.cat([seen] * halves)
        if self.moving:  # (halves, C, n, h, w)
            sample = sample.view(halves, -1, *sample.shape[1:]).transpose(1, 2)
        each = _repeated(halves, len(seen), sample)  # a network that sees motion is told the words at each frame, too
        added = {}
        if self.prompt.pooled is not None:
            sizes = torch.tensor(self.prompt.sizes).expand(len(sample), -1)
            added = {"text_embeds": each(self.prompt.pooled), "time_ids": sizes.to(sample)}
        return {
            "sample": sample, "timestep": torch.tensor(time, device=sample.device),
            "encoder_hidden_states": each(self.prompt.words), "added_cond_kwargs": added, "return_dict": False,
        }  # fmt: skip

    def _guided(self, out: Tensor, count: int) -> Tensor:
        """(count, C, h, w) of what the UNet gave."""
        if self.moving:
            out = out.transpose(1, 2).flatten(0, 1)
        if len(out) == count:
            return out
        nobody, told = out.float().chunk(2)
        return nobody + self.guidance * (told - nobody)


def _repeated(halves: int, count: int, like: Tensor) -> Callable[[Tensor], Tensor]:
    """Of a pair, nobody's first, `count` for each of the halves that are asked for."""
    return lambda pair: pair[2 - halves :].to(like).repeat_interleave(count, 0)
