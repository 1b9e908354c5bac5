"""Responses to refused requests, and to requests for the health of the relay."""

from __future__ import annotations

from http import HTTPStatus

import h11
import pytest

import relay.protocol.response
from relay.protocol.response import Response, health_response, try_later

ANSWERS = [value for value in vars(relay.protocol.response).values() if isinstance(value, Response)]
LATER = {"Retry-After": "5"}
NOW = 784111777  # as in RFC 9110 section 5.6.7


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: answer.body)
def test_answer_is_http(answer: Response) -> None:
    """Every response announces the end of the connection, and has one line with its length."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("Host", "relay")]))
    client.receive_data(answer.encode(NOW))
    response, body = client.next_event(), client.next_event()
    assert isinstance(response, h11.Response)
    assert isinstance(body, h11.Data)
    assert isinstance(client.next_event(), h11.EndOfMessage)
    assert client.trailing_data == (b"", False)
    headers = dict(response.headers)
    assert response.status_code == answer.status >= 400
    assert response.reason == answer.status.phrase.encode()
    upgrade = ", Upgrade" if "Upgrade" in dict(answer.headers) else ""  # RFC 9110 section 7.8
    assert headers[b"connection"].decode() == f"close{upgrade}"
    assert headers[b"date"] == b"Sun, 06 Nov 1994 08:49:37 GMT"
    assert headers[b"content-type"] == b"text/plain; charset=utf-8"
    assert body.data.decode() == answer.body
    assert answer.body.isprintable()
    for name, value in answer.headers:
        assert headers[name.lower().encode()] == value.encode()


STRIPPED = (
    "header Upgrade: websocket is missing: a proxy in front must pass on Upgrade and Connection,"
    " over HTTP/1.1"
)
CONTRACT: list[tuple[int, str, dict[str, str]]] = [
    (400, "not a valid HTTP request", {}),
    (400, "the PROXY protocol is not supported: configure the proxy not to send it", {}),
    (400, "query has more than 100 parameters", {}),
    (400, "missing or invalid pair code", {}),
    (400, "pair code must be plain and given once", {}),
    (401, "opening a new code needs a token", {"WWW-Authenticate": "Bearer"}),
    (
        401,
        "no authorized host waits with this code: show the token, or connect again later",
        {"WWW-Authenticate": "Bearer"},
    ),
    (403, "origin is not allowed", {}),
    (404, "not found: this is a WebSocket relay, its health is at /health", {}),
    (405, "method not allowed", {"Allow": "GET, HEAD"}),
    (408, "head did not arrive in time", {}),
    (409, "pair is full", LATER),
    (
        426,
        "only WebSocket version 13 is supported",
        {"Sec-WebSocket-Version": "13", "Upgrade": "websocket"},
    ),
    (426, STRIPPED, {"Upgrade": "websocket"}),
    (431, "head is larger than 16384 bytes", {}),
    (431, "head has more than 100 fields", {}),
    (503, "relay is stopping", LATER),
    (503, "relay is full", LATER),
    (503, "too many waiting sides", LATER),
]


def test_constant_responses() -> None:
    """The responses that do not depend on the request are the documented ones."""
    said = [(int(response.status), response.body, dict(response.headers)) for response in ANSWERS]
    assert sorted(said, key=repr) == sorted(CONTRACT, key=repr)


def test_date_is_of_the_answer() -> None:
    """The date is the second in which the response is sent."""
    first, second = (relay.protocol.response.NOT_FOUND.encode(NOW + later) for later in (0, 1))
    assert second == first.replace(b"08:49:37", b"08:49:38") != first


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0.0, "1"), (0.001, "1"), (1.0, "1"), (1.001, "2"), (59.9, "60")]
)
def test_retry_after(seconds: float, expected: str) -> None:
    """A client over its limit is told a whole number of seconds, which is never too early."""
    response = try_later(HTTPStatus.TOO_MANY_REQUESTS, "too many").with_retry_after(seconds)
    assert (response.status, response.body) == (429, "too many")
    assert response.headers == (("Retry-After", expected),)


@pytest.mark.parametrize(
    ("draining", "full", "status", "body"),
    [
        (False, False, 200, '{"ok":true,"pairs":7}'),
        (False, True, 503, '{"ok":false,"full":true,"pairs":7}'),
        (True, False, 503, '{"ok":false,"draining":true,"pairs":7}'),
        (True, True, 503, '{"ok":false,"draining":true,"pairs":7}'),
    ],
)
def test_health_answer(draining: bool, full: bool, status: int, body: str) -> None:
    """The health is one line of JSON, and the status code says if it is good."""
    response = health_response(7, draining=draining, full=full)
    assert (response.status, response.body, response.headers) == (
        status,
        body,
        (("Cache-Control", "no-store"),),
    )
    assert b"\r\nContent-Type: application/json\r\n" in response.encode(NOW)
    assert response.encode(NOW).endswith(f"\r\n\r\n{body}".encode())
