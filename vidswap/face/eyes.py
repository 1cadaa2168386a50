"""A photo's eyes -> eyeballs that look anywhere, laid under the lids of another mesh.

What a mesh stretches is no eye: lids that close would squash the iris, and a gaze to the side pull the corner along.
So each eyeball is unrolled once, as it would be seen without lids (hidden parts of the iris by its symmetry, the white
by what is next to it), and drawn as a whole where the iris is, cut by the lids. Both eyes of a person have the iris
of the one that is seen better: they are of one size and colour, and one light falls on them.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from vidswap.face import geometry, landmarks
from vidswap.types import Array

SIDE = 144  # pixels of an unrolled eyeball
REACH = 0.3  # ... and half of its side, in distances of the outer eye corners
LID = 0.012  # width of what lids and lashes hide along their edge, in the same
RIM = 1.08  # radius of the dark ring around the iris, over that of the iris
SHADE, DEEP = 0.25, 0.03  # how much the upper lid darkens the eyeball, and how far down
SEEN = 0.35  # of a face's axis in the picture, over its length: an eye seen more from the side is not laid anew
UNDER = np.s_[SIDE * 5 // 8 : SIDE * 3 // 4, SIDE * 3 // 8 : SIDE * 5 // 8]  # skin that tells an eye's light
GAIN = (0.5, 1.6)  # least and most that one eye is lighter than the other
LEAST = 5.0  # crop pixels of an iris' radius; of a smaller one nothing can be told


@dataclass(frozen=True, eq=False)
class Eyeballs:
    """`pictures` (2, SIDE, SIDE, 3) uint8 of the left and the right one, the iris in the middle, in the face's own
    frame; `radius` of the irises in it, distances of the outer eye corners."""

    pictures: Array
    radius: float


def eyeballs(photo: Array, mesh: Array, mean: Array) -> Eyeballs | None:
    """Those in a photo (h, w, 3) with its mesh (478, 3); None where they are too small, or shut."""
    pose = geometry.face_pose(mesh, mean)
    face = geometry.normalised(mesh, pose)
    rings = [np.ptp(face[iris[1:], 0]) / 2 for iris in landmarks.IRISES]
    radius = float(np.mean(rings))
    if radius * pose.scale < LEAST:
        return None
    unrolled = [_unrolled(photo, mesh, pose, side) for side in (0, 1)]
    discs = [_disc(radius) * seen for _, seen in unrolled]
    shown = [float(disc.sum() / _disc(radius).sum()) for disc in discs]
    if max(shown) < SEEN:
        return None
    lights = np.array([np.median(picture[UNDER]) for picture, _ in unrolled]) + 1.0
    best = int(np.argmax(shown * lights))  # in the dark an iris has the colour of the shade
    iris = _whole(*unrolled[best])
    pictures = [_joined(_white(picture, seen * (1 - _disc(radius * RIM))), iris * gain, radius)
                for (picture, seen), gain in zip(unrolled, np.clip(lights / lights[best], *GAIN))]  # fmt: skip
    return Eyeballs(np.stack(pictures), radius)


def _grid() -> tuple[Array, Array]:
    """Each (SIDE, SIDE): x and y of an unrolled eyeball from its middle, in distances of the eye corners."""
    across = (np.arange(SIDE, dtype=np.float32) - (SIDE - 1) / 2) * (2 * REACH / SIDE)
    return np.meshgrid(across, across)


def square_at(centre: Array, pose: geometry.Pose, reach: float, size: int) -> Array:
    """(2, 3): pixel of a square of `size` -> pixel of a picture, where its middle is at `centre` (2,): the plane of a
    face in that pose, so many distances of the eye corners to either side."""
    turn = pose.scale * pose.rotation[:2, :2] * (2 * reach / size)
    return np.hstack([turn, (centre - turn @ np.full(2, (size - 1) / 2))[:, None]])


def eye_in(picture: Array, mesh: Array, side: int, place: Array, size: int) -> tuple[Array, Array]:
    """What a picture (h, w, 3) with its mesh (478, 3) shows in such a square: (size, size, 3), and (size, size) uint8
    1 between the lids of the eye on that side."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    seen = cv2.warpAffine(picture, place, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return seen, between((size, size), geometry.apply(geometry.invert(place), mesh[landmarks.EYES[side], :2]))


def between(shape: tuple[int, ...], lids: Array) -> Array:
    """(h, w) uint8: 1 between lids (V, 2), to a sixteenth of a pixel."""
    inside = np.zeros(shape[:2], np.uint8)
    cv2.fillPoly(inside, [np.round(lids * 16).astype(np.int32)], 1, cv2.LINE_8, 4)
    return inside


def _unrolled(photo: Array, mesh: Array, pose: geometry.Pose, side: int) -> tuple[Array, Array]:
    """(SIDE, SIDE, 3) float32 what the photo shows there, and (SIDE, SIDE) float32, 1 where it is the eyeball."""
    place = square_at(mesh[landmarks.IRISES[side][0], :2], pose, REACH, SIDE)
    picture, seen = eye_in(photo, mesh, side, place, SIDE)
    width = max(int(2 * LID * SIDE / (2 * REACH)) | 1, 3)
    seen = cv2.erode(seen, np.ones((width, 3), np.uint8))
    return picture.astype(np.float32), seen.astype(np.float32)


