"""Endpoints whose streams to a relay in memory a test can cut or silence."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, TypeVar

import pytest
import trio
import trio.testing

from relay.client import (
    ClientEvent,
    Connected,
    Ended,
    EndpointError,
    Link,
    Retrying,
    Session,
    connect,
    serve,
)

from .relay_fixtures import MemoryRelay

EventT = TypeVar("EventT", bound=ClientEvent)

OpenStream = Callable[[], Awaitable[trio.abc.Stream]]


VIRTUAL_TIME_LIMIT = 20_000.0
"""Seconds after which a test fails. An endpoint would try again for ever."""


class Line(trio.abc.Stream):
    """Stream of an endpoint. While it is silent, nothing passes in either direction."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self.is_silent = False
        self.request = b""
        """First bytes that the endpoint sent, with its pair code."""

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        self.request = self.request or bytes(data)
        if self.is_silent:
            await trio.lowlevel.checkpoint()
        else:
            await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        data = await self._stream.receive_some(max_bytes)
        if self.is_silent:
            await trio.sleep_forever()
        return data

    async def aclose(self) -> None:
        await self._stream.aclose()


async def answered(response: bytes) -> trio.abc.Stream:
    """Return a stream to a server that sends this response, and closes the stream."""
    client, server = trio.testing.memory_stream_pair()
    await server.send_all(response)
    await server.send_eof()
    return client


def response(status: str, body: str = "", *headers: str) -> bytes:
    """Return an HTTP response in plain text."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", body]
    return "\r\n".join(lines).encode()


class Endpoint:
    """Streams and events of a host or a guest."""

    def __init__(self, link: Link, open_stream: OpenStream) -> None:
        self.open_stream = open_stream
        self._link_code = link.code.encode()
        self.lines: list[Line] = []
        self.events: list[ClientEvent] = []
        self.is_offline = False
        """True if connections are refused."""
        self.responses: list[bytes] = []
        """Responses to the next requests, in place of those of the relay."""

    async def open_line(self) -> Line:
        """Return a new stream to the relay."""
        if self.is_offline:
            await trio.lowlevel.checkpoint()
            raise ConnectionRefusedError(111, "refused")
        if self.responses:
            return Line(await answered(self.responses.pop(0)))
        self.lines.append(Line(await self.open_stream()))
        return self.lines[-1]

    def of(self, kind: type[EventT]) -> list[EventT]:
        """Return the events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def reasons(self) -> list[str]:
        """Reasons of the failed attempts."""
        return [event.reason for event in self.of(Retrying)]

    @property
    def session_line(self) -> Line:
        """Latest stream of a session."""
        return [line for line in self.lines if self._link_code not in line.request][-1]

    async def cut(self) -> None:
        """End the latest stream of a session without a close frame."""
        await trio.aclose_forcefully(self.session_line)

    async def wait_connected(self, number: int) -> None:
        """Wait until sessions were connected this number of times."""
        with trio.fail_after(600):
            while len(self.of(Connected)) < number:
                await trio.sleep(0.01)


class Endpoints:
    """A link, its host and its guests, at a relay in memory."""

    def __init__(self, nursery: trio.Nursery, open_stream: OpenStream) -> None:
        self.link = Link.new("ws://relay.example/")
        self.host = Endpoint(self.link, open_stream)
        self.guest = Endpoint(self.link, open_stream)
        self._nursery = nursery
        self._hosts: list[trio.CancelScope] = []

    async def serve(
        self,
        handler: Callable[[Session], Awaitable[None]],
        errors: list[Exception] | None = None,
        **options: Any,
    ) -> None:
        """Start a host; return when it waits. Its exception is added to ``errors``, or raised."""

        async def run(*, task_status: trio.TaskStatus[None]) -> None:
            with trio.CancelScope() as scope:
                self._hosts.append(scope)
                options.setdefault("on_event", self.host.events.append)
                options.setdefault("open_stream", self.host.open_line)
                options.setdefault("link", self.link)
                try:
                    await serve(handler=handler, task_status=task_status, **options)
                except Exception as error:
                    if errors is None:
                        raise
                    errors.append(error)

        await self._nursery.start(run)

    def connect(self, **options: Any) -> AbstractAsyncContextManager[Session]:
        """Return a session of a guest, as a context manager."""
        options.setdefault("on_event", self.guest.events.append)
        options.setdefault("open_stream", self.guest.open_line)
        return connect(options.pop("link", self.link), **options)

    async def stop(self) -> None:
        """Cancel all hosts."""
        for scope in self._hosts:
            scope.cancel()
        await trio.testing.wait_all_tasks_blocked()


@pytest.fixture
async def endpoints(memory_relay: MemoryRelay, nursery: trio.Nursery) -> AsyncIterator[Endpoints]:
    """Return endpoints of a relay in memory; their connections end before the relay."""

    async def run_out() -> None:
        await trio.sleep(VIRTUAL_TIME_LIMIT)
        raise trio.TooSlowError

    nursery.start_soon(run_out)
    pair = trio.testing.memory_stream_pair
    both = Endpoints(nursery, partial(memory_relay.listener.connect, pair))
    yield both
    await both.stop()


async def echo(session: Session) -> None:
    """Send all bytes back, and then the end of the stream."""
    while data := await session.receive_some():
        await session.send_all(data)


async def read_all(session: Session) -> bytes:
    """Return the bytes up to the end of the peer's stream."""
    found = b""
    while data := await session.receive_some():
        found += data
    return found


def ended_with(endpoint: Endpoint) -> list[EndpointError | None]:
    """Return the errors with which the sessions of an endpoint ended."""
    return [event.error for event in endpoint.of(Ended)]


def accept_upgrade(head: bytes) -> bytes:
    """Return the response of a server that accepts an upgrade."""
    found = re.search(rb"sec-websocket-key: (\S+)", head, re.IGNORECASE)
    assert found is not None
    digest = hashlib.sha1(found[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()  # noqa: S324
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"
    )
