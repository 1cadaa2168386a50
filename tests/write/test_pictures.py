"""Pictures written as stills, animations and folders: exact, labelled, by rename."""

import pickle
from fractions import Fraction

import numpy as np
import pytest
from footage import make_clip, moving, texture
from PIL import Image
from PIL.PpmImagePlugin import PpmImageFile
from reader import render

from vidswap.errors import EngineError, OutputError, UsageError
from vidswap.files import PICTURES
from vidswap.media import images
from vidswap.media.images import ImageKind, is_pictures
from vidswap.read.clip import frames, open_clip
from vidswap.settings import WriteSettings
from vidswap.types import Shot
from vidswap.write.pictures import write_pictures
from vidswap.write.target import check_pictures, is_for_pictures, plan_target
from vidswap.write.work import MARK, MARKED, open_work

LABELS = {"comment": "AI-generated: face swap (vidswap 1)", "vidswap_engine": "none"}


def through(clip, out, start=0, stop=None):
    """Write frames of a clip unchanged."""
    shown = list(frames(clip, start, stop))
    pictures = ((frame.index, frame.native) for frame in shown)
    with open_work(out, kept=False) as folder:
        write_pictures(clip, pictures, len(shown), out, folder=folder, labels=LABELS, show=shown[0].to_rgb)
    assert [path.name for path in out.parent.iterdir() if path.name.startswith(".")] == []
    return out


def still(path, picture, **options):
    Image.fromarray(picture).save(path, **options)
    return open_clip(path)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_pixels_that_nobody_touched_come_back(tmp_path, mode, ending):
    picture = np.asarray(Image.fromarray(texture(1, 61, 47)).convert(mode))
    out = through(still(tmp_path / "a.png", picture), tmp_path / f"out{ending}")
    with Image.open(out) as image:
        np.testing.assert_array_equal(np.asarray(image), picture)


@pytest.mark.parametrize("asked", [{"codec": "hevc"}, {"crf": 0}, {"preset": "slow"}, {"lossless": True}])
def test_pictures_are_not_asked_for_as_films_are(tmp_path, asked):
    clip = still(tmp_path / "a.png", texture(1, 64, 48))
    with pytest.raises(UsageError, match=r"out\.jpg .* for films"):
        plan_target(clip, Shot(0, 1), tmp_path / "out.jpg", WriteSettings(**asked))
    assert plan_target(clip, Shot(0, 1), tmp_path / "out.jpg", WriteSettings()).encoding is None


def test_sixteen_bits_come_back(tmp_path):
    import cv2

    deep = np.random.default_rng(0).integers(0, 65536, (20, 30, 3)).astype(np.uint16)
    cv2.imwrite(str(tmp_path / "a.png"), deep)
    out = through(open_clip(tmp_path / "a.png"), tmp_path / "out.png")
    np.testing.assert_array_equal(cv2.imread(str(out), cv2.IMREAD_UNCHANGED), deep)
    with Image.open(out) as image:
        assert image.text["comment"] == LABELS["comment"]


def test_a_jpeg_written_anew_is_nearly_itself(tmp_path):
    clip = still(tmp_path / "a.jpg", texture(2, 96, 64), quality=80)
    out = through(clip, tmp_path / "out.jpg")
    before, after = (next(frames(open_clip(path))).rgb.astype(int) for path in (tmp_path / "a.jpg", out))
    assert np.abs(before - after).mean() < 0.5
    assert abs(out.stat().st_size - (tmp_path / "a.jpg").stat().st_size) < 3000


def test_every_format_says_what_it_is_and_keeps_its_colours_meaning(tmp_path):
    profile = Image.Exif()
    profile[0x010F], profile[0x0112] = "Camera", 6
    clip = still(tmp_path / "a.jpg", texture(2, 96, 64), exif=profile, icc_profile=b"0" * 128, dpi=(300, 300))
    for ending in (".png", ".jpg", ".webp", ".tif", ".gif"):
        with Image.open(through(clip, tmp_path / f"out{ending}")) as image:
            image.load()
            exif, info = image.getexif(), image.info
            assert image.size == (64, 96)
            if ending == ".gif":
                assert info["comment"] == LABELS["comment"].encode()
                continue
            assert exif.get(0x0112, 1) == 1, "upright already: nothing is left to turn"
            assert (exif[0x010F], exif[0x0131]) == ("Camera", "vidswap")
            assert info["icc_profile"] == b"0" * 128
            if ending == ".png":
                assert info["Comment"] == LABELS["comment"]
                assert info["vidswap_engine"] == "none"
            else:
                assert exif[0x010E] == LABELS["comment"]
            if ending != ".tif":
                xmp = info.get("xmp") or info["XML:com.adobe.xmp"].encode()
                assert b"compositeWithTrainedAlgorithmicMedia" in xmp
                assert LABELS["comment"].encode() in xmp


