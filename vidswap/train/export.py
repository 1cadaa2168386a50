"""A trained net -> the file that ships: ONNX, held against what torch says, or diffusers' folder of safetensors."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn
from torch.jit import TracerWarning  # type: ignore[attr-defined]

from vidswap.errors import ModelError
from vidswap.files import as_output_error, whole

OPSET = 17
NEAR = 1e-3  # most that an answer of the file may be off, over the largest there is, or 1


def save_onnx(
    net: nn.Module, given: Tensor | tuple[Tensor, ...], names: Sequence[str], target: Path,
    free: Mapping[str, Mapping[int, str]],
) -> Path:  # fmt: skip
    """Write a net as ONNX, whole or not at all; batch norms are folded into the convolutions. `given` is a likely
    input, or several, whose sizes stay but for the axes that are `free`; `names` are of the inputs, then of the
    outputs. Raises ModelError where the file does not answer as the net does, OutputError."""
    inputs = given if isinstance(given, tuple) else (given,)
    plain = deepcopy(net).cpu().float().eval().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    target.parent.mkdir(parents=True, exist_ok=True)
    with as_output_error(target), whole(target) as part:
        with warnings.catch_warnings():  # the newer exporter needs a package more, and gives these nets the same graph
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", TracerWarning)  # of sizes that are looked at, which stay
            torch.onnx.export(
                plain, inputs, str(part), dynamo=False, opset_version=OPSET,
                input_names=list(names[: len(inputs)]), output_names=list(names[len(inputs) :]),
                dynamic_axes={name: dict(axes) for name, axes in free.items()},
            )  # fmt: skip
        check_alike(plain, part, inputs, names)
    return target


@torch.no_grad()
def check_alike(net: nn.Module, file: Path, given: tuple[Tensor, ...], names: Sequence[str]) -> None:
    """Raise ModelError where a file does not answer as the net does."""
    answer, outputs = net(*given), names[len(given) :]
    wanted = [part.numpy() for part in (answer if isinstance(answer, tuple) else (answer,))]
    session = onnxruntime.InferenceSession(file.read_bytes(), providers=["CPUExecutionProvider"])
    found = session.run(list(outputs), {name: each.numpy() for name, each in zip(names, given, strict=False)})
    for name, one, other in zip(outputs, wanted, found, strict=True):
        off = float(np.abs(one - other).max() / max(1.0, float(np.abs(one).max())))
        if not off <= NEAR:
            raise ModelError(f"what was exported says something else than the net: {name} is off by {off:.2g}",
                             "the exporter does not know some part of it")  # fmt: skip


def save_pipeline(net: Any, scheduler: Any, folder: Path) -> Path:
    """Write a U-Net of diffusers in 16 bits, its noise levels and their index as diffusers reads them. Raises
    ModelError where a weight is no number."""
    half = deepcopy(net).cpu().to(memory_format=torch.contiguous_format)
    for weights in half.parameters():
        weights.data = weights.data.half()
        if not bool(weights.isfinite().all()):
            raise ModelError("a weight is no number, or too large for 16 bits", "train with a lower rate")
    half.save_pretrained(folder / "unet", safe_serialization=True)
    _forget_origin(folder / "unet" / "config.json")
    scheduler.save_pretrained(folder / "scheduler")
    index = {"_class_name": "DDPMPipeline", "_diffusers_version": "0.42.1", "unet": ["diffusers", "UNet2DModel"],
             "scheduler": ["diffusers", type(scheduler).__name__]}  # fmt: skip
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")
    return folder


def _forget_origin(config: Path) -> None:
    """Take out of a net's configuration from which folder it was loaded: that is a path of one machine."""
    told = json.loads(config.read_text())
    told.pop("_name_or_path", None)
    config.write_text(json.dumps(told, indent=2, sort_keys=True) + "\n")
