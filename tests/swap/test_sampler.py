"""One sampler: exact steps, noise that hangs on frames, steadiness along time."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vidswap.swap.sampler import low_band, noise, sample, schedule, smooth_latents


@given(st.floats(0.1, 50), st.integers(1, 20))
def test_noise_levels_fall_from_the_largest_to_nothing(largest, steps):
    sigmas = schedule(largest, largest / 20, steps)
    assert len(sigmas) == steps + 1
    assert sigmas[0] == pytest.approx(largest)
    assert sigmas[-1] == 0
    assert all(a > b for a, b in pairwise(sigmas))


@given(st.integers(1, 12), st.integers(0, 2**31))
def test_a_denoiser_that_knows_is_followed_in_any_number_of_steps(steps, seed):
    truth = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    start = truth + 5 * torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(seed + 1))
    *_, last = sample(lambda x, sigma: truth, start, schedule(5.0, 0.1, steps))
    assert torch.allclose(last, truth)


def test_every_step_is_the_exact_mixture_of_picture_and_noise():
    """x = x0 + sigma e holds at each level if it held at the first."""
    truth, e = torch.randn(1, 3, 4, 4), torch.randn(1, 3, 4, 4)
    sigmas = schedule(3.0, 0.2, 4)
    for x, sigma in zip(sample(lambda x, s: truth, truth + sigmas[0] * e, sigmas), sigmas[1:]):
        assert torch.allclose(x, truth + sigma * e, atol=1e-5)


def test_a_frame_has_the_same_noise_however_windows_fall():
    a, b = noise(1, 2, 30, (3, 8, 8)), noise(1, 2, 30, (3, 8, 8))
    assert torch.equal(a, b)
    assert not torch.equal(a, noise(1, 3, 30, (3, 8, 8)))
    assert not torch.equal(a, noise(2, 2, 30, (3, 8, 8)))


def test_frames_of_a_track_share_most_of_their_noise():
    a, b = (noise(0, 0, frame, (3, 64, 64)).flatten().numpy() for frame in (0, 1))
    assert np.corrcoef(a, b)[0, 1] > 0.98
    assert a.std() == pytest.approx(1, abs=0.03)
    assert not np.array_equal(a, b)


def test_smoothing_steadies_the_low_band_and_leaves_the_high():
    torch.manual_seed(0)
    still = torch.randn(1, 3, 64, 64).expand(12, 3, 64, 64) * 0.1
    flicker = torch.randn(12, 3, 1, 1) * 0.02
    calm = smooth_latents(still + flicker, None, 1.0)
    assert low_band(calm, 8).diff(dim=0).abs().mean() < 0.4 * low_band(still + flicker, 8).diff(dim=0).abs().mean()
    high = (calm - still) - (calm - still).mean((2, 3), keepdim=True)
    assert high.abs().max() < 0.02


def test_smoothing_lets_real_changes_happen_at_once():
    """A step ten times the flicker is no flicker: it stays where it was."""
    step = torch.zeros(12, 3, 16, 16)
    step[6:] = 0.8
    assert (smooth_latents(step, None, 1.0) - step).abs().max() < 0.01


def test_no_smoothing_changes_nothing():
    x = torch.randn(4, 3, 16, 16)
    assert torch.equal(smooth_latents(x, None, 0.0), x)


def test_the_window_before_is_remembered():
    torch.manual_seed(1)
    base = torch.randn(1, 3, 16, 16) * 0.05
    before = low_band(base.expand(4, 3, 16, 16), 8)
    after = smooth_latents(base + 0.03 * torch.ones(2, 3, 16, 16), before, 1.0)
    assert (after[0] - base[0]).mean() < 0.02
