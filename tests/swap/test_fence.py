"""Engines that somebody hands in: what they must say of themselves, and that their failures are told in one line."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidswap.errors import EngineError, OutputError, UsageError
from vidswap.progress import quiet
from vidswap.swap.engine import ENOUGH, STEP, Needs, fenced
from vidswap.types import Swapped


@pytest.mark.parametrize("wrong", [
    {"size": 8}, {"window": 0}, {"window": 8, "overlap": 5}, {"size": 100_000}, {"size": 64.5}, {"framing": "loose"},
    {"least": 100}, {"least": 128}, {"size": 100, "least": 64},
    {"size": 192, "least": 64, "margin": 16},
])  # fmt: skip
def test_needs_refuse_what_cannot_be(wrong):
    with pytest.raises(ValueError, match="Needs"):
        Needs(**{"size": 64, "framing": "aligned", "window": 8, "overlap": 2, **wrong})


NEEDS = st.builds(
    lambda least, more, margin: Needs(64 * (least + more), "aligned", 8, 2, False, margin * (least + more), 64 * least),
    st.integers(1, 6), st.integers(0, 6), st.integers(0, 32),
)  # fmt: skip


@given(NEEDS, st.floats(0.05, 50))
def test_a_small_face_needs_no_larger_crop_than_shows_all_of_it(needs, zoom):
    """`zoom` is that of the full size: a face twice as small in the frame has twice of it."""
    fit = needs.at(zoom)
    assert needs.least <= fit.size <= needs.size
    assert fit.size % STEP == 0
    assert fit.margin == needs.margin * fit.size // needs.size
    assert fit.size == needs.size or zoom * fit.size / needs.size >= ENOUGH or zoom <= ENOUGH
    smaller = fit.size - STEP
    assert smaller < needs.least or zoom * smaller / needs.size < ENOUGH, "a step less would do as well"


@given(NEEDS, st.floats(0.05, 50))
def test_the_middle_of_a_crop_is_known_from_its_side(needs, zoom):
    fit = needs.at(zoom)
    assert needs.inner(fit.size + 2 * fit.margin) == fit.size


def test_crops_stay_as_they_are_where_nothing_smaller_was_asked_for():
    needs = Needs(512, "aligned", 16, 4, margin=128)
    assert needs.at(100) is needs


class Broken:
    """An engine that answers with what it is told to, or raises it."""

    key, needs, exact = "broken", Needs(64, "aligned", 1, 0), True

    def __init__(self, answer):
        self.answer = answer

    def swap(self, crops, identity, before, progress):
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
        fenced(Broken(failure), "mine").swap(window(1, size=64), identity, None, quiet)
    assert "\n" not in str(told.value)
    assert "mine failed at frames 0 to 0" in told.value.message
    assert said in told.value.message
    assert hint in told.value.hint
    assert told.value.__cause__ is failure


@pytest.mark.parametrize("failure", [OutputError("full", "free some"), KeyboardInterrupt()])
def test_what_is_no_failure_of_an_engine_passes(failure, window, identity):
    with pytest.raises(type(failure)) as told:
        fenced(Broken(failure)).swap(window(1, size=64), identity, None, quiet)
    assert told.value is failure


def test_an_answer_to_something_else_is_refused(window, identity):
    crops, other = window(1, size=64), window(2, size=64)
    for answer in (None, crops, Swapped(other, other.rgb, other.mask)):
        with pytest.raises(EngineError, match="did not answer frames 0 to 0"):
            fenced(Broken(answer)).swap(crops, identity, None, quiet)
    right = Swapped(crops, crops.rgb, crops.mask)
    assert fenced(Broken(right)).swap(crops, identity, None, quiet) is right


def test_an_answer_that_cannot_be_laid_over_a_picture_or_kept_is_refused(window, identity):
    """What is no number, and what no file of ours can hold."""
    crops = window(1, size=64)
    nowhere, much = np.full_like(crops.mask, np.nan), crops.mask + 1
    wrong = [Swapped(crops, crops.rgb, alpha) for alpha in (nowhere, much, -much)]
    wrong += [Swapped(crops, crops.rgb, crops.mask, latents) for latents in ("x", np.array([None, {}], object))]
    for answer in wrong:
        with pytest.raises(EngineError, match=r"did not answer frames 0 to 0: its (alpha|latents)"):
            fenced(Broken(answer)).swap(crops, identity, None, quiet)


def test_an_engine_that_fails_at_saying_what_it_is_fails_in_words(window, identity):
    class Asking(Broken):
        @property
        def key(self):
            raise OSError(111, "Connection refused")

    class Speechless(Exception):
        def __str__(self):
            raise ValueError

    class Still:
        key, needs, exact, swap = "still", Needs(64, "aligned", 1, 0), True, None

    with pytest.raises(EngineError, match="Asking cannot say its key: Connection refused"):
        fenced(Asking(None))
    with pytest.raises(UsageError, match="cannot swap"):
        fenced(Still())
    with pytest.raises(EngineError, match="failed at frames 0 to 0: Speechless"):
        fenced(Broken(Speechless())).swap(window(1, size=64), identity, None, quiet)


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


def test_a_key_tells_name_and_prompt():
    first, second = Broken(None), Broken(None)
    assert fenced(first).key == fenced(second).key != fenced(first, "other").key
    second.key = "with another prompt"
    assert fenced(first).key != fenced(second).key


def test_an_engine_of_the_days_before_is_refused_in_one_line():
    class Old(Broken):
        def swap(self, crops, identity, previous):
            raise AssertionError

    with pytest.raises(UsageError, match=r"Old cannot swap as it is asked to \(give it `swap\(crops, identity, "):
        fenced(Old(None))

    class Unsaid(Broken):
        exact = None

    with pytest.raises(UsageError, match="Unsaid does not say whether it is exact"):
        fenced(Unsaid(None))


def test_who_hears_of_progress_and_fails_is_not_called_an_engine(window, identity):
    class Telling(Broken):
        def swap(self, crops, identity, before, progress):
            progress(1, 2)
            return self.answer

    def deaf(_done: int, _total: int) -> None:
        raise ValueError("deaf")

    with pytest.raises(ValueError, match="deaf"):
        fenced(Telling(None)).swap(window(1, size=64), identity, None, deaf)


def test_where_an_answer_lies_is_not_the_engines_to_say(window, identity):
    crops = window(1, size=64)
    moved = replace(crops, to_frame=crops.to_frame * np.nan, weight=crops.weight * 3, mask=crops.mask * 0)
    answer = fenced(Broken(Swapped(moved, crops.rgb, crops.mask))).swap(crops, identity, None, quiet)
    assert answer.crops is crops
