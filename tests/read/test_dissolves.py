"""Where one scene turns into another over several frames is found, and what only moves or is lit is not."""

from itertools import pairwise

import numpy as np
import pytest
from footage import moving, texture
from hypothesis import given
from hypothesis import strategies as st

from vidswap.read.dissolves import Dissolve, DissolveDetector, merged


def dissolves_in(pictures, cuts=()):
    told, dissolves = [], DissolveDetector()
    for index, picture in enumerate(pictures):
        told.append(dissolves(index, picture, index in cuts))
    return [each for each in (*told, dissolves.end()) if each]


def scene(seed, count):
    return moving(count, 640, 360, seed)


def mixed(before, after, share):
    """Two pictures, the second one laid over the first by `share` (a number, or a column each)."""
    return np.clip(before + (after.astype(np.float32) - before) * share + 0.5, 0, 255).astype(np.uint8)


def faded(before, after, count):
    """Two scenes, the last `count` pictures of one dissolved into the first of the other."""
    pairs = zip(before[-count:], after[:count])
    return [*before[:-count], *(mixed(*pair, (i + 1) / (count + 1)) for i, pair in enumerate(pairs)), *after[count:]]


def wiped(before, after, count):
    columns = np.arange(before[0].shape[1])[None, :, None]
    pairs = zip(before[-count:], after[:count])
    shares = (columns >= len(columns[0]) * (1 - (i + 1) / (count + 1)) for i in range(count))
    return [*before[:-count], *(mixed(*pair, share) for pair, share in zip(pairs, shares)), *after[count:]]


@pytest.mark.parametrize("count", [5, 12, 24, 45])
@pytest.mark.parametrize("way", [faded, wiped])
def test_a_dissolve_and_a_wipe_are_found_where_they_are(way, count):
    still = [texture(seed, 320, 180) for seed in (1, 2)]
    (found,) = dissolves_in(way(*([each] * (count + 10) for each in still), count))
    assert abs(found.middle - (10 + count / 2)) <= max(1, 0.1 * count)
    assert 10 <= found.start <= found.middle < found.stop <= 10 + count + 1


@pytest.mark.parametrize("count", [6, 12])
def test_a_dissolve_is_found_while_the_camera_moves(count):
    (found,) = dissolves_in(faded(scene(1, count + 10), scene(2, count + 10), count))
    assert abs(found.middle - (10 + count / 2)) <= 2


@pytest.mark.parametrize("pixels", [1, 4, 16, 48])
def test_a_pan_is_none(pixels):
    wide = texture(5, 1600, 360)
    assert dissolves_in([wide[:, i * pixels : i * pixels + 640] for i in range(min(70, 960 // pixels))]) == []


def test_light_that_changes_a_flash_and_a_fade_to_black_are_none():
    one = texture(6, 320, 180)
    dimmed = [np.clip(one * (1 - 0.03 * i), 0, 255).astype(np.uint8) for i in range(30)]
    flash = [one] * 8 + [np.full_like(one, 255)] * 2 + [one] * 8
    out = [np.clip(one * max(0.0, 1 - 0.1 * i), 0, 255).astype(np.uint8) for i in range(20)]
    assert [dissolves_in(each) for each in (dimmed, flash, out)] == [[], [], []]


def test_a_hard_cut_is_left_to_the_cuts():
    one, other = texture(7, 320, 180), texture(8, 320, 180)
    assert dissolves_in([one] * 20 + [other] * 20, cuts=(20,)) == []


def test_one_dissolve_after_another_are_two():
    still = [[texture(seed, 320, 180)] * 60 for seed in (1, 2, 3)]
    found = dissolves_in(faded(faded(still[0], still[1], 12), still[2], 12))
    assert [round(each.middle, -1) for each in found] == [50, 100]


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(1, 40), st.integers(1, 40)), max_size=8))
def test_joined_dissolves_have_a_rest_between_them_and_lose_no_frame(places):
    given_ = [Dissolve(start, start + a, start + a + b) for start, a, b in sorted(places)]
    found = merged(given_)
    assert {i for each in given_ for i in range(each.start, each.stop)} <= {
        i for each in found for i in range(each.start, each.stop)
    }
    assert all(before.stop + 16 <= after.start for before, after in pairwise(found))
    assert all(each.start <= each.middle < each.stop for each in found)
