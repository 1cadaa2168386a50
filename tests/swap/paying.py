"""A service that is paid for each request, in a folder: `python paying.py FOLDER` redeems one ticket after another,
each killed at another step of the way and then redeemed to the end, and tells what each cost."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from vidswap.swap.tickets import Ticket, redeem

STEPS = 40  # more than there are


def go_on(_step: str) -> None:
    """A step of the way at which nothing happens."""


class Service:
    """Jobs by their names, kept where no render reaches: requests are counted, jobs found, answers fetched."""

    def __init__(self, folder: Path, step: Callable[[str], None] = go_on) -> None:
        self.folder, self.step = folder, step
        folder.mkdir(exist_ok=True)

    @property
    def requests(self) -> list[str]:
        return [json.loads(path.read_text()) for path in sorted(self.folder.glob("*.request"))]

    def find(self, ticket: Ticket) -> str | None:
        self.step("find")
        found = [number for number, name in enumerate(self.requests) if name == ticket.name]
        return f"job-{found[0]}" if found else None

    def swap(self, ticket: Ticket) -> Path:
        if ticket.job is None:
            self.step("before the request")
            number, name = len(self.requests), ticket.name
            (self.folder / f"{number:03d}.request").write_text(json.dumps(name))
            self.step("after the request")
            ticket.accept(f"job-{number}")
        self.step("waiting")
        (ticket.folder / "answer.mp4").write_bytes(f"the answer to {ticket.job}".encode())
        self.step("fetched")
        return ticket.folder / "answer.mp4"


def redeemed(folder: Path, die: int) -> None:
    """Redeem a ticket; killed at the step of this number (0: never)."""
    left, sync, replace = die, os.fsync, os.replace

    def step(_name: str) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def fsync(handle: int) -> None:
        step("before it is on the disk")
        sync(handle)

    def renamed(one: str, other: str) -> None:
        step("before it has its name")
        replace(one, other)
        step("after it has its name")

    os.fsync, os.replace = fsync, renamed
    service = Service(folder / "service", step)
    redeem(Ticket(folder / "tickets", "key"), service.find, service.swap)


def ended(folder: Path, die: int) -> int:
    """The status of a process that did so."""
    if child := os.fork():
        return os.waitpid(child, 0)[1]
    redeemed(folder, die)
    os._exit(0)


def main(folder: str) -> None:
    for number in range(1, STEPS):
        place = Path(folder) / str(number)
        place.mkdir()
        if ended(place, number) == 0:
            return  # there are no more steps
        assert ended(place, 0) == 0
        answer = Ticket(place / "tickets", "key").answer()
        requests = Service(place / "service").requests
        print(json.dumps([len(requests), answer.read_text() if answer else ""]), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
