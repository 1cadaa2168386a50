"""Models that are not shipped but pulled: name -> Entry (`models/hub.toml` is the list), and where its files lie.

They lie in the user's data folder, a plain folder each, not in a cache: hours of loading are nothing to be tidied away,
and a folder without links can be looked at, copied to a machine without a network, and named as an engine's weights.
`vidswap.json` in it says what there should be, and is written last: without it a model is not there. A file is hashed
once; while its size and time stay the same it is what it was. Nothing here asks the network: models/pull.py does.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path, PurePosixPath
from types import MappingProxyType

import platformdirs

from vidswap.errors import ModelError
from vidswap.files import as_output_error, write_whole
from vidswap.keys import digest_of, key_of
from vidswap.models import ROOT
from vidswap.models.sound import check_sound
from vidswap.records import Damaged, from_json, from_toml

LOCK = "vidswap.json"
DEEP = 4  # folders in one another, of which a model is made; links may go round
WEIGHTS = (".safetensors", ".onnx")  # files that hold numbers alone


@dataclass(frozen=True)
class _Row:
    """An entry as the list has it; the head of hub.toml says what each is."""

    purpose: str
    licence: str
    commercial: bool
    bytes: int
    memory: float
    repo: str = ""
    revision: str = ""
    gated: bool = False
    urls: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    pickles: tuple[str, ...] = ()
    path: str = ""
    elsewhere: str = ""
    sha256: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry(_Row):
    name: str = ""

    @property
    def terms(self) -> str:
        """Its size and licence, in a few words."""
        use = "commercial use allowed" if self.commercial else "no commercial use"
        return f"about {size_of(self.bytes)}; {self.licence}; {use}"


@dataclass(frozen=True)
class Held:
    """One file that is there: what it hashes to, and what told so that it is still the same."""

    sha256: str
    bytes: int
    mtime_ns: int


@dataclass(frozen=True)
class Lock:
    """What a pulled model is: the commit it is of ("" where there is none), and its files by their paths."""

    commit: str
    files: Mapping[str, Held]

    @property
    def bytes(self) -> int:
        return sum(held.bytes for held in self.files.values())


@cache
def entries() -> Mapping[str, Entry]:
    """All that can be pulled, by name, in the order of the list. Raises ModelError."""
    try:
        rows = from_toml(dict[str, _Row], (ROOT / "hub.toml").read_bytes())
    except (OSError, Damaged) as error:
        raise ModelError(f"the list of models cannot be read: {error}", "reinstall vidswap") from error
    return MappingProxyType({name: Entry(**vars(row), name=name) for name, row in rows.items()})


def entry(name: str) -> Entry:
    """One of them. Raises ModelError."""
    if name not in entries():
        raise ModelError(f"no model is called '{name}'", f"these can be pulled: {', '.join(entries())}")
    return entries()[name]


def home() -> Path:
    """The folder of all that was pulled. Raises ModelError for a user without a home."""
    try:
        return platformdirs.user_data_path("vidswap", appauthor=False) / "models"
    except RuntimeError as error:
        raise ModelError("there is no home folder to keep models in", "set XDG_DATA_HOME") from error


def place_of(name: str, instead: Path | None = None) -> Path:
    """The folder or file of a model that was pulled, as it was pulled; of one that other programs keep at a place of
    its own, that. `instead` is a folder or file of the user's that stands for it. Raises ModelError in one line: what
    is missing, its size and licence, and the command that gets it."""
    found = entry(name)
    if instead is not None:
        return _standing_in(found, instead)
    folder = home() / name
    lock = lock_of(name)
    if lock is None:
        elsewhere = Path(os.path.expanduser(found.elsewhere)) if found.elsewhere else None
        if elsewhere and elsewhere.exists():
            _refuse_others(found, elsewhere, digests_in(elsewhere) if found.sha256 else {})
            return _standing_in(found, elsewhere)
        raise ModelError(f"the model '{name}' is not here: {found.purpose}", how_to_get(found))
    now = {path: _checked(found, folder / path, held) for path, held in lock.files.items()}
    if now != lock.files:
        with suppress(OSError):  # of another owner: hashed again next time
            _write(folder, replace(lock, files=now))
    return folder / found.path


def how_to_get(found: Entry) -> str:
    """What to do about a missing model: the one command, with size and licence."""
    if found.repo or found.urls:
        return f"`vidswap models pull {found.name}` gets it: {found.terms}"
    return f"its makers give it to nobody any more: who has it puts it at {found.elsewhere}; {found.terms}"


def lock_of(name: str) -> Lock | None:
    """What was pulled of a model; None where it was not, or not to the end. Raises ModelError."""
    path = home() / name / LOCK
    try:
        return from_json(Lock, path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, Damaged) as error:
        raise ModelError(f"{path} cannot be read ({error})", f"`vidswap models pull {name}` makes it anew") from error


def seal(name: str, commit: str = "", known: Mapping[str, Held] = MappingProxyType({})) -> Lock:
    """Take down what lies in a model's folder, brought there by whatever way, as the model; what is `known` of its
    files is not found out again. Raises ModelError where that is none, OutputError."""
    found, folder = entry(name), home() / name
    paths = [path for path in _files_of(folder) if path.name != LOCK]
    if not paths:
        raise ModelError(f"{folder} holds no model", how_to_get(found))
    for path in paths:
        check_sound(path)
    names = {path.relative_to(folder).as_posix(): path for path in paths}
    files = {name: _as_known(path, known.get(name)) for name, path in names.items()}
    _refuse_others(found, folder, {path: held.sha256 for path, held in files.items()})
    if not (folder / found.path).exists():
        raise ModelError(f"the model '{name}' lacks {found.path}", how_to_get(found))
    with as_output_error(folder / LOCK):
        _write(folder, lock := Lock(commit, files))
    return lock


def verify(name: str) -> Lock:
    """Read all of a pulled model again, and compare. Raises ModelError."""
    found, lock = entry(name), lock_of(name)
    if lock is None:
        raise ModelError(f"the model '{name}' is not here: {found.purpose}", how_to_get(found))
    for path, held in lock.files.items():
        _compared(found, home() / name / path, held)
    return lock


def remove(name: str) -> int:
    """Delete a model, or what was loaded of it: the bytes that were freed. Raises ModelError, OutputError."""
    folder = home() / entry(name).name
    freed = sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())
    with as_output_error(folder):
        (folder / LOCK).unlink(missing_ok=True)  # first: without it, nothing half there is taken for whole
        if folder.is_symlink():
            folder.unlink()
        elif folder.exists():
            shutil.rmtree(folder)
    return freed


def digests_in(place: Path) -> dict[str, str]:
    """Path -> sha256 of all that an engine may open in a folder, or of a file: what its key depends on. Each file is
    hashed once, and again only when its size or time has changed. Raises ModelError."""
    pulled, place = _pulled_in(place.parent if place.is_file() else place), Path(os.path.realpath(place))
    notes = home() / ".hashed" / f"{key_of(str(place))[:32]}.json"
    noted: dict[str, Held] = {}
    with suppress(OSError, Damaged):
        noted = from_json(dict[str, Held], notes.read_bytes())
    known = noted | pulled
    top = place.parent if place.is_file() else place
    now = {path.relative_to(top).as_posix(): path for path in _files_of(place) if path.name != LOCK}
    held = {name: _as_known(path, known.get(name)) for name, path in now.items()}
    if held != noted:
        with suppress(OSError):  # nowhere to keep it: hashed again next time
            notes.parent.mkdir(parents=True, exist_ok=True)
            write_whole(notes, json.dumps({name: asdict(each) for name, each in held.items()}).encode())
    return {name: each.sha256 for name, each in held.items()}


def _pulled_in(folder: Path) -> dict[str, Held]:
    """What was taken down of a folder's files as they were pulled, by their paths in it; {} of folders not ours."""
    with suppress(ValueError, ModelError):
        name, *inner = folder.relative_to(home()).parts
        lock, within = lock_of(name), "".join(f"{each}/" for each in inner)
        files = lock.files.items() if lock else ()
        return {path.removeprefix(within): held for path, held in files if path.startswith(within)}
    return {}


