"""The first proxy that the relay does not trust is an event."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from relay import ProxyNotTrusted
from tests.support.raw_client import upgrade_request
from tests.support.requests import with_lines
from tests.support.running_relay import running

X_FORWARDED_FOR, FORWARDED = "X-Forwarded-For: 192.0.2.1", "Forwarded: for=192.0.2.1"


@pytest.mark.parametrize(
    ("line", "settings", "expected"),
    [
        (X_FORWARDED_FOR, {}, ["127.0.0.2"]),
        (FORWARDED, {}, ["127.0.0.2"]),
        (X_FORWARDED_FOR, {"trusted_proxies": ("127.0.0.9",)}, ["127.0.0.2"]),
        (X_FORWARDED_FOR, {"trusted_proxies": ("127.0.0.2",)}, ["127.0.0.3"]),
        (X_FORWARDED_FOR, {"trusted_proxies": ("127.0.0.0/8",)}, []),
        ("X-Other: 192.0.2.1", {}, []),
    ],
)
async def test_first_one_only(
    line: str, settings: dict[str, Any], expected: list[str], time_limit: None
) -> None:
    """Several proxies that are not trusted cause one event, with the address of the first."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with running(listeners=listeners, **settings) as relay:
        for peer in ("127.0.0.2", "127.0.0.2", "127.0.0.3"):
            client = await relay.connect_from(peer)
            await client.send(with_lines(upgrade_request(f"/?pair={peer}"), line))
            assert (await client.response()).status == 101
        assert [event.peer for event in relay.events_of(ProxyNotTrusted)] == expected
        assert "127.0.0." not in repr(relay.events_of(ProxyNotTrusted))
