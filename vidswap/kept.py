"""An earlier result -> what of it stays while other shots are swapped anew: its frames, and what it says of itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, pairwise, repeat
from operator import attrgetter
from typing import Any

from vidswap.media.encoder import Encoding
from vidswap.media.groups import Group, groups
from vidswap.read.clip import frames
from vidswap.swap.windows import Casting, within
from vidswap.types import Clip, Frame, Shot
from vidswap.write.framing import Framing

KEPT, WITH = "; kept shots: ", " + "  # between the labels of results, in `comment`; between values, in other tags
PIECES = 1 << 40  # between the numbers of a track's pieces, in shots that dissolve into one another


@dataclass(frozen=True, eq=False)
class Kept:
    """What of the frames `span` is not swapped anew: all but the shots `anew` stay as they are in `earlier`, a clip of
    these frames whose digest is `digest`; without one, nothing is kept. What can go into a film of the `encoding` as it
    is loses nothing; elsewhere the frames that stay are encoded again."""

    span: Shot
    anew: tuple[Shot, ...]
    earlier: Clip | None = None
    digest: str = ""
    encoding: Encoding | None = None

    @property
    def shots(self) -> tuple[Shot, ...]:
        """Runs of frames that are kept."""
        edges = [self.span.start, *chain.from_iterable((each.start, each.stop) for each in self.anew), self.span.stop]
        return tuple(Shot(*pair) for pair in zip(edges[::2], edges[1::2]) if pair[0] < pair[1])

    @cached_property
    def runs(self) -> tuple[Shot, ...]:
        """Runs of frames, among those that are kept, that are copied as they are coded."""
        found = [Shot(group.start, group.stop) for group in self._groups()]
        return tuple(joined(run for run in found if any(shot.start <= run.start and run.stop <= shot.stop
                                                         for shot in self.shots)))  # fmt: skip

    @property
    def count(self) -> int:
        """How many frames are kept."""
        return sum(map(len, self.shots))

    @property
    def key(self) -> object:
        """All of it that a result depends on."""
        return self.digest, self.shots

    def castings(self, casting: Sequence[Casting]) -> list[Casting]:
        """What of them is played anew. A track that goes on through a dissolve is played up to where that turns into a
        shot that is kept."""
        if self.earlier is None:
            return list(casting)
        return [each if number == 0 else replace(each, track=replace(each.track, id=each.track.id + PIECES * number))
                for whole in casting
                for number, each in enumerate(part for shot in self.anew for part in within(whole, shot))]  # fmt: skip

    def framing(self, shown: Framing, start: int) -> Framing:
        """What makes a frame the target's, as `shown` does, or takes it from the earlier result, in order; none is
        taken from before `start`."""
        spans = [Shot(max(each.start, start), each.stop) for each in self.shots if each.stop > start]
        if self.earlier is None or not spans:
            return shown
        stay = {index for each in spans for index in range(each.start, each.stop)}
        found = self._natives(self.earlier, spans)

        def framed(frame: Frame) -> Frame:
            return replace(frame, native=next(found)) if frame.index in stay else shown(frame)

        return framed

    def _natives(self, earlier: Clip, spans: Sequence[Shot]) -> Iterator[Any]:
        """Of each frame of the spans its picture; of one that is copied the group that it begins, or None."""
        found, copied, moved = self._groups(), {run.start for run in self.runs}, self.span.start
        edges = [edge for run in self.runs for edge in (run.start, run.stop)]
        for span in spans:
            inside = (edge for edge in edges if span.start < edge < span.stop)
            for start, stop in pairwise(sorted({span.start, span.stop, *inside})):
                if start in copied:
                    for group in _up_to(stop, found):
                        if group.start >= start:
                            yield from (group, *repeat(None, group.stop - group.start - 1))
                else:
                    yield from (frame.native for frame in frames(earlier, start - moved, stop - moved))

    def _groups(self) -> Iterator[Group]:
        if self.earlier and self.encoding:
            yield from (group.moved(self.span.start) for group in groups(self.earlier, self.encoding))

    def labels(self, tags: Mapping[str, str]) -> Mapping[str, str]:
        """The tags of a result that says also what the earlier one said of the frames that are kept."""
        if self.earlier is None or not self.shots:
            return tags
        there = {name.lower(): value for name, value in self.earlier.tags.items()}
        said = there.get("comment", "").partition("\n")[0].split(KEPT)  # what follows is the clip's own
        comments = dict.fromkeys(filter(None, [tags["comment"], *said]))
        values = {name: [*value.split(WITH), *there.get(name, "").split(WITH)] for name, value in tags.items()}
        return {name: WITH.join(dict.fromkeys(filter(None, each))) for name, each in values.items()} | {
            "comment": KEPT.join(comments)
        }


def _up_to(stop: int, found: Iterator[Group]) -> Iterator[Group]:
    """The next groups, the last of which ends before frame `stop`."""
    for group in found:
        yield group
        if group.stop == stop:
            return


def joined(shots: Iterable[Shot]) -> list[Shot]:
    """Shots in order, those that follow one another as one."""
    found = list[Shot]()
    for shot in sorted(shots, key=attrgetter("start")):
        before = found.pop() if found and shot.start <= found[-1].stop else shot
        found.append(Shot(before.start, max(before.stop, shot.stop)))
    return found
