"""A connection on which no byte of a request arrives is closed without a response."""

from __future__ import annotations

import ssl
from functools import partial

import pytest
import trio
import trio.testing
import trustme
from trio.testing import MockClock

from relay import RelayHandle, RelaySettings, serve_relay
from tests.support.running_relay import running

AUTHORITY = trustme.CA()
TIMEOUT = 1.0


async def test_plain(autojump_clock: MockClock) -> None:
    """A client that sends nothing is closed after its timeout, and no counter counts it."""
    async with running(handshake_timeout=10.0) as relay:
        client = await relay.connect()
        since = trio.current_time()
        assert await client.rest() == b""
        assert trio.current_time() - since == pytest.approx(10, abs=0.1)
        await relay.wait_for_connections(0)
        assert relay.events == []
        assert not relay.handle.statistics().requests_refused


@pytest.mark.parametrize("handshake", [False, True])
async def test_tls(nursery: trio.Nursery, time_limit: None, handshake: bool) -> None:
    """A client that only completes the TLS handshake is closed; before that, no byte is sent."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    AUTHORITY.issue_cert("localhost").configure_cert(context)
    tcp = await trio.open_tcp_listeners(0, host="127.0.0.1")
    listeners = [trio.SSLListener(listener, context) for listener in tcp]
    settings = RelaySettings(handshake_timeout=TIMEOUT, close_timeout=1)
    handle: RelayHandle = await nursery.start(
        partial(serve_relay, listeners=listeners, settings=settings)
    )
    trust = ssl.create_default_context()
    AUTHORITY.configure_trust(trust)
    async with await trio.open_tcp_stream("127.0.0.1", handle.port) as stream:
        if handshake:
            tls = trio.SSLStream(stream, trust, server_hostname="localhost")
            await tls.do_handshake()
            assert await tls.receive_some() == b""
        else:
            assert await stream.receive_some() == b""
    while handle.statistics().connections:
        await trio.sleep(0.01)
    assert not handle.statistics().requests_refused
    await handle.stop()
