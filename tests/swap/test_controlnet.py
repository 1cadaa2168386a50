"""Drawings of a face, and ControlNets that see them."""

import cv2
import numpy as np
import pytest
import tiny
import tinyadapters
import torch
from test_faceid import Asked, answered, call, home, pipeline, rows_of, start  # noqa: F401

from vidswap.errors import ModelError
from vidswap.face import geometry, landmarks
from vidswap.swap.controlnet import check, controlled, drawn_in, models, open_net
from vidswap.swap.drawings import BROWS, CONTOURS, FIVE, PUPILS, drawn_mesh, drawn_points
from vidswap.swap.guides import controls_of, guides_of


@pytest.fixture
def mesh(form):
    """The mean face in the middle of 512 pixels."""
    return geometry.posed(form.mean, (170.0, np.eye(3), np.array([256.0, 256.0, 0.0])))


def theirs(five: np.ndarray, size: int) -> np.ndarray:
    """InstantID's five points at 1024 pixels, put down from their description: limbs to the nose, dimmed, then dots."""
    picture = np.zeros((size, size, 3))
    for end in (0, 1, 3, 4):
        (x0, y0), (x1, y1) = five[end], five[2]
        turn = int(np.degrees(np.arctan2(y0 - y1, x0 - x1)))
        middle, half = (int((x0 + x1) / 2), int((y0 + y1) / 2)), int(np.hypot(x0 - x1, y0 - y1) / 2)
        limb = np.zeros((size, size), np.uint8)
        cv2.fillConvexPoly(limb, cv2.ellipse2Poly(middle, (half, 4), turn, 0, 360, 1), 1)
        picture[limb > 0] = FIVE[end]
    picture = np.asarray(picture * 0.6, np.uint8)
    for (x, y), colour in zip(five, FIVE):
        dot = cv2.circle(np.zeros((size, size), np.uint8), (int(x), int(y)), 10, 1, -1)
        picture[dot > 0] = colour
    return picture


def test_five_points_are_drawn_as_instantid_knows_them(mesh):
    large = geometry.apply(geometry.enlarge(2), mesh)
    five = geometry.five_points(large).astype(np.float64)
    np.testing.assert_array_equal(drawn_points(large, 1024), theirs(five, 1024))
    small = drawn_points(mesh, 512)
    shrunk = cv2.resize(drawn_points(large, 1024), (512, 512), interpolation=cv2.INTER_AREA)
    assert np.abs(small.astype(float) - shrunk).mean() < 0.5, "widths go with the size"


def test_the_mesh_is_drawn_in_the_colours_of_its_parts(mesh):
    drawn = drawn_mesh(mesh, 512)
    points = mesh[:, :2].astype(int)
    for contour, colour in CONTOURS:
        for x, y in points[contour]:
            assert tuple(drawn[y, x]) in (colour, *BROWS), "brows may cross the outline"
    for iris, colour in zip(landmarks.IRISES, PUPILS):
        x, y = points[iris[0]]
        assert (drawn[y - 2 : y + 2, x - 2 : x + 2] == colour).all()
    for brow, colour in zip(landmarks.BROWS, BROWS):
        assert all(tuple(drawn[y, x]) == colour for x, y in points[brow])
    known = {(0, 0, 0), *BROWS, *PUPILS, *(colour for _, colour in CONTOURS)}
    assert set(map(tuple, drawn.reshape(-1, 3))) == known, "lines have no soft edges"
    assert (drawn == 0).all(-1).mean() > 0.95


@pytest.mark.parametrize("draw", [drawn_points, drawn_mesh])
def test_a_face_beyond_the_picture_is_drawn_as_far_as_it_goes(draw, mesh):
    for moved in (mesh - 300, mesh + 10_000, mesh * 0):
        assert draw(np.float32(moved), 512).shape == (512, 512, 3)


