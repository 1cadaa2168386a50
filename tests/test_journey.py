"""From end to end, with the models that ship, on the sample clip."""

import json
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from footage import make_clip
from PIL import Image

from vidswap.casting import Role
from vidswap.cli import main as cli
from vidswap.face.landmarks import mean_face
from vidswap.pipeline import swap_clip
from vidswap.read.clip import frames, open_clip
from vidswap.read.faces import open_faces
from vidswap.settings import ReadSettings, Settings, SwapSettings, WriteSettings
from vidswap.timepoint import time_point

SAMPLES = Path(__file__).parents[1] / "samples"
CLIP, SELFIE = SAMPLES / "clip.mp4", SAMPLES / "selfie.jpg"
SECONDS = "0.6"


@pytest.mark.parametrize("engine", ["warp", "embedded"])
def test_the_face_becomes_the_selfies_and_all_else_stays(tmp_path, engine):
    heard: list[tuple[str, int, int]] = []
    read, write = ReadSettings(end=time_point(SECONDS)), WriteSettings(sheet=tmp_path / "sheet.png")
    choice = Settings(read, SwapSettings(engine), write)
    out = tmp_path / "out.mp4"
    done = swap_clip(CLIP, Role(SELFIE, "self"), out, settings=choice, report=lambda *words: heard.append(words))
    source, result = open_clip(CLIP), open_clip(out)
    assert done.frames == done.swapped == len(result)
    assert [result.seconds(i) for i in range(len(result))] == [source.seconds(i) for i in range(len(result))]
    assert "audio" in [stream.kind for stream in result.streams]
    with av.open(str(out)) as container:
        assert "AI-generated: face swap (vidswap" in container.metadata["comment"]
    assert {"open", "decode", "faces", "engine", "composite", "encode"} <= done.stages.keys()
    assert ("rendering", done.frames, done.frames) in heard
    assert cv2.imread(str(tmp_path / "sheet.png")) is not None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mp4", "sheet.png"]

    reader = open_faces("embedded")
    selfie = cv2.cvtColor(cv2.imread(str(SELFIE)), cv2.COLOR_BGR2RGB)
    wanted = reader.embed(selfie, reader.detect(selfie)[0].mesh)
    for before, after in list(zip(frames(source), frames(result), strict=False))[::7]:
        face = reader.detect(before.rgb)[0]
        swapped = reader.embed(after.rgb, face.mesh) @ wanted
        assert swapped > reader.embed(before.rgb, face.mesh) @ wanted + 0.1
        far = np.ones(before.rgb.shape[:2], bool)
        x0, y0, x1, y1 = face.box
        reach = 0.6 * (y1 - y0)
        far[max(0, int(y0 - reach)) : int(y1 + reach), max(0, int(x0 - reach)) : int(x1 + reach)] = False
        assert np.abs(before.rgb.astype(int) - after.rgb)[far].mean() < 2.0


def test_equal_seeds_give_equal_films(tmp_path):
    def pixels(name: str) -> np.ndarray:
        swap = SwapSettings("embedded", {"seed": 3, "dtype": "float32"})
        choice = Settings(ReadSettings(end=time_point("0.2")), swap)
        swap_clip(CLIP, Role(SELFIE, "self"), tmp_path / name, choice)
        return np.stack([frame.rgb for frame in frames(open_clip(tmp_path / name))])

    assert np.array_equal(pixels("a.mp4"), pixels("b.mp4"))


def test_cast_and_evaluate_speak_json(tmp_path, capsys):
    assert cli.main(["cast", str(CLIP), "-o", str(tmp_path / "cast.png"), "--end", "0.4", "--json"]) == 0
    people = json.loads(capsys.readouterr().out)["cast"]
    assert [row["person"] for row in people] == [0]
    assert people[0]["seconds"] > 0.3
    assert cv2.imread(str(tmp_path / "cast.png")) is not None
    words = ["evaluate", str(CLIP), str(CLIP), "--face", str(SELFIE), "--html", str(tmp_path / "report.html"), "--json"]
    assert cli.main(words) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["lost"] == 0
    assert figures["timing_ms"] == 0
    assert "<html" in (tmp_path / "report.html").read_text()


