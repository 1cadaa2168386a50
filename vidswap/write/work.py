"""A render's work folder beside the output: finished segments of encoded pictures, what engines remember, a lock.

`.OUT.vidswap/` exists while OUT is being made (for a long name: a digest of it in place of OUT). It holds `vidswap`, by
which we know it as ours: any other folder, and a link, is refused; `lock`, held by the one who renders (the kernel lets
go of it however a process ends); `key`, a digest of all that the result depends on; for each finished segment the
encoder's packets one after another (`00000480.packets`) and a sidecar (`00000480.json`) with their sizes, times and
digest, written last: without a sidecar that fits, a segment does not count; and `00000480-3.npz`, what the engine
answered last on track 3 before frame 480. All of it is on the disk before it gets its name.
`answers` are write.memory's.

Packets are kept as they leave the encoder, in no container of FFmpeg's: NUT confuses the times of B-frames and is
refused ProRes, Matroska rounds to milliseconds, MP4 takes no ProRes and MOV no FFV1.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout

from vidswap.errors import InputError, OutputError
from vidswap.files import as_output_error, is_part, publish, write_whole
from vidswap.keys import Digest, digest_of, digest_of_bytes
from vidswap.records import Damaged, from_json
from vidswap.types import Shot
from vidswap.write.memory import Memory

Packet = tuple[bytes, int, bool]  # payload; pts in the clip's unit since its segment began; can decoding begin there
MADE = "made"  # stem of the result, until it is whole
MARK, LOCK = "vidswap", "lock"  # files by which a work folder is known, and held
TICKETS = "tickets"  # the folder of what was paid for: another render of this output needs it too
WORTH = ("*.json", "answers/sealed", f"{TICKETS}/*.ticket")  # what another render goes on from
MARKED = b"A work folder of vidswap: it goes when the result is finished.\n"
_LONG = 100  # bytes of a name from which on its digest stands for it: some drives take names of 143
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)  # of a drive that has none


@dataclass(frozen=True)
class Segment:
    """Frames [start, stop) encoded for themselves. `end` is when the last of their pictures ends, in the clip's unit
    since frame `start`; `delay` by how many pictures decoding must run ahead of showing; `head` and `packets` are the
    sha256 of the encoder's extradata and of its packets. `repeated` of the frames could not be decoded and show the one
    before, `painted` of them have another face."""

    start: int
    stop: int
    end: int
    delay: int
    head: str
    packets: str
    repeated: int
    painted: int


@dataclass(frozen=True)
class Sidecar:
    """What is written beside a segment's packets: of each, in `index`, its size in bytes, its time, whether it is a
    key."""

    segment: Segment
    index: Sequence[tuple[int, int, bool]]


@dataclass(frozen=True)
class Written:
    """What a render did: `resumed` frames were found finished, `repeated` of all could not be decoded and show the one
    before, on `painted` of all there is another face."""

    resumed: int
    repeated: int
    painted: int


class SegmentWriter:
    """A segment that is being written: the packets so far."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._digest = file, Digest()
        self.index: list[tuple[int, int, bool]] = []  # as that of Sidecar

    def add(self, packets: Iterable[Packet]) -> None:
        """More packets."""
        for payload, time, key in packets:
            self._file.write(payload)
            self._digest.add(payload)
            self.index.append((len(payload), time, key))

    def segment(self, span: range, end: int, head: bytes, repeated: int, painted: int) -> Segment:
        """What has been written, as the frames of `span`."""
        self._file.close()  # a file that is open cannot get another name everywhere
        delay = ahead_by([time for _, time, _ in self.index])
        return Segment(span.start, span.stop, end, delay, digest_of_bytes(head), str(self._digest), repeated, painted)


def ahead_by(times: Sequence[int]) -> int:
    """By how many pictures decoding must run ahead of showing, if they are decoded in the order of these times."""
    rank = {time: place for place, time in enumerate(sorted(times))}
    return max(place - rank[time] for place, time in enumerate(times))


