"""Inpainting in latents, over a model so small that what it does is known."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
from torch.nn.functional import avg_pool2d, interpolate

from vidswap.errors import EngineError
from vidswap.progress import quiet
from vidswap.swap.engine import Needs
from vidswap.swap.latent import Painter, blended, paintable
from vidswap.swap.placement import Batches
from vidswap.swap.sampler import Levels

SIZE = 128
WAY = Levels((2.0, 1.0, 0.5, 0.0), (900.0, 500.0, 200.0), "epsilon")


@dataclass(frozen=True, eq=False)
class Blocks:
    """A model whose latents are means over 8 x 8 pixels, and whose network sees noise everywhere: x0 is `shade`, plus
    what of x it lets through."""

    levels: Levels = WAY
    renoised: bool = False
    shared: int = 0
    batches: Batches = field(default_factory=lambda: Batches(2))
    shade: float = 0.0
    through: float = 0.0
    network: object = None
    asked: list = field(default_factory=list)

    def encode(self, pictures):
        return avg_pool2d(pictures, 8)

    def decode(self, latents):
        return interpolate(latents, scale_factor=8)

    def predictor(self, start):
        sigma = dict(zip(self.levels.times, self.levels.sigmas))

        def network(x, time, rows):
            self.asked.append((time, rows.start, rows.stop))
            level = sigma[time]
            whole = x * float(np.hypot(1, level))
            return (whole - (self.shade + self.through * whole)) / level

        return network


@pytest.fixture
def painter(engine):
    base = replace(engine, needs=Needs(SIZE, "aligned", 8, 2))
    return lambda smooth=0.0, seed=0, **words: Painter(base, Blocks(**words), "key", seed, smooth)


def test_what_may_not_be_painted_is_the_warps_own_to_the_bit(painter, window, identity):
    one = painter(shade=0.9)
    crops = window(2, size=SIZE)
    crops.mask[:, 64:90, 40:90] = 0.0  # a hand before the mouth
    answer, plain = one.swap(crops, identity, None, quiet), one.base.swap(crops, identity, None, quiet)
    frames = one.base.frames(crops, identity)
    for row, frame in enumerate(frames):
        mask = paintable(frame, crops.mask[row], crops.mesh[row])
        fixed = mask == 0
        assert fixed.mean() > 0.2
        assert np.array_equal(answer.rgb[row][fixed], plain.rgb[row][fixed])
        assert fixed[70:84, 50:80].all(), "what covers the face is not painted"
        whole = mask > 0.99
        assert whole.mean() > 0.1
        assert np.abs(answer.rgb[row][whole].astype(float) - 0.95 * 255).mean() < 40
    assert np.array_equal(answer.alpha, plain.alpha)


def test_a_frame_is_painted_alike_in_any_window_and_batch(painter, window, identity):
    """Noise is the frame's own, and comes through: each frame alone, all together, by ones and by threes."""
    whole = painter(through=0.5).swap(window(5, size=SIZE), identity, None, quiet)
    for most in (1, 3, 8):
        again = painter(through=0.5, batches=Batches(most)).swap(window(5, size=SIZE), identity, None, quiet)
        assert np.abs(again.rgb.astype(int) - whole.rgb).max() <= 1
    for row in (0, 3):
        alone = painter(through=0.5).swap(window(1, start=row, size=SIZE), identity, None, quiet)
        assert np.abs(alone.latents[0] - whole.latents[row]).mean() < 0.1 * np.abs(whole.latents[row]).mean()


def test_noise_hangs_on_seed_track_and_frame(painter, window, identity):
    crops = window(2, size=SIZE)
    one = painter(through=0.5).swap(crops, identity, None, quiet)
    assert np.array_equal(painter(through=0.5).swap(crops, identity, None, quiet).rgb, one.rgb)
    other = painter(through=0.5, seed=1).swap(crops, identity, None, quiet)
    elsewhere = painter(through=0.5).swap(replace(crops, track=8), identity, None, quiet)
    assert not np.array_equal(other.latents, one.latents)
    assert not np.array_equal(elsewhere.latents, one.latents)