def _disc(radius: float) -> Array:
    """(SIDE, SIDE) float32: 1 within a radius of the middle, soft at its edge."""
    x, y = _grid()
    return np.asarray(np.clip((radius - np.hypot(x, y)) * SIDE / (4 * REACH) + 0.5, 0, 1), np.float32)


def _whole(picture: Array, seen: Array) -> Array:
    """An eyeball whose hidden parts are as all that is as far from the middle, without the lights that are seen in it:
    these come once."""
    x, y = _grid()
    ring = np.round(np.hypot(x, y) * SIDE / (2 * REACH)).astype(int).ravel()
    plain = np.minimum(picture, np.quantile(picture[seen > 0], 0.8, axis=0))
    total = np.bincount(ring, seen.ravel())
    known = np.flatnonzero(total > 0)
    sums = [np.bincount(ring, (plain[..., k] * seen).ravel()) for k in range(3)]
    mean = np.stack([np.interp(np.arange(len(total)), known, each[known] / total[known]) for each in sums], 1)
    usual = cv2.GaussianBlur(mean[ring].reshape(SIDE, SIDE, 3).astype(np.float32), (0, 0), 1.0)
    share = (cv2.GaussianBlur(seen, (0, 0), 2.0) * seen)[..., None]
    return np.asarray(usual + share * (picture - usual), np.float32)


def _white(picture: Array, seen: Array) -> Array:
    """The white of an eye, everywhere: what is `seen` (SIDE, SIDE) of it, and beyond as what is next to it (normalised
    convolution, Knutsson and Westin 1993)."""
    found = np.zeros_like(picture)
    for reach in (SIDE / 4, SIDE / 12, SIDE / 30):
        share = _blurred(seen, reach)[..., None]
        near = _blurred(picture * seen[..., None], reach) / np.maximum(share, 1e-7)
        found += (near - found) * (np.clip(4 * share, 0, 1) if reach < SIDE / 4 else 1)
    own = cv2.GaussianBlur(seen, (0, 0), 1.0)[..., None] * seen[..., None]
    return np.asarray(found + own * (picture - found), np.float32)


def _blurred(plane: Array, reach: float) -> Array:
    """A plane (SIDE, SIDE[, C]) blurred over so many pixels, small where that is wide."""
    side = SIDE // max(int(reach / 4), 1)
    small = cv2.resize(plane, (side, side), interpolation=cv2.INTER_AREA)
    soft = cv2.GaussianBlur(small, (0, 0), reach * side / SIDE)
    return np.asarray(cv2.resize(soft, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR))


def _joined(white: Array, iris: Array, radius: float) -> Array:
    share = cv2.GaussianBlur(_disc(radius * RIM), (0, 0), SIDE / 110)[..., None]
    return np.asarray(np.clip(np.rint(white + share * (iris - white)), 0, 255), np.uint8)


def look(face: Array, shown: Array, balls: Eyeballs, mesh: Array, pose: geometry.Pose) -> Array:
    """`face` (S, S, 3) uint8 with eyeballs laid between the lids of a mesh (478, 3) in a pose; `shown` (S, S) uint8 is
    1 where eyes are seen."""
    if min(np.linalg.norm(pose.rotation[:2, :2], axis=0)) < SEEN:
        return face
    face = face.copy()
    for side, (iris, contour) in enumerate(zip(landmarks.IRISES, landmarks.EYES, strict=True)):
        lids = mesh[contour, :2]
        low = np.maximum(np.floor(lids.min(0)).astype(int) - 2, 0)
        high = np.minimum(np.ceil(lids.max(0)).astype(int) + 3, face.shape[1::-1])
        if (high - low < 3).any():
            continue
        part = np.s_[low[1] : high[1], low[0] : high[0]]
        place = square_at(mesh[iris[0], :2] - low, pose, REACH, SIDE)
        ball = cv2.warpAffine(balls.pictures[side], place, tuple((high - low).tolist()), flags=cv2.INTER_LINEAR,
                              borderMode=cv2.BORDER_REPLICATE)  # fmt: skip
        alpha, light = _shaded(lids - low, shown[part], pose.scale)
        over = ball * light[..., None]
        face[part] = np.rint(face[part] + alpha[..., None] * (over - face[part]))
    return face


def _shaded(lids: Array, shown: Array, unit: float) -> tuple[Array, Array]:
    """For lids (V, 2) in a picture of the shape of `shown` (h, w), and pixels a distance of the eye corners: (h, w) how
    much of the eyeball is seen between them, and how light it is in their shade; float32."""
    open_ = between(shown.shape, lids)
    inner = open_ * shown
    away = cv2.distanceTransform(cv2.copyMakeBorder(inner, 1, 1, 1, 1, cv2.BORDER_CONSTANT), cv2.DIST_L2, 3)[1:-1, 1:-1]
    alpha = np.clip(away / max(LID * unit, 1.0) - 0.25, 0, 1)
    down = max(round(DEEP * unit), 1)
    below = np.zeros_like(open_)
    below[down:] = open_[:-down]
    shade = cv2.GaussianBlur(open_.astype(np.float32) * (1 - below), (0, 0), DEEP * unit / 2 + 0.3)
    return np.asarray(alpha, np.float32), np.asarray(1 - SHADE * shade, np.float32)
