"""State, bytes and rate of the sessions of a command, as text."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from relay.cli.endpoint.progress import Traffic, format_size, progress_line
from relay.cli.endpoint.status import Status
from relay.client.errors import PeerAborted, TargetError
from relay.client.events import Connected, Ended, Lost, Retrying, Waiting


@dataclass
class Counters:
    """Session that has only counters."""

    bytes_sent: int = 0
    bytes_received: int = 0


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (12_345, "12.3 kB"),
        (123_456, "123 kB"),
        (1_234_567, "1.23 MB"),
        (5_000_000_000_000, "5000 GB"),
    ],
)
def test_size(size: int, text: str) -> None:
    """A size has three digits and a unit."""
    assert format_size(size) == text


def test_traffic() -> None:
    """The bytes of ended sessions count, and the rate is that of the last two seconds."""
    time = 0.0
    traffic = Traffic(lambda: time)
    assert progress_line("waiting", traffic) == "waiting"
    first, second = Counters(), Counters()
    with traffic.counting(first):
        with traffic.counting(second):
            assert traffic.rate() == 0
            first.bytes_sent, second.bytes_received = 3_000_000, 1_000_000
            time = 1.0
            assert traffic.rate() == 4e6
        time = 4.0
        assert traffic.rate() == 0
        assert traffic.bytes == (3_000_000, 1_000_000)
    assert progress_line("1 guest", traffic) == "1 guest | sent 3.00 MB, received 1.00 MB | 0 B/s"


def test_host() -> None:
    """The state of a host has its guests; a line tells each change once."""
    status = Status("guest", "waiting for guests")
    assert status.text == "connecting to the relay"
    assert status.update(Retrying(None, "connection refused", 1)) == (
        "connection refused; trying again"
    )
    assert status.update(Retrying(None, "connection refused", 2)) == ""
    assert status.text == "connection refused; trying again"
    assert status.update(Waiting()) == status.text == "waiting for guests"
    assert status.update(Waiting()) == ""
    assert status.update(Connected("a")) == "session a: connected"
    assert status.text == "1 guest"
    assert status.is_well
    status.update(Connected("b"))
    assert status.text == "2 guests"
    lost = "session a: connection lost: closed 1001; reconnecting"
    assert status.update(Lost("a", "closed 1001")) == lost
    assert status.update(Retrying("a", "closed 1001", 1)) == ""
    assert status.update(Retrying("a", "refused", 1)) == "session a: refused; trying again"
    assert status.text == "1 guest, 1 guest reconnecting (refused)"
    assert not status.is_well
    status.update(Connected("a"))
    assert status.update(Ended("b", None)) == "session b: ended"
    error = TargetError("connection refused")
    assert status.update(Ended("a", error)) == "session a: failed: connection refused"
    closed = PeerAborted(2, "the program closed the session")
    assert status.update(Ended("c", closed)) == "session c: the program closed the session"
    assert status.text == "waiting for guests"


def test_guest() -> None:
    """A guest waits for its host, and has no state without a connection of its own."""
    status = Status("session", "waiting for connections", "waiting for the host", note="")
    assert status.text == "waiting for connections"
    assert status.update(Waiting()) == status.text == "waiting for the host"
    status.update(Connected("a"))
    status.update(Ended("a", None))
    assert status.text == "waiting for connections"
