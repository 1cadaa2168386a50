"""vidswap puts a person into a film scene: `swap_clip(clip, photos, consent, out)`.

The public names are loaded when first asked for, so that `vidswap --version` need not wait for torch.
Nothing leaves the machine: onnxruntime reads whether it may report to its makers once, when it is first imported.
"""

from __future__ import annotations

import os
from importlib import import_module
from types import MappingProxyType

__version__ = "0.1.0"

if not os.environ.get("ORT_DISABLE_TELEMETRY"):  # who says 0 has chosen
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"

_ERRORS = ("VidswapError", "UsageError", "InputError", "IdentityError", "ConsentError", "NoFaceError", "OutputError",
           "ModelError", "EngineError")  # fmt: skip
_HOMES = MappingProxyType({
    "swap_clip": "vidswap.pipeline",
    "cast_clip": "vidswap.pipeline",
    "load_identity": "vidswap.read.identity",
    "Settings": "vidswap.settings",
    **dict.fromkeys(_ERRORS, "vidswap.errors"),
})  # fmt: skip
__all__ = ["__version__", *_HOMES]  # noqa: PLE0604 - they are strings


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'vidswap' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)
