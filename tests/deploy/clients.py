"""Hundreds of clients, over TLS through a proxy, each from an address of its own."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field

import trio

from tests.support.raw_client import BINARY, CLOSE, PING, PONG, Client, Frame, encode, encode_close

from .certificates import HOST

__all__ = ["GONE", "Entry", "Refused", "Side", "address", "each"]

AT_ONCE = 32
"""Number of codes that are used concurrently."""
MEETING_TIMEOUT = 5.0
"""Maximum number of seconds until the sides of a pair are joined."""
FORGED = "203.0.113.9"
"""Address in the forged X-Forwarded-For of every client. Proxies must ignore it."""
GONE = (trio.EndOfChannel, trio.BrokenResourceError)
"""Exceptions of a client whose connection was cut."""


class Refused(Exception):
    """Refusal, with the HTTP status and the body."""


def address(network: int, number: int) -> str:
    """Return the address of a client, from the number of its network, from 1 on, and its own."""
    return f"127.{network}.{number // 250}.{number % 250 + 1}"


class Side(Client):
    """Client that answers pings."""

    async def event(self) -> Frame:
        """Return the next frame that is no ping."""
        while (frame := await self.frame()).opcode == PING:
            await self.send(encode(PONG, frame.payload))
        return frame

    async def leave(self) -> None:
        """Do a closing handshake."""
        await self.send(encode_close(1000))
        while (await self.event()).opcode != CLOSE:
            pass


@dataclass(frozen=True)
class Entry:
    """Address of the proxy, and all codes that the clients used."""

    port: int
    trust: ssl.SSLContext
    codes: set[str] = field(default_factory=set)
    sides: list[Side] = field(default_factory=list)
    """All connected clients."""

    async def connect(self, source: str) -> Side:
        """Return a client that has sent nothing."""
        socket = trio.socket.socket()
        socket.setsockopt(trio.socket.IPPROTO_TCP, trio.socket.TCP_NODELAY, 1)
        try:
            await socket.bind((source, 0))
            await socket.connect(("127.0.0.1", self.port))
        except BaseException:
            socket.close()
            raise
        stream = trio.SSLStream(
            trio.SocketStream(socket), self.trust, server_hostname=HOST, https_compatible=True
        )
        self.sides.append(Side(stream))
        return self.sides[-1]

    async def hang_up(self) -> None:
        """Drop every client."""
        for side in self.sides:
            await trio.aclose_forcefully(side.stream)

    async def join(self, code: str, source: str) -> Side:
        """Return a client that has joined; raise Refused if it is refused."""
        self.codes.add(code)
        side = await self.connect(source)
        try:
            answer = await side.upgrade(f"/?pair={code}", host=HOST, x_forwarded_for=FORGED)
        except BaseException:
            await trio.aclose_forcefully(side.stream)
            raise
        if answer.status != 101:
            await trio.aclose_forcefully(side.stream)
            raise Refused(answer.status, answer.body)
        return side

    async def meet(self, code: str, a_source: str, b_source: str) -> None:
        """Join both sides of a code, send a message in each direction, and leave."""
        with trio.fail_after(MEETING_TIMEOUT):
            async with await self.join(code, a_source) as a, await self.join(code, b_source) as b:
                await exchange(a, b)
                await exchange(b, a)
                await a.leave()
                assert (await b.event()).opcode == CLOSE

    async def visit(self, code: str, source: str) -> None:
        """Join a code, and leave."""
        async with await self.join(code, source) as side:
            await side.leave()

    async def insist(self, code: str, a_source: str, b_source: str) -> None:
        """Join both sides, and retry after a failure."""
        while True:
            with suppress(OSError, Refused, trio.TooSlowError, *GONE):
                await self.meet(code, a_source, b_source)
                return
            await trio.sleep(0.1)


async def exchange(source: Side, target: Side) -> None:
    """Send a message from one side to the other."""
    await source.send_message(b"still here")
    assert await target.event() == Frame(fin=True, opcode=BINARY, payload=b"still here")


async def each(
    task: Callable[..., Awaitable[None]], *arguments: Iterable[object], at_once: int = AT_ONCE
) -> None:
    """Run a task for each tuple of arguments, with a limit of concurrent tasks."""
    limit = trio.Semaphore(at_once)

    async def run(*given: object) -> None:
        try:
            await task(*given)
        finally:
            limit.release()

    async with trio.open_nursery() as nursery:
        for given in zip(*arguments, strict=True):
            await limit.acquire()
            nursery.start_soon(run, *given)
