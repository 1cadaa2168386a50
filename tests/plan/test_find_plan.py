"""The first pass is done once: what it found is found again, unless anything that it depends on has changed."""

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from footage import make_clip, moving
from rendered import lazy, track_of, write_plan

from vidswap.errors import InputError, ModelError, OutputError, UsageError
from vidswap.keys import digest_of
from vidswap.models.packs import models_of
from vidswap.plan import store
from vidswap.plan.persons import TrackSummary
from vidswap.plan.store import Cache
from vidswap.progress import Progress
from vidswap.read import clip as clips
from vidswap.read.clip import span_of
from vidswap.settings import ReadSettings
from vidswap.timepoint import time_point
from vidswap.types import Shot


@pytest.fixture
def film(tmp_path) -> Path:
    return make_clip(tmp_path / "film.mp4", moving(20), sound=False)


class Passes(list[Shot]):
    """An analysis that finds one track through all of a span; the spans that it was asked for."""

    def __call__(self, clip, span, progress):
        self.append(span)
        someone = TrackSummary(span.start, span.stop, 1.0, np.ones(4, np.float32) / 2)
        yield [span], [(lazy(track_of(0, span.start, span.stop)), someone)], []


@pytest.fixture
def passes() -> Passes:
    return Passes()


def found(film: Path, settings: ReadSettings, analyse: store.Analyse) -> tuple[Shot, int]:
    """The span of the plan, and how long its track is."""
    clip = clips.open_clip(film)
    with store.find_plan(clip, span_of(clip, settings.start, settings.end), settings, analyse, Progress()) as plan:
        track = plan.tracks[0]
        return plan.span, len(track.part(track.start, track.stop))


def test_what_was_found_once_is_found_again(film, tmp_path, passes):
    settings = ReadSettings(cache=tmp_path / "cache")
    assert found(film, settings, passes) == found(film, settings, passes) == (Shot(0, 20), 20)
    assert passes == [Shot(0, 20)]
    moved = film.rename(tmp_path / "other.mp4")
    found(moved, replace(settings, person="all"), passes)
    assert len(passes) == 1, "neither its name nor whom to replace changes what is in it"


def test_a_clip_is_digested_once(film, tmp_path, passes, monkeypatch):
    digested: list[Path] = []

    def counted(*files: Path) -> str:
        digested.extend(files)
        return digest_of(*files)

    monkeypatch.setattr(store, "digest_of", counted)
    for count, settings in enumerate((ReadSettings(), ReadSettings(cache=tmp_path / "cache")), 1):
        found(film, settings, passes)
        assert digested == [film] * count


