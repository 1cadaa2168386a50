"""What a trained LoRA leaves: its weights as other tools load them, whose consent it rests on, a card, and a sheet."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from vidswap.errors import ModelError, UsageError
from vidswap.files import as_output_error, write_whole
from vidswap.trust.disclosure import SOURCE_TYPE
from vidswap.types import Array, Consent
from vidswap.write.sheets import HEAD, INK, MARGIN, PAPER, inscribe, write_picture

LAYOUTS = ("diffusers", "kohya")
TALL, ACROSS, MOST = 256, 4, 12  # pixels of a picture on a sheet; how many in a row; photos at most


@dataclass(frozen=True)
class About:
    """What a file says of itself. `trigger` are the words that call the person; `photos` is the digest of those."""

    name: str
    base: str
    architecture: str
    licence: str
    trigger: str
    photos: str
    rank: int
    alpha: float
    steps: int
    side: int
    consent: Consent
    made_by: str

    def metadata(self) -> dict[str, str]:
        """For the file's header: ours, and under the names that other tools look for (modelspec of Stability AI,
        kohya's ss_)."""
        until = self.consent.until.isoformat() if self.consent.until else ""
        own = {"base": self.base, "token": self.trigger, "rank": self.rank, "alpha": self.alpha, "photos": self.photos,
               "consent": self.consent.record, "subject": self.consent.subject, 
               "uses": json.dumps(self.consent.uses) if self.consent.uses else "",
               "until": until, "made_by": self.made_by, "steps": self.steps, "side": self.side}  # fmt: skip
        modelspec = {"sai_model_spec": "1.0.0", "architecture": self.architecture, "title": self.name,
                     "implementation": "diffusers", "trigger_phrase": self.trigger, "license": self.licence,
                     "resolution": f"{self.side}x{self.side}"}  # fmt: skip
        # what is written is scaled already, so for whoever asks, alpha is the rank
        kohya = {"ss_network_module": "networks.lora", "ss_network_dim": self.rank, "ss_network_alpha": self.rank}
        told = {f"vidswap.{name}": value for name, value in own.items()}
        return {name: str(value) for name, value in
                {"format": "pt", **told, **{f"modelspec.{k}": v for k, v in modelspec.items()}, **kohya}.items()
                if value != ""}  # fmt: skip


# -- weights ----------------------------------------------------------------------------------------------------------


def save_lora(state: Mapping[str, Tensor], about: About, part: str, layout: str, target: Path) -> Path:
    """Write PEFT's `state` of a network, `part` of its pipeline, equal bytes for equal weights. Raises OutputError,
    and ModelError where a weight is no number."""
    from safetensors.torch import save

    if not all(bool(weights.isfinite().all()) for weights in state.values()):
        raise ModelError("a weight is no number", "train with a lower rate")
    named = named_in(scaled(state, about.alpha / about.rank), part, layout)
    content = in_order(save(named, about.metadata()))
    with as_output_error(target):
        write_whole(target, content)
    return target


def scaled(state: Mapping[str, Tensor], by: float) -> dict[str, Tensor]:
    """Weights that need no alpha: tools that know none take it for the rank, whereby nothing is scaled."""
    return {name: (weights * by if ".lora_B." in name else weights).float().cpu().contiguous()
            for name, weights in state.items()}  # fmt: skip


def named_in(state: Mapping[str, Tensor], part: str, layout: str) -> dict[str, Tensor]:
    """Weights by the names of a layout. Raises UsageError for kohya's of a transformer, which has other layers."""
    from diffusers.utils import convert_state_dict_to_diffusers, convert_state_dict_to_kohya

    known = {f"{part}.{name}": weights for name, weights in state.items()}
    if layout == "kohya":
        if part != "unet":
            raise UsageError("kohya's layout has no names for this base", "use layout=diffusers, which tools load too")
        return {name: value.float() for name, value in convert_state_dict_to_kohya(known).items()}
    return dict(convert_state_dict_to_diffusers(known)) if part == "unet" else known


def in_order(content: bytes) -> bytes:
    """A safetensors file with its header in order: as it is saved, that of the metadata is another each time."""
    size = int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8 : 8 + size]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + content[8 + size :]


