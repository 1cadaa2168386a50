from __future__ import annotations

import numpy as np
import pytest
from footage import moving, texture

from vidswap.read.shots import CutDetector


def cuts_in(pictures):
    is_cut = CutDetector()
    return [i for i, picture in enumerate(pictures) if is_cut(picture)]


def scene(seed, count=8):
    return moving(count, 320, 180, seed)


def lit(picture, gain, lift=0.0):
    return np.clip(picture * gain + lift, 0, 255).astype(np.uint8)


def test_hard_cuts_are_found_at_once():
    assert cuts_in(scene(1) + scene(2) + scene(3, 2) + scene(4)) == [8, 16, 18]


@pytest.mark.parametrize("pixels", [4, 16, 48])
def test_pan_is_no_cut(pixels):
    wide = texture(5, 1600, 360)
    assert cuts_in([wide[:, i * pixels : i * pixels + 640] for i in range(min(40, 960 // pixels))]) == []


def test_flash_and_lamp_are_no_cuts():
    a = scene(6, 12)
    flash = [*a[:5], lit(a[5], 2.0, 60), lit(a[6], 1.4, 30), *a[7:]]
    white = [*a[:5], np.full_like(a[0], 255), np.full_like(a[0], 255), *a[7:]]
    lamp = [*a[:5], *(lit(picture, 0.3) for picture in a[5:])]
    assert [cuts_in(each) for each in (flash, white, lamp)] == [[], [], []]


def test_black_between_scenes_cuts_once_where_the_new_one_shows():
    black = [np.zeros((180, 320, 3), np.uint8)] * 3
    assert cuts_in(scene(7) + black + scene(8)) == [11]
    assert cuts_in(scene(7) + black + scene(7)) == []
    assert cuts_in(black + scene(7)) == []


def test_input_stays():
    picture = texture(9, 320, 180)
    before = picture.copy()
    CutDetector()(picture)
    np.testing.assert_array_equal(picture, before)
