"""Who agreed to what, until when: the record of it, and whether it covers what a command is about to do.

`self` is the person at the keyboard swapping themselves: what they then ask for, a remote engine too, is theirs to ask
for. Anyone else's record names purposes ("our short film") or the words that commands check: `swap`, `bench`, `train`,
`remote`.
"""

from __future__ import annotations

import os
import tomllib
from datetime import date, datetime
from pathlib import Path
from typing import Any

from vidswap.errors import ConsentError, quoted
from vidswap.types import Consent

SELF = Consent("self")
SWAP, BENCH, EVALUATE, TRAIN, REMOTE = "swap", "bench", "evaluate", "train", "remote"
MAX_RECORD = 64 << 10
HINT = "consent is the word self, or the path of a TOML record with subject, uses and until"
_KEYS = ("subject", "uses", "until")


def load_consent(word: str | os.PathLike[str]) -> Consent:
    """`word` is "self" (the person swaps themselves), or the path of a small TOML record: `subject` (who), and if
    wanted `uses` (a list of what for) and `until` (a date, inclusive). What it allows says `permit`.
    Raises ConsentError."""
    if word == SELF.record:
        return SELF
    path = _path(word)
    record = _record(path)
    subject, uses = record.get("subject"), record.get("uses", [])
    if not isinstance(subject, str) or not subject.strip():
        raise ConsentError(f"consent record {path.name} names no subject", 'add a line: subject = "Full Name"')
    if not isinstance(uses, list) or not all(isinstance(use, str) and use.strip() for use in uses):
        raise ConsentError(f"uses in {path.name} is not a list of words", 'write: uses = ["short film"]')
    if unknown := sorted(record.keys() - set(_KEYS)):  # a mistyped "until" must not become consent without end
        raise ConsentError(f"{path.name} has {', '.join(unknown)}, which nobody would keep to",
                           f"it may have {', '.join(_KEYS)}; write all else behind a #")  # fmt: skip
    return Consent(subject.strip(), tuple(use.strip() for use in uses), _until(record.get("until"), path), path.name)


def permit(consent: Consent, use: str, today: date | None = None) -> None:
    """Raise ConsentError unless the consent holds today and covers a use: SWAP, BENCH, TRAIN, or a purpose that it
    names; or REMOTE, pictures of the person leaving this machine.

    A record without purposes covers any use on this machine, one with purposes these alone; to swap is to follow any
    of them. REMOTE is covered where it is named."""
    if consent.until is not None and consent.until < (today or date.today()):
        raise ConsentError(f"consent of {consent.subject} ended on {consent.until}",
                           "ask the person again and renew the record")  # fmt: skip
    if consent == SELF:
        return
    words = {word.casefold() for word in consent.uses}
    purposes = words - {REMOTE}
    if use == REMOTE:
        covered = REMOTE in words
    else:
        followed = use == SWAP and not purposes <= {BENCH, EVALUATE, TRAIN}
        covered = not purposes or use.casefold() in purposes or followed
    if not covered:
        agreed = ", ".join(consent.uses) or "any use on this machine"
        raise ConsentError(f"{consent.subject} agreed to: {agreed}; that does not cover {_said(use)}",
                           f'ask the person; if they agree, add "{use}" to uses in {consent.record}')  # fmt: skip


def _said(use: str) -> str:
    said = {SWAP: "a swap", BENCH: "a swap for measuring (bench)", REMOTE: "sending their face to another machine",
            TRAIN: "a model that is trained on their face"}  # fmt: skip
    return said.get(use, use)


def _path(word: str | os.PathLike[str]) -> Path:
    try:
        return Path(word)
    except TypeError as error:
        raise ConsentError(f"{quoted(word)} is no consent record", HINT) from error


def _record(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_RECORD + 1)
        if len(raw) > MAX_RECORD:
            raise ConsentError(f"consent record {path} is larger than {MAX_RECORD >> 10} KB", HINT)
        return tomllib.loads(raw.decode("utf-8-sig"))
    except (OSError, ValueError) as error:  # ValueError: not UTF-8, not TOML, or no possible path
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConsentError(f"cannot read consent record {path}: {reason}", HINT) from error


def _until(value: object, path: Path) -> date | None:
    if isinstance(value, datetime):
        return value.date()
    if value is None or isinstance(value, date):
        return value
    try:
        return date.fromisoformat(str(value))
    except ValueError as error:
        raise ConsentError(f"until in {path.name} is no date: {value}", "write: until = 2030-12-31") from error
