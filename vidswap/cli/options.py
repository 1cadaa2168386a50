"""What is chosen of an engine's own settings: `--set name=value`, or a file of them."""

from __future__ import annotations

import argparse
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType

from vidswap.errors import UsageError, quoted
from vidswap.swap.engines import ENGINES

# Settings that engines have in common: diffusion's, so warp has none of them.
SHORT = MappingProxyType({
    "complexion": "own: the person's, which the actor's other skin follows; or actor: the actor's",
    "steps": "of the sampler, fewer are faster", "seed": "equal ones give equal results",
    "smooth": "steadiness over time, 0 (each frame alone) to 1",
    "weights": "a folder in place of the model that would be pulled", "vram": "GB of a GPU's memory that it may take",
    "lora": "a LoRA in safetensors for the engine's base, any number of them",
})  # fmt: skip
METAVARS = MappingProxyType({"weights": "DIR", "vram": "GB", "lora": "FILE[:WEIGHT]"})
ADDED = ("lora",)  # settings of which each word brings one more
_PAIR = re.compile("([a-z][a-z0-9_-]*)=(.*)", re.DOTALL)


def engine_words(words: argparse.ArgumentParser) -> None:
    """Which engine, and what is chosen of its own settings."""
    listed = ", ".join(f"{name} ({about})" for name, about in ENGINES.items())
    words.add_argument("--engine", default="embedded", metavar="NAME", help=f"{listed}; or auto: what this machine "
                       "has the models and the memory for (default: embedded)")
    words.add_argument("--set", dest="options", action="append", default=[], metavar="NAME=VALUE|FILE",
                       help="a setting of the engine's own, such as steps=2; or a TOML file with a table for each "
                       "engine; any number of them (default: none)")  # fmt: skip
    for name, about in SHORT.items():
        value = METAVARS.get(name, "N")
        words.add_argument(f"--{name}", dest="options", action="append", type=f"{name}={{}}".format, metavar=value,
                           help=f"{about}: short for --set {name}={value} (default: the engine's own)")  # fmt: skip


def options_of(words: Sequence[str], engine: str) -> dict[str, object]:
    """The engine's options, of words that are name=value or the path of a TOML file; the last that is said holds, but
    LoRAs add up. Raises UsageError."""
    options: dict[str, object] = {}
    for word in words:
        pair = _PAIR.fullmatch(word)
        if pair is None:
            options |= _table(Path(word), engine)
            continue
        name, value = pair[1].replace("-", "_"), pair[2]
        options[name] = (*_each(options.get(name, ())), value) if name in ADDED else value
    return options


def _each(value: object) -> tuple[object, ...]:
    return tuple(value) if isinstance(value, (list, tuple)) else (value,)


def _table(path: Path, engine: str) -> dict[str, object]:
    """Of a TOML file with a table for each engine, the one of `engine`: {} where there is none."""
    allowed = "--set takes name=value, or a TOML file with a table for each engine: [embedded], steps = 2"
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"--set {quoted(str(path))} cannot be read ({error.strerror})", allowed) from error
    except ValueError as error:  # no TOML, no UTF-8, no path
        raise UsageError(f"--set {quoted(str(path))} cannot be read ({error})", allowed) from error
    for name, table in tables.items():
        if name not in ENGINES or not isinstance(table, dict):
            what = "is no engine" if name not in ENGINES else "is no table"
            raise UsageError(f"--set {path}: {quoted(name)} {what}", f"engines are: {', '.join(ENGINES)}")
    return {**tables.get(engine, {})}
