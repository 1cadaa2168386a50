"""Words -> Settings, progress -> bars, errors -> exit codes. words.py has the words, console.py prints.

Nothing heavy is imported up here, so that --help and --version answer at once.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from importlib import import_module
from inspect import signature
from math import inf, isfinite
from pathlib import Path
from types import FrameType, MappingProxyType

import vidswap
from vidswap.cli.console import Unheard, arrived, hang_up, say, say_json, set_up, tell
from vidswap.cli.options import options_of
from vidswap.cli.words import completion, in_flags, parser
from vidswap.errors import ConsentError, OutputError, UsageError, VidswapError, quoted
from vidswap.libraries import loading
from vidswap.models import registry as weights
from vidswap.processor import cores
from vidswap.progress import Report, quiet
from vidswap.settings import SECTIONS, Settings

STOPPING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name))
PATIENCE = 3.0  # seconds after a signal in which others are not heard: what is kept is being put on the disk
MAKING = ("swap", "cast", "plan", "train")  # commands whose result is a file: with that, they are done
OURS = MappingProxyType({  # this process is ours, and no other module may set what holds for all of a process
    "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "NO_ALBUMENTATIONS_UPDATE": "1",
    "SVT_LOG": "0",  # SVT-AV1 would talk to whoever looks
    # Who waits leaves the processor to others: by default threads spin, at the cost of whoever works.
    "OMP_WAIT_POLICY": "PASSIVE", "OPENCV_THREAD_POOL_ACTIVE_WAIT_WORKER": "0",
    "OPENCV_THREAD_POOL_ACTIVE_WAIT_MAIN": "0",
})  # fmt: skip


def main(words: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is that of errors.py, 0 where all went well."""
    set_up()
    with _stopped_by_signals():
        try:
            return _run(parser().parse_args(words))
        except VidswapError as error:
            return _fail("; ".join([in_flags(str(error)), *_notes(error)]), error.code)
        except KeyboardInterrupt as stop:
            told = _notes(stop) or ["nothing was written"]
            return _fail("; ".join(["stopped", *told]), 128 + getattr(stop, "number", signal.SIGINT))
        finally:  # argparse ends --help by leaving
            hang_up()


def _run(options: argparse.Namespace) -> int:
    os.environ.update(_environment(options.command))
    socket.has_ipv6 = False  # urllib3, which insightface brings, would open a socket to see, as it is imported
    try:
        COMMANDS[options.command](options)
        arrived()
    except Unheard as error:
        if not error.gone:
            tell(f"what was found out cannot be printed ({error})")
            return 0 if options.command in MAKING else OutputError.code
    return 0


