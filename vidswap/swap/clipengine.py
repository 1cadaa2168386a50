"""The seam for services and models that take a whole shot: a file in, a file out.

A ClipEngine is told what it is to play before it is handed anything, so that limits and price are known before a bit
leaves this machine. What it is handed and how its answer becomes layers of the clip is `vidswap.swap.fit`; that it is
paid once is `vidswap.swap.tickets`.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from vidswap.errors import UsageError
from vidswap.swap.engine import Advance
from vidswap.swap.tickets import Ticket
from vidswap.types import Identity


@dataclass(frozen=True)
class Limits:
    """What a ClipEngine takes, each from least to most: `seconds` of a shot, `sides` of a picture in pixels (either of
    the two), `aspect` its width over its height, `rates` its frames a second; `pixels` a picture at most; `container`
    is the ending of the file (".mp4", ".mov")."""

    seconds: tuple[float, float]
    sides: tuple[int, int]
    rates: tuple[float, float] = (24, 60)
    aspect: tuple[float, float] = (0.4, 2.5)
    pixels: int = 3840 * 2160
    container: str = ".mp4"

    def __post_init__(self) -> None:
        ranges = {"seconds": self.seconds, "sides": self.sides, "rates": self.rates, "aspect": self.aspect}
        for name, (least, most) in ranges.items():
            if not 0 < least <= most:
                raise ValueError(f"Limits.{name}: expected 0 < least <= most, got {least} to {most}")
        if self.sides[0] ** 2 > self.pixels:
            raise ValueError(f"Limits.pixels: {self.pixels} do not hold a square of {self.sides[0]}")


@dataclass(frozen=True)
class Footage:
    """A shot's file in numbers: whole `frames`, `rate` of them a second, of `width` x `height` square pixels."""

    frames: int
    rate: Fraction
    width: int
    height: int

    @property
    def seconds(self) -> float:
        return float(self.frames / self.rate)


@dataclass(frozen=True)
class Price:
    """What playing so many frames costs: an amount in a currency (ISO 4217), or in units of the service's own."""

    amount: Decimal = Decimal(0)
    currency: str = "USD"
    frames: int = 0
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if not (isinstance(self.amount, Decimal) and self.amount.is_finite() and self.amount >= 0):
            raise ValueError(f"Price.amount: expected a Decimal from 0 on, got {self.amount!r}")

    def __str__(self) -> str:
        return f"{self.amount} {self.currency}" if self.amount else "nothing"


def price_of(words: str | None) -> Price:
    """What "5 USD" says; None is nothing."""
    if words is None:
        return Price()
    amount, currency = words.split()
    return Price(Decimal(amount), currency.upper())


class ClipEngine(Protocol):
    """Plays whole shots. Its failures are EngineErrors, or become such."""

    @property
    def name(self) -> str: ...

    @property
    def label(self) -> str:
        """Its name and what tells it from others of that name, with which results are labelled."""
        ...

    @property
    def limits(self) -> Limits: ...

    @property
    def key(self) -> str:
        """All that its answers depend on beside what it is handed, as an Engine's: a shot is paid for once a key."""
        ...

    @property
    def uploads(self) -> bool:
        """Whether shots and photos leave this machine."""
        ...

    def quote(self, footage: Footage) -> Price:
        """What a shot would cost; asked before anything is sent."""
        ...

    def find(self, ticket: Ticket) -> str | None:
        """The number of the job that was asked for under `ticket.name`; None where there certainly is none, because
        then it is asked for. Raises EngineError where that cannot be known."""
        ...

    def swap(self, shot: Path, identity: Identity, ticket: Ticket, progress: Advance) -> Path:
        """The shot with the identity's face, as a new file in `ticket.folder`: the whole of the picture from the
        shot's beginning on, of whatever size and rate.

        Where `ticket.job` is None the job is asked for, once, under the name `ticket.name`, and its number told to
        `ticket.accept` before anything else; else it is only waited for. A job that came to nothing and costs nothing
        is told to `ticket.fail`. `ticket.face` says where the face is that is to change. Raises EngineError."""
        ...


WORDS = MappingProxyType({"name": str, "label": str, "key": str, "limits": Limits, "uploads": bool})


def refuse_silent(engine: ClipEngine) -> None:
    """Raise UsageError where an engine does not say of itself what decides over consent and money."""
    for word, kind in WORDS.items():
        if not isinstance(getattr(engine, word, None), kind):
            raise UsageError(f"the engine {type(engine).__name__} does not say its `{word}`",
                             f"give it one, of the kind {kind.__name__}, as a ClipEngine has it")  # fmt: skip
