"""One WebSocket to a relay, on top of trio-websocket.

trio-websocket runs a reader task, which may raise an exception. For example, it raises
LocalProtocolError if a ping arrives after this endpoint has sent a close frame. In this module, an
exception of the reader task only ends the connection.
"""

from __future__ import annotations

from typing import Any, Final, cast

import trio
import trio_websocket

from .errors import ABNORMAL, ConnectionLost, NoRelay
from .noise import MAX_MESSAGE
from .retry import plain_words
from .watched_stream import WatchedStream, cancel_after

READ_SIZE: Final = 256 * 1024  # maximum size, in bytes, of one read
QUEUE: Final = 16  # maximum number of received messages in the queue
MAX_RESPONSE: Final = 128 * 1024  # bytes of the response to an upgrade and early data together

# Maximum number of bytes that a connection may receive before the endpoint takes the next message.
# A full queue and one read need two thirds of this number.
MAX_UNNOTICED: Final = 2 * 2**20

UPGRADE_TIMEOUT: Final = 10.0  # seconds; a takeover check delays the response by up to 2 s
CLOSE_TIMEOUT: Final = 2.0  # maximum duration, in seconds, of the closing handshake


class WebSocket:
    """Open WebSocket. After its end, all methods except `close` raise ConnectionLost."""

    def __init__(
        self, connection: trio_websocket.WebSocketConnection, stream: WatchedStream
    ) -> None:
        self._connection = connection
        self._stream = stream

    async def send(self, message: bytes) -> None:
        """Send a binary message."""
        try:
            await self._connection.send_message(message)
        except Exception:  # noqa: BLE001 - LocalProtocolError of wsproto too, while closing
            raise self._lost() from None

    async def receive(self) -> bytes:
        """Return the next message. Raises ConnectionLost for a text message."""
        try:
            message = await self._connection.get_message()
        except trio_websocket.ConnectionClosed:
            raise self._lost() from None
        self._stream.allowance = MAX_UNNOTICED
        if isinstance(message, str):
            raise ConnectionLost("a text message arrived")
        return message

    async def ping(self, timeout: float) -> None:  # noqa: ASYNC109 - a silent relay is lost
        """Send a ping, and wait at most ``timeout`` seconds for the pong."""
        answered = False
        with trio.move_on_after(timeout):
            answered = await self._stream.before_end(self._connection.ping)
        if not answered:
            raise self._lost("the relay did not answer a ping")

    async def close(self) -> None:
        """Do the closing handshake with code 1000. Give up after `CLOSE_TIMEOUT`."""
        with trio.move_on_after(CLOSE_TIMEOUT):
            await self._stream.before_end(self._connection.aclose)

    def _lost(self, text: str = "the connection was cut, without a close frame") -> ConnectionLost:
        reason = self._connection.closed
        if reason is None or reason.code == ABNORMAL:
            return ConnectionLost(text)
        words = plain_words(reason.reason or "")
        text = f"the connection was closed with {reason.code} {words}".rstrip()
        return ConnectionLost(text, reason.code, words)


async def run_websocket(
    inner: trio.abc.Stream,
    authority: str,
    resource: str,
    headers: list[tuple[bytes, bytes]],
    *,
    task_status: trio.TaskStatus[WebSocket],
) -> None:
    """Open a WebSocket on a stream, report it to ``task_status``, and keep it open until cancelled.

    Raises trio_websocket.ConnectionRejected if the response has an error status, and NoRelay if
    there is no valid response.
    """
    # trio-websocket accepts every stream, although its annotation permits only two types.
    stream: Any = WatchedStream(inner)
    stream.allowance = MAX_RESPONSE
    connection = None
    failure: Exception = NoRelay("the server at this URL does not answer like a relay")
    try:
        async with trio.open_nursery() as nursery:
            with trio.move_on_after(UPGRADE_TIMEOUT) as opening:
                nursery.start_soon(cancel_after, stream.ended, opening)
                connection = await trio_websocket.wrap_client_stream(
                    nursery,
                    stream,
                    authority,
                    resource,
                    extra_headers=headers,
                    message_queue_size=QUEUE,
                    max_message_size=MAX_MESSAGE,
                    receive_buffer_size=READ_SIZE,
                )
            if connection is not None:
                stream.allowance = MAX_UNNOTICED
                task_status.started(WebSocket(connection, stream))
                await trio.sleep_forever()
            nursery.cancel_scope.cancel()
    except* trio_websocket.ConnectionRejected as group:
        failure = cast("Exception", group.exceptions[0])
    except* Exception:  # noqa: BLE001, S110 - the end of this connection, see above
        pass
    finally:
        await trio.aclose_forcefully(stream)
    try:
        if connection is None:
            raise failure
    finally:
        del failure
