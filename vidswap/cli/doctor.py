"""What a machine has of what vidswap needs: the first thing to paste into a report. Nothing personal is told: the home
folder is ~. Each question is asked by itself, so that one without an answer is a line, and not the end."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any

from vidswap import __version__
from vidswap.cli.console import say, say_json
from vidswap.cli.words import Parser, cache_folder, json_word
from vidswap.errors import VidswapError
from vidswap.libraries import explained, headless

ABOUT = "what is here and what is missing: paste it into a report"
GB = 1e9
NEEDED = 0.5 * GB  # of free disk, for a minute of film twice


def words(words: Parser) -> None:
    json_word(words)


def run(options: argparse.Namespace) -> None:
    found = examined(cache_folder())
    if options.json:
        return say_json(found)
    width = max(map(len, found))
    for name, value in found.items():
        say(f"{name:<{width}}  {value}")


def examined(cache: Path | None) -> dict[str, str]:
    """Questions and answers, in the order to read them; `cache`: the folder of what was found in clips, None: none."""
    places = {"numbers": lambda: _numbers(cache), "cache": lambda: _cache(cache), "disk": lambda: _disk(cache)}
    questions = {**QUESTIONS, **places, "missing": _missing}
    return {name: _answer(question) for name, question in questions.items()}


def _answer(question: Callable[[], str]) -> str:
    try:
        return _without_home(question())
    except VidswapError as error:
        return _without_home(f"AMISS: {error}")
    except (ImportError, OSError) as error:
        return _without_home(f"AMISS: {explained(error)}")
    except Exception as error:  # noqa: BLE001 - whatever a library does here is what we came to hear
        return _without_home(f"AMISS: {type(error).__name__}: {error}")


def _without_home(words: str) -> str:
    return " ".join(words.replace(str(Path.home()), "~").split())


def _vidswap() -> str:
    return f"{__version__} in {Path(__file__).parents[1]}"


def _python() -> str:
    kind = "virtual environment" if sys.prefix != sys.base_prefix else "no virtual environment"
    return f"{platform.python_version()} {platform.python_implementation()}, {kind}: {sys.prefix}"


def _processor() -> str:
    from vidswap.processor import processor

    return str(processor())


def _memory() -> str:
    import psutil

    memory = psutil.virtual_memory()
    return f"{memory.available / GB:.1f} GB free of {memory.total / GB:.1f}"


def _torch() -> str:
    torch: Any = import_module("torch")
    built = "with CUDA" if torch.version.cuda else "for the CPU alone"
    return f"{torch.__version__}, {built}, threads: {torch.get_num_threads()}"


def _gpu() -> str:
    choice: Any = import_module("vidswap.swap.choice")
    found = choice.accelerator()
    if found is None:
        return "none, and the engines that ship need none"
    return f"{found.name}, {found.memory:.0f} GB, for the engines that are pulled; those that ship use the processor"


def _onnxruntime() -> str:
    runtime: Any = import_module("onnxruntime")
    return f"{runtime.__version__}, {', '.join(runtime.get_available_providers())}"


def _pyav() -> str:
    av: Any = import_module("av")
    encoders = ("libx264", "libx265", "libsvtav1", "libvpx-vp9", "prores_ks", "ffv1", "aac")
    lacks = [name for name in encoders if name not in av.codecs_available]
    return f"{av.__version__}, FFmpeg {av.ffmpeg_version_info}" + (f"; LACKS {', '.join(lacks)}" if lacks else "")


def _opencv() -> str:
    cv2: Any = import_module("cv2")
    screen = [row.split()[1] for row in cv2.getBuildInformation().splitlines() if row.strip().startswith("GUI:")]
    return f"{cv2.__version__}, {'headless' if screen == ['NONE'] else 'for a desktop'}"


def _models() -> str:
    weights: Any = import_module("vidswap.models.registry")
    known = weights.registry()
    for name in known:
        weights.path_to(name)
    return f"{len(known)}, {sum(model.bytes for model in known.values()) / 1e6:.1f} MB, all as they should be"


def _pulled() -> str:
    hub: Any = import_module("vidswap.models.hub")
    locks = [lock for lock in map(hub.lock_of, hub.entries()) if lock]
    if not locks:
        return "none: the engines that ship need none"
    return f"{len(locks)}, {sum(lock.bytes for lock in locks) / 1e6:.1f} MB, in {hub.home()}"


def _numbers(cache: Path | None) -> str:
    network: Any = import_module("vidswap.swap.network")
    return str(network.tried(cache))


def _cache(folder: Path | None) -> str:
    if folder is None:
        return "none: there is no home folder to keep one in"
    files = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    place = next(place for place in (folder, *folder.parents) if place.exists())
    can = "writable" if os.access(place, os.W_OK) else "NOT WRITABLE"
    return f"{folder}: {len(files)} files, {sum(files) / 1e6:.1f} MB, {can}"


def _disk(cache: Path | None) -> str:
    places = {"in this folder": Path.cwd(), **({"in the cache's": cache} if cache else {})}
    told = []
    for name, place in places.items():
        there = next(folder for folder in (place, *place.parents) if folder.exists())
        free = shutil.disk_usage(there).free
        told.append(f"{free / GB:.1f} GB free {name}" + (" (FEW)" if free < NEEDED else ""))
    return ", ".join(told)


def _missing() -> str:
    """What is declared and not there, or of another version; and an OpenCV that will not load."""
    from importlib import metadata

    from packaging.requirements import Requirement

    try:
        wanted = [Requirement(words) for words in metadata.requires("vidswap") or ()]
    except metadata.PackageNotFoundError:
        return "vidswap is not installed, it runs from its source: pip install ."
    amiss = [fault for need in wanted if need.marker is None or need.marker.evaluate({"extra": ""})
             for fault in _fault(need)]  # fmt: skip
    return "; ".join([*amiss, *_desktop()]) or "nothing"


def _fault(need: Any) -> Iterator[str]:
    from importlib import metadata

    try:
        there = metadata.version(need.name)
    except metadata.PackageNotFoundError:
        yield f"{need.name} is not installed: pip install '{need.name}{need.specifier}'"
        return
    if not need.specifier.contains(there, prereleases=True):
        yield f"{need.name} is {there}: pip install '{need.name}{need.specifier}'"


def _desktop() -> Iterator[str]:
    try:
        import_module("cv2")
    except ImportError:
        yield f"an OpenCV for machines without a desktop: {headless()}"


QUESTIONS: MappingProxyType[str, Callable[[], str]] = MappingProxyType({
    "vidswap": _vidswap, "Python": _python, "system": platform.platform, "processor": _processor,
    "memory": _memory, "torch": _torch, "GPU": _gpu, "onnxruntime": _onnxruntime, "PyAV": _pyav, "OpenCV": _opencv,
    "models": _models, "pulled": _pulled,
})  # fmt: skip