def held_of(path: Path, sha256: str = "") -> Held:
    """A file as it is now, hashed unless its `sha256` was found out already. Raises ModelError."""
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
        return Held(sha256 or digest_of(path), found.st_size, found.st_mtime_ns)
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: OSError) -> ModelError:
    return ModelError(f"{path} cannot be read ({error.strerror or error})", "check the path and its permissions")


def size_of(count: int) -> str:
    """Bytes in words."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def _standing_in(found: Entry, place: Path) -> Path:
    """The user's own folder or file for a model. Raises ModelError."""
    wants_file = PurePosixPath(found.path).suffix in WEIGHTS
    if not place.exists():
        raise ModelError(f"{place} is not there", f"name {'a file' if wants_file else 'a folder'} for '{found.name}'")
    inner = place / found.path
    if found.path and inner.exists():
        place = inner
    if place.is_dir() == wants_file:
        what = "a file" if wants_file else "a folder"
        raise ModelError(f"{place} is no {what.split()[1]}", f"name {what} for '{found.name}': {found.purpose}")
    if "model_index.json" in found.files and not (place / "model_index.json").is_file():
        raise ModelError(f"{place} has no model_index.json", f"name a folder as diffusers saves '{found.name}'")
    for path in [path for path in _files_of(place) if path.suffix in WEIGHTS]:
        check_sound(path)
    return place


