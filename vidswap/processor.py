"""The processor that does the work: what it is called, what it can do quickly, how much of it is this process's own."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

import psutil

QUICK = ("amx_bf16", "avx512_bf16", "avx512f", "avx2", "bf16", "asimd")  # what makes networks quick, best first
ROOT = Path("/")


@dataclass(frozen=True)
class Processor:
    """`features` are those of QUICK that it has, `cores` as many as this process may use."""

    name: str
    features: tuple[str, ...]
    cores: int

    def __str__(self) -> str:
        has = f" with {', '.join(self.features)}" if self.features else ""
        return f"{self.name}{has}; {self.cores} {'core' if self.cores == 1 else 'cores'}"


def processor(root: Path = ROOT) -> Processor:
    """This machine's; only Linux tells what it can do."""
    try:
        lines = (root / "proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    told = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in reversed(lines))}
    flags = set(f"{told.get('flags', '')} {told.get('Features', '')}".split())
    name = told.get("model name") or platform.processor() or platform.machine() or "unknown"
    return Processor(name, tuple(each for each in QUICK if each in flags), cores(root))


def cores(root: Path = ROOT) -> int:
    """Processors that this process may run on: a container's share may be less than the machine has."""
    try:
        allowed = len(psutil.Process().cpu_affinity())
    except (AttributeError, psutil.Error):  # macOS ties no process to processors
        allowed = os.cpu_count() or 1
    return max(1, min([allowed, *(int(share) for share in _shares(root))]))


def _shares(root: Path) -> list[float]:
    """How many processors the control groups of this process may keep busy; both versions (Linux, cgroups(7))."""
    groups, shares = root / "sys/fs/cgroup", list[float]()
    try:
        rows = [row.split(":", 2) for row in (root / "proc/self/cgroup").read_text().splitlines()]
    except OSError:
        return shares
    for _, controllers, own in rows:
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = groups / "cpu" if controllers else groups
        inner = top / own.lstrip("/")
        for place in {top, inner, *(inner.parents if own != "/" else ())}:
            shares += _share(place)
    return shares


def _share(group: Path) -> list[float]:
    """Of one group: microseconds of work in each period, if there is a limit."""
    try:
        if (group / "cpu.max").exists():
            quota, period = (group / "cpu.max").read_text().split()
        else:
            quota, period = ((group / f"cpu.cfs_{each}_us").read_text() for each in ("quota", "period"))
        return [int(quota) / int(period)] if quota != "max" and int(quota) > 0 else []
    except (OSError, ValueError, ZeroDivisionError):
        return []
