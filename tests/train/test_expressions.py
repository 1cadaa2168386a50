"""Displacements of a head's vertices become those of the mesh; what people differ by is told from expressions."""

import json

import numpy as np
import pytest

from vidswap.face import geometry
from vidswap.face.blendshapes import nonnegative
from vidswap.face.landmarks import LIPS, mean_face
from vidswap.train import expressions
from vidswap.train.expressions import LOWER, MARKS, Onto

MEAN = mean_face().astype(np.float64)
SKIN = MEAN[:468]


@pytest.fixture(scope="module")
def head():
    """A head whose vertices are the mesh's own points, as ICT-FaceKit has its axes, ten units an eye distance."""
    jaw, smile = np.zeros((468, 3)), np.zeros((468, 3))
    jaw[LOWER, 1] = -4.0
    smile[[61, 291, 57, 287], 1] = 1.0
    wider = SKIN * [1.0, 0, 0]
    return {"neutral": 10 * SKIN * [1, -1, -1], "expression": np.stack([jaw, smile]),
            "expression_names": np.array(["jawOpen", "mouthSmile_L"]), "identity": wider[None]}  # fmt: skip


def test_a_vertex_takes_its_point_along_and_no_lip_the_other(head):
    places = Onto(head, MARKS.tolist(), MEAN)
    smile = places(head["expression"][1])
    assert smile[[61, 291], 1] == pytest.approx([-0.1, -0.1], abs=0.02), "up, in the face's own frame"
    assert np.abs(smile[[10, 33, 263]]).max() < 0.01
    jaw = places(head["expression"][0])
    assert jaw[LIPS[1][4], 1] == pytest.approx(0.4, abs=0.05)
    assert abs(jaw[LIPS[0][4], 1]) < 0.05


def test_what_people_differ_by_is_taken_for_less_of_an_expression():
    rng = np.random.default_rng(0)
    shape, other = 0.05 * rng.normal(size=(2, 478, 3))

    def strength(people):
        pull, stiff = expressions.equations(shape[None], people)
        return float(nonnegative(stiff, pull @ shape[:468].ravel())[0])

    assert strength(other[None]) == pytest.approx(1.0, abs=0.1)
    assert strength(shape[None] * 40) < 0.7


def test_the_file_is_written_whole(head, tmp_path):
    np.savez(tmp_path / "ict.npz", **head)
    (tmp_path / "vertex_indices.json").write_text(json.dumps({"idx_to_landmark_verts": [0] * 17 + MARKS.tolist()}))
    shut = MEAN.copy()
    shut[LIPS[0]] = shut[LIPS[1]]
    np.savez(
        tmp_path / "labels.npz", mesh=np.stack([geometry.posed(shut, geometry.Pose(50.0, np.eye(3), np.ones(3)))] * 3)
    )
    made = np.load(expressions.train(tmp_path, tmp_path))
    assert made["names"].tolist() == ["jawOpen", "mouthSmile_L"]
    assert (made["shapes"].shape, made["pull"].shape, made["stiff"].shape) == ((2, 478, 3), (2, 1404), (2, 2))
    np.testing.assert_allclose(made["resting"], shut, atol=0.03)
