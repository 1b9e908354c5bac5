"""The options of a host or a guest, and its WebSockets to the relay."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import InitVar, dataclass
from functools import partial
from typing import Final

import trio
import trio_websocket

from .background import background
from .dial import client_context, connect, describe_tcp_error, describe_tls_error, start_tls
from .errors import ConnectionLost, NoRelay
from .events import ClientEvent, OnEvent
from .link import Link
from .retry import refusal, tcp_timeout
from .url import parse_url
from .websocket import WebSocket, run_websocket

TLS_TIMEOUT: Final = 10.0  # maximum duration, in seconds, of the TLS handshake

# Function that opens a stream to the relay, without TLS, or raises OSError.
OpenStream = Callable[[], Awaitable[trio.abc.Stream]]


@dataclass(repr=False)
class Endpoint:
    """Host or guest of a link, and its connections. The fields are arguments of `serve`."""

    link: Link
    is_host: bool
    ssl_context: InitVar[ssl.SSLContext | None] = None
    token: InitVar[str | None] = None
    resume_timeout: float = 300.0
    on_event: OnEvent | None = None
    open_stream: OpenStream | None = None
    was_accepted = False  # True once the relay has accepted a connection

    def __post_init__(self, ssl_context: ssl.SSLContext | None, token: str | None) -> None:
        url = parse_url(self.link.url)
        self._authority = url.authority
        self._target = url.target((ssl_context or client_context()) if url.tls else None)
        self._headers = [] if token is None else [(b"Authorization", f"Bearer {token}".encode())]

    def emit(self, event: ClientEvent) -> None:
        """Report an event to the program."""
        if self.on_event is not None:
            self.on_event(event)

    @asynccontextmanager
    async def open(self, code: str, outage: float) -> AsyncIterator[WebSocket]:
        """Open a WebSocket for a pair code, in an outage of this duration in seconds.

        After the block, the WebSocket is closed without a closing handshake. Raises ConnectionLost
        if a retry may succeed. Otherwise, raises NoRelay or Refused.
        """
        url = parse_url(self.link.request_url(code))
        resource = f"{url.path}?{url.query}"
        try:
            stream = await self._connect(tcp_timeout(outage))
            opened: AbstractAsyncContextManager[WebSocket] = background(
                run_websocket, stream, self._authority, resource, self._headers
            )
            async with opened as websocket:
                self.was_accepted = True
                yield websocket
        except NoRelay as error:
            if not self.was_accepted:
                raise
            raise ConnectionLost(f"no connection to the relay: {error}") from None
        except trio_websocket.ConnectionRejected as answer:
            raise refusal(
                answer.status_code,
                answer.headers or (),
                answer.body or b"",
                is_host=self.is_host,
                was_accepted=self.was_accepted,
            ) from None

    async def _connect(self, timeout: float) -> trio.abc.Stream:  # noqa: ASYNC109 - of one part
        """Return a stream to the relay, after the TLS handshake if any. Raises NoRelay."""
        try:
            with trio.fail_after(timeout):
                stream = await (self.open_stream or partial(connect, self._target))()
        except trio.TooSlowError:
            raise NoRelay(f"no connection within {timeout:g} s") from None
        except OSError as error:
            raise NoRelay(describe_tcp_error(error)[0]) from None
        try:
            with trio.fail_after(TLS_TIMEOUT):
                return await start_tls(stream, self._target)
        except trio.TooSlowError:
            raise NoRelay(f"no TLS handshake within {TLS_TIMEOUT:g} s") from None
        except trio.BrokenResourceError as error:
            raise NoRelay(describe_tls_error(error.__cause__)[0]) from None
