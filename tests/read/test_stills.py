"""Stills, animations and folders of pictures as clips."""

import os
import sys
import threading
import warnings
from fractions import Fraction

import cv2
import numpy as np
import pytest
from footage import make_clip, moving, texture
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from vidswap.errors import InputError
from vidswap.read.clip import frames, open_clip
from vidswap.write.pictures import values

LOSSLESS = {".png": {}, ".bmp": {}, ".tif": {}, ".webp": {"lossless": True, "exact": True}}


def native_values(frame):
    return values(frame.native, lambda _: pytest.fail("not RGB"))


def saved(path, picture, **options):
    Image.fromarray(picture).save(path, **options)
    return path


@pytest.mark.parametrize("ending", LOSSLESS)
@pytest.mark.parametrize("size", [(96, 64), (33, 17)])
def test_a_still_is_a_clip_of_one_frame_with_its_very_pixels(tmp_path, ending, size):
    picture = texture(1, *size)
    clip = open_clip(saved(tmp_path / f"a{ending}", picture, **LOSSLESS[ending]))
    (frame,) = frames(clip)
    assert (clip.width, clip.height, len(clip), clip.container) == (*size, 1, "still")
    assert clip.duration(0) * clip.time_base == Fraction(1, 25)
    np.testing.assert_array_equal(frame.rgb, picture)
    np.testing.assert_array_equal(native_values(frame), picture)


def test_a_film_behind_a_photo_is_told_of(tmp_path):
    photo, film = saved(tmp_path / "a.jpg", texture(1, 96, 64)), make_clip(tmp_path / "a.mp4", moving(2), sound=False)
    assert open_clip(photo).notes == ()
    photo.write_bytes(photo.read_bytes() + film.read_bytes())
    clip = open_clip(photo)
    assert len(clip) == 1
    assert [note for note in clip.notes if "motion photo" in note]


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1", "CMYK", "I;16"])
def test_other_kinds_of_pixels(tmp_path, mode):
    rgb = Image.fromarray(texture(2, 48, 32))
    if mode == "I;16":
        picture = Image.fromarray((np.arange(48 * 32).reshape(32, 48) * 40).astype(np.uint16))
    else:
        picture = rgb.convert("L").convert(mode) if mode == "LA" else rgb.convert(mode)
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    picture.save(path)
    frame = next(frames(open_clip(path)))
    assert frame.rgb.shape == (32, 48, 3)
    if mode in ("L", "1"):
        np.testing.assert_array_equal(native_values(frame), np.asarray(picture.convert("L")))
    if mode == "RGBA":
        np.testing.assert_array_equal(native_values(frame), np.asarray(picture))


@pytest.mark.parametrize("ending", [".png", ".tif"])
@pytest.mark.parametrize("channels", [3, 4])
def test_sixteen_bits_stay_sixteen(tmp_path, ending, channels):
    deep = np.random.default_rng(0).integers(0, 65536, (20, 30, channels)).astype(np.uint16)
    assert cv2.imwrite(str(tmp_path / f"a{ending}"), deep)
    name = os.fsdecode(b"d\xe9") if sys.platform == "linux" else "a"  # no UTF-8, where a system takes such names
    path = (tmp_path / f"a{ending}").rename(tmp_path / f"{name}{ending}")
    frame = next(frames(open_clip(path)))
    np.testing.assert_array_equal(native_values(frame), deep[..., [2, 1, 0, 3][:channels]])
    assert np.abs(frame.rgb.astype(int) - (deep[..., 2::-1] / 257)).max() <= 2


@pytest.mark.parametrize("orientation", range(1, 9))
def test_how_a_camera_was_held_is_undone(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / "a.png", texture(3, 48, 32), exif=exif)
    with Image.open(path) as image:
        from PIL import ImageOps

        upright = np.asarray(ImageOps.exif_transpose(image))
    clip = open_clip(path)
    assert (clip.height, clip.width) == upright.shape[:2]
    np.testing.assert_array_equal(next(frames(clip)).rgb, upright)


@pytest.mark.parametrize(("ending", "options"), [(".gif", {}), (".webp", {"lossless": True}), (".png", {})])
def test_an_animation_has_its_own_times(tmp_path, ending, options):
    pictures = [np.full((24, 32, 3), 20 * i, np.uint8) for i in range(5)]
    lengths = [40, 70, 100, 30, 250]
    images = [Image.fromarray(each) for each in pictures]
    images[0].save(tmp_path / f"a{ending}", save_all=True, append_images=images[1:], duration=lengths, **options)
    clip = open_clip(tmp_path / f"a{ending}")
    assert clip.container == "animation"
    assert [clip.duration(i) * clip.time_base for i in range(5)] == [Fraction(length, 1000) for length in lengths]
    for frame, picture in zip(frames(clip), pictures, strict=True):
        np.testing.assert_array_equal(frame.rgb, picture)
    (fourth,) = frames(clip, 3, 4)
    np.testing.assert_array_equal(fourth.rgb, pictures[3])


