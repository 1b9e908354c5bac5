"""Relay on `websockets` and uvloop: a loop of whole messages on asyncio."""

from __future__ import annotations

import asyncio
import os
import ssl
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

import uvloop
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

MAX_MESSAGE = 100 * 1024 * 1024
SIDES = 2


@dataclass
class Pair:
    """Sides with one code."""

    sides: list[ServerConnection] = field(default_factory=list)
    joined: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_full(self) -> bool:
        """True if both sides are connected."""
        return len(self.sides) == SIDES


pairs: dict[str, Pair] = {}


def code_of(request: Request | None) -> str:
    """Return the pair code of an upgrade; empty without one."""
    return parse_qs(urlsplit(request.path if request else "").query).get("pair", [""])[0]


def refuse_third(connection: ServerConnection, request: Request) -> Response | None:
    """Respond with 409 if a pair has its two sides."""
    pair = pairs.get(code_of(request))
    if pair is not None and pair.is_full:
        return connection.respond(HTTPStatus.CONFLICT, "pair is full")
    return None


async def run_side(side: ServerConnection) -> None:
    """Run one side, from its upgrade until its pair is over."""
    code = code_of(side.request)
    pair = pairs.setdefault(code, Pair())
    pair.sides.append(side)
    if pair.is_full:
        pair.joined.set()
    await pair.joined.wait()
    other = next(candidate for candidate in pair.sides if candidate is not side)
    async for message in side:
        if isinstance(message, bytes):
            await other.send(message)
    await other.close(1000, "peer disconnected")
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
    server = await serve(
        run_side,
        "127.0.0.1",
        0,
        process_request=refuse_third,
        compression=None,
        max_size=MAX_MESSAGE,
        ping_interval=None,
        backlog=1024,
        ssl=tls_context(),
    )
    print(f"listening on 127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}")
    await server.serve_forever()


uvloop.run(main())
