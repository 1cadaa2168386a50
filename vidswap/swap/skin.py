"""A photo of a person -> the same with skin where hair, cloth or a hand hid it: what hangs before a face in a photo
must not become a scar on another's.

What hides skin is told by colour, and by coming from outside the face: what looks rather like something around it than
like its cheeks, joined to what is around. Where the other half of the face is bare its skin is taken, mirrored along
the mesh; else skin goes on smoothly from around the gap.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy import ndimage

from vidswap.face import geometry, landmarks
from vidswap.face.averages import averaged
from vidswap.face.halves import over, unseen
from vidswap.face.raster import Surface, draw_triangles, filled, sampling_map
from vidswap.face.sampling import sample
from vidswap.face.skin import PLAIN
from vidswap.swap.matte import colours, groups, guided
from vidswap.swap.parts import ELSE, FRONT, HAIR, SKIN, PartsModel
from vidswap.types import Array

SIDE, MOST_SIDE = 256, 448  # at which it is told what hides skin; at which skin is made, at most
SMALL = 128  # side at which its tone is
LEAST, MOST = np.array([0.07, 0.07, 0.3]), np.array([0.16, 0.16, 0.6])  # spreads of a skin in its photo, see `colours`
OTHERS, TONES = 8, 5  # groups of colours around a face, and of its skin
NARROW = 0.1  # of a face's height, the rim where hair mostly is
STRAND = 0.45  # logarithm of light by which hair on a forehead is darker
BEARDED = 0.12  # share of chin and upper lip that is unlike skin where a beard grows
SEAM, INNER = 0.05, 0.022  # of a face's height: the seam around it, and how far that reaches into it
UNSURE, SURE = 0.5, 0.8  # shares of a part: from which one begins to count, and wholly does
BORNE_OUT = 0.25  # share of a piece in which parts bear it out
BARE = 4.5  # spreads by which skin is off the middle of the cheeks', at most
UNLIKE, RATHER = 2.2, 1.3  # spreads beyond which a colour is not the skin's; how much farther than from something else
LIKE = 3.0  # spreads of hue within which what is lighter than skin is lit skin
BROAD = 0.012  # of a photo's face: what is thinner is a crease, or the edge of something
SMOOTH = 0.03  # share of the side below which what the mirrored half shows is detail


@dataclass(frozen=True, eq=False)
class _Place:
    """Where the pixels of an aligned square lie: in the `face`, and how deep, `depth` in its heights; where things may
    hang before it, `open`; its `features` (brows, eyes, nose, lips), which stay as they are; the `forehead`; where
    `beards` grow."""

    face: Array
    depth: Array
    open: Array
    features: Array
    forehead: Array
    beards: Array


def restored(photo: Array, mesh: Array, form: Surface, parts: PartsModel | None = None) -> Array:
    """A photo (h, w, 3) uint8 with its mesh (478, 3), and skin where something hides it, as its colours say, and its
    `parts`; `form` is what faces are drawn on."""
    scale = geometry.face_pose(mesh, form.mean).scale
    side = int(np.clip(scale / geometry.FACE_IN_CROP, SIDE, MOST_SIDE))
    to_crop = geometry.crop_transform(mesh, form.mean, side)
    crop, placed = sample(photo, to_crop, side), geometry.apply(to_crop, mesh)
    gone, small = hidden(crop, placed), geometry.apply(geometry.enlarge(SIDE / side), placed)
    if parts is not None:
        seen, to_parts = parts.parts(crop, placed)
        back = geometry.compose(geometry.enlarge(SIDE / side), geometry.invert(to_parts))
        shares = np.stack([cv2.warpAffine(share, back, (SIDE, SIDE), flags=cv2.INTER_LINEAR) for share in seen])
        gone = np.maximum(borne_out(gone, 1 - shares[SKIN]), told(shares, small))
    gone = cv2.resize(np.maximum(gone, beyond(small)), (side, side), interpolation=cv2.INTER_LINEAR)
    found = refilled(crop, placed, gone, form)
    back, size = geometry.invert(to_crop), photo.shape[1::-1]
    new = cv2.warpAffine(found, back, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    share = cv2.warpAffine(np.clip(gone * 1.5, 0, 1), back, size, flags=cv2.INTER_LINEAR)
    return np.asarray(cv2.blendLinear(new, photo, share, 1 - share))


def beyond(mesh: Array) -> Array:
    """(SIDE, SIDE) float32: the seam around a face: of one that is turned, its points lie there at times, and a line of
    it becomes a broad strip on one that is not; so do shade and what is behind, right within its outline."""
    face, high = _placed(mesh).face, float(np.ptp(mesh[:468, 1]))
    outer = cv2.dilate(face, _disc(SEAM * high)).astype(np.float32)
    inside = np.clip(cv2.distanceTransform(face, cv2.DIST_L2, 5) / (INNER * high) - 1, 0, 1)
    return np.asarray(cv2.GaussianBlur(outer - inside, (0, 0), 0.8))


def _disc(radius: float) -> Array:
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * round(radius) + 1,) * 2))


def told(shares: Array, mesh: Array) -> Array:
    """(SIDE, SIDE) float32: what hides a face's skin by its parts (PARTS, SIDE, SIDE) and its mesh (478, 3): hair,
    cloth, things, and hands, of which colours tell nothing. At the rim less will do: a mesh may reach beyond a face."""
    place = _placed(mesh)
    other = shares[[HAIR, ELSE, FRONT]].sum(0) * place.face * (place.features == 0)
    sure = np.clip(place.depth / NARROW, 0.4, 1)
    return np.asarray(np.clip((other / sure - UNSURE) / (SURE - UNSURE), 0, 1), np.float32)


def borne_out(gone: Array, other: Array) -> Array:
    """(SIDE, SIDE) float32: of what is `gone` by its colours, the pieces of which so much is seen to be something
    `other` than skin, too: furrows and shade are as dark as hair, and may reach up to it."""
    _, labels = cv2.connectedComponents((gone > 0.05).astype(np.uint8), connectivity=8)
    share = ndimage.mean(np.clip(other / UNSURE, 0, 1), labels, np.arange(labels.max() + 1))
    return np.asarray(gone * ((share > BORNE_OUT) & (np.arange(len(share)) > 0))[labels], np.float32)


def hidden(crop: Array, mesh: Array) -> Array:
    """(SIDE, SIDE) float32: where something hides the skin of an aligned picture (S, S, 3) with its mesh (478, 3)."""
    small = cv2.resize(crop, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    mesh = geometry.apply(geometry.enlarge(SIDE / len(crop)), mesh)
    place, look, plain = _placed(mesh), colours(small), _plain(mesh)
    known = look[plain[1:].any(0)]
    if len(known) < 32:
        return np.zeros((SIDE, SIDE), np.float32)
    centre = np.median(known, 0)
    spread = np.clip(1.48 * np.median(np.abs(known - centre), 0), LEAST, MOST)
    around = (place.face == 0) & (cv2.dilate(place.face, np.ones((SIDE // 4 | 1,) * 2, np.uint8)) > 0)
    own = look[plain.any(0)]
    own = own[_nearest(own, centre[None], spread) < BARE]
    away = _nearest(look, groups(own / spread, TONES) * spread, spread)
    others = groups(look[around & (away > UNLIKE)] / spread, OTHERS) * spread
    if not len(others):
        return np.zeros((SIDE, SIDE), np.float32)
    nearest = _nearest(look, others, spread)
    rim = place.depth < NARROW
    odd = (away > np.where(rim, 0.8, 1.0) * UNLIKE) & (nearest * np.where(rim, 1.0, RATHER) < away)
    odd |= (place.forehead > 0) & (_strands(look[..., 2]) > STRAND)
    odd |= (place.depth < NARROW / 2) & (look[..., 2] < centre[2] - STRAND) & (nearest < away)
    odd &= ~((place.beards > 0) & _bearded(away > UNLIKE, place))
    odd &= ~_lit(look, centre, spread)
    found = (odd & (place.face > 0) & (place.open > 0) & (place.features == 0)) | (odd & (place.face == 0))
    found = cv2.morphologyEx(found.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    inside = _from_outside(found, place.face)
    grown = cv2.dilate(inside, np.ones((7, 7), np.uint8)) & place.face & (place.features == 0)
    soft = guided(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255, grown.astype(np.float32), 3, 1e-3)
    return np.asarray(np.clip(np.maximum(cv2.GaussianBlur(soft, (0, 0), 1.0), inside), 0, 1), np.float32)


def _grown(points: Array, grow: float) -> Array:
    """Points (V, 2) of these (V, 3), so many times as far from their middle."""
    middle = points[:, :2].mean(0)
    return np.asarray((points[:, :2] - middle) * grow + middle)


def _plain(mesh: Array) -> Array:
    """(5, SIDE, SIDE) bool: forehead, cheeks, chin, nose."""
    return np.stack([filled((SIDE, SIDE), mesh[list(patch)]) for patch in (*PLAIN, landmarks.RIGID[:5])]) > 0


def _nearest(look: Array, centres: Array, spread: Array) -> Array:
    """(...): how far each colour of (..., 3) is from the nearest of (K, 3), in spreads."""
    return np.asarray(np.sqrt(np.min([(((look - one) / spread) ** 2).sum(-1) for one in centres], axis=0)))


def _placed(mesh: Array) -> _Place:
    face = filled((SIDE, SIDE), mesh[:468])  # of a turned face as well
    features = filled((SIDE, SIDE), *(_grown(mesh[part], grow) for part, grow in (
        (landmarks.LEFT_EYE, 1.5), (landmarks.RIGHT_EYE, 1.5), (landmarks.OUTER_LIPS, 1.25),
        (landmarks.BROWS[0], 1.15), (landmarks.BROWS[1], 1.15),
        (np.array([6, 48, 278, 2, 98, 327]), 1.15))))  # fmt: skip
    y = np.mgrid[:SIDE, :SIDE][0]
    depth = cv2.distanceTransform(face, cv2.DIST_L2, 3) / np.ptp(mesh[:468, 1])
    brows = mesh[np.concatenate(landmarks.BROWS), 1].mean()
    near = np.where(y < brows, 1.0, 0.28)  # of a face's height, how far in things may hang
    beards = (y > mesh[2, 1]).astype(np.uint8)
    forehead = ((y < brows) & (features == 0)).astype(np.uint8)
    return _Place(face, depth, (depth < near).astype(np.uint8), features, forehead, beards)


def _strands(luma: Array) -> Array:
    """(S, S): by how much each pixel is darker than what lies around strands."""
    wide = np.ones((SIDE // 12 | 1,) * 2, np.uint8)
    return np.asarray(cv2.morphologyEx(luma.astype(np.float32), cv2.MORPH_BLACKHAT, wide))


def _lit(look: Array, centre: Array, spread: Array) -> Array:
    """(S, S) bool: what is lighter than skin, and of a like hue, is lit."""
    return np.asarray((look[..., 2] > centre[2]) & (np.abs(look[..., :2] - centre[:2]) < LIKE * spread[:2]).all(-1))


def _bearded(odd: Array, place: _Place) -> bool:
    """Whether chin and upper lip look unlike skin as well, so that what does so on the jaw is a beard."""
    inner = (place.beards > 0) & (place.features == 0) & (place.depth > 1.6 * NARROW)
    return bool(inner.any() and odd[inner].mean() > BEARDED)


def _from_outside(found: Array, face: Array) -> Array:
    """(SIDE, SIDE) uint8: what of `found` lies in the face and is joined to what lies outside, and is broad enough."""
    joined = cv2.morphologyEx(found, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    _, labels = cv2.connectedComponents(joined, connectivity=8)
    outer = np.unique(labels[(face == 0) & (joined > 0)])
    inside = (np.isin(labels, outer[outer > 0]) & (face > 0)).astype(np.uint8)
    width = max(3, round(BROAD * SIDE)) | 1
    kept = cv2.morphologyEx(inside, cv2.MORPH_OPEN, np.ones((width, width), np.uint8))
    return np.asarray(cv2.dilate(kept, np.ones((width, width), np.uint8)) & inside)


def refilled(crop: Array, mesh: Array, gone: Array, form: Surface) -> Array:
    """An aligned picture (S, S, 3) uint8 with skin where it is `gone` (S, S): the tone of what is around, and the
    detail of the other half where that is bare."""
    side, other = len(crop), form.opposite
    own = np.log(crop.astype(np.float32) + 8)
    skin = _bare(mesh, side) * (1 - np.clip(2 * gone, 0, 1))
    small = [cv2.resize(each, (SMALL, SMALL), interpolation=cv2.INTER_AREA) for each in (own, skin)]
    tone = cv2.resize(pulled(*small), (side, side), interpolation=cv2.INTER_CUBIC)
    half, triangles = (mesh[:, :2] - 0.5) / 2, form.triangles[form.part == 0]
    seen = draw_triangles(half, mesh[:, 2], triangles, side // 2)
    places = cv2.resize(sampling_map(seen, half, mesh[other], triangles), (side, side), interpolation=cv2.INTER_LINEAR)
    both = np.dstack([own, skin])
    mirrored = cv2.remap(both, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    known = cv2.erode((seen >= 0).astype(np.float32), np.ones((3, 3)), borderValue=0)  # beyond it places are no places
    if (share := unseen(mesh, form)) is not None:
        known *= 1 - over(share[other], triangles, seen)
    known = cv2.resize(known, (side, side), interpolation=cv2.INTER_LINEAR)
    share = (np.clip(mirrored[..., 3] * 2 - 1, 0, 1) * known)[..., None]
    detail = (mirrored[..., :3] - averaged(mirrored[..., :3], mirrored[..., 3], SMOOTH * side)) * share
    return np.asarray(np.clip(np.rint(np.exp(tone + np.clip(detail, -0.3, 0.3)) - 8), 0, 255), np.uint8)


def bared(crop: Array, mesh: Array, kept: Array) -> Array:
    """A crop (S, S, 3) uint8 without what lies before its face, `kept` (S, S): what is around goes on there smoothly,
    so that letters do not become teeth, nor a hand the light on a cheek."""
    side = len(crop)
    inside = cv2.dilate(kept, np.ones((side // 100 | 1,) * 2, np.uint8)) * filled(kept.shape, mesh[:468])
    if inside.max() < 0.1:
        return crop
    small = cv2.resize(crop, (SMALL, SMALL), interpolation=cv2.INTER_AREA).astype(np.float32)
    free = 1 - cv2.resize(inside, (SMALL, SMALL), interpolation=cv2.INTER_AREA)
    smooth = np.clip(pulled(small, np.clip(2 * free - 1, 0, 1)), 0, 255)
    new = cv2.resize(smooth, (side, side), interpolation=cv2.INTER_LINEAR).astype(np.uint8)
    return np.asarray(cv2.blendLinear(new, crop, inside, 1 - inside))


def _bare(mesh: Array, side: int) -> Array:
    """(side, side) float32: 1 on the skin of the face, its features and its outermost rim aside."""
    place = _placed(geometry.apply(geometry.enlarge(SIDE / side), mesh))
    skin = cv2.erode(place.face, _disc(2 * INNER * float(np.ptp(mesh[:468, 1])) * SIDE / side)) * (1 - place.features)
    return np.asarray(cv2.resize(skin.astype(np.float32), (side, side), interpolation=cv2.INTER_LINEAR))


def pulled(picture: Array, weight: Array) -> Array:
    """A picture (S, S, 3) that goes on smoothly from where its weight (S, S) is 1 into where it is 0: by ever wider
    averages, the narrowest that reaches (Gortler et al. 1996, pull-push)."""
    found, sigma = None, len(picture) / 2.5
    while sigma > len(picture) / 100:
        mean, reach = averaged(picture, weight, sigma), cv2.GaussianBlur(weight, (0, 0), sigma)[..., None]
        share = np.clip(reach * 3, 0, 1)
        found = mean if found is None else found + (mean - found) * share
        sigma /= 2
    return np.asarray(found, np.float32)
