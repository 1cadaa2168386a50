"""Runs that are measured, each in a process of its own, so that one's memory is not another's."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from vidswap.casting import Role
from vidswap.errors import EngineError, NoFaceError, VidswapError
from vidswap.face.landmarks import mean_face
from vidswap.media.native import film_maker, planar, sized
from vidswap.pipeline import Result, plan_clip, swap_clip
from vidswap.progress import Stage, peak
from vidswap.read.clip import frames, open_clip, span_of
from vidswap.read.faces import open_faces
from vidswap.settings import ReadSettings, Settings, WriteSettings
from vidswap.swap.engine import Advance, Needs
from vidswap.trust.consent import BENCH
from vidswap.types import Consent, Crops, Identity, Swapped
from vidswap.write import film
from vidswap.write.sheets import portrait, write_picture

_SCALED = WriteSettings(crf=12, preset="veryfast")


class Through:
    """An engine that hands the crops back: what a render takes with it is what all but the swap takes."""

    key, exact = "as it was", True
    needs = Needs(512, "aligned", 16, 4, margin=128)  # those of the engines that ship

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


def apart(task: Callable[..., Run], *words: object) -> Run:
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


# -- what is measured -------------------------------------------------------------------------------------------------


def swapped(clip: Path, who: tuple[Path, Consent], out: Path, settings: Settings, plan: Path | None = None) -> Run:
    """A swap of a photo with its consent, from the first look at the clip on; with a plan: all but the swap."""
    if plan is None:
        return _run(lambda: swap_clip(clip, Role(*who), out, settings, use=BENCH))
    choice = replace(settings, read=replace(settings.read, start=None, end=None, plan=plan))
    return _run(lambda: swap_clip(clip, Role(*who), out, choice, load=lambda *_: nullcontext(Through()), use=BENCH))


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
    span = span_of(source, settings.read.start, settings.read.end)
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
