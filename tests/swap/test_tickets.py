"""A paid job is asked for once, however often a render is stopped on the way."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from paying import Service

from vidswap import files
from vidswap.errors import EngineError, OutputError
from vidswap.swap.tickets import Ticket, is_paid, redeem


@pytest.fixture
def ticket(tmp_path: Path) -> Ticket:
    return Ticket(tmp_path / "tickets", "key", "the service", "0.84 USD")


def test_a_job_is_asked_for_and_its_answer_kept(ticket, tmp_path) -> None:
    service = Service(tmp_path / "service")
    assert ticket.answer() is None
    assert not is_paid(ticket)
    answer = redeem(ticket, service.find, service.swap)
    assert answer.read_text() == "the answer to job-0"
    assert answer.parent == ticket.folder
    assert redeem(ticket, service.find, service.swap) == answer == ticket.answer()
    assert service.requests == ["key-1"]
    assert is_paid(ticket)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_killed_anywhere_it_is_paid_once(tmp_path) -> None:
    script = Path(__file__).with_name("paying.py")
    done = subprocess.run([sys.executable, script, tmp_path], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    costs = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(costs) >= 15, "each file's way to the disk and each step of the service"
    assert costs == [[1, "the answer to job-0"]] * len(costs)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left"), RuntimeError("lost")])
@pytest.mark.parametrize("place", ["before the request", "after the request", "waiting", "fetched"])
def test_whatever_is_raised_it_is_paid_once(ticket, tmp_path, place, error) -> None:
    def step(name: str) -> None:
        if name == place:
            raise error

    with pytest.raises(type(error)):
        redeem(ticket, Service(tmp_path / "service").find, Service(tmp_path / "service", step).swap)
    service = Service(tmp_path / "service")
    assert redeem(ticket, service.find, service.swap).read_text() == "the answer to job-0"
    assert service.requests == ["key-1"]


def test_on_a_full_disk_nothing_is_asked_for(ticket, tmp_path, monkeypatch) -> None:
    def full(_path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, "sync", full)
    service = Service(tmp_path / "service")
    with pytest.raises(OutputError, match="cannot be written"):
        redeem(ticket, service.find, service.swap)
    assert service.requests == []


def test_a_disk_that_is_full_after_the_request_pays_once(ticket, tmp_path, monkeypatch) -> None:
    service, sync = Service(tmp_path / "service"), files.sync

    def full(path: Path) -> None:
        if service.requests:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(path)

    monkeypatch.setattr(files, "sync", full)
    with pytest.raises(OutputError) as raised:
        redeem(ticket, service.find, service.swap)
    assert "job-0" in raised.value.__notes__[0]
    monkeypatch.undo()
    redeem(ticket, service.find, service.swap)
    assert service.requests == ["key-1"]


def test_a_service_that_cannot_tell_is_not_asked_again(ticket, tmp_path) -> None:
    def unknown(_: Ticket) -> None:
        raise EngineError("the service finds no jobs by name", "look there yourself")

    def stop(_: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        redeem(ticket, unknown, Service(tmp_path / "service", stop).swap)
    service = Service(tmp_path / "service")
    with pytest.raises(EngineError, match="finds no jobs"):
        redeem(ticket, unknown, service.swap)
    assert service.requests == []


def test_a_job_that_failed_is_asked_for_under_another_name(ticket, tmp_path) -> None:
    def fails(paid: Ticket) -> Path:
        paid.accept("job-x")
        paid.fail()
        raise EngineError("the service refused the photo", "take another")

    service = Service(tmp_path / "service")
    with pytest.raises(EngineError, match="refused"):
        redeem(ticket, service.find, fails)
    assert not is_paid(ticket)
    assert ticket.job is None
    redeem(ticket, service.find, service.swap)
    assert service.requests == ["key-2"]


@pytest.mark.parametrize("damage", [Path.unlink, lambda answer: answer.write_text("half")])
def test_an_answer_that_is_lost_is_fetched_and_not_paid_again(ticket, tmp_path, damage) -> None:
    service = Service(tmp_path / "service")
    damage(redeem(ticket, service.find, service.swap))
    assert redeem(ticket, service.find, service.swap).read_text() == "the answer to job-0"
    assert service.requests == ["key-1"]


@pytest.mark.parametrize("content", [
    b"", b"\0" * 64, b'{"key": "key", "state"', b"[]", b'{"key": "other", "state": "asked"}', b'{"state": "asked"}',
    b'{"key": "key", "state": "asked", "more": 1}', b'{"key": "key", "state": "accepted"}',
    b'{"key": "key", "state": "paid"}', b'{"key": "key", "state": "asked", "attempt": true}',
    b'{"key": "key", "state": "done", "job": "1", "file": "../../secret", "digest": "0"}', b"\xff\xfe",
])  # fmt: skip
def test_a_damaged_ticket_is_never_taken_for_none(ticket, tmp_path, content) -> None:
    ticket.folder.mkdir()
    ticket.path.write_bytes(content)
    service = Service(tmp_path / "service")
    with pytest.raises(EngineError, match=r"damaged .*may have been paid 0.84 USD for the job key-1"):
        redeem(ticket, service.find, service.swap)
    assert service.requests == []
    assert ticket.path.read_bytes() == content


def test_an_answer_elsewhere_is_the_engines_fault(ticket, tmp_path) -> None:
    def swap(paid: Ticket) -> Path:
        paid.accept("job-0")
        return tmp_path / "somewhere.mp4"

    with pytest.raises(EngineError, match="no file in"):
        redeem(ticket, lambda _: None, swap)
