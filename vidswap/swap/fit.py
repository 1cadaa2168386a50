"""Shots for whole-shot engines: cut out of the clip as files within their limits, their answers fitted back in.

    fitted = swap_shots(clip, plan, [ClipRole(track, identity, engine)], work.tickets, decode=partial(frames, clip))
    for frame in ...:
        composite(frame, [*layers, *fitted.layers(frame)])
    fitted.close()

A track is played as one take, or as several that overlap where its shot is longer than the engine takes. All is asked
for its price before anything is sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vidswap.errors import UsageError
from vidswap.face import geometry
from vidswap.files import as_output_error, whole
from vidswap.keys import digest_of, key_of
from vidswap.media.shotfile import write_shot
from vidswap.plan.file import Plan
from vidswap.progress import quiet
from vidswap.swap.clipengine import ClipEngine, Price
from vidswap.swap.engine import Advance, as_engine_error
from vidswap.swap.fitted import FittedShots, fitted
from vidswap.swap.takes import Take, shown, takes_of
from vidswap.swap.tickets import Ticket, is_paid, redeem
from vidswap.trust.consent import REMOTE, permit
from vidswap.types import Clip, Frame, Identity, Shot, Track

WHOLE = 100  # of which progress tells how much of a take is done
FREE = Price()
Decode = Callable[[int, int], Iterator[Frame]]  # frames [start, stop) of the clip


class ClipRole(NamedTuple):
    """A track, who plays it, with which engine."""

    track: Track
    identity: Identity
    engine: ClipEngine


def swap_shots(
    clip: Clip, plan: Plan, roles: Sequence[ClipRole], folder: Path, *,
    decode: Decode, most: Price = FREE, progress: Advance = quiet,
) -> FittedShots:  # fmt: skip
    """Have whole-shot engines play their roles; what is paid for lies in `folder`, and is paid for once. `most` is what
    all of it may cost. Raises UsageError where it costs more, ConsentError, EngineError, InputError, OutputError."""
    for role in roles:
        if role.engine.uploads:
            permit(role.identity.consent, REMOTE)
    orders = [
        _ordered(take, role, folder, plan.facts.source, decode)
        for role in roles for take in takes_of(role.track, _shot_of(role.track, plan), clip, role.engine.limits)
    ]  # fmt: skip
    _refuse_dear([order for order in orders if not is_paid(order.ticket)], most)
    takes = []
    for number, order in enumerate(orders):
        answer = _answered(order, _within(progress, number, len(orders)))
        takes.append(fitted(order.take, order.shot, answer, clip, order.role.engine.name))
        progress(WHOLE * (number + 1), WHOLE * len(orders))
    return FittedShots(tuple(takes))


def _within(progress: Advance, number: int, count: int) -> Advance:
    """What tells how far all is, of how far one of them is."""
    return lambda done, of: progress(WHOLE * number + WHOLE * done // max(of, 1), WHOLE * count)


@dataclass(frozen=True, eq=False)
class Order:
    """A take as it is asked for: its file, its ticket, and what it costs."""

    take: Take
    role: ClipRole
    shot: Path
    ticket: Ticket
    price: Price


def _ordered(take: Take, role: ClipRole, folder: Path, source: str, decode: Decode) -> Order:
    """A take with its file, which stays the same however often a render is begun: else it would be paid for anew."""
    engine, first = role.engine, int(take.sent[0])
    container = engine.limits.container
    name = key_of((source, take.sent, take.footage, take.to_sent, container))[:32]
    shot = folder / f"{name}.shot{container}"
    if not shot.exists():
        with as_output_error(shot):
            folder.mkdir(exist_ok=True)
            with whole(shot) as part:
                write_shot(part, shown(take, decode(first, int(take.sent[-1]) + 1)), take.footage.rate, container[1:])
    with as_engine_error(engine.name, take.place, quiet):
        price = engine.quote(take.footage)
        if not isinstance(price, Price):
            raise TypeError(f"it asks {price!r} for it, which is no Price")
    face = _face_in(take)
    key = key_of((engine.name, engine.key, digest_of(shot), role.identity, face))[:32]
    return Order(take, role, shot, Ticket(folder, key, engine.name, str(price), face), price)


def _shot_of(track: Track, plan: Plan) -> Shot:
    """The shot that a track lies in."""
    return next((shot for shot in plan.shots if shot.start <= track.start < shot.stop), Shot(track.start, track.stop))


def _face_in(take: Take) -> tuple[int, float, float]:
    """Where the face is in a take's file: in which picture, and there x and y, 0 to 1; in the middle of its time."""
    index = (take.start + take.stop) // 2
    number = int(np.abs(take.sent - index).argmin())
    index = int(take.sent[number].clip(take.start, take.stop - 1))
    middle = take.track.part(index, index + 1).mesh[0, :, :2].mean(0)
    x, y = (geometry.apply(take.to_sent, middle) + 0.5) / (take.footage.width, take.footage.height)
    return number, round(float(x), 4), round(float(y), 4)


def _refuse_dear(orders: Sequence[Order], most: Price) -> None:
    """Raise UsageError where orders cost more than is allowed."""
    totals: dict[str, Decimal] = {}
    for order in orders:
        totals[order.price.currency] = totals.get(order.price.currency, Decimal(0)) + order.price.amount
    over = {unit: amount for unit, amount in totals.items() if amount > (most.amount if unit == most.currency else 0)}
    if over:
        words = " and ".join(f"{amount} {unit}" for unit, amount in over.items())
        long = sum(order.take.footage.seconds for order in orders)
        raise UsageError(f"{len(orders)} shots of {long:.1f} seconds in all would cost {words}; {most} is allowed",
                         "allow as much with `swap.most`, or swap a shorter part of the clip")  # fmt: skip


def _answered(order: Order, progress: Advance) -> Path:
    """The file of an answer. Raises EngineError, OutputError."""
    engine, role = order.role.engine, order.role
    with as_engine_error(engine.name, order.take.place, progress) as told:
        return redeem(order.ticket, engine.find, lambda ticket: engine.swap(order.shot, role.identity, ticket, told))
