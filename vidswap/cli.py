"""Words -> Settings, progress -> bars, errors -> exit codes. The only module that prints.

Nothing heavy is imported up here, so that --help and --version answer at once.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from fractions import Fraction
from importlib import import_module
from inspect import signature
from pathlib import Path
from types import FrameType
from typing import NoReturn

from vidswap import __version__, weights
from vidswap.clock import Report, quiet
from vidswap.errors import ConsentError, UsageError, VidswapError
from vidswap.moment import moment
from vidswap.settings import CODECS, PRESETS, ReadSettings, Settings, SwapSettings, WriteSettings

INTERRUPTED, TERMINATED = 130, 143
ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "NO_ALBUMENTATIONS_UPDATE": "1",
               "SVT_LOG": "0"}  # fmt: skip # SVT-AV1 would talk to whoever looks


def main(words: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is that of errors.py, 0 where all went well."""
    signal.signal(signal.SIGTERM, _terminate)
    os.environ.update(ENVIRONMENT)
    try:
        options = parser().parse_args(words)
        if options.command is not _train:  # training has the machine to itself; in a swap others work beside torch
            os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // 2)))
        options.command(options)
        sys.stdout.flush()
    except VidswapError as error:
        return _fail("; ".join([str(error), *_notes(error)]), error.code)
    except KeyboardInterrupt as stop:
        told = _notes(stop) or ["nothing was written"]
        return _fail("; ".join(["stopped", *told]), TERMINATED if isinstance(stop, Terminated) else INTERRUPTED)
    except BrokenPipeError:  # whoever read our output has gone; keep the interpreter from complaining at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    top = Parser(prog="vidswap", description="Put a person into a film scene. They must have agreed.")
    top.add_argument("--version", action="version", version=f"vidswap {__version__}")
    commands = top.add_subparsers(required=True, metavar="COMMAND", parser_class=Parser)
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
    words.set_defaults(command=_swap)
    words.add_argument("clip", type=Path, metavar="CLIP", help="the film clip")
    words.add_argument("--face", type=Path, required=True, metavar="PHOTO", help="a photo, or a folder of photos")
    words.add_argument("--consent", metavar="self|FILE", help="'self', or a TOML record: subject, uses, until")
    words.add_argument("-o", "--out", type=Path, required=True, metavar="OUT", help="the result, e.g. out.mp4")
    words.add_argument("--sheet", type=Path, metavar="PNG", help="also write a before/after picture")
    words.add_argument("--json", action="store_true", help="print one JSON object")
    words.add_argument("--no-resume", action="store_true", help="start over, whatever an earlier render has finished")
    _read_words(words)
    words.add_argument("--plan", type=Path, metavar="FILE", help="made by `vidswap plan`: start rendering at once")
    words.add_argument("--person", default="largest", metavar="largest|all|N", help="whom to replace (see `cast`)")
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
    words.set_defaults(command=_cast)
    words.add_argument("clip", type=Path, metavar="CLIP")
    words.add_argument("-o", "--out", type=Path, required=True, metavar="PNG", help="a picture: one row a person")
    words.add_argument("--json", action="store_true", help="print one JSON object")
    _read_words(words)


def _plan_words(words: argparse.ArgumentParser) -> None:
    words.set_defaults(command=_plan)
    words.add_argument("clip", type=Path, metavar="CLIP")
    words.add_argument("-o", "--out", type=Path, required=True, metavar="FILE", help="e.g. clip.plan; for swap --plan")
    words.add_argument("--json", action="store_true", help="print one JSON object")
    _read_words(words)


def _cache_words(words: argparse.ArgumentParser) -> None:
    words.set_defaults(command=_cache)
    words.add_argument("action", nargs="?", default="list", choices=("list", "clear"))
    words.add_argument("--json", action="store_true", help="print one JSON object")


