"""The contract of vidswap.swap.engine, held over every engine, and over small ones made here.

One that says `exact` answers equal questions with equal bits; of the others it is asked that answers are close.
"""

from contextlib import contextmanager
from dataclasses import fields, replace
from itertools import pairwise

import numpy as np
import pytest
import standins
from standins import packs, pulled  # noqa: F401

from vidswap.errors import EngineError, UsageError
from vidswap.progress import quiet
from vidswap.settings import Setting
from vidswap.swap import engine as engines
from vidswap.swap.complexion import framed, middle
from vidswap.swap.engine import Needs, Wrapped, fenced, load_engine, settings_of
from vidswap.swap.engines import ENGINES, embedded, warp
from vidswap.swap.engines.embedded import BATCH
from vidswap.swap.latent import Painter, paintable
from vidswap.types import EngineChoice, Swapped

CLOSE = 1.0  # levels by which the pictures of an engine that is not exact may differ, in the mean
PARTS = ("rgb", "mesh", "mask", "to_frame", "weight", "neutral")


class Paint:
    """An engine that lays one colour over the face; of `before` it takes half of the alpha."""

    needs, key, exact = Needs(64, "aligned", 4, 1), "paint", True

    def swap(self, crops, identity, before, progress):
        rgb = np.where(crops.mask[..., None] > 0.5, np.uint8([200, 30, 90]), crops.rgb)
        for row in range(len(crops)):
            progress(row + 1, len(crops))
        return Swapped(crops, rgb, crops.mask if before is None else crops.mask * np.float32(0.5))


class Shaky(Wrapped):
    """One whose answers differ from time to time in their last bit, as sums do whose order is left to a GPU."""

    exact = False

    def swap(self, crops, identity, before, progress):
        found = super().swap(crops, identity, before, progress)
        noise = np.random.default_rng().integers(0, 2, found.rgb.shape, np.uint8)
        return Swapped(crops, found.rgb ^ noise, found.alpha)


FAKES = {"paint": Paint(), "shaky": Shaky(Paint())}
pytestmark = pytest.mark.usefixtures("packs", "pulled")


@contextmanager
def opened_as(name, folder, **options):
    if name in FAKES:
        yield fenced(FAKES[name], name)
    else:
        given = standins.settings(name, folder) | options
        with load_engine(EngineChoice(name.split()[0], tuple(given.items())), folder) as engine:
            yield engine


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Where engines keep what they find out about the machine."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module", params=[*ENGINES, *standins.OTHERS, *FAKES])
def named(request):
    return request.param


@pytest.fixture(scope="module")
def opened(named, cache, packs):  # noqa: F811
    with opened_as(named, cache) as engine:
        yield engine


@pytest.fixture(scope="module")
def answer(opened, window, identity):
    """Crops, the answer to them, and what was told of progress meanwhile."""
    crops, told = window(3, size=opened.needs.size, margin=opened.needs.margin), []
    return crops, opened.swap(crops, identity, None, lambda *words: told.append(words)), told


def alike(engine, one, other) -> bool:
    """Whether two answers are as equal as the engine says that they are."""
    if engine.exact:
        return np.array_equal(one.rgb, other.rgb) and np.array_equal(one.alpha, other.alpha)
    return far(one.rgb, other.rgb) < CLOSE and far(one.alpha, other.alpha) < CLOSE / 255


def far(one, other) -> float:
    return float(np.abs(one.astype(float) - other).mean())


# -- over every engine ------------------------------------------------------------------------------------------------


