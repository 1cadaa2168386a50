"""Folders of weights as the hub has them, with random numbers in networks so small that a test takes a second.

`base(folder, "sd15" | "sdxl", channels=4 | 9)` writes all of a pipeline: model_index.json, unet, vae, text encoders
with the keys of their makers, tokenizers, scheduler. Widths differ between the bases as they do in truth, so that what
is made for one does not fit the other. `lora(file, "sd15", layout)` writes a LoRA in each layout that there is, and
`pulled(home, *names)` what `vidswap models pull` leaves.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import tiny_flux
import torch
from safetensors.torch import load_file, save_file

from vidswap.models import hub

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789,.-'"
END = "<|endoftext|>"
# as runwayml's and stabilityai's folders have them
SCHEDULERS = {
    "sd15": {"_class_name": "PNDMScheduler", "_diffusers_version": "0.6.0", "beta_end": 0.012,
             "beta_schedule": "scaled_linear", "beta_start": 0.00085, "num_train_timesteps": 1000,
             "set_alpha_to_one": False, "skip_prk_steps": True, "steps_offset": 1, "trained_betas": None,
             "clip_sample": False},
    "sdxl": {"_class_name": "EulerDiscreteScheduler", "_diffusers_version": "0.19.0.dev0", "beta_end": 0.012,
             "beta_schedule": "scaled_linear", "beta_start": 0.00085, "clip_sample": False,
             "interpolation_type": "linear", "num_train_timesteps": 1000, "prediction_type": "epsilon",
             "sample_max_value": 1.0, "set_alpha_to_one": False, "skip_prk_steps": True, "steps_offset": 1,
             "timestep_spacing": "leading", "trained_betas": None, "use_karras_sigmas": False},
}  # fmt: skip
INDEX = {
    "sd15": {"_class_name": "StableDiffusionPipeline", "feature_extractor": ["transformers", "CLIPFeatureExtractor"],
             "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
             "text_encoder": ["transformers", "CLIPTextModel"], "tokenizer": ["transformers", "CLIPTokenizer"]},
    "sdxl": {"_class_name": "StableDiffusionXLPipeline", "force_zeros_for_empty_prompt": True,
             "text_encoder": ["transformers", "CLIPTextModel"], "tokenizer": ["transformers", "CLIPTokenizer"],
             "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
             "tokenizer_2": ["transformers", "CLIPTokenizer"]},
}  # fmt: skip
WIDTHS = {"sd15": 32, "sdxl": 64}  # of what the UNet is told


def base(folder: Path, name: str, channels: int = 4, seed: int = 0) -> Path:
    """The folder, with a base of Stable Diffusion in it; `channels` 9 is one for inpainting."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        unet(name, channels).save_pretrained(folder / "unet")
        vae(0.18215 if name == "sd15" else 0.13025, name == "sdxl").save_pretrained(folder / "vae")
        _text(folder, "", projected=False)
        if name == "sdxl":
            _text(folder, "_2", projected=True)
    if name == "sd15":
        _renamed(folder / "vae" / "diffusion_pytorch_model.safetensors", _as_of_old)
    kind = SCHEDULERS[name]["_class_name"]
    index = INDEX[name] | {
        "_diffusers_version": "0.19.0", "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"], "scheduler": ["diffusers", kind],
    }  # fmt: skip
    _json(folder / "model_index.json", index)
    _json(folder / "scheduler" / "scheduler_config.json", SCHEDULERS[name])
    return folder


def unet(name: str, channels: int = 4):
    """A UNet of the base: blocks of the same kinds in the same order, two of them in place of three and four."""
    from diffusers import UNet2DConditionModel

    shape = {"in_channels": channels, "out_channels": 4, "block_out_channels": (16, 32), "layers_per_block": 1,
             "norm_num_groups": 8, "cross_attention_dim": WIDTHS[name]}  # fmt: skip
    if name == "sd15":
        return UNet2DConditionModel(
            sample_size=64, down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), attention_head_dim=4, **shape,
        )  # fmt: skip
    return UNet2DConditionModel(
        sample_size=128, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), attention_head_dim=(2, 4), use_linear_projection=True,
        addition_embed_type="text_time", addition_time_embed_dim=8, transformer_layers_per_block=(1, 2),
        projection_class_embeddings_input_dim=32 + 6 * 8, **shape,
    )  # fmt: skip


