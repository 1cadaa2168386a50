"""MakeHuman's head, its targets, skins and hair -> people: shapes, expressions and poses, and the colours of each part.

Points are picture-like: x right, y down, z away from the viewer, in MakeHuman's unit (1 = 10 cm). A head carries for
each corner of each triangle where it lies on the resting head, so that brows, beard and clothes are painted there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from vidswap.errors import InputError
from vidswap.swap.light import GAMMA
from vidswap.swap.tone import SKINS
from vidswap.train.faces import rotated
from vidswap.types import Array

Random = np.random.Generator
SKIN, EYE, HAIR = 0, 1, 2
LOWEST, WIDEST = 5.0, 2.2  # of the body, what is drawn: to the shoulders, in MakeHuman's own coordinates (y up)
NECK = (5.5, 6.3)  # between these heights the neck turns with the head
PIVOT = np.array([0.0, -6.1, -0.1])
EYE_CENTRE = np.array([0.308, -7.284, -1.245])  # of the eye to the right, on the resting head
BODY = 13380  # vertices before this are the body's
DETAILS = ("cheek", "chin", "eyes", "forehead", "head", "mouth", "nose")
RACES = ("african", "asian", "caucasian")
FLIP = np.array([1.0, -1.0, -1.0], np.float32)  # MakeHuman's axes to the picture's


@dataclass(frozen=True, eq=False)
class Hair:
    """A hairdo tied to the body: `corners` (K, 3) of its triangles, `uv` (K, 3, 2), `on` (V, 3) body vertices with
    `weight` (V, 3) and `offset` (V, 3), `texture` (h, w, 4) uint8."""

    corners: Array
    uv: Array
    on: Array
    weight: Array
    offset: Array
    texture: Array


@dataclass(frozen=True, eq=False)
class Material:
    """`rest` (V, 3) the resting body; `triangles` (K, 3) of head and eyes with their `uv` (K, 3, 2) and `part` (K,);
    `targets` and `units`: name -> (indices, offsets); `skins` uint8 pictures."""

    rest: Array
    triangles: Array
    uv: Array
    part: Array
    targets: Mapping[str, tuple[Array, Array]]
    units: Mapping[str, tuple[Array, Array]]
    skins: tuple[Array, ...]
    hair: tuple[Hair, ...]


@dataclass(frozen=True, eq=False)
class Head:
    """A person in a pose. `points` (V, 3); `triangles` (K, 3); for the triangles `part` (K,), `uv` (K, 3, 2) and
    `rest` (K, 3, 3), where each corner lies on the resting head; `looks` how it is coloured."""

    points: Array
    triangles: Array
    part: Array
    uv: Array
    rest: Array
    looks: Looks


@dataclass(frozen=True, eq=False)
class Looks:
    """Colours of a person, linear RGB. `skin` (h, w, 3) the albedo over MakeHuman's uv; `brow` height, thickness and
    strength; `beard` and `scalp` shares of `dark`, the colour of their hair; `cloth` below the `neckline`."""

    skin: Array
    texture: Array
    dark: Array
    iris: Array
    cloth: Array
    brow: tuple[float, float, float]
    beard: float
    scalp: float
    neckline: float
    gloss: float


def load_material(folder: Path) -> Material:
    """MakeHuman's head in `folder`: base.npz, targets.npz, arkit_targets.npz, skins/*.jpg, parts/hair__*. Raises
    InputError."""
    try:
        base = np.load(folder / "base.npz")
        targets, units = (_sparse(np.load(folder / f"{name}.npz")) for name in ("targets", "arkit_targets"))
    except OSError as error:
        raise InputError(f"{folder} holds no heads", "it needs MakeHuman's base.npz and targets.npz") from error
    rest, quads, group = base["vertices"].astype(np.float32), base["quads"], base["group"]
    near = (rest[quads][..., 1].min(1) > LOWEST) & (np.abs(rest[quads][..., 0]).max(1) < WIDEST)
    body, eyes = (group == "body") & near, np.char.endswith(group, "-eye") & (np.char.find(group, "joint") < 0)
    chosen = np.concatenate([np.flatnonzero(body), np.flatnonzero(eyes)])
    part = np.repeat([SKIN, EYE], [body.sum(), eyes.sum()])
    uv = base["uv"][base["uv_quads"][chosen]]
    skins = tuple(_picture(path)[..., :3] for path in sorted((folder / "skins").glob("*.jpg")))
    hair = tuple(load_hair(path) for path in sorted((folder / "parts").glob("hair__*.mhclo")))
    return Material(rest * FLIP, halved(quads[chosen]), halved(uv), np.tile(part, 2), targets, units, skins, hair)


def halved(quads: Array) -> Array:
    """Four corners each (K, 4, ...) -> three corners each, (2 K, 3, ...)."""
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])


def _sparse(data: Mapping[str, Array]) -> dict[str, tuple[Array, Array]]:
    names = [name[2:] for name in data if name.startswith("i:")]
    return {name: (data[f"i:{name}"], data[f"d:{name}"].astype(np.float32) * FLIP) for name in names}


def _picture(path: Path) -> Array:
    """RGB or RGBA uint8 of at most 512 pixels. Raises InputError."""
    picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if picture is None:
        raise InputError(f"{path} is not a picture that can be read", "take MakeHuman's own files")
    small = cv2.resize(picture, (512, 512), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2RGB if small.shape[2] == 3 else cv2.COLOR_BGRA2RGBA))


def load_hair(path: Path) -> Hair:
    """A hairdo from MakeHuman's .mhclo, with .obj and _diffuse.png beside it."""
    places, corners, uv = _obj(path.with_suffix(".obj"))
    lines = [line.split() for line in path.read_text().splitlines()]
    first = next(i for i, words in enumerate(lines) if words[:1] == ["verts"]) + 1
    rows = [[float(word) for word in words] for words in lines[first:] if words and words[0].isdigit()][: len(places)]
    full = np.array([row if len(row) > 1 else [row[0]] * 3 + [1, 0, 0, 0, 0, 0] for row in rows], np.float32)
    image = path.with_name(f"{path.stem}_diffuse.png")
    texture = _picture(image) if image.exists() else np.full((8, 8, 4), 255, np.uint8)
    if texture.shape[2] == 3:
        texture = np.dstack([texture, np.full(texture.shape[:2], 255, np.uint8)])
    return Hair(corners, uv, full[:, :3].astype(int), full[:, 3:6], full[:, 6:9] * FLIP, texture)


