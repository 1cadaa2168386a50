"""The words of the command line: which commands there are, and what each may be told.

Nothing heavy is imported up here, so that --help and --version answer at once.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NoReturn

from vidswap import __version__
from vidswap.errors import UsageError, quoted
from vidswap.models import registry as weights
from vidswap.settings import CODECS, PRESETS, setting, whole
from vidswap.swap.engines import ENGINES

# Settings that engines have in common: diffusion's, so warp has none of them.
SHORT = MappingProxyType({
    "steps": "of the sampler, fewer are faster", "seed": "equal ones give equal results",
    "smooth": "steadiness over time, 0 (each frame alone) to 1",
})  # fmt: skip
_NAMED = re.compile(r"`([a-z0-9]+)\.([a-z0-9_]+)(=False)?`")


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    top = Parser(prog="vidswap", description="Put a person into a film scene. They must have agreed.")
    top.add_argument("--version", action="version", version=f"vidswap {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
    _swap_words(commands.add_parser("swap", help="put a face into a clip"))
    _cast_words(commands.add_parser("cast", help="who is in a clip: numbers for --person"))
    _plan_words(commands.add_parser("plan", help="find the faces of a clip once, for any number of swaps"))
    _evaluate_words(commands.add_parser("evaluate", help="measure a swapped clip against its original"))
    _models_words(commands.add_parser("models", help="what ships: licence, size, sha256"))
    _cache_words(commands.add_parser("cache", help="what was found in clips and is kept for the next time"))
    _bench_words(commands.add_parser("bench", help="how fast, and where time and memory go"))
    _train_words(commands.add_parser("train", help="make a model anew from labelled face pictures"))
    _doctor_words(commands.add_parser("doctor", help="what is here and what is missing: paste it into a report"))
    _completion_words(commands.add_parser("completion", help="a script that lets your shell complete these words"))
    return top


def in_flags(message: str) -> str:
    """What a message calls by its place in Settings, as the command line does: `read.rate` is --rate,
    `write.resume=False` --no-resume, and `embedded.steps` --set steps."""

    def flag(found: re.Match[str]) -> str:
        if found[1] in ENGINES:
            return f"--set {found[2]}"
        if not _is_setting(f"{found[1]}.{found[2]}"):
            return found[0]
        return _flag(found[2], "--no-" if found[3] else "--")

    return _NAMED.sub(flag, message)


def _is_setting(name: str) -> bool:
    try:
        return bool(setting(name))
    except KeyError:
        return False


def _flag(name: str, before: str = "--") -> str:
    return before + name.rpartition(".")[2].replace("_", "-")


def completion(shell: str) -> str:
    """The script for a shell: every option that takes a file completes one."""
    import shtab

    top = parser()
    for command in _commands(top).values():
        for action in command._actions:
            if action.type is _place or action.dest in ("plan", "sheet", "face_pack"):
                action.complete = shtab.FILE  # type: ignore[attr-defined]
    return str(shtab.complete(top, shell))


def _commands(top: argparse.ArgumentParser) -> Mapping[str, argparse.ArgumentParser]:
    """The parser of each command."""
    return next(action.choices for action in top._actions if isinstance(action, argparse._SubParsersAction))


class Parser(argparse.ArgumentParser):
    """One line for a wrong word, as for every other error."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, f"see `{self.prog} --help`")


def _swap_words(words: argparse.ArgumentParser) -> None:
    words.add_argument("clip", type=_place, metavar="CLIP", help="the film clip")
    words.add_argument("--face", type=_place, required=True, metavar="PHOTO", help="a photo, or a folder of photos")
    words.add_argument("--consent", metavar="self|FILE", help="'self', or a TOML record: subject, uses, until")
    words.add_argument("-o", "--out", type=_place, required=True, metavar="OUT", help="the result, e.g. out.mp4")
    _setting(words, "write.sheet", "PNG", "also write a before/after picture", "default: none")
    words.add_argument("--json", action="store_true", help="print one JSON object")
    words.add_argument("--no-resume", dest="resume", action="store_false",
                       help="start over, whatever an earlier render has finished")  # fmt: skip
    _read_words(words)
    _setting(words, "read.plan", "FILE", "made by `vidswap plan`: start rendering at once", ends="default: none")
    _setting(words, "read.person", "largest|all|N,N", "whom to replace; N as `vidswap cast` counts them")
    _engine_words(words)


def _setting(words: argparse.ArgumentParser, name: str, metavar: str, about: str, ends: str = "") -> None:
    """The flag of a setting: a word, that the setting itself reads; what it may be and what it is if not told."""
    chosen = setting(name)
    ends = ends or f"default: {chosen.default}"
    words.add_argument(_flag(name), default=chosen.default, metavar=metavar, help=f"{about} ({ends})")


def _read_words(words: argparse.ArgumentParser) -> None:
    _setting(words, "read.start", "TIME", "where to begin: 3.5 (s), 1:02:03.25, or 120f", "default: the first picture")
    _setting(words, "read.end", "TIME", "where to stop, told alike", "default: after the last")
    _setting(words, "read.rate", "N", "a folder's pictures a second: 0.01 to 1000, or 24000/1001")
    _face_words(words)


def _face_words(words: argparse.ArgumentParser) -> None:
    _setting(words, "read.face_pack", "NAME|DIR", "models that read faces: a pack's name, or a folder")
    words.add_argument("--no-cache", dest="cache", action="store_false",
                       help="find the faces anew, and keep nothing of it")  # fmt: skip


