"""The engine `flux`: FLUX.2 klein, FLUX.1 Fill or FLUX.1 Kontext paint the warped and relit selfie over in latents.

klein of 4 billion weights is Apache-2.0, and the default; the licences of all others forbid commercial use. The prompt
is read once, before the transformer is loaded: what reads it is as large, and the two are never there together.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vidswap.errors import ModelError, UsageError
from vidswap.models import hub
from vidswap.settings import FILE, WORD, Place, Setting, number, one_of, whole
from vidswap.swap import painters
from vidswap.swap import placement as place
from vidswap.swap.codecs import Normed, Shifted
from vidswap.swap.flux import VARIANTS, Flux, Variant, Words, flux_levels
from vidswap.swap.folders import network, reading, tokenizer
from vidswap.swap.latent import Painter
from vidswap.swap.lora import bake, called, digests_of
from vidswap.swap.taef2 import load_taef2

TINY = "taef2"  # its entry in the registry
SMALL = 7680  # numbers of a word that klein of 4 billion weights is told; the one of 9 billion is told 12288


@dataclass(frozen=True)
class Settings(painters.Settings):
    variant: Setting[str, str] = Setting(one_of(tuple(VARIANTS)), "klein", "which of FLUX's models paints")
    weights: Setting[Place | None, Path | None] = Setting(
        FILE, None, "a folder that stands for the variant's, as diffusers saves it", "what was pulled"
    )
    size: Setting[int, int] = Setting(painters.sides(1024), 512, "side of the pictures that it paints")
    strength: Setting[float, float] = Setting(
        number(0.05, 1), 0.5, "how much noise it starts from: .3 keeps features, .7 paints anew"
    )
    steps: Setting[int | None, int | None] = Setting(
        whole(1, 100), None, "from there to a clean picture", "4 of klein, else 12"
    )
    guidance: Setting[float | None, float | None] = Setting(
        number(1, 100), None, "how much the prompt counts; a klein of few steps knows none", "the variant's own"
    )
    prompt: Setting[str | None, str | None] = Setting(WORD, None, "what is to be seen", "the variant's own")
    photos: Setting[int, int] = Setting(whole(1, 8), 2, "of the person that it sees, at most; Fill sees none")
    vae: Setting[str, str] = Setting(one_of(("own", "tiny")), "own", "autoencoder; klein has a tiny one, a bit coarser")

    def __post_init__(self) -> None:
        if self.vae == "tiny" and not self.chosen.is_second:
            raise UsageError(f"`flux.vae` is tiny, which FLUX.1 {self.variant} has none of", "allowed: own, or klein")

    @property
    def chosen(self) -> Variant:
        return VARIANTS[self.variant]


def models(settings: Settings) -> tuple[str, ...]:
    """The registry's entries that it opens with these settings."""
    return (settings.chosen.base, *((TINY,) if settings.vae == "tiny" else ()))


@contextmanager
def load(settings: Settings, cache: Path | None = None) -> Iterator[Painter]:
    """The engine. Raises ModelError, UsageError."""
    variant, device = settings.chosen, place.device_of(settings.device)
    dtype = numbers(settings.dtype, device)
    places = {name: hub.place_of(name) for name in models(settings)[1:]}
    folder = hub.place_of(variant.base, settings.weights)
    check_folder(folder, variant)
    marks = (digests_of(settings.lora), [hub.digests_in(found) for found in (folder, *places.values())])
    vram = settings.vram or place.room(device)
    found = place.placement(device, dtype, variant.at(settings.size), vram)
    told = read_prompt(folder, variant, settings, reader_of(variant, device, dtype, vram))
    pipeline = painting(folder, variant, dtype)
    bake(pipeline, settings.lora, variant.title)
    if settings.vae == "tiny":
        pipeline.register_modules(vae=load_taef2(places[TINY], place.DTYPES[dtype]))
    model, parts = partial(_model, pipeline, settings, told, found), (pipeline.transformer, pipeline.vae)
    with painters.painter(model, parts, found, settings, marks) as engine:
        yield engine


def numbers(chosen: str, device: str) -> str:
    """The numbers that a setting means: in float16 FLUX overflows."""
    return "bfloat16" if chosen == "auto" and device != "cpu" else place.dtype_of(chosen, device)


def reader_of(variant: Variant, device: str, dtype: str, vram: float | None) -> place.Placement:
    """Where the prompt is read: on the card where there is room for what reads it, in the same numbers."""
    wide = 2 if dtype == "float32" else 1
    return place.Placement(device if vram is None or variant.reader * wide < vram else "cpu", dtype)


