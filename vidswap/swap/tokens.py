"""Latents as FLUX's transformers read them: squares of 2 x 2 as tokens, each with its place.

FLUX.1 and FLUX.2 lay a square's numbers in the same order (channel, row, column). They differ in how a place is told:
(picture, row, column) and (time, row, column, word); what is painted is picture or time 0, references follow.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

SQUARE = 2  # latent pixels of a token's side
APART = 10  # of FLUX.2's references in time


def tokens(latents: Tensor) -> Tensor:
    """(T, h / 2 * w / 2, 4 C) of latents (T, C, h, w)."""
    return pixel_unshuffle(latents, SQUARE).flatten(2).transpose(1, 2)


def from_tokens(found: Tensor, height: int, width: int) -> Tensor:
    """The latents (T, C, height, width) of their tokens."""
    squares = found.transpose(1, 2).reshape(len(found), -1, height // SQUARE, width // SQUARE)
    return pixel_shuffle(squares, SQUARE)


def mask_tokens(masks: Tensor, width: int) -> Tensor:
    """(T, h / 2 * w / 2, 4 f f) of masks (T, 1, f h, f w): all pixels of a token's square, as Fill reads them."""
    return tokens(pixel_unshuffle(masks, masks.shape[-1] // width))


def places(height: int, width: int, references: int, kind: int) -> Tensor:
    """(N, kind) float32: the places of a picture's tokens, and of its references' after them, all of `height` and
    `width` latent pixels. `kind` 3: FLUX.1's, of which the references are pictures 1, 2 ...; 4: FLUX.2's."""
    rows, columns = torch.arange(height // SQUARE), torch.arange(width // SQUARE)
    down, across = torch.meshgrid(rows, columns, indexing="ij")
    one = torch.zeros(down.numel(), kind)
    one[:, 1], one[:, 2] = down.flatten(), across.flatten()
    found = one.repeat(1 + references, 1)
    found[:, 0] = torch.arange(1 + references).repeat_interleave(len(one)) * (APART if kind == 4 else 1)
    return found


def word_places(count: int, kind: int) -> Tensor:
    """(L, kind) float32: the places of a prompt's tokens: one after another for FLUX.2, all alike for FLUX.1."""
    found = torch.zeros(count, kind)
    if kind == 4:
        found[:, 3] = torch.arange(count)
    return found
