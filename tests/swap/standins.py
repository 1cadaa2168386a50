"""What engines that do not ship with their weights are opened with in tests: tiny random ones, in the exact formats."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import tiny_flux
import tinyadapters
import tinyonnx

from vidswap.face.geometry import five_points
from vidswap.keys import digest_of
from vidswap.models import hub
from vidswap.swap import vectors

Standin = Callable[[Path, int], dict[str, Any]]  # a folder to make them in, a seed -> settings that name them


def inswapper(folder: Path, seed: int) -> dict[str, Any]:
    pack = tinyonnx.pack(folder / "pack", "buffalo_l", seed)
    return {"weights": tinyonnx.swapper(folder / "inswapper_128.onnx", seed), "pack": pack}


def diffusion(base: str) -> Standin:
    """Of Stable Diffusion: small pictures, so that these take no longer than others."""

    def made(folder: Path, seed: int) -> dict[str, Any]:
        weights, lora = folder / "base", folder / "person.safetensors"
        if not weights.exists():
            tiny.lora(lora, base)
            tiny.base(weights, base, channels=9, seed=seed)
        small = {"weights": str(weights), "size": 128, "device": "cpu", "dtype": "float32"}
        return small | ({"lora": str(lora)} if seed else {})

    return made


def flux(variant: str) -> Standin:
    """Of FLUX: pictures that are smaller still, told a photo as well."""

    def made(folder: Path, seed: int) -> dict[str, Any]:
        weights, lora = folder / "base", folder / "person.safetensors"
        if not weights.exists():
            tiny_flux.BUILDERS[variant](weights, seed=seed)
            tiny_flux.lora(lora, weights)
        small = {"variant": variant, "weights": str(weights), "size": 128, "steps": 5, "device": "cpu",
                 "dtype": "float32"}  # fmt: skip
        return small | ({"lora": str(lora)} if seed else {})

    return made


# By the engine's name, and what else it can be: "flux fill" is its variant.
STANDINS: Mapping[str, Standin] = {
    "inswapper": inswapper, "sd15": diffusion("sd15"), "sdxl": diffusion("sdxl"), "flux": flux("klein"),
    "flux fill": flux("fill"), "flux kontext": flux("kontext"),
}  # fmt: skip
OTHERS = tuple(name for name in STANDINS if " " in name)
# What their settings ask for besides.
PULLED = ("taesd", "lcm-sd15", "animatediff-sd15", "taesdxl", "lcm-sdxl", "taef2")
GUIDES = ("faceid-sd15", "faceid-plus-sd15", "faceid-sdxl", "faceid-plus-sdxl", "instantid", "instantid-controlnet",
          "controlnet-face-sd15", "clip-vit-h", "buffalo_l", "antelopev2")  # fmt: skip


def settings(name: str, folder: Path, seed: int = 0) -> dict[str, Any]:
    """The settings that name an engine's stand-ins; none of one whose weights ship."""
    made = folder / f"{name}-{seed}"
    return STANDINS[name](made, seed) if name in STANDINS else {}


@pytest.fixture(scope="module")
def pulled(tmp_path_factory, packs):
    """The folder of models that were pulled, with tiny ones in it."""
    folder = tmp_path_factory.mktemp("models")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hub, "home", lambda: folder)
        tinyadapters.pulled(folder, *GUIDES)
        yield tiny.pulled(folder, *PULLED)


@pytest.fixture(scope="module")
def packs():
    """Tiny face packs pass for the true ones, and see a face where a drawn one is."""
    vector = np.random.default_rng(3).normal(size=512).astype(np.float32)

    def sights(_detector, _recogniser, identity):
        pairs = zip(identity.photos, identity.meshes)
        return tuple(vectors.Sight(photo, five_points(mesh), vector) for photo, mesh in pairs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vectors, "_digest", lambda _pack, file: digest_of(file))
        patch.setattr(hub, "_refuse_others", lambda *_: None)
        patch.setattr(vectors, "_sights", sights)
        yield