def test_noise_is_drawn_anew_at_each_step_where_the_model_wants_it(painter, window, identity):
    crops = window(1, size=SIZE)
    euler = painter(through=0.5).swap(crops, identity, None, quiet)
    fresh = [painter(through=0.5, renoised=True).swap(crops, identity, None, quiet) for _ in range(2)]
    assert np.array_equal(fresh[0].rgb, fresh[1].rgb)
    assert not np.array_equal(fresh[0].latents, euler.latents)


def test_what_was_painted_before_steadies_what_follows(painter, window, identity):
    first, second = window(3, size=SIZE), window(2, start=2, size=SIZE)
    steady = painter(smooth=1.0, through=0.5)
    before = steady.swap(first, identity, None, quiet)
    after = steady.swap(second, identity, before, quiet)
    assert np.array_equal(steady.swap(second, identity, before.tail(1), quiet).rgb, after.rgb)
    assert not np.array_equal(after.latents, steady.swap(second, identity, None, quiet).latents)
    rough = painter(smooth=0.0, through=0.5)
    answers = [rough.swap(second, identity, given, quiet).rgb for given in (before, None)]
    assert np.array_equal(*answers)


def test_frames_that_a_network_sees_together_share_their_neighbours(painter, window, identity):
    one = painter(shared=2, batches=Batches(4))
    one.swap(window(6, size=SIZE), identity, None, quiet)
    assert one.model.asked[:2] == [(900.0, 0, 4), (900.0, 2, 6)]


def test_steps_are_told_as_they_are_done(painter, window, identity):
    told = []
    painter().swap(window(1, size=SIZE), identity, None, lambda *words: told.append(words))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_a_model_that_gives_no_numbers_is_told(painter, window, identity):
    with pytest.raises(EngineError, match="no numbers") as caught:
        painter(shade=float("nan")).swap(window(1, size=SIZE), identity, None, quiet)
    assert "dtype" in caught.value.hint


def test_blending_by_nothing_and_by_all():
    picture, painted = np.full((2, 2, 3), 100.4, np.float32), np.full((2, 2, 3), 9.0, np.float32)
    mask = np.array([[0.0, 1.0], [0.5, 0.0]], np.float32)
    assert blended(picture, painted, mask)[..., 0].tolist() == [[100, 9], [55, 100]]


# -- memory -----------------------------------------------------------------------------------------------------------


def over(most, fits, count=7, shared=0):
    """What is asked of rows, where only `fits` of them have room."""
    asked, batches = [], Batches(most)

    def part(rows):
        if rows.stop - rows.start > fits:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        asked.append((rows.start, rows.stop))
        return torch.arange(rows.start, rows.stop, dtype=torch.float32)[:, None]

    return batches, lambda: batches.over(count, part, shared), asked


@pytest.mark.parametrize(("most", "fits"), [(8, 8), (8, 3), (2, 1), (5, 2), (100, 2)])
def test_where_memory_is_short_batches_are_halved_and_stay_so(most, fits):
    batches, run, asked = over(most, fits)
    assert run()[:, 0].tolist() == list(range(7))
    found = batches.most
    assert found <= max(fits, most if most <= fits else 0)
    asked.clear()
    assert run()[:, 0].tolist() == list(range(7))
    assert batches.most == found
    assert asked[0] == (0, min(found, 7))


def test_batches_that_share_frames_are_faded_into_one_another():
    _, run, asked = over(4, 4, count=10, shared=2)
    assert run()[:, 0].tolist() == pytest.approx(list(range(10)))
    assert asked == [(0, 4), (2, 6), (4, 8), (6, 10)]


def test_memory_that_is_short_for_one_frame_is_an_error():
    _, run, _ = over(4, 0)
    with pytest.raises(EngineError, match="even for one frame"):
        run()


@pytest.mark.parametrize("message", ["[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory",
                                     "MPS backend out of memory (MPS allocated: 17 GB)"])  # fmt: skip
def test_what_a_device_says_of_short_memory_is_known(message):
    def part(rows):
        if rows.stop - rows.start > 1:
            raise RuntimeError(message)
        return torch.zeros(1, 1)

    assert len(Batches(4).over(4, part)) == 4


def test_other_failures_pass():
    def part(rows):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="shapes"):
        Batches(4).over(4, part)
