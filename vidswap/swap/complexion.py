"""A person's own complexion in a scene's light: colours of the selfie without its light, times the light on the actor.

Light is told by the network of swap.light; all is in logarithms, so person x light is a sum, and a picture's values are
multiplied by the exponential over GAMMA. What else of the actor's skin shows - ears, neck - is multiplied by the ratio
of the two complexions, which is one colour a window, so that nothing flickers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from vidswap.face import geometry, landmarks
from vidswap.face.raster import filled
from vidswap.swap.light import DARKEST, GAMMA, SIDE, LightModel, shrunk
from vidswap.types import Array, Crops

# Plain skin of the 478 points: between brows and hairline, cheeks, chin; no feature, no rim.
PLAIN = ((67, 109, 10, 338, 297, 299, 296, 336, 9, 107, 66, 69), (50, 101, 118, 117, 123, 147, 187, 205, 36),
         (280, 330, 347, 346, 352, 376, 411, 425, 266), (199, 208, 428, 200))  # fmt: skip
JAW = np.array([136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365])
LIT = 0.7  # so much of a face is darker than what its light is said to be
BURNT = 0.9  # of white: above it colours begin to go
CLIPPED = 0.985  # of white: light that a camera no longer tells
MOST = 3.0  # most that a complexion differs from another, in logarithms of light: twenty times
BRIGHT = -0.9  # logarithm of the light in which a photo's plain skin is kept, at most
MIDDLE, TAKEN_BACK = -1.45, 0.25  # logarithm of a skin that is exposed as it is; share of what is more or less
RANGE = (-3.3, -0.75)  # logarithms of skins, from very dark to very fair
# CIE L*, a*, b* of skin in plain light, from very dark to very fair (about Xiao et al. 2017, Skin Res. Technol. 23)
SKINS = np.array([[24, 8, 9], [32, 10.5, 13], [40, 12.5, 17], [50, 13, 20], [60, 12, 20], [67, 10, 17], [74, 8, 14]])
STRANGE = 13.0  # a skin farther than that from these in hue is in coloured light
KNEE, WHITE = 176.0, 246.0  # levels between which lit skin is rolled off
FADE = 0.1  # of a crop's side, over which the change ends at its edge
LEAST, MOST_SPREAD = (0.06, 0.06, 0.25), (0.12, 0.12, 0.35)  # of an actor's skin, in `_colours`
WITHIN = (2.2, 2.2, 2.6)  # what looks like it, in such spreads
OTHERS, RATHER = 6, 3.0  # groups of what is around; how sharply what is nearer to one of them is told from skin
MATTE = 192  # side at which the actor's skin is told from all else


@dataclass(frozen=True)
class Usual:
    """The light that pictures are taken in: `exposure` is the logarithm of how bright it is on a face (exposure_of). Of
    what the network tells to differ from that the share `told` is believed, of tints the share `tint`."""

    exposure: float
    told: float
    tint: float


PHOTO = Usual(exposure=0.25, told=0.15, tint=0.15)  # well exposed, white well balanced
FILM = Usual(exposure=-0.4, told=0.75, tint=0.6)  # darker, and graded


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
    where in all of it the actor's skin is, M being MATTE of the middle and what lies around; and `change` (3,) the
    logarithm of the person's colour over the actor's."""

    light: Array
    skin: Array
    change: Array


