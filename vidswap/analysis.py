"""A clip -> its plan: the first of two passes over the clip, or what an earlier one kept.

Cuts, faces and tracks depend on the clip's bytes, the span, the face models and the code that reads them, and on
nothing else a person can choose; so swap and cast share what is found, and a plan file holds it for other machines.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from vidswap import __version__
from vidswap.errors import InputError
from vidswap.keys import code_of, digest_of, key_of, packages
from vidswap.models.registry import path_to, registry
from vidswap.plan.file import Facts, Plan, drafted, open_plan
from vidswap.plan.store import Cache
from vidswap.progress import Progress
from vidswap.read import clip as clips
from vidswap.read.dissolves import Dissolve, Dissolves, joined
from vidswap.read.doubles import doubles_in
from vidswap.read.faces import FaceReader, find_pack
from vidswap.read.follow import follow_faces
from vidswap.read.persons import TrackSummary, embeddings_of, persons_of
from vidswap.read.shots import CutDetector, shrunk
from vidswap.read.spool import Spool, keeping, spooled
from vidswap.read.tracks import tracks_in
from vidswap.settings import ReadSettings
from vidswap.threads import prefetch
from vidswap.types import Array, Clip, Face, Shot

DETECT_EVERY = 8  # frames between detections while faces are followed
WAITING = 2  # pictures decoded and converted before the face reader asks for them
OURS = ("mesh", "features", "face")  # models that read faces beside any pack's own
CODE = ("analysis", "face", "media", "plan", "read", "threads", "types")  # what decides a plan
# ... and what that stands on
PACKAGES = ("av", "numpy", "onnxruntime", "opencv-python", "opencv-python-headless", "scenedetect", "scipy")
PACK = ("detector", "recognizer")  # those of the pack that ships
Seen = tuple[Shot, Sequence[list[Face]], list[Dissolve]]  # a shot, the faces of its frames, what dissolves in it


@contextmanager
def find_plan(clip: Clip, span: Shot, settings: ReadSettings, reader: FaceReader, progress: Progress) -> Iterator[Plan]:
    """The plan of a clip's span, open meanwhile: from the file that `settings` name (whose own span counts where they
    choose none), from their cache, or made now. Raises InputError, UsageError, OutputError, ModelError."""
    with ExitStack() as stack:
        if settings.plan:
            plan = stack.enter_context(open_plan(settings.plan))
            span = plan.span if settings.start is settings.end is None else span
        with progress.stage("digest"):
            facts = facts_of(clip, span, settings.face_pack)
        if settings.plan:
            plan.refuse_unless(facts)
            yield plan.within(span)
            return
        cache = Cache(settings.cache) if settings.cache else None

        def make(path: Path) -> None:
            with closing(_readable(analyse(clip, span, reader, progress), clip)) as found:
                draw_up(path, clip.path.name, facts, found, progress)

        yield _found(cache, facts, stack) or _made(make, facts, cache, stack)


def facts_of(clip: Clip, span: Shot, face_pack: str) -> Facts:
    """All that the plan of a span depends on. Raises InputError, ModelError."""
    return {
        "source": digest_of(*(clip.files or [clip.path])), "size": [clip.width, clip.height, len(clip)],
        "span": [span.start, span.stop], "models": models_of(face_pack), "settings": {"every": DETECT_EVERY},
        "versions": {"vidswap": __version__, "code": code_of(*CODE)[:12], **packages(*PACKAGES)},
    }  # fmt: skip


def models_of(face_pack: str) -> dict[str, str]:
    """File -> sha256 of all models that read faces. Raises ModelError."""
    known = registry()
    ours = OURS + PACK if face_pack == "embedded" else OURS
    digests = {file.path: file.sha256 for name in ours for file in known[name].files}
    if face_pack != "embedded":
        digests |= {file.name: digest_of(file) for file in sorted(find_pack(face_pack).glob("*.onnx"))}
    return digests


def analyse(clip: Clip, span: Shot, reader: FaceReader, progress: Progress) -> Generator[Seen, None, None]:
    """One pass over the frames of `span`: each shot, when it ends, with the faces of its frames, which can be read
    until the next shot is asked for. Raises OutputError where they cannot be kept."""
    is_cut, cuts = CutDetector(), list[bool]()
    dissolves, over = Dissolves(), list[Dissolve]()

    def pictures() -> Iterator[tuple[int, Array, bool]]:
        for frame in progress.each("decode", clips.frames(clip, span.start, span.stop)):
            with progress.stage("decode"):
                rgb = frame.rgb
            with progress.stage("shots"):
                small = shrunk(rgb)
                cuts.append(is_cut(small))
                over.extend(filter(None, [dissolves(frame.index, small, cuts[-1])]))
            yield frame.index, rgb, cuts[-1]
        over.extend(filter(None, [dissolves.end()]))

    def ended(start: int, faces: Spool) -> Seen:
        shot = Shot(start, start + len(faces))
        return shot, faces, joined(each for each in over if shot.start < each.middle < shot.stop)

    start = span.start
    with spooled() as inside, prefetch(pictures(), WAITING) as line:
        watched = follow_faces(progress.told("analysis", progress.each(None, line), len(span)), reader, DETECT_EVERY)
        for index, found in enumerate(progress.each("faces", watched), span.start):
            if cuts[index - span.start] and inside:
                yield ended(start, inside)
                inside.clear()
                start = index
            inside.append(found)
        if inside:
            yield ended(start, inside)


def draw_up(path: Path, name: str, facts: Facts, found: Iterable[Seen], progress: Progress) -> None:
    """Write the plan of what is found, shot by shot: of its tracks no more than pieces are held. Raises OSError."""
    mean = np.asarray(np.load(path_to("face"))["mean"])
    shots, sketches, doubles = list[Shot](), list[TrackSummary](), list[tuple[int, int]]()
    with drafted(path) as draft:
        for shot, faces_there, dissolves in found:
            with progress.stage("tracks"):
                tracks = tracks_in(shot, faces_there, shot.start, len(sketches), dissolves)
                doubles += doubles_in(tracks, mean)
                for track, sketch in tracks:
                    draft.add(track)
                    sketches.append(sketch)
            edges = (shot.start, *(each.middle for each in dissolves), shot.stop)
            shots += [Shot(*pair) for pair in pairwise(edges)]
        draft.finish(name, facts, shots, persons_of(sketches, doubles), embeddings_of(sketches))


def _found(cache: Cache | None, facts: Facts, stack: ExitStack) -> Plan | None:
    """The plan that the cache has, if it has one and that is whole."""
    path = cache.find(key_of(facts)) if cache else None
    if cache is None or path is None:
        return None
    try:
        return stack.enter_context(open_plan(path))
    except InputError:
        cache.discard(key_of(facts))
        return None


def _readable(found: Generator[Seen, None, None], clip: Clip) -> Generator[Seen, None, None]:
    """What is found; what the system raises on the way is the clip's, not that of the file it is written to."""
    try:
        yield from found
    except OSError as error:
        hint = "check the drive that it lies on"
        raise InputError(f"{clip.path} cannot be read any further ({error.strerror or error})", hint) from error


def _made(make: Callable[[Path], None], facts: Facts, cache: Cache | None, stack: ExitStack) -> Plan:
    """The plan of what is found now, which `make` writes: it lies in the cache, or, without one or where that takes no
    file, in a folder that does not outlive the run."""
    with keeping():
        made = Path(stack.enter_context(TemporaryDirectory(prefix="vidswap-"))) / "clip.plan"
        make(made)
    if cache:
        with suppress(OSError, InputError):  # full, not ours to write, or emptied meanwhile: nobody is stopped by that
            plan = stack.enter_context(open_plan(cache.keep(key_of(facts), partial(shutil.copyfile, made))))
            made.unlink()
            return plan
    return stack.enter_context(open_plan(made))