def test_control_mesh_follows_the_actor_frame_by_frame(home, start):  # noqa: F811
    tinyadapters.pulled(home, "controlnet-face-sd15")
    for guided, channels in ((True, 4), (False, 9)):
        pipe, asked = pipeline("sd15", channels=channels), call("sd15", 3, guided, channels)
        (guide,) = guides_of("sd15", Asked(control="mesh"))
        guide.apply(pipe)
        steer = guide.steer(pipe, start(3))
        whole = answered(pipe, steer(asked, slice(0, 3)))
        assert (whole - answered(pipe, asked)).abs().mean() > 1e-4
        for row in range(3):
            one = answered(pipe, steer(rows_of(asked, slice(row, row + 1), 3), slice(row, row + 1)))
            expected = torch.cat([half[row : row + 1] for half in whole.split(3)])
            torch.testing.assert_close(one, expected, rtol=1e-4, atol=1e-5)
        still = asked | {"sample": asked["sample"][:1].repeat(len(asked["sample"]), 1, 1, 1)}
        moving = answered(pipe, steer(still, slice(0, 3)))
        assert (moving[0] - moving[2]).abs().max() > 1e-5, "each frame is told its own face"


def test_it_answers_as_diffusers_own_pipeline_asks(home, start):  # noqa: F811
    """Residuals of the ControlNet, told what the UNet is."""
    net = open_net(tinyadapters.control(home / "net", "sdxl"), Asked())
    asked, drawn = call("sdxl", 2), drawn_in(start(2), drawn_mesh)
    told = controlled(net, asked, drawn, 0.5)
    with torch.inference_mode():
        down, mid = net(asked["sample"], asked["timestep"], encoder_hidden_states=asked["encoder_hidden_states"],
                        controlnet_cond=torch.cat([drawn, drawn]), conditioning_scale=0.5, return_dict=False,
                        added_cond_kwargs=asked["added_cond_kwargs"])  # fmt: skip
    torch.testing.assert_close(told["mid_block_additional_residual"], mid)
    for one, other in zip(told["down_block_additional_residuals"], down, strict=True):
        torch.testing.assert_close(one, other)
    twice = controlled(net, told, drawn, 0.5)
    torch.testing.assert_close(twice["mid_block_additional_residual"], 2 * mid)
    assert float(drawn.max()) <= 1
    assert drawn.shape == (2, 3, 64, 64)


def test_a_network_that_sees_motion_follows_too(home, start, tmp_path):  # noqa: F811
    from diffusers import MotionAdapter, UNetMotionModel

    tinyadapters.pulled(home, "controlnet-face-sd15")
    pipe = pipeline("sd15")
    motion = MotionAdapter.from_pretrained(tiny.motion(tmp_path / "motion"))
    pipe.register_modules(unet=UNetMotionModel.from_unet2d(pipe.unet, motion).eval())
    (guide,) = guides_of("sd15", Asked(control="mesh"))
    guide.apply(pipe)
    asked = call("sd15", 3)
    asked |= {"sample": asked["sample"].unflatten(0, (2, 3)).transpose(1, 2)}
    told = answered(pipe, guide.steer(pipe, start(3))(asked, slice(0, 3)))
    assert told.shape == (2, 4, 3, 8, 8)
    assert (told - answered(pipe, asked)).abs().mean() > 1e-4


def test_it_is_for_one_base_and_says_how_to_get_it(home):  # noqa: F811
    assert controls_of("sd15") == ("none", "mesh")
    assert controls_of("sdxl") == ("none",)
    with pytest.raises(ModelError, match="'controlnet-face-sd15' is not here") as caught:
        guides_of("sd15", Asked(control="mesh"))
    assert "vidswap models pull controlnet-face-sd15" in caught.value.hint
    assert models("sd15", Asked()) == ("controlnet-face-sd15",)
    net = open_net(tinyadapters.control(home / "other", "sdxl"), Asked())
    with pytest.raises(ModelError, match="the ControlNet is of another base"):
        check(net, tiny.unet("sd15"))


def test_the_key_tells_the_weights_and_how_much_they_count(home):  # noqa: F811
    tinyadapters.pulled(home, "controlnet-face-sd15")
    keys = [guides_of("sd15", Asked(control="mesh", pose=pose))[0].key for pose in (None, 0.5)]
    tinyadapters.pulled(home, "controlnet-face-sd15", seed=1)
    keys.append(guides_of("sd15", Asked(control="mesh"))[0].key)
    assert len(set(keys)) == 3


def test_a_damaged_controlnet_is_one_line(home):  # noqa: F811
    tinyadapters.pulled(home, "controlnet-face-sd15")
    (config,) = home.rglob("config.json")
    config.write_text('{"_class_name": "ControlNetModel", "block_out_channels": "many"}')
    with pytest.raises(ModelError) as caught:
        open_net(config.parent, Asked())
    assert "\n" not in str(caught.value)
