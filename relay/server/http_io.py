"""Read the request of a connection, and send a response other than 101.

The relay uses no WebSocket library for this: such libraries have no hook for plain HTTP requests,
and do not validate the request head.
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
"""Seconds that a client has to read the response and close the connection.

Closing a socket with unread data resets the connection. The client could then lose the response.
"""


async def read_request(transport: Transport, handshake_timeout: float) -> Request | Response | None:
    """Read the head of a request, and leave the bytes after the head to the next reader.

    Return a response if the head is invalid or incomplete after ``handshake_timeout`` seconds.
    Return None if no response is due: the client disconnected, or sent only empty lines.

    The head is parsed inside `Transport.receive_until`, which reads less at once if parsing takes
    long. Many large heads therefore do not delay other tasks.
    """
    parser = RequestParser()
    found: Request | Response | None = None
    done = False

    def take(data: bytes) -> bool:
        nonlocal found, done
        if data:
            found = parser.feed(data)
        elif parser.begun:
            found = parser.for_head_method(NOT_HTTP)
        done = found is not None or not data
        return True

    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        if transport.handshake_done and (first := transport.look(MAX_HEAD)) is not None:
            take(first)  # usually a complete head, which needs no timeout
        if not done:
            with trio.move_on_after(handshake_timeout) as in_time:
                await transport.handshake()
                while not done:
                    await transport.receive_until(take, parser.missing)
            if in_time.cancelled_caught and parser.begun:
                return parser.for_head_method(HEAD_TOO_SLOW)
    if isinstance(found, Request):
        transport.push_back(parser.trailing_data)
    return found


async def send_response(transport: Transport, response: Response) -> None:
    """Send a response, and wait up to `DRAIN_TIMEOUT` seconds until the client disconnects."""
    with trio.move_on_after(DRAIN_TIMEOUT):
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await transport.send_all(response.encode(int(time.time())))
            # A stream that cannot half-close is not waited for: the client in turn would wait for
            # the relay to close the stream.
            if transport.half_closeable:
                await transport.drain_and_wait_eof()
