"""Two clips and the photos -> an Evaluation. Both clips are read side by side; memory does not grow with their length.

Blur makes flicker look good, and changing little makes everything but the identity look good: read the figures
together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from vidswap.errors import InputError, NoFaceError
from vidswap.face import geometry
from vidswap.face.boxes import area
from vidswap.face.landmarks import mean_face
from vidswap.measure import measures
from vidswap.measure.align import compare_sound, part_of, seconds_of, timing
from vidswap.media.sound import sounds
from vidswap.progress import Report, quiet
from vidswap.read.clip import frames, open_clip
from vidswap.read.identity import load_identity
from vidswap.read.shots import CutDetector
from vidswap.types import Array, Clip, Consent, Face, Identity, Shot

DETECT_EVERY = 8  # frames between detections while the face is followed
MEASURE_EVERY = 3  # frames between the slow measures: identity, sharpness, light, grain, background
STRIPS, STRIP_SIDE = 6, 176  # moments kept to be looked at, and the side of each picture
OTHER_SKIN = 8.0  # dE between the cheeks of actor and photo, from which on it can be told whose complexion is seen
SWAPPED = 3.0  # grey levels by which a face must differ to be the one that was swapped
# Nothing is made of the face and nothing kept but figures, so nobody is asked; and nobody is said to have been.
MEASURED = Consent("whoever the photos show", ("evaluate",), record="none: measured, not swapped")
Series = Mapping[str, tuple[tuple[float, float], ...]]


class Reader(Protocol):
    """What an evaluation needs of read.faces.FaceReader."""

    def detect(self, rgb: Array) -> list[Face]: ...

    def follow(self, rgb: Array, mesh: Array) -> Face | None: ...

    def embed(self, rgb: Array, mesh: Array) -> Array: ...


@dataclass(frozen=True, eq=False)
class FacePair:
    """One second of both clips around the face, as JPEG."""

    second: float
    before: bytes
    after: bytes


@dataclass(frozen=True)
class Evaluation:
    """How good a swap is; page.py says what each figure means. A figure is None where it could not be measured.

    `frames` in both clips, those with a face, and those where only the swap has none; `curves` are (second, value).
    `notes` are what a person should know of how clips and photos were read, a line each."""

    frames: tuple[int, int]
    faces: int
    lost: int
    figures: Mapping[str, float | None]
    sound: str  # "same", "changed", "missing", "none"
    curves: Series
    moments: tuple[FacePair, ...]
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """The figures without curves and pictures, ready for JSON."""
        rounded = {name: None if value is None else round(value, 4) for name, value in self.figures.items()}
        return {"frames": list(self.frames), "faces": self.faces, "lost": self.lost, **rounded, "sound": self.sound}


def evaluate(original: Path, swapped: Path, photos: Path, reader: Reader, report: Report = quiet) -> Evaluation:
    """Compare a clip with its swap and with the photos (file or folder) of who should be in it. A swap of a part of the
    clip is compared with that part.

    Raises InputError (unreadable, or the pictures differ in size), IdentityError, NoFaceError, ModelError."""
    before, after = open_clip(original), open_clip(swapped)
    if (before.width, before.height) != (after.width, after.height):
        sizes = f"{before.width}x{before.height} and {after.width}x{after.height}"
        raise InputError(f"the two clips differ in size: {sizes}", "evaluate the swap that was made of this clip")
    wanted = load_identity(photos, MEASURED, reader)
    heard_in = sounds(original, before.stretches), sounds(swapped, after.stretches)
    part = part_of(before, after, heard_in)
    kept = np.linspace(part.start, part.stop - 1, STRIPS + 2).round()[1:-1].astype(int)
    watched = _Watch(reader, wanted, before, frozenset(kept.tolist()))
    for done, (index, a, b) in enumerate(_side_by_side(before, after, part), 1):
        watched.see(index, a, b)
        report("evaluation", done, len(part))
    if not watched.faces:
        raise NoFaceError("nobody's face was found in the original clip", "a face should be at least 40 pixels wide")
    heard = compare_sound(*heard_in, *seconds_of(before, after, part))
    figures = {**watched.figures(), "timing_ms": timing(before, after, part, heard.shift)}
    notes = *(f"{clip.path.name}: {note}" for clip in (before, after) for note in clip.notes), *wanted.notes
    lengths, moments = (len(before), len(after)), tuple(watched.moments)
    return Evaluation(lengths, watched.faces, watched.lost, figures, heard.word, watched.curves(), moments, notes)


def _side_by_side(before: Clip, after: Clip, part: Shot) -> Iterator[tuple[int, Array, Array]]:
    for a, b in zip(frames(before, part.start, part.stop), frames(after, 0, len(part)), strict=True):
        yield a.index, a.rgb, b.rgb


class _Watch:
    """Follows the swapped face through both clips and books what is measured, by name and second."""

    def __init__(self, reader: Reader, wanted: Identity, clip: Clip, keep: frozenset[int]) -> None:
        self.faces, self.lost = 0, 0
        self.moments: list[FacePair] = []
        self._reader, self._wanted, self._clip, self._keep = reader, wanted, clip, keep
        self._mean = mean_face()
        self._tone = measures.skin_tone(wanted.photos[0], wanted.meshes[0])
        self._is_cut = CutDetector()
        self._mesh: Array | None = None
        self._looked = DETECT_EVERY
        self._steady: list[tuple[Array, Array]] = []
        self._booked: dict[str, list[tuple[float, float]]] = {}

    def see(self, index: int, before: Array, after: Array) -> None:
        """The next frame of both clips."""
        if self._is_cut(before):
            self._mesh, self._steady = None, []
        self._mesh = self._find(before, after)
        if self._mesh is None:
            self._steady = []
            return
        self.faces += 1
        second = self._clip.seconds(index)
        self._see_flicker(second, before, after, self._mesh)
        if index in self._keep:
            self.moments.append(face_pair(second, before, after, self._mesh))
        found = self._reader.follow(after, self._mesh)
        if found is None:
            self.lost += 1
            return
        self._see_performance(second, self._mesh, found.mesh)
        if index % MEASURE_EVERY == 0:
            self._see_person(second, (before, self._mesh), (after, found.mesh))
            self._see_picture(second, before, after, self._mesh)

    def _find(self, before: Array, after: Array) -> Array | None:
        """The mesh of the swapped face in the original: followed, or looked for."""
        self._looked += 1
        known = self._mesh
        if known is not None and self._looked < DETECT_EVERY:
            face = self._reader.follow(before, known)
            if face:
                return face.mesh
        self._looked = 0
        found = self._reader.detect(before)
        return swapped_face(found, before, after, known).mesh if found else None

    def _see_flicker(self, second: float, before: Array, after: Array, mesh: Array) -> None:
        to_crop = geometry.crop_transform(mesh, self._mean, measures.SIDE)
        pair = measures.steady_crop(before, to_crop), measures.steady_crop(after, to_crop)
        self._steady = [*self._steady, pair][-3:]
        if len(self._steady) == 3:
            area = measures.face_area(geometry.apply(to_crop, mesh), (measures.SIDE, measures.SIDE), 0.1)
            for side, name in enumerate(("flicker before", "flicker after")):
                self._book(name, second, measures.flicker([pair[side] for pair in self._steady], area))

    def _see_performance(self, second: float, before: Array, after: Array) -> None:
        self._book("pose_deg", second, measures.pose_angle(before, after, self._mean))
        self._book("expression", second, measures.expression_error(before, after))
        looks = measures.gaze(before), measures.gaze(after)
        if looks[0] is not None and looks[1] is not None:
            self._book("gaze", second, float(np.linalg.norm(looks[0] - looks[1])))
        for part, a, b in zip(("mouth", "eyes"), measures.openings(before), measures.openings(after)):
            self._book(f"{part} before", second, a)
            self._book(f"{part} after", second, b)
            self._book(part, second, abs(a - b))

    def _see_person(self, second: float, before: tuple[Array, Array], after: tuple[Array, Array]) -> None:
        actor, shown = self._reader.embed(*before), self._reader.embed(*after)
        self._book("identity", second, float(shown @ self._wanted.embedding))
        self._book("leak", second, float(shown @ actor))
        self._book("identity_before", second, float(actor @ self._wanted.embedding))
        own, now, were = self._tone, measures.skin_tone(*after), measures.skin_tone(*before)
        if own is not None and now is not None and were is not None:
            self._book("skin_lighter", second, float(now[0] - own[0]))
            if (apart := float(np.linalg.norm(own - were))) >= OTHER_SKIN:
                self._book("skin_own", second, float((now - were) @ (own - were)) / apart**2)

    def _see_picture(self, second: float, before: Array, after: Array, mesh: Array) -> None:
        outside = ~measures.face_area(mesh, before.shape, -0.9)
        self._book("background_db", second, measures.psnr(before, after, outside))
        rows, columns = measures.window_of(mesh, before.shape)
        a, b = before[rows, columns], after[rows, columns]
        own = mesh - np.array([columns.start, rows.start, 0], np.float32)
        inner = measures.face_area(own, a.shape, 0.1)
        if inner.sum() < 50:
            return
        sharp = [measures.sharpness(picture, inner) for picture in (a, b)]
        self._book("sharpness", second, sharp[1] / max(sharp[0], 1e-3))
        self._book("light_de", second, measures.light_difference(a, b, inner))
        bands = [measures.band_energies(picture, inner) for picture in (a, b)]
        if bands[0] is not None and bands[1] is not None:
            self._book("texture_db", second, float(bands[1][0] - bands[0][0]))
            self._book("grain_db", second, float(bands[1][1] - bands[0][1]))

    def _book(self, name: str, second: float, value: float) -> None:
        self._booked.setdefault(name, []).append((second, value))

    def figures(self) -> dict[str, float | None]:
        """One number for each measure over the whole clip."""
        means = {name: self._over(name, np.mean) for name in (
            "identity", "leak", "identity_before", "skin_lighter", "skin_own", "pose_deg", "expression", "gaze",
            "mouth", "eyes", "sharpness", "light_de", "texture_db", "grain_db", "background_db")}  # fmt: skip
        return {
            **means,
            "identity_least": self._over("identity", np.min),
            "flicker": self._ratio("flicker", lambda values: float(np.median(values))),
            "flicker_p95": self._ratio("flicker", lambda values: float(np.percentile(values, 95))),
        }

    def curves(self) -> dict[str, tuple[tuple[float, float], ...]]:
        return {name: tuple(points) for name, points in self._booked.items()}

    def _values(self, name: str) -> Array:
        return np.array([value for _, value in self._booked.get(name, ())])

    def _over(self, name: str, how: Callable[[Array], float]) -> float | None:
        values = self._values(name)
        return float(how(values)) if len(values) else None

    def _ratio(self, name: str, how: Callable[[Array], float]) -> float | None:
        before, after = self._over(f"{name} before", how), self._over(f"{name} after", how)
        return None if before is None or after is None else after / max(before, 1e-3)


def swapped_face(found: Sequence[Face], before: Array, after: Array, known: Array | None) -> Face:
    """Of the faces in the original the one that was swapped: where `known` was, or else where the clips differ most;
    the largest where they hardly differ."""
    if known is not None:
        middle = known[:, :2].mean(0)
        return min(found, key=lambda face: float(np.linalg.norm(face.mesh[:, :2].mean(0) - middle)))

    def change(face: Face) -> float:
        rows, columns = measures.window_of(face.mesh, before.shape)
        return float(cv2.absdiff(before[rows, columns], after[rows, columns]).mean())

    most = max(found, key=change)
    return most if change(most) >= SWAPPED else max(found, key=lambda face: area(face.box))


def face_pair(second: float, before: Array, after: Array, mesh: Array) -> FacePair:
    """The face in both clips, to be looked at."""
    box = geometry.bounds(mesh)
    half = 0.85 * (box[2:] - box[:2]).max()
    zoom = STRIP_SIDE / (2 * half)
    shift = STRIP_SIDE / 2 - zoom * (box[:2] + box[2:]) / 2
    to_strip = np.hstack([np.eye(2) * zoom, shift[:, None]])

    def jpeg(rgb: Array) -> bytes:
        flags = cv2.INTER_AREA if zoom < 1 else cv2.INTER_CUBIC
        strip = cv2.warpAffine(rgb, to_strip, (STRIP_SIDE, STRIP_SIDE), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        return bytes(cv2.imencode(".jpg", cv2.cvtColor(strip, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 88])[1])

    return FacePair(second, jpeg(before), jpeg(after))
