"""The moments of a clip that make a short: where somebody is large, turned to the camera, moving and speaking.

Each frame has a score, a window the mean of its frames'; windows begin and end at cuts where that costs little.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import uniform_filter1d

from vidswap.face.landmarks import CHIN, FOREHEAD, LID_MIDDLES, LIP_MIDDLES
from vidswap.media.view import view_of
from vidswap.types import PIECE, Array, Clip, Shot, Track
from vidswap.write.camera import subjects_of

LARGE = 0.35  # of the picture's height, of a head: larger ones are no better
ASIDE = 0.8  # of a look to the side: what is turned farther counts nothing
TALKING, LIVELY = 0.03, 0.6  # spread of a mouth's opening, in faces; head's ways a second: what counts in full
STILL, SPOKEN, MOVED = 0.4, 0.35, 0.25  # what a face counts anyway, and what speaking and moving add
SHUT = 0.5  # what closed eyes take
AT_CUT, NEAR_CUT = 0.05, 0.08  # what is added for an edge at a cut, and taken for a cut close inside an edge
CLOSE = 0.6  # seconds
STEP = 0.2  # seconds between the windows that are tried


@dataclass(frozen=True)
class Moment:
    """The frames [start, stop) of a clip, and their `score`, 0 to 1; `best` is the frame that shows most."""

    start: int
    stop: int
    score: float
    best: int


def moments_of(
    clip: Clip, span: Shot, shots: Sequence[Shot], tracks: Sequence[Track], *, length: float, count: int = 5
) -> list[Moment]:  # fmt: skip
    """The best windows of about `length` seconds within a span that do not overlap, at most `count`, the best first; of
    whoever is on the tracks. All of the span where that is shorter."""
    scores = scores_of(clip, span, tracks)
    seconds = np.array([clip.seconds(index) for index in range(span.start, span.stop)])
    cuts = sorted({edge - span.start for shot in shots for edge in (shot.start, shot.stop)} | {0, len(span)})
    found = list[Moment]()
    for value, start, stop in sorted(_windows(seconds, scores, cuts, length), key=lambda each: (-each[0], each[1])):
        if all(stop <= other.start - span.start or start >= other.stop - span.start for other in found):
            best = start + int(scores[start:stop].argmax())
            found.append(Moment(span.start + start, span.start + stop, round(max(value, 0.0), 4), span.start + best))
        if len(found) == count:
            break
    return found


def _windows(
    seconds: Array, scores: Array, cuts: Sequence[int], length: float
) -> list[tuple[float, int, int]]:  # fmt: skip
    """(value, start, stop) of the windows that are tried, rows."""
    step = float(np.median(np.diff(seconds))) if len(seconds) > 1 else 1.0
    ends = np.append(seconds, seconds[-1] + step)
    total = np.concatenate([[0.0], np.cumsum(scores)])
    if ends[-1] - ends[0] <= length + step / 2:
        return [(float(total[-1] / len(scores)), 0, len(scores))]
    starts = {int(row) for row in np.searchsorted(ends, np.arange(ends[0], ends[-1] - length, STEP))}
    starts |= {cut for cut in cuts if ends[min(cut, len(seconds))] + length <= ends[-1] + step / 2}
    starts |= {int(np.searchsorted(ends, ends[cut] - length)) for cut in cuts if ends[cut] - ends[0] >= length}
    found = []
    for start in sorted(start for start in starts if start < len(seconds)):
        stop = min(max(int(np.searchsorted(ends, ends[start] + length - step / 2)), start + 1), len(seconds))
        value = float(total[stop] - total[start]) / (stop - start)
        found.append((value + _edges(ends, cuts, start, stop), start, stop))
    return found


def _edges(ends: Array, cuts: Sequence[int], start: int, stop: int) -> float:
    """What the place of a window's edges is worth."""
    at = (start in cuts) + (stop in cuts)
    inside = [cut for cut in cuts if start < cut < stop]
    close = sum(any(gap < CLOSE for gap in gaps) for gaps in (
        [ends[cut] - ends[start] for cut in inside], [ends[stop] - ends[cut] for cut in inside],
    ))  # fmt: skip
    return AT_CUT * at - NEAR_CUT * close


def scores_of(clip: Clip, span: Shot, tracks: Sequence[Track]) -> Array:
    """(N,) float64, 0 to 1: how much each frame of a span shows of whoever is on the tracks."""
    scores = np.zeros(len(span))
    for track in tracks:
        start, stop = max(track.start, span.start), min(track.stop, span.stop)
        if start < stop:
            rows = slice(start - span.start, stop - span.start)
            scores[rows] = np.maximum(scores[rows], _track_scores(clip, track, Shot(start, stop)))
    return scores


def _track_scores(clip: Clip, track: Track, span: Shot) -> Array:
    seen = subjects_of([track], span)
    heads, look = seen.heads[:, 0], abs(seen.look[:, 0])
    tall, middle = heads[:, 3] - heads[:, 1], (heads[:, :2] + heads[:, 2:]) / 2
    mouth, eyes, there = _openings(track, span)
    second = max(1, round(float(clip.rate)))
    speaking = np.clip(_spread(mouth, second) / TALKING, 0, 1)
    way = np.linalg.norm(np.diff(middle, axis=0, prepend=middle[:1]), axis=1) * second / np.maximum(tall, 1)
    moving = np.clip(uniform_filter1d(way, second, mode="nearest") / LIVELY, 0, 1)
    size = np.clip(tall / (LARGE * view_of(clip).size[1]), 0, 1)
    frontal = np.clip(1 - look / ASIDE, 0, 1)
    awake = 1 - SHUT * (1 - np.clip(eyes / max(float(np.quantile(eyes, 0.8)), 1e-6), 0, 1))
    return np.asarray(there * size * frontal * awake * (STILL + SPOKEN * speaking + MOVED * moving))


def _openings(track: Track, span: Shot) -> tuple[Array, Array, Array]:
    """(T,) each: how far the mouth is open, and the eyes, in faces' heights; whether the face is seen."""
    mouth, eyes, there = list[Array](), list[Array](), list[Array]()
    for start in range(span.start, span.stop, PIECE):
        part = track.part(start, min(start + PIECE, span.stop))
        tall = np.maximum(_apart(part.mesh, (FOREHEAD, CHIN)), 1e-6)
        mouth.append(_apart(part.mesh, LIP_MIDDLES) / tall)
        eyes.append(sum(_apart(part.mesh, pair) for pair in LID_MIDDLES) / tall)
        there.append(part.seen)
    return np.concatenate(mouth), np.concatenate(eyes), np.concatenate(there)


def _apart(mesh: Array, pair: tuple[int, int]) -> Array:
    """(T,): how far two points of meshes (T, 478, 3) are apart."""
    return np.asarray(np.linalg.norm(mesh[:, pair[0]] - mesh[:, pair[1]], axis=1))


def _spread(values: Array, width: int) -> Array:
    """(T,): the standard deviation of values in a window around each."""
    mean = uniform_filter1d(values, width, mode="nearest")
    square = uniform_filter1d(values**2, width, mode="nearest")
    return np.asarray(np.sqrt(np.maximum(square - mean**2, 0)))


def persons_in(cast: Collection[int | str], persons: Mapping[int, float]) -> set[int]:
    """Whom of the persons of a plan the keys of a cast mean."""
    largest = max(persons, key=lambda who: persons[who], default=-1) if "largest" in cast else -1
    return {who for who in persons if who in cast or who == largest or "all" in cast}