def _evaluate_words(words: argparse.ArgumentParser) -> None:
    words.set_defaults(command=_evaluate)
    words.add_argument("clip", type=Path, metavar="CLIP", help="the original")
    words.add_argument("out", type=Path, metavar="OUT", help="the swapped clip")
    words.add_argument("--face", type=Path, required=True, metavar="PHOTO", help="who should be in it")
    words.add_argument("--html", type=Path, metavar="FILE", help="also write a report")
    words.add_argument("--json", action="store_true", help="print one JSON object")
    words.add_argument("--face-pack", default="embedded", metavar="NAME|DIR", help="models that read faces")


def _models_words(words: argparse.ArgumentParser) -> None:
    words.set_defaults(command=_models)
    words.add_argument("action", nargs="?", default="list", choices=("list", "verify", "seal"),
                       help="list them, compare their sha256, or take down new ones after training")  # fmt: skip
    words.add_argument("--json", action="store_true", help="print one JSON object")


def _bench_words(words: argparse.ArgumentParser) -> None:
    words.set_defaults(command=_bench)
    words.add_argument("clip", type=Path, metavar="CLIP")
    words.add_argument("--face", type=Path, metavar="PHOTO", help="default: a face of the clip itself")
    words.add_argument("--json", action="store_true", help="print one JSON object")
    _read_words(words)
    _engine_words(words)


def _train_words(words: argparse.ArgumentParser) -> None:
    words.set_defaults(command=_train)
    words.add_argument("model", choices=("shape", "detector", "mesh", "features", "recognizer", "swapper"))
    words.add_argument("--data", type=Path, required=True, metavar="DIR", help="pictures, labels.npz, topology.npz")
    words.add_argument("--out", type=Path, default=weights.ROOT / "embedded", metavar="DIR", help="default: in place")
    words.add_argument("--scenes", type=Path, metavar="DIR", help="pictures without a face")
    words.add_argument("--seed", type=int, default=0, metavar="N")
    words.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="a longer or shorter plan: steps=...")


def _settings(options: argparse.Namespace, sheet: Path | None = None) -> Settings:
    chosen = vars(options)
    read = ReadSettings(options.start, options.end, chosen.get("person", "largest"), options.face_pack,
                        chosen.get("plan"), None if options.no_cache else cache_folder(), options.rate)  # fmt: skip
    if "engine" not in options:
        return Settings(read)
    swap = SwapSettings(options.engine, options.steps, options.seed, options.smooth)
    write = WriteSettings(
        options.codec, options.crf, options.preset, options.lossless, sheet, resume=not chosen.get("no_resume", False)
    )
    return Settings(read, swap, write)


def _swap(options: argparse.Namespace) -> None:
    settings = _settings(options, options.sheet)
    if options.consent is None:
        raise ConsentError("nobody's consent was named", "--consent self, or the path of a consent record")
    from vidswap.pipeline import swap_clip

    with _bars() as report:
        done = swap_clip(options.clip, options.face, options.consent, options.out, settings=settings, report=report)
    if done.repeated:
        print(f"vidswap: warning: {done.repeated} damaged frames show the picture before them", file=sys.stderr)
    for stream in done.left_out:
        print(f"vidswap: warning: {stream} of the clip is left out, no container takes it", file=sys.stderr)
    seconds = sum(stage.seconds for stage in done.stages.values())
    if options.json:
        return _print_json({"out": str(done.out), "sheet": options.sheet and str(options.sheet), "frames": done.frames,
                            "resumed": done.resumed, "repeated": done.repeated, "swapped": done.swapped,
                            "persons": done.persons, "engine": settings.swap.engine, "licence": done.licence,
                            "seconds": round(seconds, 2)})  # fmt: skip
    found = f", {done.resumed} were there already" if done.resumed else ""
    print(f"{done.out}: {done.swapped} of {done.frames} frames have the new face{found}; {seconds:.1f} s")
    if options.sheet:
        print(f"{options.sheet}: before and after")
    if options.face_pack != "embedded":
        print(f"face models: {done.licence}")


