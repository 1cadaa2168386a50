"""A person's own complexion in a scene's light: colours of the selfie without its light, times the light on the actor.

Light is told by the network of swap.light; all is in logarithms, so person x light is a sum, and a picture's values are
multiplied by the exponential over GAMMA. What else of the actor's skin shows - ears, neck - is multiplied by the ratio
of the two complexions, which is one colour a window, so that nothing flickers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from vidswap.face import geometry, landmarks
from vidswap.face.averages import averaged
from vidswap.face.halves import unseen
from vidswap.face.raster import draw_triangles, sampling_map, surface
from vidswap.face.relight import LUMA
from vidswap.face.sampling import corners, sample
from vidswap.face.skin import between_features, face_of, features_free, plain_skin
from vidswap.swap import matte
from vidswap.swap.light import GAMMA, SIDE, SLOW, LightModel
from vidswap.swap.tone import FILM, PHOTO, Tone, colourful, of_a_kind, seen_of, tone_of, voices_of
from vidswap.threads import mapped
from vidswap.types import Array, Crops

AROUND = 2.0  # times the network's crop, in which a photo may have white
BURNT = 0.9  # of white: above it colours begin to go
MOST = 3.0  # most that a complexion differs from another, in logarithms of light: twenty times
ASIDE = 0.025  # share of the side over which the halves of a face differ by light alone
EVEN = 0.85  # of what of a skin is lighter and darker without its light, so much is light that the network missed
SHADE = (-1.4, -0.9)  # logarithms: so much darker than a skin is what is none, and what may be
BRIGHT = -0.9  # logarithm of the light in which a photo's plain skin is kept, at most
GRAIN = 0.5  # of the finest detail of skin, as an exponent
EVERY = 4  # frames, from one to the next of which the network is asked
WELL_LIT, HELD = -0.9, 0.6  # logarithm of the light on skin, above which so much of it is held back
KNEE, WHITE = 176.0, 246.0  # levels between which lit skin is rolled off
FADE = 0.1  # of a crop's side, over which the change ends at its edge
MATTE = 192  # side at which the actor's skin is told from all else


@dataclass(frozen=True, eq=False)
class Bare:
    """A photo without the shape of its light: `photo` (h, w, 3) uint8; `level` (3,) the logarithm of the light it still
    has, `tone` (3,) of the skin's own colour."""

    photo: Array
    level: Array
    tone: Array


@dataclass(frozen=True, eq=False)
class Scenery:
    """What one frame's crop tells: `light` (SIDE, SIDE, 3) logarithm of the light in its middle; `skin` (M, M) float32
    where in all of it the actor's skin is, M being MATTE of the middle and what lies around; `change` (3,) the
    logarithm of the person's colour over the actor's; `hands` (m, m) where what lies before the face is skin too."""

    light: Array
    skin: Array
    change: Array
    hands: Array


def bare(photo: Array, mesh: Array, model: LightModel) -> Bare:
    """A photo (h, w, 3) uint8 with its mesh (478, 3), its light taken off."""
    to_crop = geometry.crop_transform(mesh, model.mean, 2 * SIDE)
    crop = sample(photo, to_crop, 2 * SIDE)
    moved = geometry.apply(to_crop, mesh)
    light, edges = model.light_and_edges(crop, moved)
    tone = tone_of(voices_of(crop, moved, light, surroundings(photo, to_crop)), PHOTO)
    dimmed = tone.told - max(float(tone.seen.max()) - BRIGHT, 0)  # so that nothing comes to lie beyond white
    kept = tone.seen - tone.told + dimmed
    shape = cv2.resize(light + edges - dimmed, (2 * SIDE,) * 2, interpolation=cv2.INTER_LINEAR)
    shape += uneven(crop, moved, shape)[..., None]
    shape += lopsided(crop, moved, shape, model.mean)
    shape -= burnt(crop, moved, shape, np.exp(kept / GAMMA))
    placed = cv2.warpAffine(shape, geometry.invert(to_crop), photo.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)
    flat = photo * np.exp(placed * (-1 / GAMMA))
    return Bare(np.clip(np.rint(flat), 0, 255).astype(np.uint8), kept - tone.own, tone.own)


