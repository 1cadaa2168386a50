"""The big engines render a real clip from end to end, with tiny weights; one that was stopped goes on to the same
bytes, from what it remembers of the windows before."""

from pathlib import Path

import pytest
import tiny

from vidswap import Settings, swap_clip
from vidswap.casting import Role
from vidswap.settings import ReadSettings, SwapSettings, WriteSettings
from vidswap.swap.latent import Painter

SAMPLES = Path(__file__).parents[2] / "samples"
FRAMES, SEGMENT = 42, 10  # three windows, of which the third begins amid a segment


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """made(base) -> the settings of a render with that engine and a LoRA."""
    folder = tmp_path_factory.mktemp("big")

    def made(base: str) -> Settings:
        weights, lora = tiny.base(folder / base, base, 9), tiny.lora(folder / f"{base}.safetensors", base)
        options = {"weights": weights, "lora": f"{lora}:0.1", "size": 128, "steps": 3, "smooth": 1.0,
                   "complexion": "actor", "device": "cpu", "dtype": "float32"}  # fmt: skip
        read = ReadSettings(end=f"{FRAMES}f", cache=folder / "cache")
        return Settings(read, SwapSettings(base, options), WriteSettings(segment=SEGMENT))

    return made


@pytest.mark.parametrize("base", ["sd15", "sdxl"])
def test_a_clip_is_rendered_and_one_that_is_stopped_goes_on_to_the_same_bytes(made, tmp_path, monkeypatch, base):
    def render(name: str):
        return swap_clip(SAMPLES / "clip.mp4", Role(SAMPLES / "selfie.jpg", "self"), tmp_path / name, settings)

    settings, own, calls = made(base), Painter.swap, []
    done = render("whole.mp4")
    assert (done.frames, done.swapped, done.resumed) == (FRAMES, FRAMES, 0)

    def stopped(self, *words):
        calls.append(words)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return own(self, *words)

    monkeypatch.setattr(Painter, "swap", stopped)
    with pytest.raises(KeyboardInterrupt):
        render("again.mp4")
    assert not (tmp_path / "again.mp4").exists()
    assert render("again.mp4").resumed >= SEGMENT
    assert (tmp_path / "again.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()
    assert calls[3][2] is not None, "it goes on from an answer of before"
