"""Stable Diffusion with adapters and ControlNets, whole: opened as chosen, over windows, on and on after a stop."""

from contextlib import contextmanager
from functools import lru_cache

import numpy as np
import pytest
import standins
from standins import packs, pulled  # noqa: F401

from vidswap.errors import EngineError
from vidswap.progress import quiet
from vidswap.swap import vectors
from vidswap.swap.engine import load_engine, settings_of
from vidswap.swap.guides import CONTROLS, GUIDES, guide_models
from vidswap.types import EngineChoice

pytestmark = pytest.mark.usefixtures("packs", "pulled")
CASES = [*((base, {"adapter": name}) for base, names in GUIDES.items() for name in names),
         *((base, {"control": name}) for base, names in CONTROLS.items() for name in names),
         ("sd15", {"adapter": "faceid", "control": "mesh", "motion": "animatediff"})]  # fmt: skip
IDS = ["-".join((base, *chosen.values())) for base, chosen in CASES]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("bases")


@contextmanager
def opened(base, cache, **options):
    given = standins.settings(base, cache) | {"strength": 0.6, "steps": 3, "complexion": "actor"} | options
    with load_engine(EngineChoice(base, tuple(given.items())), cache) as engine:
        yield engine


@pytest.fixture(scope="module")
def plain(cache, window, identity, packs, pulled):  # noqa: F811
    """plain(base) -> the key and the answer of an engine that nothing guides, over two frames."""

    @lru_cache
    def plain(base):
        with opened(base, cache) as engine:
            return engine.key, engine.swap(window(2, size=128), identity, None, quiet)

    return plain


@pytest.mark.parametrize(("base", "chosen"), CASES, ids=IDS)
def test_it_paints_another_face_and_only_the_face(base, chosen, cache, plain, window, identity):  # noqa: PLR0917
    key, one = plain(base)
    with opened(base, cache, **chosen) as guided:
        other = guided.swap(window(2, size=128), identity, None, quiet)
        assert key != guided.key
    assert np.abs(one.rgb.astype(int) - other.rgb).mean() > 0.05
    assert np.array_equal(one.alpha, other.alpha)
    corner = np.s_[:, :10, :10]
    assert np.array_equal(one.rgb[corner], other.rgb[corner])


@pytest.mark.parametrize(("base", "chosen"), CASES, ids=IDS)
def test_it_names_all_that_it_opens(base, chosen, cache):
    choice = settings_of(EngineChoice(base, tuple(chosen.items())))
    opened_too = guide_models(base, choice)
    assert opened_too
    assert set(opened_too) <= set(standins.GUIDES)


def test_a_person_whom_the_pack_does_not_see_is_one_line(cache, window, identity, monkeypatch):
    monkeypatch.setattr(vectors, "_sights", lambda *_: ())
    with opened("sd15", cache, adapter="faceid") as engine, pytest.raises(EngineError, match="finds no face") as caught:
        engine.swap(window(1, size=128), identity, None, quiet)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("base", "chosen"), [
    ("sd15", {"adapter": "faceid-plus", "control": "mesh", "dtype": "bfloat16"}),
    ("sdxl", {"adapter": "instantid", "dtype": "float16"}),
])  # fmt: skip
def test_in_half_precision_all_parts_compute_in_the_same_numbers(base, chosen, cache, window, identity):
    answers = []
    for options in (chosen, chosen | {"dtype": "float32"}):
        with opened(base, cache, **options) as engine:
            answers.append(engine.swap(window(2, size=128), identity, None, quiet).rgb.astype(int))
    assert 0 < np.abs(answers[0] - answers[1]).mean() < 2.0
