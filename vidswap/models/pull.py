"""Loads a model that is not shipped: from the hub, or from where its makers release it. The one module that asks the
network, and only when a person says `vidswap models pull`.

huggingface_hub says what a commit holds and carries the bytes; it drops what it has of a file when it is stopped, so
the file that they go to is ours: `.part` in the model's folder, by the file's own digest, and a later pull goes on from
its end. A file gets its name once its digest is the one that the hub tells; the model is there once all have theirs.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from zipfile import ZipFile

from filelock import FileLock, Timeout

from vidswap.errors import ModelError, OutputError, line_of
from vidswap.files import FULL, as_output_error, noted_as, publish
from vidswap.keys import digest_of, git_blob
from vidswap.models import hub
from vidswap.models.hub import Entry, Held, Lock, held_of, how_to_get, lock_of, place_of, seal, size_of
from vidswap.models.listing import Wanted, wanted_of
from vidswap.models.sound import check_sound
from vidswap.models.unpickle import unpickle
from vidswap.progress import Report, quiet
from vidswap.records import Damaged, unzipping

MEGA = 1_000_000  # bytes of what a bar counts in
SPARE = 200 * MEGA  # bytes that a disk keeps
GOES_ON = "what was loaded is kept, and the same command goes on from there"


class _Told:
    """What huggingface_hub takes for a bar of tqdm: it counts on from what is there, and tells a report."""

    def __init__(self, name: str, total: int, report: Report) -> None:
        self._name, self._total, self._report, self._done = name, max(1, total // MEGA), report, 0.0

    def __call__(self, **_words: object) -> _Told:
        return self

    def __enter__(self) -> _Told:
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    def update(self, count: float | None = 1) -> None:
        """So many bytes more."""
        self._done += (count or 0) / MEGA
        self._report(f"{self._name}, MB", min(int(self._done), self._total), self._total)


def pull(name: str, *, offline: bool = False, report: Report = quiet) -> Path:
    """Load a model, or what is missing of it; where it lies then. Raises ModelError in one line for all that can go
    wrong with a network and what comes out of it, OutputError for a disk; what was loaded is kept."""
    found, lock = hub.entry(name), None
    with suppress(ModelError):
        return place_of(name)  # here, or where another program keeps it
    with suppress(ModelError):
        lock = lock_of(name)  # it is damaged, then
    if not (found.repo or found.urls):
        raise ModelError(f"the model '{name}' cannot be pulled", how_to_get(found))
    if offline or _is_offline():
        raise ModelError(f"the model '{name}' is not here, and no network may be asked",
                         f"pull it where one may, and copy the folder from there to {hub.home() / name}")  # fmt: skip
    folder = hub.home() / name
    with as_output_error(folder):
        (folder / ".part").mkdir(parents=True, exist_ok=True)
    with _alone(found, folder):
        with _translated(found):
            commit, wanted = wanted_of(found, lock.commit if lock else "")
        missing = [each for each in wanted if not _is_there(each, folder, lock)]
        _check_space(found, folder, missing)
        told = _Told(name, sum(each.bytes for each in missing) or found.bytes, report)
        with noted_as(GOES_ON), _translated(found):
            parts = [(each, _loaded(found, each, folder, told)) for each in missing]
            held = dict(lock.files) if lock else {}
            for each, part in parts:
                held |= _placed(found, each, part, folder)
        seal(name, commit, held)
        shutil.rmtree(folder / ".part", ignore_errors=True)
    return place_of(name)


def _is_offline() -> bool:
    from huggingface_hub import is_offline_mode

    return is_offline_mode()


def _is_there(wanted: Wanted, folder: Path, lock: Lock | None) -> bool:
    """Whether an earlier pull has finished a file, and it is what it should be."""
    path = folder / wanted.becomes
    if not path.is_file():
        return False
    if known := lock and lock.files.get(wanted.becomes):
        return digest_of(path) == known.sha256
    return wanted.becomes == wanted.path and _is_right(path, wanted)


def _is_right(path: Path, wanted: Wanted) -> bool:
    if wanted.bytes and path.stat().st_size != wanted.bytes:
        return False
    if wanted.sha256:
        return digest_of(path) == wanted.sha256
    return not wanted.blob or git_blob(path) == wanted.blob


def _check_space(found: Entry, folder: Path, missing: Sequence[Wanted]) -> None:
    """Raise OutputError where a disk cannot hold what is to come; what is unpacked or written anew lies there twice."""
    begun = sum(part.stat().st_size for part in (folder / ".part").iterdir())
    twice = sum(each.bytes for each in missing if each.is_pickle or each.path.endswith(".zip"))
    needed = sum(each.bytes for each in missing) + twice - begun + SPARE
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise OutputError(f"{folder} has room for {size_of(free)}, and '{found.name}' needs {size_of(needed)}",
                          "free some space, or let XDG_DATA_HOME name another disk")  # fmt: skip


# -- loading ----------------------------------------------------------------------------------------------------------


def _loaded(found: Entry, wanted: Wanted, folder: Path, told: _Told) -> Path:
    """One file, all of it, from where an earlier pull stopped; its bytes are the ones that they should be."""
    part = folder / ".part" / (wanted.sha256 or wanted.blob or PurePosixPath(wanted.path).name)
    _carry(wanted, part, told)
    if not _is_right(part, wanted):
        part.unlink()
        raise ModelError(f"{wanted.path} of '{found.name}' is not what {_who(found)} says that it is",
                         "it was deleted: pull it again; if that does not help, tell its makers")  # fmt: skip
    return part


def _placed(found: Entry, wanted: Wanted, part: Path, folder: Path) -> dict[str, Held]:
    """What a loaded file becomes in the model's folder, by path."""
    if wanted.path.endswith(".zip"):
        return _unpacked(found, part, folder)
    if wanted.is_pickle:
        unpickle(part, wanted.path)
        return _named(wanted.becomes, part, folder)
    return _named(wanted.path, part, folder, wanted.sha256)


