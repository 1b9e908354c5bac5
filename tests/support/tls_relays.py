"""Relay with TLS on a TCP port, and clients that require the end of TLS."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from relay.daemon.tls import CertificateFiles

from .certificates import Certificate, client_context
from .raw_client import Client
from .running_relay import WatchedRelay, running


@asynccontextmanager
async def running_tls(
    folder: Path, *, embedded: bool = False, **settings: Any
) -> AsyncIterator[WatchedRelay]:
    """Run a relay with TLS, the program's or an embedding program's."""
    certificate = Certificate(folder)
    files = CertificateFiles(str(certificate.cert), str(certificate.key))
    tcp = await trio.open_tcp_listeners(0, host="127.0.0.1")
    listeners: list[trio.abc.Listener[Any]] = [*files.wrap(tcp)]
    if embedded:
        listeners = [trio.SSLListener(each, files.context, https_compatible=True) for each in tcp]
    async with running(listeners=listeners, **settings) as relay:
        yield relay


async def dial(relay: WatchedRelay) -> trio.SocketStream:
    """Return a connection on which no byte was sent."""
    return await trio.open_tcp_stream(relay.handle.host, relay.handle.port)


def speak_tls(
    tcp: trio.SocketStream, context: ssl.SSLContext | None = None
) -> trio.SSLStream[trio.SocketStream]:
    """Return a stream that breaks if TCP ends without close_notify."""
    return trio.SSLStream(tcp, context or client_context(), server_hostname="localhost")


async def connect(relay: WatchedRelay) -> Client:
    """Return a client that has sent no request."""
    return await relay.adopt(speak_tls(await dial(relay)))


async def join(relay: WatchedRelay, code: str = "code") -> Client:
    """Return a client that has joined, as side A or B."""
    client = await connect(relay)
    response = await client.upgrade(f"/?pair={code}")
    assert response.status == 101, response
    return client


async def pair(relay: WatchedRelay, code: str = "code") -> tuple[Client, Client]:
    """Return two clients that are joined."""
    return await join(relay, code), await join(relay, code)
