"""FLUX's pipelines with tiny random weights, in the very layout and key names of the hub's folders."""

from pathlib import Path

import torch

from vidswap.swap.taef2 import taef2

LETTERS = "abcdefghijklmnopqrstuvwxyz"
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
FIRST, SECOND = 4, 32  # channels of the latents; of FLUX.2 as many as its tiny autoencoder has


@torch.random.fork_rng()
def klein(folder: Path, *, distilled: bool = True, seed: int = 0) -> Path:
    """FLUX.2 klein: its autoencoder has means and deviations of latents, as trained ones have."""
    from diffusers import (
        AutoencoderKLFlux2,
        FlowMatchEulerDiscreteScheduler,
        Flux2KleinPipeline,
        Flux2Transformer2DModel,
    )
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(seed)
    words = _words_of_qwen()
    transformer = Flux2Transformer2DModel(
        in_channels=4 * SECOND, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=48, axes_dims_rope=(4, 4, 4, 4), guidance_embeds=False,
    )  # fmt: skip
    autoencoder = AutoencoderKLFlux2(block_out_channels=(8,) * 4, latent_channels=SECOND, norm_num_groups=4)
    autoencoder.bn.running_mean.uniform_(-0.2, 0.2)
    autoencoder.bn.running_var.uniform_(0.2, 0.6)
    encoder = Qwen3ForCausalLM(Qwen3Config(
        vocab_size=len(words), hidden_size=16, intermediate_size=16, num_hidden_layers=27, num_attention_heads=2,
        num_key_value_heads=2, head_dim=8, tie_word_embeddings=True,
    ))  # fmt: skip
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True)
    Flux2KleinPipeline(scheduler, autoencoder, encoder, words, transformer, distilled).save_pretrained(folder)
    return _as_on_the_hub(folder)


def _words_of_qwen():
    from transformers import Qwen2Tokenizer

    signs = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *LETTERS, *LETTERS.upper(), *"ĠĊ.,:;!?-'0123456789"]
    vocabulary = {sign: number for number, sign in enumerate(signs)}
    words = Qwen2Tokenizer(vocab=vocabulary, merges=[], unk_token=signs[0], pad_token=signs[0], eos_token=signs[2])
    words.chat_template = TEMPLATE
    return words


@torch.random.fork_rng()
def fill(folder: Path, *, seed: int = 0) -> Path:
    """FLUX.1 Fill."""
    from diffusers import FluxFillPipeline

    FluxFillPipeline(**_flux1(4 * FIRST * 2 + 256, seed)).save_pretrained(folder)
    return _as_on_the_hub(folder)


@torch.random.fork_rng()
def kontext(folder: Path, *, seed: int = 0) -> Path:
    """FLUX.1 Kontext."""
    from diffusers import FluxKontextPipeline

    FluxKontextPipeline(**_flux1(4 * FIRST, seed)).save_pretrained(folder)
    return _as_on_the_hub(folder)


def _as_on_the_hub(folder: Path) -> Path:
    """The index names tokenizers as the hub's folders do."""
    index = folder / "model_index.json"
    said = index.read_text()
    for name in ("Qwen2Tokenizer", "T5Tokenizer"):
        said = said.replace(f'"{name}"', f'"{name}Fast"')
    index.write_text(said)
    return folder


def _flux1(channels: int, seed: int) -> dict:
    from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxTransformer2DModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer, T5Config, T5EncoderModel, T5TokenizerFast

    torch.manual_seed(seed)
    signs = [*LETTERS, *(f"{letter}</w>" for letter in LETTERS), "<|startoftext|>", "<|endoftext|>"]
    words = CLIPTokenizer(vocab={sign: i for i, sign in enumerate(signs)}, merges=[], model_max_length=77)
    words_2 = T5TokenizerFast(model_max_length=512)
    return {
        "scheduler": FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
        "vae": AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(8,) * 4, latent_channels=FIRST, norm_num_groups=4, use_quant_conv=False,
            use_post_quant_conv=False, shift_factor=0.06, scaling_factor=1.5,
        ),
        "text_encoder": CLIPTextModel(CLIPTextConfig(
            vocab_size=len(words), hidden_size=32, intermediate_size=37, num_hidden_layers=2, num_attention_heads=4,
            bos_token_id=words.bos_token_id, eos_token_id=words.eos_token_id, pad_token_id=words.pad_token_id,
        )),
        "tokenizer": words,
        "text_encoder_2": T5EncoderModel(T5Config(
            vocab_size=len(words_2), d_model=32, d_kv=8, d_ff=37, num_layers=2, num_heads=4,
        )),
        "tokenizer_2": words_2,
        "transformer": FluxTransformer2DModel(
            in_channels=channels, out_channels=4 * FIRST, num_layers=1, num_single_layers=1, attention_head_dim=16,
            num_attention_heads=2, joint_attention_dim=32, pooled_projection_dim=32, axes_dims_rope=(4, 4, 8),
            guidance_embeds=True,
        ),
    }  # fmt: skip


# Layers of a block in diffusers' names and the makers'; the last is FLUX.2's in the one, FLUX.1's in the other.
LAYERS = {"attn.to_out.0": "img_attn_proj", "attn.to_add_out": "txt_attn_proj",
          "ff.linear_in": "img_mlp_0", "ff.net.0.proj": "img_mlp_0"}  # fmt: skip
BUILDERS = {"klein": klein, "fill": fill, "kontext": kontext}


@torch.random.fork_rng()
def tiny_taef2(path: Path) -> Path:
    """The tiny autoencoder as its maker publishes it, narrower."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    save_file(taef2(8).state_dict(), path)
    return path


def lora(file: Path, folder: Path, layout: str = "diffusers", seed: int = 0) -> Path:
    """A LoRA of the transformer of a folder, rank 2: of some layers of its first block."""
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "transformer" / "diffusion_pytorch_model.safetensors")
    draw, found = torch.Generator().manual_seed(seed), {}
    for layer, kohya in LAYERS.items():
        if f"transformer_blocks.0.{layer}.weight" not in weights:
            continue
        tall, wide = weights[f"transformer_blocks.0.{layer}.weight"].shape
        down, up = torch.randn(2, wide, generator=draw) / wide**0.5, torch.randn(tall, 2, generator=draw)
        if layout == "kohya":
            name = f"lora_unet_double_blocks_0_{kohya}"
            found |= {f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up}
            found[f"{name}.alpha"] = torch.tensor(2.0)
        else:
            name = f"transformer.transformer_blocks.0.{layer}"
            found |= {f"{name}.lora_A.weight": down, f"{name}.lora_B.weight": up}
    save_file(found, file)
    return file
