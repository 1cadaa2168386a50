"""Photos and consent -> Identity: without consent there is none (trust.consent says what it covers)."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from vidswap.errors import IdentityError
from vidswap.face import geometry, landmarks
from vidswap.read.cover import Trouble, troubles
from vidswap.read.faces import FaceReader
from vidswap.read.features import visibility
from vidswap.read.photo import SUFFIXES, read_photo, shrunk
from vidswap.read.portrait import Choose, SeveralFaces, portrait, refuse_cut
from vidswap.settings import Place, check_kind, path_of
from vidswap.types import Array, Consent, Face, Identity

SEEN_SIDE = 2048  # a photo is looked at no larger than this
KEPT_SIDE = 1024  # ... and kept, cut around the face, no larger than this
AROUND = 2.2  # side of the cut over the face
LEAST_FACE = 40  # pixels; below, there is no likeness to take
FRONTAL = 18.0  # degrees
SAME = 0.2  # least cosine between two photos of one person
MOST_PHOTOS = 8
LOOKS, AT_ONCE = 24, 4


@dataclass(frozen=True, eq=False)
class Taken:
    """A photo that will do: cut about the face, its mesh (478, 3) in it, who it shows, how good a likeness it gives,
    and what is `wrong` with it, the worst first."""

    path: Path
    rgb: Array
    mesh: Array
    embedding: Array
    quality: float
    notes: tuple[str, ...]
    wrong: tuple[Trouble, ...]

    @property
    def hidden(self) -> bool:
        """Whether something keeps the face from being seen."""
        return any(trouble.hides for trouble in self.wrong)


def load_identity(photos: Place, consent: Consent, reader: FaceReader) -> Identity:
    """The person in a photo, or in a folder of photos of one person, best photo first, at most MOST_PHOTOS.

    Raises IdentityError: nothing there, not a picture, no face, several faces, one that is cut off or covered, or
    several persons. In a folder, pictures that will not do are left out as long as one will, and `notes` say why."""
    check_kind("consent", consent, Consent)  # a name, or the path of a record, was not looked into
    place = path_of("photos", photos)
    files = photos_in(place)
    taken, notes = ([take(place, reader)], []) if files is None else _take_all(files, place, reader)
    best = sorted(taken, key=lambda photo: -photo.quality)[:MOST_PHOTOS]
    notes += [_used(best)] * (len(files or ()) > 1)
    notes += [note for photo in best for note in photo.notes]
    for photo in best if best[0].hidden else best[:1]:
        notes += [f"{photo.path.name}: {trouble.words}; the likeness suffers" for trouble in photo.wrong]
    mean = np.sum([photo.embedding for photo in best], axis=0)
    embedding = (mean / np.linalg.norm(mean)).astype(np.float32)
    return Identity(tuple(p.rgb for p in best), tuple(p.mesh for p in best), embedding, consent, tuple(notes))


def photos_in(photos: Path) -> list[Path] | None:
    """The photos of a folder, by name; None where `photos` is none. Raises IdentityError."""
    try:
        if not photos.is_dir():
            return None
        found = [file for file in photos.iterdir() if file.suffix.lower() in SUFFIXES and file.is_file()]
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise IdentityError(f"cannot read {photos}: {reason}", "check its name and its permissions") from error
    files = sorted(file for file in found if not file.name.startswith("."))
    if not files:
        raise IdentityError(f"no photo in {photos}", f"allowed are {', '.join(SUFFIXES)}")
    return files


def _take_all(files: Sequence[Path], folder: Path, reader: FaceReader) -> tuple[list[Taken], list[str]]:
    """Those that will do, and what was left out and why. A face that is hidden will do where no other is there; a
    stranger's goes where others agree who it is, and of several in a photo theirs is taken."""
    taken, refused, crowded = list[Taken](), list[str](), list[tuple[Path, str]]()
    for file in files:
        try:
            taken.append(take(file, reader))
        except SeveralFaces as error:
            crowded.append((file, error.message))
        except IdentityError as error:
            refused.append(error.message)
    same, strangers = _those_alike(taken)
    refused += [f"{photo.path.name} shows someone else than the other photos" for photo in strangers]
    for file, reason in crowded:
        try:
            same.append(take(file, reader, _like(same, reader)))
        except IdentityError:
            refused.append(reason)
    if not same:
        raise IdentityError(f"no usable photo in {folder}: {'; '.join(refused)}", "add one sharp photo of one face")
    clear = [photo for photo in same if not photo.hidden] or same
    refused += [f"{photo.path.name}: {photo.wrong[0].words}" for photo in same if photo not in clear]
    return clear, [f"left out: {reason}" for reason in refused]


def _those_alike(taken: Sequence[Taken]) -> tuple[list[Taken], list[Taken]]:
    """The photos of one person, and those of others: one by one, whoever the rest resemble least is a stranger, as long
    as more agree than not. Raises IdentityError where nobody can tell."""
    same, strangers = list(taken), list[Taken]()
    while len(same) > 1:
        vectors = np.stack([photo.embedding for photo in same])
        alike = vectors @ vectors.T
        if alike.min() >= SAME:
            break
        odd = same[int(alike.mean(1).argmin())]
        if len(same) - 1 <= len(taken) / 2:
            raise IdentityError(f"{odd.path.name} shows someone else than the other photos",
                                "keep photos of one person")  # fmt: skip
        same.remove(odd)
        strangers.append(odd)
    return same, strangers


