"""Log lines about pairs and refusals."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import trio

from relay.daemon.log_observer import LogObserver
from relay.events import Event, ProxyNotTrusted, RequestRefused, TlsHandshakeFailed
from relay.transport.tls_failure import TlsFailure
from tests.support.recorded_events import (
    ALONE,
    CANARY_V4,
    CANARY_V6,
    ENDED,
    EVERY_EVENT,
    HANDSHAKE_FAILED,
    JOINED,
    PROBED,
    REFUSED,
    STOPPING,
    TEXT_DROPPED,
    WAITING,
    Log,
    bare_logging,
)

FULL = RequestRefused(503, "relay is full")


@pytest.fixture(autouse=True)
def _bare_logging() -> Iterator[None]:
    with bare_logging():
        yield


def test_joined_pair() -> None:
    """A joined pair has one line at its end: outcome, times, traffic, and by default no address."""
    log = Log()
    LogObserver(log.log).on_event(ENDED)
    assert log.lines() == [
        {
            "level": "info",
            "event": "pair ended",
            "pair": "5f3a91c2d4",
            "outcome": "closed",
            "wait_time": 2.5,
            "duration": 61.235,
            "bytes_a": 3000,
            "bytes_b": 70,
            "messages_a": 12,
            "messages_b": 3,
            "text_messages_dropped_b": 1,
            "blocked_time_b": 1.25,
        }
    ]


def test_a_side_that_waited_in_vain() -> None:
    """The line of a side that never had a peer has no fields of a pair."""
    log = Log()
    LogObserver(log.log, "full").on_event(ALONE)
    assert log.lines() == [
        {
            "level": "info",
            "event": "waiting ended",
            "pair": "0badc0de77",
            "outcome": "expired",
            "wait_time": 300.0,
            "client_a": CANARY_V6,
        }
    ]


def test_life_of_a_code() -> None:
    """Every line about a code has the same hash, from the waiting side to a refused client."""
    log = Log("info")
    observer = LogObserver(log.log, "full", clock=lambda: 0.0)
    for event in (WAITING, JOINED, TEXT_DROPPED, PROBED, REFUSED):
        observer.on_event(event)
    pair = {"level": "info", "pair": "5f3a91c2d4"}
    assert log.lines() == [
        {"event": "side waiting", "client": CANARY_V4} | pair,
        {"event": "pair joined", "wait_time": 2.5, "client": CANARY_V6} | pair,
        {"event": "text dropped", "side": "b"} | pair,
        {"event": "takeover checked", "answered": True} | pair,
        {"event": "refused", "status": 409, "reason": "pair is full", "client": CANARY_V4} | pair,
    ]


@pytest.mark.parametrize("event", [PROBED, TEXT_DROPPED])
def test_lines_are_limited_in_rate(event: Event) -> None:
    """A client that knows a code in use cannot fill the log."""
    log = Log()
    observer = LogObserver(log.log, clock=lambda: 0.0)
    for _ in range(15):
        observer.on_event(event)
    assert len(log.lines()) == 10


def test_cause_of_a_401() -> None:
    """The line has the cause, which the client does not get."""
    log = Log()
    LogObserver(log.log, clock=lambda: 0.0).on_event(
        RequestRefused(401, "opening a new code needs a token", detail="wrong token")
    )
    assert log.lines()[0]["detail"] == "wrong token"


def test_refusals() -> None:
    """A refusal for a fault of the client is logged at level info, for a limit as a warning."""
    log = Log()
    observer = LogObserver(log.log, "truncated", clock=lambda: 0.0)
    observer.on_event(REFUSED)
    observer.on_event(FULL)
    assert log.lines() == [
        {
            "level": "info",
            "event": "refused",
            "status": 409,
            "reason": "pair is full",
            "pair": "5f3a91c2d4",
            "client": "192.0.2.0/24",
        },
        {"level": "warning", "event": "refused", "status": 503, "reason": "relay is full"},
    ]


async def test_refusals_are_limited_in_rate(autojump_clock: trio.testing.MockClock) -> None:
    """Ten lines at once, then one a second; the next line counts the suppressed ones."""
    log = Log()
    observer = LogObserver(log.log)
    for _ in range(1000):
        observer.on_event(REFUSED)
    lines = log.lines()
    assert len(lines) == 10
    assert not any("suppressed" in line for line in lines)
    await trio.sleep(1)
    observer.on_event(REFUSED)
    observer.on_event(REFUSED)
    assert [line["suppressed"] for line in log.lines()] == [990]
    await trio.sleep(3600)
    for _ in range(1000):
        observer.on_event(REFUSED)
    lines = log.lines()
    assert len(lines) == 10
    assert [line.get("suppressed") for line in lines] == [1] + [None] * 9


def test_one_kind_of_refusal_does_not_hide_another() -> None:
    """Each status has its own limit; the last line counts the suppressed lines."""
    log = Log()
    observer = LogObserver(log.log, clock=lambda: 0.0)
    for _ in range(15):
        observer.on_event(REFUSED)
        observer.on_event(FULL)
    assert [line["status"] for line in log.lines()] == [409, 503] * 10
    observer.on_event(STOPPING)
    observer.on_event(STOPPING)
    expected = {"level": "info", "event": "stopping", "pairs": 3, "waiting": 1}
    assert log.lines() == [expected | {"suppressed": 10}, expected]


def test_failed_handshakes() -> None:
    """A failed TLS handshake is logged at level debug, with a rate limit for each kind."""
    log = Log()
    observer = LogObserver(log.log, "truncated", clock=lambda: 0.0)
    for _ in range(15):
        observer.on_event(HANDSHAKE_FAILED)
    observer.on_event(TlsHandshakeFailed(TlsFailure.TIMEOUT))
    *refused, timeout = log.lines()
    assert refused == 10 * [
        {
            "level": "debug",
            "event": "tls handshake failed",
            "kind": "certificate_refused",
            "detail": "tlsv1 alert unknown ca",
            "client": "192.0.2.0/24",
        }
    ]
    assert timeout == {"level": "debug", "event": "tls handshake failed", "kind": "timeout"}


@pytest.mark.parametrize(
    ("addresses", "limits_clients", "peer", "shown"),
    [
        ("full", False, CANARY_V4, {"peer": CANARY_V4}),
        ("truncated", False, CANARY_V4, {"peer": "192.0.2.0/24"}),
        ("off", True, CANARY_V4, {}),
        ("off", True, "unix", {"peer": "unix"}),
        ("off", False, CANARY_V4, None),
    ],
)
def test_proxy_that_is_not_trusted(
    addresses: str, limits_clients: bool, peer: str, shown: dict[str, str] | None
) -> None:
    """It is a warning if the addresses of clients matter, for limits or for the log."""
    log = Log()
    observer = LogObserver(log.log, addresses, limits_clients=limits_clients)
    observer.on_event(ProxyNotTrusted(peer))
    if shown is None:
        assert log.text() == ""
        return
    (line,) = log.lines()
    assert "trusted_proxies" in line.pop("why")
    assert line == {"level": "warning", "event": "proxy not trusted"} | shown


def test_a_line_for_each_event() -> None:
    """An event is one line at the level debug, too."""
    log = Log(format="text")
    observer = LogObserver(log.log, limits_clients=True, clock=lambda: 0.0)
    for event in (*EVERY_EVENT, replace(ENDED, pair="77777777")):
        observer.on_event(event)
        assert log.text().count("\n") == 1
