"""Labelled faces -> swapper_samples.npz: what the diffusion model learns from, in one file.

Pairs are reversed twice (after LivingSwap, arXiv 2512.07951): the target is an untouched picture of somebody. Into it
another person, the actor, is put by the engine `warp`; and into that the first one again, from a photo of theirs in
other light, colours and sharpness, seen from another angle. So what the network is given is a swap, with all the errors
of one - light that stayed or did not arrive, an outline and a neck of the actor's, edges, smears - and what is to be
found is known to the pixel, while the actor's own face is never the answer.

A swap has lost some of the scene's light, and a network that saw swapped actors alone would learn to put in more light
than there is. So light is put on the answer and on the actor alike once these are made, and some actors are the person
in disguise: in a real picture's light, with brows, lids, lips and beards of another darkness, and another complexion.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
import torch

from vidswap.face import geometry, landmarks, raster, relight
from vidswap.face.averages import averaged
from vidswap.face.expression import Blend, likeness
from vidswap.face.sampling import interpolate
from vidswap.swap import complexion
from vidswap.swap.engine import Needs
from vidswap.swap.engines import embedded, warp
from vidswap.swap.light import GAMMA, open_light, planes
from vidswap.swap.light import SIDE as TOLD
from vidswap.train import augment, loop, shade
from vidswap.train.faces import Faces, load_faces, rotated, shrink
from vidswap.train.loop import Say, mute
from vidswap.train.rows import HELD, Row, faces_in, jpeg, png, refuse_models, save
from vidswap.types import Array, Consent, Crops, Identity

SIZE = 256  # side of the crops that pairs are made of: half of the engine's, twice the network's and more
NEEDS = Needs(size=SIZE, framing="aligned", window=1, overlap=0, margin=SIZE // 4)
WIDE = SIZE + 2 * NEEDS.margin
WRONG = 0.008  # most that the mesh of a pair is off, in sizes of the face: more, and features are smoothed away
EYES_APART = 110.0  # pixels of the outer eye corners to which larger pictures are shrunk
ASKED = 12  # people of whom the one is taken for an actor who looks most into the same direction
DISGUISED = 0.35  # share of the pairs whose actor is the person in disguise
LAMPS = 0.5  # share of the pairs whose scene is lit anew, on the answer and on the actor alike
# where people differ: brows, lids, nose, lips, chin, jaw, cheeks, forehead
FEATURES = ((105, 334), (159, 386), (4,), (13,), (152,), (172, 397), (50, 280), (151,))
QUALITY = 95  # of the JPEG of the actor's picture, of which the network sees a blur


@dataclass(frozen=True)
class Schedule:
    """So many `pairs`, made by `workers` processes (0: by this one); `portraits` is a folder of further labelled faces,
    but for those whose name ends in HELD."""

    pairs: int = 1400
    portraits: str = ""
    seed: int = 0
    workers: int = 0


@dataclass(frozen=True, eq=False)
class Seen:
    """A picture (H, W, 3) uint8 of a face with its mesh (478, 3)."""

    picture: Array
    mesh: Array


@dataclass(frozen=True, eq=False)
class Company:
    """The people of whom pairs are made, and the engine that puts them into one another's place."""

    faces: Faces
    base: warp.Warp

    @cached_property
    def turns(self) -> Array:
        """(N, 2) where each looks: sideways and up, as the third row of their turn has it."""
        return np.stack([geometry.face_pose(mesh, self.faces.mean).rotation[:2, 2] for mesh in self.faces.meshes])

    def actor(self, index: int, rng: np.random.Generator) -> int:
        """Another one, who looks about where `index` does."""
        asked = rng.integers(len(self.faces), size=ASKED)
        away = np.abs(self.turns[asked] - self.turns[index]).sum(1) + 9.0 * (asked == index)
        return int(asked[away.argmin()])

    def rest(self, mesh: Array) -> Array:
        """(478, 3) a face in its own frame."""
        return geometry.own_frame(mesh, self.base.form.mean)


