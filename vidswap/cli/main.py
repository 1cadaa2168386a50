"""One command: words -> what it does, errors -> exit codes. Each command is a file of its own, words.py has what their
words have in common, console.py prints.

Nothing heavy is imported up here, nor by the commands, so that --help and --version answer at once.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import inf
from types import FrameType, MappingProxyType

from vidswap import __version__
from vidswap.cli import (
    bench,
    cache,
    cast,
    completion,
    doctor,
    engines,
    evaluate,
    look,
    models,
    moments,
    plan,
    short,
    swap,
    train,
)
from vidswap.cli.console import Unheard, arrived, hang_up, set_up, tell
from vidswap.cli.words import Parser, in_flags
from vidswap.errors import OutputError, VidswapError

# A command is a module: ABOUT it, the `words` that it takes, and how to `run` it.
COMMANDS = MappingProxyType({
    "swap": swap, "cast": cast, "plan": plan, "evaluate": evaluate, "engines": engines, "models": models,
    "short": short, "moments": moments, "look": look, "cache": cache, "bench": bench, "train": train, "doctor": doctor,
    "completion": completion,
})  # fmt: skip
STOPPING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name))
PATIENCE = 3.0  # seconds after a signal in which others are not heard: what is kept is being put on the disk
MAKING = ("swap", "short", "cast", "plan", "train")  # commands whose result is a file: with that, they are done
OURS = MappingProxyType({  # this process is ours, and no other module may set what holds for all of a process
    "HF_HUB_DISABLE_PROGRESS_BARS": "1", "DIFFUSERS_VERBOSITY": "error", "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_VERBOSITY": "error", "NO_ALBUMENTATIONS_UPDATE": "1",
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


def parser() -> Parser:
    """All commands and their options."""
    top = Parser(prog="vidswap", description="Put a person into a film scene. They must have agreed.")
    top.add_argument("--version", action="version", version=f"vidswap {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
    for name, command in COMMANDS.items():
        own = commands.add_parser(name, help=command.ABOUT)
        own.set_defaults(all_words=top)
        command.words(own)
    return top


def _run(options: argparse.Namespace) -> int:
    os.environ.update(_environment(options.command))
    socket.has_ipv6 = False  # urllib3, which insightface brings, would open a socket to see, as it is imported
    try:
        COMMANDS[options.command].run(options)
        arrived()
    except Unheard as error:
        if not error.gone:
            tell(f"what was found out cannot be printed ({error})")
            return 0 if options.command in MAKING else OutputError.code
    return 0


def _environment(command: str) -> dict[str, str]:
    """What libraries are told before they are loaded. torch makes a folder for its compiler, which nothing here uses,
    unless it is one that there is. The size of the pools is the user's to choose."""
    told = {**OURS, "TORCHINDUCTOR_CACHE_DIR": tempfile.gettempdir()}
    if command != "models":  # the one that asks a network, where a person says so, and has not said the same here
        told["HF_HUB_OFFLINE"] = "1"
    if command == "train":  # it has the machine to itself; in a swap others work beside torch
        return told
    from vidswap.processor import cores

    return {**told, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(max(1, cores() // 2)))}


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
