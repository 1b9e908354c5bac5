"""HTTP responses other than 101: error responses and the health response.

Pure. The body of an error response is a fixed line of text. Logs and metrics show this line as the
reason, so a reason never contains data from a client.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import Final

MAX_HEAD: Final = 16 * 1024
"""Maximum size, in bytes, of a request head, including the final empty line."""

MAX_FIELDS: Final = 100
"""Maximum number of header fields. A browser behind several proxies sends about 40."""

MAX_PARAMETERS: Final = 100
"""Maximum number of parameters in the query of an upgrade."""

RETRY_AFTER: Final = 5
"""Default value, in seconds, of ``Retry-After``."""

PAIR_HEADER: Final = "Arc-Relay-Pair"
"""Name of the header with the hash of the pair code. The log names the pair by this hash."""

PLAIN: Final = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Response:
    """A response other than 101. The relay closes the connection after the response."""

    status: HTTPStatus
    body: str
    content_type: str = PLAIN
    headers: tuple[tuple[str, str], ...] = ()
    omit_body: bool = False
    """True if the response is sent without its body, because the request method is HEAD."""
    pair: str = ""
    """Hash of the pair code in the request; "" if the request has no valid code."""
    detail: str = ""
    """More precise reason, which is logged but not sent to the client; "" if there is none."""

    @property
    def is_error(self) -> bool:
        """True if this is an error response. Only error responses have the content type `PLAIN`."""
        return self.content_type == PLAIN

    def with_retry_after(self, seconds: float) -> Response:
        """Return this response with ``Retry-After``: ``seconds`` rounded up, but at least 1."""
        return replace(self, headers=(("Retry-After", str(max(1, math.ceil(seconds)))),))

    @property
    def _hop_by_hop(self) -> list[str]:
        """Fields that Connection must list: Upgrade, if it is present (RFC 9110 section 7.8)."""
        return [name for name, _ in self.headers if name == "Upgrade"]

    def encode(self, now: int) -> bytes:
        """Return the response as bytes; ``now`` is the Unix time in seconds for the header Date."""
        body = self.body.encode()
        headers = (
            ("Date", http_date(now)),
            ("Content-Type", self.content_type),
            ("Content-Length", str(len(body))),
            ("Connection", ", ".join(("close", *self._hop_by_hop))),
            *(((PAIR_HEADER, self.pair),) if self.pair else ()),
            *self.headers,
        )
        lines = [
            f"HTTP/1.1 {self.status} {self.status.phrase}",
            *(f"{name}: {value}" for name, value in headers),
        ]
        head = "\r\n".join((*lines, "", "")).encode()
        return head if self.omit_body else head + body


@lru_cache(maxsize=1)
def http_date(now: int) -> str:
    """Return a Unix time in the format of the header Date (RFC 9110 section 5.6.7)."""
    return formatdate(now, usegmt=True)


def bad_request(reason: str) -> Response:
    """Return a 400 response to an invalid request, with the reason as its body."""
    return Response(HTTPStatus.BAD_REQUEST, reason)


def try_later(status: HTTPStatus, reason: str) -> Response:
    """Return an error response, with ``Retry-After``, to a request that may succeed later."""
    return Response(status, reason).with_retry_after(RETRY_AFTER)


def health_response(pairs: int, *, draining: bool, full: bool) -> Response:
    """Return the response to a health request; ``pairs`` is the number of codes in use.

    ``draining`` is True if the relay refuses new sides because of a shutdown. ``full`` is True if
    ``max_connections`` is reached and the request is for /ready. The response to /health does not
    report a full relay.
    """
    problem = {"draining": True} if draining else {"full": True} if full else {}
    return Response(
        HTTPStatus.SERVICE_UNAVAILABLE if problem else HTTPStatus.OK,
        json.dumps({"ok": not problem, **problem, "pairs": pairs}, separators=(",", ":")),
        content_type="application/json",
        headers=(("Cache-Control", "no-store"),),
    )


# The request itself is refused.

NOT_HTTP: Final = bad_request("not a valid HTTP request")
PROXY_PROTOCOL: Final = bad_request(
    "the PROXY protocol is not supported: configure the proxy not to send it"
)
TOO_MANY_PARAMETERS: Final = bad_request(f"query has more than {MAX_PARAMETERS} parameters")
BAD_CODE: Final = bad_request("missing or invalid pair code")
CODE_NOT_STRICT: Final = bad_request("pair code must be plain and given once")
NOT_FOUND: Final = Response(
    HTTPStatus.NOT_FOUND, "not found: this is a WebSocket relay, its health is at /health"
)
METHOD_NOT_ALLOWED: Final = Response(
    HTTPStatus.METHOD_NOT_ALLOWED, "method not allowed", headers=(("Allow", "GET, HEAD"),)
)
HEAD_TOO_BIG: Final = Response(
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"head is larger than {MAX_HEAD} bytes"
)
TOO_MANY_FIELDS: Final = Response(
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"head has more than {MAX_FIELDS} fields"
)
HEAD_TOO_SLOW: Final = Response(HTTPStatus.REQUEST_TIMEOUT, "head did not arrive in time")
HANDSHAKE_STRIPPED: Final = Response(
    HTTPStatus.UPGRADE_REQUIRED,
    "header Upgrade: websocket is missing: a proxy in front must pass on Upgrade and Connection,"
    " over HTTP/1.1",
    headers=(("Upgrade", "websocket"),),
)
WRONG_VERSION: Final = Response(
    HTTPStatus.UPGRADE_REQUIRED,
    "only WebSocket version 13 is supported",
    headers=(("Sec-WebSocket-Version", "13"), ("Upgrade", "websocket")),
)

# The client is refused because of its origin or its token.

ORIGIN_NOT_ALLOWED: Final = Response(HTTPStatus.FORBIDDEN, "origin is not allowed")
TOKEN_REQUIRED: Final = Response(
    HTTPStatus.UNAUTHORIZED,
    "opening a new code needs a token",
    headers=(("WWW-Authenticate", "Bearer"),),
)

NO_AUTHORIZED_HOST: Final = replace(
    TOKEN_REQUIRED,
    body="no authorized host waits with this code: show the token, or connect again later",
)

# The state of the relay does not admit the client.

PAIR_IS_FULL: Final = try_later(HTTPStatus.CONFLICT, "pair is full")
RELAY_IS_STOPPING: Final = try_later(HTTPStatus.SERVICE_UNAVAILABLE, "relay is stopping")
RELAY_IS_FULL: Final = try_later(HTTPStatus.SERVICE_UNAVAILABLE, "relay is full")
TOO_MANY_WAITING: Final = try_later(HTTPStatus.SERVICE_UNAVAILABLE, "too many waiting sides")