class WorkFolder:
    """The folder of one render that begins at frame `start`: its finished segments, each of `length` frames but the
    last; each of the `runs` of frames is one by itself, however long. Those that are there and follow one another from
    `start` on are adopted, if `key` is theirs and unless `resume` is False; all else is removed but tickets."""

    def __init__(
        self, folder: Path, key: str, start: int, length: int, *, runs: Sequence[Shot] = (), resume: bool = True
    ) -> None:  # fmt: skip
        self.folder, self.start, self.length, self.runs = folder, start, length, runs
        if not resume or not _says(folder / "key", key.encode()):
            _clear(folder)
            write_whole(folder / "key", key.encode())
        self.segments = list(self._found())
        self.memory = Memory(folder, start, length)
        self.go_back(self.reached)  # what was half written

    @property
    def tickets(self) -> Path:
        """The folder for the tickets of whole-shot engines, and their answers (swap.tickets)."""
        return self.folder / TICKETS

    @property
    def reached(self) -> int:
        """The first frame that no finished segment holds."""
        return self.segments[-1].stop if self.segments else self.start

    def is_boundary(self, index: int) -> bool:
        """Whether a segment ends before a frame, and another begins there."""
        return index > self.start and self.boundary_after(index - 1) == index

    def boundary_after(self, index: int) -> int:
        """The first frame after another one that begins a segment, if there are as many."""
        run = next((run for run in self.runs if index < run.stop), None)
        if run and run.start <= index:
            return run.stop
        usual = index + self.length - (index - self.start) % self.length
        return min(usual, run.start) if run else usual

    def go_on(self, amid: Callable[[int], list[int]]) -> None:
        """Give up the segments behind the last boundary at which all tracks that are `amid` something there can go
        on."""
        for boundary in reversed([self.start, *(segment.stop for segment in self.segments)]):
            if self.memory.load(boundary, amid(boundary)):
                return self.go_back(boundary)
        raise AssertionError("no window ends before the first frame")

    @contextmanager
    def growing(self) -> Iterator[SegmentWriter]:
        """The next segment's packets, to be added. Whatever is raised, they are removed."""
        part = self._packets(self.reached).with_suffix(".part")
        try:
            with open(part, "wb") as file:
                yield SegmentWriter(file)
        except BaseException:
            part.unlink(missing_ok=True)
            raise

    def finish(self, segment: Segment, growing: SegmentWriter) -> None:
        """Make the segment that has grown count, for good; what earlier ones went on from is forgotten."""
        packets = self._packets(segment.start)
        self.memory.write(segment.stop)
        publish(packets.with_suffix(".part"), packets)
        write_whole(packets.with_suffix(".json"), json.dumps(asdict(Sidecar(segment, growing.index))).encode())
        self.segments.append(segment)
        self.memory.forget(segment.stop)

    def read(self, segment: Segment) -> Iterator[Packet]:
        """The packets of a finished segment."""
        packets = self._packets(segment.start)
        with open(packets, "rb") as file:
            for size, time, key in _sidecar(packets).index:
                yield file.read(size), time, key

    def go_back(self, boundary: int) -> None:
        """Give up the segments from `boundary` on."""
        self.segments = [segment for segment in self.segments if segment.stop <= boundary]
        for path in self.folder.iterdir():
            ahead = path.suffix in (".packets", ".json") and int(path.stem) >= self.reached
            if path.stem == MADE and path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif ahead or path.suffix == ".part" or path.stem == MADE:
                path.unlink()

    def _packets(self, start: int) -> Path:
        return self.folder / f"{start:08d}.packets"

    def _found(self) -> Iterator[Segment]:
        place = self.start
        while segment := _sound(self._packets(place)):
            yield segment
            place = segment.stop


def folder_of(out: Path) -> Path:
    """The work folder of `out`."""
    name = os.fsencode(out.name)
    return out.with_name(f".{out.name if len(name) <= _LONG else digest_of_bytes(name)[:16]}.vidswap")


