"""A render that is killed, however often and wherever, goes on and ends in the very file of one that was not."""

import signal
import subprocess
import sys
import time
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from footage import make_clip, moving, packets_of
from hypothesis import given, settings
from hypothesis import strategies as st
from rendered import SOMEONE, Echo, lazy, render, rendered, track_of

from vidswap.errors import EngineError, OutputError
from vidswap.progress import Progress
from vidswap.read.clip import frames, open_clip
from vidswap.settings import WriteSettings
from vidswap.swap.windows import Casting, amid, first_needed, swap_windows
from vidswap.types import Crops, EngineChoice, Shot, Swapped
from vidswap.write.composite import composite
from vidswap.write.memory import Memory
from vidswap.write.work import Segment, WorkFolder, open_work

COUNT, LENGTH, KILLS = 120, 20, 8
SCRIPT = Path(__file__).parent / "rendered.py"


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return make_clip(tmp_path_factory.mktemp("resume") / "clip.mp4", moving(COUNT))


@pytest.fixture(scope="module")
def whole(source):
    """The bytes of a render that nothing interrupted."""
    out = source.with_name("whole.mp4")
    assert rendered(source, out, LENGTH).resumed == 0
    return out.read_bytes()


def started(source, out, die=0):
    words = [sys.executable, str(SCRIPT), str(source), str(out), str(LENGTH), str(die)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def folder_of(out):
    return out.with_name(f".{out.name}.vidswap")


def test_killed_eight_times_the_file_is_the_same(source, whole, tmp_path):
    """Half of the kills come at any moment, half at the worst: when something is half on the disk."""
    chance, out = np.random.default_rng(0), tmp_path / "out.mp4"
    killed = 0
    while killed < KILLS:
        at_worst = killed % 2
        running = started(source, out, die=int(chance.integers(1, 25)) if at_worst else 0)
        running.stdout.readline()
        if not at_worst:
            time.sleep(chance.uniform(0, 0.4))
            running.kill()
        said = running.communicate(timeout=60)[1]
        assert running.returncode in (0, -signal.SIGKILL), said
        killed += running.returncode != 0
        if out.exists():
            assert out.read_bytes() == whole
            out.unlink()
        else:
            assert running.returncode != 0
    rendered(source, out, LENGTH)
    assert out.read_bytes() == whole
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mp4"]


def test_what_is_finished_is_not_rendered_again(source, whole, tmp_path):
    out = tmp_path / "out.mp4"
    kill_after(source, out, 3)
    done = len(list(folder_of(out).glob("*.json"))) * LENGTH
    assert rendered(source, out, LENGTH).resumed == done >= LENGTH
    assert out.read_bytes() == whole


@given(st.integers(0, 50), st.integers(1, 20), st.lists(st.integers(1, 30), max_size=6))
def test_a_run_of_frames_is_a_segment_by_itself(start, length, steps):
    """Boundaries are every so many frames, but within runs, where there are none but their own."""
    edges = np.cumsum([start, *steps]).tolist()
    runs = [Shot(*pair) for pair in zip(edges[1::2], edges[2::2])]
    with TemporaryDirectory() as folder:
        work = WorkFolder(Path(folder), "", start, length, runs=runs)
    stop = edges[-1] + 2 * length
    inside = {index for run in runs for index in range(run.start + 1, run.stop)}
    wanted = {*range(start + length, stop, length), *(edge for run in runs for edge in (run.start, run.stop))}
    wanted = sorted(index for index in wanted - inside if index > start)
    found, index = [], start
    while (index := work.boundary_after(index)) < stop:
        found.append(index)
    assert found == wanted
    assert [index for index in range(start, stop) if work.is_boundary(index)] == wanted


@pytest.mark.parametrize("harm", ["segment", "sidecar", "memory", "choice", "no-resume"])
def test_what_does_not_fit_is_rendered_again(source, whole, tmp_path, harm):
    out = tmp_path / "out.mp4"
    kill_after(source, out, 3)
    harmed = {"segment": "00000000.packets", "sidecar": "00000000.json", "memory": "*.npz"}.get(harm, "nothing")
    for path in folder_of(out).glob(harmed):
        content = bytearray(path.read_bytes())
        content[len(content) // 2 :: 2] = bytes(len(content[len(content) // 2 :: 2]))
        path.write_bytes(content)
    done = rendered(source, out, LENGTH, crf=17 if harm == "choice" else 16, resume=harm != "no-resume").resumed
    assert done == 0
    assert (out.read_bytes() == whole) == (harm != "choice")
    assert not folder_of(out).exists()


def test_two_renders_of_one_file_do_not_collide(source, whole, tmp_path):
    out = tmp_path / "out.mp4"
    with open_work(out) as folder:
        before = sorted(folder.iterdir())
        with pytest.raises(OutputError, match="being rendered") as caught:
            rendered(source, out, LENGTH)
        assert caught.value.hint
        assert sorted(folder.iterdir()) == before
    rendered(source, out, LENGTH)
    assert out.read_bytes() == whole


def test_pictures_that_could_not_be_decoded_are_counted_over_all(tmp_path):
    options = {"bf": "0", "g": "1"}
    source = make_clip(tmp_path / "clip.mkv", moving(COUNT), unit=Fraction(1, 1000), sound=False, options=options)
    content = source.read_bytes()
    for number, (_, payload) in enumerate(packets_of(source, "video")):
        if number in (7, 50, 51, 90):
            content = content.replace(payload, bytes(len(payload)))
    source.write_bytes(content)
    straight = rendered(source, tmp_path / "straight.mkv", LENGTH)
    kill_after(source, tmp_path / "out.mkv", 3)
    again = rendered(source, tmp_path / "out.mkv", LENGTH)
    assert again.resumed >= 3 * LENGTH
    assert again.repeated == straight.repeated == 4
    assert (tmp_path / "out.mkv").read_bytes() == (tmp_path / "straight.mkv").read_bytes()


def failing(*_):
    raise OutputError("no", "hint")


def test_frames_with_another_face_are_counted_over_all(source, tmp_path, monkeypatch):
    """Of a track that is seen, of one beyond the picture, and of one that is covered; when the render goes on, too."""
    beyond = replace(track_of(1, 20, 60), mesh=track_of(1, 20, 60).mesh + np.float32([500, 0, 0]))
    covered = replace(track_of(2, 70, 110), visible=np.zeros((40, 8, 8), np.uint8))
    clip, out, choice = open_clip(source), tmp_path / "out.mp4", WriteSettings(preset="ultrafast", segment=LENGTH)
    for tracks, swapped in ([track_of(0, 10, 35), beyond, covered], 25), ([beyond, covered], 0):
        with monkeypatch.context() as patch:
            patch.setattr("vidswap.write.writer.join", failing)
            with pytest.raises(OutputError):
                render(clip, out, tracks, Echo(7, 3), choice)
        again = render(clip, out, tracks, Echo(7, 3), choice)
        assert (again.resumed, again.swapped) == (COUNT, swapped)
        assert render(clip, out, tracks, Echo(7, 3), choice).swapped == swapped


def kill_after(source, out, segments):
    """Leave behind what a render does that is killed some time after that many segments."""
    running = started(source, out)
    while running.poll() is None and len(list(folder_of(out).glob("*.json"))) < segments:
        time.sleep(0.001)
    running.kill()
    running.communicate()
    assert len(list(folder_of(out).glob("*.json"))) >= segments
    assert not out.exists()


def test_with_an_engine_that_says_to_be_another_nothing_is_gone_on_with(source, tmp_path, monkeypatch):
    """Weights, a prompt, a device: what an engine's needs and class do not tell."""
    kill_after(source, tmp_path / "out.mp4", 3)
    monkeypatch.setattr(Echo, "key", "echo with other weights")
    assert rendered(source, tmp_path / "out.mp4", LENGTH).resumed == 0


class Counting(Echo):
    """Stopped when it is to answer once more than `stops` times."""

    asked, stops = 0, 3

    def swap(self, crops, identity, before, progress):
        if self.asked == self.stops:
            raise self.error
        self.asked += 1
        return super().swap(crops, identity, before, progress)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), EngineError("no", "hint")], ids=["Ctrl-C", "failure"])
