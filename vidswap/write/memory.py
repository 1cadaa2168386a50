"""What engines have answered: what the next window goes on from, what a later render does, and what need not be asked
for again.

At each boundary between segments the last frames of each track's last answer go to the disk with the segment: a render
that was stopped goes on from there. A segment counts when all of its frames are encoded, and the 240 of the first are
the engine's work of minutes; so its answers lie in the work folder until then, and a render that is stopped (Ctrl-C,
SIGTERM, an error) puts them on the disk; the next one takes them as they are, and decodes, composites and encodes anew:
the file is the same to the byte. Where there is no room, no answer is kept: nothing here may stop a render for that.
"""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from vidswap.files import sync, whole, write_whole
from vidswap.records import Damaged, from_json, unzipping
from vidswap.types import Array, Crops, Swapped

MOST = 1 << 30  # bytes of answers: one face in 240 frames takes 0.6e9
_NAMES = {"rgb", "alpha", *(f"crops_{each.name}" for each in fields(Crops))}  # of the arrays of an answer
SPARE = 4  # times as many bytes must be free as are to be written


class Memory:
    """The memory of one render in its work folder, from frame `start` on, with boundaries every `length` frames.
    Answers to windows that begin before the first of them are kept whole."""

    def __init__(self, folder: Path, start: int, length: int) -> None:
        self._folder, self._tails = folder, dict[int, list[Swapped]]()
        self._start, self._length = start, length
        self._ends, self._boundaries = dict[int, int](), dict[int, list[Swapped]]()
        self._answers = _Answers(folder / "answers", start + length)

    @property
    def reached(self) -> int:
        """The frame up to which there are whole answers; 0 where there are none."""
        return self._answers.reached

    def before(self, track: int) -> Swapped | None:
        """The last frames of the last answer of a track: those that the next window shares."""
        tails = self._tails.get(track)
        return tails[-1] if tails else None

    def keep(self, swapped: Swapped, tail: int, end: int) -> None:
        """Remember an answer, that the next window shares its last `tail` frames, and that the track ends at `end`."""
        track = swapped.crops.track
        tails = self._tails.setdefault(track, [])
        if tails:  # only where a boundary lies between the two, the one before is still wanted
            last = tails.pop()
            tails += [last.tail(tail, copied=True)] if self._is_boundary_in(_stop(last), _stop(swapped)) else []
        tails.append(swapped.tail(tail))
        self._ends[track] = end
        self._answers.keep(swapped)

    def release(self, index: int) -> None:
        """No frame before `index` is still to come."""
        for track in [track for track in self._tails if self._ends.get(track, index + 1) <= index]:
            del self._tails[track], self._ends[track]
        for tails in self._tails.values():
            while len(tails) > 1 and _stop(tails[1]) <= index:
                del tails[0]

    def answer(self, crops: Crops) -> Swapped | None:
        """What was answered to these crops already; None where nothing was, or it is damaged."""
        return self._answers.recall(crops)

    def mark(self, boundary: int) -> None:
        """Hold what tracks go on from at a boundary, until it is written. To be called when the frame before it comes:
        then all windows that end before it are swapped."""
        ended = ([tail for tail in tails if _stop(tail) <= boundary] for tails in self._tails.values())
        self._boundaries[boundary] = [tails[-1].tail(len(tails[-1].crops), copied=True) for tails in ended if tails]

    def write(self, boundary: int) -> None:
        """Put what was held at a boundary on the disk. Raises OSError."""
        for tail in self._boundaries.pop(boundary, []):
            crops = {f"crops_{name}": value for name, value in vars(tail.crops).items()}
            latents = {} if tail.latents is None else {"latents": tail.latents}
            with whole(self._place(boundary, tail.crops.track)) as part, open(part, "wb") as file:
                np.savez_compressed(file, allow_pickle=False, **crops, rgb=tail.rgb, alpha=tail.alpha, **latents)

    def load(self, boundary: int, tracks: list[int]) -> bool:
        """Go on from a boundary, at which these tracks are seen; False where that of one is missing, or damaged."""
        found = {track: self._read(boundary, track) for track in tracks}
        self._tails = {track: [tail] for track, tail in found.items() if tail is not None}
        return len(self._tails) == len(tracks)

    def seal(self) -> None:
        """Make the answers that were kept count for the next render."""
        self._answers.seal()

    def forget(self, stop: int) -> None:
        """A segment is finished that ends at frame `stop`: what was kept for those up to it is no longer needed."""
        self._answers.forget()
        for place in self._folder.glob("*-*.npz"):
            if int(place.name.partition("-")[0]) < stop:
                place.unlink()

    def _is_boundary_in(self, first: int, stop: int) -> bool:
        """Whether a boundary lies in the frames [first, stop)."""
        after = max(-(-(first - self._start) // self._length), 1)
        return self._start + after * self._length < stop

    def _place(self, boundary: int, track: int) -> Path:
        return self._folder / f"{boundary:08d}-{track}.npz"

    def _read(self, boundary: int, track: int) -> Swapped | None:
        try:
            with unzipping(), open(self._place(boundary, track), "rb") as file, np.load(file) as kept:
                values = {name: kept[name] for name in kept.files}
        except (OSError, Damaged):
            return None
        return _swapped(values)


def _swapped(values: dict[str, Array]) -> Swapped | None:
    """The answer in arrays of these names; None where some are missing, or of another shape."""
    if not _NAMES <= values.keys() <= {*_NAMES, "latents"}:
        return None
    crops = {name.removeprefix("crops_"): values.pop(name) for name in list(values) if name.startswith("crops_")}
    track, start = crops.pop("track"), crops.pop("start")
    if any(number.shape or number.dtype.kind != "i" for number in (track, start)):
        return None
    try:
        return Swapped(Crops(int(track), int(start), **crops), **values)
    except ValueError:  # what these types refuse
        return None


def _stop(swapped: Swapped) -> int:
    return swapped.crops.start + len(swapped.crops)


@dataclass(frozen=True)
class _Seal:
    """What is written when answers are to count: the frame that they go up to, and the bytes of each by its name."""

    reached: int
    sizes: dict[str, int]


class _Answers:
    """The answers to windows that begin before frame `stop`, in a folder of their own. Those count that
    were there when an earlier render `seal`ed them."""

    def __init__(self, folder: Path, stop: int) -> None:
        self._folder, self._stop = folder, stop
        self._sizes: dict[str, int] = {}
        self._reached, self._open = 0, True
        with suppress(OSError, Damaged):
            sealed = from_json(_Seal, (self._folder / "sealed").read_bytes())
            self._reached, self._sizes = sealed.reached, sealed.sizes

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
                seal = _Seal(self._reached, self._sizes)
                write_whole(self._folder / "sealed", json.dumps(asdict(seal)).encode())

    def forget(self) -> None:
        """The segment is finished: its answers are no longer needed."""
        self._sizes, self._open = {}, False
        shutil.rmtree(self._folder, ignore_errors=True)


def _name(crops: Crops) -> str:
    return f"{crops.start:08d}-{len(crops)}-{crops.track}.npy"
