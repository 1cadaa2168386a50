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
CLIP, SELFIE = SAMPLES / "clip.mp4", SAMPLES / "selfie.jpg"
SMALL = {"complexion": "actor", "steps": 2}
CHOICES = {"inswapper": ("inswapper", {}), "instantid": ("sdxl", SMALL | {"adapter": "instantid"}),
           "klein": ("flux", SMALL), "kontext": ("flux kontext", SMALL)}  # fmt: skip


@pytest.mark.parametrize("choice", CHOICES)
def test_the_command_renders_the_sample(choice, tmp_path):
    (name, more), out = CHOICES[choice], tmp_path / "out.mp4"
    options = standins.settings(name, tmp_path) | more
    line = ["swap", str(CLIP), "--face", str(SELFIE), "--consent", "self", "--end", "3f", "-o", str(out)]
    words = [f"{key.replace('_', '-')}={value}" for key, value in options.items()]
    assert cli.main([*line, "--engine", name.split()[0], *(word for each in words for word in ("--set", each))]) == 0
    for before, after in zip(frames(open_clip(CLIP)), frames(open_clip(out))):
        changed = np.abs(before.rgb.astype(int) - after.rgb).max(-1) > 16
        assert 0.005 < changed.mean() < 0.3, "the face, and nothing but the face"


@pytest.mark.parametrize(("name", "told"), [("inswapper", "non-commercial research only"), ("flux", "")])
def test_stopped_between_windows_it_goes_on_to_the_same_bytes(name, told, tmp_path, monkeypatch):
    read = ReadSettings(end=time_point("26f"), cache=tmp_path / "cache")
    choice = SwapSettings(name, standins.settings(name, tmp_path) | (SMALL | {"size": 64} if name == "flux" else {}))
    settings, plain = Settings(read, choice, WriteSettings(segment=4)), engines.Fenced.swap
    person = Role(load_identity(SELFIE, Consent("self"), open_faces("embedded")))

    def render(name: str):
        return swap_clip(CLIP, person, tmp_path / name, settings=settings)

    notes = [each for each in render("whole.mp4").notes if "opens" in each]
    assert len(notes) == bool(told)
    assert all(told in each for each in notes), "what may not be used for money is told"

    def stopped(self, crops, *of):
        if crops.start:
            raise EngineError("stopped on the way")
        return plain(self, crops, *of)

    monkeypatch.setattr(engines.Fenced, "swap", stopped)
    with pytest.raises(EngineError, match="stopped on the way"):
        render("out.mp4")
    monkeypatch.setattr(engines.Fenced, "swap", plain)
    assert render("out.mp4").resumed >= 4
    assert (tmp_path / "out.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()
