"""Which engines there are to choose from: what each opens, whether that is here, what it may be used for, and which is
taken where a person leaves it to us."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

from vidswap.errors import InstallError, ModelError, UsageError
from vidswap.models.packs import licence_of
from vidswap.models.terms import Terms, licences, terms_of
from vidswap.settings import Setting, Settings
from vidswap.swap.engine import Load, load_engine, module_of, opened, settings_of
from vidswap.swap.engines import ENGINES
from vidswap.types import EngineChoice

AUTO = "auto"
PREFERRED = ("flux", "sdxl", "sd15")  # the larger first: where its models are here, somebody has wanted it
SHIPS = ("embedded", "warp")  # lack nothing and forbid nothing: their libraries are not waited for to hear that
STAND_INS = frozenset({"weights", "pack"})  # settings that name a person's own folder in place of what would be pulled
PLAIN = "embedded"  # what always can be taken
QUICK, SLOW, GPU = "quick", "slow", "GPU"  # frames a second on a processor; seconds a frame there; wants a GPU
GB = 1e9


@dataclass(frozen=True)
class Offer:
    """An engine as it could be chosen. `models` are those that it opens as it is, `lacks` says why it cannot be used
    here, "" where it can; `variants` are settings that open others beside them: "adapter=faceid" -> those."""

    name: str
    about: str
    models: tuple[Terms, ...]
    speed: str
    uploads: bool
    lacks: str = ""
    variants: Mapping[str, tuple[Terms, ...]] | None = None

    @property
    def commercial(self) -> bool:
        return all(each.commercial for each in self.models)

    @property
    def bytes(self) -> int:
        return sum(each.bytes for each in self.models)

    @property
    def memory(self) -> float:
        """GB of the accelerator, with nothing offloaded."""
        return sum(each.memory for each in self.models)


def models_of(choice: EngineChoice) -> tuple[Terms, ...]:
    """The models that an engine would open, as it is chosen. Raises UsageError, InstallError."""
    settings = settings_of(choice)
    return tuple(map(terms_of, module_of(choice.name).models(settings)))


def knows(name: str, setting: str) -> bool:
    """Whether an engine has a setting of that name. Raises InstallError."""
    return setting in {each.name for each in fields(module_of(name).Settings)}


def offer(name: str) -> Offer:
    """What there is to know of an engine. Raises UsageError where there is none of that name."""
    about, offered = ENGINES[name], partial(Offer, name, ENGINES[name])
    try:
        models, module = models_of(EngineChoice(name)), module_of(name)
    except InstallError as error:
        return offered((), GPU, False, f"{error.message}: pip install 'vidswap[big]'")
    missing = next((each for each in models if not each.here), None)
    return Offer(name, about, models, getattr(module, "SPEED", GPU), getattr(module, "UPLOADS", False),
                 f"'{missing.name}' is not here: {missing.get}" if missing else "",
                 dict(_variants(name, models)))  # fmt: skip


def _variants(name: str, models: tuple[Terms, ...]) -> Iterator[tuple[str, tuple[Terms, ...]]]:
    """Settings of one word out of several that open further models."""
    kind = module_of(name).Settings
    for each in fields(kind):
        chosen: Setting[Any, Any] = vars(kind)[each.name]
        for word in chosen.kind.allowed.split(", ") if "|" in chosen.kind.metavar else ():
            found = models_of(EngineChoice(name, ((each.name, word),)))
            if more := tuple(model for model in found if model not in models):
                yield f"{each.name}={word}", more


def refuse_uncommercial(choices: Iterable[EngineChoice], settings: Settings) -> None:
    """Raise UsageError where only what may be used for money was asked for, and an engine, as it is chosen, or the face
    pack opens something else. Engines that are not ours say nothing of what they open."""
    if not settings.swap.commercial:
        return
    pack = settings.read.face_pack
    if pack != "embedded":
        raise UsageError(f"`swap.commercial` is wanted, and {licence_of(pack)}", "allowed: the face pack embedded")
    for opens in uncommercial(choices):
        allowed = f"allowed, with their settings as they are: {', '.join(_allowed())}"
        raise UsageError(f"`swap.commercial` is wanted, and {opens}", allowed)


def uncommercial(choices: Iterable[EngineChoice]) -> list[str]:
    """What a person should know of the engines that they chose: a line for each that opens what may not be used for
    money, with its licence. Raises UsageError, InstallError."""
    found = []
    for choice in choices:
        named = choice.name in ENGINES and choice.name not in SHIPS
        refused = [each for each in models_of(choice) if not each.commercial] if named else []
        if refused:
            names = " and ".join(f"'{each.name}'" for each in refused)
            found.append(f"the engine {choice.name} opens {names}: {'; '.join(licences(refused))}")
    return found


def refuse_missing(choices: Iterable[EngineChoice]) -> None:
    """Raise ModelError where an engine, as it is chosen, lacks several models: one command gets them all. Of one alone,
    or where the person names some of their own, the engine itself says what is missing as it opens them."""
    for choice in choices:
        if choice.name not in ENGINES or choice.name in SHIPS or STAND_INS & dict(choice.options).keys():
            continue
        lacking = [each for each in models_of(choice) if each.is_pulled]
        if len(lacking) > 1:
            names = [each.name for each in lacking]
            hint = f"`vidswap models pull {' '.join(names)}` gets them; {'; '.join(map(str, lacking))}"
            raise ModelError(f"the engine {choice.name}, as it is chosen, lacks {' and '.join(names)}", hint)


def openings(choices: Iterable[EngineChoice], settings: Settings, load: Load) -> dict[EngineChoice, Any]:
    """The engines of a render, each a context that opens it when it is entered. Raises UsageError at once for one that
    there is not, or that may not be used for what is wanted, ModelError for one that lacks several models."""
    chosen = list(choices)
    refuse_uncommercial(chosen, settings)
    if load is load_engine:
        refuse_missing(chosen)
    return {choice: opened(load, choice, settings.read.cache) for choice in chosen}


def _allowed() -> list[str]:
    return [each.name for each in map(offer, ENGINES) if each.models and each.commercial]


# -- left to us -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Accelerator:
    """What a machine has beside its processor: what it is called, and GB of its memory."""

    name: str
    memory: float


def accelerator() -> Accelerator | None:
    """The first one of this machine."""
    import torch

    if torch.cuda.is_available():
        return Accelerator(torch.cuda.get_device_name(0), torch.cuda.get_device_properties(0).total_memory / GB)
    if torch.backends.mps.is_available():
        return Accelerator("Apple's GPU", torch.mps.recommended_max_memory() / GB)
    return None


def best(has: Accelerator | None, *, commercial: bool = False, vram: float | None = None) -> tuple[str, str]:
    """The engine that is taken, and why, in a few words: the largest one whose models are all here and fit what the
    machine `has`, or `vram` GB of it. Equal machines with equal models get equal answers."""
    if has is None:
        return PLAIN, "there is no GPU"
    room, passed = min(has.memory, vram or has.memory), list[str]()
    for name in PREFERRED:
        if name not in ENGINES:
            continue
        found = offer(name)
        if commercial and not found.commercial:
            passed.append(f"{name} is {licences(found.models)[0]}")
        elif found.lacks:
            passed.append(f"for {name} {found.lacks}")
        elif found.memory > room:
            passed.append(f"{name} needs {found.memory:g} GB")
        else:
            return name, f"its models are here, and {has.name} has {room:.0f} GB"
    return PLAIN, "; ".join(passed)
