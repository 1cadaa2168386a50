"""Which expression a face has, and the same face without it: meshes in the face's own frame, (478, 3).

A face is a resting one, plus what this person differs by, plus expressions of some strength, none of them negative
(blend shapes: Lewis et al., "Practice and theory of blendshape facial models", Eurographics 2014). One mesh cannot
tell a wide mouth from a smile, but a smile lifts cheeks and corners as well: the likeliest strengths are those of a
ridge regression in which people differ as a parametric head's do (train.expressions).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vidswap.face import landmarks
from vidswap.face.skin import NOSTRILS
from vidswap.models.registry import path_to
from vidswap.types import Array

SKIN = np.arange(468)  # the points that expressions move; irises look
ROUNDS, NEAR = 60, 1e-4
RARE, USUAL = 10.0, 1.0  # what an expression costs, however weak: brows and noses differ more between people
ONE_OF_A_KIND = ("brow", "nose")
# What a photo or a whole shot may wear all the time; the others tell people apart as much, and are only there so that
# these need not account for them. The second are seen with lips that are apart, WIDE distances of the eye corners.
LASTING, LAUGHING, WIDE = ("mouthSmile", "cheek", "eyeSquint"), ("mouthUpperUp", "mouthLowerDown", "jawOpen"), 0.1
# A nose hardly gives way where an expression is taken off: heads of vertices draw its wings along with the lip, by
# several millimetres, and a photo's nostrils would come to lie beside the nose.
NOSE, STIFF = 0.07, 0.7  # how far around the nostrils, and by how much


@dataclass(frozen=True, eq=False)
class BlendShapes:
    """`shapes` (K, 478, 3) displacements of as many expressions, `names` theirs; `resting` (478, 3) the face that has
    none; `pull` (K, 1404), `stiff` (K, K) and `cost` (K,) of the regression; `gives` (478, 1) how far a point follows
    where an expression is taken off."""

    names: tuple[str, ...]
    shapes: Array
    resting: Array
    pull: Array
    stiff: Array
    cost: Array
    gives: Array

    def of(self, face: Array) -> Array:
        """(K,) the strengths, 0 and more, of the expressions that a face (478, 3) has."""
        wanted = self.pull @ (face - self.resting)[SKIN].ravel() - self.cost
        return nonnegative(self.stiff, wanted)

    def moved(self, strengths: Array) -> Array:
        """(478, 3): the displacement by expressions of these strengths (K,)."""
        return np.asarray(np.tensordot(strengths, self.shapes, 1), np.float32)

    def strength(self, name: str, strengths: Array) -> float:
        """The mean of strengths (K,) over what begins with a name: both sides of a smile."""
        return float(np.mean([each for known, each in zip(self.names, strengths) if known.startswith(name)]))

    def lasting(self, face: Array) -> Array:
        """(K,): of the strengths that a face (478, 3) has, those that are surely no shape of its own: smiles and what
        comes with them, the same on both sides, for a mesh errs to one more often than people smile so."""
        strengths = self.of(face)
        upper, lower = (face[lip, :2] for lip in landmarks.LIPS)
        laughs = min(float(np.linalg.norm(upper - lower, axis=1).mean()) / WIDE, 1.0)
        sure = [1.0 if name.startswith(LASTING) else laughs * name.startswith(LAUGHING) for name in self.names]
        return np.array(sure) * [self.strength(name.removesuffix("_L").removesuffix("_R"), strengths)
                                 for name in self.names]  # fmt: skip

    def without(self, face: Array, strengths: Array) -> Array:
        """(478, 3) float32: a face without expressions of these strengths (K,)."""
        return np.asarray(face - self.gives * self.moved(strengths), np.float32)

    def at_rest(self, face: Array) -> Array:
        """(478, 3) float32: a face without the expression that it wears."""
        return self.without(face, self.lasting(face))


def nonnegative(stiff: Array, wanted: Array) -> Array:
    """(K,) x >= 0 that makes x @ stiff @ x / 2 - wanted @ x least; `stiff` (K, K) is positive definite. By coordinate
    descent (Franc et al., "Sequential coordinate-wise algorithm for non-negative least squares", CAIP 2005)."""
    x, slope = np.zeros(len(wanted)), -np.asarray(wanted, np.float64)
    for _ in range(ROUNDS):
        most = 0.0
        for k in range(len(x)):
            new = max(0.0, x[k] - slope[k] / stiff[k, k])
            if new != x[k]:
                most = max(most, abs(new - x[k]))
                slope += stiff[:, k] * (new - x[k])
                x[k] = new
        if most < NEAR:
            break
    return x


def blend_shapes() -> BlendShapes:
    """Those that ship. Raises ModelError."""
    kept = np.load(path_to("expressions"))
    names = tuple(str(name) for name in kept["names"])
    cost = np.array([RARE if name.startswith(ONE_OF_A_KIND) else USUAL for name in names])
    shapes, stiff = kept["shapes"].astype(np.float32), kept["stiff"].astype(np.float64)
    resting = kept["resting"]
    away = np.linalg.norm(resting[:, None] - resting[NOSTRILS], axis=2).min(1, keepdims=True)
    gives = (1 - STIFF * np.exp(-((away / NOSE) ** 2))).astype(np.float32)
    return BlendShapes(names, shapes, resting, kept["pull"], stiff, cost, gives)
