"""What a run does to the machine and the process that it runs in: nothing but its own files, its bar and its line."""

import asyncio
import gc
import json
import locale
import logging
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import tomllib
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from importlib import metadata
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from packaging.requirements import Requirement
from swapping import CLIP, SELFIE, swapped

from vidswap.cli import main as cli
from vidswap.cli import models
from vidswap.read.faces import open_faces

ROOT = Path(__file__).parents[1]


# -- the command ------------------------------------------------------------------------------------------------------


def needed() -> set[str]:
    """The distributions that a plain install of the project brings."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found, left = set[str](), list(project["dependencies"])
    while left:
        wanted = Requirement(left.pop())
        name = re.sub(r"[-_.]+", "-", wanted.name).lower()
        if name in found or (wanted.marker and not wanted.marker.evaluate({"extra": ""})):
            continue
        try:
            left += metadata.requires(wanted.name) or []
        except metadata.PackageNotFoundError:  # an optional one's, or one that goes by another name here
            continue
        found.add(name)
    return found


@cache
def hidden() -> set[str]:
    """Modules that are installed here and would not be by a plain install."""
    plain = needed() | {"vidswap"}
    return {
        module
        for module, owners in metadata.packages_distributions().items()
        if not any(re.sub(r"[-_.]+", "-", owner).lower() in plain for owner in owners)
    }


@dataclass(frozen=True)
class Seen:
    """A command's run in a new home: what it said, what it asked of the system (Python's own audit), what it left."""

    out: str
    err: str
    asked: list[list[str]]
    calls: str  # by which something can leave the machine, as strace tells; empty where there is none
    left: dict[str, set[str]]  # in "home", "temporary", "work"


def seen(folder: Path, *command: str) -> Seen:
    """Run it as on a machine where nothing but the project was ever installed or run."""
    places = {name: folder / name for name in ("home", "temporary", "work")}
    for place in places.values():
        place.mkdir(parents=True)
    notes, calls = folder / "notes", folder / "calls"
    notes.touch()
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH", "SYSTEMROOT") if name in os.environ}
    environment = {
        **kept, "HOME": str(places["home"]), "TMPDIR": str(places["temporary"]), "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent / "plain"), str(ROOT)]),
        "HIDDEN": " ".join(hidden()), "NOTES": str(notes),
    }  # fmt: skip
    words = [*(tracing(calls) if STRACE else ()), *command]
    done = subprocess.run(words, check=False, env=environment, cwd=places["work"], capture_output=True, text=True,
                          timeout=120)  # fmt: skip
    assert done.returncode == 0, done.stderr
    asked = [json.loads(line) for line in notes.read_text().splitlines()]
    left = {name: {str(path.relative_to(place)) for path in place.rglob("*")} for name, place in places.items()}
    return Seen(done.stdout, done.stderr, asked, calls.read_text() if STRACE else "", left)


def tracing(notes: Path) -> list[str]:
    """strace, which notes the calls by which something can leave the machine; it stops at no others, so it is quick."""
    calls = "trace=socket,connect,sendto,sendmsg,sendmmsg"
    return ["strace", "-f", "--seccomp-bpf", "-qq", "-o", str(notes), "-e", calls]


def traceable() -> bool:
    """Whether strace is there, may trace, and can do so."""
    trial = [*tracing(Path(os.devnull)), "true"]
    return bool(shutil.which("strace")) and subprocess.run(trial, check=False, capture_output=True).returncode == 0


STRACE = traceable()


@pytest.fixture(scope="module")
def swap(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """A swap by the installed command."""
    script = Path(sys.executable).with_name("vidswap")
    command = [str(script)] if script.exists() else [sys.executable, "-m", "vidswap"]
    words = ["swap", str(CLIP), "--face", str(SELFIE), "--consent", "self", "--end", "3f", "-o", "out.mp4"]
    return seen(tmp_path_factory.mktemp("swap"), *command, *words)


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """The other commands, one after another."""
    words = [
        ["plan", str(CLIP), "--end", "3f", "-o", "clip.plan"],
        ["cast", str(CLIP), "--end", "3f", "-o", "cast.png"],
        ["swap", str(CLIP), "--face", str(SELFIE), "--consent", "self", "--plan", "clip.plan", "--engine", "warp",
         "-o", "out.mp4", "--sheet", "sheet.png"],
        ["evaluate", "out.mp4", "out.mp4", "--face", str(SELFIE), "--html", "page.html"],
        ["models", "verify"],
        ["cache", "list"],
    ]  # fmt: skip
    program = f"from vidswap.cli.main import main\nfor words in {words}:\n    assert main(words) == 0, words"
    return seen(tmp_path_factory.mktemp("others"), sys.executable, "-c", program)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """A swap by who imports vidswap, with nothing of what the command sets."""
    program = f"""
