"""A clip -> its plan: the first of two passes over the clip, or what an earlier one kept.

Cuts, faces and tracks depend on the clip's bytes, the span, the face models and the versions of what reads them, and on
nothing else a person can choose; so swap and cast share what is found, and a plan file holds it for other machines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from vidswap import __version__
from vidswap.cache import Cache, digest_of, key_of
from vidswap.clock import Clock
from vidswap.errors import InputError, OutputError
from vidswap.plan import Facts, Plan, open_plan, write_plan
from vidswap.read import clip as clips
from vidswap.read import faces, shots, tracks
from vidswap.read.faces import FaceReader, find_pack, watch
from vidswap.read.shots import Cuts, shots_of
from vidswap.read.tracks import find_tracks
from vidswap.relay import ahead
from vidswap.settings import ReadSettings
from vidswap.types import Array, Clip, Shot, Track
from vidswap.weights import registry

DETECT_EVERY = 8  # frames between detections while faces are followed
WAITING = 2  # pictures decoded and converted before the face reader asks for them
OURS = ("mesh", "features", "face")  # models that read faces beside any pack's own
PACK = ("detector", "recognizer")  # those of the pack that ships
Findings = tuple[list[Shot], list[Track]]


@contextmanager
def planned(clip: Clip, span: Shot, settings: ReadSettings, reader: FaceReader, clock: Clock) -> Iterator[Plan]:
    """The plan of a clip's span, open meanwhile: from the file that `settings` name (whose own span counts where they
    choose none), from their cache, or made now. Raises InputError, UsageError, OutputError, ModelError."""
    with ExitStack() as stack:
        if settings.plan:
            plan = stack.enter_context(open_plan(settings.plan))
            span = plan.span if settings.start is settings.end is None else span
        with clock.stage("digest"):
            facts = facts_of(clip, span, settings.face_pack)
        if settings.plan:
            plan.refuse_unless(facts)
            yield plan.within(span)
            return
        cache = Cache(settings.cache) if settings.cache else None
        found = _found(cache, facts, stack)
        yield found or _made(lambda: analyse(clip, span, reader, clock), clip.path.name, facts, cache, stack)


def facts_of(clip: Clip, span: Shot, face_pack: str) -> Facts:
    """All that the plan of a span depends on. Raises InputError, ModelError."""
    versions = {module.__name__.rpartition(".")[2]: module.VERSION for module in (clips, shots, faces, tracks)}
    return {
        "source": digest_of(*(clip.files or [clip.path])), "size": [clip.width, clip.height, len(clip)],
        "span": [span.start, span.stop], "models": models_of(face_pack), "settings": {"every": DETECT_EVERY},
        "versions": {"vidswap": __version__, **versions},
    }  # fmt: skip


def models_of(face_pack: str) -> dict[str, str]:
    """File -> sha256 of all models that read faces. Raises ModelError."""
    known = registry()
    ours = OURS + PACK if face_pack == "embedded" else OURS
    digests = {file.path: file.sha256 for name in ours for file in known[name].files}
    if face_pack != "embedded":
        digests |= {file.name: digest_of(file) for file in sorted(find_pack(face_pack).glob("*.onnx"))}
    return digests


def analyse(clip: Clip, span: Shot, reader: FaceReader, clock: Clock) -> Findings:
    """One pass over the frames of `span`: cuts, faces, and from them the tracks."""
    is_cut, cuts = Cuts(), list[bool]()

    def pictures() -> Iterator[tuple[int, Array, bool]]:
        for frame in clock.each("decode", clips.frames(clip, span.start, span.stop)):
            with clock.stage("decode"):
                rgb = frame.rgb
            with clock.stage("shots"):
                cuts.append(is_cut(rgb))
            yield frame.index, rgb, cuts[-1]

    with clock.stage("faces"), ahead(pictures(), WAITING) as line:
        found = list(watch(clock.told("analysis", clock.each(None, line), len(span)), reader, DETECT_EVERY))
    with clock.stage("tracks"):
        inside = shots_of(cuts, span.start)
        return inside, find_tracks(inside, found, span.start)


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


def _made(find: Callable[[], Findings], name: str, facts: Facts, cache: Cache | None, stack: ExitStack) -> Plan:
    """The plan of what is found now: it lies in the cache, or, without one or where that takes no file, in a folder
    that does not outlive the run."""
    inside, found = find()

    def write(path: Path) -> Path:
        write_plan(path, name, facts, inside, found)
        return path

    if cache:
        with suppress(OSError, InputError):  # full, not ours to write, or emptied meanwhile: nobody is stopped by that
            return stack.enter_context(open_plan(cache.keep(key_of(facts), write)))
    try:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="vidswap-")))
        return stack.enter_context(open_plan(write(folder / "clip.plan")))
    except OSError as error:
        raise OutputError(f"what was found in the clip cannot be kept ({error.strerror})", "free some space") from error
