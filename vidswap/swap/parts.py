"""The aligned picture of a face -> what each pixel is: skin, hair, glasses, what is in front of the face, and so on.

A picture's parts are told by a network at SIDE pixels, of which the inner INNER are what an aligned crop shows; around
lie hair, neck and shoulders. Of the actor what is before the face stays: hands, things, letters, the rims of glasses,
hair over the forehead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from vidswap.face import geometry, landmarks
from vidswap.face.raster import filled
from vidswap.face.sampling import sample
from vidswap.models.registry import path_to
from vidswap.models.sessions import open_session, session_options, translated
from vidswap.threads import mapped
from vidswap.types import Array, Crops

SIDE, INNER = 176, 130
PARTS = ("else", "skin", "brow", "eye", "mouth", "hair", "rim", "lens", "beard", "front", "body")
ELSE, SKIN, BROW, EYE, MOUTH, HAIR, RIM, LENS, BEARD, FRONT, BODY = range(len(PARTS))
LEAST, SURE = 0.25, 0.55  # shares of a part that is none, and that is wholly one
CERTAIN, ENOUGH = 0.85, 6  # share that some pixels of each thing must have, and how many
MOVED = 0.4  # share by which a pixel of it has changed
WORN, AROUND_LENS = (0.5, 0.8), 7  # shares of lenses by which glasses are worn; pixels around them where rims may be
THIN, LINE, LONG = 56, 0.035, 0.06  # widest line, of a crop's side; logarithm of its strength; how long, of a side
RIMS = 0.8  # by how much more rims count where lenses are told
UNLIKE = 0.04, 0.14  # luma by which rims are unlike the skin, for their pixels to be kept
LENSES = 0.1  # of a face's height, around the eyes
NEAR = 0.3  # of a face's height around it
HANGS = 0.2  # of a face's height, from its outline inwards, where hair hangs below the brows
REACH, AT_EDGES, EVEN = 6, 4, 3e-4  # pixels around what stays; radius of the filter along edges; variance of no edge


def framing(mesh: Array, mean: Array, side: int = SIDE) -> Array:
    """(2, 3) float64: pixel of a picture -> pixel of the square of `side` in which parts are told: the aligned crop at
    INNER pixels, with what lies around."""
    return np.asarray(geometry.crop_transform(mesh, mean, INNER) + np.array([[0, 0, (side - INNER) / 2]]))


@dataclass(frozen=True, eq=False)
class Before:
    """What lies before a face in a crop: `kept` (S, S) float32, which stays as it is; `rims` (S, S) float32 where
    glasses have thin rims, whose lines are drawn through, None where none are worn."""

    kept: Array
    rims: Array | None = None


@dataclass(frozen=True, eq=False)
class PartsModel:
    """A session of parts.onnx: `rgb` (1, 3, SIDE, SIDE) in 0 to 1 -> `parts` (1, PARTS, SIDE, SIDE), shares that sum to
    1; with the mean face (478, 3)."""

    session: Any
    mean: Array

    def parts(self, picture: Array, mesh: Array) -> tuple[Array, Array]:
        """(PARTS, SIDE, SIDE) float32 of a picture (H, W, 3) uint8 with its mesh (478, 3); and (2, 3): pixel of the
        picture -> pixel of that."""
        to_parts = framing(mesh, self.mean)
        return self.told(sample(picture, to_parts, SIDE)), to_parts

    def told(self, rgb: Array) -> Array:
        """(PARTS, SIDE, SIDE) float32 of an aligned picture (SIDE, SIDE, 3) uint8."""
        seen = np.ascontiguousarray(rgb.transpose(2, 0, 1)[None], np.float32) / 255
        return np.asarray(self.session.run(None, {"rgb": seen})[0][0])

    def before(self, crops: Crops, threads: int = 1) -> list[Before]:
        """What lies before the face in each row of a window, found by so many threads."""
        shares, to_parts = self.followed(crops, threads), [framing(mesh, self.mean) for mesh in crops.mesh]
        told = [(one, geometry.apply(to, mesh)) for one, to, mesh in zip(shares, to_parts, crops.mesh, strict=True)]
        worn = float(np.median([glasses(*each) for each in told]))
        found = voted([before(*each, worn) for each in told])
        rows = range(len(found))
        kept = mapped(lambda row: finer(believed(found[row]), to_parts[row], crops.rgb[row]), rows, threads)
        if not worn:
            return [Before(plane) for plane in kept]
        rims = [laid(worn * rimmed(*each), to, len(kept[0])) for each, to in zip(told, to_parts, strict=True)]
        return list(map(Before, kept, rims))

    def followed(self, crops: Crops, threads: int) -> list[Array]:
        """(PARTS, SIDE, SIDE) of each row of a window. The network is asked in every second, and between two where what
        may lie before the face is not the same in both."""
        last = len(crops.rgb) - 1
        asked = sorted({*range(0, last, 2), last})
        told = mapped(lambda row: self.parts(crops.rgb[row], crops.mesh[row])[0], asked, threads)
        found = dict(zip(asked, told, strict=True))
        for row in range(1, last, 2):
            if row not in found:
                one, other = found[row - 1], found[row + 1]
                moved = np.abs((one - other)[[FRONT, RIM, HAIR]].sum(0)) > MOVED
                still = np.count_nonzero(moved) < ENOUGH
                found[row] = (one + other) / 2 if still else self.parts(crops.rgb[row], crops.mesh[row])[0]
        return [found[row] for row in range(last + 1)]


def glasses(shares: Array, mesh: Array) -> float:
    """How sure it is that glasses are worn, by the parts (PARTS, SIDE, SIDE) of a face and its mesh (478, 3) in them:
    lenses are told where thin rims are hardly seen."""
    worn = shares[LENS] + shares[FRONT]
    eyes = [worn[filled((SIDE, SIDE), mesh[eye]) > 0] for eye in landmarks.EYES]
    sure = float(np.mean([eye.mean() for eye in eyes if len(eye)] or [0.0]))
    return float(np.clip((sure - WORN[0]) / (WORN[1] - WORN[0]), 0, 1))


def before(shares: Array, mesh: Array, worn: float = 0.0) -> Array:
    """(SIDE, SIDE, 2) float32: how much of each pixel is before the face, and how much of that are rims, by its parts
    (PARTS, SIDE, SIDE) and its mesh (478, 3) in them. Where it is known that glasses are `worn` (0 to 1), less will do
    for their rims, but on eyes and brows it takes more."""
    front = shares[FRONT] * (1 - one_lens(shares[FRONT], mesh))
    rims = shares[RIM] * (1 + RIMS * worn)
    rims = np.where(_own_lines(mesh) > 0, 1.6 * shares[RIM] - 0.6, rims).clip(0, 1) * reach(mesh)
    return np.asarray(np.dstack([rims + front * reach(mesh) + shares[HAIR] * hanging(mesh), rims]), np.float32)


def reach(mesh: Array) -> Array:
    """(SIDE, SIDE) uint8: the face and what lies near it; beyond, nothing is drawn that could hide a thing."""
    wide = 2 * round(NEAR * float(np.ptp(mesh[:468, 1]))) + 1
    around = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (wide, wide))
    return np.asarray(cv2.dilate(filled((SIDE, SIDE), mesh[:468]), around))


def rimmed(shares: Array, mesh: Array) -> Array:
    """(SIDE, SIDE) float32: where thin rims may be, by the parts (PARTS, SIDE, SIDE) of a face that wears glasses and
    its mesh (478, 3) in them: around the lenses, but not on eyes, brows and the outline, which are lines themselves."""
    near = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * AROUND_LENS + 1,) * 2)
    zone = cv2.dilate((shares[LENS] + shares[RIM] > LEAST).astype(np.float32), near)
    face = cv2.erode(filled((SIDE, SIDE), mesh[:468]), np.ones((7, 7), np.uint8))
    return np.asarray(zone * face * (1 - _own_lines(mesh)), np.float32)


def _own_lines(mesh: Array) -> Array:
    """(SIDE, SIDE) uint8: eyes and brows."""
    own = filled((SIDE, SIDE), *(mesh[part] for part in (*landmarks.EYES, *landmarks.BROWS)))
    return np.asarray(cv2.dilate(own, np.ones((3, 3), np.uint8)))


def laid(plane: Array, to_parts: Array, side: int) -> Array:
    """(side, side) float32: a plane (SIDE, SIDE) over the picture that `to_parts` (2, 3) takes to it."""
    return np.asarray(cv2.warpAffine(plane, geometry.invert(to_parts), (side, side), flags=cv2.INTER_LINEAR))


def drawn_through(picture: Array, crop: Array, rims: Array) -> Array:
    """A picture (S, S, 3) uint8 with the lines of a crop (S, S, 3) uint8 where its thin `rims` are (S, S): as much
    darker or lighter than what is beside them as they are there."""
    left, top, wide, high = cv2.boundingRect((rims > 0.02).astype(np.uint8))
    if not wide:
        return picture
    box, kernel = np.s_[top : top + high, left : left + wide], np.ones((len(crop) // THIN | 1,) * 2, np.uint8)
    seen = cv2.GaussianBlur(crop[box], (0, 0), len(crop) / 1024).astype(np.float32) + 4
    over, under = (np.log(cv2.morphologyEx(seen, how, kernel) / seen) for how in (cv2.MORPH_CLOSE, cv2.MORPH_OPEN))
    line = np.where((over + under).mean(-1, keepdims=True) > 0, over, under)  # of what is beside it over it
    share = rims[box] * lengthy(np.clip((np.abs(line).mean(-1) - LINE) / LINE, 0, 1), LONG * len(crop))
    made = picture.copy()
    made[box] = np.clip(np.rint(picture[box] * np.exp(-line * share[..., None])), 0, 255)
    return made


def lengthy(plane: Array, least: float) -> Array:
    """What of a plane (h, w) is joined to at least so many pixels in a row or column."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats((plane > 0).astype(np.uint8), connectivity=8)
    long = stats[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]].max(1) >= least
    return np.asarray(plane * long[labels])


