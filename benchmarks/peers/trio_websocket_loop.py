"""Relay on the server of trio-websocket, with a loop of whole messages."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, WebSocketRequest, serve_websocket

MAX_MESSAGE = 100 * 1024 * 1024
SIDES = 2


@dataclass
class Pair:
    """Sides with one code."""

    sides: list[WebSocketConnection] = field(default_factory=list)
    joined: trio.Event = field(default_factory=trio.Event)

    @property
    def is_full(self) -> bool:
        """True if both sides are connected."""
        return len(self.sides) == SIDES


pairs: dict[str, Pair] = {}


async def pump(source: WebSocketConnection, target: WebSocketConnection) -> None:
    """Forward binary messages until either side ends, then close the other one."""
    try:
        while True:
            message = await source.get_message()
            if isinstance(message, bytes):
                await target.send_message(message)
    except ConnectionClosed:
        await target.aclose(1000, "peer disconnected")


async def serve(request: WebSocketRequest) -> None:
    """Run one side, from its upgrade until its pair is over."""
    code = parse_qs(urlsplit(request.path).query).get("pair", [""])[0]
    pair = pairs.setdefault(code, Pair())
    if pair.is_full:
        await request.reject(409, body=b"pair is full")
        return
    side = await request.accept()
    pair.sides.append(side)
    first = len(pair.sides) == 1
    if first:
        await pair.joined.wait()
    else:
        pair.joined.set()
    a, b = pair.sides
    await pump(*((a, b) if first else (b, a)))
    pairs.pop(code, None)


def tls_context() -> ssl.SSLContext | None:
    """Return a context with the certificate of the benchmark, if TLS is on."""
    if "TLS_CERT" not in os.environ:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(os.environ["TLS_CERT"], os.environ["TLS_KEY"])
    return context


async def main() -> None:
    """Accept connections until the process is ended."""
    async with trio.open_nursery() as nursery:

        async def serve_forever(*, task_status: trio.TaskStatus[object]) -> None:
            await serve_websocket(
                serve,
                "127.0.0.1",
                0,
                tls_context(),
                max_message_size=MAX_MESSAGE,
                task_status=task_status,
            )

        server = await nursery.start(serve_forever)
        print(f"listening on 127.0.0.1:{server.port}")


trio.run(main)
