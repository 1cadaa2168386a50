"""Of the colour of a face in a picture, what is the skin's own, and what is its light's. Logarithms of linear light.

No picture tells for sure. What speaks of the light is weighed as it was found to on generated faces put into light of
known level and tint (least squares; benchmarks/tone.py): how bright and of which hue the brightest is, which a camera
or a colourist makes white; the whites of the eyes; what the network of swap.light says; the skin itself. And what is
left must be a colour that skin has.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt, tanh

import cv2
import numpy as np

from vidswap.face import geometry, landmarks
from vidswap.face.skin import face_of, plain_skin
from vidswap.swap.light import DARKEST, GAMMA, SIDE, shrunk
from vidswap.types import Array

CLIPPED = 0.985  # of white: light that a camera no longer tells
BRIGHTEST, TINTED, WHITES = 0.98, 0.95, 0.8  # quantiles: of a picture, what is white in it; of eyes
FEWEST, FEW_OF_SKIN = 4, 32  # pixels of an eye, of skin, that tell anything
DULL = 0.75  # share of plain skin that hardly ever shines: a forehead is half of it
# CIE L*, a*, b* of skin in plain light, from very dark to very fair (about Xiao et al. 2017, Skin Res. Technol. 23)
SKINS = np.array([[24, 8, 9], [32, 10.5, 13], [40, 12.5, 17], [50, 13, 20], [60, 12, 20], [67, 10, 17], [74, 8, 14]])
LIGHTNESS = (22.0, 70.0)  # L* of skins: a face that is said to be fairer was lit more
SAME = 0.7  # of the usual colour of skin: less is a grade, not a pale person
RICH, STRANGE = 24.0, 6.0  # no skin is farther from the usual than that in its saturation, in its hue
OWN_HUE = 0.5  # of how hues differ from the usual so much is the skins': pictures' vary that much more than skins do
TURNED = 0.07  # radians that the hue of a skin in a scene is bluer than the actor's there makes likely, at most


@dataclass(frozen=True)
class Weights:
    """How much each voice counts for the level of light: how bright are the `white` of the picture, that of the `eyes`,
    the light that the network has `told` of, and the skin as `seen`, and how unequal over the face are that light
    (`shaped`) and the picture (`varied`); `usual` comes on top. Of how a skin's hue differs from what is usual, `hue`
    is its own; by how much it is darker than DEEP, it is by the share `deeper` more."""

    white: float
    eyes: float
    told: float
    seen: float
    varied: float
    shaped: float
    usual: float
    hue: float
    deeper: float = 0.0


# for photos so that dark and fair people stay as far apart as they are, on average of faces in their own light
PHOTO = Weights(white=0.40, eyes=0.08, told=0.50, seen=-0.45, varied=0.42, shaped=-0.40, usual=-0.66, hue=1.0)
# of films, which are graded; these voices hardly heed the skin, so dark skin comes out as half as dark as in a photo
FILM = Weights(white=0.10, eyes=0.05, told=0.75, seen=0.0, varied=0.0, shaped=0.0, usual=-0.25, hue=0.3, deeper=0.4)
DEEP = -1.4  # logarithm of the skin's level from which on down it is stretched
TINTS = (0.15, 0.07, 0.2)  # how much the hues of the picture's white, the eyes' and the network's count
WARM = np.array([[0.23, -0.02, -0.21], [0.30, -0.05, -0.25], [0.03, -0.03, 0.0]])  # what these usually are


@dataclass(frozen=True, eq=False)
class Voices:
    """What speaks of the light on a face, logarithms (3,): medians of its skin as it is `seen`, and of the light that
    the network has `told` of on what of it is plain; the brightest of the picture, `white`, and of the `eyes`; and how
    unequal over the face are the picture (`varied`) and that light (`shaped`)."""

    seen: Array
    told: Array
    white: Array
    eyes: Array
    varied: float
    shaped: float


@dataclass(frozen=True, eq=False)
class Tone:
    """Of plain skin, medians (3,): the colour that is `seen`, the light that the network has `told` of, and what of the
    seen is its `own`."""

    seen: Array
    told: Array
    own: Array


def voices_of(crop: Array, mesh: Array, light: Array, around: Array | None = None) -> Voices:
    """Of a face in its crop (S, S, 3) uint8 with its mesh (478, 3), where the network says `light` (SIDE, SIDE, 3);
    `around` (h, w, 3) uint8 is what else of the picture may have white in it, if not the crop."""
    placed = geometry.apply(geometry.enlarge(SIDE / len(crop)), mesh)
    logs, known = _plainly(shrunk(crop), placed)
    told = np.median(light[known], 0)
    seen = _dull(logs - light + told, known)
    face = face_of(placed, SIDE) > 0.5
    varied, shaped = (float(each[face].mean(-1).std()) if face.any() else 0.0 for each in (logs, light))
    white = white_of(logs if around is None else _logs(around))
    return Voices(seen, told, white, eyes_of(logs, placed, seen), varied, shaped)


def tone_of(voices: Voices, weights: Weights) -> Tone:
    """The tone of a face of which these speak."""
    said = level_of(np.stack([voices.white, voices.eyes, voices.told]), weights)
    level = said + weights.seen * voices.seen.mean() + weights.varied * voices.varied + weights.shaped * voices.shaped
    own = voices.seen - level
    return Tone(voices.seen, voices.told, likely(own + weights.deeper * min(own.mean() - DEEP, 0.0), weights.hue))


def seen_of(crop: Array, mesh: Array, light: Array, told: Array) -> Array:
    """(3,) Tone.seen alone, see `voices_of`: the middle of plain skin, but for the lightest of it, which shines, as if
    it were lit alike: by the shape of its `light` (SIDE, SIDE, 3), which is `told` (3,)."""
    logs, known = _plainly(shrunk(crop), geometry.apply(geometry.enlarge(SIDE / len(crop)), mesh))
    return _dull(logs - light + told, known)


def _dull(even: Array, known: Array) -> Array:
    """(3,) the middle of what is `known` of an evenly lit picture (SIDE, SIDE, 3), but for what shines."""
    even = even[known]
    dull = np.argsort(even.mean(-1), kind="stable")[: max(1, round(DULL * len(even)))]
    return np.asarray(np.median(even[dull], 0))


def _logs(values: Array) -> Array:
    return np.asarray(np.log((values.astype(np.float32) / 255) ** GAMMA + DARKEST))


def _plainly(small: Array, placed: Array) -> tuple[Array, Array]:
    """Logarithms of a picture (SIDE, SIDE, 3) uint8, and where in it plain skin is that a camera told the colour of,
    bool."""
    skin = plain_skin(placed, SIDE)
    known = skin & (cv2.max(cv2.max(small[..., 0], small[..., 1]), small[..., 2]) < 255 * CLIPPED)
    if known.sum() < FEW_OF_SKIN:
        known = skin if skin.any() else np.ones_like(skin)
    return _logs(small), known


def level_of(voices: Array, weights: Weights) -> Array:
    """(3,) the light on a face, by what the white of the picture, that of the eyes, and the network say (3, 3)."""
    bright = voices.mean(1)
    tint = voices - bright[:, None] - WARM
    return np.asarray((weights.white, weights.eyes, weights.told) @ bright + weights.usual + np.array(TINTS) @ tint)


def white_of(logs: Array) -> Array:
    """(3,) how bright the brightest of a picture (h, w, 3) is, with the hue of all that is nearly so."""
    hue = np.quantile(logs.reshape(-1, 3), TINTED, axis=0)
    return np.asarray(hue - hue.mean() + np.quantile(logs.mean(-1), BRIGHTEST))


def eyes_of(logs: Array, mesh: Array, otherwise: Array) -> Array:
    """(3,) the brightest of the eyes in a picture (h, w, 3), by a mesh in its pixels; `otherwise` where they are too
    small."""
    eyes = np.zeros(logs.shape[:2], np.uint8)
    for lids in landmarks.EYES:
        cv2.fillPoly(eyes, [np.round(mesh[lids, :2]).astype(np.int32)], 1)
    found = logs[eyes > 0]
    if len(found) <= FEWEST:
        return otherwise
    bright = found.mean(-1)
    return np.asarray(found[bright >= np.quantile(bright, WHITES)].mean(0))


def colourful(seen: Array) -> float:
    """How colourful a scene is, from 0 to 1: what is left in it of the colour that skin as light as the `seen` (3,)
    has. Less than SAME of it is taken for the scene's doing, and by half in logarithms."""
    lab = lab_of(seen)
    usual = usual_hue(float(lab[0]))
    left = float(np.linalg.norm(lab[1:])) / float(np.linalg.norm(usual))
    return sqrt(min(left / SAME, 1.0))


