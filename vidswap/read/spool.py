"""The faces of a shot's frames, kept in a file once they are many: memory does not grow with the length of a take."""

from __future__ import annotations

import pickle
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from tempfile import SpooledTemporaryFile
from typing import IO, overload

from vidswap.files import keeping
from vidswap.types import Face

HELD = 8_000_000  # bytes that stay in memory: some forty seconds of one face


class Spool(Sequence[list[Face]]):
    """Lists of faces, one a frame, in the temporary `file`. Raises OutputError where that takes no more."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._places = array("q", [0])

    def append(self, faces: list[Face]) -> None:
        """Those of the next frame. Raises OutputError."""
        with keeping():
            self._file.seek(self._places[-1])
            self._file.write(pickle.dumps(faces, pickle.HIGHEST_PROTOCOL))
        self._places.append(self._file.tell())

    def __len__(self) -> int:
        return len(self._places) - 1

    @overload
    def __getitem__(self, place: int) -> list[Face]: ...
    @overload
    def __getitem__(self, place: slice) -> list[list[Face]]: ...
    def __getitem__(self, place: int | slice) -> list[Face] | list[list[Face]]:
        if isinstance(place, slice):
            return [self[each] for each in range(*place.indices(len(self)))]
        start, stop = self._places[range(len(self))[place]], self._places[range(1, len(self) + 1)[place]]
        self._file.seek(start)
        faces: list[Face] = pickle.loads(self._file.read(stop - start))
        return faces

    def clear(self) -> None:
        """Forget them all, and give their room back."""
        del self._places[1:]
        self._file.seek(0)
        self._file.truncate()


@contextmanager
def spooled() -> Iterator[Spool]:
    """A new one, empty, whose file is gone when the context is left."""
    with SpooledTemporaryFile(max_size=HELD, prefix="vidswap-") as file:
        yield Spool(file)
