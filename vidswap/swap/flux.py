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
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from vidswap.swap.codecs import Codec
from vidswap.swap.latent import Network, Start
from vidswap.swap.placement import Batches, Footprint, Placed
from vidswap.swap.portraits import portraits
from vidswap.swap.sampler import Levels, levels_of
from vidswap.swap.tokens import from_tokens, mask_tokens, places, tokens, word_places

FINE = 1000  # times of which their noise is looked up
SHIFTS = (256, 4096, 0.5, 1.15)  # of FLUX.1: tokens, few and many, and how far levels are shifted for so many


class Encoder(NamedTuple):
    """What reads prompts: its folder and class, and those of its tokenizer."""

    encoder: str
    kind: str
    tokenizer: str
    tokens: str


@dataclass(frozen=True)
class Variant:
    """What is known of a variant without its weights. `title` is its name, `base` its entry in the registry; `pipeline`
    its class in diffusers, `saved` those that its folder may name, `network` and `autoencoder` of its parts; `encoder`
    its large text encoder, of `reader` GB. `places`: numbers of a token's place, 4 in FLUX.2. `footprint` is that of
    512 pixels. `steps` from half of noise, and `guidance` as its makers recommend it."""

    title: str
    base: str
    pipeline: str
    saved: tuple[str, ...]
    network: str
    autoencoder: str
    encoder: Encoder
    reader: float
    places: int
    footprint: Footprint
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

    def at(self, size: int) -> Footprint:
        """What pictures of a size take."""
        return self.footprint.for_sides(512, size)


KLEIN = Variant(
    "FLUX.2 klein", "flux2-klein", "Flux2KleinPipeline", ("Flux2KleinPipeline", "Flux2KleinInpaintPipeline"),
    "Flux2Transformer2DModel", "AutoencoderKLFlux2",
    Encoder("text_encoder", "Qwen3ForCausalLM", "tokenizer", "Qwen2TokenizerFast"), 8.1, 4,
    Footprint(network=7.8, rest=0.2, work=0.6, decode=0.8), 4, 4.0,
    "The person of the other pictures in the scene of the first one, with its pose, expression and light; "
    "a sharp film still of a face", sees_target=True,
)  # fmt: skip
FILL = Variant(
    "FLUX.1 Fill", "flux1-fill", "FluxFillPipeline", ("FluxFillPipeline",), "FluxTransformer2DModel", "AutoencoderKL",
    Encoder("text_encoder_2", "T5EncoderModel", "tokenizer_2", "T5TokenizerFast"), 9.6, 3,
    Footprint(network=23.8, rest=0.2, work=0.4, decode=0.8), 12, 30.0,
    "a sharp film still of a face, natural skin", sees_hole=True, sees_photos=False,
)  # fmt: skip
VARIANTS = MappingProxyType({
    "klein": KLEIN,
    "klein9": replace(
        KLEIN, title="FLUX.2 klein of 9 billion weights", base="flux2-klein-9b", reader=16.4,
        footprint=Footprint(network=18.2, rest=0.2, work=0.8, decode=0.8),
    ),
    "fill": FILL,
    "kontext": replace(
        FILL, title="FLUX.1 Kontext", base="flux1-kontext", pipeline="FluxKontextPipeline",
        saved=("FluxKontextPipeline", "FluxKontextInpaintPipeline"), guidance=2.5, sees_hole=False, sees_photos=True,
        prompt="The same person in a film still, with natural skin and light",
    ),
})  # fmt: skip


@dataclass(frozen=True, eq=False)
class Words:
    """A prompt as the text encoders give it: `told` (1, L, D), `pooled` (1, P) where the variant has it, and `nothing`
    (1, L, D), an empty one, where it is guided by the difference."""

    told: Tensor
    pooled: Tensor | None = None
    nothing: Tensor | None = None


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
    placed: Placed
    guidance: float
    photos: int = 2
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
        self.placed.bring(self.network)

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
        count, like = len(row), {"device": row.device, "dtype": self.network.dtype}
        more: dict[str, Any] = {}
        if self.words.pooled is not None:
            more["pooled_projections"] = self.words.pooled.to(**like).expand(count, -1)
        if self.network.config.guidance_embeds:
            more["guidance"] = row.new_full((count,), self.guidance)
        found: Tensor = self.network(
            hidden_states=row.to(**like), timestep=row.new_full((count,), time / 1000).to(**like), img_ids=where,
            encoder_hidden_states=words.to(**like).expand(count, -1, -1),
            txt_ids=word_places(words.shape[1], self.variant.places).to(where), return_dict=False, **more,
        )[0]  # fmt: skip
        return found.float()

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


def flux_levels(variant: Variant, scheduler: Any, size: int, steps: int, strength: float = 1.0) -> Levels:
    """`steps` from a picture of which `strength` is noise, `size` pixels wide, to a clean one: evenly spaced times,
    shifted to noise by its number of tokens. The same strength is the same noise, however far they are shifted."""
    shift = shift_of(variant, (size // 16) ** 2, steps, scheduler.config)
    times = np.linspace(1.0, 1 / FINE, FINE)
    start = float(np.interp(strength, levels_of(scheduler, FINE, sigmas=times, mu=shift).sigmas[-2::-1], times[::-1]))
    return levels_of(scheduler, steps, sigmas=np.linspace(start, start / steps, steps), mu=shift)
