"""What measures see of pictures: areas of a face, and numbers of what is in them. Arrays in, numbers out.

Pictures are (H, W, 3) uint8 RGB, meshes (478, 3) pixels; always the original first, then the swapped.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from vidswap.face import geometry, landmarks
from vidswap.face.averages import averaged
from vidswap.face.raster import filled
from vidswap.face.sampling import interpolate
from vidswap.types import Array

LEAST_SKIN = 30  # pixels of cheek that have a colour worth telling
SIDE = 128  # of the crop in which flicker is seen
LIGHT_SIDE = 64  # ... and in which its light is
PATCH = 16  # side of the patches whose spectrum is taken
BANDS = ((0.125, 0.25), (0.25, 0.5))  # cycles a pixel: texture, grain
RIM_STEP = 0.08  # eye distances from the rim of a face, within which an edge lies
GOES_ON, LEAST_RIM = 7.0, 4  # dE across the rim below which it is one skin on both sides; at so many points
BEST_DB = 99.0  # what identical pictures get


def eye_distance(mesh: Array) -> float:
    """Between the outer corners of the eyes, pixels in the picture."""
    return float(np.linalg.norm(np.subtract(*mesh[[*landmarks.OUTER_CORNERS], :2]))) + 1e-6


def skin_tone(rgb: Array, mesh: Array) -> Array | None:
    """(3,) the median colour of the cheeks, L* a* b* (CIE 1976); None where too little of them is in the picture."""
    skin = rgb[filled(rgb.shape, *(mesh[cheek] for cheek in landmarks.CHEEKS)) > 0]
    if len(skin) < LEAST_SKIN:
        return None
    lab = cv2.cvtColor(skin[None].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[0]
    return np.asarray(np.median(lab, axis=0))


def window_of(mesh: Array, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Rows and columns of the picture around a face, a tenth more on each side."""
    box = geometry.bounds(mesh)
    more = 0.1 * (box[2:] - box[:2]).max()
    limits = np.array([shape[1], shape[0]])
    low = np.clip(np.floor(box[:2] - more), 0, limits - 1).astype(int)
    high = np.clip(np.ceil(box[2:] + more), low + 1, limits).astype(int)
    return slice(low[1], high[1]), slice(low[0], high[0])


def face_area(mesh: Array, shape: tuple[int, ...], inset: float = 0.0) -> Array:
    """(H, W) bool: inside the face, `inset` eye distances away from its rim; negative is around it."""
    mask = filled(shape, mesh[:468])
    side = round(abs(inset) * eye_distance(mesh)) | 1
    kernel = np.ones((side, side), np.uint8)
    return np.asarray((cv2.erode if inset > 0 else cv2.dilate)(mask, kernel) > 0)


def rim_steps(rgb: Array, mesh: Array) -> Array:
    """(36, 3) by how much a picture's L* a* b* changes across the rim of a face, at points all around it; NaN where
    that is beyond the picture."""
    rim, reach = mesh[landmarks.OVAL, :2], RIM_STEP * eye_distance(mesh)
    out = rim - rim.mean(0)
    out *= reach / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-6)
    part = window_of(mesh, rgb.shape)
    lab = cv2.cvtColor(rgb[part].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    lab = cv2.GaussianBlur(lab, (0, 0), max(reach / 2, 0.5))
    places = np.stack([rim - out, rim + out]) - (part[1].start, part[0].start)
    inner, outer = cv2.remap(lab, places.astype(np.float32), None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT,
                             borderValue=(np.nan,) * 3)  # fmt: skip
    return np.asarray(outer - inner)


def seam(before: Array, after: Array, mesh: Array) -> float | None:
    """By how much (dE, CIE 1976) the step across the rim of a face has changed where skin goes on beyond it in the
    original: a mask's edge, whatever complexion is on both its sides. None where skin hardly does."""
    steps = np.stack([rim_steps(rgb, mesh) for rgb in (before, after)])
    known = np.linalg.norm(steps[0], axis=-1) < GOES_ON
    if known.sum() < LEAST_RIM:
        return None
    return float(np.linalg.norm(steps[1] - steps[0], axis=-1)[known].mean())


def grey(rgb: Array) -> Array:
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.float32)


def sharpness(rgb: Array, area: Array) -> float:
    """Spread of the Laplacian inside an area, grey levels."""
    return float(cv2.Laplacian(grey(rgb), cv2.CV_32F)[area].std())


def light_difference(before: Array, after: Array, area: Array) -> float:
    """Colour difference (CIE 1976 dE) of the low frequencies inside an area; seen small, for they are low."""
    size = np.maximum(np.array(area.shape[::-1]) * min(1.0, LIGHT_SIDE / max(area.shape)), 1).astype(int).tolist()
    inside = cv2.resize(area.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    sigma = max(1.0, 0.12 * float(np.sqrt(inside.sum())))

    def light(rgb: Array) -> Array:
        small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
        return averaged(cv2.cvtColor(small, cv2.COLOR_RGB2LAB), inside, sigma)

    difference = np.linalg.norm(light(before) - light(after), axis=-1)
    return float((difference * inside).sum() / max(float(inside.sum()), 1e-6))


def band_energies(rgb: Array, area: Array) -> Array | None:
    """Power in dB of texture and of grain, (2,): the median over patches that lie inside; None where none does."""
    patches = np.lib.stride_tricks.sliding_window_view(grey(rgb), (PATCH, PATCH))[:: PATCH // 2, :: PATCH // 2]
    inside = np.lib.stride_tricks.sliding_window_view(area, (PATCH, PATCH))[:: PATCH // 2, :: PATCH // 2].all((2, 3))
    if not inside.any():
        return None
    chosen = patches[inside]
    window = np.outer(np.hanning(PATCH), np.hanning(PATCH))
    power = np.abs(np.fft.rfft2((chosen - chosen.mean((1, 2), keepdims=True)) * window)) ** 2
    frequency = np.hypot(np.fft.fftfreq(PATCH)[:, None], np.fft.rfftfreq(PATCH)[None])
    bands = [power[:, (frequency >= low) & (frequency < high)].mean(1) for low, high in BANDS]
    return np.asarray(10 * np.log10(np.median(bands, axis=1) + 1e-3))


def psnr(before: Array, after: Array, area: Array) -> float:
    """Peak signal to noise ratio inside an area (H, W) bool, dB; BEST_DB where the area is empty or the same."""
    mean = cv2.norm(before, after, cv2.NORM_L2SQR, area.astype(np.uint8)) / max(3 * int(area.sum()), 1)
    return min(BEST_DB, 10 * float(np.log10(255**2 / max(mean, 1e-9))))


def steady_crop(rgb: Array, to_crop: Array) -> Array:
    """(SIDE, SIDE) float32 grey: the face held still by a (2, 3) transform."""
    return grey(interpolate(rgb, to_crop, SIDE))


def flicker(crops: Sequence[Array] | Array, area: Array) -> float:
    """Mean second difference over time of three crops in a row, inside an area, grey levels."""
    first, middle, last = crops
    return float(np.abs(2 * middle - first - last)[area].mean())
