"""A face's mesh -> the same with eyes, brows and lips where the picture shows them.

The mesh model sees the whole face in 128 pixels, an eye in a dozen. Here each feature is looked at anew, in a patch
cut from the picture at its own resolution; the skin around is drawn along. No model is known here: a feature's net
comes as a callable.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from vidswap.face import geometry, landmarks
from vidswap.face.sampling import sample_patch
from vidswap.read.gaze import irises_seen
from vidswap.types import Array, Face

Net = Callable[[Array], Array]  # (B, 3, S, S) float32 in [0, 1] -> (B, K, 2) pixels of the patch
SIZE = 64  # side of a patch, pixels
EYE_WIDE, MOUTH_WIDE = 0.75, 0.95  # side of a patch, eye distances
# What the nets find: contour (16), brow (10) and iris (5) of the left eye, of the right one in the order of its mirror
# image; inner and outer lips (40).
EYE_POINTS = (
    np.concatenate([landmarks.LEFT_EYE, landmarks.BROWS[0], landmarks.IRISES[0]]),
    np.concatenate([np.roll(landmarks.RIGHT_EYE[::-1], -7), landmarks.BROWS[1], [473, 476, 475, 474, 477]]),
)
MOUTH_POINTS = np.concatenate([landmarks.INNER_LIPS, landmarks.OUTER_LIPS])
SKIN = np.concatenate([EYE_POINTS[0][:26], EYE_POINTS[1][:26], MOUTH_POINTS])  # what draws its neighbours along
REACH = 0.1  # eye distances over which the pull of a feature falls to a third
COVERED, SEEN = 0.35, 0.75  # a feature less visible than this stays as the mesh model has it; from that on it is moved


@dataclass(frozen=True, eq=False)
class Refiner:
    """`eye` (31 points) and `mouth` (40 points) find a feature's points in its patch; `mean` is the mean face (478, 3),
    `spread` how its features draw all points along."""

    eye: Net
    mouth: Net
    mean: Array
    spread: Array

    def refine(self, rgb: Array, face: Face) -> Array:
        """The face's mesh (478, 3) with its features where `rgb` (H, W, 3) shows them. A covered feature keeps what the
        mesh model made of the whole face."""
        mesh, goal, seen = face.mesh, face.mesh.copy(), visibility(face)
        places = [(part, patch_transform(mesh, self.mean, part, EYE_WIDE, k == 1)) for k, part in enumerate(EYE_POINTS)]
        places.append((MOUTH_POINTS, patch_transform(mesh, self.mean, MOUTH_POINTS, MOUTH_WIDE)))
        eyes, mouth = np.split(np.concatenate([shown(rgb, to_patch, SIZE) for _, to_patch in places]), [2])
        for (part, to_patch), points in zip(places, [*self.eye(eyes), *self.mouth(mouth)], strict=True):
            trust = np.clip((seen[part].mean() - COVERED) / (SEEN - COVERED), 0, 1)
            goal[part, :2] += trust * (geometry.apply(geometry.invert(to_patch), points) - mesh[part, :2])
        moved = drawn_along(mesh, goal, self.spread)
        least = min(float(seen[part].mean()) for part in EYE_POINTS)
        return irises_seen(rgb, moved, self.mean) if least > COVERED else moved


def refiner(eye: Net, mouth: Net, mean: Array) -> Refiner:
    """The refiner of these nets for the mesh whose mean face (478, 3) is `mean`."""
    return Refiner(eye, mouth, mean, pull(mean))


def visibility(face: Face) -> Array:
    """(478,) float32, 0 to 1: how much each point of a face is seen."""
    places = geometry.apply(geometry.invert(face.visible_to_frame), face.mesh[:, :2])[:, None]
    seen = cv2.remap(face.visible, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(seen[:, 0] / 255, np.float32)


def patch_transform(mesh: Array, mean: Array, part: Array, wide: float, flip: bool = False) -> Array:
    """(2, 3) float64: frame pixel -> pixel of a feature's patch, `wide` eye distances a side: upright and scaled as the
    face's aligned crop is, the mean of the points `part` in the middle; mirrored left-right if `flip`."""
    turn = geometry.crop_transform(mesh, mean, SIZE)[:, :2] / (geometry.FACE_IN_CROP * wide)
    if flip:
        turn = np.array([[-1.0], [1.0]]) * turn
    return np.hstack([turn, ((SIZE - 1) / 2 - turn @ mesh[part, :2].mean(0))[:, None]])


def shown(rgb: Array, to_crop: Array, size: int) -> Array:
    """(1, 3, S, S) float32 in [0, 1]: what a net sees of a picture (H, W, 3) uint8."""
    return sample_patch(rgb, to_crop, size).transpose(2, 0, 1)[None].astype(np.float32) / 255


def pull(mean: Array) -> Array:
    """(478, 92): how far each point goes along with those of SKIN. They are matched exactly; between and around them a
    radial basis interpolation (Hardy 1971, with an exponential kernel) that fades with the distance."""
    away = np.linalg.norm(mean[:, None, :2] - mean[None, SKIN, :2], axis=2)
    kernel = np.exp(-away / REACH)
    weight = np.linalg.solve(kernel[SKIN] + 1e-3 * np.eye(len(SKIN)), kernel.T).T
    weight[SKIN] = np.eye(len(SKIN))
    return np.asarray(np.where(away.min(1, keepdims=True) < 5 * REACH, weight, 0), np.float32)


def drawn_along(mesh: Array, goal: Array, spread: Array) -> Array:
    """`mesh` (478, 3) with the points of its features as in `goal` and their neighbours drawn along."""
    moved = mesh + spread @ (goal - mesh)[SKIN]
    for part in EYE_POINTS:
        moved[part[26:]] = goal[part[26:]]
    return np.asarray(moved, np.float32)