def test_a_gif_in_a_hurry_is_shown_as_players_show_it(tmp_path):
    images = [Image.fromarray(each) for each in moving(3, 32, 24)]
    images[0].save(tmp_path / "a.gif", save_all=True, append_images=images[1:], duration=[0, 10, 20])
    clip = open_clip(tmp_path / "a.gif")
    assert [clip.duration(i) for i in range(3)] == [100, 100, 20]


def test_what_is_clear_in_an_animation_stays_clear(tmp_path):
    pictures = [np.dstack([texture(i, 32, 24) // 64 * 64, np.where(np.indices((24, 32))[1] < 8 * i, 0, 255)])
                .astype(np.uint8) for i in range(1, 4)]  # fmt: skip
    images = [Image.fromarray(each) for each in pictures]
    images[0].save(tmp_path / "a.webp", save_all=True, append_images=images[1:], duration=50, lossless=True)
    for frame, picture in zip(frames(open_clip(tmp_path / "a.webp")), pictures, strict=True):
        np.testing.assert_array_equal(native_values(frame)[..., 3], picture[..., 3])


def folder_of(folder, pictures, names=None):
    folder.mkdir()
    for i, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / (names[i] if names else f"shot_{i + 1}.png"))
    return folder


def test_a_folder_is_read_in_natural_order_at_its_rate(tmp_path):
    pictures = moving(12, 32, 24)
    folder = folder_of(tmp_path / "shots", pictures)
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden.png").write_text("nor this")
    clip = open_clip(folder, Fraction(24000, 1001))
    assert [file.name for file in clip.files] == [f"shot_{i}.png" for i in range(1, 13)]
    assert [int(time) * clip.time_base for time in clip.pts] == [i * Fraction(1001, 24000) for i in range(12)]
    for frame, picture in zip(frames(clip, 2, 11), pictures[2:11], strict=True):
        np.testing.assert_array_equal(frame.rgb, picture)


def test_a_damaged_picture_of_a_folder_shows_the_one_before(tmp_path):
    folder = folder_of(tmp_path / "shots", moving(5, 32, 24))
    for name in ("shot_1.png", "shot_4.png"):
        (folder / name).write_bytes((folder / name).read_bytes()[:60])
    shown = list(frames(open_clip(folder)))
    assert [frame.repeated for frame in shown] == [True, False, False, True, False]
    np.testing.assert_array_equal(shown[0].rgb, shown[1].rgb)
    np.testing.assert_array_equal(shown[3].rgb, shown[2].rgb)
    assert shown[3].native is not shown[2].native


def test_refusals(tmp_path):
    mixed = folder_of(tmp_path / "mixed", [texture(1, 32, 24), texture(1, 32, 26)])
    empty, cut = tmp_path / "empty", tmp_path / "cut.png"
    empty.mkdir()
    cut.write_bytes(saved(tmp_path / "a.png", texture(1, 64, 64)).read_bytes()[:100])
    huge = tmp_path / "huge.bmp"
    saved(huge, texture(1, 8, 8))
    claim = bytearray(huge.read_bytes())
    claim[18:26] = (60000).to_bytes(4, "little") * 2
    huge.write_bytes(claim)
    wrong = {mixed: "another size", empty: "no picture in the folder", cut: "can be decoded", huge: "more than 67,108"}
    for path, message in wrong.items():
        with pytest.raises(InputError, match=message) as caught:
            open_clip(path)
        assert caught.value.hint
        assert "\n" not in str(caught.value)


def test_two_threads_that_read_pictures_leave_the_warnings_filters_alone(tmp_path, monkeypatch):
    """A reads while B begins, and A ends first: what is put back by each would be what the other had changed."""
    began, ended = threading.Event(), threading.Event()
    first, second = (saved(tmp_path / f"{name}.png", texture(3, 24, 16)) for name in "ab")
    opened = PngImageFile._open

    def slowly(picture):
        opened(picture)
        if picture.filename == str(second):
            began.set()
            assert ended.wait(10)
        else:
            assert began.wait(10)

    monkeypatch.setattr(PngImageFile, "_open", slowly)
    before = list(warnings.filters)
    other = threading.Thread(target=lambda: open_clip(second))
    other.start()
    open_clip(first)
    ended.set()
    other.join(10)
    assert list(warnings.filters) == before
