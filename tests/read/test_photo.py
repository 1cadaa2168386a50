"""A photo file becomes sRGB pixels, upright, whatever a phone or a scanner wrote; or is refused in words."""

from __future__ import annotations

import io
import struct
import zlib
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pillow_heif
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from vidswap.errors import IdentityError
from vidswap.read.photo import SUFFIXES, in_srgb, read_photo
from vidswap.types import Array

SIDE = 4096


def colours(width: int = 48, height: int = 32) -> Array:
    """Smooth, and other at each corner."""
    x, y = np.meshgrid(np.linspace(40, 200, width), np.linspace(60, 180, height))
    return np.stack([x, y, 255 - x], -1).astype(np.uint8)


def profile(space: bytes = b"RGB ") -> bytes:
    """A small ICC profile (ICC.1:2001, matrix and curve) of Display P3's primaries with a gamma of 2.2, or of grey."""

    def numbers(*values: float) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(2.2 * 256)) + b"\0\0"
    text = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"wide\0" + bytes(78 + 1)
    tags = {b"desc": text, b"wtpt": numbers(0.9642, 1.0, 0.8249), b"cprt": b"text\0\0\0\0none\0\0\0\0"}
    if space == b"GRAY":
        tags[b"kTRC"] = curve
    else:
        tags |= {b"rXYZ": numbers(0.5151, 0.2412, -0.0011), b"gXYZ": numbers(0.2919, 0.6922, 0.0419),
                 b"bXYZ": numbers(0.1572, 0.0666, 0.7841), b"rTRC": curve, b"gTRC": curve, b"bTRC": curve}  # fmt: skip
    table, body, at = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, tag in tags.items():
        padded = tag + bytes(-len(tag) % 4)
        table += name + struct.pack(">II", at + len(body), len(tag))
        body += padded
    head = bytearray(128)
    head[0:4] = struct.pack(">I", 128 + len(table) + len(body))
    head[8:12], head[12:16], head[16:20], head[20:24] = b"\x02\x20\0\0", b"mntr", space, b"XYZ "
    head[36:40], head[68:80] = b"acsp", struct.pack(">iii", 63190, 65536, 54061)
    return bytes(head) + table + body


def saved(path: Path, picture: Image.Image, **choices: object) -> Path:
    picture.save(path, **choices)
    return path


def exif(turn: int) -> bytes:
    found = Image.Exif()
    found[0x0112] = turn
    return found.tobytes()


@pytest.mark.parametrize("kind", ["png", "jpg", "webp"])
def test_a_photo_in_wider_colours_is_converted(tmp_path, kind):
    """In Display P3 a colour is stronger than its numbers say in sRGB."""
    rgb = np.full((32, 32, 3), (190, 110, 90), np.uint8)
    file = saved(tmp_path / f"wide.{kind}", Image.fromarray(rgb), icc_profile=profile(), quality=95)
    found = read_photo(file, SIDE).rgb[16, 16].astype(int)
    assert found[0] > 196
    assert found[1] < 108
    plain = saved(tmp_path / f"plain.{kind}", Image.fromarray(rgb), quality=95)
    np.testing.assert_allclose(read_photo(plain, SIDE).rgb[16, 16], rgb[16, 16], atol=4)


def test_a_photo_that_says_it_is_srgb_keeps_every_bit(tmp_path):
    same = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    file = saved(tmp_path / "a.jpg", Image.fromarray(colours()), icc_profile=same)
    np.testing.assert_array_equal(read_photo(file, SIDE).rgb, cv2.imread(str(file))[..., ::-1])


@pytest.mark.parametrize("icc", [b"no profile", profile()[:200], profile()[:-40]])
def test_a_damaged_profile_is_told_and_not_believed(tmp_path, icc):
    file = saved(tmp_path / "a.png", Image.fromarray(colours()), icc_profile=icc)
    found = read_photo(file, SIDE)
    np.testing.assert_array_equal(found.rgb, colours())
    assert "colour profile" in found.notes[0]


def test_a_profile_of_other_colours_than_the_pixels_is_not_applied():
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    np.testing.assert_array_equal(in_srgb(colours(), lab), colours())


def test_a_grey_photo_with_a_grey_profile(tmp_path):
    file = saved(tmp_path / "a.png", Image.fromarray(colours()[..., 0]), icc_profile=profile(b"GRAY"))
    found = read_photo(file, SIDE).rgb
    assert found.shape == (32, 48, 3)
    np.testing.assert_allclose(found[..., 1], colours()[..., 0], atol=6)


@pytest.mark.parametrize("suffix", [".heic", ".heif", ".jpg"])
def test_heic_is_read_whatever_its_file_is_called(tmp_path, suffix):
    heif = pillow_heif.from_pillow(Image.fromarray(colours(96, 64)))
    heif.save(tmp_path / "a.heic", quality=90)
    file = (tmp_path / "a.heic").rename(tmp_path / f"a{suffix}")
    found = read_photo(file, SIDE).rgb
    assert found.shape == (64, 96, 3)
    assert np.abs(found.astype(int) - colours(96, 64)).mean() < 4
    assert suffix in SUFFIXES


