"""How much of clients' addresses is seen: nothing, unless it was asked for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from relay.daemon.log_observer import LogObserver
from relay.limits.client_address import redact_address
from tests.support.recorded_events import CANARY_V4, CANARY_V6, EVERY_EVENT, Log, bare_logging


@pytest.fixture(autouse=True)
def _bare_logging() -> Iterator[None]:
    with bare_logging():
        yield


@pytest.mark.parametrize(
    ("client", "truncated"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:beef:cafe::77", "2001:db8:beef::/48"),
        ("2001:db8:beef:cafe::/64", "2001:db8:beef::/48"),
        ("::ffff:192.0.2.77", "192.0.2.0/24"),
        ("fe80::1%eth0", "fe80::/48"),
        ("10.0.0.0/8", "10.0.0.0/8"),
    ],
)
def test_addresses(client: str, truncated: str) -> None:
    """An address is hidden, cut to the network of many, or shown as it is."""
    assert redact_address(client, "off") == ""
    assert redact_address(client, "truncated") == truncated
    assert redact_address(client, "full") == client


@pytest.mark.parametrize("client", ["", "unknown", "host.example", "1.2.3.4, 5.6.7.8"])
def test_what_is_no_address(client: str) -> None:
    """What is not an address is not shown at all."""
    assert redact_address(client, "truncated") == ""
    assert redact_address(client, "full") == ""


@pytest.mark.parametrize("format", ["auto", "text", "json"])
def test_no_address_unless_asked_for(format: str) -> None:
    """No line of any format, and no representation, holds an address that was not asked for."""
    shown = {}
    for how in ("off", "truncated", "full"):
        log = Log(format=format)
        observer = LogObserver(log.log, how, clock=lambda: 0.0)
        for event in EVERY_EVENT:
            observer.on_event(event)
        shown[how] = log.text() + repr(EVERY_EVENT) + repr(observer) + repr(log.log)
    assert not any(part in shown["off"] for part in ("192.0.2", "2001:db8"))
    assert not any(canary in shown["truncated"] for canary in (CANARY_V4, CANARY_V6, "cafe"))
    assert all(canary in shown["full"] for canary in (CANARY_V4, CANARY_V6))
    assert all(text.count("5f3a91c2d4") > 1 for text in shown.values())
