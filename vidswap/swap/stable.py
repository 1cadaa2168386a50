"""Stable Diffusion's engines, opened: a folder of weights as the hub has it -> a Painter. What `sd15` and `sdxl` have
in common; a Base says what they differ in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from vidswap.errors import UsageError, line_of, quoted
from vidswap.models import hub
from vidswap.settings import FILE, SWITCH, WORD, Pairs, Place, Setting, number, one_of, whole
from vidswap.swap import painters
from vidswap.swap import placement as place
from vidswap.swap.folders import in_motion, loaded, tiny_vae
from vidswap.swap.guides import guide_models, guides_of
from vidswap.swap.latent import Painter
from vidswap.swap.lora import Lora, bake, called, digests_of
from vidswap.swap.sampler import Levels, levels_of
from vidswap.swap.unet import Prompt, StableDiffusion

CAPTION = "a film still of a person's face, natural skin, detailed"
AGAINST = "blurry, painting, plastic skin, deformed"
MOTION = "animatediff-sd15"  # its entry in the registry
MOTION_FRAMES = (16, 8)  # that it sees together: what it was trained on, and the fewest that tell a motion
MOTION_NOISE = (("beta_schedule", "linear"), ("clip_sample", False))  # which motion modules know


@dataclass(frozen=True)
class Way:
    """A scheduler of diffusers: its class, its `options`, `steps` and `guidance` if nothing is said. `few`: a LoRA that
    makes a base walk in few steps, before whose name its entry has this. `renoised`: noise is drawn anew at each."""

    kind: str
    steps: int
    guidance: float
    few: str = ""
    renoised: bool = False
    options: Pairs = ()


WAYS = MappingProxyType({
    "ddim": Way("DDIMScheduler", 20, 5.0, options=(("timestep_spacing", "trailing"),)),
    "lcm": Way("LCMScheduler", 8, 1.0, "lcm", renoised=True),
    "tcd": Way("TCDScheduler", 8, 1.0, "tcd"),
    "hyper": Way("DDIMScheduler", 8, 1.0, "hyper", options=(("timestep_spacing", "trailing"),)),
})  # fmt: skip


@dataclass(frozen=True)
class Base:
    """A base of Stable Diffusion: its `name` and `title`, its pipeline's class, the classes of its text encoders, the
    entry of its `tiny` autoencoder, the `size` it was trained for, and what a picture of that takes."""

    name: str
    title: str
    pipeline: str
    encoders: tuple[str, ...]
    tiny: str
    size: int
    footprint: place.Footprint

    def at(self, size: int) -> place.Footprint:
        """What pictures of another size take."""
        return self.footprint.for_sides(self.size, size)


@dataclass(frozen=True)
class Common(painters.Settings):
    """The settings that both engines have."""

    strength: Setting[float, float] = Setting(
        number(0.05, 1), 0.35, "how far from the warp: .2 keeps features, .5 paints anew"
    )
    steps: Setting[int | None, int | None] = Setting(
        whole(1, 100), None, "of all the way, of which strength walks a part", "20; 8 in few steps"
    )
    guidance: Setting[float | None, float | None] = Setting(
        number(1, 30), None, "how much the caption counts; 1 is twice as quick", "5; 1 in few steps"
    )
    prompt: Setting[str, str] = Setting(WORD, CAPTION, "a short caption of the face")
    against: Setting[str, str] = Setting(WORD, AGAINST, "what should not be seen")
    likeness: Setting[float | None, float | None] = Setting(
        number(0, 1.5), None, "how much the adapter counts", "faceid .7, instantid .8"
    )
    structure: Setting[float, float] = Setting(
        number(0, 2), 1.0, "of adapter faceid-plus: how much the photo counts beside the vector"
    )
    pose: Setting[float | None, float | None] = Setting(
        number(0, 2), None, "how much a ControlNet's drawing of the face counts", "mesh 1, instantid .8"
    )
    scheduler: Setting[str, str] = Setting(
        one_of(tuple(WAYS)), "ddim", "how noise is taken away; all others do it in few steps, with a LoRA of their own"
    )
    vae: Setting[str, str] = Setting(one_of(("own", "tiny")), "own", "autoencoder; tiny is quicker and coarser")
    inpainting: Setting[bool, bool] = Setting(SWITCH, True, "the base for inpainting, or the plain one")
    weights: Setting[Place | None, Path | None] = Setting(
        FILE, None, "a folder that stands for the base, as diffusers saves it", "what was pulled"
    )


def entry_of(base: Base, settings: Any) -> str:
    """The registry's entry of the base itself."""
    return f"{base.name}-inpainting" if settings.inpainting else base.name


def models(base: Base, settings: Any) -> tuple[str, ...]:
    """The registry's entries that an engine opens with these settings."""
    return (*_own_models(base, settings), *guide_models(base.name, settings))


