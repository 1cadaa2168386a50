"""What a program sees of vidswap: names with types, bars, and one line where a library is missing or will not load."""

import io
import re
import subprocess
import sys
from pathlib import Path

import pytest
from mypy import api

import vidswap
from vidswap.errors import InstallError
from vidswap.libraries import explained, loading

ROOT = Path(__file__).parents[1]
EXAMPLES = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
FOREIGN = ["torch", "diffusers", "scipy", "skimage", "insightface", "onnxruntime", "onnx", "scenedetect", "tqdm", "cv2",
           "av", "psutil", "PIL", "numpy"]  # fmt: skip
NO_SCREEN = "libxcb.so.1: cannot open shared object file: No such file or directory"
# Before anything is imported: importing NAME raises ERROR, as on a machine that lacks something.
BROKEN = """
import sys
class Broken:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {name!r}:
            raise {error}
sys.meta_path.insert(0, Broken())
"""


def broken(name: str, error: str, code: str) -> subprocess.CompletedProcess[str]:
    """Run code where a library is broken."""
    words = [sys.executable, "-c", BROKEN.format(name=name, error=error) + code]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def checked(folder: Path, source: str) -> list[str]:
    """What mypy says, strictly, of a program that uses vidswap, a line each."""
    (folder / "program.py").write_text(source)
    skipped = ",".join(f"{name}.*" for name in FOREIGN)  # their own types take a minute
    (folder / "mypy.ini").write_text(
        f"[mypy]\nstrict = true\nmypy_path = {ROOT}\n[mypy-{skipped}]\nfollow_imports = skip\n"
        "ignore_missing_imports = true\n[mypy-vidswap.*]\nfollow_imports = silent\n"
    )
    said, failed, _code = api.run([
        "--config-file", str(folder / "mypy.ini"), "--cache-dir", str(folder / "cache"), "--no-error-summary",
        str(folder / "program.py"),
    ])  # fmt: skip
    assert not failed
    return said.splitlines()


def test_the_readmes_program_has_types_and_misuse_is_seen(tmp_path):
    (example,) = EXAMPLES
    lines = example.count("\n")
    misuse = (
        'swap_clip(3, Role("me.jpg", "self"), "out.mp4")\nSettings(read="x")\nprint(done.frame)\nprint(done.frames)\n'
    )
    said = checked(tmp_path, example + misuse)
    assert [int(line.split(":")[1]) - lines for line in said if ": error:" in line] == [1, 2, 3], said


def test_every_public_name_is_there_and_told():
    assert set(vidswap.__all__) <= set(dir(vidswap))
    wanted = {"swap_clip", "plan_clip", "evaluate_clip", "Settings", "ReadSettings", "SwapSettings", "load_engine"}
    assert wanted <= set(vidswap.__all__)
    for name in vidswap.__all__:
        assert getattr(vidswap, name) is not None
    typed = (ROOT / "vidswap" / "__init__.py").read_text().split("if TYPE_CHECKING:")[1].split("__version__")[0]
    assert set(vidswap.__all__) - {"__version__"} <= set(re.findall(r"\w+", typed))
    with pytest.raises(AttributeError, match="nothing"):
        vidswap.nothing  # noqa: B018


def test_bars_draw_the_stage_at_work(monkeypatch):
    monkeypatch.setattr(sys, "stderr", drawn := io.StringIO())
    with vidswap.Bars() as report:
        report("analysis", 0, 4)
        report("analysis", 4, 4)
        report("rendering", 0, 2)
        report("rendering", 2, 2)
    assert "\ranalysis: " in drawn.getvalue()
    assert drawn.getvalue().rstrip().rpartition("\r")[2].startswith("rendering: 100%")


def test_a_command_without_a_desktops_libraries_says_one_line(tmp_path):
    words = ["swap", "a.mp4", "--face", "b.jpg", "--consent", "self", "-o", str(tmp_path / "out.mp4")]
    run = f"from vidswap.cli.main import main; sys.exit(main({words}))"
    said = broken("cv2", f"ImportError({NO_SCREEN!r}, name='cv2')", run)
    assert said.returncode == InstallError.code
    assert said.stdout == ""
    assert said.stderr.startswith(f"vidswap: OpenCV cannot be loaded: {NO_SCREEN} (")
    assert re.search(r"pip install --force-reinstall --no-deps opencv-python-headless==\d", said.stderr)
    assert said.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("name", "error", "said"), [
    ("scipy", "ModuleNotFoundError('no', name='scipy')", "scipy is not installed (pip install scipy"),
    ("PIL", "ModuleNotFoundError('no', name='PIL')", "PIL is not installed (pip install pillow"),
    ("onnxruntime", "ImportError('DLL load failed', name='onnxruntime')", "onnxruntime cannot be loaded: DLL load"),
    ("torch", "OSError('libgomp.so.1: cannot open')", "cannot be loaded: libgomp.so.1: cannot open"),
])  # fmt: skip
def test_any_library_that_is_missing_or_will_not_load_is_an_install_error(name, error, said):
    run = "from vidswap import EngineChoice, load_engine, swap_clip\nwith load_engine(EngineChoice('embedded')): pass"
    found = broken(name, error, run)
    assert "vidswap.errors.InstallError: " in found.stderr
    assert said in found.stderr.splitlines()[-1]


def test_install_errors_are_import_errors_and_our_own_faults_stay_what_they_are():
    assert issubclass(InstallError, ImportError)
    with pytest.raises(ImportError) as caught, loading():
        from vidswap.settings import nothing_of_that_name  # noqa: F401
    assert not isinstance(caught.value, InstallError)
    assert "pip install" in explained(OSError("it")).hint


def test_who_stops_amid_an_import_is_heard_and_no_library_is_blamed():
    stop = KeyboardInterrupt()
    for kind in (ImportError, SystemError):
        with pytest.raises(KeyboardInterrupt) as caught, loading():
            raise kind("initialization failed") from stop
        assert caught.value is stop
    with pytest.raises(SystemError), loading():
        raise SystemError("no stop")


def test_a_python_that_does_not_fit_is_refused_before_anything_is_loaded(tmp_path):
    python = tmp_path / "python3.10"
    python.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.10.1 && exit 0\nexit 1\n')
    python.chmod(0o755)
    words = ["make", "--no-print-directory", "demo", f"PYTHON={python}", f"VENV={tmp_path / 'venv'}"]
    made = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert made.returncode != 0
    assert "needs Python 3.11 to 3.14" in made.stderr
    assert "Python 3.10.1" in made.stderr
    assert made.stdout == ""
    assert list(tmp_path.iterdir()) == [python]
