"""Tracks and a person -> the result: swapped, composited, encoded. It goes on where an earlier render stopped.

An engine's only memory is `previous`, its answer to the window before on the same track. So whenever the windows pass
a boundary between segments, the last answer before it is kept in the work folder, and to go on from frame b only the
windows that reach beyond b are computed: the first of each track is handed the answer that was kept. Frames before b
that those windows need are decoded anew, but not encoded.

Decoding and encoding run in threads of their own; crops, engine and compositing in the caller's, so that Ctrl-C need
not wait for a window.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from heapq import merge
from operator import attrgetter
from pathlib import Path

from vidswap.face.expression import neutral_shape
from vidswap.face.landmarks import mean_face
from vidswap.keys import key_of
from vidswap.media.encoder import Encoding, Picture
from vidswap.plan.file import subsample
from vidswap.progress import Progress, quiet
from vidswap.read.clip import frames, to_rgb
from vidswap.swap.crops import AROUND, cut_crops
from vidswap.swap.engine import Advance, Engine, Needs, Wrapped
from vidswap.swap.windows import Window, windows
from vidswap.threads import Call, beside, prefetch, relay
from vidswap.types import Array, Clip, Crops, Frame, Identity, Shot, Swapped, Track, TrackPart
from vidswap.write.answers import Answers
from vidswap.write.composite import composite
from vidswap.write.film import join, render
from vidswap.write.pictures import write_pictures
from vidswap.write.work import WorkFolder, noted

DECODED, FINISHED = 2, 8  # pictures that wait to be swapped, and to be encoded: two thirds of a window's new ones
RESTING = 250  # frames of a track that its resting face is taken from: all of them would not fit for an hour's take
Remember = Callable[[Swapped, int, int], None]  # an answer, the end of its window, the end of the one that follows


@dataclass(frozen=True)
class Made:
    """What a render did: `resumed` frames were found finished, `repeated` of all could not be decoded and show the one
    before, on `painted` of all there is another face."""

    resumed: int
    repeated: int
    painted: int


@dataclass(frozen=True, eq=False)
class Job:
    """What is to be rendered: frames `span` of a clip, with the identity's face on `tracks`. `facts` are all else that
    the result depends on (the digest of the clip, of models, versions ...), `labels` what it says of itself."""

    clip: Clip
    span: Shot
    tracks: Sequence[TrackPart | Track]
    engine: Engine
    identity: Identity
    facts: Mapping[str, object]
    labels: Mapping[str, str]

    def key(self, *more: object) -> str:
        """A digest of all that the result depends on."""
        tracks = [(track.id, track.person, track.start, track.stop, track.embedding) for track in self.tracks]
        engine = (self.engine.needs, self.engine.key)
        return key_of((self.facts, self.labels, self.span, tracks, self.identity, engine, *more))


@dataclass(frozen=True)
class Recalling(Wrapped):
    """An engine that is not asked what it answered already, in a render that was stopped before its first segment was
    finished."""

    answers: Answers

    def swap(self, crops: Crops, identity: Identity, before: Swapped | None, progress: Advance) -> Swapped:
        """Its answer, known or new. Raises EngineError."""
        known = self.answers.recall(crops)
        if known is None:
            known = self.engine.swap(crops, identity, before, progress)
            self.answers.keep(known)
        return known


def make(job: Job, out: Path, encoding: Encoding, work: WorkFolder, progress: Progress) -> Made:
    """Render a job as the film `out`, by way of `work`, which was opened with the job's key. Raises OutputError,
    EngineError, InputError."""
    repeated, painted = set[int](), set[int]()

    def fresh() -> Iterator[Picture]:
        for frame, is_painted in pictures(job, previous, work, progress):
            if frame.index >= done:
                repeated.update([frame.index] * frame.repeated)
                painted.update([frame.index] * is_painted)
                yield frame.index, frame.native

    def write(line: Iterator[Picture]) -> None:
        with progress.stage("encode"):
            render(job.clip, progress.each(None, line), work, out, encoding, repeated=repeated, painted=painted)

    with noted(work):
        previous = recalled(job.tracks, job.engine.needs, work)
        done = work.reached
        beside(write, fresh(), FINISHED)
        with progress.stage("encode"):
            join(job.clip, work, out, encoding, job.labels)
    counts = [sum(counted) for counted in zip(*((each.repeated, each.painted) for each in work.segments))]
    return Made(done - job.span.start, *counts)


def make_pictures(job: Job, out: Path, work: WorkFolder, progress: Progress) -> Made:
    """Render a job as the still, the animation or the folder of pictures `out`, in the folder of `work`, at once: there
    are no segments to go on from, but an engine's answers. Raises OutputError, EngineError, InputError."""
    repeated, painted = list[int](), list[int]()

    def natives() -> Iterator[Picture]:
        for frame, is_painted in pictures(job, {}, work, progress):
            repeated.extend([frame.index] * frame.repeated)
            painted.extend([frame.index] * is_painted)
            yield frame.index, frame.native

    def write(line: Iterator[Picture]) -> None:
        with progress.stage("encode"):
            write_pictures(job.clip, progress.each(None, line), len(job.span), out,
                           folder=work.folder, labels=job.labels, show=to_rgb(job.clip))  # fmt: skip

    with noted(work):
        beside(write, natives(), FINISHED)
    return Made(0, len(repeated), len(painted))


