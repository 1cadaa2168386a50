"""The journey: the order of windows, what waits, whom to replace; and once from end to end on the sample."""

import weakref
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rendered import lazy

from vidswap import pipeline
from vidswap.casting import Player, Role, assign, cast_of, checked_cast
from vidswap.errors import NoFaceError, UsageError
from vidswap.face.geometry import posed
from vidswap.face.landmarks import mean_face
from vidswap.plan.file import persons_on
from vidswap.progress import Progress
from vidswap.read.clip import span_of
from vidswap.swap.engine import Advance, Needs
from vidswap.swap.windows import Casting, swap_windows
from vidswap.timepoint import time_point
from vidswap.types import (
    Clip,
    Consent,
    Crops,
    EngineChoice,
    Frame,
    Identity,
    Layer,
    Shot,
    Swapped,
    TrackPart,
)
from vidswap.write.work import Written

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


class Nothing:
    """A memory of the last answers alone, whole."""

    def __init__(self) -> None:
        self.last: dict[int, Swapped] = {}

    def before(self, track: int) -> Swapped | None:
        return self.last.get(track)

    def keep(self, swapped: Swapped, tail: int, end: int) -> None:
        self.last[swapped.crops.track] = swapped.tail(tail)

    def release(self, index: int) -> None: ...

    def answer(self, crops: Crops) -> Swapped | None: ...


def swapped_over(
    footage: Iterable[Frame], tracks: list[TrackPart], engine: Mirror
) -> Iterator[tuple[Frame, list[Layer]]]:
    choice = EngineChoice("mirror")
    casting = [Casting(lazy(track), SOMEONE, choice) for track in tracks]
    return swap_windows(footage, casting, {choice: engine}, Nothing(), Progress())


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
    for given_back, (frame, layers) in enumerate(swapped_over(footage, tracks, engine)):
        assert frame.index == given_back
        assert footage.made - given_back <= window + 1, "more than a window's frames wait"
        for track in tracks:
            own = [layer for layer in layers if layer.track == track.id]
            inside = track.start <= frame.index < track.stop
            assert sum(layer.weight for layer in own) == pytest.approx(float(inside))
            assert all((layer.rgb == frame.index).all() for layer in own)
    assert given_back == 29


def test_engine_is_handed_its_own_answer_to_the_window_before_of_the_same_track():
    engine = Mirror(4, 1)
    tracks = [track_of(0, 0, 10), track_of(1, 2, 9), track_of(2, 10, 12)]
    list(swapped_over(Footage(0, 12), tracks, engine))
    for number in range(3):
        own = [(crops, previous) for crops, previous in engine.calls if crops.track == number]
        assert own[0][1] is None
        for (before, _), (crops, previous) in pairwise(own):
            assert previous is not None
            assert previous.crops.start == crops.start == before.start + len(before) - 1
            assert len(previous.crops) == 1
            assert np.array_equal(previous.crops.rgb, before.rgb[-1:])


def test_relay_holds_no_more_of_a_long_clip_than_of_a_short_one():
    def most_alive(stop: int) -> int:
        alive: weakref.WeakSet[Frame] = weakref.WeakSet()
        most = 0

        def watched() -> Iterator[Frame]:
            for frame in Footage(0, stop):
                alive.add(frame)
                yield frame

        for _ in swapped_over(watched(), [track_of(0, 0, stop - 5)], Mirror(4, 2)):
            most = max(most, len(alive))
        return most

    assert most_alive(20) == most_alive(120) <= 6