def _refuse_others(found: Entry, place: Path, digests: Mapping[str, str]) -> None:
    """Raise ModelError where a file is not the one that the list knows by its name."""
    for path, sha256 in digests.items():
        if found.sha256.get(PurePosixPath(path).name, sha256) != sha256:
            raise ModelError(f"{place / path} is not the file of that name in '{found.name}'", how_to_get(found))


def _files_of(place: Path, depth: int = DEEP) -> Iterator[Path]:
    """The files that hold numbers or words, in order, through links too; a file alone is itself. Raises ModelError."""
    if place.is_file():
        yield place
        return
    try:
        for path in sorted(place.iterdir()):
            if path.name.startswith("."):
                continue
            if path.is_symlink() and not path.exists():
                raise ModelError(f"{path} is a link to nothing", "load the model again, or name another folder")
            if path.is_file():
                yield path
            elif depth:
                yield from _files_of(path, depth - 1)
    except OSError as error:
        raise unreadable(place, error) from error


def _checked(found: Entry, path: Path, held: Held) -> Held:
    """A file as its lock has it; it is read again only where its time tells nothing. Raises ModelError."""
    try:
        now = path.stat()
    except OSError as error:
        raise _damaged(found, f"{path} is missing") from error
    if (now.st_size, now.st_mtime_ns) == (held.bytes, held.mtime_ns):
        return held
    return _compared(found, path, held)


def _compared(found: Entry, path: Path, held: Held) -> Held:
    if not path.is_file():
        raise _damaged(found, f"{path} is missing")
    now = held_of(path)
    if now.sha256 != held.sha256:
        raise _damaged(found, f"{path} is not what was pulled")
    return now


def _damaged(found: Entry, what: str) -> ModelError:
    return ModelError(f"the model '{found.name}' is damaged: {what}", how_to_get(found))


def _as_known(path: Path, known: Held | None) -> Held:
    try:
        now = path.stat()
    except OSError as error:
        raise unreadable(path, error) from error
    return known if known and (now.st_size, now.st_mtime_ns) == (known.bytes, known.mtime_ns) else held_of(path)


def _write(folder: Path, lock: Lock) -> None:
    write_whole(folder / LOCK, json.dumps(asdict(lock), indent=1).encode())


def installed(names: Sequence[str]) -> bool:
    """Whether all of these are there; how they are is not asked."""
    return all(_is_there(entry(name)) for name in names)


def _is_there(found: Entry) -> bool:
    elsewhere = bool(found.elsewhere) and os.path.exists(os.path.expanduser(found.elsewhere))
    with suppress(ModelError):
        return elsewhere or lock_of(found.name) is not None
    return elsewhere
