"""What lets a shell complete our words."""

from __future__ import annotations

import argparse
from dataclasses import fields
from typing import Any

from vidswap.cli.console import say
from vidswap.cli.words import Parser, place
from vidswap.libraries import loading
from vidswap.settings import PATHS, SECTIONS

ABOUT = "a script that lets your shell complete these words"


def words(words: Parser) -> None:
    words.add_argument("shell", choices=("bash", "zsh", "fish", "tcsh", "powershell"))


def run(options: argparse.Namespace) -> None:
    with loading():
        script = completion(options.all_words, options.shell)
    say(*script.splitlines())


def completion(top: Parser, shell: str) -> str:
    """The script for a shell: every option that takes a file completes one."""
    import shtab

    kinds = {each.name: vars(section)[each.name].kind for section in SECTIONS.values() for each in fields(section)}
    for command in commands(top):
        for action in command._actions:
            if action.type is place or kinds.get(action.dest) in PATHS:
                action.complete = shtab.FILE
    return str(shtab.complete(top, shell))


def commands(top: Parser) -> list[Any]:
    """The parser of each command, and of what it has within it."""
    within = [each.choices.values() for each in top._actions if isinstance(each, argparse._SubParsersAction)]
    return [found for parsers in within for parser in parsers for found in (parser, *commands(parser))]
