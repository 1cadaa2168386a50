"""Peak memory of a render does not depend on the clip's length.

`python test_memory.py CLIP PLAN OUT` renders a clip with a trivial engine on the tracks of a plan, and prints the peak.
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import nullcontext

import numpy as np
import pytest
from footage import make_clip, moving
from rendered import SOMEONE, Echo, track_of, write_plan

from vidswap.casting import Role
from vidswap.pipeline import swap_clip
from vidswap.plan.file import subsample
from vidswap.plan.store import facts_of
from vidswap.progress import peak
from vidswap.read.clip import open_clip
from vidswap.settings import ReadSettings, Settings, WriteSettings
from vidswap.types import Shot

RATE, SIDE = 25, 64
SHORT, LONG = 5 * RATE, 60 * RATE  # frames
MOST = 10_000_000  # bytes; the meshes of the longer tracks alone would be 17 MB


def main(clip: str, plan: str, out: str) -> None:
    settings = Settings(ReadSettings(plan=plan), write=WriteSettings(preset="ultrafast"))
    swap_clip(clip, {"all": Role(SOMEONE)}, out, settings, load=lambda *_: nullcontext(Echo(16, 4)))
    print(peak())


@pytest.fixture(scope="module")
def peaks(tmp_path_factory) -> dict[int, int]:
    folder, found = tmp_path_factory.mktemp("memory"), {}
    for count in (SHORT, LONG):
        pictures = moving(25, SIDE, SIDE) * (count // 25)
        clip = make_clip(folder / f"{count}.mp4", pictures, sound=False, options={"preset": "ultrafast"})
        tracks = [track_of(number, 0, count) for number in range(2)]
        span = Shot(0, count)
        write_plan(folder / f"{count}.plan", facts_of(open_clip(clip), "embedded"), span, [span], tracks)
        words = [sys.executable, __file__, clip, folder / f"{count}.plan", folder / f"{count}.out.mp4"]
        found[count] = int(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
        assert len(open_clip(folder / f"{count}.out.mp4")) == count
    return found


def test_a_minute_takes_no_more_memory_than_five_seconds(peaks):
    assert peaks[LONG] - peaks[SHORT] < MOST, peaks


def test_a_glimpse_of_a_track_has_no_more_frames_than_asked_for():
    track = track_of(3, 100, 1100)
    marked = np.arange(1000, dtype=np.float32)
    track.mesh[:, 0, 0] = marked
    for most in (1, 7, 333, 999, 1000, 5000):
        taken = subsample(track, most).mesh[:, 0, 0]
        steps = np.diff(taken)
        assert len(taken) <= most
        assert taken[0] == 0
        assert len(np.unique(steps)) <= 1, "evenly"
        assert len(taken) > min(most, 1000) / 2
    assert np.array_equal(subsample(track, 1000).mesh, track.mesh)


if __name__ == "__main__":
    main(*sys.argv[1:])
