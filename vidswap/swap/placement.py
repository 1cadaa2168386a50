"""Where a big model computes, in which numbers, how much of it lies on the card, and how many frames at once.

What an engine needs is an estimate, from the number of its weights and the size of what flows through it; what really
fits is found on the way: where memory is short, batches are halved.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

import torch
from torch import Tensor

from vidswap.errors import EngineError, UsageError
from vidswap.processor import processor
from vidswap.settings import Kind
from vidswap.swap.windows import windows

DTYPES = MappingProxyType({"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32})
SHORT_OF_MEMORY = ("out of memory", "can't allocate memory", "cudnn_status_alloc_failed", "cublas_status_alloc_failed")
UNITS = ("amx_bf16", "avx512_bf16", "bf16")  # of processors that compute in bfloat16 without emulating it
BATCHES = (8, 4, 2, 1)
FREE = 0.9  # of what a card has free: the rest is for what libraries take
STREAMED = 0.1  # of a network whose groups come onto the card one after another
TILE, TILED = 512, 0.8  # pixels of a tile's side, and GB to decode one
_DEVICE = re.compile(r"auto|cpu|mps|(cuda|xpu)(:\d{1,2})?")
Offload = Literal["none", "model", "groups"]


def _device(value: Any) -> str:
    if not isinstance(value, str) or not _DEVICE.fullmatch(value):
        raise ValueError
    return value


DEVICE = Kind(_device, "auto, cpu, cuda, cuda:1, mps, xpu", "auto|cpu|cuda|mps|xpu")


@dataclass(frozen=True)
class Footprint:
    """GB that a model takes in 16-bit numbers, about: its `network` and the `rest`; the network's `work` on one frame,
    and to `decode` one. Estimates, not measured: weights as they are counted, and half more than the tensors that live
    at once."""

    network: float
    rest: float
    work: float
    decode: float

    def for_sides(self, known: int, size: int) -> Footprint:
        """What pictures of another `size` take, where this is that of a `known` one."""
        more = (size / known) ** 2
        return replace(self, work=self.work * more, decode=self.decode * more)


@dataclass(frozen=True)
class Placement:
    """`batch` frames are handed over at once. `offload` "model": network and autoencoder take turns on the card;
    "groups": the network's layers follow one another there. `fp8`: its weights lie there in 8 bits. `tiled`: pictures
    are decoded in parts."""

    device: str
    dtype: str
    batch: int = BATCHES[0]
    offload: Offload = "none"
    fp8: bool = False
    tiled: bool = False

    @property
    def exact(self) -> bool:
        """Whether equal questions are answered with equal bits: sums are left to the order of a card's threads."""
        return self.device == "cpu"


# Ways to place a model, quickest first: offload, fp8, tiled. Turns cost a copy a window; 8 bits some quality; groups a
# copy at each step.
WAYS: tuple[tuple[Offload, bool, bool], ...] = (
    ("none", False, False), ("none", False, True), ("model", False, True), ("model", True, True),
    ("groups", False, True), ("groups", True, True),
)  # fmt: skip


def needed(found: Placement, what: Footprint) -> float:
    """GB that a placement takes on the card, about."""
    wide = 2 if found.dtype == "float32" else 1
    network = what.network * (0.5 if found.fp8 else wide)
    work = what.work * wide * found.batch
    decode = wide * (TILED if found.tiled else what.decode)
    rest = what.rest * wide
    if found.offload == "none":
        return network + rest + max(work, decode)
    if found.offload == "model":
        return max(network + work, rest + decode)
    return max(network * STREAMED + work, rest + decode)


def placement(
    device: str, dtype: str, what: Footprint, vram: float | None, batches: Sequence[int] = BATCHES
) -> Placement:
    """The quickest way to place a model in so many GB, and the largest of `batches` that goes with it; where nothing
    fits, the smallest. None is no limit. Of a processor's memory nothing can be offloaded."""
    ways = WAYS if device.startswith(("cuda", "xpu")) else WAYS[:2]
    plain = dtype != "float32"
    every = [Placement(device, dtype, batch, offload, fp8, tiled)
             for offload, fp8, tiled in ways if plain or not fp8 for batch in batches]  # fmt: skip
    if vram is None:
        return every[0]
    return next((each for each in every if needed(each, what) <= vram), every[-1])


def device_of(chosen: str) -> str:
    """The device that a setting means: with auto, a card where there is one. Raises UsageError for one that is not
    there."""
    found = {"cuda": torch.cuda.is_available(), "xpu": torch.xpu.is_available(), "cpu": True,
             "mps": torch.backends.mps.is_available()}  # fmt: skip
    if chosen == "auto":
        return next((name for name in ("cuda", "xpu", "mps") if found[name]), "cpu")
    kind, _, number = chosen.partition(":")
    if not found[kind] or (number and int(number) >= getattr(torch, kind).device_count()):
        there = ", ".join(name for name, is_there in found.items() if is_there)
        raise UsageError(f"this machine has no {chosen} that torch can use", f"it has: {there}")
    return chosen


