"""The engine `sdxl`: Stable Diffusion XL paints over the warped selfie, 1024 pixels a face; else as `sd15`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vidswap.settings import Setting, one_of
from vidswap.swap import stable
from vidswap.swap.guides import names_of
from vidswap.swap.latent import Painter
from vidswap.swap.painters import sides
from vidswap.swap.placement import Footprint

BASE = stable.Base(
    "sdxl", "Stable Diffusion XL", "StableDiffusionXLInpaintPipeline", ("CLIPTextModel", "CLIPTextModelWithProjection"),
    "taesdxl", 1024, Footprint(network=5.14, rest=0.34, work=0.5, decode=4.8),  # its autoencoder in 32 bits
)  # fmt: skip


@dataclass(frozen=True)
class Settings(stable.Common):
    size: Setting[int, int] = Setting(sides(1536), BASE.size, "side of the pictures that it paints")
    adapter: Setting[str, str] = Setting(one_of(names_of("sdxl")), "none", "what knows the person's face")


def models(settings: Settings) -> tuple[str, ...]:
    """The registry's entries that it opens with these settings."""
    return stable.models(BASE, settings)


@contextmanager
def load(settings: Settings, cache: Path | None = None) -> Iterator[Painter]:
    """The engine. Raises ModelError, UsageError."""
    with stable.opened(BASE, settings) as engine:
        yield engine
