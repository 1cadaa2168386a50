"""Who is who: which tracks are of one person.

Two tracks are as alike as their two most similar views: a person is known again by the one pose that both show, while
the means of a turned and of a frontal face differ as much as strangers do. Measured in docs/who-is-who.md.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np

from vidswap.types import Array

VIEWS = 4  # of a track, in order of time
SAME = 0.8  # likeness from which two tracks are one person's
TOGETHER = 1e9  # distance of what is on screen at once; so great that no mean with it is small
HANDOVER = 12  # frames of a dissolve or a slide in which one person is seen in both scenes
BLOCK = 512  # tracks compared with all others at once


@dataclass(frozen=True, eq=False)
class TrackSummary:
    """What tells whose a track is: its frames [start, stop), the sum of the face's sizes over them, its `embedding`
    (E,) float32 unit, None where nothing is known, and `views`, (E,) float32 unit each, at most VIEWS."""

    start: int
    stop: int
    screen: float
    embedding: Array | None
    views: Sequence[Array] = field(default=())


def embedding_of(summary: TrackSummary, width: int = 1) -> Array:
    """(E,) float32: its embedding; `width` zeros where it has none."""
    return np.zeros(width, np.float32) if summary.embedding is None else summary.embedding


def embeddings_of(summaries: Sequence[TrackSummary]) -> Array:
    """(N, E) float32: the embeddings; zeros for those that have none."""
    width = next((len(each.embedding) for each in summaries if each.embedding is not None), 1)
    rows = [embedding_of(each, width) for each in summaries]
    return np.stack(rows) if rows else np.empty((0, 0), np.float32)


def persons_of(summaries: Sequence[TrackSummary], doubles: Collection[tuple[int, int]] = ()) -> list[int]:
    """A person's number for each track; 0 is the person with most time on screen times size.

    Groups are joined, the most alike first, while the mean likeness of their tracks is at least SAME (UPGMA; Sokal and
    Michener 1958); never two that are on screen together, but for one that
    takes over from the other, and `doubles`, pairs (i, j) of one person shown twice."""
    if len(summaries) < 2:
        return [0] * len(summaries)
    from scipy.cluster.hierarchy import fcluster, linkage  # late: it takes a while, and one track needs none of it

    distances = _distances(summaries)
    for i, j in doubles:
        distances[_place(min(i, j), max(i, j), len(summaries))] = 0
    groups = fcluster(linkage(distances, "average"), 1 - SAME, "distance")
    screen = np.bincount(groups, [each.screen for each in summaries])
    first = {group: place for place, group in reversed(list(enumerate(groups)))}
    order = sorted(first, key=lambda group: (-screen[group], first[group]))
    numbers = {group: number for number, group in enumerate(order)}
    return [numbers[group] for group in groups]


def likeness(one: TrackSummary, other: TrackSummary) -> float:
    """The cosine of the most similar two views, -1 to 1; 0 where nothing is known."""
    first, second = (_views([each])[:, 0] for each in (one, other))
    return float((first @ second.T).max()) if first.shape[1] == second.shape[1] else 0.0


def _place(i: int, j: int, count: int) -> int:
    """Where the distance of i < j lies in scipy's condensed matrix of `count` points."""
    return i * count - i * (i + 1) // 2 + j - i - 1


def _distances(summaries: Sequence[TrackSummary]) -> Array:
    """(N (N - 1) / 2,) float64, scipy's condensed matrix: 1 - likeness, TOGETHER for what is on screen at once."""
    count, views = len(summaries), _views(summaries)
    starts, stops = (np.array([getattr(each, end) for each in summaries]) for end in ("start", "stop"))
    found = np.empty(count * (count - 1) // 2)
    for low in range(0, count, BLOCK):
        rows = slice(low, low + BLOCK)
        alike = np.full((len(starts[rows]), count - low), -1, np.float32)
        for one, other in product(views, views):
            np.maximum(alike, one[rows] @ other[low:].T, out=alike)
        apart = np.maximum(1 - alike, 0).astype(np.float64)
        apart[_together(starts[rows, None], stops[rows, None], starts[low:], stops[low:])] = TOGETHER
        for i, row in enumerate(apart):
            begin = _place(low + i, low + i + 1, count)
            found[begin : begin + len(row) - i - 1] = row[i + 1 :]
    return found


def _together(starts: Array, stops: Array, others: Array, ends: Array) -> Array:
    """Which tracks [starts, stops) are on screen with which [others, ends), more than one is that ends while the other
    begins: they share no more than HANDOVER frames then, and not half of either."""
    shared = np.minimum(stops, ends) - np.maximum(starts, others)
    follows = (starts < others) == (stops < ends)
    short = (shared <= HANDOVER) & (2 * shared <= np.minimum(stops - starts, ends - others))
    return np.asarray((shared > 0) & ~(follows & short & (starts != others) & (stops != ends)))


def _views(summaries: Sequence[TrackSummary]) -> Array:
    """(V, N, E) float32: the views of each, the first again where there are fewer; zeros where nothing is known."""
    means = embeddings_of(summaries)
    known = [list(each.views) or [mean] for each, mean in zip(summaries, means)]
    most = max(map(len, known))
    return np.array([[views[min(place, len(views) - 1)] for views in known] for place in range(most)], np.float32)
