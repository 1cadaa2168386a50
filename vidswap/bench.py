"""Where the time and the memory of a run went, as figures and as a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vidswap.clock import Stage, peak


@dataclass(frozen=True)
class Bench:
    """A measured swap: its stages, seconds of a plain transcode of the same frames, their number and duration."""

    stages: Mapping[str, Stage]
    plain: float
    frames: int
    duration: float

    @property
    def seconds(self) -> float:
        return sum(stage.seconds for stage in self.stages.values())

    @property
    def engine(self) -> float:
        """Seconds inside the engine."""
        return self.stages["engine"].seconds

    def figures(self) -> dict[str, object]:
        """Everything, ready for JSON: seconds, bytes, ratios."""
        rest = self.seconds - self.engine
        return {
            "frames": self.frames,
            "fps": round(self.frames / self.seconds, 3),
            "realtime_factor": round(self.duration / self.seconds, 4),
            "seconds": round(self.seconds, 3),
            "outside_engine_share": round(rest / self.seconds, 4),
            "plain_transcode_seconds": round(self.plain, 3),
            "outside_engine_over_plain": round(rest / self.plain, 3),
            "peak_bytes": peak(),
            "stages": {name: {"seconds": round(stage.seconds, 3), "bytes": stage.memory}
                       for name, stage in self.stages.items()},
        }  # fmt: skip


def table(bench: Bench) -> str:
    """The same for people: a line a stage, then the sums."""
    total, rest = bench.seconds, bench.seconds - bench.engine
    lines = [f"{'stage':<12}{'seconds':>9}{'ms/frame':>10}{'share':>8}{'memory':>10}"]
    for name, stage in bench.stages.items():
        each = 1000 * stage.seconds / bench.frames
        lines.append(f"{name:<12}{stage.seconds:>9.2f}{each:>10.1f}{stage.seconds / total:>8.0%}"
                     f"{stage.memory / 1e6:>7.0f} MB")  # fmt: skip
    lines += [
        f"{bench.frames} frames in {total:.2f} s: {bench.frames / total:.2f} fps, "
        f"{bench.duration / total:.3f} of real time, at most {peak() / 1e6:.0f} MB",
        f"outside the engine {rest:.2f} s ({rest / total:.0%}), {rest / bench.plain:.1f} times "
        f"a plain transcode ({bench.plain:.2f} s)",
    ]
    return "\n".join(lines)
