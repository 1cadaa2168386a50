"""What is measured: the measures as arrays in, numbers out, and what their figures mean. The one place for a new one.

Pictures are (H, W, 3) uint8 RGB, meshes (478, 3) pixels; always the original first, then the swapped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from math import inf

import numpy as np

from vidswap.face import geometry, landmarks
from vidswap.face.movement import kept, slope
from vidswap.measure.pixels import eye_distance, flicker, light_difference, psnr, seam, sharpness
from vidswap.types import Array

MOVING = np.array([61, 291, 13, 14, 78, 308, 0, 17, 37, 267, 84, 314,  # lips
                   33, 133, 159, 145, 263, 362, 386, 374,  # eyes
                   70, 63, 105, 66, 107, 336, 296, 334, 293, 300])  # brows  # fmt: skip
SHUT = 0.12  # opening of an eye over its width, below which nobody sees where it looks
OTHER_SKIN = 8.0  # dE between the cheeks of actor and photo, from which on it can be told whose complexion is seen
NOW_AND_THEN = 3  # frames between the slow measures


@dataclass(frozen=True)
class Figure:
    """One number for a clip or a shot, made by `over` of a measure's values at all moments, (N,) or (N, 2); from `low`
    to `high` it is good, and what is `wrong` where it is lower, or higher. `meant`: that may be what was asked for."""

    name: str
    title: str
    words: str
    low: float = -inf
    high: float = inf
    wrong: tuple[str, str] = ("", "")
    over: Callable[[Array], float | None] = np.mean
    meant: bool = False

    def verdict(self, value: float) -> str:
        """What is wrong, or "good"; "" where a figure is neither."""
        if not self.wanted:
            return ""
        return self.wrong[0] if value < self.low else self.wrong[1] if value > self.high else "good"

    @property
    def wanted(self) -> str:
        """Which values are good; "" where any is."""
        if self.low == -inf:
            return "" if self.high == inf else f"at most {self.high:g}"
        return f"at least {self.low:g}" if self.high == inf else f"{self.low:g} to {self.high:g}"

    def alone(self, values: Array) -> tuple[Array, Array]:
        """What the figure is of each moment alone, and by how much that is off what is good, (N,) both; where only
        many moments tell it (a slope), how far apart each one's two numbers are, twice."""
        told = [self.over(row) for row in values[:, None]]
        if any(each is None for each in told):
            apart = np.abs(values[:, 0] - values[:, 1])
            return apart, apart
        each = np.array(told, np.float64)
        return each, np.maximum(self.low - each, each - self.high)


@dataclass(frozen=True)
class Measure:
    """A number at each moment, or two (the original's and the swap's): `of` what it `needs`, fields of an Instant,
    `every` so many frames; not where one of these is None, or the answer is. `figures` say what the numbers mean;
    `graph` stands over their curve in the page, measures of the same share one."""

    needs: tuple[str, ...]
    of: Callable[..., float | tuple[float, float] | None]
    figures: tuple[Figure, ...]
    every: int = 1
    graph: str = ""

    @property
    def name(self) -> str:
        """That of its first figure."""
        return self.figures[0].name

    @property
    def asks_photos(self) -> bool:
        """Whether it is measured on the photos as well: it says little of a person whom others play."""
        return any(need.endswith("wanted") for need in self.needs)


def pose_angle(before: Array, after: Array, mean: Array) -> float:
    """Degrees by which the head is turned otherwise; `mean` is the mean face (478, 3)."""
    turn = geometry.face_pose(before, mean).rotation.T @ geometry.face_pose(after, mean).rotation
    return float(np.degrees(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1))))


def expression_error(before: Array, after: Array) -> float:
    """Mean distance of lips, eyes and brows once the rigid points lie on one another, over the eye distance."""
    scale, rotation, shift = geometry.fit_pose(before[landmarks.RIGID], after[landmarks.RIGID])
    moved = scale * before[MOVING] @ rotation.T + shift
    return float(np.linalg.norm(moved[:, :2] - after[MOVING, :2], axis=1).mean() / eye_distance(after))


def smile_kept(*moved: Mapping[str, float]) -> float | None:
    """Which share of a photo's smile is seen where the actor smiles less: movements of photo, original and swap."""
    photo, before, after = (each["smile"] for each in moved)
    return kept(photo, before, after)


def repeated(name: str, title: str) -> Measure:
    """How much of one of the actor's MOVEMENTS is repeated, as their slope."""
    words = ("How far it moves where the actor's moves by one: 1 is all of it. Not told of who keeps still; a redrawn "
             "face seems to move a little less than it does.")  # fmt: skip
    wrong = (f"{title.lower()} hardly moves", f"{title.lower()} moves too far")
    return Measure(("moved_before", "moved_after"), lambda before, after: (before[name], after[name]), (
        Figure(f"moves_{name}", f"Movement: {title.lower()}", words, low=0.7, high=1.25, wrong=wrong, over=slope),
    ))  # fmt: skip


