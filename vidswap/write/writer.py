"""Finished frames -> the result: film by way of segments, pictures at once. It is made in a thread of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from vidswap.media.view import to_rgb
from vidswap.progress import Progress
from vidswap.threads import Consumer
from vidswap.types import Clip, Frame
from vidswap.write.film import Finished, join, write_segments
from vidswap.write.pictures import write_pictures
from vidswap.write.target import Target
from vidswap.write.work import WorkFolder, Written, noted

FINISHED = 8  # frames that wait to be encoded: two thirds of a window's new ones


class Writer:
    """Takes the frames of a render, one after another; those that are in finished segments count, and are not taken."""

    def __init__(self, line: Consumer[Finished, None], work: WorkFolder, finish: Callable[[], None]) -> None:
        self._line, self._work, self._finish = line, work, finish
        self._done, self._repeated, self._painted = work.reached, 0, 0

    def add(self, frame: Frame, is_painted: bool) -> None:
        """The next frame, composited. Raises what stopped the writing: OutputError."""
        if frame.index < self._done:
            return
        if self._work.is_boundary(frame.index + 1):
            self._work.memory.mark(frame.index + 1)
        self._repeated += frame.repeated
        self._painted += is_painted
        self._line.add(Finished(frame.index, frame.native, frame.repeated, is_painted))

    def finish(self) -> Written:
        """All frames were added: the result is made, and gets its name. Raises OutputError."""
        resumed = [each for each in self._work.segments if each.stop <= self._done]
        self._line.finish()
        self._finish()
        return Written(self._done - self._work.start, self._repeated + sum(each.repeated for each in resumed),
                       self._painted + sum(each.painted for each in resumed))  # fmt: skip


@contextmanager
def open_writer(
    clip: Clip, target: Target, work: WorkFolder, labels: Mapping[str, str], progress: Progress
) -> Iterator[Writer]:
    """What makes the target of the frames that it is handed, from `work.reached` on. What is raised meanwhile says what
    of the work is kept. Raises OutputError."""
    out, encoding = target.out, target.encoding

    def write(frames: Iterator[Finished]) -> None:
        with progress.stage("encode"):
            items = progress.each(None, frames)
            if encoding:
                write_segments(clip, items, work, out, encoding)
            else:
                natives = ((each.index, each.native) for each in items)
                write_pictures(clip, natives, len(target.span), out,
                               folder=work.folder, labels=labels, show=to_rgb(target.seen(clip)))  # fmt: skip

    def finish() -> None:
        with progress.stage("encode"):
            if encoding:
                join(clip, work, out, encoding, labels)

    with noted(work), Consumer(write, FINISHED) as line:
        yield Writer(line, work, finish)
