"""Pages of a relay, by path: the protocol serves a page that the relay loaded."""

from __future__ import annotations

from dataclasses import replace

import pytest

from relay.protocol.handshake import Handshake, PlainRequest, parse_handshake
from relay.protocol.page import html_response, source_hash
from relay.protocol.response import METHOD_NOT_ALLOWED, NOT_FOUND, Response
from tests.support.requests import UPGRADE, plain, request_of

PAGE = html_response("<p>hello", "default-src 'none'")


def answer(head: bytes) -> Handshake | PlainRequest | Response:
    """Return the answer of a relay with one page."""
    return parse_handshake(request_of(head), pages={b"/test": PAGE})


def test_page() -> None:
    """A GET of the path gets the page, also with a query and from a program."""
    assert answer(plain("/test")) == answer(plain("/test?a=b")) == PAGE
    assert answer(plain("/test", "HEAD")) == replace(PAGE, omit_body=True)
    assert not PAGE.is_error


@pytest.mark.parametrize("target", ["/", "/tests", "/test/", "/a/test", "//test"])
def test_other_paths(target: str) -> None:
    """Another path has no page."""
    assert answer(plain(target)) == NOT_FOUND


def test_other_methods() -> None:
    """Another method is refused on the path of a page only."""
    assert answer(plain("/test", "POST")) == METHOD_NOT_ALLOWED
    assert answer(plain("/other", "POST")) == NOT_FOUND


def test_other_resources() -> None:
    """The health, and upgrades to the path of a page, are as without the page."""
    assert answer(plain("/health")) is PlainRequest.HEALTH
    upgrade = UPGRADE.replace(b"GET /?", b"GET /test?")
    assert isinstance(answer(upgrade), Handshake)


def test_source_hash() -> None:
    """A source expression has the form of CSP level 3."""
    assert source_hash("") == "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"