@pytest.mark.parametrize("harm", ["", "answer", "seal"])
def test_a_render_that_is_stopped_in_its_first_segment_loses_no_answer(source, tmp_path, monkeypatch, error, harm):
    """Of a clip that is one segment, half of it is swapped, then the other half; the file is the same."""
    engines = [Counting(7, 3) for _ in range(3)]
    for engine, stops in zip(engines, (3, 4, None)):
        engine.stops, engine.error = stops, error
    monkeypatch.setattr("rendered.Echo", lambda *_: engines[0])
    for _ in range(2):
        with pytest.raises(type(error)) as stop:
            rendered(source, tmp_path / "out.mp4", COUNT)
        assert stop.value.__notes__[-1].startswith("the same command goes on from frame ")
        engines.pop(0)
    kept = folder_of(tmp_path / "out.mp4") / "answers"
    assert len(list(kept.iterdir())) == 3 + 4 + 1
    if harm:
        path = next(kept.glob("*.npy")) if harm == "answer" else kept / "sealed"
        path.write_bytes(path.read_bytes()[:-9])
    rendered(source, tmp_path / "out.mp4", COUNT)
    others = {"": 7, "answer": 6, "seal": 0}[harm]
    straight = Counting(7, 3)
    straight.stops = None
    monkeypatch.setattr("rendered.Echo", lambda *_: straight)
    rendered(source, tmp_path / "again.mp4", COUNT)
    assert engines[0].asked == straight.asked - others
    assert (tmp_path / "out.mp4").read_bytes() == (tmp_path / "again.mp4").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.mp4", "out.mp4"]