def _carry(wanted: Wanted, part: Path, told: _Told) -> None:
    """Load a file, or the rest of it."""
    from huggingface_hub.file_download import http_get

    with part.open("ab") as file:
        begun = file.tell()
        if begun > wanted.bytes:  # or nobody says how many there are
            begun = file.truncate(0)
        told.update(begun)
        if not wanted.bytes or begun < wanted.bytes:
            http_get(wanted.url, file, resume_size=begun, headers=dict(wanted.headers),
                     expected_size=wanted.bytes or None, tqdm_class=told)  # type: ignore[arg-type]  # fmt: skip


def _named(name: str, part: Path, folder: Path, sha256: str = "") -> dict[str, Held]:
    """A file that was loaded, and found to hash to `sha256` if that is told, under its name, if it is what that says;
    else it is deleted."""
    try:
        check_sound(part, name)
    except ModelError:
        part.unlink()
        raise
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    publish(part, path)
    return {name: held_of(path, sha256)}


def _unpacked(found: Entry, archive: Path, folder: Path) -> dict[str, Held]:
    """The .onnx files of an archive, whatever folder they are in there. One that is damaged is deleted."""
    held = dict[str, Held]()
    try:
        with unzipping(), ZipFile(archive) as packed:
            rows = [row for row in packed.infolist() if row.filename.endswith(".onnx")]
            if not rows:
                raise Damaged("no model is in it")
            if sum(row.file_size for row in rows) > 4 * found.bytes:
                raise Damaged("it would be many times as large as it should")
            for row in rows:
                part = folder / ".part" / PurePosixPath(row.filename).name
                with packed.open(row) as inner, part.open("wb") as file:
                    shutil.copyfileobj(inner, file, 1 << 20)
                held |= _named(part.name, part, folder)
    except Damaged as error:
        archive.unlink()
        raise ModelError(
            f"{archive.name} of '{found.name}' is no archive of models: {error}", "pull it again"
        ) from error
    except ModelError:
        archive.unlink()
        raise
    return held


def _who(found: Entry) -> str:
    return found.repo or "the list of models"


# -- what can go wrong ------------------------------------------------------------------------------------------------


@contextmanager
def _alone(found: Entry, folder: Path) -> Iterator[None]:
    """Nobody else loads the same meanwhile. Raises ModelError where somebody does."""
    try:
        with FileLock(folder / ".part.lock", timeout=0):
            yield
    except Timeout as error:
        raise ModelError(f"another process is pulling '{found.name}'", "wait for it") from error


@contextmanager
def _translated(found: Entry) -> Iterator[None]:
    """What the hub's library raises, as one line of what to do."""
    from huggingface_hub import errors

    page = f"https://huggingface.co/{found.repo}" if found.repo else found.urls[0] if found.urls else ""
    try:
        yield
    except errors.GatedRepoError as error:
        raise ModelError(f"'{found.name}' is given only to who accepts its licence ({found.licence})",
                         f"accept it at {page}, and set HF_TOKEN to a token of yours") from error  # fmt: skip
    except errors.RepositoryNotFoundError as error:
        raise ModelError(f"'{found.name}' is not at {page} (any more), or not for everybody",
                         "for those who may have it: set HF_TOKEN to a token of yours") from error  # fmt: skip
    except (errors.EntryNotFoundError, errors.RevisionNotFoundError) as error:
        raise ModelError(
            f"{page} lacks a file of '{found.name}', or its commit", "see there what became of it"
        ) from error
    except errors.OfflineModeIsEnabled as error:
        raise ModelError(
            f"'{found.name}' is not here, and HF_HUB_OFFLINE says to ask no network", "unset it"
        ) from error
    except errors.HTTPError as error:  # type: ignore[attr-defined]
        raise ModelError(f"'{found.name}' cannot be loaded from {page}: {_line(error)}", "try again later") from error
    except OSError as error:
        if error.errno in FULL:
            raise OutputError(f"the disk of {hub.home()} is full", "free some space") from error
        raise ModelError(f"'{found.name}' cannot be loaded: {_line(error)}", "try again") from error


def _line(error: Exception) -> str:
    """What went wrong, in one line, without what gives access to a file for a while."""
    return re.sub(r"\?[^\s'\"]*", "", line_of(error))
