"""A picture of a face that nobody labelled -> what most of its pixels are, by the mesh, colours and place; the rest is
left open: UNSURE, what is at least nothing before the face, and OPEN, what may be anything."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from vidswap.face import geometry, landmarks
from vidswap.face.skin import PLAIN
from vidswap.swap.light import DARKEST, GAMMA
from vidswap.swap.parts import BEARD, BODY, BROW, ELSE, EYE, FRONT, HAIR, MOUTH, SKIN
from vidswap.types import Array

UNSURE, OPEN = 255, 254
LEAST = np.array([0.05, 0.05, 0.3])  # spreads of a colour: of red over green, blue over green, and luma
ALIKE, OTHER = 2.5, 4.0  # spreads within which a colour is that of a region, and beyond which it is not
BEHIND, PERSON = 0.15, 0.7  # shares of person: less is background; more is not
DARK, SHADED = 0.55, 0.25  # logarithms of light by which a beard is darker than the skin, and what may be one
BOTH = 0.45  # share of either side of a jaw that is dark where there is a beard, and no shade
FINGER = 0.3  # width of a finger over the palm's length
BAND = (0.14, 0.2)  # of a face's height over and under the eyes, where glasses may be


@dataclass(frozen=True, eq=False)
class Told:
    """What a teacher tells of a picture: `person` (S, S) float32 shares, the joints of hands (K, 21, 2), whether the
    person wears glasses, and whether the picture is unfit to learn from."""

    person: Array
    hands: Array
    glasses: bool = False
    unfit: bool = False


@dataclass(frozen=True, eq=False)
class Colour:
    """What a region looks like: `centre` (3,) in `spread`s (3,)."""

    centre: Array
    spread: Array

    def away(self, colours: Array) -> Array:
        """(S, S): how far colours (S, S, 3) are off, in spreads."""
        return np.asarray(np.sqrt((((colours - self.centre) / self.spread) ** 2).sum(-1)))


def colours_of(picture: Array) -> Array:
    """(S, S, 3) float32: logarithms of red over green, blue over green, and of luma."""
    light = np.log((cv2.GaussianBlur(picture, (0, 0), 0.8).astype(np.float32) / 255) ** GAMMA + 4 * DARKEST)
    return np.stack([light[..., 0] - light[..., 1], light[..., 2] - light[..., 1], light.mean(-1)], -1)


def colour_of(known: Array) -> Colour | None:
    """The colour of pixels (N, 3); None of too few."""
    if len(known) < 24:
        return None
    centre = np.median(known, 0)
    return Colour(centre, np.maximum(1.48 * np.median(np.abs(known - centre), 0), LEAST))


def polygon(points: Array, side: int) -> Array:
    """(side, side) bool: inside a polygon (K, 2 or more)."""
    inside = np.zeros((side, side), np.uint8)
    cv2.fillPoly(inside, [np.rint(points[:, :2] * 16).astype(np.int32)], 1, cv2.LINE_8, 4)
    return inside > 0


def labelled(picture: Array, mesh: Array, told: Told) -> Array:
    """(S, S) uint8: the part of each pixel of a picture (S, S, 3) uint8 with its mesh (478, 3), or UNSURE, or OPEN."""
    side, colours = len(picture), colours_of(picture)
    place = _Place(mesh, side)
    plain = np.any([polygon(cv2.convexHull(mesh[list(patch), :2])[:, 0], side) for patch in PLAIN], 0)
    skin = colour_of(colours[plain])
    if skin is None:
        return np.full((side, side), UNSURE, np.uint8)
    crown = (place.down < -0.05) & (place.down > -0.5) & (np.abs(place.across) < 0.8) & ~place.face
    hair = colour_of(colours[crown & (told.person > PERSON) & (skin.away(colours) > ALIKE)])
    parts = _around(colours, place, skin, hair, told.person)
    parts = np.where(place.face, _inside(colours, place, skin, hair), parts).astype(np.uint8)
    kernel = np.ones((3, 3), np.uint8)
    parts[cv2.dilate(parts, kernel) != cv2.erode(parts, kernel)] = UNSURE  # edges of colours are not to be trusted
    for features, part in ((landmarks.EYES, EYE), ((landmarks.OUTER_LIPS,), MOUTH)):
        for feature in features:
            parts[polygon(mesh[feature], side)] = part
    if told.glasses:
        parts[place.band] = OPEN
    return _handed(parts, told.hands)


class _Place:
    """Where the pixels of a picture lie about a face: `across`, 0 in its middle and 1 at its sides; `down`, 0 at the
    top of its outline and 1 at the chin; `face` inside the outline, `brows` and `jaw` within it."""

    def __init__(self, mesh: Array, side: int) -> None:
        rim = mesh[landmarks.OVAL, :2]
        low, high = rim.min(0), rim.max(0)
        y, x = np.mgrid[:side, :side].astype(np.float32)
        self.across = (x - (low[0] + high[0]) / 2) / ((high[0] - low[0]) / 2)
        self.down = (y - low[1]) / (high[1] - low[1])
        self.face = polygon(rim, side)
        self.brows = np.any([polygon(cv2.convexHull(mesh[brow, :2])[:, 0], side) for brow in landmarks.BROWS], 0)
        self.upper = y < mesh[np.concatenate(landmarks.BROWS), 1].min() - 0.02 * (high[1] - low[1])
        self.jaw = (y > mesh[2, 1]) & self.face
        eyes = self.down[tuple(np.clip(mesh[np.concatenate(landmarks.EYES), 1::-1], 0, side - 1).astype(int).T)]
        self.band = (self.down > eyes.min() - BAND[0]) & (self.down < eyes.max() + BAND[1])
        self.band &= np.abs(self.across) < 1.4
        self.ears = (np.abs(self.across) < 1.3) & (self.down > 0.2) & (self.down < 0.75)


def _inside(colours: Array, place: _Place, skin: Colour, hair: Colour | None) -> Array:
    """Parts inside the face's outline."""
    away, dark = skin.away(colours), skin.centre[2] - colours[..., 2]
    parts = np.where(away < OTHER, SKIN, UNSURE)
    if hair is not None:
        like = hair.away(colours)
        parts = np.where(place.upper & (like < ALIKE) & (like < away), HAIR, parts)
    parts = np.where(place.jaw & (dark > SHADED), UNSURE, parts)
    bearded = place.jaw & (dark > DARK) & (away > ALIKE)
    left = place.across < 0
    if min((bearded & half).sum() / max((place.jaw & half).sum(), 1) for half in (left, ~left)) > BOTH:
        parts = np.where(bearded, BEARD, parts)
    wide = cv2.dilate(place.brows.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    parts = np.where(wide, UNSURE, parts)
    return np.where(place.brows & (dark > SHADED), BROW, parts)


def _around(colours: Array, place: _Place, skin: Colour, hair: Colour | None, person: Array) -> Array:
    """Parts outside the face's outline."""
    away = skin.away(colours)
    like = hair.away(colours) if hair is not None else np.full(away.shape, 9.0)
    hue = np.sqrt((((colours - skin.centre) / skin.spread)[..., :2] ** 2).sum(-1))
    parts = np.full(away.shape, UNSURE)
    parts = np.where(((place.down < 0.25) | place.ears) & (away < ALIKE) & (away < 0.7 * like), SKIN, parts)
    under = (place.down > 0.9) & (np.abs(place.across) < 0.75 + np.maximum(place.down - 1.2, 0) * 1.5)
    near = under & (colours[..., 2] < skin.centre[2] + 0.7) & (colours[..., 2] > skin.centre[2] - 2.2)
    parts = np.where(near & (hue < ALIKE) & (away < 0.7 * like), BODY, parts)
    head = (place.down < 1.0) & (np.abs(place.across) < 1.7) & (place.down > -0.7)
    parts = np.where(head & (like < ALIKE) & (like < 0.7 * away), HAIR, parts)
    worn = (place.down > 1.15) & (away > OTHER) & (like > ALIKE)
    parts = np.where(worn & ((hue > ALIKE) | (place.down > 1.35)), ELSE, parts)  # clothes
    parts = np.where(person < PERSON, UNSURE, parts)
    return np.where(person < BEHIND, ELSE, parts)


def _handed(parts: Array, hands: Array) -> Array:
    """Parts with hands where their joints (K, 21, 2) are, open at their edges."""
    for joints in hands:
        palm = float(np.linalg.norm(joints[9] - joints[0]))
        inner, outer = np.zeros(parts.shape, np.uint8), np.zeros(parts.shape, np.uint8)
        for mask, wide in ((inner, 0.7), (outer, 2.2)):
            chains = [[0, *range(k, k + 4)] for k in (1, 5, 9, 13, 17)]
            for chain in chains:
                line = np.rint(joints[chain] * 16).astype(np.int32)
                cv2.polylines(mask, [line], False, 1, max(1, round(palm * FINGER * wide)), cv2.LINE_8, 4)
            mask[polygon(joints[[0, 1, 5, 9, 13, 17]], len(mask))] = 1
        parts = np.where(inner > 0, FRONT, np.where(outer > 0, OPEN, parts)).astype(np.uint8)
    return parts


def moved(told: Told, matrix: Array, side: int) -> Told:
    """What a teacher told of a picture, in the crop that `matrix` (2, 3) takes it to; only hands that reach in."""
    person = cv2.warpAffine(told.person, matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    hands = [geometry.apply(matrix, joints) for joints in told.hands]
    near = [joints for joints in hands if ((joints > -0.3 * side) & (joints < 1.3 * side)).all()]
    return Told(person, np.stack(near) if near else np.zeros((0, 21, 2), np.float32), told.glasses, told.unfit)
