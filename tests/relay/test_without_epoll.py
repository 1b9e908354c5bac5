"""Without epoll, each transport waits for its own socket, and pairs work as before."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import pytest
import trio

from relay import RelayHandle, serve_relay
from relay.transport import epoll_reader
from tests.support.raw_client import Client


async def test_pair(monkeypatch: pytest.MonkeyPatch, time_limit: None) -> None:
    """Messages pass, and the relay stops."""
    monkeypatch.setattr(epoll_reader, "select", SimpleNamespace())
    async with trio.open_nursery() as nursery:
        handle: RelayHandle = await nursery.start(partial(serve_relay, host="127.0.0.1", port=0))
        async with (
            Client(await trio.open_tcp_stream(handle.host, handle.port)) as a,
            Client(await trio.open_tcp_stream(handle.host, handle.port)) as b,
        ):
            for side in (a, b):
                assert (await side.upgrade("/?pair=code")).status == 101
            await a.send_message(b"there")
            assert await b.message() == b"there"
            await b.send_message(b"and back")
            assert await a.message() == b"and back"
        await handle.stop()
