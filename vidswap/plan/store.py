"""Results by content: one file a key, in a folder that does not grow beyond a limit.

A key is the digest of all that a result depends on: the clip's own bytes, the settings, the models, the versions of
what made it. Whatever changes asks for another key, so nothing here can be stale; only what was used longest ago goes.
Entries get their name when they are whole and on the disk, so any number of processes may share the folder: the worst
that can happen is that two make the same entry, and the later one's equal bytes replace the earlier's.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vidswap.errors import OutputError
from vidswap.files import whole

LIMIT = 2_000_000_000  # bytes: some six hours of footage with one face
ABANDONED = 86_400  # seconds after which a part that nobody finished is removed
ENDING, PART = ".plan", ".part"
TRIAL = ".trial"  # beside the entries: what was found out about the machine, a line each (swap/network.py)


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
        return sorted(_found(self.folder, ENDING), key=lambda entry: (-entry.used, entry.path))

    def clear(self) -> list[Entry]:
        """Remove all entries, what was left of unfinished ones, and trials of the machine: the entries that there were.
        Raises OutputError."""
        gone = self.entries()
        try:
            for entry in (*gone, *_found(self.folder, PART), *_found(self.folder, TRIAL)):
                entry.path.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"{self.folder} cannot be emptied ({error.strerror})", "check its permissions") from error
        return gone

    def _place(self, key: str) -> Path:
        return self.folder / (key + ENDING)

    def _make_room(self, newest: Path) -> None:
        """Remove the entries used longest ago until the rest, `newest` among them, is within the limit. One that is
        being read stays readable: its name goes, its bytes only when it is closed."""
        abandoned = [part for part in _found(self.folder, PART) if part.used < time.time() - ABANDONED]
        total, old = 0, list[Entry]()
        for entry in sorted(self.entries(), key=lambda entry: entry.path != newest):  # stable: then the last used
            total += entry.bytes
            if total > self.limit and entry.path != newest:
                old.append(entry)
        for entry in (*old, *abandoned):
            with suppress(OSError):
                entry.path.unlink()


def _found(folder: Path, ending: str) -> list[Entry]:
    entries = []
    for path in folder.glob(f"*{ending}"):
        with suppress(FileNotFoundError):  # another process has just removed it
            facts = path.stat()
            entries.append(Entry(path, facts.st_size, facts.st_mtime))
    return entries
