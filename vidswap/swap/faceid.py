"""IP-Adapters that know a face: FaceID, FaceID Plus v2 and InstantID's, as layers of a UNet and what they are told.

Each reads the vector of one recogniser (swap.vectors). FaceID's files bring a LoRA along, which is added to the UNet's
weights: diffusers has peft hold it, switches every other LoRA off for it, leaves it out without a word where peft is
missing, and takes a motion network's layers for others. Its layers are read from safetensors in the layout of their
makers: `image_proj.` and `ip_adapter.`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vidswap.errors import ModelError
from vidswap.keys import key_of
from vidswap.models.hub import digests_in, entry, place_of
from vidswap.swap import controlnet
from vidswap.swap.controlnet import controlled, drawn_in, open_net
from vidswap.swap.drawings import drawn_points
from vidswap.swap.folders import network, reading
from vidswap.swap.guides import Call, Steer, for_each
from vidswap.swap.latent import Start
from vidswap.swap.vectors import KNOWN, Recogniser, open_recogniser
from vidswap.types import Array, Identity

VECTOR = 512
ENCODER, LOOK = "clip-vit-h", 224  # of FaceID Plus, and the side of the face that it is shown
CLIP_MEAN, CLIP_SPREAD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
NETWORK = "instantid-controlnet"
IDENTITY_NET = 0.8  # of InstantID's drawing that counts if nothing is said


@dataclass(frozen=True)
class Kind:
    """An adapter: the face `pack` whose vector it reads, of `unit` length or not; how much it counts if nothing is
    said; the layer whose name tells its file from others'."""

    pack: str
    unit: bool
    likeness: float
    mark: str


KINDS = MappingProxyType({  # FaceID Plus first: it has a layer called as FaceID's mark, too
    "faceid-plus": Kind("buffalo_l", True, 0.7, "perceiver_resampler.proj_in.weight"),
    "faceid": Kind("buffalo_l", True, 0.7, "norm.weight"),
    "instantid": Kind("antelopev2", False, 0.8, "latents"),
})  # fmt: skip


@dataclass(frozen=True, eq=False)
class FaceAdapter:
    """The guide. `weights` are the adapter's own; `look` gives a person's face as FaceID Plus sees it, nobody's first
    (2, 1, K, D); `net` is InstantID's ControlNet. `likeness`: how much the adapter counts, `structure`: the look beside
    the vector, `pose`: the ControlNet's drawing. `memory`: GB on a card."""

    title: str
    kind: Kind
    weights: Mapping[str, Tensor]
    recogniser: Recogniser
    key: str
    likeness: float
    structure: float = 1.0
    pose: float = 1.0
    look: Callable[[Identity], Tensor] | None = None
    net: Any = None
    memory: float = 0.0

    def apply(self, pipeline: Any) -> None:
        """Put the layers into a UNet, and the LoRA onto its weights. Raises ModelError where they are of another
        base."""
        unet, state = pipeline.unet, halves(self.weights)
        check(state, self.kind, unet, self.title)
        with reading(Path(self.title), "an adapter"):
            unet._load_ip_adapter_weights([state])  # what load_ip_adapter does, without its encoder and its LoRA
            bake(unet, state["ip_adapter"])
        pipeline.set_ip_adapter_scale(self.likeness)
        if self.net is not None:
            controlnet.check(self.net, unet)

    def steer(self, pipeline: Any, start: Start) -> Steer:
        """A window's calls are told whom to paint. Raises EngineError where the pack sees nobody in the photos."""
        vector = torch.from_numpy(self.recogniser.vector(start.identity, self.kind.unit))
        pair = torch.stack([torch.zeros_like(vector), vector])[:, None]
        layer = pipeline.unet.encoder_hid_proj.image_projection_layers[0]
        look = self.look(start.identity) if self.look else None
        if self.net is None:
            return lambda call, rows: self._told(call, rows, pair, layer, look)
        drawn = drawn_in(start, drawn_points)

        def steer(call: Call, rows: slice) -> Call:
            told = self._told(call, rows, pair[:, None], layer, look)
            words = pipeline.unet.encoder_hid_proj(told["added_cond_kwargs"]["image_embeds"])[0][:, 0]
            return controlled(self.net, told, drawn[rows], self.pose, words)

        return steer

    def _told(self, call: Call, rows: slice, pair: Tensor, layer: Any, look: Tensor | None) -> Call:
        """A call with the person's vector, one for each picture. The look has a way of its own: it is the layer's."""
        if look is not None:
            layer.clip_embeds = for_each(look, call, rows)
            layer.shortcut, layer.shortcut_scale = True, self.structure
        return call | {"added_cond_kwargs": call["added_cond_kwargs"] | {"image_embeds": [for_each(pair, call, rows)]}}


def models(base: str, settings: Any) -> tuple[str, ...]:
    """The entries that an adapter opens: its own, its pack's, and what more it looks with."""
    name, pack = settings.adapter, KINDS[settings.adapter].pack
    if name == "instantid":
        return name, pack, NETWORK
    return (f"{name}-{base}", pack, *((ENCODER,) if name == "faceid-plus" else ()))


