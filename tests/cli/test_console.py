"""Nobody can hear, or names are none: a render is finished all the same, and words obey nobody but us."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidswap.bars import Bars
from vidswap.cli import console
from vidswap.cli import main as cli
from vidswap.cli.console import Unheard, plain

SAMPLES = Path(__file__).parents[2] / "samples"
WORDS = ["swap", str(SAMPLES / "clip.mp4"), "--face", str(SAMPLES / "selfie.jpg"), "--consent", "self", "--no-cache",
         "--engine", "warp", "--end", "2f", "-o"]  # fmt: skip
NAME = os.fsdecode(b"d\xe9.mp4")  # as an old disk has it


def run(folder: Path, words: list[str], closing: str = "", **environment: str) -> subprocess.CompletedProcess[bytes]:
    """`vidswap words` in a shell that closes or redirects standard files first."""
    script = f'exec "$0" -X faulthandler -m vidswap "$@" {closing}'
    environment = {**os.environ, "PYTHONPATH": str(SAMPLES.parent), **environment}
    shell = ["sh", "-c", script, sys.executable, *words]
    return subprocess.run(shell, cwd=folder, capture_output=True, timeout=120, check=False, env=environment)


@pytest.mark.parametrize("closing", ["2>&-", ">&-", "<&- >&- 2>&-", ">/dev/full", ">/dev/full 2>/dev/full"])
def test_a_finished_render_is_one_whoever_hears_of_it(tmp_path, closing):
    if "full" in closing and not Path("/dev/full").exists():
        pytest.skip("no such device")
    done = run(tmp_path, [*WORDS, "o.mp4"], closing)
    assert (done.returncode, b"Traceback" in done.stdout + done.stderr) == (0, False), done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["o.mp4"]
    probed = run(tmp_path, ["cast", "o.mp4", "-o", "cast.png", "--no-cache"])
    assert probed.returncode == 0, "what libraries print went into the film"


def test_where_what_is_printed_is_the_result_it_is_an_error_that_nobody_hears(tmp_path):
    if not Path("/dev/full").exists():
        pytest.skip("no such device")
    for words in (["models"], ["models", "--json"]):
        done = run(tmp_path, words, ">/dev/full")
        assert done.returncode == 7
        assert done.stderr.decode().startswith("vidswap: what was found out cannot be printed (No space")
        assert done.stderr.count(b"\n") == 1
    assert run(tmp_path, ["models"], "| head -n 1").returncode == 0
    assert run(tmp_path, ["--help"], ">/dev/full").stderr == b""


def test_names_of_other_alphabets_are_written_and_said(tmp_path, monkeypatch, capsys):
    if sys.platform != "linux":
        pytest.skip("such names are Linux's alone")
    monkeypatch.chdir(tmp_path)
    with io.TextIOWrapper(io.BytesIO(), encoding="utf-8") as strict, monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", strict)
        assert cli.main([*WORDS, NAME]) == 0
        assert strict.buffer.getvalue().startswith(b"d\\udce9.mp4: 2 of 2 frames")
    assert sorted(path.name for path in tmp_path.iterdir()) == [NAME]
    words = [NAME if word == WORDS[1] else word for word in WORDS]
    assert cli.main([*words, "out.mp4", "--json"]) == 0
    assert cli.main([*words, NAME]) == 7
    assert "d\\udce9.mp4 is the clip itself" in capsys.readouterr().err


def test_a_long_name_is_rendered(tmp_path):
    name = "a" * 240 + ".mp4"
    done = run(tmp_path, [*WORDS, name])
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_control_characters_are_written_out(capsys, tmp_path):
    clip = tmp_path / "a\x1b[2J\u202egnp.mp4"
    clip.write_bytes(b"no film")
    assert cli.main(["plan", str(clip), "-o", str(tmp_path / "x.plan")]) == 3
    said = capsys.readouterr().err
    assert "a\\x1b[2J\\u202egnp.mp4" in said
    assert said.rstrip().isprintable()


@given(st.text())
def test_plain_words_are_the_same_and_all_are_printable(words):
    shown = plain(words)
    assert shown.encode().decode() == shown
    assert not any(ord(letter) < 32 for letter in shown)
    assert plain(shown) == shown
    if words.isprintable():
        assert shown == words


def test_a_name_begins_no_line(capsys):
    console.say("a\nout.mp4: all is well", "b")
    assert capsys.readouterr().out == "a\\nout.mp4: all is well\nb\n"


def test_what_is_said_into_nothing_is_told_or_dropped(monkeypatch):
    class Full(io.StringIO):
        def write(self, words: str) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(sys, "stdout", Full())
    monkeypatch.setattr(sys, "stderr", Full())
    with pytest.raises(Unheard, match="No space"):
        console.say("words")
    console.tell("words")
    with Bars() as report:
        report("rendering", 1, 2)
