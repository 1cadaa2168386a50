"""The tiny autoencoder of FLUX.2's latents (taef2, madebyollin/taesd): the architecture of diffusers' AutoencoderTiny,
but its three coarsest blocks of each half look at the whole picture as well, which diffusers does not know.

Its latents are those that the transformer sees: the batch norm of FLUX.2's own autoencoder is not applied to them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vidswap.errors import ModelError, line_of

CHANNELS, WIDE, GROUPS = 32, 4, 4
COARSE = {"encoder": slice(11, 14), "decoder": slice(2, 5)}  # the places of those blocks


def _whole_block(channels: int) -> Any:
    """One of diffusers' blocks that first adds what a norm over the whole picture tells."""
    from diffusers.models.unets.unet_2d_blocks import AutoencoderTinyBlock

    class Block(AutoencoderTinyBlock):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(channels, channels, "relu")
            self.pool = nn.Sequential(
                nn.Conv2d(channels, WIDE * channels, 1, bias=False), nn.GroupNorm(GROUPS, WIDE * channels), nn.ReLU(),
                nn.Conv2d(WIDE * channels, channels, 1, bias=False),
            )  # fmt: skip

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x + self.pool(x))  # type: ignore[no-any-return]

    return Block()


def taef2(channels: int = 64) -> Any:
    """The autoencoder, its weights not set yet; `channels` wide."""
    from diffusers import AutoencoderTiny

    wide = (channels,) * 4
    made = AutoencoderTiny(encoder_block_out_channels=wide, decoder_block_out_channels=wide, latent_channels=CHANNELS)
    for half, coarse in COARSE.items():
        layers = getattr(made, half).layers
        for place in range(coarse.start, coarse.stop):
            layers[place] = _whole_block(channels)
    return made


def load_taef2(path: Path, dtype: torch.dtype) -> Any:
    """The autoencoder of a .safetensors file as its maker publishes it. Raises ModelError."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        weights = load_file(path)
        made = taef2(len(weights["encoder.layers.0.bias"]))
        made.load_state_dict(weights)
    except (OSError, SafetensorError, KeyError, RuntimeError) as error:
        raise ModelError(f"{path} is not taef2: {line_of(error)}", "`vidswap models pull taef2` gets it") from error
    for half in COARSE:
        getattr(made, half).to(dtype)
    return made.eval()
