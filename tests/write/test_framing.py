"""What becomes of a composited frame: for every screen, if wanted."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from footage import make_clip, moving, texture

from vidswap.media import colour
from vidswap.read.clip import frames, open_clip
from vidswap.settings import TitleSettings, WriteSettings
from vidswap.types import Shot
from vidswap.write.film import encode
from vidswap.write.framing import framing
from vidswap.write.target import is_for_every_screen, plan_target


def film(folder: Path, kind: str) -> Path:
    """Two pictures, of which every screen shows the same, in a way that not every screen does."""
    wanted, path = texture(5, 96, 64) // 2 + 40, folder / "a.mkv"
    if kind == "deep":
        return make_clip(path, [wanted] * 2, sound=False, pix_fmt="yuv422p10le", options={"crf": "0"})
    if kind == "full":
        return make_clip(path, [wanted] * 2, sound=False, pix_fmt="yuvj420p", options={"crf": "0"})
    transfer = {"pq": colour.PQ, "hlg": colour.HLG}[kind]

    def tagged(_target: Any, video: Any) -> None:
        context = video.codec_context
        context.colorspace, context.color_range, context.color_primaries, context.color_trc = 9, 1, 9, transfer

    coded = np.rint(colour.from_sdr(wanted, transfer, 9)).astype(np.uint8)
    return make_clip(path, [coded] * 2, unit=Fraction(1, 1000), sound=False, prepare=tagged, pix_fmt="yuv444p10le",
                     options={"crf": "0"})  # fmt: skip


@pytest.mark.parametrize("kind", ["pq", "hlg", "deep", "full"])
@pytest.mark.parametrize("shape", [None, (48, 64)])
def test_every_screen_shows_what_is_seen(tmp_path: Path, kind: str, shape: tuple[int, int] | None) -> None:
    clip = open_clip(film(tmp_path, kind))
    settings = WriteSettings(sdr=True, shape=shape, crf=1, preset="ultrafast")
    target = plan_target(clip, Shot(0, 2), tmp_path / "out.mp4", settings)
    assert target.is_plain
    assert target.encoding is not None
    assert (target.encoding.format, target.encoding.colour) == ("yuv420p", (1, 1, 1, 1))
    shown = framing(target, clip, [Shot(0, 2)], [])
    pictures = ((frame.index, shown(frame).native) for frame in frames(clip))
    encode(target.seen(clip), pictures, target.out, settings, {})
    made = open_clip(target.out)
    assert is_for_every_screen(made)
    assert (made.width, made.height) == (shape or (96, 64))
    left = (96 - 48) // 2 if shape else 0
    for before, after in zip(frames(clip), frames(made), strict=True):
        seen = before.rgb[:, left : left + made.width].astype(int)
        assert np.abs(seen.mean((0, 1)) - after.rgb.mean((0, 1))).max() < 2
        assert np.abs(seen - after.rgb).mean() < 9, "but for colours that half as many samples have"


def test_what_every_screen_shows_is_left_alone(tmp_path: Path) -> None:
    clip = open_clip(make_clip(tmp_path / "a.mp4", moving(3, 96, 64)))
    target = plan_target(clip, Shot(0, 3), tmp_path / "out.mp4", WriteSettings(sdr=True))
    assert not target.is_plain
    assert target.encoding == plan_target(clip, Shot(0, 3), tmp_path / "out.mp4", WriteSettings()).encoding


def test_a_turned_clip_is_written_on_upright(tmp_path: Path) -> None:
    def turned(_target: Any, video: Any) -> None:
        video.set_display_matrix((0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30))

    clip = open_clip(make_clip(tmp_path / "a.mp4", moving(3, 96, 64), prepare=turned))
    assert clip.turn != ((1, 0), (0, 1))
    target = plan_target(clip, Shot(0, 3), tmp_path / "out.mp4", WriteSettings(), titles=TitleSettings(label="AI"))
    assert (target.shape.width, target.shape.height) == (64, 96)
    frame = next(frames(clip))
    seen, made = frame.rgb, framing(target, clip, [Shot(0, 3)], [])(frame).native
    after = made.reformat(format="rgb24").to_ndarray()
    assert np.abs(seen[60:].astype(int) - after[60:]).mean() < 3
    assert np.abs(seen[:20, :30].astype(int) - after[:20, :30]).mean() > 8
