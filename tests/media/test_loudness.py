"""Sound at a wanted loudness: as FFmpeg's own meter says, in step, cut to the sample."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from footage import moving

from vidswap.errors import UsageError
from vidswap.media.loudness import HIGHEST, Excerpt, Loudness, loudness_of, played
from vidswap.media.metadata import Trim
from vidswap.read.clip import frames, open_clip
from vidswap.settings import Settings, WriteSettings
from vidswap.types import Shot
from vidswap.write.film import encode
from vidswap.write.target import plan_target

RATE, COUNT = 48_000, 75
Wave = Callable[[np.ndarray], np.ndarray]


def tone(seconds: np.ndarray) -> np.ndarray:
    return 0.02 * np.sin(2 * np.pi * 440 * seconds)


def spiky(seconds: np.ndarray) -> np.ndarray:
    """Soft, with peaks: it cannot be turned up as a whole."""
    noise = np.random.default_rng(3).normal(0, 0.02, len(seconds))
    return noise + 0.9 * np.sin(2 * np.pi * 997 * seconds) * (seconds % 0.5 < 0.01)


def film(path: Path, wave: Wave, codec: str = "aac", start: Fraction = Fraction(0)) -> Path:
    """Three seconds of pictures and of a wave of sound, which begins `start` seconds after them."""
    with av.open(str(path), "w") as target:
        video, sound = target.add_stream("libx264", rate=25), target.add_stream(codec, rate=RATE, layout="mono")
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        for picture in moving(COUNT, 96, 64):
            target.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        samples = wave(np.arange(3 * RATE) / RATE).astype(np.float32)
        for place in range(0, len(samples), 1024):
            part = av.AudioFrame.from_ndarray(samples[None, place : place + 1024], format="fltp", layout="mono")
            part.sample_rate, part.time_base, part.pts = RATE, Fraction(1, RATE), place + int(start * RATE)
            target.mux(sound.encode(part))
        target.mux(video.encode(None))
        target.mux(sound.encode(None))
    return path


def written(source: Path, out: Path, wanted: float, first: int = 0, stop: int = COUNT) -> Path:
    clip = open_clip(source)
    pictures = ((frame.index, frame.native) for frame in frames(clip, first, stop))
    encode(clip, pictures, out, WriteSettings(loudness=wanted, preset="ultrafast"), {})
    return out


def heard(path: Path) -> tuple[Loudness, np.ndarray, float]:
    """How loud the sound of a film is, its samples, and when they begin."""
    with av.open(str(path)) as container:
        index, stream = container.streams.audio[0].index, container.streams.audio[0]
        found = list(container.decode(stream))
    samples = np.concatenate([frame.to_ndarray().mean(0) for frame in found])
    return loudness_of(Excerpt(path, index)), samples, float(found[0].time)


@pytest.mark.parametrize("wave", [tone, spiky])
@pytest.mark.parametrize("wanted", [-14.0, -23.0])
@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_sound_has_the_wanted_loudness_and_no_peak_over_the_ceiling(
    tmp_path: Path, wave: Wave, wanted: float, ending: str
) -> None:  # fmt: skip
    source = film(tmp_path / "clip.mp4", wave)
    before = heard(source)[0]
    assert abs(before.lufs - wanted) > 3, "there is something to do"
    found, samples, _ = heard(written(source, tmp_path / f"out.{ending}", wanted))
    assert abs(found.lufs - wanted) <= 0.5
    assert found.peak <= HIGHEST
    assert abs(len(samples) / RATE - 3) < 0.05


def test_sound_that_is_copied_is_untouched(tmp_path: Path) -> None:
    source = film(tmp_path / "clip.mp4", tone)
    clip = open_clip(source)
    encode(clip, ((frame.index, frame.native) for frame in frames(clip)), tmp_path / "out.mp4", WriteSettings(), {})
    assert np.array_equal(heard(tmp_path / "out.mp4")[1], heard(source)[1])


@pytest.mark.parametrize("codec", ["aac", "pcm_s16le", "flac"])
def test_a_click_stays_where_it_is(tmp_path: Path, codec: str) -> None:
    def click(seconds: np.ndarray) -> np.ndarray:
        return tone(seconds) + 0.5 * (abs(seconds - 1.7) < 0.001)

    source = film(tmp_path / "clip.mkv", click, codec, start=Fraction(1, 10))
    for first, stop in ((0, COUNT), (25, 60)):
        _, samples, begins = heard(written(source, tmp_path / f"{first}.mkv", -20, first, stop))
        at = begins + int(abs(samples).argmax()) / RATE
        assert abs(at - (1.8 - first / 25)) < 0.002
        assert len(samples) / RATE + begins <= (stop - first) / 25 + 0.2


def test_silence_stays_silent(tmp_path: Path) -> None:
    source = film(tmp_path / "clip.mp4", np.zeros_like)
    found, samples, _ = heard(written(source, tmp_path / "out.mp4", -14))
    assert found.lufs == -np.inf
    assert abs(samples).max() < 1e-3


def test_an_excerpt_is_cut_to_the_sample(tmp_path: Path) -> None:
    source = film(tmp_path / "clip.mkv", tone, "pcm_s16le")
    trim = Trim(Fraction(1, 3), Fraction(5, 3), trimmed=True)
    found = list(played(Excerpt(source, 1, trim), []))
    assert found[0].pts == 0
    assert sum(frame.samples for frame in found) == pytest.approx(RATE * 4 / 3, abs=2)


def test_a_damaged_stretch_of_sound_is_passed_over(tmp_path: Path) -> None:
    source = film(tmp_path / "clip.mkv", tone)
    content = bytearray(source.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 400] = bytes(400)
    source.write_bytes(bytes(content))
    found, *_ = heard(written(source, tmp_path / "out.mkv", -20))
    assert abs(found.lufs + 20) <= 0.7


def test_loudness_is_for_films(tmp_path: Path) -> None:
    clip = open_clip(film(tmp_path / "clip.mp4", tone))
    with pytest.raises(UsageError, match="are for films"):
        plan_target(clip, Shot(0, COUNT), tmp_path / "out.gif", WriteSettings(loudness=-14))
    for wrong in (-60, 0, "loud"):
        with pytest.raises(UsageError):
            Settings(write=WriteSettings(loudness=wrong))
