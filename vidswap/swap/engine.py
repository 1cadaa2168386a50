"""The seam for engines: crops and an identity in, the same crops with another face out.

A new engine is one file in engines/ and one row of its table; it is imported only when it is chosen. Its module has a
frozen dataclass `Settings`, made of settings.Setting; `models(settings)`, the names of the models that it would open,
as the registry or the hub's list has them; and `load(settings, cache)`, a context manager that gives the Engine and
frees its weights at the end; `cache` is a folder to keep in what it finds out about the machine, or None.
Contract, held by one test file over every engine: the same frames, size and order come back; inputs stay untouched;
equal arguments give equal results, to the bit where it says `exact`; all memory is `before`, the answer to the window
before of the same track; failure is EngineError; `key` says what the answers depend on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, fields, replace
from importlib import import_module
from inspect import getsourcefile, signature
from math import ceil
from pathlib import Path
from typing import Any, Literal, Protocol

import cv2
import numpy as np

from vidswap.errors import EngineError, InputError, UsageError, VidswapError, quoted
from vidswap.keys import code_of, digest_of, key_of
from vidswap.libraries import explained, loading
from vidswap.progress import quiet
from vidswap.settings import check_kind
from vidswap.swap.engines import ENGINES
from vidswap.types import Crops, EngineChoice, Identity, Swapped

Advance = Callable[[int, int], None]  # done, and of how many: steps, frames, whatever an engine counts in
MOST_SIZE = 4096  # pixels of a crop's side: a window of 16 is 0.8 GB then
NUMBERS = "biufc"  # kinds of arrays that can be kept for the next window
STEP = 64  # by which smaller sides of crops differ
ENOUGH = 1.3  # pixels of a crop that a pixel of the frame is worth: more would show nothing more
EDGE = 1e-3  # by which an alpha may miss 0 and 1: rounding
KEY = 12  # hexadecimal digits of a key: enough to tell one engine from another
FAULT = "that is a fault of the engine: report it, with the error that this one was raised from"


@dataclass(frozen=True)
class Needs:
    """What an engine wants to be handed.

    `size`: side of a crop in pixels. `framing`: "aligned" turns and scales each frame to the face, "fixed" keeps one
    square a window. `window`: most frames a call. `overlap`: frames shared with the window before; over half a window
    a frame would fall into three windows, so that is refused. `uploads`: crops leave this machine. `margin`: pixels of
    the surroundings on each side that come on top of `size`, at the same scale. `least`: a smaller side, down to which
    crops may be where the face is so small in the frame that a larger one would only enlarge it; 0 where all are alike.
    """

    size: int
    framing: Literal["aligned", "fixed"]
    window: int
    overlap: int
    uploads: bool = False
    margin: int = 0
    least: int = 0

    def __post_init__(self) -> None:
        if any(type(number) is not int for number in (self.size, self.window, self.overlap, self.margin, self.least)):
            raise ValueError(f"Needs: expected whole numbers, got {self}")
        if not (16 <= self.size <= MOST_SIZE and 0 <= self.overlap <= self.window // 2 and self.window > 0):
            raise ValueError(f"Needs: expected size 16 to {MOST_SIZE}, overlap at most half of window, got {self}")
        if not 0 <= self.margin <= self.size:
            raise ValueError(f"Needs: expected margin 0 to size, got {self}")
        whole = self.size % STEP == self.least % STEP == self.margin * STEP % self.size == 0
        if self.least and not (0 < self.least <= self.size and whole):
            raise ValueError(f"Needs: expected least 0, or like size a multiple of {STEP}, got {self}")
        if self.framing not in ("aligned", "fixed"):
            raise ValueError(f"Needs: expected framing aligned or fixed, got {self}")

    def at(self, zoom: float) -> Needs:
        """What is needed of a face of which a crop of `size` shows `zoom` pixels a frame pixel."""
        if not self.least or zoom <= ENOUGH:
            return self
        size = max(self.least, ceil(self.size * ENOUGH / zoom / STEP) * STEP)
        return replace(self, size=size, margin=self.margin * size // self.size)

    def inner(self, side: int) -> int:
        """The side of a crop's middle, which is what lies within its margin, of all that is `side` wide."""
        return side * self.size // (self.size + 2 * self.margin)


class Engine(Protocol):
    @property
    def needs(self) -> Needs: ...

    @property
    def key(self) -> str:
        """All that its answers depend on beside what it is handed and its code: weights, prompt, settings, device,
        dtype. A render goes on only with an engine of the same key; the result is labelled with a digest of it."""
        ...

    @property
    def exact(self) -> bool:
        """Whether equal arguments give answers that are equal to the bit; else they are close."""
        ...

    def swap(self, crops: Crops, identity: Identity, before: Swapped | None, progress: Advance) -> Swapped:
        """Crops with the identity's face; `before` is this engine's answer to the window before of the same track,
        None at its first window. One that takes its time calls `progress` on the way, and at the end with all done.
        Raises EngineError."""
        ...


