"""Compare the parser of request heads with h11, on any bytes that a client may send.

h11 accepts every head that the relay accepts, with the same result. The relay refuses more heads:
those with a control character, and those above its limits.
"""

from __future__ import annotations

import re

import h11

from relay.protocol.request import (
    FAST_PATH,
    FORBIDDEN,
    Request,
    RequestParser,
    in_origin_form,
    parse_common,
)


def by_h11(data: bytes) -> tuple[Request, bytes] | None:
    """Return the request that h11 finds, and the data behind it."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(data)
    try:
        event = connection.next_event()
    except h11.RemoteProtocolError:
        return None
    if not isinstance(event, h11.Request):
        return None
    headers: dict[bytes, bytes] = {}
    for name, value in event.headers:
        headers[name] = b", ".join((headers[name], value)) if name in headers else value
    return Request(event.method, event.target, event.http_version, headers), (
        connection.trailing_data[0]
    )


def whole(data: bytes) -> tuple[bytes, bytes]:
    """Return the head at the start of data, and the data behind it."""
    end = re.search(rb"\n\r?\n", data)
    return (data, b"") if end is None else (data[: end.end()], data[end.end() :])


def by_expression(head: bytes) -> Request | None:
    """Return the request that the regular expression finds."""
    usual = FAST_PATH.fullmatch(head)
    return usual and parse_common(usual)


def check_both_paths(data: bytes) -> None:
    """Assert that the expression, and the parser as a whole, agree with h11."""
    head, behind = whole(data)
    request = by_expression(head)
    expected = by_h11(data)
    if request is not None:
        assert expected == (request, behind)
    if FORBIDDEN.search(head):
        assert request is None
    reader = RequestParser()
    read = reader.feed(data)
    if isinstance(read, Request) and not data.startswith((b"\r", b"\n")):
        assert expected is not None
        assert (read, reader.trailing_data) == (in_origin_form(expected[0]), expected[1])
