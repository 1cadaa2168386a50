"""What a LoRA is learnt from: an album and a base -> a lesson for the loop, its latents and words made once."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from peft import LoraConfig, get_peft_model_state_dict
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset

from vidswap.errors import EngineError, OutputError
from vidswap.files import as_output_error
from vidswap.progress import Report, quiet
from vidswap.swap.placement import freed, is_short_of_memory
from vidswap.train import loop
from vidswap.train.album import Page
from vidswap.train.families import Family, Told
from vidswap.train.foundation import autoencoder_of, levels_of, network_of, opened
from vidswap.train.lora_files import as_picture, as_tensor
from vidswap.types import Array
from vidswap.write.sheets import write_picture

PERSON = "person"  # the adapter's name within the network
CAPTIONS = ("a photo of {}", "a close-up photo of {}", "a portrait of {}", "a photo of the face of {}")
WARM_UP = 20  # steps until the rate is whole: what learns begins at zero


@dataclass(frozen=True, eq=False)
class Ground:
    """Where and on what: a base's `folder` and `family`, on which device, in which numbers."""

    family: Family
    folder: Path
    device: torch.device
    dtype: torch.dtype

    @contextmanager
    def words(self) -> Iterator[Any]:
        """What of the base's pipeline reads words, as long as it is needed. Raises ModelError."""
        yield from self._held(opened(self.family, self.folder, self.dtype, **{self.family.part: None, "vae": None}))

    @contextmanager
    def whole(self, network: Any = None) -> Iterator[Any]:
        """The base's pipeline, to draw with: its own network or another, and on a card no two parts at once. Raises
        ModelError."""
        given = {self.family.part: network} if network is not None else {}
        yield from self._held(opened(self.family, self.folder, self.dtype, **given), self.device.type == "cuda")

    def _held(self, pipe: Any, by_parts: bool = False) -> Iterator[Any]:
        try:
            if by_parts:
                pipe.enable_model_cpu_offload(device=self.device)
            yield pipe if by_parts else pipe.to(self.device)
        finally:
            del pipe
            gc.collect()
            freed(self.device.type)


def ground(family: Family, folder: Path) -> Ground:
    """On the graphics card where there is one, in bfloat16 where that can; else in float32."""
    if not torch.cuda.is_available():
        return Ground(family, folder, torch.device("cpu"), torch.float32)
    half = torch.cuda.is_bf16_supported(including_emulation=False)
    return Ground(family, folder, torch.device("cuda"), torch.bfloat16 if half else torch.float32)


@dataclass(frozen=True, eq=False)
class Deck:
    """Pictures that are learnt from: N `clean` latents, masks (N, 1, h, w) of what counts, what is `around` that for a
    base that repaints; and for each of the captions a row of `words`, of which any goes with any picture."""

    clean: Tensor
    masks: Tensor
    around: Tensor
    words: tuple[Tensor, ...]

    def __len__(self) -> int:
        return len(self.clean)

    def row(self, number: int, seed: int) -> tuple[Tensor, ...]:
        """The sample of a number: each picture comes once a turn, with a caption by chance."""
        place = loop.in_turns(number, len(self), seed)
        caption = int(loop.chance(seed, loop.SAMPLE, number).integers(len(self.words[0])))
        return self.clean[place], self.masks[place], self.around[place], *(each[caption] for each in self.words)


@dataclass(frozen=True, eq=False)
class Batches(Dataset[loop.Batch]):
    """`count` pictures of the person a batch, and as many of anybody where there are some: latents, masks, what is
    around, how much each counts, words."""

    own: Deck
    others: Deck | None
    count: int
    seed: int
    prior: float

    def __getitem__(self, step: int) -> loop.Batch:
        numbers = range(step * self.count, (step + 1) * self.count)
        rows = [self.own.row(number, self.seed) for number in numbers]
        rows += [self.others.row(number, self.seed + 1) for number in numbers] if self.others else []
        counts = torch.tensor([1.0] * self.count + [self.prior] * (len(rows) - self.count))
        clean, masks, around, *words = (torch.stack(parts) for parts in zip(*rows, strict=True))
        return clean, masks, around, counts, *words


def captions(call: str) -> list[str]:
    """What pictures of `call` are told as."""
    return [caption.format(call) for caption in CAPTIONS]


@torch.no_grad()
def decks(where: Ground, pages: Sequence[Page], call: str, anybody: tuple[str, Sequence[Array]],
          report: Report = quiet) -> tuple[Deck, Deck | None]:  # fmt: skip
    """The person of `call`, and `anybody`: what they are called, and pictures. Raises ModelError."""
    name, pictures = anybody
    with where.words() as pipe:
        own, others = ([each.float().cpu() for each in where.family.words(pipe, captions(who))] for who in (call, name))
    autoencoder = autoencoder_of(where.family, where.folder).to(where.device)
    shown = [(page.rgb, page.mask) for page in pages] + [(rgb, np.ones((8, 8), np.float32)) for rgb in pictures]
    found = []
    for number, (rgb, mask) in enumerate(shown, 1):
        found.append(_encoded(where, autoencoder, rgb, mask))
        report("latents", number, len(shown))
    rest = found[len(pages) :]
    return _deck(found[: len(pages)], own), _deck(rest, others) if rest else None