def test_a_shot_is_made_anew_as_the_report_has_it(tmp_path, capsys):
    """Around the sample's cut; whatever fell short in it."""
    out, report, anew = (str(tmp_path / name) for name in ("out.mp4", "report.json", "anew.mp4"))
    swap = ["swap", str(CLIP), "--face", str(SELFIE), "--consent", "self", "--engine", "warp", "--preset", "veryfast"]
    assert cli.main([*swap, "--start", "86f", "--end", "94f", "-o", out]) == 0
    assert cli.main(["evaluate", str(CLIP), out, "--face", str(SELFIE), "-o", report, "--json"]) == 0
    said = capsys.readouterr().out.splitlines()[-1]
    assert json.loads(said) == json.loads(Path(report).read_text())
    assert [shot["frames"] for shot in json.loads(said)["shots"]] == [[86, 90], [90, 94]]
    words = [*swap, "--complexion", "actor", "--redo", report, "--shots", "1", "-o", anew]
    assert cli.main([*words, "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert (done["frames"], done["swapped"], done["kept"]) == (8, 4, 4)
    pairs = zip(frames(open_clip(Path(out))), frames(open_clip(Path(anew))), strict=True)
    apart = [float(cv2.absdiff(one.rgb, other.rgb).mean()) for one, other in pairs]
    assert max(apart[:4]) < 1.5 < min(apart[4:])
    assert cli.main([*words, "--preview"]) == 0
    assert (tmp_path / "anew_preview.png").exists()


def likeness(reader, wanted, rgb):
    """How like the selfie the face in a picture is; the picture's own reading of it."""
    return float(reader.embed(rgb, reader.detect(rgb)[0].mesh) @ wanted)


@pytest.mark.parametrize("name", ["one.png", "one.jpg", "two.gif", "two.webp", "folder", "turned.mp4", "wide.mp4"])
def test_whatever_is_seen_upright_and_square_gets_the_face(tmp_path, name):
    """Stills, animations and folders; films that are stored on their side or squeezed."""
    pictures = [frame.rgb for frame in frames(open_clip(CLIP), 0, 2)]
    images = [Image.fromarray(picture) for picture in pictures]
    source, out = tmp_path / name, tmp_path / f"out{(tmp_path / name).suffix}"
    if name == "folder":
        source.mkdir()
        for i, image in enumerate(images):
            image.save(source / f"{i}.png")
    elif name.endswith("mp4"):
        squeezed = cv2.resize(np.rot90(pictures[0]) if "turned" in name else pictures[0], None, fx=0.5, fy=1)
        make_clip(source, [squeezed] * 2, sound=False, prepare=stored(270 if "turned" in name else 0, 2))
    else:
        images[0].save(source, **({"save_all": True, "append_images": images[1:]} if "two" in name else {}))
    done = swap_clip(source, Role(SELFIE, "self"), out, settings=Settings(swap=SwapSettings("warp")))
    before, after = open_clip(source), open_clip(out)
    assert (done.frames, done.swapped, len(after)) == (len(before),) * 3
    assert (after.turn, after.pixel, after.container) == (before.turn, before.pixel, before.container)
    assert before.seconds(len(before) - 1) == after.seconds(len(after) - 1)
    reader = open_faces("embedded")
    selfie = cv2.cvtColor(cv2.imread(str(SELFIE)), cv2.COLOR_BGR2RGB)
    wanted = reader.embed(selfie, reader.detect(selfie)[0].mesh)
    for was, now in zip(frames(before), frames(after), strict=True):
        assert likeness(reader, wanted, now.rgb) > likeness(reader, wanted, was.rgb) + 0.1
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([source.name, out.name])


def stored(degrees, pixel):
    def prepare(_target, video):
        video.set_display_rotation(degrees)
        video.codec_context.sample_aspect_ratio = pixel

    return prepare


def test_damaged_frames_are_counted_and_told(tmp_path, capsys):
    pictures = [frame.rgb for frame in frames(open_clip(CLIP), 0, 8)]
    source = make_clip(tmp_path / "a.mp4", pictures, sound=False, options={"crf": "20", "g": "1", "bf": "0"})
    data = bytearray(source.read_bytes())
    with av.open(str(source)) as container:
        hit = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size][3:5]
    for position, size in hit:
        data[position : position + size] = bytes(size)
    source.write_bytes(data)
    words = ["swap", str(source), "--face", str(SELFIE), "--consent", "self", "-o", str(tmp_path / "out.mp4"),
             "--engine", "warp", "--json"]  # fmt: skip
    assert cli.main(words) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["repeated"] == 2
    assert said.err == "vidswap: warning: 2 damaged frames show the picture before them, or what is left of them\n"
    assert len(open_clip(tmp_path / "out.mp4")) == 8


def test_mean_face_is_upright_and_of_unit_width():
    mean = mean_face()
    assert mean.shape == (478, 3)
    assert np.linalg.norm(mean[33] - mean[263]) == pytest.approx(1, abs=1e-3)
    assert mean[10, 1] < mean[152, 1]


@pytest.mark.parametrize("turn", [1, 2])
def test_whoever_lies_is_swapped_and_a_flash_shows_nobody(tmp_path, turn):
    upright = [frame.rgb for frame in frames(open_clip(CLIP), 0, 8)]
    pictures = [np.ascontiguousarray(np.rot90(picture, turn)) for picture in upright]
    pictures[3] = np.full_like(pictures[3], 255)
    source = make_clip(tmp_path / "lying.mkv", pictures, sound=False, unit=Fraction(1, 1000))
    out, choice = tmp_path / "out.mkv", Settings(ReadSettings(), SwapSettings("warp"), WriteSettings(codec="ffv1"))
    done = swap_clip(source, Role(SELFIE, "self"), out, settings=choice)
    assert (done.frames, done.swapped) == (8, 7)

    reader = open_faces("embedded")
    selfie = cv2.cvtColor(cv2.imread(str(SELFIE)), cv2.COLOR_BGR2RGB)
    wanted = reader.embed(selfie, reader.detect(selfie)[0].mesh)
    results = [frame.rgb for frame in frames(open_clip(out))]
    assert (results[3] == next(frames(open_clip(source), 3, 4)).rgb).all()
    for index in (0, 2, 4, 7):
        mesh = reader.detect(upright[index])[0].mesh
        swapped = reader.embed(np.rot90(results[index], -turn), mesh) @ wanted
        assert swapped > reader.embed(upright[index], mesh) @ wanted + 0.1
