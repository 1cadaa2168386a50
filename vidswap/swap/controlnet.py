"""ControlNets beside a UNet, which see a drawing of the face; `control=mesh` is a guide that is nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vidswap.errors import ModelError
from vidswap.keys import key_of
from vidswap.models.hub import digests_in, entry, place_of
from vidswap.swap.drawings import drawn_mesh
from vidswap.swap.folders import network, reading
from vidswap.swap.guides import Call, Steer
from vidswap.swap.latent import Start
from vidswap.swap.placement import device_of, dtype_of
from vidswap.types import Array

LATENT = 4  # channels that a ControlNet sees: of what an inpainting UNet does, the first
POSE = 1.0  # of the drawing that counts if nothing is said
DOWN, MID = "down_block_additional_residuals", "mid_block_additional_residual"
Draw = Callable[[Array, int], Array]  # a mesh (478, 3) in pixels, a side -> (side, side, 3) uint8


@dataclass(frozen=True, eq=False)
class MeshControl:
    """The guide that has a UNet follow the actor's mesh. `pose`: how much the drawing counts."""

    net: Any
    pose: float
    key: str
    memory: float

    def apply(self, pipeline: Any) -> None:
        """Raise ModelError where the ControlNet is of another base."""
        check(self.net, pipeline.unet)

    def steer(self, pipeline: Any, start: Start) -> Steer:
        """A window's drawings go into its calls."""
        drawn = drawn_in(start, drawn_mesh)
        return lambda call, rows: controlled(self.net, call, drawn[rows], self.pose)


def models(base: str, settings: Any) -> tuple[str, ...]:
    """What `control=mesh` opens."""
    return (f"controlnet-face-{base}",)


def load(base: str, settings: Any) -> MeshControl:
    """The guide. Raises ModelError."""
    (name,) = models(base, settings)
    folder, pose = place_of(name), POSE if settings.pose is None else settings.pose
    return MeshControl(open_net(folder, settings), pose, key_of((digests_in(folder), pose)), entry(name).memory)


def open_net(folder: Path, settings: Any) -> Any:
    """A ControlNet as diffusers saves it, on the CPU, in the numbers that an engine computes in by its settings. Raises
    ModelError."""
    from diffusers import ControlNetModel

    with reading(folder, "a ControlNet"):
        return network(ControlNetModel, folder, dtype_of(settings.dtype, device_of(settings.device)))


def check(net: Any, unet: Any) -> None:
    """Raise ModelError where a ControlNet is of another base than a UNet."""
    same = ("block_out_channels", "cross_attention_dim", "addition_embed_type")
    own, wanted = ([_config(each, name) for name in same] for each in (net, unet))
    if own != wanted:
        raise ModelError(f"the ControlNet is of another base: its {', '.join(same)} are {own}, not {wanted}",
                         "pull the one for the engine's base")  # fmt: skip


def _config(network: Any, name: str) -> Any:
    found = network.config.get(name)
    return tuple(found) if isinstance(found, (list, tuple)) else found


def drawn_in(start: Start, draw: Draw) -> Tensor:
    """(T, 3, S, S) in [0, 1]: a window's meshes, drawn."""
    size = start.pictures.shape[-1]
    drawn = np.stack([draw(mesh, size) for mesh in start.crops.mesh])
    return torch.from_numpy(drawn.transpose(0, 3, 1, 2) / np.float32(255))


def controlled(net: Any, call: Call, drawn: Tensor, scale: float, words: Tensor | None = None) -> Call:
    """A call with what a ControlNet makes of drawings (n, 3, S, S), a frame each, `scale` times. It is told what the
    UNet is, or `words` (B, K, D) instead. What other ControlNets say is added to."""
    sample = call["sample"]
    flat = sample.transpose(1, 2).flatten(0, 1) if sample.ndim == 5 else sample  # of a network that sees motion
    told = call["encoder_hidden_states"] if words is None else words
    if len(told) != len(flat):
        told = told.repeat_interleave(len(flat) // len(told), 0)
    net.to(sample.device)
    down, mid = net(
        flat[:, :LATENT], call["timestep"], encoder_hidden_states=told.to(flat), conditioning_scale=scale,
        controlnet_cond=torch.cat([drawn.to(flat)] * (len(flat) // len(drawn))), return_dict=False,
        added_cond_kwargs={name: call["added_cond_kwargs"][name] for name in ("text_embeds", "time_ids")
                           if name in call["added_cond_kwargs"]},
    )  # fmt: skip
    if MID in call:
        down = [one + other for one, other in zip(call[DOWN], down, strict=True)]
        mid = call[MID] + mid
    return call | {DOWN: tuple(down), MID: mid}
