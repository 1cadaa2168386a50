"""Frames + Track -> Crops: cut, aligned and masked as the engine needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, Protocol

import cv2
import numpy as np

from vidswap.face import geometry
from vidswap.types import Array, Crops, Frame, TrackPart

MASK = 128  # side of the aligned picture in which a mask is made
GROW = 3  # how far the mask reaches beyond the mesh, in pixels of that picture
SOFT = 1.5  # width of the mask's edge (sigma), pixels
THIN = 7  # a covered strip thinner than this is the model's doubt about the outline, pixels
SMALL = 100  # a covered spot of fewer pixels is a mistake of the model
INNER = 0.15  # as much as that does a pixel count of a spot that does not come from outside the face, as hands do
CUBIC = 1.5  # magnification up to which pixels are interpolated by cubics
AROUND = 2  # frames before and after, over which what is covered is voted on
CALMEST = 0.25  # part of a track's frames that its neutral shape is taken from
CLOSED = 0.012  # gap between resting lips, in distances of the eye corners: the median of synthetic portraits
HARDLY = 0.015  # deviation of that gap that is noise as likely as speech


class Span(Protocol):
    """Frames [start, stop) and the weight (T,) float32 of each (`vidswap.swap.windows.Window`)."""

    @property
    def start(self) -> int: ...

    @property
    def stop(self) -> int: ...

    @property
    def weight(self) -> Array: ...


class Needs(Protocol):
    """What an engine says of the crops it wants (the part of `vidswap.swap.engine.Needs` that matters here)."""

    @property
    def size(self) -> int: ...

    @property
    def framing(self) -> Literal["aligned", "fixed"]: ...


def neutral_shape(track: TrackPart, mean: Array) -> Array:
    """(478, 3) float32: the actor's resting face in its own frame, the median over the track's calmest frames: mouth
    closed and relaxed, eyes open, seen from the front. Where even then the lips are parted, they are closed the way
    they close in this track. `mean` is the mean face (478, 3)."""
    poses = [geometry.face_pose(mesh, mean) for mesh in track.mesh]
    faces = np.stack([geometry.normalised(mesh, pose) for mesh, pose in zip(track.mesh, poses)])
    frontal = np.array([pose[1][2, 2] for pose in poses])
    gap = np.linalg.norm(faces[:, 13] - faces[:, 14], axis=1)
    lids = np.linalg.norm(faces[:, [159, 386]] - faces[:, [145, 374]], axis=2).mean(1)
    width = np.linalg.norm(faces[:, 61] - faces[:, 291], axis=1)
    lifted = faces[:, [61, 291], 1].mean(1) - faces[:, [0, 17], 1].mean(1)
    unrest = 3 * (gap - gap.min())
    unrest += 2 * np.maximum(np.quantile(lids, 0.7) - lids, 0)
    unrest += np.abs(width - np.quantile(width, 0.3)) + np.abs(lifted - np.median(lifted))
    unrest += 0.3 * (1 - frontal) + 0.05 * ~track.seen
    calm = np.argsort(unrest, kind="stable")[: max(5, int(CALMEST * len(faces)))]
    rest = np.median(faces[calm], 0)
    parted = float(np.linalg.norm(rest[13] - rest[14]))
    return np.asarray(rest - _opening(faces, gap) * max(parted - CLOSED, 0), np.float32)


def _opening(faces: Array, gap: Array) -> Array:
    """(478, 3): how far each point goes for a unit of `gap` (T,) between the lips, by ridge regression over `faces`
    (T, 478, 3): nothing for a mouth that hardly moves."""
    change = gap - gap.mean()
    return np.asarray(np.tensordot(change, faces - faces.mean(0), 1) / (change @ change + len(gap) * HARDLY**2))


def cut_crops(
    frames: Sequence[Frame],
    track: TrackPart,
    window: Span,
    needs: Needs,
    neutral: Array,
    *,
    before: Crops | None = None,
) -> Crops:
    """A window of a track, cut out of its `frames`, which are those of the window in order.

    `neutral` is the track's `neutral_shape`; the steadied meshes are framed by it with geometry.crop_transform. A crop
    is "aligned" to each, or "fixed": one upright square that holds all of those. Beyond the frame's edge its last
    pixels repeat and the mask is 0. Aligned frames that the window `before` holds as well are taken from there.
    Raises ValueError for frames of another window."""
    if [frame.index for frame in frames] != list(range(window.start, window.stop)):
        raise ValueError(f"cut: expected frames {window.start} to {window.stop - 1}, got {[f.index for f in frames]}")
    meshes = track.mesh[window.start - track.start : window.stop - track.start]
    near = range(max(track.start, window.start - AROUND), min(track.stop, window.stop + AROUND))
    aligned = {i: geometry.crop_transform(track.mesh[i - track.start], neutral, MASK) for i in near}
    turns = [_after(_enlarged(MASK, needs.size), aligned[i]) for i in range(window.start, window.stop)]
    if needs.framing == "fixed":
        turns = [_square(turns, needs.size)] * len(turns)
    # linear blurs by up to half a frame's pixel, which no longer shows where pixels are much enlarged
    kind = cv2.INTER_CUBIC if np.median([_zoom(turn) for turn in turns]) < CUBIC else cv2.INTER_LINEAR
    rgb = np.empty((len(turns), needs.size, needs.size, 3), np.uint8)
    mask = np.empty(rgb.shape[:3], np.float32)
    known = 0
    if before is not None and needs.framing == "aligned":
        shared = slice(window.start - before.start, window.stop - before.start)
        known = len(before.rgb[shared])
        rgb[:known], mask[:known] = before.rgb[shared], before.mask[shared]
    for i, (small, to_frame) in enumerate(_masks(track, window.start + known, window.stop, aligned), known):
        low, high = _reach(turns[i], needs.size)
        picture, corner, shape = frames[i].part(low, high)
        shifted = np.hstack([turns[i][:, :2], turns[i] @ [[corner[0]], [corner[1]], [1]]])
        rgb[i] = _sampled(picture, shifted, needs.size, kind)
        if needs.framing == "aligned":  # the mask is framed alike, only smaller
            laid = cv2.resize(small, mask.shape[1:], interpolation=cv2.INTER_LINEAR)
        else:
            laid = cv2.warpAffine(small, _after(turns[i], to_frame), mask.shape[1:], flags=cv2.INTER_LINEAR)
        np.multiply(_inside(laid, turns[i], shape), np.float32(1 / 255), out=mask[i])
    mesh = np.stack([geometry.apply(turn, mesh) for turn, mesh in zip(turns, meshes)])
    back = np.stack([geometry.invert(turn) for turn in turns])
    return Crops(track.id, window.start, rgb, mesh, mask, back, window.weight, neutral)


def _after(second: Array, first: Array) -> Array:
    """The (2, 3) affine that does `first`, then `second`."""
    return np.asarray(second @ np.vstack([first, [0, 0, 1]]))


def _enlarged(small: int, large: int) -> Array:
    """(2, 3): pixel of a picture of side `small` -> pixel of the same at side `large`; pixel centres at integers."""
    zoom = large / small
    return np.array([[zoom, 0, (zoom - 1) / 2], [0, zoom, (zoom - 1) / 2]])


def _square(turns: Sequence[Array], size: int) -> Array:
    """(2, 3): frame pixel -> pixel of the upright square of side `size` that holds all aligned crops, their corners
    aside (the circle within each, however it is turned)."""
    back = np.stack([geometry.invert(turn) for turn in turns])
    middles = back @ np.array([(size - 1) / 2, (size - 1) / 2, 1])
    radii = size / 2 * np.sqrt(np.linalg.det(back[:, :, :2]))[:, None]
    low, high = (middles - radii).min(0), (middles + radii).max(0)
    zoom = size / float((high - low).max())
    return np.hstack([zoom * np.eye(2), ((size - 1) / 2 - zoom * (low + high) / 2)[:, None]])


def _zoom(turn: Array) -> float:
    """Crop pixels a frame pixel."""
    return float(np.sqrt(np.linalg.det(turn[:, :2])))


def _corners(turn: Array, size: int) -> Array:
    """(4, 2): where the outer corners of a crop lie in the frame."""
    return geometry.apply(geometry.invert(turn), np.array([[0, 0], [size, 0], [0, size], [size, size]]) - 0.5)


def _reach(turn: Array, size: int) -> tuple[Array, Array]:
    """Corners (2,) of the box of a frame that a crop is read from."""
    corners = _corners(turn, size)
    margin = 3 + 2 / _zoom(turn)
    return corners.min(0) - margin, corners.max(0) + margin


def _sampled(picture: Array, turn: Array, size: int, kind: int) -> Array:
    """(S, S, 3): the crop of a frame, interpolated as OpenCV's `kind` says. Where it shrinks, the frame's part is first
    averaged over areas down to the crop's scale, for a warp alone would skip pixels and alias."""
    zoom = _zoom(turn)
    if zoom > 0.9:
        return _warped(picture, turn, size, kind)
    corners = _corners(turn, size)
    limits = np.array(picture.shape[1::-1])
    low = np.clip(np.floor(corners.min(0)) - 2 / zoom, 0, limits - 1).astype(int)
    high = np.clip(np.ceil(corners.max(0)) + 2 / zoom, low + 1, limits).astype(int)
    part = np.maximum(np.rint((high - low) * zoom), 1).astype(int)
    shrunk = cv2.resize(picture[low[1] : high[1], low[0] : high[0]], part.tolist(), interpolation=cv2.INTER_AREA)
    ratio = (high - low) / part
    back = np.hstack([np.diag(ratio), (low + (ratio - 1) / 2)[:, None]])
    return _warped(shrunk, _after(turn, back), size, kind)