def company(data: Path, portraits: str) -> Company:
    """The faces of `data`, and those of a folder of portraits, with the engine `warp` at SIZE. Raises ModelError."""
    faces = load_faces(data, detail=EYES_APART)
    if portraits:
        more = [shrink(np.ascontiguousarray(picture), mesh, faces.mean, EYES_APART)
                for _, picture, mesh in faces_in(Path(portraits), HELD)]  # fmt: skip
        faces = replace(faces, pictures=(*faces.pictures, *(picture for picture, _ in more)),
                        meshes=np.concatenate([faces.meshes, np.stack([mesh for _, mesh in more])]))  # fmt: skip
    mean = landmarks.mean_face()
    form, person = raster.surface(mean, landmarks.triangles()), likeness(mean, Blend())
    return Company(faces, warp.Warp(form, person, needs=NEEDS, model=open_light()))


# -- photos -----------------------------------------------------------------------------------------------------------


def photo(faces: Faces, index: int, form: raster.Surface, rng: np.random.Generator) -> Seen:
    """A face as in a photo taken elsewhere: from another angle, in other light, with another camera."""
    seen = turned(faces, index, form, rng)
    picture, chance = seen.picture, rng.random()
    if chance < 0.75:
        picture = lamps(seen, faces.mean, rng)(picture) if chance < 0.6 else augment.relit(picture, rng)
    if rng.random() < 0.4:
        side = rng.uniform(0.3, 0.9)
        small = cv2.resize(picture, None, fx=side, fy=side, interpolation=cv2.INTER_AREA)
        picture = cv2.resize(small, picture.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    if rng.random() < 0.3:
        picture = augment.compressed(picture, int(rng.integers(25, 85)))
    return Seen(np.asarray(picture), seen.mesh)


def turned(faces: Faces, index: int, form: raster.Surface, rng: np.random.Generator) -> Seen:
    """A face from another angle: hidden sides are smeared as in a real warp."""
    picture, mesh = faces.pictures[index], faces.meshes[index]
    crop = geometry.crop_transform(mesh, faces.mean, SIZE)
    plain = Seen(interpolate(picture, crop, SIZE), geometry.apply(crop, mesh))
    if rng.random() < 0.35:
        return plain
    pose = geometry.face_pose(plain.mesh, faces.mean)
    turn = rotated(float(rng.normal(0, 14)), float(rng.normal(0, 7)))
    face = geometry.normalised(plain.mesh, pose)
    other = geometry.posed(face, pose._replace(rotation=turn @ pose.rotation)).astype(np.float32)
    drawing = raster.draw(form, raster.with_ring(other, plain.mesh), SIZE)
    shown = raster.texture(form, drawing, plain.picture, raster.with_ring(plain.mesh, plain.mesh))
    beyond = cv2.resize((drawing.part < 0).astype(np.uint8), shown.shape[:2])
    return Seen(cv2.copyTo(plain.picture, beyond, shown), other)


def lamps(seen: Seen, mean: Array, rng: np.random.Generator) -> Callable[[Array], Array]:
    """What puts other light on a picture (H, W, 3) uint8 of this face, or of another in its place: lamps, shadows,
    sheen, and a camera's shoulder before white."""
    to_crop = geometry.crop_transform(seen.mesh, mean, TOLD)
    told = torch.from_numpy(planes(geometry.apply(to_crop, seen.mesh), mean, landmarks.triangles().astype(int)))[None]
    chance = shade.Chance(int(rng.integers(2**62)))
    face = shade.face_of(told)
    gain, sheen = shade.random_light(shade.smooth_normals(told), face, chance)
    fields = torch.cat([torch.log(gain.clamp(min=1e-3)), sheen], 1)[0].permute(1, 2, 0).numpy()
    inside = cv2.erode(face[0, 0].numpy(), np.ones((3, 3), np.uint8))
    beyond = averaged(fields, inside, 0.08 * TOLD, beyond=(fields * inside[..., None]).sum((0, 1)) / (inside.sum() + 1))
    soft = cv2.GaussianBlur(inside, (0, 0), 1.5)[..., None]  # what lies beyond the face is lit as its edge is
    fields = fields * soft + beyond.astype(np.float32) * (1 - soft)
    back, size = geometry.invert(to_crop), seen.picture.shape[1::-1]
    placed = cv2.warpAffine(fields, back, size, borderMode=cv2.BORDER_REPLICATE)
    exposure, ceiling = np.exp(rng.normal(0, 0.3)), torch.tensor(rng.uniform(0.6, 0.95))

    def lit(picture: Array) -> Array:
        light = (picture.astype(np.float32) / 255) ** GAMMA
        shine = placed[..., 3:] * (light.mean(-1, keepdims=True) * 0.5 + 0.1)
        light = (light * np.exp(placed[..., :3]) + shine) * exposure
        return written(shade.shouldered(torch.from_numpy(light), ceiling).numpy())

    return lit


def written(light: Array) -> Array:
    """A picture uint8 of linear light."""
    return np.asarray(np.clip(np.rint(np.clip(light, 0, 1) ** (1 / GAMMA) * 255), 0, 255).astype(np.uint8))


# -- pairs ------------------------------------------------------------------------------------------------------------


def footage(faces: Faces, index: int, rng: np.random.Generator) -> Seen:
    """The target: a crop with its margin as an engine is handed it, as soft, noisy and compressed as films are."""
    mesh = faces.meshes[index]
    crop = geometry.crop_transform(mesh, faces.mean, SIZE)
    crop[:, 2] += NEEDS.margin
    zoom, angle = np.exp(rng.normal(0, 0.05)), rng.normal(0, 0.05)
    turn = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = np.full(2, (WIDE - 1) / 2)
    crop = np.hstack([turn @ crop[:, :2], (turn @ (crop[:, 2] - middle) + middle + rng.normal(0, 4, 2))[:, None]])
    picture = interpolate(faces.pictures[index], crop, WIDE)
    return Seen(augment.spoilt(picture, rng) if rng.random() < 0.4 else picture, geometry.apply(crop, mesh))


def window(seen: Seen, rest: Array) -> Crops:
    """A picture as an engine is handed it, with the resting face (478, 3) of who is in it."""
    rgb, mesh = seen.picture[None], seen.mesh[None].astype(np.float32)
    whole, weight = np.ones(rgb.shape[:3], np.float32), np.ones(1, np.float32)
    return Crops(0, 0, rgb, mesh, whole, np.eye(2, 3)[None], weight, rest.astype(np.float32))


def person(seen: Seen) -> Identity:
    """Who is in a photo."""
    return Identity((seen.picture,), (seen.mesh.astype(np.float32),), np.ones(1, np.float32), Consent("generated"))


def acted(company: Company, index: int, scene: Seen, rng: np.random.Generator) -> tuple[Seen, Array]:
    """The scene with another person in it, and how their face is at rest (478, 3)."""
    other = company.actor(index, rng)
    who = Seen(company.faces.pictures[other], company.faces.meshes[other])
    crops = window(scene, company.rest(scene.mesh))
    (frame,) = company.base.frames(crops, person(who))
    put = company.base.laid(crops, [frame], [np.clip(np.rint(frame.picture), 0, 255).astype(np.uint8)])
    over = put.alpha[0][..., None]
    rgb = np.clip(np.rint(scene.picture * (1 - over) + put.rgb[0] * over), 0, 255).astype(np.uint8)
    return Seen(rgb, frame.mesh + np.array([NEEDS.margin, NEEDS.margin, 0], np.float32)), company.rest(who.mesh)


def disguised(scene: Seen, rng: np.random.Generator) -> Seen:
    """The scene with its person looking like somebody else in the same light: of another complexion, with features of
    another darkness and hue."""
    outline = scene.mesh[landmarks.OVAL, :2]
    wide = float(np.ptp(outline[:, 0]))
    y, x = np.mgrid[: len(scene.picture), : len(scene.picture)].astype(np.float32)
    albedo = np.zeros(scene.picture.shape, np.float32) + rng.normal(0, 0.3) + rng.normal(0, 0.06, 3)
    for points in FEATURES:
        width, change = rng.uniform(0.05, 0.14) * wide, rng.normal(0, 0.35) + rng.normal(0, 0.08, 3)
        for at in scene.mesh[list(points), :2]:
            bump = np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / (2 * width**2))
            albedo += (bump[..., None] * change).astype(np.float32)
    face = cv2.GaussianBlur(augment.polygon(outline, len(scene.picture)), (0, 0), 0.03 * wide)
    light = (scene.picture.astype(np.float32) / 255) ** GAMMA * np.exp(albedo * face[..., None])
    return Seen(written(light), scene.mesh)