def _environment(command: str) -> dict[str, str]:
    """What libraries are told before they are loaded. torch makes a folder for its compiler, which nothing here uses,
    unless it is one that there is. The size of the pools is the user's to choose."""
    if command == "train":  # it has the machine to itself; in a swap others work beside torch
        return {**OURS, "TORCHINDUCTOR_CACHE_DIR": tempfile.gettempdir()}
    size = os.environ.get("OMP_NUM_THREADS", str(max(1, cores() // 2)))
    return {**OURS, "TORCHINDUCTOR_CACHE_DIR": tempfile.gettempdir(), "OMP_NUM_THREADS": size}


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Meanwhile Ctrl-C, SIGTERM and a terminal that is closed raise Stopped, if this is the thread that hears signals;
    not those that whoever started us (`nohup`) has us pass over. Who presses Ctrl-C again at once loses no work."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard = -inf

    def stop(number: int, _frame: FrameType | None) -> None:
        nonlocal heard
        if time.monotonic() - heard > PATIENCE:
            heard = time.monotonic()
            raise Stopped(number)

    before = {number: signal.getsignal(number) for number in STOPPING}
    taken = {number: then for number, then in before.items() if then in (signal.SIG_DFL, signal.default_int_handler)}
    for number in taken:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, then in taken.items():
            signal.signal(number, then)


def _settings(options: argparse.Namespace) -> Settings:
    """What of the words are settings: the sections themselves read them."""
    told = dict(vars(options))
    if "cache" in told:
        told["cache"] = cache_folder() if told["cache"] else None
    if "options" in told:
        told["options"] = options_of(told["options"], told["engine"])
    sections = {name: kind(**{each.name: told[each.name] for each in fields(kind) if each.name in told})
                for name, kind in SECTIONS.items()}  # fmt: skip
    return Settings(**sections)


def _swap(options: argparse.Namespace) -> None:
    settings = _settings(options)
    if options.consent is None:
        raise ConsentError("nobody's consent was named", "--consent self, or the path of a consent record")
    with _bars() as report:
        done = vidswap.swap_clip(options.clip, options.face, options.consent, options.out,
                                 settings=settings, report=report)  # fmt: skip
    _warn(done.notes)
    if options.json:
        return say_json({"out": str(done.out), "sheet": options.sheet and str(options.sheet), "frames": done.frames,
                         "resumed": done.resumed, "repeated": done.repeated, "swapped": done.swapped,
                         "persons": done.persons, "engine": settings.swap.engine, "licence": done.licence,
                         "notes": done.notes, "seconds": round(done.seconds, 2)})  # fmt: skip
    found = f", {done.resumed} were there already" if done.resumed else ""
    say(f"{done.out}: {done.swapped} of {done.frames} frames have the new face{found}; {done.seconds:.1f} s")
    if options.sheet:
        say(f"{options.sheet}: before and after")
    if options.face_pack != "embedded":
        say(f"face models: {done.licence}")


def _warn(notes: Sequence[str]) -> None:
    """What a person should know of how a command went."""
    for note in notes:
        tell(f"warning: {in_flags(note)}")


def _cast(options: argparse.Namespace) -> None:
    settings = _settings(options)
    with _bars() as report:
        found = vidswap.cast_clip(options.clip, options.out, settings=settings, report=report)
    _warn(found.notes)
    if options.json:
        people = [{"person": row.number, "seconds": round(row.seconds, 3), "spans": row.spans} for row in found.rows]
        return say_json({"out": str(found.out), "cast": people, "notes": found.notes})
    for row in found.rows:
        spans = ", ".join(f"{first:.1f}-{last:.1f}" for first, last in row.spans)
        say(f"--person {row.number}: {row.seconds:.1f} s on screen ({spans})")
    say(f"{found.out}: their faces")


def _plan(options: argparse.Namespace) -> None:
    settings = _settings(options)
    with _bars() as report:
        made = vidswap.plan_clip(options.clip, options.out, settings=settings, report=report)
    _warn(made.notes)
    if options.json:
        return say_json(asdict(made))
    say(f"{made.out}: {made.frames} frames, shots: {made.shots}, persons: {len(made.persons)}, "
        f"tracks: {made.tracks}; {made.bytes / 1e6:.1f} MB")  # fmt: skip


def _cache(options: argparse.Namespace) -> None:
    from vidswap.plan.store import LIMIT, Cache

    folder = cache_folder()
    if folder is None:
        raise UsageError("there is no home folder to keep a cache in", "set XDG_CACHE_HOME")
    entries = Cache(folder).clear() if options.action == "clear" else Cache(folder).entries()
    total = sum(entry.bytes for entry in entries)
    if options.json:
        return say_json({"folder": folder, "bytes": total, "limit": LIMIT, "cleared": options.action == "clear",
                         "entries": [asdict(entry) for entry in entries]})  # fmt: skip
    if options.action == "list" and entries:
        from vidswap.plan.file import title

        for entry in entries:
            age = _age(time.time() - entry.used)
            say(f"{entry.bytes / 1e6:>8.1f} MB  used {age:>8} ago  {title(entry.path)}")
    said = "removed from" if options.action == "clear" else "in"
    say(f"{len(entries)} entries, {total / 1e6:.1f} MB of at most {LIMIT / 1e6:.0f} MB, {said} {folder}")


def _age(seconds: float) -> str:
    """An age in its largest fitting unit: "3 h"."""
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def cache_folder() -> Path | None:
    """Where this user's caches are on this system; None for a user without a home."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    if Path(named).is_absolute():  # the standard says to ignore any other
        return Path(named) / "vidswap"
    try:
        home = Path.home()
    except RuntimeError:
        return None
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "vidswap"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local")) / "vidswap" / "Cache"
    return home / ".cache" / "vidswap"


def _models(options: argparse.Namespace) -> None:
    known = weights.registry()
    if options.action == "seal":
        present = {name for name, model in known.items() if (weights.ROOT / model.path).exists()}
        known = weights.record_checksums(present)
    if options.action == "verify":
        for name in known:
            weights.path_to(name)
    if options.json:
        return say_json({name: asdict(model) for name, model in known.items()})
    for model in known.values():
        use = "commercial use allowed" if model.commercial else "no commercial use"
        say(f"{model.name}: {model.purpose}", f"  {model.licence}, {use}; {model.source}")
        for file in model.files:
            say(f"  {file.sha256}  {file.bytes:>9,}  {file.path}")
    total = sum(model.bytes for model in known.values())
    say(f"{total / 1e6:.1f} MB" + (", all verified" if options.action == "verify" else ""))


def _bench(options: argparse.Namespace) -> None:
    settings = _settings(options)
    with loading():
        from vidswap.measure.bench import bench, table

    with _bars() as report:
        found = bench(options.clip, options.face, options.consent,
                      settings=settings, heights=options.heights, report=report)  # fmt: skip
    if options.json:
        return say_json(found.figures())
    say(*table(found).splitlines())


def _train(options: argparse.Namespace) -> None:
    if not (options.data / "labels.npz").is_file():
        raise UsageError(f"{options.data} has no labels.npz", "--data is a folder of faces with labels.npz beside them")
    for flag, folder in (("--data", options.data), ("--scenes", options.scenes)):
        if folder and folder.exists() and options.out.exists() and options.out.samefile(folder):
            raise UsageError(f"--out is the folder of {flag}", "give the model a folder of its own")
    with loading():
        trainer = import_module(f"vidswap.train.{options.model}")
    accepted = signature(trainer.train).parameters
    offered: dict[str, object] = {"scenes": options.scenes, "seed": options.seed, "say": say}
    for name in {"schedule", "augmentation"} & accepted.keys():  # how long and how hard: each trainer's own dataclass
        kind = getattr(trainer, name.capitalize())
        known = {"seed": options.seed} if "seed" in vars(kind()) else {}
        offered[name] = replace(kind(), **known, **_changes(kind(), options.set))
    made = trainer.train(options.data, options.out, **{name: offered[name] for name in accepted if name in offered})
    if options.out.resolve() == (weights.ROOT / "embedded").resolve():
        weights.record_checksums({"face" if options.model == "shape" else options.model})
    say(f"{made}: trained")


def _changes(schedule: object, words: Sequence[str]) -> dict[str, object]:
    """key=value words as values of the types that the schedule's own have. Raises UsageError."""
    changes: dict[str, object] = {}
    for word in words:
        key, _, value = word.partition("=")
        try:
            changes[key] = kept = type(vars(schedule)[key])(value)
            if isinstance(kept, float) and not isfinite(kept):
                raise ValueError
        except (KeyError, ValueError) as error:
            raise UsageError(f"--set {quoted(word)} cannot be", f"the schedule is {schedule}") from error
    return changes


def _evaluate(options: argparse.Namespace) -> None:
    settings = _settings(options)
    with _bars() as report:
        found = vidswap.evaluate_clip(options.clip, options.out, options.face,
                                      html=options.html, settings=settings, report=report)  # fmt: skip
    _warn(found.notes)
    if options.json:
        return say_json({**found.as_dict(), "notes": found.notes})
    say(*found.rows())
    if options.html:
        say(f"{options.html}: the report")


def _doctor(options: argparse.Namespace) -> None:
    with loading():
        from vidswap.cli.doctor import examined

    found = examined(cache_folder())
    if options.json:
        return say_json(found)
    width = max(map(len, found))
    for name, value in found.items():
        say(f"{name:<{width}}  {value}")


def _completion(options: argparse.Namespace) -> None:
    with loading():
        script = completion(options.shell)
    say(*script.splitlines())


@contextmanager
def _bars() -> Iterator[Report]:
    """A report that draws one bar, for the stage that is at work; nothing where nobody looks."""
    if not sys.stderr.isatty():
        yield quiet
        return
    with vidswap.Bars() as report:
        yield report


def _fail(message: str, code: int) -> int:
    tell(message)
    return code


def _notes(error: BaseException) -> list[str]:
    """What a render said about what it keeps."""
    return getattr(error, "__notes__", [])


class Stopped(KeyboardInterrupt):
    """By the signal `number`: unwinds like Ctrl-C, so that no part of a result is left. The exit code is 128 more."""

    def __init__(self, number: int = signal.SIGTERM) -> None:
        super().__init__()
        self.number = number


COMMANDS = MappingProxyType({
    "swap": _swap, "cast": _cast, "plan": _plan, "evaluate": _evaluate, "models": _models, "cache": _cache,
    "bench": _bench, "train": _train, "doctor": _doctor, "completion": _completion,
})  # fmt: skip
