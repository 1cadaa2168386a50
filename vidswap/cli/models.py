"""The models: those that ship, and those that are pulled where somebody wants them."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from vidswap.cli.console import bars, say, say_json, tell
from vidswap.cli.words import Parser, json_word
from vidswap.errors import UsageError, quoted

ABOUT = "what ships and what can be pulled: licence, size, sha256"
ACTIONS = ("list", "pull", "verify", "remove", "seal")


def words(words: Parser) -> None:
    words.add_argument("action", nargs="?", default="list", choices=ACTIONS,
                       help="list them; load some that do not ship; compare sha256; delete some that were pulled; "
                       "take down new sha256: after training, or of files that were put there by hand")  # fmt: skip
    words.add_argument("names", nargs="*", metavar="NAME", help="which (default: all that are here)")
    words.add_argument("--offline", action="store_true", help="ask no network, as HF_HUB_OFFLINE=1 says for good")
    json_word(words)


def run(options: argparse.Namespace) -> None:
    from vidswap.models import hub
    from vidswap.models.registry import registry

    known = {**registry(), **hub.entries()}
    if unknown := [name for name in options.names if name not in known]:
        raise UsageError(f"no model is called {quoted(unknown[0])}", f"there are: {', '.join(known)}")
    if not options.names and options.action in ("pull", "remove"):
        raise UsageError(f"nothing is named to {options.action}", f"one or more of: {', '.join(hub.entries())}")
    if ships := [name for name in options.names if name in registry() and options.action in ("pull", "remove")]:
        raise UsageError(f"'{ships[0]}' ships with vidswap", f"to {options.action}: {', '.join(hub.entries())}")
    ACTS[options.action](options)


def _list(options: argparse.Namespace, said: str = "") -> None:
    """Those that are named, or all."""
    from vidswap.models import hub
    from vidswap.models.registry import registry

    names = options.names
    shipped = {name: model for name, model in registry().items() if name in names or not names}
    pulled = {name: entry for name, entry in hub.entries().items() if name in names or not names}
    if options.json:
        return say_json({**{name: {**asdict(model), "ships": True} for name, model in shipped.items()},
                         **{name: _facts(entry) for name, entry in pulled.items()}})  # fmt: skip
    for model in shipped.values():
        use = "commercial use allowed" if model.commercial else "no commercial use"
        say(f"{model.name}: {model.purpose}", f"  {model.licence}, {use}; {model.source}")
        for file in model.files:
            say(f"  {file.sha256}  {file.bytes:>9,}  {file.path}")
    if shipped:
        say(f"{sum(model.bytes for model in shipped.values()) / 1e6:.1f} MB that ship{said}")
    for entry in pulled.values():
        _show(entry, detailed=bool(names))


def _show(entry: Any, *, detailed: bool) -> None:
    from vidswap.models import hub

    lock = hub.lock_of(entry.name)
    there = (
        f"here, {hub.size_of(lock.bytes)}" if lock else "kept elsewhere" if hub.installed([entry.name]) else "not here"
    )
    say(f"{entry.name}: {entry.purpose}", f"  {there}; {entry.terms}; {entry.memory:g} GB of memory")
    if detailed:
        say(f"  {entry.repo or ' '.join(entry.urls) or entry.elsewhere}" + (f" at {lock.commit}" if lock else ""))
        for path, held in lock.files.items() if lock else ():
            say(f"  {held.sha256}  {held.bytes:>13,}  {path}")


def _facts(entry: Any) -> Mapping[str, object]:
    """An entry, and what of it is here, for JSON."""
    from vidswap.models import hub

    lock, told = hub.lock_of(entry.name), asdict(entry)
    files = (
        [{"path": path, "sha256": held.sha256, "bytes": held.bytes} for path, held in lock.files.items()]
        if lock
        else []
    )
    return {**told, "ships": False, "installed": hub.installed([entry.name]), "patterns": told["files"], "files": files,
            "commit": lock.commit if lock else "", "place": hub.home() / entry.name if lock else None}  # fmt: skip


def _pull(options: argparse.Namespace) -> None:
    from vidswap.models import hub
    from vidswap.models.pull import pull

    for name in options.names:
        found = hub.entry(name)
        (tell if options.json else say)(f"{name}: {found.purpose}; {found.terms}")
        with bars() as report:
            place = pull(name, offline=options.offline, report=report)
        if not options.json:
            say(f"{name} is at {place}")
    if options.json:
        say_json({name: _facts(hub.entry(name)) for name in options.names})


def _verify(options: argparse.Namespace) -> None:
    from vidswap.models import hub
    from vidswap.models.registry import path_to, registry

    here = [name for name in hub.entries() if hub.lock_of(name)]
    for name in options.names or (*registry(), *here):
        path_to(name) if name in registry() else hub.verify(name)
    if not options.names:
        options.names = [*registry(), *here]
    _list(options, ", all verified")


def _remove(options: argparse.Namespace) -> None:
    from vidswap.models import hub

    freed = {name: hub.remove(name) for name in options.names}
    if options.json:
        return say_json({"freed": freed})
    for name, count in freed.items():
        say(f"{name}: {hub.size_of(count)} freed" if count else f"{name} was not here")


def _seal(options: argparse.Namespace) -> None:
    from vidswap.models import ROOT, hub
    from vidswap.models.registry import record_checksums, registry

    shipped = registry()
    present = {name for name, model in shipped.items() if (ROOT / model.path).exists()}
    record_checksums({name for name in options.names if name in shipped} if options.names else present)
    for name in options.names:
        if name not in shipped:
            hub.seal(name)
    _list(options)


ACTS = {"list": _list, "pull": _pull, "verify": _verify, "remove": _remove, "seal": _seal}