Load = Callable[[EngineChoice, Path | None], AbstractContextManager[Engine]]  # as load_engine is


@dataclass(frozen=True)
class Wrapped:
    """An engine that stands for another: all that it says of itself is the other's."""

    engine: Engine

    @property
    def needs(self) -> Needs:
        return self.engine.needs

    @property
    def key(self) -> str:
        return self.engine.key

    @property
    def exact(self) -> bool:
        return self.engine.exact

    def swap(self, crops: Crops, identity: Identity, before: Swapped | None, progress: Advance) -> Swapped:
        """The other's answer. Raises EngineError."""
        return self.engine.swap(crops, identity, before, progress)


@dataclass(frozen=True)
class Fenced(Wrapped):
    """An engine whose failures are EngineErrors, whatever it is made of, and whose key tells its code as well."""

    name: str

    @property
    def label(self) -> str:
        """Its name and key, with which results are labelled."""
        return f"{self.name} {self.key}"

    @property
    def key(self) -> str:
        """A digest of its name, of what it says of itself, and of its code."""
        return key_of((self.name, self.engine.key, _code_of(self.engine)))[:KEY]

    def swap(self, crops: Crops, identity: Identity, before: Swapped | None, progress: Advance) -> Swapped:
        """The engine's own answer. Raises EngineError, with the engine's own error as its cause."""
        place = f"frames {crops.start} to {crops.start + len(crops) - 1}"
        with as_engine_error(self.name, place, progress) as told:
            swapped = self.engine.swap(crops, identity, before, told)
        if not isinstance(swapped, Swapped):
            got = type(swapped).__name__
            raise EngineError(f"the engine {self.name} did not answer {place} but gave {got}", FAULT)
        if amiss := _amiss(swapped, crops):
            raise EngineError(f"the engine {self.name} did not answer {place}: {amiss}", FAULT)
        return swapped if swapped.crops is crops else replace(swapped, crops=crops)  # it does not say where they lie


class _Told:
    """Hands progress on, and knows a failure of whoever hears it from the engine's own."""

    def __init__(self, progress: Advance) -> None:
        self._progress = progress
        self.failure: Exception | None = None

    def __call__(self, done: int, total: int) -> None:
        try:
            self._progress(done, total)
        except Exception as error:
            self.failure = error
            raise


def fenced(engine: Engine, name: str = "") -> Fenced:
    """An engine that somebody hands in, by the name of its class if it has no other. Raises UsageError where it lacks
    what the protocol asks for."""
    if isinstance(engine, Fenced):
        return engine
    name = name or type(engine).__name__
    if not isinstance(_said(engine, name, "needs"), Needs):
        raise UsageError(f"the engine {name} does not say what it needs", "give it `needs`, a Needs")
    if not isinstance(_said(engine, name, "key"), str):
        raise UsageError(f"the engine {name} does not say what it is, so that no render could go on with it",
                         "give it `key`: all that its answers depend on, as weights, prompt, device")  # fmt: skip
    if not isinstance(_said(engine, name, "exact"), bool):
        raise UsageError(f"the engine {name} does not say whether it is exact",
                         "give it `exact`: True where equal arguments give equal bits")  # fmt: skip
    if not _takes(_said(engine, name, "swap"), ("crops", "identity", "before", "progress")):
        raise UsageError(f"the engine {name} cannot swap as it is asked to",
                         "give it `swap(crops, identity, before, progress)`, as vidswap.Engine has it")  # fmt: skip
    return Fenced(engine, name)


def plays_shots(engine: object) -> bool:
    """Whether it is a ClipEngine (swap.clipengine), which takes whole shots."""
    return hasattr(engine, "quote")


def _takes(function: object, words: tuple[str, ...]) -> bool:
    """Whether a function can be called with so many arguments, in a row."""
    if not callable(function):
        return False
    try:
        signature(function).bind(*words)
    except (TypeError, ValueError) as error:
        return isinstance(error, ValueError)  # one that is written in C does not say what it takes
    return True


def _said(engine: Engine, name: str, word: str) -> object:
    """An attribute of an engine; None where it has none. Raises EngineError where asking fails."""
    try:
        return getattr(engine, word, None)
    except Exception as error:
        raise EngineError(f"the engine {name} cannot say its {word}: {_reason(error)}", FAULT) from error


def _amiss(swapped: Swapped, crops: Crops) -> str:
    """Why an answer is none to these crops; "" where it is one."""
    own, latents = swapped.crops, swapped.latents
    if (own.track, own.start, swapped.rgb.shape) != (crops.track, crops.start, crops.rgb.shape):
        return f"it gave {swapped!r}"
    if not (swapped.alpha.min() >= -EDGE and swapped.alpha.max() <= 1 + EDGE):  # nor is NaN
        return f"its alpha is {swapped.alpha.min()} to {swapped.alpha.max()}, not 0 to 1"
    if latents is not None and not (isinstance(latents, np.ndarray) and latents.dtype.kind in NUMBERS):
        return f"its latents are {type(latents).__name__}, not an array of numbers"
    return ""


