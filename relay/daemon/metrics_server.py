"""Serve the metrics, and the hashes of codes, over HTTP on separate listeners."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Final

import trio

from ..protocol.handshake import without_body_for_head
from ..protocol.request import Request
from ..protocol.response import METHOD_NOT_ALLOWED, Response
from ..server.accept import accept
from ..server.http_io import read_request, send_response
from ..transport.accepted_socket import Accepted
from ..transport.base import Transport
from ..transport.wrap import wrap_stream
from .hash_server import PATH, answer_hash
from .prometheus_export import CONTENT_TYPE

logger = logging.getLogger("relay")

PATHS: Final = (b"/metrics", b"/")
HEAD_TIMEOUT: Final = 10.0
"""Seconds that a client has for the request head, and again for the body of ``POST /hash``."""

NOT_FOUND: Final = Response(HTTPStatus.NOT_FOUND, "not found: the metrics are at /metrics")


async def serve_metrics(
    listeners: Sequence[trio.abc.Listener[Any]],
    render: Callable[[], bytes],
    hash_code: Callable[[str], str],
) -> None:
    """Answer ``GET /metrics`` with the result of ``render``, until cancelled.

    ``hash_code`` returns the hash of a code, for ``POST /hash``.
    """
    async with trio.open_nursery() as nursery:

        def serve(stream: Accepted) -> None:
            nursery.start_soon(serve_request, render, hash_code, nursery, stream)

        await accept(listeners, serve)


async def serve_request(
    render: Callable[[], bytes],
    hash_code: Callable[[str], str],
    nursery: trio.Nursery,
    stream: Accepted,
) -> None:
    """Answer one request. An exception is only logged, because raising it would end the relay."""
    transport = wrap_stream(stream, nursery)
    try:
        response = await read_request(transport, HEAD_TIMEOUT)
        if isinstance(response, Request):
            response = await respond(response, transport, render, hash_code)
        if response is not None:
            await send_response(transport, response)
        await transport.aclose()
    except Exception as failure:  # noqa: BLE001 - a failed scrape must not end the relay
        logger.error("a scrape failed: %s", type(failure).__name__)  # noqa: TRY400
        await trio.aclose_forcefully(transport)


async def respond(
    request: Request,
    transport: Transport,
    render: Callable[[], bytes],
    hash_code: Callable[[str], str],
) -> Response | None:
    """Return the response to a request; None if the body does not arrive completely in time."""
    if request.target != PATH:
        return scraped(request, render)
    with (
        trio.move_on_after(HEAD_TIMEOUT),
        suppress(trio.BrokenResourceError, trio.ClosedResourceError),
    ):
        return await answer_hash(request, transport, hash_code)
    return None


def scraped(request: Request, render: Callable[[], bytes]) -> Response:
    """Return the response with the metrics, or an error response to any other request."""
    if request.target.partition(b"?")[0] not in PATHS:
        return without_body_for_head(request, NOT_FOUND)
    if request.method not in {b"GET", b"HEAD"}:
        return METHOD_NOT_ALLOWED
    metrics = Response(HTTPStatus.OK, render().decode(), content_type=CONTENT_TYPE)
    return without_body_for_head(request, metrics)
