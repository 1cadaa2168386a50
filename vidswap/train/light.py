"""light_samples.npz -> models/embedded/light/light.onnx: the light on a face, told from the face's own colours.

Rendered heads say what the light is; real-looking faces, whose light nobody knows, are put into two new lights each,
and what the network says of both must differ by just what was put on (after Zhang et al. 2020, Portrait shadow
manipulation). The answer is a smooth field: spherical harmonics of the normals, a bilateral grid (Chen et al. 2007) and
a fine field, added.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from vidswap.face import landmarks
from vidswap.keys import digest_of
from vidswap.progress import Report, quiet
from vidswap.swap.light import DARKEST, SIDE, planes
from vidswap.train import loop
from vidswap.train.export import save_onnx
from vidswap.train.rows import decoded, load
from vidswap.train.shade import Chance, blurred, face_of, key, linear, random_light, smooth_normals, taken

BINS = 8  # of luma, in the bilateral grid
WIDTHS = (48, 72, 96)
LUMA = (0.299, 0.587, 0.114)
EXPOSED = 0.3  # share of a skin's darkness that a camera's exposure takes back
# How bright the key light is on white, as logarithm: in portraits, and in films, which are darker; and how often those.
PORTRAIT, FILM, FILMED = (0.25, 0.25), (-0.5, 0.5), 0.35
SMOOTH = 0.3  # weight of the steps of a face's own light, which is mostly soft
EDGE = 0.5  # weight of where the edges of the light that was put on are missed
USUAL, KNOWN = 0.1, 0.2  # mean logarithm of the light on pictures that people publish of faces; the weight of that
OTHER, TINTED = 0.6, 0.1  # how often a face's second light is of another level and tint; spread of the tint


@dataclass(frozen=True)
class Schedule(loop.Schedule):
    """A batch are `batch` rendered heads and as many faces in two lights each; `start` is a checkpoint whose weights a
    run begins with."""

    steps: int = 20_000
    batch: int = 10
    start: str = ""


class Residual(nn.Module):
    def __init__(self, wide: int) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(wide, wide, 3, padding=1), nn.Conv2d(wide, wide, 3, padding=1)
        self.na, self.nb = nn.GroupNorm(8, wide), nn.GroupNorm(8, wide)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.b(F.silu(self.nb(self.a(F.silu(self.na(x))))))
        return out


class LightNet(nn.Module):
    """rgb (B, 3, 128, 128) in 0 to 1 and geometry (B, 6, 128, 128) -> the logarithm of the light (B, 3, 128, 128)."""

    def __init__(self, widths: tuple[int, int, int] = WIDTHS) -> None:
        super().__init__()
        fine, middle, wide = widths
        self.inp, self.r0 = nn.Conv2d(144, fine, 1), Residual(fine)
        self.d1, self.r1 = nn.Conv2d(fine, middle, 3, 2, 1), nn.Sequential(Residual(middle), Residual(middle))
        self.d2, self.r2 = nn.Conv2d(middle, wide, 3, 2, 1), nn.Sequential(Residual(wide), Residual(wide))
        self.glob, self.r3, self.sh = nn.Linear(wide, wide), Residual(wide), nn.Linear(wide, 27)
        self.up, self.r4 = nn.Conv2d(wide + middle, middle, 1), Residual(middle)
        self.grid = nn.Conv2d(middle, 3 * BINS, 1)
        self.up2, self.r5, self.fine = nn.Conv2d(middle + fine, fine, 1), Residual(fine), nn.Conv2d(fine, 3, 3, 1, 1)
        for last in (self.grid, self.fine, self.sh):
            for weights in last.parameters():
                nn.init.zeros_(weights)

    def forward(self, rgb: Tensor, geometry: Tensor) -> Tensor:
        x0 = self.r0(self.inp(F.pixel_unshuffle(torch.cat([rgb * 2 - 1, geometry], 1), 4)))
        x1 = self.r1(self.d1(x0))
        x2 = self.r2(self.d2(x1))
        x2 = self.r3(x2 + F.silu(self.glob(x2.mean((2, 3))))[..., None, None])
        y = self.r4(self.up(torch.cat([_twice(x2), x1], 1)))
        fine = self.fine(F.silu(self.r5(self.up2(torch.cat([_twice(y), x0], 1)))))
        light = shading(self.sh(x2.mean((2, 3))).float().view(-1, 3, 9), geometry)
        light = light + sliced(self.grid(y).float(), rgb)
        return light + F.interpolate(fine.float(), size=(SIDE, SIDE), mode="bilinear")


def _twice(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="bilinear")


def shading(harmonics: Tensor, geometry: Tensor) -> Tensor:
    """(B, 3, S, S): spherical harmonics (B, 3, 9) of second order at the normals; beyond the mesh their constants."""
    x, y, z = geometry[:, 0], geometry[:, 1], geometry[:, 2]
    basis = torch.stack([torch.ones_like(x), x, y, z, x * y, y * z, x * z, x * x - y * y, 3 * z * z - 1], 1)
    return torch.einsum("bck,bkhw->bchw", harmonics, basis)


def sliced(grid: Tensor, rgb: Tensor) -> Tensor:
    """The grid (B, 3 x BINS, G, G) read at each pixel's place and luma."""
    luma = (rgb * rgb.new_tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
    up = F.interpolate(grid, size=(SIDE, SIDE), mode="bilinear").view(-1, 3, BINS, SIDE, SIDE)
    away = luma.clamp(0, 1)[:, None] * (BINS - 1) - torch.arange(BINS).view(1, 1, BINS, 1, 1)
    light: Tensor = (up * (1 - away.abs()).clamp(min=0)).sum(2)
    return light


@dataclass(frozen=True, eq=False)
class Samples:
    """All in memory: of F faces and H heads the pictures (.., 3, S, S) uint8 and planes of geometry (.., 6, S, S)
    half, with smooth normals (.., 3, S/2, S/2) half; of the heads also `bare` (H, 3, S, S) uint8, `masks` (H, 3, S, S)
    uint8 of the person, the eyes and the skin, and `facts` (H, 3) float: the key of the light, what white means, the
    luma of the skin."""

    faces: Tensor
    faces_geometry: Tensor
    faces_normals: Tensor
    heads: Tensor
    heads_geometry: Tensor
    heads_normals: Tensor
    bare: Tensor
    masks: Tensor
    facts: Tensor


def load_samples(data: Path) -> Samples:
    """Decode `data`/light_samples.npz."""
    rows, mean = load(data / "light_samples.npz"), landmarks.mean_face()
    triangles = landmarks.triangles().astype(int)

    def stack(kind: str, number: int) -> Tensor:
        found = [decoded(row.pictures[number]) for row in rows if row.kind == kind]
        return torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2).contiguous()

    def geometry(kind: str) -> Tensor:
        told = [planes(row.mesh, mean, triangles).astype(np.float16) for row in rows if row.kind == kind]
        return torch.from_numpy(np.stack(told))

    def normals(told: Tensor) -> Tensor:
        return torch.cat([smooth_normals(told[part].float()).half() for part in _parts(len(told))])

    heads, bare, masks = (stack("head", number) for number in range(3))
    top, tone = (torch.tensor([row.facts[name] for row in rows if row.kind == "head"]) for name in ("top", "tone"))
    keys = [exposure_of(heads[part], bare[part], masks[part, 2:], top[part]) for part in _parts(len(heads))]
    known = torch.stack([torch.cat(keys), top, tone], 1)
    of_faces, of_heads = geometry("face"), geometry("head")
    return Samples(
        stack("face", 0), of_faces, normals(of_faces), heads, of_heads, normals(of_heads), bare, masks, known
    )


