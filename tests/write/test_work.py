"""The work folder: what counts as finished, who may hold it, what stays when something goes wrong."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from filelock import FileLock
from footage import make_clip, moving, packets_of

from vidswap.errors import EngineError, OutputError
from vidswap.files import as_output_error
from vidswap.media.encoder import encoding_of
from vidswap.read.clip import frames, open_clip
from vidswap.settings import WriteSettings
from vidswap.types import Crops, Swapped
from vidswap.write.film import Finished, join, write_segments
from vidswap.write.memory import Memory
from vidswap.write.work import WorkFolder, ahead_by, folder_of, noted, open_work

LENGTH = 10


def grown(work, payloads, length=LENGTH):
    """Finish a segment of these packets."""
    with work.growing() as growing:
        growing.add((payload, i, i == 0) for i, payload in enumerate(payloads))
        work.finish(growing.segment(range(work.reached, work.reached + length), length, b"head", 0, 0), growing)


def answer(track=3, latents=None):
    rng = np.random.default_rng(track)
    crops = Crops(
        track, 7, rng.integers(0, 255, (2, 16, 16, 3), np.uint8), rng.random((2, 478, 3), np.float32),
        rng.random((2, 16, 16), np.float32), rng.random((2, 2, 3)), rng.random(2, np.float32),
        rng.random((478, 3), np.float32),
    )  # fmt: skip
    return Swapped(crops, rng.integers(0, 255, (2, 16, 16, 3), np.uint8), rng.random((2, 16, 16), np.float32), latents)


def remembered(work, boundary, swapped):
    """What tracks go on from at a boundary, on the disk."""
    work.memory.keep(swapped, len(swapped.crops), 99)
    work.memory.mark(boundary)
    work.memory.write(boundary)


def test_finished_segments_are_found_again_and_half_written_ones_removed(tmp_path):
    work = WorkFolder(tmp_path, "key", 5, LENGTH)
    assert (work.reached, work.segments) == (5, [])
    grown(work, [b"one", b"two"])
    grown(work, [b"three"])
    (tmp_path / "00000025.part").write_bytes(b"half")
    (tmp_path / "00000035.packets").write_bytes(b"no sidecar, and a gap before it")
    again = WorkFolder(tmp_path, "key", 5, LENGTH)
    assert again.segments == work.segments
    assert again.reached == 25
    assert list(again.read(again.segments[0])) == [(b"one", 0, True), (b"two", 1, False)]
    assert len(list(tmp_path.iterdir())) == 5


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"segment": {}, "index": []}', b"\xff"])
def test_a_segment_whose_sidecar_is_damaged_does_not_count(tmp_path, content):
    grown(WorkFolder(tmp_path, "key", 0, LENGTH), [b"one"])
    (tmp_path / "00000000.json").write_bytes(content)
    assert WorkFolder(tmp_path, "key", 0, LENGTH).segments == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b'{"reached": 4}',
        b'{"reached": 4, "sizes": [1]}',
        b"\xff",
        b'{"reached": 4, "sizes": {"00000000-4-0.npy": "9"}}',
    ],
)
def test_answers_whose_seal_is_damaged_do_not_count(tmp_path, content):
    folder = tmp_path / "answers"
    folder.mkdir()
    (folder / "sealed").write_bytes(content)
    assert Memory(tmp_path, 0, 10).reached == 0


@pytest.mark.parametrize(("key", "resume"), [("another", True), ("key", False)])
def test_another_key_or_a_wish_starts_over(tmp_path, key, resume):
    work = WorkFolder(tmp_path, "key", 0, LENGTH)
    grown(work, [b"one"])
    remembered(work, LENGTH, answer())
    assert WorkFolder(tmp_path, key, 0, LENGTH, resume=resume).segments == []
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


@pytest.mark.parametrize("latents", [None, np.arange(4, dtype=np.float16)])
def test_what_was_remembered_is_recalled_to_the_bit(tmp_path, latents):
    work, kept = WorkFolder(tmp_path, "key", 0, LENGTH), answer(latents=latents)
    remembered(work, 20, kept)
    assert work.memory.load(20, [3])
    found = work.memory.before(3)
    assert (found.crops.track, found.crops.start) == (3, 7)
    for before, after in ((kept, found), (kept.crops, found.crops)):
        for name, value in vars(before).items():
            if isinstance(value, np.ndarray):
                assert getattr(after, name).dtype == value.dtype
                np.testing.assert_array_equal(getattr(after, name), value)
    assert (found.latents is None) == (latents is None)
    assert not work.memory.load(20, [3, 4])
    assert not work.memory.load(30, [3])


@pytest.mark.parametrize("change", [{"stop": 0}, {"stop": "10"}, {"stop": None}, {"start": 10}])
def test_a_segment_that_ends_before_it_begins_does_not_count(tmp_path, change):
    """Nor is the next one sought behind it without end."""
    grown(WorkFolder(tmp_path, "key", 0, LENGTH), [b"one"])
    sidecar = tmp_path / "00000000.json"
    said = json.loads(sidecar.read_bytes())
    sidecar.write_text(json.dumps({**said, "segment": {**said["segment"], **change}}))
    assert WorkFolder(tmp_path, "key", 0, LENGTH).segments == []


@pytest.mark.parametrize("lost", ["crops_track", "crops_rgb", "rgb", "alpha"])
def test_what_was_remembered_and_is_damaged_is_nothing(tmp_path, lost):
    work = WorkFolder(tmp_path, "key", 0, LENGTH)
    remembered(work, 20, answer())
    with np.load(tmp_path / "00000020-3.npz") as kept:
        values = {name: kept[name] for name in kept.files if name != lost}
    np.savez(tmp_path / "00000020-3.npz", **values)
    assert not work.memory.load(20, [3])
    for damaged in ({lost: np.zeros(3)}, {lost: np.zeros(3), "surprise": np.zeros(1)}):
        np.savez(tmp_path / "00000020-3.npz", **values, **damaged)
        assert not work.memory.load(20, [3])


def test_bytes_that_are_damaged_are_nothing_and_our_own_mistakes_are_not_passed_over(tmp_path, monkeypatch):
    work = WorkFolder(tmp_path, "key", 0, LENGTH)
    remembered(work, 20, answer())
    place = tmp_path / "00000020-3.npz"
    whole = place.read_bytes()
    for at in range(0, len(whole), 997):
        place.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) * 9 + whole[at + 9 :])
        work.memory.load(20, [3])
    place.write_bytes(whole)

    def mistaken(*_, **__):
        raise TypeError("our own")

    monkeypatch.setattr("vidswap.write.memory.Crops", mistaken)
    with pytest.raises(TypeError, match="our own"):
        work.memory.load(20, [3])


def test_only_what_is_still_needed_is_remembered(tmp_path):
    work = WorkFolder(tmp_path, "key", 0, LENGTH)
    for boundary in (10, 20):
        remembered(work, boundary, answer())
    grown(work, [b"one"])
    assert work.memory.load(10, [3])
    grown(work, [b"two"])
    assert not work.memory.load(10, [3])
    assert work.memory.load(20, [3])


def test_an_answer_that_the_disk_does_not_take_is_told(tmp_path):
    work = WorkFolder(tmp_path, "key", 0, LENGTH)
    tmp_path.joinpath("00000020-3.npz").mkdir()
    with pytest.raises(OSError, match="directory"):  # which film.write_segments says as OutputError
        remembered(work, 20, answer())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["00000020-3.npz", "answers", "key"]


def test_of_a_track_the_last_answer_before_a_boundary_counts(tmp_path):
    """Windows may be swapped ahead of the boundary; a track that has ended goes on from nothing."""
    work, early = WorkFolder(tmp_path, "key", 0, LENGTH), answer()
    late = replace(early, crops=replace(early.crops, start=9))
    for swapped in (early, late):
        work.memory.keep(swapped, 2, end=40)
    work.memory.keep(answer(track=4), 2, end=9)
    work.memory.release(9)
    work.memory.mark(10)
    work.memory.write(10)
    assert work.memory.before(4) is None
    assert [path.name for path in tmp_path.glob("*.npz")] == ["00000010-3.npz"]
    assert work.memory.load(10, [3])
    assert work.memory.before(3).crops.start == early.crops.start


def test_boundaries_lie_where_segments_begin(tmp_path):
    work = WorkFolder(tmp_path, "key", 5, LENGTH)
    assert [index for index in range(40) if work.is_boundary(index)] == [15, 25, 35]


def test_decoding_runs_ahead_as_far_as_pictures_are_out_of_order():
    assert ahead_by([0, 40, 80]) == 0
    assert ahead_by([0, 120, 40, 80]) == 1
    assert ahead_by([0, 160, 80, 40, 120]) == 2


def test_a_folder_is_held_by_one_process(tmp_path):
    out = tmp_path / "out.mp4"
    code = "import sys, pathlib as p, vidswap.write.work as s\nwith s.open_work(p.Path(sys.argv[1])): pass"
    words = [sys.executable, "-c", code, str(out)]
    with open_work(out):
        other = subprocess.run(words, capture_output=True, text=True, check=False)
        assert "is being rendered by another vidswap" in other.stderr
    assert list(tmp_path.iterdir()) == []
    assert subprocess.run(words, check=False).returncode == 0


@pytest.mark.parametrize("kind", ["link", "dangling link", "folder", "file"])
def test_a_folder_that_is_not_ours_is_refused_and_left_alone(tmp_path, kind):
    """It may be a link to the photos of a lifetime."""
    out, theirs = tmp_path / "out.mp4", tmp_path / "theirs"
    folder = folder_of(out)
    theirs.mkdir()
    for name in ("me.png", "key", "00000000.part", "lock"):
        (theirs / name).write_text("precious")
    if "link" in kind:
        folder.symlink_to("theirs" if kind == "link" else "nowhere")
    elif kind == "folder":
        theirs = theirs.rename(folder)
    else:
        folder.write_text("precious")
    with pytest.raises(OutputError, match="is not ours"), open_work(out) as held:
        WorkFolder(held, "key", 0, LENGTH, resume=False)
    assert folder.is_symlink() == ("link" in kind)
    assert sorted(path.name for path in theirs.iterdir()) == ["00000000.part", "key", "lock", "me.png"]
    assert folder.is_dir() or folder.is_symlink() or folder.read_text() == "precious"


def test_links_in_a_work_folder_are_not_followed(tmp_path):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "me.png").touch()
    with open_work(tmp_path / "out.mp4") as folder:
        (folder / "link").symlink_to(tmp_path / "theirs")
        WorkFolder(folder, "key", 0, LENGTH, resume=False)
        assert not (folder / "link").is_symlink()
        (folder / "link").symlink_to(tmp_path / "theirs")
    assert [path.name for path in tmp_path.rglob("*")] == ["theirs", "me.png"]


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EIO])
def test_a_drive_without_locks_is_told_and_goes_on_and_leaves_nothing(tmp_path, monkeypatch, number):
    def acquire(self, **_):
        open(self.lock_file, "w").close()
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(FileLock, "acquire", acquire)
    notes = []
    if number == errno.EIO:
        with (
            pytest.raises(OutputError, match=os.strerror(number)),
            open_work(tmp_path / "out.mp4", report=notes.append),
        ):
            pass
    else:
        with open_work(tmp_path / "out.mp4", report=notes.append) as folder:
            grown(WorkFolder(folder, "key", 0, LENGTH), [b"one"])
        assert "has no locks" in notes[0]
    assert list(tmp_path.iterdir()) == []


def test_a_long_name_has_a_work_folder_too(tmp_path):
    out = tmp_path / ("ä" * 120 + ".mp4")
    with open_work(out) as folder:
        grown(WorkFolder(folder, "key", 0, LENGTH), [b"one"])
        assert folder == folder_of(out) != folder_of(out.with_suffix(".mkv"))
    assert folder_of(tmp_path / "out.mp4").name == ".out.mp4.vidswap"


def test_only_resumable_segments_are_left_behind(tmp_path):
    out = tmp_path / "out.mp4"
    with pytest.raises(EngineError) as caught, open_work(out) as folder, noted(WorkFolder(folder, "key", 0, LENGTH)):
        raise EngineError("no", "hint")
    assert caught.value.__notes__ == ["nothing was written"]
    assert list(tmp_path.iterdir()) == []

    def stopped():
        with open_work(out) as folder, noted(work := WorkFolder(folder, "key", 0, LENGTH)):
            grown(work, [b"one"])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as stop:
        stopped()
    assert stop.value.__notes__ == ["the same command goes on from frame 10"]
    assert WorkFolder(folder, "key", 0, LENGTH).reached == LENGTH
    with open_work(out):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("key", "resume"), [("one", True), ("two", True), ("one", False)])
def test_what_was_paid_for_outlasts_an_error_and_another_key(tmp_path, key, resume):
    out, paid = tmp_path / "out.mp4", folder_of(tmp_path / "out.mp4") / "tickets" / "paid.ticket"

    def fail():
        with open_work(out) as folder:
            work = WorkFolder(folder, "one", 0, LENGTH)
            work.tickets.mkdir()
            paid.touch()
            raise EngineError("the second shot was refused")

    with pytest.raises(EngineError):
        fail()
    with open_work(out) as folder:
        assert WorkFolder(folder, key, 0, LENGTH, resume=resume).tickets == paid.parent
        assert paid.exists()
    assert not folder_of(out).exists()


def test_what_the_system_refuses_is_told_with_what_to_do(tmp_path):
    for error, said, hint in ((28, "No space left", "space"), (13, "Permission denied", "permissions")):
        with pytest.raises(OutputError, match=said) as caught, as_output_error(tmp_path / "out.mp4"):
            raise OSError(error, os.strerror(error))
        assert "out.mp4 cannot be written" in str(caught.value)
        assert hint in caught.value.hint


def test_a_full_disk_leaves_the_finished_segments_and_the_rest_can_follow(tmp_path):
    limit, signal = pytest.importorskip("resource"), pytest.importorskip("signal")
    calm = moving(LENGTH)
    noise = [np.random.default_rng(i).integers(0, 255, (64, 96, 3), np.uint8) for i in range(LENGTH)]
    clip, out = open_clip(make_clip(tmp_path / "a.mp4", calm + noise)), tmp_path / "out.mp4"
    settings = WriteSettings(preset="ultrafast")
    encoding = encoding_of(clip, out, settings)

    def go_on(folder):
        work = WorkFolder(folder, "key", 0, LENGTH)
        with noted(work):
            write_segments(
                clip, (Finished(each.index, each.native) for each in frames(clip, work.reached)), work, out, encoding
            )
            join(clip, work, out, encoding, {})

    before, handler = limit.getrlimit(limit.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        limit.setrlimit(limit.RLIMIT_FSIZE, (30_000, before[1]))
        with pytest.raises(OutputError, match="cannot be written") as caught, open_work(out) as folder:
            go_on(folder)
    finally:
        limit.setrlimit(limit.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert "space" in caught.value.hint
    assert caught.value.__notes__ == [f"the same command goes on from frame {LENGTH}"]
    names = ["00000000.json", "00000000.packets", "key", "lock", "vidswap"]
    assert sorted(path.name for path in folder.iterdir()) == names
    with open_work(out) as folder:
        go_on(folder)
    assert len(packets_of(out, "video")) == 2 * LENGTH
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "out.mp4"]
