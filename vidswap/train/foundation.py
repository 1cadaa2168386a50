"""The base that a LoRA is trained on: a folder in diffusers' layout -> its pipeline, or the parts that learning needs.

Nothing is pulled here, and nothing that a folder holds is executed: safetensors alone are opened.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from diffusers.utils import logging as of_diffusers
from transformers.utils import logging as of_transformers

from vidswap.errors import ModelError
from vidswap.models.hub import entry, place_of
from vidswap.swap.folders import network, reading
from vidswap.train.families import Family, Flux, Flux2, StableDiffusion, StableDiffusionXL

FAMILIES: Mapping[str, tuple[Family, ...]] = MappingProxyType(
    {"sd15": (StableDiffusion(),), "sdxl": (StableDiffusionXL(),), "flux": (Flux2(), Flux())}
)
ENTRIES = MappingProxyType({"sd15": "sd15", "sdxl": "sdxl", "flux": "flux2-klein"})  # in the list of what is pulled
KIN = MappingProxyType({  # pipelines that are made of the same parts
    "StableDiffusionInpaintPipeline": "StableDiffusionPipeline", "FluxInpaintPipeline": "FluxPipeline",
    "StableDiffusionXLInpaintPipeline": "StableDiffusionXLPipeline", "FluxKontextPipeline": "FluxPipeline",
    "Flux2KleinInpaintPipeline": "Flux2KleinPipeline",
})  # fmt: skip
NOT_NEEDED = ("safety_checker", "feature_extractor", "image_encoder")  # parts that neither learn nor draw


def base_in(base: str, folder: Path | None) -> tuple[Path, Family]:
    """The folder of a base, pulled or the user's own, and of which family it is. Raises ModelError."""
    place = place_of(ENTRIES[base], folder)
    named = class_in(place)
    for own, families in FAMILIES.items():
        for family in families:
            if KIN.get(named, named) == family.pipeline:
                if own == base:
                    return place, family
                raise ModelError(f"{place} is no {base} but {own}", f"train on {own}, or name another folder")
    known = ", ".join(family.pipeline for families in FAMILIES.values() for family in families)
    raise ModelError(f"no LoRA can be trained on {place}: it is a {named}", f"allowed: {known}")


def licence_of(base: str, folder: Path | None) -> str:
    """What a base's makers allow, which carries over to what is trained on it."""
    return "that of the base, see its folder" if folder else entry(ENTRIES[base]).licence


def class_in(folder: Path) -> str:
    """The class of diffusers' pipelines that a folder says it is. Raises ModelError."""
    try:
        return str(_index(folder)["_class_name"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        hint = "name a folder as diffusers saves it, with model_index.json"
        raise ModelError(f"{folder} is no base: its model_index.json cannot be read", hint) from error


def opened(family: Family, folder: Path, dtype: torch.dtype, **parts: Any) -> Any:
    """The pipeline of a base, but for `parts` that are given, or None. Raises ModelError."""
    _quiet()
    import diffusers

    with reading(folder, family.pipeline):
        given = {name: None for name in NOT_NEEDED if name in _index(folder)} | parts
        if family.pipeline == "StableDiffusionPipeline":
            given["requires_safety_checker"] = False
        pipe = _pipeline(getattr(diffusers, family.pipeline), folder, dtype=dtype, **given)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def autoencoder_of(family: Family, folder: Path) -> Any:
    """What makes latents of pictures, in float32. Raises ModelError."""
    import diffusers

    with reading(folder, family.pipeline):
        return network(getattr(diffusers, family.autoencoder), folder / "vae", "float32")


def network_of(family: Family, folder: Path, dtype: torch.dtype) -> Any:
    """The network that is to learn, as it is. Raises ModelError."""
    import diffusers

    with reading(folder, family.pipeline):
        kind = getattr(diffusers, _index(folder)[family.part][1])
        return network(kind, folder / family.part, str(dtype).removeprefix("torch.")).requires_grad_(False)


def levels_of(family: Family, folder: Path) -> Any:
    """How a base's noise is measured; None where it is flow. Raises ModelError."""
    if family.part == "transformer":
        return None
    from diffusers import DDPMScheduler

    with reading(folder, family.pipeline):
        return DDPMScheduler.from_pretrained(folder, subfolder="scheduler", local_files_only=True)


def _index(folder: Path) -> Any:
    return json.loads((folder / "model_index.json").read_text(encoding="utf-8"))


def _quiet() -> None:
    """What libraries tell of their work goes to nobody, and neither do their bars."""
    for each in (of_diffusers, of_transformers):
        each.set_verbosity(each.CRITICAL)  # what is wrong is raised too
        each.disable_progress_bar()


def _pipeline(kind: Any, folder: Path, **more: Any) -> Any:
    """In full or in half numbers, whichever there are; nothing is asked of the network."""
    usual = {"local_files_only": True, "use_safetensors": True, **more}
    try:
        return kind.from_pretrained(folder, **usual)
    except OSError:
        if not any(folder.rglob("*.fp16.safetensors")):
            raise
        return kind.from_pretrained(folder, variant="fp16", **usual)