def pair(company: Company, index: int, rng: np.random.Generator) -> Row:
    """One training pair whose answer is face `index`: pictures of embedded.SIDE of the warp in its surroundings, of
    what is to become of it, of these surroundings alone, and of how much of a pixel is the face; and the mesh."""
    base, faces = company.base, company.faces
    scene = footage(faces, index, rng)
    if rng.random() < DISGUISED:
        played, rest = disguised(scene, rng), company.rest(scene.mesh)
    else:
        played, rest = acted(company, index, scene, rng)
    if rng.random() < LAMPS:
        light = lamps(scene, faces.mean, rng)
        scene, played = Seen(light(scene.picture), scene.mesh), Seen(light(played.picture), played.mesh)
    off = wobble(base.form.mean, float(rng.uniform(0, WRONG)), rng)
    pose = geometry.face_pose(played.mesh, base.form.mean)
    played = Seen(played.picture, played.mesh + pose.scale * off @ pose.rotation.T)
    fit = relight.LightSettings(
        wide=rng.uniform(0.08, 0.2), narrow=rng.uniform(0.03, 0.06), rim=rng.uniform(0.01, 0.09),
        inside=rng.uniform(0.4, 1.0), feather=rng.uniform(0.015, 0.04), forehead=rng.uniform(0.03, 0.1),
    )  # fmt: skip
    (frame,) = replace(base, light=fit).frames(window(played, rest), person(photo(faces, index, base.form, rng)))
    scale, side = embedded.SIDE / SIZE, (embedded.SIDE,) * 2
    told = np.clip(frame.picture, 0, 255), complexion.middle(scene.picture, SIZE), frame.around, frame.alpha * 255
    base, target, around, alpha = (
        cv2.resize(np.asarray(plane, np.float32), side, interpolation=cv2.INTER_AREA) for plane in told
    )
    seen = [np.rint(plane).astype(np.uint8) for plane in (base, toned(target, base, frame), alpha)]
    files = png(seen[0]), png(seen[1]), jpeg(np.rint(around).astype(np.uint8), QUALITY), png(seen[2])
    return Row("pair", files, geometry.apply(geometry.enlarge(scale), frame.mesh))


