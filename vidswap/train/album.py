"""Photos of one person -> an album: their face, aligned as engines are handed it, with a mask of where it is seen.

Whoever else is in the folder is set aside by the recogniser, and so is what nothing can be learnt from; the album says
by name what is not in it, and why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from vidswap.errors import IdentityError, VidswapError
from vidswap.face import geometry, landmarks
from vidswap.face.sampling import CUBIC, sample
from vidswap.keys import digest_of, key_of
from vidswap.progress import Report, quiet
from vidswap.read.cover import troubles
from vidswap.read.faces import FaceReader
from vidswap.read.features import visibility
from vidswap.read.identity import photos_in
from vidswap.read.photo import read_photo
from vidswap.read.portrait import portrait
from vidswap.swap.crops import MASK, face_masks
from vidswap.types import Array, Face, TrackPart

SEEN = 4096  # pixels of a photo's longer side: the face of a full-length photo is still as large as a crop
COARSE, LARGEST = 1.5, 3.0  # magnification of a photo that teaches softness, and of one that teaches nothing else
# Of 26 strangers' portraits one in four pairs is as alike as .51, one in twenty as .64; a stranger among the photos
# does more harm than one photo of the person left out.
ALIKE, DOUBTED = 0.5, 0.65
SAID = 5  # photos of which an error says what is wrong
FEW = 5  # photos; with fewer, their light and their looks are learnt as if they were the person's
WANTED = "10 to 20 sharp ones in different light, from different sides, are best"


@dataclass(frozen=True, eq=False)
class Page:
    """One photo: the face's aligned crop `rgb` (S, S, 3) uint8, `mask` (MASK, MASK) float32 over it, 1 where the face
    is seen; `embedding` says who it is; `notes` what was wrong with the photo."""

    name: str
    rgb: Array
    mask: Array
    embedding: Array
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Album:
    """All that is learnt from: at least one page. `notes` say what was left out and why, a line each; `digest` is that
    of the photos' files."""

    pages: tuple[Page, ...]
    notes: tuple[str, ...]
    digest: str


def open_album(photos: Path, reader: FaceReader, side: int, alike: float = ALIKE, report: Report = quiet) -> Album:
    """The person of a photo, or of a folder of photos, in crops of `side` pixels; whose face is less `alike` the others
    than that, a cosine, is somebody else. Raises IdentityError: nothing there,
    nothing that will do, or no one person whom most photos show."""
    files = photos_in(photos)
    if files is None:
        page = page_of(photos, reader, side)
        return Album((page,), (*page.notes, _few(1)), key_of([digest_of(photos)]))
    found, notes = _distinct(files)
    pages, taken = list[Page](), list[str]()
    for number, (digest, file) in enumerate(found.items(), 1):
        try:
            pages.append(page_of(file, reader, side))
            taken.append(digest)
        except IdentityError as error:
            notes.append(f"left out: {error.message}")
        report("photos", number, len(found))
    if not pages:
        more = f"; and {len(notes) - SAID} more" if len(notes) > SAID else ""
        raise IdentityError(f"no usable photo in {photos}: {'; '.join(notes[:SAID])}{more}", WANTED)
    own, others = of_one_person(pages, photos, alike)
    notes += others
    notes += [note for page in own for note in page.notes]
    notes += [_few(len(own))] * (len(own) < FEW)
    return Album(tuple(own), tuple(notes), key_of(sorted(d for d, page in zip(taken, pages) if page in own)))


