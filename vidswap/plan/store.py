"""A clip's span -> its plan: the user's file, one that is kept, or one that is made now; and where they are kept.

Cuts, faces and tracks depend on the clip's bytes, the span, the face models and the code that reads them, and on
nothing else a person can choose; so swap and cast share what is found, and a plan file holds it for other machines.

A key is the digest of all that but the span, which is in the file's name beside it. Whatever changes asks for another
key, so nothing here can be stale; only what was used longest ago goes, so that the folder does not grow beyond a limit.
Entries get their name when they are whole and on the disk, so any number of processes may share the folder: the worst
that can happen is that two make the same entry, and the later one's equal bytes replace the earlier's.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from vidswap import __version__
from vidswap.errors import InputError, OutputError
from vidswap.files import keeping, whole
from vidswap.keys import code_of, digest_of, key_of, packages
from vidswap.models.packs import models_of
from vidswap.plan.file import Plan, drafted, open_plan
from vidswap.plan.header import Facts
from vidswap.plan.persons import TrackSummary, embeddings_of, persons_of
from vidswap.progress import Progress
from vidswap.settings import ReadSettings
from vidswap.types import Clip, Shot, Track

LIMIT = 2_000_000_000  # bytes: some six hours of footage with one face
ABANDONED = 86_400  # seconds after which a part that nobody finished is removed
ENDING, PART = ".plan", ".part"
TRIAL = ".trial"  # beside the entries: what was found out about the machine, a line each (swap/network.py)
DETECT_EVERY = 8  # frames between detections while faces are followed
CODE = ("face", "facts", "media", "plan", "read", "threads", "types")  # what decides a plan
# ... and what that stands on
PACKAGES = ("av", "numpy", "onnxruntime", "opencv-python", "opencv-python-headless", "scenedetect", "scipy")

# A shot, or several that dissolve into one another; its tracks, each with what tells whose it is; pairs (i, j) of those
# that show one person twice. The number of a track is its place among all.
Found = tuple[Sequence[Shot], Sequence[tuple[Track, TrackSummary]], Sequence[tuple[int, int]]]
Analysis = Generator[Found, None, None]  # shot by shot: its tracks can be read until the next one is asked for
Analyse = Callable[[Clip, Shot, Progress], Analysis]


@contextmanager
def find_plan(
    clip: Clip, span: Shot, settings: ReadSettings, analyse: Analyse, progress: Progress, *, facts: Facts | None = None
) -> Iterator[Plan]:  # fmt: skip
    """The plan of a clip's span, open meanwhile: from the file that `settings` name (whose own span counts where they
    choose none), from their cache, or what `analyse` finds now. `facts` are those of the clip, where they are
    known. Raises InputError, UsageError, OutputError, ModelError."""
    with ExitStack() as stack:
        if settings.plan:
            plan = stack.enter_context(open_plan(settings.plan))
            span = plan.span if settings.start is settings.end is None else span
        with progress.stage("digest"):
            facts = facts or facts_of(clip, settings.face_pack)
        if settings.plan:
            plan.refuse_unless(facts, span)
            yield replace(plan.within(span), persons=plan.persons)  # a share of it has the roles of the whole
            return
        cache = Cache(settings.cache) if settings.cache else None

        def make(path: Path) -> None:
            with closing(_readable(analyse(clip, span, progress), clip)) as found:
                draw_up(path, clip.path.name, facts, span, found)

        yield _kept(cache, facts, span, stack) or _made(make, facts, span, cache, stack)


def is_kept(facts: Facts, span: Shot, settings: ReadSettings) -> bool:
    """Whether the cache has a plan of a clip's facts that covers a span."""
    return settings.cache is not None and any(Cache(settings.cache).covering(key_of(facts), span))


def facts_of(clip: Clip, face_pack: str) -> Facts:
    """All that a plan of a clip depends on but its span. Raises InputError, ModelError."""
    versions = {"vidswap": __version__, "code": code_of(*CODE)[:12], **packages(*PACKAGES)}
    size = (clip.width, clip.height, len(clip))
    return Facts(source_of(clip), size, models_of(face_pack), {"every": DETECT_EVERY}, versions)


def source_of(clip: Clip) -> str:
    """The digest of a clip's bytes. Raises InputError."""
    return digest_of(*(clip.files or [clip.path]))


def draw_up(path: Path, name: str, facts: Facts, span: Shot, analysis: Iterable[Found]) -> None:
    """Write the plan of what is found, shot by shot: of its tracks no more than pieces are held. Raises OSError."""
    shots, summaries, doubles = list[Shot](), list[TrackSummary](), list[tuple[int, int]]()
    with drafted(path, name, facts, span) as draft:
        for shots_there, tracks, doubles_there in analysis:
            for track, summary in tracks:
                draft.add(track)
                summaries.append(summary)
            shots += shots_there
            doubles += doubles_there
        draft.finish(span, shots, persons_of(summaries, doubles), embeddings_of(summaries))


