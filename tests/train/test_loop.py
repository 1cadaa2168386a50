"""A run that is killed goes on as if nothing had happened, and what is exported says what the net says."""

from __future__ import annotations

import itertools
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from vidswap.errors import ModelError, OutputError
from vidswap.face import geometry
from vidswap.face.landmarks import OVAL, mean_face, triangles
from vidswap.models.registry import path_to
from vidswap.train import detector, export, features, loop, mesh, recognizer, swapper, swapper_samples

STEPS, KILLED = 4, 2
TRAINERS = {
    "detector": (detector, {"batch": 4, "size": 64}),
    "mesh": (mesh, {"batch": 4, "fresh": 2, "kept": 6}),
    "features": (features, {"batch": 4, "fresh": 2, "kept": 6}),
    "recognizer": (recognizer, {"batch": 4, "children": 2}),
    "swapper": (swapper, {"batch": 2}),
}  # fmt: skip


class Killed(BaseException):
    """What ends a run in the middle."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six painted faces with their meshes, laid out as the training data are."""
    folder = tmp_path_factory.mktemp("faces")
    rng, meshes = np.random.default_rng(5), []
    for k in range(6):
        mesh = geometry.posed(mean_face() * rng.uniform(0.9, 1.1, 3), (60.0 + 5 * k, np.eye(3), np.array([110, 95, 0])))
        picture = cv2.GaussianBlur(rng.integers(60, 120, (220, 220, 3)).astype(np.uint8), (0, 0), 2)
        cv2.fillPoly(picture, [np.round(mesh[OVAL, :2]).astype(np.int32)], (110 + 20 * k, 140, 200))
        cv2.imwrite(str(folder / f"{k:04d}.jpg"), picture)
        meshes.append(mesh)
    np.savez(folder / "labels.npz", name=np.array([f"{k:04d}.jpg" for k in range(6)]), mesh=np.stack(meshes))
    np.savez(folder / "topology.npz", tri=triangles().astype(np.int64))
    swapper_samples.train(folder, folder, schedule=swapper_samples.Schedule(pairs=3))
    return folder