def page_of(file: Path, reader: FaceReader, side: int) -> Page:
    """A photo's face. Raises IdentityError: unreadable, no face, several, cut off, covered, too small."""
    photo = read_photo(file, SEEN)
    found, mean = portrait(photo.rgb, file.name, reader), landmarks.mean_face()
    rgb, face = found.rgb, found.face
    wrong = troubles(rgb, face.mesh, visibility(face), mean)
    if hidden := [trouble for trouble in wrong if trouble.hides or trouble.useless]:
        raise IdentityError(f"{file.name}: {hidden[0].words}", "use a sharp photo that shows the whole face")
    to_crop = geometry.crop_transform(face.mesh, mean, side)
    larger = geometry.zoom_of(to_crop)
    wide = float(np.ptp(face.mesh[:468, 0]))
    if larger > LARGEST:
        raise IdentityError(f"the face in {file.name} is only {wide:.0f} pixels wide", "use a closer photo")
    notes = [*photo.notes, *found.notes]
    if larger > COARSE:
        notes.append(f"the face in {file.name} is only {wide:.0f} pixels wide: a closer photo would teach finer skin")
    embedding = reader.embed(rgb, face.mesh)
    crop = sample(rgb, to_crop, side, CUBIC)
    return Page(file.name, crop, mask_of(face, embedding, rgb.shape), embedding, tuple(notes))


def mask_of(face: Face, embedding: Array, shape: tuple[int, ...]) -> Array:
    """(MASK, MASK) float32, 0 to 1: where an engine would change this face, which is on it and a little around it, but
    not where something is before it, nor beyond the edge of its photo, whose `shape` begins with (H, W)."""
    to_mask = geometry.crop_transform(face.mesh, landmarks.mean_face(), MASK)
    once = TrackPart(0, 0, 0, face.mesh[None], np.ones(1, bool), embedding, face.visible[None],
                     face.visible_to_frame[None])  # fmt: skip
    ((mask, _back),) = face_masks(once, 0, 1, {0: to_mask})
    inside = cv2.warpAffine(np.ones(shape[:2], np.uint8), to_mask, (MASK, MASK), flags=cv2.INTER_NEAREST)
    return np.asarray(mask * inside, np.float32) / 255


def likenesses(pages: Sequence[Page], alike: float) -> Array:
    """(N,): the mean cosine of each page's face to the others that are `alike` the most typical one."""
    vectors = np.stack([page.embedding for page in pages])
    cosines = vectors @ vectors.T
    group = cosines[int(cosines.mean(1).argmax())] >= alike
    others = np.maximum(group.sum() - group, 1)
    return np.asarray(np.where(group.sum() - group > 0, (cosines @ group - group) / others, group))


def of_one_person(pages: Sequence[Page], photos: Path, alike: float) -> tuple[list[Page], list[str]]:
    """The pages of whom most of them show, and what is to be said of the others. Raises IdentityError where there is
    no such person."""
    found = likenesses(pages, alike)
    own = [page for page, likeness in zip(pages, found) if likeness >= alike]
    if 2 * len(own) <= len(pages):
        names = ", ".join(page.name for page in own[:SAID])
        raise IdentityError(f"{photos} shows several people: no more than half of its photos show the one of {names}",
                            f"keep photos of one person; alike={alike:g} says how alike they must be")  # fmt: skip
    notes = [f"left out: {page.name} shows someone else ({likeness:.2f} alike, {alike:g} is asked for)"
             for page, likeness in zip(pages, found) if likeness < alike]  # fmt: skip
    notes += [f"{page.name} may show someone else ({likeness:.2f} alike): look at it"
              for page, likeness in zip(pages, found) if alike <= likeness < DOUBTED]  # fmt: skip
    return own, notes


def _few(count: int) -> str:
    said = "one photo" if count == 1 else f"{count} photos"
    return f"only {said} to learn from: the light and looks there will stick to the likeness; {WANTED}"


def _distinct(files: Sequence[Path]) -> tuple[dict[str, Path], list[str]]:
    """Files by their digests, and what is there twice or cannot be read."""
    found, notes = dict[str, Path](), list[str]()
    for file in files:
        try:
            digest = digest_of(file)
        except VidswapError as error:
            notes.append(f"left out: {error.message}")
            continue
        if digest in found:
            notes.append(f"left out: {file.name} is {found[digest].name} again")
        found.setdefault(digest, file)
    return found, notes