@contextmanager
def as_engine_error(name: str, place: str, progress: Advance) -> Iterator[Advance]:
    """Whatever an engine raises inside, in some frames, becomes an EngineError with that as its cause; but not what is
    raised by whom it tells its progress: it is handed what is given here."""
    told = _Told(progress)
    try:
        yield told
    except VidswapError:
        raise
    except Exception as error:
        if error is told.failure:
            raise
        raise EngineError(f"the engine {name} failed at {place}: {_reason(error)}", _hint(error)) from error


def _reason(error: Exception) -> str:
    """What went wrong, in one line."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    try:
        said = next(iter(str(error).strip().splitlines()), "")
    except Exception:  # noqa: BLE001 - an error that cannot say what it is has a name all the same
        said = ""
    plain = isinstance(error, (RuntimeError, ValueError, ImportError, cv2.error)) and said
    return said if plain else ": ".join(filter(None, (type(error).__name__, said)))


def _hint(error: Exception) -> str:
    """What to do about a failure."""
    if isinstance(error, MemoryError) or any(word in _reason(error).lower() for word in ("out of memory", "alloc")):
        return "memory is short: close other programs, or try `swap.engine` warp"
    if isinstance(error, ImportError):
        return explained(error).hint
    if isinstance(error, OSError):
        return "check that file, its drive, or the connection"
    return FAULT


def _code_of(engine: Engine) -> str:
    """The digest of the source that an engine is made of; "" where there is none to read."""
    module = type(engine).__module__
    if module.startswith("vidswap.swap."):
        return code_of("face", "swap", "types")
    with suppress(TypeError, OSError, InputError):
        return digest_of(Path(getsourcefile(type(engine)) or ""))
    return ""


def opened(load: Load, choice: EngineChoice, cache: Path | None) -> AbstractContextManager[Any]:
    """What `load` gives for a choice; what fails then, or at its start and its end, are EngineErrors. Raises
    UsageError where it is no function, or gives no context manager."""
    if not callable(load):
        raise UsageError(f"load is {quoted(load)}", "allowed: a function of a choice and a folder, as load_engine")
    with as_engine_error(choice.name, "its start", quiet):
        life = load(choice, cache)
    if not all(hasattr(type(life), word) for word in ("__enter__", "__exit__")):
        raise UsageError(f"load gave {quoted(life)} as the engine {choice.name}",
                         "let it give a context manager, such as contextlib.nullcontext(engine)")  # fmt: skip
    return _Life(choice.name, life)


@dataclass(frozen=True)
class _Life:
    """The context in which an engine can be used."""

    name: str
    life: AbstractContextManager[Any]

    def __enter__(self) -> Any:
        with as_engine_error(self.name, "its start", quiet):
            return self.life.__enter__()

    def __exit__(self, *raised: Any) -> bool | None:
        with as_engine_error(self.name, "its end", quiet):
            return self.life.__exit__(*raised)


def load_engine(choice: EngineChoice, cache: Path | None = None) -> AbstractContextManager[Any]:
    """The engine that was chosen: its weights are loaded as it is entered, and freed as it is left; what it finds out
    about the machine is kept in the folder `cache`. Raises UsageError at once for an unknown name or option; later
    ModelError for missing or damaged weights, InstallError for libraries that cannot be loaded."""
    check_kind("choice", choice, EngineChoice)
    if choice.name not in ENGINES:
        raise UsageError(f"no engine is called {quoted(choice.name)}", f"choose one of: {', '.join(ENGINES)}")
    if choice.options:  # else there is nothing to refuse, and no library to wait for yet
        settings_of(choice)
    return _loaded(choice, cache)


@contextmanager
def _loaded(choice: EngineChoice, cache: Path | None) -> Iterator[Any]:
    with ExitStack() as life:
        with loading():
            engine = life.enter_context(module_of(choice.name).load(settings_of(choice), cache))
        yield engine if plays_shots(engine) else fenced(engine, choice.name)


def settings_of(choice: EngineChoice) -> Any:
    """The engine's own Settings, as chosen. Raises UsageError for what it does not know or allow, InstallError."""
    with loading():
        kind = module_of(choice.name).Settings
    known = [each.name for each in fields(kind)]
    if unknown := [name for name, _ in choice.options if name not in known]:
        hint = f"it has: {', '.join(known)}" if known else "it has none"
        raise UsageError(f"the engine {choice.name} has no setting called {quoted(unknown[0])}", hint)
    return kind(**dict(choice.options))


def module_of(name: str) -> Any:
    """The module of an engine of the table."""
    return import_module(f"vidswap.swap.engines.{name}")
