"""The models that ship: name -> files with sha256 and bytes, licence, source. `models/registry.toml` is the list.

A file is read only after its sha256 was compared, so a half-copied or exchanged model is refused with one clear line.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

from vidswap.errors import ModelError, UsageError
from vidswap.files import as_output_error, write_whole
from vidswap.keys import digest_of_bytes
from vidswap.models import ROOT
from vidswap.records import Damaged, from_toml


@dataclass(frozen=True)
class File:
    """One file of a model: `path` under the models' folder, what it should hash to, and its length."""

    path: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class Model:
    """One row of the registry. `path` is a file, or a folder that holds all `files`."""

    name: str
    path: str
    purpose: str
    licence: str
    source: str
    commercial: bool
    files: tuple[File, ...]

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)


@dataclass(frozen=True)
class _Facts:
    sha256: str
    bytes: int


@dataclass(frozen=True)
class _Row:
    """A model as the list has it."""

    path: str
    purpose: str
    licence: str
    source: str
    commercial: bool
    files: Mapping[str, _Facts] = field(default_factory=dict)


def registry(root: Path = ROOT) -> Mapping[str, Model]:
    """All models by name, in the order of the file, which is read once as long as it does not change. Raises
    ModelError."""
    listed = root / "registry.toml"
    try:
        now = listed.stat()
        return _registry(listed, now.st_ino, now.st_mtime_ns, now.st_size)
    except (OSError, Damaged) as error:
        raise ModelError(f"the list of models cannot be read: {error}", "reinstall vidswap") from error


@lru_cache(4)
def _registry(listed: Path, *_changes: int) -> Mapping[str, Model]:
    rows = from_toml(dict[str, _Row], listed.read_bytes())
    return MappingProxyType({name: _model(name, row) for name, row in rows.items()})


def path_to(name: str, root: Path = ROOT) -> Path:
    """The file or folder of a model, its bytes verified. Raises ModelError."""
    models = registry(root)
    if name not in models:
        raise ModelError(f"no model is called '{name}'", f"the registry has: {', '.join(models)}")
    model = models[name]
    for file in model.files:
        _verify(name, file, root)
    if not model.files:
        raise ModelError(f"the model '{name}' is not sealed", "train it: `vidswap train`, see the model card")
    return root / model.path


def digests(*names: str) -> dict[str, str]:
    """File -> sha256 of these models, as the registry has them. Raises ModelError."""
    known = registry()
    return {file.path: file.sha256 for name in names for file in known[name].files}


def record_checksums(names: set[str], root: Path = ROOT) -> dict[str, Model]:
    """Write the sha256 and bytes of the named models' files, as they are now, into the registry. Raises ModelError
    where a file is missing, UsageError for a name that the registry does not have."""
    models = registry(root)
    if unknown := names - models.keys():
        raise UsageError(f"no model is called '{unknown.pop()}'", f"the registry has: {', '.join(models)}")
    sealed = {name: _sealed(model, root) if name in names else model for name, model in models.items()}
    with as_output_error(root / "registry.toml"):
        write_whole(root / "registry.toml", "\n".join(_text_of(model) for model in sealed.values()).encode())
    return sealed


def _model(name: str, row: _Row) -> Model:
    files = tuple(File(path, facts.sha256, facts.bytes) for path, facts in row.files.items())
    return Model(name, row.path, row.purpose, row.licence, row.source, row.commercial, files)


def _verify(name: str, file: File, root: Path) -> None:
    try:
        found = _facts(root / file.path, root)
    except OSError as error:
        raise ModelError(f"the model '{name}' lacks its file {file.path}", "reinstall vidswap") from error
    if found != file:
        hint = "reinstall vidswap; after training it anew: `vidswap models seal`"
        raise ModelError(f"the model '{name}' is damaged: {file.path} is not what the registry lists", hint)


def _sealed(model: Model, root: Path) -> Model:
    path = root / model.path
    found = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    try:
        files = tuple(_facts(file, root) for file in found)
    except OSError as error:
        raise ModelError(f"the model '{model.name}' lacks its file {model.path}", "train it first") from error
    return replace(model, files=files)


def _facts(path: Path, root: Path) -> File:
    content = path.read_bytes()
    return File(path.relative_to(root).as_posix(), digest_of_bytes(content), len(content))


def _text_of(model: Model) -> str:
    texts = "".join(f"{key} = {json.dumps(getattr(model, key), ensure_ascii=False)}\n"
                    for key in ("path", "purpose", "licence", "source"))  # fmt: skip
    rows = "".join(f'"{file.path}" = {{ sha256 = "{file.sha256}", bytes = {file.bytes} }}\n' for file in model.files)
    return f"[{model.name}]\n{texts}commercial = {str(model.commercial).lower()}\n[{model.name}.files]\n{rows}"
