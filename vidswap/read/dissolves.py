"""Pictures in order -> where one scene turns into another over several frames: dissolves and wipes.

In a dissolve a picture is the sum of two scenes: it resembles both while they do not resemble one another, and is
flatter than either, since patterns that have nothing in common do not add up (Alattar, "Detecting and compressing
dissolve regions in video sequences", ISCAS 1993). What moves does not get flatter. In a wipe each part of a picture is
of one scene or the other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import cv2
import numpy as np

from vidswap.read.shots import correlation, detail_of
from vidswap.types import Array

LENGTHS = (6, 8, 12, 16, 24, 32, 48)  # frames between the two pictures compared: .2 to 1.6 s at 30 a second
APART = 0.7  # correlation of their details below which two pictures show different scenes
FLATTER = 0.7  # of what a sum of both loses in variance, how much a picture of a dissolve has lost at least
BOTH = 0.4  # its least correlation with either
PIECED = 0.12  # of the difference of both, how much is left at most where a wipe's parts are taken from the nearer
PURE = 0.15  # how much of the other scene is not seen
REST = 16  # frames between two dissolves below which they are one: a slow wipe is found in pieces
PATIENCE = 8  # frames through which a better pair of pictures is waited for
BLANK = 1.0  # variance of details, in squared grey levels, below which a picture shows nothing


@dataclass(frozen=True)
class Dissolve:
    """The frames [start, stop) show two scenes; from `middle` on it is more of the second."""

    start: int
    middle: int
    stop: int


def merged(dissolves: Iterable[Dissolve]) -> list[Dissolve]:
    """Dissolves in order, those with hardly a rest between them as one."""
    found = list[Dissolve]()
    for each in dissolves:
        if found and each.start < found[-1].stop + REST:
            before = found.pop()
            middle, stop = (before.middle + each.middle) // 2, max(before.stop, each.stop)
            found.append(Dissolve(before.start, middle, stop))
        else:
            found.append(each)
    return found


class DissolveDetector:
    """Tells of each dissolve soon after it is over, for pictures fed in order."""

    def __init__(self) -> None:
        self._held: deque[tuple[int, Array]] = deque(maxlen=max(LENGTHS) + 1)
        self._best: tuple[float, int, Dissolve] | None = None  # how alike its ends are, when it was found

    def __call__(self, index: int, rgb: Array, is_cut: bool) -> Dissolve | None:
        """`rgb` (H, W, 3) uint8 is frame `index`, `is_cut` whether a cut lies before it; what is over by now."""
        over = self.end() if is_cut or (self._best and index >= self._best[1] + PATIENCE) else None
        while self._held and (is_cut or (over and self._held[0][0] < over.stop)):
            self._held.popleft()
        self._held.append((index, cv2.resize(detail_of(rgb), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)))
        for length in (each for each in LENGTHS if each < len(self._held)):
            self._compare(index, [detail for _, detail in islice(self._held, len(self._held) - 1 - length, None)])
        return over

    def end(self) -> Dissolve | None:
        """What is over now that a cut or the end follows."""
        best, self._best = self._best, None
        return best[2] if best else None

    def _compare(self, index: int, span: Sequence[Array]) -> None:
        """Keep the dissolve between the first and the last of `span`, which ends with frame `index`, if there is one
        and its ends are less alike than those of the one that is kept."""
        first, last = span[0], span[-1]
        alike = correlation(first, last)
        if alike >= (self._best[0] if self._best else APART) or min(first.var(), last.var()) < BLANK:
            return
        share = next((share for share, holds in WAYS if holds(first, span[len(span) // 2], last)), None)
        if share is not None:
            shares = [share(first, between, last) for between in span[:-1]] + [1.0]
            self._best = alike, index, _placed(index + 1 - len(span), shares)


def _placed(start: int, shares: Sequence[float]) -> Dissolve:
    """The dissolve in frames from `start` on, of which `shares` say how much of the second scene they show."""
    first, middle, last = (next(place for place, share in enumerate(shares) if share >= level)
                           for level in (PURE, 0.5, 1 - PURE))  # fmt: skip
    return Dissolve(start + first, start + middle, start + max(last, middle + 1))


def _blend(first: Array, between: Array, last: Array) -> float:
    """How much of `last` is in a picture, 0 to 1, if it is a sum of both."""
    change = last - first
    return float(((between - first) * change).sum() / (change**2).sum())


def _is_blend(first: Array, between: Array, last: Array) -> bool:
    share = _blend(first, between, last)
    plain = (1 - share) * first.var() + share * last.var()
    summed = ((1 - share) * first + share * last).var()
    flatter = plain - between.var() > FLATTER * (plain - summed)
    return _amid(share) and flatter and min(correlation(first, between), correlation(between, last)) > BOTH


def _parts(first: Array, between: Array, last: Array) -> tuple[float, float]:
    """How much of a picture is nearer to `last` than to `first`, and how much of it is neither, 0 to 1 both: places
    count by how much the two differ there."""
    gone, left, whole = (cv2.blur((one - other) ** 2, (5, 5))
                         for one, other in ((first, between), (between, last), (first, last)))  # fmt: skip
    total = float(whole.sum())
    return float(whole[left < gone].sum()) / total, float(np.minimum(gone, left).sum()) / total


def _wipe(first: Array, between: Array, last: Array) -> float:
    return _parts(first, between, last)[0]


def _is_wipe(first: Array, between: Array, last: Array) -> bool:
    share, neither = _parts(first, between, last)
    return _amid(share) and neither < PIECED


def _amid(share: float) -> bool:
    return 0.2 < share < 0.8


WAYS = ((_blend, _is_blend), (_wipe, _is_wipe))
