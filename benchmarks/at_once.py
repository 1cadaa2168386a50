"""Several renders at once, against the same ones in turn: python benchmarks/at_once.py [--engine warp] [--frames 48]

The processor's seconds say what is lost to threads that spin or wait for one another, on a machine where others work
too; the wall clock says whether it is worth to start several at once. Both should be at most 1.2 times those in turn.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import psutil

from vidswap.processor import processor

SAMPLES = Path(__file__).parents[1] / "samples"


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--engine", default="embedded")
    words.add_argument("--frames", type=int, default=48)
    words.add_argument("--renders", type=int, default=4)
    chosen = words.parse_args()
    print(f"{chosen.renders} renders of {chosen.frames} frames with {chosen.engine} on {processor()}")
    with TemporaryDirectory() as name:
        commands = [
            [sys.executable, "-m", "vidswap", "swap", str(SAMPLES / "clip.mp4"), "--face", str(SAMPLES / "selfie.jpg"),
             "--consent", "self", "--engine", chosen.engine, "--end", f"{chosen.frames}f", "--no-cache", "--no-resume",
             "-o", str(Path(name) / f"{number}.mp4")]
            for number in range(chosen.renders)
        ]  # fmt: skip
        done(commands[0])  # so that files are in memory
        with measured("in turn") as turn:
            for command in commands:
                done(command)
        with measured("at once") as once:
            for running in [subprocess.Popen(command, stdout=subprocess.DEVNULL) for command in commands]:
                assert running.wait() == 0
    print(f"at once over in turn: wall clock {once[0] / turn[0]:.2f}, processor {once[1] / turn[1]:.2f}")


def done(command: list[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


@contextmanager
def measured(name: str) -> Iterator[list[float]]:
    """Seconds of the wall clock, and those that the processor worked for the processes ended meanwhile."""
    found: list[float] = []
    began, before = perf_counter(), psutil.Process().cpu_times()
    yield found
    after = psutil.Process().cpu_times()
    work = after.children_user + after.children_system - before.children_user - before.children_system
    found += [perf_counter() - began, work]
    print(f"{name}: {found[0]:.1f} s, the processor worked {found[1]:.1f} s")


if __name__ == "__main__":
    main()
