"""The seam for what steers a Stable Diffusion UNet: adapters that know a face, ControlNets that see a drawing.

    def load(base, settings) -> Guide               # in the module of a row of GUIDES or CONTROLS
    def models(base, settings) -> tuple[str, ...]   # the registry's entries that it opens

A guide puts its layers into the pipeline once: LoRAs are baked in by then, the text encoders gone, and the UNet is one
that sees motion where that is chosen; then it is placed. For each window a guide gives a function that adds to the
arguments of the UNet's calls; a network of its own it brings to the device of the window's latents itself. Without a
guide an engine works on its base alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from types import MappingProxyType
from typing import Any, Protocol

import torch
from torch import Tensor

from vidswap.swap.latent import Start

Call = dict[str, Any]  # of a UNet: sample, timestep, encoder_hidden_states, added_cond_kwargs ...
Steer = Callable[[Call, slice], Call]  # a call over some rows of the window -> the same with more to it

# What `adapter` may be, and its module; those of sd15 and of sdxl. And what `control` may be.
GUIDES = MappingProxyType({
    "sd15": MappingProxyType(dict.fromkeys(("faceid", "faceid-plus"), "vidswap.swap.faceid")),
    "sdxl": MappingProxyType(dict.fromkeys(("faceid", "faceid-plus", "instantid"), "vidswap.swap.faceid")),
})  # fmt: skip
CONTROLS = MappingProxyType({
    "sd15": MappingProxyType({"mesh": "vidswap.swap.controlnet"}), "sdxl": MappingProxyType(dict[str, str]()),
})  # fmt: skip


class Guide(Protocol):
    @property
    def key(self) -> str:
        """All that its share of the answers depends on: weights and settings."""
        ...

    @property
    def memory(self) -> float:
        """GB that it takes on a card beside the base, in 16-bit numbers, about."""
        ...

    def apply(self, pipeline: Any) -> None:
        """Put its layers into a pipeline of diffusers. Raises ModelError."""
        ...

    def steer(self, pipeline: Any, start: Start) -> Steer:
        """What it adds to the calls of a window. Raises EngineError."""
        ...


def names_of(base: str) -> tuple[str, ...]:
    """What the setting `adapter` of an engine may be; the first is what it is if nothing is said."""
    return ("none", *GUIDES[base])


def controls_of(base: str) -> tuple[str, ...]:
    """What the setting `control` may be, alike."""
    return ("none", *CONTROLS[base])


def guides_of(base: str, settings: Any) -> tuple[Guide, ...]:
    """The guides that an engine's settings ask for. Raises ModelError."""
    return tuple(module.load(base, settings) for module in _chosen(base, settings))


def guide_models(base: str, settings: Any) -> tuple[str, ...]:
    """The registry's entries that they open."""
    return tuple(name for module in _chosen(base, settings) for name in module.models(base, settings))


def _chosen(base: str, settings: Any) -> Iterator[Any]:
    for table, chosen in ((GUIDES, settings.adapter), (CONTROLS, getattr(settings, "control", "none"))):
        if chosen != "none":
            yield import_module(table[base][chosen])


def for_each(pair: Tensor, call: Call, rows: slice) -> Tensor:
    """Of a `pair` (2, ...), nobody's first and then the person's, one for each picture of a call over `rows`: both
    halves where it is guided, else the person's alone. A motion network is told once for all its frames."""
    sample = call["sample"]
    guided = pair if is_guided(call, rows) else pair[1:]
    counted = 1 if sample.ndim == 5 else rows.stop - rows.start
    return torch.repeat_interleave(guided.to(sample), counted, 0)


def is_guided(call: Call, rows: slice) -> bool:
    """Whether a call asks twice, without the prompt and with it: the first half of its pictures is without."""
    sample = call["sample"]
    return bool(len(sample) == 2 * (1 if sample.ndim == 5 else rows.stop - rows.start))
