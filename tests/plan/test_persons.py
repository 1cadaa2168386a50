"""Who is who: as the plain rule says it, whatever the tracks; never two that are seen together."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidswap.plan.persons import HANDOVER, SAME, TrackSummary, persons_of


def unit(vector):
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def sketch(start, stop, *views, screen=1.0):
    return TrackSummary(start, stop, screen, unit(np.sum(views, 0)) if views else None, tuple(map(unit, views)))


def plainly(sketches):
    """Groups are joined, the pair with the greatest mean likeness first, as long as it is enough: cubic."""

    def alike(a, b):
        shared = min(a.stop, b.stop) - max(a.start, b.start)
        handed = (a.start < b.start) == (a.stop < b.stop) and a.start != b.start and a.stop != b.stop
        if shared > 0 and not (handed and shared <= min(HANDOVER, (a.stop - a.start) / 2, (b.stop - b.start) / 2)):
            return -1e9
        return max((float(one @ other) for one in a.views for other in b.views), default=0.0)

    groups = [[i] for i in range(len(sketches))]
    while len(groups) > 1:
        mean, a, b = max((float(np.mean([alike(sketches[i], sketches[j]) for i in one for j in other])), -a, -b)
                         for (a, one), (b, other) in combinations(enumerate(groups), 2))  # fmt: skip
        if mean < SAME:
            break
        groups[-a] += groups.pop(-b)
    groups.sort(key=lambda group: (-sum(sketches[i].screen for i in group), min(group)))
    return [number for i in range(len(sketches)) for number, group in enumerate(groups) if i in group]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 14), st.floats(0.2, 1.5))
def test_the_fast_way_is_the_plain_rule(seed, count, spread):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(3, 8))
    sketches = []
    for _ in range(count):
        start, who, views = int(rng.integers(60)), int(rng.integers(3)), int(rng.integers(0, 4))
        looks = [centres[who] + spread * rng.normal(size=8) for _ in range(views)]
        sketches.append(sketch(start, start + int(rng.integers(1, 20)), *looks, screen=rng.uniform(1, 9)))
    assert persons_of(sketches) == plainly(sketches)


def test_a_person_is_known_again_by_the_one_view_that_both_tracks_show():
    front, left, right = np.eye(3)
    sketches = [sketch(0, 10, front, left), sketch(10, 20, left, right), sketch(20, 30, right)]
    assert persons_of(sketches[:2]) == [0, 0]
    assert persons_of([sketches[0], sketches[2]]) == [0, 1]


def test_likeness_of_strangers_in_one_light_joins_nobody():
    """Of two people in one light the embeddings are as alike as .74; of one person seen twice, .8 and more."""
    one = np.array([1.0, 0])
    other = np.array([0.74, np.sqrt(1 - 0.74**2)])
    assert persons_of([sketch(0, 10, one), sketch(10, 20, other)]) == [0, 1]


def test_on_screen_together_are_two_but_for_doubles():
    one = np.array([1.0, 0])
    both = [sketch(0, 10, one), sketch(2, 10, one), sketch(20, 30, one)]
    assert len(set(persons_of(both))) == 2
    assert persons_of(both, doubles=[(1, 0)]) == [0, 0, 0]


@pytest.mark.parametrize(
    ("second", "persons"),
    [((45, 90), [0, 0]), ((37, 90), [0, 1]), ((45, 49), [0, 1]), ((45, 52), [0, 1]), ((0, 8), [0, 1])],
    ids=["takes over", "is there too long", "is within", "is hardly there alone", "begins with it"],
)
def test_one_person_on_both_sides_of_a_dissolve_or_a_slide_is_one(second, persons):
    assert persons_of([sketch(0, 50, np.eye(4)[0]), sketch(*second, np.eye(4)[0])]) == persons


@pytest.mark.parametrize("count", [0, 1])
def test_nobody_and_one(count):
    assert persons_of([sketch(0, 10)] * count) == [0] * count


def test_a_feature_films_tracks_are_told_apart():
    """Five thousand tracks of forty people: by the plain rule this takes hours."""
    rng = np.random.default_rng(0)
    people, who = rng.normal(size=(40, 64)), rng.integers(40, size=5000)
    sketches = [sketch(30 * i, 30 * i + 25, people[one] + 0.3 * rng.normal(size=64)) for i, one in enumerate(who)]
    numbers = np.array(persons_of(sketches))
    for one in range(40):
        assert len(set(numbers[who == one])) == 1
    assert len(set(numbers)) == 40
