"""State, bytes and rate of the sessions of a command, as text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import pytest

from relay.cli.endpoint.status import Status, Traffic, size_text
from relay.client import (
    Connected,
    Ended,
    Lost,
    PeerAborted,
    Retrying,
    Session,
    TargetError,
    Waiting,
)


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
    assert size_text(size) == text


def test_traffic() -> None:
    """The bytes of ended sessions count, and the rate is that of the last calls."""
    traffic = Traffic()
    assert traffic.text(0.0) == ""
    first, second = Counters(), Counters()
    with traffic.counting(cast("Session", first)):
        with traffic.counting(cast("Session", second)):
            first.bytes_sent, second.bytes_received = 3_000_000, 1_000_000
            assert traffic.text(1.0) == "sent 3.00 MB, received 1.00 MB | 4.00 MB/s"
        assert traffic.bytes == (3_000_000, 1_000_000)
    for time in range(2, 6):
        text = traffic.text(time)
    assert text == "sent 3.00 MB, received 1.00 MB | 0 B/s"


def test_rate_without_time() -> None:
    """The first call has no rate."""
    traffic = Traffic()
    with traffic.counting(cast("Session", Counters(1))):
        assert traffic.text(5.0) == "sent 1 B, received 0 B | 0 B/s"


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
