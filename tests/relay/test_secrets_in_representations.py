"""No object of a relay shows codes, payloads, tokens or addresses."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import trio

from relay import PairEnded
from tests.support.raw_client import Client, encode, upgrade_request
from tests.support.requests import with_lines
from tests.support.running_relay import WatchedRelay, running

CODE, PAYLOAD, TOKEN, ADDRESS = "canary-code", "canary-payload", "canary-token", "192.0.2.77"
ANOTHER_TOKEN = "canary-wrong-token"  # noqa: S105 - it opens nothing
SECRETS = (CODE, PAYLOAD, TOKEN, ANOTHER_TOKEN, ADDRESS, "127.0.0.77")
TOO_MANY = (429, "too many connections from this client")


async def join_behind_a_proxy(relay: WatchedRelay, code: str, token: str) -> Client:
    """Return a client behind a proxy that has joined."""
    client = await relay.connect_from("127.0.0.77")
    head = upgrade_request(f"/?pair={code}")
    lines = (f"Authorization: Bearer {token}", f"X-Forwarded-For: {ADDRESS}")
    await client.send(with_lines(head, *lines))
    assert (await client.response()).status == 101
    return client


async def test_no_representation(
    tmp_path: Path, time_limit: None, caplog: pytest.LogCaptureFixture
) -> None:
    """No event and no object of the relay shows a code, a payload, a token or an address."""
    caplog.set_level(logging.DEBUG)
    path = tmp_path / "token"
    path.write_text(TOKEN)
    settings: dict[str, Any] = {
        "token_file": str(path),
        "trusted_proxies": ("127.0.0.64/26",),
        "max_connections_per_client": 2,
        "max_connects_per_minute": 100,
    }
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    shown: list[object] = []
    async with running(listeners=listeners, **settings) as relay:
        a = await join_behind_a_proxy(relay, CODE, TOKEN)
        b = await join_behind_a_proxy(relay, CODE, ANOTHER_TOKEN)
        await a.send_message(PAYLOAD.encode())
        await b.message()
        for code, token in ((CODE, TOKEN), ("another", ANOTHER_TOKEN)):
            await relay.refused(
                *TOO_MANY,
                f"/?pair={code}&token={token}",
                [f"X-Forwarded-For: {ADDRESS}"],
                client=await relay.connect_from("127.0.0.77"),
            )
        (pair,) = relay.inside.pairs
        shown += [pair, pair.a, pair.b, pair.a.transport, pair.a.keepalive, relay.handle]
        shown += [relay.inside, relay.inside.admission, relay.inside.admission.client_limits]
        shown += [relay.inside.pairs, relay.inside.counters, relay.handle.statistics()]
        shown += [relay.inside.settings]
        await a.send(encode(0x3, PAYLOAD.encode()))
        await a.closed()
        await b.closed()
        await relay.disconnect_all()
        shown += [*relay.events, relay.handle.statistics(), relay.inside.counters]
        assert {event.clients for event in relay.events_of(PairEnded)} == {(ADDRESS, ADDRESS)}
    text = "\n".join(map(repr, shown)) + caplog.text
    assert "PairEnded" in text
    assert not [secret for secret in SECRETS if secret in text]
