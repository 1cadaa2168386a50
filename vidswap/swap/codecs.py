"""Pictures -> latents in the numbers that a network sees, and back: autoencoders of diffusers, where they compute."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from vidswap.swap.placement import Placed
from vidswap.swap.tokens import SQUARE


class Codec(Protocol):
    """What encodes pictures (n, 3, S, S) in [-1, 1], and decodes their latents."""

    def encode(self, pictures: Tensor) -> Tensor: ...
    def decode(self, latents: Tensor) -> Tensor: ...


@dataclass(frozen=True, eq=False)
class Shifted:
    """Stable Diffusion's, FLUX.1's, and all tiny ones: latents less their mean, over their deviation, as the
    autoencoder's config has the two; tiny ones are made to need neither."""

    vae: Any
    placed: Placed

    def encode(self, pictures: Tensor) -> Tensor:
        mean, scale = self._norm()
        return (_encoded(self, pictures) - mean) * scale

    def decode(self, latents: Tensor) -> Tensor:
        mean, scale = self._norm()
        return _decoded(self, latents / scale + mean)

    def _norm(self) -> tuple[float, float]:
        return float(self.vae.config.get("shift_factor") or 0.0), float(self.vae.config.scaling_factor)


@dataclass(frozen=True, eq=False)
class Normed:
    """FLUX.2's: each number of a square of 2 x 2 latents less its own mean, over its own deviation, which the
    autoencoder has in its batch norm."""

    vae: Any
    placed: Placed

    def encode(self, pictures: Tensor) -> Tensor:
        mean, deviation = self._norm()
        return pixel_shuffle((pixel_unshuffle(_encoded(self, pictures), SQUARE) - mean) / deviation, SQUARE)

    def decode(self, latents: Tensor) -> Tensor:
        mean, deviation = self._norm()
        return _decoded(self, pixel_shuffle(pixel_unshuffle(latents, SQUARE) * deviation + mean, SQUARE))

    def _norm(self) -> tuple[Tensor, Tensor]:
        norm = self.vae.bn
        deviation = (norm.running_var.float() + self.vae.config.batch_norm_eps).sqrt()
        mean, deviation = (each.view(1, -1, 1, 1).to(self.placed.device) for each in (norm.running_mean, deviation))
        return mean.float(), deviation


def _encoded(codec: Shifted | Normed, pictures: Tensor) -> Tensor:
    """What an autoencoder gives; of what it spreads, the middle."""
    vae = codec.placed.bring(codec.vae)
    found = vae.encode(pictures.to(codec.placed.device, vae.dtype))
    latents: Tensor = found.latents if hasattr(found, "latents") else found.latent_dist.mode()
    return latents.float()


def _decoded(codec: Shifted | Normed, latents: Tensor) -> Tensor:
    vae = codec.placed.bring(codec.vae)
    found: Tensor = vae.decode(latents.to(codec.placed.device, vae.dtype), return_dict=False)[0]
    return found.float()