def load(base: str, settings: Any) -> FaceAdapter:
    """The guide that an engine's settings ask for. Raises ModelError."""
    kind, (own, pack, *more) = KINDS[settings.adapter], models(base, settings)
    places = [place_of(name) for name in (own, *more)]
    recogniser = open_recogniser(pack)
    likeness = kind.likeness if settings.likeness is None else settings.likeness
    pose = IDENTITY_NET if settings.pose is None else settings.pose
    said = (likeness, settings.structure, pose, [digests_in(place) for place in places], recogniser.files)
    weights = read(places[0], own)
    look = looker(places[1], recogniser, weights) if ENCODER in more else None
    net = open_net(places[1], settings) if NETWORK in more else None
    memory = sum(entry(name).memory for name in (own, *more) if name != ENCODER)  # which stays on the processor
    return FaceAdapter(own, kind, weights, recogniser, key_of(said), likeness, settings.structure, pose, look, net,
                       memory)  # fmt: skip


def read(folder: Path, title: str) -> dict[str, Tensor]:
    """The tensors of an adapter's file in a folder. Raises ModelError."""
    from safetensors.torch import load_file

    files = [file for file in sorted(folder.glob("*.safetensors")) if not file.stem.endswith("_lora")]
    if len(files) != 1:
        raise ModelError(f"{folder} has {len(files)} files of an adapter, not one", f"`vidswap models pull {title}`")
    with reading(files[0], "an adapter"):
        return load_file(files[0])


def halves(weights: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """An adapter's weights as diffusers takes them: what makes tokens of a vector, and what reads these."""
    return {half: {name.removeprefix(f"{half}."): value for name, value in weights.items()
                   if name.startswith(f"{half}.")} for half in ("image_proj", "ip_adapter")}  # fmt: skip


def check(state: Mapping[str, Mapping[str, Tensor]], kind: Kind, unet: Any, title: str) -> None:
    """Raise ModelError where weights are no adapter of a kind, or of another UNet."""
    hint = f"`vidswap models pull {title}`"
    maker, reader = state["image_proj"], state["ip_adapter"]
    if _kind_of(maker) != kind.mark:
        raise ModelError(f"{title}: the file is no adapter of that kind", hint)
    first = maker.get("proj.0.weight", maker.get("proj_in.weight"))
    if first is None or first.shape[-1] != VECTOR:
        raise ModelError(f"{title}: the file's adapter reads no vectors of {VECTOR} numbers", hint)
    wanted = unet.config.cross_attention_dim
    readers = {name: value.shape[-1] for name, value in reader.items() if name.endswith(".to_k_ip.weight")}
    layers = [name for name in _still(unet) if name.endswith("attn2.processor")]
    if set(readers.values()) != {wanted} or len(readers) != len(layers):
        raise ModelError(f"{title}: the file is for another base: {len(readers)} layers of {set(readers.values())} "
                         f"numbers, where the UNet has {len(layers)} of {wanted}", hint)  # fmt: skip


def _kind_of(maker: Mapping[str, Tensor]) -> str:
    """The layer that tells which kind of adapter weights are of."""
    return next((kind.mark for kind in KINDS.values() if kind.mark in maker), "")


def _still(unet: Any) -> list[str]:
    """A UNet's attention by name, in order, without that of a motion network's own layers: as adapters count them."""
    return [name for name in unet.attn_processors if "motion_modules" not in name]


def bake(unet: Any, reader: Mapping[str, Tensor]) -> None:
    """Add an adapter's LoRA, if it has one, to the weights of a UNet's attention, layers of motion left out."""
    for number, name in enumerate(_still(unet)):
        attention = unet.get_submodule(name.removesuffix(".processor"))
        parts = {"to_q": attention.to_q, "to_k": attention.to_k, "to_v": attention.to_v, "to_out": attention.to_out[0]}
        for part, layer in parts.items():
            down, up = (reader.get(f"{number}.{part}_lora.{half}.weight") for half in ("down", "up"))
            if down is not None and up is not None:
                with torch.no_grad():
                    layer.weight += (up.float() @ down.float()).to(layer.weight)


def looker(folder: Path, recogniser: Recogniser, weights: Mapping[str, Tensor]) -> Callable[[Identity], Tensor]:
    """What FaceID Plus with these `weights` sees in a person's best photo, nobody's look first: (2, 1, K, D) float32,
    kept; nobody's is that of a grey picture. Raises ModelError."""
    from transformers import CLIPVisionModelWithProjection

    with reading(folder, "CLIP's encoder of pictures"):
        encoder = network(CLIPVisionModelWithProjection, folder, "float32")
        wanted = weights.get(f"image_proj.{KINDS['faceid-plus'].mark}", torch.empty(0, encoder.config.hidden_size))
        found = encoder.config.image_size, encoder.config.hidden_size
        if found != (LOOK, wanted.shape[1]):
            raise ValueError(f"it sees {found[0]} pixels as {found[1]} numbers, not {LOOK} as {wanted.shape[1]}")

    def look(identity: Identity) -> Tensor:
        seen = clip_pixels(recogniser.seen(identity)[0].upright(LOOK))
        with torch.inference_mode():
            found = encoder(torch.stack([torch.zeros_like(seen), seen]), output_hidden_states=True)
        return found.hidden_states[-2][:, None].clone()  # type: ignore[no-any-return]

    return lru_cache(KNOWN)(look)


def clip_pixels(picture: Array) -> Tensor:
    """(3, S, S) float32: a picture (S, S, 3) uint8 as CLIP was trained to see it (Radford et al. 2021)."""
    values = (picture / 255 - np.array(CLIP_MEAN)) / np.array(CLIP_SPREAD)
    return torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1), np.float32))
