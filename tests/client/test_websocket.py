"""One WebSocket: every failure is the end of its connection, and nothing else."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

import pytest
import trio
import trio.testing

from relay.client.background import background
from relay.client.errors import ConnectionLost
from relay.client.websocket import WebSocket, run_websocket
from tests.support.endpoints import accept_upgrade

PING = b"\x89\x00"
TEXT = b"\x81\x02hi"
RESERVED = b"\xf0\x00"


async def answer(server: trio.abc.Stream, frames: bytes) -> None:
    """Accept the upgrade, and send frames after the first bytes of the client."""
    await server.send_all(accept_upgrade(bytes(await server.receive_some())))
    await server.receive_some()
    await server.send_all(frames)
    while await server.receive_some():
        pass


def opened(nursery: trio.Nursery, frames: bytes) -> AbstractAsyncContextManager[WebSocket]:
    """Return a WebSocket to a server with these frames, as a context manager."""
    client, server = trio.testing.memory_stream_pair()
    nursery.start_soon(answer, server, frames)
    return background(run_websocket, client, "relay.example", "/?pair=x", [])


async def test_ping_while_closing(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    """A ping after the own close frame, which trio-websocket cannot answer, ends the connection."""
    async with opened(nursery, PING) as websocket:
        await websocket.close()
        assert trio.current_time() < 1
        for action in (websocket.receive, lambda: websocket.send(b"x"), lambda: websocket.ping(1)):
            with pytest.raises(ConnectionLost):
                await action()


@pytest.mark.parametrize(
    ("frames", "text"),
    [
        (TEXT, "a text message arrived"),
        (RESERVED, "the connection was closed with 1002 Reserved bit set unexpectedly"),
        (b"\x88\x06\x03\xe9gone", "the connection was closed with 1001 gone"),
        (b"\x88\x06\x03\xe9<b>x", "the connection was closed with 1001"),
    ],
)
async def test_end(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock, frames: bytes, text: str
) -> None:
    """The cause of the end is described in one line, in plain words."""
    async with opened(nursery, frames) as websocket:
        await websocket.send(b"x")
        with pytest.raises(ConnectionLost) as caught:
            await websocket.receive()
        assert str(caught.value) == text
        await websocket.close()
