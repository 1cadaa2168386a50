"""Networks of insightface's formats with random weights: a pack to find and recognise faces, and inswapper."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from vidswap.models.registry import path_to
from vidswap.swap.vectors import PACKS


def weights(name: str, seed: int, *shape: int, scale: float = 0.2) -> onnx.TensorProto:
    values = np.random.default_rng(seed).normal(0, scale, shape).astype(np.float32)
    return numpy_helper.from_array(values, name)


def save(path: Path, nodes: list, inputs: dict, output: tuple, initializers: list) -> Path:
    told = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()]
    given = [helper.make_tensor_value_info(output[0], TensorProto.FLOAT, output[1])]
    graph = helper.make_graph(nodes, "tiny", told, given, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))
    return path


def recogniser(path: Path, seed: int = 0) -> Path:
    """One of 112 x 112 pixels -> 512 numbers, as ArcFace's are."""
    nodes = [
        helper.make_node("Conv", ["input.1", "kernel"], ["coarse"], kernel_shape=[16, 16], strides=[16, 16]),
        helper.make_node("Relu", ["coarse"], ["positive"]),
        helper.make_node("Flatten", ["positive"], ["flat"]),
        helper.make_node("MatMul", ["flat", "last"], ["683"]),
    ]
    parts = [weights("kernel", seed, 6, 3, 16, 16), weights("last", seed + 1, 6 * 49, 512)]
    return save(path, nodes, {"input.1": ["None", 3, 112, 112]}, ("683", [1, 512]), parts)


def pack(folder: Path, name: str, seed: int = 0) -> Path:
    """A folder with the detector and the recogniser of a pack, called as in insightface's; the detector finds faces."""
    folder.mkdir(parents=True, exist_ok=True)
    detects, recognises = PACKS[name]
    shutil.copy(path_to("detector"), folder / detects)
    recogniser(folder / recognises, seed)
    return folder


def swapper(path: Path, seed: int = 0) -> Path:
    """A network with the inputs, the output and the last initializer of inswapper's: it tints what it sees by whom."""
    path.parent.mkdir(parents=True, exist_ok=True)
    identity = np.zeros((3, 3, 1, 1), np.float32)
    identity[range(3), range(3)] = 4.0
    nodes = [
        helper.make_node("MatMul", ["source", "tint"], ["who"]),
        helper.make_node("Reshape", ["who", "shape"], ["spread"]),
        helper.make_node("Conv", ["target", "same"], ["seen"]),
        helper.make_node("Add", ["seen", "spread"], ["both"]),
        helper.make_node("Sub", ["both", "middle"], ["centred"]),
        helper.make_node("Sigmoid", ["centred"], ["output"]),
    ]
    parts = [
        weights("tint", seed, 512, 3, scale=2.0), numpy_helper.from_array(np.array([1, 3, 1, 1], np.int64), "shape"),
        numpy_helper.from_array(identity, "same"), numpy_helper.from_array(np.float32(2.0), "middle"),
        weights("emap", seed + 1, 512, 512, scale=1 / 512**0.5),
    ]  # fmt: skip
    inputs = {"target": [1, 3, 128, 128], "source": [1, 512]}
    return save(path, nodes, inputs, ("output", [1, 3, 128, 128]), parts)
