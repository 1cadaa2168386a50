"""The first pass: shots, faces and tracks, a shot at a time; and the commands that begin with it."""

import json
import tracemalloc
import weakref
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from footage import make_clip, moving
from hypothesis import given, settings
from hypothesis import strategies as st
from rendered import facts_for, track_of

from vidswap import pipeline
from vidswap.cli import main as cli
from vidswap.errors import InputError, NoFaceError, OutputError
from vidswap.face import geometry
from vidswap.face.landmarks import mean_face
from vidswap.plan import store
from vidswap.plan.file import open_plan
from vidswap.plan.persons import TrackSummary
from vidswap.progress import Progress
from vidswap.read import analysis, smoothing, spool
from vidswap.read import clip as clips
from vidswap.read.faces import open_faces
from vidswap.settings import ReadSettings
from vidswap.types import Clip, Face, Shot, Track

SAMPLES = Path(__file__).parents[2] / "samples"
CLIP, SELFIE = SAMPLES / "clip.mp4", SAMPLES / "selfie.jpg"


# -- from the command line, on the sample ------------------------------------------------------------------------------


def unasked(*_):
    raise AssertionError("somebody looked for faces")


SPAN = ("--start", "6f", "--end", "14f")


def swapped(out: Path, *words: object) -> bytes:
    start = ["swap", str(CLIP), "--face", str(SELFIE), "--consent", "self", "--engine", "warp", "-o", str(out)]
    assert cli.main([*start, *map(str, words)]) == 0
    return out.read_bytes()


