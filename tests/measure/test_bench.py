"""What is measured, and how it is told; once in earnest, on a few frames of the sample."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from vidswap.cli import main as cli
from vidswap.errors import EngineError, NoFaceError, UsageError
from vidswap.measure import bench as benches
from vidswap.measure import runs
from vidswap.measure.bench import Bench, Overhead, Run, table
from vidswap.processor import processor
from vidswap.progress import Stage
from vidswap.settings import Settings

SAMPLES = Path(__file__).parents[2] / "samples"
CLIP, SELFIE = SAMPLES / "clip.mp4", SAMPLES / "selfie.jpg"


def run(seconds: float, processor: float = 1.0, memory: int = 0, frames: int = 40) -> Run:
    return Run(seconds, processor, memory, frames, frames / 25, {})


def test_figures_are_ratios_of_what_was_measured():
    stages = {"decode": Stage(2.0, 10), "engine": Stage(6.0, 30)}
    whole = Run(5.0, 9.0, 900_000_000, 40, 1.6, stages)
    found = Bench(whole, run(1.0, memory=800_000_000), [Overhead(480, run(2.0, 4.0), run(3.0, 7.0))],
                  processor="Ada 1 with avx2; 2 cores", numbers="float32")  # fmt: skip
    figures = found.figures()
    assert (figures["fps"], figures["realtime_factor"]) == (8.0, 0.32)
    assert figures["memory"] == [{"frames": 40, "peak_bytes": 800_000_000}, {"frames": 40, "peak_bytes": 900_000_000}]
    (overhead,) = figures["overhead"]
    assert (overhead["height"], overhead["ratio"], overhead["processor_ratio"]) == (480, 1.5, 1.75)
    said = table(found)
    assert "8.00 fps" in said
    assert "on Ada 1 with avx2; 2 cores, float32" in said
    assert "overlap by 3.0 s" in said
    assert "75%" in said
    assert "480 lines" in said
    assert "plan" not in table(replace(found, overheads=[])), "no head without rows"


def test_the_best_of_several_runs_counts(tmp_path):
    runs = iter([run(9), run(3), run(5), run(2), run(7)])
    found = benches.overhead(lambda *_: next(runs), (CLIP, (SELFIE, benches.OWN), Settings()), tmp_path, 240)
    assert (found.height, found.plain.seconds, found.render.seconds) == (240, 2, 5)


def _fails(error: Exception) -> Run:
    raise error


def test_what_fails_elsewhere_is_raised_here():
    with pytest.raises(NoFaceError) as caught:
        runs.apart(_fails, NoFaceError("nobody", "look"))
    assert caught.value.hint == "look"


def test_a_run_that_dies_is_told(capfd):
    with pytest.raises(EngineError, match="without an answer"):
        runs.apart(_fails, SystemExit(3))


def test_a_bench_of_a_few_frames(capsys, monkeypatch):
    monkeypatch.setattr(benches, "ROUNDS", 1)  # the best of several is another test's
    words = ["bench", str(CLIP), "--face", str(SELFIE), "--consent", "self", "--end", "6f", "--engine", "warp",
             "--heights", "240", "--json"]  # fmt: skip
    assert cli.main(words) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["frames"] == 6
    assert (figures["processor"], figures["numbers"]) == (str(processor()), "")
    assert (figures["face"], figures["consent"]) == ("self", "self")
    assert {"faces", "engine", "composite", "encode"} <= figures["stages"].keys()
    (overhead,) = figures["overhead"]
    assert (overhead["height"], overhead["frames"]) == (240, 6)
    assert overhead["ratio"] == pytest.approx(overhead["seconds"] / overhead["plain_seconds"], rel=0.02)
    assert "faces" not in overhead["stages"], "with the plan there, nobody looks for faces"
    assert sum(stage["seconds"] for stage in figures["stages"].values()) > 0.5 * figures["seconds"], "where time went"
    assert figures["fps"] == pytest.approx(6 / figures["seconds"], rel=0.02)
    assert 50e6 < figures["memory"][1]["peak_bytes"] == figures["peak_bytes"] < 5e9


def test_a_bench_with_somebodys_photo_asks_for_their_consent(capsys, tmp_path):
    record = tmp_path / "ada.toml"
    record.write_text('subject = "Ada"\nuses = ["our short film"]\n')
    for words, code in (([], 5), (["--consent", str(record)], 5), (["--consent", str(tmp_path / "none")], 5)):
        assert cli.main(["bench", str(CLIP), "--face", str(SELFIE), *words]) == code
        assert capsys.readouterr().err.count("\n") == 1
    assert cli.main(["bench", str(CLIP), "--consent", "self"]) == UsageError.code


def test_a_bench_records_whose_face_it_took(monkeypatch):
    """Without a photo it is a face of the clip, whom nobody asked: that is said, and nowhere that they agreed."""
    seen = []
    monkeypatch.setattr(benches, "still", lambda clip, out, settings: out)
    monkeypatch.setattr(benches, "apart", lambda task, *words: seen.append(words) or run(1.0))
    found = benches.bench(CLIP, None, None, settings=Settings(), heights=[], report=lambda *_: None)
    assert [words[1][1] for words in seen] == [benches.OWN, benches.OWN]
    assert found.figures()["consent"] == "none: measured and deleted"
    assert found.numbers.startswith(("bfloat16 (a trial took", "float32 (a trial took"))
    assert "a face of the clip itself" in table(found)


@pytest.mark.parametrize("height", ["0", "481", "-2", "x", "9999999"])
def test_heights_that_cannot_be(height, capsys):
    assert cli.main(["bench", str(CLIP), "--heights", height]) == UsageError.code
    assert capsys.readouterr().err.count("\n") == 1
