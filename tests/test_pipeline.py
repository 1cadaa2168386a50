"""The journey: the order of windows, what waits, whom to replace; and once from end to end on the sample."""

import weakref
from collections.abc import Iterable, Iterator
from fractions import Fraction
from heapq import merge
from itertools import pairwise
from operator import attrgetter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rendered import lazy

from vidswap import pipeline, render
from vidswap.errors import NoFaceError, UsageError
from vidswap.face.geometry import posed
from vidswap.face.landmarks import mean_face
from vidswap.progress import Progress
from vidswap.settings import ReadSettings
from vidswap.swap.engine import Advance, Needs
from vidswap.threads import Layer, relay
from vidswap.timepoint import time_point
from vidswap.types import Clip, Consent, Crops, Frame, Identity, Shot, Swapped, TrackPart

SIDE, MEAN = 48, mean_face()
SOMEONE = Identity((np.zeros((8, 8, 3), np.uint8),), (MEAN,), np.ones(4, np.float32) / 2, Consent("self"))


class Mirror:
    """An engine that hands the crops back, and remembers what it was handed."""

    key, exact = "mirror", True

    def __init__(self, window: int, overlap: int) -> None:
        self.needs = Needs(16, "aligned", window, overlap)
        self.calls: list[tuple[Crops, Swapped | None]] = []

    def swap(self, crops: Crops, identity: Identity, before: Swapped | None, progress: Advance) -> Swapped:
        self.calls.append((crops, before))
        return Swapped(crops, crops.rgb, crops.mask)


def track_of(number: int, start: int, stop: int, person: int = 0) -> TrackPart:
    mesh = posed(MEAN, (20.0, np.eye(3), np.array([SIDE / 2, SIDE / 2, 0])))
    count = stop - start
    back = np.array([[SIDE / 8, 0, 0], [0, SIDE / 8, 0]])
    return TrackPart(
        number, person, start, np.repeat(mesh[None], count, 0), np.ones(count, bool), np.ones(4, np.float32) / 2,
        np.full((count, 8, 8), 255, np.uint8), np.repeat(back[None], count, 0),
    )  # fmt: skip


class Footage:
    """Frames made when asked for, counted."""

    def __init__(self, start: int, stop: int) -> None:
        self.range, self.made = range(start, stop), 0

    def __iter__(self) -> Iterator[Frame]:
        for index in self.range:
            self.made += 1
            yield Frame(index, np.full((SIDE, SIDE, 3), index, np.uint8), lambda native: native)


def relayed(footage: Iterable[Frame], tracks: list[TrackPart], engine: Mirror) -> Iterator[tuple[Frame, list[Layer]]]:
    calls = (render.calls_of(track, engine, SOMEONE, Progress()) for track in tracks)
    return relay(footage, merge(*calls, key=attrgetter("stop")), engine.needs.window)


def clip_of(seconds: list[float]) -> Clip:
    pts = np.round(np.array(seconds) * 1000).astype(np.int64)
    return Clip(Path("a.mp4"), SIDE, SIDE, pts, Fraction(1, 1000), Fraction(25), (1, 1, 1, 1), 0, ("video",), "mp4")


spans = st.tuples(st.integers(0, 25), st.integers(1, 25)).map(lambda span: (span[0], min(30, span[0] + span[1])))


