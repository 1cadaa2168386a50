"""The diffusion models that a LoRA can be trained on, by family: how they are told, asked, and drawn with.

A family's `errors` is what its own training minimised, before it is averaged: noise or velocity for Stable Diffusion,
weighted so that no noise level drowns the others (min-SNR, Hang et al., ICCV 2023); the way from picture to noise for
flow, whose levels are drawn from a logit-normal, mostly from the middle (Esser et al., ICML 2024).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

SNR = 5.0  # the signal-to-noise ratio above which a level counts no more (gamma of min-SNR)
ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
TEXT = ("add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")
MERGED = ("to_qkv_mlp_proj", "attn.to_out")  # FLUX.2's single blocks


@dataclass(frozen=True, eq=False)
class Told:
    """What a batch of B pictures is: `clean` latents (B, C, h, w), and `words`, a row a picture each. For a base that
    repaints, `masks` (B, 1, h, w) say where, and `around` (B, C, h, w) are the latents of the rest."""

    clean: Tensor
    words: tuple[Tensor, ...]
    masks: Tensor
    around: Tensor


class Family(Protocol):
    """`pipeline` and `autoencoder` are classes of diffusers, `part` is the pipeline's name for the network that learns,
    `targets` its layers that do; `side` is that of the pictures it was made for, `grain` what a side is a multiple of;
    `architecture` is what other tools call a LoRA of it."""

    pipeline: ClassVar[str]
    autoencoder: ClassVar[str]
    part: ClassVar[str]
    targets: ClassVar[tuple[str, ...]]
    side: ClassVar[int]
    grain: ClassVar[int]
    architecture: ClassVar[str]

    def words(self, pipe: Any, captions: list[str]) -> tuple[Tensor, ...]:
        """What the text encoders make of captions, a row each."""
        ...

    def latents(self, vae: Any, pictures: Tensor) -> Tensor:
        """(B, C, h, w): pictures (B, 3, S, S) in [-1, 1] as the network knows them."""
        ...

    def errors(self, network: Any, scheduler: Any, told: Told) -> Tensor:
        """(B, C, h, w): squared and weighted, at noise and levels that torch's own chance draws."""
        ...

    def drawn(self, pipe: Any, caption: str, seed: int, side: int, steps: int) -> Any:
        """A picture, (S, S, 3) float array in [0, 1]."""
        ...


class StableDiffusion:
    """1.5, and all with its layout; with nine channels it repaints a masked part."""

    pipeline: ClassVar[str] = "StableDiffusionPipeline"
    autoencoder: ClassVar[str] = "AutoencoderKL"
    part: ClassVar[str] = "unet"
    targets: ClassVar[tuple[str, ...]] = ATTENTION
    side: ClassVar[int] = 512
    grain: ClassVar[int] = 64
    architecture: ClassVar[str] = "stable-diffusion-v1/lora"

    def words(self, pipe: Any, captions: list[str]) -> tuple[Tensor, ...]:
        words: Tensor = pipe.encode_prompt(captions, pipe.text_encoder.device, 1, False)[0]
        return (words,)

    def latents(self, vae: Any, pictures: Tensor) -> Tensor:
        return vae.encode(pictures).latent_dist.mode() * vae.config.scaling_factor  # type: ignore[no-any-return]

    def errors(self, network: Any, scheduler: Any, told: Told) -> Tensor:
        clean = told.clean
        noise = torch.randn(clean.shape).to(clean)
        times = torch.randint(scheduler.config.num_train_timesteps, (len(clean),)).to(clean.device)
        given = scheduler.add_noise(clean, noise, times)
        if network.config.in_channels > clean.shape[1]:
            given = torch.cat([given, told.masks, told.around], 1)
        found = network(given, times, told.words[0], added_cond_kwargs=self.beside(told), return_dict=False)[0].float()
        velocity = scheduler.config.prediction_type == "v_prediction"
        wanted = scheduler.get_velocity(clean, noise, times) if velocity else noise
        off: Tensor = found - wanted
        return weight(scheduler, times, velocity).view(-1, 1, 1, 1) * off**2

    def beside(self, told: Told) -> dict[str, Tensor] | None:
        """What the network is told besides."""
        return None

    def drawn(self, pipe: Any, caption: str, seed: int, side: int, steps: int) -> Any:
        chance, given = torch.Generator().manual_seed(seed), {"height": side, "width": side}
        if pipe.unet.config.in_channels > pipe.vae.config.latent_channels:
            whole = torch.ones(1, 1, side, side)
            given |= {"image": torch.zeros(1, 3, side, side) + 0.5, "mask_image": whole}  # type: ignore[dict-item]
            pipe = repainting(pipe)
        return pipe(caption, generator=chance, num_inference_steps=steps, output_type="np", **given).images[0]


class StableDiffusionXL(StableDiffusion):
    """SDXL: two text encoders, and it is told the size of what it is to make."""

    pipeline: ClassVar[str] = "StableDiffusionXLPipeline"
    side: ClassVar[int] = 1024
    architecture: ClassVar[str] = "stable-diffusion-xl-v1-base/lora"

    def words(self, pipe: Any, captions: list[str]) -> tuple[Tensor, ...]:
        words, _, pooled, _ = pipe.encode_prompt(
            captions, device=pipe.text_encoder.device, do_classifier_free_guidance=False
        )
        return words, pooled

    def beside(self, told: Told) -> dict[str, Tensor] | None:
        side = float(8 * told.clean.shape[-1])
        sizes = told.clean.new_tensor([side, side, 0, 0, side, side]).expand(len(told.clean), -1)
        return {"text_embeds": told.words[1], "time_ids": sizes}