def test_answers_for_which_there_is_no_room_are_not_kept(tmp_path, monkeypatch):
    crops = Crops(0, 0, np.zeros((2, 16, 16, 3), np.uint8), np.zeros((2, 478, 3), np.float32),
                  np.zeros((2, 16, 16), np.float32), np.zeros((2, 2, 3)), np.ones(2, np.float32),
                  np.zeros((478, 3), np.float32))  # fmt: skip
    first = Swapped(crops, crops.rgb, crops.mask)
    later = replace(first, crops=replace(crops, start=2))
    kept = Memory(tmp_path, 0, 10)
    kept.keep(first, 1, 9)
    monkeypatch.setattr("vidswap.write.memory.MOST", 5000)
    kept.keep(later, 1, 9)
    monkeypatch.undo()
    kept.keep(replace(first, crops=replace(crops, start=4)), 1, 9)
    kept.seal()
    again = Memory(tmp_path, 0, 10)
    assert again.reached == 2
    assert again.answer(crops) is not None
    assert again.answer(later.crops) is None
    again.forget(10)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "answers").write_text("a file where a folder should be")
    Memory(tmp_path, 0, 10).keep(first, 1, 9)


# -- from any boundary ------------------------------------------------------------------------------------------------

spans = st.tuples(st.integers(0, 55), st.integers(1, 60)).map(lambda span: (span[0], min(60, span[0] + span[1])))
sizes = st.integers(1, 9).flatmap(lambda window: st.tuples(st.just(window), st.integers(0, window // 2)))


@settings(max_examples=12, deadline=None)
@given(st.lists(spans, min_size=1, max_size=4), sizes, st.integers(6, 25))
def test_from_any_boundary_on_the_pictures_are_the_same(source, tmp_path_factory, places, size, length):
    choice = EngineChoice("echo")
    casting = [Casting(lazy(track_of(number, *span)), SOMEONE, choice) for number, span in enumerate(places)]
    clip, engines, folder = open_clip(source), {choice: Echo(*size)}, tmp_path_factory.mktemp("work")
    work = WorkFolder(folder, "key", 0, length)
    straight = {}
    for frame in painted(clip, casting, engines, work):
        straight[frame.index] = planes(frame)
        if work.is_boundary(frame.index + 1):
            work.memory.mark(frame.index + 1)
            work.memory.write(frame.index + 1)
    assert sorted(straight) == list(range(60))
    for boundary in range(0, 61, length):
        work = WorkFolder(folder, "key", 0, length)
        starts = range(0, boundary, length)
        work.segments = [Segment(start, start + length, 0, 0, "", "", 0, 0) for start in starts]
        work.go_on(partial(amid, casting, engines))
        assert work.reached == boundary, "all that is needed was remembered"
        again = {frame.index: planes(frame) for frame in painted(clip, casting, engines, work)}
        assert min(again, default=60) >= boundary - size[0]
        assert {index: again[index] for index in range(boundary, 60)} == {i: straight[i] for i in range(boundary, 60)}


def painted(clip, casting, engines, work):
    """The frames from a little before `work.reached` on, each with its layers laid over it."""
    footage = frames(clip, first_needed(casting, engines, work.reached), 60)
    for frame, layers in swap_windows(footage, casting, engines, work.memory, Progress(), start=work.reached):
        composite(frame, layers)
        yield frame


def planes(frame):
    layout = frame.native.planes
    return tuple(np.frombuffer(each, np.uint8).reshape(each.height, -1)[:, : each.width].tobytes() for each in layout)
