"""Serve the metrics, on a listener of their own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any, Final

import trio

from ..accepting import accept
from ..answers import GET_ONLY, Answer
from ..door import read_request, send_answer
from ..head import Request
from ..request import answer_to
from ..wires import open_wire
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

    def judge(request: Request) -> Answer:
        if request.target.partition(b"?")[0] not in PATHS:
            return answer_to(request, NOT_FOUND)
        if request.method != b"GET":
            return answer_to(request, GET_ONLY)
        return Answer(HTTPStatus.OK, render().decode(), content_type=CONTENT_TYPE)

    wire = open_wire(stream, nursery)
    try:
        answer = await read_request(wire, HEAD_TIMEOUT, judge)
        if answer is not None:
            await send_answer(wire, answer)
        await wire.aclose()
    except Exception as failure:  # noqa: BLE001 - it must not end the relay
        logger.error("a scrape failed: %s", type(failure).__name__)  # noqa: TRY400
        await trio.aclose_forcefully(wire)
