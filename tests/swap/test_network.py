"""In which numbers the network computes: tried once on a machine, kept, and part of what a result depends on."""

import json
import os
import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vidswap.plan.store import Cache
from vidswap.swap import network
from vidswap.swap.engine import load_engine
from vidswap.swap.engines import embedded
from vidswap.swap.network import DECISIVE, Trial
from vidswap.types import EngineChoice

TIMES = st.floats(1e-4, 1e2)


@given(TIMES, TIMES)
def test_the_less_exact_numbers_must_be_worth_it(half: float, full: float) -> None:
    assert (Trial(half, full).dtype == "bfloat16") == (half * DECISIVE < full)
    assert Trial(full, full).dtype == "float32"


def test_the_best_of_some_passes_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(network, "perf_counter", lambda: now[0])
    halves, fulls = iter([9.0, 1.0, 2.0, 3.0]), iter([5.0, 4.0, 7.0, 8.0])

    def takes(seconds: float) -> None:
        now[0] += seconds

    passes = {"bfloat16": lambda: takes(next(halves)), "float32": lambda: takes(next(fulls))}
    assert network.measured(passes) == Trial(1.0, 4.0)


@pytest.fixture
def trials(monkeypatch: pytest.MonkeyPatch) -> list[Trial]:
    """The trials to come, in place of real ones; each is taken out when it is made."""
    left = [Trial(9.0, 1.0), Trial(1.0, 9.0)]
    monkeypatch.setattr(network, "measured", lambda _passes: left.pop(0))
    return left


def test_a_trial_is_kept_for_the_next_process(tmp_path: Path, trials: list[Trial]) -> None:
    folder = tmp_path / "not yet there"
    assert network.tried(folder).dtype == "float32"
    assert network.tried(folder).dtype == "float32"
    assert len(trials) == 1


def test_an_emptied_cache_holds_no_trial(tmp_path: Path, trials: list[Trial]) -> None:
    network.tried(tmp_path)
    assert Cache(tmp_path).entries() == []
    assert Cache(tmp_path).clear() == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"bfloat16": "quick"}', b'{"bfloat16": 1.0}', b"\xff"])
def test_a_damaged_trial_is_made_anew(tmp_path: Path, trials: list[Trial], content: bytes) -> None:
    network.tried(tmp_path)
    kept = next(path for path in tmp_path.iterdir() if path.name != "lock.trial")
    kept.write_bytes(content)
    assert network.tried(tmp_path).dtype == "bfloat16"
    assert json.loads(kept.read_text()) == {"bfloat16": 1.0, "float32": 9.0}


def test_a_folder_that_takes_no_file_stops_nobody(tmp_path: Path, trials: list[Trial]) -> None:
    (tmp_path / "file").touch()
    assert network.tried(tmp_path / "file").dtype == "float32"


def test_there_is_one_trial_however_many_ask_at_once(tmp_path: Path, trials: list[Trial]) -> None:
    with ThreadPoolExecutor(4) as pool:
        assert {trial.dtype for trial in pool.map(network.tried, [tmp_path] * 4)} == {"float32"}
    assert len(trials) == 1


def test_who_keeps_nothing_tries_each_time_unless_told(trials: list[Trial]) -> None:
    assert [network.tried(None).dtype for _ in range(2)] == ["float32", "bfloat16"]
    for dtype in ("float32", "bfloat16"):
        with load_engine(EngineChoice("embedded", (("dtype", dtype),))) as engine:
            assert engine.engine.dtype == dtype


@pytest.mark.parametrize(("trial", "dtype"), [(Trial(9.0, 1.0), "float32"), (Trial(1.0, 9.0), "bfloat16")])
def test_the_engine_computes_in_what_was_quicker_and_its_key_says_so(
    monkeypatch: pytest.MonkeyPatch, trial: Trial, dtype: str
) -> None:
    monkeypatch.setattr(embedded, "tried", lambda _cache: trial)
    with load_engine(EngineChoice("embedded")) as engine:
        assert {each.dtype for each in engine.engine.network.parameters()} == {getattr(torch, dtype)}
        assert engine.engine.dtype == dtype
        key = engine.key
    monkeypatch.setattr(embedded, "tried", lambda _cache: Trial(9.0, 1.0) if dtype == "bfloat16" else Trial(1.0, 9.0))
    with load_engine(EngineChoice("embedded")) as engine:
        assert engine.key != key


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="an x86 processor made to look plainer")
def test_a_processor_without_units_for_bfloat16_computes_in_float32() -> None:
    plain = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "OMP_NUM_THREADS": "1"}
    program = "from vidswap.swap.network import tried; print(tried(None).dtype)"
    run = [sys.executable, "-c", program]
    told = subprocess.run(run, env={**os.environ, **plain}, capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["float32"]
