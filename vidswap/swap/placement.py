"""Where a big model computes, in which numbers, and how many frames at once: what fits its memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from vidswap.errors import EngineError
from vidswap.swap.windows import windows

SHORT_OF_MEMORY = ("out of memory", "can't allocate memory", "cudnn_status_alloc_failed", "cublas_status_alloc_failed")


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
                return _joined(count, part, self.most, shared)
            except RuntimeError as error:
                if not is_short_of_memory(error):
                    raise
                if self.most == 1:
                    hint = "give the engine a smaller size, a lower vram, or device=cpu; or choose another engine"
                    raise EngineError("memory is short even for one frame at a time", hint) from error
            self.most, self.halved = min(self.most, count) // 2 or 1, self.halved + 1
            freed(self.device)


def _joined(count: int, part: Callable[[slice], Tensor], size: int, shared: int) -> Tensor:
    found: Any = None
    for window in windows(0, count, size, min(shared, size // 2)):
        rows = slice(window.start, window.stop)
        answer = part(rows)
        found = answer.new_zeros((count, *answer.shape[1:])) if found is None else found
        weight = torch.from_numpy(window.weight).to(answer).view(-1, *[1] * (answer.ndim - 1))
        found[rows] += answer * weight
    return found  # type: ignore[no-any-return]


def is_short_of_memory(error: RuntimeError) -> bool:
    """Whether an error means that memory was short, whatever it is called on a device."""
    return isinstance(error, torch.OutOfMemoryError) or any(word in str(error).lower() for word in SHORT_OF_MEMORY)


def freed(device: str) -> None:
    """Give back to a device what is kept of its memory for later use."""
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
    elif device == "mps":
        torch.mps.empty_cache()