def vae(scale: float = 0.18215, upcast: bool = False):
    """An autoencoder of eight pixels a side to a latent one."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8,) * 4, norm_num_groups=4, latent_channels=4, scaling_factor=scale, force_upcast=upcast,
    )  # fmt: skip


def tiny_vae(folder: Path) -> Path:
    """A folder with an AutoencoderTiny, as taesd's."""
    from diffusers import AutoencoderTiny

    with torch.random.fork_rng():
        torch.manual_seed(0)
        AutoencoderTiny(encoder_block_out_channels=(8,) * 4, decoder_block_out_channels=(8,) * 4,
                        num_encoder_blocks=(1,) * 4, num_decoder_blocks=(1,) * 4).save_pretrained(folder)  # fmt: skip
    return folder


def motion(folder: Path) -> Path:
    """A folder with a motion module for sd15's UNet, as AnimateDiff's."""
    from diffusers import MotionAdapter

    with torch.random.fork_rng():
        torch.manual_seed(0)
        MotionAdapter(block_out_channels=(16, 32), motion_layers_per_block=1, motion_norm_num_groups=8,
                      motion_num_attention_heads=4, motion_max_seq_length=32,
                      use_motion_mid_block=True).save_pretrained(folder)  # fmt: skip
    return folder


def lora(file: Path, name: str, layout: str = "diffusers", seed: int = 0, strong: float = 1.0) -> Path:
    """A LoRA of the attention of a base's UNet, and in kohya's layout of its first text encoder too. Layouts:
    diffusers, peft, kohya (whose SDXL has the blocks' names of its makers)."""
    draw = torch.Generator().manual_seed(seed)
    weights: dict[str, torch.Tensor] = {}
    for layer, module in unet(name).named_modules():
        if not layer.endswith((".to_q", ".to_k", ".to_v", ".to_out.0")) or (layout == "kohya" and "up_" in layer):
            continue
        wide, tall = module.in_features, module.out_features
        down, up = torch.randn(2, wide, generator=draw) / wide**0.5, torch.randn(tall, 2, generator=draw) * strong
        weights |= _as_layout(layer, down, up, layout, name)
    if layout == "kohya":
        for each in ("q_proj", "out_proj"):
            layer = f"lora_te{'1' if name == 'sdxl' else ''}_text_model_encoder_layers_0_self_attn_{each}"
            weights |= _kohya(layer, torch.randn(2, 32, generator=draw), torch.randn(32, 2, generator=draw) * strong)
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file(weights, file)
    return file


def _as_layout(layer: str, down: torch.Tensor, up: torch.Tensor, layout: str, name: str) -> dict[str, torch.Tensor]:
    if layout == "diffusers":
        return {f"unet.{layer}.lora.down.weight": down, f"unet.{layer}.lora.up.weight": up}
    if layout == "peft":
        return {f"unet.{layer}.lora_A.weight": down, f"unet.{layer}.lora_B.weight": up}
    if name == "sdxl":  # of two blocks of one layer: its attention is the fourth of its inputs, and in the middle
        layer = layer.replace("down_blocks.1.attentions.0", "input_blocks.3.1")
        layer = layer.replace("mid_block.attentions.0", "middle_block.1")
    return _kohya(f"lora_unet_{layer.replace('.', '_')}", down, up)


def _kohya(layer: str, down: torch.Tensor, up: torch.Tensor) -> dict[str, torch.Tensor]:
    return {f"{layer}.lora_down.weight": down, f"{layer}.lora_up.weight": up, f"{layer}.alpha": torch.tensor(2.0)}


