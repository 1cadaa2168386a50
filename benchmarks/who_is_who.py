"""How often two people are taken for one, and one for two: the tables of docs/who-is-who.md, as Markdown.

    python benchmarks/who_is_who.py --scenes SCENES --topology TOPOLOGY.npz FOLDER...

Each FOLDER holds portraits, one of each person, and `labels.npz` (`name`, and `mesh` (N, 478, 3) in pixels of the
picture); of names that begin with female or male the sex is known. TOPOLOGY.npz has the triangles of the mesh, SCENES
are pictures without people. A take is a portrait seen LOOKS times, each time turned and with another expression, in one
light and through one camera; the light of a take is the same for all people.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from pathlib import Path

import cv2
import numpy as np

from vidswap.face.landmarks import opposite
from vidswap.plan.persons import SAME, persons_of
from vidswap.read.dissolves import Dissolve, DissolveDetector, merged
from vidswap.read.faces import FaceReader, open_faces
from vidswap.read.follow import follow_faces
from vidswap.read.shots import CutDetector, shrunk
from vidswap.read.tracks import tracks_in
from vidswap.train import augment, faces
from vidswap.types import Array, Shot

LOOKS, LIGHTS, TAKES = 4, 3, 2  # looks of a take, lights, takes of a person in each light
SIDE, LENGTH = 256, 40  # of a take's pictures: pixels; how many of each person in a film
PLAIN = faces.Augmentation(size=SIDE, cover=0, relight=0, spoil=0, mirror=False)
POSES = replace(PLAIN, yaw=9, pitch=6, roll=8, shift=0.05, zoom=0.1)
STILL = replace(PLAIN, yaw=5, pitch=3, roll=4, shift=0.02, zoom=0.05)
THRESHOLDS = (0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9)
WAYS = {"hard cut": 0, "fade .2 s": 6, "fade .4 s": 12, "fade .8 s": 24, "fade 1.5 s": 45, "wipe .5 s": 15}
TONES = ((28, "light"), (10, "tan"), (-90, "brown and dark"))  # individual typology angle (Chardon 1991), degrees


@dataclass(frozen=True, eq=False)
class People:
    """Pictures and meshes, the sex as far as names say it, the tone of the skin."""

    faces: faces.Faces
    sex: Array
    tone: Array


def gather(folders: Sequence[Path], scenes: Path, topology: Path) -> People:
    labels = [(folder, np.load(folder / "labels.npz")) for folder in folders]
    named = [(folder / str(name), mesh) for folder, known in labels for name, mesh in zip(known["name"], known["mesh"])]
    mean = faces.mean_face(np.stack([mesh for _, mesh in named]))
    shrunk_ = [faces.shrink(faces.read(path), mesh, mean, 110.0) for path, mesh in named]
    backgrounds = tuple(faces.read(path) for path in sorted(scenes.glob("*.jpg"))[:20])
    triangles = faces.closed(np.load(topology)["tri"])
    known = faces.Faces(tuple(picture for picture, _ in shrunk_), np.stack([mesh for _, mesh in shrunk_]), mean,
                        triangles, opposite(mean), backgrounds)  # fmt: skip
    sex = np.array([next((word for word in ("female", "male") if path.name.startswith(word)), "") for path, _ in named])
    return People(known, sex, np.array([tone_of(*each) for each in shrunk_]))


def tone_of(picture: Array, mesh: Array) -> str:
    """The class of the cheeks' skin."""
    cheeks = [picture[int(y) - 3 : int(y) + 4, int(x) - 3 : int(x) + 4].reshape(-1, 3) for x, y in mesh[[50, 280], :2]]
    mean = (np.concatenate(cheeks).mean(0) / 255).astype(np.float32)
    light, _, yellow = cv2.cvtColor(mean[None, None], cv2.COLOR_RGB2LAB)[0, 0]
    angle = float(np.degrees(np.arctan2(light - 50, yellow)))
    return next((word for least, word in TONES if angle > least), TONES[-1][1])


