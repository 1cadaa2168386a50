"""A drawn face + the actor's own picture -> the drawn face in the actor's light, and where to lay it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from vidswap.face.averages import averaged
from vidswap.face.raster import Drawing, filled
from vidswap.types import Array

CHEEKS = np.array([50, 280, 205, 425, 117, 346, 101, 330, 36, 266])
NOSE = np.array([6, 197, 195, 5, 4, 45, 275, 198, 420])
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
LOST_ON_THE_WAY = 1.08  # detail that the way back into the frame costs
CONTRAST, COLOUR = (0.6, 1.15), (0.35, 1.1)
BLURS = (0.0, 0.45, 0.7, 1.0, 1.5, 2.0)
DARKEST = 0.6  # of the selfie's light, down to which detail is scaled as the light is ...
DARK = 0.45  # ... but in a scene with less than this all over, which dims all
SMALL = 128  # light is matched at this side: it has no detail


@dataclass(frozen=True)
class LightSettings:
    """Lengths in shares of the crop's side. `wide`: blur of the light matched inside; `narrow`: at the rim, where a
    step would be seen; `rim`: how far inwards the rim reaches; `inside`: share of the match taken inside;
    `feather`: softness of the face's edge, `forehead` up there."""

    wide: float = 0.12
    narrow: float = 0.08
    rim: float = 0.09
    inside: float = 0.85
    feather: float = 0.035
    forehead: float = 0.10


def face_alpha(drawing: Drawing, settings: LightSettings) -> Array:
    """(S, S) float32: 1 inside the drawn face, falling softly to 0 at its outline and around the mouth's interior."""
    depth = _depth(drawing)
    half = len(depth)
    rows = np.linspace(0, 1, half, dtype=np.float32)[:, None]
    top = np.clip((0.42 - rows) / 0.15, 0, 1)
    feather = half * (settings.feather + (settings.forehead - settings.feather) * top)
    alpha = np.clip(depth / feather, 0, 1)
    alpha = alpha * alpha * (3 - 2 * alpha)
    alpha = cv2.resize(alpha, (drawing.size, drawing.size), interpolation=cv2.INTER_LINEAR)
    return np.asarray(alpha * (1 - drawing.mouth), np.float32)


def depth_share(drawing: Drawing, reach: float) -> Array:
    """(S, S) float32: 0 at the outline of the drawn face, rising to 1 at `reach` (share of the side) inside it."""
    depth = _depth(drawing)
    share = np.clip(depth / (reach * len(depth)), 0, 1)
    return np.asarray(cv2.resize(share, (drawing.size, drawing.size)), np.float32)


def eyes_share(drawing: Drawing, side: int) -> Array:
    """(side, side) float32: 1 on the eyes and their lids, softly 0 around."""
    eyes = cv2.resize((drawing.part == 1).astype(np.float32), (side, side), interpolation=cv2.INTER_LINEAR)
    tall = side // 32 | 1
    lids = cv2.dilate(eyes, np.ones((tall, 2 * tall + 1), np.uint8))
    return np.asarray(cv2.GaussianBlur(lids, (0, 0), tall / 2), np.float32)


def _depth(drawing: Drawing) -> Array:
    """(S/2, S/2) float32: how many pixels of the drawing each lies inside the outline of the face, 0 outside."""
    face = ((drawing.part >= 0) & (drawing.part <= 2)).astype(np.uint8)
    return np.asarray(cv2.distanceTransform(face, cv2.DIST_L2, 3))


@dataclass(frozen=True)
class Tone:
    """How a selfie must be toned to sit in the footage, the same for a whole window so that it cannot flicker.

    `contrast`: gain of what is finer than light. `colour`: the same of colour differences. `blur`: sigma in frame
    pixels; `sharpen`: gain of an unsharp mask."""

    contrast: float = 1.0
    colour: float = 1.0
    blur: float = 0.0
    sharpen: float = 0.0


