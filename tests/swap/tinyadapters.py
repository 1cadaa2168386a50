"""Adapters and ControlNets for the tiny bases, with random weights in the layout of their makers."""

from __future__ import annotations

from pathlib import Path

import tiny
import tinyonnx
import torch
from safetensors.torch import save_file
from torch import Tensor

from vidswap.models import hub

RANK, HEADS, DEPTH, TOKENS = 4, 1, 4, 16
LOOK = 32  # width of what the tiny picture encoder gives


class Drawn:
    """Random tensors, one after another."""

    def __init__(self, seed: int) -> None:
        self.chance = torch.Generator().manual_seed(seed)

    def __call__(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.chance) * (shape[-1] ** -0.5 if len(shape) > 1 else 0.3)

    def linear(self, name: str, tall: int, wide: int) -> dict[str, Tensor]:
        return {f"{name}.weight": self(tall, wide), f"{name}.bias": self(tall)}

    def norm(self, name: str, wide: int) -> dict[str, Tensor]:
        return {f"{name}.weight": 1 + self(wide), f"{name}.bias": self(wide)}


def _tokens(draw: Drawn, wide: int) -> dict[str, Tensor]:
    """FaceID's way from a vector to four tokens."""
    return draw.linear("proj.0", 1024, 512) | draw.linear("proj.2", 4 * wide, 1024) | draw.norm("norm", wide)


def _resampler(draw: Drawn, inner: int, told: int, wide: int) -> dict[str, Tensor]:
    found = draw.linear("proj_in", inner, told) | draw.linear("proj_out", wide, inner) | draw.norm("norm_out", wide)
    for number in range(DEPTH):
        name, heads = f"layers.{number}", HEADS * 64
        found |= draw.norm(f"{name}.0.norm1", inner) | draw.norm(f"{name}.0.norm2", inner)
        found |= {f"{name}.0.to_q.weight": draw(heads, inner), f"{name}.0.to_kv.weight": draw(2 * heads, inner),
                  f"{name}.0.to_out.weight": draw(inner, heads)}  # fmt: skip
        found |= draw.norm(f"{name}.1.0", inner)
        found |= {f"{name}.1.1.weight": draw(4 * inner, inner), f"{name}.1.3.weight": draw(inner, 4 * inner)}
    return found


def maker(kind: str, wide: int, draw: Drawn) -> dict[str, Tensor]:
    """What makes tokens of a vector, for a UNet that is told `wide` numbers a token."""
    if kind == "instantid":
        return {"latents": draw(1, TOKENS, 64)} | _resampler(draw, 64, 512, wide)
    found = _tokens(draw, wide)
    if kind == "faceid-plus":
        more = _resampler(draw, wide, LOOK, wide)
        found |= {f"perceiver_resampler.{name}": value for name, value in more.items()}
    return found


def reader(unet, wide: int, draw: Drawn, lora: bool) -> dict[str, Tensor]:
    """What reads them in a UNet, and the LoRA beside."""
    found = {}
    for number, name in enumerate(unet.attn_processors):
        attention = unet.get_submodule(name.removesuffix(".processor"))
        if name.endswith("attn2.processor"):
            tall = attention.to_k.out_features
            found |= {f"{number}.{part}_ip.weight": draw(tall, wide) for part in ("to_k", "to_v")}
        layers = {"to_q": attention.to_q, "to_k": attention.to_k, "to_v": attention.to_v, "to_out": attention.to_out[0]}
        for part, layer in layers.items() if lora else ():
            found[f"{number}.{part}_lora.down.weight"] = draw(RANK, layer.in_features)
            found[f"{number}.{part}_lora.up.weight"] = draw(layer.out_features, RANK)
    return found


def adapter(folder: Path, kind: str, base: str, seed: int = 0) -> Path:
    """A folder with an adapter's file, as it is when it was pulled."""
    draw, unet, wide = Drawn(seed), tiny.unet(base), tiny.WIDTHS[base]
    told, read = maker(kind, wide, draw), reader(unet, wide, draw, lora=kind != "instantid")
    folder.mkdir(parents=True, exist_ok=True)
    weights = {f"image_proj.{name}": value for name, value in told.items()}
    weights |= {f"ip_adapter.{name}": value for name, value in read.items()}
    save_file(weights, folder / f"ip-adapter-{kind}_{base}.safetensors")
    if kind != "instantid":  # beside it lies its LoRA once more, for other programs
        save_file({"lora_unet.weight": torch.zeros(1)}, folder / f"ip-adapter-{kind}_{base}_lora.safetensors")
    return folder


def encoder(folder: Path) -> Path:
    """A folder with a picture encoder of CLIP's kind, of 224 pixels a side."""
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = CLIPVisionConfig(hidden_size=LOOK, intermediate_size=37, num_hidden_layers=2, num_attention_heads=4,
                                  image_size=224, patch_size=56, projection_dim=16)  # fmt: skip
        CLIPVisionModelWithProjection(config).save_pretrained(folder)
    return folder


def control(folder: Path, base: str, seed: int = 0) -> Path:
    """A folder with a ControlNet for a base, whose last layers are not zero, as they would be untrained."""
    from diffusers import ControlNetModel

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = ControlNetModel.from_unet(tiny.unet(base), conditioning_embedding_out_channels=(8, 8, 8, 8))
        for layer in (*net.controlnet_down_blocks, net.controlnet_mid_block, net.controlnet_cond_embedding.conv_out):
            torch.nn.init.normal_(layer.weight, std=0.1)
        net.save_pretrained(folder)
    return folder


def pulled(home: Path, *names: str, seed: int = 0) -> None:
    """Put entries of the registry into the folder of what was pulled, hub.home(). Packs must pass for the true ones."""
    for name in names:
        entry = hub.entry(name)
        place, (kind, _, base) = home / name / entry.path, name.rpartition("-")
        if name in ("buffalo_l", "antelopev2"):
            tinyonnx.pack(place, name, seed)
        elif name == "clip-vit-h":
            encoder(place)
        elif "controlnet" in name:
            control(place, "sdxl" if kind == "instantid" else base, seed)
        else:
            adapter(place, *((name, "sdxl") if name == "instantid" else (kind, base)), seed)
        hub.seal(name)
