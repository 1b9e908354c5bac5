"""Read the request of a connection, and send a response that is not 101.

No library for WebSocket has a hook for plain HTTP, and each trusts the head that it is given.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Final

import trio

from ..protocol.request import HeadReader, Request
from ..protocol.response import HEAD_TOO_SLOW, MAX_HEAD, NOT_HTTP, Answer
from ..transport.base import Wire

__all__ = ["read_request", "send_answer"]

LINGER: Final = 2.0
"""Seconds that a refused client has to close its end."""


async def read_request(wire: Wire, head_timeout: float) -> Request | Answer | None:
    """Read the head of a request; bytes that follow it stay to be received.

    Return an answer if the head is invalid, or not complete within head_timeout seconds. Return
    None if there is nobody to answer: the client is gone, or sent nothing but empty lines.
    """
    reader = HeadReader()
    with trio.move_on_after(head_timeout):
        return await receive_request(wire, reader)
    return reader.refusal(HEAD_TOO_SLOW) if reader.begun else None


async def receive_request(wire: Wire, reader: HeadReader) -> Request | Answer | None:
    """Receive the head of a request without a limit of time; otherwise as `read_request`.

    The head is parsed where it is read, so that many large ones do not hold up everything else.
    """
    found: Request | Answer | None = None
    ended = False

    def take(data: bytes) -> bool:
        nonlocal found, ended
        if data:
            found = reader.feed(data)
        else:
            ended, found = True, reader.refusal(NOT_HTTP) if reader.begun else None
        return True

    try:
        await wire.begin()
        if (first := wire.look(MAX_HEAD)) is not None:  # it is mostly there already
            take(first)
        while found is None and not ended:
            await wire.receive_until(take, reader.missing)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        return None
    if isinstance(found, Request):
        wire.unread(reader.rest)
    return found


async def send_answer(wire: Wire, answer: Answer) -> None:
    """Send the answer, and give the client `LINGER` seconds to read it and leave."""
    with trio.move_on_after(LINGER):
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await wire.send_all(answer.encode(int(time.time())))
            # Where one direction cannot be ended alone, the client would wait for the other end.
            if wire.half_closeable:
                await wire.linger()
