"""A photo's pixels -> the one face in it: upright, and whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from vidswap.errors import IdentityError
from vidswap.face import geometry, landmarks
from vidswap.face.boxes import area
from vidswap.read.faces import FaceReader
from vidswap.read.features import MOUTH_POINTS, visibility
from vidswap.types import Array, Face

CLEAR = 0.84  # of a face that is seen; where it is less, parts of a larger one may have been taken for a face
CLEARER = 0.08  # ... which is the right one where so much more of it is seen
ALONE = 3.0  # a face this many times the area of the next is the one that is meant
GHOST = 0.6  # a second face of which less is seen, of what is seen of the best, is none: a neck, a fold, a print
MOST_OUTSIDE = 0.1  # of a face's points
LARGER, HIGHER = 1.5, 0.3  # the guess at a face whose lower part was taken for all: its size, how much higher it is
MUCH_LARGER = 1.5  # its area, at least, over that of the part
AROUND_PHOTO = 0.5  # side of what is added around a photo in which nobody is found, over the photo's
BLURRED = 64  # pixels of what is blurred for it, of its width
_TURNS = {1: "on its side", 2: "upside down", 3: "on its side"}  # quarter turns to the left that make it upright
WHOLE = "use a photo that shows the whole face, with some room around it"


class SeveralFaces(IdentityError):
    """A photo shows several people, and does not say who is meant."""


Choose = Callable[[Array, Sequence[Face]], Face | None]  # of several faces in a picture the one that is meant


@dataclass(frozen=True, eq=False)
class Portrait:
    """`rgb` (H, W, 3) uint8, upright, and the `face` in it; `notes` say what was done to the photo, a line each."""

    rgb: Array
    face: Face
    notes: tuple[str, ...] = ()


def portrait(rgb: Array, name: str, reader: FaceReader, choose: Choose | None = None) -> Portrait:
    """The one face in a photo, or the one by far the largest; of several that which is chosen. The photo is turned
    where the face lies or hangs in it. Raises IdentityError: no face, several, or one that the photo's edge cuts."""
    found, notes = _faces(reader.detect(rgb)) or _faces(_with_room(rgb, reader)), tuple[str, ...]()
    meant = choose(rgb, found) if choose and len(found) > 1 else None
    if meant:
        refuse_cut(meant.mesh, rgb.shape, name)
        return Portrait(rgb, meant, (f"{name} shows several people; the one whom the other photos show is taken",))
    face = _only(found, name)
    if turn := geometry.quarters(face.mesh):
        rgb, notes = np.ascontiguousarray(np.rot90(rgb, turn)), (f"{name} lies {_TURNS[turn]}; it was turned",)
        face = _only([each for each in _faces(reader.detect(rgb)) if visible(each) >= GHOST], name)  # a beard is none
    refuse_cut(face.mesh, rgb.shape, name)
    if _near_edge(face.mesh, rgb.shape) or visible(face) < CLEAR:  # what lies outside is found better with some room
        for other in _faces(_with_room(rgb, reader))[:1]:
            refuse_cut(other.mesh, rgb.shape, name)
            face = other if visible(other) > visible(face) + CLEARER else face
    if visible(face) < CLEAR and (whole := _larger(rgb, face, reader)):
        refuse_cut(whole.mesh, rgb.shape, name)
    return Portrait(rgb, face, notes)


def visible(face: Face) -> float:
    """How much of a face is seen, 0 to 1."""
    return float(visibility(face)[:468].mean())


