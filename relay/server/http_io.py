"""Read the request of a connection, and send a response that is not 101.

No library for WebSocket has a hook for plain HTTP, and each trusts the head that it is given.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Final

import trio

from ..protocol.request import Request, RequestParser
from ..protocol.response import HEAD_TOO_SLOW, MAX_HEAD, NOT_HTTP, Response
from ..transport.base import Transport

__all__ = ["read_request", "send_response"]

DRAIN_TIMEOUT: Final = 2.0
"""Seconds that a refused client has to close its end."""


async def read_request(transport: Transport, handshake_timeout: float) -> Request | Response | None:
    """Read the head of a request; bytes that follow it stay to be received.

    Return an answer if the head is invalid, or not complete within handshake_timeout seconds.
    Return None if there is nobody to answer: the client is gone, or sent nothing but empty lines.
    """
    reader = RequestParser()
    with trio.move_on_after(handshake_timeout):
        return await receive_request(transport, reader)
    return reader.refusal(HEAD_TOO_SLOW) if reader.begun else None


async def receive_request(transport: Transport, reader: RequestParser) -> Request | Response | None:
    """Receive the head of a request without a limit of time; otherwise as `read_request`.

    The head is parsed where it is read, so that many large ones do not hold up everything else.
    """
    found: Request | Response | None = None
    ended = False

    def take(data: bytes) -> bool:
        nonlocal found, ended
        if data:
            found = reader.feed(data)
        else:
            ended, found = True, reader.refusal(NOT_HTTP) if reader.begun else None
        return True

    try:
        await transport.handshake()
        if (first := transport.look(MAX_HEAD)) is not None:  # it is mostly there already
            take(first)
        while found is None and not ended:
            await transport.receive_until(take, reader.missing)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        return None
    if isinstance(found, Request):
        transport.push_back(reader.trailing_data)
    return found


async def send_response(transport: Transport, response: Response) -> None:
    """Send the answer, and give the client `DRAIN_TIMEOUT` seconds to read it and leave."""
    with trio.move_on_after(DRAIN_TIMEOUT):
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await transport.send_all(response.encode(int(time.time())))
            # Where one direction cannot be ended alone, the client would wait for the other end.
            if transport.half_closeable:
                await transport.drain_and_wait_eof()
