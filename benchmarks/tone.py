"""How much each voice counts for the light on a face (Weights, TINTS and WARM of swap/tone): least squares on faces
that are put into light of known level and tint.

python benchmarks/tone.py DATA [--every 4] [--net light.onnx] [--heads SAMPLES]

DATA is a folder with faces/ and portraits/ and their labels.npz. Of every fifth person nothing is learnt: for these are
printed how far apart people stay that are dark and fair, pale and rich ("apart", 1 is wholly), and what share of the
light that was put on them is taken for theirs ("kept", 0 is none). The two are at odds: a price is put on light that
goes with the skin, the higher the farther apart people stay. Then, how pictures' skin differs from what skin is; and on
rendered heads (SAMPLES holds a light_samples.npz of people that no training saw, made with another seed), whose light
and skin are known, how much of either is in what the network says.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import torch

from vidswap.face import geometry
from vidswap.swap import complexion, tone
from vidswap.swap.light import GAMMA, SIDE, LightModel, open_light, planes
from vidswap.train import shade
from vidswap.train.light import Samples, known, load_samples
from vidswap.train.rows import HELD, faces_in
from vidswap.types import Array

LIGHTS = 2  # a face is put in, besides its own
LEVEL, TINT = (-1.0, 0.25), 0.15  # logarithms: of lights, between these, and how coloured they are
FLAT = 0.3  # share of lights that are the same all over
OWN = 1.5  # times that a face in its own light counts
PRICES = (0, 1, 3, 10)
BATCHES, SURE, FEWEST = 10, 0.8, 200  # of heads; from where on a pixel is skin; pixels of it


@dataclass(frozen=True, eq=False)
class Heard:
    """Of N pictures: the voices `seen`, `told`, `white` and `eyes` (N, 3), `varied` and `shaped` (N,), the
    light `put` on (N, 3), and `first` (N,), the row of the same face in its own light."""

    seen: Array
    told: Array
    white: Array
    eyes: Array
    varied: Array
    shaped: Array
    put: Array
    first: Array

    @property
    def own(self) -> Array:
        """(N,) bool: faces in their own light."""
        return np.arange(len(self.first)) == self.first

    @property
    def tests(self) -> Array:
        """(N,) bool: faces of which nothing is learnt."""
        return np.cumsum(self.own) % 5 == 0


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("data", type=Path)
    words.add_argument("--every", type=int, default=4, help="of the faces; portraits are all taken")
    words.add_argument("--net", type=Path)
    words.add_argument("--heads", type=Path)
    chosen = words.parse_args()
    model = open_light()
    if chosen.net:
        model = replace(model, session=onnxruntime.InferenceSession(chosen.net))
    torch.set_num_threads(1)
    heard = listened(chosen.data, chosen.every, model)
    print(f"{len(heard.own)} pictures of {heard.own.sum()} people")
    for price in PRICES:
        level(heard, price)
    for price in PRICES:
        tint(heard, price)
    skins(heard)
    if chosen.heads:
        on_heads(load_samples(chosen.heads), model)


def listened(data: Path, every: int, model: LightModel) -> Heard:
    rows, chance = list[tuple[tone.Voices, Array, int]](), shade.Chance(5)
    some = (face for number, face in enumerate(faces_in(data / "faces", "")) if number % every == 0)
    for _, photo, mesh in chain(faces_in(data / "portraits", HELD), some):
        first = len(rows)
        for lit, light in shown(np.ascontiguousarray(photo), mesh, model, chance):
            to_crop = geometry.crop_transform(mesh, model.mean, 2 * SIDE)
            crop, moved = complexion.sample(lit, to_crop, 2 * SIDE), geometry.apply(to_crop, mesh)
            around = complexion.surroundings(lit, to_crop)
            voices = tone.voices_of(crop, moved, model.light(crop, moved), around)
            skin = complexion.plain_skin(mesh, max(lit.shape))[: lit.shape[0], : lit.shape[1]]
            rows.append((voices, np.median(light[skin], 0) if skin.any() else light.mean((0, 1)), first))
    voices, put, of = zip(*rows, strict=True)
    names = ("seen", "told", "white", "eyes", "varied", "shaped")
    return Heard(*(np.array([getattr(one, name) for one in voices]) for name in names), np.array(put), np.array(of))


def shown(photo: Array, mesh: Array, model: LightModel, chance: shade.Chance) -> Iterator[tuple[Array, Array]]:
    """A photo (h, w, 3) uint8 in its own light and in others, and the logarithm of what was put on (h, w, 3)."""
    height, width = photo.shape[:2]
    size = max(height, width)
    small = geometry.apply(geometry.enlarge(SIDE / size), mesh).astype(np.float32)
    told = torch.from_numpy(planes(small, model.mean, model.triangles))[None]
    normal, face = shade.smooth_normals(told), shade.face_of(told)
    yield photo, np.zeros(photo.shape, np.float32)
    for _ in range(LIGHTS):
        gain, _ = shade.random_light(normal, face, chance)
        gain = torch.where(chance.even(1) < FLAT, torch.ones_like(gain), gain)
        gain = gain * torch.exp(chance.even(1, *LEVEL)) * chance.tint(1, TINT)
        light = cv2.resize(np.log(gain[0].permute(1, 2, 0).numpy() + 1e-3), (size, size))[:height, :width]
        lit = 255 * np.minimum(photo / 255 * np.exp(light / GAMMA), 1)
        yield np.rint(lit).astype(np.uint8), light


def hue(logs: Array) -> Array:
    return np.asarray(logs - logs.mean(-1, keepdims=True))


def level(heard: Heard, price: float) -> None:
    """Print Weights, but for their `hue`."""
    names = ("white", "eyes", "told", "seen", "varied", "shaped")
    columns = [voice.mean(-1) if voice.ndim > 1 else voice for voice in (getattr(heard, name) for name in names)]
    voices = np.stack([*columns, np.ones(len(heard.own))], -1)[:, None]
    found = fitted(heard, voices, heard.put.mean(-1, keepdims=True), heard.seen.mean(-1, keepdims=True), price)
    print("level", " ".join(f"{name}={value:.2f}" for name, value in zip((*names, "usual"), found)))


def tint(heard: Heard, price: float) -> None:
    """Print TINTS and WARM."""
    hues = [hue(voice) for voice in (heard.white, heard.eyes, heard.told)]
    warm = [each[heard.own].mean(0) for each in hues]
    voices = np.stack([each - usual for each, usual in zip(hues, warm)], -1)
    found = fitted(heard, voices, hue(heard.put), hue(heard.seen), price)
    print("tint", np.round(found, 2), "warm", np.round(warm, 2).tolist())


def fitted(heard: Heard, voices: Array, put: Array, seen: Array, price: float) -> Array:
    """(K,) how much each of voices (N, C, K) counts for the light `put` on (N, C), where `price` is put on what of it
    goes with the skin, `seen` (N, C), of faces in their own light. Prints how far apart people are then, and what is
    kept."""
    learnt, own = ~heard.tests, heard.own
    count = np.where(own, OWN, 1.0)[learnt, None, None]
    known = voices[learnt].reshape(-1, voices.shape[-1])
    weighed = (voices[learnt] * count).reshape(known.shape)
    apart = seen[learnt & own] - seen[learnt & own].mean(0)
    along = ((voices[learnt & own] - voices[learnt & own].mean(0)) * apart[..., None]).sum((0, 1))
    penalty = price * np.outer(along, along) / (apart**2).sum()
    found = np.linalg.solve(weighed.T @ known + np.eye(len(along)) + penalty, weighed.T @ put[learnt].ravel())
    skin = seen - voices @ found
    people, lit = heard.tests & own, heard.tests & ~own
    far = seen[people] - seen[people].mean(0)
    stay = (far * (skin[people] - skin[people].mean(0))).sum() / (far**2).sum()
    kept, was = (np.abs(each[lit] - each[heard.first[lit]]).mean() for each in (skin, seen))
    print(f"price {price}: apart {stay:.2f}, kept {kept / was:.2f}:", end=" ")
    return np.asarray(found)


def skins(heard: Heard) -> None:
    """Print how skin in pictures differs from what skin is, in a* and b*: in its saturation, and across it."""
    weights, off = tone.PHOTO, list[tuple[float, float, float]]()
    for row in np.flatnonzero(heard.own):
        said = tone.level_of(np.stack([voice[row] for voice in (heard.white, heard.eyes, heard.told)]), weights)
        unequal = weights.varied * heard.varied[row] + weights.shaped * heard.shaped[row]
        lab = tone.lab_of(heard.seen[row] - said - weights.seen * heard.seen[row].mean() - unequal)
        light = float(np.clip(lab[0], *tone.LIGHTNESS))
        usual = tone.usual_hue(light)
        along = usual / np.linalg.norm(usual)
        away = lab[1:] - usual
        off.append((light, float(away @ along), float(away @ (along[1], -along[0]))))
    light, rich, strange = np.array(off).T
    for low, high in ((22, 45), (45, 60), (60, 75)):
        here = (light >= low) & (light < high)
        for name, values in (("richer", rich[here]), ("redder", strange[here])):
            tenths = np.round(np.quantile(values, (0.05, 0.25, 0.5, 0.75, 0.95)), 1).tolist()
            print(f"skin of L* {low} to {high}: {name} than skin by {tenths} (5, 25, 50, 75, 95 %)")


def on_heads(samples: Samples, model: LightModel) -> None:
    """Print how much of light and of skin is in what the network tells of the light on heads, least squares."""
    chance, rows = shade.Chance(3), list[tuple[Array, Array, Array]]()
    for _ in range(BATCHES):
        for seen, placed, put, counts in zip(*known(samples, 32, chance), strict=True):
            skin = counts[0].numpy() > SURE
            if skin.sum() < FEWEST:
                continue
            (told,) = model.session.run(None, {"rgb": seen[None].numpy(), "geometry": placed[None].float().numpy()})
            colours = GAMMA * np.log(seen.numpy() + 1e-3) - put.numpy()
            rows.append(tuple(np.median(each[:, skin], 1) for each in (told[0], put.numpy(), colours)))
    told, truth, skin = (np.array(each) for each in zip(*rows))
    for name, part in (("level", lambda logs: logs.mean(-1, keepdims=True)), ("hue", hue)):
        said, put, own = (part(each) - part(each).mean(0) for each in (told, truth, skin))
        found = np.linalg.lstsq(np.stack([put.ravel(), own.ravel()], 1), said.ravel(), rcond=None)[0]
        print(
            f"heads: the {name} that the network tells is {found[0]:.2f} of the light's, {found[1]:.2f} of the skin's"
        )


if __name__ == "__main__":
    main()