def check_folder(folder: Path, variant: Variant) -> None:
    """Raise ModelError where a folder holds another model than the variant."""
    saved = str(_facts(folder / "model_index.json").get("_class_name"))
    if saved not in variant.saved:
        others = [name for name, each in VARIANTS.items() if saved in each.saved]
        choose = f"choose `flux.variant` {others[0]}, or " if others else ""
        raise ModelError(f"{folder} holds a {saved}, not {variant.title}", f"{choose}name a folder of {variant.base}")
    wide = _facts(folder / "transformer" / "config.json").get("joint_attention_dim", 0)
    if variant.base == "flux2-klein" and wide > SMALL:
        hint = "choose `flux.variant` klein9, whose licence forbids commercial use"
        raise ModelError(f"{folder} holds the klein of 9 billion weights, not of 4", hint)


def _facts(path: Path) -> dict[str, Any]:
    with reading(path, "a table of FLUX"):
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError("it is no table")
        return found


def prompt_of(settings: Settings) -> str:
    """What is to be seen, and the words that LoRAs were trained on."""
    return called(settings.prompt or settings.chosen.prompt, settings.lora)


def read_prompt(folder: Path, variant: Variant, settings: Settings, where: place.Placement) -> tuple[Tensor, ...]:
    """What the large text encoder makes of the prompt (1, L, D), once for all, and of none where that is asked for too.
    It goes again at once. Raises ModelError."""
    import diffusers
    import transformers

    kind, which = getattr(diffusers, variant.pipeline), variant.encoder
    with reading(folder, variant.title):
        encoder = network(getattr(transformers, which.kind), folder / which.encoder, where.dtype).to(where.device)
        words = tokenizer(getattr(transformers, which.tokens), folder / which.tokenizer)
    prompts = [prompt_of(settings)]
    with torch.inference_mode():
        if variant.is_second:
            distilled = _facts(folder / "model_index.json").get("is_distilled", False)
            guided = not distilled and (settings.guidance or variant.guidance) > 1
            reader = kind(None, None, encoder, words, None)
            found = [reader.encode_prompt(prompt)[0] for prompt in [*prompts, *[""] * guided]]
        else:
            reader = kind(None, None, None, None, encoder, words, None)
            found = [reader._get_t5_prompt_embeds(prompt, dtype=encoder.dtype) for prompt in prompts]
        found = [each.cpu() for each in found]
    place.let_go(encoder, where)
    return tuple(found)


def painting(folder: Path, variant: Variant, dtype: str) -> Any:
    """The pipeline of what paints, on the CPU: all but what has read the prompt. Raises ModelError."""
    import diffusers
    import transformers

    with reading(folder, variant.title):
        parts: dict[str, Any] = {
            "transformer": network(getattr(diffusers, variant.network), folder / "transformer", dtype),
            "vae": network(getattr(diffusers, variant.autoencoder), folder / "vae", dtype),
            "scheduler": diffusers.FlowMatchEulerDiscreteScheduler.from_pretrained(
                folder / "scheduler", local_files_only=True
            ),
            "text_encoder": None, "tokenizer": None,
        }  # fmt: skip
        if not variant.is_second:  # which reads for itself, in short
            parts |= {"text_encoder_2": None, "tokenizer_2": None}
            parts["text_encoder"] = network(transformers.CLIPTextModel, folder / "text_encoder", "float32")
            parts["tokenizer"] = tokenizer(transformers.CLIPTokenizer, folder / "tokenizer")
        return getattr(diffusers, variant.pipeline)(**parts)


def _model(pipeline: Any, settings: Settings, told: tuple[Tensor, ...], found: place.Placement) -> Flux:
    """The pipeline's parts, on their device."""
    variant, pooled = settings.chosen, None
    if not variant.is_second:
        with torch.inference_mode():
            pooled = pipeline._get_clip_prompt_embeds(prompt_of(settings))
        pipeline.register_modules(text_encoder=None, tokenizer=None)
    steps = settings.steps or variant.steps
    levels = flux_levels(variant, pipeline.scheduler, settings.size, steps, settings.strength)
    placed = place.placed(found, pipeline.transformer, pipeline.vae)
    if settings.compile and found.device.startswith("cuda"):
        pipeline.transformer.compile()
    codec = Normed if variant.is_second and settings.vae == "own" else Shifted
    return Flux(
        variant, pipeline.transformer, codec(pipeline.vae, placed), levels, Words(told[0], pooled, *told[1:]),
        place.Batches(found.batch, found.device), placed,
        settings.guidance or variant.guidance, settings.photos,
    )  # fmt: skip
