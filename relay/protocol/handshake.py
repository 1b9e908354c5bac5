"""Validate a request head; return a handshake, a plain request, or a response.

Pure. The result depends only on the request and the settings; the caller checks the state of the
relay. A `Handshake` contains data from the client; the other results do not.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from websockets.utils import accept_key

from .origin import is_allowed
from .page import PAGE, prefers_html
from .query import MAX_TOKEN, decode_code, decode_token, find_parameters, is_strict_code
from .request import Request
from .response import (
    BAD_CODE,
    CODE_NOT_STRICT,
    HANDSHAKE_STRIPPED,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    ORIGIN_NOT_ALLOWED,
    PAIR_HEADER,
    TOO_MANY_PARAMETERS,
    WRONG_VERSION,
    Response,
    bad_request,
)

KEY_SIZE: Final = 16  # bytes, RFC 6455 section 4.1
SUBPROTOCOL: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 section 5.6.2
BEARER: Final = re.compile(rb"bearer +(.+)", re.IGNORECASE)  # RFC 6750 section 2.1
MAX_ITEMS: Final = 100
"""Maximum number of items that are read from a list header. Most lists have one or two items."""

ASCII_HEADERS: Final = (
    b"host",
    b"upgrade",
    b"connection",
    b"origin",
    b"sec-websocket-version",
    b"sec-websocket-key",
    b"sec-websocket-protocol",
)
"""Headers of an upgrade that must be ASCII. Other headers may hold any bytes (RFC 9110 5.5)."""


@dataclass(frozen=True, slots=True, repr=False)
class Handshake:
    """A valid upgrade request. Its ``repr`` shows no field, so that no secret reaches a log."""

    code: str
    key: bytes
    """Value of Sec-WebSocket-Key."""
    subprotocol: bytes | None
    """First offered subprotocol; None if the client offered none. The relay selects it, because a
    browser fails the connection if the server selects none of the offered subprotocols."""
    token: bytes | None = None
    """Token of the client; None if the request has no token, or if the relay needs none. A token
    longer than `MAX_TOKEN` becomes an empty token, which no relay accepts."""

    def response(self, pair: str) -> bytes:
        """Return the 101 response (RFC 6455 section 4.2.2); ``pair`` is the hash of the code."""
        lines = [
            "HTTP/1.1 101 Switching Protocols",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Accept: {accept_key(self.key.decode())}",
            f"{PAIR_HEADER}: {pair}",
        ]
        if self.subprotocol is not None:
            lines.append(f"Sec-WebSocket-Protocol: {self.subprotocol.decode()}")
        return "\r\n".join((*lines, "", "")).encode()


class PlainRequest(Enum):
    """A resource that a plain HTTP request can name. The value lists the paths of the resource."""

    HEALTH = b"/health", b"/health/"
    READY = b"/ready", b"/ready/"


PLAIN_REQUESTS: Final = {path: resource for resource in PlainRequest for path in resource.value}


def asks_for_websocket(request: Request) -> bool:
    """Return True if a request is a WebSocket upgrade. A HEAD request is never an upgrade."""
    upgrade = request.headers.get(b"upgrade", b"")
    return request.method != b"HEAD" and b"websocket" in lowercase_items(upgrade)


def parse_handshake(
    request: Request,
    *,
    strict_codes: bool = False,
    allowed_origins: AbstractSet[str] = frozenset(),
    with_token: bool = True,
    pages: Mapping[bytes, Response] | None = None,
) -> Handshake | PlainRequest | Response:
    """Validate a request head (RFC 6455 section 4.2.1, RFC 9110).

    Args:
        request: The parsed head.
        strict_codes: True to require a pair code that `is_strict_code` accepts.
        allowed_origins: Origins that may connect, normalized with `normalize_origin`. An empty set
            allows every origin.
        with_token: True to read the token of the client.
        pages: Responses to plain requests, by path, in addition to `PLAIN_REQUESTS`.

    Returns:
        The handshake, the resource that a plain request names, or the response to send.
    """
    if asks_for_websocket(request):
        return (
            upgrade_error(request)
            or origin_error(request, allowed_origins)
            or parse_query(request, strict_codes=strict_codes, with_token=with_token)
        )
    headers = request.headers
    if b"sec-websocket-key" in headers and not any(lowercase_items(headers.get(b"upgrade", b""))):
        return without_body_for_head(request, HANDSHAKE_STRIPPED)
    path = request.target.partition(b"?")[0]
    found = (pages or {}).get(path) or PLAIN_REQUESTS.get(path)
    if found is None:
        found = PAGE if asks_for_page(request) else NOT_FOUND
    elif request.method not in {b"GET", b"HEAD"}:
        return METHOD_NOT_ALLOWED
    return found if isinstance(found, PlainRequest) else without_body_for_head(request, found)


def asks_for_page(request: Request) -> bool:
    """Return True if this is a request for the path ``/`` that prefers HTML, as browsers do."""
    return (
        request.target.partition(b"?")[0] == b"/"
        and request.method in {b"GET", b"HEAD"}
        and prefers_html(lowercase_items(request.headers.get(b"accept", b"")))
    )


def upgrade_error(request: Request) -> Response | None:
    """Return the error response if an upgrade violates RFC 6455 section 4.2.1, otherwise None."""
    headers = request.headers
    if request.method != b"GET":
        return METHOD_NOT_ALLOWED
    if request.http_version != b"1.1":
        return bad_request("an upgrade needs HTTP/1.1")
    if b"upgrade" not in lowercase_items(headers.get(b"connection", b"")):
        return bad_request("an upgrade needs the header Connection: Upgrade")
    if not all(headers[name].isascii() for name in ASCII_HEADERS if name in headers):
        return bad_request("Host, Origin or a header of the handshake is not ASCII")
    if headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers:
        return bad_request("an upgrade has no body")
    if headers.get(b"sec-websocket-version") != b"13":
        return WRONG_VERSION
    if not is_key(headers.get(b"sec-websocket-key", b"")):
        return bad_request("Sec-WebSocket-Key is not 16 bytes of base64")
    subprotocol = first_subprotocol(headers)
    if subprotocol is not None and not SUBPROTOCOL.fullmatch(subprotocol):
        return bad_request("Sec-WebSocket-Protocol is not a list of tokens")
    return None


def origin_error(request: Request, allowed_origins: AbstractSet[str]) -> Response | None:
    """Return the error response if the Origin of a request is not allowed, otherwise None.

    If the header Origin is repeated, its values are joined into a list, which equals no allowed
    origin.
    """
    origin = request.headers.get(b"origin")
    if not allowed_origins or origin is None:
        return None
    host = request.headers[b"host"].decode()
    return None if is_allowed(origin.decode(), host, allowed_origins) else ORIGIN_NOT_ALLOWED


def parse_query(request: Request, *, strict_codes: bool, with_token: bool) -> Handshake | Response:
    """Validate the query of an upgrade with valid headers; return a handshake or an error."""
    parameters = find_parameters(request.target)
    if parameters is None:
        return TOO_MANY_PARAMETERS
    code = decode_code(parameters.get(b"pair"))
    if code is None:
        return BAD_CODE
    if strict_codes and not is_strict_code(code, request.target):
        return CODE_NOT_STRICT
    headers = request.headers
    return Handshake(
        code,
        headers[b"sec-websocket-key"],
        first_subprotocol(headers),
        client_token(headers, parameters) if with_token else None,
    )


def pair_code(request: Request) -> str | None:
    """Return the pair code of a request of any kind; None if there is no valid code."""
    parameters = find_parameters(request.target) or {}
    return decode_code(parameters.get(b"pair"))


def without_body_for_head(request: Request, response: Response) -> Response:
    """Return the response; omit the body if the request method is HEAD."""
    return replace(response, omit_body=request.method == b"HEAD")


def lowercase_items(value: bytes) -> list[bytes]:
    """Return the first `MAX_ITEMS` items of a comma-separated header, in lower case."""
    return list_items(value.lower())


def list_items(value: bytes) -> list[bytes]:
    """Return the first `MAX_ITEMS` items of a comma-separated header, including empty items."""
    return [item.strip() for item in value.split(b",", MAX_ITEMS)[:MAX_ITEMS]]


def is_key(key: bytes) -> bool:
    """Return True if the key is `KEY_SIZE` bytes in base64."""
    try:
        return len(base64.b64decode(key, validate=True)) == KEY_SIZE
    except binascii.Error:
        return False


def first_subprotocol(headers: dict[bytes, bytes]) -> bytes | None:
    """Return the first offered subprotocol, or None if the client offers none.

    Empty items of the list are skipped (RFC 9110 section 5.6.1.2).
    """
    return next(filter(None, list_items(headers.get(b"sec-websocket-protocol", b""))), None)


def client_token(headers: dict[bytes, bytes], parameters: dict[bytes, bytes]) -> bytes | None:
    """Return the token from the header Authorization, or else from the ``token`` parameter.

    A header Authorization with a scheme other than Bearer is ignored, because it may be meant for a
    proxy. A token longer than `MAX_TOKEN` becomes an empty token, which no relay accepts.
    """
    bearer = BEARER.fullmatch(headers.get(b"authorization", b""))
    if bearer is None:
        return decode_token(parameters.get(b"token"))
    return bearer[1] if len(bearer[1]) <= MAX_TOKEN else b""