def openings(mesh: Array) -> tuple[float, float]:
    """How far the mouth and the eyes (their mean) are open, over the eye distance."""
    pairs = (landmarks.LIP_MIDDLES, *landmarks.LID_MIDDLES)
    mouth, left, right = (np.linalg.norm(mesh[upper] - mesh[lower]) for upper, lower in pairs)
    return float(mouth) / eye_distance(mesh), float(left + right) / 2 / eye_distance(mesh)


def gaze(mesh: Array) -> Array | None:
    """(2,) where the irises are between the corners of the eyes, along and across the line between these, over the
    width of an eye, both eyes' mean: (0, 0) is straight ahead. None where they are shut."""
    found = []
    for iris, (left, right), (upper, lower) in zip(landmarks.IRISES, landmarks.EYE_CORNERS, landmarks.LID_MIDDLES):
        across = np.subtract(*mesh[[*landmarks.OUTER_CORNERS], :2])
        along = -across / max(float(np.linalg.norm(across)), 1e-6)
        wide = max(float(np.linalg.norm(mesh[left, :2] - mesh[right, :2])), 1e-6)
        if np.linalg.norm(mesh[upper, :2] - mesh[lower, :2]) < SHUT * wide:
            continue
        away = mesh[iris, :2].mean(0) - (mesh[left, :2] + mesh[right, :2]) / 2
        found.append([away @ along / wide, away @ np.array([-along[1], along[0]]) / wide])
    return np.mean(found, axis=0) if found else None


def gaze_error(before: Array, after: Array) -> float | None:
    """How far the irises are from where the original's are; None where eyes are shut."""
    looks = gaze(before), gaze(after)
    return None if looks[0] is None or looks[1] is None else float(np.linalg.norm(looks[0] - looks[1]))


def own_share(own: Array, before: Array, after: Array) -> float | None:
    """Where cheeks lie between the actor's colour, 0, and the photo's `own`, 1; None where these are too near."""
    apart = float(np.linalg.norm(own - before))
    return float((after - before) @ (own - before)) / apart**2 if apart >= OTHER_SKIN else None


def both_flickers(run: Array, area: Array) -> tuple[float, float]:
    """Flicker of each in three moments in a row, (3, 2, SIDE, SIDE)."""
    return flicker(run[:, 0], area), flicker(run[:, 1], area)


# -- figures of a clip -------------------------------------------------------------------------------------------------


def apart(values: Array) -> float:
    """Mean difference of (N, 2)."""
    return float(np.abs(values[:, 0] - values[:, 1]).mean())


def ratio_at(values: Array, percent: float) -> float:
    """One percentile of the second of (N, 2) over that of the first."""
    before, after = np.percentile(values, percent, axis=0)
    return float(after / max(before, 1e-3))