def _parts(count: int) -> list[slice]:
    """Of so many pictures, as many as are held in memory as numbers at once."""
    return [slice(first, first + 64) for first in range(0, count, 64)]


def exposure_of(lit: Tensor, bare: Tensor, skin: Tensor, top: Tensor) -> Tensor:
    """(B,) the key of the light on the `skin` (B, 1, S, S) of heads, whose pictures are uint8."""
    light = linear(lit.float() / 255) * top.view(-1, 1, 1, 1) / (linear(bare.float() / 255) + DARKEST)
    return key(light, (skin > 150).float()).flatten()


def exposures(count: int, chance: Chance) -> Tensor:
    """(count, 1, 1, 1) logarithms of the key light on white."""
    (bright, even), (dark, uneven) = PORTRAIT, FILM
    normal = chance.normal(count, 1, 1, 1)
    return torch.where(chance.often(count, FILMED) > 0, dark + uneven * normal, bright + even * normal)


def mirrored(flip: Tensor, *pictures: Tensor) -> list[Tensor]:
    """Those pictures mirrored for which `flip` (B,) is true."""
    return [torch.where(flip.view(-1, 1, 1, 1), picture.flip(-1), picture) for picture in pictures]


def turned(flip: Tensor, planes: Tensor) -> Tensor:
    """Planes of geometry (B, 3 or 6, S, S), some mirrored: x, the first of each three, goes the other way."""
    (told,) = mirrored(flip, planes.float())
    told[:, ::3] *= torch.where(flip, -1.0, 1.0).view(-1, 1, 1, 1)
    return told


