"""The one seam: crops and an identity in, the same crops with another face out.

A new engine is one file in this folder and one line in ENGINES; it is imported only when opened.
Contract, held by one test file over every engine: the same frames, size and order come back; inputs stay untouched;
equal arguments give equal results (services on other machines excepted); all memory is `previous`, the window before
of the same track; failure is EngineError.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Literal, Protocol, cast

import cv2

from vidswap.errors import EngineError, UsageError
from vidswap.libraries import loading
from vidswap.settings import SwapSettings
from vidswap.types import Crops, Identity, Swapped

ENGINES = MappingProxyType({"embedded": "vidswap.swap.embedded", "warp": "vidswap.swap.warp"})
# What torch (a full device memory too), numpy and OpenCV raise.
FAILURES = (RuntimeError, ValueError, ArithmeticError, MemoryError, cv2.error)


@dataclass(frozen=True)
class Needs:
    """What an engine wants to be handed.

    `size`: side of a crop in pixels. `framing`: "aligned" turns and scales each frame to the face, "steady" keeps one
    square a window. `window`: most frames a call. `overlap`: frames shared with the window before; over half a window
    a frame would fall into three windows, so that is refused. `uploads`: crops leave this machine.
    """

    size: int
    framing: Literal["aligned", "steady"]
    window: int
    overlap: int
    uploads: bool = False

    def __post_init__(self) -> None:
        if self.size < 16 or self.window < 1 or not 0 <= self.overlap <= self.window // 2:
            raise ValueError(f"Needs: expected size >= 16 and overlap at most half of window, got {self}")


class Engine(Protocol):
    @property
    def needs(self) -> Needs: ...

    def swap(self, crops: Crops, identity: Identity, previous: Swapped | None) -> Swapped:
        """Crops with the identity's face; `previous` is this engine's answer to the window before of the same track,
        None at its first window. Raises EngineError."""
        ...


@dataclass(frozen=True)
class Fenced:
    """An engine whose failures are EngineErrors, whatever it is made of."""

    engine: Engine
    name: str

    @property
    def needs(self) -> Needs:
        return self.engine.needs

    @property
    def key(self) -> str:
        """What an engine's answers depend on beside settings, weights and code; "" where that is nothing."""
        return str(getattr(self.engine, "key", ""))

    def swap(self, crops: Crops, identity: Identity, previous: Swapped | None) -> Swapped:
        """The engine's own answer. Raises EngineError."""
        try:
            return self.engine.swap(crops, identity, previous)
        except FAILURES as error:
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            place = f"frames {crops.start} to {crops.start + len(crops) - 1}"
            hint = "memory may be short: close other programs, or try `swap.engine` warp"
            raise EngineError(f"the engine {self.name} failed at {place}: {reason}", hint) from error


def open_engine(settings: SwapSettings, cache: Path | None = None) -> Engine:
    """The engine named in the settings, its weights loaded; what it finds out about the machine is kept in the folder
    `cache`. Raises UsageError for an unknown name, ModelError for missing or damaged weights, InstallError for
    libraries that cannot be loaded."""
    if settings.engine not in ENGINES:
        raise UsageError(f"no engine is called '{settings.engine}'", f"choose one of: {', '.join(ENGINES)}")
    with loading():
        engine = cast(Engine, import_module(ENGINES[settings.engine]).open(settings, cache))
    return Fenced(engine, settings.engine)
