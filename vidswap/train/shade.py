"""Pictures in new light, for training: multiplied by shading of their normals, with cast shadows and sheen, as a camera
then takes them. Tensors (B, 3, S, S); light is linear unless it says otherwise."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from vidswap.swap.light import GAMMA

LAMPS = (1.0, 0.5, 0.25)  # how likely each lamp is on


class Chance:
    """Random numbers of a seed, shaped to be multiplied with pictures."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def even(self, count: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """(count, 1, 1, 1) between `low` and `high`."""
        return torch.rand(count, 1, 1, 1, generator=self.generator) * (high - low) + low

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.generator)

    def often(self, count: int, share: float) -> Tensor:
        """(count, 1, 1, 1) of 1 in `share` of the cases, else 0."""
        return (self.even(count) < share).float()

    def whole(self, low: int, high: int) -> int:
        return int(torch.randint(low, high, (1,), generator=self.generator))

    def tint(self, count: int, spread: float) -> Tensor:
        """(count, 3, 1, 1) colours around white."""
        return torch.exp(self.normal(count, 3, 1, 1) * spread)


def blurred(x: Tensor, sigma: float) -> Tensor:
    """A Gaussian blur, borders repeated."""
    reach = max(1, int(3 * sigma))
    k = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
    k, c = k / k.sum(), x.shape[1]
    x = F.conv2d(F.pad(x, (reach, reach, 0, 0), mode="replicate"), k.view(1, 1, 1, -1).expand(c, 1, 1, -1), groups=c)
    return F.conv2d(F.pad(x, (0, 0, reach, reach), mode="replicate"), k.view(1, 1, -1, 1).expand(c, 1, -1, 1), groups=c)


def face_of(geometry: Tensor) -> Tensor:
    """(B, 1, S, S): 1 where the planes of geometry (B, 6, S, S) know of a face."""
    return (geometry[:, 3:].abs().sum(1, keepdim=True) > 0).float()


def smooth_normals(geometry: Tensor) -> Tensor:
    """(B, 3, S/2, S/2) unit normals of planes of geometry (B, 6, S, S); beyond the face they go on smoothly."""
    half = F.avg_pool2d(geometry, 2)
    face = face_of(half)
    near, wide = half[:, :3] * face, 3.0
    normal = torch.where(face > 0, near, blurred(near, wide) / (blurred(face, wide) + 1e-3))
    unit: Tensor = normal / (normal.norm(dim=1, keepdim=True) + 1e-4)
    return unit


def random_light(normal: Tensor, face: Tensor, chance: Chance) -> tuple[Tensor, Tensor]:
    """A gain whose `key` over the `face` (B, 1, S, S) is 1, and the sheen that its lamps add, both (B, 3, S, S);
    `normal` as from `smooth_normals`. Half the side is enough for light."""
    count = len(normal)
    total = chance.even(count, 0.08, 0.75) * chance.tint(count, 0.12)
    total, sheen = total.expand(-1, -1, *normal.shape[2:]), torch.zeros_like(normal)
    for share in LAMPS:
        on = torch.nonzero(chance.often(count, share).flatten()).flatten()
        if not len(on):
            continue
        lit, shine = _lamp(normal[on], chance)
        power = chance.even(len(on), 0.3, 2.2) * chance.tint(len(on), 0.18)
        total, sheen = total.index_add(0, on, power * lit), sheen.index_add(0, on, power * shine)
    total = torch.cat([blurred(total[:, :1], 0.6), total[:, 1:]], 1)  # under the skin red light goes farthest
    total, sheen = (F.interpolate(each, scale_factor=2.0, mode="bilinear") for each in (total, sheen))
    level = key(total, face)
    return total / level, sheen / level * chance.often(count, 0.5) * face


def key(light: Tensor, where: Tensor) -> Tensor:
    """(B, 1, 1, 1): how bright light (B, 3, S, S) is where it falls, `where` (B, 1, S, S), its shadows counting little:
    a power mean. It is what cameras and photographers expose for."""
    total = (light.mean(1, keepdim=True) ** 4 * where).sum((2, 3), keepdim=True)
    level: Tensor = (total / (where.sum((2, 3), keepdim=True) + 1)) ** 0.25
    return level + 1e-3


def _lamp(normal: Tensor, chance: Chance) -> tuple[Tensor, Tensor]:
    """One lamp a picture: soft or hard (B, 1, S, S), perhaps with something that throws a shadow; and its sheen."""
    count = len(normal)
    across, up = chance.even(count, -2.4, 2.4), chance.even(count, -1.3, 1.4)
    toward = torch.cat([across.sin() * up.cos(), -up.sin(), across.cos() * up.cos()], 1)
    faced = (normal * toward).sum(1, keepdim=True)
    hard = torch.sigmoid((faced - chance.even(count, -0.1, 0.35)) / chance.even(count, 0.04, 0.3))
    lit = torch.where(chance.even(count) < 0.5, faced.clamp(min=0), hard)
    cast = chance.often(count, 0.55) * chance.even(count, 0.4, 1.0)
    lit = lit * (1 - cast * (1 - _shadow(count, normal.shape[-1], chance)))
    half = toward + torch.tensor([0.0, 0.0, 1.0]).view(1, 3, 1, 1)
    half = half / half.norm(dim=1, keepdim=True)
    lobe = (normal * half).sum(1, keepdim=True).clamp(min=0) ** chance.even(count, 12, 60)
    return lit, lobe * chance.even(count, 0, 0.06) * (lit > 0.05)


def _shadow(count: int, side: int, chance: Chance) -> Tensor:
    """(count, 1, S, S): 0 in the shadow of an edge or of blobs, sharp or soft."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, side), torch.linspace(-1, 1, side), indexing="ij")
    turn = chance.even(count, 0, 6.283)
    edge = x * turn.cos() + y * turn.sin() + chance.even(count, -0.5, 0.5) + 0.15 * _clouds(count, side, 5, chance)
    blobs = _clouds(count, side, chance.whole(4, 14), chance)
    what = torch.where(chance.even(count) < 0.5, edge, blobs)
    return torch.sigmoid(what / chance.even(count, 0.02, 0.35))


def _clouds(count: int, side: int, cells: int, chance: Chance) -> Tensor:
    return F.interpolate(chance.normal(count, 1, cells, cells), size=(side, side), mode="bicubic")


def taken(light: Tensor, chance: Chance) -> Tensor:
    """What a camera makes of it: a shoulder before white, noise, blur -> values in 0 to 1, encoded."""
    count, light = len(light), light.clamp(min=0)
    light = shouldered(light, chance.even(count, 0.6, 0.95))
    values = light.clamp(1e-6, 1) ** (1 / GAMMA)
    values = values + chance.normal(*values.shape) * chance.even(count, 0, 0.02)
    if chance.even(1) < 0.3:
        values = blurred(values, float(chance.even(1, 0.4, 1.2)))
    return values.clamp(0, 1)


def shouldered(light: Tensor, knee: Tensor) -> Tensor:
    """Light that comes near to white from a `knee` on, and never beyond it."""
    return torch.where(light > knee, knee + (1 - knee) * (1 - torch.exp(-(light - knee) / (1 - knee))), light)


def linear(values: Tensor) -> Tensor:
    """Values of a picture in 0 to 1 -> light."""
    return values.clamp(0, 1) ** GAMMA
