"""A murmuring voice over a few soft chords, made of sines: mono float32 at RATE samples a second.

The voice has no words: a pulse train through two resonances a syllable (source and filter; Fant 1960)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
RATE = 44100
VOWELS = ((730, 1090), (530, 1840), (270, 2290), (570, 840), (440, 1020))  # two formants each, in Hz


@dataclass(frozen=True)
class Syllable:
    """When a mouth opens, for how long (seconds), how far (0..1), and which vowel it says."""

    start: float
    length: float
    opening: float
    vowel: int

    def shape(self, times: Array) -> Array:
        """How far the mouth is open at `times` because of this syllable."""
        t = np.clip((times - self.start) / self.length, 0, 1)
        return np.asarray(self.opening * np.sin(np.pi * t) ** 1.5)


def talk(spans: Sequence[tuple[float, float]], seed: int) -> list[Syllable]:
    """Syllables, some four and a half a second, filling spans (from, to) of speech."""
    draw = np.random.default_rng(seed)
    syllables = []
    for start, stop in spans:
        time = start
        while time < stop - 0.16:
            length = float(draw.uniform(0.19, 0.30))
            syllables.append(Syllable(time, length, float(draw.uniform(0.25, 0.62)), int(draw.integers(len(VOWELS)))))
            time += length * float(draw.uniform(0.8, 1.0))
    return syllables


def voice(syllables: Sequence[Syllable], seconds: float, pitch: float = 196.0) -> Array:
    """The murmur of these syllables."""
    times = np.arange(round(seconds * RATE)) / RATE
    melody = pitch * (1 + 0.07 * np.sin(2 * np.pi * 0.45 * times) + 0.012 * np.sin(2 * np.pi * 5.2 * times))
    phase = 2 * np.pi * np.cumsum(melody) / RATE
    total = np.zeros_like(times)
    for syllable in syllables:
        here = (times >= syllable.start) & (times < syllable.start + syllable.length)
        level = syllable.shape(times[here])
        for harmonic in range(1, 15):
            frequency = harmonic * pitch
            gain = sum(weight / (1 + ((frequency - formant) / width) ** 2)
                       for formant, width, weight in zip(VOWELS[syllable.vowel], (110, 160), (1.0, 0.45)))  # fmt: skip
            total[here] += level * (gain + 0.25 / harmonic**1.5) * np.sin(harmonic * phase[here])
    return total


def music(seconds: float) -> Array:
    """Slow chords, each note a soft pluck over a quiet pad: F, C, d minor, B flat."""
    times = np.arange(round(seconds * RATE)) / RATE
    chords = ((174.61, 220.0, 261.63), (164.81, 196.0, 261.63), (146.83, 220.0, 293.66), (146.83, 174.61, 233.08))
    total = np.zeros_like(times)
    span = seconds / len(chords)
    for i, chord in enumerate(chords):
        for j, note in enumerate((*chord, 2 * chord[1], 2 * chord[0], 2 * chord[2])):
            since = np.maximum(times - (i * span + j * span / 6), 0)
            struck = (since > 0) * np.minimum(since / 0.012, 1) * np.exp(-since / 0.7)
            wave = np.sin(2 * np.pi * note * since) + 0.22 * np.sin(4 * np.pi * note * since)
            total += 0.35 * struck * wave
        swell = np.exp(-(((times - (i + 0.5) * span) / (0.55 * span)) ** 4))
        total += 0.10 * swell * sum(np.sin(2 * np.pi * note / 2 * times) for note in chord)
    return total


def echo(dry: Array, seed: int) -> Array:
    """The sound in a room: convolved with half a second of fading noise."""
    draw = np.random.default_rng(seed)
    length = RATE // 2
    tail = draw.standard_normal(length) * np.exp(-np.arange(length) / (0.11 * RATE))
    size = 1 << int(np.ceil(np.log2(len(dry) + length)))
    wet = np.fft.irfft(np.fft.rfft(dry, size) * np.fft.rfft(tail, size), size)[: len(dry)]
    return np.asarray(dry + 0.22 * wet * (np.abs(dry).max() / (np.abs(wet).max() + 1e-9)))


def soundtrack(syllables: Sequence[Syllable], seconds: float) -> Array:
    """Voice, music and the air of a room, faded in and out, peaking at 0.7."""
    times = np.arange(round(seconds * RATE)) / RATE
    said, played = voice(syllables, seconds), music(seconds)
    air = np.cumsum(np.random.default_rng(3).standard_normal(len(times)))
    air -= np.convolve(air, np.ones(2001) / 2001, "same")
    mixed = echo(0.55 * said / np.abs(said).max() + 0.6 * played / np.abs(played).max(), 5) + 0.004 * air / air.std()
    fade = np.minimum(1, np.minimum(times / 0.15, (seconds - times) / 0.5))
    mixed *= np.clip(fade, 0, 1)
    return np.asarray(0.7 * mixed / np.abs(mixed).max(), np.float32)
