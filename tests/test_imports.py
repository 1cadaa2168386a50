"""The house's import rules and fences, held against every module by reading its source."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from vidswap.settings import setting

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
MODULES = {".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): p
           for p in sorted((ROOT / "vidswap").rglob("*.py"))}  # fmt: skip
ENGINES = {f"vidswap.swap.engines.{path.stem}" for path in (ROOT / "vidswap" / "swap" / "engines").glob("*.py")}
ENGINES -= {"vidswap.swap.engines.__init__"}
START = "vidswap.swap.engines.warp"  # what diffusion starts from; no other engine may be imported by an engine

# The floors, from the ground up: a room may import lower floors, and itself; never across a bar, but for what is said.
FLOORS = (
    {"errors", "facts", "processor"},
    {"libraries", "types"},
    {"files", "keys", "records", "threads", "progress", "timepoint"},
    {"bars", "models", "settings"},
    {"face", "media", "plan", "trust"},
    {"read", "swap", "write"},
    {"casting", "kept"},
    {"castfile", "redo"},
    {"pipeline", "train"},
    {"looks", "moments", "preview"},
    {"shorts"},
    {"measure"},
    {"cli"},
)


def allowed(room: str) -> set[str]:
    """The rooms that a room may import."""
    if room in ("__init__", "__main__"):
        return set().union(*FLOORS)
    floor = next(number for number, rooms in enumerate(FLOORS) if room in rooms)
    return set().union(*FLOORS[:floor]) | {room}


# Third-party packages and the modules that may import them.
TORCH = {"swap", "train"}
FENCES = {
    "av": {"media", "read.clip", "read.stills", "write.film", "write.target"},
    "PIL": {"media", "read.photo", "read.stills", "write.lettering", "write.pictures"},
    "pillow_heif": {"read.photo"},
    "onnxruntime": {"models.sessions", "read.faces", "train.export"},
    "insightface": {"face.template", "read.faces", "swap.vectors"},
    "skimage": {"face.template"},
    "psutil": {"progress", "processor", "cli.doctor"},
    "torch": TORCH | {"models.unpickle"},
    "diffusers": TORCH,
    "safetensors": TORCH | {"models.sound", "models.unpickle"},
    "onnx": {"models.sessions", "train"},
    "huggingface_hub": {"models.listing", "models.pull"},
    "transformers": TORCH,
    "peft": TORCH,
    "accelerate": TORCH,
    "platformdirs": {"cli", "models.hub"},
    "filelock": {"models.pull", "swap.network", "write.work"},
    "tqdm": {"bars"},
    "pydantic": {"records"},
    "hashlib": {"keys"},
    "argparse": {"cli"},
    "shtab": {"cli"},
    "packaging": {"cli.doctor"},
    "scenedetect": {"read.shots"},
    "httpx": {"swap.engines"},
    "requests": set(),
}
POSIX = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}
CLI_ONLY = {"print", "input", "exit", "sys.exit", "sys.stdout", "sys.stderr", "os.environ", "os.getenv"}
# What holds for all of the process, which is the command's own, but not a library's: who calls it has threads that do
# other things meanwhile.
SWITCHES = {
    "sys.stdin", "sys.__stdout__", "sys.excepthook", "sys.path", "sys.setrecursionlimit", "sys.setswitchinterval",
    "contextlib.redirect_stdout", "contextlib.redirect_stderr", "contextlib.chdir", "os.chdir", "os.umask", "os.putenv",
    "os.dup2", "os.nice", "os.register_at_fork", "atexit.register",
    "warnings.catch_warnings", "warnings.simplefilter", "warnings.filterwarnings", "warnings.resetwarnings",
    "logging.disable", "logging.basicConfig", "logging.captureWarnings", "faulthandler.enable",
    "signal.signal", "signal.setitimer", "signal.alarm", "signal.set_wakeup_fd", "signal.pthread_sigmask",
    "resource.setrlimit", "locale.setlocale", "gc.disable", "threading.stack_size", "threading.excepthook",
    "multiprocessing.set_start_method", "random.seed", "numpy.seterr", "numpy.random.seed", "numpy.set_printoptions",
    "cv2.setNumThreads", "cv2.setUseOptimized", "cv2.setRNGSeed", "cv2.utils.logging", "cv2.ocl.setUseOpenCL",
    "av.logging", "onnxruntime.set_default_logger_severity", "onnxruntime.set_seed", "insightface.app.FaceAnalysis",
    "torch.set_num_threads", "torch.set_num_interop_threads", "torch.set_default_dtype", "torch.set_default_device",
    "torch.set_grad_enabled", "torch.manual_seed", "torch.use_deterministic_algorithms", "torch.backends.mkldnn",
    "torch.backends.cudnn", "torch.backends.mha",
    "torch.set_float32_matmul_precision", "torch.set_flush_denormal", "PIL.Image.MAX_IMAGE_PIXELS",
    "PIL.ImageFile.LOAD_TRUNCATED_IMAGES", "socket.setdefaulttimeout",
}  # fmt: skip
MAY_USE = {
    "__init__": {"os.environ"},  # onnxruntime must be told before it is first imported, for library users too
    "measure.runs": {"signal.signal"},  # in the processes that it starts, which are its own
    "train": SWITCHES,  # only the command trains, in a process that does nothing else
}


def imported(tree: ast.AST) -> Iterator[str]:
    """Dotted names of all that is imported anywhere in a module; a relative import is a name that starts with a dot."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            names = [f"{base}.{alias.name}" for alias in node.names]
            yield from (name if name in MODULES else base for name in names)