from pathlib import Path
from vidswap import ReadSettings, Settings, swap_clip
from vidswap.casting import Role
two = Settings(ReadSettings(end="2f"))
swap_clip(Path({str(CLIP)!r}), Role(Path({str(SELFIE)!r}), "self"), Path("out.mp4"), settings=two)
"""
    return seen(tmp_path_factory.mktemp("library"), sys.executable, "-c", program)


@pytest.fixture(params=["swap", "others", "library"])
def run(request: pytest.FixtureRequest) -> Seen:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Seen)
    return found


def test_a_plain_install_says_one_line_and_nothing_of_its_libraries(swap: Seen) -> None:
    assert swap.err == ""
    assert re.fullmatch(r"out\.mp4: 3 of 3 frames have the new face; \d+\.\d s\n", swap.out)


def test_no_command_says_anything_beside_its_answer(others: Seen, library: Seen) -> None:
    assert others.err == ""
    assert (library.out, library.err) == ("", "")
    assert "sheet.png: before and after" in others.out


def test_no_command_asks_anything_of_the_network(run: Seen) -> None:
    looks = ("socket.__new__", "socket.bind")
    said = [words for words in run.asked if words[0].startswith(("socket.", "urllib.")) and words[0] not in looks]
    assert said == []
    sent = [line for line in run.calls.splitlines() if "(" in line and "AF_UNIX" not in line]
    assert [line for line in sent if "socket(" not in line] == []


def test_the_command_opens_no_socket_and_the_library_one_that_reaches_nobody(
    swap: Seen, others: Seen, library: Seen
) -> None:
    """urllib3, as insightface imports it, binds one to this very machine and closes it, to see whether there is IPv6;
    only a switch of all of the process stops that, and the process is the command's own to set."""
    for command in (swap, others):
        assert [words for words in command.asked if words[0].startswith("socket.")] == []
        assert [line for line in command.calls.splitlines() if "socket(" in line and "AF_UNIX" not in line] == []
    bound = [words for words in library.asked if words[0].startswith("socket.")]
    assert len(bound) <= 2
    assert all("('::1', 0)" in words[2] for words in bound if words[0] == "socket.bind")


def test_no_command_starts_a_program(run: Seen) -> None:
    """PySceneDetect, when it is imported, looks whether there is an ffmpeg; nothing is asked of it. torch with CUDA in
    it asks ldconfig where libdl is."""
    begun = [words for words in run.asked if words[0] in ("os.system", "subprocess.Popen", "os.posix_spawn")]
    known = ("-v', 'quiet'", "['/sbin/ldconfig', '-p']")
    assert [words for words in begun if not any(part in words[2] for part in known)] == []


def test_a_command_writes_nothing_but_its_own_files(run: Seen, tmp_path_factory: pytest.TempPathFactory) -> None:
    own = tmp_path_factory.getbasetemp()
    written = {words[1] for words in run.asked if words[0] == "open" and not words[1].startswith("/dev/")}
    assert {path for path in written if not Path(path).is_relative_to(own)} == set()
    cache = Path(".cache") / "vidswap" if sys.platform == "linux" else Path()
    strange = {path for path in run.left["home"] if not Path(path).is_relative_to(cache) and path != ".cache"}
    assert strange == set()
    torchs = {name for name in run.left["temporary"] if re.fullmatch("torchinductor_[^/]*", name)}
    assert run.left["temporary"] - torchs == set(), "torch makes that, and leaves it empty, unless it is told not to"
    assert run.left["work"] <= {"out.mp4", "sheet.png", "clip.plan", "cast.png", "page.html"}


def test_a_plain_install_is_what_the_project_declares() -> None:
    assert {"av", "onnxruntime", "torch", "diffusers", "urllib3"} <= needed()
    assert {"pytest", "hypothesis"} <= hidden()
    assert not {"av", "numpy", "torch", "vidswap", "requests"} & hidden()


@pytest.mark.parametrize(("chosen", "want"), [(None, "1"), ("", "1"), ("0", "0")])
def test_importing_the_package_tells_onnxruntime_to_say_nothing(chosen: str | None, want: str) -> None:
    environment = {**os.environ, "ORT_DISABLE_TELEMETRY": chosen or ""}
    if chosen is None:
        del environment["ORT_DISABLE_TELEMETRY"]
    program = "import os, sys, vidswap; print(os.environ['ORT_DISABLE_TELEMETRY'], 'onnxruntime' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert told.stdout.split() == [want, "False"]


