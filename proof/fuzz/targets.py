"""Fuzz targets: each checks one input, and raises AssertionError if the parsers disagree.

The first bytes of an input choose the division into reads; the rest is the data of the client.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from random import Random
from typing import Final

from relay.protocol.frames import control_payload
from relay.protocol.request import Request, RequestParser
from relay.protocol.response import Response
from tests.support.reframer_comparison import (
    FILLING,
    REAL,
    Bounds,
    as_reframed,
    check_agreement,
)
from tests.support.request_comparison import check_both_paths

BOUNDS: Final[tuple[Bounds, ...]] = (REAL, (0, 1), (1, 2), (8, 4), (100, 16))
"""Bounds under which short messages are forwarded in fragments."""

MAX_CUTS: Final = 12

NEW_CLOSE_CODE: Final = (1014).to_bytes(2)
"""Close code that the registry got after RFC 6455; the relay accepts it, and wsproto does not."""


def divided(data: bytes, choice: int) -> list[bytes]:
    """Return data in pieces; ``choice``, from 0 to 255, determines the division."""
    random = Random(choice)  # noqa: S311 - no secret
    count = choice % MAX_CUTS
    cuts = sorted(random.randint(0, len(data)) for _ in range(count))
    return [data[start:stop] for start, stop in pairwise((0, *cuts, len(data)))]


def check_reframer(data: bytes) -> None:
    """Compare the reframer with wsproto; the first byte is the division, the second the bounds."""
    division, bounds, stream = data[:1], data[1:2], data[2:] + FILLING
    pieces = divided(stream, int.from_bytes(division))
    chosen = BOUNDS[int.from_bytes(bounds) % len(BOUNDS)]
    _, reframer = as_reframed(pieces, bounds=chosen)
    end = reframer.end
    if isinstance(end, bytes) and control_payload(end).startswith(NEW_CLOSE_CODE):
        return
    check_agreement(pieces, chosen)


def check_request(data: bytes) -> None:
    """Compare the request parser with h11, and with itself in pieces; the first byte divides."""
    division, head = data[:1], data[1:]
    if not head:
        return
    check_both_paths(head)
    at_once, in_pieces = RequestParser(), RequestParser()
    expected, left = at_once.feed(head), head
    for piece in filter(None, divided(head, int.from_bytes(division))):
        found = in_pieces.feed(piece)
        left = left[len(piece) :]
        if found is not None:
            break
    if isinstance(expected, Request):
        assert found == expected
        assert in_pieces.trailing_data + left == at_once.trailing_data
    else:
        assert isinstance(found, Response) == isinstance(expected, Response)


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    "reframer": check_reframer,
    "request": check_request,
}
"""Checks by name."""

WORDS: Final[dict[str, tuple[bytes, ...]]] = {
    "reframer": (
        b"\x82\x80\0\0\0\0",
        b"\x02\x81\0\0\0\0a",
        b"\x00\x81\0\0\0\0b",
        b"\x80\x81\0\0\0\0c",
        b"\x81\x81\0\0\0\0d",
        b"\x89\x80\0\0\0\0",
        b"\x8a\x80\0\0\0\0",
        b"\x88\x82\0\0\0\0\x03\xe8",
        b"\x82\xfe\x00\x7e",
        b"\x82\xff\0\0\0\0\0\x01\0\0",
    ),
    "request": (
        b"GET / HTTP/1.1\r\n",
        b"HEAD ",
        b"Host: a\r\n",
        b"Content-Length: 0\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: Upgrade\r\n",
        b"Sec-WebSocket-Key: ",
        b"http://a/",
        b"PROXY ",
        b"\r\n\r\n\0\r\nQUIT\n",
        b"\r\n\r\n",
        b"\n\n",
        b"\r\n\t",
    ),
}
"""Words that the fuzzer inserts."""
