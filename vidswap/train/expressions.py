"""A parametric head and labelled faces -> models/embedded/expressions.npz: what expressions do to the mesh of a face.

The head is ICT-FaceKit's (Li et al., "Learning formation of physically-based face attributes", CVPR 2020; MIT): its
57 expressions are read where the points of the mesh lie on it. `shapes` (K, 478, 3) float16 are displacements in the
face's own frame, `names` (K,) theirs, `resting` (478, 3) float32 the face they begin at: that of labelled people whose
lips are closed and who smile least. `pull` (K, 1404) float32 and `stiff` (K, K) float32 are the normal equations of
face.blendshapes, in which people differ as the head's identities do.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.interpolate import RBFInterpolator
from scipy.spatial import cKDTree

from vidswap.face import geometry, landmarks
from vidswap.face.blendshapes import SKIN
from vidswap.face.movement import smile
from vidswap.files import as_output_error, whole
from vidswap.types import Array

# Points of the mesh at the head's own landmarks 17 to 67, in the order of 300-W (Sagonas et al., ICCV 2013).
MARKS = np.array([71, 63, 105, 66, 107, 336, 296, 334, 293, 301, 168, 197, 5, 4, 75, 97, 2, 326, 305,
                  33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,
                  61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87])  # fmt: skip
OUTSIDE = 9409  # the first of the head's vertices are its face; what follows is neck, eyes, teeth
UPPER = np.array([*landmarks.LIPS[0], 185, 40, 39, 37, 0, 267, 269, 270, 409, 183, 42, 41, 38, 12, 268, 271, 272, 407,
                  184, 74, 73, 72, 11, 302, 303, 304, 408])  # fmt: skip
LOWER = np.array([*landmarks.LIPS[1], 375, 321, 405, 314, 17, 84, 181, 91, 146, 96, 89, 179, 86, 15, 316, 403, 319, 325,
                  77, 90, 180, 85, 16, 315, 404, 320, 307])  # fmt: skip
JAW = 1.9  # centimetres that the open jaw takes a lip's corner along: the upper lip less, the lower one more
LEFT_OUT = ("Pupil", "eyeLook", "eyeBlink", "eyeWide", "jawForward", "mouthShrug")  # seen otherwise, or hardly
NOISE = np.array([0.02, 0.02, 0.06])  # eye distances by which a point lies elsewhere than any of the head's people
UNLIKE = 0.4  # how much people of the mesh differ, over the head's
BELIEVED = 0.5  # points err together: so much of what each says is believed
USUAL = 1.0  # deviation of an expression's strength
CLOSED, SOBER = 0.02, 0.5  # gap of resting lips, eye distances; part of those people who smile least


def train(data: Path, out: Path) -> Path:
    """Write `out`/expressions.npz from `data`/ict.npz, vertex_indices.json and labels.npz. Raises OutputError."""
    head = np.load(data / "ict.npz")
    marks = json.loads((data / "vertex_indices.json").read_text())["idx_to_landmark_verts"][17:]
    mean = landmarks.mean_face().astype(np.float64)
    places = Onto(head, marks, mean)
    names = [str(name) for name in head["expression_names"] if not str(name).startswith(LEFT_OUT)]
    rows = [list(head["expression_names"]).index(name) for name in names]
    shapes = np.stack([places(head["expression"][row]) for row in rows])
    people = np.stack([places(each) for each in head["identity"]])
    resting = rest(np.load(data / "labels.npz")["mesh"], mean)
    pull, stiff = equations(shapes, people)
    target = out / "expressions.npz"
    with as_output_error(target), whole(target) as part, open(part, "wb") as file:
        np.savez_compressed(file, names=np.array(names), shapes=shapes.astype(np.float16), pull=pull, stiff=stiff,
                            resting=resting)  # fmt: skip
    return target


class Onto:
    """What takes displacements of a head's vertices (V, 3) to those of the mesh (478, 3) in the face's own frame, its
    pose taken off; `mean` is the mean face."""

    def __init__(self, head: Mapping[str, Array], marks: Sequence[int], mean: Array) -> None:
        self.mean = mean
        upright = head["neutral"].astype(np.float64) * [1, -1, -1]
        self.pose = geometry.fit_pose(upright[marks], mean[MARKS])
        laid = geometry.posed(upright, self.pose).astype(np.float64)
        bent = RBFInterpolator(mean[MARKS], laid[marks] - mean[MARKS], kernel="linear")
        away, near = cKDTree(laid[:OUTSIDE]).query(mean[SKIN] + bent(mean[SKIN]), k=40)
        dropped = np.linalg.norm(head["expression"][list(head["expression_names"]).index("jawOpen")], axis=1)
        away = away + 9.0 * _other_lip(dropped.astype(np.float64)[near], mean)
        first = np.argsort(away, axis=1)[:, :3]
        self.near, away = (np.take_along_axis(each, first, 1) for each in (near, away))
        weight = 1 / (away + 0.004) ** 2
        self.weight = weight / weight.sum(1, keepdims=True)

    def __call__(self, moved: Array) -> Array:
        there = (moved.astype(np.float64) * [1, -1, -1]) @ self.pose.rotation.T * self.pose.scale
        face = self.mean.copy()
        face[SKIN] += (self.weight[..., None] * there[self.near]).sum(1)
        return np.asarray(geometry.own_frame(face, self.mean) - self.mean)


def _other_lip(dropped: Array, mean: Array) -> Array:
    """(468, K): 1 where a vertex near a point of one lip is the other lip's, as the open jaw tells: `dropped` (468, K)
    is how far it takes the vertices."""
    middle = np.clip(1 - (mean[:, 0] / mean[landmarks.MOUTH_CORNERS[0], 0]) ** 2, 0, 1)[:, None]
    other = np.zeros(dropped.shape)
    other[UPPER] = dropped[UPPER] > JAW
    other[LOWER] = dropped[LOWER] < JAW - 0.35 + 1.3 * middle[LOWER]
    return other


def rest(meshes: Array, mean: Array) -> Array:
    """(478, 3) float32: the median of labelled meshes (N, 478, 3) whose lips are closed and who smile least."""
    faces = np.stack([geometry.own_frame(mesh, mean) for mesh in meshes])
    upper, lower = (faces[:, lip, :2] for lip in landmarks.LIPS)
    faces = faces[np.linalg.norm(upper - lower, axis=2).mean(1) < CLOSED]
    smiles = np.array([smile(face) for face in faces])
    return np.asarray(np.median(faces[smiles <= np.quantile(smiles, SOBER)], 0), np.float32)


def equations(shapes: Array, people: Array) -> tuple[Array, Array]:
    """(K, 1404) and (K, K) float32: of `shapes` (K, 478, 3), against what `people` (P, 478, 3) differ by."""
    moved, differ = (each[:, SKIN].reshape(len(each), -1).T for each in (shapes, people * UNLIKE))
    likely = np.linalg.inv(differ @ differ.T + np.diag(np.tile(NOISE, len(SKIN)) ** 2))
    pull = BELIEVED * (likely @ moved).T
    return pull.astype(np.float32), (pull @ moved + np.eye(len(shapes)) / USUAL**2).astype(np.float32)
