"""What keeps a face in a photo from being seen: things before it, blur, bad light, a pose. In words for who took it.

How much of a point is seen tells the mesh model. It sees through dark glasses at times, so that eyes must also have the
contrast of eyes. Blur is told by how much weaker than coarse detail the fine one is, which no light changes; a movement
blurs one direction.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from vidswap.face import geometry, landmarks
from vidswap.face.sampling import sample_patch
from vidswap.read.features import EYE_POINTS, MOUTH_POINTS
from vidswap.types import Array

NOSE = np.array([1, 2, 98, 327, 4, 5, 195, 48, 278])
CHEEKS = np.array([50, 205, 280, 425, 151, 9])  # skin that tells the light on a face: cheeks and forehead
SIZE = 192  # side of the aligned crop that is looked at
HIDDEN = 0.6  # a mouth, nose or face of which less is seen is covered
EYE_HIDDEN, EYE_FLAT, NEARLY = 0.5, 0.11, 1.7  # an eye seen less, or with less contrast, than that is hidden
MOST_HIDDEN = 0.35  # of a whole face: less is none
SOFT, NO_FEATURES = 0.46, 0.25  # fine over coarse detail: out of focus, and past use
MOVED = 0.285  # the same in the direction in which it is least: a smear
DARK, WHITE, BURNT = 50.0, 250, 0.25  # the lighter parts' grey level, that of white, and how much of a face may be
AWAY = 40.0  # degrees off the camera
SHUT = 0.13  # height of an open eye over its width
SMALL = 90  # pixels; below, a face is worn larger than it was taken


@dataclass(frozen=True)
class Trouble:
    """What is wrong, in words that go after a photo's name. A photo whose face is hidden is left out where another will
    do; one that is `useless` is refused."""

    words: str
    hides: bool = True
    useless: bool = False


def troubles(rgb: Array, mesh: Array, points: Array, mean: Array) -> list[Trouble]:
    """All that is wrong with the face `mesh` (478, 3) in a photo (H, W, 3), worst first; `points` (478,) is how much of
    each is seen, `mean` the mean face (478, 3)."""
    to_crop = geometry.crop_transform(mesh, mean, SIZE)
    crop, placed = sample_patch(rgb, to_crop, SIZE), geometry.apply(to_crop, mesh)[:, :2]
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY).astype(np.float32)
    covered = _covered(grey, placed, points)
    blurred = [each for each in _blurred(grey, placed) if each.useless or not covered]  # a cover has its own detail
    found = [*covered, *blurred, *_lit(crop, placed), *_posed(mesh, mean)]
    return sorted(found, key=lambda trouble: (not trouble.useless, not trouble.hides))


def _covered(grey: Array, mesh: Array, points: Array) -> list[Trouble]:
    if points[:468].mean() < MOST_HIDDEN:
        return [Trouble("most of the face is covered, or turned out of sight", useless=True)]
    eyes = hidden_eyes(grey, mesh, points)
    mouth, nose = points[MOUTH_POINTS].mean() < HIDDEN, points[NOSE].mean() < HIDDEN
    if mouth and (nose or eyes == 2):
        what = "mouth and nose are covered, by a mask perhaps" if nose else "eyes and mouth are covered"
        return [Trouble(what, useless=True)]
    said = ["", "an eye is covered, by hair or a hand perhaps", "the eyes are hidden, by sunglasses perhaps"][eyes]
    covered = [said] if said else []
    covered += ["the mouth is covered, by a hand perhaps"] if mouth else []
    covered += ["the nose is covered, by a hand perhaps"] if nose else []
    return [Trouble(words) for words in covered]


def hidden_eyes(grey: Array, mesh: Array, points: Array) -> int:
    """How many eyes are hidden; both where one is and the other nearly so, as behind glasses."""
    sharp = sharpness(grey, mesh) >= 0.7 * SOFT  # a blurred eye has little contrast too
    seen = [points[eye[:16]].mean() / EYE_HIDDEN for eye in EYE_POINTS]
    flat = [contrast(grey, mesh, eye) / EYE_FLAT if sharp else np.inf for eye in EYE_POINTS]
    shown = [min(pair) for pair in zip(seen, flat)]
    return 0 if min(shown) >= 1 else 2 if max(shown) < NEARLY else 1


def _blurred(grey: Array, mesh: Array) -> list[Trouble]:
    sharp = sharpness(grey, mesh)
    if sharp < NO_FEATURES:
        return [Trouble("the face is so blurred that no features are left", useless=True)]
    if sharp < SOFT:
        return [Trouble("the face is out of focus, or was made larger")]
    return [Trouble("the face is blurred by a movement")] if streak(grey, mesh) < MOVED else []


def _lit(crop: Array, mesh: Array) -> list[Trouble]:
    inside = _inside(mesh[landmarks.OVAL])
    skin = crop[inside]
    if not len(skin):
        return []
    if np.percentile(skin.mean(1), 90) < DARK:
        return [Trouble("the face is very dark", hides=False)]
    burnt = float((skin.min(1) >= WHITE).mean())
    return [Trouble("much of the face is burnt out to white", hides=False)] if burnt > BURNT else []


def _posed(mesh: Array, mean: Array) -> list[Trouble]:
    box = geometry.bounds(mesh)
    wide = float((box[2:] - box[:2]).max())
    found = []
    if wide < SMALL:
        found.append(Trouble(f"the face is only {wide:.0f} pixels large", hides=False))
    rotation = geometry.face_pose(mesh, mean).rotation
    if np.degrees(np.arccos(np.clip(rotation[2, 2], -1, 1))) > AWAY:
        found.append(Trouble("the face looks far away from the camera", hides=False))
    elif max(opening(mesh, *eye) for eye in zip(landmarks.EYE_CORNERS, landmarks.LID_MIDDLES)) < SHUT:
        found.append(Trouble("the eyes are shut", hides=False))
    return found


# -- measures ---------------------------------------------------------------------------------------------------------


def contrast(grey: Array, mesh: Array, eye: Array) -> float:
    """The spread of grey levels in and around an eye (31,) over the skin's, in an aligned crop (S, S)."""
    contour = mesh[eye[:16]]
    wide = float(np.ptp(contour[:, 0]))
    x, y = contour.mean(0)
    place = np.zeros(grey.shape, np.uint8)
    cv2.ellipse(place, (int(x), int(y + 0.1 * wide)), (int(0.6 * wide), int(0.45 * wide)), 0, 0, 360, 1, -1)
    light = grey[_inside(mesh[CHEEKS])]
    if not place.any() or not len(light):
        return 0.0
    return float(grey[place > 0].std() / (np.median(light) + 1))


