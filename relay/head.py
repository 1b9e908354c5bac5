"""The head of a request, made of bytes: at once where nothing is unusual about it, or else by h11.

Pure. Whatever is usual to this module is what h11 would make of it; that it is good is not said.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

import h11

from .answers import MAX_HEAD
from .errors import NotHttp

__all__ = ["HeadReader", "Request"]

REQUEST_LINE: Final = re.compile(rb"[^\n]* HTTP/1\.[01]\r?\n")

USUAL: Final = re.compile(
    rb"GET ([!-~]++) HTTP/1\.1\r\n"
    rb"((?:[!#$%&'*+\-.^_`|~0-9A-Za-z]++:[ -~]*+\r\n)+)\r\n"  # RFC 9110 sections 5.1 and 5.5
)

UNUSUAL: Final = frozenset((b"content-length", b"transfer-encoding"))


class Request(NamedTuple):
    """The head of a request."""

    method: bytes
    target: bytes
    http_version: bytes
    headers: list[tuple[bytes, bytes]]
    """As they came, but for their names, which are in lower case."""


class HeadReader:
    """Takes the head of a request in pieces of any size."""

    def __init__(self) -> None:
        self._connection: h11.Connection | None = None
        self.rest = b""
        """What came behind the head."""

    def feed(self, data: bytes) -> Request | None:
        """Take what came, which must be something; return the request once its head is complete.

        Raises NotHttp as soon as there cannot be one.
        """
        if self._connection is None:
            if (usual := USUAL.match(data)) and (request := usual_request(usual)):
                self.rest = data[usual.end() :]
                return request
            self._connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
        self._connection.receive_data(data)
        # h11 waits for the empty line; what is not HTTP may never send one.
        if b"\n" in data and not REQUEST_LINE.match(self._connection.trailing_data[0]):
            raise NotHttp
        try:
            event = self._connection.next_event()
        except h11.RemoteProtocolError as error:
            raise NotHttp from error
        if not isinstance(event, h11.Request):
            return None
        self.rest = self._connection.trailing_data[0]
        return Request(event.method, event.target, event.http_version, list(event.headers))


def usual_request(usual: re.Match[bytes]) -> Request | None:
    """Return the request; None if a header is there that asks for more than a look at its form."""
    target, lines = usual.groups()
    headers = []
    for line in lines.split(b"\r\n")[:-1]:
        name, _, value = line.partition(b":")
        headers.append((name.lower(), value.strip(b" ")))
    names = [name for name, _ in headers]
    if names.count(b"host") != 1 or not UNUSUAL.isdisjoint(names):
        return None
    return Request(b"GET", target, b"1.1", headers)
