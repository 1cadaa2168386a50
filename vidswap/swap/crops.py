"""Frames + Track -> Crops: cut, aligned and masked as the engine needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import cv2
import numpy as np

from vidswap.face import geometry
from vidswap.face.sampling import CUBIC, LINEAR, corners, sample
from vidswap.swap.engine import Needs
from vidswap.types import Array, Crops, Frame, TrackPart, Window

MASK = 128  # side of the aligned picture in which a mask is made
GROW = 3  # how far the mask reaches beyond the mesh, in pixels of that picture
SOFT = 1.5  # width of the mask's edge (sigma), pixels
THIN = 7  # a covered strip thinner than this is the model's doubt about the outline, pixels
SMALL = 100  # a covered spot of fewer pixels is a mistake of the model
INNER = 0.15  # as much as that does a pixel count of a spot that does not come from outside the face, as hands do
SHARP = 1.5  # magnification up to which pixels are interpolated by cubics
AROUND = 2  # frames before and after, over which what is covered is voted on


def cut_crops(
    frames: Sequence[Frame], track: TrackPart, window: Window, needs: Needs, neutral: Array,
    *, before: Crops | None = None,
) -> Crops:  # fmt: skip
    """A window of a track, cut out of its `frames`, which are those of the window in order.

    `neutral` is the track's face.expression.neutral_shape; the steadied meshes are framed by it with
    geometry.crop_transform. A crop is "aligned" to each, or "fixed": one upright square that holds all of those;
    `needs.margin` pixels lie around it. Beyond the frame's edge its last pixels repeat and the mask is 0, as it is in
    the margin. Aligned frames that the window `before` holds as well are taken from there.
    Raises ValueError for frames of another window."""
    if [frame.index for frame in frames] != list(range(window.start, window.stop)):
        raise ValueError(f"cut: expected frames {window.start} to {window.stop - 1}, got {[f.index for f in frames]}")
    meshes = track.mesh[window.start - track.start : window.stop - track.start]
    near = range(max(track.start, window.start - AROUND), min(track.stop, window.stop + AROUND))
    aligned = {i: geometry.crop_transform(track.mesh[i - track.start], neutral, MASK) for i in near}
    grown = geometry.enlarge(needs.size / MASK)
    turns = [geometry.compose(grown, aligned[i]) for i in range(window.start, window.stop)]
    if needs.framing == "fixed":
        turns = [_square(turns, needs.size)] * len(turns)
    side, edge = needs.size + 2 * needs.margin, np.array([[0, 0, needs.margin]])
    # linear blurs by up to half a frame's pixel, which no longer shows where pixels are much enlarged
    kind = CUBIC if np.median([geometry.zoom_of(turn) for turn in turns]) < SHARP else LINEAR
    rgb = np.empty((len(turns), side, side, 3), np.uint8)
    mask = np.zeros(rgb.shape[:3], np.float32)
    middle = mask[:, needs.margin : side - needs.margin, needs.margin : side - needs.margin]
    known = 0
    if before is not None and needs.framing == "aligned":
        shared = slice(window.start - before.start, window.stop - before.start)
        known = len(before.rgb[shared])
        rgb[:known], mask[:known] = before.rgb[shared], before.mask[shared]
    for i, (small, to_frame) in enumerate(face_masks(track, window.start + known, window.stop, aligned), known):
        rgb[i], shape = _cut(frames[i], turns[i] + edge, side, kind)
        if needs.framing == "aligned":  # the mask is framed alike, only smaller
            laid = cv2.resize(small, middle.shape[1:], interpolation=cv2.INTER_LINEAR)
        else:
            laid = cv2.warpAffine(small, geometry.compose(turns[i], to_frame), middle.shape[1:], flags=cv2.INTER_LINEAR)
        np.multiply(_inside(laid, turns[i], shape), np.float32(1 / 255), out=middle[i])
    turns = [turn + edge for turn in turns]
    mesh = np.stack([geometry.apply(turn, mesh) for turn, mesh in zip(turns, meshes)])
    back = np.stack([geometry.invert(turn) for turn in turns])
    return Crops(track.id, window.start, rgb, mesh, mask, back, window.weight, neutral)


def _square(turns: Sequence[Array], size: int) -> Array:
    """(2, 3): frame pixel -> pixel of the upright square of side `size` that holds all aligned crops, their corners
    aside (the circle within each, however it is turned)."""
    back = np.stack([geometry.invert(turn) for turn in turns])
    middles = back @ np.array([(size - 1) / 2, (size - 1) / 2, 1])
    radii = size / 2 * np.sqrt(np.linalg.det(back[:, :, :2]))[:, None]
    low, high = (middles - radii).min(0), (middles + radii).max(0)
    zoom = size / float((high - low).max())
    return np.hstack([zoom * np.eye(2), ((size - 1) / 2 - zoom * (low + high) / 2)[:, None]])


def _cut(frame: Frame, turn: Array, size: int, kind: int) -> tuple[Array, tuple[int, ...]]:
    """(S, S, 3): what a crop shows of a frame; and the frame's shape."""
    around, margin = corners(turn, size), 3 + 2 / geometry.zoom_of(turn)
    picture, corner, shape = frame.part(around.min(0) - margin, around.max(0) + margin)
    shifted = np.hstack([turn[:, :2], turn @ [[corner[0]], [corner[1]], [1]]])
    return sample(picture, shifted, size, kind), shape