def test_no_thread_spins_while_it_waits_and_pools_are_sized_for_what_is_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """What torch, OpenMP, OpenBLAS and OpenCV read before they make their threads: in a container with 6 of 64 cores
    half of them, so that decoder and encoder have theirs; what a person has chosen stays."""
    monkeypatch.setattr("vidswap.processor.cores", lambda: 6)
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(models, "run", lambda _options: None)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    assert cli.main(["models"]) == 0
    assert (os.environ["OMP_NUM_THREADS"], os.environ["OMP_WAIT_POLICY"]) == ("3", "PASSIVE")
    assert {os.environ[f"OPENCV_THREAD_POOL_ACTIVE_WAIT_{who}"] for who in ("MAIN", "WORKER")} == {"0"}
    os.environ["OMP_NUM_THREADS"] = "5"
    assert cli.main(["models"]) == 0
    assert os.environ["OMP_NUM_THREADS"] == "5"


def test_the_command_leaves_no_folder_of_torchs(swap: Seen, others: Seen) -> None:
    assert swap.left["temporary"] == others.left["temporary"] == set()


def test_where_onnxruntime_was_imported_first_it_is_told_to_be_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[str] = []
    monkeypatch.setattr("onnxruntime.disable_telemetry_events", lambda: heard.append("silent"))
    open_faces("embedded")
    assert heard == ["silent"]


def test_the_face_models_threads_do_not_spin() -> None:
    reader = open_faces("embedded", threads=2)
    sessions = [reader._mesh.session, reader._pack.detector.session, reader._pack.recognizer.session]
    for options in (session.get_session_options() for session in sessions):
        assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
        assert options.get_session_config_entry("session.inter_op.allow_spinning") == "0"
        assert options.log_severity_level == 3


# -- the library ------------------------------------------------------------------------------------------------------


def switches() -> dict[str, object]:
    """What holds for all of a process, and is not ours to change."""
    filters = [tuple(str(word) for word in each) for each in warnings.filters]
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    logs = logging.root.level, logging.root.manager.disable
    return {
        "stdout": sys.stdout, "stderr": sys.stderr, "stdin": sys.stdin, "path": list(sys.path), "filters": filters,
        "handlers": {each: signal.getsignal(each) for each in signal.valid_signals()},
        "folder": Path.cwd(), "environment": environment, "locale": locale.setlocale(locale.LC_ALL),
        "torch": (torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled()),
        "opencv": cv2.getNumThreads(), "numpy": np.geterr(), "logging": logs,
        "chance": (random.getstate(), np.random.get_state()[1].tobytes()), "gc": gc.isenabled(),
        "hooks": (sys.excepthook, threading.excepthook, sys.getrecursionlimit(), sys.getswitchinterval()),
    }  # fmt: skip


def in_threads(outs: list[Path]) -> list[bytes]:
    with ThreadPoolExecutor(len(outs)) as pool:
        return list(pool.map(swapped, outs))


def in_asyncio(outs: list[Path]) -> list[bytes]:
    async def gathered() -> list[bytes]:
        return list(await asyncio.gather(*(asyncio.to_thread(swapped, out) for out in outs)))

    return asyncio.run(gathered())


def in_processes(outs: list[Path]) -> list[bytes]:
    with ProcessPoolExecutor(len(outs), get_context("spawn")) as pool:
        return list(pool.map(swapped, outs))


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return swapped(tmp_path_factory.mktemp("alone") / "out.mp4")


@pytest.fixture
def steady() -> Iterator[None]:
    """The process is afterwards what it was."""
    before = switches()
    yield
    after = switches()
    assert {name for name in before if before[name] != after[name]} == set()


@pytest.mark.parametrize("at_once", [in_threads, in_asyncio, in_processes])
def test_three_swaps_at_once_are_each_as_one_alone(
    tmp_path: Path, alone: bytes, steady: None, at_once: Callable[[list[Path]], list[bytes]]
) -> None:
    assert at_once([tmp_path / f"{number}.mp4" for number in range(3)]) == [alone] * 3


def test_the_command_may_run_in_any_thread(steady: None) -> None:
    """main() as a function, where no signal can be heard."""
    known = dict(os.environ)
    with ThreadPoolExecutor(1) as pool, pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "environ", known)
        assert pool.submit(partial(cli.main, ["models"])).result() == 0


def test_the_command_gives_the_signal_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "environ", dict(os.environ))
        assert cli.main(["models"]) == 0
    assert signal.getsignal(signal.SIGTERM) is before
