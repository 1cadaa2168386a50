"""Flags that are made of what settings say of themselves, and settings of flags."""

from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import pytest

from vidswap import settings
from vidswap.cli import main as cli
from vidswap.cli import words
from vidswap.settings import SECTIONS, SWITCH, Setting, Settings, whole

SWAP = ["swap", "none.mp4", "--face", "a.jpg", "--consent", "self", "-o", "out.mp4"]


@dataclass(frozen=True)
class WriteSettings:
    resume: Setting[bool, bool] = Setting(SWITCH, True, "start over")
    grain: Setting[int, int] = Setting(whole(0, 9), 3, "how much film grain is laid over")
    stamp: Setting[bool, bool] = Setting(SWITCH, False, "write the time into the picture")
    inner: Setting[int, int] = Setting(whole(0, 9), 1)


def test_a_new_setting_is_declared_and_has_its_flag(monkeypatch, capsys):
    """One that does not say what it is about has none: it is for programs."""
    sections = MappingProxyType({**SECTIONS, "write": WriteSettings})
    for module in (settings, words):
        monkeypatch.setattr(module, "SECTIONS", sections)
    with pytest.raises(SystemExit):
        cli.main(["swap", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "--grain N how much film grain is laid over (default: 3)" in said
    assert "--stamp write the time into the picture" in said
    assert "--inner" not in said
    told = words.settings_of(cli.parser().parse_args([*SWAP, "--grain", "7", "--stamp", "--no-resume"]))
    assert told.write == WriteSettings(grain=7, stamp=True, resume=False)
    assert cli.main([*SWAP, "--grain", "10"]) == 2
    assert capsys.readouterr().err == "vidswap: --grain is '10' (allowed: 0 to 9)\n"


def test_every_setting_that_says_what_it_is_about_is_a_word_of_swap():
    known = vars(cli.parser().parse_args(SWAP))
    assert [key for section in SECTIONS.values() for key, each in vars(section).items()
            if isinstance(each, Setting) and each.about and key not in known] == []  # fmt: skip
    assert words.settings_of(cli.parser().parse_args([*SWAP, "--most", "5 USD"])).swap.most == "5 USD"


def test_without_words_settings_are_what_they_are_in_programs():
    told = words.settings_of(cli.parser().parse_args([*SWAP, "--no-cache"]))
    assert told == Settings()


def test_every_command_that_reads_faces_takes_what_it_takes_to_read_them():
    for line in (["cast", "a.mp4", "-o", "b.png"], ["plan", "a.mp4", "-o", "b.plan"], ["bench", "a.mp4"], SWAP):
        told = cli.parser().parse_args([*line, "--start", "1", "--rate", "24", "--face-pack", "mine"])
        assert words.settings_of(told).read.face_pack == "mine"


def test_the_cache_is_where_the_system_keeps_caches(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    folder = words.cache_folder()
    assert isinstance(folder, Path)
    assert folder.name == "vidswap"
    assert tmp_path in folder.parents

    def homeless(*_words: str, **_more: object) -> Path:
        raise RuntimeError("could not determine the home directory")

    monkeypatch.setattr("platformdirs.user_cache_path", homeless)
    assert words.cache_folder() is None
