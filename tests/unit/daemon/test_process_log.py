"""Log lines about the process of a relay."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from structlog.typing import FilteringBoundLogger

from relay import Outcome, RelaySettings, RelayStatistics
from relay.daemon.certificate_expiry import Certificate
from relay.daemon.process_log import (
    log_certificate,
    log_limits,
    log_not_reloaded,
    log_reloaded,
    log_settings,
    log_signal,
    log_started,
    log_stopped,
    log_weak_token,
)
from relay.daemon.settings import DaemonSettings
from tests.support.recorded_events import Log, bare_logging

DAY = 86400.0
TOTALS = RelayStatistics(
    connections_accepted=9,
    pairs_ended={Outcome.CLOSED: 1, Outcome.BROKEN: 2},
    waiting_ended={Outcome.EXPIRED: 4},
    requests_refused={(404, "not found"): 5, (409, "pair is full"): 6},
    bytes=(5, 6),
)


@pytest.fixture(autouse=True)
def _bare_logging() -> Iterator[None]:
    with bare_logging():
        yield


def test_settings_that_differ() -> None:
    """Settings that differ from their defaults are logged in one line, in the form of flags."""
    log = Log()
    log_settings(log.log, DaemonSettings(), RelaySettings())
    assert log.text() == ""
    changed = RelaySettings(pair_ttl=17.0, trusted_proxies=("unix", "10.0.0.0/8"))
    log_settings(log.log, DaemonSettings(port=80), changed)
    (line,) = log.lines()
    assert line == {
        "level": "info",
        "event": "settings",
        "port": 80,
        "pair_ttl": 17.0,
        "trusted_proxies": "unix,10.0.0.0/8",
    }


@pytest.mark.parametrize(
    ("log_line", "expected"),
    [
        (
            lambda log: log_started(log, ["ws://[::]:1", "unix:/r"], version="1.0", pid=7),
            {"event": "started", "listening": "ws://[::]:1,unix:/r", "version": "1.0", "pid": 7},
        ),
        (
            lambda log: log_started(log, ["ws://h:1"], version="1", pid=7, metrics=["http://h:2"]),
            {
                "event": "started",
                "listening": "ws://h:1",
                "metrics": "http://h:2",
                "version": "1",
                "pid": 7,
            },
        ),
        (lambda log: log_signal(log, "SIGTERM"), {"event": "signal", "name": "SIGTERM"}),
        (
            lambda log: log_reloaded(log, ["certificate", "host token"]),
            {"event": "reloaded", "what": "certificate,host token"},
        ),
        (
            lambda log: log_not_reloaded(log, "certificate", "no such file"),
            {
                "level": "error",
                "event": "not reloaded",
                "what": "certificate",
                "why": "no such file",
            },
        ),
        (
            lambda log: log_started(log, ["ws://h:1"], version="1", pid=7, ipv6=False),
            {"event": "started", "listening": "ws://h:1", "ipv6": False, "version": "1", "pid": 7},
        ),
        (
            lambda log: log_limits(log, {"max_connections": 9.0}, descriptors=10),
            {"event": "limits", "descriptors": 10, "max_connections": 9.0},
        ),
        (
            lambda log: log_limits(log, {}, descriptors=0),
            {"event": "limits"},
        ),
        (
            lambda log: log_weak_token(log, ["one", "two"]),
            {"level": "warning", "event": "weak token", "why": "one, two"},
        ),
        (
            lambda log: log_stopped(log, TOTALS, 1.23456),
            {
                "event": "stopped",
                "uptime": 1.235,
                "connections_accepted": 9,
                "pairs_ended": 3,
                "waiting_ended": 4,
                "requests_refused": 11,
                "bytes_a": 5,
                "bytes_b": 6,
            },
        ),
    ],
)
def test_lines_of_the_relay(
    log_line: Callable[[FilteringBoundLogger], None], expected: dict[str, Any]
) -> None:
    """Start, signals, reloads and the stop are logged in one line each."""
    log = Log()
    log_line(log.log)
    assert log.lines() == [{"level": "info"} | expected]


@pytest.mark.parametrize(
    ("left", "level", "days"),
    [(90.5, "info", 90), (15, "info", 15), (13.9, "warning", 13), (-2.5, "warning", -2)],
)
def test_certificate(left: float, level: str, days: int) -> None:
    """A certificate that ends soon, or has ended, is a warning."""
    log, end = Log(), 2_000_000_000.0
    certificate = Certificate(("relay.example", "192.0.2.1"), end)
    log_certificate(log.log, certificate, end - left * DAY)
    assert log.lines() == [
        {
            "level": level,
            "event": "certificate",
            "names": "relay.example,192.0.2.1",
            "ends": "2033-05-18T03:33:20Z",
            "days": days,
        }
    ]


def test_strong_token() -> None:
    """A token without weaknesses is no line."""
    log = Log()
    log_weak_token(log.log, [])
    assert log.text() == ""