Take = tuple[int, int, int]  # who, in which light, the take's number


def take(people: People, which: Take, recipe: faces.Augmentation) -> Iterator[tuple[Array, Array]]:
    """Pictures (SIDE, SIDE, 3) and meshes of a person in a light, without end."""
    rng, (who, light, number) = np.random.default_rng(which), which
    while True:
        sample = faces.sample(people.faces, who, recipe, rng)
        lit = augment.relit(sample.rgb, np.random.default_rng(100 + light))
        yield augment.spoilt(lit, np.random.default_rng((7, light, number))), sample.mesh


# -- pairs of takes ----------------------------------------------------------------------------------------------------


def views(people: People, reader: FaceReader) -> Array:
    """(N, LIGHTS, TAKES, LOOKS, E): the embeddings of all looks; NaN where no face is seen."""
    found = np.full((len(people.faces), LIGHTS, TAKES, LOOKS, 256), np.nan, np.float32)
    for who, light, number in np.ndindex(*found.shape[:3]):
        for look, (rgb, mesh) in enumerate(islice(take(people, (who, light, number), POSES), LOOKS)):
            face = reader.follow(rgb, mesh)
            if face is not None:
                found[who, light, number, look] = reader.embed(rgb, face.mesh)
    return found


def likeness(some: Array, others: Array) -> Array:
    """(N, M): of the most similar two views of takes (N, V, E) and (M, V, E)."""
    pairs = [some[:, i] @ others[:, j].T for i in range(some.shape[1]) for j in range(others.shape[1])]
    return np.nanmax(np.stack(pairs), 0)


def pairs_table(people: People, found: Array) -> Iterator[str]:
    strangers, own = list[Array](), {"same light": list[Array](), "another light": list[Array]()}
    for light in range(LIGHTS):
        alike = likeness(found[:, light, 0], found[:, light, 1])
        strangers.append(alike)
        own["same light"].append(alike.diagonal())
        other = likeness(found[:, light, 0], found[:, (light + 1) % LIGHTS, 0])
        own["another light"].append(other.diagonal())
    alike, apart = np.stack(strangers), ~np.eye(len(people.faces), dtype=bool)
    women, men = people.sex == "female", people.sex == "male"
    groups = {"all": apart, "two women": apart & women[:, None] & women, "two men": apart & men[:, None] & men}
    for _, word in TONES:
        tone = people.tone == word
        groups[f"two of {word} skin"] = apart & tone[:, None] & tone
    yield "| likeness from which two takes are one person | " + " | ".join(f"{each:.2f}" for each in THRESHOLDS) + " |"
    yield "|---|" + "---|" * len(THRESHOLDS)
    for name, chosen in groups.items():
        scores = alike[:, chosen]
        yield row(f"false merges, {name}: {scores.size:,} pairs", [float((scores >= t).mean()) for t in THRESHOLDS])
    for name, each in own.items():
        scores = np.concatenate(each)
        yield row(f"false splits, {name}: {scores.size:,} pairs", [float((scores < t).mean()) for t in THRESHOLDS])


def row(name: str, shares: Sequence[float]) -> str:
    return f"| {name} | " + " | ".join(f"{100 * share:.2f} %" for share in shares) + " |"


# -- films -------------------------------------------------------------------------------------------------------------


def shot_of(people: People, which: Take, count: int) -> list[Array]:
    """A still of a person before a camera that moves a little, and its noise."""
    still, _ = next(take(people, which, STILL))
    rng = np.random.default_rng((*which, 1))
    drift, phase = rng.normal(0, 3, 2), rng.uniform(0, 6, 3)
    pictures = []
    for i in range(count):
        turn = cv2.getRotationMatrix2D((SIDE / 2, SIDE / 2), float(np.sin(phase[2] + i / 15)), 1.08 + 0.0008 * i)
        turn[:, 2] += drift * (i / count - 0.5) + np.sin(phase[:2] + i / 8)
        moved = cv2.warpAffine(still, turn, (SIDE, SIDE), borderMode=cv2.BORDER_REFLECT)
        pictures.append(np.clip(moved + rng.normal(0, 2, moved.shape), 0, 255).astype(np.uint8))
    return pictures