def distance(x: Tensor, soft: float = 0.15) -> Tensor:
    """Huber's: quadratic below `soft`."""
    size = x.abs()
    return torch.where(size < soft, size * size / (2 * soft), size - soft / 2)


@dataclass(frozen=True)
class Batches(Dataset[loop.Batch]):
    """Heads, then faces in two lights: see `known` and `unknown`."""

    samples: Samples
    schedule: Schedule

    def __getitem__(self, step: int) -> loop.Batch:
        chance = Chance(int(loop.chance(self.schedule.seed, loop.SAMPLE, step).integers(2**62)))
        count = self.schedule.batch
        return (*known(self.samples, count, chance), *unknown(self.samples, count, chance))


def known(samples: Samples, count: int, chance: Chance) -> loop.Batch:
    """Rendered heads as a camera takes them: `seen` and `told` for the net, the logarithm of the light on them (B, 3,
    S, S), and how much it counts (B, 1, S, S)."""
    pick = torch.randint(len(samples.heads), (count,), generator=chance.generator)
    flip = chance.even(count).flatten() < 0.5
    rgb, bare, masks = mirrored(flip, *(p[pick].float() / 255 for p in (samples.heads, samples.bare, samples.masks)))
    told = turned(flip, samples.heads_geometry[pick])
    level, top, tone = (column.view(-1, 1, 1, 1) for column in samples.facts[pick].unbind(1))
    exposure = exposures(count, chance) - EXPOSED * torch.log(tone / 0.3)
    clipped = (rgb.amax(1, keepdim=True) > 0.995).float()
    lit = linear(rgb) * (top / level) * torch.exp(exposure) * chance.tint(count, 0.08)
    bare = linear(bare)
    truth = torch.log((lit + DARKEST) / (bare + DARKEST))
    new = random_light(turned(flip, samples.heads_normals[pick]), face_of(told), chance)[0]
    relit = chance.often(count, 0.4)
    lit, truth = lit * (1 + relit * (new - 1)), truth + relit * torch.log(new.clamp(min=1e-3))
    sure = ((lit.amax(1, keepdim=True) < 1.1) & (bare.amin(1, keepdim=True) > 0.004)).float() * (1 - clipped)
    cover, eyes, skin = (masks[:, k : k + 1] for k in range(3))
    weight = (skin + 0.4 * eyes + 0.25 * (cover - skin - eyes).clamp(min=0)) * (0.2 + 0.8 * sure)
    return taken(lit, chance), told, truth, weight