def bare(photo: Array, mesh: Array, model: LightModel) -> Bare:
    """A photo (h, w, 3) uint8 with its mesh (478, 3), its light taken off."""
    to_crop = geometry.crop_transform(mesh, model.mean, 2 * SIDE)
    crop = cv2.warpAffine(photo, to_crop, (2 * SIDE,) * 2, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
    moved = geometry.apply(to_crop, mesh)
    light = model.light(crop, moved)
    tone, level = tone_of(crop, moved, light)
    dimmed = level - max(float((tone + level).max()) - BRIGHT, 0)  # so that nothing comes to lie beyond white
    unlikely = doubt(light, geometry.apply(geometry.enlarge(SIDE / len(crop)), moved), level, PHOTO)
    unlikely = unlikely + exposed(tone + unlikely)
    unlikely = unlikely + unhued(tone + unlikely)
    shape = cv2.resize(light - dimmed, (2 * SIDE,) * 2, interpolation=cv2.INTER_LINEAR)
    shape -= burnt(crop, moved, shape, np.exp((tone + dimmed) / GAMMA))
    placed = cv2.warpAffine(shape, geometry.invert(to_crop), photo.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)
    flat = photo * np.exp(placed * (-1 / GAMMA))
    return Bare(np.clip(np.rint(flat), 0, 255).astype(np.uint8), dimmed - unlikely, tone + unlikely)


def burnt(crop: Array, mesh: Array, shape: Array, skin: Array) -> Array:
    """(S, S, 3) what the logarithm of a crop's light needs besides, where skin is so bright that the camera told no
    colour: without the `shape` (S, S, 3) of its light it takes the hue of `skin` (3,), in 0 to 1."""
    size = len(crop)
    values = crop.astype(np.float32) / 255
    share = np.clip((values.max(-1) - BURNT) / (1 - BURNT), 0, 1) * _face(mesh, size) * _features(mesh, size)
    flat = values * np.exp(shape * (-1 / GAMMA))
    bright = flat.mean(-1, keepdims=True) / skin.mean()
    wanted = skin * np.clip(bright, 0.85, 1.1)
    more = GAMMA * np.log((wanted + 0.02) / (flat + 0.02))
    return np.asarray(cv2.GaussianBlur(more * share[..., None], (0, 0), size / 200), np.float32)


def doubt(light: Array, mesh: Array, level: Array, usual: Usual) -> Array:
    """(3,) what of the `level` (3,) of light (SIDE, SIDE, 3) on a face with its mesh in pixels of that is not believed,
    and is taken for the skin's own: cameras balance white and expose for faces."""
    bright = exposure_of(light, mesh) - usual.exposure
    return np.asarray((level - level.mean()) * (1 - usual.tint) + bright * (1 - usual.told))


def exposed(tone: Array) -> float:
    """What of a skin `tone` (3,) the exposure of a photo has hidden: cameras take back some of its darkness, or of its
    fairness."""
    bright = float(tone.mean())
    return float(np.clip(MIDDLE + (bright - MIDDLE) / (1 - TAKEN_BACK), *RANGE)) - bright


def unhued(tone: Array) -> Array:
    """(3,) what of a skin `tone` (3,) is of a hue that no skin has, and so its light's."""
    seen = cv2.cvtColor(np.exp(tone)[None, None].astype(np.float32), cv2.COLOR_LRGB2LAB)[0, 0]
    usual = np.array([np.interp(seen[0], SKINS[:, 0], SKINS[:, k]) for k in (1, 2)])
    off = seen[1:] - usual
    off = off * min(1.0, STRANGE / max(float(np.linalg.norm(off)), 1e-6))
    likely = np.array([[[seen[0], *(usual + off)]]], np.float32)
    return np.asarray(np.log(np.maximum(cv2.cvtColor(likely, cv2.COLOR_LAB2LRGB)[0, 0], DARKEST)) - tone)


def exposure_of(light: Array, mesh: Array) -> float:
    """The logarithm of how bright light (SIDE, SIDE, 3) is where it falls on a face, however much of that is in the
    shade: it is what photographers expose for."""
    face = filled((SIDE, SIDE), mesh[:468])
    return float(np.quantile(light[face > 0].mean(-1), LIT)) if face.any() else float(light.mean())


def plain_skin(mesh: Array, size: int) -> Array:
    """(size, size) bool: skin without features, of a mesh (478, 3) in pixels of that picture."""
    return filled((size, size), *(mesh[list(patch)] for patch in PLAIN)) > 0


def tone_of(crop: Array, mesh: Array, light: Array) -> tuple[Array, Array]:
    """Medians over plain skin: the logarithm of its own colour (3,), and of the light on it (3,)."""
    small = shrunk(crop).astype(np.float32) / 255
    skin = plain_skin(geometry.apply(geometry.enlarge(SIDE / len(crop)), mesh), SIDE)
    told = skin & (small.max(-1) < CLIPPED)
    if told.sum() < 32:
        told = skin if skin.any() else np.ones_like(skin)
    seen = np.log(small[told] ** GAMMA + DARKEST)
    return np.median(seen - light[told], 0), np.median(light[told], 0)


def scenery(crops: Crops, wide: Crops, tone: Array, model: LightModel) -> list[Scenery]:
    """What a window's crops tell, and these with more around, for a person whose skin is `tone` (3,). The actor's
    colour is the same in all frames, so what the network thinks of it is averaged, and the light follows."""
    lights = [model.light(crop, mesh) for crop, mesh in zip(crops.rgb, crops.mesh, strict=True)]
    told = [tone_of(*each) for each in zip(crops.rgb, crops.mesh, lights, strict=True)]
    small = geometry.enlarge(SIDE / crops.rgb.shape[1])
    doubts = [doubt(light, geometry.apply(small, mesh), level, FILM)
              for light, mesh, (_, level) in zip(lights, crops.mesh, told, strict=True)]  # fmt: skip
    unlikely = np.mean(doubts, 0)
    tones, actor = [own for own, _ in told], np.mean([own for own, _ in told], 0) + unlikely
    change = np.clip(tone - actor, -MOST, MOST)
    side = MATTE * wide.rgb.shape[1] // crops.rgb.shape[1]
    looks = skin_looks(wide, side)
    return [
        Scenery((light + (own - actor)).astype(np.float32), skin_matte(crop, mesh, side, looks), change)
        for light, own, crop, mesh in zip(lights, tones, wide.rgb, wide.mesh, strict=True)
    ]


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


def _colours(crop: Array, side: int) -> Array:
    """(side, side, 3) float32: logarithms of red over green, blue over green, and of luma."""
    small = cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA)
    light = np.log((cv2.GaussianBlur(small, (0, 0), 0.8).astype(np.float32) / 255) ** GAMMA + 4 * DARKEST)
    return np.stack([light[..., 0] - light[..., 1], light[..., 2] - light[..., 1], light.mean(-1)], -1)