def surroundings(photo: Array, to_crop: Array) -> Array:
    """(h, w, 3): what a photo shows about the crop (2 SIDE, 2 SIDE), as large as the network would see it."""
    reached = corners(to_crop, 2 * SIDE)
    reached, limits = reached.mean(0) + (reached - reached.mean(0)) * AROUND, np.array(photo.shape[1::-1])
    low = np.clip(np.floor(reached.min(0)), 0, limits - 1).astype(int)
    high = np.clip(np.ceil(reached.max(0)), low + 1, limits).astype(int)
    sides = np.maximum(np.rint((high - low) * min(geometry.zoom_of(to_crop) / 2, 1)), 1).astype(int)
    return np.asarray(cv2.resize(photo[low[1] : high[1], low[0] : high[0]], sides, interpolation=cv2.INTER_AREA))


def uneven(crop: Array, mesh: Array, shape: Array) -> Array:
    """(S, S) what the logarithm of a crop's light needs besides: without the `shape` (S, S, 3) of its light, plain skin
    is still lighter here than there, which a skin hardly is."""
    size, off = len(crop), off_skin(_flat(crop, shape), mesh)
    skin = face_of(mesh, size) * between_features(mesh, size)
    missed = averaged(off, skin * light_as_skin(off), SLOW * size, least=0.01)
    return np.asarray(EVEN * missed * cv2.GaussianBlur(skin, (0, 0), size / 128), np.float32)


