"""A clip's span -> its plan: the user's file, one that is kept, or one that is made now; and where they are kept.

Cuts, faces and tracks depend on the clip's bytes, the span, the face models and the code that reads them, and on
nothing else a person can choose; so swap and cast share what is found, and a plan file holds it for other machines.

A key is the digest of all that. Whatever changes asks for another key, so nothing here can be stale; only what was
used longest ago goes, so that the folder does not grow beyond a limit. Entries get their name when they are whole and
on the disk, so any number of processes may share the folder: the worst that can happen is that two make the same entry,
and the later one's equal bytes replace the earlier's.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from vidswap import __version__
from vidswap.errors import InputError, OutputError
from vidswap.files import keeping, whole
from vidswap.keys import code_of, digest_of, key_of, packages
from vidswap.models.packs import models_of
from vidswap.plan.file import Facts, Plan, drafted, open_plan
from vidswap.plan.persons import TrackSummary, embeddings_of, persons_of
from vidswap.progress import Progress
from vidswap.settings import ReadSettings
from vidswap.types import Clip, Parted, Shot

LIMIT = 2_000_000_000  # bytes: some six hours of footage with one face
ABANDONED = 86_400  # seconds after which a part that nobody finished is removed
ENDING, PART = ".plan", ".part"
TRIAL = ".trial"  # beside the entries: what was found out about the machine, a line each (swap/network.py)
DETECT_EVERY = 8  # frames between detections while faces are followed
CODE = ("analysis", "face", "facts", "media", "plan", "read", "threads", "types")  # what decides a plan
# ... and what that stands on
PACKAGES = ("av", "numpy", "onnxruntime", "opencv-python", "opencv-python-headless", "scenedetect", "scipy")

# A shot, or several that dissolve into one another; its tracks, each with what tells whose it is; pairs (i, j) of those
# that show one person twice. The number of a track is its place among all.
Found = tuple[Sequence[Shot], Sequence[tuple[Parted, TrackSummary]], Sequence[tuple[int, int]]]
Analysis = Generator[Found, None, None]  # shot by shot: its tracks can be read until the next one is asked for
Analyse = Callable[[Clip, Shot, Progress], Analysis]


@contextmanager
def find_plan(
    clip: Clip, span: Shot, settings: ReadSettings, analyse: Analyse, progress: Progress
) -> Iterator[Plan]:
    """The plan of a clip's span, open meanwhile: from the file that `settings` name (whose own span counts where they
    choose none), from their cache, or what `analyse` finds now. Raises InputError, UsageError, OutputError, ModelError.
    """
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
            with closing(_readable(analyse(clip, span, progress), clip)) as found:
                draw_up(path, clip.path.name, facts, found)

        yield _kept(cache, facts, stack) or _made(make, facts, cache, stack)


def facts_of(clip: Clip, span: Shot, face_pack: str) -> Facts:
    """All that the plan of a span depends on. Raises InputError, ModelError."""
    return {
        "source": digest_of(*(clip.files or [clip.path])), "size": [clip.width, clip.height, len(clip)],
        "span": [span.start, span.stop], "models": models_of(face_pack), "settings": {"every": DETECT_EVERY},
        "versions": {"vidswap": __version__, "code": code_of(*CODE)[:12], **packages(*PACKAGES)},
    }  # fmt: skip


def draw_up(path: Path, name: str, facts: Facts, analysis: Iterable[Found]) -> None:
    """Write the plan of what is found, shot by shot: of its tracks no more than pieces are held. Raises OSError."""
    shots, summaries, doubles = list[Shot](), list[TrackSummary](), list[tuple[int, int]]()
    with drafted(path) as draft:
        for shots_there, tracks, doubles_there in analysis:
            for track, summary in tracks:
                draft.add(track)
                summaries.append(summary)
            shots += shots_there
            doubles += doubles_there
        draft.finish(name, facts, shots, persons_of(summaries, doubles), embeddings_of(summaries))


def _kept(cache: Cache | None, facts: Facts, stack: ExitStack) -> Plan | None:
    """The plan that the cache has, if it has one and that is whole."""
    path = cache.find(key_of(facts)) if cache else None
    if cache is None or path is None:
        return None
    try:
        return stack.enter_context(open_plan(path))
    except InputError:
        cache.discard(key_of(facts))
        return None


def _readable(analysis: Analysis, clip: Clip) -> Analysis:
    """What is found; what the system raises on the way is the clip's, not that of the file it is written to."""
    try:
        yield from analysis
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

    def find(self, key: str) -> Path | None:
        """The file of a key, marked as used now; None where there is none."""
        path = self._place(key)
        try:
            os.utime(path)
        except FileNotFoundError:
            return None
        except OSError:  # another's folder: it can be read, its age not be told
            return path if os.access(path, os.R_OK) else None
        return path

    def keep(self, key: str, write: Callable[[Path], object]) -> Path:
        """Have `write` make the file of a key under another name, and give it its own when it is whole. What was used
        longest ago makes room. Raises OSError where the folder takes no file, and whatever `write` raises."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with whole(self._place(key)) as part:
            write(part)
        self._make_room(self._place(key))
        return self._place(key)

    def discard(self, key: str) -> None:
        """Forget an entry that turned out to be damaged."""
        with suppress(OSError):
            self._place(key).unlink()

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

    def _place(self, key: str) -> Path:
        return self.folder / (key + ENDING)

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


def _files(folder: Path, ending: str) -> list[Entry]:
    entries = []
    for path in folder.glob(f"*{ending}"):
        with suppress(FileNotFoundError):  # another process has just removed it
            facts = path.stat()
            entries.append(Entry(path, facts.st_size, facts.st_mtime))
    return entries