@settings(max_examples=30, deadline=None)
@given(st.lists(spans, min_size=1, max_size=4), st.integers(1, 7), st.data())
def test_relay_hands_on_each_frame_once_with_weights_that_sum_to_one(places, window, data):
    overlap = data.draw(st.integers(0, window // 2))
    tracks = [track_of(number, *span) for number, span in enumerate(places)]
    footage, engine = Footage(0, 30), Mirror(window, overlap)
    for given_back, (frame, layers) in enumerate(relayed(footage, tracks, engine)):
        assert frame.index == given_back
        assert footage.made - given_back <= window + 1, "more than a window's frames wait"
        for track in tracks:
            own = [(layer, row) for layer, row in layers if layer.crops.track == track.id]
            inside = track.start <= frame.index < track.stop
            assert sum(float(layer.crops.weight[row]) for layer, row in own) == pytest.approx(float(inside))
            assert all(layer.crops.start + row == frame.index for layer, row in own)
    assert given_back == 29


def test_engine_is_handed_its_own_answer_to_the_window_before_of_the_same_track():
    engine = Mirror(4, 1)
    tracks = [track_of(0, 0, 10), track_of(1, 2, 9), track_of(2, 10, 12)]
    list(relayed(Footage(0, 12), tracks, engine))
    for number in range(3):
        own = [(crops, previous) for crops, previous in engine.calls if crops.track == number]
        assert own[0][1] is None
        for (before, _), (crops, previous) in pairwise(own):
            assert previous is not None
            assert previous.crops is before
            assert crops.start == before.start + len(before) - 1


def test_relay_holds_no_more_of_a_long_clip_than_of_a_short_one():
    def most_alive(stop: int) -> int:
        alive: weakref.WeakSet[Frame] = weakref.WeakSet()
        most = 0

        def watched() -> Iterator[Frame]:
            for frame in Footage(0, stop):
                alive.add(frame)
                yield frame

        for _ in relayed(watched(), [track_of(0, 0, stop - 5)], Mirror(4, 2)):
            most = max(most, len(alive))
        return most

    assert most_alive(20) == most_alive(120) <= 6


def test_choose_takes_the_largest_all_or_numbers():
    tracks = [lazy(track_of(*words)) for words in ((0, 0, 5, 1), (1, 0, 9, 0), (2, 9, 12, 1))]
    assert [track.id for track in pipeline.choose(tracks, "largest")] == [1]
    assert [track.id for track in pipeline.choose([tracks[0], tracks[1].within(0, 4)], "largest")] == [0]
    assert [track.id for track in pipeline.choose(tracks, "1")] == [0, 2]
    assert len(pipeline.choose(tracks, "all")) == 3
    assert [track.id for track in pipeline.choose(tracks, "1, 0")] == [0, 1, 2]
    with pytest.raises(UsageError, match="no person 7"):
        pipeline.choose(tracks, "7")
    with pytest.raises(UsageError, match=r"none of the persons \[5, 7\] in the clip \(it has \[0, 1\]"):
        pipeline.choose(tracks, "7,0,5")
    with pytest.raises(NoFaceError):
        pipeline.choose([], "all")


def test_span_holds_the_frames_from_start_up_to_end():
    clip = clip_of([5.0, 5.1, 5.3, 5.6, 6.0])  # a clip need not begin at 0, nor be regular
    assert pipeline.span_of(clip, ReadSettings()) == Shot(0, 5)
    assert pipeline.span_of(clip, ReadSettings(time_point("0.1"), time_point("0.6"))) == Shot(1, 3)
    assert pipeline.span_of(clip, ReadSettings(time_point("0.2"))) == Shot(2, 5)
    assert pipeline.span_of(clip, ReadSettings(time_point("2f"), time_point("0.6"))) == Shot(2, 3)
    assert pipeline.span_of(clip, ReadSettings(end=time_point("99f"))) == Shot(0, 5)
    with pytest.raises(UsageError, match=r"5, over 1\.00 s"):
        pipeline.span_of(clip, ReadSettings(time_point("1.5")))


@given(st.lists(st.integers(), min_size=1, max_size=40, unique=True), st.integers(0, 9))
def test_evenly_takes_distinct_items_with_first_and_last(items, count):
    taken = pipeline.evenly(items, count)
    assert len(taken) == len(set(taken)) == min(count, len(items))
    if count > 1:
        assert (taken[0], taken[-1]) == (items[0], items[-1])


def test_a_face_that_shows_nowhere_is_told():
    clip = clip_of([0.0, 0.1])
    (note,) = pipeline.noted_of(clip, SOMEONE, render.Made(0, 0, 0), ())
    assert "no frame has the new face" in note
    assert pipeline.noted_of(clip, SOMEONE, render.Made(0, 0, 1), ()) == ()
