"""A skinned hand mesh (glTF, WebXR's joints) -> sprites of hands before something: their shading and shape."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from vidswap.errors import InputError
from vidswap.face.raster import draw_triangles
from vidswap.train.heads import Random
from vidswap.types import Array

KINDS = {5121: np.uint8, 5123: np.uint16, 5126: np.float32}  # glTF's numbers of component types
WIDE = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
FINGERS = ("pinky-finger", "ring-finger", "middle-finger", "index-finger", "thumb")
BONES = ("metacarpal", "phalanx-proximal", "phalanx-intermediate", "phalanx-distal", "tip")
FILL = 0.62  # of a sprite's side that the hand is long


@dataclass(frozen=True, eq=False)
class Hand:
    """`points` (V, 3) at rest, `triangles` (K, 3), `joints` (V, 4) with `weights` (V, 4), `rest` (J, 4, 4) where each
    joint is, and `chains`: the joints of each finger from the palm out; `wrist` is the last joint's number."""

    points: Array
    triangles: Array
    joints: Array
    weights: Array
    rest: Array
    chains: tuple[tuple[int, ...], ...]
    wrist: int


def load_hand(path: Path) -> Hand:
    """A hand from a binary glTF file with one skinned mesh. Raises InputError."""
    try:
        raw = path.read_bytes()
        length = struct.unpack("<I", raw[12:16])[0]
        told, blob = json.loads(raw[20 : 20 + length]), raw[28 + length :]
        names = [node.get("name", "") for node in told["nodes"]]
        own = told["meshes"][0]["primitives"][0]
        read = {name: _accessor(told, blob, k) for name, k in own["attributes"].items()}
        corners = _accessor(told, blob, own["indices"]).reshape(-1, 3).astype(int)
        bones = told["skins"][0]["joints"]
    except (OSError, struct.error, ValueError, KeyError, IndexError) as error:
        raise InputError(f"{path} holds no hand", "it needs a binary glTF file with a skinned mesh") from error
    rest = np.stack([_placed(told["nodes"][bone]) for bone in bones])
    order = [names[bone] for bone in bones]
    chains = tuple(tuple(order.index(f"{finger}-{bone}") for bone in BONES if f"{finger}-{bone}" in order)
                   for finger in FINGERS)  # fmt: skip
    return Hand(read["POSITION"], corners, read["JOINTS_0"].astype(int), read["WEIGHTS_0"], rest, chains,
                order.index("wrist"))  # fmt: skip


def _accessor(told: dict[str, list[dict[str, int | str]]], blob: bytes, number: int) -> Array:
    one = told["accessors"][number]
    view = told["bufferViews"][int(one["bufferView"])]
    kind, wide, count = KINDS[int(one["componentType"])], WIDE[str(one["type"])], int(one["count"])
    values = np.frombuffer(blob, kind, count * wide, int(view.get("byteOffset", 0)))
    return values if wide == 1 else values.reshape(count, wide)


