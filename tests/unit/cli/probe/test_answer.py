"""Responses in place of 101: their sender, and the hint for each."""

from __future__ import annotations

import ast
from http import HTTPStatus
from pathlib import Path

import pytest

import relay
from relay.cli.probe.answer import refusal
from relay.cli.probe.hints import Failure, hint_for
from relay.protocol.response import (
    BAD_CODE,
    HANDSHAKE_STRIPPED,
    NO_AUTHORIZED_HOST,
    NOT_FOUND,
    RELAY_IS_FULL,
    RELAY_IS_STOPPING,
    TOKEN_REQUIRED,
    TOO_MANY_WAITING,
    Response,
    health_response,
)

PACKAGE = Path(relay.__file__).parent
BUILDERS = {"Response", "bad_request", "try_later"}
REASONS = [
    node.value
    for name in ("protocol/response.py", "protocol/handshake.py", "server/join.py")
    for call in ast.walk(ast.parse((PACKAGE / name).read_text()))
    if isinstance(call, ast.Call)
    and ast.unparse(call.func) in {"Response", "bad_request", "try_later"}
    for node in call.args[-1:]
    if isinstance(node, ast.Constant) and isinstance(node.value, str)
]


def hint(failure: Failure) -> str:
    """Return the hint for a failure to connect."""
    return hint_for("connect", failure, 0)


def from_relay(response: Response, *, with_token: bool = False) -> Failure:
    """Return the failure for a response of the relay."""
    return refusal(response.encode(0), with_token=with_token)


def from_other(status: int, headers: str = "", body: str = "") -> Failure:
    """Return the failure for a response of a proxy."""
    return refusal(f"HTTP/1.1 {status} x\r\n{headers}\r\n{body}".encode())


def test_reasons() -> None:
    """Each reason of a refusal by the relay is recognized, and has a hint of its own."""
    assert len(REASONS) > 20
    for reason in REASONS:
        failure = from_relay(Response(HTTPStatus.BAD_REQUEST, reason))
        assert failure.answered_by == "relay", reason
        assert failure.text == f"HTTP 400 Bad Request in place of 101, from the relay ({reason})"
        assert hint(failure) != hint(Failure("", "relay: "))


@pytest.mark.parametrize(
    ("response", "with_token", "relays", "others"),
    [
        (TOKEN_REQUIRED, False, "ARC_PROBE_TOKEN", "a login of its own"),
        (TOKEN_REQUIRED, True, "another token", "a login of its own"),
        (NO_AUTHORIZED_HOST, True, "another token", "a login of its own"),
        (NOT_FOUND, False, "proxy_set_header Upgrade", "to no relay"),
        (HANDSHAKE_STRIPPED, False, "proxy_set_header Upgrade", "another version"),
        (BAD_CODE, False, "drops or changes the query", "wss://"),
        (RELAY_IS_FULL, False, "max_connections", "no relay that is up"),
        (TOO_MANY_WAITING, False, "max_waiting", "no relay that is up"),
        (RELAY_IS_STOPPING, False, "about to stop", "no relay that is up"),
    ],
)
def test_sender(response: Response, with_token: bool, relays: str, others: str) -> None:
    """The same status has another hint if a proxy answered."""
    assert relays in hint(from_relay(response, with_token=with_token))
    failure = from_other(response.status)
    assert failure.answered_by == "other"
    assert others in hint(failure)


def test_health_in_place_of_an_upgrade() -> None:
    """A relay that answers with its health got no header of the upgrade."""
    failure = from_relay(health_response(3, draining=False, full=False))
    assert failure.answered_by == "relay"
    assert "proxy_set_header Upgrade" in hint(failure)


def test_header() -> None:
    """The header of the relay is a proof, also with an unknown reason."""
    failure = from_other(503, "Arc-Relay-Pair: b1db9bd0c2\r\nContent-Type: text/plain\r\n", "new")
    assert failure.answered_by == "relay"
    expected = "HTTP 503 Service Unavailable in place of 101, from the relay (new), pair b1db9bd0c2"
    assert failure.text == expected
    assert "see the reason" in hint(failure)


@pytest.mark.parametrize(
    ("headers", "body", "line"),
    [
        ("Content-Type: text/plain\r\n", "no server\n", "another server (no server)"),
        ("Content-Type: text/plain; charset=utf-8\r\n", "no /?pair=code here", "another server"),
        ("Content-Type: text/html\r\n", "no server", "another server"),
        ("Content-Type: text/html\r\n", "relay is full", "another server"),
        ("Server: nginx/1.22.1\r\n", "", "nginx/1.22.1, not from the relay"),
        ("Server: \x1b[2J\r\n", "", "another server"),
    ],
)
def test_other_server(headers: str, body: str, line: str) -> None:
    """Another server is named; plain words alone are quoted, because a body may hold the code."""
    failure = from_other(503, headers, body)
    assert failure.text == f"HTTP 503 Service Unavailable in place of 101, from {line}"
    assert failure.answered_by == "other"
