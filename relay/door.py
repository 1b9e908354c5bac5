"""The HTTP head of a connection: an upgrade to let in, or a request to answer and send away.

The door reads the head itself, and answers it, because trio-websocket has no hook for plain HTTP
and trusts what it is given. No header of a stranger gets further than this module.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Final
from urllib.parse import unquote_to_bytes

import h11
import trio

from .wire import Wire

__all__ = ["MAX_CODE", "MAX_HEAD", "PAIR_IS_FULL", "Answer", "Upgrade", "read_head", "send_answer"]

MAX_HEAD: Final = 16 * 1024
"""Bytes that an HTTP head may have, with its final empty line."""

MAX_CODE: Final = 256
"""Characters that a pair code may have."""

LINGER: Final = 2.0
"""Seconds that a client that was sent away has to close its end."""

KEY_SIZE: Final = 16  # bytes, RFC 6455 section 4.1
KEY_SUFFIX: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # section 1.3
HEALTH_PATHS: Final = (b"/health", b"/health/")
REQUEST_LINE: Final = re.compile(rb"[^\n]* HTTP/1\.[01]\r?\n")
TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 section 5.6.2


@dataclass(frozen=True, slots=True, repr=False)
class Upgrade:
    """A good upgrade request.

    ``response`` is the 101 for it. It accepts the first subprotocol that the client offers, if any:
    browsers fail without one.
    """

    code: str
    response: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """A response that is not 101: one line of body, after which the connection is closed."""

    status: HTTPStatus
    body: str
    content_type: str = "text/plain; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()
    bodiless: bool = False
    """Whether only the head is sent, because HEAD was asked for."""

    def __bytes__(self) -> bytes:
        connection = h11.Connection(h11.SERVER)
        body = self.body.encode()
        headers = [
            ("Content-Type", self.content_type),
            ("Content-Length", str(len(body))),
            ("Connection", "close"),
            *self.headers,
        ]
        response = h11.Response(
            status_code=self.status, reason=self.status.phrase.encode(), headers=headers
        )
        head = connection.send(response) or b""
        return head if self.bodiless else head + body


def bad_request(why: str) -> Answer:
    """Return the answer to a request that no change of the relay's state would make good."""
    return Answer(HTTPStatus.BAD_REQUEST, why)


NOT_HTTP: Final = bad_request("not a valid HTTP request")
BAD_CODE: Final = bad_request("missing or invalid pair code")
PAIR_IS_FULL: Final = Answer(HTTPStatus.CONFLICT, "pair is full")
NOT_FOUND: Final = Answer(
    HTTPStatus.NOT_FOUND, "not found: this is a WebSocket relay, its health is at /health"
)
GET_ONLY: Final = Answer(
    HTTPStatus.METHOD_NOT_ALLOWED, "method not allowed", headers=(("Allow", "GET"),)
)
HEAD_TOO_BIG: Final = Answer(
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"head is larger than {MAX_HEAD} bytes"
)
HEAD_TOO_SLOW: Final = Answer(HTTPStatus.REQUEST_TIMEOUT, "head did not arrive in time")
WRONG_VERSION: Final = Answer(
    HTTPStatus.UPGRADE_REQUIRED,
    "only WebSocket version 13 is spoken here",
    headers=(("Sec-WebSocket-Version", "13"), ("Upgrade", "websocket")),
)


async def read_head(
    wire: Wire, head_timeout: float, health: Callable[[], str]
) -> Upgrade | Answer | None:
    """Read the head of a request and say what to do with it; None if the client is gone.

    The head must be complete within head_timeout seconds; what came behind it stays to be received.
    ``health`` returns the body of the health answer, JSON, if that is asked for.
    """
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
    size = 0
    with trio.move_on_after(head_timeout):
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
        return judge(event, health)
    return HEAD_TOO_SLOW