# -- consent and card -------------------------------------------------------------------------------------------------


def save_consent(about: About, target: Path) -> Path:
    """Write the consent that a LoRA was made with, as a record like any other. Raises OutputError."""
    own = about.consent
    lines = [f"# Whose face is in {about.name}.safetensors, and what for; of {own.record}, photos {about.photos}",
             f"subject = {_toml(own.subject)}"]  # fmt: skip
    lines += [f"uses = [{', '.join(map(_toml, own.uses))}]"] * bool(own.uses)
    lines += [f"until = {own.until}"] * bool(own.until)
    return _written(target, lines)


def save_card(about: About, target: Path) -> Path:
    """Write what a person should know before they use or share a LoRA. Raises OutputError."""
    own = about.consent
    uses, until = ", ".join(own.uses) or "any use on this machine", f" until {own.until}" if own.until else ""
    return _written(target, [
        f"# {about.name}: a LoRA of a person's face",
        "",
        f"- made by {about.made_by}, {about.steps} steps at {about.side} pixels, rank {about.rank}",
        f"- base: {about.base}; its licence carries over: {about.licence}",
        f"- called by the words `{about.trigger}`",
        f"- the face of {own.subject}, who agreed to: {uses}{until}; the consent goes with the file",
        f"- photos: {about.photos}",
        f"- what it makes is AI-generated, and is to be labelled so ({SOURCE_TYPE})",
    ])  # fmt: skip


def _toml(words: str) -> str:
    return json.dumps(words, ensure_ascii=False).replace("\x7f", "\\u007f")


def _written(target: Path, lines: Sequence[str]) -> Path:
    with as_output_error(target):
        write_whole(target, ("\n".join(lines) + "\n").encode())
    return target


# -- the sheet --------------------------------------------------------------------------------------------------------


def save_sheet(photos: Sequence[Array], samples: Sequence[Array], about: About, target: Path) -> Path:
    """Draw the person's photos, and beside them what the LoRA makes; pictures (S, S, 3) uint8. Raises OutputError."""
    left, right = block(photos[:MOST]), block(samples)
    gap = np.full((max(len(left), len(right)), 3 * MARGIN, 3), PAPER, np.uint8)
    page = np.hstack([_tall(left, len(gap)), gap, _tall(right, len(gap))])
    page = np.vstack([np.full((HEAD, page.shape[1], 3), PAPER, np.uint8), page])
    inscribe(page, "photos", (MARGIN, HEAD - 12), 0.55, INK)
    place = left.shape[1] + gap.shape[1]
    words = f"AI-generated: {about.trigger}, seeds 0 to {len(samples) - 1}"
    inscribe(page, words, (place + MARGIN, HEAD - 12), 0.55, INK)
    write_picture(target, page)
    return target


def block(pictures: Sequence[Array]) -> Array:
    """Pictures in rows, (H, W, 3) uint8."""
    step = TALL + MARGIN
    columns, rows = min(ACROSS, len(pictures)), -(-len(pictures) // ACROSS)
    page = np.full((rows * step + MARGIN, columns * step + MARGIN, 3), PAPER, np.uint8)
    for number, picture in enumerate(pictures):
        top, left = (MARGIN + step * place for place in divmod(number, ACROSS))
        kind = cv2.INTER_AREA if len(picture) > TALL else cv2.INTER_CUBIC
        page[top : top + TALL, left : left + TALL] = cv2.resize(picture, (TALL, TALL), interpolation=kind)
    return page


def _tall(page: Array, height: int) -> Array:
    room = np.full((height - len(page), *page.shape[1:]), PAPER, np.uint8)
    return np.vstack([page, room])


def as_picture(found: Any) -> Array:
    """(S, S, 3) uint8 of a picture in [0, 1]."""
    return np.asarray(np.rint(np.clip(np.nan_to_num(np.asarray(found, np.float32)), 0, 1) * 255), np.uint8)


def as_tensor(pictures: Sequence[Array]) -> Tensor:
    """(B, 3, S, S) float32 in [-1, 1] of pictures (S, S, 3) uint8."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1
