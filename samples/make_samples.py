"""Makes the samples: a clip with sound of somebody who does not exist, and a selfie of somebody else who does not.

    python samples/make_samples.py --data FACES              clip.mp4 and selfie.jpg beside this script
    python samples/make_samples.py --before-after OUT.mp4    before_after.jpg, from the clip and its swap
    python samples/make_samples.py --strip SHORT.mp4         short.jpg, from a short of the clip

FACES is a folder of labelled synthetic portraits: pictures, labels.npz (name, mesh) and topology.npz (tri). Ours were
tiles of SFHQ-T2I by David Beniaguev (MIT licence): generated pictures, no real person. A new person is several of
them blended in shape and texture, cut out, relit, and moved before a room drawn by this script.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from motion import Act, Puppet, expressed, puppet, turned
from numpy.typing import NDArray
from portrait import Portrait, Recipe, cut_out, dyed, grid_of, mix, sample
from scene import Light, filmed, joined, lit, room_with_lamp, street_at_dusk
from sound import RATE, Syllable, soundtrack, talk

Array = NDArray[Any]
HERE = Path(__file__).parent
SIZE = (768, 432)
FPS = 25
MOMENTS = (20, 55, 82, 132)  # frames of the before-and-after picture
ACTOR = Recipe("1407.jpg", (("0820.jpg", 0.35), ("0865.jpg", 0.30), ("0498.jpg", 0.20)), "0820.jpg")
SELFIE = Recipe("1590.jpg", (("1550.jpg", 0.40), ("0349.jpg", 0.20), ("0098.jpg", 0.20)), "1550.jpg", light=0.2)
MADE_BY = "Synthetic person, made by samples/make_samples.py of vidswap from SFHQ-T2I faces (MIT)"


@dataclass(frozen=True, eq=False)
class Shot:
    """Frames [start, stop): who is seen how, before what. `view` is (zoom, x, y): portrait pixels a frame pixel, and
    the portrait's place of the frame's upper left corner; `keys` are (second, yaw, pitch, roll); `blinks` seconds."""

    start: int
    stop: int
    room: Array
    light: Light
    view: tuple[float, float, float]
    keys: tuple[tuple[float, float, float, float], ...]
    blinks: tuple[float, ...]


def act_at(shot: Shot, syllables: Sequence[Syllable], time: float) -> Act:
    """What the face does at a time, in seconds of the clip: keys joined smoothly, a little unrest added."""
    keys = np.array(shot.keys)
    at = int(np.clip(np.searchsorted(keys[:, 0], time) - 1, 0, len(keys) - 2))
    part = np.clip((time - keys[at, 0]) / (keys[at + 1, 0] - keys[at, 0]), 0, 1)
    ease = (1 - np.cos(np.pi * part)) / 2
    yaw, pitch, roll = keys[at, 1:] * (1 - ease) + keys[at + 1, 1:] * ease
    now = np.array([time])
    open_by = [float(s.shape(now)[0]) for s in syllables]
    jaw = max(open_by)
    pout = sum(o for o, s in zip(open_by, syllables) if s.vowel in (3, 4)) / 0.6
    blink = max((np.exp(-(((time - b) / 0.085) ** 4)) for b in shot.blinks), default=0.0)
    nod = 1.6 * jaw + 0.8 * np.sin(2 * np.pi * 0.9 * time)
    return Act(yaw + 0.7 * np.sin(2.1 * time), pitch + nod, roll + 0.6 * np.sin(1.7 * time + 1), jaw, pout, blink,
               0.5 * np.sin(1.3 * time) ** 2)  # fmt: skip


def camera(shot: Shot, time: float) -> Array:
    """(h, w, 2): the portrait's place of each frame pixel; a hand-held camera that comes closer."""
    zoom, x, y = shot.view
    closer = 1 - 0.012 * (time - shot.start / FPS)
    shake = np.array([1.8 * np.sin(1.9 * time) + 0.9 * np.sin(4.3 * time), 1.4 * np.sin(2.3 * time + 2)])
    middle = np.array(SIZE) / 2
    return (grid_of(SIZE[::-1]) - middle) * zoom * closer + middle * zoom + (x, y) + shake