async def send_answer(wire: Wire, answer: Answer) -> None:
    """Send the answer, and give the client `LINGER` seconds to take it and leave."""
    with trio.move_on_after(LINGER):
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await wire.send_all(bytes(answer))
            # Where one direction cannot be ended alone, the client would wait for the other end.
            if wire.half_closeable:
                await wire.linger()


def judge(request: h11.Request, health: Callable[[], str]) -> Upgrade | Answer:
    """Decide on a request by its head alone (RFC 6455 section 4.2.1, RFC 9110)."""
    headers: dict[bytes, bytes] = {}
    for name, value in request.headers:  # h11 gives names in lower case
        headers[name] = headers[name] + b", " + value if name in headers else value
    if b"websocket" in tokens(headers.get(b"upgrade", b"")):
        return judge_upgrade(request, headers)
    if request.target.partition(b"?")[0] not in HEALTH_PATHS:
        return answer_to(request, NOT_FOUND)
    if request.method != b"GET":
        return answer_to(request, GET_ONLY)
    return Answer(HTTPStatus.OK, health(), content_type="application/json")


def judge_upgrade(request: h11.Request, headers: dict[bytes, bytes]) -> Upgrade | Answer:
    """Decide on a request to upgrade to WebSocket; its path may be anything."""
    if request.method != b"GET":
        return answer_to(request, GET_ONLY)
    if request.http_version != b"1.1":
        return bad_request("an upgrade needs HTTP/1.1")
    if b"upgrade" not in tokens(headers.get(b"connection", b"")):
        return bad_request("an upgrade needs the header Connection: Upgrade")
    if not all(value.isascii() for value in headers.values()):
        return bad_request("header is not ASCII")
    if headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers:
        return bad_request("an upgrade has no body")
    if headers.get(b"sec-websocket-version") != b"13":
        return WRONG_VERSION
    key = headers.get(b"sec-websocket-key", b"")
    if not is_key(key):
        return bad_request("Sec-WebSocket-Key is not 16 bytes of base64")
    offered = headers.get(b"sec-websocket-protocol")
    subprotocol = None if offered is None else offered.split(b",")[0].strip()
    if subprotocol is not None and not TOKEN.fullmatch(subprotocol):
        return bad_request("Sec-WebSocket-Protocol is not a list of tokens")
    code = pair_code(request.target)
    if code is None:
        return BAD_CODE
    return Upgrade(code, switching_protocols(key, subprotocol))


def answer_to(request: h11.Request, answer: Answer) -> Answer:
    """Return the answer as this request may have it: to HEAD, without its body."""
    return replace(answer, bodiless=request.method == b"HEAD")


def tokens(value: bytes) -> list[bytes]:
    """Return the items of a comma-separated header in lower case."""
    return [item.strip().lower() for item in value.split(b",")]


def is_key(key: bytes) -> bool:
    """Return whether key is `KEY_SIZE` bytes in base64."""
    try:
        return len(base64.b64decode(key, validate=True)) == KEY_SIZE
    except binascii.Error:
        return False


def pair_code(target: bytes) -> str | None:
    """Return the first ``pair`` parameter of a request target, if it is a good code."""
    query = target.partition(b"?")[2].partition(b"#")[0].replace(b"+", b" ")
    for parameter in query.split(b"&"):
        name, _, value = parameter.partition(b"=")
        if unquote_to_bytes(name) == b"pair":
            try:
                code = unquote_to_bytes(value).decode()
            except UnicodeDecodeError:
                return None
            return code if 0 < len(code) <= MAX_CODE else None
    return None


def switching_protocols(key: bytes, subprotocol: bytes | None) -> bytes:
    """Return the response to a good upgrade request (RFC 6455 section 4.2.2)."""
    accept = base64.b64encode(hashlib.sha1(key + KEY_SUFFIX, usedforsecurity=False).digest())
    lines = [
        b"HTTP/1.1 101 Switching Protocols",
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Accept: " + accept,
    ]
    if subprotocol is not None:
        lines.append(b"Sec-WebSocket-Protocol: " + subprotocol)
    return b"\r\n".join((*lines, b"", b""))
