"""Where a picture shows the skin of the person whose face it is about: face, ears, neck, hands near it.

What looks like the cheeks, and rather so than like what is farther off, joined to the face; its edges are those of the
picture. All is (side, side) float32 in 0 to 1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from vidswap.face import geometry, landmarks
from vidswap.face.averages import averaged
from vidswap.face.skin import face_of, features_free, plain_skin
from vidswap.swap.light import DARKEST, GAMMA
from vidswap.types import Array, Crops

JAW = np.array([136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365])
LEAST, MOST_SPREAD = (0.06, 0.06, 0.25), (0.12, 0.12, 0.35)  # of an actor's skin, in `_colours`
OPPONENT = np.array([[1, -1, 0], [0, -1, 1], [1 / 3, 1 / 3, 1 / 3]], np.float32)
WITHIN = (2.2, 2.2, 2.6)  # what looks like it, in such spreads
BARE = 9.0  # squared spreads by which a bare throat is off the face's skin; from there on it is doubted
BROAD, CLOSE, HAND = 40, 28, 20  # of a matte's side: what of things before a face is broad, what lies close together,
# and over what hands are alike
FEWEST = 32  # pixels that tell what skin looks like
EARS = (np.array([127, 234, 93, 132]), np.array([356, 454, 323, 361]))
TEMPLES = np.array([127, 162, 21, 54, 103, 67, 109, 10, 338, 297, 332, 284, 251, 389, 356])  # and over
HIGH = 1.18  # how much farther from a face's middle than its outline a forehead may reach
SURELY = 8.0  # squared spreads by which a colour is nearer to skin than to all else, so that it is skin there
EDGES, LEVEL = 2, 1e-3  # pixels over which a matte follows the picture's edges; squared steps that are none
NONE, ALL = 0.2, 0.6  # of a matte: less is no skin, more is all of it; what is left of the actor's shows most
OTHERS, RATHER = 6, 3.0  # groups of what is around; how sharply what is nearer to one of them is told from skin
ALIKE = 1.0  # squared spreads: what is around and as near to skin is the actor's arm or hand, or cannot be told from it


def colours(picture: Array) -> Array:
    """(h, w, 3) float32 of a picture (h, w, 3) uint8: logarithms of red over green, blue over green, and of luma."""
    light = np.log((cv2.GaussianBlur(picture, (0, 0), 0.8).astype(np.float32) / 255) ** GAMMA + 4 * DARKEST)
    return np.asarray(cv2.transform(light, OPPONENT))


def _colours(crop: Array, side: int) -> Array:
    """The same of a crop (S, S, 3), at another side."""
    return colours(cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA))


@dataclass(frozen=True, eq=False)
class Looks:
    """What skin of the actor looks like in a window, in `_colours`: `centres` (K, 3) and `spreads` (K, 3) of the plain
    skin of the face, and of the throat where that is bare, which is often paler; how much it is doubted that these are
    skin, squared spreads, `doubts` (K,); and what lies farther off, which is no skin: `others` (N, 3)."""

    centres: Array
    spreads: Array
    doubts: Array
    others: Array

    def far(self, colours: Array) -> Array:
        """(h, w) the squared distance of colours (h, w, 3) from the nearest of skin, in its spreads."""
        away = (colours - self.centres[:, None, None]) / self.spreads[:, None, None]
        away[..., 2] *= np.where(away[..., 2] < 0, 0.8, 1.0)  # necks lie in the shade
        return np.asarray((np.einsum("khwc,khwc->khw", away, away) + self.doubts[:, None, None]).min(0))

    def rather(self, colours: Array, far: Array) -> Array:
        """(h, w) by how much colours (h, w, 3) are farther from what is no skin than from skin, from which they are so
        `far` (h, w); 0 where nothing else is known."""
        if not len(self.others):
            return np.zeros_like(far)
        return np.asarray(_nearest(colours / self.spreads[0], self.others / self.spreads[0]) - far)


def alike_of(far: Array, rather: Array) -> Array:
    """1 for colours of skin, from which they are so `far`, and `rather` that than anything else."""
    return np.asarray(np.exp(-0.25 * far) * np.minimum(2 / (1 + np.exp(np.clip(-RATHER * rather, -30, 30))), 1))


def skin_looks(wide: Crops, side: int) -> Looks:
    """From some frames of a window, its crops seen at `side` pixels."""
    to_matte, skin, throat, rest = geometry.enlarge(side / wide.rgb.shape[1]), [], [], []
    for crop, mesh in zip(wide.rgb[::4], wide.mesh[::4], strict=True):
        placed, colours = geometry.apply(to_matte, mesh), _colours(crop, side)
        skin.append(colours[plain_skin(placed, side)])
        throat.append(colours[_throat(placed, side) > 0.5])
        rest.append(colours[::6, ::6][_reach(placed, side)[::6, ::6] == 0])
    known, under, other = (np.concatenate(found) for found in (skin, throat, rest))
    if len(known) < FEWEST:
        return _looks([(np.zeros(3, np.float32), np.full(3, 1e3, np.float32), 0.0)], np.zeros((0, 3), np.float32))
    centre, spread = _look(known)
    face = _looks([(centre, spread, 0.0)], groups(other / spread, OTHERS) * spread)
    face = replace(face, others=face.others[face.far(face.others[:, None])[:, 0] > ALIKE])
    if len(under) < FEWEST:
        return face
    found, its_spread = _look(under)
    far = face.far(found[None, None])
    rather = float(face.rather(found[None, None], far)[0, 0]) if len(face.others) else BARE
    doubt = 1.5 * max(float(far[0, 0]) - BARE, -rather, 0.0)  # by and by, or necks would come and go
    return _looks([(centre, spread, 0.0), (found, its_spread, doubt)], face.others)


def _looks(skins: list[tuple[Array, Array, float]], others: Array) -> Looks:
    """`Looks` of a middle (3,), a spread (3,) and a doubt each."""
    centres, spreads, doubts = zip(*skins, strict=True)
    return Looks(np.stack(centres), np.stack(spreads), np.array(doubts, np.float32), others)


def _look(colours: Array) -> tuple[Array, Array]:
    """The middle (3,) of colours (N, 3) of skin, and how far skin of that kind is from it (3,)."""
    centre = np.median(colours, 0)
    spread = np.clip(1.48 * np.median(np.abs(colours - centre), 0), LEAST, MOST_SPREAD) * WITHIN
    return centre, np.asarray(spread)


def groups(points: Array, count: int) -> Array:
    """(K, 3) centres of at most `count` groups of points (N, 3), by k-means from thirds of their last coordinate on, so
    that equal points give equal groups."""
    if len(points) < 4 * count:
        return np.zeros((0, 3), np.float32)
    first = np.argsort(np.argsort(points[:, -1], kind="stable"), kind="stable") * count // len(points)
    how = (cv2.TERM_CRITERIA_MAX_ITER, 12, 0.0)
    flags = cv2.KMEANS_USE_INITIAL_LABELS
    return np.asarray(cv2.kmeans(points.astype(np.float32), count, first.astype(np.int32)[:, None], how, 1, flags)[2])


def skin_matte(crop: Array, mesh: Array, side: int, looks: Looks) -> Array:
    """(side, side) float32: how much of each pixel is the actor's skin: what is likely to be, joined to the face; all
    of the face itself but eyes and the mouth's inside. Edges are those of the picture."""
    half, placed = side // 2, geometry.apply(geometry.enlarge(side / len(crop)), mesh)
    likely = skin_likely(crop, geometry.apply(geometry.enlarge(half / len(crop)), mesh), half, looks)
    small = cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    soft = (edged(small, likely) - NONE) / (ALL - NONE)
    return np.asarray(np.clip(np.maximum(soft, face_of(placed, side)) * features_free(placed, side), 0, 1), np.float32)