def dtype_of(chosen: str, device: str) -> str:
    """The numbers that a setting means: with auto 16 bits, but on a processor only where it has units for them."""
    if chosen != "auto":
        return chosen
    if device == "cpu":
        return "bfloat16" if any(unit in processor().features for unit in UNITS) else "float32"
    return "float16"


def room(device: str) -> float | None:
    """GB that are free on a device; None where that is not told."""
    if device.startswith("cuda"):
        return torch.cuda.mem_get_info(device)[0] / 1e9 * FREE
    return torch.mps.recommended_max_memory() / 1e9 * FREE if device == "mps" else None


@dataclass(frozen=True, eq=False)
class Placed:
    """Networks where they compute. `bring` has one there when it is needed."""

    placement: Placement
    modules: tuple[Any, ...]

    @property
    def device(self) -> str:
        return self.placement.device

    def bring(self, module: Any) -> Any:
        """The module, on its device; those that take turns with it leave."""
        if self.placement.offload == "model" and module.device.type == "cpu":
            for other in self.modules:
                if other is not module:
                    other.to("cpu")
            freed(self.device)
            module.to(self.device)
        return module


def placed(found: Placement, network: Any, vae: Any) -> Placed:
    """A network and its autoencoder, placed so: pictures are decoded in tiles, weights cast, groups offloaded."""
    vae.to(memory_format=torch.channels_last)
    vae.enable_slicing()  # one picture after another: a batch of them is not quicker, and takes memory
    if found.tiled:
        _in_tiles(vae)
    network.to(memory_format=torch.channels_last)
    if found.fp8:
        network.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=DTYPES[found.dtype])
    if found.offload == "none":
        network.to(found.device)
    if found.offload == "groups":
        network.enable_group_offload(
            onload_device=torch.device(found.device), offload_device=torch.device("cpu"), offload_type="leaf_level",
            use_stream=found.device.startswith("cuda"),
        )  # fmt: skip
    if found.offload != "model":
        vae.to(found.device)
    return Placed(found, (network, vae) if found.offload == "model" else ())


def _in_tiles(vae: Any) -> None:
    """Let an autoencoder work on pictures in tiles: by itself diffusers tiles only those that are larger than what it
    was trained on."""
    vae.enable_tiling()
    if vae.tile_sample_min_size > TILE:
        vae.tile_latent_min_size = vae.tile_latent_min_size * TILE // vae.tile_sample_min_size
        vae.tile_sample_min_size = TILE


def let_go(module: Any, found: Placement) -> None:
    """Give a network's memory back, whoever still holds it."""
    if found.offload != "groups":  # whose hooks bring and take weights themselves
        module.to("meta")
    freed(found.device)


@dataclass(eq=False)
class Batches:
    """How many frames a model is handed at once. Where memory is short that halves, and stays so: what fits is found
    once. It changes how quick answers are, and no more than their last bits."""

    most: int
    device: str = "cpu"
    halved: int = field(default=0, init=False)

    def over(self, count: int, part: Callable[[slice], Tensor], shared: int = 0) -> Tensor:
        """`part` of the rows [0, count) in batches, joined; those that batches share are faded into one another. Raises
        EngineError where memory is short for one row."""
        while True:
            try:
                return _joined(part, _windows(count, self.most, shared))
            except RuntimeError as error:
                if not is_short_of_memory(error):
                    raise
                if self.most == 1:
                    hint = "give the engine a smaller size, a lower vram, or device=cpu; or choose another engine"
                    raise EngineError("memory is short even for one frame at a time", hint) from error
            self.most, self.halved = min(self.most, count) // 2 or 1, self.halved + 1
            freed(self.device)


def _windows(count: int, size: int, shared: int) -> Iterator[tuple[slice, Tensor]]:
    """Rows, and how much their answers count."""
    for window in windows(0, count, size, min(shared, size // 2)):
        yield slice(window.start, window.stop), torch.from_numpy(window.weight)


def _joined(part: Callable[[slice], Tensor], pieces: Iterator[tuple[slice, Tensor]]) -> Tensor:
    answers = [(rows, weight, part(rows)) for rows, weight in pieces]
    first = answers[0][2]
    found = first.new_zeros((answers[-1][0].stop, *first.shape[1:]))
    for rows, weight, answer in answers:
        found[rows] += answer * weight.to(answer).view(-1, *[1] * (answer.ndim - 1))
    return found


def is_short_of_memory(error: RuntimeError) -> bool:
    """Whether an error means that memory was short, whatever it is called on a device."""
    return isinstance(error, torch.OutOfMemoryError) or any(word in str(error).lower() for word in SHORT_OF_MEMORY)


def freed(device: str) -> None:
    """Give back to a device what is kept of its memory for later use."""
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
    elif device == "mps":
        torch.mps.empty_cache()
