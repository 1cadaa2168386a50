"""Damaged files of every kind: no hang, no crash, no traceback, nothing left behind but segments to go on from.

Files are mutated, then read, a share of them rendered, in another process, whose crash or hang is a failure too; the
file is kept and named. `--hypothesis-profile=thorough` tries 1,000.
"""

from __future__ import annotations

import json
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from footage import make_clip, moving
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image

from vidswap.media.containers import KINDS

PATIENCE = 60  # seconds for one file on a busy machine; what takes longer hangs
WORKER = Path(__file__).with_name("reader.py")
COUNT = 24
FILMS = {
    "mp4": {}, "mov": {}, "mkv": {"unit": Fraction(1, 1000)}, "ts": {"unit": Fraction(1, 90000)},
    "avi": {"unit": Fraction(1, 25), "sound": False},
    "webm": {"unit": Fraction(1, 1000), "sound": False, "codec": "libvpx-vp9", "options": {"cpu-used": "8"}},
    "h264": {"sound": False},
}  # fmt: skip
OUTS = {"film": (".mp4", ".mkv", ".ts", ".gif"), "still": (".png", ".jpg", ".mp4"), "moving": (".gif", ".webp", ".mp4")}
STILL, MOVING = ("png", "jpg", "bmp", "tif"), ("gif", "webp", "apng")
NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 60000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


