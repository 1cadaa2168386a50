"""How fast a clip is swapped, and where time and memory go, beside plain transcodes of the same frames with the same
encoder settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import count
from operator import attrgetter
from pathlib import Path
from tempfile import TemporaryDirectory

from vidswap.errors import ConsentError, UsageError
from vidswap.measure.runs import Run, apart, prepared, still, swapped, transcoded
from vidswap.processor import processor
from vidswap.progress import Report
from vidswap.settings import Settings
from vidswap.swap.network import tried
from vidswap.timepoint import TimePoint
from vidswap.trust.consent import BENCH, load_consent, permit
from vidswap.types import Consent

ROUNDS = 2  # plain transcode and render take turns; the best of each counts: others work on the machine too
SHORT = TimePoint(Fraction(2))  # seconds of the shorter of two runs whose memory is compared
# A face of the clip, put onto the face it is: it stays on this machine, and goes with the folder it was put in.
OWN = Consent("a face of the clip itself", (BENCH,), record="none: measured and deleted")


@dataclass(frozen=True)
class Overhead:
    """The same clip at a height, plain and rendered with its plan made and an engine that does nothing."""

    height: int
    plain: Run
    render: Run

    @property
    def ratio(self) -> float:
        """How many times as long the render takes."""
        return self.render.seconds / self.plain.seconds

    @property
    def work(self) -> float:
        """How many times as much it works, whatever overlaps."""
        return self.render.processor / self.plain.processor


@dataclass(frozen=True)
class Bench:
    """A swap of the whole clip, one of its first seconds, and the overhead by height; with whose consent. On which
    processor, and in which `numbers` the engine `embedded` computes there, decides over all of it."""

    whole: Run
    short: Run
    overheads: Sequence[Overhead]
    consent: Consent = OWN
    processor: str = ""
    numbers: str = ""

    def figures(self) -> dict[str, object]:
        """Everything, ready for JSON: seconds, bytes, ratios."""
        run = self.whole
        return {
            "processor": self.processor, "numbers": self.numbers,
            "face": self.consent.subject, "consent": self.consent.record,
            "frames": run.frames, "seconds": round(run.seconds, 3), "fps": round(run.frames / run.seconds, 3),
            "realtime_factor": round(run.duration / run.seconds, 4), "peak_bytes": run.peak,
            "stages": {name: {"seconds": round(stage.seconds, 3), "bytes": stage.memory}
                       for name, stage in run.stages.items()},
            "memory": [{"frames": each.frames, "peak_bytes": each.peak} for each in (self.short, self.whole)],
            "overhead": [
                {"height": each.height, "frames": each.render.frames, "ratio": round(each.ratio, 3),
                 "processor_ratio": round(each.work, 3), "plain_seconds": round(each.plain.seconds, 3),
                 "seconds": round(each.render.seconds, 3), "peak_bytes": each.render.peak,
                 "stages": {name: round(stage.seconds, 3) for name, stage in each.render.stages.items()}}
                for each in self.overheads
            ],
        }  # fmt: skip


def bench(
    clip: Path, face: Path | None, consent: str | None, *, settings: Settings, heights: Sequence[int], report: Report
) -> Bench:
    """Measure; `face` is a photo of someone whose `consent` ("self", or the path of a record) covers it, None: a face
    of the clip itself. Raises the errors of errors.py."""
    agreed = agreed_to(face, consent)
    numbers = str(tried(settings.read.cache)) if settings.swap.engine == "embedded" else ""
    settings = replace(settings, read=replace(settings.read, cache=None, plan=None))
    steps = count(1)
    total = 2 + len(heights) * (1 + 2 * ROUNDS)
    report("measuring", 0, total)

    def measured(task: Callable[..., Run], *words: object) -> Run:
        run = apart(task, *words)
        report("measuring", next(steps), total)
        return run

    with TemporaryDirectory(prefix="vidswap-") as name:
        folder = Path(name)
        who = face or still(clip, folder / "face.png", settings), agreed
        whole = measured(swapped, clip, who, folder / "out.mp4", settings)
        short = measured(swapped, clip, who, folder / "out.mp4", shortened(settings))
        overheads = [overhead(measured, (clip, who, settings), folder, height) for height in heights]
    return Bench(whole, short, overheads, agreed, str(processor()), numbers)


def shortened(settings: Settings) -> Settings:
    """The same for a clip's first seconds."""
    start, end = settings.read.start, settings.read.end
    brief = TimePoint(SHORT.value + (start.value if start and not start.in_frames else 0))
    return replace(settings, read=replace(settings.read, end=end if end and not end.is_after(brief) else brief))


def overhead(
    measured: Callable[..., Run], given: tuple[Path, tuple[Path, Consent], Settings], folder: Path, height: int
) -> Overhead:
    """The best of a few plain transcodes and renders of a clip with so many lines, in turn."""
    clip, who, settings = given
    small, plan, out = folder / f"{height}.mp4", folder / f"{height}.plan", folder / "out.mp4"
    measured(prepared, clip, small, plan, height, settings)
    turns = [(measured(transcoded, small, out, settings), measured(swapped, small, who, out, settings, plan))
             for _ in range(ROUNDS)]  # fmt: skip
    return Overhead(height, *(min(runs, key=attrgetter("seconds")) for runs in zip(*turns)))


def agreed_to(face: Path | None, consent: str | None) -> Consent:
    """The consent under which a bench runs. Raises ConsentError, UsageError."""
    if face is None:
        if consent is not None:
            raise UsageError("consent is named, but no face", "name the photo too, or neither: a face of the clip then")
        return OWN
    if consent is None:
        raise ConsentError(f"nobody's consent to use {face.name} was named",
                           "consent is the word self, or the path of a consent record")  # fmt: skip
    agreed = load_consent(consent)
    permit(agreed, BENCH)
    return agreed


def table(bench: Bench) -> str:
    """The same for people: a line a stage, then the sums; a line a height."""
    run = bench.whole
    lines = [f"{'stage':<12}{'busy s':>9}{'ms/frame':>10}{'share':>8}{'memory':>10}"]
    busy = sum(stage.seconds for stage in run.stages.values())
    for name, stage in run.stages.items():
        lines.append(f"{name:<12}{stage.seconds:>9.2f}{1000 * stage.seconds / run.frames:>10.1f}"
                     f"{stage.seconds / busy:>8.0%}{stage.memory / 1e6:>7.0f} MB")  # fmt: skip
    lines += [
        f"{run.frames} frames in {run.seconds:.2f} s: {run.frames / run.seconds:.2f} fps, "
        f"{run.duration / run.seconds:.3f} of real time; the stages overlap by {max(0.0, busy - run.seconds):.1f} s",
        "on " + ", ".join(each for each in (bench.processor, bench.numbers) if each),
        f"face: {bench.consent.subject}; consent: {bench.consent.record}",
        f"at most {run.peak / 1e6:.0f} MB, {bench.short.peak / 1e6:.0f} MB for its first {bench.short.frames} frames",
    ]
    if bench.overheads:
        head = f"{'all but the swap, with a plan':<32}{'plain':>9}{'render':>9}{'times':>8}{'work':>8}{'memory':>10}"
        lines += ["", head]
    for each in bench.overheads:
        lines.append(f"{each.height:>6} lines, {each.render.frames} frames".ljust(32)
                     + f"{each.plain.seconds:>7.2f} s{each.render.seconds:>7.2f} s{each.ratio:>8.2f}{each.work:>8.2f}"
                     + f"{each.render.peak / 1e6:>7.0f} MB")  # fmt: skip
    return "\n".join(lines)
