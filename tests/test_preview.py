"""A swap before it is rendered: moments of it, the same as the film would have, and where it is hard."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from footage import make_clip, moving
from hypothesis import given
from hypothesis import strategies as st
from rendered import SOMEONE, Echo, clip_of, facts_for, lazy, track_of, write_plan

from vidswap.casting import Role
from vidswap.errors import NoFaceError, OutputError, UsageError
from vidswap.plan.store import facts_of
from vidswap.preview import PIECE, hard_in, inner, pieces_of, preview_clip
from vidswap.read.clip import open_clip
from vidswap.settings import ReadSettings, Settings, WriteSettings
from vidswap.types import Shot, TrackPart
from vidswap.write.sheets import HEAD, LINE, MARGIN, TALL

COUNT = 60


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("preview") / "clip.mp4", moving(COUNT, 96, 64))


def planned(film: Path, *tracks: TrackPart) -> Settings:
    plan = film.with_suffix(".plan")
    write_plan(plan, facts_of(open_clip(film), "embedded"), Shot(0, COUNT), [Shot(0, COUNT)], tracks)
    return Settings(ReadSettings(plan=plan))


def test_moments_are_drawn_before_and_after_and_nothing_else_is_written(film: Path, tmp_path: Path) -> None:
    settings = planned(film, track_of(0, 0, 40))
    found = preview_clip(film, Role(SOMEONE), tmp_path / "out.mp4", tmp_path / "p.png", settings,
                         load=lambda *_: nullcontext(Echo(7, 3)))  # fmt: skip
    assert [path.name for path in tmp_path.iterdir()] == ["p.png"]
    assert (found.frames, found.size, found.persons) == (COUNT, (96, 64), (0,))
    assert found.duration == pytest.approx(COUNT / 25)
    assert found.seconds > 0
    page = cv2.imread(str(found.picture))
    tall = LINE + TALL
    assert len(page) == HEAD + 6 * tall + MARGIN
    for row in range(6):
        top = HEAD + row * tall + LINE
        wide = round(TALL * 96 / 64)
        before, after = (page[top : top + TALL, left : left + wide].astype(int)
                         for left in (MARGIN, 2 * MARGIN + wide))  # fmt: skip
        assert abs(before - after).max() > 40, "the face is another"
        assert abs(before - after)[:, :40].max() < 12, "all else is as it was"


def test_a_moment_without_the_person_stays_as_it_is(film: Path, tmp_path: Path) -> None:
    planned(film, track_of(0, 0, 40), track_of(1, 0, 40))
    late = Settings(ReadSettings(plan=film.with_suffix(".plan"), start="45f"))
    with pytest.raises(NoFaceError):
        preview_clip(film, {1: Role(SOMEONE)}, tmp_path / "out.mp4", tmp_path / "p.png", late,
                     load=lambda *_: nullcontext(Echo(7, 3)))  # fmt: skip
    assert list(tmp_path.iterdir()) == []


def test_engines_of_whole_shots_have_no_preview(film: Path, tmp_path: Path) -> None:
    class Whole:
        key, label, uploads = "whole", "whole", False

        def quote(self, *_: object) -> None: ...

        def swap(self, *_: object) -> None: ...

    with pytest.raises(UsageError):
        preview_clip(film, Role(SOMEONE), tmp_path / "out.mp4", tmp_path / "p.png", planned(film, track_of(0, 0, 40)),
                     load=lambda *_: nullcontext(Whole()))  # fmt: skip


def test_what_a_swap_would_refuse_is_refused(film: Path, tmp_path: Path) -> None:
    settings = replace(planned(film, track_of(0, 0, 40)), write=WriteSettings(codec="ffv1"))
    with pytest.raises(OutputError):
        preview_clip(film, Role(SOMEONE), tmp_path / "out.webm", tmp_path / "p.png", settings,
                     load=lambda *_: nullcontext(Echo(7, 3)))  # fmt: skip


@given(st.integers(1, 4000), st.booleans())
def test_pieces_lie_in_the_span(count: int, numbered: bool) -> None:
    span = Shot(30, 30 + count)
    cast = {0: Role(SOMEONE)} if numbered else {"largest": Role(SOMEONE)}
    pieces, settings = pieces_of(facts_for(30 + count), span, ReadSettings(), cast)
    if numbered or count <= 200:
        assert pieces == [span]
    else:
        assert len(pieces) == 6
        assert all(len(piece) == PIECE and span.start <= piece.start and piece.stop <= span.stop for piece in pieces)
        assert settings.cache is None


@given(st.lists(st.integers(), min_size=1, max_size=50, unique=True), st.integers(1, 9))
def test_moments_are_spread_within(items: list[int], count: int) -> None:
    chosen = inner(items, count)
    places = [items.index(each) for each in chosen]
    assert places == sorted(set(places))
    assert 1 <= len(places) <= count
    assert len(places) == min(count, len(items)) or len(items) < 2 * count


def test_what_makes_a_shot_hard_is_said() -> None:
    plain = track_of(0, 0, 20)
    plain = replace(plain, mesh=plain.mesh * 2)
    assert list(hard_in(lazy(plain), clip_of(20))) == []
    small = replace(plain, mesh=plain.mesh * np.float32(0.3))
    assert [line.split(": ")[1] for line in hard_in(lazy(small), clip_of(20))] == ["the face is small (28 pixels)"]
    unseen = replace(plain, seen=np.arange(20) < 10)
    assert "not to be seen" in next(hard_in(lazy(unseen), clip_of(20)))
    covered = replace(plain, visible=np.where(np.arange(20)[:, None, None] < 8, 90, plain.visible).astype(np.uint8))
    assert "something is often before" in next(hard_in(lazy(covered), clip_of(20)))
