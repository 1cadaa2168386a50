"""Whether a file of weights is what its ending says, from its first bytes and its length: no number is read, and
nothing is ever unpickled. A network's error page, a pointer in place of a file, a cut file: one line each."""

from __future__ import annotations

import json
from pathlib import Path

from vidswap.errors import ModelError

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
AGAIN = "load it again, from its makers"


def check_sound(path: Path, name: str = "") -> None:
    """Raise ModelError where a file cannot be what its ending says, or that of the `name` that it is to get."""
    name = name or str(path)
    kind = Path(name).suffix
    if kind in PICKLES:
        raise ModelError(f"{name} is a pickle, which could run any program", "only safetensors are opened")
    try:
        if kind == ".safetensors":
            _check_safetensors(path)
        elif kind == ".onnx":
            with path.open("rb") as file:
                start = file.read(512)
            _refuse_disguised(start)
            if start[:1] == b"\x80":
                raise ValueError("it is a pickle, which could run any program")
        elif kind == ".json":
            json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{name} is no {kind[1:]}: {error}", AGAIN) from error
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror})", "check the path and its permissions") from error


def _check_safetensors(path: Path) -> None:
    """The length that its first 8 bytes tell of its header; the rest is for safetensors to say, which reads no numbers
    either. Raises ValueError, OSError."""
    from safetensors import SafetensorError, safe_open

    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(520)
    _refuse_disguised(start)
    length = int.from_bytes(start[:8], "little")
    if length > size - 8:
        raise ValueError(f"its header would be {length} bytes, the file has {size}")
    try:
        with safe_open(path, "np"):
            pass
    except SafetensorError as error:
        raise ValueError(str(error)) from error


def _refuse_disguised(start: bytes) -> None:
    """Raise ValueError where a file starts as something else does."""
    if not start.strip(b"\0"):
        raise ValueError("it is empty" if not start else "it is all zeros")
    if start.lstrip()[:9].lower().startswith((b"<!doctype", b"<html", b"<head", b"<?xml")):
        raise ValueError("it is a web page, perhaps an error that a server told")
    if start.startswith(b"version https://git-lfs"):
        raise ValueError("it is a pointer of Git LFS, not the file")
    if start[:4] == b"PK\3\4":
        raise ValueError("it is an archive, perhaps a pickle, which could run any program")