@pytest.mark.parametrize("model", TRAINERS)
def test_killed_and_gone_on_is_as_in_one_go(
    model: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the last bit: of the weights as they are exported."""
    trainer, choices = TRAINERS[model]
    schedule = trainer.Schedule(steps=STEPS, every=0, workers=0, **choices)  # type: ignore[arg-type]
    monkeypatch.setattr(mesh, "RANK", 4)
    folders = [tmp_path / name for name in ("whole", "parts")]
    for folder in folders:
        folder.mkdir()
        shutil.copy(path_to("face"), folder / "face.npz")
    trainer.train(data, folders[0], schedule=schedule)
    seen: list[int] = []

    def until(_stage: str, step: int, _steps: int) -> None:
        seen.append(step)
        if seen == list(range(1, KILLED + 1)):
            raise Killed

    said: list[str] = []
    with pytest.raises(Killed):
        trainer.train(data, folders[1], schedule=schedule, report=until)
    assert [path.name for path in folders[1].glob(".*")] == [f".{model}.checkpoint"]
    trainer.train(data, folders[1], schedule=schedule, report=until, say=said.append)
    assert seen[: STEPS + 1] == [*range(1, KILLED + 1), *range(KILLED, STEPS + 1)]
    assert "goes on from step 1" in said[0]
    whole, parts = ({path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
                    for folder in folders)  # fmt: skip
    assert whole.keys() == parts.keys(), "and no checkpoint is left"
    assert [name for name in whole if whole[name] != parts[name]] == []


def test_a_checkpoint_of_another_schedule_is_not_gone_on_from(tmp_path: Path) -> None:
    place, said = tmp_path / "x", list[str]()
    lesson = loop.Lesson(nn.Linear(3, 1), Sums(), loss_of, loop.cosine)
    schedule = loop.Schedule(steps=4, batch=2, workers=0)
    first = loop.learn(lesson, schedule, place)
    again = loop.learn(lesson, schedule, place, said.append)
    loop.learn(lesson, replace(schedule, rate=1e-3), place, said.append)
    assert "goes on from step 4" in said[0]
    assert "anew" in said[1]
    assert torch.equal(first.weight, again.weight)  # type: ignore[attr-defined]
    place.write_bytes(b"PK\3\4 no")
    with pytest.raises(OutputError, match="damaged"):
        loop.learn(lesson, schedule, place)


class Sums:
    """Numbers, and their sum."""

    def __getitem__(self, step: int) -> loop.Batch:
        given = torch.from_numpy(loop.chance(1, loop.SAMPLE, step).normal(size=(2, 3))).float()
        return given, given.sum(1, keepdim=True)


def loss_of(net: nn.Module, batch: loop.Batch, _share: float) -> torch.Tensor:
    return (net(batch[0]) - batch[1]).square().mean() + 0.1 * torch.rand(())


def test_processes_that_make_batches_change_nothing(tmp_path: Path) -> None:
    lesson = loop.Lesson(nn.Linear(3, 1), Sums(), loss_of, loop.cosine)
    schedules = [loop.Schedule(steps=6, workers=workers) for workers in (0, 2)]
    learnt = [loop.learn(lesson, schedule, tmp_path / f"{schedule.workers}") for schedule in schedules]
    assert torch.equal(learnt[0].weight, learnt[1].weight)  # type: ignore[attr-defined]


def test_the_clock_ends_a_run(tmp_path: Path) -> None:
    lesson = loop.Lesson(nn.Linear(3, 1), Sums(), loss_of, loop.cosine)
    state = loop.State(lesson, 0.1)
    state.seconds = 59.9999
    batches = (lesson.batches[step] for step in range(1000))
    assert len(list(loop.steps(state, lesson, batches, loop.Schedule(minutes=1.0)))) < 1000


@given(st.integers(0, 500), st.integers(1, 40), st.integers(0, 5))
def test_each_comes_once_a_turn(number: int, count: int, seed: int) -> None:
    first = number * count
    assert sorted(loop.in_turns(first + place, count, seed) for place in range(count)) == list(range(count))


@given(st.integers(0, 200), st.integers(1, 8), st.integers(0, 12))
def test_echoes_are_of_the_last_that_are_kept(step: int, fresh: int, more: int) -> None:
    kept = fresh + more
    echoed = loop.Echoed(lambda number: (torch.tensor(number),), 2 * fresh, fresh, kept, 0)
    (numbers,) = echoed[step]
    stop = (step + 1) * fresh
    assert numbers[:fresh].tolist() == list(range(stop - fresh, stop))
    assert max(0, stop - kept) <= int(numbers.min())
    assert int(numbers.max()) < stop
    assert torch.equal(numbers, echoed[step][0])


def test_what_is_kept_is_made_once_and_no_more_than_so_many(capsys: pytest.CaptureFixture[str]) -> None:
    made: list[int] = []
    kept = loop.Kept(lambda number: made.append(number) or number, 2)
    assert [kept(number) for number in (1, 2, 1, 3, 2, 1)] == [1, 2, 1, 3, 2, 1]
    assert made == [1, 2, 3, 1]


@given(st.floats(0, 1), st.integers(0, 10_000))
def test_rates_rise_hold_and_fall(share: float, step: int) -> None:
    for course in (loop.cosine, loop.held, swapper.course, recognizer.pace):
        assert 0 <= course(step, share) <= 1
    assert loop.cosine(10_000, 1.0) == pytest.approx(loop.held(10_000, 1.0)) == 0
    assert swapper.course(10_000, 1.0) == pytest.approx(0.02)
    assert loop.held(10_000, 0.6) == pytest.approx(1.0)


def test_an_export_that_says_something_else_is_refused(tmp_path: Path) -> None:
    answers = itertools.count(1)

    class Fickle(nn.Module):
        """Answers differently each time, as no file does."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * float(next(answers))

    target = tmp_path / "net.onnx"
    with pytest.raises(ModelError, match="something else than the net"):
        export.save_onnx(Fickle(), torch.ones(1, 3), ("x", "y"), target, {})
    assert list(tmp_path.iterdir()) == []


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    net = swapper.network()
    with torch.no_grad():
        next(net.parameters()).fill_(1e6)
    with pytest.raises(ModelError, match="16 bits"):
        swapper.save(net, tmp_path / "swapper")
    assert not (tmp_path / "swapper").exists()
