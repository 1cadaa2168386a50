"""Steadying takes the jitter and leaves the performance, without lag."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidswap.face import landmarks
from vidswap.face.landmarks import mean_face
from vidswap.read import smoothing

MEAN = mean_face().astype(np.float64)
EYE = 100.0  # distance of the outer eye corners in these tests, pixels
NOISE = 0.4
LIDS = [159, 386, 158, 385, 160, 387]
JAW = landmarks.OVAL[12:25]


def turned(yaw, roll):
    c, s, d, e = np.cos(yaw), np.sin(yaw), np.cos(roll), np.sin(roll)
    return np.array([[d, -e, 0], [e, d, 0], [0, 0, 1]]) @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def performance(count, *, yaw=None, x=None, blink=None, jaw=None):
    """(T, 478, 3): a face that turns, moves, blinks and speaks as told, each (T,) or nothing."""
    still = np.zeros(count)
    meshes = []
    for a, b, c, d in zip(*(still if track is None else track for track in (yaw, x, blink, jaw)), strict=True):
        face = MEAN.copy()
        face[LIDS, 1] += 0.08 * c
        face[[14, 17, 84, 314, *JAW], 1] += 0.2 * d
        meshes.append(EYE * face @ turned(a, 0.1).T + [300 + b, 200, 0])
    return np.array(meshes)


def shaken(meshes, seed=0):
    return meshes + np.random.default_rng(seed).normal(0, NOISE, meshes.shape)


def lids(meshes):
    return np.linalg.norm(meshes[:, 159] - meshes[:, 145], axis=1) / EYE


def jitter(meshes):
    return np.sqrt((np.diff(meshes, 2, axis=0) ** 2).mean())


def steadied(meshes, frames, count):
    """All frames of a track, piece by piece, from the meshes that were seen in `frames`."""

    def seen(low, high):
        inside = (frames >= low) & (frames < high)
        return meshes[inside], frames[inside]

    return np.concatenate([smoothing.smooth_track(start, count, seen) for start in range(0, count, smoothing.PIECE)])


def whole(meshes):
    return steadied(meshes.astype(np.float32), np.arange(len(meshes)), len(meshes))


def test_jitter_of_a_still_face_falls_to_a_third():
    noisy = shaken(performance(40))
    assert jitter(whole(noisy)) < jitter(noisy) / 3


def test_a_steadied_face_is_nearer_to_the_truth_while_it_moves():
    t = np.arange(60)
    true = performance(60, yaw=0.5 * np.sin(t / 9), x=80 * np.sin(t / 14), jaw=0.5 + 0.5 * np.sin(t / 2))
    noisy = shaken(true)
    assert np.abs(whole(noisy) - true).mean() < 0.6 * np.abs(noisy - true).mean()


def test_a_clean_performance_is_left_alone():
    t = np.arange(50)
    true = performance(50, yaw=0.6 * np.sin(t / 8), x=3.0 * t, blink=np.exp(-0.5 * (t - 25.0) ** 2))
    np.testing.assert_allclose(whole(true), true, atol=0.01 * EYE)


@pytest.mark.parametrize("length", [1, 2, 3])
def test_a_blink_survives(length):
    blink = np.zeros(60)
    blink[30 : 30 + length] = 1
    got = lids(whole(shaken(performance(60, blink=blink))))
    opened, closed = np.median(got), got[30 : 30 + length].max()
    assert opened - closed > 0.85 * 0.08
    assert got[[27, 28, 31 + length, 32 + length]].min() > opened - 0.2 * 0.08


def test_fast_speech_keeps_its_amplitude():
    jaw = 0.5 + 0.5 * np.sin(np.arange(80) * 2 * np.pi / 5)  # five openings a second at 25 frames a second
    true = performance(80, jaw=jaw)
    mouth = [np.linalg.norm(m[:, 14] - m[:, 13], axis=1) for m in (true, whole(shaken(true)))]
    assert np.polyfit(mouth[0], mouth[1], 1)[0] > 0.9


def test_no_lag_reversed_time_gives_the_reversed_result():
    t = np.arange(51)
    noisy = shaken(performance(51, yaw=0.01 * t, x=60 * np.tanh((t - 20) / 2), blink=(t == 33).astype(float)))
    np.testing.assert_allclose(whole(noisy[::-1])[::-1], whole(noisy), atol=0.02)


def test_a_step_is_not_shifted():
    t = np.arange(41)
    got = whole(shaken(performance(41, x=60.0 * (t > 20))))[:, landmarks.RIGID, 0].mean(1)
    assert np.all(np.abs(got[:21] - got[0]) < 6)
    assert np.all(np.abs(got[21:] - got[0] - 60) < 6)


def test_a_gap_is_filled_along_the_way():
    t = np.arange(30)
    true = performance(30, yaw=0.02 * t, x=4.0 * t)
    frames = np.r_[0:10, 18:30]
    got = steadied(true[frames].astype(np.float32), frames, 30)
    np.testing.assert_allclose(got, true, atol=0.03 * EYE)


def test_a_long_track_has_no_seams(monkeypatch):
    t = np.arange(150)
    noisy = shaken(performance(150, yaw=0.4 * np.sin(t / 20), x=50 * np.sin(t / 30), jaw=(t % 9 < 4).astype(float)))
    at_once = whole(noisy)
    monkeypatch.setattr("vidswap.read.smoothing.PIECE", 40)
    assert np.abs(whole(noisy) - at_once).max() < 2 * NOISE


@given(st.integers(1, 12), st.integers(0, 100))
@settings(max_examples=25, deadline=None)
def test_however_short_a_track_is_its_meshes_stay_where_they_are(count, seed):
    noisy = shaken(performance(count, x=np.arange(count) * 2.0), seed)
    got = whole(noisy)
    assert got.dtype == np.float32
    assert got.shape == (count, 478, 3)
    assert np.abs(got - noisy).max() < 8 * NOISE


def test_frames_once_seen_and_long_lost_are_finite():
    meshes = performance(2, x=np.array([0.0, 50.0]))
    got = steadied(meshes.astype(np.float32), np.array([0, 20]), 21)
    np.testing.assert_allclose(got[10].mean(0), meshes.mean((0, 1)), atol=0.5)