def sharpness(grey: Array, mesh: Array) -> float:
    """Fine detail over coarse around eyes and mouth of an aligned crop (S, S): .55 and more where a photo is sharp."""
    place = _features(mesh)
    once, twice, far = (cv2.GaussianBlur(grey, (0, 0), spread) for spread in (0.7, 1.5, 3.0))
    return float((once - twice)[place].std() / ((twice - far)[place].std() + 0.5)) if place.any() else 0.0


def streak(grey: Array, mesh: Array) -> float:
    """How far a short step changes what a long one does, in the direction in which that is least."""
    place, soft = _features(mesh), cv2.GaussianBlur(grey, (0, 0), 0.7)

    def change(x: float, y: float) -> float:
        step = np.array([[1, 0, x], [0, 1, y]])
        moved = cv2.warpAffine(soft, step, grey.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
        return float((soft - moved)[place].std())

    if not place.any():
        return 0.0
    ways = np.array([[1, 0], [0, 1], [0.7071, 0.7071], [0.7071, -0.7071]])
    return min(change(*(1.5 * way)) / (change(*(6 * way)) + 0.5) for way in ways)


def opening(mesh: Array, corners: tuple[int, int], lids: tuple[int, int]) -> float:
    """Height over width of an eye, by its corners and the middles of its lids."""
    left, right, upper, lower = mesh[[*corners, *lids], :2]
    return float(np.linalg.norm(upper - lower) / max(float(np.linalg.norm(left - right)), 1e-6))


def _features(mesh: Array) -> Array:
    place = np.zeros((SIZE, SIZE), bool)
    for part in (EYE_POINTS[0][:16], EYE_POINTS[1][:16], MOUTH_POINTS):
        middle = mesh[part].mean(0)
        place |= _inside(middle + 1.5 * (mesh[part] - middle))
    return place


def _inside(points: Array) -> Array:
    """(SIZE, SIZE) bool: the hull of points (K, 2)."""
    place = np.zeros((SIZE, SIZE), np.uint8)
    cv2.fillConvexPoly(place, cv2.convexHull(np.int32(np.clip(points, -SIZE, 2 * SIZE) * 16)), 1, cv2.LINE_8, 4)
    return place > 0
