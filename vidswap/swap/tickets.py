"""What is paid is asked for once: a file for each job, on the disk before the request is sent.

    none --ask--> asked --accept--> accepted --finish--> done
                                       `--fail--> failed --ask--> asked, under another name

A render may be killed between any two of these. After `asked` nobody knows whether the request arrived: the service is
asked for a job of that name, and only if it has none the request is sent again, under the same name. After `accepted`
the job is waited for, after `done` its file is there. A ticket that cannot be read is never taken for none.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal, get_args

from vidswap.errors import EngineError, InputError
from vidswap.files import as_output_error, noted_as, publish, write_whole
from vidswap.keys import digest_of

State = Literal["none", "asked", "accepted", "failed", "done"]


@dataclass(frozen=True)
class Entry:
    """What a ticket's file says: the `state`, under which `attempt` the job was asked for, its number as the service
    has it, the name of the answer's file and the sha256 of its bytes."""

    state: State = "none"
    attempt: int = 1
    job: str = ""
    file: str = ""
    digest: str = ""

    def __post_init__(self) -> None:
        wanted = {"attempt": int}
        if any(type(getattr(self, each.name)) is not wanted.get(each.name, str) for each in fields(self)):
            raise ValueError("it is of other values")
        if self.state not in get_args(State) or Path(self.file).name != self.file:
            raise ValueError(f"its state is {self.state[:20]!r}")
        if (self.state == "accepted" and not self.job) or (self.state == "done" and not (self.file and self.digest)):
            raise ValueError(f"it says {self.state}, and not of what")


@dataclass(frozen=True)
class Ticket:
    """One job of an engine, in a `folder` that is kept until the render is finished. `key` is a digest of all that the
    answer depends on, `engine` and `price` words for messages; `face` (frame, x, y) is where the face is that is to
    change, x and y from 0 to 1."""

    folder: Path
    key: str
    engine: str = "the engine"
    price: str = "nothing"
    face: tuple[int, float, float] = (0, 0.5, 0.5)

    @property
    def path(self) -> Path:
        return self.folder / f"{self.key}.ticket"

    @property
    def name(self) -> str:
        """Under which the job is asked for: no other job has it. (Services call it idempotency key, external id.)"""
        return f"{self.key}-{self.read().attempt}"

    @property
    def job(self) -> str | None:
        """The number of the job that was accepted."""
        return self.read().job or None

    def read(self) -> Entry:
        """What is known of the job. Raises EngineError where the ticket is damaged."""
        try:
            said = json.loads(self.path.read_bytes())
            if not isinstance(said, dict) or said.pop("key", None) != self.key:
                raise ValueError("it is another job's")
            if not said.keys() <= {each.name for each in fields(Entry)}:
                raise ValueError("it says more than a ticket does")
            return Entry(**said)
        except FileNotFoundError:
            return Entry()
        except (OSError, ValueError) as error:
            raise EngineError(f"the ticket {self.path} is damaged ({error}): {self.engine} may have been paid "
                              f"{self.price} for the job {self.key}-1, and is not asked again",
                              "look for that job there; if there is none, remove the file") from error  # fmt: skip

    def ask(self) -> None:
        """The job is about to be asked for. Raises OutputError; then it must not be."""
        before = self.read()
        self._write(Entry("asked", before.attempt + (before.state == "failed")))

    def accept(self, job: str) -> None:
        """The service has the job, and calls it so. Raises OutputError."""
        with noted_as(f"{self.engine} has the job as {job}: it is found again by the name {self.name}"):
            self._write(Entry("accepted", self.read().attempt, job))

    def fail(self) -> None:
        """The job came to nothing, and nothing of it is paid: it may be asked for anew. Raises OutputError."""
        self._write(Entry("failed", self.read().attempt))

    def finish(self, answer: Path) -> Path:
        """The answer is there, as a file in the folder: its name from now on. Raises OutputError."""
        entry, place = self.read(), self.folder / f"{self.key}{answer.suffix}"
        with as_output_error(place):
            publish(answer, place)
        self._write(Entry("done", entry.attempt, entry.job, place.name, digest_of(place)))
        return place

    def answer(self) -> Path | None:
        """The file of a job that is done; None where there is none, or its bytes are not those that came."""
        entry = self.read()
        try:
            place = self.folder / entry.file
            return place if entry.file and digest_of(place) == entry.digest else None
        except InputError:
            return None

    def _write(self, entry: Entry) -> None:
        with as_output_error(self.path):
            self.folder.mkdir(exist_ok=True)
            write_whole(self.path, json.dumps({"key": self.key, **asdict(entry)}).encode())


def redeem(ticket: Ticket, find: Callable[[Ticket], str | None], swap: Callable[[Ticket], Path]) -> Path:
    """The answer to a ticket: kept, waited for, or asked for. `find` and `swap` are a ClipEngine's.

    Whatever was raised, or however the process ended, the next call goes on from there, and pays nothing twice. Raises
    EngineError, OutputError."""
    if kept := ticket.answer():
        return kept
    entry = ticket.read()
    if entry.state in ("none", "failed"):
        ticket.ask()
    elif not entry.job and (job := find(ticket)):
        ticket.accept(job)
    answer = swap(ticket)
    if answer.parent != ticket.folder or not answer.is_file():
        raise EngineError(f"{ticket.engine} says that its answer is {answer}, which is no file in {ticket.folder}",
                          "that is a fault of the engine: report it")  # fmt: skip
    return ticket.finish(answer)


def is_paid(ticket: Ticket) -> bool:
    """Whether nothing more is to pay for a job."""
    return ticket.read().state in ("accepted", "done")