def relight(face: Array, actor: Array, drawing: Drawing, settings: LightSettings, how: Tone = Tone()) -> Array:
    """`face` (S, S, 3) uint8 in the light of `actor` (S, S, 3), both drawn on the same geometry: float32.

    Luma: low frequencies are the actor's; detail is scaled as the light is (shading multiplies), within limits, and the
    rest of the step is added. Chroma: matched at `narrow` everywhere, since coloured light on a selfie is finer than
    shading; finer still, it would be the actor's blush and lipstick. Eyes keep more of their own contrast, half of what
    the light would take: they are who it is, and in a face that is small or looks down they would drown. In a scene so
    dark that this would glow, all of it is dimmed along."""
    skin, rim = _skin_and_rim(drawing, settings)
    own, light = _small_ycc(face), _small_ycc(actor)
    wide, narrow = settings.wide * SMALL, settings.narrow * SMALL
    low, wanted = (_low(p, skin, narrow) for p in (own, light))
    low[..., :1], wanted[..., :1] = (
        rim * p[..., :1] + (1 - rim) * _low(q[..., :1], skin, wide) for p, q in ((low, own), (wanted, light))
    )
    level = float(((wanted[..., 0] + 8) * skin).sum() / max(float(((low[..., 0] + 8) * skin).sum()), 1.0))
    dim = min(1.0, level / DARK)
    inside = settings.inside if dim == 1 else 1 - (1 - settings.inside) * dim
    share = inside + (1 - inside) * rim
    wanted[..., :1] = low[..., :1] + (wanted[..., :1] - low[..., :1]) * share
    shade = np.clip((wanted[..., :1] + 8) / (low[..., :1] + 8), DARKEST * dim, 1.5)
    gain = shade * how.contrast
    gain += eyes_share(drawing, SMALL)[..., None] * np.maximum((dim + shade) / 2 - gain, 0)
    gain = np.concatenate([gain, np.full_like(low[..., 1:], how.colour * dim)], -1)
    shift = wanted - gain * low
    return _graded(face, gain, shift)


def joined(face: Array, around: Array, drawing: Drawing, settings: LightSettings, how: Tone = Tone()) -> Array:
    """`face` (S, S, 3) uint8 that has its light already, in `around` (S, S, 3), which has its complexion: float32.

    Luma is its own, brought to that of the surroundings at the rim, so that no step is seen, its detail scaled by
    `how.contrast` but in the eyes. Chroma is that of the surroundings, as in `relight`: sky in the sheen of a selfie,
    and what its shade was lit by, are no skin."""
    skin, rim = _skin_and_rim(drawing, settings)
    own, other = _small_ycc(face), _small_ycc(around)
    low, wanted = (_low(p, skin, settings.narrow * SMALL) for p in (own, other))
    wide = _low(own[..., :1], skin, settings.wide * SMALL)
    step = 1 + rim * (np.clip((wanted[..., :1] + 8) / (low[..., :1] + 8), 0.4, 2.5) - 1)
    contrast = how.contrast + eyes_share(drawing, SMALL)[..., None] * max(1 - how.contrast, 0)
    gain = np.concatenate([step * contrast, np.full_like(low[..., 1:], how.colour)], -1)
    shift = np.concatenate([wide * step * (1 - contrast), wanted[..., 1:] - how.colour * low[..., 1:]], -1)
    return _graded(face, gain, shift)


def _skin_and_rim(drawing: Drawing, settings: LightSettings) -> tuple[Array, Array]:
    """(SMALL, SMALL) how much of each pixel is skin, and (SMALL, SMALL, 1) how near to its rim it lies, 0 to 1."""
    skin = cv2.resize((drawing.part == 0).astype(np.float32), (SMALL, SMALL), interpolation=cv2.INTER_AREA)
    depth = cv2.distanceTransform((skin > 0.5).astype(np.uint8), cv2.DIST_L2, 3)
    return skin, np.clip(1 - depth / (settings.rim * SMALL), 0, 1)[..., None]


def _graded(face: Array, gain: Array, shift: Array) -> Array:
    """`face` (S, S, 3) uint8 times a gain and plus a shift of its `_ycc` (SMALL, SMALL, 3): float32."""
    size = face.shape[1::-1]
    lit = _ycc(face) * cv2.resize(gain, size) + cv2.resize(shift, size)
    return np.asarray(cv2.cvtColor(lit / 255, cv2.COLOR_YCrCb2RGB) * 255, np.float32)


def _small_ycc(picture: Array) -> Array:
    return _ycc(cv2.resize(picture, (SMALL, SMALL), interpolation=cv2.INTER_AREA))


def _ycc(picture: Array) -> Array:
    """RGB uint8 -> luma and two colour differences, float32 in the range of 8 bits."""
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2YCrCb), np.float32)


def _low(picture: Array, mask: Array, sigma: float) -> Array:
    """Gaussian low-pass of the masked part alone; far from that, its mean."""
    mean = (picture * mask[..., None]).sum((0, 1)) / max(float(mask.sum()), 1.0)
    return averaged(picture, mask, sigma, beyond=mean)


