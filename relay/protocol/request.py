"""Parse the head of an HTTP/1.1 request.

Pure. A regular expression parses common heads, and h11 parses all others. The regular expression
accepts only heads that h11 accepts too, and the result is the same. This module checks only the
syntax of a request, not whether the relay can serve the request.

The CPU time for a head is bounded, and does not depend on the number of reads in which the head
arrives: each byte is scanned once for the empty line that ends the head, and only a complete head
with at most `MAX_FIELDS` fields is parsed.
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

REQUEST_LINE: Final = re.compile(rb"[^\n]* HTTP/1\.[01]\r?\n")
HEAD_END: Final = re.compile(rb"\n\r?\n")
OVERLAP: Final = 2
"""Number of scanned bytes to scan again, because they may be the first bytes of `HEAD_END`."""

FAST_PATH: Final = re.compile(
    rb"GET ([!-~]++) HTTP/1\.1\r\n"
    rb"((?:[!#$%&'*+\-.^_`|~0-9A-Za-z]++:[\t -~\x80-\xff]*+\r\n)+)\r\n"  # RFC 9110 5.1 and 5.5
)
SLOW_PATH_HEADERS: Final = frozenset((b"content-length", b"transfer-encoding"))

FORBIDDEN: Final = re.compile(rb"[\0-\x08\v\f\x0e-\x1f\x7f]|\r(?!\n)")
"""Control characters that are invalid in a head (RFC 9110 section 5.5).

h11 accepts most of these characters in a header value. It refuses NUL, vertical tab and form feed,
but needs quadratic time if they follow many spaces.
"""

LONG_LENGTH: Final = re.compile(rb"\ncontent-length:[^\n]{100}", re.IGNORECASE)
"""Content-Length of at least 100 characters.

The relay refuses it, because h11 parses long numbers slowly: 16 KiB of digits take 0.8 ms.
"""

ABSOLUTE_FORM: Final = re.compile(rb"(?:https?|wss?)://([^/?#]+)(.*)", re.IGNORECASE | re.DOTALL)

PROXY_V1: Final = b"PROXY "
PROXY_V2: Final = b"\r\n\r\n\x00\r\nQUIT\n"
"""Signatures of the PROXY protocol, versions 1 and 2."""

HEAD_METHOD: Final = b"HEAD "
"""Start of a HEAD request, whose response has no body (RFC 9110 section 9.3.2)."""

MIN_FIRST_BYTE: Final = 0x21
"""Lowest byte value with which a request line can begin."""


@dataclass(frozen=True, slots=True, repr=False)
class Request:
    """The parsed head of a request. Its ``repr`` shows no field, so no secret reaches a log."""

    method: bytes
    target: bytes
    """Request target. An absolute form is converted to origin form; other forms are unchanged."""
    http_version: bytes
    headers: dict[bytes, bytes]
    """Field values by lower-case name, with the values of repeated fields joined by commas."""

    @property
    def is_forwarded(self) -> bool:
        """True if the request has a header that proxies add to forwarded requests."""
        return b"x-forwarded-for" in self.headers or b"forwarded" in self.headers

    @property
    def forwarded_for(self) -> str:
        """Value of X-Forwarded-For, which any client can spoof; non-ASCII bytes are replaced."""
        return self.headers.get(b"x-forwarded-for", b"").decode("ascii", "replace")


class RequestParser:
    """Incremental parser of one request head."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._begin = 0  # offset of the request line
        self._searched = 0  # number of bytes scanned so far
        self._fields = -1  # number of lines after the request line; -1 until it is complete
        self.begun = False
        """True once the client has sent a byte other than CR and LF."""
        self.trailing_data = b""
        """Bytes received after the head."""

    @property
    def missing(self) -> int:
        """Maximum number of bytes that may still be added to the head."""
        return MAX_HEAD - len(self._data)

    def feed(self, data: bytes) -> Request | Response | None:
        """Add one or more received bytes; return the request once its head is complete.

        The result is None while the head is incomplete. It is an error response as soon as the
        received bytes cannot begin a valid head within the limits.
        """
        # Nearly every head arrives in one read and in the common form.
        if not self._data and (match := FAST_PATH.match(data)) is not None:
            end = match.end()
            is_small = data.count(b"\n", 0, end) <= MAX_FIELDS + 2  # request line and empty line
            if is_small and (request := parse_common(match)) is not None:
                self.begun, self.trailing_data = True, data[end:]
                return in_origin_form(request)
        self._data += data
        self.begun = self.begun or bool(data.strip(b"\r\n"))
        result = self._scan()
        return self.for_head_method(result) if isinstance(result, Response) else result

    def for_head_method(self, response: Response) -> Response:
        """Return the response; omit the body if the request method is HEAD."""
        if self._data.startswith(HEAD_METHOD, self._begin):
            return replace(response, omit_body=True)
        return response

    def _scan(self) -> Request | Response | None:
        """Search the new bytes for the end of the head; return the result for `feed` to return."""
        if self._fields < 0:
            if (error := self._begin_head()) is not None:
                return error
            if self._fields < 0:
                return None if self.missing > 0 else HEAD_TOO_BIG
        found = HEAD_END.search(self._data, max(self._begin, self._searched - OVERLAP))
        end = len(self._data) if found is None else found.end()
        self._fields += self._data.count(b"\n", self._searched, end)
        self._searched = end
        if self._fields > MAX_FIELDS + (found is not None):  # the final empty line is counted too
            return TOO_MANY_FIELDS
        if found is None:
            return None if self.missing > 0 else HEAD_TOO_BIG
        self.trailing_data = bytes(self._data[end:])
        return parse_head(bytes(self._data[self._begin : end]))

    def _begin_head(self) -> Response | None:
        """Check the request line once it is complete; return an error response or None.

        One empty line before the request line is ignored (RFC 9112 section 2.2).
        """
        data = self._data
        if data.startswith(PROXY_V2):
            return PROXY_PROTOCOL
        if PROXY_V2.startswith(data):  # the signature may still be incomplete
            return None
        if not self._begin:
            self._begin = 2 if data.startswith(b"\r\n") else 1 if data.startswith(b"\n") else 0
        begin = self._begin
        if begin < len(data) and data[begin] < MIN_FIRST_BYTE and data != b"\r":
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


