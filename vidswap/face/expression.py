"""Selfie's shape + actor's pose and expression -> the mesh of the person as the actor: points in, points out.

All in the face's own frame (face.geometry). Expression is added as the actor's departure from their own resting
shape, but where that would be wrong it is taken as a ratio (how far the lids are open) or as it is (how far the lips
are open), because a selfie may blink or smile.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vidswap.face import geometry, landmarks
from vidswap.face.landmarks import LIDS, LIPS
from vidswap.types import Array

MOUTH = np.array([61, 291, 0, 17, 39, 269, 181, 405, 13, 14, 78, 308])
CALMEST = 0.25  # part of a track's frames that its neutral shape is taken from
CLOSED = 0.012  # gap between resting lips, in distances of the eye corners: the median of synthetic portraits
SHUT, NARROW, WIDEST = 0.25, 0.7, 1.6  # openings of shut, narrow and wide eyes, over that at rest, as meshes have them
NARROWED = 0.5  # how far lids that would be wider apart than the actor's come near to these
PARTED, DRAWN_IN = 0.012, 0.4  # gap of lips that are parted, and share of their breadth that is not shown then
HARDLY = 0.04  # deviation of that gap from which its movement tells as much of speech as of what goes along by chance


@dataclass(frozen=True)
class Blend:
    """How much of the selfie's shape to keep, 0 to 1, at the mouth, eyes, brows, outline and everywhere else."""

    mouth: float = 0.85
    eyes: float = 1.0
    brows: float = 1.0
    outline: float = 0.85
    rest: float = 1.0


@dataclass(frozen=True, eq=False)
class Likeness:
    """A selfie's resting shape meets an actor's: `own` (478, 1) share of the selfie's shape at each point, `spread`
    (478, 18) how far the inner lips (upper, then lower) draw their neighbours along."""

    own: Array
    spread: Array


def likeness(mean: Array, blend: Blend) -> Likeness:
    """Weights fall off smoothly from the features named in `blend` over the mean face (478, 3)."""
    return Likeness(_own_shape(mean, blend), _lip_spread(mean))


def _own_shape(mean: Array, blend: Blend) -> Array:
    eyes = np.concatenate([*(np.concatenate(pair) for pair in LIDS), *landmarks.IRISES])
    parts = (
        (MOUTH, blend.mouth, 0.16),
        (eyes, blend.eyes, 0.10),
        (np.concatenate([brow[:5] for brow in landmarks.BROWS]), blend.brows, 0.10),
        (landmarks.OVAL, blend.outline, 0.15),
    )
    total, weight = np.full(478, blend.rest * 0.15), np.full(478, 0.15)
    for points, share, reach in parts:
        distance = np.linalg.norm(mean[:, None, :2] - mean[None, points, :2], axis=-1).min(1)
        near = np.exp(-((distance / reach) ** 2))
        total, weight = total + near * share, weight + near
    return np.asarray((total / weight)[:, None], np.float32)


def _lip_spread(mean: Array) -> Array:
    upper, lower = LIPS
    middle = mean[[*landmarks.MOUTH_CORNERS, 78, 308], 1].mean()
    columns = np.concatenate([upper, lower])
    across = np.abs(mean[:, None, 0] - mean[None, columns, 0])
    along = np.abs(mean[:, None, 1] - mean[None, columns, 1])
    weight = np.exp(-((across / 0.09) ** 2))
    weight = weight / np.maximum(weight.sum(1, keepdims=True), 1.0) * 2.0
    side = np.where(np.arange(18) < 9, -1.0, 1.0)
    same_side = (mean[:, None, 1] - middle) * side[None] > -1e-6
    near = np.exp(-((along / 0.22) ** 2)) * same_side
    for half, points in ((slice(0, 9), upper), (slice(9, 18), lower)):
        block = weight[:, half] * near[:, half]
        weight[:, half] = block / np.maximum(block.sum(1, keepdims=True), 0.6)
        weight[points, half] = np.eye(9)
    weight[upper, 9:] = 0.0
    weight[lower, :9] = 0.0
    return np.asarray(weight, np.float32)


def perform(person: Likeness, selfie: Array, neutral: Array, actor: Array) -> Array:
    """The `selfie` (478, 3) with the expression that takes the actor from `neutral` to `actor`: (478, 3) float32. The
    two are to be at rest (face.blendshapes): what they have of an expression is taken for their shape."""
    shape = person.own * selfie + (1 - person.own) * neutral
    face = shape + (actor - neutral)
    face = _open_lids(face, shape, neutral, actor)
    face = _part_lips(face, person.spread, actor)
    return _look(face, shape, actor).astype(np.float32)


def _open_lids(face: Array, shape: Array, neutral: Array, actor: Array) -> Array:
    """Lids as far open, in proportion, as the actor's: a blink closes eyes of any size. Hardly wider apart than the
    actor's, though: who squints all through a shot has no rest in it."""
    face = face.copy()
    for upper, lower in LIDS:
        opening, resting, own = (_opening_of(mesh, upper, lower) for mesh in (actor, neutral, shape))
        ratio, narrow = (open_share(opening / max(whole, 1e-4)) for whole in (resting, own))
        ratio -= NARROWED * max(ratio - narrow, 0)
        middle, half = (face[upper] + face[lower]) / 2, (shape[upper] - shape[lower]) / 2 * ratio
        face[upper], face[lower] = middle + half, middle - half
    return face


def _opening_of(mesh: Array, upper: Array, lower: Array) -> float:
    """How far apart the lids of an eye are."""
    return float(np.linalg.norm(mesh[upper, :2] - mesh[lower, :2], axis=1).mean())


