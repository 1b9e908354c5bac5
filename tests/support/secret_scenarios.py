"""Clients that cause all events of a relay, with a secret word that no output may have."""

from __future__ import annotations

import itertools
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Self

import trio

from .raw_client import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Client,
    Frame,
    Response,
    encode,
    encode_close,
    upgrade_request,
)

WORD = "xyzzy"
"""Part of everything secret that a client sends."""

DIRECT = "127.9.8.7"
"""Address of clients without a proxy."""

BEHIND = "203.0.113."
"""Beginning of the addresses in the header of a trusted proxy."""

INVENTED = "198.51.100.99"
"""Address in the header of an untrusted client."""

TOKEN = f"{WORD}-token"
MAX_MESSAGE = 1000
MAX_PER_CLIENT = 12
CONNECTS_PER_MINUTE = 25
MAX_WAITING = 15
MAX_CONNECTIONS = 50

OPTIONS = (
    *("--log-level", "debug", "--metrics", "127.0.0.1:0", "--trusted-proxies", "127.0.0.1"),
    *("--pair-ttl", "1.5", "--sweep-interval", "0.1", "--handshake-timeout", "1"),
    *("--ping-interval", "1", "--ping-timeout", "1", "--takeover-timeout", "0.5"),
    *("--close-timeout", "1", "--max-message-size", str(MAX_MESSAGE)),
    *(
        "--max-connections-per-client",
        str(MAX_PER_CLIENT),
        "--max-connects-per-minute",
        str(CONNECTS_PER_MINUTE),
    ),
    *("--max-waiting", str(MAX_WAITING), "--max-connections", str(MAX_CONNECTIONS)),
    *("--max-pair-seconds", "3", "--drain-delay", "0.3"),
)


class AnsweringClient(Client):
    """Client that answers pings while it waits for a frame."""

    async def frame(self) -> Frame:
        while (frame := await super().frame()).opcode == PING:
            with suppress(trio.BrokenResourceError):  # the relay is done with it
                await self.send(encode(PONG, frame.payload))
        return frame

    async def reset(self) -> None:
        """Reset the stream, also below TLS."""
        if isinstance(self.stream, trio.SSLStream):
            await Client(self.stream.transport_stream).reset()
        else:
            await super().reset()

    async def expect(self, code: int, reason: str) -> None:
        """Expect a close frame with this code and this reason."""
        assert await self.closed() == (code, reason)


