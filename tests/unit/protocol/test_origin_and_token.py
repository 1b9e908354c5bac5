"""Facts about a client in its request head: token, origin and forwarded address."""

from __future__ import annotations

import pytest

from relay.protocol.handshake import PlainRequest
from relay.protocol.origin import is_allowed, is_own, normalize_origin
from relay.protocol.query import MAX_TOKEN
from tests.support.raw_client import upgrade_request
from tests.support.requests import (
    UPGRADE,
    handshake_of,
    parsed,
    plain,
    refused,
    request_of,
    with_lines,
)

TOKENS: list[tuple[str, list[str], str | bytes | None]] = [
    ("", [], None),
    ("", ["Authorization: Bearer s3cret"], "s3cret"),
    ("", ["authorization: bEARER   s3cret"], "s3cret"),
    ("", ["Authorization: Bearer a b"], "a b"),
    ("", ["Authorization: Bearer a", "Authorization: Bearer b"], "a, Bearer b"),
    ("", ["Authorization: Bearer"], None),
    ("", ["Authorization: Bearers3cret"], None),
    ("", ["Authorization: Basic Og=="], None),
    ("", ["Authorization: "], None),
    ("&token=s3cret", [], "s3cret"),
    ("&token=s3cret&token=other", [], "s3cret"),
    ("&token=a+b/c%3D%2b=", [], "a+b/c=+="),
    ("&t%6fken=gr%C3%BCn", [], "grün"),
    ("&token=", [], None),
    ("&token", [], None),
    ("&Token=s3cret", [], None),
    ("&token=%ff", [], b"\xff"),
    ("&token=" + "x" * MAX_TOKEN, [], "x" * MAX_TOKEN),
    ("&token=" + "x" * (MAX_TOKEN + 1), [], ""),
    ("", ["Authorization: Bearer " + "x" * MAX_TOKEN], "x" * MAX_TOKEN),
    ("&token=y", ["Authorization: Bearer " + "x" * (MAX_TOKEN + 1)], ""),
    ("", ["Authorization: Bearer grün"], "grün"),
    ("&token=other", ["Authorization: Bearer s3cret"], "s3cret"),
    ("&token=s3cret", ["Authorization: Basic Og=="], "s3cret"),
    ("&token=s3cret", ["Authorization: Bearer"], "s3cret"),
]


@pytest.mark.parametrize(("query", "lines", "token"), TOKENS)
def test_token(query: str, lines: list[str], token: str | bytes | None) -> None:
    """A token is in the header or else in the query; a missing or malformed token is no error."""
    head = with_lines(upgrade_request(f"/?pair=code{query}"), *lines)
    assert handshake_of(head).token == (token.encode() if isinstance(token, str) else token)
    assert handshake_of(head, with_token=False).token is None


@pytest.mark.parametrize(
    ("lines", "forwarded"),
    [
        ([], ""),
        (["X-Forwarded-For: 192.0.2.1"], "192.0.2.1"),
        (["X-Forwarded-For: 192.0.2.1, ::1"], "192.0.2.1, ::1"),
        (
            ["x-forwarded-for: 192.0.2.1", "X: y", "X-FORWARDED-FOR: 192.0.2.2,192.0.2.3"],
            "192.0.2.1, 192.0.2.2,192.0.2.3",
        ),
        (["X-Forwarded-For: ", "X-Forwarded-For: 192.0.2.1"], ", 192.0.2.1"),
        (["Forwarded: for=192.0.2.1", "X-Real-IP: 192.0.2.1"], ""),
        (["X-Forwarded-For: \xa01::1\xa0"], "\ufffd\ufffd1::1\ufffd\ufffd"),
    ],
)
def test_forwarded(lines: list[str], forwarded: str) -> None:
    """All lines of X-Forwarded-For are one list, in their order."""
    assert request_of(with_lines(UPGRADE, *lines)).forwarded_for == forwarded


HERE = frozenset({"https://here.example", "http://localhost:8000"})


@pytest.mark.parametrize(
    "origin",
    [
        None,
        "https://here.example",
        "HTTPS://Here.Example",
        "https://here.example:443",
        "http://localhost:8000",
    ],
)
def test_origin_that_is_allowed(origin: str | None) -> None:
    """A page of an allowed origin may connect, and so may a client without an origin."""
    head = upgrade_request("/?pair=code", origin=origin)
    assert handshake_of(head, allowed_origins=HERE).code == "code"


