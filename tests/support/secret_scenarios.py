"""Clients that do all that can be done to a relay, with words in it that may show nowhere."""

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
"""Part of whatever a client says that is nobody's business."""

DIRECT = "127.9.8.7"
"""The address of clients that come without a proxy."""

BEHIND = "203.0.113."
"""The beginning of the addresses that a trusted proxy tells."""

INVENTED = "198.51.100.99"
"""An address that an untrusted client tells."""

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


class Visitor(Client):
    """A client that answers pings while it waits for something."""

    async def frame(self) -> Frame:
        while (frame := await super().frame()).opcode == PING:
            with suppress(trio.BrokenResourceError):  # the relay is done with it
                await self.send(encode(PONG, frame.payload))
        return frame

    async def reset(self) -> None:
        """Drop the stream with a reset, also below TLS."""
        if isinstance(self.stream, trio.SSLStream):
            await Client(self.stream.transport_stream).reset()
        else:
            await super().reset()

    async def expect(self, code: int, reason: str) -> None:
        """Be closed with this code and this reason."""
        assert await self.closed() == (code, reason)


class Visitors:
    """Clients of a relay on a port, and what it answered to those that it did not let in."""

    def __init__(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        self._port = port
        self._tls = tls
        self._numbers = itertools.count(1)
        self._clients: list[Visitor] = []
        self.answers: list[Response] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.leave()

    async def connect(self, *, direct: bool = False) -> Visitor:
        """Return a client that has said nothing yet."""
        local = DIRECT if direct else None
        stream: trio.abc.Stream = await trio.open_tcp_stream(
            "127.0.0.1", self._port, local_address=local
        )
        if self._tls is not None:
            stream = trio.SSLStream(
                stream, self._tls, server_hostname=f"{WORD}.example", https_compatible=True
            )
        client = Visitor(stream)
        self._clients.append(client)
        return client

    async def say(self, request: bytes) -> Response:
        """Return the answer to a request that is none."""
        client = await self.connect()
        await client.send(request)
        return await self.answer(client)

    async def answer(self, client: Visitor) -> Response:
        """Return the answer that a client gets; keep it, and have the client leave, unless 101."""
        response = await client.response()
        if response.status != 101:
            self.answers.append(response)
            await trio.aclose_forcefully(client.stream)
        return response

    def address(self) -> str:
        """Return the address of a client that was not there before."""
        return f"{BEHIND}{next(self._numbers)}"

    async def ask(
        self,
        code: str,
        *,
        direct: bool = False,
        address: str | None = None,
        **headers: str | None,
    ) -> tuple[Visitor, int]:
        """Ask for a place with a code; return the client and the status."""
        client = await self.connect(direct=direct)
        said: dict[str, str | None] = {
            "authorization": f"Bearer {TOKEN}",
            "cookie": f"{WORD}-cookie",
            "sec_websocket_protocol": f"{WORD}-protocol",
            "user_agent": f"{WORD}-agent",
            "x_forwarded_for": INVENTED if direct else f"{INVENTED}, {address or self.address()}",
        }
        await client.send(upgrade_request(f"/{WORD}-path?pair={WORD}-{code}", **said | headers))
        return client, (await self.answer(client)).status

    async def join(self, code: str, *, direct: bool = False, address: str | None = None) -> Visitor:
        """Get a place with a code."""
        client, status = await self.ask(code, direct=direct, address=address)
        assert status == 101
        return client

    async def pair(self, code: str) -> tuple[Visitor, Visitor]:
        """Get both places."""
        return await self.join(code), await self.join(code, direct=True)

    async def leave(self) -> None:
        """Drop every client."""
        for client in self._clients:
            await trio.aclose_forcefully(client.stream)
        self._clients.clear()


def payload(size: int = 0) -> bytes:
    """Return what a client sends."""
    return f"{WORD}-payload".encode() * (1 + size // 13)


async def talk(visitors: Visitors) -> None:
    """Be a pair that talks, and closes in peace."""
    a = await visitors.join("talk", direct=True)
    await a.send_message(payload())
    await a.send(encode(TEXT, payload()) + encode(PING, payload()))
    b, status = await visitors.ask(f"talk&token={TOKEN}", authorization=None)
    assert status == 101
    assert await b.message() == payload()
    assert (await a.frame()).opcode == PONG
    await a.send(encode_close(1000, f"{WORD}-reason"))
    assert await b.closed() == (1000, "peer disconnected")


async def break_off(visitors: Visitors) -> None:
    """Be pairs that end by a reset, and by the end of a stream."""
    for number, reset in enumerate((False, True)):
        a, b = await visitors.pair(f"break-{number}")
        await b.send(encode(BINARY, payload())[:10])
        if reset:
            await b.reset()
        else:
            await trio.aclose_forcefully(b.stream)
        assert (await a.frame()).opcode in {BINARY, CLOSE}


async def offend(visitors: Visitors) -> None:
    """Break the rules of frames in every way."""
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
        a = await visitors.join(f"offend-{number}", direct=True)
        b = await visitors.join(f"offend-{number}")
        await a.send(wrong)
        while (frame := await a.frame()).opcode != CLOSE:
            pass
        assert int.from_bytes(frame.payload[:2]) == code, (number, frame)
        while (frame := await b.frame()).opcode != CLOSE:
            pass
        await trio.aclose_forcefully(a.stream)


async def vanish(visitors: Visitors) -> None:
    """Be a side that answers no pings, and one that does but is alone for too long."""
    lone = await visitors.join("lone")
    _, other = await visitors.pair("mute")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lone.expect, 1001, "pair expired")
        nursery.start_soon(other.expect, 1011, "peer disconnected")


async def be_ghosts(visitors: Visitors) -> None:
    """Be a pair that answers no pings, and a newcomer that takes its code."""
    reasons: list[str] = []
    while "takeover timeout" not in reasons:  # on a busy machine, the keepalive may be first
        code = f"ghost-{len(reasons)}"
        ghosts = await visitors.pair(code)
        await trio.sleep(0.1)  # what waits to be acknowledged would be an excuse for them
        newcomer = await visitors.join(code)
        await newcomer.send(encode_close(1000, f"{WORD}-reason"))
        reasons += [(await ghost.close_frame())[1] for ghost in ghosts]


async def stay(visitors: Visitors) -> None:
    """Be a pair that lasts for too long, and refuses a third."""
    a, b = await visitors.pair("stay")
    async with trio.open_nursery() as nursery:
        for client in (a, b):
            nursery.start_soon(client.expect, 1008, "pair lasted too long")
        _, status = await visitors.ask("stay")
        assert status == 409


async def stall(visitors: Visitors) -> None:
    """Be a side that takes nothing of what its peer sends."""
    a, _ = await visitors.pair("stall")
    frames = encode(BINARY, payload(MAX_MESSAGE // 2)) * 1000
    with suppress(trio.BrokenResourceError):
        while True:
            await a.send(frames)


async def send_too_much(visitors: Visitors) -> None:
    """Be a pair that sends more than a pair may."""
    a, b = await visitors.pair("much")
    await a.send(encode(BINARY, payload(MAX_MESSAGE // 2)) * 50)
    while (frame := await b.frame()).opcode != CLOSE:
        pass
    assert frame.payload == b"\x03\xf0pair sent too much"


Act = Callable[[Visitors], Awaitable[None]]
ACTS: Sequence[Act] = (talk, break_off, offend, vanish, be_ghosts, stay)
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