def open_share(seen: float) -> float:
    """How far lids are open, over at rest, where a mesh says `seen`: it never has them quite shut, and what a blink
    leaves open shows specks of white."""
    return float(np.interp(seen, [SHUT, NARROW, WIDEST], [0.0, NARROW, WIDEST]))


def _part_lips(face: Array, spread: Array, actor: Array) -> Array:
    """Lips as far apart as the actor's, whatever the selfie's mouth does; the skin around follows."""
    upper, lower = LIPS
    wanted = (actor[upper] - actor[lower]) / 2
    middle = (face[upper] + face[lower]) / 2
    pull = np.concatenate([middle + wanted - face[upper], middle - wanted - face[lower]])
    return np.asarray(face + spread @ pull)


def _look(face: Array, shape: Array, actor: Array) -> Array:
    """Irises where the actor looks: the same offset, in eye widths, from between the eye's corners, and up and down
    from between its lids, whose own shape differs."""
    face = face.copy()
    for iris, corners, lids in zip(landmarks.IRISES, landmarks.EYE_CORNERS, landmarks.LIDS, strict=True):
        middle, actors = _middle(face, corners, lids), _middle(actor, corners, lids)
        zoom = np.linalg.norm(np.ptp(face[list(corners)], 0)) / np.linalg.norm(np.ptp(actor[list(corners)], 0))
        centre = middle + (actor[iris[0]] - actors) * zoom
        face[iris] = centre + (shape[iris] - shape[iris[0]])
    return face


def _middle(face: Array, corners: tuple[int, int], lids: tuple[Array, Array]) -> Array:
    """(3,): between the corners of an eye, as high as between its lids."""
    middle = face[[*corners]].mean(0)
    middle[1] = face[np.concatenate(lids), 1].mean()
    return np.asarray(middle)


def closable(mesh: Array) -> Array:
    """A photo's mesh (478, 3) with the edges of parted lips drawn into the lips: where lips are to close, neither teeth
    nor the dark between them may come along, and a mesh errs by as much."""
    inner, outer = mesh[landmarks.INNER_LIPS], mesh[landmarks.OUTER_LIPS]
    upper, lower = (mesh[lip, :2] for lip in LIPS)
    unit = float(np.linalg.norm(np.subtract(*mesh[[*landmarks.OUTER_CORNERS], :2])))
    parted = float(np.linalg.norm(upper - lower, axis=1).mean()) / max(unit, 1e-6)
    mesh = mesh.copy()
    mesh[landmarks.INNER_LIPS] = inner + DRAWN_IN * min(parted / PARTED, 1.0) * (outer - inner)
    return mesh


def neutral_shape(meshes: Array, seen: Array, mean: Array) -> Array:
    """(478, 3) float32: the resting face, in its own frame, of somebody whose `meshes` (T, 478, 3) were `seen` (T,) or
    filled in: the median over the calmest frames. Where even then the lips are parted, they are closed the way they
    close in these. `mean` is the mean face (478, 3)."""
    poses = [geometry.face_pose(mesh, mean) for mesh in meshes]
    faces = np.stack([geometry.normalised(mesh, pose) for mesh, pose in zip(meshes, poses)])
    frontal = np.array([pose.rotation[2, 2] for pose in poses])
    unrest = _unrest(faces)
    unrest += 0.3 * (1 - frontal) + 0.05 * ~seen
    calm = np.argsort(unrest, kind="stable")[: max(5, int(CALMEST * len(faces)))]
    rest = np.median(faces[calm], 0)
    parted = float(np.linalg.norm(np.subtract(*rest[[*landmarks.LIP_MIDDLES]])))
    return np.asarray(rest - _opening(faces, mean) * max(parted - CLOSED, 0), np.float32)


def _unrest(faces: Array) -> Array:
    """(T,): how far each of `faces` (T, 478, 3) is from a closed, relaxed mouth and open eyes."""
    gap, width = _apart(faces, *landmarks.LIP_MIDDLES), _apart(faces, *landmarks.MOUTH_CORNERS)
    lids = np.stack([_apart(faces, *pair) for pair in landmarks.LID_MIDDLES], 1).mean(1)
    corners, lips = (faces[:, [*pair], 1].mean(1) for pair in (landmarks.MOUTH_CORNERS, landmarks.OUTER_LIP_MIDDLES))
    lifted = corners - lips
    unrest = np.asarray(3 * (gap - gap.min()))
    unrest += 2 * np.maximum(np.quantile(lids, 0.7) - lids, 0)
    unrest += np.abs(width - np.quantile(width, 0.3)) + np.abs(lifted - np.median(lifted))
    return unrest


def _apart(faces: Array, one: int, other: int) -> Array:
    """(T,): how far two points of faces (T, 478, 3) are apart."""
    return np.asarray(np.linalg.norm(faces[:, one] - faces[:, other], axis=1))


def _opening(faces: Array, mean: Array) -> Array:
    """(478, 3): how far each point goes for a unit of the gap between the lips, by ridge regression over `faces`
    (T, 478, 3): nothing for a mouth that hardly moves. The same on both sides: what differs is a head that turned
    meanwhile, and whose far side is seen worse."""
    gap = _apart(faces, *landmarks.LIP_MIDDLES)
    change = gap - gap.mean()
    opening = np.tensordot(change, faces - faces.mean(0), 1) / (change @ change + len(gap) * HARDLY**2)
    return np.asarray((opening + opening[landmarks.opposite(mean)] * [-1, 1, 1]) / 2)