def skin_likely(crop: Array, mesh: Array, side: int, looks: Looks) -> Array:
    """(side, side) float32, of a crop with its mesh in pixels of that side: 1 for what looks like the actor's cheeks,
    and rather so than like what is around, where skin of the same head can be, joined to the face."""
    face, colours = face_of(mesh, side), _colours(crop, side)
    far = looks.far(colours)
    rather = looks.rather(colours, far)
    alike = alike_of(far, rather) * _reach(mesh, side)
    alike = np.maximum(alike, np.exp(-0.07 * far) * np.clip(rather / SURELY, 0, 1) * _beside(mesh, side))
    alike = np.maximum(alike, np.exp(-0.1 * far) * _throat(mesh, side))  # in the shade of the chin, stubble on it
    alike = np.maximum(np.clip((alike - 0.25) / 0.35, 0, 1), face)
    whole = cv2.morphologyEx(alike * _joined(alike, face), cv2.MORPH_CLOSE, np.ones((side // 20 | 1,) * 2, np.uint8))
    return np.asarray(whole, np.float32)


def hands(crop: Array, before: Array, side: int, looks: Looks) -> Array:
    """(side, side) float32: how much of what lies `before` the face (S, S) in a crop (S, S, 3) is the actor's skin. A
    hand is so as a whole, for colours tell less of a finger than of all of them; what is thin, as letters, is none."""
    hides = cv2.resize(before, (side, side), interpolation=cv2.INTER_AREA)
    broad = cv2.morphologyEx(hides, cv2.MORPH_OPEN, np.ones((side // BROAD | 1,) * 2, np.uint8))
    if broad.max() < 0.5:
        return np.zeros((side, side), np.float32)
    colours = _colours(crop, side)
    far = looks.far(colours)
    alike = alike_of(far, looks.rather(colours, far)).astype(np.float32)
    alike = cv2.erode(alike, np.ones((side // CLOSE | 1,) * 2, np.uint8))  # skin shows between letters as well
    alike = averaged(alike, broad, side / HAND, least=0.01)
    return np.asarray(broad * np.clip((alike - 0.25) / 0.3, 0, 1), np.float32)


def _nearest(points: Array, others: Array) -> Array:
    """(h, w) the squared distance from points (h, w, 3) to the nearest of `others` (K, 3)."""
    to_each = np.einsum("kc,kc->k", others, others) - 2 * points @ others.T
    return np.asarray(np.einsum("hwc,hwc->hw", points, points) + to_each.min(-1))


def _reach(mesh: Array, side: int) -> Array:
    """1 where skin of the same head can be: ears, forehead, and from the jaw down; soft where that ends."""
    rim = mesh[landmarks.OVAL, :2]
    centre, half = (rim.min(0) + rim.max(0)) / 2, (rim.max(0) - rim.min(0)) / 2
    y, x = np.mgrid[:side, :side].astype(np.float32)
    across, down = np.abs(x - centre[0]) / half[0], (y - centre[1]) / half[1]
    head = 1.35 - np.sqrt(across**2 + (down / 1.05) ** 2)
    neck = np.where(down > 0.2, 1.15 - across + np.maximum(down - 1.1, 0) * 1.5, -1)
    return np.asarray(np.clip(np.maximum(head, neck) / 0.15, 0, 1), np.float32)


def _throat(mesh: Array, side: int) -> Array:
    """1 right under the jaw, where hardly anything but skin is; soft where that ends."""
    jaw, long = mesh[JAW, :2], np.ptp(mesh[landmarks.OVAL, 1])
    under = (jaw - jaw.mean(0)) * (0.85, 0.5) + jaw.mean(0) + (0, 0.25 * long)
    throat = np.zeros((side, side), np.float32)
    cv2.fillPoly(throat, [np.round(np.concatenate([jaw, under[::-1]])).astype(np.int32)], 1.0)
    return np.asarray(cv2.GaussianBlur(throat, (0, 0), side / 100))


def _beside(mesh: Array, side: int) -> Array:
    """1 beside a face, where ears are, which are redder than cheeks and may be in light of their own, and above it up
    to the hair, where light falls from above; soft where that ends."""
    head, out = np.zeros((side, side), np.float32), 0.16 * np.ptp(mesh[landmarks.OVAL, 1])
    middle = mesh[landmarks.OVAL, :2].mean(0)
    for rim, other in (EARS, EARS[::-1]):
        away = (mesh[rim, :2] - mesh[other, :2]).mean(0)
        _strip(head, mesh[rim, :2], mesh[rim, :2] + away / max(float(np.linalg.norm(away)), 1e-6) * out)
    _strip(head, mesh[TEMPLES, :2], middle + (mesh[TEMPLES, :2] - middle) * HIGH)
    return np.asarray(cv2.GaussianBlur(head, (0, 0), side / 100))


def _strip(plane: Array, line: Array, beyond: Array) -> None:
    """Fill a plane with 1 between two lines of as many points."""
    cv2.fillPoly(plane, [np.round(np.concatenate([line, beyond[::-1]])).astype(np.int32)], 1.0)


def _joined(alike: Array, face: Array) -> Array:
    """1 where what is alike is joined to the face."""
    inside = (face > 0.5).astype(np.uint8)
    found = cv2.morphologyEx((alike > 0.35).astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)) | inside
    _, labels = cv2.connectedComponents(found)
    mine = np.unique(labels[inside > 0])
    near = cv2.dilate(np.isin(labels, mine[mine > 0]).astype(np.uint8), np.ones((3, 3), np.uint8))
    return np.asarray(near, np.float32)


def edged(guide: Array, plane: Array) -> Array:
    """A plane (h, w) smoothed along the edges of a guide (H, W, 3), by colours, and as large as it: the guided filter
    for colours (He et al. 2010), at the plane's own size (He and Sun 2015, Fast guided filter). All float32."""

    def mean(x: Array) -> Array:
        return np.asarray(cv2.blur(x, (2 * EDGES + 1,) * 2))

    size = guide.shape[1::-1]
    small = cv2.resize(guide, plane.shape[::-1], interpolation=cv2.INTER_AREA)
    low_guide, low = mean(small), mean(plane)
    together = mean(small * plane[..., None]) - low_guide * low[..., None]
    (a, b, c), (x, y, z) = (np.moveaxis(each, -1, 0) for each in (small, low_guide))
    aa, bb, cc = (mean(one * one) - mid * mid + LEVEL for one, mid in ((a, x), (b, y), (c, z)))
    ab, ac, bc = mean(a * b) - x * y, mean(a * c) - x * z, mean(b * c) - y * z
    inverse = np.stack([bb * cc - bc * bc, ac * bc - ab * cc, ab * bc - ac * bb,
                        aa * cc - ac * ac, ab * ac - aa * bc, aa * bb - ab * ab])  # fmt: skip
    whole = aa * inverse[0] + ab * inverse[1] + ac * inverse[2]
    rows = inverse[[[0, 1, 2], [1, 3, 4], [2, 4, 5]]]
    slope = np.einsum("ijhw,hwj->hwi", rows, together) / whole[..., None]
    rest = mean(low - (slope * low_guide).sum(-1))
    slope, rest = (cv2.resize(each, size, interpolation=cv2.INTER_LINEAR) for each in (mean(slope), rest))
    return np.asarray((slope * guide).sum(-1) + rest, np.float32)


def guided(guide: Array, plane: Array, radius: int, eps: float) -> Array:
    """A plane smoothed along a guide's edges (He et al. 2010, Guided image filtering); all (h, w) float32."""

    def mean(x: Array) -> Array:
        return np.asarray(cv2.blur(x, (2 * radius + 1,) * 2))

    low_guide, low = mean(guide), mean(plane)
    slope = (mean(guide * plane) - low_guide * low) / (mean(guide * guide) - low_guide**2 + eps)
    return np.asarray(mean(slope) * guide + mean(low - slope * low_guide))