def within(name: str, places: set[str]) -> bool:
    return any(name == place or name.startswith(place + ".") for place in places)


def violations(module: str, source: str) -> list[str]:
    """What `source`, as the module `module` ("vidswap.read.clip"), does that the house forbids."""
    tree, own = ast.parse(source), module.removeprefix("vidswap.")
    own = "__init__" if module == "vidswap" else own
    may_use = MAY_USE.get(own, set()) | MAY_USE.get(own.split(".")[0], set())
    may_import = allowed(own.split(".")[0])
    found = []
    for name in imported(tree):
        top, inner = name.split(".")[0], name.removeprefix("vidswap.")
        if name.startswith("."):
            found.append(f"relative import {name}")
        elif top == "vidswap" and name != "vidswap" and not within(inner, may_import):
            found.append(f"imports {name}")
        elif module in ENGINES and within(name, ENGINES - {module, START}):
            found.append(f"an engine imports the engine {name}")
        elif top in FENCES and not within(own, FENCES[top]):
            found.append(f"imports {top}")
    if own == "cli.main" and "print" in spoken(tree):
        found.append("prints past the console")
    if own not in ("cli.main", "cli.console", "__main__"):
        found += [f"uses {name}" for name in spoken(tree) if name in CLI_ONLY - may_use]
        found += [f"switches {name}" for name in reached(tree) if within(name, SWITCHES - may_use)]
    return found


def reached(tree: ast.AST) -> Iterator[str]:
    """Dotted names of what is named anywhere in a module, imported names written out: `np.seterr` is numpy.seterr."""
    known = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            known |= {each.asname or each.name.split(".")[0]: each.name if each.asname else each.name.split(".")[0]
                      for each in node.names}  # fmt: skip
        elif isinstance(node, ast.ImportFrom):
            known |= {each.asname or each.name: f"{node.module}.{each.name}" for each in node.names}
            yield from (f"{node.module}.{each.name}" for each in node.names)
    for node in ast.walk(tree):
        words, inner = [], node
        while isinstance(inner, ast.Attribute):
            words.append(inner.attr)
            inner = inner.value
        if words and isinstance(inner, ast.Name) and inner.id in known:
            yield ".".join([known[inner.id], *reversed(words)])


