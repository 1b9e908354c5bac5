"""The HTTP head of a connection: read, judged, and answered.

The door reads the head itself, and answers it, because trio-websocket has no hook for plain HTTP
and trusts what it is given.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from contextlib import suppress
from http import HTTPStatus
from typing import Final

import h11
import trio

from .answers import HEAD_TOO_BIG, HEAD_TOO_SLOW, MAX_HEAD, NOT_HTTP, PAIR_IS_FULL, Answer
from .request import Resource, Upgrade, judge
from .wire import Wire

__all__ = ["PAIR_IS_FULL", "Answer", "Upgrade", "read_head", "read_request", "send_answer"]

LINGER: Final = 2.0
"""Seconds that a client that was sent away has to close its end."""

REQUEST_LINE: Final = re.compile(rb"[^\n]* HTTP/1\.[01]\r?\n")


async def read_request(
    wire: Wire,
    head_timeout: float,
    health: Callable[[bool], Answer],
    *,
    strict_codes: bool = False,
    allowed_origins: AbstractSet[str] = frozenset(),
) -> Upgrade | Answer | None:
    """Read the head of a request and say what to do with it; None if the client is gone.

    The head must be complete within head_timeout seconds; what came behind it stays to be received.
    ``health`` returns the answer to whoever asks for it, or, if it gets True, to whoever asks
    whether the relay is ready. The rest is for `judge`.
    """
    with trio.move_on_after(head_timeout):
        request = await receive_request(wire)
        if not isinstance(request, h11.Request):
            return request
        judged = judge(request, strict_codes=strict_codes, allowed_origins=allowed_origins)
        return health(judged is Resource.READY) if isinstance(judged, Resource) else judged
    return HEAD_TOO_SLOW


async def receive_request(wire: Wire) -> h11.Request | Answer | None:
    """Receive the head of a request; return an answer if it is none, None if nothing came."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
    size = 0
    try:
        while (event := connection.next_event()) is h11.NEED_DATA:
            if size == MAX_HEAD:
                return HEAD_TOO_BIG
            data = await (wire.receive_some if size else wire.receive_first)(MAX_HEAD - size)
            size += len(data)
            connection.receive_data(data)
            # h11 waits for the empty line; what is not HTTP may never send one.
            if b"\n" in data and not REQUEST_LINE.match(connection.trailing_data[0]):
                return NOT_HTTP
    except h11.RemoteProtocolError:
        return NOT_HTTP
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        return None
    if not isinstance(event, h11.Request):
        return None
    wire.unread(connection.trailing_data[0])
    return event


async def read_head(
    wire: Wire, head_timeout: float, health: Callable[[], str]
) -> Upgrade | Answer | None:
    """Do as `read_request`, for a relay without rules that is well, and of which health tells."""

    def well(ready: bool) -> Answer:
        return Answer(HTTPStatus.OK, health(), content_type="application/json")

    return await read_request(wire, head_timeout, well)


async def send_answer(wire: Wire, answer: Answer) -> None:
    """Send the answer, and give the client `LINGER` seconds to take it and leave."""
    with trio.move_on_after(LINGER):
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await wire.send_all(bytes(answer))
            # Where one direction cannot be ended alone, the client would wait for the other end.
            if wire.half_closeable:
                await wire.linger()