def _engine_words(words: argparse.ArgumentParser) -> None:
    _setting(words, "swap.engine", "NAME", ", ".join(f"{name} ({about})" for name, about in ENGINES.items()))
    words.add_argument("--set", dest="options", action="append", default=[], metavar="NAME=VALUE|FILE",
                       help="a setting of the engine's own, such as steps=2; or a TOML file with a table for each "
                       "engine; any number of them (default: none)")  # fmt: skip
    for name, about in SHORT.items():
        words.add_argument(f"--{name}", dest="options", action="append", type=f"{name}={{}}".format, metavar="N",
                           help=f"{about}: short for --set {name}=N")  # fmt: skip
    _setting(words, "write.codec", "|".join(CODECS), "how a film is coded",
             "default: h264; vp9 in a webm, mpeg4 in an avi")  # fmt: skip
    _setting(words, "write.crf", "N", "quality on the codec's own scale, 0 is best: to 51 for h264 and hevc, to 63 for "
             "av1 and vp9", "defaults, which look alike: h264 16, hevc 15, av1 8, vp9 12")  # fmt: skip
    _setting(words, "write.preset", "|".join((PRESETS[0], "...", PRESETS[-1])), "slower, smaller files",
             "default: medium")  # fmt: skip
    words.add_argument("--lossless", action="store_true", help="no bit of the pictures is lost: h264, hevc, av1, ffv1")


def _cast_words(words: argparse.ArgumentParser) -> None:
    words.add_argument("clip", type=_place, metavar="CLIP")
    words.add_argument("-o", "--out", type=_place, required=True, metavar="PNG", help="a picture: one row a person")
    words.add_argument("--json", action="store_true", help="print one JSON object")
    _read_words(words)


def _plan_words(words: argparse.ArgumentParser) -> None:
    words.add_argument("clip", type=_place, metavar="CLIP")
    words.add_argument("-o", "--out", type=_place, required=True, metavar="FILE",
                       help="e.g. clip.plan; for swap --plan")  # fmt: skip
    words.add_argument("--json", action="store_true", help="print one JSON object")
    _read_words(words)


def _cache_words(words: argparse.ArgumentParser) -> None:
    words.add_argument("action", nargs="?", default="list", choices=("list", "clear"))
    words.add_argument("--json", action="store_true", help="print one JSON object")


def _evaluate_words(words: argparse.ArgumentParser) -> None:
    words.add_argument("clip", type=_place, metavar="CLIP", help="the original")
    words.add_argument("out", type=_place, metavar="OUT", help="the swapped clip")
    words.add_argument("--face", type=_place, required=True, metavar="PHOTO", help="who should be in it")
    words.add_argument("--html", type=_place, metavar="FILE", help="also write a report")
    words.add_argument("--json", action="store_true", help="print one JSON object")
    _setting(words, "read.plan", "FILE", "made by `vidswap plan` of the original", ends="default: none")
    _face_words(words)


def _models_words(words: argparse.ArgumentParser) -> None:
    words.add_argument("action", nargs="?", default="list", choices=("list", "verify", "seal"),
                       help="list them, compare their sha256, or take down new ones after training")  # fmt: skip
    words.add_argument("--json", action="store_true", help="print one JSON object")


def _bench_words(words: argparse.ArgumentParser) -> None:
    words.add_argument("clip", type=_place, metavar="CLIP")
    words.add_argument("--face", type=_place, metavar="PHOTO",
                       help="a photo, or a folder of photos (default: a face of the clip itself)")  # fmt: skip
    words.add_argument("--consent", metavar="self|FILE", help="of whom the photo shows, as for swap")
    words.add_argument("--heights", type=_height, nargs="*", default=[480, 720, 1080], metavar="N",
                       help="lines of the clip, scaled, for the overhead beside a plain transcode: even, 64 to 4320 "
                       "(default: 480 720 1080)")  # fmt: skip
    words.add_argument("--json", action="store_true", help="print one JSON object")
    _read_words(words)
    _engine_words(words)


def _doctor_words(words: argparse.ArgumentParser) -> None:
    words.add_argument("--json", action="store_true", help="print one JSON object")


def _completion_words(words: argparse.ArgumentParser) -> None:
    words.add_argument("shell", choices=("bash", "zsh", "fish", "tcsh", "powershell"))


def _train_words(words: argparse.ArgumentParser) -> None:
    words.add_argument("model", choices=("shape", "detector", "mesh", "features", "recognizer", "swapper"))
    words.add_argument("--data", type=_place, required=True, metavar="DIR", help="pictures, labels.npz, topology.npz")
    words.add_argument("--out", type=_place, default=weights.ROOT / "embedded", metavar="DIR",
                       help="where the model goes (default: in place)")  # fmt: skip
    words.add_argument("--scenes", type=_place, metavar="DIR", help="pictures without a face (default: none)")
    words.add_argument("--seed", type=_seed, default=0, metavar="N",
                       help="equal seeds give equal models: 0 to 4294967295 (default: 0)")  # fmt: skip
    words.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE",
                       help="a longer or shorter plan: steps=... (default: the trainer's own)")  # fmt: skip


def _place(words: str) -> Path:
    """A path; one of no letters would be the folder that one is in, and is what an empty variable of a shell leaves."""
    if not words:
        raise UsageError("a path is empty", "give that of a file or a folder")
    return Path(words)


def _seed(words: str) -> int:
    try:
        return whole(0, 2**32 - 1)(words)
    except ValueError as error:
        raise UsageError(f"--seed is {quoted(words)}", "allowed: 0 to 4294967295") from error


def _height(words: str) -> int:
    """Even lines of a picture."""
    if not re.fullmatch("[0-9]{2,4}", words) or not 64 <= int(words) <= 4320 or int(words) % 2:
        raise UsageError(f"--heights is {quoted(words)}", "allowed: even numbers of 64 to 4320")
    return int(words)
