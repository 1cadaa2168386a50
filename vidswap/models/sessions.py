"""The one door to onnxruntime: how its sessions are opened, and what they raise over files, as ModelError."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnxruntime
from google.protobuf.message import DecodeError
from onnxruntime.capi import onnxruntime_pybind11_state as onnx_errors

from vidswap.errors import ModelError, line_of
from vidswap.types import Array

UNREADABLE = (
    AssertionError, ValueError, OSError, DecodeError, onnx_errors.Fail, onnx_errors.InvalidArgument,
    onnx_errors.InvalidGraph, onnx_errors.InvalidProtobuf, onnx_errors.NoSuchFile, onnx_errors.NotImplemented,
    onnx_errors.RuntimeException,
)  # fmt: skip
PROVIDERS = ("CPUExecutionProvider",)
QUIET = 3  # onnxruntime's level of errors: what a model could have better is not the user's to know


def session_options(threads: int = 1) -> onnxruntime.SessionOptions:
    """How sessions work: with so many `threads` each, and telling nobody."""
    onnxruntime.disable_telemetry_events()  # where it was imported before vidswap, what the package sets comes too late
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, QUIET
    options.enable_cpu_mem_arena = False  # saves no time here, and never gives back what a large picture took
    for spinning in ("session.intra_op.allow_spinning", "session.inter_op.allow_spinning"):
        options.add_session_config_entry(spinning, "0")  # who waits leaves the processor to others
    return options


def open_session(path: Path, options: onnxruntime.SessionOptions) -> onnxruntime.InferenceSession:
    """A model's session on the CPU."""
    return onnxruntime.InferenceSession(path, options, providers=PROVIDERS)


@contextmanager
def translated(message: str, hint: str) -> Iterator[None]:
    """What onnxruntime and insightface raise over a file they cannot use, as ModelError."""
    try:
        yield
    except UNREADABLE as error:
        raise ModelError(f"{message}: {line_of(error)}", hint) from error


def last_weights(path: Path) -> Array:
    """The weights that an .onnx file has last: where inswapper keeps a matrix that its network does not use."""
    import onnx  # takes its time, and no session needs it

    return np.asarray(onnx.numpy_helper.to_array(onnx.load(str(path)).graph.initializer[-1]))
