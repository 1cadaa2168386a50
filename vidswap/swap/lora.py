"""LoRAs, of a person or of few steps: read from safetensors in kohya's, diffusers' or peft's layout, checked against
the network that they are for, and baked into its weights.

Baked in they cost nothing at each step, go with any number format and offloading, and cannot be switched off by what is
loaded later, as `load_ip_adapter` does with all that are active.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from torch import Tensor

from vidswap.errors import ConsentError, ModelError, line_of
from vidswap.models.hub import digests_in
from vidswap.models.sound import check_sound
from vidswap.settings import Kind
from vidswap.trust.consent import SWAP, load_consent, permit
from vidswap.types import Consent

MOST_WEIGHT = 4.0  # beyond which no picture comes out
MOST_WORDS = 80  # letters of words that call somebody
PARTS = ("unet", "transformer", "text_encoder", "text_encoder_2")
PLAIN = "base_model.model."  # before all keys of what peft itself saves, which do not say of which network
BAKED = "baked"
_WEIGHT = re.compile(r"[+-]?\d+(\.\d+)?|[+-]?\.\d+")
# What tells a base by its keys' widths: what its cross attention is told.
BASES = {768: "Stable Diffusion 1.5", 1024: "Stable Diffusion 2", 2048: "Stable Diffusion XL", 4096: "FLUX"}


@dataclass(frozen=True)
class Lora:
    """A file, and how much of it is added; 1 as it was trained."""

    path: Path
    weight: float = 1.0

    def __str__(self) -> str:
        return f"{self.path}:{self.weight:g}"


def _loras(value: Any) -> tuple[Lora, ...]:
    """Of "FILE", "FILE:0.8", or several of these."""
    words = [value] if isinstance(value, (str, Path, Lora)) else list(value or ())
    return tuple(word if isinstance(word, Lora) else _lora(str(word)) for word in words)


def _lora(word: str) -> Lora:
    path, colon, weight = word.rpartition(":")
    found = Lora(Path(path), float(weight)) if colon and _WEIGHT.fullmatch(weight) else Lora(Path(word))
    if not abs(found.weight) <= MOST_WEIGHT or not found.path.name:
        raise ValueError
    return found


LORAS = Kind(_loras, f"files of safetensors, each with a weight of -{MOST_WEIGHT:g} to {MOST_WEIGHT:g} after a colon "
             "if it is not 1: anna.safetensors:0.8", "FILE[:WEIGHT]")  # fmt: skip


def digests_of(loras: Sequence[Lora]) -> tuple[tuple[str, float], ...]:
    """What an engine's key depends on: of each file its content, not its name. Raises ModelError."""
    for lora in loras:
        _check_there(lora.path)
    return tuple((digest, lora.weight) for lora in loras for digest in digests_in(lora.path).values())


def bake(pipeline: Any, loras: Sequence[Lora], base: str) -> None:
    """Add LoRAs to the weights of a pipeline of diffusers, for a `base` by its name in words. Raises ModelError: a file
    that is missing, damaged, no LoRA, or one of another base; ConsentError for one of a person who did not agree."""
    for lora in loras:
        weights = read(lora.path)
        plain = all(key.startswith(PLAIN) for key in weights)
        check_consent(lora.path)
        scale = _scale_beside(lora.path) if plain else 1.0
        part = "unet" if hasattr(pipeline, "unet") else "transformer"
        told = {f"{part}.{key.removeprefix(PLAIN)}": value for key, value in weights.items()} if plain else weights
        check_fits(pipeline, told, lora.path, base)
        try:
            # by its path, since what it was trained with is written beside the numbers
            words = {} if plain else {"weight_name": lora.path.name, "local_files_only": True, "use_safetensors": True}
            pipeline.load_lora_weights(told if plain else str(lora.path.parent), adapter_name=BAKED, **words)
        except (OSError, ValueError, RuntimeError, KeyError, AttributeError) as error:
            raise _unusable(lora.path, error) from error
        pipeline.set_adapters([BAKED], [lora.weight * scale])
        parts = [part for part in PARTS if getattr(getattr(pipeline, part, None), "peft_config", None)]
        pipeline.fuse_lora(components=parts, adapter_names=[BAKED])
        pipeline.unload_lora_weights()


def called(prompt: str, loras: Sequence[Lora]) -> str:
    """A prompt with the words before it that LoRAs were trained on, where it has not got them: without these, a person
    is hardly called."""
    for words in filter(None, (trigger_of(lora.path) for lora in loras)):
        prompt = prompt if words.casefold() in prompt.casefold() else f"{words}, {prompt}"
    return prompt


def trigger_of(path: Path) -> str:
    """The words that call what a LoRA was trained on, as its file says (modelspec); "" where it does not."""
    return " ".join(_said_in(path).get("modelspec.trigger_phrase", "").split())[:MOST_WORDS]


def check_consent(path: Path) -> None:
    """Raise ConsentError where the person whose face a LoRA of ours is did not agree to a swap, or does no longer: as
    the record beside it has it, else the file itself. Other programs' files say nothing of that."""
    said, beside = _said_in(path), path.with_suffix(".consent.toml")
    if beside.is_file():
        permit(load_consent(beside), SWAP)
    elif "vidswap.subject" in said:
        try:
            until = date.fromisoformat(said["vidswap.until"]) if "vidswap.until" in said else None
            uses = tuple(map(str, json.loads(said.get("vidswap.uses", "[]"))))
        except (ValueError, TypeError) as error:
            hint = f"put the record beside it, as {beside.name}"
            raise ConsentError(f"{path} does not say what consent it was made with", hint) from error
        permit(Consent(said["vidswap.subject"], uses, until, said.get("vidswap.consent", path.name)), SWAP)


