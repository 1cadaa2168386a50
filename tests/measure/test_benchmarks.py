"""Benchmarks, and what makes the samples, are run by hand, so that they would rot unseen: all that they name of
vidswap is there."""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(path for folder in ("benchmarks", "samples") for path in (ROOT / folder).glob("*.py"))


def missing(source: str) -> list[str]:
    """What a script takes from vidswap that it does not have."""
    tree, found, known = ast.parse(source), list[str](), dict[str, ModuleType]()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("vidswap"):
            for name in node.names:
                there = getattr(import_module(str(node.module)), name.name, None)
                if there is None:
                    try:
                        there = import_module(f"{node.module}.{name.name}")
                    except ImportError:
                        found.append(f"{node.module}.{name.name}")
                if isinstance(there, ModuleType):
                    known[name.asname or name.name] = there
    used = (node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name))
    return found + [f"{node.value.id}.{node.attr}" for node in used  # type: ignore[attr-defined]
                    if node.value.id in known and not hasattr(known[node.value.id], node.attr)]  # type: ignore[attr-defined]  # fmt: skip


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_scripts_name_what_there_is(script: Path) -> None:
    assert missing(script.read_text()) == []


def test_what_is_gone_is_told() -> None:
    source = "from vidswap.train import faces\nfrom vidswap.types import Nothing\nfaces.flown(faces.Faces)"
    assert missing(source) == ["vidswap.types.Nothing", "faces.flown"]