def _kept(cache: Cache | None, facts: Facts, span: Shot, stack: ExitStack) -> Plan | None:
    """What of the widest plan in the cache that covers the span lies in it, if one does and is whole: who is who has
    the same numbers in all parts of a clip, once it was gone through as a whole."""
    for path in cache.covering(key_of(facts), span) if cache else ():
        try:
            return stack.enter_context(open_plan(path)).within(span)
        except InputError:
            with suppress(OSError):
                path.unlink()
    return None


def _readable(analysis: Analysis, clip: Clip) -> Analysis:
    """What is found; what the system raises on the way is the clip's, not that of the file it is written to."""
    try:
        yield from analysis
    except OSError as error:
        hint = "check the drive that it lies on"
        raise InputError(f"{clip.path} cannot be read any further ({error.strerror or error})", hint) from error


def _made(make: Callable[[Path], None], facts: Facts, span: Shot, cache: Cache | None, stack: ExitStack) -> Plan:
    """The plan of what is found now, which `make` writes: it lies in the cache, or, without one or where that takes no
    file, in a folder that does not outlive the run."""
    with keeping():
        made = Path(stack.enter_context(TemporaryDirectory(prefix="vidswap-"))) / "clip.plan"
        make(made)
    if cache:
        with suppress(OSError, InputError):  # full, not ours to write, or emptied meanwhile: nobody is stopped by that
            plan = stack.enter_context(open_plan(cache.keep(key_of(facts), span, partial(shutil.copyfile, made))))
            made.unlink()
            return plan
    return stack.enter_context(open_plan(made))


# -- the folder -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Entry:
    """A kept result: its file, its size in bytes, and when it was last used (seconds since 1970)."""

    path: Path
    bytes: int
    used: float


@dataclass(frozen=True)
class Cache:
    """The entries in `folder`, which is made when first needed; together they take at most `limit` bytes, but the one
    made last always stays."""

    folder: Path
    limit: int = LIMIT

    def covering(self, key: str, span: Shot) -> Iterator[Path]:
        """The files of a key that cover a span, the widest first, each marked as used when it is asked for."""
        there = [(path, start, stop) for path in self.folder.glob(f"{key}-*{ENDING}") for start, stop in _span_in(path)]
        wide = [each for each in there if each[1] <= span.start and span.stop <= each[2]]
        for path, *_ in sorted(wide, key=lambda each: each[1] - each[2]):
            with suppress(OSError):  # gone by now, or another's folder: it can be read, its age not be told
                os.utime(path)
            yield path

    def keep(self, key: str, span: Shot, write: Callable[[Path], object]) -> Path:
        """Have `write` make the file of a key and a span under another name, and give it its own when it is whole. What
        was used longest ago makes room. Raises OSError where the folder takes no file, and whatever `write` raises."""
        self.folder.mkdir(parents=True, exist_ok=True)
        place = self.folder / f"{key}-{span.start}-{span.stop}{ENDING}"
        with whole(place) as part:
            write(part)
        self._make_room(place)
        return place

    def entries(self) -> list[Entry]:
        """All entries, the one used last first."""
        return sorted(_files(self.folder, ENDING), key=lambda entry: (-entry.used, entry.path))

    def clear(self) -> list[Entry]:
        """Remove all entries, what was left of unfinished ones, and trials of the machine: the entries that there were.
        Raises OutputError."""
        gone = self.entries()
        try:
            for entry in (*gone, *_files(self.folder, PART), *_files(self.folder, TRIAL)):
                entry.path.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"{self.folder} cannot be emptied ({error.strerror})", "check its permissions") from error
        return gone

    def _make_room(self, newest: Path) -> None:
        """Remove the entries used longest ago until the rest, `newest` among them, is within the limit. One that is
        being read stays readable: its name goes, its bytes only when it is closed."""
        abandoned = [part for part in _files(self.folder, PART) if part.used < time.time() - ABANDONED]
        total, old = 0, list[Entry]()
        for entry in sorted(self.entries(), key=lambda entry: entry.path != newest):  # stable: then the last used
            total += entry.bytes
            if total > self.limit and entry.path != newest:
                old.append(entry)
        for entry in (*old, *abandoned):
            with suppress(OSError):
                entry.path.unlink()


def _span_in(path: Path) -> Iterator[tuple[int, int]]:
    """The span in the name of an entry; nothing where that has none."""
    if found := re.fullmatch(r".*-([0-9]{1,12})-([0-9]{1,12})", path.stem):
        yield int(found[1]), int(found[2])


def _files(folder: Path, ending: str) -> list[Entry]:
    entries = []
    for path in folder.glob(f"*{ending}"):
        with suppress(FileNotFoundError):  # another process has just removed it
            facts = path.stat()
            entries.append(Entry(path, facts.st_size, facts.st_mtime))
    return entries
