"""One side of the pair that the probe opens, as trio-websocket sees it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

import trio
import trio_websocket

from .dial import Awaited
from .hints import ABNORMAL_CLOSURE, Failure, printable

__all__ = ["ConnectOptions", "ProbeClient", "run_client"]

MAX_ANSWER: Final = 16 * 1024
"""Bytes that an answer to an upgrade may have."""

READ_SIZE: Final = 64 * 1024

QUEUE: Final = 16
"""Messages that may wait for the probe; while there is room, pings are answered."""

ABNORMAL: Final = 1006
"""The close code of a connection that has none (RFC 6455 section 7.4.1)."""

STATUS_LINE: Final = re.compile(rb"HTTP/1\.[01] ([1-5]\d\d)[ \r]")
PLAIN_WORDS: Final = re.compile(rb"[A-Za-z ,:'-]{1,80}")
TLS_ALERT: Final = b"\x15\x03"


@dataclass(frozen=True, slots=True)
class ConnectOptions:
    """How to ask for a side of the pair."""

    open_stream: Callable[[Awaited], Awaitable[trio.abc.Stream]]
    """Returns a stream to the relay, or raises Failure."""
    authority: str
    """The Host header."""
    resource: str = field(repr=False)
    headers: tuple[tuple[bytes, bytes], ...] = field(repr=False)
    max_message_size: int


class RecordingStream(trio.abc.Stream):
    """A stream that shows what trio-websocket does not tell: the answer as it came, and the end."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self.answer: bytes | None = b""
        """What came until now; None once that is known to be a good answer."""
        self.ended = trio.Event()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        try:
            data = await self._stream.receive_some(max_bytes)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self.ended.set()
            raise
        if self.answer is not None:
            self.answer += data
        if not data or len(self.answer or b"") > MAX_ANSWER:
            self.ended.set()
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        self.ended.set()
        await self._stream.aclose()


class ProbeClient:
    """One side, open; what ends it is raised as Failure by whatever it does next."""

    def __init__(
        self, name: str, websocket: trio_websocket.WebSocketConnection, ended: trio.Event
    ) -> None:
        self.name = name
        self.ended = ended
        """Set when its stream is over."""
        self._websocket = websocket

    @property
    def failure(self) -> Failure | None:
        """How this side was closed; None if it was not."""
        reason = self._websocket.closed
        return self._closed() if reason is not None or self.ended.is_set() else None

    async def send(self, message: bytes | str) -> None:
        """Send a message, binary or text."""
        try:
            await self._websocket.send_message(message)
        except trio_websocket.ConnectionClosed:
            raise self._closed() from None

    async def receive(self) -> bytes | str:
        """Return the next message."""
        try:
            return await self._websocket.get_message()
        except trio_websocket.ConnectionClosed:
            raise self._closed() from None

    async def ping(self) -> None:
        """Send a ping and wait for its pong."""
        if not await self._before_end(self._websocket.ping):
            raise self._closed()

    async def close(self) -> None:
        """Do the closing handshake, with code 1000, unless this side has ended."""
        await self._before_end(self._websocket.aclose)

    async def _before_end(self, action: Callable[[], Awaitable[None]]) -> bool:
        """Return whether trio-websocket did this; it can wait for ever on an ended connection."""
        done = False
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cancel_after, self.ended, nursery.cancel_scope)
            with suppress(trio_websocket.ConnectionClosed):
                await action()
                done = True
            nursery.cancel_scope.cancel()
        return done

    def _closed(self) -> Failure:
        reason = self._websocket.closed
        if reason is None or reason.code == ABNORMAL:
            text = f"side {self.name}'s connection was cut, without a close frame"
            return Failure(text, ABNORMAL_CLOSURE, "closed")
        words = f"closed {reason.code}"
        said = f"{words} {printable(reason.reason)}" if reason.reason else words
        return Failure(
            f"side {self.name} was {said.replace(' ', ' with ', 1)}", said, words, "closed"
        )


async def run_client(
    name: str,
    request: ConnectOptions,
    awaited: Awaited,
    *,
    task_status: trio.TaskStatus[ProbeClient],
) -> None:
    """Open a side, report it, and keep it until cancelled, or until the connection ends.

    Raises Failure if it cannot be opened. Later troubles, those of trio-websocket's reader among
    them, are for the `ProbeClient` to tell.
    """
    # trio-websocket takes any stream, though its annotation names two.
    stream: Any = RecordingStream(await request.open_stream(awaited))
    awaited.what = "answer to the upgrade"
    websocket = None
    try:
        async with trio.open_nursery() as nursery:
            with trio.CancelScope() as opening:
                # For an answer it waits for ever when there is none.
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
                stream.answer = None
                task_status.started(ProbeClient(name, websocket, stream.ended))
                await trio.sleep_forever()
            nursery.cancel_scope.cancel()
    except* Exception:  # noqa: BLE001, S110 - it comes from the reader; the stream tells more
        pass
    finally:
        await trio.aclose_forcefully(stream)
    if websocket is None:
        raise refusal(stream.answer)


async def cancel_after(event: trio.Event, scope: trio.CancelScope) -> None:
    """Cancel scope once event is set."""
    await event.wait()
    scope.cancel()


def refusal(answer: bytes) -> Failure:
    """Return what an answer to an upgrade means that is not a good 101."""
    if not answer:
        return Failure("the connection was closed without an answer", "hung up")
    if answer.startswith(TLS_ALERT):
        return Failure("the answer is a TLS alert", "tls wanted")
    found = STATUS_LINE.match(answer)
    if found is None:
        return Failure("the answer is not HTTP/1.1", "not http")
    status = int(found[1])
    causes = (f"status {status}", f"status {status // 100}xx")
    if status == HTTPStatus.SWITCHING_PROTOCOLS:
        return Failure("HTTP 101, but not for this upgrade", *causes)
    try:
        phrase = f" {HTTPStatus(status).phrase}"
    except ValueError:
        phrase = ""
    head, _, body = answer.partition(b"\r\n\r\n")
    # Plain words are worth repeating, such as the relay's own; of anything else who knows.
    words = PLAIN_WORDS.fullmatch(body.strip())
    plain = b"content-type: text/plain" in head.lower()
    quoted = f" ({words[0].decode()})" if words and plain else ""
    return Failure(f"HTTP {status}{phrase} in place of 101{quoted}", *causes)