def usual_hue(light: float) -> Array:
    """(2,) a* and b* of skins of an L*."""
    return np.array([np.interp(light, SKINS[:, 0], SKINS[:, k]) for k in (1, 2)])


def lab_of(tone: Array) -> Array:
    """(3,) CIE L*, a*, b* of a colour (3,)."""
    return np.asarray(cv2.cvtColor(np.exp(tone)[None, None].astype(np.float32), cv2.COLOR_LRGB2LAB)[0, 0])


def of_a_kind(shown: Array, seen: Array, own: Array, actor: Array) -> Array:
    """The colour (3,) in which a skin that is `own` is `shown` in a scene, where the `actor`'s is `seen`: its hue is as
    far from theirs as in plain light, or nearer to yellow, or nearer to blue by TURNED at most. A grade or a blush that
    is taken for coloured light would turn pale skin lilac."""
    of = [lab_of(each) for each in (shown, seen, own, actor)]
    shown_at, seen_at, own_at, actor_at = (float(np.arctan2(lab[2], lab[1])) for lab in of)
    hue, rich = max(shown_at, seen_at + own_at - actor_at - TURNED), float(np.linalg.norm(of[0][1:]))
    return _linear(np.array([of[0][0], rich * np.cos(hue), rich * np.sin(hue)]))


def _linear(lab: Array) -> Array:
    """(3,) the logarithm of a colour in CIE L*, a*, b*."""
    light = cv2.cvtColor(lab[None, None].astype(np.float32), cv2.COLOR_LAB2LRGB)[0, 0]
    return np.asarray(np.log(np.maximum(light, DARKEST)))


def likely(tone: Array, hue: float) -> Array:
    """A skin's colour (3,) as a skin can be: of what its colour differs from the usual the share `hue`, within limits,
    which are narrow across saturation: skins differ in that more than in hue."""
    lab = lab_of(tone)
    light = float(np.clip(lab[0], *LIGHTNESS))
    usual = usual_hue(light)
    along = usual / np.linalg.norm(usual)
    across = np.array([along[1], -along[0]])
    rich, strange = (float((lab[1:] - usual) @ way) * hue for way in (along, across))
    found = usual + _within(rich, RICH) * along + _within(strange * OWN_HUE, STRANGE) * across
    return _linear(np.array([light, *found]))


def _within(value: float, most: float) -> float:
    return most * tanh(value / most)