class Clients:
    """Clients of a relay on a port, and the responses to refused ones."""

    def __init__(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        self._port = port
        self._tls = tls
        self._numbers = itertools.count(1)
        self._clients: list[AnsweringClient] = []
        self.refusals: list[Response] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.leave()

    async def connect(self, *, direct: bool = False) -> AnsweringClient:
        """Return a client that has sent nothing."""
        local = DIRECT if direct else None
        stream: trio.abc.Stream = await trio.open_tcp_stream(
            "127.0.0.1", self._port, local_address=local
        )
        if self._tls is not None:
            stream = trio.SSLStream(
                stream, self._tls, server_hostname=f"{WORD}.example", https_compatible=True
            )
        client = AnsweringClient(stream)
        self._clients.append(client)
        return client

    async def request(self, request: bytes) -> Response:
        """Return the response to a request without an upgrade."""
        client = await self.connect()
        await client.send(request)
        return await self.response(client)

    async def response(self, client: AnsweringClient) -> Response:
        """Return the response to a client; unless it is 101, record it and drop the client."""
        response = await client.response()
        if response.status != 101:
            self.refusals.append(response)
            await trio.aclose_forcefully(client.stream)
        return response

    def address(self) -> str:
        """Return an unused client address."""
        return f"{BEHIND}{next(self._numbers)}"

    async def upgrade(
        self,
        code: str,
        *,
        direct: bool = False,
        address: str | None = None,
        **headers: str | None,
    ) -> tuple[AnsweringClient, int]:
        """Send an upgrade request with a code; return the client and the status."""
        client = await self.connect(direct=direct)
        said: dict[str, str | None] = {
            "authorization": f"Bearer {TOKEN}",
            "cookie": f"{WORD}-cookie",
            "sec_websocket_protocol": f"{WORD}-protocol",
            "user_agent": f"{WORD}-agent",
            "x_forwarded_for": INVENTED if direct else f"{INVENTED}, {address or self.address()}",
        }
        await client.send(upgrade_request(f"/{WORD}-path?pair={WORD}-{code}", **said | headers))
        return client, (await self.response(client)).status

    async def join(
        self, code: str, *, direct: bool = False, address: str | None = None
    ) -> AnsweringClient:
        """Return a client that has joined with a code."""
        client, status = await self.upgrade(code, direct=direct, address=address)
        assert status == 101
        return client

    async def pair(self, code: str) -> tuple[AnsweringClient, AnsweringClient]:
        """Return two clients that have joined with a code."""
        return await self.join(code), await self.join(code, direct=True)

    async def leave(self) -> None:
        """Drop every client."""
        for client in self._clients:
            await trio.aclose_forcefully(client.stream)
        self._clients.clear()


def payload(size: int = 0) -> bytes:
    """Return the payload of a client."""
    return f"{WORD}-payload".encode() * (1 + size // 13)


async def talk(clients: Clients) -> None:
    """Exchange messages in a pair, and do a closing handshake."""
    a = await clients.join("talk", direct=True)
    await a.send_message(payload())
    await a.send(encode(TEXT, payload()) + encode(PING, payload()))
    b, status = await clients.upgrade(f"talk&token={TOKEN}", authorization=None)
    assert status == 101
    assert await b.message() == payload()
    assert (await a.frame()).opcode == PONG
    await a.send(encode_close(1000, f"{WORD}-reason"))
    assert await b.closed() == (1000, "peer disconnected")


async def break_off(clients: Clients) -> None:
    """End pairs by a reset, and by the end of a stream."""
    for number, reset in enumerate((False, True)):
        a, b = await clients.pair(f"break-{number}")
        await b.send(encode(BINARY, payload())[:10])
        if reset:
            await b.reset()
        else:
            await trio.aclose_forcefully(b.stream)
        assert (await a.frame()).opcode in {BINARY, CLOSE}


async def violate(clients: Clients) -> None:
    """Violate every framing rule."""
    for number, (wrong, code) in enumerate(
        (
            (encode(BINARY, payload(), mask=False), 1002),
            (encode(BINARY, payload(), reserved=1), 1002),
            (encode(3, payload()), 1002),
            (encode(CONTINUATION, payload()), 1002),
            (encode(PING, payload(), fin=False), 1002),
            (encode_close(1005, WORD), 1002),
            (encode(CLOSE, b"\x03\xe8\xff" + WORD.encode()), 1007),
            (encode(BINARY, payload(MAX_MESSAGE)), 1009),
            (encode(BINARY, fin=False) + encode(CONTINUATION, fin=False) * 2000, 1008),
        )
    ):
        a = await clients.join(f"offend-{number}", direct=True)
        b = await clients.join(f"offend-{number}")
        await a.send(wrong)
        while (frame := await a.frame()).opcode != CLOSE:
            pass
        assert int.from_bytes(frame.payload[:2]) == code, (number, frame)
        while (frame := await b.frame()).opcode != CLOSE:
            pass
        await trio.aclose_forcefully(a.stream)


async def be_unresponsive(clients: Clients) -> None:
    """Leave pings unanswered in one pair, and let another side expire."""
    lone = await clients.join("lone")
    _, other = await clients.pair("silent")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lone.expect, 1001, "pair expired")
        nursery.start_soon(other.expect, 1011, "peer disconnected")


async def be_evicted(clients: Clients) -> None:
    """Leave a takeover check unanswered, and join with the code."""
    reasons: list[str] = []
    while "takeover timeout" not in reasons:  # on a busy machine, the keepalive may be first
        code = f"dead-{len(reasons)}"
        dead = await clients.pair(code)
        await trio.sleep(0.1)  # what waits to be acknowledged would be an excuse for them
        third = await clients.join(code)
        await third.send(encode_close(1000, f"{WORD}-reason"))
        reasons += [(await dead_side.close_frame())[1] for dead_side in dead]


async def stay(clients: Clients) -> None:
    """Reach the time limit of a pair, and refuse a third client."""
    a, b = await clients.pair("stay")
    async with trio.open_nursery() as nursery:
        for client in (a, b):
            nursery.start_soon(client.expect, 1008, "pair lasted too long")
        _, status = await clients.upgrade("stay")
        assert status == 409


async def stall(clients: Clients) -> None:
    """Read nothing of the peer's data."""
    a, _ = await clients.pair("stall")
    frames = encode(BINARY, payload(MAX_MESSAGE // 2)) * 1000
    with suppress(trio.BrokenResourceError):
        while True:
            await a.send(frames)


async def send_too_much(clients: Clients) -> None:
    """Exceed the byte quota of a pair."""
    a, b = await clients.pair("much")
    await a.send(encode(BINARY, payload(MAX_MESSAGE // 2)) * 50)
    while (frame := await b.frame()).opcode != CLOSE:
        pass
    assert frame.payload == b"\x03\xf0pair sent too much"


Act = Callable[[Clients], Awaitable[None]]
ACTS: Sequence[Act] = (talk, break_off, violate, be_unresponsive, be_evicted, stay)
OUTCOMES = {
    "closed",
    "ended",
    "broken",
    "violated",
    "expired",
    "unresponsive",
    "evicted",
    "over_time",
}