def refuse_cut(mesh: Array, shape: tuple[int, ...], name: str) -> None:
    """Raise IdentityError where an eye, the mouth, or more than MOST_OUTSIDE of a mesh (478, 3) lie outside a photo."""
    x, y = mesh[:468, 0], mesh[:468, 1]
    beyond = {"left": x < -0.5, "right": x > shape[1] - 0.5, "top": y < -0.5, "bottom": y > shape[0] - 0.5}
    outside = np.any(list(beyond.values()), axis=0)
    share = float(outside.mean())
    eyes = sum(bool(outside[eye].any()) for eye in landmarks.EYES)
    if share <= MOST_OUTSIDE and not eyes and not outside[MOUTH_POINTS].any():
        return
    sides = [side for side, points in beyond.items() if points.sum() >= outside.sum() / 5]
    mouth = ["the mouth"] * bool(outside[MOUTH_POINTS].any())
    lost = [*([], ["an eye"], ["both eyes"])[eyes], *mouth, f"{share:.0%} of it"]
    raise IdentityError(f"the face is cut off at the {' and the '.join(sides)}: {', '.join(lost)} lie outside {name}",
                        WHOLE)  # fmt: skip


def _faces(faces: Sequence[Face]) -> list[Face]:
    """The largest first, without those that are none beside the one that is seen best."""
    best = max((visible(face) for face in faces), default=0.0)
    return sorted((face for face in faces if visible(face) >= GHOST * best), key=lambda face: -area(face.box))


def _only(faces: Sequence[Face], name: str) -> Face:
    """The one face, or the one by far the largest."""
    if not faces:
        raise IdentityError(f"no face in {name}", "use a sharp, well-lit photo of one face looking at the camera")
    if len(faces) > 1 and area(faces[0].box) <= ALONE * area(faces[1].box):
        raise SeveralFaces(f"{len(faces)} faces in {name}", "crop the photo to the face that is meant")
    return faces[0]


def _near_edge(mesh: Array, shape: tuple[int, ...]) -> bool:
    box = geometry.bounds(mesh)
    room = 0.03 * float((box[2:] - box[:2]).max())
    return bool((box[:2] < room).any() or (box[2:] > np.array(shape[1::-1]) - room).any())


def _with_room(rgb: Array, reader: FaceReader) -> list[Face]:
    """The faces found with room around the photo: the detector misses one that is larger than what it sees of it."""
    room, wide = roomed(rgb)
    return [_moved(face, -wide) for face in reader.detect(room)]


def _larger(rgb: Array, face: Face, reader: FaceReader) -> Face | None:
    """A face of which `face` is the lower part, seen nearly as well: where the eyes are cut off, nostrils pass for
    them."""
    middle, high = face.mesh[:468].mean(0), float(np.ptp(face.mesh[:468, 1]))
    guess = LARGER * (face.mesh - middle) + middle - np.array([0, HIGHER * high, 0])
    room, wide = roomed(rgb)
    found = reader.follow(room, (guess + np.array([wide, wide, 0])).astype(np.float32))
    if found is None or area(found.box) < MUCH_LARGER * area(face.box) or visible(found) < visible(face) - CLEARER:
        return None
    return _moved(found, -wide)


def roomed(rgb: Array) -> tuple[Array, int]:
    """The photo with room around it, and how wide that is: the photo mirrored and blurred, neither an edge nor a second
    face."""
    wide = int(AROUND_PHOTO * max(rgb.shape[:2]))
    mirrored = cv2.copyMakeBorder(rgb, wide, wide, wide, wide, cv2.BORDER_REFLECT)
    size, shrink = mirrored.shape[1::-1], max(1, wide // BLURRED)  # a blur so wide takes half a minute at full size
    small = cv2.resize(mirrored, [max(1, side // shrink) for side in size], interpolation=cv2.INTER_AREA)
    room = cv2.resize(cv2.GaussianBlur(small, (0, 0), wide / shrink / 8), size, interpolation=cv2.INTER_LINEAR)
    room[wide : wide + rgb.shape[0], wide : wide + rgb.shape[1]] = rgb
    return room, wide


def _moved(face: Face, by: int) -> Face:
    """A face by so many pixels to the right and down."""
    to_frame = face.visible_to_frame + np.array([[0, 0, by], [0, 0, by]])
    mesh = face.mesh + np.array([by, by, 0], np.float32)
    return replace(face, box=face.box + np.float32(by), mesh=mesh, visible_to_frame=to_frame)
