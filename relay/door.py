"""The HTTP head of a connection: read, judged, and answered.

The door reads the head itself, and answers it, because a library for WebSocket has no hook for
plain HTTP and trusts what it is given.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final, TypeVar

import trio

from .answers import HEAD_TOO_BIG, HEAD_TOO_SLOW, MAX_HEAD, NOT_HTTP, Answer
from .errors import NotHttp
from .head import HeadReader, Request
from .wire import Wire

__all__ = ["read_request", "send_answer"]

JudgedT = TypeVar("JudgedT")

LINGER: Final = 2.0
"""Seconds that a client that was sent away has to close its end."""


async def read_request(
    wire: Wire, head_timeout: float, judge: Callable[[Request], JudgedT]
) -> JudgedT | Answer | None:
    """Read the head of a request and return what it is judged to be; None if the client is gone.

    The head must be complete within head_timeout seconds; what came behind it stays to be received.
    What is no good head, or comes too late, gets an `Answer` that is not the judge's.
    """
    with trio.move_on_after(head_timeout):
        request = await receive_request(wire)
        return judge(request) if isinstance(request, Request) else request
    return HEAD_TOO_SLOW if wire.begun else None


async def receive_request(wire: Wire) -> Request | Answer | None:
    """Receive the head of a request; return an answer if it is none, None if nothing came."""
    reader, size = HeadReader(), 0
    try:
        await wire.begin()
        while size < MAX_HEAD:
            data = await (wire.receive_some if size else wire.receive_first)(MAX_HEAD - size)
            if not data:
                return NOT_HTTP if size else None
            size += len(data)
            if (request := reader.feed(data)) is not None:
                wire.unread(reader.rest)
                return request
    except NotHttp:
        return NOT_HTTP
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        return None
    return HEAD_TOO_BIG


async def send_answer(wire: Wire, answer: Answer) -> None:
    """Send the answer, and give the client `LINGER` seconds to take it and leave."""
    with trio.move_on_after(LINGER):
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await wire.send_all(bytes(answer))
            # Where one direction cannot be ended alone, the client would wait for the other end.
            if wire.half_closeable:
                await wire.linger()
