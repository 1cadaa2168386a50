"""Rendered heads: light, shadow and colour as they must be on shapes that are known."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from vidswap.train import heads, studio


def ball(centre, radius, rows=24):
    """Points (V, 3) and triangles (K, 3) of a sphere, facing out."""
    t, p = np.meshgrid(np.linspace(0.01, np.pi - 0.01, rows), np.linspace(0, 2 * np.pi, 2 * rows), indexing="ij")
    points = np.stack([np.sin(t) * np.cos(p), np.cos(t), np.sin(t) * np.sin(p)], -1).reshape(-1, 3)
    i = np.arange(rows * 2 * rows).reshape(rows, 2 * rows)
    quads = np.stack([i[:-1, :-1], i[:-1, 1:], i[1:, 1:], i[1:, :-1]], -1).reshape(-1, 4)
    return np.asarray(centre) + radius * points, heads.halved(quads)


def looks(skin=0.4, gloss=0.0):
    return heads.Looks(
        skin=np.full((8, 8, 3), skin, np.float32), texture=np.full((8, 8, 4), 255, np.uint8), dark=np.full(3, 0.02),
        iris=np.full(3, 0.05), cloth=np.full(3, 0.3), brow=(0.0, 0.04, 0.0), beard=0.0, scalp=0.0, neckline=0.0,
        gloss=gloss,
    )  # fmt: skip


def head(*balls, gloss=0.0):
    points, triangles, before = [], [], 0
    for centre, radius in balls:
        there, three = ball(centre, radius)
        points.append(there)
        triangles.append(three + before)
        before += len(there)
    corners = np.concatenate(triangles)
    rest = np.tile(np.array([1.0, -6.9, -1.2]), (len(corners), 3, 1))  # a cheek: no brow, beard or cloth
    part = np.full(len(corners), heads.SKIN)
    uv = np.full((len(corners), 3, 2), 0.5)
    return heads.Head(np.concatenate(points).astype(np.float32), corners, part, uv, rest, looks(gloss=gloss))


ONE = head(((0, -6.9, -0.4), 1.0))
DIRECTIONS = studio.fibonacci(studio.DIRECTIONS)


def seen(sitter, size=96):
    normal = studio.normals(sitter.points, sitter.triangles)
    return studio.seen(sitter, studio.project(sitter, 1.0, size), size, normal)


def shot(sitter, energy, lamp=None):
    view, sees = seen(sitter), studio.visibility(sitter, DIRECTIONS)
    lights = studio.Lights(DIRECTIONS, sees, energy, lamp)
    return studio.shoot(sitter, view, lights, np.zeros((view.size, view.size, 3), np.float32), np.random.default_rng(0))


def test_in_light_from_everywhere_a_ball_has_its_own_colour():
    """The white furnace: radiance 1 all around makes irradiance pi."""
    even = np.full((len(DIRECTIONS), 3), 4 * np.pi / len(DIRECTIONS))
    found = shot(ONE, even)
    middle = np.s_[36:60, 36:60]
    np.testing.assert_allclose(found.lit[middle] / found.albedo[middle], 1, atol=0.12)
    assert found.cover[:8].max() == 0
    assert found.skin[middle].min() == 1


def test_a_lamp_lights_the_side_that_faces_it():
    dark = np.full((len(DIRECTIONS), 3), 1e-4)
    lamp = studio.Lamp(np.array([1.0, 0, 0]), np.full(3, np.pi))
    found = shot(ONE, dark, lamp).lit.mean(-1)
    row = found[48, 20:77]
    assert row[-12] > 0.15
    assert row[:24].max() < 0.05


def test_a_thing_in_the_way_casts_a_shadow():
    dark, lamp = np.full((len(DIRECTIONS), 3), 1e-4), studio.Lamp(np.array([0, 0, -1.0]), np.full(3, np.pi))
    alone = shot(ONE, dark, lamp)
    covered = shot(head(((0, -6.9, -0.4), 1.0), ((0.0, -6.9, -2.3), 0.25)), dark, lamp)
    ring = np.hypot(*np.mgrid[-47.5:48, -47.5:48]) < 16
    assert alone.lit[ring].min() > 0.2
    behind = (covered.lit.mean(-1) < 0.05) & (covered.cover > 0) & ring
    # the ball before it is seen, and hides just what it shades: the lamp is at the camera, which sees in perspective
    assert behind.sum() < 40
    aside = studio.Lamp(np.array([0.35, 0, -1.0]) / np.hypot(0.35, 1), np.full(3, np.pi))
    covered = shot(head(((0, -6.9, -0.4), 1.0), ((0.0, -6.9, -2.3), 0.25)), dark, aside)
    assert ((covered.lit.mean(-1) < 0.05) & (covered.cover > 0) & ring).sum() > 40


def test_what_is_mirrored_comes_on_top():
    dark, lamp = np.full((len(DIRECTIONS), 3), 1e-4), studio.Lamp(np.array([0, 0, -1.0]), np.full(3, np.pi))
    matt, shiny = (shot(head(((0, -6.9, -0.4), 1.0), gloss=gloss), dark, lamp).lit[48, 48].mean() for gloss in (0, 1))
    assert shiny > matt * 1.2


def test_an_environment_keeps_its_light():
    sky = np.random.default_rng(3).random((32, 64, 3)).astype(np.float32)
    total = studio.surroundings(sky, 0.0, DIRECTIONS).sum(0)
    np.testing.assert_allclose(total, studio.surroundings(sky, 77.0, DIRECTIONS).sum(0), rtol=1e-6)
    np.testing.assert_allclose(total, sky.mean((0, 1)) * 4 * np.pi, rtol=0.06)
    half = np.zeros((32, 64, 3), np.float32)
    half[:16] = 1
    from_above = studio.surroundings(half, 0.0, DIRECTIONS)
    assert from_above[DIRECTIONS[:, 1] > 0.2].max() == 0, "y is down"


@pytest.fixture(scope="module")
def material(tmp_path_factory) -> Path:
    """MakeHuman's files, made of a box: a body of two quads, an eye, a target, a unit, a skin and a hairdo."""
    folder = tmp_path_factory.mktemp("makehuman")
    rest = np.zeros((14670, 3), np.float32)
    rest[:4] = [[-1, 6, 1], [1, 6, 1], [1, 8, 1], [-1, 8, 1]]
    rest[4:8] = [[0.2, 7.2, 1.2], [0.4, 7.2, 1.2], [0.4, 7.4, 1.2], [0.2, 7.4, 1.2]]
    quads = np.array([[0, 1, 2, 3], [4, 5, 6, 7]])
    uv = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    np.savez(folder / "base.npz", vertices=rest, uv=uv, quads=quads, uv_quads=np.array([[0, 1, 2, 3]] * 2),
             group=np.array(["body", "helper-l-eye"]))  # fmt: skip
    move = {"i:nose/nose-hump-incr": np.array([0]), "d:nose/nose-hump-incr": np.array([[0, 1, 0]], np.float32)}
    np.savez(folder / "targets.npz", **move)
    np.savez(folder / "arkit_targets.npz", **{"i:jawOpen": np.array([1]), "d:jawOpen": np.array([[0, -1, 0]])})
    (folder / "skins").mkdir()
    (folder / "parts").mkdir()
    cv2.imwrite(str(folder / "skins" / "one.jpg"), np.full((64, 64, 3), (120, 150, 200), np.uint8))
    (folder / "parts" / "hair__cap.mhclo").write_text("name cap\nverts 0\n3\n2\n0 1 2 .2 .3 .5 0 .1 0\n")
    (folder / "parts" / "hair__cap.obj").write_text("v 0 0 0\nv 0 0 0\nv 0 0 0\nf 1 2 3\n")
    return folder


