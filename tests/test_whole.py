"""The whole way with nothing replaced: the models that ship, real engines, two people, HDR, stops, going on."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from footage import make_clip

from vidswap.casting import Role
from vidswap.pipeline import plan_clip, swap_clip
from vidswap.plan.file import open_plan
from vidswap.read.clip import frames, open_clip
from vidswap.read.faces import FaceReader, open_faces
from vidswap.settings import ReadSettings, Settings, SwapSettings, WriteSettings
from vidswap.timepoint import time_point

SAMPLES = Path(__file__).parents[1] / "samples"
CLIP, SELFIE = SAMPLES / "clip.mp4", SAMPLES / "selfie.jpg"
CUT = 90  # the frame of the sample at which its second shot begins
WARP = SwapSettings("warp")
Report = Callable[[str, int, int], None]


@pytest.fixture(scope="module")
def reader() -> FaceReader:
    return open_faces("embedded")


@pytest.fixture(scope="module")
def around_the_cut(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty frames before the sample's cut and twenty after it."""
    pictures = [frame.rgb for frame in frames(open_clip(CLIP), CUT - 20, CUT + 20)]
    return make_clip(tmp_path_factory.mktemp("cut") / "cut.mp4", pictures)


@pytest.fixture(scope="module")
def two_people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The actor of the sample at the left, who moves, and at the right the person of the selfie, who sways a little."""
    selfie = cv2.cvtColor(cv2.imread(str(SELFIE)), cv2.COLOR_BGR2RGB)
    side = min(selfie.shape[:2])
    other = cv2.resize(selfie[:side, :side], (432, 432), interpolation=cv2.INTER_AREA)
    pictures = []
    for frame in frames(open_clip(CLIP), 0, 12):
        beside = np.roll(other, 2 * (frame.index // 2), axis=1)
        pictures.append(np.hstack([frame.rgb[:, 168:600], beside]))
    return make_clip(tmp_path_factory.mktemp("two") / "two.mp4", pictures, sound=False)


def test_shots_and_people_are_found_around_a_cut(around_the_cut: Path, tmp_path: Path) -> None:
    made = plan_clip(around_the_cut, tmp_path / "cut.plan")
    assert (made.frames, made.shots, made.tracks, made.persons) == (40, 2, 2, (0,))
    with open_plan(made.out) as plan:
        assert [(shot.start, shot.stop) for shot in plan.shots] == [(0, 20), (20, 40)]
        assert [(track.start, track.stop, track.person) for track in plan.tracks] == [(0, 20, 0), (20, 40, 0)]
        whole = [track.part(track.start, track.stop) for track in plan.tracks]
    assert all(track.seen.all() for track in whole)
    clip = open_clip(around_the_cut)
    assert all(track.mesh[..., 0].min() > 0 and track.mesh[..., 0].max() < clip.width for track in whole)


@pytest.mark.parametrize("person", [0, 1])
def test_of_two_people_the_one_who_is_meant_is_swapped(
    two_people: Path, tmp_path: Path, reader: FaceReader, person: int
) -> None:
    """The face that goes in is a third person's: the sample's actor for the one, the selfie for the other."""
    photo = tmp_path / "photo.png"
    cv2.imwrite(str(photo), next(frames(open_clip(CLIP), CUT + 30)).rgb[..., ::-1])
    out = tmp_path / "out.mp4"
    done = swap_clip(two_people, {person: Role(photo, "self")}, out, Settings(swap=WARP))
    assert (done.frames, done.swapped, done.persons) == (12, 12, (person,))
    touched = []
    for before, after in zip(frames(open_clip(two_people)), frames(open_clip(out)), strict=True):
        moved = np.abs(before.rgb.astype(int) - after.rgb).max(-1)
        touched.append([float((half > 24).mean()) for half in np.hsplit(moved, 2)])
    left, right = np.mean(touched, axis=0)
    assert max(left, right) > 0.005
    assert min(left, right) < 0.0005, "the other one keeps every feature"
    assert all((one > 0.005) != (other > 0.005) for one, other in touched), "in every frame the same one"


def test_two_people_at_once_each_get_the_face(two_people: Path, tmp_path: Path, reader: FaceReader) -> None:
    out = tmp_path / "out.mp4"
    done = swap_clip(two_people, {"all": Role(SELFIE, "self")}, out, Settings(swap=WARP))
    assert (done.swapped, done.persons) == (12, (0, 1))
    selfie = cv2.cvtColor(cv2.imread(str(SELFIE)), cv2.COLOR_BGR2RGB)
    wanted = reader.embed(selfie, reader.detect(selfie)[0].mesh)
    for frame in frames(open_clip(out)):
        faces = reader.detect(frame.rgb)
        assert len(faces) == 2
        assert min(float(reader.embed(frame.rgb, face.mesh) @ wanted) for face in faces) > 0.4


def test_hdr_goes_through_the_diffusion_and_stays_hdr(tmp_path: Path, reader: FaceReader) -> None:
    pictures = [frame.rgb for frame in frames(open_clip(CLIP), 0, 3)]
    options = {"x265-params": "log-level=none:colorprim=9:transfer=16:colormatrix=9", "preset": "ultrafast"}

    def tagged(_target: object, video: object) -> None:
        context = video.codec_context  # type: ignore[attr-defined]
        context.colorspace, context.color_primaries, context.color_trc, context.color_range = 9, 9, 16, 1

    dim = [np.clip(picture * 0.55, 0, 255).astype(np.uint8) for picture in pictures]  # PQ codes are brighter
    source = make_clip(tmp_path / "hdr.mp4", dim, sound=False, codec="libx265", pix_fmt="yuv420p10le",
                       options=options, prepare=tagged)  # fmt: skip
    out = tmp_path / "out.mp4"
    done = swap_clip(source, Role(SELFIE, "self"), out, settings=Settings(swap=SwapSettings("embedded")))
    before, after = open_clip(source), open_clip(out)
    assert (done.swapped, len(after), after.colour) == (3, 3, before.colour)
    assert before.colour[3] == 16
    selfie = cv2.cvtColor(cv2.imread(str(SELFIE)), cv2.COLOR_BGR2RGB)
    wanted = reader.embed(selfie, reader.detect(selfie)[0].mesh)
    for was, now in zip(frames(before), frames(after), strict=True):
        mesh = reader.detect(was.rgb)[0].mesh
        assert reader.embed(now.rgb, mesh) @ wanted > reader.embed(was.rgb, mesh) @ wanted + 0.05
        far = np.s_[:, :60]  # away from the face
        assert np.abs(was.rgb[far].astype(int) - now.rgb[far]).mean() < 2


def stopping(stage: str, at: int) -> Report:
    def report(name: str, done: int, _total: int) -> None:
        if (name, done) == (stage, at):
            raise KeyboardInterrupt

    return report


def test_the_diffusion_goes_on_to_the_same_bytes_after_a_stop(tmp_path: Path) -> None:
    """Its windows overlap and remember: what it answered before the stop has to be there again."""
    read = ReadSettings(end=time_point("30f"), cache=tmp_path / "cache")
    whole, out = tmp_path / "whole.mp4", tmp_path / "out.mp4"
    choice = Settings(read, SwapSettings("embedded", {"complexion": "actor"}), WriteSettings(segment=6))
    swap_clip(CLIP, Role(SELFIE, "self"), whole, settings=choice)
    with pytest.raises(KeyboardInterrupt):
        swap_clip(CLIP, Role(SELFIE, "self"), out, settings=choice, report=stopping("rendering", 28))
    assert not out.exists()
    again = swap_clip(CLIP, Role(SELFIE, "self"), out, settings=choice)
    assert again.resumed >= 6
    assert out.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "out.mp4", "whole.mp4"]


def test_a_stop_while_faces_are_looked_for_leaves_nothing(tmp_path: Path) -> None:
    cache, out = tmp_path / "cache", tmp_path / "out.mp4"
    choice = Settings(ReadSettings(end=time_point("24f"), cache=cache), WARP)
    with pytest.raises(KeyboardInterrupt):
        swap_clip(CLIP, Role(SELFIE, "self"), out, settings=choice, report=stopping("analysis", 9))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert swap_clip(CLIP, Role(SELFIE, "self"), out, settings=choice).swapped == 24
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "out.mp4"]


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT from outside there")
def test_ctrl_c_during_the_analysis_is_one_line_and_130(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "vidswap", "plan", str(CLIP), "-o", str(tmp_path / "a.plan"), "--no-cache"]
    running = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    threads = Path(f"/proc/{running.pid}/task")
    until = time.monotonic() + 60
    while threads.exists() and not any("python" in (each / "comm").read_text() for each in list(threads.iterdir())[1:]):
        if time.monotonic() > until:
            break
        time.sleep(0.01)
    time.sleep(0.3)
    running.send_signal(signal.SIGINT)
    said = running.communicate(timeout=60)[1]
    assert running.returncode == 130
    assert said == "vidswap: stopped; nothing was written\n"
    assert list(tmp_path.iterdir()) == []


def test_times_of_a_swapped_part_are_those_of_the_clip(around_the_cut: Path, tmp_path: Path) -> None:
    swap_clip(around_the_cut, Role(SELFIE, "self"), tmp_path / "out.mp4",
              settings=Settings(ReadSettings(start=time_point("16f"), end=time_point("24f")), WARP))  # fmt: skip
    before, after = open_clip(around_the_cut), open_clip(tmp_path / "out.mp4")
    wanted = (before.pts[16:24] - before.pts[16]).tolist()
    assert [time * after.time_base for time in (after.pts - after.pts[0]).tolist()] == [
        time * before.time_base for time in wanted
    ]
