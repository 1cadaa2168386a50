"""The person's photos as a model that takes references sees them: the head alone, upright, in the crops' framing."""

from __future__ import annotations

import cv2
import numpy as np

from vidswap.face import geometry
from vidswap.face.landmarks import mean_face
from vidswap.face.sampling import interpolate, sample
from vidswap.types import Array, Identity

GREY = 127.5  # of what is not the person
WIDER, DEEPER, ABOVE = 0.36, 0.12, 0.55  # of a face's width and height, by which a head with ears and hair exceeds it
SOFT = 1 / 64  # of the portrait's side: how softly the head ends


def portraits(identity: Identity, size: int) -> list[Array]:
    """(S, S, 3) float32 levels of each photo, best first."""
    return [portrait(photo, mesh, size) for photo, mesh in zip(identity.photos, identity.meshes)]


def portrait(photo: Array, mesh: Array, size: int) -> Array:
    """(S, S, 3) float32: the head of a photo before grey, the face in the middle as in a crop of `size`."""
    turn = geometry.crop_transform(mesh, mean_face(), size)
    framed = np.zeros(photo.shape[:2], np.float32)
    framed[1:-1, 1:-1] = 1  # what lies beyond the photo repeats its edge: none of the person
    share = (head(geometry.apply(turn, mesh), size) * interpolate(framed, turn, size))[..., None]
    return np.asarray(sample(photo, turn, size) * share + np.float32(GREY) * (1 - share), np.float32)


def head(mesh: Array, size: int) -> Array:
    """(S, S) float32: 1 where the head of a face with such a mesh (478, 3) may be, with its hair: the face's hull,
    wider and taller as heads are."""
    points = mesh[:468, :2]
    span, middle = np.ptp(points, axis=0), (points.min(0) + points.max(0)) / 2
    wide = middle + (points - middle) * (1 + WIDER, 1 + DEEPER)
    hull = cv2.convexHull(np.concatenate([wide, wide - (0, ABOVE * span[1])]).astype(np.float32))
    found = np.zeros((size, size), np.uint8)
    cv2.fillConvexPoly(found, np.rint(hull).astype(np.int32), 1)
    return np.asarray(cv2.GaussianBlur(found.astype(np.float32), (0, 0), size * SOFT))