def test_people_are_made_of_the_material(material):
    known = heads.load_material(material)
    assert known.part.tolist() == [heads.SKIN, heads.EYE] * 2
    rng = np.random.default_rng(1)
    body, person, _ = heads.person(known, rng)
    hair = known.hair[0]
    posed = heads.posed(known, body, person, hair, rng)
    assert len(posed.points) == len(body) + 3
    assert (posed.part == heads.HAIR).sum() == 1
    assert posed.points[posed.triangles[posed.part == heads.HAIR]].shape == (1, 3, 3)


@pytest.mark.parametrize("tone", [26.0, 50.0, 72.0])
def test_skins_have_the_lightness_asked_for(tone):
    skin = np.random.default_rng(0).normal((200, 150, 120), 8, (64, 64, 3)).clip(0, 255).astype(np.uint8)
    found = heads.looks(skin, tone, None, np.random.default_rng(2)).skin
    luma = np.median(found.reshape(-1, 3), 0) @ [0.2126, 0.7152, 0.0722]
    assert abs(116 * np.cbrt(luma) - 16 - tone) < 3


def test_brows_and_cloth_are_no_skin():
    person = replace(looks(), brow=(0.0, 0.05, 1.0), neckline=6.0)
    places = np.array([[0.3, -7.54, -1.3], [0.3, -6.9, -1.2], [0.3, -5.5, -0.5]])
    colour, skin = heads.albedo(person, places, np.full((3, 2), 0.5), np.zeros(3))
    assert skin[0] < 0.4
    assert skin[1] == 1
    assert skin[2] == 0
    assert colour[0].mean() < colour[1].mean()
