"""The first of two passes over a clip: cuts, faces, tracks, a shot at a time."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from vidswap.face.landmarks import mean_face
from vidswap.plan.store import DETECT_EVERY, Analysis, Found
from vidswap.progress import Progress
from vidswap.read import clip as clips
from vidswap.read.dissolves import Dissolve, DissolveDetector, merged
from vidswap.read.doubles import doubles_in
from vidswap.read.faces import FaceReader
from vidswap.read.follow import follow_faces
from vidswap.read.shots import CutDetector, shrunk
from vidswap.read.spool import Spool, spooled
from vidswap.read.tracks import tracks_in
from vidswap.threads import prefetch
from vidswap.types import Array, Clip, Shot

WAITING = 2  # pictures decoded and converted before the face reader asks for them


def analyse(reader: FaceReader, clip: Clip, span: Shot, progress: Progress) -> Analysis:
    """One pass over the frames of `span`: each shot, when it ends, with its tracks, whose frames can be read until the
    next shot is asked for. Raises OutputError where the faces of a shot cannot be kept."""
    is_cut, cuts = CutDetector(), list[bool]()
    dissolves, over = DissolveDetector(), list[Dissolve]()
    mean, count = mean_face(), 0

    def pictures() -> Iterator[tuple[int, Array, bool]]:
        for frame in progress.each("decode", clips.frames(clip, span.start, span.stop)):
            with progress.stage("decode"):
                rgb = frame.rgb
            with progress.stage("shots"):
                small = shrunk(rgb)
                cuts.append(is_cut(small))
                over.extend(filter(None, [dissolves(frame.index, small, cuts[-1])]))
            yield frame.index, rgb, cuts[-1]
        over.extend(filter(None, [dissolves.end()]))

    def ended(start: int, faces: Spool) -> Found:
        nonlocal count
        shot = Shot(start, start + len(faces))
        inside = merged(each for each in over if shot.start < each.middle < shot.stop)
        with progress.stage("tracks"):
            tracks = tracks_in(shot, faces, shot.start, count, inside)
            doubles = list(doubles_in(tracks, mean))
        count += len(tracks)
        edges = (shot.start, *(each.middle for each in inside), shot.stop)
        return [Shot(*pair) for pair in pairwise(edges)], tracks, doubles

    start = span.start
    with spooled() as inside, prefetch(pictures(), WAITING) as line:
        watched = follow_faces(
            progress.reported("analysis", progress.each(None, line), len(span)), reader, DETECT_EVERY
        )
        for index, found in enumerate(progress.each("faces", watched), span.start):
            if cuts[index - span.start] and inside:
                yield ended(start, inside)
                inside.clear()
                start = index
            inside.append(found)
        if inside:
            yield ended(start, inside)
