"""Face images with meshes -> the small diffusion model in models/embedded/swapper, in diffusers' format.

Pairs are reversed (LivingSwap, arXiv 2512.07951): the untouched picture is the target, and what the network is given
is made from it. A "selfie" is the same face in other light, colours and sharpness, seen from another angle; it is laid
back into the picture by the very code of the engine `warp`, on a mesh that is a little wrong. So the network learns to
mend what a warp leaves behind - light, edges, smears, softness, grain - while the person is the one it was given.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from vidswap.face import geometry, raster, relight
from vidswap.face.expression import Blend, likeness
from vidswap.face.sampling import interpolate
from vidswap.keys import digest_of
from vidswap.progress import Report, quiet
from vidswap.swap.engines import embedded, warp
from vidswap.train import augment, loop
from vidswap.train.export import save_pipeline
from vidswap.train.faces import Faces, load_faces, rotated
from vidswap.types import Array

SIGMA_MIN, SIGMA_MAX = 0.03, 0.4
CHANNELS = (64, 128, 192)
SIZE = embedded.SIDE
CUTS = 2  # a pair costs as much as a step on it: each is used twice
WRONG = 0.012  # most that the mesh of a pair is off, in sizes of the face: more, and features are smoothed away
EYES_APART = 110.0  # pixels of the outer eye corners to which larger pictures are shrunk


@dataclass(frozen=True)
class Schedule(loop.Schedule):
    """A sample is a random cut-out of `side` pixels; torch has `threads`; `finer`: from the weights on that are there
    already."""

    steps: int = 1_000_000
    minutes: float = 75.0
    batch: int = 12
    rate: float = 5e-4
    side: int = 160
    threads: int = 1
    finer: bool = False


def selfie(picture: Array, rng: np.random.Generator) -> Array:
    """A picture in other light and colours, (H, W, 3) uint8."""
    changed = augment.relit(picture, rng) if rng.random() < 0.9 else picture
    if rng.random() < 0.35:  # coloured light from one side
        h, w = picture.shape[:2]
        angle, at = rng.uniform(0, 2 * np.pi), rng.uniform(-0.3, 0.3)
        y, x = np.mgrid[-0.5 : 0.5 : h * 1j, -0.5 : 0.5 : w * 1j]
        share = 1 / (1 + np.exp(-(x * np.cos(angle) + y * np.sin(angle) - at) * rng.uniform(6, 30)))
        tint = rng.uniform(0.5, 1.7, 3)
        changed = np.clip(changed * (1 + (tint - 1) * share[..., None]), 0, 255).astype(np.uint8)
    if rng.random() < 0.4:
        side = rng.uniform(0.3, 0.9)
        small = cv2.resize(changed, None, fx=side, fy=side, interpolation=cv2.INTER_AREA)
        changed = cv2.resize(small, changed.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    if rng.random() < 0.3:
        changed = augment.compressed(changed, int(rng.integers(25, 85)))
    return np.asarray(changed)


def wobble(mean: Array, amount: float, rng: np.random.Generator) -> Array:
    """(478, 3) smooth random displacements of a face in its own frame: a mesh that is a little wrong."""
    knots = rng.choice(468, 10, replace=False)
    near = np.exp(-(np.linalg.norm(mean[:, None] - mean[None, knots], axis=-1) ** 2) / (2 * rng.uniform(0.1, 0.3) ** 2))
    return np.asarray(near @ rng.normal(0, amount, (10, 3)), np.float32)


def turned(faces: Faces, index: int, form: raster.Surface, rng: np.random.Generator) -> tuple[Array, Array]:
    """The picture of a face as from another angle, with its mesh: hidden sides are smeared as in a real warp."""
    picture, mesh = faces.pictures[index], faces.meshes[index]
    crop = geometry.crop_transform(mesh, faces.mean, SIZE)
    if rng.random() < 0.35:
        return interpolate(picture, crop, SIZE), geometry.apply(crop, mesh)
    pose = geometry.face_pose(geometry.apply(crop, mesh), faces.mean)
    face = geometry.normalised(geometry.apply(crop, mesh), pose)
    turn = rotated(float(rng.normal(0, 16)), float(rng.normal(0, 8)))
    other = geometry.posed(face, pose._replace(rotation=turn @ pose.rotation))
    drawing = raster.draw(form, raster.with_ring(other, other), SIZE)
    return raster.texture(form, drawing, picture, raster.with_ring(mesh, mesh)), other


def footage(faces: Faces, index: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """The target: a crop as an engine is handed it, as soft, noisy and compressed as films are, and its mesh."""
    mesh = faces.meshes[index]
    crop = geometry.crop_transform(mesh, faces.mean, SIZE)
    zoom, angle = np.exp(rng.normal(0, 0.05)), rng.normal(0, 0.05)
    turn = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = np.full(2, (SIZE - 1) / 2)
    crop = np.hstack([turn @ crop[:, :2], (turn @ (crop[:, 2] - middle) + middle + rng.normal(0, 4, 2))[:, None]])
    picture = interpolate(faces.pictures[index], crop, SIZE)
    if rng.random() < 0.5:
        picture = augment.relit(picture, rng)
    if rng.random() < 0.5:
        picture = augment.spoilt(picture, rng)
    return picture, geometry.apply(crop, mesh)


@dataclass(frozen=True, eq=False)
class Pair:
    """`given` (10, h, w) as the network's conditions, one after the other; `residual` (3, h, w): what is to be found;
    `weight` (1, h, w). float32."""

    given: Array
    residual: Array
    weight: Array


def pair(faces: Faces, index: int, base: warp.Warp, rng: np.random.Generator) -> Pair:
    """One training pair from face `index`."""
    picture, actor = footage(faces, index, rng)
    photo, mesh = turned(faces, index, base.form, rng)
    photo = selfie(photo, rng)
    pose = geometry.face_pose(mesh, base.form.mean)
    mesh = mesh + pose.scale * wobble(base.form.mean, float(rng.uniform(0, WRONG)), rng) @ pose.rotation.T
    light = relight.LightSettings(
        wide=rng.uniform(0.08, 0.2),
        narrow=rng.uniform(0.03, 0.06),
        rim=rng.uniform(0.01, 0.09),  # seams that the warp leaves are what the network is for
        inside=rng.uniform(0.4, 1.0),
    )
    engine = replace(base, light=light)
    alike = relight.skin_alike(photo, mesh) if rng.random() < 0.7 else np.ones(photo.shape[:2], np.float32)
    scene = warp.Scene(warp.with_skin(photo, alike), mesh.astype(np.float32), picture, actor, actor, 1.0)
    drawn = engine.draw(scene)
    how = engine.tone([(scene, drawn)]) if rng.random() < 0.4 else relight.Tone()
    how = relight.Tone(
        how.contrast * rng.uniform(0.8, 1.25), how.colour, how.blur + max(rng.normal(-0.3, 0.6), 0), how.sharpen
    )
    warped = engine.render(scene, how, drawn)
    told = embedded.conditions([warped], base.form, SIZE)
    wanted = picture.astype(np.float32).transpose(2, 0, 1) / 127.5 - 1 - told.base[0].numpy()
    near = cv2.GaussianBlur(cv2.dilate(warped.alpha, np.ones((9, 9))), (0, 0), 4)[None]
    given = torch.cat([told.base, told.light, told.mask, told.mesh], 1)[0].numpy()
    return Pair(given, wanted, 0.05 + near)


class Pairs(Dataset[tuple[Array, ...]]):
    """Batches of random cut-outs of random pairs: what is given, the residual, its weight."""

    def __init__(self, faces: Faces, base: warp.Warp, schedule: Schedule) -> None:
        self.faces, self.base, self.schedule = faces, base, schedule

    def __getitem__(self, step: int) -> tuple[Array, ...]:
        rng, cuts = loop.chance(self.schedule.seed, loop.SAMPLE, step), list[tuple[Array, ...]]()
        while len(cuts) < self.schedule.batch:
            made = pair(self.faces, int(rng.integers(len(self.faces))), self.base, rng)
            cuts += [cut_out(made, self.schedule.side, rng) for _ in range(CUTS)]
        return tuple(np.stack(parts) for parts in zip(*cuts[: self.schedule.batch], strict=True))


def cut_out(made: Pair, side: int, rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """A random square of a pair, perhaps mirrored."""
    x, y = (int(v) for v in rng.integers(0, (SIZE - side) // embedded.PATCH + 1, 2) * embedded.PATCH)
    flip = slice(None, None, -1 if rng.random() < 0.5 else None)
    cut = (p[:, y : y + side, x : x + side][:, :, flip] for p in (made.given, made.residual, made.weight))
    given, residual, weight = (np.ascontiguousarray(p, np.float32) for p in cut)
    if flip.step == -1:
        given[7] = -given[7]  # the mesh's x on the mean face
    return given, residual, weight


def network() -> Any:
    """The U-Net, 6.8 M parameters, without attention (Ronneberger 2015; Ho et al. 2020)."""
    from diffusers import UNet2DModel

    return UNet2DModel(
        in_channels=13 * embedded.PATCH**2,
        out_channels=3 * embedded.PATCH**2,
        block_out_channels=CHANNELS,
        layers_per_block=1,
        down_block_types=("DownBlock2D",) * 3,
        up_block_types=("UpBlock2D",) * 3,
        add_attention=False,
        norm_num_groups=16,
    ).to(memory_format=torch.channels_last)


def begun(folder: Path) -> Any:
    """The U-Net with the weights in `folder`, to be trained further."""
    from diffusers import UNet2DModel

    net = UNet2DModel.from_pretrained(
        folder / "unet", dtype=torch.float32, local_files_only=True, low_cpu_mem_usage=False
    )
    return net.train().to(memory_format=torch.channels_last)


def levels(count: int) -> Tensor:
    """(count,) noise levels: a third at the level where swapping starts, the rest log-normal below."""
    sigma = torch.exp(torch.randn(count) * 1.0 + float(np.log(0.1)))
    start = torch.rand(count) < 0.35
    return torch.where(start, torch.tensor(SIGMA_MAX), sigma.clamp(SIGMA_MIN / 2, SIGMA_MAX))


def loss_of(net: Any, batch: loop.Batch, _share: float) -> Tensor:
    """Weighted distance of the denoised residual to the true one and of their gradients, in units that make every
    noise level count alike (EDM's weighting); absolute, not squared, so that edges stay sharp."""
    given, wanted, weight = batch
    sigma = levels(len(given)).to(given.device)
    s = sigma.view(-1, 1, 1, 1)
    noisy = wanted + s * torch.randn(wanted.shape).to(given.device)
    told = embedded.Conditions(given[:, :3], given[:, 3:6], given[:, 6:7], given[:, 7:10])
    with torch.autocast(given.device.type, torch.bfloat16):
        found = embedded.residual(net, noisy, sigma, told)
    unit = torch.sqrt(s**2 + embedded.SPREAD**2) / (s * embedded.SPREAD)
    error = (found - wanted) * unit
    slope = [error.diff(dim=d).abs() * weight.narrow(d, 1, weight.shape[d] - 1) for d in (2, 3)]
    return (error.abs() * weight).mean() + 0.5 * (slope[0].mean() + slope[1].mean())


def course(step: int, share: float) -> float:
    """Share of the full rate: to a fiftieth at the end."""
    return loop.cosine(step, share, 0.02)


def train(
    data: Path, out: Path, *, schedule: Schedule = Schedule(), say: loop.Say = loop.mute, report: Report = quiet
) -> Path:
    """Train on `data`, most often for so many minutes; writes `out`/swapper and returns it."""
    torch.manual_seed(schedule.seed)
    torch.set_num_threads(schedule.threads)
    faces = load_faces(data, detail=EYES_APART)
    topology = np.load(data / "topology.npz")
    base = warp.Warp(raster.surface(faces.mean, topology["tri"]), likeness(faces.mean, Blend()))
    pairs: Any = Pairs(faces, base, schedule)
    lesson = loop.Lesson(begun(out / "swapper") if schedule.finer else network(), pairs, loss_of, course, 0.998, 1.0,
                         1e-3, source=digest_of(data / "labels.npz"))  # fmt: skip
    with loop.checkpoints(out, "swapper") as (place,):
        return save(loop.learn(lesson, schedule, place, say, report), out / "swapper")


def save(net: Any, folder: Path) -> Path:
    """Write weights (16 bit), noise levels and index in diffusers' format."""
    from diffusers import EDMEulerScheduler

    noise = EDMEulerScheduler(sigma_min=SIGMA_MIN, sigma_max=SIGMA_MAX, sigma_data=embedded.SPREAD)
    return save_pipeline(net, noise, folder)
