"""Small clips made on the spot, for tests: moving texture, a tone, any container, any times."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

RATE = 48000


def texture(seed: int, width: int = 640, height: int = 480) -> Any:
    """A smooth colourful picture (H, W, 3) uint8 with large and small shapes, the same for the same seed."""
    rng = np.random.default_rng(seed)
    picture = np.zeros((height, width, 3), np.float32)
    for cells, colours in ((4, 3), (12, 1), (30, 1)):  # colour changes slowly: 4:2:0 keeps it
        grid = rng.uniform(-1, 1, (cells, cells, colours)).astype(np.float32)
        picture += cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC).reshape(height, width, colours)
    return np.clip(128 + 60 * picture, 0, 255).astype(np.uint8)


def moving(count: int, width: int = 96, height: int = 64, seed: int = 0) -> list[Any]:
    """Pictures of a slow pan over a texture."""
    wide = texture(seed, width + 2 * count, height)
    return [wide[:, 2 * i : 2 * i + width].copy() for i in range(count)]


def make_clip(
    path: Path,
    pictures: Sequence[Any],
    pts: Sequence[int] | None = None,
    unit: Fraction = Fraction(1, 12800),
    sound: bool = True,
    **choices: Any,
) -> Path:
    """Write `pictures` at the times `pts` (default 25 a second); x264 with B-frames, or the codec of `choices`.

    Other choices: codec, pix_fmt, options, sound_delay in seconds, container (options), last (duration)."""
    step = int(Fraction(1, 25) / unit)
    times = list(pts) if pts is not None else [i * step for i in range(len(pictures))]
    muxing = {"movie_timescale": "90000", **choices.get("container", {})} if path.suffix in (".mp4", ".mov") else {}
    with av.open(str(path), "w", container_options=muxing) as target:
        video = target.add_stream(
            choices.get("codec", "libx264"), rate=25, options=choices.get("options", {"crf": "10"})
        )
        video.height, video.width = pictures[0].shape[:2]
        video.pix_fmt = choices.get("pix_fmt", "yuv420p")
        video.codec_context.time_base = video.time_base = unit
        video.codec_context.flags |= int(av.codec.context.Flags.frame_duration)
        tone = target.add_stream("aac", rate=RATE, layout="mono") if sound else None
        if choices.get("prepare"):
            choices["prepare"](target, video)
        for i, (picture, time) in enumerate(zip(pictures, times, strict=True)):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts, frame.time_base = time, unit
            frame.duration = times[i + 1] - time if i + 1 < len(times) else choices.get("last", step)
            target.mux(video.encode(frame))
        target.mux(video.encode(None))
        if tone is not None:
            seconds = float((times[-1] - times[0] + step) * unit)
            _add_tone(target, tone, seconds, choices.get("sound_delay", 0.0))
    return path


def _add_tone(target: Any, tone: Any, seconds: float, delay: float) -> None:
    samples = np.arange(int(seconds * RATE), dtype=np.float32)
    wave = (0.3 * np.sin(samples * 440 * 2 * np.pi / RATE)).astype(np.float32)
    frame = av.AudioFrame.from_ndarray(wave[None], format="fltp", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = RATE, round(delay * RATE), Fraction(1, RATE)
    target.mux(tone.encode(frame))
    target.mux(tone.encode(None))


def packets_of(path: Path, kind: str = "audio") -> list[tuple[Fraction, bytes]]:
    """(time, payload) of the packets of the first stream of a kind."""
    with av.open(str(path)) as source:
        stream = next(each for each in source.streams if each.type == kind)
        return [
            (packet.pts * Fraction(packet.time_base), bytes(packet)) for packet in source.demux(stream) if packet.size
        ]


def times_of(path: Path) -> list[Fraction]:
    """Times of the pictures, as any player decodes them."""
    with av.open(str(path)) as source:
        return [frame.pts * Fraction(frame.time_base) for frame in source.decode(video=0)]