ALIKE, MEASURED = "Likeness to the photo, and to the actor", ("close_before", "close_after", "inner")
MEASURES = (
    Measure(("shown", "wanted"), np.dot, (
        Figure("identity", "Likeness to the photo", "Cosine between the new face and the photo, as the face recogniser "
               "sees them: 1 is the same picture; one pair of strangers in twenty gets more than 0.45. The mean over "
               "the clip.", low=0.6, wrong=("hardly the person", "")),
        Figure("identity_least", "Likeness, worst moment", "The same, where it is lowest.",
               low=0.4, wrong=("a stranger at times", ""), over=np.min),
    ), NOW_AND_THEN, ALIKE),
    Measure(("shown", "actor"), np.dot, (
        Figure("leak", "Likeness to the actor", "How much of the original actor still shines through: it should come "
               "near to how alike actor and photo were before.", high=0.6, wrong=("", "still the actor")),
    ), NOW_AND_THEN, ALIKE),
    Measure(("actor", "wanted"), np.dot, (
        Figure("identity_before", "Actor and photo", "How alike the two were before: for comparison."),
    ), NOW_AND_THEN),
    Measure(("skin_wanted", "skin_before", "skin_after"), own_share, (
        Figure("skin_own", "Whose complexion", "Where the cheeks lie between the actor's colour, 0, and the photo's, "
               "1. Not told where the two hardly differ; the scene's light moves it as well.",
               low=0.6, high=1.4, wrong=("the actor's complexion", "overdone")),
    ), NOW_AND_THEN),
    Measure(("skin_wanted", "skin_after"), lambda own, after: after[0] - own[0], (
        Figure("skin_lighter", "Skin, lighter than in the photo", "Cheeks of the swap less those of the photo, in L* "
               "(0 is black, 100 white). A dark scene darkens it rightly; nothing should pale anybody.",
               low=-25.0, high=10.0, wrong=("darkened skin", "paled skin")),
    ), NOW_AND_THEN),
    Measure(("mesh", "found", "mean"), pose_angle, (
        Figure("pose_deg", "Head pose", "Degrees by which the head is turned otherwise than the actor's.",
               high=4.0, wrong=("", "a head turned otherwise")),
    ), graph="Head pose, degrees apart"),
    Measure(("mesh", "found"), expression_error, (
        Figure("expression", "Expression", "How far lips, eyes and brows lie from the actor's, as a share of the "
               "distance between the eyes. A new face shape alone makes some of it.",
               high=0.05, wrong=("", "another expression")),
    )),
    Measure(("mesh", "found"), gaze_error, (
        Figure("gaze", "Gaze", "How far the irises lie from where the actor's are between the corners of the eyes, as "
               "a share of an eye's width: 0.1 is some ten degrees to the side.", high=0.06, wrong=("", "lost gaze")),
    )),
    Measure(("mesh", "found"), lambda a, b: (openings(a)[0], openings(b)[0]), (
        Figure("mouth", "Opening of the mouth", "Difference to the actor's, as a share of the eye distance.",
               high=0.03, wrong=("", "a mouth that does not follow"), over=apart),
    ), graph="Opening of the mouth, original and swap"),
    Measure(("mesh", "found"), lambda a, b: (openings(a)[1], openings(b)[1]), (
        Figure("eyes", "Opening of the eyes", "Difference to the actor's: blinks are kept when it is small.",
               high=0.02, wrong=("", "lids that do not follow"), over=apart),
    ), graph="Opening of the eyes, original and swap"),
    *(repeated(name, title) for name, title in (
        ("brows", "Brows"), ("lids", "Lids"), ("jaw", "Jaw"), ("corners", "Corners of the mouth"),
        ("pucker", "Width of the mouth"), ("gaze", "Gaze aside"),
    )),
    Measure(("moved_wanted", "moved_before", "moved_after"), smile_kept, (
        Figure("smile_kept", "The photo's smile", "Which share of it is seen where the actor smiles less: 0 is none. "
               "Not told where the photo hardly smiles more.", high=0.4, wrong=("", "the photo's smile")),
    )),
    Measure(("run", "run_area"), both_flickers, (
        Figure("flicker", "Flicker", "Unrest of the face from frame to frame, swap over original: 1 is as calm as the "
               "original, more flickers, less is blurred or frozen.",
               low=0.8, high=1.3, wrong=("frozen or blurred", "flicker"), over=partial(ratio_at, percent=50)),
        Figure("flicker_p95", "Flicker, worst frames", "The same for the restless twentieth of the frames.",
               low=0.7, high=1.5, wrong=("frozen or blurred", "flicker at times"), over=partial(ratio_at, percent=95)),
    ), graph="Unrest of the face, original and swap"),
    Measure(MEASURED, lambda a, b, area: sharpness(b, area) / max(sharpness(a, area), 1e-3), (
        Figure("sharpness", "Sharpness", "Fine detail inside the face, swap over original.",
               low=0.8, high=1.3, wrong=("softer than the scene", "sharper than the scene")),
    ), NOW_AND_THEN, "Sharpness, swap over original"),
    Measure(MEASURED, light_difference, (
        Figure("light_de", "Light and skin tone", "Colour difference (dE) of the coarse light on the face; some two "
               "are just visible. Another skin tone that is meant counts here too.",
               high=6.0, wrong=("", "other light or skin than the actor's"), meant=True),
    ), NOW_AND_THEN, "Light, dE"),
    Measure(("before", "after", "mesh"), seam, (
        Figure("seam_de", "Edge of the face", "How much larger the step of colour (dE) across the rim of the face is, "
               "where skin goes on beyond it: a mask's edge. What changes on both sides does not count.",
               high=3.0, wrong=("", "a mask's edge")),
    ), NOW_AND_THEN),
    Measure(("bands_before", "bands_after"), lambda a, b: b[0] - a[0], (
        Figure("texture_db", "Texture", "Strength of fine texture against the original, in decibels.",
               low=-3.0, high=3.0, wrong=("smoothed skin", "rougher skin")),
    ), NOW_AND_THEN),
    Measure(("bands_before", "bands_after"), lambda a, b: b[1] - a[1], (
        Figure("grain_db", "Grain", "Strength of the film grain on the face against the original, in decibels.",
               low=-3.0, high=3.0, wrong=("without the film's grain", "grainier than the film")),
    ), NOW_AND_THEN),
    Measure(("before", "after", "outside"), psnr, (
        Figure("background_db", "Everything else", "How unchanged the picture is away from the face: PSNR in decibels, "
               "99 is untouched.", low=38.0, wrong=("changed beyond the face", "")),
    ), NOW_AND_THEN),
)  # fmt: skip
TIMING = Figure("timing_ms", "Timing", "The largest difference of the times of the frames, by the clock of the sound, "
                "milliseconds.", high=0.5, wrong=("", "pictures at other times"))  # fmt: skip