@contextmanager
def open_work(out: Path, kept: bool = True, report: Callable[[str], object] = lambda _: None) -> Iterator[Path]:
    """The work folder of `out`, for this process alone; where the drive has no locks, `report` is told so. It is
    removed at the end unless something was raised, there are finished segments or tickets in it, and they are to be
    `kept`. Raises OutputError where another render of `out` is under way, the folder is not ours, or cannot be made."""
    folder, gone = folder_of(out), True
    with as_output_error(out):
        lock = _locked(folder, out, report)
    try:
        with as_output_error(out):
            write_whole(folder / MARK, MARKED)
        yield folder
    except BaseException:
        gone = not kept or not any(any(folder.glob(left)) for left in WORTH)
        raise
    finally:
        if gone:
            with suppress(OSError):
                _clear(folder)  # first: whoever is killed in here leaves a folder that is marked
            shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):
            lock.release()
        if gone and os.name == "nt":  # where an open file stays
            with suppress(OSError):
                (folder / LOCK).unlink()
                folder.rmdir()


@contextmanager
def noted(work: WorkFolder) -> Iterator[None]:
    """Whatever is raised inside leaves with a note on what of the render is kept."""
    try:
        yield
    except BaseException as error:
        if not work.segments:
            work.memory.seal()
        reached = work.reached if work.segments else work.memory.reached
        error.add_note(f"the same command goes on from frame {reached}" if reached else "nothing was written")
        raise


def _locked(folder: Path, out: Path, report: Callable[[str], object]) -> FileLock:
    """The folder's lock, held; not held where the drive has none. Raises OutputError where somebody else holds it."""
    lock = FileLock(folder / LOCK, thread_local=False, fallback_to_soft=False)
    while True:
        _refuse_foreign(folder)
        folder.mkdir(exist_ok=True)
        try:
            lock.acquire(blocking=False)
            return lock
        except Timeout as error:
            if (folder / LOCK).exists():
                hint = "wait, or name another output"
                raise OutputError(f"{out} is being rendered by another vidswap", hint) from error
        except FileNotFoundError:
            pass  # who held it has just finished and removed the folder: make it anew
        except OSError as error:
            if error.errno in _NO_LOCKS:
                report(f"the drive of {out} has no locks: see that nobody else renders it at the same time")
                return lock
            with suppress(OSError):
                (folder / LOCK).unlink()
                folder.rmdir()
            raise


def _refuse_foreign(folder: Path) -> None:
    """Raise OutputError where `folder` is there and not ours: a link, or without our mark."""
    with suppress(FileNotFoundError):
        ours = not folder.is_symlink() and (
            _says(folder / MARK, MARKED)
            or (folder.is_dir() and all(path.name == LOCK or is_part(path) for path in folder.iterdir()))
        )  # the latter: made by somebody who has not marked it yet
        if os.path.lexists(folder) and not ours:
            raise OutputError(f"{folder} is needed to work in, and is not ours", "move it, or name another output")


def _clear(folder: Path) -> None:
    for path in folder.iterdir():
        if path.name in (LOCK, MARK, TICKETS):
            continue
        if path.is_dir() and not path.is_symlink():  # pictures, half of which are there
            shutil.rmtree(path)
        else:
            path.unlink()


def _says(path: Path, content: bytes) -> bool:
    with suppress(OSError):
        return path.read_bytes() == content
    return False


def _sound(packets: Path) -> Segment | None:
    """The segment in a file, if its sidecar fits it."""
    try:
        segment = _sidecar(packets).segment
        fits = segment.packets == digest_of(packets)
    except (OSError, InputError, Damaged):
        return None
    return segment if fits and int(packets.stem) == segment.start < segment.stop else None


def _sidecar(packets: Path) -> Sidecar:
    return from_json(Sidecar, packets.with_suffix(".json").read_bytes())
