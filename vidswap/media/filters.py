"""Pictures through FFmpeg's filters and converter, as they are stored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from av.filter import Graph
from av.filter.context import FilterContext
from av.video.reformatter import Interpolation

# Without these flags swscale's rounding alone costs 1.5 dB after encoding.
EXACT = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
EXACT_WORDS = "flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"  # the same for the filter `scale`
Filter = tuple[str, str]  # FFmpeg's name of a filter, its options


class Chain:
    """Filters for one picture after another. They are kept while pictures are of one kind: to make them costs as much
    as to use them a hundred times. `filters` says which, for a picture of a kind."""

    def __init__(self, filters: Callable[[Any], Sequence[Filter]]) -> None:
        self._filters = filters
        self._kind: tuple[object, ...] | None = None

    def made_for(self, native: Any) -> tuple[FilterContext, ...]:
        """The filters, ready for pictures like this one."""
        kind = (native.width, native.height, native.format.name, native.colorspace, native.color_range)
        if kind != self._kind:
            self._graph, self._made = _graph(native, self._filters(native))
            self._kind = kind
        return self._made

    def through(self, native: Any) -> Any:
        """What the filters make of a picture; its pts and time base are not kept."""
        self.made_for(native)
        self._graph.push(native)
        return self._graph.pull()


def filtered(native: Any, *filters: Filter) -> Any:
    """What filters make of one picture."""
    return Chain(lambda _: filters).through(native)


def _graph(native: Any, filters: Sequence[Filter]) -> tuple[Graph, tuple[FilterContext, ...]]:
    graph = Graph()
    graph.threads = 1
    shape = f"video_size={native.width}x{native.height}:pix_fmt={native.format.name}:time_base=1/1000"
    made = tuple(graph.add(*each) for each in filters)
    for one, other in pairwise([graph.add("buffer", shape), *made, graph.add("buffersink")]):
        one.link_to(other)
    graph.configure()
    return graph, made
