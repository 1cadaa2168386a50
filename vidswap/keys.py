"""What a result depends on -> its key: one digest for values, files and code, sha256 as 64 hexadecimal digits.

No version is kept by hand: the code that makes a result goes into its key as the source it is, and so do the packages
that it stands on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from importlib import metadata
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from vidswap.errors import InputError

PACKAGE = Path(__file__).parent


class Digest:
    """The digest of bytes that come one after another; `str` says it."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()

    def add(self, content: bytes) -> None:
        """More bytes."""
        self._sha256.update(content)

    def __str__(self) -> str:
        return self._sha256.hexdigest()


def digest_of_bytes(content: bytes) -> str:
    """The digest of bytes."""
    return hashlib.sha256(content).hexdigest()


def key_of(value: object) -> str:
    """The digest of a value made of dataclasses, arrays, mappings, sequences, and of what `repr` tells apart."""
    found = Digest()
    for word in _words(value):
        found.add(len(word).to_bytes(8, "little") + word)
    return str(found)


def digest_of(*files: Path) -> str:
    """The digest of a file's content; of several, one of their names and contents. Raises InputError."""
    if len(files) != 1:
        return key_of([(file.name, digest_of(file)) for file in files])
    try:
        with open(files[0], "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        hint = "check the path and its permissions"
        raise InputError(f"{files[0]} cannot be read ({error.strerror})", hint) from error


def git_blob(path: Path) -> str:
    """What git calls a file's content by (gitformat-pack, `git hash-object`): the hub does, for small files."""
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


@cache
def code_of(*parts: str) -> str:
    """The digest of our own source: of modules ("plan") and folders of them ("read"), which there must be."""
    files = {part: [*PACKAGE.glob(f"{part}.py"), *(PACKAGE / part).rglob("*.py")] for part in parts}
    if absent := [part for part, found in files.items() if not found]:
        raise ValueError(f"we have no {absent}")
    found = [file for part in files.values() for file in part]
    return key_of({file.relative_to(PACKAGE).as_posix(): file.read_bytes() for file in found})


@cache
def packages(*names: str) -> dict[str, str]:
    """The installed version of each package; "" where there is none."""
    return {name: _version(name) for name in names}


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _words(value: Any) -> Iterator[bytes]:
    """The value as words, no two values the same."""
    if isinstance(value, np.ndarray):
        yield from (f"{value.dtype.str}{value.shape}".encode(), np.ascontiguousarray(value).tobytes())
    elif is_dataclass(value):
        yield type(value).__name__.encode()
        yield from _words({each.name: getattr(value, each.name) for each in fields(value)})
    elif isinstance(value, Mapping):
        yield f"{len(value)} items".encode()
        for name in sorted(value):
            yield from chain([repr(name).encode()], _words(value[name]))
    elif isinstance(value, (list, tuple)):
        yield f"{len(value)} values".encode()
        yield from chain.from_iterable(map(_words, value))
    else:
        yield repr(value).encode()