def lopsided(crop: Array, mesh: Array, shape: Array, mean: Array) -> Array:
    """(S, S, 3) what the logarithm of a crop's light needs besides: without the `shape` (S, S, 3) of its light, a half
    of a face is still lighter, or of another hue, than the other; each takes half of that. `mean` is the mean face. Of
    who looks aside nothing is told so."""
    size, triangles = len(crop), landmarks.triangles()
    form = surface(mean, triangles)
    if unseen(mesh, form) is not None:
        return np.zeros_like(shape)
    face, flat = face_of(mesh, size), _flat(crop, shape)
    counts = face * between_features(mesh, size) * light_as_skin(off_skin(flat, mesh))
    seen = draw_triangles(mesh[:, :2], mesh[:, 2], triangles, size)
    places = sampling_map(seen, mesh[:, :2], mesh[form.opposite, :2], triangles)
    mirrored = cv2.remap(np.dstack([flat, counts]), places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    both = counts * mirrored[..., 3] * (seen >= 0)
    missed = averaged(flat - mirrored[..., :3], both, ASIDE * size, least=0.01)
    return np.asarray(missed / 2 * cv2.GaussianBlur(face, (0, 0), size / 128)[..., None], np.float32)


def _flat(crop: Array, shape: Array) -> Array:
    """(S, S, 3) the logarithm of a crop's light without the `shape` of that."""
    return np.asarray(GAMMA * np.log(crop.astype(np.float32) / 255 + 0.01) - shape)


def off_skin(flat: Array, mesh: Array) -> Array:
    """(S, S) how much lighter than plain skin each pixel of a `flat` crop (S, S, 3) is."""
    luma = flat @ LUMA
    return np.asarray(luma - np.median(luma[plain_skin(mesh, len(flat))]))


def light_as_skin(off: Array) -> Array:
    """(S, S) 0 to 1: what is `off` skin by less than hair is."""
    return np.asarray(np.clip((off - SHADE[0]) / (SHADE[1] - SHADE[0]), 0, 1))


def burnt(crop: Array, mesh: Array, shape: Array, skin: Array) -> Array:
    """(S, S, 3) what the logarithm of a crop's light needs besides, where skin is so bright that the camera told no
    colour: without the `shape` (S, S, 3) of its light it takes the hue of `skin` (3,), in 0 to 1."""
    size = len(crop)
    values = crop.astype(np.float32) / 255
    share = np.clip((values.max(-1) - BURNT) / (1 - BURNT), 0, 1) * face_of(mesh, size) * features_free(mesh, size)
    flat = values * np.exp(shape * (-1 / GAMMA))
    bright = flat.mean(-1, keepdims=True) / skin.mean()
    wanted = skin * np.clip(bright, 0.85, 1.1)
    more = GAMMA * np.log((wanted + 0.02) / (flat + 0.02))
    return np.asarray(cv2.GaussianBlur(more * share[..., None], (0, 0), size / 200), np.float32)


def mattes(wide: Crops, before: Sequence[Array], size: int, threads: int) -> list[tuple[Array, Array]]:
    """Where the actor's skin is in each of a window's crops, and where hands are among what lies `before` (S, S) the
    face, as Scenery has them, found by so many threads; `size` is the side of the crops' middle."""
    side = MATTE * wide.rgb.shape[1] // size
    looks = matte.skin_looks(wide, side)

    def one(row: int) -> tuple[Array, Array]:
        crop = wide.rgb[row]
        skin = matte.skin_matte(crop, wide.mesh[row], side, looks)
        return skin, matte.hands(crop, before[row], side // 2, looks)

    return mapped(one, range(len(wide)), threads)


def scenery(crops: Crops, skins: Sequence[tuple[Array, Array]], tone: Array, model: LightModel) -> list[Scenery]:
    """What a window's crops tell, whose `skins` are from `mattes`, for a person whose skin is `tone` (3,). The actor's
    colour is the same in all frames, so what is thought of it is averaged, and the light follows."""
    told = followed(crops, model)
    tones = [tone for _, tone in told]
    actor = np.mean([each.own for each in tones], 0)
    change = np.clip(tone - actor, -MOST, MOST)
    seen = np.mean([each.seen for each in tones], 0)
    change = change.mean() + (change - change.mean()) * np.mean([colourful(each.seen) for each in tones])
    change = of_a_kind(seen + change, seen, tone, actor) - seen
    bright = float(seen.mean() + change.mean())
    change -= max(bright - WELL_LIT, 0) * HELD  # cameras and colourists keep fair skin below white
    light_of = change - tone  # of what is seen of the actor: the person's in it is then the actor's, changed
    return [
        Scenery((light + (one.seen - one.told + light_of)).astype(np.float32), skin, change, hands)
        for (light, one), (skin, hands) in zip(told, skins, strict=True)
    ]


def followed(crops: Crops, model: LightModel) -> list[tuple[Array, Tone]]:
    """The light (SIDE, SIDE, 3) and the tone of each frame of a window. The network is asked in every EVERY-th and the
    last; between these its light is, by its shape, between theirs, and as bright as the skin is."""
    last = len(crops) - 1
    asked = {}
    for row in sorted({*range(0, last, EVERY), last}):
        light = model.light(crops.rgb[row], crops.mesh[row])
        asked[row] = light, tone_of(voices_of(crops.rgb[row], crops.mesh[row], light), FILM)
    return [asked.get(row) or _between(asked, crops, row) for row in range(len(crops))]


def _between(asked: dict[int, tuple[Array, Tone]], crops: Crops, row: int) -> tuple[Array, Tone]:
    """As `followed`, of a row between two that the network was asked in."""
    first = row - row % EVERY
    second = min(first + EVERY, len(crops) - 1)
    share = (row - first) / (second - first)
    (light, one), (other_light, other) = asked[first], asked[second]
    told, own = (a + (b - a) * share for a, b in ((one.told, other.told), (one.own, other.own)))
    light = light + (other_light - light) * share
    return light, Tone(seen_of(crops.rgb[row], crops.mesh[row], light, told), told, own)


def handed(crop: Array, told: Scenery, kept: Array, picture: Array, alpha: Array) -> tuple[Array, Array]:
    """A picture (S, S, 3) uint8 to be laid over a crop by `alpha` (S, S), but not over what is `kept` of it (S, S): and
    with hands, which take the person's complexion as all of the actor's skin does."""
    free = np.asarray(alpha * (1 - kept))
    if not told.hands.any():
        return picture, free
    hands = kept * middle(_full(told.hands, len(crop) * len(told.skin) // MATTE), len(crop))
    new = changed(crop, told.change, np.ones_like(hands))
    return np.asarray(cv2.blendLinear(picture, new, free, hands)), free + hands


def middle(plane: Array, side: int) -> Array:
    """The square of `side` in the middle of a picture (S, S, ...)."""
    edge = (len(plane) - side) // 2
    return plane[edge : edge + side, edge : edge + side]


def framed(crops: Crops, size: int) -> Crops:
    """The middle of a window's crops, `size` wide: what the window would be without a margin."""
    margin = (crops.rgb.shape[1] - size) // 2
    if not margin:
        return crops
    part = np.s_[:, margin : margin + size, margin : margin + size]
    back = crops.to_frame.copy()
    back[:, :, 2] += back[:, :, :2].sum(2) * margin
    mesh = crops.mesh - np.array([margin, margin, 0], np.float32)
    return replace(crops, rgb=crops.rgb[part], mask=crops.mask[part], mesh=mesh, to_frame=back)


def changed(picture: Array, change: Array, skin: Array) -> Array:
    """A picture (S, S, 3) uint8 whose `skin` (S, S) float32 is multiplied by the exponential of `change` (3,)."""
    levels = np.arange(256, dtype=np.float32)[:, None]
    table = np.rint(rolled_off(levels * np.exp(change / GAMMA), levels)).astype(np.uint8)[None]
    return np.asarray(cv2.blendLinear(cv2.LUT(picture, table), picture, skin, 1 - skin))


def grained(change: Array) -> float:
    """How many times the finest detail of skin that took a `change` (3,) there should be: what of it is the camera's
    grain and sharpening does not grow darker or lighter with it."""
    return float(np.exp(change.mean() * (-GRAIN / GAMMA)))


def rolled_off(values: Array, were: Array) -> Array:
    """Levels (float32, 0 to beyond white) as film shows them: what becomes brighter than it `were`, and than KNEE,
    comes near white, not to it, so that lit skin keeps its shape where a fairer one would burn out."""
    bright = (values > KNEE) & (values > were)
    if not bright.any():
        return values
    room, shown = WHITE - KNEE, values.copy()
    shown[bright] = np.maximum(
        WHITE - room * np.exp((KNEE - values[bright]) / room), np.broadcast_to(were, values.shape)[bright]
    )
    return shown


def shown(skin: Array, size: int) -> Array:
    """(size, size) float32: where a matte `skin` (m, m) says that a picture has changed."""
    return _cover(_full(skin, size))


def _full(skin: Array, size: int) -> Array:
    return np.asarray(cv2.resize(skin, (size, size), interpolation=cv2.INTER_LINEAR))


def _cover(skin: Array) -> Array:
    return np.asarray(np.clip(skin * 4 - 0.1, 0, 1), np.float32)


def surrounded(crop: Array, told: Scenery, picture: Array, alpha: Array) -> tuple[Array, Array]:
    """A crop (S, S, 3) uint8 whose skin changed, with a `picture` (s, s, 3) in its middle, and how much of it to lay
    over the frame (S, S): in the middle `alpha` (s, s), around it the skin, less and less towards the crop's edge."""
    size, rgb = len(crop), crop.copy()
    skin, part = _full(told.skin, size), _around(told.skin, size)
    cover = _cover(skin)
    rgb[part] = changed(crop[part], told.change, skin[part])
    middle(rgb, len(picture))[:], middle(cover, len(picture))[:] = picture, alpha
    step = np.minimum(np.arange(size), np.arange(size)[::-1]) / (FADE * size)
    edge = np.clip(step, 0, 1).astype(np.float32)
    edge = edge * edge * (3 - 2 * edge)
    return rgb, cover * edge[:, None] * edge[None]


def _around(skin: Array, size: int) -> tuple[slice, slice]:
    """The rows and columns of a picture (size, size) outside of which a matte (m, m) is 0."""
    scale = size / len(skin)

    def span(axis: int) -> slice:
        found = np.flatnonzero(skin.max(axis))
        return slice(max(int((found[0] - 1) * scale), 0), int((found[-1] + 2) * scale)) if len(found) else slice(0)

    return span(1), span(0)