def film(before: list[Array], after: list[Array], way: str) -> list[Array]:
    count = WAYS[way]
    if not count:
        return before + after
    between, columns = [], np.arange(SIDE)[None, :, None]
    for i in range(count):
        share = (i + 1) / (count + 1)
        laid = columns >= SIDE * (1 - share) if way.startswith("wipe") else share
        between.append(before[len(before) - count + i] * (1.0 - laid) + after[i] * (1.0 * laid))
    return [*before[:-count], *(np.rint(each).astype(np.uint8) for each in between), *after[count:]]


def persons_in(pictures: list[Array], reader: FaceReader) -> list[tuple[int, int, int]]:
    """(person, start, stop) of the tracks, read as a clip is."""
    is_cut, dissolves, over, cuts = CutDetector(), DissolveDetector(), list[Dissolve | None](), [0]

    def watched() -> Iterator[tuple[int, Array, bool]]:
        for index, rgb in enumerate(pictures):
            small = shrunk(rgb)
            cut = is_cut(small)
            cuts.extend([index] * cut)
            over.append(dissolves(index, small, cut))
            yield index, rgb, cut

    seen = list(follow_faces(watched(), reader, 8))
    known = merged(each for each in (*over, dissolves.end()) if each)
    found = []
    for start, stop in pairwise([*cuts, len(seen)]):
        inside = [each for each in known if start < each.middle < stop]
        found += tracks_in(Shot(start, stop), seen[start:stop], start, len(found), inside)
    numbers = persons_of([sketch for _, sketch in found])
    return [(number, track.start, track.stop) for number, (track, _) in zip(numbers, found)]


def films_table(people: People, reader: FaceReader, pairs: int) -> Iterator[str]:
    yield ("| | films of two people | taken for one | for more than two | turn off by (frames: median, most) "
           "| films of one person | taken for several |")  # fmt: skip
    yield "|---|---|---|---|---|---|---|"
    rng = np.random.default_rng(0)
    sexes = ("female", "male") * pairs
    chosen = [rng.choice(np.flatnonzero(people.sex == sex), 2, replace=False) for sex in sexes[:pairs]]
    for way, length in WAYS.items():
        merged, many, off, split = 0, 0, list[float](), 0
        for number, (one, other) in enumerate(chosen):
            light, count = number % LIGHTS, LENGTH + length // 2
            middle = count - length / 2
            parts = [shot_of(people, (who, light, 0), count) for who in (one, other)]
            found = persons_in(film(*parts, way), reader)
            merged += len({person for person, *_ in found}) < 2
            many += len({person for person, *_ in found}) > 2
            off += [min(abs(stop - middle) for _, _, stop in found)]
            again = shot_of(people, (one, (light + number % 2) % LIGHTS, 1), count)
            split += len({person for person, *_ in persons_in(film(parts[0], again, way), reader)}) > 1
        yield (f"| {way} | {len(chosen)} | {merged} | {many} | {np.median(off):.0f}, {max(off):.0f} "
               f"| {len(chosen)} | {split} |")  # fmt: skip


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    words.add_argument("--scenes", type=Path, required=True)
    words.add_argument("--topology", type=Path, required=True)
    words.add_argument("--films", type=int, default=12, help="pairs of people for each way from one to the other")
    options = words.parse_args()
    cv2.setNumThreads(1)
    people, reader = gather(options.folders, options.scenes, options.topology), open_faces("embedded")
    print(f"{len(people.faces)} people; one person's tracks are those of a likeness from {SAME} on\n")
    for line in films_table(people, reader, options.films):
        print(line, flush=True)
    print()
    for line in pairs_table(people, views(people, reader)):
        print(line, flush=True)


if __name__ == "__main__":
    main()
