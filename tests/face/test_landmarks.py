"""Names of a face's points, on the mean face."""

import numpy as np
import pytest

from vidswap.face import landmarks

MEAN = landmarks.mean_face()
OPPOSITE = landmarks.opposite(MEAN)


@pytest.mark.parametrize(("left", "right"), [landmarks.EYES, landmarks.IRISES, landmarks.BROWS, landmarks.CHEEKS,
                                             landmarks.EYE_CORNERS, landmarks.LID_MIDDLES])  # fmt: skip
def test_what_comes_in_pairs_is_mirrored(left, right):
    assert set(OPPOSITE[[*left]]) == set(right)
    assert MEAN[[*left], 0].max() < 0 < MEAN[[*right], 0].min()


@pytest.mark.parametrize("part", [landmarks.OVAL, landmarks.INNER_LIPS, landmarks.OUTER_LIPS, landmarks.RIGID,
                                  landmarks.MOUTH_CORNERS, landmarks.OUTER_CORNERS])  # fmt: skip
def test_what_is_in_the_middle_is_its_own_mirror_image(part):
    assert set(OPPOSITE[[*part]]) == set(part)


def test_the_other_side_of_the_other_side_is_the_point_itself():
    assert np.array_equal(OPPOSITE[OPPOSITE], np.arange(478))


def test_the_right_brow_comes_in_the_order_of_the_left_one():
    assert np.array_equal(OPPOSITE[landmarks.BROWS[0]], landmarks.BROWS[1])


@pytest.mark.parametrize(("upper", "lower"), [*landmarks.LIDS, landmarks.LIPS])
def test_edges_lie_above_one_another(upper, lower):
    assert (MEAN[upper, 1] < MEAN[lower, 1]).all()
    assert np.abs(MEAN[upper, 0] - MEAN[lower, 0]).max() < 0.03


def test_contours_go_round():
    """Once, clockwise as the picture is seen: the area that they enclose is positive, y being down."""
    for contour in (*landmarks.EYES, landmarks.INNER_LIPS, landmarks.OUTER_LIPS, landmarks.OVAL):
        x, y = MEAN[contour, :2].T
        turns = np.unwrap(np.arctan2(y - y.mean(), x - x.mean()))
        assert 0.8 < (turns[-1] - turns[0]) / (2 * np.pi) < 1


def test_the_mean_face_is_whole_and_everybodys_own():
    assert (MEAN.shape, MEAN.dtype) == ((478, 3), np.float32)
    assert np.abs(MEAN[landmarks.RIGID].mean(0)).max() < 1e-4
    changed = landmarks.mean_face()
    changed += 1
    assert np.array_equal(landmarks.mean_face(), MEAN)


def test_triangles_are_of_the_skin_and_each_point_of_it_has_one():
    triangles = landmarks.triangles()
    assert triangles.shape == (854, 3)
    assert np.array_equal(np.unique(triangles), np.arange(468))
