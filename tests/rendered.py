"""A render of a clip with a trivial engine on made-up tracks: `python rendered.py CLIP OUT LENGTH DIE`, in segments of
LENGTH frames, killed when it is about to put something on the disk for the DIE-th time (0: never)."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from vidswap.casting import Role
from vidswap.face.geometry import posed
from vidswap.face.landmarks import mean_face
from vidswap.pipeline import Result, swap_clip
from vidswap.plan.file import drafted
from vidswap.plan.header import Facts
from vidswap.plan.store import facts_of
from vidswap.read.clip import open_clip
from vidswap.settings import ReadSettings, Settings, WriteSettings
from vidswap.swap.engine import Advance, Engine, Needs
from vidswap.types import Clip, Consent, Crops, Identity, Shot, Swapped, Track, TrackPart

MEAN = mean_face()
SOMEONE = Identity((np.zeros((8, 8, 3), np.uint8),), (MEAN,), np.ones(4, np.float32) / 2, Consent("self"))


def lazy(whole: TrackPart) -> Track:
    """The track of which these are all frames."""
    return Track(whole.id, whole.person, whole.start, whole.stop, whole.embedding, whole.part, 10.0 * len(whole))


def clip_of(count: int) -> Clip:
    """One that nobody reads, of 25 pictures a second."""
    return Clip(Path("clip.mp4"), 640, 360, np.arange(count) * 40, Fraction(1, 1000), Fraction(25), (1, 1, 1, 1), 0, (),
                "mp4")  # fmt: skip


def facts_for(frames: int, **changed: Any) -> Facts:
    """Those of a clip that nobody reads."""
    return replace(Facts("ab12", (640, 360, frames), {"mesh": "cd"}, {}, {"vidswap": "0.1.0", "code": "1"}), **changed)


def write_plan(path: Path, facts: Facts, span: Shot, shots: Sequence[Shot], tracks: Sequence[TrackPart]) -> None:
    """A plan file of tracks that are there already, of clip.mp4."""
    embeddings = np.stack([track.embedding for track in tracks]) if tracks else np.empty((0, 0), np.float32)
    with drafted(path, "clip.mp4", facts, span) as draft:
        for track in tracks:
            draft.add(lazy(track))
        draft.finish(span, shots, [track.person for track in tracks], embeddings)


class Echo:
    """An engine whose answer is a grey that depends on all it was handed, and on all its answers before."""

    key, exact = "echo", True

    def __init__(self, window: int, overlap: int) -> None:
        self.needs = Needs(16, "aligned", window, overlap)

    def swap(self, crops: Crops, identity: Identity, before: Swapped | None, progress: Advance) -> Swapped:
        last = 17 if before is None or before.latents is None else int(before.latents[0])
        grey = (31 * last + int(crops.rgb.sum()) + crops.start) % 251
        return Swapped(crops, np.full_like(crops.rgb, grey), crops.mask, np.array([grey]))


def track_of(number: int, start: int, stop: int, size: int = 64) -> TrackPart:
    """A face in the middle of a picture of `size` pixels, seen in the frames [start, stop)."""
    mesh = posed(MEAN, (20.0, np.eye(3), np.array([size / 2, size / 2, 0])))
    back = np.array([[size / 8, 0, 0], [0, size / 8, 0]])
    count = stop - start
    return TrackPart(
        number, number, start, np.repeat(mesh[None], count, 0), np.ones(count, bool), np.ones(4, np.float32) / 2,
        np.full((count, 8, 8), 255, np.uint8), np.repeat(back[None], count, 0),
    )  # fmt: skip


def render(
    clip: Clip, out: Path, tracks: Sequence[TrackPart], engine: Engine, settings: WriteSettings, *,
    span: Shot | None = None,
) -> Result:  # fmt: skip
    """A swap with these tracks in place of what a first pass finds."""
    span = span or Shot(0, len(clip))
    rate = {"rate": clip.rate} if clip.files else {}
    with TemporaryDirectory() as folder:
        plan = Path(folder) / "clip.plan"
        write_plan(plan, facts_of(clip, "embedded"), span, [span], tracks)
        choice = Settings(ReadSettings(plan=plan, **rate), write=settings)
        return swap_clip(clip.path, {"all": Role(SOMEONE)}, out, choice, load=lambda *_: nullcontext(engine))


def rendered(source: Path, out: Path, length: int = 20, *, crf: int = 16, resume: bool = True) -> Result:
    """Render all of a clip of at least 60 frames."""
    clip = open_clip(source)
    count = len(clip)
    tracks = [track_of(0, 0, count), track_of(1, 10, 35), track_of(2, 40, count - 5)]
    settings = WriteSettings(crf=crf, preset="veryfast", segment=length, resume=resume)
    return render(clip, out, tracks, Echo(7, 3), settings)


def main(source: str, out: str, length: str, die: str) -> None:
    left, sync = int(die), os.fsync

    def fsync(handle: int) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        sync(handle)

    os.fsync = fsync
    print("begins", flush=True)
    rendered(Path(source), Path(out), int(length))


if __name__ == "__main__":
    main(*sys.argv[1:])
