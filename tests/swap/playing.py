"""A scene with a face that moves, at any time; clips of it, and a whole-shot engine that gives it back in many ways."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from footage import make_clip, texture

from vidswap.face.geometry import posed
from vidswap.face.landmarks import OVAL, mean_face
from vidswap.files import whole
from vidswap.media.shotfile import pictures_of, write_shot
from vidswap.swap.clipengine import Footage, Limits, Price
from vidswap.swap.tickets import Ticket
from vidswap.types import Identity, TrackPart

SIZE = (240, 160)
MEAN = mean_face()
ACTOR, OTHER = (texture(seed, 120, 120) for seed in (7, 8))
GROUND = texture(3, 400, 160)


def mesh_at(time: float) -> np.ndarray:
    """(478, 3): the face at a second, which sways."""
    middle = np.array([120 + 40 * np.sin(2.2 * time), 85 + 12 * np.sin(3.1 * time), 0])
    return posed(MEAN, (26 + 2 * np.sin(time), np.eye(3), middle))


def scene(time: float, face: np.ndarray = ACTOR) -> np.ndarray:
    """(160, 240, 3) uint8: the scene at a second, before a ground that sways too."""
    ways = np.array([[1.0, 0, 20 + 14 * np.sin(2.7 * time)], [0, 1, 0]])
    ground = cv2.warpAffine(GROUND, ways, SIZE, flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP)
    mesh = mesh_at(time)
    scale, middle = mesh[:, 0].std() / MEAN[:, 0].std(), mesh[:468, :2].mean(0)
    put = np.array([[scale / 30, 0, middle[0] - 59.5 * scale / 30], [0, scale / 30, middle[1] - 59.5 * scale / 30]])
    skin = cv2.warpAffine(face, put, SIZE, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    large = np.zeros((4 * SIZE[1], 4 * SIZE[0]), np.uint8)
    outline = (mesh[OVAL, :2] - middle) * 1.12 + middle
    cv2.fillPoly(large, [np.rint((outline + 0.5) * 4 * 16).astype(np.int32)], 255, shift=4)
    cover = cv2.resize(large, SIZE, interpolation=cv2.INTER_AREA)[..., None] / 255
    return np.rint(ground * (1 - cover) + skin * cover).astype(np.uint8)


def track(times: Sequence[float], start: int = 0) -> TrackPart:
    """The face of the scene, in the frames from `start` on that are shown at these times."""
    mesh, count = np.stack([mesh_at(time) for time in times]), len(times)
    back = np.array([[20.0, 0, 0], [0, 20, 0]])
    return TrackPart(
        0, 0, start, mesh, np.ones(count, bool), np.ones(4, np.float32) / 2, np.full((count, 8, 8), 255, np.uint8),
        np.repeat(back[None], count, 0),
    )  # fmt: skip


def scene_clip(path: Path, count: int = 50) -> Path:
    """A film of the scene, 25 frames a second."""
    return make_clip(path, [scene(index / 25) for index in range(count)], options={"crf": "6", "preset": "veryfast"})


@dataclass
class Player:
    """A whole-shot engine: it gives back the scene with another face, each picture as it is at the second `when` of the
    shot's time, as its settings say: at a `rate`, `late` by so many seconds, with so many pictures `short`, its picture
    made `like` this."""

    when: Callable[[float], float] = field(default=lambda time: time)
    rate: Fraction | None = None
    late: float = 0.0
    short: int = 0
    like: Callable[[np.ndarray], np.ndarray] = field(default=lambda picture: picture)
    face: np.ndarray = field(default_factory=lambda: OTHER)
    limits: Limits = field(default_factory=lambda: Limits((1, 10), (64, 1000)))
    cost: Decimal = Decimal(0)
    uploads: bool = False
    told: Fraction | None = None  # the rate that its file claims
    asked: list[Footage] = field(default_factory=list)
    name: str = "player"
    key: str = "player 1"
    label: str = "player 1"

    def quote(self, footage: Footage) -> Price:
        return Price(self.cost * footage.frames, "USD", footage.frames, footage.seconds)

    def find(self, ticket: Ticket) -> str | None:
        return None

    def swap(self, shot: Path, identity: Identity, ticket: Ticket, progress: Callable[[int, int], None]) -> Path:
        times = [time for time, _ in pictures_of(shot)]
        self.asked.append(Footage(len(times), Fraction(round(1 / (times[1] - times[0]))), 0, 0))
        if ticket.job is None:
            ticket.accept(f"job {len(self.asked)}")
        rate = self.rate or self.asked[-1].rate
        count = round((times[-1] + times[1]) * rate) - self.short
        seconds = [self.when(number / float(rate) + self.late) for number in range(count)]
        answer = ticket.folder / "answer.mp4"
        with whole(answer) as part:
            write_shot(part, (self.like(scene(each, self.face)) for each in seconds), self.told or rate)
        progress(1, 1)
        return answer
