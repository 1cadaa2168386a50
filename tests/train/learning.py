"""A few steps of training, on batches that are there already."""

from torch import nn

from vidswap.train import loop


def learnt_from(lesson: loop.Lesson, rate: float) -> tuple[list[float], nn.Module]:
    """The losses of one step for each batch of a lesson, and the net after them."""
    state, count = loop.State(lesson, rate), len(lesson.batches)
    losses = list(loop.steps(state, lesson, iter(lesson.batches), loop.Schedule(steps=count, rate=rate)))
    return losses, state.net