def behind(shot: Shot, time: float) -> Array:
    """The room as the camera sees it: it moves less than the person, for it is farther away."""
    shift = np.array([24 + 0.8 * np.sin(1.9 * time), 14 + 0.6 * np.sin(2.3 * time + 2)])
    closer = 1 - 0.004 * (time - shot.start / FPS)
    return sample(shot.room, (grid_of(SIZE[::-1]) - np.array(SIZE) / 2) * closer + np.array(SIZE) / 2 + shift)


def frames(doll: Puppet, shots: Sequence[Shot], syllables: Sequence[Syllable]) -> Iterator[Array]:
    """The clip's pictures (h, w, 3) uint8."""
    draw = np.random.default_rng(11)
    for shot in shots:
        person = Portrait(lit(doll, shot.light), doll.portrait.mesh, doll.portrait.alpha)
        for index in range(shot.start, shot.stop):
            act = act_at(shot, syllables, index / FPS)
            layers = np.dstack([expressed(person, act), person.alpha])
            seen = sample(layers, turned(doll, act, camera(shot, index / FPS)))
            yield filmed(joined(seen[..., :3], np.clip(seen[..., 3], 0, 1), behind(shot, index / FPS)), draw)


def shots() -> list[Shot]:
    """A medium shot before the street, then a close-up in the room."""
    room = (SIZE[0] + 48, SIZE[1] + 28)
    dusk, lamp = Light((0.8, -0.2, -0.6), 0.25, (1.02, 0.98, 0.96)), Light((0.7, -0.5, -0.5), 0.45, (1.10, 1.0, 0.88))
    wide, close = (1.93, -270.0, 55.0), (1.30, -92.0, 48.0)
    looks = ((0.0, -5, 1, 0), (0.7, -6, 1, 1), (1.7, 25, 2, 3), (2.2, 24, 4, 2), (3.3, -25, -2, -3), (3.6, -26, -1, -3))
    later = ((3.6, 13, 2, 2), (4.3, 10, 4, 2), (5.2, -12, 0, -2), (5.9, -4, 3, 0), (6.4, 0, 2, 0))
    first = Shot(0, 90, street_at_dusk(room, 4), dusk, wide, looks, (1.05, 2.85))
    second = Shot(90, 160, room_with_lamp(room, 8), lamp, close, later, (4.55,))
    return [first, second]


def encode(path: Path, pictures: Iterator[Array], sound: Array) -> None:
    """H.264 and AAC in an mp4."""
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        container.metadata.update({"comment": MADE_BY, "title": "vidswap sample"})
        video = container.add_stream("libx264", rate=FPS, options={"crf": "20", "preset": "slow"})
        video.width, video.height, video.pix_fmt = *SIZE, "yuv420p"
        video.codec_context.color_range, video.codec_context.colorspace = 1, 1
        audio = container.add_stream("aac", rate=RATE, layout="mono", bit_rate=96000)
        for index, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format="yuv420p", dst_colorspace=1)
            frame.pts, frame.time_base = index, Fraction(1, FPS)
            container.mux(video.encode(frame))
        container.mux(video.encode())
        for start in range(0, len(sound), 1024):
            block = av.AudioFrame.from_ndarray(sound[None, start : start + 1024], "fltp", "mono")
            block.sample_rate, block.pts, block.time_base = RATE, start, Fraction(1, RATE)
            container.mux(audio.encode(block))
        container.mux(audio.encode())


def save_jpeg(path: Path, rgb: Array, quality: int) -> None:
    """Raises OSError when the file cannot be written."""
    if not cv2.imwrite(str(path), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]):
        raise OSError(path)