def skin_alike(photo: Array, mesh: Array) -> Array:
    """(h, w) float32 over a photo: 1 where a pixel looks like the face's own skin, 0 for hair or clothes that hang over
    its outline. Compared with the cheeks and nose by colour (Mahalanobis distance in YCrCb, luma counting little)."""
    ycc = cv2.GaussianBlur(_ycc(photo), (0, 0), max(np.ptp(mesh[:468, 0]) / 80, 0.6))
    known = ycc[filled(photo.shape, mesh[CHEEKS], mesh[NOSE]) > 0]
    if len(known) < 32:
        return np.ones(photo.shape[:2], np.float32)
    centre = np.median(known, 0)
    spread = np.maximum(np.median(np.abs(known - centre), 0) * 1.5, (14.0, 3.0, 3.0)) * (2.0, 2.0, 2.0)
    away = np.sqrt((((ycc - centre) / spread) ** 2).sum(-1))
    return np.asarray(np.clip(2.2 - away, 0, 1), np.float32)


def contrast_of(face: Array, actor: Array, drawing: Drawing, settings: LightSettings) -> Tone:
    """The contrast and colour that give a relit `face` (S, S, 3) float32 the variety of `actor`'s between light and
    finest detail."""
    parts = ((drawing.part == 0) | (drawing.part == 1)).astype(np.float32)
    mask = cv2.resize(parts, (SMALL, SMALL), interpolation=cv2.INTER_AREA)
    inner = cv2.erode(mask, np.ones((5, 5))) > 0.99
    if inner.sum() < 64:
        return Tone()
    spread = []
    for picture in (face, actor):
        small = _small_ycc(np.clip(picture, 0, 255).astype(np.uint8))
        detail = (small - _low(small, mask, settings.wide * SMALL))[inner].std(0)
        spread.append((float(detail[0]), float(np.hypot(detail[1], detail[2]))))
    (own, own_colour), (light, light_colour) = spread
    contrast = np.clip(light / max(own, 1e-3), *CONTRAST)
    return Tone(float(contrast), float(np.clip(light_colour / max(own_colour, 1e-3), *COLOUR)))


def halfway(how: Tone) -> Tone:
    """Half the way to a contrast and colour: what of a face is neither light nor finest detail is who it is, more than
    it is the footage's."""
    return replace(how, contrast=how.contrast**0.5, colour=how.colour**0.5)


def sharpness_of(face: Array, actor: Array, mask: Array, zoom: float, more: float = 1.0) -> Tone:
    """The blur or sharpening that gives `face` (S, S, 3) float32 the finest detail of `actor` within `mask`, or so many
    times `more`, both seen at the footage's own resolution (`zoom` crop pixels a frame pixel)."""
    own, light, mask = (_native(picture, zoom) for picture in (face @ LUMA, actor @ LUMA, mask))
    inside = mask > 0.9
    if inside.sum() < 16:
        return Tone()
    wanted = _detail(light, inside) * LOST_ON_THE_WAY * more
    found = [_detail(tone(own, Tone(blur=sigma), 1.0), inside) for sigma in BLURS]
    if found[0] < wanted:
        gained = _detail(tone(own, Tone(sharpen=1.0), 1.0), inside) - found[0]
        return Tone(sharpen=float(np.clip((wanted - found[0]) / max(gained, 1e-6), 0, 1.5)))
    return Tone(blur=float(np.interp(-wanted, -np.array(found), BLURS)))


def tone(face: Array, how: Tone, zoom: float, crisp: Array | None = None) -> Array:
    """`face` (S, S) or (S, S, 3) float32 sharpened, or blurred but for the share `crisp` (S, S) of each pixel; contrast
    is part of `relight`."""
    scale = max(zoom, 1.0)
    if how.blur * scale > 0.3:
        soft = cv2.GaussianBlur(face, (0, 0), how.blur * scale)
        face = soft if crisp is None else cv2.blendLinear(face, soft, crisp, 1 - crisp)
    if how.sharpen > 0:
        face = face + how.sharpen * (face - cv2.GaussianBlur(face, (0, 0), 0.8 * scale))
    return np.asarray(face, np.float32)


def _native(plane: Array, zoom: float) -> Array:
    """A plane (S, S) at the footage's own resolution, `zoom` crop pixels a frame pixel; never enlarged."""
    side = round(len(plane) / max(zoom, 1.0))
    return np.asarray(cv2.resize(plane, (side, side), interpolation=cv2.INTER_AREA), np.float32)


def _detail(luma: Array, inside: Array) -> float:
    """Standard deviation of the Laplacian where `inside` is true."""
    return float(cv2.Laplacian(luma, cv2.CV_32F)[inside].std())
