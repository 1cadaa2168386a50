"""The first thing to paste into a report: complete, whatever is broken, and nothing personal in it."""

import importlib
import json
import shutil
import subprocess
import sys
from importlib import metadata
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from vidswap.cli import doctor
from vidswap.cli import main as cli

ASKED = ["vidswap", "Python", "system", "processor", "memory", "torch", "GPU", "onnxruntime", "PyAV", "OpenCV",
         "models", "pulled", "numbers", "cache", "disk", "missing"]  # fmt: skip


def test_every_question_has_an_answer(tmp_path):
    found = doctor.examined(tmp_path / "not" / "yet")
    assert list(found) == ASKED
    assert not [answer for answer in found.values() if "AMISS" in answer]
    assert "all as they should be" in found["models"]
    assert "writable" in found["cache"]
    assert "GB free" in found["disk"]


@pytest.mark.parametrize("error", [ImportError("libxcb.so.1: cannot open"), OSError("no room"), RuntimeError("odd")])
def test_what_is_broken_is_a_line_and_not_the_end(monkeypatch, error):
    def load(name):
        if name in ("cv2", "torch"):
            raise error
        return importlib.import_module(name)

    monkeypatch.setattr(doctor, "import_module", load)
    found = doctor.examined(None)
    assert list(found) == ASKED
    assert found["OpenCV"].startswith("AMISS: ")
    assert found["torch"].startswith("AMISS: ")
    assert "AMISS" not in found["onnxruntime"]
    assert "opencv-python-headless" in found["missing"] or not isinstance(error, ImportError)


def test_what_is_declared_and_not_there_is_told(monkeypatch):
    def version(name):
        if name == "scipy":
            raise PackageNotFoundError(name)
        return "0.1" if name == "numpy" else real(name)

    real = metadata.version
    monkeypatch.setattr(metadata, "requires", lambda _name: ["scipy>=1.13", "numpy>=2", "av", 'ruff; extra == "test"'])
    monkeypatch.setattr(metadata, "version", version)
    missing = doctor.examined(None)["missing"]
    assert missing == "scipy is not installed: pip install 'scipy>=1.13'; numpy is 0.1: pip install 'numpy>=2'"


def test_home_is_not_told(monkeypatch, tmp_path):
    monkeypatch.setattr(Path, "home", lambda: Path(doctor.__file__).parents[2])
    assert doctor.examined(tmp_path)["vidswap"].endswith(" in ~/vidswap")


def test_the_command_speaks_lines_and_json(capsys):
    assert cli.main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ASKED
    assert cli.main(["doctor", "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)) == ASKED


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
@pytest.mark.parametrize(("typed", "offered"), [
    ("swap --smo", "--smooth"), ("sw", "swap"), ("models ver", "verify"), ("bench --hei", "--heights"),
    ("train lo", "lora"), ("train mesh --sce", "--scenes"),
])  # fmt: skip
def test_bash_completes_what_is_typed(tmp_path, typed, offered):
    script = tmp_path / "vidswap.bash"
    made = [sys.executable, "-m", "vidswap", "completion", "bash"]
    script.write_text(subprocess.run(made, capture_output=True, text=True, check=True).stdout)
    words = f"COMP_WORDS=(vidswap {typed}); COMP_CWORD={len(typed.split())}"
    line = f'source {script}; {words}; _shtab_vidswap; echo "${{COMPREPLY[@]}}"'
    said = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert said.stdout.split() == [offered], said.stderr


@pytest.mark.parametrize("shell", ["zsh", "fish", "tcsh", "powershell"])
def test_other_shells_have_a_script(capsys, shell):
    assert cli.main(["completion", shell]) == 0
    assert "smooth" in capsys.readouterr().out
