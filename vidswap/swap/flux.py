"""FLUX as a model that paints in latents: FLUX.2 klein, FLUX.1 Fill and FLUX.1 Kontext, on diffusers' components.

What each is told beside noisy latents (the tokens of which it reads in one row, see swap.tokens):
  klein    the warped selfie in the scene, and the person's photos, as references after it
  fill     the scene with a hole and the hole's shape, as more numbers of each token
  kontext  the person's photos, as references after it
None is ever told the actor's picture where the face is: what it is handed of the scene is the warp's (latent.Start).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from vidswap.swap.latent import Network, Start
from vidswap.swap.placement import Batches
from vidswap.swap.portraits import portraits
from vidswap.swap.sampler import Levels, levels_of
from vidswap.swap.tokens import SQUARE, from_tokens, mask_tokens, places, tokens, word_places

SHIFTS = (256, 4096, 0.5, 1.15)  # of FLUX.1: tokens, few and many, and how far levels are shifted for so many


@dataclass(frozen=True)
class Variant:
    """What is known of a variant without its weights. `title` is its name, `base` its entry among the models,
    `pipeline` diffusers' class of it, `saved` the classes that its folder may name; `places` the numbers of a token's
    place, 4 in FLUX.2; `steps` of the whole way and `guidance` as its makers recommend them, more or less."""

    title: str
    base: str
    pipeline: str
    saved: tuple[str, ...]
    places: int
    steps: int
    guidance: float
    prompt: str
    sees_target: bool = False
    sees_hole: bool = False
    sees_photos: bool = True

    @property
    def is_second(self) -> bool:
        """Whether it is of FLUX.2."""
        return self.places == 4


KLEIN = Variant(
    "FLUX.2 klein", "flux2-klein", "Flux2KleinPipeline", ("Flux2KleinPipeline", "Flux2KleinInpaintPipeline"), 4, 8, 4.0,
    "The person of the other pictures in the scene of the first one, with its pose, expression and light; "
    "a sharp film still of a face", sees_target=True,
)  # fmt: skip
VARIANTS = MappingProxyType({
    "klein": KLEIN,
    "klein9": replace(KLEIN, title="FLUX.2 klein of 9 billion weights", base="flux2-klein-9b"),
    "fill": Variant(
        "FLUX.1 Fill", "flux1-fill", "FluxFillPipeline", ("FluxFillPipeline",), 3, 28, 30.0,
        "a sharp film still of a face, natural skin", sees_hole=True, sees_photos=False,
    ),
    "kontext": Variant(
        "FLUX.1 Kontext", "flux1-kontext", "FluxKontextPipeline",
        ("FluxKontextPipeline", "FluxKontextInpaintPipeline"), 3, 28, 2.5,
        "The same person in a film still, with natural skin and light",
    ),
})  # fmt: skip


@dataclass(frozen=True, eq=False)
class Words:
    """A prompt as the text encoders give it: `told` (1, L, D), `pooled` (1, P) where the variant has it, and `nothing`
    (1, L, D), an empty one, where it is guided by the difference."""

    told: Tensor
    pooled: Tensor | None = None
    nothing: Tensor | None = None


class Codec(Protocol):
    """An autoencoder, in the numbers that a transformer sees."""

    def encode(self, pictures: Tensor) -> Tensor: ...
    def decode(self, latents: Tensor) -> Tensor: ...


@dataclass(frozen=True, eq=False)
class Shifted:
    """FLUX.1's: its latents less their mean, over their deviation."""

    vae: Any

    def encode(self, pictures: Tensor) -> Tensor:
        mean, scale = float(self.vae.config.shift_factor), float(self.vae.config.scaling_factor)
        return (_likeliest(self.vae, pictures) - mean) * scale

    def decode(self, latents: Tensor) -> Tensor:
        mean, scale = float(self.vae.config.shift_factor), float(self.vae.config.scaling_factor)
        return _decoded(self.vae, latents / scale + mean)


@dataclass(frozen=True, eq=False)
class Normed:
    """FLUX.2's: each number of a square of 2 x 2 latents less its own mean, over its own deviation, which the
    autoencoder has in its batch norm."""

    vae: Any

    def encode(self, pictures: Tensor) -> Tensor:
        mean, deviation = self._norm()
        return pixel_shuffle((pixel_unshuffle(_likeliest(self.vae, pictures), SQUARE) - mean) / deviation, SQUARE)

    def decode(self, latents: Tensor) -> Tensor:
        mean, deviation = self._norm()
        return _decoded(self.vae, pixel_shuffle(pixel_unshuffle(latents, SQUARE) * deviation + mean, SQUARE))

    def _norm(self) -> tuple[Tensor, Tensor]:
        norm = self.vae.bn
        deviation = (norm.running_var.float() + self.vae.config.batch_norm_eps).sqrt()
        return norm.running_mean.float().view(1, -1, 1, 1), deviation.view(1, -1, 1, 1)


@dataclass(frozen=True, eq=False)
class Tiny:
    """A tiny one, whose latents are those that the transformer sees."""

    vae: Any

    def encode(self, pictures: Tensor) -> Tensor:
        found: Tensor = self.vae.encode(pictures.to(self.vae.device, self.vae.dtype)).latents
        return found.float()

    def decode(self, latents: Tensor) -> Tensor:
        return _decoded(self.vae, latents)


