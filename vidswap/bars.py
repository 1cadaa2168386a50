"""How far a run is, drawn for whoever looks: one bar, in a terminal or a notebook."""

from __future__ import annotations

from contextlib import suppress

from tqdm.auto import tqdm


class Bars:
    """A report that draws the stage that is at work: `swap_clip(..., report=Bars())`. `with` ends the bar with the
    run, whatever happens to it."""

    def __init__(self) -> None:
        self._stage = ""
        self._bar: tqdm | None = None

    def __call__(self, stage: str, done: int, total: int) -> None:
        with suppress(OSError, ValueError):  # a terminal that was closed: that stops no run
            self._draw(stage, done, total)

    def _draw(self, stage: str, done: int, total: int) -> None:
        if self._bar is None:
            self._bar = tqdm(total=total, desc=stage, unit="")
        elif stage != self._stage:
            self._bar.set_description(stage, refresh=False)
            self._bar.reset(total)
        self._stage = stage
        self._bar.update(done - self._bar.n)

    def __enter__(self) -> Bars:
        return self

    def __exit__(self, *_error: object) -> None:
        with suppress(OSError, ValueError):
            if self._bar is not None:
                self._bar.close()
