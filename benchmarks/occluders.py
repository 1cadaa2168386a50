"""What is before a face must stay: things with known shapes laid over a clip, then swapped, then compared inside.

python benchmarks/occluders.py CLIP FACE [--engine warp] [--frames 24]

Letters stay where they are in the picture, a microphone, a cup and glasses go with the face. Both clips are compared as
they were written, so that what the codec costs is the same for all; the PSNR inside of what was laid over is printed.
"""

from __future__ import annotations

import argparse
import itertools
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import cv2
import numpy as np

from vidswap.face import geometry, landmarks
from vidswap.read.faces import open_faces
from vidswap.swap.parts import FRONT, RIM, SIDE, framing
from vidswap.train import before, worn
from vidswap.types import Array

KINDS = ("letters", "microphone", "drink", "glasses", "sunglasses")


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("clip", type=Path)
    words.add_argument("face", type=Path)
    words.add_argument("--engine", default="warp")
    words.add_argument("--frames", type=int, default=24)
    words.add_argument("--seed", type=int, default=0)
    chosen = words.parse_args()
    frames, meshes = followed(chosen.clip, chosen.frames)
    total = []
    with TemporaryDirectory() as name:
        for kind in KINDS:
            laid, masks = covered(frames, meshes, kind, chosen.seed)
            before_, after = Path(name) / f"{kind}.mkv", Path(name) / f"{kind}_swapped.mkv"
            write(before_, laid)
            command = [sys.executable, "-m", "vidswap", "swap", str(before_), "--face", str(chosen.face), "--consent",
                       "self", "--engine", chosen.engine, "--no-cache", "--no-resume", "-o", str(after)]  # fmt: skip
            subprocess.run(command, check=True, capture_output=True)
            if not any(mask.any() for mask in masks):
                print(f"{kind}: not before the face with this seed")
                continue
            inside = psnr(read(before_), read(after), masks)
            total.append(inside)
            print(f"{kind}: {inside:.1f} dB")
    print(f"mean: {np.mean(total):.1f} dB" if total else "nothing was before the face")


def read(path: Path, most: int = 10**6) -> list[Array]:
    with av.open(str(path)) as file:
        return [frame.to_ndarray(format="rgb24") for frame, _ in zip(file.decode(video=0), range(most))]


def write(path: Path, frames: list[Array]) -> None:
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=Fraction(25), options={"crf": "12"})
        stream.width, stream.height, stream.pix_fmt = frames[0].shape[1], frames[0].shape[0], "yuv444p"
        for picture in frames:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        file.mux(stream.encode(None))


def followed(path: Path, count: int) -> tuple[list[Array], list[Array]]:
    """Frames with the mesh of their largest face."""
    reader, frames, meshes = open_faces("embedded"), [], list[Array]()
    for picture in read(path, count):
        near = reader.follow(picture, meshes[-1]) if meshes else None
        faces = [near] if near else sorted(reader.detect(picture), key=lambda face: -float(np.ptp(face.mesh[:, 0])))
        if faces:
            frames.append(picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2])
            meshes.append(faces[0].mesh)
    return frames, meshes


def covered(frames: list[Array], meshes: list[Array], kind: str, seed: int) -> tuple[list[Array], list[Array]]:
    """Frames with something before the face, and its shape (H, W) bool in each."""
    mean, laid, masks = landmarks.mean_face(), [], []
    first = framing(meshes[0], mean)
    for picture, mesh in zip(frames, meshes, strict=True):
        to_parts = first if kind == "letters" else framing(mesh, mean)
        put = _way(kind, mean, np.random.default_rng(seed))
        big = geometry.compose(geometry.enlarge(3), to_parts)  # drawn finer than the network sees
        cut = cv2.warpAffine(picture, big, (3 * SIDE,) * 2, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        scene = worn.Scene(cut.astype(np.float32), np.zeros(cut.shape[:2], np.uint8), geometry.apply(big, mesh))
        made = put(scene)
        back, size = geometry.invert(big), picture.shape[1::-1]
        shape = np.isin(made.parts, (FRONT, RIM)).astype(np.float32)
        changed = (np.abs(made.rgb - scene.rgb).max(-1) > 0).astype(np.float32)
        alpha = cv2.warpAffine(cv2.blur(changed, (3, 3)), back, size, flags=cv2.INTER_AREA)[..., None]
        new = cv2.warpAffine(np.clip(made.rgb, 0, 255).astype(np.uint8), back, size, flags=cv2.INTER_AREA)
        laid.append(np.rint(picture + alpha * (new.astype(np.float32) - picture)).astype(np.uint8))
        face = np.zeros(picture.shape[:2], np.uint8)
        cv2.fillPoly(face, [np.rint(mesh[landmarks.OVAL, :2]).astype(np.int32)], 1)
        masks.append((cv2.warpAffine(shape, back, size, flags=cv2.INTER_AREA) > 0.7) & (face > 0))
    return laid, masks


def _way(kind: str, mean: Array, rng: np.random.Generator) -> Callable[[worn.Scene], worn.Scene]:
    """How a kind of thing is laid over a scene."""
    plain = [np.full((64, 64, 3), (70, 110, 160), np.uint8)]
    return {
        "letters": lambda scene: before.letters(scene, rng), "microphone": lambda scene: before.microphone(scene, rng),
        "drink": lambda scene: before.drink(scene, plain, rng),
        "glasses": lambda scene: glasses(scene, mean, False, rng),
        "sunglasses": lambda scene: glasses(scene, mean, True, rng),
    }[kind]  # fmt: skip


def glasses(scene: worn.Scene, mean: Array, are_dark: bool, rng: np.random.Generator) -> worn.Scene:
    """A scene with the first make of glasses that hides the eyes, or does not."""
    seeds = itertools.count(int(rng.integers(1000)))
    makes = (worn.glasses(scene, mean, np.random.default_rng(seed)) for seed in seeds)
    return next(made for made in makes if (FRONT in made.parts) == are_dark)


def psnr(one: list[Array], other: list[Array], masks: list[Array]) -> float:
    """Of all pixels in the masks, in dB."""
    off = [(a[mask].astype(np.float64) - b[mask]) ** 2 for a, b, mask in zip(one, other, masks, strict=True)]
    return float(10 * np.log10(255**2 / max(float(np.concatenate(off).mean()), 1e-9)))


if __name__ == "__main__":
    main()