def _cast(options: argparse.Namespace) -> None:
    settings = _settings(options)
    from vidswap.pipeline import cast_clip

    with _bars() as report:
        rows = cast_clip(options.clip, options.out, settings=settings, report=report)
    if options.json:
        people = [{"person": row.number, "seconds": round(row.seconds, 3), "spans": row.spans} for row in rows]
        return _print_json({"out": str(options.out), "cast": people})
    for row in rows:
        spans = ", ".join(f"{first:.1f}-{last:.1f}" for first, last in row.spans)
        print(f"--person {row.number}: {row.seconds:.1f} s on screen ({spans})")
    print(f"{options.out}: their faces")


def _plan(options: argparse.Namespace) -> None:
    settings = _settings(options)
    from vidswap.pipeline import plan_clip

    with _bars() as report:
        made = plan_clip(options.clip, options.out, settings=settings, report=report)
    if options.json:
        return _print_json(asdict(made))
    print(f"{made.out}: {made.frames} frames, shots: {made.shots}, persons: {len(made.persons)}, "
          f"tracks: {made.tracks}; {made.bytes / 1e6:.1f} MB")  # fmt: skip


def _cache(options: argparse.Namespace) -> None:
    from vidswap.cache import LIMIT, Cache

    folder = cache_folder()
    if folder is None:
        raise UsageError("there is no home folder to keep a cache in", "set XDG_CACHE_HOME")
    entries = Cache(folder).clear() if options.action == "clear" else Cache(folder).entries()
    total = sum(entry.bytes for entry in entries)
    if options.json:
        return _print_json({"folder": folder, "bytes": total, "limit": LIMIT, "cleared": options.action == "clear",
                            "entries": [asdict(entry) for entry in entries]})  # fmt: skip
    if options.action == "list" and entries:
        from vidswap.plan import title

        for entry in entries:
            age = _age(time.time() - entry.used)
            print(f"{entry.bytes / 1e6:>8.1f} MB  used {age:>8} ago  {title(entry.path)}")
    said = "removed from" if options.action == "clear" else "in"
    print(f"{len(entries)} entries, {total / 1e6:.1f} MB of at most {LIMIT / 1e6:.0f} MB, {said} {folder}")