def pictures(
    job: Job, previous: Mapping[int, Swapped], work: WorkFolder, progress: Progress
) -> Iterator[tuple[Frame, bool]]:
    """Frames with their pictures composited and whether another face is on them, from a little before `work.reached`
    on. What engines answer last before a boundary is kept in `work`; `previous` is what they did before `work.reached`,
    by track."""
    done, engine, needs = work.reached, Recalling(job.engine, work.answers), job.engine.needs

    def remember(swapped: Swapped, stop: int, later: int) -> None:
        for boundary in work.boundaries(stop, later):
            with progress.stage("encode"):
                work.remember(boundary, swapped)

    later = [track for track in job.tracks if track.stop > done]
    first = min([done, *(windows_after(track, needs, done)[0].start for track in later)])
    decoded = progress.each("decode", frames(job.clip, first, job.span.stop))
    calls = (
        calls_of(track, engine, job.identity, progress, done=done, previous=previous.get(track.id), remember=remember)
        for track in later
    )
    with prefetch(decoded, DECODED) as line:
        footage = progress.told("rendering", progress.each(None, line), len(job.span), first - job.span.start)
        for frame, layers in relay(footage, merge(*calls, key=attrgetter("stop")), needs.window):
            with progress.stage("composite"):
                is_painted = composite(frame, layers)
            yield frame, is_painted


def calls_of(
    track: TrackPart | Track, engine: Engine, identity: Identity, progress: Progress, *,
    done: int = 0, previous: Swapped | None = None, remember: Remember = lambda *_: None,
) -> Iterator[Call]:  # fmt: skip
    """The windows of a track that reach beyond frame `done`; with each the engine is handed its own answer to the one
    before, with the first of them `previous`."""
    needs = engine.needs
    neutral = cache(partial(_neutral, track))  # when its first window comes
    left = windows_after(track, needs, done)
    for window, stop in zip(left, [*(window.stop for window in left[1:]), track.stop]):

        def swap(inside: Sequence[Frame], window: Window = window, stop: int = stop) -> Swapped:
            nonlocal previous
            with progress.stage("crops"):
                near = track.part(max(window.start - AROUND, track.start), min(window.stop + AROUND, track.stop))
                before = previous.crops if previous else None
                crops = cut_crops(inside, near, window, needs, neutral(), before=before)
            with progress.stage("engine"):
                previous = engine.swap(crops, identity, previous, quiet)
            remember(previous, window.stop, stop)
            return previous

        yield Call(window.start, window.stop, swap)


def _neutral(track: TrackPart | Track) -> Array:
    """The resting face (478, 3) of a track."""
    part = subsample(track, RESTING)
    return neutral_shape(part.mesh, part.seen, mean_face())


def recalled(tracks: Sequence[TrackPart | Track], needs: Needs, work: WorkFolder) -> dict[int, Swapped]:
    """What the engine answered last, by track, before the frame at which to go on: that is the last boundary at which
    every track that has begun, and goes on, is remembered. The segments behind it are given up."""
    for boundary in reversed([work.start, *(segment.stop for segment in work.segments)]):
        amid = [track for track in tracks if is_amid(track, needs, boundary)]
        found = {track.id: work.recall(boundary, track.id) for track in amid}
        whole = {number: swapped for number, swapped in found.items() if swapped is not None}
        if len(whole) == len(found):
            work.go_back(boundary)
            return whole
    raise AssertionError("no window ends before the first frame")


def windows_after(track: TrackPart | Track, needs: Needs, done: int) -> list[Window]:
    """The windows of a track that reach beyond frame `done`."""
    return [each for each in windows(track.start, track.stop, needs.window, needs.overlap) if each.stop > done]


def is_amid(track: TrackPart | Track, needs: Needs, boundary: int) -> bool:
    """Whether a window of the track ends before a boundary, and another one reaches beyond."""
    first = next(windows(track.start, track.stop, needs.window, needs.overlap))
    return first.stop <= boundary < track.stop