def faceid(unet, seed: int = 0) -> dict[str, dict[str, torch.Tensor]]:
    """The state of an IP-Adapter FaceID for a UNet, with the LoRA that comes with it."""
    draw = torch.Generator().manual_seed(seed)

    def matrix(tall: int, wide: int) -> torch.Tensor:
        return torch.randn(tall, wide, generator=draw) / wide**0.5

    told = unet.config.cross_attention_dim
    image = {"proj.0.weight": matrix(1024, 512), "proj.0.bias": torch.zeros(1024),
             "proj.2.weight": matrix(4 * told, 1024), "proj.2.bias": torch.zeros(4 * told),
             "norm.weight": torch.ones(told), "norm.bias": torch.zeros(told)}  # fmt: skip
    layers: dict[str, torch.Tensor] = {}
    for number, name in enumerate(unet.attn_processors):
        attention = unet.get_submodule(name.removesuffix(".processor"))
        inner, given = attention.to_q.out_features, attention.to_k.in_features
        if "attn2" in name:
            layers |= {f"{number}.to_{each}_ip.weight": matrix(inner, told) for each in "kv"}
        for each, wide in (("q", attention.to_q.in_features), ("k", given), ("v", given), ("out", inner)):
            layers[f"{number}.to_{each}_lora.down.weight"] = matrix(2, wide)
            layers[f"{number}.to_{each}_lora.up.weight"] = matrix(attention.to_out[0].out_features, 2)
    return {"image_proj": image, "ip_adapter": layers}


def pulled(home: Path, *names: str) -> Path:
    """The folder of what was pulled, with these entries of the registry in it. It must be hub.home() meanwhile."""
    for name in names:
        place, kind = home / name, name.split("-")[-1]
        if name.startswith(("sd15", "sdxl")):
            base(place, name[:4], 9 if name.endswith("inpainting") else 4)
        elif name.startswith("taesd"):
            tiny_vae(place)
        elif name == "taef2":
            tiny_flux.tiny_taef2(place / "taef2.safetensors")
        elif name.startswith("animatediff"):
            motion(place)
        else:
            lora(home / name / Path(hub.entry(name).path), kind, strong=0.1)
        hub.seal(name)
    return home


def _text(folder: Path, which: str, projected: bool) -> None:
    """A text encoder and its tokenizer. Transformers has dropped `text_model.` from some keys; the hub has it."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    words = _tokenizer(folder / f"tokenizer{which}", "!" if which else END)
    end = words[END]
    config = CLIPTextConfig(
        vocab_size=len(words), hidden_size=32, intermediate_size=37, num_hidden_layers=2, num_attention_heads=4,
        projection_dim=32, bos_token_id=words["<|startoftext|>"], eos_token_id=end, pad_token_id=end,
    )  # fmt: skip
    place = folder / f"text_encoder{which}"
    (CLIPTextModelWithProjection if projected else CLIPTextModel)(config).save_pretrained(place)
    more = {"text_model.embeddings.position_ids": torch.arange(77)[None]}  # which nobody reads any more
    _renamed(place / "model.safetensors", _as_on_the_hub, more)


def _renamed(file: Path, name: Callable[[str], str], more: Mapping[str, torch.Tensor] | None = None) -> None:
    save_file({**(more or {}), **{name(key): value for key, value in load_file(file).items()}}, file, {"format": "pt"})


def _as_on_the_hub(key: str) -> str:
    return key if key.startswith(("text_model.", "text_projection.")) else f"text_model.{key}"


def _as_of_old(key: str) -> str:
    """The autoencoder's attention is called in 1.5's files as it was before diffusers renamed it."""
    for new, old in {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}.items():
        key = key.replace(f".attentions.0.{new}.", f".attentions.0.{old}.")
    return key


def _tokenizer(folder: Path, pad: str) -> dict[str, int]:
    """vocab.json and merges.txt of single letters."""
    words = [*LETTERS, "!", *(f"{letter}</w>" for letter in LETTERS), "!</w>", "<|startoftext|>", END]
    vocab = {word: number for number, word in enumerate(words)}
    _json(folder / "vocab.json", vocab)
    (folder / "merges.txt").write_text("#version: 0.2\n")
    _json(folder / "special_tokens_map.json", {"bos_token": "<|startoftext|>", "eos_token": END, "pad_token": pad,
                                               "unk_token": END})  # fmt: skip
    _json(folder / "tokenizer_config.json", {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77,
                                             "pad_token": pad, "do_lower_case": True})  # fmt: skip
    return vocab


def _json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
