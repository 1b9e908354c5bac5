"""Clients of the soak: connect to a relay, join a code, answer pings."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from random import Random
from secrets import token_hex
from time import perf_counter

import trio

from tests.support.raw_client import PING, PONG, Client, Frame, encode, encode_close

_numbers = count()
_run = token_hex(8)


class Unexpected(Exception):
    """Behaviour of the relay that docs/protocol.md does not allow."""


def expect(what: str, found: object, expected: object) -> None:
    """Raise `Unexpected` if a value differs from the expected one."""
    if found != expected:
        raise Unexpected(f"{what}: {found!r:.80}, not {expected!r:.80}")


class Member(Client):
    """Client that answers pings whenever it reads; its frames may be sent by several tasks."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        super().__init__(stream)
        self._sending = trio.Lock()

    async def send(self, data: bytes) -> None:
        async with self._sending:
            await super().send(data)

    async def frame(self) -> Frame:
        """Return the next frame that is no ping."""
        while (frame := await super().frame()).opcode == PING:
            await self.send(encode(PONG, frame.payload))
        return frame

    async def expect_close(self, code: int, reason: str) -> None:
        """Read and answer the next frame, which must be this close frame."""
        expect("close frame", await self.closed(), (code, reason))

    async def leave(self, code: int = 1000, reason: str = "done") -> None:
        """Close first; the next frame must be the same close frame."""
        await self.send(encode_close(code, reason))
        expect("close frame", await self.close_frame(), (code, reason))
        expect("bytes after the close frame", await self.rest(), b"")


@dataclass(eq=False)
class Place:
    """Relay as the clients see it, and the latencies that they measured there."""

    port: int
    context: ssl.SSLContext | None = None
    """TLS context of the clients; None for a relay without TLS."""
    round_trips: list[float] = field(default_factory=list)
    """Seconds of each round trip of a short message since the last sample."""

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Member]:
        """Connect a client; the block ends without a close frame."""
        stream: trio.abc.Stream = await trio.open_tcp_stream("127.0.0.1", self.port)
        if self.context is not None:
            stream = trio.SSLStream(
                stream, self.context, server_hostname="127.0.0.1", https_compatible=True
            )
        async with Member(stream) as member:
            yield member

    @asynccontextmanager
    async def joined(self, code: str) -> AsyncIterator[Member]:
        """Connect a client and join a code."""
        async with self.connected() as member:
            response = await member.upgrade(f"/?pair={code}")
            expect("response", response.status, 101)
            yield member

    @asynccontextmanager
    async def pair(self) -> AsyncIterator[tuple[Member, Member]]:
        """Open a pair."""
        code = new_code()
        async with self.joined(code) as a, self.joined(code) as b:
            yield a, b

    async def bounce(self, a: Member, b: Member, payload: bytes) -> None:
        """Send a message from A to B and back, and record the seconds."""
        began = perf_counter()
        await cross(a, b, payload)
        await cross(b, a, payload)
        self.round_trips.append(perf_counter() - began)


async def cross(source: Member, sink: Member, payload: bytes) -> None:
    """Send a message that the buffers of the kernel hold, and compare the delivery."""
    await source.send_message(payload)
    expect("message", await sink.message(), payload)


def new_code() -> str:
    """Return a new code."""
    return f"{_run}-{next(_numbers)}"


def random_payload(random: Random) -> bytes:
    """Return a payload, mostly of a few hundred bytes and at most of 32 KiB."""
    return random.randbytes(int(2 ** random.uniform(0, 15)))
