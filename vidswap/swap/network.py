"""The network of the engine `embedded`, and in which numbers it computes: bfloat16 where the processor has units for
them, float32 elsewhere.

Without such units bfloat16 is emulated and takes a multiple of float32's time. No list of processors says so for
certain, so a pass of the network itself is timed in both when it is first used on a machine, and what was found is
kept in a folder: a render that goes on must go on in the numbers it began with. Without a folder it is found anew.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from math import inf
from pathlib import Path
from time import perf_counter
from types import MappingProxyType
from typing import Any, Literal

import torch
from filelock import FileLock
from torch import Tensor

from vidswap.errors import ModelError
from vidswap.files import write_whole
from vidswap.keys import key_of, packages
from vidswap.models.registry import path_to, registry
from vidswap.processor import processor

DTYPES = MappingProxyType({"bfloat16": torch.bfloat16, "float32": torch.float32})
DECISIVE = 1.1  # with units for it bfloat16 is 1.4 times as quick and more, without them it is at most half as quick
ROUNDS = 4  # the best of each counts: others work on the machine too
TRIAL_SIDE = 32  # of what the network is tried on: half of what it works on
PATIENCE = 60  # seconds that another's trial may take


@dataclass(frozen=True)
class Trial:
    """Seconds that a pass of the network over one small picture took, the best of ROUNDS, in each kind of numbers."""

    bfloat16: float
    float32: float

    @property
    def dtype(self) -> Literal["bfloat16", "float32"]:
        """The kind to use: float32 is the more exact, so bfloat16 must be worth it."""
        return "bfloat16" if self.bfloat16 * DECISIVE < self.float32 else "float32"

    def __str__(self) -> str:
        times = f"{1000 * self.bfloat16:.0f} ms in bfloat16, {1000 * self.float32:.0f} ms in float32"
        return f"{self.dtype} (a trial took {times})"


def measured(passes: Mapping[str, Callable[[], object]]) -> Trial:
    """Time the passes, named as the fields of Trial, in turn."""
    best = dict.fromkeys(passes, inf)
    for _ in range(ROUNDS):
        for name, run in passes.items():
            began = perf_counter()
            run()
            best[name] = min(best[name], perf_counter() - began)
    return Trial(**best)


def network_in(dtype: str) -> Any:
    """The network, its weights as numbers of DTYPES. Raises ModelError."""
    from diffusers import UNet2DModel

    try:
        network = UNet2DModel.from_pretrained(
            path_to("swapper") / "unet", dtype=DTYPES[dtype], local_files_only=True, use_safetensors=True,
            low_cpu_mem_usage=False,
        )  # fmt: skip
    except (OSError, ValueError) as error:
        raise unusable(error) from error
    return network.to(memory_format=torch.channels_last).eval()


def tried(cache: Path | None) -> Trial:
    """How quick the network is in which numbers on this processor, as kept in `cache`, or found now: that takes a
    second. Raises ModelError."""
    weights = [file.sha256 for file in registry()["swapper"].files]
    known = processor()
    able = (known.name, known.features, torch.backends.cpu.get_cpu_capability())
    key = key_of((able, packages("torch", "diffusers"), weights))
    with _alone(cache):
        trial = recalled(cache, key)
        if trial is None:
            trial = measured({name: partial(_pass, network_in(name)) for name in DTYPES})
            keep(cache, key, trial)
    return trial


@contextmanager
def _alone(folder: Path | None) -> Iterator[None]:
    """Meanwhile nobody else who keeps trials in the folder tries: what ran beside a trial would be measured with it."""
    with ExitStack() as life:
        with suppress(OSError, NotImplementedError):  # nothing can be written or locked there, or it takes too long
            if folder:
                folder.mkdir(parents=True, exist_ok=True)
                life.enter_context(FileLock(folder / "lock.trial", PATIENCE, fallback_to_soft=False))
        yield


@torch.inference_mode()
def _pass(network: Any) -> Tensor:
    """The network over a small picture."""
    shape = (1, network.config.in_channels, TRIAL_SIDE, TRIAL_SIDE)
    picture = torch.zeros(shape, dtype=network.dtype)
    picture = picture.contiguous(memory_format=torch.channels_last)
    return network(picture, torch.zeros(1), return_dict=False)[0]  # type: ignore[no-any-return]


def recalled(folder: Path | None, key: str) -> Trial | None:
    """What was kept of a trial; None where that is nothing, or damaged."""
    with suppress(OSError, ValueError):
        found = json.loads(_place(folder, key).read_text()) if folder else None
        if isinstance(found, dict) and all(isinstance(found.get(name), float) for name in DTYPES):
            return Trial(**{name: found[name] for name in DTYPES})
    return None


def keep(folder: Path | None, key: str, trial: Trial) -> None:
    """Keep a trial for the next time; where that cannot be, there will be another."""
    if folder:
        with suppress(OSError):
            write_whole(_place(folder, key), json.dumps(asdict(trial)).encode())


def _place(folder: Path, key: str) -> Path:
    return folder / f"{key}.trial"


def unusable(error: Exception) -> ModelError:
    """What diffusers raises over files that it cannot load, in our words."""
    return ModelError(f"the swapper cannot be loaded: {error}", "run `vidswap models verify`")