def _own_models(base: Base, settings: Any) -> tuple[str, ...]:
    """Those that are not its guides'; the base first."""
    few = WAYS[settings.scheduler].few
    found = {entry_of(base, settings): True, f"{few}-{base.name}": bool(few), base.tiny: settings.vae == "tiny",
             MOTION: _moving(settings)}  # fmt: skip
    return tuple(name for name, wanted in found.items() if wanted)


@contextmanager
def opened(base: Base, settings: Any) -> Iterator[Painter]:
    """The engine. Raises ModelError, UsageError."""
    device = place.device_of(settings.device)
    way, dtype = WAYS[settings.scheduler], place.dtype_of(settings.dtype, device)
    places = {name: hub.place_of(name) for name in _own_models(base, settings)[1:]}
    folder = hub.place_of(entry_of(base, settings), settings.weights)
    loras = (*(Lora(found) for name, found in places.items() if name == f"{way.few}-{base.name}"), *settings.lora)
    marks = (digests_of(loras), [hub.digests_in(found) for found in (folder, *places.values())])
    guides = guides_of(base.name, settings)
    pipeline = loaded(base, folder, dtype)
    bake(pipeline, loras, base.title)
    prompt = told(pipeline, settings)
    if settings.vae == "tiny":
        pipeline.register_modules(vae=tiny_vae(places[base.tiny], pipeline.vae.dtype))
    if _moving(settings):
        pipeline.register_modules(unet=in_motion(pipeline.unet, places[MOTION]))
    for guide in guides:
        guide.apply(pipeline)
    takes = base.at(settings.size)
    takes = replace(takes, network=takes.network + sum(guide.memory for guide in guides))
    most = MOTION_FRAMES if _moving(settings) else place.BATCHES
    found = place.placement(device, dtype, takes, settings.vram or place.room(device), most)
    model, parts = partial(_model, pipeline, settings, prompt, found, guides), (pipeline.unet, pipeline.vae)
    with painters.painter(model, parts, found, settings, (marks, [guide.key for guide in guides])) as engine:
        yield engine


def told(pipeline: Any, settings: Any) -> Prompt:
    """What the base makes of the caption, once for all; its text encoders go, and never see a card. Raises UsageError
    for a longer one than they can read."""
    most = pipeline.tokenizer.model_max_length
    for said in (called(settings.prompt, settings.lora), settings.against):
        if (count := len(pipeline.tokenizer(said).input_ids)) > most:
            raise UsageError(f"a caption is too long, {count} tokens: {quoted(said)}", f"at most {most} are read")
    with torch.inference_mode():
        told, nobody, *pooled = pipeline.encode_prompt(
            prompt=called(settings.prompt, settings.lora), negative_prompt=settings.against, device=torch.device("cpu"),
            num_images_per_prompt=1, do_classifier_free_guidance=True,
        )  # fmt: skip
    names = [name for name in pipeline.components if name.startswith(("text_encoder", "tokenizer"))]
    pipeline.register_modules(**dict.fromkeys(names))
    side = float(settings.size)
    if not pooled:
        return Prompt(torch.cat([nobody, told]))
    return Prompt(torch.cat([nobody, told]), torch.cat(pooled[::-1]), (side, side, 0.0, 0.0, side, side))


def _model(pipeline: Any, settings: Any, prompt: Prompt, found: place.Placement, guides: Any) -> StableDiffusion:
    """The pipeline's parts, on their device."""
    import diffusers

    way, moving = WAYS[settings.scheduler], _moving(settings)
    options = dict((*way.options, *(MOTION_NOISE if moving else ())))
    scheduler = getattr(diffusers, way.kind).from_config(pipeline.scheduler.config, **options)
    levels = _levels(scheduler, settings, settings.steps or way.steps)
    placed = place.placed(found, pipeline.unet, pipeline.vae)
    if settings.compile and found.device.startswith("cuda"):
        pipeline.unet.compile()
    most = min(found.batch, pipeline.unet.config.motion_max_seq_length) if moving else found.batch
    guidance = settings.guidance or way.guidance
    return StableDiffusion(pipeline, prompt, placed, place.Batches(most, found.device), levels, guidance, guides,
                           way.renoised, moving)  # fmt: skip


def _levels(scheduler: Any, settings: Any, steps: int) -> Levels:
    """The part of a scheduler's way that is walked. Raises UsageError for more steps than it can take."""
    try:
        return levels_of(scheduler, steps).cut(settings.strength)
    except ValueError as error:
        said = f"the scheduler {settings.scheduler} cannot walk in {steps} steps"
        raise UsageError(f"{said}: {line_of(error)}", "choose fewer") from error


def _moving(settings: Any) -> bool:
    return getattr(settings, "motion", "none") != "none"