@dataclass(frozen=True, eq=False)
class Looks:
    """What plain skin of the actor looks like in a window, in `_colours`: `centre` (3,) and `spread` (3,); and what
    lies farther off, which is none of it: `others` (K, 3)."""

    centre: Array
    spread: Array
    others: Array


def skin_looks(wide: Crops, side: int) -> Looks:
    """From some frames of a window, its crops seen at `side` pixels."""
    to_matte, skin, rest = geometry.enlarge(side / wide.rgb.shape[1]), [], []
    for crop, mesh in zip(wide.rgb[::4], wide.mesh[::4], strict=True):
        placed, colours = geometry.apply(to_matte, mesh), _colours(crop, side)
        skin.append(colours[plain_skin(placed, side)])
        rest.append(colours[::6, ::6][_reach(placed, side)[::6, ::6] == 0])
    known, other = np.concatenate(skin), np.concatenate(rest)
    if len(known) < 32:
        return Looks(np.zeros(3, np.float32), np.full(3, 1e3, np.float32), np.zeros((0, 3), np.float32))
    centre = np.median(known, 0)
    spread = np.clip(1.48 * np.median(np.abs(known - centre), 0), LEAST, MOST_SPREAD) * WITHIN
    return Looks(centre, spread, groups(other / spread, OTHERS) * spread)


def groups(points: Array, count: int) -> Array:
    """(K, 3) centres of at most `count` groups of points (N, 3), by k-means from thirds of their last coordinate on, so
    that equal points give equal groups."""
    if len(points) < 4 * count:
        return np.zeros((0, 3), np.float32)
    first = np.argsort(np.argsort(points[:, -1], kind="stable"), kind="stable") * count // len(points)
    how = (cv2.TERM_CRITERIA_MAX_ITER, 12, 0.0)
    flags = cv2.KMEANS_USE_INITIAL_LABELS
    return np.asarray(cv2.kmeans(points.astype(np.float32), count, first.astype(np.int32)[:, None], how, 1, flags)[2])


