"""Request heads, and their validation."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from relay.protocol.handshake import Handshake, PlainRequest, parse_handshake
from relay.protocol.request import Request, RequestParser
from relay.protocol.response import Response

from .raw_client import upgrade_request

KEY = "AAECAwQFBgcICQoLDA0ODw=="
UPGRADE = upgrade_request("/?pair=code", sec_websocket_key=KEY)


def request_of(head: bytes) -> Request:
    """Parse a head that is valid HTTP."""
    request = RequestParser().feed(head)
    assert isinstance(request, Request), request
    return request


def parsed(
    head: bytes,
    *,
    strict_codes: bool = False,
    allowed_origins: AbstractSet[str] = frozenset(),
    with_token: bool = True,
) -> Handshake | PlainRequest | Response:
    """Validate a head that is valid HTTP."""
    return parse_handshake(
        request_of(head),
        strict_codes=strict_codes,
        allowed_origins=allowed_origins,
        with_token=with_token,
    )


def handshake_of(
    head: bytes,
    *,
    strict_codes: bool = False,
    allowed_origins: AbstractSet[str] = frozenset(),
    with_token: bool = True,
) -> Handshake:
    """Validate the head of a valid handshake."""
    handshake = parsed(
        head, strict_codes=strict_codes, allowed_origins=allowed_origins, with_token=with_token
    )
    assert isinstance(handshake, Handshake)
    return handshake


def refused(
    head: bytes, *, strict_codes: bool = False, allowed_origins: AbstractSet[str] = frozenset()
) -> tuple[int, str]:
    """Return the status and body of the refusal of a head."""
    response = parsed(head, strict_codes=strict_codes, allowed_origins=allowed_origins)
    assert isinstance(response, Response)
    return response.status, response.body


def with_lines(head: bytes, *lines: str) -> bytes:
    """Return a head with more lines, which may repeat a header."""
    return head.removesuffix(b"\r\n") + "".join(f"{line}\r\n" for line in (*lines, "")).encode()


def plain(target: str, method: str = "GET", *lines: str) -> bytes:
    """Return the head of a request without an upgrade."""
    return "\r\n".join((f"{method} {target} HTTP/1.1", "Host: relay", *lines, "", "")).encode()
