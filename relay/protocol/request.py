"""Parse the head of an HTTP/1.1 request.

Pure. A regular expression handles common heads, and h11 all others. The expression accepts a subset
of the heads that h11 accepts, with the same result: it checks the syntax alone, not whether the
relay can serve the request.

The bytes of a head are scanned once, as they arrive, for its empty line. Only a complete head is
parsed, and only if it has no more than `MAX_FIELDS` fields, so the cost of a head is bounded in
however many pieces it arrives.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

import h11

from .response import (
    HEAD_TOO_BIG,
    MAX_FIELDS,
    MAX_HEAD,
    NOT_HTTP,
    PROXY_PROTOCOL,
    TOO_MANY_FIELDS,
    Response,
)

__all__ = ["Request", "RequestParser"]

REQUEST_LINE: Final = re.compile(rb"[^\n]* HTTP/1\.[01]\r?\n")
HEAD_END: Final = re.compile(rb"\n\r?\n")
OVERLAP: Final = 2
"""Bytes before a piece that may belong to an end of the head in it."""

FAST_PATH: Final = re.compile(
    rb"GET ([!-~]++) HTTP/1\.1\r\n"
    rb"((?:[!#$%&'*+\-.^_`|~0-9A-Za-z]++:[\t -~\x80-\xff]*+\r\n)+)\r\n"  # RFC 9110 5.1 and 5.5
)
SLOW_PATH_HEADERS: Final = frozenset((b"content-length", b"transfer-encoding"))

FORBIDDEN: Final = re.compile(rb"[\0-\x08\v\f\x0e-\x1f\x7f]|\r(?!\n)")
"""Control characters that no valid head has (RFC 9110 section 5.5).

h11 accepts most of them in a value. It needs quadratic time to refuse a NUL, a vertical tab or a
form feed behind many spaces.
"""

LONG_LENGTH: Final = re.compile(rb"\ncontent-length:[^\n]{100}", re.IGNORECASE)
"""A Content-Length that is a long list. h11 takes about 0.8 ms for one of 16 KiB."""

ABSOLUTE_FORM: Final = re.compile(rb"(?:https?|wss?)://([^/?#]+)(.*)", re.IGNORECASE | re.DOTALL)

PROXY_V1: Final = b"PROXY "
PROXY_V2: Final = b"\r\n\r\n\x00\r\nQUIT\n"
"""Signatures of the PROXY protocol, versions 1 and 2."""

HEAD_METHOD: Final = b"HEAD "
"""Beginning of a request whose answer has no body (RFC 9110 section 9.3.2)."""

FIRST_PRINTABLE: Final = 0x21
"""Lowest byte that a request line can begin with."""


@dataclass(frozen=True, slots=True, repr=False)
class Request:
    """The head of a request; its representation shows nothing of it."""

    method: bytes
    target: bytes
    """The target in origin form, unless it is ``*`` or invalid."""
    http_version: bytes
    headers: dict[bytes, bytes]
    """Header fields by their names in lower case. A repeated field is a list (RFC 9110 5.3)."""


class RequestParser:
    """Collect the head of a request from pieces of any size."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._begin = 0  # of the request line
        self._searched = 0
        self._fields = -1  # lines after the request line
        self.begun = False
        """True once a byte arrived that is not part of an empty line."""
        self.trailing_data = b""
        """Bytes that followed the head."""

    @property
    def missing(self) -> int:
        """Bytes that the head may still have."""
        return MAX_HEAD - len(self._data)

    def feed(self, data: bytes) -> Request | Response | None:
        """Add received bytes, at least one; return the request once its head is complete.

        Return a refusal as soon as the bytes cannot become a head within the limits.
        """
        self._data += data
        self.begun = self.begun or bool(data.strip(b"\r\n"))
        result = self._scan()
        return self.refusal(result) if isinstance(result, Response) else result

    def refusal(self, response: Response) -> Response:
        """Return an answer to the bytes so far: without its body if the method is HEAD."""
        if self._data.startswith(HEAD_METHOD, self._begin):
            return replace(response, omit_body=True)
        return response

    def _scan(self) -> Request | Response | None:
        """Look for the end of the head in the bytes that arrived last; otherwise as `feed`."""
        if self._fields < 0:
            if (refusal := self._begin_head()) is not None:
                return refusal
            if self._fields < 0:
                return None if self.missing > 0 else HEAD_TOO_BIG
        found = HEAD_END.search(self._data, max(self._begin, self._searched - OVERLAP))
        end = len(self._data) if found is None else found.end()
        self._fields += self._data.count(b"\n", self._searched, end)
        self._searched = end
        if self._fields > MAX_FIELDS + (found is not None):  # the empty line is no field
            return TOO_MANY_FIELDS
        if found is None:
            return None if self.missing > 0 else HEAD_TOO_BIG
        self.trailing_data = bytes(self._data[end:])
        return parsed(bytes(self._data[self._begin : end]))

    def _begin_head(self) -> Response | None:
        """Check the request line once it is complete; return a refusal if it is not HTTP/1.

        One empty line before it is ignored (RFC 9112 section 2.2).
        """
        data = self._data
        if data.startswith(PROXY_V2):
            return PROXY_PROTOCOL
        if PROXY_V2.startswith(data):  # it may arrive in pieces
            return None
        if not self._begin:
            self._begin = 2 if data.startswith(b"\r\n") else 1 if data.startswith(b"\n") else 0
        begin = self._begin
        if begin < len(data) and data[begin] < FIRST_PRINTABLE and data != b"\r":
            return NOT_HTTP
        end = data.find(b"\n", max(begin, self._searched))
        if end < 0:
            self._searched = len(data)
            return None
        if not REQUEST_LINE.match(data, begin):
            return PROXY_PROTOCOL if data.startswith(PROXY_V1, begin) else NOT_HTTP
        self._fields = 0
        self._searched = end + 1
        return None