def parse_head(head: bytes) -> Request | Response:
    """Parse a complete head with at most `MAX_FIELDS` fields; return a request or an error."""
    match = FAST_PATH.fullmatch(head)
    return in_origin_form((match and parse_common(match)) or parse_with_h11(head))


def parse_common(match: re.Match[bytes]) -> Request | None:
    """Return the request from a head that `FAST_PATH` matched, or None if h11 must parse the head.

    h11 must parse a head without Host, with repeated Host, or with one of `SLOW_PATH_HEADERS`.
    """
    target, lines = match.groups()
    fields = []
    for line in lines.split(b"\r\n")[:-1]:
        name, _, value = line.partition(b":")
        fields.append((name.lower(), value.strip(b" \t")))
    names = [name for name, _ in fields]
    if names.count(b"host") != 1 or not SLOW_PATH_HEADERS.isdisjoint(names):
        return None
    return Request(b"GET", target, b"1.1", combine_fields(fields))


def parse_with_h11(head: bytes) -> Request | Response:
    """Parse a complete head with h11; return a request or an error."""
    if FORBIDDEN.search(head) or LONG_LENGTH.search(head):
        return NOT_HTTP
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
    connection.receive_data(head)
    try:
        event = connection.next_event()
    except h11.RemoteProtocolError as error:
        # The error and its traceback refer to each other. This cycle would keep the head in memory.
        error.__traceback__ = None
        return NOT_HTTP
    return from_h11(event) if isinstance(event, h11.Request) else NOT_HTTP


def from_h11(event: h11.Request) -> Request:
    """Convert the request event of h11 to a `Request`."""
    return Request(event.method, event.target, event.http_version, combine_fields(event.headers))


def combine_fields(fields: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Return the field values by name, with the values of repeated fields joined by commas."""
    headers: dict[bytes, bytes] = {}
    for name, value in fields:
        headers[name] = headers[name] + b", " + value if name in headers else value
    return headers


def in_origin_form(request: Request | Response) -> Request | Response:
    """Convert a request target in absolute form to origin form (RFC 9112 section 3.2).

    The authority of the absolute form replaces the value of Host. An error response, and a request
    whose target has another form, are returned unchanged.
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
