"""The libraries that vidswap stands on: what is said where one is missing, or cannot be loaded on this machine."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from traceback import walk_tb
from types import MappingProxyType

from vidswap.errors import InstallError, line_of

PACKAGES = MappingProxyType({"cv2": "opencv-python-headless", "PIL": "pillow", "google": "protobuf"})  # other names
MORE = "`vidswap doctor` says what else is amiss"
_PLACE = re.compile(r"[/\\](?:site|dist)-packages[/\\](\w+)")


@contextmanager
def loading() -> Iterator[None]:
    """Imports of ours may fail inside, for what they import: raises InstallError, in one line. Who presses Ctrl-C
    amid them is heard: a library that is written in C says then that it cannot be loaded."""
    try:
        yield
    except InstallError:
        raise
    except (ImportError, OSError, SystemError) as error:
        if stop := _stop_behind(error):
            raise stop from None
        if isinstance(error, SystemError):
            raise
        if isinstance(error, ImportError) and (error.name or "").partition(".")[0] == "vidswap":
            raise  # our own fault
        raise explained(error) from error


def _stop_behind(error: BaseException | None) -> KeyboardInterrupt | None:
    """The signal that an error came of, if it did."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error


def explained(error: ImportError | OSError) -> InstallError:
    """What was wrong with which library, and what to do."""
    library = _library(error)
    package = PACKAGES.get(library, library)
    if isinstance(error, ModuleNotFoundError) and error.name == library:
        return InstallError(f"the library {library} is not installed", f"pip install {package}; {MORE}")
    reason = line_of(error)
    if library == "cv2":
        return InstallError(f"OpenCV cannot be loaded: {reason}", f"{headless()}; no desktop or root is needed for it")
    return InstallError(f"the library {library} cannot be loaded: {reason}",
                        f"pip install --force-reinstall --no-deps {package}; {MORE}")  # fmt: skip


def headless() -> str:
    """The command that gives an OpenCV without a desktop's libraries, of the version that is there."""
    from importlib.metadata import PackageNotFoundError, version  # takes its time, and --help need not wait for it

    for name in ("opencv-python-headless", "opencv-python"):
        try:
            return f"{_pip()} install --force-reinstall --no-deps opencv-python-headless=={version(name)}"
        except PackageNotFoundError:
            continue
    return f"{_pip()} install opencv-python-headless"


def _pip() -> str:
    """The pip of this very interpreter, where it is in a virtual environment."""
    return f"{sys.executable} -m pip" if sys.prefix != sys.base_prefix else "pip"


def _library(error: ImportError | OSError) -> str:
    """The package that failed: the one named, else the innermost in whose files it happened."""
    places = [_PLACE.search(frame.f_code.co_filename) for frame, _line in walk_tb(error.__traceback__)]
    named = error.name if isinstance(error, ImportError) and error.name else ""
    return named.partition(".")[0] or next((place[1] for place in reversed(places) if place), "that is missing")
