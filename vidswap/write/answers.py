"""What an engine has answered for a segment that is not finished, so that a render that is stopped early loses nothing.

A segment counts when all of its frames are encoded: the 240 of the first are the engine's work of minutes. So its
answers lie in the work folder until then, and a render that is stopped (Ctrl-C, SIGTERM, an error) puts them on the
disk; the next one takes them as they are, and decodes, composites and encodes anew: the file is the same to the byte.
Later segments go on from the one before them. Nothing here may stop a render: where there is no room, nothing is kept.
"""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from pathlib import Path

import numpy as np

from vidswap.files import sync, write_whole
from vidswap.types import Crops, Swapped

MOST = 1 << 30  # bytes of answers: one face in 240 frames takes 0.6e9
SPARE = 4  # times as many bytes must be free as are to be written


class Answers:
    """The answers to windows that begin before frame `stop`, in the folder `answers` of a work folder. Those count that
    were there when an earlier render `seal`ed them."""

    def __init__(self, folder: Path, stop: int) -> None:
        self._folder, self._stop = folder / "answers", stop
        self._sizes: dict[str, int] = {}
        self._reached, self._open = 0, True
        with suppress(OSError, ValueError):
            sealed = json.loads((self._folder / "sealed").read_bytes())
            if isinstance(sealed, dict) and [*map(type, map(sealed.get, ("reached", "sizes")))] == [int, dict]:
                self._reached, self._sizes = sealed["reached"], sealed["sizes"]

    @property
    def reached(self) -> int:
        """The frame up to which there are answers; 0 where there are none."""
        return self._reached if self._sizes else 0

    def recall(self, crops: Crops) -> Swapped | None:
        """The answer to these crops; None where there is none, or it is damaged."""
        path = self._folder / _name(crops)
        with suppress(OSError, ValueError, EOFError):
            if path.stat().st_size == self._sizes.get(path.name):
                with open(path, "rb") as file:
                    rgb, alpha, latents = (np.load(file) for _ in range(3))
                return Swapped(crops, rgb, alpha, latents if latents.size else None)
        return None

    def keep(self, swapped: Swapped) -> None:
        """Keep an answer, if there is room; once one was not kept, none is."""
        crops = swapped.crops
        parts = (swapped.rgb, swapped.alpha, np.empty(0) if swapped.latents is None else swapped.latents)
        size = sum(part.nbytes for part in parts)
        if not self._open or crops.start >= self._stop:
            return
        self._open = False
        with suppress(OSError):
            self._folder.mkdir(exist_ok=True)
            if sum(self._sizes.values()) + size > MOST or shutil.disk_usage(self._folder).free < SPARE * size:
                return
            with open(self._folder / _name(crops), "wb") as file:
                for part in parts:
                    np.save(file, part, allow_pickle=False)
            self._sizes[_name(crops)] = (self._folder / _name(crops)).stat().st_size
            self._reached, self._open = max(self._reached, crops.start + len(crops)), True

    def seal(self) -> None:
        """Make what was kept count for the next render."""
        with suppress(OSError):
            for name in self._sizes:
                sync(self._folder / name)
            if self._sizes:
                facts = {"reached": self._reached, "sizes": self._sizes}
                write_whole(self._folder / "sealed", json.dumps(facts).encode())

    def forget(self) -> None:
        """The segment is finished: its answers are no longer needed."""
        self._sizes, self._open = {}, False
        shutil.rmtree(self._folder, ignore_errors=True)


def _name(crops: Crops) -> str:
    return f"{crops.start:08d}-{len(crops)}-{crops.track}.npy"
