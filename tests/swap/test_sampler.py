"""One sampler: exact steps for every kind of model, noise that hangs on frames, steadiness along time."""

from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EDMEulerScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    HeunDiscreteScheduler,
    LCMScheduler,
    UniPCMultistepScheduler,
)
from hypothesis import given
from hypothesis import strategies as st

from vidswap.swap.sampler import clean, levels_of, low_band, noise, sample, schedule, smooth_latents


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


pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # diffusers' own
MEAN, SPREAD = 0.3, 0.5  # of the Gaussian whose denoiser is known
MODELS = {
    "Euler, eps": partial(EulerDiscreteScheduler, beta_schedule="scaled_linear", use_karras_sigmas=True),
    "Euler, v": partial(EulerDiscreteScheduler, beta_schedule="scaled_linear", prediction_type="v_prediction"),
    "Euler, x0": partial(EulerDiscreteScheduler, prediction_type="sample"),
    "DDIM, eps": partial(DDIMScheduler, timestep_spacing="trailing"),
    "DDIM, v": partial(DDIMScheduler, timestep_spacing="trailing", prediction_type="v_prediction"),
    "LCM, eps": partial(LCMScheduler, original_inference_steps=500),
    "DPM++, v": partial(DPMSolverMultistepScheduler, prediction_type="v_prediction", use_karras_sigmas=True),
    "Euler, flow": partial(FlowMatchEulerDiscreteScheduler, shift=3.0),
    "UniPC, flow": partial(UniPCMultistepScheduler, prediction_type="flow_prediction", use_flow_sigmas=True),
}