def test_with_a_plan_with_a_cache_and_without_the_result_is_the_same(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    plan = tmp_path / "clip.plan"
    assert cli.main(["plan", str(CLIP), "-o", str(plan), *SPAN, "--json", "--no-cache"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["frames"], told["persons"], told["bytes"]) == (8, [0], plan.stat().st_size)
    with open_plan(plan) as made:
        assert made.span == Shot(6, 14)
    assert not (tmp_path / "cache").exists()
    bare = swapped(tmp_path / "bare.mp4", *SPAN, "--no-cache")
    first = swapped(tmp_path / "first.mp4", *SPAN)
    monkeypatch.setattr(pipeline, "analyse", unasked)  # from here on, nobody looks for faces
    assert swapped(tmp_path / "again.mp4", *SPAN) == first == bare
    assert swapped(tmp_path / "planned.mp4", "--plan", plan) == bare
    assert cli.main(["plan", str(CLIP), "-o", str(tmp_path / "part.plan"), "--start", "7f", "--end", "9f"]) == 0
    with open_plan(tmp_path / "part.plan") as part:
        assert (part.span, part.analysed) == (Shot(7, 9), Shot(6, 14)), "of what was found already"
    (tmp_path / "part.plan").unlink()
    assert cli.main(["cast", str(CLIP), "-o", str(tmp_path / "cast.png"), *SPAN]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["cache", "clip.plan", "bare.mp4", "first.mp4", "again.mp4", "planned.mp4", "cast.png"]
    )
    capsys.readouterr()

    assert cli.main(["cache"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert "clip.mp4, frames 6 to 14, tracks: 1" in said[0]
    assert said[1].startswith("1 entries")
    assert cli.main(["cache", "clear", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["entries"]) == 1
    assert cli.main(["cache", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["entries"] == []


def test_plans_that_cannot_be_made_are_told(tmp_path, capsys):
    grey = make_clip(tmp_path / "grey.mp4", moving(5), sound=False)
    for words, code in (
        (["plan", str(grey), "-o", str(tmp_path / "a.plan")], NoFaceError.code),
        (["plan", str(grey), "-o", str(tmp_path / "no" / "a.plan")], OutputError.code),
        (["plan", str(grey), "-o", str(tmp_path)], OutputError.code),
        (["plan", str(grey), "-o", str(grey)], OutputError.code),
        (["plan", str(tmp_path / "none.mp4"), "-o", str(tmp_path / "a.plan")], InputError.code),
    ):
        assert cli.main(words) == code
        assert capsys.readouterr().err.count("\n") == 1
    assert list(tmp_path.iterdir()) == [grey]


def test_shots_are_drawn_up_one_by_one(tmp_path):
    """The tracks of a shot are in the file before the next one is looked at, and persons are known again after all."""
    asked: list[str] = []

    def read(start, stop):
        asked.append(f"track {start}")
        return track_of(0, start, stop)

    def found():
        for number, start in enumerate((0, 10, 20)):
            asked.append(f"shot {start}")
            alike = np.eye(4, dtype=np.float32)[number % 2]
            who = TrackSummary(start, start + 10, 1.0 + start, alike)
            yield [Shot(start, start + 10)], [(Track(number, 0, start, start + 10, alike, read), who)], []

    store.draw_up(tmp_path / "a.plan", "a", facts_for(30), Shot(0, 30), found())
    assert asked == [f"{what} {start}" for start in (0, 10, 20) for what in ("shot", "track")]
    with open_plan(tmp_path / "a.plan") as plan:
        assert [(each.id, each.start, each.person) for each in plan.tracks] == [(0, 0, 0), (1, 10, 1), (2, 20, 0)]
        assert plan.shots == (Shot(0, 10), Shot(10, 20), Shot(20, 30))
        assert np.array_equal(plan.tracks[1].embedding, np.eye(4, dtype=np.float32)[1])


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.booleans(), min_size=20, max_size=20), start=st.integers(0, 18))
def test_shots_cover_all_frames_once_and_begin_at_cuts(cuts, start, film_of_twenty):
    class Told:
        def __init__(self) -> None:
            self.left = iter(cuts[start:])

        def __call__(self, rgb: np.ndarray) -> bool:
            return next(self.left)

    class Blind:
        def detect(self, rgb: np.ndarray, turns: object, known: object) -> list:
            return []

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(analysis, "CutDetector", Told)
        found = [shot for (shot,), *_ in analysis.analyse(Blind(), film_of_twenty, Shot(start, 20), Progress())]
    assert [i for shot in found for i in range(shot.start, shot.stop)] == list(range(start, 20))
    assert {shot.start for shot in found} == {i for i in range(start, 20) if cuts[i] or i == start}


@pytest.fixture(scope="module")
def film_of_twenty(tmp_path_factory) -> Clip:
    return clips.open_clip(make_clip(tmp_path_factory.mktemp("film") / "a.mp4", moving(20), sound=False))


def test_a_dissolve_from_one_person_to_another_shows_two(tmp_path):
    """Both in the same place of the picture: the face is followed through the dissolve, its track ends in it."""
    first = next(clips.frames(clips.open_clip(CLIP), 0, 1)).rgb
    selfie = cv2.cvtColor(cv2.imread(str(SELFIE)), cv2.COLOR_BGR2RGB)
    reader = open_faces("embedded")
    places = [geometry.five_points(reader.detect(each)[0].mesh) for each in (selfie, first)]
    there = geometry.fit_similarity(*places)
    other = cv2.warpAffine(selfie, there, first.shape[1::-1], borderMode=cv2.BORDER_REFLECT)
    one, other = (each[:, 168:600].astype(float) for each in (first, other))
    shares = np.clip((np.arange(60) - 23) / 13, 0, 1)
    pictures = [one + share * (other - one) for share in shares]
    film = make_clip(tmp_path / "film.mp4", list(np.rint(pictures).astype(np.uint8)), sound=False)
    clip = clips.open_clip(film)
    with store.find_plan(clip, Shot(0, 60), ReadSettings(), partial(analysis.analyse, reader), Progress()) as plan:
        assert sorted(track.person for track in plan.tracks) == [0, 1]
        assert abs(plan.tracks[0].stop - 30) <= 3
        assert plan.tracks[0].stop == plan.tracks[1].start
        assert len(plan.shots) == 2


def test_a_person_beside_their_mirror_image_is_one(tmp_path):
    shown = [cv2.resize(frame.rgb, (384, 216)) for frame in clips.frames(clips.open_clip(CLIP), 0, 30)]
    film = make_clip(tmp_path / "film.mp4", [np.hstack([rgb, rgb[:, ::-1]]) for rgb in shown], sound=False)
    clip, reader = clips.open_clip(film), open_faces("embedded")
    with store.find_plan(clip, Shot(0, 30), ReadSettings(), partial(analysis.analyse, reader), Progress()) as plan:
        assert [(track.person, len(track)) for track in plan.tracks] == [(0, 30), (0, 30)]


def test_no_more_is_held_of_a_long_take_than_of_a_short_one(tmp_path, film_of_twenty, monkeypatch):
    """Neither faces nor their meshes, whatever the length of the one shot."""
    monkeypatch.setattr(smoothing, "PIECE", 64)
    monkeypatch.setattr(smoothing, "MARGIN", 20)
    monkeypatch.setattr(spool, "HELD", 100_000)
    mean = mean_face()

    def held(count: int) -> tuple[int, int]:
        alive: weakref.WeakSet[Face] = weakref.WeakSet()
        most = 0

        def watched(frames, reader, every):
            nonlocal most
            for _ in frames:
                mesh = geometry.posed(mean, (20.0, np.eye(3), np.array([48, 32.0, 0])))
                face = Face(geometry.bounds(mesh), mesh, 0.9, None, np.full((32, 32), 255, np.uint8), np.eye(2, 3))
                alive.add(face)
                most = max(most, len(alive))
                yield [face]

        pictures = [SimpleNamespace(index=index, rgb=np.zeros((64, 96, 3), np.uint8)) for index in range(count)]
        monkeypatch.setattr(analysis.clips, "frames", lambda clip, start, stop: iter(pictures))
        monkeypatch.setattr(analysis, "follow_faces", watched)
        tracemalloc.start()
        seen = analysis.analyse(None, film_of_twenty, Shot(0, count), Progress())
        store.draw_up(tmp_path / "a.plan", "a", facts_for(count), Shot(0, count), seen)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        with open_plan(tmp_path / "a.plan") as plan:
            assert [(track.start, track.stop) for track in plan.tracks] == [(0, count)]
        return most, peak

    held(20)
    (faces, memory), (more_faces, more_memory) = held(200), held(480)
    assert more_faces <= faces + 1 <= 5
    assert more_memory - memory < 280 * 1000, "a mesh alone takes 5736 bytes"