def _said_in(path: Path) -> dict[str, str]:
    """What the header of a file says beside its numbers; what is wrong with it is said where it is read."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            return dict(file.metadata() or {})
    except (OSError, SafetensorError):
        return {}


def read(path: Path) -> dict[str, Tensor]:
    """All tensors of a file. Raises ModelError."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    _check_there(path)
    if path.suffix != ".safetensors":
        raise ModelError(f"{path} is no LoRA in safetensors", "only files that end with .safetensors are opened")
    check_sound(path)
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise _unusable(path, error) from error


def _scale_beside(path: Path) -> float:
    """By how much a LoRA of peft's is multiplied, as the adapter_config.json beside it says."""
    try:
        said = json.loads((path.parent / "adapter_config.json").read_text(encoding="utf-8"))
        alpha, rank = float(said["lora_alpha"]), float(said["r"])
        return alpha / (rank**0.5 if said.get("use_rslora") else rank)
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError) as error:
        raise _unusable(path, ValueError(f"peft keeps its scale in adapter_config.json beside it, {error}")) from error


def check_fits(pipeline: Any, weights: Mapping[str, Tensor], path: Path, base: str) -> None:
    """Raise ModelError where a LoRA is for another base: where a layer that it changes is not there, or is of another
    shape."""
    try:
        told = in_peft_layout(pipeline, weights)
    except (ValueError, KeyError, IndexError, AttributeError) as error:
        raise _other_base(path, weights, base, "its layers have names that it has not") from error
    layers = list(_layers(told))
    if not layers:
        raise ModelError(f"{path} is no LoRA: no layer of it is called so", "name a file that was trained as one")
    for part, layer, down, up in layers:
        module = getattr(pipeline, part, None)
        module = _inner(module, layer) if module is not None else None
        if module is None or not hasattr(module, "weight"):
            raise _other_base(path, weights, base, f"it has no layer {layer}")
        wanted, given = tuple(module.weight.shape[1::-1]), (down.shape[1], up.shape[0])
        if wanted != given:
            what = f"{layer} takes {wanted[0]} and gives {wanted[1]} numbers, the file's {given[0]} and {given[1]}"
            raise _other_base(path, weights, base, what)


def in_peft_layout(pipeline: Any, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Of "unet.mid_block ... .lora_A.weight" the tensor, whatever layout it was in. Raises ValueError and what else
    diffusers does over what is none."""
    from diffusers.utils.state_dict_utils import convert_state_dict_to_diffusers, convert_state_dict_to_peft
    from diffusers.utils.state_dict_utils import convert_unet_state_dict_to_peft as of_network

    more = {"unet_config": pipeline.unet.config} if hasattr(pipeline, "unet") else {}
    told, *_ = _state_of(pipeline, dict(weights), more)
    found: dict[str, Tensor] = {}
    for part in PARTS:
        own = {key.removeprefix(f"{part}."): value for key, value in told.items() if key.startswith(f"{part}.")}
        if not own:
            continue
        if not any("lora_A" in key for key in own):
            text = part.startswith("text")
            own = convert_state_dict_to_peft(convert_state_dict_to_diffusers(own)) if text else of_network(own)
        found |= {f"{part}.{key.replace('.processor.', '.')}": value for key, value in own.items()}
    return {key: value for key, value in found.items() if ".lora_A." in key or ".lora_B." in key}


def _state_of(pipeline: Any, weights: dict[str, Tensor], more: dict[str, Any]) -> tuple[dict[str, Tensor], Any]:
    found = type(pipeline).lora_state_dict(weights, **more)
    return found if isinstance(found, tuple) else (found, None)


def _layers(told: Mapping[str, Tensor]) -> Iterator[tuple[str, str, Tensor, Tensor]]:
    """Part, layer, and the two tensors of each."""
    for key, down in told.items():
        if ".lora_A." in key:
            part, _, layer = key.partition(".lora_A.")[0].partition(".")
            up = told.get(key.replace(".lora_A.", ".lora_B."))
            if up is not None:
                yield part, layer, down, up


def _inner(module: Any, layer: str) -> Any:
    """A layer by its name; Transformers has dropped `text_model.` from those of its encoders."""
    for name in (layer, layer.removeprefix("text_model.")):
        try:
            return module.get_submodule(name)
        except AttributeError:
            continue
    return None


def _other_base(path: Path, weights: Mapping[str, Tensor], base: str, what: str) -> ModelError:
    guess = _base_of(weights)
    of = f", but of {guess}" if guess and guess != base else ""
    return ModelError(f"{path} is no LoRA of {base}{of}: {what}", "choose one that was trained on the engine's base")


def _base_of(weights: Mapping[str, Tensor]) -> str:
    """Which base a LoRA seems to be of; "" where it does not tell."""
    if any("double_blocks" in key or "single_transformer_blocks" in key for key in weights):
        return "FLUX"
    widths = [value.shape[1] for key, value in weights.items()
              if re.search(r"attn2[._]to_k.*(down|lora_A)", key) and value.ndim > 1]  # fmt: skip
    return BASES.get(widths[0], "") if widths else ""


def _check_there(path: Path) -> None:
    if not path.is_file():
        raise ModelError(f"there is no LoRA {path}", "check the path")


def _unusable(path: Path, error: Exception) -> ModelError:
    hint = "name a file in kohya's, diffusers' or peft's layout"
    return ModelError(f"the LoRA {path} cannot be loaded: {line_of(error)}", hint)