def _obj(path: Path) -> tuple[Array, Array, Array]:
    """Points (V, 3), corners (K, 3) and their uv (K, 3, 2) of a Wavefront file."""
    lines = [words for line in path.read_text().splitlines() if (words := line.split())]
    points, places = (
        np.array([words[1:count] for words in lines if words[0] == kind], np.float32).reshape(-1, count - 1)
        for kind, count in (("v", 4), ("vt", 3))
    )
    corners, uv = [], []
    for words in lines:
        if words[0] == "f":
            pairs = [[int(number) - 1 for number in [*word.split("/"), "1"][:2]] for word in words[1:]]
            for k in range(1, len(pairs) - 1):
                three = np.array([pairs[0], pairs[k], pairs[k + 1]])
                corners.append(three[:, 0])
                uv.append(places[three[:, 1]] if len(places) else np.zeros((3, 2)))
    return points, np.array(corners), np.array(uv, np.float32)


def person(material: Material, rng: Random) -> tuple[Array, Looks, Hair | None]:
    """Somebody: their resting body (V, 3), colours, and hair."""
    skin, tone = int(rng.integers(len(material.skins))), float(rng.uniform(*SKINS[[0, -1], 0]))
    hair = material.hair[int(rng.integers(len(material.hair)))] if material.hair and rng.random() < 0.75 else None
    return _shaped(material, rng), looks(material.skins[skin], tone, hair, rng), hair


def _shaped(material: Material, rng: Random) -> Array:
    male, old = rng.random(), rng.random() ** 1.5
    move = np.zeros_like(material.rest)
    for race, share in zip(RACES, rng.dirichlet([0.5] * 3)):
        for sex, s in (("male", male), ("female", 1 - male)):
            for age, a in (("old", old), ("young", 1 - old)):
                _add(move, material.targets, f"macrodetails/{race}-{sex}-{age}", share * s * a)
    weight = "max" if rng.random() < 0.5 else "min"
    sex = "male" if male > 0.5 else "female"
    _add(move, material.targets, f"macrodetails/universal-{sex}-young-averagemuscle-{weight}weight", rng.random())
    names = [name for name in material.targets if name.split("/")[0] in DETAILS]
    for name in rng.choice(names, min(14, len(names)), replace=False) if names else ():
        _add(move, material.targets, str(name), rng.uniform(0, 0.7))
    height = -material.rest[:BODY, 1]
    ring = (height > 5.45) & (height < 5.75) & (np.abs(material.rest[:BODY, 0]) < 1)
    if ring.any():  # the targets lift the whole head: it stays on these shoulders
        move -= move[:BODY][ring].mean(0)
    return np.asarray(material.rest + move * _ramp(-material.rest[:, 1:2], *NECK), np.float32)


