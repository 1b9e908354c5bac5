"""Answer ``POST /hash`` on the metrics listeners with the hash of a pair code.

With this hash, an operator can find the log lines about a user's pair. The code is in the body of
the request, because proxies log request targets. The response does not reveal whether the code is
in use, so it does not help an attacker to guess codes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from ..protocol.handshake import without_body_for_head
from ..protocol.query import MAX_CODE
from ..protocol.request import Request
from ..protocol.response import Response, bad_request
from ..transport.base import Transport

PATH: Final = b"/hash"

MAX_BODY: Final = 4 * MAX_CODE + len("\r\n")
"""Maximum size of a body, in bytes: a code in UTF-8, and a line break, which is ignored."""

ONLY_POST: Final = Response(
    HTTPStatus.METHOD_NOT_ALLOWED, "method not allowed", headers=(("Allow", "POST"),)
)
NO_CODE: Final = bad_request(f"the body must be a pair code of 1 to {MAX_CODE} characters")


async def answer_hash(
    request: Request, transport: Transport, hash_code: Callable[[str], str]
) -> Response:
    """Read a code from the body of a request, and return a response with the hash of the code.

    The caller must set a timeout, because the body may never arrive. Raises the exceptions of
    `Transport.receive_some`.
    """
    if request.method != b"POST":
        return without_body_for_head(request, ONLY_POST)
    length = request.headers.get(b"content-length", b"")
    if not length.isdigit() or not 0 < int(length) <= MAX_BODY:
        return NO_CODE
    body = await receive_exactly(transport, int(length))
    if len(body) < int(length):
        return NO_CODE
    try:
        code = body.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        return NO_CODE
    if not 0 < len(code) <= MAX_CODE:
        return NO_CODE
    return Response(
        HTTPStatus.OK,
        json.dumps({"pair": hash_code(code)}),
        content_type="application/json",
        headers=(("Cache-Control", "no-store"),),
    )


async def receive_exactly(transport: Transport, size: int) -> bytes:
    """Receive ``size`` bytes, or fewer if the stream ends earlier."""
    received = b""
    while len(received) < size and (data := await transport.receive_some(size - len(received))):
        received += data
    return received
