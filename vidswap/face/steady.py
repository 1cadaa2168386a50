"""Meshes of a face in frames that follow one another -> the same, as steady on the face as the pictures show it.

A tracker's mesh errs by half a pixel from frame to frame, and smoothed it lags behind a head or a camera that shakes:
what is drawn on it slides over the face. How far the bony middle of a face moved from one frame to the next the
pictures tell twenty times as exactly (Lucas and Kanade, "An iterative image registration technique", 1981), but such
steps add up to a drift. So slow movement is the meshes', quick movement the pictures'.
"""

from __future__ import annotations

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d

from vidswap.face import geometry, landmarks
from vidswap.face.raster import filled
from vidswap.types import Array

SIDE = 192  # at which pictures are compared
MIDDLE = [54, 284, 123, 352, 2]  # corners of what hardly moves within a face: forehead, cheekbones, nose
BONES = landmarks.RIGID[:13]  # the points of it that expression does not move
LIDS = 1.6  # how much wider than an eye is what moves with it
SLOW = 3.0  # frames (sigma) over which the meshes' own movement is believed
FEWEST = 200  # pixels that tell a movement
MOST = 0.015  # of a picture's side: what a mesh cannot be wrong by from frame to frame
ROUNDS, NEAR = 6, 0.003  # steps of a search, and pixels that are none
BESIDE = 0.5 * np.array([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]])  # a pixel, and where its slopes are read
FLAT = 0.03  # squared grey levels a pixel: a picture with less slope says nothing against a mesh


def steadied(pictures: Array, meshes: Array, masks: Array) -> Array:
    """Meshes (T, 478, 3) in pictures (T, S, S, 3) uint8 that are cut alike, moved to stay where they are on the face;
    `masks` (T, S, S) are 1 where it is seen."""
    if len(meshes) < 3:
        return meshes
    zoom = SIDE / pictures.shape[1]
    small = [geometry.apply(geometry.enlarge(zoom), mesh) for mesh in meshes]
    greys = [_grey(picture) for picture in pictures]
    seen = [_middle(mesh, mask) for mesh, mask in zip(small, masks, strict=True)]
    wrong = [_wrong(greys[row : row + 2], small[row : row + 2], seen[row]) for row in range(len(small) - 1)]
    return np.asarray(meshes + np.pad(_quick(np.array(wrong)) / zoom, ((0, 0), (0, 1)))[:, None], np.float32)


def _grey(picture: Array) -> Array:
    """(SIDE, SIDE) float32: a picture's grey, without its finest detail."""
    small = cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.GaussianBlur(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 0.8))


def _middle(mesh: Array, mask: Array) -> Array:
    """(SIDE, SIDE) bool: the bony middle of a face (478, 3), its eyes left out, as far as it is seen."""
    shape = (SIDE, SIDE)
    eyes = [(mesh[eye, :2] - mesh[eye, :2].mean(0)) * LIDS + mesh[eye, :2].mean(0) for eye in landmarks.EYES]
    bare = cv2.resize(mask, shape, interpolation=cv2.INTER_LINEAR) > 0.9
    return np.asarray((filled(shape, mesh[MIDDLE]) > filled(shape, *eyes)) & bare)


def _wrong(greys: list[Array], meshes: list[Array], seen: Array) -> Array:
    """(2,): by how many pixels a face moved farther from the first to the second of two pictures than its meshes did;
    0 where that is not told."""
    if seen.sum() < FEWEST:
        return np.zeros(2)
    told = (meshes[1] - meshes[0])[BONES, :2].mean(0)
    off = shift(greys[0], greys[1], seen, told) - told
    return off if np.abs(off).max() < MOST * SIDE else np.zeros(2)


def shift(one: Array, other: Array, seen: Array, start: Array) -> Array:
    """(2,): how many pixels, in x and y, what is `seen` (h, w) bool in a grey picture (h, w) float32 has moved in the
    other, looked for from `start` (2,) on. What changes besides, in a few places, counts for little."""
    y, x = (each.astype(np.float32)[:, None] for each in np.nonzero(seen))
    found, here = np.array(start, np.float64), one[seen]
    flat = FLAT * len(x)
    for _ in range(ROUNDS):
        places = [found + beside for beside in BESIDE]
        there, right, left, below, above = (
            cv2.remap(other, x + np.float32(at[0]), y + np.float32(at[1]), cv2.INTER_LINEAR)[:, 0] for at in places
        )
        off = here - there
        trust = 1 / (1 + (off / (1.5 * np.median(np.abs(off)) + 0.5)) ** 2)
        slopes = np.stack([right - left, below - above, np.ones_like(off)], 1)
        weighed = (slopes * trust[:, None]).T
        pull = weighed @ off - np.array([*(flat * (found - start)), 0])
        step = np.linalg.solve(weighed @ slopes + np.diag([flat, flat, 1e-6]), pull)[:2]
        found += step
        if np.abs(step).max() < NEAR:
            break
    return found


def _quick(wrong: Array) -> Array:
    """(T, 2): what to move meshes by that are `wrong` (T - 1, 2) from frame to frame: all of it but its slow part."""
    path = np.concatenate([np.zeros((1, 2)), np.cumsum(wrong, 0)])
    far = min(len(wrong), round(4 * SLOW))
    longer = np.pad(path, ((far, far), (0, 0)), mode="reflect", reflect_type="odd")
    return np.asarray(path - gaussian_filter1d(longer, SLOW, axis=0)[far : far + len(path)])
