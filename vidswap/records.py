"""A record in a file, written by anybody -> the dataclass that it must be: each field of its very kind, none
missing and none more.

What does not fit is Damaged, and nothing else is: a mistake of our own stays what Python raises for it.
"""

from __future__ import annotations

import json
import struct
import tomllib
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TypeVar

Record = TypeVar("Record")


class Damaged(Exception):
    """Bytes that are not what they must be; one line says in what."""


def content_of(path: Path, most: int) -> bytes:
    """What is in a file of at most so many bytes. Raises Damaged for a larger one, OSError."""
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise Damaged(f"it is larger than {most >> 20} MB")
    return content


def from_json(kind: type[Record], content: bytes, *, more: Literal["allow", "forbid", "ignore"] = "forbid") -> Record:
    """The record of a JSON text; `more` says what becomes of fields that it does not have. Raises Damaged."""
    from pydantic import TypeAdapter, ValidationError  # late: it takes a while, and few commands need it

    try:
        return TypeAdapter(kind).validate_json(content, strict=True, extra=more)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(step) for step in first["loc"])
        raise Damaged(": ".join(filter(None, [_printable(place), first["msg"]]))) from error


def from_toml(kind: type[Record], content: bytes) -> Record:
    """The record of a TOML text. Raises Damaged."""
    try:
        found = tomllib.loads(content.decode())
    except ValueError as error:
        raise Damaged(str(error)) from error
    return from_json(kind, json.dumps(found, default=str).encode())


@contextmanager
def unzipping() -> Iterator[None]:
    """All that zipfile raises over bytes that are no archive becomes Damaged; nothing but it is called inside."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, RuntimeError, OverflowError) as error:
        raise Damaged(str(error)) from error


def _printable(words: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in words[:200])
