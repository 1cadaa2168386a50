"""Folders of weights as diffusers saves them -> their networks: safetensors alone, nothing asked of the internet, no
code of theirs run. What is missing, damaged or of another kind is one line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from vidswap.errors import ModelError, line_of
from vidswap.swap.placement import DTYPES

CHANNELS = (4, 9)  # of a UNet that takes latents alone, and of one for inpainting
LONGEST = 240  # letters of what a library says
VOCABULARIES = ("tokenizer.json", "vocab.json", "spiece.model")
AGAIN = "pull it again, or name another folder as the engine's weights"


class Kind(Protocol):
    """What is to be loaded: its title in words, and the names of its classes."""

    @property
    def title(self) -> str: ...
    @property
    def pipeline(self) -> str: ...
    @property
    def encoders(self) -> tuple[str, ...]: ...


def loaded(kind: Kind, folder: Path, dtype: str) -> Any:
    """A base's pipeline, on the CPU: the UNet in `dtype`, the autoencoder too, unless it overflows there; what reads
    text in float32. Raises ModelError."""
    import diffusers
    import transformers

    with reading(folder, kind.title):
        _check_unet(_config(folder / "unet"), len(kind.encoders), kind.title)
        upcast = dtype == "float16" and _config(folder / "vae").get("force_upcast", False)
        parts: dict[str, Any] = {
            "unet": network(diffusers.UNet2DConditionModel, folder / "unet", dtype),
            "vae": network(diffusers.AutoencoderKL, folder / "vae", "float32" if upcast else dtype),
        }
        for name, which in zip(kind.encoders, ("", "_2")):
            encoder = getattr(transformers, name)
            parts[f"text_encoder{which}"] = network(encoder, folder / f"text_encoder{which}", "float32")
            parts[f"tokenizer{which}"] = tokenizer(transformers.CLIPTokenizer, folder / f"tokenizer{which}")
        parts["scheduler"] = diffusers.DDIMScheduler.from_pretrained(folder / "scheduler", local_files_only=True)
        guard = {} if len(kind.encoders) > 1 else {
            "safety_checker": None, "feature_extractor": None, "requires_safety_checker": False
        }  # fmt: skip
        return getattr(diffusers, kind.pipeline)(**parts, **guard)


def network(cls: Any, folder: Path, dtype: str) -> Any:
    """A network of diffusers or Transformers of a folder, all of whose weights are there. Raises OSError, ValueError
    and what else they do."""
    _config(folder)
    found, told = cls.from_pretrained(
        folder, dtype=DTYPES[dtype], local_files_only=True, use_safetensors=True, variant=_variant(folder),
        output_loading_info=True,
    )  # fmt: skip
    if told["missing_keys"]:
        raise ValueError(f"{folder.name} lacks {len(told['missing_keys'])} of its weights")
    return found.eval()


def tokenizer(cls: Any, folder: Path) -> Any:
    """A tokenizer of Transformers, which without a list of words would make one that knows none. Raises OSError,
    ValueError and what else it does."""
    if not any((folder / name).is_file() for name in VOCABULARIES):
        raise ValueError(f"its {folder.name} has no words: none of {', '.join(VOCABULARIES)}")
    return cls.from_pretrained(folder, local_files_only=True)


def tiny_vae(folder: Path, dtype: Any) -> Any:
    """An AutoencoderTiny. Raises ModelError."""
    from diffusers import AutoencoderTiny

    with reading(folder, "a tiny autoencoder"):
        return network(AutoencoderTiny, folder, "float32").to(dtype)


def in_motion(unet: Any, folder: Path) -> Any:
    """A UNet that sees several frames together, by a motion module. Raises ModelError."""
    from diffusers import MotionAdapter, UNetMotionModel

    with reading(folder, "a motion module"):
        adapter = network(MotionAdapter, folder, "float32")
        return UNetMotionModel.from_unet2d(unet, adapter).to(unet.dtype).eval()


@contextmanager
def reading(folder: Path, title: str) -> Iterator[None]:
    """What libraries raise over a folder that they cannot load is a ModelError."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        said = line_of(error)
        said = said if len(said) <= LONGEST else f"{said[:LONGEST]} ..."
        raise ModelError(f"{folder} cannot be loaded as {title}: {said}", AGAIN) from error


def _check_unet(config: dict[str, Any], encoders: int, title: str) -> None:
    """Raise ValueError where a UNet is of another base."""
    takes_sizes = config.get("addition_embed_type") == "text_time"
    if takes_sizes != (encoders > 1):
        raise ValueError(f"its UNet is {'of Stable Diffusion XL' if takes_sizes else 'not of Stable Diffusion XL'}")
    if config.get("in_channels") not in CHANNELS:
        raise ValueError(f"its UNet takes {config.get('in_channels')} channels; 4 and 9 (inpainting) are known")


def _config(folder: Path) -> dict[str, Any]:
    found = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise ValueError(f"{folder.name}/config.json is no table")
    return found


def _variant(folder: Path) -> str | None:
    """Which of its precisions a folder has, "fp16"; None where it has the usual."""
    names = [path.name for path in folder.glob("*.safetensors")]
    return "fp16" if names and all(".fp16." in name for name in names) else None
