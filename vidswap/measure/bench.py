"""How fast a clip is swapped, and where time and memory go: each run in a process of its own, so that one's memory is
not another's, beside plain transcodes of the same frames with the same encoder settings."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Any

from vidswap.errors import ConsentError, EngineError, NoFaceError, UsageError, VidswapError
from vidswap.face.landmarks import mean_face
from vidswap.media.native import film_maker, planar, sized
from vidswap.pipeline import Result, plan_clip, span_of, swap_clip
from vidswap.processor import processor
from vidswap.progress import Report, Stage, peak
from vidswap.read.clip import frames, open_clip
from vidswap.read.faces import open_faces
from vidswap.settings import ReadSettings, Settings, WriteSettings
from vidswap.swap.engine import Advance, Needs
from vidswap.swap.network import tried
from vidswap.timepoint import TimePoint
from vidswap.trust.consent import BENCH, load_consent, permit
from vidswap.types import Consent, Crops, Identity, Swapped
from vidswap.write import film
from vidswap.write.cast import portrait
from vidswap.write.picture import write_picture

ROUNDS = 2  # plain transcode and render take turns; the best of each counts: others work on the machine too
SHORT = TimePoint(Fraction(2))  # seconds of the shorter of two runs whose memory is compared
# A face of the clip, put onto the face it is: it stays on this machine, and goes with the folder it was put in.
OWN = Consent("a face of the clip itself", (BENCH,), record="none: measured and deleted")
_SCALED = WriteSettings(crf=12, preset="veryfast")


class Through:
    """An engine that hands the crops back: what a render takes with it is what all but the swap takes."""

    key, exact = "as it was", True
    needs = Needs(512, "aligned", 16, 4)  # those of the engines that ship

    def swap(self, crops: Crops, identity: Identity, before: Swapped | None, progress: Advance) -> Swapped:
        """As it was."""
        return Swapped(crops, crops.rgb, crops.mask)


@dataclass(frozen=True)
class Run:
    """A measured run: `seconds` and the processor's, `peak` bytes; `stages` of a swap, empty for a transcode."""

    seconds: float
    processor: float
    peak: int
    frames: int
    duration: float
    stages: Mapping[str, Stage]


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
    steps = 2 + len(heights) * (1 + 2 * ROUNDS)
    done = 0

    def measured(task: Callable[..., Run], *words: object) -> Run:
        nonlocal done
        report("measuring", done, steps)
        run = _apart(task, *words)
        done += 1
        report("measuring", done, steps)
        return run

    with TemporaryDirectory(prefix="vidswap-") as name:
        folder, overheads = Path(name), []
        photo = face or still(clip, folder / "face.png", settings)
        whole = measured(swapped, clip, (photo, agreed), folder / "out.mp4", settings)
        start = settings.read.start
        end = TimePoint(SHORT.value + (start.value if start and not start.in_frames else 0))
        brief = settings.read.end if settings.read.end and not settings.read.end.is_after(end) else end
        short = measured(swapped, clip, (photo, agreed), folder / "out.mp4",
                         replace(settings, read=replace(settings.read, end=brief)))  # fmt: skip
        for height in heights:
            small, plan = folder / f"{height}.mp4", folder / f"{height}.plan"
            measured(prepared, clip, small, plan, height, settings)
            plain, render = [], []
            for _ in range(ROUNDS):
                plain.append(measured(transcoded, small, folder / "out.mp4", settings))
                render.append(measured(swapped, small, (photo, agreed), folder / "out.mp4", settings, plan))
            overheads.append(Overhead(height, _best(plain), _best(render)))
    return Bench(whole, short, overheads, agreed, str(processor()), numbers)


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


# -- what is measured, each in a process of its own -------------------------------------------------------------------


def swapped(clip: Path, who: tuple[Path, Consent], out: Path, settings: Settings, plan: Path | None = None) -> Run:
    """A swap of a photo with its consent, from the first look at the clip on; with a plan: all but the swap."""
    if plan is None:
        return _run(lambda: swap_clip(clip, *who, out, settings=settings, use=BENCH))
    choice = replace(settings, read=replace(settings.read, start=None, end=None, plan=plan))
    return _run(lambda: swap_clip(clip, *who, out, settings=choice, engine=Through(), use=BENCH))


def transcoded(clip: Path, out: Path, settings: Settings) -> Run:
    """Decoding and encoding, with nothing between."""

    def run() -> None:
        source, reformatter = open_clip(clip), film_maker()
        natives = ((frame.index, planar(frame.native, reformatter)) for frame in frames(source))
        film.transcode(source, natives, out, settings.write)

    return replace(_run(run), frames=len(open_clip(clip)))


def prepared(clip: Path, small: Path, plan: Path, height: int, settings: Settings) -> Run:
    """The span of the clip scaled so that its shorter side has `height` pixels, as the file `small`, and its plan."""
    source, reformatter = open_clip(clip, settings.read.rate), film_maker()
    span = span_of(source, settings.read)
    zoom = height / min(source.width, source.height)
    width, tall = (2 * round(side * zoom / 2) for side in (source.width, source.height))

    def natives() -> Iterator[tuple[int, Any]]:
        for frame in frames(source, span.start, span.stop):
            yield frame.index, sized(planar(frame.native, reformatter), width, tall, reformatter)

    film.encode(source, natives(), small, _SCALED, {})
    read = ReadSettings(person=settings.read.person, face_pack=settings.read.face_pack)
    return _run(lambda: plan_clip(small, plan, settings=Settings(read)))


def still(clip: Path, out: Path, settings: Settings) -> Path:
    """The first face of the clip as a photo `out`, for a run that needs some face. Raises NoFaceError."""
    reader, mean = open_faces(settings.read.face_pack), mean_face()
    for frame in frames(open_clip(clip, settings.read.rate)):
        rgb = frame.rgb
        if faces := reader.detect(rgb):
            write_picture(out, portrait(rgb, faces[0].mesh, mean, 512))
            return out
    raise NoFaceError("nobody's face was found in the clip", "name a photo")


def _run(task: Callable[[], Any]) -> Run:
    began, worked = perf_counter(), process_time()
    done = task()
    seconds, processor = perf_counter() - began, process_time() - worked
    if isinstance(done, Result):
        return Run(seconds, processor, peak(), done.frames, done.duration, dict(done.stages))
    return Run(seconds, processor, peak(), 0, 0.0, {})


def _best(runs: Sequence[Run]) -> Run:
    return min(runs, key=lambda run: run.seconds)


def _apart(task: Callable[..., Run], *words: object) -> Run:
    """Do it in a new process, which ends with this call."""
    context = get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(there, task, words), daemon=True)
    process.start()
    there.close()
    try:
        answer = here.recv()
    except EOFError as error:
        raise EngineError("a measured run ended without an answer", "perhaps memory ran out") from error
    finally:
        process.terminate()
        process.join()
    if isinstance(answer, VidswapError):
        raise answer
    assert isinstance(answer, Run)
    return answer


def _child(there: Any, task: Callable[..., Run], words: Sequence[object]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started this hears Ctrl-C, and ends it
    try:
        there.send(task(*words))
    except VidswapError as error:
        there.send(error)


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
