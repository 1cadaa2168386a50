"""All that a person can choose: frozen, one section a stage, checked when made."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from vidswap.errors import UsageError
from vidswap.moment import ALLOWED, Moment

CODECS = ("h264", "hevc", "av1", "vp9", "prores", "ffv1")
PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo")

_NUMBERS = re.compile("[0-9]{1,9}( *, *[0-9]{1,9})*")


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise UsageError(f"{name} is {value}; allowed is {low} to {high}")


@dataclass(frozen=True)
class ReadSettings:
    """`start`: the first picture is at or after it; `end`: so is the first left out; `person`: "largest", "all", or
    numbers from `vidswap cast` ("0", "0,2"); `face_pack`: "embedded", an insightface pack's name, or a folder with its
    .onnx files. `plan`: a file made by `vidswap plan`, in place of looking for faces; `cache`: a folder where what was
    found is kept for the next time; None: nowhere. `rate`: pictures a second of a folder of pictures."""

    start: Moment | None = None
    end: Moment | None = None
    person: str = "largest"
    face_pack: str = "embedded"
    plan: Path | None = None
    cache: Path | None = None
    rate: Fraction = Fraction(25)

    def __post_init__(self) -> None:
        start = self.start or Moment(Fraction(0), self.end is not None and self.end.in_frames)
        if self.end is not None and self.end.is_after(start) is False:
            raise UsageError(f"--end is {self.end}; it must come after --start ({start})", ALLOWED)
        _within("--rate", float(self.rate), 0.01, 1000)
        if self.person not in ("largest", "all") and not _NUMBERS.fullmatch(self.person):
            raise UsageError(f"--person is '{self.person}'",
                             "use largest, all, or numbers shown by `vidswap cast`, such as 0 or 0,2")  # fmt: skip


@dataclass(frozen=True)
class SwapSettings:
    """`steps` of the sampler (None: the engine's own best), `smooth` 0 (each frame alone) to 1 (steadiest)."""

    engine: str = "embedded"
    steps: int | None = None
    seed: int = 0
    smooth: float = 0.5

    def __post_init__(self) -> None:
        if self.steps is not None:
            _within("--steps", self.steps, 1, 100)
        _within("--seed", self.seed, 0, 2**32 - 1)
        _within("--smooth", self.smooth, 0.0, 1.0)


@dataclass(frozen=True)
class WriteSettings:
    """`codec`: h264, hevc ..., None for the container's own. `crf` is on the codec's own scale, 0 the best; `preset` is
    how much time it takes to make the file small; None is its default. `lossless`: no bit of the pictures is lost.
    `sheet` is where a before/after picture goes, None for none. `resume`: go on from where an earlier render of the
    same stopped. `segment`: frames that are finished at once."""

    codec: str | None = None
    crf: int | None = None
    preset: str | None = None
    lossless: bool = False
    sheet: Path | None = None
    resume: bool = True
    segment: int = 240  # one key picture of x264's own: shorter ones cost bytes

    def __post_init__(self) -> None:
        if self.codec is not None and self.codec not in CODECS:
            raise UsageError(f"--codec is '{self.codec}'", f"use one of: {', '.join(CODECS)}")
        if self.preset is not None and self.preset not in PRESETS:
            raise UsageError(f"--preset is '{self.preset}'", f"use one of: {', '.join(PRESETS)}")
        if self.crf is not None:
            _within("--crf", self.crf, 0, 63)
        if self.crf is not None and self.lossless:
            raise UsageError("--crf and --lossless exclude each other", "choose one")
        _within("a segment's length", self.segment, 1, 100_000)


@dataclass(frozen=True)
class Settings:
    read: ReadSettings = field(default_factory=ReadSettings)
    swap: SwapSettings = field(default_factory=SwapSettings)
    write: WriteSettings = field(default_factory=WriteSettings)
