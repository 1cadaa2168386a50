"""The words of the command line: which commands there are, and what each may be told.

Nothing heavy is imported up here, so that --help and --version answer at once.
"""

from __future__ import annotations

import argparse
from fractions import Fraction
from pathlib import Path
from typing import NoReturn

from vidswap import __version__, weights
from vidswap.errors import UsageError
from vidswap.moment import moment
from vidswap.settings import CODECS, PRESETS, SwapSettings


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
    return top


class Parser(argparse.ArgumentParser):
    """One line for a wrong word, as for every other error."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, f"see `{self.prog} --help`")


def _swap_words(words: argparse.ArgumentParser) -> None:
    words.add_argument("clip", type=Path, metavar="CLIP", help="the film clip")
    words.add_argument("--face", type=Path, required=True, metavar="PHOTO", help="a photo, or a folder of photos")
    words.add_argument("--consent", metavar="self|FILE", help="'self', or a TOML record: subject, uses, until")
    words.add_argument("-o", "--out", type=Path, required=True, metavar="OUT", help="the result, e.g. out.mp4")
    words.add_argument("--sheet", type=Path, metavar="PNG", help="also write a before/after picture")
    words.add_argument("--json", action="store_true", help="print one JSON object")
    words.add_argument("--no-resume", action="store_true", help="start over, whatever an earlier render has finished")
    _read_words(words)
    words.add_argument("--plan", type=Path, metavar="FILE", help="made by `vidswap plan`: start rendering at once")
    words.add_argument("--person", default="largest", metavar="largest|all|N,N", help="whom to replace (see `cast`)")
    _engine_words(words)


def _read_words(words: argparse.ArgumentParser) -> None:
    words.add_argument("--start", type=moment, metavar="TIME", help="where to begin: 3.5 (s), 1:02:03.25, or 120f")
    words.add_argument("--end", type=moment, metavar="TIME", help="where to stop, told alike")
    words.add_argument("--rate", type=_rate, default=Fraction(25), metavar="N", help="a folder's pictures a second")
    words.add_argument("--face-pack", default="embedded", metavar="NAME|DIR", help="models that read faces")
    words.add_argument("--no-cache", action="store_true", help="find the faces anew, and keep nothing of it")


def _engine_words(words: argparse.ArgumentParser) -> None:
    swap = SwapSettings()
    words.add_argument("--engine", default=swap.engine, metavar="NAME", help="embedded (diffusion) or warp (geometry)")
    words.add_argument("--steps", type=int, metavar="N", help="diffusion steps; fewer is faster")
    words.add_argument("--seed", type=int, default=swap.seed, metavar="N", help="equal seeds give equal results")
    words.add_argument("--smooth", type=float, default=swap.smooth, metavar="0..1", help="steadiness over time")
    words.add_argument("--codec", metavar="|".join(CODECS), help="default: h264; vp9 or av1 in a webm")
    words.add_argument("--crf", type=int, metavar="N", help="quality on the codec's own scale, smaller is better; "
                       "alike: h264 16, hevc 15, av1 8, vp9 12 (the defaults)")  # fmt: skip
    words.add_argument("--preset", metavar="|".join((PRESETS[0], "...", PRESETS[-1])), help="slower, smaller files")
    words.add_argument("--lossless", action="store_true", help="no bit of the pictures is lost: h264, hevc, av1, ffv1")


def _cast_words(words: argparse.ArgumentParser) -> None:
    words.add_argument("clip", type=Path, metavar="CLIP")
    words.add_argument("-o", "--out", type=Path, required=True, metavar="PNG", help="a picture: one row a person")
    words.add_argument("--json", action="store_true", help="print one JSON object")
    _read_words(words)


def _plan_words(words: argparse.ArgumentParser) -> None:
    words.add_argument("clip", type=Path, metavar="CLIP")
    words.add_argument("-o", "--out", type=Path, required=True, metavar="FILE", help="e.g. clip.plan; for swap --plan")
    words.add_argument("--json", action="store_true", help="print one JSON object")
    _read_words(words)


def _cache_words(words: argparse.ArgumentParser) -> None:
    words.add_argument("action", nargs="?", default="list", choices=("list", "clear"))
    words.add_argument("--json", action="store_true", help="print one JSON object")


def _evaluate_words(words: argparse.ArgumentParser) -> None:
    words.add_argument("clip", type=Path, metavar="CLIP", help="the original")
    words.add_argument("out", type=Path, metavar="OUT", help="the swapped clip")
    words.add_argument("--face", type=Path, required=True, metavar="PHOTO", help="who should be in it")
    words.add_argument("--html", type=Path, metavar="FILE", help="also write a report")
    words.add_argument("--json", action="store_true", help="print one JSON object")
    words.add_argument("--face-pack", default="embedded", metavar="NAME|DIR", help="models that read faces")


def _models_words(words: argparse.ArgumentParser) -> None:
    words.add_argument("action", nargs="?", default="list", choices=("list", "verify", "seal"),
                       help="list them, compare their sha256, or take down new ones after training")  # fmt: skip
    words.add_argument("--json", action="store_true", help="print one JSON object")


def _bench_words(words: argparse.ArgumentParser) -> None:
    words.add_argument("clip", type=Path, metavar="CLIP")
    words.add_argument("--face", type=Path, metavar="PHOTO", help="default: a face of the clip itself")
    words.add_argument("--consent", metavar="self|FILE", help="of whom the photo shows, as for swap")
    words.add_argument("--heights", type=_height, nargs="*", default=[480, 720, 1080], metavar="N",
                       help="lines of the clip, scaled, for the overhead beside a plain transcode")  # fmt: skip
    words.add_argument("--json", action="store_true", help="print one JSON object")
    _read_words(words)
    _engine_words(words)


def _train_words(words: argparse.ArgumentParser) -> None:
    words.add_argument("model", choices=("shape", "detector", "mesh", "features", "recognizer", "swapper"))
    words.add_argument("--data", type=Path, required=True, metavar="DIR", help="pictures, labels.npz, topology.npz")
    words.add_argument("--out", type=Path, default=weights.ROOT / "embedded", metavar="DIR", help="default: in place")
    words.add_argument("--scenes", type=Path, metavar="DIR", help="pictures without a face")
    words.add_argument("--seed", type=int, default=0, metavar="N")
    words.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="a longer or shorter plan: steps=...")


def _rate(words: str) -> Fraction:
    """25, 23.976 or 24000/1001."""
    try:
        return Fraction(words)
    except (ValueError, ZeroDivisionError) as error:
        raise UsageError(f"'{words}' is no rate", "give pictures a second: 25, or 24000/1001") from error


def _height(words: str) -> int:
    """Even lines of a picture."""
    if not words.isdecimal() or not 64 <= int(words) <= 4320 or int(words) % 2:
        raise UsageError(f"--heights {words} cannot be", "an even number of 64 to 4320")
    return int(words)
