"""How much of the actor's expression a swap repeats: python benchmarks/expression.py ORIGINAL SWAPPED PHOTO

A row a clip: the slope of the swap's movement against the actor's (1 is all of it) for brows, lids, jaw, corners of the
mouth, pucker and gaze, "-" where the actor hardly moves them; and `kept`, the share of the photo's smile that is seen
on an actor who smiles less. Several clips: --pairs FILE, a line of the three each.

Meshes are our own tracker's; with --second FOLDER they are read from FOLDER/NAME.npz (`mesh` (T, 478, 3), NaN where no
face is seen), NAME being the stem of each file: another tracker's opinion.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from vidswap.face import landmarks
from vidswap.face.movement import MOVEMENTS, kept, movements, slope
from vidswap.read.clip import frames, open_clip
from vidswap.read.faces import FaceReader, open_faces
from vidswap.read.photo import read_photo
from vidswap.types import Array

LOOK = 10  # frames between looks for the face


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("files", nargs="*", type=Path)
    words.add_argument("--pairs", type=Path)
    words.add_argument("--second", type=Path)
    chosen = words.parse_args()
    rows = [chosen.files] if chosen.files else [
        [Path(word) for word in line.split()] for line in chosen.pairs.read_text().splitlines() if line.strip()
    ]  # fmt: skip
    reader = open_faces("embedded")
    print(f"{'clip':<28}" + "".join(f"{name:>9}" for name in (*MOVEMENTS, "kept")))
    for original, swapped, photo in rows:
        print(row(original, swapped, photo, reader, chosen.second), flush=True)


def row(original: Path, swapped: Path, photo: Path, reader: FaceReader, second: Path | None) -> str:
    """A line of the table."""
    mean = landmarks.mean_face()
    if second is None:
        before, after, selfie = *followed(original, swapped, reader), looked_at(photo, reader)
    else:
        before, after, selfie = (np.load(second / f"{file.stem}.npz")["mesh"] for file in (original, swapped, photo))
        before, after = before[: len(after)], after[: len(before)]
        seen = ~np.isnan(before[:, 0, 0] + after[:, 0, 0])
        before, after, selfie = before[seen], after[seen], selfie.reshape(-1, 478, 3)[0]
    ours, theirs = ([movements(mesh, mean) for mesh in meshes] for meshes in (before, after))
    pairs = {name: np.array([[one[name], other[name]] for one, other in zip(ours, theirs)]) for name in ours[0]}
    values = [slope(pairs[name]) for name in MOVEMENTS]
    shares = [kept(movements(selfie, mean)["smile"], *pair) for pair in pairs["smile"].tolist()]
    known = [share for share in shares if share is not None]
    values.append(float(np.mean(known)) if known else None)
    return f"{swapped.stem:<28}" + "".join("        -" if value is None else f"{value:9.2f}" for value in values)


def followed(original: Path, swapped: Path, reader: FaceReader) -> tuple[Array, Array]:
    """(N, 478, 3) each: the largest face in the frames of both, looked for from the same place."""
    found: list[tuple[Array, Array]] = []
    place: Array | None = None
    for index, (one, other) in enumerate(zip(frames(open_clip(original)), frames(open_clip(swapped)), strict=False)):
        rgb = one.rgb
        if place is None or index % LOOK == 0:
            faces = reader.detect(rgb)
            place = max(faces, key=lambda face: np.ptp(face.mesh[:, 0])).mesh if faces else None
        if place is None:
            continue
        before, after = reader.follow(rgb, place), reader.follow(other.rgb, place)
        if before and after:
            found.append((before.mesh, after.mesh))
        place = before.mesh if before else None
    return np.array([pair[0] for pair in found]), np.array([pair[1] for pair in found])


def looked_at(photo: Path, reader: FaceReader) -> Array:
    """(478, 3): the largest face of a photo."""
    return max(reader.detect(read_photo(photo, 1024).rgb), key=lambda face: np.ptp(face.mesh[:, 0])).mesh


if __name__ == "__main__":
    main()
