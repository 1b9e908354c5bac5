"""Read the request of a connection, and send a response other than 101.

The relay does not use a WebSocket library for this, because WebSocket libraries have no hook for
plain HTTP requests and do not validate the request head.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Final

import trio

from ..protocol.request import Request, RequestParser
from ..protocol.response import HEAD_TOO_SLOW, MAX_HEAD, NOT_HTTP, Response
from ..transport.base import Transport

DRAIN_TIMEOUT: Final = 2.0
"""Maximum time, in seconds, for the client to read the response and close the connection.

The relay waits, because closing a socket with unread data resets the connection, and a reset could
destroy the response before the client reads it.
"""


class RequestReader:
    """Reader of one request head. The bytes after the head stay available in the transport.

    The head is parsed inside `Transport.receive_until`, which reads less at a time if parsing takes
    long, so that many large heads do not delay other tasks.
    """

    __slots__ = ("_done", "_found", "_parser", "_transport")

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._parser = RequestParser()
        self._found: Request | Response | None = None
        self._done = False

    def read_available(self) -> bool:
        """Read the available bytes without waiting. Return True if no more bytes are needed.

        Usually the whole head is available, so the caller does not have to wait with a timeout.
        """
        if self._transport.handshake_done:
            try:
                data = self._transport.look(MAX_HEAD)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                self._done = True
            else:
                if data is not None:
                    self._take(data)
        return self._done

    async def read(self, handshake_timeout: float) -> None:
        """Read until the head is complete or invalid, for at most ``handshake_timeout`` seconds."""
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            with trio.move_on_after(handshake_timeout) as in_time:
                await self._transport.handshake()
                while not self._done:
                    await self._transport.receive_until(self._take, self._parser.missing)
            if in_time.cancelled_caught and self._parser.begun:
                self._found = self._parser.for_head_method(HEAD_TOO_SLOW)

    def result(self) -> Request | Response | None:
        """Return the request, or a response if the head is invalid or incomplete.

        Return None if no response is due, because the client disconnected or sent only empty lines.
        """
        if isinstance(self._found, Request):
            self._transport.push_back(self._parser.trailing_data)
        return self._found

    def _take(self, data: bytes) -> bool:
        if data:
            self._found = self._parser.feed(data)
        elif self._parser.begun:
            self._found = self._parser.for_head_method(NOT_HTTP)
        self._done = self._found is not None or not data
        return True


async def read_request(transport: Transport, handshake_timeout: float) -> Request | Response | None:
    """Read one request head. The bytes after the head stay available in the transport.

    Return a response if the head is invalid, or is incomplete after ``handshake_timeout`` seconds.
    Return None if no response is due, because the client disconnected or sent only empty lines.
    """
    reader = RequestReader(transport)
    if not reader.read_available():
        await reader.read(handshake_timeout)
    return reader.result()


async def send_response(transport: Transport, response: Response) -> None:
    """Send a response, and wait until the client disconnects, for at most `DRAIN_TIMEOUT`."""
    with trio.move_on_after(DRAIN_TIMEOUT):
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await transport.send_all(response.encode(int(time.time())))
            # If the stream cannot half-close, do not wait: the client itself may be waiting for
            # the relay to close the stream.
            if transport.half_closeable:
                await transport.drain_and_wait_eof()