def spoken(tree: ast.AST) -> Iterator[str]:
    """Names called, and attributes of names, anywhere in a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.func.id
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield f"{node.value.id}.{node.attr}"


def top_level(tree: ast.Module) -> Iterator[str]:
    """Names of all that is imported as soon as a module is: not in a function, nor behind a question for the system."""
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from imported(ast.Module([node], []))


@pytest.mark.parametrize("module", MODULES)
def test_modules_import_on_every_system(module: str) -> None:
    assert not POSIX & set(top_level(ast.parse(MODULES[module].read_text())))


def test_what_is_imported_is_what_is_declared() -> None:
    always, big = PROJECT["project"]["dependencies"], PROJECT["project"]["optional-dependencies"]["big"]
    declared = [re.split(r"[^\w.-]", words)[0].lower() for words in always]
    assert declared == sorted(declared)
    declared += [re.split(r"[^\w.-]", words)[0].lower() for words in big]
    found = {name.split(".")[0] for path in MODULES.values() for name in imported(ast.parse(path.read_text()))}
    packages = packages_distributions()
    used = {name: {package.lower().replace("_", "-") for package in packages.get(name, [])}
            for name in found - sys.stdlib_module_names - {"vidswap"}}  # fmt: skip
    assert [name for name, owners in used.items() if not owners & set(declared)] == []
    unused = [package for package in declared if not any(package in owners for owners in used.values())]
    assert set(unused) == {"accelerate", "font-source-sans-pro"}, "which diffusers uses and does not bring; no code"


def test_messages_of_the_library_do_not_speak_in_flags() -> None:
    """A setting is called `read.rate`; words.in_flags makes --rate of it where somebody typed that."""
    for module, path in MODULES.items():
        if module.startswith("vidswap.cli."):
            continue
        tree = ast.parse(path.read_text())
        prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        texts = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
        said = [str(node.value) for node in texts if id(node) not in prose]
        assert not [words for words in said if re.search(r"(^|[ '`])--(?!force|no-deps)[a-z]", words)], module


def test_settings_that_messages_name_are_settings() -> None:
    naming = re.compile(r"`((?:read|swap|write|title)\.\w+)(?:=False)?`")
    named = {name for path in MODULES.values() for name in naming.findall(path.read_text())}
    assert named
    for name in named:
        setting(name)


@pytest.mark.parametrize("module", MODULES)
def test_module_keeps_the_rules(module: str) -> None:
    assert violations(module, MODULES[module].read_text()) == []


@pytest.mark.parametrize(("module", "source"), [
    ("vidswap.face.geometry", "from vidswap.media import source"),
    ("vidswap.types", "import vidswap.settings"),
    ("vidswap.trust.consent", "from vidswap.face import geometry"),
    ("vidswap.read.faces", "from vidswap.swap.engine import Needs"),
    ("vidswap.swap.engines.warp", "from vidswap.read import clip"),
    ("vidswap.write.film", "def late():\n    from vidswap.read.clip import frames"),
    ("vidswap.swap.engines.warp", "from vidswap.swap.engines import embedded"),
    ("vidswap.read.tracks", "from vidswap import pipeline"),
    ("vidswap.casting", "from vidswap.pipeline import swap_clip"),
    ("vidswap.pipeline", "from vidswap.train import shape"),
    ("vidswap.read.clip", "from .shots import Cuts"),
    ("vidswap.pipeline", "import av"),
    ("vidswap.read.tracks", "import onnxruntime as ort"),
    ("vidswap.cli.main", "import torch"),
    ("vidswap.cli.main", "print('past the console')"),
    ("vidswap.face.raster", "from torch import nn"),
    ("vidswap.swap.engines.embedded", "print('loaded')"),
    ("vidswap.pipeline", "import sys\nsys.exit(1)"),
    ("vidswap.read.faces", "import os\nos.environ['A'] = 'b'"),
    ("vidswap.read.faces", "from contextlib import redirect_stdout"),
    ("vidswap.read.shots", "import warnings as w\nwith w.catch_warnings():\n    pass"),
    ("vidswap.read.clip", "import av\nav.logging.set_libav_level(av.logging.PANIC)"),
    ("vidswap.plan.file", "import numpy as np\nnp.random.seed(1)"),
    ("vidswap.pipeline", "from signal import signal"),
    ("vidswap", "import signal\nsignal.signal(15, print)"),
])  # fmt: skip
def test_planted_violation_is_caught(module: str, source: str) -> None:
    assert violations(module, source)


@pytest.mark.parametrize(("module", "source"), [
    ("vidswap.swap.engines.embedded", "import torch\nfrom vidswap.swap.sampler import sample"),
    ("vidswap.swap.engines.embedded", "from vidswap.swap.engines import warp"),
    ("vidswap.pipeline", "from vidswap.read.clip import frames\nfrom vidswap import __version__"),
    ("vidswap.train.swapper", "import torch\nfrom vidswap.swap.engines import warp"),
    ("vidswap.cli.console", "import sys\nprint('x', file=sys.stderr)"),
    ("vidswap.plan.file", "import numpy as np\nwith np.errstate(all='ignore'):\n    np.random.default_rng(1)"),
])  # fmt: skip
def test_what_the_house_allows_passes(module: str, source: str) -> None:
    assert violations(module, source) == []


def test_no_module_or_function_outgrows_the_house() -> None:
    for path in MODULES.values():
        source = path.read_text()
        assert source.count("\n") <= 400, path
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef):
                assert (node.end_lineno or 0) - node.lineno < 60, f"{path}: {node.name}"


def test_files_of_tests_have_names_of_their_own() -> None:
    """pytest imports them by these, whatever the folder."""
    names = [path.name for path in (ROOT / "tests").rglob("*.py") if path.name != "conftest.py"]
    assert len(set(names)) == len(names)


def test_the_page_of_the_architecture_is_true() -> None:
    """Its drawing has the floors of the house; what it names is there, and its journey is that of swap_clip."""
    page = (ROOT / "ARCHITECTURE.md").read_text()
    drawing = page.split("```")[1].strip().splitlines()
    assert [set(line.split("   ")[0].split(" | ")) for line in reversed(drawing)] == list(FLOORS)
    paths = set(re.findall(r"`(\w[\w/.]*(?:/|\.py|\.toml))`", page))
    paths |= set(re.findall(r"`(\w[\w.]*/[\w/]*(?:\.py)?)`", (ROOT / "README.md").read_text()))
    assert [path for path in paths if not (ROOT / path).exists() and not (ROOT / "vidswap" / path).exists()] == []
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name in re.findall(r"`(test_\w+)`", page) if f"def {name}(" not in tests] == []
    tree = ast.parse(MODULES["vidswap.pipeline"].read_text())
    (journey,) = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "swap_clip"]
    steps = re.findall(r"^\d+\. (.*)$", page, re.M)
    named = {name for step in steps for name in re.findall(r"`(\w+)`", step)}
    assert len(steps) == 10
    assert named <= {node.id if isinstance(node, ast.Name) else node.attr for node in ast.walk(journey)
                     if isinstance(node, ast.Name | ast.Attribute)}  # fmt: skip