@pytest.mark.parametrize(
    "lines",
    [
        ["Origin: https://there.example"],
        ["Origin: http://here.example"],
        ["Origin: https://here.example:8443"],
        ["Origin: https://here.example.evil.example"],
        ["Origin: https://sub.here.example"],
        ["Origin: https://here.example/path"],
        ["Origin: here.example"],
        ["Origin: null"],
        ["Origin: "],
        ["Origin: https://here.example", "Origin: https://here.example"],
        ["Origin: https://here.example", "Origin: https://there.example"],
        ["Origin: https://here.example https://there.example"],
    ],
)
def test_origin_that_is_not_allowed(lines: list[str]) -> None:
    """A page of another origin is refused, if there is a list; two origins are refused too."""
    head = with_lines(UPGRADE, *lines)
    assert refused(head, allowed_origins=HERE) == (403, "origin is not allowed")
    assert handshake_of(head).code == "code"


OWN = [
    ("https://relay.example", "relay.example"),
    ("http://relay.example", "relay.example"),
    (f"https://{'a' * 504}", "a" * 504),
    ("wss://relay.example", "relay.example"),
    ("ws://relay.example", "relay.example"),
    ("HTTPS://Relay.Example", "relay.EXAMPLE"),
    ("https://relay.example:443", "relay.example"),
    ("https://relay.example", "relay.example:443"),
    ("ws://relay.example", "relay.example:80"),
    ("http://relay.example:8765", "relay.example:8765"),
    ("http://[2001:DB8::1]:8765", "[2001:db8::1]:8765"),
    ("http://192.0.2.1", "192.0.2.1"),
]
NOT_OWN = [
    ("https://relay.example:8443", "relay.example"),
    ("https://relay.example", "relay.example:8443"),
    ("https://relay.example", "relay.example:80"),
    ("http://relay.example:443", "relay.example"),
    ("https://sub.relay.example", "relay.example"),
    ("https://relay.example.evil.example", "relay.example"),
    ("https://relay.example/", "relay.example"),
    ("https://relay.example/path", "relay.example"),
    ("https://user@relay.example", "relay.example"),
    ("https://relay.example https://relay.example", "relay.example"),
    ("file://relay.example", "relay.example"),
    ("relay.example", "relay.example"),
    ("null", "null"),
    ("https://", ""),
    ("https://:443", ":443"),
    (f"https://{'a' * 505}", "a" * 505),
    ("https://relay.example", "relay.example, relay.example"),
    ("https://relay.example:99999999", "relay.example:99999999"),
]


@pytest.mark.parametrize("host", ["relay", "x" * 16_000])
def test_long_origin(host: str) -> None:
    """An overlong Origin or Host is not compared."""
    long = f"http://{'x' * 16_000}"
    assert not is_own(long, host)
    assert is_allowed(long, host, {long})


@pytest.mark.parametrize(("origin", "host"), [*OWN, *NOT_OWN])
def test_own_origin(origin: str, host: str) -> None:
    """A page of the relay's own host and port may connect, with any scheme of the request."""
    assert is_own(origin, host) == ((origin, host) in OWN)
    head = upgrade_request("/?pair=code", origin=origin, host=host)
    if (origin, host) in OWN:
        assert handshake_of(head, allowed_origins=HERE).code == "code"
    else:
        assert refused(head, allowed_origins=HERE) == (403, "origin is not allowed")


def test_own_origin_in_absolute_form() -> None:
    """The host of a target in absolute form takes precedence over the Host header."""
    head = upgrade_request("http://relay.example/?pair=code", origin="http://relay.example")
    assert handshake_of(head, allowed_origins=HERE).code == "code"
    other = upgrade_request("http://other/?pair=code", origin="http://relay")
    assert refused(other, allowed_origins=HERE) == (403, "origin is not allowed")


def test_file_origin() -> None:
    """The origin of a page in a WebView can be allowed."""
    head = upgrade_request("/?pair=code", origin="file://")
    assert handshake_of(head, allowed_origins=frozenset({"file://"})).code == "code"
    assert refused(head, allowed_origins=HERE) == (403, "origin is not allowed")


def test_origin_matters_to_upgrades_alone() -> None:
    """Any page may request the health; its browser decides whether it may read the response."""
    head = plain("/health", "GET", "Origin: https://there.example")
    assert parsed(head, allowed_origins=HERE) is PlainRequest.HEALTH


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://here.example", "https://here.example"),
        (" HTTPS://Here.Example/ ", "https://here.example"),
        ("https://here.example:443/", "https://here.example"),
        ("http://here.example:80", "http://here.example"),
        ("http://here.example:443", "http://here.example:443"),
        ("https://here.example:80", "https://here.example:80"),
        ("https://here.example:8443", "https://here.example:8443"),
        ("http://[2001:DB8::80]", "http://[2001:db8::80]"),
        ("chrome-extension://abc:443", "chrome-extension://abc:443"),
        ("null", "null"),
        ("file://", "file://"),
        ("file:///", "file://"),
        ("", ""),
    ],
)
def test_normal_origin(text: str, origin: str) -> None:
    """Origins are compared as browsers send them: in lower case, without the default port."""
    assert normalize_origin(text) == origin == normalize_origin(origin)
