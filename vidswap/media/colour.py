"""Colours by FFmpeg's numbers: matrices and ranges of YUV, what untagged pictures have, and PQ and HLG light -> what an
SDR screen shows, and back: arrays in, arrays out.

Transfer functions of ITU-R BT.2100 (PQ is SMPTE ST 2084; HLG for a screen of 1000 cd/m2); graphics white, 203 cd/m2
(ITU-R BT.2408), is where SDR has its white, and a curve that can be undone bends what is brighter to fit below it. SDR
is BT.709 with the screen gamma of BT.1886. Pictures are RGB.
"""

from __future__ import annotations

from functools import lru_cache
from types import MappingProxyType

import cv2
import numpy as np

from vidswap.types import Array

RGB, BT709, UNTAGGED, FILM625, BT601 = 0, 1, 2, 5, 6  # matrices; the last two are one
LIMITED, FULL = 1, 2  # ranges
PQ, HLG = 16, 18  # transfer functions
GAMMA = 2.4
WHITE, PEAK = 203.0, 1000.0  # cd/m2
KNEE = 0.6  # of white: darker light stays as it is
_BEND = (PEAK / WHITE - KNEE) / (1 - KNEE)
_FINE = 65535
_HD = 1280, 720  # from one of these on an untagged picture is BT.709; FFmpeg alone would take it for BT.601
_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
_A, _B, _C = 0.17883277, 0.28466892, 0.55991073  # of HLG
_LUMA_2020 = np.array([0.2627, 0.6780, 0.0593])
_OOTF = 1.2  # HLG's system gamma at 1000 cd/m2
# To the primaries of BT.709, by FFmpeg's number of the clip's: BT.2020, P3 with D65. Rows sum to 1: white stays white.
_TO_709 = MappingProxyType({
    1: np.eye(3),
    9: np.array([[1.660491, -0.587641, -0.072850], [-0.124550, 1.132900, -0.008349], [-0.018151, -0.100579, 1.118730]]),
    12: np.array([[1.224940, -0.224940, 0.0], [-0.042057, 1.042057, 0.0], [-0.019638, -0.078636, 1.098274]]),
})  # fmt: skip


def matrix_of(width: int, height: int) -> int:
    """The matrix of untagged pictures of a size."""
    return BT709 if width >= _HD[0] or height >= _HD[1] else BT601


def is_hdr(transfer: int) -> bool:
    """Whether a picture with this transfer function (FFmpeg's number) has to be converted to be seen."""
    return transfer in (PQ, HLG)


def to_sdr(rgb: Array, transfer: int, primaries: int) -> Array:
    """(H, W, 3) uint16, full range, in the clip's transfer and primaries -> uint8 for an SDR screen."""
    light = _light_of(transfer)[rgb]
    if transfer == HLG:  # scene light to screen light
        light *= np.maximum(light @ _LUMA_2020.astype(np.float32), 1e-6)[..., None] ** np.float32(_OOTF - 1)
    light = cv2.transform(light, _matrix(primaries).astype(np.float32))
    places = np.sqrt(np.clip(light, 0, 1), out=light) * _FINE
    return np.asarray(_shown()[places.astype(np.uint16)])


def from_sdr(rgb: Array, transfer: int, primaries: int) -> Array:
    """(H, W, 3) uint8 or float of 0 to 255, SDR -> float32 of 0 to 255 in the clip's transfer and primaries. Undoes
    `to_sdr` but for what it rounds and clips."""
    seen = np.clip(np.asarray(rgb, np.float64) / 255, 0, 1) ** GAMMA
    over = np.clip((seen - KNEE) / (1 - KNEE), 0, 1)
    bent = KNEE + (1 - KNEE) * over / (1 + 1 / _BEND - over)
    light = np.where(seen > KNEE, bent, seen) * (WHITE / PEAK)
    light = np.clip(cv2.transform(light, np.linalg.inv(_matrix(primaries))), 0, 1)
    if transfer == HLG:
        screen = np.maximum(light @ _LUMA_2020, 1e-9)
        light = np.clip(light * (screen ** (1 / _OOTF - 1))[..., None], 0, 1)
    return np.asarray(255 * _signal(light, transfer), np.float32)


def _matrix(primaries: int) -> Array:
    return _TO_709.get(primaries, _TO_709[9])


def _signal(light: Array, transfer: int) -> Array:
    """Light as a part of PEAK (for HLG of the scene's) -> the coded value, 0 to 1."""
    if transfer == HLG:
        bright = _A * np.log(np.maximum(12 * light - _B, 1e-9)) + _C
        return np.asarray(np.where(light <= 1 / 12, np.sqrt(3 * light), bright))
    power = (light * (PEAK / 10000)) ** _M1
    return np.asarray(((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2)


@lru_cache(maxsize=2)
def _light_of(transfer: int) -> Array:
    """(65536,) float32: the light of each coded value, as a part of PEAK."""
    code = np.arange(_FINE + 1) / _FINE
    if transfer == HLG:
        light = np.where(code <= 0.5, code**2 / 3, (np.exp((code - _C) / _A) + _B) / 12)
    else:
        root = code ** (1 / _M2)
        light = (np.maximum(root - _C1, 0) / (_C2 - _C3 * root)) ** (1 / _M1) * (10000 / PEAK)
    return np.asarray(light, np.float32)


@lru_cache(maxsize=1)
def _shown() -> Array:
    """(65536,) uint8: what the screen shows for the square root of a light."""
    light = (np.arange(_FINE + 1) / _FINE) ** 2 * (PEAK / WHITE)
    over = np.maximum(light - KNEE, 0) / (1 - KNEE)
    bent = KNEE + (1 - KNEE) * over * (1 + 1 / _BEND) / (1 + over)
    return np.asarray(np.rint(255 * np.where(light > KNEE, bent, light) ** (1 / GAMMA)), np.uint8)