@dataclass(frozen=True)
class Change:
    """Something done to `length` bytes of a file from `place` on, in thousandths of the whole, or, where `near`, of its
    first 2 KB, where headers are. `value` is for what is written there."""

    kind: str
    place: int
    length: int
    value: int
    near: bool

    def apply(self, data: bytes, others: list[bytes]) -> bytes:
        span = min(len(data), 2048) if self.near else len(data)
        start = self.place * max(span - 1, 0) // 1000
        stop = min(start + self.length, len(data))
        other = others[self.value % len(others)]
        middle = {
            "flip": bytes(byte ^ (1 << self.value % 8) for byte in data[start:stop]),
            "zero": bytes(stop - start),
            "fill": bytes([self.value % 256]) * (stop - start),
            "drop": b"",
            "twice": data[start:stop] * 2,
            "splice": other[self.place * len(other) // 1000 :][: self.length],
            "number": NUMBERS[self.value % len(NUMBERS)].to_bytes(4, "big" if self.value % 2 else "little"),
        }
        if self.kind == "cut":
            return data[:start]
        end = min(start + 4, len(data)) if self.kind == "number" else stop
        return data[:start] + middle[self.kind] + data[end:]


changes = st.builds(
    Change, st.sampled_from(("flip", "zero", "fill", "drop", "twice", "splice", "number", "cut")),
    st.integers(3, 999), st.sampled_from((1, 2, 4, 30, 300, 3000)), st.integers(0, 1 << 16),
    st.sampled_from((False, False, False, True)),
)  # fmt: skip


class Reader:
    """The process that reads; started anew after a crash or a hang."""

    def __init__(self) -> None:
        self._start()

    def _start(self) -> None:
        pipe, nowhere = subprocess.PIPE, subprocess.DEVNULL
        words = [sys.executable, str(WORKER)]
        self._process = subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=nowhere, text=True)
        self._lines: queue.Queue[str] = queue.Queue()
        self._thread = threading.Thread(target=self._listen, args=(self._process, self._lines), daemon=True)
        self._thread.start()

    @staticmethod
    def _listen(process: subprocess.Popen[str], lines: queue.Queue[str]) -> None:
        for line in process.stdout or ():
            lines.put(line)
        lines.put("")

    def ask(self, path: Path, out: Path | None) -> str:
        assert self._process.stdin
        self._process.stdin.write(json.dumps([str(path), str(out or "")]) + "\n")
        self._process.stdin.flush()
        try:
            line = self._lines.get(timeout=PATIENCE)
        except queue.Empty:
            line = ""
        if line:
            return str(json.loads(line))
        code = self._process.poll()
        self.close()
        self._start()
        return "failed: it hangs" if code is None else f"failed: the process ended with {code}"

    def close(self) -> None:
        self._process.kill()
        self._thread.join()
        with self._process:  # closes its ends of the pipes
            pass


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    made = Reader()
    yield made
    made.close()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A sound file of each kind, by its ending."""
    folder = tmp_path_factory.mktemp("whole")
    pictures = moving(COUNT, 64, 48)
    files = {}
    for ending, choices in FILMS.items():
        container = {"movflags": "faststart"} if ending == "mp4" else {}
        files[ending] = make_clip(folder / f"a.{ending}", pictures, container=container, **choices).read_bytes()
    images = [Image.fromarray(np.ascontiguousarray(each)) for each in pictures[:8]]
    for ending in (*STILL, *MOVING):
        path = folder / f"b.{'png' if ending == 'apng' else ending}"
        more = {"save_all": True, "append_images": images[1:], "duration": 40} if ending in MOVING else {}
        images[0].save(path, **more)
        files[ending] = path.read_bytes()
    return files


def kind_of(ending: str) -> str:
    return "still" if ending in STILL else "moving" if ending in MOVING else "film"


def tried(reader: Reader, data: bytes, ending: str, folder: Path, out: str | None) -> str:
    """What became of a file; its complaint where it left something behind."""
    folder.mkdir()
    path = folder / f"clip.{'png' if ending == 'apng' else ending}"
    path.write_bytes(data)
    said = reader.ask(path, folder / f"out{out}" if out else None)
    left = {each.name for each in folder.iterdir()} - {path.name}
    wanted = {f"out{out}"} if out and said.endswith("rendered") else set()
    kept = folder / f".out{out}.vidswap"
    if any((*kept.glob("*.json"), *kept.glob("answers/sealed"))) and said.startswith("refused"):
        left -= {kept.name}
    if left != wanted and not said.startswith("failed"):
        said = f"failed: it left {sorted(left)} ({said})"
    if said.startswith("failed"):
        keep = Path(tempfile.gettempdir()) / "vidswap-fuzz"
        keep.mkdir(exist_ok=True)
        said += f"\nthe file is {shutil.copy(path, keep / f'{abs(hash(data)):x}-{path.name}')}, the result {out}"
    shutil.rmtree(folder)
    return said


@pytest.mark.parametrize("ending", [*FILMS, *STILL, *MOVING])
def test_sound_files_are_read_and_rendered(reader, whole, tmp_path, ending):
    for out in OUTS[kind_of(ending)]:
        count = 1 if ending in STILL else 8 if ending in MOVING else COUNT
        assert tried(reader, whole[ending], ending, tmp_path / "x", out) == f"{count} frames, rendered"


def test_damaged_files_are_read_as_far_as_they_go_or_refused(reader, whole, tmp_path):
    count = 1000 if settings.get_current_profile_name() == "thorough" else 120
    said: Counter[str] = Counter()

    @settings(max_examples=count, deadline=None, database=None, derandomize=count < 1000,
              phases=[Phase.generate], suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(st.sampled_from(sorted(whole)), st.lists(changes, min_size=1, max_size=3), st.integers(0, 11))
    def damaged(ending: str, damage: list[Change], choice: int) -> None:
        data = whole[ending]
        for change in damage:
            data = change.apply(data, list(whole.values()))
        outs = OUTS[kind_of(ending)]
        word = tried(reader, data, ending, tmp_path / "x", outs[choice] if choice < len(outs) else None)
        said[word.split(":")[0] if "frames" not in word else "rendered" if "rendered" in word else "read"] += 1
        assert not word.startswith("failed"), word

    damaged()
    print(dict(said))
    assert said["rendered"] > count // 10
    assert said["read"] > count // 10
    assert said["refused"] > count // 20


def test_every_container_we_write_is_tried():
    assert {kind.removeprefix(".") for kind in KINDS} <= {*FILMS, "m4v"}