def parsed(head: bytes) -> Request | Response:
    """Parse a complete head of at most `MAX_FIELDS` fields."""
    usual = FAST_PATH.fullmatch(head)
    return in_origin_form((usual and parsed_usual(usual)) or parsed_by_h11(head))


def parsed_usual(usual: re.Match[bytes]) -> Request | None:
    """Return a request that the expression matched.

    Return None if a field needs more than a check of its syntax.
    """
    target, lines = usual.groups()
    fields = []
    for line in lines.split(b"\r\n")[:-1]:
        name, _, value = line.partition(b":")
        fields.append((name.lower(), value.strip(b" \t")))
    names = [name for name, _ in fields]
    if names.count(b"host") != 1 or not SLOW_PATH_HEADERS.isdisjoint(names):
        return None
    return Request(b"GET", target, b"1.1", combined(fields))


def parsed_by_h11(head: bytes) -> Request | Response:
    """Parse a head with h11."""
    if FORBIDDEN.search(head) or LONG_LENGTH.search(head):
        return NOT_HTTP
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
    connection.receive_data(head)
    try:
        event = connection.next_event()
    except h11.RemoteProtocolError as error:
        # A frame of its traceback refers to the error: a reference cycle that holds the head.
        error.__traceback__ = None
        return NOT_HTTP
    return from_h11(event) if isinstance(event, h11.Request) else NOT_HTTP


def from_h11(event: h11.Request) -> Request:
    """Return the request that h11 parsed."""
    return Request(event.method, event.target, event.http_version, combined(event.headers))


def combined(fields: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Return header fields by name, repeated ones joined by commas."""
    headers: dict[bytes, bytes] = {}
    for name, value in fields:
        headers[name] = headers[name] + b", " + value if name in headers else value
    return headers


def in_origin_form(request: Request | Response) -> Request | Response:
    """Return a request whose target is in origin form (RFC 9112 section 3.2).

    The authority of a target in absolute form replaces the field Host.
    """
    if not isinstance(request, Request):
        return request
    found = ABSOLUTE_FORM.fullmatch(request.target)
    if found is None:
        return request
    authority, rest = found.groups()
    target = rest if rest.startswith(b"/") else b"/" + rest
    headers = {**request.headers, b"host": authority}
    return Request(request.method, target, request.http_version, headers)
