"""FLUX's pipelines with tiny random weights, in the very layout and key names of the hub's folders."""

from pathlib import Path

import torch

from vidswap.swap.taef2 import taef2

LETTERS = "abcdefghijklmnopqrstuvwxyz"
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LATENT = 4  # channels of an autoencoder


def klein(folder: Path, *, distilled: bool = True) -> Path:
    """FLUX.2 klein: its autoencoder has means and deviations of latents, as trained ones have."""
    from diffusers import (
        AutoencoderKLFlux2,
        FlowMatchEulerDiscreteScheduler,
        Flux2KleinPipeline,
        Flux2Transformer2DModel,
    )
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(0)
    words = _words_of_qwen()
    transformer = Flux2Transformer2DModel(
        in_channels=4 * LATENT, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=48, axes_dims_rope=(4, 4, 4, 4), guidance_embeds=False,
    )  # fmt: skip
    autoencoder = AutoencoderKLFlux2(block_out_channels=(8,) * 4, latent_channels=LATENT, norm_num_groups=4)
    autoencoder.bn.running_mean.uniform_(-0.2, 0.2)
    autoencoder.bn.running_var.uniform_(0.2, 0.6)
    encoder = Qwen3ForCausalLM(Qwen3Config(
        vocab_size=len(words), hidden_size=16, intermediate_size=16, num_hidden_layers=27, num_attention_heads=2,
        num_key_value_heads=2, head_dim=8,
    ))  # fmt: skip
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True)
    Flux2KleinPipeline(scheduler, autoencoder, encoder, words, transformer, distilled).save_pretrained(folder)
    return folder


def _words_of_qwen():
    from transformers import Qwen2Tokenizer

    signs = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *LETTERS, *LETTERS.upper(), *"ĠĊ.,:;!?-'0123456789"]
    vocabulary = {sign: number for number, sign in enumerate(signs)}
    words = Qwen2Tokenizer(vocab=vocabulary, merges=[], unk_token=signs[0], pad_token=signs[0], eos_token=signs[2])
    words.chat_template = TEMPLATE
    return words


def fill(folder: Path) -> Path:
    """FLUX.1 Fill."""
    from diffusers import FluxFillPipeline

    FluxFillPipeline(**_flux1(4 * LATENT * 2 + 256)).save_pretrained(folder)
    return folder


def kontext(folder: Path) -> Path:
    """FLUX.1 Kontext."""
    from diffusers import FluxKontextPipeline

    FluxKontextPipeline(**_flux1(4 * LATENT)).save_pretrained(folder)
    return folder


def _flux1(channels: int) -> dict:
    from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxTransformer2DModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer, T5Config, T5EncoderModel, T5TokenizerFast

    torch.manual_seed(0)
    signs = [*LETTERS, *(f"{letter}</w>" for letter in LETTERS), "<|startoftext|>", "<|endoftext|>"]
    words = CLIPTokenizer(vocab={sign: i for i, sign in enumerate(signs)}, merges=[], model_max_length=77)
    words_2 = T5TokenizerFast(model_max_length=512)
    return {
        "scheduler": FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
        "vae": AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(8,) * 4, latent_channels=LATENT, norm_num_groups=4, use_quant_conv=False,
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
            in_channels=channels, out_channels=4 * LATENT, num_layers=1, num_single_layers=1, attention_head_dim=16,
            num_attention_heads=2, joint_attention_dim=32, pooled_projection_dim=32, axes_dims_rope=(4, 4, 8),
            guidance_embeds=True,
        ),
    }  # fmt: skip


BUILDERS = {"klein": klein, "fill": fill, "kontext": kontext}


def tiny_taef2(path: Path) -> Path:
    """The tiny autoencoder as its maker publishes it, narrower."""
    from safetensors.torch import save_file

    torch.manual_seed(0)
    save_file(taef2(8).state_dict(), path)
    return path