def make_selfie(data: Path) -> Array:
    """(640, 640, 3) uint8: somebody else, in the light of a window."""
    doll = puppet(dyed(cut_out(*mix(SELFIE, data)), (0.52, 0.50, 0.62)))
    wall = cv2.resize(street_at_dusk((480, 480), 21), (640, 640), interpolation=cv2.INTER_CUBIC) * 0.4
    wall = wall + np.array((0.42, 0.46, 0.47))
    layers = np.dstack([lit(doll, Light((-0.5, -0.4, -0.8), 0.12, (1.15, 1.15, 1.16))), doll.portrait.alpha])
    places = grid_of((640, 640)) * 1.5 + (0, 0)
    seen = sample(layers.astype(np.float32), places.astype(np.float32))
    return filmed(joined(seen[..., :3], np.clip(seen[..., 3], 0, 1), wall.astype(np.float32)), np.random.default_rng(2))


def make_clip(data: Path, path: Path) -> None:
    doll = puppet(cut_out(*mix(ACTOR, data)))
    syllables = talk(((0.25, 1.6), (2.0, 3.5), (3.75, 5.7)), 7)
    scenes = shots()
    encode(path, frames(doll, scenes, syllables), soundtrack(syllables, scenes[-1].stop / FPS))


def before_after(clip: Path, swapped: Path, selfie: Path) -> Array:
    """(H, W, 3) uint8: the selfie, then moments of the clip above the same of its swap."""
    side, gap = 300, 6
    photo = cv2.cvtColor(cv2.imread(str(selfie)), cv2.COLOR_BGR2RGB)
    page = np.full((2 * side + gap, side + 3 * gap + len(MOMENTS) * (side + gap) - gap, 3), 255, np.uint8)
    top = (page.shape[0] - side) // 2
    page[top : top + side, :side] = cv2.resize(photo, (side, side), interpolation=cv2.INTER_AREA)
    for row, path in enumerate((clip, swapped)):
        with av.open(str(path)) as container:
            wanted = {index: frame.to_ndarray(format="rgb24") for index, frame in enumerate(container.decode(video=0))
                      if index in MOMENTS}  # fmt: skip
        for column, index in enumerate(MOMENTS):
            frame = wanted[index]
            left = (frame.shape[1] - frame.shape[0]) // 2
            square = cv2.resize(frame[:, left : left + frame.shape[0]], (side, side), interpolation=cv2.INTER_AREA)
            x = side + 3 * gap + column * (side + gap)
            page[row * (side + gap) : row * (side + gap) + side, x : x + side] = square
    return page


def strip(short: Path) -> Array:
    """(H, W, 3) uint8: frames of a short, evenly spaced, side by side."""
    wide, gap, count = 180, 6, 6
    with av.open(str(short)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    high = round(frames[0].shape[0] * wide / frames[0].shape[1])
    page = np.full((high, count * (wide + gap) - gap, 3), 255, np.uint8)
    for column, place in enumerate(np.linspace(0, len(frames) - 1, count).round().astype(int)):
        left = column * (wide + gap)
        page[:, left : left + wide] = cv2.resize(frames[place], (wide, high), interpolation=cv2.INTER_AREA)
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="the folder of labelled faces: make the clip and the selfie")
    parser.add_argument("--before-after", type=Path, metavar="OUT", help="the swapped clip: make the picture")
    parser.add_argument("--strip", type=Path, metavar="SHORT", help="a short of the clip: make the picture")
    parser.add_argument("--out", type=Path, default=HERE, help="where the samples go")
    words = parser.parse_args()
    if words.data:
        save_jpeg(words.out / "selfie.jpg", make_selfie(words.data), 92)
        make_clip(words.data, words.out / "clip.mp4")
    if words.before_after:
        page = before_after(HERE / "clip.mp4", words.before_after, HERE / "selfie.jpg")
        save_jpeg(words.out / "before_after.jpg", page, 88)
    if words.strip:
        save_jpeg(words.out / "short.jpg", strip(words.strip), 86)


if __name__ == "__main__":
    cv2.setNumThreads(1)
    main()
