"""Where a face was seen -> the frames of its track, made when they are asked for: filled in, steadied.

A track may be as long as the clip; of it no more than a piece is ever held.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np

from vidswap.face import geometry
from vidswap.face.boxes import overlap
from vidswap.plan.persons import TrackSummary, embedding_of
from vidswap.read import smoothing
from vidswap.types import Array, Face, TrackPart, joined

NEAR = 0.4  # overlap (IoU) from which what was looked at is where a face was filled in
Faces = Callable[[int], Sequence[Face]]  # a frame's index -> the faces found there


@dataclass(frozen=True, eq=False)
class Filled:
    """A track from frame `start` on, filled in: `frames` (n,) are those it was seen in, `piece` gives the PIECE frames
    from a multiple of that on, `beside` are the tracks of its shot, `faces` gives the faces of a frame."""

    start: int
    frames: Array
    piece: Callable[[int], TrackPart]
    beside: Sequence[Filled]
    faces: Faces

    def __call__(self, start: int, stop: int) -> TrackPart:
        """Its frames [start, stop), with nothing visible where it was filled in behind another face that was seen
        there, or where nothing resembles a face."""
        part = self._alone(start, stop)
        hidden = (start + np.flatnonzero(~part.seen)).tolist()
        if not hidden:
            return part
        visible = part.visible.copy()
        for index in hidden:
            row = index - start
            for other in (other for other in self.beside if other.sees(index)):
                to_grid = geometry.invert(part.visible_to_frame[row])
                hull = cv2.convexHull(geometry.apply(to_grid, other._alone(index, index + 1).mesh[0, :468, :2]))
                cv2.fillConvexPoly(visible[row], np.rint(hull).astype(np.int32), 0)
            box = geometry.bounds(part.mesh[row])
            if any(face.score == 0 and overlap(box, face.box) > NEAR for face in self.faces(index)):
                visible[row] = 0
        return replace(part, visible=visible)

    def sees(self, index: int) -> bool:
        place = int(np.searchsorted(self.frames, index))
        return place < len(self.frames) and bool(self.frames[place] == index)

    def _alone(self, start: int, stop: int) -> TrackPart:
        edges = range((start - self.start) // smoothing.PIECE, (stop - 1 - self.start) // smoothing.PIECE + 1)
        pieces = [self.piece(number * smoothing.PIECE) for number in edges]
        return joined([each.part(max(start, each.start), min(stop, each.stop)) for each in pieces])


def fill(number: int, sights: Array, faces: Faces, summary: TrackSummary, beside: Sequence[Filled]) -> Filled:
    """What reads the track `number` of a face that was seen in frames, and at places there: `sights` (n, 2)."""
    start, count = summary.start, summary.stop - summary.start
    frames = sights[:, 0] - start
    embedding = embedding_of(summary)

    def face(row: int) -> Face:
        return faces(int(sights[row, 0]))[int(sights[row, 1])]

    def seen(low: int, high: int) -> tuple[Array, Array]:
        rows = range(*np.searchsorted(frames, (low, high)))
        return np.stack([face(row).mesh for row in rows]), frames[rows.start : rows.stop]

    @lru_cache(1)
    def piece(first: int) -> TrackPart:
        mesh = smoothing.smooth_track(first, count, seen)
        places = range(first, first + len(mesh))
        rows = [int(np.searchsorted(frames, place)) for place in places]
        lenders = [_nearest(frames, place, row) for place, row in zip(places, rows)]
        known = frames[lenders] == np.array(places)
        maps = list[tuple[Array, Array]]()
        for lender, own, there in zip(lenders, mesh, known):
            lent = face(lender)
            maps.append((lent.visible, lent.visible_to_frame if there else _moved(lent, own)))
        visible, to_frame = (np.stack(each) for each in zip(*maps))
        return TrackPart(number, 0, start + first, mesh, known, embedding, visible, to_frame)

    return Filled(start, sights[:, 0], piece, beside, faces)


def _nearest(frames: Array, place: int, row: int) -> int:
    """The row of the frame nearest to `place`, the earlier of two; `row` is that of the first that is not before it."""
    if row == len(frames) or (row and place - frames[row - 1] <= frames[row] - place):
        return row - 1
    return row


def _moved(face: Face, mesh: Array) -> Array:
    """A face's map of what is visible, laid where its mesh has gone."""
    return geometry.compose(geometry.fit_similarity(face.mesh[:468], mesh[:468]), face.visible_to_frame)
