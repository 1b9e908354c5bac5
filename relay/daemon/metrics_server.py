"""Serve the metrics, on a listener of their own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any, Final

import trio

from ..protocol.handshake import answer_to
from ..protocol.request import Request
from ..protocol.response import METHOD_NOT_ALLOWED, Answer
from ..server.accept import accept
from ..server.http_io import read_request, send_answer
from ..transport.wrap import open_wire
from .metrics import CONTENT_TYPE

__all__ = ["serve_metrics"]

logger = logging.getLogger("relay")

PATHS: Final = (b"/metrics", b"/")
HEAD_TIMEOUT: Final = 10.0
"""Seconds that whoever asks may take to send the head of the request."""

NOT_FOUND: Final = Answer(HTTPStatus.NOT_FOUND, "not found: the metrics are at /metrics")


async def serve_metrics(
    listeners: Sequence[trio.abc.Listener[Any]], render: Callable[[], bytes]
) -> None:
    """Answer ``GET /metrics`` on these listeners with what render returns, until cancelled."""
    async with trio.open_nursery() as nursery:

        def serve(stream: trio.abc.Stream) -> None:
            nursery.start_soon(serve_scrape, render, nursery, stream)

        await accept(listeners, serve)


async def serve_scrape(
    render: Callable[[], bytes], nursery: trio.Nursery, stream: trio.abc.Stream
) -> None:
    """Answer one request; whatever goes wrong stays in here."""
    wire = open_wire(stream, nursery)
    try:
        request = await read_request(wire, HEAD_TIMEOUT)
        answer = scraped(request, render) if isinstance(request, Request) else request
        if answer is not None:
            await send_answer(wire, answer)
        await wire.aclose()
    except Exception as failure:  # noqa: BLE001 - it must not end the relay
        logger.error("a scrape failed: %s", type(failure).__name__)  # noqa: TRY400
        await trio.aclose_forcefully(wire)


def scraped(request: Request, render: Callable[[], bytes]) -> Answer:
    """Return the answer to a request for the metrics."""
    if request.target.partition(b"?")[0] not in PATHS:
        return answer_to(request, NOT_FOUND)
    if request.method not in {b"GET", b"HEAD"}:
        return METHOD_NOT_ALLOWED
    metrics = Answer(HTTPStatus.OK, render().decode(), content_type=CONTENT_TYPE)
    return answer_to(request, metrics)