def told(kind, x, time, levels):
    """What the perfect network of Gaussian data predicts of x, which is scaled as models are handed it."""
    sigma = levels.sigmas[levels.times.index(time)]
    scale = 1.0 if kind == "flow_prediction" else (sigma**2 + 1) ** 0.5
    x, share = x * scale, 1 - sigma if kind == "flow_prediction" else 1.0
    x0 = MEAN + share * SPREAD**2 / ((share * SPREAD) ** 2 + sigma**2) * (x - share * MEAN)
    e = (x - share * x0) / sigma
    return {"epsilon": e, "sample": x0, "flow_prediction": e - x0, "v_prediction": (e - sigma * x0) / scale}[kind]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_with_a_perfect_network_the_data_are_reached_whatever_it_predicts(name, dtype):
    """All of a Gaussian's ways are known: noise e becomes MEAN + SPREAD e, or nearly, for noise is never endless."""
    levels = levels_of(MODELS[name](), 200)
    e = torch.randn(2, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    start = levels.noised(torch.full(e.shape, MEAN, dtype=dtype), e)
    way = sample(levels.denoiser(lambda x, time: told(levels.predicts, x, time, levels)), start, levels.sigmas)
    *_, last = way
    assert last.dtype == dtype
    assert len(levels.times) == len(levels.sigmas) - 1 == 200
    assert (last - (MEAN + SPREAD * e)).abs().max() < 0.06


@pytest.mark.parametrize("name", MODELS)
def test_of_a_scheduler_come_its_own_levels(name):
    """What its own noising does to a picture is what ours does, but for the scale that models are handed x in."""
    scheduler = MODELS[name]()
    levels = levels_of(scheduler, 10).cut(0.5)
    assert len(levels.times) == 5
    assert levels.cut(0.01).times == levels.times[-1:]
    x0, e = torch.randn(1, 4, 8, 8), torch.randn(1, 4, 8, 8)
    first = scheduler.timesteps[5:6]
    theirs = scheduler.scale_noise(x0, first, e) if name == "Euler, flow" else scheduler.add_noise(x0, e, first)
    if "Euler" in name and "flow" not in name:
        theirs = theirs / (levels.sigmas[0] ** 2 + 1) ** 0.5
    ours = []
    assert levels.times[0] == float(first)
    next(sample(levels.denoiser(lambda x, _: ours.append(x) or x), levels.noised(x0, e), levels.sigmas))
    assert torch.allclose(ours[0], theirs, atol=1e-5)


def test_flux_shifts_its_levels_by_the_size_of_the_picture():
    dynamic = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    near, far = (levels_of(dynamic, 4, mu=mu).sigmas for mu in (0.5, 1.15))
    assert near[0] == far[0] == 1.0
    assert near[2] < far[2]


@pytest.mark.parametrize("scheduler", [
    HeunDiscreteScheduler, EDMEulerScheduler,
    partial(DDIMScheduler, rescale_betas_zero_snr=True, timestep_spacing="trailing"),  # sigma is endless at its first
])  # fmt: skip
def test_schedulers_of_other_kinds_are_refused(scheduler):
    with pytest.raises(ValueError, match="expected a scheduler of the first order"):
        levels_of(scheduler(), 4)


@given(st.floats(0.01, 0.99), st.integers(0, 2**31))
def test_each_kind_of_prediction_tells_the_same_picture(sigma, seed):
    x0, e = torch.randn(2, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    scale = (sigma**2 + 1) ** 0.5
    for kind, out, x in (("epsilon", e, x0 + sigma * e), ("sample", x0, x0 + sigma * e),
                         ("v_prediction", (e - sigma * x0) / scale, x0 + sigma * e),
                         ("flow_prediction", e - x0, (1 - sigma) * x0 + sigma * e)):  # fmt: skip
        assert torch.allclose(clean(kind, out, x, sigma), x0)


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
    calm = smooth_latents(still + flicker, None, 1.0, spread=0.1)
    assert low_band(calm, 8).diff(dim=0).abs().mean() < 0.4 * low_band(still + flicker, 8).diff(dim=0).abs().mean()
    high = (calm - still) - (calm - still).mean((2, 3), keepdim=True)
    assert high.abs().max() < 0.02


def test_smoothing_lets_real_changes_happen_at_once():
    """A step ten times the flicker is no flicker: it stays where it was."""
    step = torch.zeros(12, 3, 16, 16)
    step[6:] = 0.8
    assert (smooth_latents(step, None, 1.0, spread=0.1) - step).abs().max() < 0.01


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_smoothing_does_the_same_at_any_scale_and_in_any_numbers(dtype):
    torch.manual_seed(0)
    x = torch.randn(6, 4, 16, 16) * 0.1
    calm = smooth_latents(x, None, 0.5, spread=0.1)
    assert torch.allclose(smooth_latents(x * 9, None, 0.5, spread=0.9) / 9, calm, atol=1e-6)
    rough = smooth_latents(x.to(dtype), None, 0.5, spread=0.1)
    assert rough.dtype == dtype
    assert torch.allclose(rough.float(), calm, atol=4e-3)


def test_all_of_it_stays_on_its_device():
    """On one that holds no numbers: it refuses whatever is not of it."""
    levels = levels_of(MODELS["Euler, v"](), 3)
    x = levels.noised(torch.zeros(4, 3, 16, 16, device="meta", dtype=torch.bfloat16), noise(0, 0, 0, (3, 16, 16)))
    denoise = levels.denoiser(lambda x, _: x)
    before = torch.zeros(2, 3, 2, 2)
    *_, last = sample(lambda x, sigma: smooth_latents(denoise(x, sigma), before, 0.5), x, levels.sigmas)
    assert (last.device.type, last.dtype, last.shape) == ("meta", torch.bfloat16, (4, 3, 16, 16))


def test_no_smoothing_changes_nothing():
    x = torch.randn(4, 3, 16, 16)
    assert torch.equal(smooth_latents(x, None, 0.0), x)


def test_the_window_before_is_remembered():
    torch.manual_seed(1)
    base = torch.randn(1, 3, 16, 16) * 0.05
    before = low_band(base.expand(4, 3, 16, 16), 8)
    after = smooth_latents(base + 0.03 * torch.ones(2, 3, 16, 16), before, 1.0, spread=0.1)
    assert (after[0] - base[0]).mean() < 0.02
