"""A short: what platforms take, what is made for them, and what is kept for whoever posts it."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from footage import make_clip, moving
from rendered import SOMEONE, Echo, track_of, write_plan

from vidswap.casting import Role
from vidswap.errors import InputError, OutputError, UsageError
from vidswap.media.loudness import Excerpt, loudness_of
from vidswap.media.upload import Upload, upload_of
from vidswap.plan.store import facts_of
from vidswap.read.clip import frames, open_clip
from vidswap.settings import ReadSettings, Settings, TitleSettings, WriteSettings
from vidswap.shorts import LABELS, PRESETS, Wishes, amiss_in, presets_in, short_clip
from vidswap.types import Shot
from vidswap.write.film import encode
from vidswap.write.lettering import Page, mark

COUNT = 120
FINE = Upload("mov,mp4", "h264", "yuv420p", 1080, 1920, 25, 15, 9_000_000, False, True, "aac", 48_000, 2)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("short") / "clip.mp4", moving(COUNT, 192, 108))


@pytest.fixture(scope="module")
def settings(film: Path) -> Settings:
    plan = film.with_suffix(".plan")
    part = track_of(0, 0, COUNT)
    seen = replace(part, mesh=part.mesh + np.array([60, 20, 0], np.float32),
                   visible_to_frame=np.repeat([[[24.0, 0, 0], [0, 13.5, 0]]], COUNT, 0))  # fmt: skip
    write_plan(plan, facts_of(open_clip(film), "embedded"), Shot(0, COUNT), [Shot(0, 50), Shot(50, COUNT)], [seen])
    return Settings(ReadSettings(plan=plan), write=WriteSettings(preset="ultrafast", shape=(108, 192)))


def test_every_preset_says_where_it_is_from_and_can_be_made() -> None:
    presets = presets_in()
    assert presets.keys() == {"tiktok", "reels", "shorts", "feed", "story", "x", "linkedin"}
    for preset in presets.values():
        assert preset.source.startswith("https://")
        assert preset.read >= "2026"
        WriteSettings(shape=preset.shape, loudness=preset.loudness, megabits=preset.megabits)
        TitleSettings(safe=preset.safe)
        width, height = map(int, preset.shape.split("x"))
        for words in LABELS.values():
            mark(words, Page(width, height, preset.safe), "top-left")
        assert amiss_in(replace(FINE, width=width, height=height), preset) == []


def test_a_short_is_cut_reframed_labelled_levelled_and_recorded(film: Path, settings: Settings, tmp_path: Path) -> None:
    preset = replace(presets_in()["tiktok"], shape="108x192", seconds=(1, 60))
    made = short_clip(film, Role(SOMEONE), tmp_path / "out.mp4", preset, settings, wishes=Wishes(2.0, "de", gif=True),
                      load=lambda *_: nullcontext(Echo(7, 3)))  # fmt: skip
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.gif", "out.jpg", "out.mp4", "out.post.json"]
    assert made.amiss == ()
    assert made.moment.stop - made.moment.start == 50
    assert made.moment.start in (0, 50), "it begins at a cut"
    seen = upload_of(made.result.out)
    assert (seen.width, seen.height, seen.codec, seen.begins_at_once) == (108, 192, "h264", True)
    assert seen.seconds == pytest.approx(2, abs=0.05)
    sound = next(stream.index for stream in open_clip(made.result.out).streams if stream.kind == "audio")
    assert abs(loudness_of(Excerpt(made.result.out, sound)).lufs + 14) <= 0.5
    assert cv2.imread(str(made.cover)).shape == (192, 108, 3)
    loop = open_clip(tmp_path / "out.gif")
    assert (loop.width, loop.height) == (108, 192)
    assert 20 <= len(loop) <= 26
    assert loop.seconds(len(loop) - 1) == pytest.approx(2, abs=0.15)
    record = json.loads(made.post.read_text())
    assert record["label"] == "KI-generiert"
    assert record["ai_generated"] is True
    assert record["declare"] == preset.declare
    assert record["frames_of_the_clip"] == [made.moment.start, made.moment.stop]


def test_no_more_bits_are_taken_than_the_platform_takes(tmp_path: Path) -> None:
    noise = [np.random.default_rng(number).integers(0, 255, (108, 192, 3), np.uint8) for number in range(75)]
    clip = open_clip(make_clip(tmp_path / "noise.mp4", noise, sound=False))
    rates = []
    for most in (None, 2.0):
        out = tmp_path / f"{most}.mp4"
        pictures = ((frame.index, frame.native) for frame in frames(clip))
        encode(clip, pictures, out, WriteSettings(megabits=most, preset="ultrafast"), {})
        rates.append(upload_of(out).megabits)
    assert rates[0] > 3
    assert rates[1] <= 2.2


def test_why_there_is_no_label_is_recorded(film: Path, settings: Settings, tmp_path: Path) -> None:
    preset = replace(presets_in()["x"], shape="108x192", seconds=(1, 60))
    wishes = Wishes(1.0, unlabelled="an internal test")
    made = short_clip(film, Role(SOMEONE), tmp_path / "out.mp4", preset, settings, wishes=wishes,
                      load=lambda *_: nullcontext(Echo(7, 3)))  # fmt: skip
    record = json.loads(made.post.read_text())
    assert (record["label"], record["unlabelled_because"]) == (None, "an internal test")


@pytest.mark.parametrize(("change", "said"), [
    ({"codec": "hevc"}, "not h264"), ({"format": "yuv420p10le"}, "not h264"), ({"interlaced": True}, "interlaced"),
    ({"width": 1920, "height": 1080}, "not 1080x1920"), ({"rate": 120.0}, "pictures a second"),
    ({"seconds": 700.0, "bytes": 9_000_000}, "it lasts"), ({"bytes": 5_000_000_000, "seconds": 500.0}, "MB, more"),
    ({"bytes": 90_000_000}, "Mbit/s"), ({"sound": "opus"}, "its sound"), ({"channels": 6}, "its sound"),
    ({"begins_at_once": False}, "its index"), ({"container": "matroska,webm"}, "not mp4"),
])  # fmt: skip
def test_what_a_platform_would_not_take_is_said(change: dict[str, object], said: str) -> None:
    preset = presets_in()["tiktok"]
    assert amiss_in(FINE, preset) == []
    lines = amiss_in(replace(FINE, **change), preset)  # type: ignore[arg-type]
    assert any(said in line for line in lines)


def test_a_file_whose_index_lies_at_the_end_is_seen(tmp_path: Path) -> None:
    for name, options in (("late", {}), ("first", {"movflags": "faststart"})):
        with av.open(str(tmp_path / f"{name}.mp4"), "w", options=options) as target:
            video = target.add_stream("libx264", rate=25)
            video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
            for picture in moving(10, 96, 64):
                target.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            target.mux(video.encode(None))
    assert not upload_of(tmp_path / "late.mp4").begins_at_once
    assert upload_of(tmp_path / "first.mp4").begins_at_once


def test_presets_of_ones_own(tmp_path: Path) -> None:
    own, ours = tmp_path / "own.toml", (files("vidswap") / PRESETS).read_text()
    own.write_text(ours.replace("[tiktok]", "[mine]").replace("1080x1920", "720x1280"))
    assert presets_in(own)["mine"].shape == "720x1280"
    own.write_text("[mine]\nname = 3\n")
    with pytest.raises(InputError, match="no file of presets"):
        presets_in(own)
    with pytest.raises(InputError, match="cannot be read"):
        presets_in(tmp_path / "none.toml")


def test_what_cannot_be_made_is_refused_before_anything_is_done(film: Path, settings: Settings, tmp_path: Path) -> None:
    preset = presets_in()["tiktok"]
    with pytest.raises(UsageError, match="25 pictures a second; Slow takes 50 to 60"):
        short_clip(film, Role(SOMEONE), tmp_path / "out.mp4", replace(preset, name="Slow", rates=(50, 60)), settings)
    with pytest.raises(UsageError, match="no label in 'tlh'"):
        short_clip(film, Role(SOMEONE), tmp_path / "out.mp4", preset, settings, wishes=Wishes(language="tlh"))
    with pytest.raises(OutputError):
        short_clip(film, Role(SOMEONE), tmp_path / "none" / "out.mp4", preset, settings)
    assert list(tmp_path.iterdir()) == []