def test_heic_is_converted_and_turned_like_all_others(tmp_path):
    picture = Image.fromarray(np.full((64, 96, 3), (190, 110, 90), np.uint8))
    heif = pillow_heif.from_pillow(picture)
    heif.save(tmp_path / "a.heic", quality=95, icc_profile=profile(), exif=exif(6))
    found = read_photo(tmp_path / "a.heic", SIDE).rgb
    assert found.shape in {(96, 64, 3), (64, 96, 3)}
    assert found[32, 32, 0] > 196


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK", "P", "1"])
def test_every_mode_of_a_photo_becomes_rgb(tmp_path, mode):
    picture = Image.fromarray(colours()).convert(mode)
    file = saved(tmp_path / ("a.jpg" if mode == "CMYK" else "a.png"), picture, quality=95)
    found = read_photo(file, SIDE).rgb
    assert found.shape == (32, 48, 3)
    np.testing.assert_allclose(found, np.asarray(picture.convert("RGB")), atol=8 if mode == "CMYK" else 0)


def test_sixteen_bits_become_eight(tmp_path):
    assert cv2.imwrite(str(tmp_path / "a.png"), colours()[..., ::-1].astype(np.uint16) * 257)
    np.testing.assert_array_equal(read_photo(tmp_path / "a.png", SIDE).rgb, colours())


def test_what_is_transparent_is_grey_and_not_what_lies_hidden_there(tmp_path):
    values = np.dstack([colours(), np.full((32, 48), 255, np.uint8)])
    whole = saved(tmp_path / "whole.png", Image.fromarray(values))
    np.testing.assert_array_equal(read_photo(whole, SIDE).rgb, colours())
    values[:, 24:] = (255, 0, 0, 0)
    cut = read_photo(saved(tmp_path / "cut.png", Image.fromarray(values)), SIDE).rgb
    assert (cut[:, 24:] == 128).all()
    np.testing.assert_array_equal(cut[:, :24], colours()[:, :24])


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("kind", ["jpg", "CMYK"])
def test_exif_says_how_the_camera_was_held(tmp_path, turn, kind):
    picture = Image.fromarray(colours()).convert("RGB" if kind == "jpg" else "CMYK")
    file = saved(tmp_path / "a.jpg", picture, exif=exif(turn), quality=95)
    upright = np.rot90(colours(), {3: 2, 4: 2, 5: -1, 6: -1, 7: 1, 8: 1}.get(turn, 0))
    upright = upright[:, ::-1] if turn in {2, 4, 5, 7} else upright
    found = read_photo(file, SIDE).rgb
    assert found.shape == upright.shape
    assert np.abs(found.astype(int) - upright).mean() < 6


def test_an_animation_shows_its_first_picture(tmp_path):
    first, second = Image.fromarray(colours()), Image.fromarray(255 - colours())
    file = saved(tmp_path / "a.webp", first, save_all=True, append_images=[second], lossless=True)
    np.testing.assert_array_equal(read_photo(file, SIDE).rgb, colours())


def test_a_large_photo_is_made_smaller(tmp_path):
    file = saved(tmp_path / "a.png", Image.fromarray(colours(300, 200)))
    assert read_photo(file, 60).rgb.shape == (40, 60, 3)


@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "heic", "cmyk.jpg"])
def test_a_photo_that_lacks_its_end_is_refused(tmp_path, kind):
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    whole = tmp_path / f"a.{kind}"
    if kind == "heic":
        pillow_heif.from_pillow(picture).save(whole)
    else:
        saved(whole, picture.convert("CMYK") if kind == "cmyk.jpg" else picture)
    raw = whole.read_bytes()
    whole.write_bytes(raw[: len(raw) * 2 // 3])
    with pytest.raises(IdentityError, match="is damaged, or a part of it is missing") as caught:
        read_photo(whole, SIDE)
    assert "copy it anew" in caught.value.hint


@pytest.mark.parametrize("raw", [b"", b"GIF89a" + bytes(40), b"\x89PNG\r\n\x1a\n" + bytes(30), bytes(200),
                                 b"\0\0\0\x18ftypheic" + bytes(40), b"\xff\xd8\xff\xe0 no picture"])  # fmt: skip
def test_what_is_no_picture_is_refused(tmp_path, raw):
    (tmp_path / "odd.jpg").write_bytes(raw)
    with pytest.raises(IdentityError, match=r"odd\.jpg") as caught:
        read_photo(tmp_path / "odd.jpg", SIDE)
    assert caught.value.hint


def test_a_picture_that_promises_too_much_is_refused_unopened(tmp_path):
    file = saved(tmp_path / "bomb.png", Image.fromarray(colours()))
    raw = bytearray(file.read_bytes())
    raw[16:24] = (60000).to_bytes(4) + (60000).to_bytes(4)
    raw[29:33] = zlib.crc32(bytes(raw[12:29])).to_bytes(4)
    file.write_bytes(raw)
    with pytest.raises(IdentityError, match="60000x60000"):
        read_photo(file, SIDE)


def test_a_file_that_is_not_there_or_is_none_is_refused(tmp_path):
    for name in ("nobody.jpg", "nul\0l.jpg", "long" * 200 + ".jpg"):
        with pytest.raises(IdentityError, match="cannot read"):
            read_photo(tmp_path / name, SIDE)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow, of EXIF
@given(st.integers(0, 4000), st.binary(min_size=1, max_size=8))
def test_a_photo_with_any_damage_is_read_or_refused(tmp_path_factory, at, junk):
    out = io.BytesIO()
    Image.fromarray(colours()).save(out, "JPEG", icc_profile=profile(), exif=exif(6))
    raw = bytearray(out.getvalue())
    at %= len(raw)
    raw[at : at + len(junk)] = junk
    file = tmp_path_factory.mktemp("damaged") / "a.jpg"
    file.write_bytes(raw)
    with suppress(IdentityError):
        assert read_photo(file, SIDE).rgb.dtype == np.uint8