def _inside(mask: Array, turn: Array, shape: tuple[int, ...]) -> Array:
    """A mask (S, S) uint8 with 0 beyond the edge of a frame of `shape`."""
    height, width = shape[:2]
    size = len(mask)
    around = corners(turn, size)
    if around.min() >= -0.5 and (around.max(0) <= np.array([width, height]) - 0.5).all():
        return mask
    frame = np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]])
    inside = np.zeros(mask.shape, np.uint8)
    cv2.fillConvexPoly(inside, np.rint(geometry.apply(turn, frame) * 16).astype(np.int32), 1, shift=4)
    return np.asarray(mask * inside)


def face_masks(track: TrackPart, start: int, stop: int, turns: Mapping[int, Array]) -> Iterator[tuple[Array, Array]]:
    """For each frame of [start, stop) the mask (MASK, MASK) uint8, 255 = replace, and the (2, 3) affine that takes
    its pixels to the frame; `turns` go the other way, of all frames around as well. A point is covered if it is so in
    most of those: this vote keeps it from flickering. A frame that was filled in and shows nothing of the face gets
    none of it, and has no vote."""
    first, last = max(track.start, start - AROUND), min(track.stop, stop + AROUND)
    rows = range(first - track.start, last - track.start)
    placed = [geometry.compose(turns[track.start + row], track.visible_to_frame[row]) for row in rows]
    hidden = np.array([_hidden(track.visible[row], turn) for row, turn in zip(rows, placed)])
    bare = np.array([not track.seen[row] and not track.visible[row].any() for row in rows])
    for i in range(start, stop):
        if bare[i - first]:
            yield np.zeros((MASK, MASK), np.uint8), geometry.invert(turns[i])
            continue
        near = slice(max(i - AROUND - first, 0), i + AROUND + 1 - first)
        around = hidden[near][~bare[near]]
        covered = (around.sum(0, dtype=np.uint8) > len(around) // 2).astype(np.uint8)
        points = geometry.apply(turns[i], track.mesh[i - track.start, :468, :2])
        yield _mask(points, covered), geometry.invert(turns[i])


def _hidden(visible: Array, turn: Array) -> Array:
    """(MASK, MASK) uint8, 1 where a visibility map laid by `turn` says covered; where it does not reach, nothing is."""
    laid = cv2.warpAffine(visible, turn, (MASK, MASK), flags=cv2.INTER_LINEAR, borderValue=(255,))
    return np.asarray(laid < 128, np.uint8)


def _mask(points: Array, covered: Array) -> Array:
    """(MASK, MASK) uint8: the hull of a face's points (468, 2), grown a little, without what is covered, its edge
    soft. Thin strips, and small or inner spots, of `covered` (uint8, 0 or 1) are the model's doubts, not things before
    a face."""
    hull = np.zeros((MASK, MASK), np.uint8)
    cv2.fillConvexPoly(hull, np.rint(cv2.convexHull(points)).astype(np.int32), 1)
    within = cv2.morphologyEx(covered & hull, cv2.MORPH_OPEN, _disc(THIN))
    count, labels, facts, _ = cv2.connectedComponentsWithStats(within)
    rim = hull - cv2.erode(hull, _disc(THIN))
    areas = {k: facts[k, cv2.CC_STAT_AREA] * (1 if rim[labels == k].any() else INNER) for k in range(1, count)}
    things = np.isin(labels, [k for k, area in areas.items() if area >= SMALL]).astype(np.uint8)
    # a thing goes on beyond the hull, where the model sees no face anyway, and into the corners that opening rounds
    things = cv2.dilate(things, _disc(2 * GROW + THIN)) & covered
    free = cv2.dilate(hull, _disc(2 * GROW + 1)) & (1 - things)
    return np.asarray(cv2.GaussianBlur(free * np.uint8(255), (0, 0), SOFT))


def _disc(width: int) -> Array:
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width)))
