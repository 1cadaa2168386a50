"""`vidswap models`: what ships, what can be pulled, what of it is here."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from vidswap.cli import doctor
from vidswap.cli import main as cli
from vidswap.errors import ModelError, UsageError
from vidswap.models import hub


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setattr(hub, "home", lambda: tmp_path / "models")
    return tmp_path / "models"


@pytest.fixture
def taesd(home) -> Path:
    """Two files that somebody has put there by hand."""
    (home / "taesd").mkdir(parents=True)
    (home / "taesd" / "config.json").write_text("{}")
    save_file({"a": np.ones(250_000, np.float32)}, home / "taesd" / "diffusion_pytorch_model.safetensors")
    return home / "taesd"


def said(capsys, *words: str) -> str:
    assert cli.main(["models", *words]) == 0
    return capsys.readouterr().out


def test_all_that_can_be_pulled_is_listed_with_licence_size_and_memory(capsys):
    out = said(capsys)
    assert "MB that ship" in out
    assert all(f"\n{name}: {entry.purpose}\n" in out for name, entry in hub.entries().items())
    assert "not here; about 2.1 GB; CreativeML OpenRAIL-M, which forbids some uses; commercial use allowed; 4 GB" in out


def test_what_is_put_there_by_hand_is_sealed_verified_and_removed(capsys, taesd):
    assert "taesd: " in said(capsys, "seal", "taesd")
    row = json.loads(said(capsys, "list", "taesd", "--json"))["taesd"]
    assert (row["ships"], row["installed"], row["place"], row["licence"]) == (False, True, str(taesd), "MIT")
    assert [file["path"] for file in row["files"]] == ["config.json", "diffusion_pytorch_model.safetensors"]
    assert "here, 1 MB; about 10 MB; MIT" in said(capsys, "verify", "taesd")
    assert row["files"][1]["sha256"] in said(capsys, "list", "taesd")
    assert "all verified" in said(capsys, "verify")
    assert said(capsys, "remove", "taesd").startswith("taesd: 1 MB freed")
    assert said(capsys, "remove", "taesd") == "taesd was not here\n"
    assert json.loads(said(capsys, "list", "taesd", "--json"))["taesd"]["installed"] is False


def test_damage_is_found_by_verify_alone_and_by_the_doctor_not(capsys, taesd):
    said(capsys, "seal", "taesd")
    assert doctor._pulled().startswith(f"1, 1.0 MB, in {taesd.parent}")
    (taesd / "config.json").write_text("[]")
    assert cli.main(["models", "verify"]) == ModelError.code
    assert "'taesd' is damaged" in capsys.readouterr().err


def test_where_nothing_was_pulled_the_doctor_says_so(home):
    assert doctor._pulled() == "none: the engines that ship need none"


@pytest.mark.parametrize(("words", "error"), [
    (["pull"], "nothing is named to pull (one or more of: sd15-inpainting"),
    (["remove"], "nothing is named to remove"),
    (["pull", "sd16"], "no model is called 'sd16' (there are: face, "),
    (["remove", "mesh"], "'mesh' ships with vidswap"),
    (["pull", "mesh"], "'mesh' ships with vidswap"),
])  # fmt: skip
def test_words_that_cannot_be_are_one_line(capsys, words, error):
    assert cli.main(["models", *words]) == UsageError.code
    assert error in capsys.readouterr().err


def test_a_swap_pulls_nothing_unasked():
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("HF_HUB_OFFLINE", raising=False)
        assert {name: cli._environment(name).get("HF_HUB_OFFLINE") for name in ("swap", "bench", "models")} == {
            "swap": "1", "bench": "1", "models": None
        }  # fmt: skip
