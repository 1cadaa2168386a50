"""What a person's words name is never written over: their only photo, the clip, their consent, another result."""

import errno
import io
import os
import shutil
from contextlib import nullcontext
from pathlib import Path

import av
import pytest
from footage import make_clip, moving
from PIL import Image

from vidswap import pipeline
from vidswap.casting import Role
from vidswap.cli import main as cli
from vidswap.errors import ConsentError, EngineError, ModelError, OutputError
from vidswap.models.registry import ROOT
from vidswap.settings import ReadSettings, Settings, SwapSettings, WriteSettings
from vidswap.swap.engine import Needs, load_engine
from vidswap.timepoint import time_point
from vidswap.types import EngineChoice

SAMPLES = Path(__file__).parents[1] / "samples"
FACE = ["--face", "me.png", "--consent", "self", "--engine", "warp"]
SWAP = ["swap", "clip.mp4", *FACE]
MODEL = str(next(ROOT.rglob("*.onnx")))


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A folder as people have them."""
    make_clip(tmp_path / "clip.mp4", moving(3))
    still = Image.fromarray(moving(1)[0])
    for name in ("me.png", "still.png", "photos/a.png", "photos/b.jpg", "seq/1.png", "seq/2.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        still.save(tmp_path / name)
    (tmp_path / "yes.toml").write_text('subject = "Somebody"')
    (tmp_path / "link.png").symlink_to("me.png")
    (tmp_path / "hard.mp4").hardlink_to(tmp_path / "clip.mp4")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("words", [
    ["swap", "still.png", *FACE, "-o", "me.png"], ["swap", "still.png", *FACE, "-o", "still.png"],
    ["swap", "still.png", *FACE, "-o", "link.png"], ["swap", "still.png", *FACE, "-o", "./photos/../me.png"],
    ["swap", "still.png", "--face", "photos", "--consent", "self", "-o", "photos/a.png"],
    ["swap", "still.png", "--face", "photos", "--consent", "self", "-o", "photos/new.png"],
    ["swap", "seq", *FACE, "-o", "seq/1.png"], ["swap", "seq", *FACE, "-o", "seq"], [*SWAP, "-o", "clip.mp4"],
    [*SWAP, "-o", "hard.mp4"], [*SWAP, "-o", "out.mp4", "--sheet", "me.png"],
    [*SWAP, "-o", "out.png", "--end", "1f", "--sheet", "out.png"],
    [*SWAP, "-o", "out.png", "--end", "1f", "--sheet", "./OUT.png"],
    [*SWAP, "-o", "caf\u00e9.png", "--end", "1f", "--sheet", "cafe\u0301.png"],
    [*SWAP, "-o", "yes.mp4", "--plan", "yes.mp4"],
    ["cast", "still.png", "-o", "still.png"], ["cast", "seq", "-o", "seq/cast.png"],
    ["plan", "clip.mp4", "-o", "hard.mp4"], ["plan", "seq", "-o", "seq/1.png"], ["plan", "clip.mp4", "-o", MODEL],
    ["evaluate", "clip.mp4", "hard.mp4", "--face", "me.png", "--html", "link.png"],
    ["evaluate", "clip.mp4", "still.png", "--face", "me.png", "--html", "still.png"],
    ["evaluate", "clip.mp4", "still.png", "--face", "me.png", "--html", "hard.mp4"],
    ["evaluate", "clip.mp4", "still.png", "--face", "me.png", "-o", "still.png"],
    ["evaluate", "clip.mp4", "still.png", "--face", "me.png", "-o", "report", "--html", "./report"],
], ids=lambda words: " ".join(words).replace(MODEL, "MODEL"))  # fmt: skip
def test_no_input_and_no_other_output_is_written_over(home, capsys, monkeypatch, words):
    monkeypatch.setattr(pipeline, "open_faces", lambda *_: pytest.fail("it was begun"))
    before = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    assert cli.main(words) == OutputError.code
    said = capsys.readouterr().err
    assert any(each in said for each in (" itself ", "cannot be both", "the next time")), said
    assert {path: path.read_bytes() for path in home.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("words", [
    [*SWAP, "-o", "."], [*SWAP, "-o", "photos/.."], [*SWAP, "-o", "/"], [*SWAP, "-o", "n" * 300 + ".mp4"],
    [*SWAP, "-o", "pipe.mp4"], [*SWAP, "-o", "pipe"], [*SWAP, "-o", "o.mp4", "--sheet", "n" * 300 + ".png"],
    ["plan", "clip.mp4", "-o", "pipe.mp4"], ["cast", "still.png", "-o", "n" * 300 + ".png"],
    ["swap", "seq", *FACE, "-o", "."],
], ids=lambda words: " ".join(words)[:60])  # fmt: skip
def test_what_can_be_no_file_is_refused_before_the_work(home, capsys, monkeypatch, words):
    if not hasattr(os, "mkfifo"):
        pytest.skip("no pipes have names here")
    os.mkfifo("pipe.mp4")
    os.mkfifo("pipe")
    monkeypatch.setattr(pipeline, "open_faces", lambda *_: pytest.fail("it was begun"))
    there = set(home.rglob("*"))
    assert cli.main(words) == OutputError.code
    assert capsys.readouterr().err.count("\n") == 1
    assert set(home.rglob("*")) == there
    assert Path("pipe.mp4").is_fifo()


def test_a_word_that_can_be_no_path_is_told_as_one(home):
    with pytest.raises(ConsentError, match="null byte"):
        pipeline.swap_clip("clip.mp4", Role("me.png", "\0"), "out.mp4")
    for pack in ("n" * 300, "~nobody-of-this-name"):
        with pytest.raises(ModelError, match="no face pack is called"):
            pipeline.cast_clip("clip.mp4", "out.png", settings=Settings(ReadSettings(face_pack=pack)))


def test_a_file_called_self_is_a_record_and_not_the_word(home):
    """Somebody else's consent must not become one's own by the name of its file."""
    (home / "self").write_text('subject = "Ada"\nuntil = 2001-01-01')
    shutil.copy(SAMPLES / "selfie.jpg", "me.png")
    for record in (Path("self"), "./self"):
        with pytest.raises(ConsentError, match="consent of Ada ended"):
            pipeline.swap_clip("clip.mp4", Role("me.png", record), "out.mp4")


@pytest.mark.parametrize("name", ["clip.mp4", "me.png", "a.plan"])
def test_what_somebody_may_not_read_is_not_called_damaged(home, capsys, monkeypatch, name):
    def closed(path, *words, **more):
        if str(path).endswith(name):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return opened(path, *words, **more)

    shutil.copy(SAMPLES / "selfie.jpg", "me.png")
    opened = io.open
    monkeypatch.setattr(io, "open", closed)
    monkeypatch.setattr("builtins.open", closed)
    if name == "clip.mp4":
        known = Path.stat
        monkeypatch.setattr(Path, "stat", lambda path, **more: (closed if path.name == name else known)(path, **more))
    assert cli.main([*SWAP, "--plan", "a.plan", "-o", "out.mp4"]) in (3, 4)
    said = capsys.readouterr().err
    assert "Permission denied" in said
    assert said.endswith("(check its name and its permissions)\n"), said


def test_a_consent_record_is_not_written_over(home, capsys):
    words = ["swap", "clip.mp4", "--face", "me.png", "--consent", "yes.toml", "--end", "1f", "-o", "out.png"]
    record = (home / "yes.toml").rename(home / "yes.png").read_bytes()
    words[5] = "yes.png"
    assert cli.main([*words, "--sheet", "yes.png"]) == OutputError.code
    assert "consent record itself" in capsys.readouterr().err
    assert (home / "yes.png").read_bytes() == record


def test_a_before_after_picture_that_cannot_be_written_leaves_the_film_and_nothing_else(tmp_path, capsys, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("vidswap.write.sheets.write_whole", full)
    shutil.copy(SAMPLES / "selfie.jpg", tmp_path / "me.jpg")
    monkeypatch.chdir(tmp_path)
    words = ["swap", str(SAMPLES / "clip.mp4"), "--face", "me.jpg", "--consent", "self", "--no-cache",
             "--engine", "warp", "--end", "2f", "-o", "out.mp4", "--sheet", "s.png"]  # fmt: skip
    assert cli.main(words) == OutputError.code
    said = capsys.readouterr().err
    assert "s.png cannot be written (No space left on device) (free some space)" in said
    assert "out.mp4, is finished" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["me.jpg", "out.mp4"]


def test_an_ending_that_is_added_is_said_and_so_is_a_folder(tmp_path):
    read = ReadSettings(end=time_point("1f"))
    clip, face = SAMPLES / "clip.mp4", SAMPLES / "selfie.jpg"
    done = pipeline.swap_clip(clip, Role(face, "self"), tmp_path / "out", settings=Settings(read, SwapSettings("warp")))
    assert done.out == tmp_path / "out.mp4"
    with av.open(str(done.out)) as made, load_engine(EngineChoice("warp")) as engine:
        assert f"engine: warp {engine.key};" in made.metadata["comment"]
    assert any("has no ending" in note and "out.mp4" in note for note in done.notes)
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="is a folder") as caught:
        pipeline.swap_clip(
            clip, Role(face, "self"), tmp_path / "folder", settings=Settings(read, write=WriteSettings())
        )
    assert "give the path of a file" in caught.value.hint


def test_an_engine_that_is_handed_in_fails_in_words_too(tmp_path):
    class Mine:
        key, exact, needs = "mine", True, Needs(64, "aligned", 4, 1)

        def swap(self, crops, identity, before, progress):
            raise KeyError("lora")

    read = ReadSettings(end=time_point("2f"))
    with pytest.raises(EngineError, match="Mine failed at frames 0 to 1: KeyError: 'lora'"):
        pipeline.swap_clip(SAMPLES / "clip.mp4", Role(SAMPLES / "selfie.jpg", "self"), tmp_path / "out.mp4",
                           settings=Settings(read), load=lambda *_: nullcontext(Mine()))  # fmt: skip
    assert list(tmp_path.iterdir()) == []
