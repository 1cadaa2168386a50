"""What vidswap sees in photos of a person, in words that help to take a better one, and as a picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from vidswap.errors import IdentityError, UsageError
from vidswap.face.landmarks import (
    CHIN,
    FOREHEAD,
    INNER_LIPS,
    LOWER_LIP,
    OUTER_CORNERS,
    OUTER_LIPS,
    OVAL,
    UPPER_LIP,
)
from vidswap.files import refuse_clash
from vidswap.pipeline import begun
from vidswap.progress import Report, quiet
from vidswap.read.faces import FaceReader, open_faces
from vidswap.read.identity import Taken, frontal, photos_in, take
from vidswap.settings import Place, Settings, path_of
from vidswap.types import Array
from vidswap.write.sheets import INK, LINE, MARGIN, PALE, PAPER, inscribe, write_picture
from vidswap.write.target import check_picture

CHEEKS = (50, 280)  # points in the middle of the left and the right one, as they are seen
NEAR = 0.09  # of a face's width: half of the square that is looked at about them
ONE_SIDED = 2.0  # times as much light on one cheek as on the other is a shadow
SMALL, LARGE = 120.0, 250.0  # pixels of a face's height: hardly enough, and enough
ASIDE = 0.88  # least cosine between the face and the camera that is called frontal
OPEN = 0.03  # of the face's height between the lips: a mouth that is not closed
DARK, BLOWN = 100.0, 0.02  # levels: a face whose lightest parts are no lighter; share of it without any detail
SOFT = 40.0  # variance of the Laplacian on a face of 160 pixels: less is blurred
TALL, WIDE = 300, 620  # pixels: a photo on the page, the column of words


@dataclass(frozen=True, eq=False)
class Look:
    """What is seen in the photo `path`: `will_do`, and what of it is good or not, a line each, with what would be
    better. `picture` (H, W, 3) uint8 is the face, its lines drawn; None where there is none."""

    path: Path
    will_do: bool
    words: tuple[str, ...]
    picture: Array | None


def look_at(
    photos: Sequence[Place], out: Place | None = None, settings: Settings = Settings(), *, report: Report = quiet
) -> list[Look]:  # fmt: skip
    """What is seen in photos, or folders of them, the best first; drawn as the picture `out`, if wanted. Raises
    IdentityError where there are none, ModelError, OutputError."""
    progress = begun(settings, report)
    files = list(files_of(photos))
    drawn = path_of("out", out) if out else None
    if drawn:
        refuse_clash([("the picture", drawn)], [("a photo", file) for file in files])
        check_picture(drawn)
    reader = open_faces(settings.read.face_pack)
    looks = [look_of(file, reader) for file in progress.reported("photos", files, len(files))]
    looks.sort(key=lambda look: not look.will_do)
    if drawn:
        write_picture(drawn, page_of(looks))
    return looks


def files_of(photos: Sequence[Place]) -> Iterator[Path]:
    """The files of photos and of folders of them. Raises IdentityError, UsageError."""
    if not photos:
        raise UsageError("no photo was named", "give some, or a folder of them")
    for photo in photos:
        place = path_of("photos", photo)
        yield from photos_in(place) or [place]


def look_of(path: Path, reader: FaceReader) -> Look:
    """What is seen in a photo."""
    try:
        taken = take(path, reader)
    except IdentityError as error:
        return Look(path, will_do=False, words=(f"it will not do: {error.message}", error.hint), picture=None)
    good = [f"face {tall_of(taken.mesh):.0f} pixels high"]
    words = [*advice_on(taken.rgb, taken.mesh), *(each.words for each in taken.wrong), *taken.notes]
    return Look(path, not taken.hidden, (*good, *(words or ["nothing in the way: it will do well"])), outlined(taken))


def tall_of(mesh: Array) -> float:
    """How high a face (478, 3) is, pixels."""
    return float(np.linalg.norm(mesh[FOREHEAD] - mesh[CHIN]))


def advice_on(rgb: Array, mesh: Array) -> Iterator[str]:
    """What would make a photo better, a line each."""
    tall = tall_of(mesh)
    if tall < SMALL:
        yield f"the face is small: from {LARGE:.0f} pixels on its features are clear; go nearer"
    if frontal(mesh) < ASIDE:
        yield "the face is turned aside: look into the camera (and add this one as a second photo)"
    yield from light_on(rgb, mesh)
    if float(np.linalg.norm(mesh[UPPER_LIP] - mesh[LOWER_LIP])) > OPEN * tall:
        yield "the mouth is open: a calm face with closed lips plays every expression best"


def light_on(rgb: Array, mesh: Array) -> Iterator[str]:
    """What of the light, and of sharpness, could be better. How dark skin is is nobody's fault: what counts is what
    the light does on it."""
    width = float(np.ptp(mesh[:, 0]))
    one, other = (_level(rgb, mesh[point, :2], NEAR * width) for point in CHEEKS)
    if max(one, other) > ONE_SIDED * max(min(one, other), 1e-6):
        side = "left" if one < other else "right"
        yield f"the {side} half, as you see it, lies in shade: a photo facing a window is better"
    low, high = mesh[:, :2].min(0).clip(0).astype(int), np.ceil(mesh[:, :2].max(0)).astype(int)
    face = np.ascontiguousarray(rgb[low[1] : high[1], low[0] : high[0]])
    grey = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY)
    if np.quantile(grey, 0.98) < DARK:
        yield "the photo is dark: nothing in the face is light, not even the eyes; take it in more light"
    if (face.min(2) >= 254).mean() > BLOWN:
        yield "parts of the face are white without any detail: take it in softer light"
    small = cv2.resize(grey, (160, 160), interpolation=cv2.INTER_AREA)
    if float(cv2.Laplacian(small, cv2.CV_32F).var()) < SOFT:
        yield "the face is blurred: hold still, or wipe the lens"


def _level(rgb: Array, middle: Array, half: float) -> float:
    """How much light comes from about a point: the median of linear light (IEC 61966-2-1, as a power)."""
    low, high = np.maximum(np.rint(middle - half), 0).astype(int), np.rint(middle + half + 1).astype(int)
    part = rgb[low[1] : high[1], low[0] : high[0]]
    return float(np.median((part.mean(2) / 255) ** 2.2)) if part.size else 0.0


def outlined(taken: Taken) -> Array:
    """The photo about a face, with the lines that were found in it."""
    picture = np.ascontiguousarray(taken.rgb.copy())
    zoom = TALL / picture.shape[0]
    picture = cv2.resize(picture, (max(1, round(picture.shape[1] * zoom)), TALL), interpolation=cv2.INTER_AREA)
    points = np.rint((taken.mesh[:, :2] + 0.5) * zoom - 0.5).astype(np.int32)
    for ring in (OVAL, OUTER_LIPS, INNER_LIPS):
        cv2.polylines(picture, [points[ring]], True, (120, 255, 140), 1, cv2.LINE_AA)
    for corner in OUTER_CORNERS:
        cv2.circle(picture, points[corner].tolist(), 2, (120, 255, 140), -1, cv2.LINE_AA)
    return np.asarray(picture)


def page_of(looks: Sequence[Look]) -> Array:
    """A row for each photo: the face, and words about it: (H, W, 3) uint8 RGB."""
    wide = max([TALL, *(look.picture.shape[1] for look in looks if look.picture is not None)])
    page = np.full((len(looks) * (TALL + MARGIN) + MARGIN, wide + WIDE + 3 * MARGIN, 3), PAPER, np.uint8)
    for top, look in zip(range(MARGIN, len(page), TALL + MARGIN), looks):
        if look.picture is not None:
            page[top : top + TALL, MARGIN : MARGIN + look.picture.shape[1]] = look.picture
        for row, words in enumerate(lines_of(look)):
            place = (wide + 2 * MARGIN, top + LINE * (row + 1))
            inscribe(page, words, place, 0.6 if row == 0 else 0.45, INK if row == 0 else PALE)
    return page


def lines_of(look: Look) -> list[str]:
    """What is written beside a photo, in lines of what a page holds; letters that it cannot draw are left out."""
    lines = [look.path.name + ("" if look.will_do else ": will not do")]
    for words in look.words:
        line = "-"
        for word in words.encode("ascii", "replace").decode().split():
            if len(line) + len(word) > WIDE // 9:
                lines.append(line)
                line = " "
            line += f" {word}"
        lines.append(line)
    return lines[: TALL // LINE]
