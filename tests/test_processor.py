"""Which processor it is and how much of it is ours, from what Linux tells, on disks made for it."""

from pathlib import Path

import psutil
import pytest

from vidswap.processor import Processor, cores, processor

ZEN2 = "processor\t: 0\nmodel name\t: AMD EPYC 7742\nflags\t: fpu avx avx2 fma\n\nprocessor\t: 1\nflags\t: fpu avx\n"
XEON = "model name\t: Intel Xeon\nflags\t\t: avx2 avx512f avx512_bf16 amx_bf16 amx_tile\n"
ARM = "processor\t: 0\nFeatures\t: fp asimd bf16 i8mm\n"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of 64 processors, all of which this process may use."""
    monkeypatch.setattr(psutil.Process, "cpu_affinity", lambda _self: list(range(64)), raising=False)
    return tmp_path


def put(root: Path, **files: str) -> None:
    for name, content in files.items():
        place = root / name.replace("__", "/").replace("_DOT_", ".")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content)


@pytest.mark.parametrize(("content", "name", "features"), [
    (ZEN2, "AMD EPYC 7742", ("avx2",)),
    (XEON, "Intel Xeon", ("amx_bf16", "avx512_bf16", "avx512f", "avx2")),
    (ARM, None, ("bf16", "asimd")),
])  # fmt: skip
def test_a_processor_is_named_with_what_makes_networks_quick(
    root: Path, content: str, name: str | None, features: tuple[str, ...]
) -> None:
    put(root, proc__cpuinfo=content)
    found = processor(root)
    assert found.features == features
    assert found.name == name or (name is None and found.name)


def test_it_is_told_in_one_line() -> None:
    assert str(Processor("Ada 1", ("avx2", "fma"), 2)) == "Ada 1 with avx2, fma; 2 cores"
    assert str(Processor("Ada 1", (), 1)) == "Ada 1; 1 core"
    assert processor().name
    assert processor().cores >= 1


@pytest.mark.parametrize(("files", "want"), [
    ({}, 64),
    ({"proc__self__cgroup": "0::/\n", "sys__fs__cgroup__cpu_DOT_max": "200000 100000\n"}, 2),
    ({"proc__self__cgroup": "0::/\n", "sys__fs__cgroup__cpu_DOT_max": "max 100000\n"}, 64),
    ({"proc__self__cgroup": "0::/\n", "sys__fs__cgroup__cpu_DOT_max": "50000 100000\n"}, 1),
    ({"proc__self__cgroup": "0::/\n", "sys__fs__cgroup__cpu_DOT_max": "not a number\n"}, 64),
    ({"proc__self__cgroup": "0::/a/b\n", "sys__fs__cgroup__a__cpu_DOT_max": "300000 100000\n",
      "sys__fs__cgroup__a__b__cpu_DOT_max": "max 100000\n"}, 3),
    ({"proc__self__cgroup": "4:cpu,cpuacct:/docker/1\n2:memory:/x\n",
      "sys__fs__cgroup__cpu__cpu_DOT_cfs_quota_us": "400000\n",
      "sys__fs__cgroup__cpu__cpu_DOT_cfs_period_us": "100000\n"}, 4),
    ({"proc__self__cgroup": "4:cpu:/\n", "sys__fs__cgroup__cpu__cpu_DOT_cfs_quota_us": "-1\n",
      "sys__fs__cgroup__cpu__cpu_DOT_cfs_period_us": "100000\n"}, 64),
])  # fmt: skip
def test_a_containers_share_counts(root: Path, files: dict[str, str], want: int) -> None:
    put(root, **files)
    assert cores(root) == want
