"""What a head tells about who asks: a token, the web page, the address behind proxies."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.origin import normal_origin
from relay.request import Resource, token_matches

from .clients import upgrade_request
from .heads import UPGRADE, judged, let_in, plain, refused, with_lines

TOKENS: list[tuple[str, list[str], str | None]] = [
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
    ("&token=", [], ""),
    ("&token", [], ""),
    ("&Token=s3cret", [], None),
    ("&token=%ff", [], None),
    ("&token=other", ["Authorization: Bearer s3cret"], "s3cret"),
    ("&token=s3cret", ["Authorization: Basic Og=="], "s3cret"),
    ("&token=s3cret", ["Authorization: Bearer"], "s3cret"),
]


@pytest.mark.parametrize(("query", "lines", "token"), TOKENS)
def test_token(query: str, lines: list[str], token: str | None) -> None:
    """A token comes in the header or else in the query; what is none is no reason to refuse."""
    head = with_lines(upgrade_request(f"/?pair=code{query}"), *lines)
    assert let_in(head).token == token


@given(st.text(), st.text())
def test_token_matches(given: str, expected: str) -> None:
    """A token matches if it is the expected one, and there is one."""
    assert token_matches(given, expected.encode()) == (given == expected != "")
    assert token_matches(expected, expected.encode()) == (expected != "")
    assert not token_matches(None, expected.encode())


def test_token_is_compared_as_a_whole() -> None:
    """A part of a token, or one with something behind it, is another token."""
    assert token_matches("s3cret", b"s3cret")
    for wrong in ("s3cre", "s3crets", "S3CRET", "s3cret\n", ""):
        assert not token_matches(wrong, b"s3cret")


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
    ],
)
def test_forwarded(lines: list[str], forwarded: str) -> None:
    """All lines of X-Forwarded-For are one list, in their order."""
    assert let_in(with_lines(UPGRADE, *lines)).forwarded == forwarded


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
    """A page of an allowed origin may connect, and so may who is no browser."""
    head = upgrade_request("/?pair=code", origin=origin)
    assert let_in(head, allowed_origins=HERE).origin == origin


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
    """A page from elsewhere is refused, unless there is no rule; two origins are none."""
    head = with_lines(UPGRADE, *lines)
    assert refused(head, allowed_origins=HERE) == (403, "origin is not allowed")
    assert let_in(head).code == "code"


def test_origin_matters_to_upgrades_alone() -> None:
    """Any page may ask for the health; whether it may read the answer, its browser decides."""
    head = plain("/health", "GET", "Origin: https://there.example")
    assert judged(head, allowed_origins=HERE) is Resource.HEALTH


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
        ("", ""),
    ],
)
def test_normal_origin(text: str, origin: str) -> None:
    """An origin is compared as browsers send it: in lower case and without a default port."""
    assert normal_origin(text) == origin == normal_origin(origin)
