"""What the words of commands have in common: flags that settings ask for, paths, and one line where a word is wrong."""

from __future__ import annotations

import argparse
import re
from collections.abc import Collection, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn

from vidswap.cli.console import tell
from vidswap.cli.options import options_of
from vidswap.errors import UsageError, quoted
from vidswap.settings import SECTIONS, SWITCH, Setting, Settings, number, setting
from vidswap.swap.engines import ENGINES

VRAM = number(0.5, 1000)  # GB
_NAMED = re.compile(r"`([a-z0-9]+)\.([a-z0-9_]+)(=False)?`")


class Parser(argparse.ArgumentParser):
    """One line for a wrong word, as for every other error."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, f"see `{self.prog} --help`")


def settings_words(words: Parser, section: str, without: Collection[str] = ()) -> None:
    """A flag for each setting of a section that says what it is about."""
    for each in fields(SECTIONS[section]):
        chosen = setting(f"{section}.{each.name}")
        if chosen.about and each.name not in without:
            setting_word(words, chosen)


def setting_word(words: Parser, chosen: Setting[Any, Any], about: str = "") -> None:
    """The flag of a setting: a word, that the setting itself reads; what it may be and what it is if not told."""
    if chosen.kind is SWITCH:
        flag, action = ("--no-", "store_false") if chosen.default else ("--", "store_true")
        words.add_argument(_flag(chosen.key, flag), dest=chosen.key, action=action, help=chosen.about)
    else:
        words.add_argument(_flag(chosen.key), default=chosen.default, metavar=chosen.kind.metavar,
                           help=f"{about or chosen.about} (default: {chosen.unset})")  # fmt: skip


def cache_word(words: Parser) -> None:
    words.add_argument("--no-cache", dest="cache", action="store_false",
                       help="find the faces anew, and keep nothing of it")  # fmt: skip


def json_word(words: Parser) -> None:
    words.add_argument("--json", action="store_true", help="print one JSON object")


def settings_of(options: argparse.Namespace) -> Settings:
    """What of the words are settings: the sections themselves read them."""
    told = dict(vars(options))
    if "cache" in told:
        told["cache"] = cache_folder() if told["cache"] else None
    if told.get("engine") == "auto":
        told["engine"], told["options"] = engine_here(told["options"], commercial=told.get("commercial", False))
    if "options" in told:
        told["options"] = options_of(told["options"], told["engine"])
    sections = {name: kind(**{each.name: told[each.name] for each in fields(kind) if each.name in told})
                for name, kind in SECTIONS.items()}  # fmt: skip
    return Settings(**sections)


def engine_here(words: Sequence[str], *, commercial: bool) -> tuple[str, Sequence[str]]:
    """The engine that is taken where the choice is left to us, which is told; and the words of its settings. Raises
    UsageError."""
    from vidswap.swap.choice import accelerator, best, knows

    asked = [word.removeprefix("vram=") for word in words if word.startswith("vram=")]
    try:
        vram = VRAM.read(asked[-1]) if asked else None
    except ValueError as error:
        raise UsageError(f"--vram is {quoted(asked[-1])}", f"allowed: {VRAM.allowed}") from error
    name, why = best(accelerator(), commercial=commercial, vram=vram)
    tell(f"--engine auto takes {name}: {why}")
    return name, words if knows(name, "vram") else [word for word in words if not word.startswith("vram=")]


def cache_folder() -> Path | None:
    """Where this user's caches are on this system; None for a user without a home."""
    import platformdirs

    try:
        return platformdirs.user_cache_path("vidswap", appauthor=False)
    except RuntimeError:
        return None


def warn(notes: Sequence[str]) -> None:
    """What a person should know of how a command went."""
    for note in notes:
        tell(f"warning: {in_flags(note)}")


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
    return "--set" if name == "options" else before + name.replace("_", "-")


def place(words: str) -> Path:
    """A path; one of no letters would be the folder that one is in, and is what an empty variable of a shell leaves."""
    if not words:
        raise UsageError("a path is empty", "give that of a file or a folder")
    return Path(words)