def _deck(rows: Sequence[tuple[Tensor, Tensor, Tensor]], words: Sequence[Tensor]) -> Deck:
    clean, masks, around = (torch.cat(parts) for parts in zip(*rows, strict=True))
    return Deck(clean, masks, around, tuple(words))


def _encoded(where: Ground, autoencoder: Any, rgb: Array, mask: Array) -> tuple[Tensor, Tensor, Tensor]:
    """A picture's latents, its mask at their size, and the latents of what the mask leaves of it, on the CPU."""
    picture, whole = as_tensor([rgb]).to(where.device), torch.from_numpy(mask)[None, None]
    clean = where.family.latents(autoencoder, picture)
    counts = functional.interpolate(whole, size=clean.shape[-2:], mode="area")
    hole = functional.interpolate((whole > 0).float(), size=picture.shape[-2:], mode="nearest").to(picture)
    around = where.family.latents(autoencoder, picture * (1 - hole))
    return clean.float().cpu(), counts, around.float().cpu()


def anybodies(where: Ground, folder: Path, noun: str, count: int, how: tuple[int, int], *,
              report: Report = quiet) -> list[Array]:  # fmt: skip
    """`count` pictures of anybody, as the base itself draws them, `how` large and in how many steps; those that are in
    `folder` are not drawn again. Raises ModelError, OutputError."""
    places = [folder / f"{number:04d}.png" for number in range(count)]
    if missing := [number for number, place in enumerate(places) if not place.is_file()]:
        with as_output_error(folder):
            folder.mkdir(parents=True, exist_ok=True)
        with where.whole() as pipe:
            said = captions(noun)
            for number in missing:
                drawn = where.family.drawn(pipe, said[number % len(said)], number, *how)
                write_picture(places[number], as_picture(drawn))
                report("pictures of anybody", number + 1, count)
    return [_read(place) for place in places]


def _read(place: Path) -> Array:
    found = cv2.imread(str(place), cv2.IMREAD_COLOR)
    if found is None:
        raise OutputError(f"{place} is damaged", "remove it: it is drawn again")
    return np.asarray(cv2.cvtColor(found, cv2.COLOR_BGR2RGB))


def with_adapter(where: Ground, rank: int, alpha: float, thrifty: bool) -> tuple[Any, nn.ModuleList]:
    """The base's network with low-rank changes beside its attention, and these alone: they are what learns, in float32.
    `thrifty`: what is between layers is found anew on the way back, for half the memory and a third more time. Raises
    ModelError."""
    network = network_of(where.family, where.folder, where.dtype)
    if thrifty:
        network.enable_gradient_checkpointing()
    ends = tuple(f".{end}" for end in where.family.targets)  # of names; where blocks differ, one may be no layer's
    layers = [name for name, part in network.named_modules() if isinstance(part, nn.Linear) and name.endswith(ends)]
    network.add_adapter(
        LoraConfig(r=rank, lora_alpha=alpha, init_lora_weights="gaussian", target_modules=layers), PERSON
    )
    halves = tuple(f".lora_{half}.{PERSON}" for half in "AB")
    parts = nn.ModuleList(part for name, part in network.named_modules() if name.endswith(halves)).float()
    return network.to(where.device).train(), parts


def lesson_of(where: Ground, network: Any, parts: nn.ModuleList, batches: Batches, source: str) -> loop.Lesson:
    """The lesson: `parts` learn within the network, whatever else it is stays as it is. Raises ModelError."""
    scheduler, half = levels_of(where.family, where.folder), where.dtype != torch.float32

    def loss(_parts: nn.Module, batch: loop.Batch, _share: float) -> Tensor:
        clean, masks, around, counts, *words = batch
        with torch.autocast(where.device.type, where.dtype, enabled=half):
            found = where.family.errors(network, scheduler, Told(clean, tuple(words), masks, around))
        return masked(found, masks, counts)

    known: Any = batches
    return loop.Lesson(parts, known, loss, course, decay=0.99, clip=1.0, shrink=0.01, source=source, in_place=True)


def masked(errors: Tensor, masks: Tensor, counts: Tensor) -> Tensor:
    """The mean over rows, weighted by `counts` (B,), of each row's mean where it counts."""
    each = (errors * masks).sum((1, 2, 3)) / (masks.sum((1, 2, 3)) * errors.shape[1]).clamp(min=1e-6)
    return (each * counts).sum() / counts.sum()


def course(step: int, share: float) -> float:
    """Share of the full rate: a short rise, then along a cosine to a tenth."""
    return min(1.0, (step + 1) / WARM_UP) * loop.cosine(loop.WARM_UP, share, 0.1)


def put_in(network: Any, parts: nn.ModuleList, learnt: nn.Module) -> dict[str, Tensor]:
    """Put what was `learnt` into the network's own parts: these weights by PEFT's names."""
    parts.load_state_dict(learnt.state_dict())
    return dict(get_peft_model_state_dict(network.eval(), adapter_name=PERSON))


@contextmanager
def within_memory() -> Iterator[None]:
    """Raises EngineError where that is too little."""
    try:
        yield
    except RuntimeError as error:
        if not is_short_of_memory(error):
            raise
        hint = "close other programs, or take a smaller side or batch, or thrifty=1"
        raise EngineError("memory is too short for this training", hint) from error
