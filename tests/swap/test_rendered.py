"""Engines whose weights do not ship, with tiny ones: the command renders the sample with them, and goes on with it."""

from pathlib import Path

import numpy as np
import pytest
import standins
from standins import packs, pulled  # noqa: F401

from vidswap.casting import Role
from vidswap.cli import main as cli
from vidswap.errors import EngineError
from vidswap.pipeline import swap_clip
from vidswap.read.clip import frames, open_clip
from vidswap.read.faces import open_faces
from vidswap.read.identity import load_identity
from vidswap.settings import ReadSettings, Settings, SwapSettings, WriteSettings
from vidswap.swap import engine as engines
from vidswap.timepoint import time_point
from vidswap.types import Consent

pytestmark = pytest.mark.usefixtures("packs", "pulled")
SAMPLES = Path(__file__).parents[2] / "samples"
CLIP, SELFIE, END = SAMPLES / "clip.mp4", SAMPLES / "selfie.jpg", "20f"
SMALL = {"complexion": "actor", "steps": 2}
CHOICES = {"inswapper": ("inswapper", {}), "instantid": ("sdxl", SMALL | {"adapter": "instantid"})}


@pytest.fixture(scope="module", params=CHOICES)
def chosen(request, tmp_path_factory):
    """An engine, and its settings, which name its stand-ins."""
    name, options = CHOICES[request.param]
    return name, standins.settings(name, tmp_path_factory.mktemp("weights")) | options


@pytest.fixture(scope="module")
def film(chosen, tmp_path_factory, packs, pulled):  # noqa: F811
    """What the command makes of it."""
    (name, options), out = chosen, tmp_path_factory.mktemp("film") / "out.mp4"
    words = [f"{key.replace('_', '-')}={value}" for key, value in options.items()]
    line = ["swap", str(CLIP), "--face", str(SELFIE), "--consent", "self", "--end", END, "-o", str(out)]
    assert cli.main([*line, "--engine", name, *(word for each in words for word in ("--set", each))]) == 0
    return out


@pytest.fixture(scope="module")
def render(chosen, tmp_path_factory):
    """render(out) -> what was done, in segments of four frames."""
    name, options = chosen
    read = ReadSettings(end=time_point(END), cache=tmp_path_factory.mktemp("cache"))
    settings = Settings(read, SwapSettings(name, options), WriteSettings(segment=4))
    person = Role(load_identity(SELFIE, Consent("self"), open_faces("embedded")))
    return lambda out: swap_clip(CLIP, person, out, settings=settings)


def test_the_command_renders_the_sample(film, chosen):
    source, result = open_clip(CLIP), open_clip(film)
    assert len(result) == 20
    changed = [np.abs(one.rgb.astype(int) - other.rgb).max(-1)
               for one, other in list(zip(frames(source), frames(result)))[::6]]  # fmt: skip
    assert all(0.005 < (each > 16).mean() < 0.3 for each in changed), "the face, and nothing but the face"


def test_stopped_between_windows_it_goes_on_to_the_same_bytes(render, tmp_path, monkeypatch):
    whole, out, plain = tmp_path / "whole.mp4", tmp_path / "out.mp4", engines.Fenced.swap
    (note,) = [each for each in render(whole).notes if "opens" in each]
    assert "non-commercial research only" in note, "what may not be used for money is told"

    def stopped(self, crops, *of):
        if crops.start:
            raise EngineError("stopped on the way")
        return plain(self, crops, *of)

    monkeypatch.setattr(engines.Fenced, "swap", stopped)
    with pytest.raises(EngineError, match="stopped on the way"):
        render(out)
    monkeypatch.setattr(engines.Fenced, "swap", plain)
    assert render(out).resumed >= 4
    assert out.read_bytes() == whole.read_bytes()