def one_lens(front: Array, mesh: Array) -> Array:
    """(SIDE, SIDE) uint8: what lies before one eye alone, and hardly beyond glasses: that is no sunglasses, but a lens
    with a reflection, or an eye in the shade."""
    none = np.zeros((SIDE, SIDE), np.uint8)
    eyes = [filled((SIDE, SIDE), mesh[eye]) > 0 for eye in landmarks.EYES]
    hidden = [float(front[eye].mean()) if eye.any() else 0.0 for eye in eyes]
    if max(hidden) < LEAST or min(hidden) > 0.5:
        return none
    grow = round(LENSES * float(np.ptp(mesh[:468, 1]))) * 2 + 1
    zone = cv2.dilate((eyes[0] | eyes[1]).astype(np.uint8), np.ones((grow, grow), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats((front > LEAST).astype(np.uint8), connectivity=8)
    within = np.bincount(labels[zone > 0], minlength=count) > 0.7 * stats[:, cv2.CC_STAT_AREA]
    within[0] = False
    return np.asarray(within[labels], np.uint8)


def hanging(mesh: Array) -> Array:
    """(SIDE, SIDE) float32: 1 where hair can hang before a face: above the brows, and near its outline; not beyond it,
    where what surrounds a face is drawn along with it."""
    face = filled((SIDE, SIDE), mesh[:468])
    depth = cv2.distanceTransform(face, cv2.DIST_L2, 3) / np.ptp(mesh[:468, 1])
    brows = mesh[np.concatenate(landmarks.BROWS), 1].min()
    where = ((np.mgrid[:SIDE, :SIDE][0] < brows) | (depth < HANGS)) & (face > 0)
    return np.asarray(cv2.GaussianBlur(where.astype(np.float32), (0, 0), 1.0))


def voted(planes: Sequence[Array]) -> list[Array]:
    """Planes (S, S, C) that lie on a face over time, each the median of the five around it: what comes for a moment
    alone flickers."""
    padded = [planes[0]] * 2 + list(planes) + [planes[-1]] * 2
    return [_median(*padded[k : k + 5]) for k in range(len(planes))]


def _median(a: Array, b: Array, c: Array, d: Array, e: Array) -> Array:
    low = np.maximum(np.minimum(a, b), np.minimum(c, d))
    high = np.minimum(np.maximum(a, b), np.maximum(c, d))
    return np.maximum(np.minimum(low, high), np.minimum(np.maximum(low, high), e))


def believed(plane: Array) -> Array:
    """What of a plane as `before` has it is held for true: where it is high, and what is less so and joined to that."""
    found = plane[..., 0]
    count, labels = cv2.connectedComponents((found > LEAST).astype(np.uint8), connectivity=8)
    certain = np.bincount(labels[found > CERTAIN], minlength=count) >= ENOUGH
    certain[0] = False
    near = cv2.dilate(certain[labels].astype(np.uint8), np.ones((3, 3), np.uint8))
    sure = np.clip((found - LEAST) / (SURE - LEAST), 0, 1) * near / (found + 1e-6)
    return np.asarray(plane * sure[..., None], np.float32)


def finer(plane: Array, to_parts: Array, picture: Array) -> Array:
    """What is before a face, as `before` has it, over a picture (S, S, 3), which `to_parts` (2, 3) takes to it, along
    the picture's edges: (S, S) float32. Rims that are hardly unlike what is behind them are too thin, or clear, for
    their pixels to be kept."""
    side, found = len(picture), np.zeros(picture.shape[:2], np.float32)
    left, top, wide, high = cv2.boundingRect((plane[..., 0] > 0.02).astype(np.uint8))
    if not wide:
        return found
    corners = np.array([[left, top], [left + wide, top + high]]) - 0.5 + np.array([[-REACH], [REACH]])
    corners = np.clip(np.rint(geometry.apply(geometry.invert(to_parts), corners)), 0, side).astype(int) // 2 * 2
    (x, y), (right, bottom) = corners
    part = picture[y:bottom, x:right]
    if not part.size:
        return found
    half = geometry.compose(geometry.enlarge(0.5), np.array([[1.0, 0, -x], [0, 1, -y]]))
    size = (part.shape[1] // 2, part.shape[0] // 2)
    back = geometry.compose(half, geometry.invert(to_parts))
    rough, rims = cv2.split(cv2.warpAffine(plane, back, size, flags=cv2.INTER_LINEAR))
    rims = np.minimum(rims / (rough + 1e-3), 1)
    seen = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
    luma = cv2.cvtColor(seen, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    unlike = np.abs(luma - beside(luma, rough))
    edged = guided_by_two(luma, unlike, rough)
    core = 2 * rough - 1  # what hardly differs from what is behind it has no edges
    fine = np.clip(np.maximum(edged * 1.3 - 0.12, core), 0, 1)
    fine *= 1 - rims * (1 - np.clip((unlike - UNLIKE[0]) / (UNLIKE[1] - UNLIKE[0]), 0, 1))
    found[y:bottom, x:right] = cv2.resize(fine, part.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return found


def beside(luma: Array, rough: Array) -> Array:
    """(h, w) float32: the luma of what lies beside, and behind, what is before it: of where `rough` (h, w) is low."""
    size = (max(luma.shape[1] // 4, 2), max(luma.shape[0] // 4, 2))
    free = (rough < 0.1).astype(np.float32)
    both = cv2.resize(cv2.merge([luma * free, free]), size, interpolation=cv2.INTER_AREA)
    total = cv2.GaussianBlur(both, (0, 0), max(size) / 12)
    mean = float((luma * free).sum() / max(float(free.sum()), 1.0))
    found = (total[..., 0] + 1e-3 * mean) / (total[..., 1] + 1e-3)
    return np.asarray(cv2.resize(found, luma.shape[::-1], interpolation=cv2.INTER_LINEAR))


def guided_by_two(one: Array, two: Array, plane: Array) -> Array:
    """A plane smoothed along the edges of two guides (He et al. 2010, Guided image filtering): letters are both
    brighter and darker than the skin around them, so that luma alone does not tell them. All (h, w) float32."""

    def mean(*planes: Array) -> list[Array]:
        return list(cv2.split(cv2.blur(cv2.merge(planes), (2 * AT_EDGES + 1,) * 2)))

    a, b, c, aa, ab, bb, ac, bc = mean(one, two, plane, one * one, one * two, two * two, one * plane, two * plane)
    aa, ab, bb = aa - a * a + EVEN, ab - a * b, bb - b * b + EVEN
    ac, bc = ac - a * c, bc - b * c
    area = aa * bb - ab * ab
    p, q = (bb * ac - ab * bc) / area, (aa * bc - ab * ac) / area
    p, q, rest = mean(p, q, c - p * a - q * b)
    return np.asarray(p * one + q * two + rest)


def open_parts() -> PartsModel:
    """The model that ships. Raises ModelError."""
    path = path_to("parts")
    with translated("the parts model cannot be loaded", "run `vidswap models verify`"):
        session = open_session(path, session_options())
    return PartsModel(session, landmarks.mean_face())
