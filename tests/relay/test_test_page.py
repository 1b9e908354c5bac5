"""The relay serves its test page only if the setting says so."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from relay import RelaySettings, RequestRefused
from relay.fields import iter_fields
from relay.protocol.page import source_hash
from relay.protocol.response import Response
from relay.server.test_page import PATHS, SCRIPTS, load_test_page
from tests.support.running_relay import running

PROTOCOL = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()
WEB = files("relay.server").joinpath("web")


def page(**settings: Any) -> Response:
    """Return the page of a relay with these settings."""
    pages = load_test_page(RelaySettings(test_page=True, **settings))
    assert set(pages) == {*PATHS}
    assert len({*pages.values()}) == 1
    return pages[PATHS[0]]


async def test_off_by_default(autojump_clock: object) -> None:
    """Without the setting, the path is unknown, and the request counts as refused."""
    async with running() as relay:
        for path in ("/test", "/test/"):
            assert (await relay.get(path))[0] == 404
        assert [event.status for event in relay.events_of(RequestRefused)] == [404, 404]


async def test_on(autojump_clock: object) -> None:
    """With the setting, both paths have the page, and the request does not count as refused."""
    async with running(test_page=True) as relay:
        for path in ("/test", "/test/"):
            status, body = await relay.get(path)
            assert (status, body.decode()) == (200, page().body)
        assert not relay.events


def test_policy() -> None:
    """The policy allows the script and the style of the page by hash, and its own relay."""
    found = page()
    [script] = re.findall(r"<script>(.*)</script>", found.body, re.DOTALL)
    [style] = re.findall(r"<style>(.*)</style>", found.body, re.DOTALL)
    headers = dict(found.headers)
    assert headers["Content-Security-Policy"].split("; ") == [
        "default-src 'none'",
        f"script-src {source_hash(script)}",
        f"style-src {source_hash(style)}",
        "img-src data:",
        "connect-src 'self'",
        "require-trusted-types-for 'script'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"


class Elements(HTMLParser):
    """Attributes of the elements of a document."""

    def __init__(self) -> None:
        super().__init__()
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += attrs


def test_document() -> None:
    """The page loads nothing, and has neither inline styles nor inline handlers."""
    found = Elements()
    found.feed(page().body)
    assert [value for name, value in found.attributes if name in {"href", "src"}] == ["data:,"]
    names = {name for name, _ in found.attributes}
    assert not any(name == "style" or name.startswith("on") for name in names)


def test_script() -> None:
    """The script has every file of the folder, and never makes HTML of a text."""
    sources = {path.name: path.read_text() for path in WEB.iterdir() if path.name.endswith(".js")}
    assert {*sources} == {*SCRIPTS}
    for source in sources.values():
        assert source in page().body
        assert not re.search(r"innerHTML|insertAdjacent|document\.write|\beval\b", source)


def test_token(tmp_path: Path) -> None:
    """The page asks for a token if the relay has one, and does not contain the token."""
    token = tmp_path / "token"
    token.write_text("a-token-of-this-test")
    assert 'data-token="no"' in page().body
    found = page(token_file=str(token)).body
    assert 'data-token="yes"' in found
    assert "a-token-of-this-test" not in found


def test_hints() -> None:
    """The hints name existing settings, and close codes of the relay with their reasons."""
    hints = WEB.joinpath("hints.js").read_text()
    known = {name for name, _, _ in iter_fields(RelaySettings)}
    named = {*re.findall(r"\b[a-z]+(?:_[a-z]+)+\b", hints)}
    assert named <= known
    assert len(named) >= 7
    closes = {*re.findall(r"closed (\d{4}) ([a-z ]+)'", hints)}
    assert closes <= {*re.findall(r"^\| (\d{4}) \| `([a-z ]+)` \|", PROTOCOL, re.MULTILINE)}
    assert len(closes) >= 6


@pytest.mark.parametrize("path", [path.name for path in WEB.iterdir()])
def test_size(path: str) -> None:
    """Each file of the page has at most 250 lines."""
    assert len(WEB.joinpath(path).read_text().splitlines()) <= 250