def test_persons_get_their_players():
    tracks = [lazy(track_of(*words)) for words in ((0, 0, 5, 1), (1, 0, 9, 0), (2, 9, 12, 1))]
    clip = clip_of([frame / 25 for frame in range(12)])
    me, you = Player(SOMEONE, EngineChoice("warp")), Player(SOMEONE, EngineChoice("embedded"))

    def played(**players: Player | None) -> list[tuple[int, str]]:
        known = {int(name[1:]) if name[1:].isdigit() else name: (player,) * bool(player)
                 for name, player in players.items()}  # fmt: skip
        return [(each.track.id, each.engine.name) for each in assign(known, clip, tracks, persons_on(tracks))]

    assert played(largest=me) == [(1, "warp")]
    part = [tracks[0], tracks[1].within(0, 4)]
    assert [each.track.id for each in assign({"largest": (me,)}, clip, part, persons_on(part))] == [0], "of a part"
    assert [each.track.id for each in assign({"largest": (me,)}, clip, part, persons_on(tracks))] == [1], "of a share"
    assert assign({1: (me,)}, clip, tracks[1:2], persons_on(tracks)) == [], "who is elsewhere"
    with pytest.raises(UsageError, match=r"\[0, 1\], nobody is played"):
        played(_0=None, _1=None, all=None)
    assert played(_1=me) == [(0, "warp"), (2, "warp")]
    assert played(all=me) == [(0, "warp"), (1, "warp"), (2, "warp")]
    assert played(_1=me, _0=you) == [(0, "warp"), (1, "embedded"), (2, "warp")]
    assert played(all=me, largest=you, _1=None) == [(1, "embedded")]
    with pytest.raises(UsageError, match="no person 7"):
        played(_7=me)
    with pytest.raises(UsageError, match=r"none of the persons \[5, 7\] in the clip \(it has \[0, 1\]"):
        played(_7=me, _0=me, _5=me)
    with pytest.raises(NoFaceError):
        assign({"all": (me,)}, clip, [], {})


def test_casts_are_read_and_refused():
    role = Role("me.jpg", "self")
    assert cast_of("largest", role) == {"largest": role}
    assert checked_cast(role).keys() == {"largest"}
    assert list(map(len, checked_cast({0: [role, role], 1: None}).values())) == [2, 0]
    assert cast_of("0, 2", role) == {0: role, 2: role}
    assert cast_of(3, role) == {3: role}
    for people in ("", "x", "0;1", "-1", "1,", "0x1"):
        with pytest.raises(UsageError, match="the person is"):
            cast_of(people, role)
    for cast in (None, "me.jpg", {}, {"second": role}, {-1: role}, {True: role}, {0: "me.jpg"}, {0: None}, {0: []},
                 {0: Role("me.jpg", "self", only=[("2", "1")])}, {0: Role("me.jpg", "self", only=["1-2"])}):
        with pytest.raises(UsageError):
            checked_cast(cast)


def test_span_holds_the_frames_from_start_up_to_end():
    clip = clip_of([5.0, 5.1, 5.3, 5.6, 6.0])  # a clip need not begin at 0, nor be regular
    assert span_of(clip, None, None) == Shot(0, 5)
    assert span_of(clip, time_point("0.1"), time_point("0.6")) == Shot(1, 3)
    assert span_of(clip, time_point("0.2"), None) == Shot(2, 5)
    assert span_of(clip, time_point("2f"), time_point("0.6")) == Shot(2, 3)
    assert span_of(clip, None, time_point("99f")) == Shot(0, 5)
    with pytest.raises(UsageError, match=r"5, over 1\.00 s"):
        span_of(clip, time_point("1.5"), None)


@given(st.lists(st.integers(), min_size=1, max_size=40, unique=True), st.integers(0, 9))
def test_evenly_takes_distinct_items_with_first_and_last(items, count):
    taken = pipeline.evenly(items, count)
    assert len(taken) == len(set(taken)) == min(count, len(items))
    if count > 1:
        assert (taken[0], taken[-1]) == (items[0], items[-1])


def test_a_face_that_shows_nowhere_is_told():
    clip = clip_of([0.0, 0.1])
    players = {"largest": (Player(SOMEONE, EngineChoice("warp")),)}
    (note,) = pipeline.noted_of(clip, players, Written(0, 0, 0), ())
    assert "no frame has the new face" in note
    assert not list(pipeline.noted_of(clip, players, Written(0, 0, 1), ()))
