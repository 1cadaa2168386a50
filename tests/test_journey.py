"""From end to end, with the models that ship, on the sample clip."""

import json
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from vidswap import cli
from vidswap.moment import moment
from vidswap.pipeline import mean_face, swap_clip
from vidswap.read.clip import frames, open_clip
from vidswap.read.faces import open_faces
from vidswap.settings import ReadSettings, Settings, SwapSettings, WriteSettings

SAMPLES = Path(__file__).parents[1] / "samples"
CLIP, SELFIE = SAMPLES / "clip.mp4", SAMPLES / "selfie.jpg"
SECONDS = "0.6"


@pytest.mark.parametrize("engine", ["warp", "embedded"])
def test_the_face_becomes_the_selfies_and_all_else_stays(tmp_path, engine):
    heard: list[tuple[str, int, int]] = []
    read, write = ReadSettings(end=moment(SECONDS)), WriteSettings(sheet=tmp_path / "sheet.png")
    choice = Settings(read, SwapSettings(engine), write)
    out = tmp_path / "out.mp4"
    done = swap_clip(CLIP, SELFIE, "self", out, settings=choice, report=lambda *words: heard.append(words))
    source, result = open_clip(CLIP), open_clip(out)
    assert done.frames == done.swapped == len(result)
    assert [result.seconds(i) for i in range(len(result))] == [source.seconds(i) for i in range(len(result))]
    assert "audio" in result.streams
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
        choice = Settings(ReadSettings(end=moment("0.2")), SwapSettings("embedded", steps=1, seed=3))
        swap_clip(CLIP, SELFIE, "self", tmp_path / name, settings=choice)
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


def test_mean_face_is_upright_and_of_unit_width():
    mean = mean_face()
    assert mean.shape == (478, 3)
    assert np.linalg.norm(mean[33] - mean[263]) == pytest.approx(1, abs=1e-3)
    assert mean[10, 1] < mean[152, 1]
