"""The contract of vidswap.swap.engine, held over every engine."""

from dataclasses import replace

import numpy as np
import pytest

from vidswap.errors import EngineError, OutputError, UsageError
from vidswap.settings import SwapSettings
from vidswap.swap import engine as engines
from vidswap.swap.engine import ENGINES, Needs, fenced, open_engine
from vidswap.swap.engines import embedded
from vidswap.swap.engines.embedded import BATCH
from vidswap.types import Swapped


@pytest.fixture(scope="module", params=sorted(ENGINES))
def opened(request):
    return open_engine(SwapSettings(engine=request.param))


@pytest.fixture(scope="module")
def answer(opened, window, identity):
    crops = window(3, size=opened.needs.size)
    return crops, opened.swap(crops, identity, None)


def test_same_frames_size_and_order(answer):
    crops, swapped = answer
    assert swapped.crops is crops
    assert swapped.rgb.shape == crops.rgb.shape
    assert swapped.alpha.min() >= 0
    assert swapped.alpha.max() <= 1
    # each answer lies on its own frame: elsewhere than the face, nothing moved
    corner = np.s_[:, :40, :40]
    assert np.abs(swapped.rgb[corner].astype(int) - crops.rgb[corner]).max() <= 2
    assert swapped.alpha[corner].max() == 0


def test_inputs_stay_untouched(opened, window, identity):
    crops = window(1, size=opened.needs.size)
    parts = {name: getattr(crops, name).copy() for name in ("rgb", "mesh", "mask", "to_frame", "weight", "neutral")}
    photo, mesh = identity.photos[0].copy(), identity.meshes[0].copy()
    opened.swap(crops, identity, None)
    assert all(np.array_equal(getattr(crops, name), kept) for name, kept in parts.items())
    assert np.array_equal(identity.photos[0], photo)
    assert np.array_equal(identity.meshes[0], mesh)


def test_equal_arguments_give_equal_results(opened, answer, identity):
    crops, swapped = answer
    again = opened.swap(crops, identity, None)
    assert np.array_equal(again.rgb, swapped.rgb)
    assert np.array_equal(again.alpha, swapped.alpha)