def skin_matte(crop: Array, mesh: Array, side: int, looks: Looks) -> Array:
    """(side, side) float32: how much of each pixel is the actor's skin: what is likely to be, joined to the face; all
    of the face itself but eyes and the mouth's inside. Edges are those of the picture."""
    half, placed = side // 2, geometry.apply(geometry.enlarge(side / len(crop)), mesh)
    likely = skin_likely(crop, geometry.apply(geometry.enlarge(half / len(crop)), mesh), half, looks)
    face = _face(placed, side)
    found = np.maximum(cv2.resize(likely, (side, side), interpolation=cv2.INTER_LINEAR), face)
    small = cv2.cvtColor(cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    soft = guided(small.astype(np.float32) / 255, found, 3, 1e-3)
    return np.asarray(np.clip(np.maximum(soft, face) * _features(placed, side), 0, 1), np.float32)


def skin_likely(crop: Array, mesh: Array, side: int, looks: Looks) -> Array:
    """(side, side) float32, of a crop with its mesh in pixels of that side: 1 for what looks like the actor's cheeks,
    and rather so than like what is around, where skin of the same head can be, joined to the face."""
    face, colours = _face(mesh, side), _colours(crop, side)
    away = (colours - looks.centre) / looks.spread
    away[..., 2] *= np.where(away[..., 2] < 0, 0.8, 1.0)  # necks lie in the shade
    far = (away**2).sum(-1)
    alike = np.exp(-0.25 * far) * _reach(mesh, side)
    if len(looks.others):
        nearest = np.min([(((colours - other) / looks.spread) ** 2).sum(-1) for other in looks.others], axis=0)
        alike *= np.minimum(2 / (1 + np.exp(np.clip(RATHER * (far - nearest), -30, 30))), 1)
    alike = np.maximum(alike, np.exp(-0.1 * far) * _throat(mesh, side))  # in the shade of the chin, stubble on it
    alike = np.maximum(np.clip((alike - 0.25) / 0.35, 0, 1), face)
    whole = cv2.morphologyEx(alike * _joined(alike, face), cv2.MORPH_CLOSE, np.ones((side // 20 | 1,) * 2, np.uint8))
    return np.asarray(whole, np.float32)


def _face(mesh: Array, side: int) -> Array:
    """1 inside the outline of the face, soft at its edge."""
    face = np.zeros((side, side), np.uint8)
    cv2.fillPoly(face, [np.round(mesh[landmarks.OVAL, :2]).astype(np.int32)], 1)
    inner = cv2.erode(face, np.ones((side // 120 | 1,) * 2, np.uint8))
    return np.asarray(cv2.GaussianBlur(inner.astype(np.float32), (0, 0), side / 190))


def _features(mesh: Array, side: int) -> Array:
    """0 in the eyes and between the lips, 1 elsewhere."""
    free = np.ones((side, side), np.float32)
    for patch in (*landmarks.EYES, landmarks.INNER_LIPS):
        cv2.fillPoly(free, [np.round(mesh[patch, :2]).astype(np.int32)], 0.0)
    return np.asarray(cv2.GaussianBlur(free, (0, 0), 1.0))


def _reach(mesh: Array, side: int) -> Array:
    """1 where skin of the same head can be: ears, forehead, and from the jaw down; soft where that ends."""
    rim = mesh[landmarks.OVAL, :2]
    centre, half = (rim.min(0) + rim.max(0)) / 2, (rim.max(0) - rim.min(0)) / 2
    y, x = np.mgrid[:side, :side].astype(np.float32)
    across, down = np.abs(x - centre[0]) / half[0], (y - centre[1]) / half[1]
    head = 1.35 - np.sqrt(across**2 + (down / 1.05) ** 2)
    neck = np.where(down > 0.2, 1.15 - across + np.maximum(down - 1.1, 0) * 1.5, -1)
    return np.asarray(np.clip(np.maximum(head, neck) / 0.15, 0, 1), np.float32)


def _throat(mesh: Array, side: int) -> Array:
    """1 right under the jaw, where hardly anything but skin is; soft where that ends."""
    jaw, long = mesh[JAW, :2], np.ptp(mesh[landmarks.OVAL, 1])
    under = (jaw - jaw.mean(0)) * (0.85, 0.5) + jaw.mean(0) + (0, 0.25 * long)
    throat = np.zeros((side, side), np.float32)
    cv2.fillPoly(throat, [np.round(np.concatenate([jaw, under[::-1]])).astype(np.int32)], 1.0)
    return np.asarray(cv2.GaussianBlur(throat, (0, 0), side / 100))


def _joined(alike: Array, face: Array) -> Array:
    """1 where what is alike is joined to the face."""
    inside = (face > 0.5).astype(np.uint8)
    found = cv2.morphologyEx((alike > 0.35).astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)) | inside
    _, labels = cv2.connectedComponents(found)
    mine = np.unique(labels[inside > 0])
    near = cv2.dilate(np.isin(labels, mine[mine > 0]).astype(np.uint8), np.ones((3, 3), np.uint8))
    return np.asarray(near, np.float32)


def guided(guide: Array, plane: Array, radius: int, eps: float) -> Array:
    """A plane smoothed along a guide's edges (He et al. 2010, Guided image filtering); all (h, w) float32."""

    def mean(x: Array) -> Array:
        return np.asarray(cv2.blur(x, (2 * radius + 1,) * 2))

    low_guide, low = mean(guide), mean(plane)
    slope = (mean(guide * plane) - low_guide * low) / (mean(guide * guide) - low_guide**2 + eps)
    return np.asarray(mean(slope) * guide + mean(low - slope * low_guide))


def changed(picture: Array, change: Array, skin: Array) -> Array:
    """A picture (S, S, 3) uint8 whose `skin` (S, S) float32 is multiplied by the exponential of `change` (3,)."""
    levels = np.arange(256, dtype=np.float32)[:, None]
    table = np.rint(rolled_off(levels * np.exp(change / GAMMA), levels)).astype(np.uint8)[None]
    return np.asarray(cv2.blendLinear(cv2.LUT(picture, table), picture, skin, 1 - skin))


def rolled_off(values: Array, were: Array) -> Array:
    """Levels (float32, 0 to beyond white) as film shows them: what becomes brighter than it `were`, and than KNEE,
    comes near white, not to it, so that lit skin keeps its shape where a fairer one would burn out."""
    room = WHITE - KNEE
    shown = np.where(values > KNEE, WHITE - room * np.exp((KNEE - values) / room), values)
    return np.asarray(np.where(values > were, np.maximum(shown, were), values))


def shown(skin: Array, size: int) -> Array:
    """(size, size) float32: where a matte `skin` (m, m) says that a picture has changed."""
    full = cv2.resize(skin, (size, size), interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.clip(full * 4 - 0.1, 0, 1), np.float32)


def surrounded(crop: Array, told: Scenery, picture: Array, alpha: Array) -> tuple[Array, Array]:
    """A crop (S, S, 3) uint8 whose skin changed, with a `picture` (s, s, 3) in its middle, and how much of it to lay
    over the frame (S, S): in the middle `alpha` (s, s), around it the skin, less and less towards the crop's edge."""
    size = len(crop)
    skin = cv2.resize(told.skin, (size, size), interpolation=cv2.INTER_LINEAR)
    rgb, cover = changed(crop, told.change, skin), shown(told.skin, size)
    middle(rgb, len(picture))[:], middle(cover, len(picture))[:] = picture, alpha
    step = np.minimum(np.arange(size), np.arange(size)[::-1]) / (FADE * size)
    edge = np.clip(step, 0, 1).astype(np.float32)
    edge = edge * edge * (3 - 2 * edge)
    return rgb, cover * np.minimum(edge[:, None], edge[None])