def _age(seconds: float) -> str:
    """An age in its largest fitting unit: "3 h"."""
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def cache_folder() -> Path | None:
    """Where this user's caches are on this system; None for a user without a home."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    if Path(named).is_absolute():  # the standard says to ignore any other
        return Path(named) / "vidswap"
    try:
        home = Path.home()
    except RuntimeError:
        return None
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "vidswap"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local")) / "vidswap" / "Cache"
    return home / ".cache" / "vidswap"


def _models(options: argparse.Namespace) -> None:
    known = weights.registry()
    if options.action == "seal":
        present = {name for name, model in known.items() if (weights.ROOT / model.path).exists()}
        known = weights.seal(present)
    if options.action == "verify":
        for name in known:
            weights.path_to(name)
    if options.json:
        return _print_json({name: asdict(model) for name, model in known.items()})
    for model in known.values():
        use = "commercial use allowed" if model.commercial else "no commercial use"
        print(f"{model.name}: {model.purpose}\n  {model.licence}, {use}; {model.source}")
        for file in model.files:
            print(f"  {file.sha256}  {file.bytes:>9,}  {file.path}")
    total = sum(model.bytes for model in known.values())
    print(f"{total / 1e6:.1f} MB" + (", all verified" if options.action == "verify" else ""))


def _bench(options: argparse.Namespace) -> None:
    settings = _settings(options)
    from vidswap.bench import Bench, table
    from vidswap.pipeline import still, swap_clip, transcode

    with tempfile.TemporaryDirectory() as folder, _bars() as report:
        face = options.face or still(options.clip, Path(folder) / "face.png", settings=settings)
        out = Path(folder) / "out.mp4"
        plain = transcode(options.clip, out, settings=settings, report=report)
        done = swap_clip(options.clip, face, "self", out, settings=settings, report=report)
    bench = Bench(done.stages, plain, done.frames, done.duration)
    if options.json:
        return _print_json(bench.figures())
    print(table(bench))


def _train(options: argparse.Namespace) -> None:
    if not (options.data / "labels.npz").is_file():
        raise UsageError(f"{options.data} has no labels.npz", "--data is a folder of faces with labels.npz beside them")
    trainer = import_module(f"vidswap.train.{options.model}")
    accepted = signature(trainer.train).parameters
    offered: dict[str, object] = {"scenes": options.scenes, "seed": options.seed, "say": print}
    for name in {"plan", "recipe"} & accepted.keys():  # how long and how hard: each trainer's own dataclass
        kind = getattr(trainer, name.capitalize())
        known = {"seed": options.seed} if "seed" in vars(kind()) else {}
        offered[name] = replace(kind(), **known, **_changes(kind(), options.set))
    made = trainer.train(options.data, options.out, **{name: offered[name] for name in accepted if name in offered})
    if options.out.resolve() == (weights.ROOT / "embedded").resolve():
        weights.seal({"face" if options.model == "shape" else options.model})
    print(f"{made}: trained")


def _changes(plan: object, words: Sequence[str]) -> dict[str, object]:
    """key=value words as values of the types that the plan's own have. Raises UsageError."""
    changes: dict[str, object] = {}
    for word in words:
        key, _, value = word.partition("=")
        try:
            changes[key] = type(vars(plan)[key])(value)
        except (KeyError, ValueError) as error:
            raise UsageError(f"--set {word} cannot be", f"the plan is {plan}") from error
    return changes


def _evaluate(options: argparse.Namespace) -> None:
    settings = Settings(ReadSettings(face_pack=options.face_pack))
    from vidswap.evaluate.page import write_page
    from vidswap.pipeline import evaluate_clip

    with _bars() as report:
        found = evaluate_clip(options.clip, options.out, options.face, settings=settings, report=report)
    if options.html:
        write_page(options.html, found, f"{options.clip.name} and {options.out.name}")
    if options.json:
        return _print_json(found.as_dict())
    for name, value in found.as_dict().items():
        print(f"{name:<22}{value}")
    if options.html:
        print(f"{options.html}: the report")


@contextmanager
def _bars() -> Iterator[Report]:
    """A report that draws one bar a stage; nothing where nobody looks."""
    if not sys.stderr.isatty():
        yield quiet
        return
    from tqdm import tqdm

    bars: dict[str, tqdm[NoReturn]] = {}

    def draw(stage: str, done: int, total: int) -> None:
        bar = bars.setdefault(stage, None) or tqdm(total=total, desc=stage, unit=" frames")
        bars[stage] = bar
        bar.update(done - bar.n)

    try:
        yield draw
    finally:
        for bar in bars.values():
            bar.close()


def _print_json(value: object) -> None:
    print(json.dumps(value, default=str))


def _rate(words: str) -> Fraction:
    """25, 23.976 or 24000/1001."""
    try:
        return Fraction(words)
    except (ValueError, ZeroDivisionError) as error:
        raise UsageError(f"'{words}' is no rate", "give pictures a second: 25, or 24000/1001") from error


def _fail(message: str, code: int) -> int:
    print(f"vidswap: {' '.join(message.split())}", file=sys.stderr)
    return code


def _notes(error: BaseException) -> list[str]:
    """What a render said about what it keeps."""
    return getattr(error, "__notes__", [])


class Terminated(KeyboardInterrupt):
    """SIGTERM: unwinds like Ctrl-C, so that no part of a result is left."""


def _terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    raise Terminated
