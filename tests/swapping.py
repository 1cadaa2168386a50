"""A short swap of the sample, in a module that a process of its own loads quickly."""

from pathlib import Path

from vidswap import Settings, swap_clip
from vidswap.casting import Role
from vidswap.settings import ReadSettings, SwapSettings
from vidswap.timepoint import time_point

SAMPLES = Path(__file__).parents[1] / "samples"
CLIP, SELFIE = SAMPLES / "clip.mp4", SAMPLES / "selfie.jpg"


def swapped(out: Path) -> bytes:
    """Four frames of it with the selfie's face, as a film's bytes."""
    swap_clip(
        CLIP, Role(SELFIE, "self"), out, settings=Settings(ReadSettings(end=time_point("4f")), SwapSettings("warp"))
    )
    return out.read_bytes()
