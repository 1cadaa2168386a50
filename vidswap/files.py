"""Files, whole or not at all: the one writer, and the one refusal of what must not be written over.

What is written lies beside its place under a short name of its own until it is whole and on the disk; then it gets its
name. A drive that cannot put a folder's names on the disk (many network drives) has done what it can: that is no
failure. Bytes that do not get there are one.
"""

from __future__ import annotations

import errno
import os
import secrets
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from vidswap.errors import OutputError

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")  # what is read of a folder of pictures or photos
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NO_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)  # a drive that knows no such thing
_LOOK = "check the folder and its permissions"
Named = tuple[str, Path]  # what a path is, in words, and the path


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to: what is there when the context is left gets the name `path`, unless something
    was raised; then nothing is left. Raises OSError."""
    part = path.with_name(f".vidswap-{secrets.token_hex(4)}.part")
    part.touch(exist_ok=False)
    try:
        yield part
        publish(part, path)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def is_part(path: Path) -> bool:
    """Whether a path is one that `whole` has made, and a process that was killed has left."""
    return path.name.startswith(".vidswap-") and path.suffix == ".part"


def write_whole(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all. Raises OSError."""
    with whole(path) as part:
        part.write_bytes(content)


def publish(part: Path, path: Path) -> None:
    """Give a finished file, or a folder of them, its name, once its bytes are on the disk; then put the name there too.
    Raises OSError."""
    if part.is_dir():
        path = Path(os.path.realpath(path))  # a link to an empty folder: what it names is what is filled
        for file in part.iterdir():
            sync(file)
        if os.name == "nt" and path.is_dir():
            path.rmdir()  # Windows replaces no folder, be it empty
    else:
        sync(part)
    os.replace(part, path)
    with suppress(OSError):
        sync(path.parent)


def sync(path: Path) -> None:
    """Have the system put on the disk what it holds of a file or folder. Raises OSError where bytes are lost."""
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
    finally:
        os.close(handle)


@contextmanager
def as_output_error(out: Path, *kinds: type[Exception], hint: str = _LOOK) -> Iterator[None]:
    """What the system (or `kinds`) raises inside becomes an OutputError about `out`."""
    caught: tuple[type[Exception], ...] = (OSError, *kinds)
    try:
        yield
    except caught as error:
        number, reason = getattr(error, "errno", None), getattr(error, "strerror", None)
        hint = "free some space" if number in FULL else hint
        hint = "give it a shorter name" if number == errno.ENAMETOOLONG else hint
        raise OutputError(f"{out} cannot be written ({reason or error})", hint) from error


@contextmanager
def keeping() -> Iterator[None]:
    """What the system raises inside, over a temporary file of what was found, becomes an OutputError."""
    try:
        yield
    except OSError as error:
        place = "the folder for temporary files, TMPDIR"
        hint = f"free some space in {place}" if error.errno in FULL else f"check {place}"
        raise OutputError(f"what was found in the clip cannot be kept ({error.strerror or error})", hint) from error


@contextmanager
def noted_as(words: str) -> Iterator[None]:
    """Whatever is raised inside leaves with a note on what is there all the same."""
    try:
        yield
    except BaseException as error:
        error.add_note(words)
        raise


def check_place(out: Path) -> None:
    """Raise OutputError when no file can be written as `out`. Call it before the work; it leaves nothing behind."""
    with as_output_error(out):
        if out.is_dir():
            raise OutputError(f"{out} is a folder", f"give the path of a file, e.g. {out / 'NAME'}")
        check_room(out)
        if out.exists() and not os.access(out, os.W_OK):
            raise OutputError(f"{out} cannot be written (it is write-protected)", "choose another name or folder")


def check_new(out: Path) -> None:
    """Raise OutputError where a file is to be made that a person may have filled in since it was made the last time."""
    check_place(out)
    if out.exists():
        raise OutputError(f"{out} is there already, and may be filled in", "move it away, or choose another name")


def check_room(out: Path) -> None:
    """Raise OutputError when there is no folder that takes a new file or folder `out`, or it cannot be called that."""
    with as_output_error(out):
        if not out.parent.is_dir():
            raise OutputError(f"{out}: there is no folder {out.parent}", "make it first")
        with suppress(FileNotFoundError):
            os.lstat(out)
        trial = out.with_name(f".vidswap-{secrets.token_hex(4)}.part")
        trial.touch(exist_ok=False)
        trial.unlink()


def refuse_clash(outputs: Sequence[Named], inputs: Sequence[Named]) -> None:
    """Raise OutputError where an output is an input, or another output, under whatever name: through links, other
    spellings, or letters that only differ in case. An input that is a folder stands for the files in it; a new picture
    there is refused too, it would be taken for one of them the next time."""
    for place, (what, out) in enumerate(outputs):
        with as_output_error(out):
            _refuse_devices(out)
            _refuse_outputs(what, out, outputs[:place])
            _refuse_inputs(what, out, inputs)


def _refuse_devices(out: Path) -> None:
    """A device or a pipe would be replaced by a file, and whoever listens to it hear nothing."""
    if out.exists() and not (out.is_file() or out.is_dir()):
        raise OutputError(f"{out} is a device, or a pipe", "give the path of a file")


def _refuse_outputs(what: str, out: Path, outputs: Sequence[Named]) -> None:
    for other, path in outputs:
        if _mark(out) == _mark(path) or _spelled(out) == _spelled(path):
            raise OutputError(f"{out} cannot be both {other} and {what}", "give one of them another name")


def _refuse_inputs(what: str, out: Path, inputs: Sequence[Named]) -> None:
    for other, path in inputs:
        if _mark(out) in map(_mark, [path, *_files_in(path)]):
            raise OutputError(f"{out} is {other} itself", f"give {what} another name")
        if out.is_dir() and Path(os.path.realpath(out)) in Path(os.path.realpath(path)).parents:
            raise OutputError(f"{path}, {other}, lies in {out}, which is made anew", f"give {what} another name")
        if out.suffix.lower() in PICTURES and _is_folder(path) and _mark(out.parent) == _mark(path):
            message = f"{out} lies in the folder of {other}, and would be taken for a part of it the next time"
            raise OutputError(message, "choose another folder")


def _is_folder(path: Path) -> bool:
    with suppress(OSError):
        return path.is_dir()
    return False


def _files_in(path: Path) -> list[Path]:
    with suppress(OSError):
        return list(path.iterdir()) if path.is_dir() else []
    return []


def _mark(path: Path) -> object:
    """What two names of one file have in common."""
    with suppress(OSError):
        found = path.stat()
        if found.st_ino:  # some drives number nothing
            return found.st_dev, found.st_ino
    return os.path.normcase(os.path.realpath(path))


def _spelled(path: Path) -> object:
    """What two names of a file that is not there yet have in common: their folder, by whatever way (a bind mount), and
    what drives that know no case, or one form of a letter with its accent, make of the name."""
    real = Path(os.path.realpath(path))
    return _mark(real.parent), unicodedata.normalize("NFC", real.name).casefold()
