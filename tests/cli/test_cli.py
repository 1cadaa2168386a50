"""The command line: what it refuses and with which code, what it leaves behind, how little it loads."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from vidswap import errors, pipeline
from vidswap.cli import main as cli
from vidswap.cli import models
from vidswap.measure import evaluate
from vidswap.measure.compare import Evaluation
from vidswap.measure.portrayal import Portrayal
from vidswap.pipeline import Planned
from vidswap.redo import JudgedFile
from vidswap.types import Shot
from vidswap.write.sheets import CastSheet

SAMPLES = Path(__file__).parents[2] / "samples"
CLIP, SELFIE = SAMPLES / "clip.mp4", SAMPLES / "selfie.jpg"
# A job in the background ignores Ctrl-C, one of nohup a closed terminal, and so would what it starts: hear them again.
HANGUP = getattr(signal, "SIGHUP", signal.SIGTERM)
LISTENING = (
    "import signal, sys; from vidswap.cli.main import main;"
    "signal.signal(signal.SIGINT, signal.default_int_handler);"
    f"signal.signal({int(HANGUP)}, signal.SIG_DFL); sys.exit(main(sys.argv[1:]))"
)


def swap(folder: Path, *words: object, clip: Path = CLIP, face: Path = SELFIE, out: str = "out.mp4") -> list[str]:
    return ["swap", str(clip), "--face", str(face), "-o", str(folder / out), "--engine", "warp", *map(str, words)]


def refused(capsys, code: int, words: list[str]) -> str:
    """Run the words, which must fail with `code` and one line; the line."""
    assert cli.main(words) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("vidswap: ")
    assert said.err.count("\n") == 1
    assert said.err.rstrip().endswith(")"), "every refusal has a hint"
    return said.err


def video(path: Path, pictures: int = 4, side: int = 64) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width = stream.height = side
        stream.pix_fmt = "yuv420p"
        for i in range(pictures):
            picture = np.full((side, side, 3), 40 * i, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def sound(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        silence.sample_rate = 8000
        container.mux(stream.encode(silence))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize("word", ["--version", "--help", "swap --help", "doctor --help", "train --help"])
def test_questions_are_answered_without_loading_anything_heavy(word):
    code = (
        "import sys; from vidswap.cli import main as cli\n"
        f"try: cli.main({word.split()!r})\n"
        "except SystemExit as end: assert not end.code\n"
        "heavy = {'numpy', 'torch', 'cv2', 'av', 'onnxruntime', 'diffusers', 'tqdm', 'scipy', 'PIL', 'shtab',\n"
        "         'psutil', 'importlib.metadata', 'platformdirs'}\n"
        "heavy &= sys.modules.keys()\n"
        "assert not heavy, heavy"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    assert "vidswap" in said.stdout


def test_exit_codes_are_distinct():
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.VidswapError)]
    codes = [kind.code for kind in kinds]
    assert len(set(codes)) == len(codes) == 10
    assert not {0, *(128 + number for number in cli.STOPPING)} & set(codes)


@pytest.mark.parametrize("words", [
    [],
    ["dance"],
    ["swap"],
    ["models", "burn"],
    ["swap", "a.mp4", "--face", "b.jpg", "-o", "c.mp4", "--consent", "self", "--steps", "many"],
    ["swap", "a.mp4", "--face", "b.jpg", "-o", "c.mp4", "--consent", "self", "--smooth", "1.5"],
    ["swap", "a.mp4", "--face", "b.jpg", "-o", "c.mp4", "--consent", "self", "--start", "3", "--end", "2"],
    ["swap", "a.mp4", "--face", "b.jpg", "-o", "c.mp4", "--consent", "self", "--person", "mother"],
    *(["swap", "a.mp4", "--face", "b.jpg", "-o", "c.mp4", "--consent", "self", "--person", person]
      for person in ("\u00b2", "\u0663", "0,", "0,all", "1-2", "-1", "")),
])  # fmt: skip
def test_wrong_words_are_a_usage_error(capsys, words):
    assert cli.main(words) == errors.UsageError.code
    assert capsys.readouterr().err.count("\n") == 1


def test_no_swap_without_consent(capsys, tmp_path):
    assert "--consent" in refused(capsys, errors.ConsentError.code, swap(tmp_path))
    record = tmp_path / "consent.toml"
    record.write_text('subject = "Ada"\nuntil = 2001-01-01\n')
    refused(capsys, errors.ConsentError.code, swap(tmp_path, "--consent", record))
    assert sorted(tmp_path.iterdir()) == [record]


def test_clips_that_cannot_be_read(capsys, tmp_path):
    whole = video(tmp_path / "whole.mp4").read_bytes()
    bad = {"missing.mp4": None, "empty.mp4": b"", "words.mp4": b"no film at all", "cut.mp4": whole[: len(whole) // 3]}
    sound(tmp_path / "sound.mp4")
    for name, content in bad.items():
        if content is not None:
            (tmp_path / name).write_bytes(content)
    before = sorted(tmp_path.iterdir())
    for name in [*bad, "sound.mp4"]:
        said = refused(capsys, errors.InputError.code, swap(tmp_path, "--consent", "self", clip=tmp_path / name))
        assert name in said
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("out", ["no/such/folder.mp4", "out.txt", "."])
def test_results_that_cannot_be_written(capsys, tmp_path, out):
    refused(capsys, errors.OutputError.code, swap(tmp_path, "--consent", "self", out=out))
    assert not list(tmp_path.iterdir())


def test_sheet_that_cannot_be_written_is_refused_before_the_work(capsys, tmp_path):
    words = swap(tmp_path, "--consent", "self", "--sheet", tmp_path / "no" / "sheet.png")
    refused(capsys, errors.OutputError.code, words)
    assert not list(tmp_path.iterdir())


def test_the_clip_is_never_written_over(capsys, tmp_path):
    clip = video(tmp_path / "clip.mp4")
    before = clip.read_bytes()
    refused(capsys, errors.OutputError.code, swap(tmp_path, "--consent", "self", clip=clip, out="clip.mp4"))
    assert clip.read_bytes() == before


def test_photos_without_a_face_or_with_several(capsys, tmp_path):
    selfie = cv2.imread(str(SELFIE))
    photos = {"nobody.png": np.full((200, 200, 3), 90, np.uint8), "two.png": np.hstack([selfie, selfie])}
    for name, picture in photos.items():
        cv2.imwrite(str(tmp_path / name), picture)
        refused(capsys, errors.IdentityError.code, swap(tmp_path, "--consent", "self", face=tmp_path / name))
    refused(capsys, errors.IdentityError.code, swap(tmp_path, "--consent", "self", face=tmp_path / "none.png"))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(photos)


def test_clip_without_a_face(capsys, tmp_path):
    clip = video(tmp_path / "grey.mp4", side=128)
    refused(capsys, errors.NoFaceError.code, swap(tmp_path, "--consent", "self", clip=clip))
    assert list(tmp_path.iterdir()) == [clip]


def test_person_who_is_not_in_the_clip(capsys, tmp_path):
    words = swap(tmp_path, "--consent", "self", "--end", "0.3", "--person", "7")
    refused(capsys, errors.UsageError.code, words)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (HANGUP, 129)])
def test_stopped_in_the_middle_what_was_swapped_is_kept_and_no_part_of_a_result(tmp_path, number, code):
    quick = ["--complexion", "actor"]
    words = [sys.executable, "-c", LISTENING, *swap(tmp_path, "--consent", "self"), *quick]
    running = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    while running.poll() is None and len(list(tmp_path.glob(".out.mp4.vidswap/answers/*.npy"))) < 2:
        time.sleep(0.02)
    running.send_signal(number)
    said = running.communicate(timeout=60)[1]
    assert running.returncode == code, said
    assert said.startswith("vidswap: stopped; the same command goes on from frame ")
    assert [path.name for path in tmp_path.iterdir()] == [".out.mp4.vidswap"]


@pytest.mark.parametrize(("error", "code"), [
    (errors.OutputError("the disk is full", "free some space"), 7), (KeyboardInterrupt(), 130), (cli.Stopped(), 143),
])  # fmt: skip
def test_a_render_that_stops_says_from_where_it_goes_on(capsys, tmp_path, monkeypatch, error, code):
    def swap_clip(*_words, **_more):
        error.add_note("the same command goes on from frame 480")
        raise error

    monkeypatch.setattr(pipeline, "swap_clip", swap_clip)
    assert cli.main(swap(tmp_path, "--consent", "self")) == code
    said = str(error) or "stopped"
    assert capsys.readouterr().err == f"vidswap: {said}; the same command goes on from frame 480\n"


def test_who_presses_ctrl_c_again_at_once_loses_no_work(capsys, tmp_path, monkeypatch):
    def swap_clip(*_words, **_more):
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt as error:
            signal.raise_signal(signal.SIGINT)
            error.add_note("the same command goes on from frame 480")
            raise

    monkeypatch.setattr(pipeline, "swap_clip", swap_clip)
    assert cli.main(swap(tmp_path, "--consent", "self")) == 130
    assert capsys.readouterr().err == "vidswap: stopped; the same command goes on from frame 480\n"
    monkeypatch.setattr(cli, "PATIENCE", -1.0)
    assert cli.main(swap(tmp_path, "--consent", "self")) == 130
    assert capsys.readouterr().err == "vidswap: stopped; nothing was written\n", "but who waits is heard again"


def test_who_stops_before_anything_began_hears_one_line(capsys, monkeypatch):
    monkeypatch.setattr(cli, "parser", lambda: signal.raise_signal(signal.SIGTERM))
    assert cli.main(["models"]) == 143
    assert capsys.readouterr().err == "vidswap: stopped; nothing was written\n"


@pytest.mark.skipif(sys.platform == "win32", reason="there a terminal that is closed sends no signal")
def test_nohup_stays_in_force(monkeypatch):
    heard = list[object]()
    before = signal.signal(HANGUP, signal.SIG_IGN)
    monkeypatch.setattr(models, "run", lambda _options: heard.append(signal.getsignal(HANGUP)))
    try:
        assert cli.main(["models"]) == 0
    finally:
        signal.signal(HANGUP, before)
    assert heard == [signal.SIG_IGN]


@pytest.mark.parametrize("words", [
    ["swap", "", "--face", "x", "-o", "x"], ["swap", "x", "--face", "", "-o", "x"],
    ["swap", "x", "--face", "x", "-o", ""],
    ["cast", "", "-o", "x.png"], ["plan", "x", "-o", ""], ["evaluate", "x", "", "--face", "x"], ["bench", ""],
    ["train", "mesh", "--data", ""],
])  # fmt: skip
def test_an_empty_variable_of_a_shell_is_not_the_folder_one_is_in(capsys, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    assert cli.main(words) == errors.UsageError.code
    assert capsys.readouterr().err == "vidswap: a path is empty (give that of a file or a folder)\n"


def test_bars_only_where_somebody_looks(capsys, tmp_path, monkeypatch):
    def cast(clip, out, *, toml, settings, report):
        report("analysis", 1, 1)
        return CastSheet(out, ())

    monkeypatch.setattr(pipeline, "cast_clip", cast)
    assert cli.main(["cast", str(CLIP), "-o", str(tmp_path / "cast.png")]) == 0
    assert "analysis" not in capsys.readouterr().err
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert cli.main(["cast", str(CLIP), "-o", str(tmp_path / "cast.png")]) == 0
    assert "analysis" in capsys.readouterr().err


@pytest.mark.parametrize("words", [
    ["cast", "clip.mp4", "-o", "out.png"], ["plan", "clip.mp4", "-o", "out.plan"],
    ["evaluate", "clip.mp4", "swapped.mp4", "--face", "me.jpg"],
])  # fmt: skip
@pytest.mark.parametrize("as_json", [False, True])
def test_what_a_person_should_know_is_said_by_every_command(capsys, monkeypatch, words, as_json):
    notes = ("a note of `read.rate`",)
    results = {
        "cast": CastSheet(Path("out.png"), (), notes), "plan": Planned(Path("out.plan"), 1, 1, 0, (), 9, notes),
        "evaluate": Evaluation((1, 1), "none", (Portrayal(0, 1, 0, {}, {}, (), {}),), (), JudgedFile("a", "b"),
                               JudgedFile("c", "d"), Shot(0, 1), notes),
    }  # fmt: skip
    where = evaluate if words[0] == "evaluate" else pipeline
    monkeypatch.setattr(where, f"{words[0]}_clip", lambda *_, **__: results[words[0]])
    assert cli.main([*words, *["--json"] * as_json]) == 0
    said = capsys.readouterr()
    assert said.err == "vidswap: warning: a note of --rate\n"
    assert not as_json or json.loads(said.out)["notes"] == list(notes)


def test_json_is_one_object(capsys):
    assert cli.main(["models", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert all(row["licence"] and (row["files"] or not row["ships"]) for row in rows.values())


def test_training_is_handed_what_its_trainer_takes(capsys, tmp_path, monkeypatch):
    from vidswap.train import detector

    handed: list[dict[str, object]] = []

    def train(data: Path, out: Path, *, schedule: detector.Schedule) -> Path:
        handed.append({"data": data, "schedule": schedule})
        return out

    monkeypatch.setattr(detector, "train", train)
    words = ["train", "detector", "--data", str(tmp_path), "--out", str(tmp_path / "out"), "--seed", "7", "--set"]
    assert cli.main([*words, "steps=3"]) == errors.UsageError.code, "no labels there"
    (tmp_path / "labels.npz").touch()
    assert cli.main([*words, "steps=3", "rate=0.5", "settled=0"]) == 0
    told = handed[0]["schedule"]
    assert (told.seed, told.steps, told.rate, told.settled) == (7, 3, 0.5, False)
    for wrong in ("steps=0", "workers=-1", "settled=no", "rate=1e400", "rate=nan", "steps=1e3", "steps=" + "9" * 5000,
                  "steps"):  # fmt: skip
        assert cli.main([*words, wrong]) == errors.UsageError.code
        assert len(capsys.readouterr().err) < 1000
    assert cli.main([*words[:-1], "--seed", "-1"]) == errors.UsageError.code
    assert cli.main([*words, "stps=3"]) == errors.UsageError.code
    assert "stps" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--data", "--scenes"])
def test_a_model_does_not_go_where_its_data_lie(capsys, tmp_path, flag):
    for name in ("faces", "scenes"):
        (tmp_path / name).mkdir()
    (tmp_path / "faces" / "labels.npz").touch()
    (tmp_path / "link").symlink_to(tmp_path / {"--data": "faces", "--scenes": "scenes"}[flag])
    words = ["train", "mesh", "--data", tmp_path / "faces", "--scenes", tmp_path / "scenes", "--out", tmp_path / "link"]
    assert cli.main([*map(str, words)]) == errors.UsageError.code
    assert f"--out is the folder of {flag} " in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_reader_that_goes_away_is_no_error():
    pipe = subprocess.run(["bash", "-c", f"set -o pipefail; {sys.executable} -m vidswap models | true"],
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert (pipe.returncode, pipe.stderr) == (0, "")