def test_without_a_cache_nothing_is_kept(film, tmp_path, passes, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    for _ in range(2):
        assert found(film, ReadSettings(), passes) == (Shot(0, 20), 20)
    assert len(passes) == 2
    assert list(tmp_path.iterdir()) == [film]


@pytest.mark.parametrize("change", ["bytes", "models", "version", "stage", "every"])
def test_what_changed_is_looked_at_anew(film, tmp_path, passes, monkeypatch, change):
    settings = ReadSettings(cache=tmp_path / "cache")
    found(film, settings, passes)
    if change == "bytes":
        with open(film, "ab") as file:
            file.write(b"\0\0\0\x08free")
    elif change == "models":
        monkeypatch.setattr(store, "models_of", lambda pack: {"mesh.onnx": "other"})
    elif change == "version":
        monkeypatch.setattr(store, "__version__", "99")
    elif change == "stage":
        monkeypatch.setattr(store, "code_of", lambda *_: "another")
    elif change == "every":
        monkeypatch.setattr(store, "DETECT_EVERY", 99)
    found(film, settings, passes)
    assert len(passes) == 2
    assert len(Cache(tmp_path / "cache").entries()) == 2


def test_what_was_found_in_a_wider_span_serves_a_narrower_one(film, tmp_path, passes):
    settings = ReadSettings(cache=tmp_path / "cache")
    narrow = replace(settings, start=time_point("5f"), end=time_point("9f"))
    assert found(film, narrow, passes) == (Shot(5, 9), 4)
    assert found(film, settings, passes) == (Shot(0, 20), 20)
    assert found(film, narrow, passes) == found(film, replace(narrow, person=0), passes) == (Shot(5, 9), 4)
    assert passes == [Shot(5, 9), Shot(0, 20)], "no narrower one serves a wider span"
    clip = clips.open_clip(film)
    with store.find_plan(clip, Shot(5, 9), settings, passes, Progress()) as plan:
        assert (plan.analysed, plan.span) == (Shot(0, 20), Shot(5, 9)), "who is who is told as for all of the clip"


def test_our_own_mistakes_are_not_damage_to_be_mended_in_silence(film, tmp_path, passes, monkeypatch):
    settings = ReadSettings(cache=tmp_path / "cache")
    found(film, settings, passes)

    def mistaken(*_):
        raise TypeError("our own")

    monkeypatch.setattr("vidswap.plan.header._refuse_unlikely", mistaken)
    with pytest.raises(TypeError, match="our own"):
        found(film, settings, passes)
    assert len(passes) == len(Cache(tmp_path / "cache").entries()) == 1


def test_a_damaged_entry_is_made_anew(film, tmp_path, passes):
    settings = ReadSettings(cache=tmp_path / "cache")
    found(film, settings, passes)
    entry = Cache(tmp_path / "cache").entries()[0].path
    whole = entry.read_bytes()
    for damaged in (whole[:-30], whole[:400] + b"\xff" + whole[401:], b""):
        entry.write_bytes(damaged)
        assert found(film, settings, passes) == (Shot(0, 20), 20)
        assert entry.read_bytes() == whole
    assert len(passes) == 4


def test_a_cache_that_takes_nothing_stops_nobody(film, tmp_path, passes):
    (tmp_path / "cache").write_text("a file where a folder should be")
    assert found(film, ReadSettings(cache=tmp_path / "cache"), passes) == (Shot(0, 20), 20)


def test_no_room_anywhere_is_told(film, tmp_path, passes, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store, "drafted", full)
    with pytest.raises(OutputError, match="No space left"):
        found(film, ReadSettings(cache=tmp_path / "cache"), passes)
    assert not (tmp_path / "cache").exists()


def test_a_drive_that_fails_while_the_clip_is_read_is_not_told_as_one_that_is_full(film, tmp_path):
    def failing(*_):
        yield [Shot(0, 20)], [], []
        raise OSError(5, "Input/output error")

    with pytest.raises(InputError, match=r"film.* cannot be read any further \(Input/output error\)") as caught:
        found(film, ReadSettings(cache=tmp_path / "cache"), failing)
    assert caught.value.hint == "check the drive that it lies on"
    assert not list((tmp_path / "cache").glob("*"))


def test_an_entry_stays_readable_while_the_cache_is_cleared(film, tmp_path, passes):
    settings = ReadSettings(cache=tmp_path / "cache")
    clip = clips.open_clip(film)
    with ExitStack() as stack:
        plan = stack.enter_context(store.find_plan(clip, Shot(0, 20), settings, passes, Progress()))
        Cache(tmp_path / "cache").clear()
        assert len(plan.tracks[0].part(0, 20)) == 20


@pytest.fixture
def plan(film, tmp_path, passes) -> Path:
    """Of the frames 5 to 15."""
    clip = clips.open_clip(film)
    facts = store.facts_of(clip, "embedded")
    write_plan(tmp_path / "film.plan", facts, Shot(5, 15), [Shot(5, 15)], [track_of(0, 5, 15)])
    return tmp_path / "film.plan"


def test_a_plan_stands_for_the_pass(film, plan, passes):
    settings = ReadSettings(plan=plan)
    assert found(film, settings, passes) == (Shot(5, 15), 10)
    assert found(film, replace(settings, start=time_point("7f"), end=time_point("9f")), passes) == (Shot(7, 9), 2)
    assert passes == []


def test_a_plan_of_something_else_is_refused(film, plan, tmp_path, monkeypatch, passes):
    settings = ReadSettings(plan=plan)
    with pytest.raises(UsageError, match="5f to 15f"):
        found(film, replace(settings, start=time_point("4f")), passes)
    with pytest.raises(UsageError, match="another clip"):
        found(make_clip(tmp_path / "other.mp4", moving(20, seed=1), sound=False), settings, passes)
    with pytest.raises(InputError, match="there is no plan"):
        found(film, ReadSettings(plan=tmp_path / "none.plan"), passes)
    with pytest.raises(InputError, match="damaged"):
        found(film, ReadSettings(plan=film), passes)
    monkeypatch.setattr(store, "code_of", lambda *_: "another")
    with pytest.raises(UsageError, match=r"another version \(code [0-9a-f]{12}, here another\)"):
        found(film, settings, passes)
    assert passes == []


def test_another_packs_models_are_told_by_their_bytes(tmp_path):
    for name, content in {"det.onnx": b"a", "rec.onnx": b"b", "read.me": b"c"}.items():
        (tmp_path / name).write_bytes(content)
    before = models_of(str(tmp_path))
    assert {"det.onnx", "rec.onnx"} < before.keys()
    assert "read.me" not in before
    (tmp_path / "rec.onnx").write_bytes(b"x")
    assert models_of(str(tmp_path)) != before
    assert models_of("embedded") != before
    with pytest.raises(ModelError):
        models_of(str(tmp_path / "none"))