def _like(taken: Sequence[Taken], reader: FaceReader) -> Choose | None:
    """What chooses, of several faces in a photo, the one that others show, if it is there."""
    if not taken:
        return None
    mean = np.sum([photo.embedding for photo in taken], axis=0)
    wanted = mean / np.linalg.norm(mean)

    def choose(rgb: Array, faces: Sequence[Face]) -> Face | None:
        alike = [float(reader.embed(rgb, face.mesh) @ wanted) for face in faces]
        best = int(np.argmax(alike))
        return faces[best] if alike[best] >= SAME else None

    return choose


def _used(best: Sequence[Taken]) -> str:
    """Which photos are used, and from which side they show the face."""
    told = [f"{photo.path.name} ({_side(photo.mesh)})" for photo in best]
    return f"{len(best)} photo{'s are' if len(best) > 1 else ' is'} used: {', '.join(told)}"


def _side(mesh: Array) -> str:
    left, right = landmarks.OUTER_CORNERS
    across = mesh[right] - mesh[left]
    turned = np.degrees(np.arctan2(float(across[2]), float(across[0])))
    return "frontal" if abs(turned) < FRONTAL else "from the " + ("left" if turned > 0 else "right")


def take(path: Path, reader: FaceReader, choose: Choose | None = None) -> Taken:
    """The face in a photo, of several the one that is chosen. Raises IdentityError where it will not do."""
    photo = read_photo(path, SEEN_SIDE)
    found = portrait(photo.rgb, path.name, reader, choose)
    rgb, face = found.rgb, found.face
    side = float((face.box[2:] - face.box[:2]).max())
    if side < LEAST_FACE:
        raise IdentityError(f"the face in {path.name} is only {side:.0f} pixels", "use a closer photo")
    mesh = median_mesh(rgb, face.mesh, reader)
    refuse_cut(mesh, rgb.shape, path.name)
    wrong = troubles(rgb, mesh, visibility(face), landmarks.mean_face())
    if wrong and wrong[0].useless:
        raise IdentityError(f"{path.name}: {wrong[0].words}", "use a sharp photo that shows the whole face")
    cut, placed = _cut(rgb, mesh)
    notes = (*photo.notes, *found.notes)
    return Taken(path, cut, placed, reader.embed(rgb, mesh), quality(cut, placed), notes, tuple(wrong))


def median_mesh(rgb: Array, mesh: Array, reader: FaceReader) -> Array:
    """The median mesh (478, 3) of LOOKS looks from slightly other crops: a photo is seen once and worn in every frame,
    so its mesh is worth the second that this takes."""
    chance, middle = np.random.default_rng(0), mesh[:468].mean(0)
    apart = float(np.linalg.norm(np.subtract(*mesh[[*landmarks.OUTER_CORNERS]])))
    guesses = []
    for _ in range(LOOKS):
        roll, zoom = chance.normal(0, 0.08), np.exp(chance.normal(0, 0.06))
        rotation = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
        aside = np.append(chance.normal(0, 0.05 * apart, 2), 0)
        guesses.append((((mesh - middle) * zoom) @ rotation.T + middle + aside).astype(np.float32))
    with ThreadPoolExecutor(AT_ONCE) as threads:
        seen = threads.map(lambda guess: reader.follow(rgb, guess), guesses)
        looks = [mesh, *(face.mesh for face in seen if face)]
    return np.asarray(np.median(looks, axis=0), np.float32)


def _cut(rgb: Array, mesh: Array) -> tuple[Array, Array]:
    """The photo cut generously around the face, no larger than KEPT_SIDE, and the mesh in its pixels."""
    box = geometry.bounds(mesh)
    half = AROUND * (box[2:] - box[:2]).max() / 2
    middle = (box[:2] + box[2:]) / 2
    low = np.maximum(np.floor(middle - half), 0).astype(int)
    high = np.minimum(np.ceil(middle + half) + 1, rgb.shape[1::-1]).astype(int)
    cut, zoom = shrunk(rgb[low[1] : high[1], low[0] : high[0]], KEPT_SIDE)
    edge = (zoom - 1) / 2  # pixel centres are integers: shrinking keeps corners, not centres
    to_cut = np.hstack([np.diag(zoom), (edge - zoom * low)[:, None]])
    return np.ascontiguousarray(cut), geometry.apply(to_cut, mesh)


def frontal(mesh: Array) -> float:
    """The cosine between a face (478, 3) and the camera, 0 to 1."""
    left, right = landmarks.OUTER_CORNERS
    normal = np.cross(mesh[right] - mesh[left], mesh[landmarks.CHIN] - mesh[landmarks.FOREHEAD])
    return abs(float(normal[2])) / (float(np.linalg.norm(normal)) + 1e-9)


def quality(rgb: Array, mesh: Array) -> float:
    """How good a likeness a photo gives, 0 to 1: the face turned to the camera, sharp, large, well lit."""
    x0, y0, x1, y1 = np.clip(np.round(geometry.bounds(mesh)).astype(int), 0, [*rgb.shape[1::-1]] * 2)
    if x1 - x0 < 2 or y1 - y0 < 2:
        return 0.0
    grey = cv2.cvtColor(np.ascontiguousarray(rgb[y0:y1, x0:x1]), cv2.COLOR_RGB2GRAY)
    detail = float(cv2.Laplacian(cv2.resize(grey, (160, 160), interpolation=cv2.INTER_AREA), cv2.CV_32F).var())
    sharp = detail / (detail + 60.0)
    large = min(1.0, (y1 - y0) / 300)
    lit = 1 - abs(float(grey.mean()) - 128) / 128
    return float(frontal(mesh) ** 2 * (0.2 + 0.8 * sharp) * (0.3 + 0.7 * large) * (0.2 + 0.8 * lit))