def test_same_frames_size_and_order(answer):
    crops, swapped, _ = answer
    assert swapped.crops is crops
    assert swapped.rgb.shape == crops.rgb.shape
    assert swapped.alpha.min() >= 0
    assert swapped.alpha.max() <= 1
    # each answer lies on its own frame: elsewhere than the face, nothing moved
    corner = np.s_[:, : crops.rgb.shape[1] // 12, : crops.rgb.shape[1] // 12]
    assert np.abs(swapped.rgb[corner].astype(int) - crops.rgb[corner]).max() <= 2
    assert swapped.alpha[corner].max() == 0


def test_progress_never_falls_and_ends_with_all_done(answer):
    _, _, told = answer
    assert all(0 <= done <= total for done, total in told)
    assert len({total for _, total in told}) == 1
    assert all(before[0] <= after[0] for before, after in pairwise(told))
    assert told[-1][0] == told[-1][1]


def test_inputs_stay_untouched(opened, window, identity):
    crops = window(1, size=opened.needs.size, margin=opened.needs.margin)
    parts = {name: getattr(crops, name).copy() for name in PARTS}
    photo, mesh = identity.photos[0].copy(), identity.meshes[0].copy()
    opened.swap(crops, identity, None, quiet)
    assert all(np.array_equal(getattr(crops, name), kept) for name, kept in parts.items())
    assert np.array_equal(identity.photos[0], photo)
    assert np.array_equal(identity.meshes[0], mesh)


def test_equal_arguments_give_equal_results(opened, answer, identity):
    crops, swapped, _ = answer
    assert alike(opened, opened.swap(crops, identity, None, quiet), swapped)


def test_the_face_becomes_another(answer):
    """The middle of the face changes; towards the crop's edge the actor's picture stays."""
    crops, swapped, _ = answer
    size = crops.rgb.shape[1]
    middle = np.s_[:, size // 3 : 2 * size // 3, size // 3 : 2 * size // 3]
    changed = np.abs(swapped.rgb[middle].astype(int) - crops.rgb[middle])
    assert changed.mean() > 1.0
    assert (swapped.alpha[middle] > 0.9).mean() > 0.95


def test_memory_is_the_window_before(opened, window, identity):
    """A second window depends on nothing that the engine keeps."""
    size = {"size": opened.needs.size, "margin": opened.needs.margin}
    first, second = window(2, **size), window(2, start=1, **size)
    alone = opened.swap(second, identity, None, quiet)
    before = opened.swap(first, identity, None, quiet)
    after = opened.swap(second, identity, before, quiet)
    assert alike(opened, opened.swap(second, identity, before.tail(1), quiet), after), "its shared frames suffice"
    assert alike(opened, opened.swap(second, identity, None, quiet), alone)
    assert alike(opened, opened.swap(second, identity, before, quiet), after)


def test_a_frame_looks_the_same_wherever_windows_fall(opened, answer, window, identity):
    """Alone, or among others: no more than what smoothing along time, and one tone for a window, do to it; networks of
    random numbers make twice as much of that."""
    _, together, _ = answer
    alone = opened.swap(window(1, start=1, size=opened.needs.size, margin=opened.needs.margin), identity, None, quiet)
    assert far(together.rgb[1], alone.rgb[0]) < 2 * CLOSE
    assert far(together.alpha[1], alone.alpha[0]) < CLOSE / 255


def test_equal_seeds_give_equal_noise_and_others_another(cache, answer, named, opened, identity):
    """In another process too: nothing but the seed, the track and the frame decides."""
    if opened.name in FAKES or not hasattr(settings_of(EngineChoice(opened.name)), "seed"):
        pytest.skip("it has no noise")
    crops, swapped, _ = answer
    for seed, same in ((0, True), (1, False)):
        with opened_as(named, cache, seed=seed) as engine:
            again = engine.swap(crops, identity, None, quiet)
        assert alike(engine, again, swapped) == same


def test_what_covers_the_face_stays(opened, window, identity):
    crops = window(1, size=opened.needs.size, margin=opened.needs.margin)
    size = crops.rgb.shape[1]
    hole = np.s_[:, size // 2 : size // 2 + size // 6, size // 2 - size // 12 : size // 2 + size // 12]
    crops.mask[hole], crops.rgb[hole] = 0.0, (20, 70, 160)  # no skin: a hand takes the person's complexion
    assert opened.swap(crops, identity, None, quiet).alpha[hole].mean() < 0.1


@pytest.mark.parametrize("name", ENGINES)
def test_failures_are_told_as_engine_errors(name, cache, window, identity):
    """A face that lies nowhere is more than an engine can mend; nothing else may come out."""
    with opened_as(name, cache) as engine:
        crops = window(1, size=engine.needs.size, margin=engine.needs.margin)
        crops.mesh[:] = np.nan
        with pytest.raises(EngineError, match="failed at frames 0 to 0"):
            engine.swap(crops, identity, None, quiet)


def other_value(setting: Setting, now: object) -> object:
    """What a setting may be, and is not `now`."""
    for value in (*setting.kind.allowed.split(", "), 64, 1, 2, 0.25, not setting.default):
        try:
            if setting.kind.read(value) != now:
                return value
        except (ValueError, TypeError):
            continue
    raise AssertionError(f"nothing else can be chosen for {setting.name}")


@pytest.mark.parametrize("name", ENGINES)
def test_the_key_tells_every_setting_and_the_code(name, cache, monkeypatch):
    given = standins.settings(name, cache)
    usual = settings_of(EngineChoice(name, tuple(given.items())))
    others = {key: value for key, value in standins.settings(name, cache, seed=1).items() if value != given.get(key)}
    kinds = {each.name: vars(type(usual))[each.name] for each in fields(usual) if each.name != "adapter"}
    changes = [{own: others.get(own) or other_value(kind, getattr(usual, own))} for own, kind in kinds.items()]
    keys = []
    for options in ({}, *changes):
        with opened_as(name, cache, **options) as engine:
            keys.append(engine.key)
    assert len(set(keys)) == len(keys)
    with opened_as(name, cache) as engine:
        assert engine.key == keys[0]
        monkeypatch.setattr(engines, "code_of", lambda *_: "other code")
        assert engine.key not in keys


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("error", [OSError("of the disk"), ImportError("of ours"), KeyboardInterrupt()])
def test_what_is_raised_while_it_is_open_passes_and_it_is_closed(name, cache, error):
    with pytest.raises(type(error)) as caught, opened_as(name, cache) as engine:
        raise error
    assert caught.value is error
    network = getattr(engine.engine, "network", None)
    assert network is None or all(weights.is_meta for weights in network.parameters()), "its memory is given back"


@pytest.mark.parametrize("name", ENGINES)
def test_what_an_engine_does_not_know_is_refused_before_it_is_loaded(name):
    with pytest.raises(UsageError, match=f"{name} has no setting called 'stpes'") as caught:
        load_engine(EngineChoice(name, (("stpes", 2),)))
    known = [each.name for each in fields(settings_of(EngineChoice(name)))]
    assert caught.value.hint == (f"it has: {', '.join(known)}" if known else "it has none")


def test_the_suite_tells_an_engine_that_says_to_be_exact_and_is_not(window, identity):
    shaky, crops = fenced(FAKES["shaky"]), window(1, size=64)
    twice = [shaky.swap(crops, identity, None, quiet) for _ in range(2)]
    assert alike(shaky, *twice)
    assert not alike(fenced(FAKES["paint"]), *twice)


def test_what_a_painter_may_not_paint_is_the_warps_to_the_bit(opened, answer, identity):
    painter = getattr(opened, "engine", None)
    if not isinstance(painter, Painter):
        pytest.skip("it paints in no latents")
    crops, swapped, _ = answer
    plain, inner = painter.base.swap(crops, identity, None, quiet), framed(crops, opened.needs.size)
    for row, frame in enumerate(painter.base.frames(crops, identity)):
        fixed = paintable(frame, inner.mask[row], inner.mesh[row]) == 0
        ours, warps = (middle(each.rgb[row], len(fixed)) for each in (swapped, plain))
        assert np.array_equal(ours[fixed], warps[fixed])
        assert fixed.mean() > 0.1
        assert not np.array_equal(ours, warps)
    assert np.array_equal(swapped.alpha, plain.alpha)


# -- what is chosen ---------------------------------------------------------------------------------------------------


def test_unknown_engines_are_named_with_the_known_ones():
    with pytest.raises(UsageError, match="embedded, warp"):
        load_engine(EngineChoice("nothing"))


@pytest.mark.parametrize(("name", "values"), [
    ("steps", (0, 101, "0", "9" * 5000, "many", 1.0, True, None)),
    ("seed", (-1, 2**32, 10**5000, 1.5, "1.5", True, None, "")),
    ("smooth", ("nan", "1e400", 1.5, -0.1, 10**400, True, None, "")),
])  # fmt: skip
def test_what_an_option_cannot_be_is_refused_by_its_name_in_one_line(name, values):
    for value in values:
        with pytest.raises(UsageError) as caught:
            load_engine(EngineChoice("embedded", ((name, value),)))
        assert caught.value.message.startswith(f"`embedded.{name}` is ")
        assert caught.value.hint.startswith("allowed: ")
        assert len(str(caught.value)) < 300
        assert "\n" not in str(caught.value)


def test_options_are_read_as_words_too():
    chosen = settings_of(EngineChoice("embedded", (("seed", "7"), ("smooth", "0.25"), ("steps", 2))))
    assert chosen == embedded.Settings(steps=2, seed=7, smooth=0.25)


# -- what diffusion does along time -----------------------------------------------------------------------------------


def test_what_was_answered_before_steadies_what_follows(cache, window, identity):
    """An engine that smooths over time is drawn towards the latents of the window before, and towards no others."""
    with opened_as("embedded", cache, smooth=1.0) as engine:
        size = engine.needs.size
        first, second = window(2, size=size), window(2, start=1, size=size)
        before = engine.swap(first, identity, None, quiet)
        apart = Swapped(before.crops, before.rgb, before.alpha, before.latents + np.float32(0.01))
        alone, after, moved = (engine.swap(second, identity, given, quiet) for given in (None, before, apart))
        assert np.array_equal(engine.swap(second, identity, before.tail(1), quiet).rgb, after.rgb)
    assert not np.array_equal(after.latents, alone.latents)
    drawn = (moved.latents - after.latents).mean()
    assert 0 < drawn < 0.01
    with opened_as("embedded", cache, smooth=0.0) as rough:
        answers = [rough.swap(second, identity, given, quiet).rgb for given in (before, None)]
    assert np.array_equal(*answers)


def test_a_window_of_many_frames_gives_each_its_own_answer(cache, window, identity, monkeypatch):
    """A window is larger than the network's batches: without smoothing each frame is answered as if it were alone,
    where it is drawn as if it were alone: the warp hears of its neighbours what tone it has, and how its face moves."""
    drawn = warp.Warp.frames

    def each_alone(self, crops, who):
        names = ("rgb", "mesh", "mask", "to_frame", "weight")
        rows = [{name: getattr(crops, name)[row : row + 1] for name in names} for row in range(len(crops))]
        return [drawn(self, replace(crops, start=crops.start + at, **row), who)[0] for at, row in enumerate(rows)]

    monkeypatch.setattr(warp.Warp, "frames", each_alone)
    with opened_as("embedded", cache, smooth=0.0, complexion="actor") as engine:
        size = engine.needs.size
        together = engine.swap(window(BATCH + 2, size=size), identity, None, quiet)
        assert len(together.latents) == BATCH + 2
        for row in (0, BATCH - 1, BATCH, BATCH + 1):
            alone = engine.swap(window(1, start=row, size=size), identity, None, quiet)
            apart = np.abs(together.latents - alone.latents).mean((1, 2, 3))
            assert apart.argmin() == row
            assert apart[row] < 0.1 * np.delete(apart, row).min()


def test_steps_are_told_as_they_are_done(cache, window, identity):
    told = []
    with opened_as("embedded", cache, steps=3) as engine:
        engine.swap(window(1, size=engine.needs.size), identity, None, lambda *words: told.append(words))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_the_key_tells_the_weights(cache, monkeypatch):
    with opened_as("embedded", cache) as engine:
        before = engine.key
        monkeypatch.setattr(embedded, "digests", lambda name: {name: "of other weights"})
        assert engine.key != before
