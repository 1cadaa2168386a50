"""Photos and consent -> Identity: without consent there is none (trust.consent says what it covers)."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from vidswap import geometry
from vidswap.errors import IdentityError
from vidswap.settings import Place, path_of
from vidswap.types import Array, Consent, Face, Identity

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
MAX_BYTES = 64 << 20
MAX_PIXELS = 120_000_000  # the largest phone cameras have 108 or 200 megapixels but store 12 to 108
SEEN_SIDE = 2048  # a photo is looked at no larger than this
KEPT_SIDE = 1024  # ... and kept, cut around the face, no larger than this
AROUND = 2.2  # side of the cut over the face
ALONE = 3.0  # a face this many times the area of the next is the one that is meant
LEAST_FACE = 40  # pixels; below, there is no likeness to take
SAME = 0.2  # least cosine between two photos of one person
MOST_PHOTOS = 8
LOOKS, AT_ONCE = 24, 4


class Reader(Protocol):
    """What identity needs of read.faces.FaceReader."""

    def detect(self, rgb: Array) -> list[Face]: ...

    def follow(self, rgb: Array, mesh: Array) -> Face | None: ...

    def embed(self, rgb: Array, mesh: Array) -> Array: ...


@dataclass(frozen=True, eq=False)
class _Photo:
    path: Path
    rgb: Array
    mesh: Array
    embedding: Array
    quality: float


def load_identity(photos: Place, consent: Consent, reader: Reader) -> Identity:
    """The person in a photo, or in a folder of photos of one person, best photo first, at most MOST_PHOTOS.

    Raises IdentityError: nothing there, not a picture, no face, several faces, or several persons. In a folder,
    pictures that will not do are passed over as long as one will."""
    place = path_of("photos", photos)
    taken = _take_folder(place, reader) if place.is_dir() else [_take(place, reader)]
    _check_same(taken)
    best = sorted(taken, key=lambda photo: -photo.quality)[:MOST_PHOTOS]
    mean = np.sum([photo.embedding for photo in best], axis=0)
    embedding = (mean / np.linalg.norm(mean)).astype(np.float32)
    return Identity(tuple(p.rgb for p in best), tuple(p.mesh for p in best), embedding, consent)


def _take_folder(folder: Path, reader: Reader) -> list[_Photo]:
    files = sorted(f for f in folder.iterdir() if f.suffix.lower() in SUFFIXES and not f.name.startswith("."))
    if not files:
        raise IdentityError(f"no photo in {folder}", f"allowed are {', '.join(SUFFIXES)}")
    taken, skipped = [], []
    for file in files:
        try:
            taken.append(_take(file, reader))
        except IdentityError as error:
            skipped.append(error.message)
    if not taken:
        raise IdentityError(f"no usable photo in {folder}: {'; '.join(skipped)}", "add one sharp photo of one face")
    return taken


def _take(path: Path, reader: Reader) -> _Photo:
    rgb = _shrunk(read_picture(path), SEEN_SIDE)[0]
    face = _only(reader.detect(rgb), path)
    side = float((face.box[2:] - face.box[:2]).max())
    if side < LEAST_FACE:
        raise IdentityError(f"the face in {path.name} is only {side:.0f} pixels", "use a closer photo")
    found = settled(rgb, face.mesh, reader)
    cut, mesh = _cut(rgb, found)
    return _Photo(path, cut, mesh, reader.embed(rgb, found), quality(cut, mesh))


def settled(rgb: Array, mesh: Array, reader: Reader) -> Array:
    """The median mesh (478, 3) of LOOKS looks from slightly other crops: a photo is seen once and worn in every frame,
    so its mesh is worth the second that this takes."""
    chance, middle = np.random.default_rng(0), mesh[:468].mean(0)
    apart = float(np.linalg.norm(mesh[33] - mesh[263]))
    guesses = []
    for _ in range(LOOKS):
        roll, zoom = chance.normal(0, 0.08), np.exp(chance.normal(0, 0.06))
        turn = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
        aside = np.append(chance.normal(0, 0.05 * apart, 2), 0)
        guesses.append((((mesh - middle) * zoom) @ turn.T + middle + aside).astype(np.float32))
    with ThreadPoolExecutor(AT_ONCE) as threads:
        seen = threads.map(lambda guess: reader.follow(rgb, guess), guesses)
        looks = [mesh, *(face.mesh for face in seen if face)]
    return np.asarray(np.median(looks, axis=0), np.float32)


def read_picture(path: Path) -> Array:
    """(H, W, 3) uint8 RGB of a jpg, png or webp file, turned as its EXIF says. Raises IdentityError."""
    hint = f"use a photo in one of {', '.join(SUFFIXES)}"
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise IdentityError(f"cannot read {path}: {reason}", hint) from error
    if len(raw) > MAX_BYTES:
        raise IdentityError(f"{path.name} is larger than {MAX_BYTES >> 20} MB", hint)
    width, height = picture_size(raw)
    if not 0 < width * height <= MAX_PIXELS:
        size = f"{width}x{height}, more than {MAX_PIXELS // 10**6} megapixels" if width else "not a picture"
        raise IdentityError(f"{path.name} is {size}", hint)
    try:
        bgr = cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise IdentityError(f"{path.name} is damaged", hint) from error
    if bgr is None:
        raise IdentityError(f"{path.name} is damaged", hint)
    return np.ascontiguousarray(bgr[..., ::-1])


def picture_size(raw: bytes) -> tuple[int, int]:
    """Width and height that the header of a PNG, JPEG or WebP promises, before any pixel is unpacked; (0, 0) if it is
    none of them."""
    if raw[:8] == b"\x89PNG\r\n\x1a\n":
        return int.from_bytes(raw[16:20]), int.from_bytes(raw[20:24])
    if raw[:4] == b"RIFF" and raw[8:12] == b"WEBP":
        return _webp_size(raw)
    return _jpeg_size(raw) if raw[:2] == b"\xff\xd8" else (0, 0)


def _webp_size(raw: bytes) -> tuple[int, int]:
    kind = raw[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(raw[24:27], "little"), 1 + int.from_bytes(raw[27:30], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(raw[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        return int.from_bytes(raw[26:28], "little") & 0x3FFF, int.from_bytes(raw[28:30], "little") & 0x3FFF
    return 0, 0


def _jpeg_size(raw: bytes) -> tuple[int, int]:
    """Walk the segments to the start-of-frame one (ITU T.81, B.2.2)."""
    at = 2
    while at + 9 <= len(raw) and raw[at] == 0xFF:
        marker = raw[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return int.from_bytes(raw[at + 7 : at + 9]), int.from_bytes(raw[at + 5 : at + 7])
        alone = marker in (0x01, 0xFF) or 0xD0 <= marker <= 0xD7
        at += (1 if marker == 0xFF else 2) if alone else 2 + max(2, int.from_bytes(raw[at + 2 : at + 4]))
    return 0, 0


def _only(faces: Sequence[Face], path: Path) -> Face:
    """The one face, or the one by far the largest."""
    if not faces:
        raise IdentityError(f"no face in {path.name}", "use a sharp, well-lit photo of one face looking at the camera")
    by_area = sorted(faces, key=lambda face: -_area(face))
    if len(by_area) > 1 and _area(by_area[0]) <= ALONE * _area(by_area[1]):
        raise IdentityError(f"{len(faces)} faces in {path.name}", "crop the photo to the face that is meant")
    return by_area[0]


def _area(face: Face) -> float:
    width, height = face.box[2:] - face.box[:2]
    return float(width * height)


def _cut(rgb: Array, mesh: Array) -> tuple[Array, Array]:
    """The photo cut generously around the face, no larger than KEPT_SIDE, and the mesh in its pixels."""
    box = geometry.bounds(mesh)
    half = AROUND * (box[2:] - box[:2]).max() / 2
    middle = (box[:2] + box[2:]) / 2
    low = np.maximum(np.floor(middle - half), 0).astype(int)
    high = np.minimum(np.ceil(middle + half) + 1, rgb.shape[1::-1]).astype(int)
    cut, zoom = _shrunk(rgb[low[1] : high[1], low[0] : high[0]], KEPT_SIDE)
    edge = (zoom - 1) / 2  # pixel centres are integers: shrinking keeps corners, not centres
    to_cut = np.hstack([np.diag(zoom), (edge - zoom * low)[:, None]])
    return np.ascontiguousarray(cut), geometry.apply(to_cut, mesh)


def _shrunk(rgb: Array, side: int) -> tuple[Array, Array]:
    """The picture with its longer side at most `side`, and the zoom (2,) in x and y."""
    height, width = rgb.shape[:2]
    ratio = side / max(height, width)
    if ratio >= 1:
        return rgb, np.ones(2)
    size = (max(1, round(width * ratio)), max(1, round(height * ratio)))
    return cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.array([size[0] / width, size[1] / height])


def quality(rgb: Array, mesh: Array) -> float:
    """How good a likeness a photo gives, 0 to 1: the face turned to the camera, sharp, large, well lit."""
    normal = np.cross(mesh[263] - mesh[33], mesh[152] - mesh[10])
    frontal = abs(float(normal[2])) / (float(np.linalg.norm(normal)) + 1e-9)
    x0, y0, x1, y1 = np.clip(np.round(geometry.bounds(mesh)).astype(int), 0, [*rgb.shape[1::-1]] * 2)
    if x1 - x0 < 2 or y1 - y0 < 2:
        return 0.0
    grey = cv2.cvtColor(np.ascontiguousarray(rgb[y0:y1, x0:x1]), cv2.COLOR_RGB2GRAY)
    detail = float(cv2.Laplacian(cv2.resize(grey, (160, 160), interpolation=cv2.INTER_AREA), cv2.CV_32F).var())
    sharp = detail / (detail + 60.0)
    large = min(1.0, (y1 - y0) / 300)
    lit = 1 - abs(float(grey.mean()) - 128) / 128
    return float(frontal**2 * (0.2 + 0.8 * sharp) * (0.3 + 0.7 * large) * (0.2 + 0.8 * lit))


def _check_same(taken: Sequence[_Photo]) -> None:
    """Raise IdentityError unless every photo resembles the others."""
    vectors = np.stack([photo.embedding for photo in taken])
    alike = vectors @ vectors.T
    if alike.min() < SAME:
        odd = taken[int(alike.mean(1).argmin())]
        raise IdentityError(f"{odd.path.name} shows someone else than the other photos", "keep photos of one person")