def unknown(samples: Samples, count: int, chance: Chance) -> loop.Batch:
    """Faces in two lights: `seen` (2 B, 3, S, S) and `told` (2 B, 6, S, S) for the net, the logarithm of what the one
    light is more than the other (B, 3, S, S), how much that counts (B, 1, S, S), and the one light's own."""
    pick = torch.randint(len(samples.faces), (count,), generator=chance.generator)
    flip = chance.even(count).flatten() < 0.5
    (rgb,) = mirrored(flip, samples.faces[pick].float() / 255)
    told, light = turned(flip, samples.faces_geometry[pick]), linear(rgb)
    normal, face = turned(flip, samples.faces_normals[pick]), face_of(told)
    shots, gains, bright = [], [], torch.ones(count, 3, 1, 1)
    for plain, other in ((0.0, 1.0), (0.3, OTHER)):
        gain, sheen = random_light(normal, face, chance)
        fresh = torch.exp(exposures(count, chance) - PORTRAIT[0]) * chance.tint(count, TINTED)
        bright = torch.where(chance.often(count, other) > 0, fresh, bright)
        gain = torch.where(chance.even(count) < plain, torch.ones_like(gain), gain) * bright
        shots.append(light * gain + sheen * bright * (light.mean(1, keepdim=True) * 0.5 + 0.1))
        gains.append(torch.log(gain.clamp(min=1e-3)))
    seen = [taken(shot, chance) for shot in shots]
    put = torch.log((shots[0] + DARKEST) / (shots[1] + DARKEST))
    fit = (torch.maximum(*seen).amax(1, keepdim=True) < 0.99) & (torch.minimum(*seen).amin(1, keepdim=True) > 0.02)
    return torch.cat(seen), torch.cat([told, told]), put, blurred(face, 3) * fit.float(), gains[0]


def loss_of(net: nn.Module, batch: loop.Batch, _share: float) -> Tensor:
    """How far what the net says is from the light on heads, and from the difference of two lights on a face."""
    seen, told, truth, counts, seen_twice, told_twice, put, fits, gain = batch
    one, two = _answer(net, seen_twice, told_twice).chunk(2)
    return heads_loss(_answer(net, seen, told) - truth, counts) + faces_loss(one, two, put, fits, gain)


def heads_loss(off: Tensor, weight: Tensor) -> Tensor:
    """How large errors (B, 3, S, S) are, and their shape alone, which no exposure hides."""
    mean = (off * weight).sum((2, 3), keepdim=True) / (weight.sum((2, 3), keepdim=True) + 1)
    return ((distance(off) + distance(off - mean, 0.08)) * weight).sum() / (3 * weight.sum() + 1)


def faces_loss(one: Tensor, two: Tensor, put: Tensor, weight: Tensor, gain: Tensor) -> Tensor:
    """How far two answers (B, 3, S, S) differ otherwise than by what was put on, their edges for themselves; and of
    what then is left of the first, which is the light that the face had before, how uneven and how unusual it is."""
    wrong, own, inside = one - two - put, one - gain, weight[..., 1:, 1:]
    off = (distance(wrong) * weight).sum() / (3 * weight.sum() + 1)
    level = (own * weight).sum((2, 3)) / (weight.sum((2, 3)) + 1) - USUAL
    uneven = SMOOTH * steps_of(own) + EDGE * steps_of(wrong)
    return 1.5 * off + (uneven * inside).sum() / (3 * inside.sum() + 1) + KNOWN * distance(level, 0.3).mean()


def steps_of(x: Tensor) -> Tensor:
    """(B, C, S - 1, S - 1): how much pictures (B, C, S, S) change from each pixel to its neighbours."""
    return x.diff(dim=2)[..., 1:].abs() + x.diff(dim=3)[..., 1:, :].abs()


def _answer(net: nn.Module, rgb: Tensor, told: Tensor) -> Tensor:
    with torch.autocast(rgb.device.type, torch.bfloat16):
        out: Tensor = net(rgb.contiguous(memory_format=torch.channels_last), told)
    return out.float()


def export(net: nn.Module, target: Path) -> Path:
    """Write the net as swap.light reads it: `rgb` and `geometry` of one picture, `light`."""
    given = torch.rand(1, 9, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    return save_onnx(net, (given[:, :3], given[:, 3:]), ("rgb", "geometry", "light"), target, {})


def train(
    data: Path, out: Path, *, schedule: Schedule = Schedule(), say: loop.Say = loop.mute, report: Report = quiet
) -> Path:
    """Learn from `data`/light_samples.npz and write `out`/light/light.onnx."""
    torch.manual_seed(schedule.seed)
    batches = Batches(load_samples(data), schedule)
    lesson = loop.Lesson(
        loop.begun(LightNet(), schedule.start), batches, loss_of, loop.cosine, 0.999, clip=1.0, shrink=0.01,
        source=digest_of(data / "light_samples.npz"),
    )  # fmt: skip
    with loop.checkpoints(out, "light") as (place,):
        return export(loop.learn(lesson, schedule, place, say, report), out / "light" / "light.onnx")
