"""One person in a mirror or on a split screen is one; two who only look alike are two."""

from dataclasses import replace

import numpy as np
import pytest
from test_tracks import MEAN, face

from vidswap.face import geometry
from vidswap.read.doubles import LEAST, doubles_in, mirror_image
from vidswap.read.tracks import tracks_in
from vidswap.types import Shot

COUNT = 40


def performance(seed, count=COUNT, size=60.0, noise=0.002):
    """(T, 478, 3) meshes of a face that talks and turns its head, at x = 0."""
    rng = np.random.default_rng(seed)
    smooth = np.stack([np.convolve(rng.normal(size=count + 8), np.ones(9) / 3, "valid") for _ in range(5)])
    mouth = np.exp(-((MEAN - MEAN[[13, 14]].mean(0)) ** 2).sum(1, keepdims=True) / 0.05)
    meshes = []
    for yaw, roll, wide, drop, step in smooth.T:
        changed = MEAN + mouth * [0.02 * wide, 0.04 * drop, 0] + rng.normal(0, noise, MEAN.shape)
        a, b = 0.25 * yaw, 0.12 * roll
        about_y = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
        about_z = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
        meshes.append(geometry.posed(changed, (size, about_z @ about_y, np.array([4 * step, 100.0, 0]))))
    return np.stack(meshes)


def doubles(one, other, alike=1.0):
    """The pairs found among two tracks of these meshes, whose embeddings are `alike`."""
    known = np.zeros((2, 8), np.float32)
    known[0, 0], known[1, :2] = 1, (alike, np.sqrt(1 - alike**2))
    faces = []
    left, right = np.array([100, 0, 0]), np.array([400, 0, 0])
    for meshes in zip((one + left).astype(np.float32), (other + right).astype(np.float32)):
        faces.append([replace(face(0), box=geometry.bounds(mesh), mesh=mesh, embedding=embedding)
                      for mesh, embedding in zip(meshes, known)])  # fmt: skip
    found = tracks_in(Shot(0, len(faces)), faces, 0, 5)
    assert len(found) == 2
    return list(doubles_in(found, MEAN))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_mirror_image_and_a_copy_are_one_person(seed):
    shown = performance(seed)
    noise = np.random.default_rng(9).normal(0, 0.15, shown.shape)
    assert doubles(shown, mirror_image(shown, MEAN) + noise) == [(5, 6)]
    assert doubles(shown, 0.7 * shown + noise) == [(5, 6)]


def test_a_mirror_seen_from_elsewhere_is_one_person():
    """The head in the mirror is turned by twenty degrees more, and the same movements show."""
    shown = performance(4)
    poses = [geometry.face_pose(mesh, MEAN) for mesh in mirror_image(shown, MEAN)]
    a = np.radians(20)
    turn = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    there = [geometry.posed(geometry.normalised(mesh, pose), (pose[0], pose[1] @ turn, pose[2]))
             for mesh, pose in zip(mirror_image(shown, MEAN), poses)]  # fmt: skip
    assert doubles(shown, np.stack(there)) == [(5, 6)]


def test_twins_are_two():
    assert doubles(performance(1), performance(2)) == []
    assert doubles(performance(1), mirror_image(performance(2), MEAN)) == []


def test_twins_who_sit_still_are_two():
    still = np.repeat(performance(1)[:1], COUNT, 0)
    noise = [np.random.default_rng(seed).normal(0, 0.15, still.shape) for seed in (1, 2)]
    assert doubles(still + noise[0], still + noise[1]) == []


def test_strangers_who_move_as_one_are_two():
    shown = performance(1)
    assert doubles(shown, mirror_image(shown, MEAN), alike=0.75) == []


def test_of_a_moment_nothing_is_said():
    shown = performance(1, LEAST - 1)
    assert doubles(shown, shown) == []
