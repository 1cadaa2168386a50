"""vidswap puts a person into a film scene: `swap_clip(clip, Role(photos, consent), out)`.

The public names are loaded when first asked for, so that `vidswap --version` need not wait for torch.
Nothing leaves the machine: onnxruntime reads whether it may report to its makers once, when it is first imported.
"""

from __future__ import annotations

import os
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING

from vidswap.libraries import loading

if TYPE_CHECKING:
    from vidswap.bars import Bars
    from vidswap.castfile import CastList, load_cast
    from vidswap.casting import Cast, Role, cast_of
    from vidswap.errors import (
        ConsentError,
        EngineError,
        IdentityError,
        InputError,
        InstallError,
        ModelError,
        NoFaceError,
        OutputError,
        UsageError,
        VidswapError,
    )
    from vidswap.looks import Look, look_at
    from vidswap.measure.compare import Evaluation
    from vidswap.measure.evaluate import evaluate_clip
    from vidswap.pipeline import Planned, Result, cast_clip, plan_clip, render, shares, swap_clip
    from vidswap.preview import Preview, preview_clip
    from vidswap.progress import Report
    from vidswap.read.faces import open_faces
    from vidswap.read.identity import load_identity
    from vidswap.settings import ReadSettings, Settings, SwapSettings, TitleSettings, WriteSettings
    from vidswap.shorts import Preset, Short, Wishes, find_moments, presets_in, short_clip
    from vidswap.swap.engine import Engine, load_engine
    from vidswap.timepoint import TimePoint
    from vidswap.trust.consent import load_consent
    from vidswap.types import Consent, EngineChoice
    from vidswap.write.sheets import CastSheet, Row

__version__ = "0.1.0"
__all__ = [
    "Bars",
    "Cast",
    "CastList",
    "CastSheet",
    "Consent",
    "ConsentError",
    "Engine",
    "EngineChoice",
    "EngineError",
    "Evaluation",
    "IdentityError",
    "InputError",
    "InstallError",
    "Look",
    "ModelError",
    "NoFaceError",
    "OutputError",
    "Planned",
    "Preset",
    "Preview",
    "ReadSettings",
    "Report",
    "Result",
    "Role",
    "Row",
    "Settings",
    "Short",
    "SwapSettings",
    "TimePoint",
    "TitleSettings",
    "UsageError",
    "VidswapError",
    "Wishes",
    "WriteSettings",
    "__version__",
    "cast_clip",
    "cast_of",
    "evaluate_clip",
    "find_moments",
    "load_cast",
    "load_consent",
    "load_engine",
    "load_identity",
    "look_at",
    "open_faces",
    "plan_clip",
    "presets_in",
    "preview_clip",
    "render",
    "shares",
    "short_clip",
    "swap_clip",
]

if not os.environ.get("ORT_DISABLE_TELEMETRY"):  # who says 0 has chosen
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"

_HOMES = MappingProxyType({
    "vidswap.progress": ("Report",),
    "vidswap.casting": ("Cast", "Role", "cast_of"),
    "vidswap.castfile": ("CastList", "load_cast"),
    "vidswap.errors": ("VidswapError", "UsageError", "InputError", "IdentityError", "ConsentError", "NoFaceError",
                       "OutputError", "ModelError", "EngineError", "InstallError"),
    "vidswap.measure.compare": ("Evaluation",),
    "vidswap.timepoint": ("TimePoint",),
    "vidswap.pipeline": ("Planned", "Result", "cast_clip", "plan_clip", "render", "shares", "swap_clip"),
    "vidswap.shorts": ("Preset", "Short", "Wishes", "find_moments", "presets_in", "short_clip"),
    "vidswap.looks": ("Look", "look_at"),
    "vidswap.preview": ("Preview", "preview_clip"),
    "vidswap.measure.evaluate": ("evaluate_clip",),
    "vidswap.bars": ("Bars",),
    "vidswap.read.faces": ("open_faces",),
    "vidswap.read.identity": ("load_identity",),
    "vidswap.settings": ("Settings", "ReadSettings", "SwapSettings", "WriteSettings", "TitleSettings"),
    "vidswap.swap.engine": ("Engine", "load_engine"),
    "vidswap.trust.consent": ("load_consent",),
    "vidswap.types": ("Consent", "EngineChoice"),
    "vidswap.write.sheets": ("CastSheet", "Row"),
})  # fmt: skip


def __getattr__(name: str) -> object:
    home = next((home for home, names in _HOMES.items() if name in names), None)
    if home is None:
        raise AttributeError(f"module 'vidswap' has no attribute '{name}'")
    with loading():
        return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return __all__
