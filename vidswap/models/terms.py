"""What a person must know of a model before it is used, be it one that ships or one that is pulled: licence, size,
whether it is here, and how to get it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from vidswap.models import hub
from vidswap.models.registry import registry


@dataclass(frozen=True)
class Terms:
    """`memory` is GB of the accelerator, 0 for what ships; `get` is what to do where it is not `here`."""

    name: str
    licence: str
    commercial: bool
    bytes: int
    memory: float
    here: bool
    get: str = ""

    def __str__(self) -> str:
        """Its name, size and licence, in a few words."""
        use = "" if self.commercial else "; no commercial use"
        return f"{self.name}: about {hub.size_of(self.bytes)}; {self.licence}{use}"

    @property
    def is_pulled(self) -> bool:
        """Whether one command gets it."""
        return self.get.startswith("`vidswap models pull")


def terms_of(name: str) -> Terms:
    """Of a model of either list. Raises ModelError."""
    if name in registry():
        model = registry()[name]
        return Terms(name, model.licence, model.commercial, model.bytes, 0.0, True)
    entry = hub.entry(name)
    here, lock = hub.installed([name]), hub.lock_of(name)
    return Terms(name, entry.licence, entry.commercial, lock.bytes if lock else entry.bytes, entry.memory, here,
                 "" if here else hub.how_to_get(entry))  # fmt: skip


def licences(terms: Iterable[Terms]) -> list[str]:
    """Their licences, each once."""
    return list(dict.fromkeys(each.licence for each in terms))
