"""Settings of an engine's own: words, files with tables, and what is said of those that cannot be."""

import sys
from types import ModuleType

import pytest

from vidswap.cli import main as cli
from vidswap.cli import options, words
from vidswap.cli.options import options_of
from vidswap.cli.words import in_flags
from vidswap.errors import UsageError
from vidswap.settings import SwapSettings
from vidswap.swap import engine
from vidswap.swap.engines import ENGINES
from vidswap.types import EngineChoice

SWAP = ["swap", "none.mp4", "--face", "a.jpg", "--consent", "self", "-o", "out.mp4"]


def chosen(*line: str, engine: str = "embedded") -> dict[str, object]:
    return options_of(cli.parser().parse_args([*SWAP, *line]).options, engine)


def test_what_is_said_last_holds(tmp_path):
    (tmp_path / "mine.toml").write_text("[embedded]\nsteps = 2\nsmooth = 0.25\n[warp]\n")
    file = str(tmp_path / "mine.toml")
    assert chosen() == chosen("--set", file, engine="warp") == {}
    assert chosen("--set", file) == {"steps": 2, "smooth": 0.25}
    assert chosen("--set", file, "--set", "steps=3", "--seed", "7") == {"steps": "3", "smooth": 0.25, "seed": "7"}
    assert chosen("--steps", "3", "--set", file) == {"steps": 2, "smooth": 0.25}
    assert chosen("--set", "two-words=a=b", "--set", "empty=") == {"two_words": "a=b", "empty": ""}


def test_loras_add_up(tmp_path):
    (tmp_path / "mine.toml").write_text('[sd15]\nlora = ["a.safetensors", "b.safetensors:0.5"]\n')
    line = ("--lora", "c.safetensors:-1", "--set", "lora=d.safetensors")
    assert chosen(*line, engine="sd15") == {"lora": ("c.safetensors:-1", "d.safetensors")}
    both = chosen("--set", str(tmp_path / "mine.toml"), *line, engine="sd15")
    assert both == {"lora": ("a.safetensors", "b.safetensors:0.5", "c.safetensors:-1", "d.safetensors")}
    assert hash(SwapSettings("sd15", both).choice)


def test_lists_of_a_file_can_be_kept():
    assert SwapSettings("warp", {"b": ["x", "y"], "a": 1}).choice == EngineChoice("warp", (("a", 1), ("b", ("x", "y"))))
    assert hash(SwapSettings("warp", {"b": ["x"]}).choice)


@pytest.mark.parametrize(("content", "said"), [
    (None, "cannot be read (No such file"), (b"[embedded", "cannot be read ("), (b"\xff", "cannot be read ("),
    (b"[embeded]\n", "'embeded' is no engine (engines are: embedded, warp"), (b"warp = 1\n", "'warp' is no table"),
], ids=["missing", "torn", "binary", "unknown", "value"])  # fmt: skip
def test_files_that_cannot_be_are_refused_in_one_line(tmp_path, capsys, content, said):
    if content is not None:
        (tmp_path / "mine.toml").write_bytes(content)
    assert cli.main([*SWAP, "--set", str(tmp_path / "mine.toml")]) == UsageError.code
    heard = capsys.readouterr().err
    assert heard.startswith("vidswap: --set ")
    assert said in heard
    assert heard.count("\n") == 1


@pytest.mark.parametrize(("line", "said"), [
    (["--seed", "-1"], "--set seed is '-1' (allowed: 0 to 4294967295)"),
    (["--set", "smooth=nan"], "--set smooth is 'nan' (allowed: 0 to 1)"),
    (["--set", "stpes=2"], "the engine embedded has no setting called 'stpes' (it has: complexion, steps, seed"),
    (["--engine", "warp", "--steps", "2"], "the engine warp has no setting called 'steps' (it has: complexion)"),
    (["--engine", "wrap"], "no engine is called 'wrap' (choose one of: embedded, warp"),
])  # fmt: skip
def test_what_an_engine_does_not_take_is_refused_before_the_clip_is_read(capsys, line, said):
    assert cli.main([*SWAP, *line]) == UsageError.code
    assert f"vidswap: {said}" in capsys.readouterr().err


MINE = """
from contextlib import contextmanager
from dataclasses import dataclass
from vidswap.settings import Setting, number
from vidswap.swap.engine import Needs

@dataclass(frozen=True)
class Settings:
    strength: Setting[float, float] = Setting(number(0, 1), 0.5, "how much is drawn anew")

@dataclass(frozen=True)
class Mine:
    settings: Settings
    needs: Needs = Needs(64, "aligned", 4, 1)
    key: str = "mine"
    exact: bool = True

    def swap(self, crops, identity, before, progress):
        raise NotImplementedError

def models(settings):
    return ("face",)

@contextmanager
def load(settings, cache=None):
    yield Mine(settings)
"""


def test_a_new_engine_is_a_file_and_a_row(monkeypatch, capsys):
    module = ModuleType("vidswap.swap.engines.mine")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(MINE, vars(module))
    for place in (engine, options, words):
        monkeypatch.setattr(place, "ENGINES", {**ENGINES, "mine": "made here"})
    with pytest.raises(SystemExit):
        cli.main(["swap", "--help"])
    assert "mine (made here)" in " ".join(capsys.readouterr().out.split())
    told = words.settings_of(cli.parser().parse_args([*SWAP, "--engine", "mine", "--set", "strength=0.25"]))
    with engine.load_engine(told.swap.choice) as opened:
        assert opened.engine.settings == module.Settings(strength=0.25)
    assert cli.main([*SWAP, "--engine", "mine", "--set", "strength=2"]) == UsageError.code
    assert capsys.readouterr().err == "vidswap: --set strength is '2' (allowed: 0 to 1)\n"


def test_an_engines_settings_are_called_as_they_are_typed():
    assert in_flags("`embedded.steps` is 0; `os.path` is not") == "--set steps is 0; `os.path` is not"
