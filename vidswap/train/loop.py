"""The one training loop: batches by number, a rate with a course, a running mean of the weights, and checkpoints.

A batch is made from the seed and its number alone, and so is all chance within a step. So a run that is killed goes on
from its last checkpoint as if nothing had happened, and any number of processes may make batches.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass
from math import cos, pi
from pathlib import Path
from typing import Any, Generic, TypeVar

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from vidswap.errors import OutputError, UsageError
from vidswap.files import as_output_error, whole
from vidswap.keys import code_of, key_of, packages
from vidswap.progress import Report, quiet

Batch = tuple[Tensor, ...]
Item = TypeVar("Item")
Say = Callable[[str], None]
WARM_UP = 100  # steps until the rate is whole
AHEAD = 4  # batches that are made before they are asked for
SAMPLE, ORDER, ECHO, STEP = 1, 2, 3, 4  # what chance is for


def mute(_line: str) -> None:
    """A listener that lets words pass."""


@dataclass(frozen=True)
class Schedule:
    """How long to learn: `steps` of `batch` samples, or `minutes`, whichever ends first. `rate` is the highest;
    `every` so many minutes all is kept, to go on from; `workers` are processes that make batches."""

    steps: int = 10_000
    minutes: float = 60.0
    batch: int = 32
    rate: float = 2e-3
    seed: int = 0
    every: float = 3.0
    workers: int = 1

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("minutes", 0), ("batch", 1), ("rate", 0), ("every", 0), ("workers", 0)):
            if getattr(self, name) < least:
                raise UsageError(f"{name} is {getattr(self, name)}", f"allowed: {least} and more")


@dataclass(frozen=True, eq=False)
class Lesson:
    """What is learnt: a `net`, from the batches `batches[0]`, `batches[1]` ..., by its `loss` for a batch when a share
    of the run, 0 to 1, is past. `course` is the share of the rate at a step and at that share; the running mean of the
    weights keeps `decay` of itself at a step, gradients are cut at the norm `clip`. What `quick` names (the beginning
    of parameters' names) learns four times as fast, and is not drawn to zero."""

    net: nn.Module
    batches: Dataset[Batch]
    loss: Callable[[nn.Module, Batch, float], Tensor]
    course: Callable[[int, float], float]
    decay: float = 0.997
    clip: float = 5.0
    shrink: float = 0.02  # AdamW's weight decay
    quick: str = ""
    source: str = ""  # the digest of what the batches are made from
    in_place: bool = False  # the net is parts of a larger one, which `loss` asks: learn in them, and not in a copy


class Kept(Generic[Item]):
    """What `make` gives for numbers: the last `most` of it waits to be asked for again."""

    def __init__(self, make: Callable[[int], Item], most: int) -> None:
        self._make, self._most, self._found = make, most, dict[int, Item]()

    def __call__(self, number: int) -> Item:
        if number not in self._found:
            while len(self._found) >= self._most:
                del self._found[next(iter(self._found))]
            self._found[number] = self._make(number)
        return self._found[number]


class Echoed(Dataset[Batch]):
    """Batches of which `fresh` samples are new, the others drawn from the last `kept` (data echoing, Choi et al. 2019):
    `make` gives the sample of a number, and is slow."""

    def __init__(self, make: Callable[[int], Batch], batch: int, fresh: int, kept: int, seed: int) -> None:
        self._samples, self._batch, self._fresh, self._kept, self._seed = Kept(make, kept), batch, fresh, kept, seed

    def __getitem__(self, step: int) -> Batch:
        stop = (step + 1) * self._fresh
        old = chance(self._seed, ECHO, step).integers(max(0, stop - self._kept), stop, self._batch - self._fresh)
        samples = [self._samples(number) for number in (*range(stop - self._fresh, stop), *old.tolist())]
        return tuple(torch.stack(parts) for parts in zip(*samples, strict=True))


def chance(seed: int, of: int, number: int) -> np.random.Generator:
    """Chance for one thing (SAMPLE, ORDER, ECHO, STEP) of a number, the same whenever that is made."""
    return np.random.default_rng([seed, of, number])


def shuffled(turn: int, count: int, seed: int) -> list[int]:
    """The numbers below `count`, in another order each turn."""
    return [int(number) for number in chance(seed, ORDER, turn).permutation(count)]


def in_turns(number: int, count: int, seed: int) -> int:
    """Which of `count` things comes at a number: each once a turn."""
    turn, place = divmod(number, count)
    return shuffled(turn, count, seed)[place]


def cosine(step: int, share: float, least: float = 0.0) -> float:
    """Warm up, then fall along a cosine, to `least` at the end (Loshchilov and Hutter, ICLR 2017)."""
    return min(1.0, (step + 1) / WARM_UP) * (least + (1 - least) * (1 + cos(pi * share)) / 2)


def held(step: int, share: float) -> float:
    """Warm up, hold, fall to nothing over the last 40 %."""
    return min(1.0, (step + 1) / WARM_UP, max(0.0, 1 - share) / 0.4)


class State:
    """A run between two steps: the net, the running mean of its weights, the optimiser; steps and seconds done."""

    def __init__(self, lesson: Lesson, rate: float) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        net = lesson.net if lesson.in_place else deepcopy(lesson.net)
        self.net = net.to(self.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.mean = deepcopy(self.net).eval()
        named = list(self.net.named_parameters())
        quick = [one for name, one in named if lesson.quick and name.startswith(lesson.quick)]
        rest = [one for name, one in named if not (lesson.quick and name.startswith(lesson.quick))]
        groups = [{"params": rest, "weight_decay": lesson.shrink, "times": 1.0},
                  {"params": quick, "weight_decay": 0.0, "times": 4.0}]  # fmt: skip
        self.optimiser = torch.optim.AdamW([group for group in groups if group["params"]], lr=rate)
        self.step, self.seconds = 0, 0.0

    def parts(self) -> dict[str, Any]:
        """All that has tensors."""
        return {"net": self.net, "mean": self.mean, "optimiser": self.optimiser}

    def keep(self, place: Path, key: str) -> None:
        """Write a checkpoint. Raises OutputError."""
        found = {name: part.state_dict() for name, part in self.parts().items()}
        with as_output_error(place), whole(place) as part:
            torch.save({**found, "step": self.step, "seconds": self.seconds, "key": key}, part)

    def resume(self, place: Path, key: str) -> bool:
        """Take over what a checkpoint holds, if it has the key. Raises OutputError where it is damaged."""
        try:
            found = torch.load(place, map_location=self.device, weights_only=True)
        except (OSError, RuntimeError, EOFError, ValueError) as error:
            raise OutputError(f"the checkpoint {place} is damaged", "remove it: training begins anew") from error
        if found.get("key") != key:
            return False
        for name, part in self.parts().items():
            part.load_state_dict(found[name])
        self.step, self.seconds = found["step"], found["seconds"]
        return True


def steps(state: State, lesson: Lesson, batches: Iterator[Batch], schedule: Schedule) -> Iterator[float]:
    """Learn from one batch after the other, from where `state` is on, until steps or minutes are over: the losses."""
    since = time.monotonic() - state.seconds
    while state.step < schedule.steps and state.seconds < 60 * schedule.minutes:
        batch = tuple(part.to(state.device) for part in next(batches))
        torch.manual_seed(int(chance(schedule.seed, STEP, state.step).integers(2**62)))
        share = max(state.step / schedule.steps, state.seconds / 60 / schedule.minutes)
        for group in state.optimiser.param_groups:
            group["lr"] = schedule.rate * group["times"] * lesson.course(state.step, share)
        loss = lesson.loss(state.net, batch, share)
        state.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(state.net.parameters(), lesson.clip)
        state.optimiser.step()
        follow(state.mean, state.net, min(lesson.decay, (state.step + 1) / (state.step + 10)))
        state.step, state.seconds = state.step + 1, time.monotonic() - since
        yield float(loss.detach())


@torch.no_grad()
def follow(mean: nn.Module, net: nn.Module, keep: float) -> None:
    """Move the running mean of the weights, which is what ships, towards the net (Polyak and Juditsky 1992)."""
    for slow, fast in zip(mean.state_dict().values(), net.state_dict().values(), strict=True):
        if slow.dtype.is_floating_point:
            slow.lerp_(fast, 1 - keep)
        else:
            slow.copy_(fast)


@contextmanager
def checkpoints(out: Path, *names: str) -> Iterator[list[Path]]:
    """Where in the folder `out` runs are kept meanwhile; nowhere any more once all went well."""
    out.mkdir(parents=True, exist_ok=True)
    places = [out / f".{name}.checkpoint" for name in names]
    yield places
    for place in places:
        place.unlink(missing_ok=True)


def begun(net: nn.Module, start: str) -> nn.Module:
    """A net with the running mean of a checkpoint's weights, or as it is. Raises UsageError."""
    if start:
        try:
            net.load_state_dict(torch.load(start, map_location="cpu", weights_only=True)["mean"])
        except (OSError, RuntimeError, EOFError, ValueError, KeyError) as error:
            raise UsageError(f"{start} has no weights of this net", "allowed: a checkpoint of this trainer") from error
    return net


def learn(lesson: Lesson, schedule: Schedule, place: Path, say: Say = mute, report: Report = quiet) -> nn.Module:
    """The running mean of the weights after the whole schedule, on the CPU. Every few minutes, and at the end, `place`
    is the checkpoint that a run of equal schedule, code and torch goes on from: who has made use of what was learnt
    removes it. `say` hears a line then. Raises OutputError."""
    key = key_of({**asdict(schedule), "net": type(lesson.net).__name__, "source": lesson.source,
                  "code": code_of("train"), **packages("torch")})  # fmt: skip
    state = State(lesson, schedule.rate)
    if place.is_file():
        goes_on = state.resume(place, key)
        say(f"{place}: " + (f"goes on from step {state.step}" if goes_on else "of another schedule, or code: anew"))
    cv2.setNumThreads(0)  # a pool of threads does not survive the fork into the processes that make batches
    ahead = AHEAD if schedule.workers else None
    loader = DataLoader(lesson.batches, batch_size=None, sampler=range(state.step, schedule.steps),
                        num_workers=schedule.workers, prefetch_factor=ahead)  # fmt: skip
    kept, mean = state.seconds, 0.0
    for loss in steps(state, lesson, iter(loader), schedule):
        mean += (loss - mean) * max(0.02, 1 / state.step)
        report("training", state.step, schedule.steps)
        if state.seconds - kept >= 60 * schedule.every:
            kept = state.seconds
            state.keep(place, key)
            say(f"step {state.step} of {schedule.steps}: loss {mean:.4f}, {state.seconds / 60:.1f} min")
    state.keep(place, key)
    return state.mean.to(memory_format=torch.contiguous_format).cpu()  # type: ignore[no-any-return]
