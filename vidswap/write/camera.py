"""Where a camera of another shape looks: a crop for each frame that follows faces as a camera operator would.

The whole shot is known, so nothing lags: the path of a shot is the best of all whose speed and acceleration are bounded
(Grundmann, Kwatra, Essa, "Auto-directed video stabilization with robust L1 optimal camera paths", CVPR 2011): it stands
still, pans evenly, or eases between the two. It is a cubic B-spline, whose derivatives lie within the bounds of their
control points, found by linear programming; each cut begins anew.

    seen = subjects_of(tracks, span)
    camera = camera_path(shape, (width, height), seconds, shots, seen)  # a row a frame of the span
    picture = reframe(frame.native, camera[row], shape, frame.to_stored)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import sparse

from vidswap.face.landmarks import NOSE_TIP
from vidswap.types import PIECE, Array, Shot, Track, TrackPart
from vidswap.write.target import Shape

HAIR, BACK = 0.3, 0.35  # of a mesh's height that a head is higher; of its width that there is behind it, in profile
SAFE = 0.06  # of the crop's width: no nearer to its edge comes a head
COMFORT = 0.05  # of the crop's width, by which a face may be off its place before the camera follows
PLACE = 0.42  # of the crop's height, from its top: where the middle of a head belongs
LOOK = 0.12  # of the crop's width, before a face in profile
TALL = 0.35  # of the crop's height, of a head: a smaller one is gone nearer to, as far as no pixel is enlarged
SPEED, ACCELERATION = 0.8, 1.6  # most, of crop's widths a second (and second)
IN_FRAME = 0.95  # of a shot's frames in which a head, or all of them, must fit into a crop
KNOT = 0.16  # seconds between the control points of a path
UNSAFE, UNEASY = 20.0, 3.0  # cost a second of a width outside the safe area, and outside comfort,
RESTLESS = (0.1, 0.1, 0.02)  # and of a unit of speed, of acceleration, of its change
STILL = 1.0  # pixels: what moves less does not


@dataclass(frozen=True, eq=False)
class Subjects:
    """Who is to be seen, a column for each person: `heads` (N, P, 4) float64 are x0 y0 x1 y1 in pixels of the seen
    picture, NaN where somebody is not there; `look` (N, P) is where they look, -1 (left) to 1."""

    heads: Array
    look: Array


def subjects_of(tracks: Sequence[Track | TrackPart], span: Shot) -> Subjects:
    """The heads on tracks, in the frames of a span. Raises InputError where a plan is damaged."""
    persons = sorted({track.person for track in tracks})
    heads, look = np.full((len(span), len(persons), 4), np.nan), np.zeros((len(span), len(persons)))
    for track in tracks:
        first, last = max(track.start, span.start), min(track.stop, span.stop)
        for start in range(first, last, PIECE):
            part = track.part(start, min(start + PIECE, last))
            low, high = part.mesh[..., :2].min(1), part.mesh[..., :2].max(1)
            rows = slice(part.start - span.start, part.stop - span.start), persons.index(track.person)
            half = np.maximum(high - low, 1)[:, 0] / 2
            look[rows] = np.clip((part.mesh[:, NOSE_TIP, 0] - (low + high)[:, 0] / 2) / half, -1, 1)
            low[:, 1] -= HAIR * (high - low)[:, 1]
            behind = 2 * BACK * half * look[rows]
            low[:, 0], high[:, 0] = low[:, 0] - np.maximum(behind, 0), high[:, 0] - np.minimum(behind, 0)
            heads[rows] = np.hstack([low, high])
    return Subjects(heads, look)


def camera_path(
    shape: Shape, size: tuple[int, int], seconds: Array, shots: Sequence[Shot], subjects: Subjects
) -> Array:
    """(N, 4) float64: x y width height of what is shown of each frame, in pixels of the seen picture, always within it.
    Widths and heights are whole even numbers (or the picture's own) that stay through a shot. Where a head does not fit
    into the largest crop of the shape, the crop is of another shape, and holds it.

    `size` is the picture's (width, height); `seconds` (N,) when each frame is shown; `shots` are of rows, in order;
    what lies in none of them is one of its own."""
    path = np.empty((len(seconds), 4))
    edges = sorted({0, len(seconds), *(edge for shot in shots for edge in (shot.start, shot.stop))})
    for start, stop in pairwise(edges):
        rows = slice(start, stop)
        path[rows] = _shot_path(shape, size, seconds[rows], subjects.heads[rows], subjects.look[rows])
    return path


def _shot_path(shape: Shape, size: tuple[int, int], seconds: Array, heads: Array, look: Array) -> Array:
    """(T, 4): what is shown through one shot."""
    if shape.fit == "whole":
        return np.tile([0.0, 0.0, *size], (len(seconds), 1))
    whole, largest = np.array(size, np.float64), _largest(shape, size)
    heads, look = _followed(heads.clip(0, [*size, *size]), look, largest, whole)
    width, height = side = _side(shape, largest, heads, whole)
    middle = (heads[:, :2] + heads[:, 2:]) / 2
    wanted = middle - np.stack([(0.5 - LOOK * look) * width, np.full(len(look), PLACE * height)], 1)
    low, high = heads[:, 2:] + SAFE * width - side, heads[:, :2] - SAFE * width
    room = whole - side
    aims = [tuple(each[:, axis] / width for each in (low, high, wanted)) for axis in range(2)]
    corner = [_steered(seconds, aims[axis], room[axis] / width) * width for axis in range(2)]
    return np.stack([*map(_settled, corner, room), *(np.full(len(seconds), each) for each in side)], 1)


def _largest(shape: Shape, size: tuple[int, int]) -> Array:
    """(2,): width and height of the largest crop of a shape, even; all of a picture that has it."""
    zoom = min(size[0] / shape.width, size[1] / shape.height)
    exact = np.array([shape.width, shape.height]) * zoom
    return _even(exact) if (np.abs(exact - size) >= 1).any() else np.array(size, np.float64)


def _even(side: Array) -> Array:
    """The sides of a crop, brought down to even ones."""
    return np.asarray(np.maximum(np.floor(side / 2 + 0.25) * 2, 2))


def _followed(heads: Array, look: Array, side: Array, whole: Array) -> tuple[Array, Array]:
    """Whom to follow through a shot, as one (T, 4), and where they look (T,): all who are seen, if they fit, else the
    largest; NaN where there is nobody."""
    there = ~np.isnan(heads[..., 0])
    if not there.any():
        return np.full((len(heads), 4), np.nan), np.zeros(len(heads))
    low = np.where(there[..., None], heads[..., :2], np.inf).min(1)
    high = np.where(there[..., None], heads[..., 2:], -np.inf).max(1)
    together = np.hstack([low, high])
    together[~there.any(1)] = np.nan
    both = there.sum(1) > 1
    if both.any() and (_needed(together[both], SAFE * side[0], whole) <= side).all():
        return together, np.zeros(len(heads))
    areas = np.nansum((heads[..., 2] - heads[..., 0]) * (heads[..., 3] - heads[..., 1]), 0)
    one = int(areas.argmax())
    return heads[:, one], look[:, one]


def _needed(heads: Array, around: float, whole: Array) -> Array:
    """(2,): the sides of a crop that holds heads (T, 4), and `around` on each side, in most frames in which they are;
    all of the picture where that is not enough."""
    there = heads[~np.isnan(heads[:, 0])]
    extent = np.quantile(there[:, 2:] - there[:, :2], IN_FRAME, axis=0)
    return np.asarray(np.minimum(extent + 2 * around, whole))


def _side(shape: Shape, largest: Array, heads: Array, whole: Array) -> Array:
    """(2,): the crop's width and height through a shot: the largest of the shape; less for small heads, that are gone
    nearer to as far as there are pixels; of another shape for one that it does not hold."""
    if np.isnan(heads).all():
        return largest
    head = _needed(heads, 0, whole)
    if (head > largest).any():
        needed = _needed(heads, SAFE * largest[0], whole)
        return np.asarray(np.maximum(largest, 2 * np.ceil(needed / 2)).clip(max=whole))
    zoom = max(*(head / TALL / [largest[1] * shape.width / shape.height, largest[1]]), shape.height / largest[1])
    return _even(largest * zoom) if zoom < 1 else largest


def _settled(corner: Array, room: float) -> Array:
    """A camera that hardly moves stands, on whole samples of colour; (T,) pixels."""
    if np.ptp(corner) >= STILL:
        return np.clip(corner, 0, room)
    return np.full_like(corner, min(np.rint(corner.mean() / 2) * 2, room))


def _steered(seconds: Array, aims: tuple[Array, ...], room: float) -> Array:
    """(T,): the path of one coordinate of the crop's corner through a shot, in crop's widths, from 0 to `room`; as far
    as it may move it lies between the first of the `aims`, low and high, and near the third, wanted; these are NaN
    where nobody is to be seen."""
    from scipy.interpolate import BSpline  # late: it takes a while, and few results have another shape

    low, high, wanted = aims
    rows = np.flatnonzero(~np.isnan(wanted))
    if room <= 0 or not len(rows):
        return np.full(len(seconds), max(room, 0) / 2)
    crossed = low > high  # a head wider than the safe area: its middle
    low, high = (np.where(crossed, (low + high) / 2, each).clip(0, room)[rows] for each in (low, high))
    wanted = wanted.clip(0, room)[rows]
    lasting = float(seconds[-1] - seconds[0])
    if lasting < 2 * KNOT:
        return np.full(len(seconds), np.clip(np.median(wanted), low.max(), max(high.min(), low.max())))
    spans = int(np.ceil(lasting / KNOT))
    step = lasting / spans
    knots = seconds[0] + step * np.arange(-3, spans + 4)
    within = np.clip(seconds, seconds[0], seconds[0] + spans * step * (1 - 1e-12))
    basis = BSpline.design_matrix(within, knots, 3).tocsr()
    weight = np.gradient(seconds)[rows]
    points = _best(basis[rows], (low, high, wanted), weight, step, room)
    return np.asarray(np.clip(basis @ points, 0, room))


def _best(basis: Array, aims: tuple[Array, Array, Array], weight: Array, step: float, room: float) -> Array:
    """(K,): the control points of the path of least cost. Unknowns are these; by how much each frame (of `weight`
    seconds) lies outside the safe area, and outside comfort; the sizes of the first three derivatives."""
    from scipy.optimize import linprog  # late, as above

    (low, high, wanted), (count, points) = aims, basis.shape
    slopes = [sparse.csr_matrix(np.eye(points))]
    for _ in RESTLESS:
        slopes.append((slopes[-1][1:] - slopes[-1][:-1]) / step)
    outside, lengths = sparse.identity(count), [slope.shape[0] for slope in slopes[1:]]
    sizes = [points, count, count, *lengths]
    parts = [
        (1, basis, outside, high), (1, -basis, outside, -low),
        (2, basis, outside, wanted + COMFORT), (2, -basis, outside, COMFORT - wanted),
        *((3 + k, sign * slope, sparse.identity(length), np.zeros(length))
          for k, (slope, length) in enumerate(zip(slopes[1:], lengths)) for sign in (1, -1)),
    ]  # fmt: skip
    table = sparse.bmat([[near, *(-own if k == column else None for k in range(1, len(sizes)))]
                         for column, near, own, _ in parts], format="csc")  # fmt: skip
    restless = [np.full(length, step * each) for each, length in zip(RESTLESS, lengths)]
    cost = [np.zeros(points), UNSAFE * weight, UNEASY * weight, *restless]
    most = np.repeat([room, np.inf, np.inf, SPEED, ACCELERATION, np.inf], sizes)
    found = linprog(np.concatenate(cost), table, np.concatenate([limit for *_, limit in parts]),
                    bounds=np.stack([np.zeros(len(most)), most], 1), method="highs-ds")  # fmt: skip
    if found.x is None:  # a path that stands still is always one: this is no more than numbers going astray
        return np.full(points, np.median(wanted))
    return np.asarray(found.x[:points])