def _add(move: Array, known: Mapping[str, tuple[Array, Array]], name: str, share: float) -> None:
    if name in known:
        move[known[name][0]] += known[name][1] * np.float32(share)


def looks(skin: Array, tone: float, hair: Hair | None, rng: Random) -> Looks:
    """Random colours on a `skin` texture (h, w, 3) uint8 whose middle becomes the L* `tone`."""
    albedo = linear(skin)
    plain = np.median(albedo[albedo.min(-1) > 0.02], 0) if (albedo > 0.02).any() else albedo.mean((0, 1))
    wanted = from_lab(np.array([tone, *(np.interp(tone, SKINS[:, 0], SKINS[:, k]) + rng.normal(0, 2) for k in (1, 2))]))
    coloured = np.minimum(wanted * (np.maximum(albedo, 1e-3) / plain) ** rng.uniform(0.7, 1.2), 0.9)
    fair = np.clip((tone - 45) / 25, 0, 1) * rng.random() ** 2
    dark = np.array([0.012, 0.009, 0.007]) * (1 - fair) + np.array([0.28, 0.17, 0.08]) * fair
    if rng.random() < 0.12:
        dark = np.full(3, rng.uniform(0.15, 0.5))
    iris = np.array([0.05, 0.025, 0.012]) if fair < 0.1 else rng.uniform([0.03] * 3, [0.12, 0.14, 0.2])
    return Looks(
        skin=coloured.astype(np.float32), texture=hair.texture if hair else np.full((8, 8, 4), 255, np.uint8),
        dark=dark * rng.uniform(0.6, 1.3), iris=iris, cloth=rng.uniform(0.1, 0.8) ** 2 * rng.uniform(0.5, 1.2, 3),
        brow=(rng.normal(0, 0.02), rng.uniform(0.035, 0.075), rng.uniform(0.5, 1.0)),
        beard=rng.uniform(0, 0.9) if rng.random() < 0.3 else 0.0, scalp=rng.uniform(0.6, 1),
        neckline=rng.uniform(5.2, 6.0), gloss=rng.uniform(0.2, 1.3),
    )  # fmt: skip


def posed(material: Material, body: Array, looks: Looks, hair: Hair | None, rng: Random) -> Head:
    """That person with a random expression, the head turned."""
    moved = body.copy()
    for name in rng.choice(sorted(material.units), min(6, len(material.units)), replace=False):
        _add(moved, material.units, str(name), rng.random() ** 1.5 * 0.8)
    strands = (moved[hair.on] * hair.weight[..., None]).sum(1) + hair.offset if hair else np.zeros((0, 3), np.float32)
    points = np.concatenate([moved, strands])
    turn = rotated(float(rng.normal(0, 16)), float(rng.normal(0, 8)))
    lean = rotated(float(rng.normal(0, 10)), float(rng.normal(0, 3)))
    share = _ramp(-points[:, 1:2], *NECK)
    points = PIVOT + (points - PIVOT) @ lean.T * (1 - share) + (points - PIVOT) @ (lean @ turn).T * share
    triangles, part, uv, rest = material.triangles, material.part, material.uv, material.rest[material.triangles]
    if hair:
        triangles = np.concatenate([triangles, hair.corners + len(body)])
        part = np.append(part, np.full(len(hair.corners), HAIR))
        uv = np.concatenate([uv, hair.uv])
        rest = np.concatenate([rest, np.zeros((len(hair.corners), 3, 3))])
    return Head(points.astype(np.float32), triangles, part, uv, rest.astype(np.float32), looks)