def _placed(node: dict[str, list[float]]) -> Array:
    """(4, 4) of a glTF node's rotation, as a quaternion, and translation."""
    x, y, z, w = node.get("rotation", [0, 0, 0, 1])
    place = np.eye(4)
    place[:3, :3] = [[1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
                     [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
                     [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)]]  # fmt: skip
    place[:3, 3] = node.get("translation", [0, 0, 0])
    return place


def gesture(hand: Hand, rng: Random) -> Array:
    """(V, 3): the hand with its fingers bent at random, all alike or some of them."""
    posed, whole = hand.rest.copy(), rng.uniform(-0.1, 1.0) ** 2
    for chain in hand.chains:
        curl = np.clip(whole + rng.normal(0, 0.15), -0.1, 1) if rng.random() < 0.8 else rng.uniform(0, 1)
        for place, joint in enumerate(chain[1:-1]):
            bend = -curl * (1.35, 1.5, 1.0)[place] * (0.5 if len(chain) < 5 else 1.0)
            turned = _about(posed[joint], bend, rng.normal(0, 0.08) if place == 0 else 0.0)
            for later in chain[1 + place :]:
                posed[later] = turned @ posed[later]
    moves = posed @ np.linalg.inv(hand.rest)
    own = np.einsum("vj,vjab->vab", hand.weights, moves[hand.joints])
    return np.asarray(np.einsum("vab,vb->va", own[:, :3, :3], hand.points) + own[:, :3, 3])


def _about(joint: Array, bend: float, spread: float) -> Array:
    """(4, 4): a turn about a joint's own axes x and y."""
    turn = cv2.Rodrigues(np.array([bend, spread, 0.0]))[0]
    turn = joint[:3, :3] @ turn @ joint[:3, :3].T
    move = np.eye(4)
    move[:3, :3], move[:3, 3] = turn, joint[:3, 3] - turn @ joint[:3, 3]
    return move


def sprite(hand: Hand, side: int, rng: Random) -> tuple[Array, Array]:
    """A hand with its arm from a random side: (side, side) uint8 shading, 128 where light falls straight, and (side,
    side) uint8 opacity."""
    turn = np.linalg.qr(rng.normal(0, 1, (3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    points, wrist = gesture(hand, rng) @ turn.T, turn @ hand.rest[hand.wrist][:3, 3]
    big, middle = 2 * side, (points.min(0) + points.max(0)) / 2
    zoom = FILL * big / 0.19 * rng.uniform(0.85, 1.1)
    flat = (points - middle)[:, :2] * zoom + big / 2
    a, b, c = (points[hand.triangles[:, k]] for k in range(3))
    face = np.cross(b - a, c - a)
    normal = np.zeros_like(points)
    for k in range(3):
        np.add.at(normal, hand.triangles[:, k], face)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-12
    normal *= np.where((normal[hand.triangles].mean(1)[:, 2] * face[:, 2]).sum() < 0, -1, 1)
    lamp = rng.normal(0, 1, 3) * (1, 1, 0.5) - (0, 0.6, 1.2)
    light = normal @ (lamp / np.linalg.norm(lamp))
    light = (0.45 + rng.uniform(0.3, 0.6) * np.clip(light, -0.4, 1))[hand.triangles].mean(1)
    drawn = draw_triangles(flat.astype(np.float32), points[:, 2], hand.triangles, big)
    shade, alpha = np.append(light, 0)[drawn], (drawn >= 0).astype(np.float32)
    arm = _arm(flat, (wrist - middle)[:2] * zoom + big / 2, big, zoom)
    shade = np.where(alpha > 0, cv2.blur(shade, (3, 3)), 0.75 * arm)
    alpha = np.maximum(alpha, (arm > 0).astype(np.float32))
    shade, alpha = (cv2.resize(each, (side, side), interpolation=cv2.INTER_AREA) for each in (shade * alpha, alpha))
    shade = cv2.GaussianBlur(shade / np.maximum(alpha, 1e-3), (0, 0), 0.6)
    return np.clip(shade * 128 / 0.8, 0, 255).astype(np.uint8), np.rint(alpha * 255).astype(np.uint8)


def _arm(flat: Array, wrist: Array, side: int, zoom: float) -> Array:
    """(side, side) float32: the shading of an arm that goes from the wrist away from the hand, out of the picture."""
    away = wrist - flat.mean(0)
    away /= np.linalg.norm(away) + 1e-6
    across = np.array([-away[1], away[0]])
    near, far = 0.027 * zoom, 0.036 * zoom
    end = wrist + away * 1.5 * side
    outline = np.array([wrist + across * near, end + across * far * 2, end - across * far * 2, wrist - across * near])
    mask = np.zeros((side, side), np.uint8)
    cv2.fillPoly(mask, [np.rint(outline).astype(np.int32)], 1)
    y, x = np.mgrid[:side, :side]
    off = np.abs((x - wrist[0]) * across[0] + (y - wrist[1]) * across[1]) / near
    return np.asarray(mask * np.clip(1 - 0.35 * np.minimum(off, 1.3) ** 2, 0.3, 1), np.float32)