def _likeliest(vae: Any, pictures: Tensor) -> Tensor:
    found: Tensor = vae.encode(pictures.to(vae.device, vae.dtype)).latent_dist.mode()
    return found.float()


def _decoded(vae: Any, latents: Tensor) -> Tensor:
    found: Tensor = vae.decode(latents.to(vae.dtype), return_dict=False)[0]
    return found.float()


@dataclass(frozen=True, eq=False)
class Flux:
    """A latent.Model. `photos`: how many of the person's photos it may see; `guidance`: how strongly the prompt is
    followed, for variants that are told it, or are guided by a prompt of nothing."""

    variant: Variant
    network: Any
    codec: Codec
    levels: Levels
    words: Words
    batches: Batches
    guidance: float
    photos: int = 4
    renoised: bool = False
    shared: int = 0

    def encode(self, pictures: Tensor) -> Tensor:
        return self.codec.encode(pictures)

    def decode(self, latents: Tensor) -> Tensor:
        return self.codec.decode(latents)

    def predictor(self, start: Start) -> Network:
        """The transformer, told the prompt and what the variant sees beside the noise."""
        height, width = start.latents.shape[-2:]
        photos, beside = self._photos(start), self._beside(start)
        seen = len(photos) + self.variant.sees_target
        where = places(height, width, seen, self.variant.places).to(start.latents.device)
        target = tokens(start.latents) if self.variant.sees_target else None

        def predict(x: Tensor, time: float, rows: slice) -> Tensor:
            row = tokens(x)
            count = row.shape[1]
            if beside is not None:
                row = torch.cat([row, beside[rows]], 2)
            parts = [row] if target is None else [row, target[rows]]
            parts += [photo.expand(len(x), -1, -1) for photo in photos]
            found = self._asked(torch.cat(parts, 1), where, time)[:, :count]
            return from_tokens(found, height, width)

        return predict

    def _asked(self, row: Tensor, where: Tensor, time: float) -> Tensor:
        """What the transformer says of all tokens, float32."""
        found = self._told(self.words.told, row, where, time)
        if self.words.nothing is None:
            return found
        without = self._told(self.words.nothing, row, where, time)
        return without + self.guidance * (found - without)

    def _told(self, words: Tensor, row: Tensor, where: Tensor, time: float) -> Tensor:
        kind, count = words.dtype, len(row)
        more: dict[str, Any] = {}
        if self.words.pooled is not None:
            more["pooled_projections"] = self.words.pooled.expand(count, -1)
        strength = row.new_full((count,), self.guidance) if self.network.config.guidance_embeds else None
        return self.network(  # type: ignore[no-any-return]
            hidden_states=row.to(kind), timestep=row.new_full((count,), time / 1000).to(kind), guidance=strength,
            encoder_hidden_states=words.expand(count, -1, -1), img_ids=where,
            txt_ids=word_places(words.shape[1], self.variant.places).to(where), return_dict=False, **more,
        )[0].float()  # fmt: skip

    def _photos(self, start: Start) -> list[Tensor]:
        """The tokens (1, N, 4 C) of each of the person's photos that it sees."""
        if not self.variant.sees_photos:
            return []
        size = start.pictures.shape[-1]
        shown = portraits(start.identity, size)[: self.photos]
        pictures = torch.from_numpy(np.stack(shown).transpose(0, 3, 1, 2) / np.float32(127.5) - 1)
        found = self.batches.over(len(shown), lambda rows: self.encode(pictures[rows]))
        return [tokens(each[None]) for each in found]

    def _beside(self, start: Start) -> Tensor | None:
        """(T, N, 4 C + 256): what Fill is told of the hole: the scene around it, and its shape."""
        if not self.variant.sees_hole:
            return None
        hole = (start.masks >= 0.5).to(start.pictures)
        scene = start.pictures * (1 - hole)
        found = self.batches.over(len(scene), lambda rows: self.encode(scene[rows]))
        return torch.cat([tokens(found), mask_tokens(hole, found.shape[-1]).to(found)], 2)


def shift_of(variant: Variant, count: int, steps: int, config: Any) -> float:
    """How far the levels of a picture of `count` tokens are shifted to noise, as diffusers' pipeline has it."""
    if variant.is_second:
        from diffusers.pipelines.flux2.pipeline_flux2_klein import compute_empirical_mu

        return float(compute_empirical_mu(count, steps))
    from diffusers.pipelines.flux.pipeline_flux_fill import calculate_shift

    names = ("base_image_seq_len", "max_image_seq_len", "base_shift", "max_shift")
    return float(calculate_shift(count, *(config.get(name, usual) for name, usual in zip(names, SHIFTS))))


def flux_levels(variant: Variant, scheduler: Any, size: int, steps: int) -> Levels:
    """The way of a picture `size` pixels wide, all of it: evenly spaced times, shifted by its number of tokens."""
    shift = shift_of(variant, (size // 16) ** 2, steps, scheduler.config)
    return levels_of(scheduler, steps, sigmas=np.linspace(1.0, 1 / steps, steps), mu=shift)