@pytest.mark.parametrize("ending", [".gif", ".webp", ".png"])
@pytest.mark.parametrize("clear", [False, True])
def test_animations_keep_their_frames_times_and_loops(tmp_path, ending, clear):
    pictures = [each // 86 * 85 for each in moving(6, 40, 30)]
    if clear:
        pictures = [np.dstack([each, 255 * (np.indices((30, 40))[1] > 3 * i)]).astype(np.uint8)
                    for i, each in enumerate(pictures)]  # fmt: skip
    images = [Image.fromarray(each) for each in pictures]
    lengths = [40, 70, 100, 30, 250, 20]
    images[0].save(tmp_path / "a.webp", save_all=True, append_images=images[1:], duration=lengths, loop=3,
                   lossless=True, exact=True)  # fmt: skip
    out = through(open_clip(tmp_path / "a.webp"), tmp_path / f"out{ending}")
    made = open_clip(out)
    assert [made.duration(i) for i in range(6)] == lengths
    for frame, picture in zip(frames(made), pictures, strict=True):
        seen = picture[..., 3] > 0 if clear else np.ones(picture.shape[:2], bool)
        np.testing.assert_array_equal(frame.rgb[seen], picture[seen][:, :3])
    with Image.open(out) as image:
        assert image.info["loop"] == 3


def test_film_becomes_an_animation_with_exact_sums(tmp_path):
    """30 frames a second are no whole number of GIF's hundredths: what is rounded off one goes to the next."""
    times = [i * 3003 for i in range(12)]
    clip = open_clip(make_clip(tmp_path / "a.mp4", moving(12), times, unit=Fraction(1, 90000), sound=False))
    made = open_clip(through(clip, tmp_path / "out.gif"))
    for i in range(12):
        assert abs(made.seconds(i) - clip.seconds(i)) <= 0.0051
    picture = through(clip, tmp_path / "out.png", 4, 5)
    with Image.open(picture) as image:
        np.testing.assert_array_equal(np.asarray(image), list(frames(clip))[4].rgb)


@pytest.mark.parametrize("ending", [".mp4", ".mkv", ".mov", ".ts"])
@pytest.mark.parametrize("kind", ["still", "animation", "folder"])
def test_pictures_become_film_at_their_times(tmp_path, ending, kind):
    lengths = [40, 70, 100, 30, 250, 20]
    pictures = moving(6, 64, 48)
    images = [Image.fromarray(each) for each in pictures]
    source = tmp_path / {"still": "a.png", "animation": "a.webp", "folder": "a"}[kind]
    if kind == "folder":
        source.mkdir()
        for i, image in enumerate(images):
            image.save(source / f"{i}.png")
    elif kind == "animation":
        images[0].save(source, save_all=True, append_images=images[1:], duration=lengths, lossless=True)
    else:
        images[0].save(source)
    clip = open_clip(source, Fraction(24))
    out = tmp_path / f"out{ending}"
    render(clip, out)
    made = open_clip(out)
    assert len(made) == len(clip) == (1 if kind == "still" else 6)
    for i in range(len(clip)):
        slack = 1 / 2000 if ending == ".mkv" else 1 / 90000
        assert abs(made.seconds(i) - clip.seconds(i)) <= slack
        assert abs(float(made.duration(i) * made.time_base - clip.duration(i) * clip.time_base)) <= 2 * slack or (
            ending == ".ts" and i == len(clip) - 1
        ), "transport streams do not say how long the last one is"
    for now, was in zip(frames(made), pictures, strict=False):
        assert np.abs(now.rgb.astype(int) - was)[:, :8].mean() < 20, "the paint is in the middle"


def test_a_turned_film_becomes_an_upright_picture(tmp_path):
    def turn(_target, video):
        video.set_display_rotation(90)

    clip = open_clip(make_clip(tmp_path / "a.mp4", moving(2), sound=False, prepare=turn))
    with Image.open(through(clip, tmp_path / "out.webp", 0, 1)) as image:
        assert image.size == (64, 96)


def test_a_folder_becomes_a_folder_of_the_same_names(tmp_path):
    folder, pictures = tmp_path / "in", moving(4, 40, 30)
    folder.mkdir()
    names = ["b10.png", "b2.tiff", "b3.bmp", "b1.PNG"]
    for name, picture in zip(names, pictures, strict=True):
        Image.fromarray(picture).save(folder / name)
    clip = open_clip(folder)
    out = tmp_path / "out"
    out.mkdir()
    through(clip, out)
    assert sorted(path.name for path in out.iterdir()) == ["b1.PNG", "b10.png", "b2.tiff", "b3.png"]
    for name, picture in zip(names, pictures, strict=True):
        with Image.open(out / name.replace("bmp", "png")) as image:
            np.testing.assert_array_equal(np.asarray(image), picture)


def test_refusals_come_before_the_work(tmp_path):
    clip = open_clip(make_clip(tmp_path / "a.mp4", moving(3), sound=False))
    full = tmp_path / "full"
    full.mkdir()
    (full / "something.txt").touch()
    Image.fromarray(texture(1, 32, 24)).save(tmp_path / "b.png")
    shots = tmp_path / "shots"
    shots.mkdir()
    Image.fromarray(texture(1, 32, 24)).save(shots / "1.png")
    wrong = [
        (clip, 3, tmp_path / "out.jpg", "holds one picture"), (clip, 1, tmp_path / "no" / "out.png", "no folder"),
        (open_clip(tmp_path / "b.png"), 1, tmp_path / "b.png", "the clip itself"),
        (open_clip(shots), 1, full, "not an empty folder"), (open_clip(shots), 1, shots, "the clip itself"),
        (clip, 10**6, tmp_path / "out.gif", "too many"),
    ]  # fmt: skip
    for each, count, out, message in wrong:
        assert is_for_pictures(each, out)
        with pytest.raises(OutputError, match=message) as caught:
            check_pictures(each, count, out)
        assert caught.value.hint
    assert not is_for_pictures(clip, tmp_path / "out.mp4")
    assert not is_for_pictures(clip, tmp_path / "folder")


def test_a_target_goes_to_another_process(tmp_path):
    clip = still(tmp_path / "a.png", texture(1, 64, 48))
    for name, kind in (("out.png", None), ("out.mp4", "libx264")):
        target = plan_target(clip, Shot(0, 1), tmp_path / name, WriteSettings())
        assert pickle.loads(pickle.dumps(target)) == target
        assert (target.shape.width, target.shape.height) == (64, 48)
        assert (target.encoding and target.encoding.encoder) == kind


def test_files_knows_what_is_read_of_folders():
    """It lies below the kinds of pictures, and must not import them."""
    assert images.endings_of(lambda kind: kind.parts) == PICTURES


def test_a_kind_of_picture_is_one_record(tmp_path, monkeypatch):
    """One that is added is known by its head and its ending, read and written: nothing else has to learn of it."""
    kind = ImageKind("PPM", (".ppm",), rb"P6\s", PpmImageFile, stills=True)
    before = texture(1, 64, 48)
    Image.fromarray(before).save(tmp_path / "a.ppm")
    assert not is_pictures(tmp_path / "a.ppm")
    monkeypatch.setattr(images, "KINDS", (*images.KINDS, kind))
    assert is_pictures(tmp_path / "a.ppm")
    out = through(open_clip(tmp_path / "a.ppm"), tmp_path / "out.ppm")
    with Image.open(out) as image:
        assert image.format == "PPM"
        np.testing.assert_array_equal(np.asarray(image), before)


@pytest.mark.parametrize("ending", [".png", ".gif", ""])
@pytest.mark.parametrize("error", [EngineError("no"), KeyboardInterrupt()])
def test_nothing_stays_behind_a_failure(tmp_path, ending, error):
    folder = tmp_path / "in"
    folder.mkdir()
    for i, picture in enumerate(moving(3, 32, 24)):
        Image.fromarray(picture).save(folder / f"{i}.png")
    clip = open_clip(folder)

    def failing():
        yield from ((frame.index, frame.native) for frame in frames(clip, 0, 1))
        raise error

    out = tmp_path / f"out{ending}"
    with pytest.raises(type(error)), open_work(out, kept=False) as folder:
        write_pictures(clip, failing(), 3, out, folder=folder, labels=LABELS, show=None)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize("ending", [".png", ".gif", ""])
def test_what_a_killed_render_left_is_no_hindrance(tmp_path, ending):
    folder = tmp_path / "in"
    folder.mkdir()
    for i, picture in enumerate(moving(3, 64, 48)):
        Image.fromarray(picture).save(folder / f"{i}.png")
    left, out = tmp_path / f".out{ending}.vidswap", tmp_path / f"out{ending}"
    left.mkdir()
    (left / MARK).write_bytes(MARKED)
    (left / "key").write_text("of another render")
    (left / f"made{ending}").mkdir() if not ending else (left / f"made{ending}").touch()
    render(open_clip(folder), out)
    assert out.exists()
    assert not left.exists()
