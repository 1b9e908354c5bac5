"""One side of the pair that the probe opens: its connection, and its WebSocket (trio-websocket)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

import trio
import trio_websocket

from ...client.dial import (
    ConnectTarget,
    connect,
    describe_tcp_error,
    describe_tls_error,
    printable,
    start_tls,
)
from ...client.watched_stream import WatchedStream, cancel_after
from .answer import pair_in, refusal
from .hints import ABNORMAL_CLOSURE, Failure

MAX_ANSWER: Final = 16 * 1024
"""Maximum size of the response to an upgrade request, in bytes."""

READ_SIZE: Final = 64 * 1024

QUEUE: Final = 16
"""Maximum number of received messages that a side queues. While the queue is full, the side reads
no frames, so its pongs are delayed."""

ABNORMAL: Final = 1006
"""Close code of a connection without a close frame (RFC 6455 section 7.4.1)."""


@dataclass(slots=True)
class Awaited:
    """Name of what a step waits for, such as "pong". The message of a timeout contains it."""

    what: str = ""


async def dial(target: ConnectTarget, awaited: Awaited) -> trio.abc.Stream:
    """Return a stream to a target, with TLS if the target has a TLS context.

    Raises Failure if the TCP connection or the TLS handshake fails.
    """
    awaited.what = "TCP connection"
    try:
        stream = await connect(target)
    except OSError as error:
        raise Failure(*describe_tcp_error(error)) from None
    awaited.what = "TLS handshake"
    try:
        return await start_tls(stream, target)
    except trio.BrokenResourceError as error:
        raise Failure(*describe_tls_error(error.__cause__)) from None


@dataclass(frozen=True, slots=True)
class ConnectOptions:
    """Parameters of the handshake of a side."""

    open_stream: Callable[[Awaited], Awaitable[trio.abc.Stream]]
    """Function that returns a stream to the relay, or raises Failure."""
    authority: str
    """Value of the Host header."""
    resource: str = field(repr=False)
    headers: tuple[tuple[bytes, bytes], ...] = field(repr=False)
    max_message_size: int

    @property
    def with_token(self) -> bool:
        """True if the request has a token, as a header or a parameter."""
        return bool(self.headers) or "token=" in self.resource


class RecordingStream(WatchedStream):
    """Stream that also records the handshake response, which trio-websocket does not report."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        super().__init__(stream)
        self.answer: bytes | None = b""
        """Bytes received so far; None once the handshake has succeeded."""

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        data = await super().receive_some(max_bytes)
        if self.answer is not None:
            self.answer += data
            if len(self.answer) > MAX_ANSWER:
                self.ended.set()
        return data


class ProbeClient:
    """One side of the pair. Once it has ended, `send`, `receive` and `ping` raise Failure."""

    def __init__(
        self,
        name: str,
        websocket: trio_websocket.WebSocketConnection,
        stream: WatchedStream,
        pair: str = "",
    ) -> None:
        self.name = name
        self.pair = pair
        """Hash of the code, as in the log of the relay; "" if the response has no hash."""
        self.ended = stream.ended
        """Event that is set at the end of the stream."""
        self._stream = stream
        self._websocket = websocket

    @property
    def failure(self) -> Failure | None:
        """Failure that ended this side; None while the side is open."""
        reason = self._websocket.closed
        return self._closed() if reason is not None or self.ended.is_set() else None

    async def send(self, message: bytes | str) -> None:
        """Send a binary or text message."""
        try:
            await self._websocket.send_message(message)
        except trio_websocket.ConnectionClosed:
            raise self._closed() from None

    async def receive(self) -> bytes | str:
        """Wait for the next message, and return it."""
        try:
            return await self._websocket.get_message()
        except trio_websocket.ConnectionClosed:
            raise self._closed() from None

    async def ping(self) -> None:
        """Send a ping and wait for its pong."""
        if not await self._stream.before_end(self._websocket.ping):
            raise self._closed()

    async def close(self) -> None:
        """Complete the closing handshake, with code 1000, unless this side has ended."""
        await self._stream.before_end(self._websocket.aclose)

    def _closed(self) -> Failure:
        reason = self._websocket.closed
        if reason is None or reason.code == ABNORMAL:
            text = f"side {self.name}'s connection was cut, without a close frame"
            return Failure(text, ABNORMAL_CLOSURE, "closed")
        code = f"closed {reason.code}"
        cause = f"{code} {printable(reason.reason)}" if reason.reason else code
        return Failure(
            f"side {self.name} was {cause.replace(' ', ' with ', 1)}", cause, code, "closed"
        )


async def run_client(
    name: str,
    request: ConnectOptions,
    awaited: Awaited,
    *,
    task_status: trio.TaskStatus[ProbeClient],
) -> None:
    """Open a side, report it to ``task_status``, and keep it open until cancelled.

    Raises Failure if the side cannot be opened. The `ProbeClient` reports later failures, including
    failures of the reader task of trio-websocket.
    """
    # trio-websocket accepts any stream, although its annotation names two types.
    stream: Any = RecordingStream(await request.open_stream(awaited))
    awaited.what = "answer to the upgrade"
    websocket = None
    try:
        async with trio.open_nursery() as nursery:
            with trio.CancelScope() as opening:
                # trio-websocket waits forever for a response, even after the end of the stream.
                nursery.start_soon(cancel_after, stream.ended, opening)
                websocket = await trio_websocket.wrap_client_stream(
                    nursery,
                    stream,
                    request.authority,
                    request.resource,
                    extra_headers=list(request.headers),
                    message_queue_size=QUEUE,
                    max_message_size=request.max_message_size,
                    receive_buffer_size=READ_SIZE,
                )
            if websocket is not None:
                pair, stream.answer = pair_in(stream.answer), None
                task_status.started(ProbeClient(name, websocket, stream, pair))
                await trio.sleep_forever()
            nursery.cancel_scope.cancel()
    except* Exception:  # noqa: BLE001, S110 - the recorded stream has the cause
        pass
    finally:
        await trio.aclose_forcefully(stream)
    if websocket is None:
        raise refusal(stream.answer, with_token=request.with_token)