def _ramp(x: Array, low: float, high: float) -> Array:
    """0 below `low`, 1 above `high`, smooth between."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


@dataclass(frozen=True, eq=False)
class Painted:
    """What is painted on N points of the body, shares (N,): `brow`, `beard`, hair on the `top`, `lips`; what is `worn`,
    bool."""

    brow: Array
    beard: Array
    top: Array
    lips: Array
    worn: Array


def painted(looks: Looks, rest: Array, grain: Array) -> Painted:
    """What is painted where: `rest` (N, 3) points on the resting head, `grain` (N,) normal noise."""
    x, y, z = np.abs(rest[:, 0]), -rest[:, 1], -rest[:, 2]
    lift, thick, strength = looks.brow
    along = np.clip((x - 0.1) / 0.46, 0, 1)
    arch = 7.47 + lift + 0.09 * np.sin(along * 2.2)
    brow = np.exp(-(((y - arch) / (thick * (1.15 - 0.6 * along))) ** 2)) * _ramp(x, 0.06, 0.14) * _ramp(-x, -0.62, -0.5)
    brow *= strength * (z > 0.9) * np.clip(0.85 + 0.3 * grain, 0, 1)
    jaw = _ramp(-y, -6.85, -6.45) * _ramp(y, 5.95, 6.2) * _ramp(z, 0.25, 0.7)
    lips = np.exp(-(((y - 6.65) / 0.09) ** 2) - (x / 0.22) ** 4) * (z > 1)
    moustache = np.exp(-(((y - 6.8) / 0.05) ** 2) - (x / 0.27) ** 4) * (z > 1)
    beard = np.clip(np.maximum(jaw, moustache) - lips, 0, 1) * looks.beard * np.clip(0.7 + 0.3 * grain, 0, 1)
    top = np.maximum(_ramp(y, 7.95, 8.15), _ramp(-z, -0.35, -0.05) * _ramp(y, 6.8, 7.0)) * looks.scalp
    return Painted(brow, beard, top, lips, y < looks.neckline + 0.25 * np.clip(x - 0.3, 0, 1))


def albedo(looks: Looks, rest: Array, uv: Array, grain: Array) -> tuple[Array, Array]:
    """(N, 3) linear colour of points of the body, and (N,) how much of it is skin: `rest` (N, 3) where they lie on the
    resting head, `uv` (N, 2), `grain` (N,) normal noise."""
    colour, on = read_texture(looks.skin, uv), painted(looks, rest, grain)
    for share in (on.brow, on.beard, on.top):
        colour = colour + share[:, None] * (looks.dark - colour)
    skin = (1 - on.brow) * (1 - on.beard) * (1 - on.top)
    worn = on.worn[:, None]
    return np.where(worn, looks.cloth * (1 + 0.08 * grain[:, None]), colour), skin * ~on.worn


def eye_colour(looks: Looks, rest: Array) -> Array:
    """(N, 3) linear colour of points of the eyeballs."""
    side = np.sign(rest[:, :1])
    away = rest - EYE_CENTRE * np.concatenate([side, np.ones((len(rest), 2))], 1)
    angle = np.arctan2(np.linalg.norm(away[:, :2], axis=1), -away[:, 2])[:, None]
    white = np.array([0.62, 0.55, 0.5])
    return np.where(angle < 0.19, 0.004, np.where(angle < 0.46, looks.iris, white))


def read_texture(texture: Array, uv: Array) -> Array:
    """(N, C) float32: a texture (h, w, C) read at (N, 2) uv, v up."""
    h, w = texture.shape[:2]
    where = np.clip(np.stack([(1 - uv[:, 1]) * h, uv[:, 0] * w], 1) - 0.5, 0, (h - 1.001, w - 1.001))
    low = where.astype(int)
    part = (where - low)[..., None].astype(np.float32)
    one, two = (
        texture[low[:, 0] + down, low[:, 1]] * (1 - part[:, 1]) + texture[low[:, 0] + down, low[:, 1] + 1] * part[:, 1]
        for down in (0, 1)
    )
    return np.asarray(one * (1 - part[:, 0]) + two * part[:, 0], np.float32)


def linear(picture: Array) -> Array:
    """uint8 -> light in 0 to 1, by the power GAMMA."""
    return np.asarray((picture.astype(np.float32) / 255) ** GAMMA)


def encoded(light: Array) -> Array:
    """Light in 0 to 1 -> uint8, the inverse of `linear`."""
    return np.asarray((255 * np.clip(light, 0, 1) ** (1 / GAMMA) + 0.5).astype(np.uint8))


def from_lab(lab: Array) -> Array:
    """Linear RGB (3,) of a CIE L*a*b* colour (3,)."""
    return np.asarray(np.maximum(cv2.cvtColor(lab[None, None].astype(np.float32), cv2.COLOR_Lab2LRGB)[0, 0], 1e-3))