def toned(target: Array, warped: Array, frame: warp.Warped) -> Array:
    """The target (s, s, 3) with its skin as light, and of such a hue, as the `warped` one: how much light a face is in
    and how dark it is cannot be told apart, so that is no errand of the network's; it would make people alike."""
    assert frame.scenery is not None
    parts = frame.alpha, complexion.middle(frame.scenery.skin, complexion.MATTE)
    face, skin = (cv2.resize(part, warped.shape[:2], interpolation=cv2.INTER_AREA) for part in parts)
    off = np.median(np.log((target + 5) / (warped + 5))[face > 0.8], axis=0) if (face > 0.8).any() else np.zeros(3)
    return np.asarray(np.clip((target + 5) * np.exp(-off * np.maximum(face, skin)[..., None]) - 5, 0, 255))


def wobble(mean: Array, amount: float, rng: np.random.Generator) -> Array:
    """(478, 3) smooth random displacements of a face in its own frame: a mesh that is a little wrong."""
    knots = rng.choice(468, 10, replace=False)
    near = np.exp(-(np.linalg.norm(mean[:, None] - mean[None, knots], axis=-1) ** 2) / (2 * rng.uniform(0.1, 0.3) ** 2))
    return np.asarray(near @ rng.normal(0, amount, (10, 3)), np.float32)


@dataclass(frozen=True, eq=False)
class Numbered(torch.utils.data.Dataset[Row]):
    """The pairs by their numbers: each is the same whoever makes it."""

    company: Company
    seed: int

    def __getitem__(self, number: int) -> Row:
        index = loop.in_turns(number, len(self.company.faces), self.seed)
        return pair(self.company, index, loop.chance(self.seed, loop.SAMPLE, number))


def train(data: Path, out: Path, *, schedule: Schedule = Schedule(), say: Say = mute) -> Path:
    """Write `out`/swapper_samples.npz from `data`, faces with their labels.npz."""
    refuse_models(out, "swapper")
    numbered = Numbered(company(data, schedule.portraits), schedule.seed)
    if schedule.workers:
        cv2.setNumThreads(0)  # a pool of threads does not survive the fork
    pairs = torch.utils.data.DataLoader(numbered, batch_size=None, sampler=range(schedule.pairs),
                                        num_workers=schedule.workers)  # fmt: skip
    rows = list[Row]()
    for row in pairs:
        if len(rows) % 100 == 0:
            say(f"{len(rows)} of {schedule.pairs} pairs")
        rows.append(row)
    return save(rows, out / "swapper_samples.npz")