def _warped(picture: Array, turn: Array, size: int, kind: int) -> Array:
    if kind == cv2.INTER_CUBIC:
        return np.asarray(cv2.warpAffine(picture, turn, (size, size), flags=kind, borderMode=cv2.BORDER_REPLICATE))
    # OpenCV is three times as fast at this with four channels as with three
    four = cv2.cvtColor(picture, cv2.COLOR_RGB2RGBA)
    four = cv2.warpAffine(four, turn, (size, size), flags=kind, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.cvtColor(four, cv2.COLOR_RGBA2RGB))


def _inside(mask: Array, turn: Array, shape: tuple[int, ...]) -> Array:
    """A mask (S, S) uint8 with 0 beyond the edge of a frame of `shape`."""
    height, width = shape[:2]
    size = len(mask)
    corners = _corners(turn, size)
    if corners.min() >= -0.5 and (corners.max(0) <= np.array([width, height]) - 0.5).all():
        return mask
    frame = np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]])
    inside = np.zeros(mask.shape, np.uint8)
    cv2.fillConvexPoly(inside, np.rint(geometry.apply(turn, frame) * 16).astype(np.int32), 1, shift=4)
    return np.asarray(mask * inside)


def _masks(track: TrackPart, start: int, stop: int, turns: Mapping[int, Array]) -> Iterator[tuple[Array, Array]]:
    """For each frame of [start, stop) the mask (MASK, MASK) uint8, 255 = replace, and the (2, 3) affine that takes
    its pixels to the frame; `turns` go the other way, of all frames around as well. A point is covered if it is so in
    most of those: this vote keeps it from flickering. A frame that was filled in and shows nothing of the face gets
    none of it, and has no vote."""
    first, last = max(track.start, start - AROUND), min(track.stop, stop + AROUND)
    rows = range(first - track.start, last - track.start)
    hidden = np.array([
        _hidden(track.visible[row], _after(turns[track.start + row], track.visible_to_frame[row])) for row in rows
    ])  # fmt: skip
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
