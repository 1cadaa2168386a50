"""Photos of a person and a base -> a LoRA of their face: low-rank changes of attention (Hu et al., ICLR 2022).

The base stays as it is, its text encoder too: a rare token in a short caption learns to mean the person (DreamBooth,
Ruiz et al., CVPR 2023). Pictures are aligned crops, as engines are handed them, and only the face in them counts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vidswap import __version__
from vidswap.errors import UsageError, quoted
from vidswap.files import as_output_error, noted_as
from vidswap.keys import key_of
from vidswap.models.hub import digests_in
from vidswap.progress import Report, quiet
from vidswap.read.faces import FaceReader, open_faces
from vidswap.train import loop
from vidswap.train.album import ALIKE, Album, open_album
from vidswap.train.foundation import base_in, licence_of
from vidswap.train.lora_files import LAYOUTS, About, as_picture, save_card, save_consent, save_lora, save_sheet
from vidswap.train.lora_lesson import (
    Batches,
    Ground,
    anybodies,
    captions,
    decks,
    ground,
    lesson_of,
    put_in,
    with_adapter,
    within_memory,
)
from vidswap.trust.consent import TRAIN, permit
from vidswap.types import Array, Consent

BASES = ("sd15", "sdxl", "flux")
LEAST, MOST = 64, 2048  # pixels of a side
_NAME = re.compile(r"[\w][\w-]{0,63}")
_WORDS = re.compile(r"[\w][\w ,'-]{0,59}")


@dataclass(frozen=True)
class Schedule(loop.Schedule):
    """Pictures are crops of `side` pixels (0: as the base was made for), `batch` of them a step. `rank` and `alpha` are
    the LoRA's (alpha 0: as rank). The person is called `token` `noun`. `prior` pictures of anybody, that the base draws
    first, keep it from making everybody the person; they count `weight` times. Photos whose
    faces are less `alike` the others', a cosine, are left out. `thrifty` spares memory and costs time.
    In the end `samples` pictures are drawn in `drawn` steps. `layout` is that of the file."""

    steps: int = 1200
    minutes: float = 720.0
    batch: int = 1
    rate: float = 1e-4
    workers: int = 0
    side: int = 0
    rank: int = 16
    alpha: float = 0.0
    token: str = "ohwx"
    noun: str = "person"
    prior: int = 0
    weight: float = 1.0
    alike: float = ALIKE
    thrifty: bool = True
    samples: int = 4
    drawn: int = 28
    layout: str = "diffusers"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, low, high in (("rank", 1, 512), ("alpha", 0, 4096), ("prior", 0, 2000), ("weight", 0, 10),
                                ("alike", -1, 1), ("samples", 0, 16), ("drawn", 1, 200)):  # fmt: skip
            if not low <= getattr(self, name) <= high:
                raise UsageError(f"{name} is {getattr(self, name)}", f"allowed: {low} to {high}")
        if self.layout not in LAYOUTS:
            raise UsageError(f"layout is {quoted(self.layout)}", f"allowed: {', '.join(LAYOUTS)}")
        for name in ("token", "noun"):
            if not _WORDS.fullmatch(getattr(self, name)):
                raise UsageError(f"{name} is {quoted(getattr(self, name))}", "allowed: a word or a few")

    @property
    def call(self) -> str:
        """The words that call the person."""
        return f"{self.token} {self.noun}"

    @property
    def scale(self) -> float:
        """The LoRA's alpha: learnt with, and taken into the file's weights."""
        return self.alpha or float(self.rank)


@dataclass(frozen=True)
class Order:
    """Who is to be learnt: the `name` of the LoRA, of whom `photos` are and with whose `consent`; on which `base`,
    which is the one that was pulled, or the folder `weights`."""

    name: str
    photos: Path
    consent: Consent
    base: str
    weights: Path | None = None


@dataclass(frozen=True)
class Trained:
    """What there is now. `likeness` is how much the samples' faces are the photos', a cosine: the mean over those in
    which a face was found, None where in none; `notes` are what a person should know."""

    file: Path
    sheet: Path | None
    card: Path
    consent: Path
    call: str
    licence: str
    photos: int
    likeness: float | None
    notes: tuple[str, ...]


def train(order: Order, out: Path, *, schedule: Schedule = Schedule(), say: loop.Say = loop.mute,
          warn: loop.Say = loop.mute, report: Report = quiet) -> Trained:  # fmt: skip
    """Learn a person, and write what there is of it to the folder `out`. Whoever is stopped goes on from the last
    checkpoint, to the same bytes. `warn` hears at once what a person should know, as which photos are left out. Raises
    ConsentError, UsageError, ModelError, IdentityError, OutputError, EngineError; all that can be refused is refused
    before anything is learnt."""
    permit(order.consent, TRAIN)
    check_order(order, out)
    folder, family = base_in(order.base, order.weights)
    if schedule.layout == "kohya" and family.part != "unet":
        raise UsageError(f"kohya's layout has no names for {order.base}", "leave it at diffusers, which tools load too")
    where, side = ground(family, folder), side_of(schedule, family.side, family.grain)
    reader = open_faces("embedded")
    album = open_album(order.photos, reader, side, schedule.alike, report)
    for note in album.notes:
        warn(note)
    numbers = str(where.dtype).removeprefix("torch.")
    say(f"{len(album.pages)} photos at {side} pixels, on {where.device} in {numbers}")
    with as_output_error(out):
        out.mkdir(parents=True, exist_ok=True)
    about = about_of(order, schedule, album, family.architecture, side)
    torch.manual_seed(schedule.seed)
    with loop.checkpoints(out, order.name) as (place,), within_memory():
        with noted_as(f"what was learnt up to the last checkpoint stays in {out}: the same command goes on from it"):
            network, state = learnt(where, album, schedule, (side, place), say=say, report=report)
        consent = save_consent(about, out / f"{order.name}.consent.toml")
        card = save_card(about, out / f"{order.name}.md")
        file = save_lora(state, about, family.part, schedule.layout, out / f"{order.name}.safetensors")
        samples = drawn(where, network, schedule, side, report)
    sheet = out / f"{order.name}.png" if samples else None
    if sheet:
        save_sheet([page.rgb for page in album.pages], samples, about, sheet)
    likeness = likeness_of(samples, album, reader)
    return Trained(file, sheet, card, consent, schedule.call, about.licence, len(album.pages), likeness, album.notes)


def check_order(order: Order, out: Path) -> None:
    """Raise UsageError for a name, a base or a folder that cannot be."""
    if not _NAME.fullmatch(order.name):
        raise UsageError(f"a LoRA cannot be called {quoted(order.name)}", "allowed: letters, digits, - and _, up to 64")
    if order.base not in BASES:
        raise UsageError(f"no base is called {quoted(order.base)}", f"choose one of: {', '.join(BASES)}")
    if out.is_dir() and order.photos.is_dir() and out.samefile(order.photos):
        raise UsageError(f"{out} is the folder of the photos", "give what is learnt a folder of its own")


def side_of(schedule: Schedule, usual: int, grain: int) -> int:
    """The side of crops, pixels. Raises UsageError."""
    side = schedule.side or usual
    if side % grain or not LEAST <= side <= MOST:
        hint = f"allowed: multiples of {grain}, {LEAST} to {MOST}; 0 is the base's own, {usual}"
        raise UsageError(f"side is {side}", hint)
    return side


def about_of(order: Order, schedule: Schedule, album: Album, architecture: str, side: int) -> About:
    """What the files say of themselves."""
    return About(order.name, order.base, architecture, licence_of(order.base, order.weights), schedule.call,
                 album.digest, schedule.rank, schedule.scale, schedule.steps, side,
                 order.consent, f"vidswap {__version__}")  # fmt: skip


def learnt(where: Ground, album: Album, schedule: Schedule, how: tuple[int, Path], *, say: loop.Say,
           report: Report) -> tuple[Any, dict[str, torch.Tensor]]:  # fmt: skip
    """The network with what it has learnt, and that alone. Raises ModelError, OutputError."""
    side, place = how
    base = key_of(digests_in(where.folder))
    drawn_of = key_of((base, schedule.noun, side, schedule.drawn))[:12]
    pictures = anybodies(where, place.with_suffix(".prior") / drawn_of, schedule.noun, schedule.prior,
                         (side, schedule.drawn), report=report)  # fmt: skip
    own, others = decks(where, album.pages, schedule.call, (schedule.noun, pictures), report)
    network, parts = with_adapter(where, schedule.rank, schedule.scale, schedule.thrifty)
    batches = Batches(own, others, schedule.batch, schedule.seed, schedule.weight)
    lesson = lesson_of(where, network, parts, batches, key_of((album.digest, base, side, str(where.dtype))))
    return network, put_in(network, parts, loop.learn(lesson, schedule, place, say, report))


def drawn(where: Ground, network: Any, schedule: Schedule, side: int, report: Report) -> list[Array]:
    """What the base makes of the person now, (S, S, 3) uint8 each, of the seeds 0, 1, 2 ... Raises ModelError."""
    made, said = list[Array](), captions(schedule.call)
    if not schedule.samples:
        return made
    with where.whole(network) as pipe, torch.no_grad():
        for seed in range(schedule.samples):
            found = where.family.drawn(pipe, said[seed % len(said)], seed, side, schedule.drawn)
            made.append(as_picture(found))
            report("samples", seed + 1, schedule.samples)
    return made


def likeness_of(samples: Sequence[Array], album: Album, reader: FaceReader) -> float | None:
    """The mean cosine of faces in samples to the album's person; None where there are no faces."""
    mean = np.mean([page.embedding for page in album.pages], axis=0)
    faces = [(rgb, faces[0]) for rgb in samples if (faces := reader.detect(rgb))]
    found = [float(reader.embed(rgb, face.mesh) @ mean / np.linalg.norm(mean)) for rgb, face in faces]
    return round(float(np.mean(found)), 3) if found else None
