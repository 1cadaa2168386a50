"""What the engines that paint in latents have in common beside the painting itself: settings, and how one is opened
around its model and gives its memory back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

from vidswap.keys import key_of, packages
from vidswap.settings import SWITCH, Kind, Setting, number, one_of, whole
from vidswap.swap import placement as place
from vidswap.swap.engines import warp
from vidswap.swap.latent import Model, Painter, at_size
from vidswap.swap.lora import LORAS, Lora

LIBRARIES = ("torch", "diffusers", "transformers", "peft")
GRAIN = 64  # pixels that one of the smallest level of a UNet stands for


def sides(high: int) -> Kind[int]:
    """Sides of a picture that all levels of a UNet divide."""

    def read(value: Any) -> int:
        side = whole(GRAIN, high).read(value)
        if side % GRAIN:
            raise ValueError
        return side

    return Kind(read, f"{GRAIN} to {high}, by {GRAIN}s")


@dataclass(frozen=True)
class Settings:
    """The settings that all of them have."""

    complexion: Setting[str, str] = Setting(one_of(warp.COMPLEXIONS), "own", warp.COMPLEXION)
    seed: Setting[int, int] = Setting(whole(0, 2**32 - 1), 0, "equal ones give equal results")
    smooth: Setting[float, float] = Setting(number(0, 1), 0.5, "steadiness over time: 0 is each frame alone")
    lora: Setting[Any, tuple[Lora, ...]] = Setting(LORAS, (), "LoRAs of the person or of a style", "none")
    dtype: Setting[str, str] = Setting(one_of(("auto", *place.DTYPES)), "auto", "the numbers it computes in")
    device: Setting[str, str] = Setting(place.DEVICE, "auto", "where it computes", "auto, a card where there is one")
    vram: Setting[float | None, float | None] = Setting(
        number(0.5, 1000), None, "GB that it may take of the card", "what is free"
    )
    compile: Setting[bool, bool] = Setting(SWITCH, False, "minutes at the start, for quicker steps on a card")

    def __init_subclass__(cls) -> None:
        """Each engine has copies of its own, which know by whose name to call themselves."""
        for name, setting in [pair for owner in cls.__mro__[1:] for pair in vars(owner).items()]:
            if isinstance(setting, Setting) and name not in vars(cls):
                mine = copy(setting)
                mine.__set_name__(cls, name)
                setattr(cls, name, mine)


@contextmanager
def painter(
    model: Callable[[], Model], parts: Sequence[Any], found: place.Placement, settings: Any, marks: object
) -> Iterator[Painter]:
    """The engine around a model that is made of `parts`, whose memory is given back at the end; `marks` tell the files
    that were opened, and what else its answers depend on beside settings and placement."""
    try:
        paints = model()
        with warp.load(warp.Settings(settings.complexion)) as drawn:
            said = (replace(settings, weights=None, lora=()), found.device, found.dtype, found.fp8)
            key = key_of((drawn.key, marks, said, packages(*LIBRARIES)))
            yield Painter(at_size(drawn, settings.size), paints, key, settings.seed, settings.smooth, found.exact)
    finally:
        for each in parts:
            place.let_go(each, found)
