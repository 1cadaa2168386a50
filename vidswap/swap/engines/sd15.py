"""The engine `sd15`: Stable Diffusion 1.5 paints over the warped selfie, 512 pixels a face.

Likeness comes from the warp, and from an adapter where one is chosen; light, grain, mouth and edges are the model's. By
itself it works on the base's weights alone, whose licence allows commercial use.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vidswap.settings import Setting, one_of
from vidswap.swap import stable
from vidswap.swap.guides import controls_of, names_of
from vidswap.swap.latent import Painter
from vidswap.swap.painters import sides
from vidswap.swap.placement import Footprint

BASE = stable.Base(
    "sd15", "Stable Diffusion 1.5", "StableDiffusionInpaintPipeline", ("CLIPTextModel",), "taesd", 512,
    Footprint(network=1.72, rest=0.17, work=0.2, decode=0.6),
)  # fmt: skip


@dataclass(frozen=True)
class Settings(stable.Common):
    size: Setting[int, int] = Setting(sides(1024), BASE.size, "side of the pictures that it paints")
    adapter: Setting[str, str] = Setting(one_of(names_of("sd15")), "none", "what knows the person's face")
    control: Setting[str, str] = Setting(one_of(controls_of("sd15")), "none", "a drawing of the actor's face to follow")
    motion: Setting[str, str] = Setting(
        one_of(("none", "animatediff")), "none", "a module that sees several frames together"
    )


def models(settings: Settings) -> tuple[str, ...]:
    """The registry's entries that it opens with these settings."""
    return stable.models(BASE, settings)


@contextmanager
def load(settings: Settings, cache: Path | None = None) -> Iterator[Painter]:
    """The engine. Raises ModelError, UsageError."""
    with stable.opened(BASE, settings) as engine:
        yield engine