def test_the_face_becomes_another(answer):
    """The middle of the face changes; towards the crop's edge the actor's picture stays."""
    crops, swapped = answer
    size = crops.rgb.shape[1]
    middle = np.s_[:, size // 3 : 2 * size // 3, size // 3 : 2 * size // 3]
    changed = np.abs(swapped.rgb[middle].astype(int) - crops.rgb[middle])
    assert changed.mean() > 1.0
    assert (swapped.alpha[middle] > 0.9).mean() > 0.95


def test_memory_is_the_window_before(opened, window, identity):
    """A second window depends on nothing that the engine keeps."""
    size = opened.needs.size
    first, second = window(2, size=size), window(2, start=1, size=size)
    alone = opened.swap(second, identity, None)
    before = opened.swap(first, identity, None)
    after = opened.swap(second, identity, before)
    assert np.array_equal(opened.swap(second, identity, None).rgb, alone.rgb)
    assert np.array_equal(opened.swap(second, identity, before).rgb, after.rgb)


def test_what_was_answered_before_steadies_what_follows(window, identity):
    """An engine that smooths over time is drawn towards the latents of the window before, and towards no others."""
    engine = open_engine(SwapSettings(smooth=1.0))
    first, second = window(2, size=engine.needs.size), window(2, start=1, size=engine.needs.size)
    before = engine.swap(first, identity, None)
    apart = replace(before, latents=before.latents + np.float32(0.01))
    alone, after, moved = (engine.swap(second, identity, given) for given in (None, before, apart))
    assert not np.array_equal(after.latents, alone.latents)
    drawn = (moved.latents - after.latents).mean()
    assert 0 < drawn < 0.01
    rough = open_engine(SwapSettings(smooth=0.0))
    assert np.array_equal(rough.swap(second, identity, before).rgb, rough.swap(second, identity, None).rgb)


def test_what_covers_the_face_stays(opened, window, identity):
    crops = window(1, size=opened.needs.size)
    size = crops.rgb.shape[1]
    hole = np.s_[:, size // 2 : size // 2 + size // 6, size // 2 - size // 12 : size // 2 + size // 12]
    crops.mask[hole] = 0.0
    assert opened.swap(crops, identity, None).alpha[hole].mean() < 0.1


def test_a_window_of_many_frames_gives_each_its_own_answer(window, identity):
    """A window is larger than the network's batches: without smoothing each frame is answered as if it were alone."""
    engine = open_engine(SwapSettings(smooth=0.0))
    size = engine.needs.size
    together = engine.swap(window(BATCH + 2, size=size), identity, None)
    assert len(together.latents) == BATCH + 2
    for row in (0, BATCH - 1, BATCH, BATCH + 1):
        alone = engine.swap(window(1, start=row, size=size), identity, None)
        apart = np.abs(together.latents - alone.latents).mean((1, 2, 3))
        assert apart.argmin() == row
        assert apart[row] < 0.1 * np.delete(apart, row).min()


def test_unknown_engines_are_named_with_the_known_ones():
    with pytest.raises(UsageError, match="embedded"):
        open_engine(SwapSettings(engine="nothing"))


@pytest.mark.parametrize("wrong", [
    {"size": 8}, {"window": 0}, {"window": 8, "overlap": 5}, {"size": 100_000}, {"size": 64.5}, {"framing": "loose"},
])  # fmt: skip
def test_needs_refuse_what_cannot_be(wrong):
    with pytest.raises(ValueError, match="Needs"):
        Needs(**{"size": 64, "framing": "aligned", "window": 8, "overlap": 2, **wrong})


def test_failures_are_told_as_engine_errors(opened, window, identity):
    """A face that lies nowhere is more than an engine can mend; nothing else may come out."""
    crops = window(1, size=opened.needs.size)
    crops.mesh[:] = np.nan
    with pytest.raises(EngineError, match="failed at frames 0 to 0"):
        opened.swap(crops, identity, None)


class Broken:
    """An engine that answers with what it is told to, or raises it."""

    key, needs = "broken", Needs(64, "aligned", 1, 0)

    def __init__(self, answer):
        self.answer = answer

    def swap(self, crops, identity, previous):
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(("failure", "said", "hint"), [
    (RuntimeError("out of memory\nat allocator"), ": out of memory", "memory is short"),
    (ValueError(""), "ValueError", "fault"),
    (MemoryError(), "MemoryError", "memory is short"), (RuntimeError("shapes differ"), "shapes differ", "fault"),
    (KeyError("face"), "KeyError: 'face'", "fault"), (TypeError("no"), "TypeError: no", "fault"),
    (IndexError("list index"), "IndexError: list", "fault"), (AttributeError("x"), "AttributeError: x", "fault"),
    (OSError(28, "No space left on device", "out.mp4"), "No space left on device: out.mp4", "drive"),
    (ModuleNotFoundError("No module named 'xformers'", name="xformers"), "xformers", "pip install xformers"),
    (StopIteration(), "StopIteration", "fault"),
], ids=lambda each: type(each).__name__ if isinstance(each, Exception) else "")  # fmt: skip
def test_each_kind_of_failure_is_one_line(failure, said, hint, window, identity):
    with pytest.raises(EngineError) as told:
        fenced(Broken(failure), "mine").swap(window(1, size=64), identity, None)
    assert "\n" not in str(told.value)
    assert "mine failed at frames 0 to 0" in told.value.message
    assert said in told.value.message
    assert hint in told.value.hint
    assert told.value.__cause__ is failure


@pytest.mark.parametrize("failure", [OutputError("full", "free some"), KeyboardInterrupt()])
def test_what_is_no_failure_of_an_engine_passes(failure, window, identity):
    with pytest.raises(type(failure)) as told:
        fenced(Broken(failure)).swap(window(1, size=64), identity, None)
    assert told.value is failure


def test_an_answer_to_something_else_is_refused(window, identity):
    crops, other = window(1, size=64), window(2, size=64)
    for answer in (None, crops, Swapped(other, other.rgb, other.mask)):
        with pytest.raises(EngineError, match="did not answer frames 0 to 0"):
            fenced(Broken(answer)).swap(crops, identity, None)
    right = Swapped(crops, crops.rgb, crops.mask)
    assert fenced(Broken(right)).swap(crops, identity, None) is right


def test_an_answer_that_cannot_be_laid_over_a_picture_or_kept_is_refused(window, identity):
    """What is no number, and what no file of ours can hold."""
    crops = window(1, size=64)
    nowhere, much = np.full_like(crops.mask, np.nan), crops.mask + 1
    wrong = [Swapped(crops, crops.rgb, alpha) for alpha in (nowhere, much, -much)]
    wrong += [Swapped(crops, crops.rgb, crops.mask, latents) for latents in ("x", np.array([None, {}], object))]
    for answer in wrong:
        with pytest.raises(EngineError, match=r"did not answer frames 0 to 0: its (alpha|latents)"):
            fenced(Broken(answer)).swap(crops, identity, None)


def test_an_engine_that_fails_at_saying_what_it_is_fails_in_words(window, identity):
    class Asking(Broken):
        @property
        def key(self):
            raise OSError(111, "Connection refused")

    class Speechless(Exception):
        def __str__(self):
            raise ValueError

    class Still:
        key, needs, swap = "still", Needs(64, "aligned", 1, 0), None

    with pytest.raises(EngineError, match="Asking cannot say its key: Connection refused"):
        fenced(Asking(None))
    with pytest.raises(UsageError, match="cannot swap"):
        fenced(Still())
    with pytest.raises(EngineError, match="failed at frames 0 to 0: Speechless"):
        fenced(Broken(Speechless())).swap(window(1, size=64), identity, None)


def test_an_engine_that_is_handed_in_says_what_it_is_and_is_fenced_once():
    class Nameless:
        needs = Needs(64, "aligned", 1, 0)

    with pytest.raises(UsageError, match="what it is"):
        fenced(Nameless())
    with pytest.raises(UsageError, match="what it needs"):
        fenced(object())
    once = fenced(Broken(None))
    assert fenced(once) is once
    assert once.name == "Broken"


def test_a_key_tells_name_settings_weights_and_code(monkeypatch):
    keys = [open_engine(settings).key for settings in (SwapSettings("warp"), SwapSettings(), SwapSettings(seed=1),
                                                       SwapSettings(steps=3), SwapSettings(smooth=0.1))]  # fmt: skip
    assert len(set(keys)) == 5
    assert open_engine(SwapSettings("warp", seed=7)).key == keys[0], "they mean nothing to it"
    monkeypatch.setattr(embedded, "digests", lambda name: {name: "of other weights"})
    assert open_engine(SwapSettings()).key != keys[1]
    monkeypatch.undo()
    monkeypatch.setattr(engines, "code_of", lambda *_: "other code")
    assert open_engine(SwapSettings("warp")).key != keys[0]
    monkeypatch.undo()
    first, second = Broken(None), Broken(None)
    assert fenced(first).key == fenced(second).key != fenced(first, "other").key
    second.key = "with another prompt"
    assert fenced(first).key != fenced(second).key
