"""A browser gets a page at the root; programs get the 404 response of their contract."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from http import HTTPStatus

import pytest

from relay.protocol.handshake import parse_handshake
from relay.protocol.page import HTML, PAGE, POLICY
from relay.protocol.request import Request
from relay.protocol.response import NOT_FOUND, Response

FIREFOX = b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
CHROME = (
    b"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,"
    b"*/*;q=0.8,application/signed-exchange;v=b3;q=0.7"
)


def response(accept: bytes | None, target: bytes = b"/", method: bytes = b"GET") -> Response:
    """Return the response to a request without an upgrade."""
    headers = {b"host": b"relay"} if accept is None else {b"host": b"relay", b"accept": accept}
    found = parse_handshake(Request(method, target, b"1.1", headers))
    assert isinstance(found, Response)
    return found


@pytest.mark.parametrize(
    "accept",
    [
        FIREFOX,
        CHROME,
        b"text/html",
        b"TEXT/HTML ; Q=0.9 , text/plain ; q=0.8",
        b"text/plain;q=0, text/html;q=0.001",
        b"text/*;q=0.5, text/html;level=1",
        b"text/html, */*;q=none",
        b"text/plain;q=0.1, text/html;q=0.2, */*",
    ],
)
def test_browsers(accept: bytes) -> None:
    """A request that prefers HTML gets the page, also with a query."""
    for target in (b"/", b"/?pair=secret"):
        assert response(accept, target) == PAGE
    assert response(accept, method=b"HEAD").omit_body


@pytest.mark.parametrize(
    "accept",
    [
        None,
        b"",
        b"*/*",
        b"text/*",
        b"application/json, text/plain, */*",
        b"text/html, */*",
        b"text/html;q=0",
        b"text/html;q=none",
        b"text/html;q=nan",
        b"text/html;q=0.5, text/plain;q=0.9",
        b"text/html;q=0.5, text/*;q=0.9",
        b"application/xhtml+xml",
        b"a/b," * 200 + b"text/html",
    ],
)
def test_programs(accept: bytes | None) -> None:
    """A request without a preference for HTML gets the response of the contract."""
    assert response(accept) == NOT_FOUND


@pytest.mark.parametrize(
    ("target", "method"),
    [(b"/nowhere", b"GET"), (b"//", b"GET"), (b"/favicon.ico", b"GET"), (b"/", b"POST")],
)
def test_other_requests(target: bytes, method: bytes) -> None:
    """Other paths and other methods have no page."""
    assert response(FIREFOX, target, method) == NOT_FOUND


def test_page_is_no_error() -> None:
    """The page is not counted as a refused request."""
    assert PAGE.status == HTTPStatus.OK
    assert not PAGE.is_error


def test_policy() -> None:
    """The policy allows the style sheet of the page, by its hash, and the empty icon."""
    [style] = re.findall(r"<style>(.*)</style>", HTML, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert dict(PAGE.headers)["Content-Security-Policy"] == POLICY
    assert POLICY.split("; ") == [
        "default-src 'none'",
        f"style-src 'sha256-{digest}'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]


class Elements(HTMLParser):
    """The elements of a document, each of which must be closed in order unless it is empty."""

    EMPTY = frozenset({"meta", "link"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.addresses: list[str | None] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.addresses += [value for name, value in attrs if name in {"href", "src"}]
        assert not any(name in {"style", "srcset"} or name.startswith("on") for name, _ in attrs)
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_document() -> None:
    """The page is well-formed, has no script, and refers to nothing but the health of the relay."""
    found = Elements()
    found.feed(HTML)
    found.close()
    assert not found.open
    assert found.seen.isdisjoint({"script", "img", "iframe", "form"})
    assert found.addresses == ["data:,", "health"]
    assert "color-scheme: light dark" in HTML
