"""A pickle of tensors -> safetensors, for the few files whose makers publish no other form. It is read once, as it is
pulled, by torch's weights_only, which makes tensors and containers of them, and refuses all that could run a program.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vidswap.errors import ModelError


def unpickle(path: Path, name: str) -> None:
    """Make of a file, called `name`, one of the same numbers in safetensors; it is deleted where it is no pickle of
    tensors alone. Raises ModelError, OSError."""
    import torch
    from safetensors.torch import save

    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
        content = save({key: tensor.contiguous().clone() for key, tensor in _tensors("", found)})
    except (pickle.UnpicklingError, RuntimeError, ValueError, TypeError, EOFError, KeyError, OSError) as error:
        hint = "it was deleted: pull it again; if that does not help, tell its makers"
        raise ModelError(f"{name} holds more than tensors, or is damaged: it is not opened", hint) from error
    finally:
        path.unlink()
    path.write_bytes(content)


def _tensors(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Tensors by their names: of what is nested, joined by dots. Raises TypeError for what is none."""
    import torch

    if isinstance(value, torch.Tensor):
        yield name, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _tensors(f"{name}.{key}" if name else str(key), inner)
    else:
        raise TypeError(f"{name} is no tensor")