class Flux:
    """FLUX.1 dev, schnell, Krea, Kontext."""

    pipeline: ClassVar[str] = "FluxPipeline"
    autoencoder: ClassVar[str] = "AutoencoderKL"
    part: ClassVar[str] = "transformer"
    targets: ClassVar[tuple[str, ...]] = ATTENTION + TEXT
    side: ClassVar[int] = 512
    grain: ClassVar[int] = 16
    architecture: ClassVar[str] = "flux-1-dev/lora"

    def words(self, pipe: Any, captions: list[str]) -> tuple[Tensor, ...]:
        words, pooled, _ = pipe.encode_prompt(captions, device=pipe.text_encoder.device)
        return words, pooled

    def latents(self, vae: Any, pictures: Tensor) -> Tensor:
        found = vae.encode(pictures).latent_dist.mode() - vae.config.shift_factor
        return found * vae.config.scaling_factor  # type: ignore[no-any-return]

    def errors(self, network: Any, scheduler: Any, told: Told) -> Tensor:
        return flow_errors(told.clean, lambda noisy, levels: self.way(network, noisy, levels, told.words))

    def way(self, network: Any, noisy: Tensor, levels: Tensor, words: tuple[Tensor, ...]) -> Tensor:
        """(B, C, h, w): where the network would have latents go, of noise at `levels` (B,)."""
        from diffusers import FluxPipeline

        rows, channels, height, width = noisy.shape
        patches = FluxPipeline._pack_latents(noisy, rows, channels, height, width)
        places = FluxPipeline._prepare_latent_image_ids(rows, height // 2, width // 2, noisy.device, noisy.dtype)
        found = network(
            hidden_states=patches, timestep=levels, encoder_hidden_states=words[0], pooled_projections=words[1],
            guidance=torch.ones_like(levels) if network.config.guidance_embeds else None, img_ids=places,
            txt_ids=noisy.new_zeros(words[0].shape[1], 3), return_dict=False,
        )[0]  # fmt: skip
        return FluxPipeline._unpack_latents(found, height, width, 1)  # type: ignore[no-any-return]

    def drawn(self, pipe: Any, caption: str, seed: int, side: int, steps: int) -> Any:
        chance = torch.Generator().manual_seed(seed)
        given = {"height": side, "width": side, "num_inference_steps": steps, "output_type": "np"}
        return pipe(prompt=caption, generator=chance, **given).images[0]


class Flux2(Flux):
    """FLUX.2 klein, whose latents are patches, normalised."""

    pipeline: ClassVar[str] = "Flux2KleinPipeline"
    autoencoder: ClassVar[str] = "AutoencoderKLFlux2"
    targets: ClassVar[tuple[str, ...]] = ATTENTION + TEXT + MERGED
    architecture: ClassVar[str] = "flux-2-klein/lora"

    def words(self, pipe: Any, captions: list[str]) -> tuple[Tensor, ...]:
        words: Tensor = pipe.encode_prompt(captions, device=pipe.text_encoder.device)[0]
        return (words,)

    def latents(self, vae: Any, pictures: Tensor) -> Tensor:
        from diffusers import Flux2KleinPipeline

        patches = Flux2KleinPipeline._patchify_latents(vae.encode(pictures).latent_dist.mode())
        mean, spread = (part.view(1, -1, 1, 1) for part in (vae.bn.running_mean, vae.bn.running_var))
        return (patches - mean) / torch.sqrt(spread + vae.config.batch_norm_eps)  # type: ignore[no-any-return]

    def way(self, network: Any, noisy: Tensor, levels: Tensor, words: tuple[Tensor, ...]) -> Tensor:
        from diffusers import Flux2KleinPipeline as Klein

        places = Klein._prepare_latent_ids(noisy).to(noisy.device)
        found = network(
            hidden_states=Klein._pack_latents(noisy), timestep=levels, encoder_hidden_states=words[0], img_ids=places,
            guidance=torch.ones_like(levels) if network.config.guidance_embeds else None,
            txt_ids=Klein._prepare_text_ids(words[0]).to(noisy.device), return_dict=False,
        )[0]  # fmt: skip
        return found.transpose(1, 2).reshape(noisy.shape)  # type: ignore[no-any-return]


def weight(scheduler: Any, times: Tensor, velocity: bool) -> Tensor:
    """(B,): how much levels count, min-SNR's: at most SNR, for noise or a velocity."""
    kept: Tensor = scheduler.alphas_cumprod.to(times.device)[times].float()
    ratio = kept / (1 - kept)
    return ratio.clamp(max=SNR) / (ratio + 1) if velocity else (SNR / ratio).clamp(max=1)


def flow_errors(clean: Tensor, way: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """(B, C, h, w): squared errors of the way from a picture to noise, at levels most of which lie in the middle."""
    noise, levels = torch.randn(clean.shape).to(clean), torch.sigmoid(torch.randn(len(clean))).to(clean)
    share = levels.view(-1, 1, 1, 1)
    found: Tensor = way((1 - share) * clean + share * noise, levels).float()
    return (found - (noise - clean)) ** 2


def repainting(pipe: Any) -> Any:
    """A pipeline of the same parts that repaints."""
    import diffusers

    name = type(pipe).__name__.replace("Pipeline", "InpaintPipeline")
    parts = {**pipe.components} if "XL" in name else {**pipe.components, "requires_safety_checker": False}
    other = getattr(diffusers, name)(**parts)
    other.set_progress_bar_config(disable=True)
    return other
