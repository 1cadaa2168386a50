"""The half of a face that a photo hardly shows: who looks aside in it is drawn there from the other half, mirrored."""

from __future__ import annotations

import cv2
import numpy as np

from vidswap.face import landmarks
from vidswap.face.averages import averaged
from vidswap.face.raster import Drawing, Surface, with_ring
from vidswap.types import Array

LESS, SOFT = 0.35, 0.12  # how much less of a place a photo shows than of its opposite, from where on that is drawn
FEWEST = 0.05  # share of a face: less is its very edge, and stays
SEAM = 0.012  # of a picture's side, width (sigma) of the seam between what was seen and what is mirrored


def facing(mesh: Array, form: Surface) -> Array:
    """(478,) how much the surface of a mesh (478, 3) faces the camera at its points: 1 wholly, 0 seen edge on, less
    where it is seen from behind."""
    triangles = form.triangles[(form.triangles < len(mesh)).all(1)]
    within = form.mean.mean(0) + np.array([0, 0, np.ptp(form.mean[:, 0])])  # of the head: outwards is away from here
    outwards = np.sign(((form.mean[triangles].mean(1) - within) * _normals(form.mean, triangles)).sum(1))
    normals = _normals(mesh.astype(np.float64), triangles) * outwards[:, None]
    towards, area = np.zeros(len(mesh)), np.full(len(mesh), 1e-9)
    for corner in triangles.T:
        np.add.at(towards, corner, -normals[:, 2])
        np.add.at(area, corner, np.linalg.norm(normals, axis=1))
    return np.asarray(towards / area)


def _normals(points: Array, triangles: Array) -> Array:
    """(K, 3) as long as twice the areas of triangles (K, 3) of points (V, 3)."""
    one, two, three = (points[corner] for corner in triangles.T)
    return np.cross(two - one, three - one)


def unseen(mesh: Array, form: Surface) -> Array | None:
    """(514,) float32, 0 to 1: how much of each place of a photo's face (478, 3) and of the ring around it is to come
    from the other half; None of a face that looks into the camera."""
    seen = facing(mesh, form)
    share = np.clip((seen[form.opposite] - seen - LESS) / SOFT, 0, 1)
    share[np.concatenate(landmarks.IRISES)] = 0  # these lie on no surface
    return None if share.mean() < FEWEST else np.concatenate([share, share[landmarks.OVAL]]).astype(np.float32)


def opposite(mesh: Array, form: Surface) -> Array:
    """(514, 3) where the other half of a photo's face (478, 3) shows what each point, and of the ring, looks like."""
    mirrored = mesh[form.opposite]
    return with_ring(mirrored, mirrored)


def laid(share: Array, form: Surface, drawing: Drawing) -> Array:
    """(S, S) float32: the `unseen` share (514,) of the places that are drawn, with a soft seam."""
    parts, drawn = over(share, form.triangles, drawing.seen), (drawing.seen >= 0).astype(np.float32)
    soft = averaged(parts, drawn, SEAM * len(parts))
    return np.asarray(cv2.resize(soft, (drawing.size, drawing.size), interpolation=cv2.INTER_LINEAR))


def over(share: Array, triangles: Array, seen: Array) -> Array:
    """(h, w) float32: a share (V,) of places, where their `triangles` (K, 3) are `seen` (h, w)."""
    return np.asarray(np.append(share[triangles].mean(1), 0).astype(np.float32)[seen])
