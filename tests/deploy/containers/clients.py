"""Clients of a relay in a container."""

from __future__ import annotations

import os

import trio

from tests.support.raw_client import BINARY, CLOSE, PING, PONG, Client, Frame, encode, encode_close

from .podman import Container

PORT = 8765


class AnsweringClient(Client):
    """Client that answers pings."""

    async def frame(self) -> Frame:
        """Return the next frame that is no ping."""
        while (frame := await super().frame()).opcode == PING:
            await self.send(encode(PONG, frame.payload))
        return frame


async def join(container: Container, code: str = "code", port: int = PORT) -> AnsweringClient:
    """Return a client that has joined."""
    return await upgraded(await container.connect(port), code)


async def upgraded(stream: trio.SocketStream, code: str = "code") -> AnsweringClient:
    """Return a client that has joined on this connection."""
    client = AnsweringClient(stream)
    assert (await client.upgrade(f"/?pair={code}")).status == 101
    return client


async def exchange(a: AnsweringClient, b: AnsweringClient) -> None:
    """Send a message in each direction."""
    long = os.urandom(500_000)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(a.send_message, b"from a")
        assert await b.message() == b"from a"
        nursery.start_soon(b.send_message, long)
        assert await a.message() == long


async def expect_exchange(container: Container, port: int = PORT) -> None:
    """Join two clients, exchange messages, and leave."""
    async with await join(container, port=port) as a, await join(container, port=port) as b:
        await exchange(a, b)


class RetryingPair:
    """Two sides of a code, which join again after each stop until each got a message."""

    def __init__(self, container: Container, code: str) -> None:
        self._container = container
        self._code = code
        self._heard: set[str] = set()
        self._over = trio.Event()
        self.closed = 0
        """Connections that ended because the relay stopped."""

    async def run(self) -> None:
        """Run both sides."""
        async with trio.open_nursery() as nursery:
            for side in "ab":
                nursery.start_soon(self._be, side)

    async def _be(self, side: str) -> None:
        while not self._over.is_set():
            async with await join(self._container, self._code) as client:
                await client.send_message(b"hello")
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._leave, nursery.cancel_scope)
                    await self._listen(client, side)
                    nursery.cancel_scope.cancel()

    async def _leave(self, scope: trio.CancelScope) -> None:
        await self._over.wait()
        scope.cancel()

    async def _listen(self, client: AnsweringClient, side: str) -> None:
        """Read until the relay stops; no other end is allowed."""
        while (frame := await client.frame()).opcode == BINARY:
            self._heard.add(side)
            if len(self._heard) == len("ab"):
                self._over.set()
        assert (frame.opcode, frame.payload) == (CLOSE, b"\x03\xe9relay stopping")
        await client.send(encode_close(1001))
        self.closed += 1
