"""Admission by the contents of a head: origin, token and code."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import trio

from relay import RelaySettings, serve_relay
from relay.protocol.handshake import Handshake
from relay.protocol.query import MAX_TOKEN
from tests.support.raw_client import upgrade_request
from tests.support.relay_fixtures import MemoryListener
from tests.support.requests import request_of, with_lines
from tests.support.running_relay import WatchedRelay, exchange, running

ANOTHER_ORIGIN = (403, "origin is not allowed")
NOT_PLAIN = (400, "pair code must be plain and given once")
TOKEN_NEEDED = (401, "opening a new code needs a token")
HERE = "https://app.example"


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    """Return a file with a token and a line end."""
    path = tmp_path / "token"
    path.write_text("s3cret\n")
    return path


def renew(path: Path, content: str | None) -> None:
    """Replace a file, or remove it."""
    path.unlink()
    if content is not None:
        path.write_text(content)


async def expect_admitted(relay: WatchedRelay, target: str, *lines: str) -> None:
    """Connect a client whose head has these lines, and disconnect it after its admission."""
    client = await relay.connect()
    await client.send(with_lines(upgrade_request(target), *lines))
    response = await client.response()
    assert response.status == 101, response
    await relay.disconnect(client)


class TestAllowedOrigins:
    """Pages that may connect, by their origin."""

    async def test_pages(self) -> None:
        """A page from another origin can neither open nor join a code."""
        async with running(allowed_origins=(HERE, "http://localhost:8000")) as relay:
            for origin in (HERE, "http://localhost:8000", "HTTPS://App.Example:443"):
                await expect_admitted(relay, "/?pair=code", f"Origin: {origin}")
            await relay.join("waiting")
            for origin in ("https://evil.example", "http://app.example", "null", ""):
                for target in ("/?pair=new", "/?pair=waiting"):
                    await relay.refused(*ANOTHER_ORIGIN, target, [f"Origin: {origin}"])

    async def test_clients_without_an_origin(self) -> None:
        """A client that is no browser sends no Origin and is admitted; any page may get /health."""
        async with running(allowed_origins=(HERE,)) as relay:
            await exchange(*await relay.pair())
            assert (await relay.get("/health"))[0] == 200

    async def test_any_origin_by_default(self) -> None:
        """By default any page may connect."""
        async with running() as relay:
            await expect_admitted(relay, "/?pair=code", "Origin: https://evil.example")


class TestStrictCodes:
    """Codes that every program in front of the relay reads alike."""

    async def test_plain(self) -> None:
        """A strict code has only plain characters, and is given once."""
        async with running(strict_codes=True) as relay:
            await expect_admitted(relay, "/?pair=AZaz09._~-&token=x")
            for query in ("pair=a%20b", "pair=a+b", "pair=%61", "pair=gr%C3%BCn", "pair=a/b"):
                await relay.refused(*NOT_PLAIN, f"/?{query}")
            for query in ("pair=a&pair=a", "pair=a&pair=b", "pair=a;pair=b", "pair=a&Pair=a"):
                await relay.refused(*NOT_PLAIN, f"/?{query}")

    async def test_any_code_by_default(self) -> None:
        """By default a code may be any text, and the first one counts."""
        async with running() as relay:
            await expect_admitted(relay, "/?pair=a%20b&pair=other")


class TestHostToken:
    """Token that a client needs to open a new code."""

    async def test_opening(self, token_file: Path) -> None:
        """A client without the token opens no new code."""
        async with running(token_file=str(token_file)) as relay:
            for lines in ([], ["Authorization: Bearer wrong"], ["Authorization: Basic s3cret"]):
                response = await relay.refused(*TOKEN_NEEDED, lines=lines)
                assert response.headers["www-authenticate"] == "Bearer"
            for query in ("&token=wrong", "&token=", "&token=s3cret%0a", "&token=s3cre"):
                await relay.refused(*TOKEN_NEEDED, f"/?pair=new{query}")
            await expect_admitted(relay, "/?pair=code", "Authorization: Bearer s3cret")
            await expect_admitted(relay, "/?pair=code&token=s3cret")

    async def test_joining(self, token_file: Path) -> None:
        """A client without the token joins a waiting code, but cannot open the code again."""
        async with running(token_file=str(token_file)) as relay:
            a = await relay.join("code&token=s3cret")
            b = await relay.join("code")
            await exchange(a, b)
            await relay.refused(409, "pair is full", "/?pair=code")
            await relay.disconnect(b)
            assert await a.closed() == (1000, "peer disconnected")
            await relay.wait_for_connections(0)
            await relay.refused(*TOKEN_NEEDED, "/?pair=code")

    async def test_health_needs_none(self, token_file: Path) -> None:
        """The health requires no token."""
        async with running(token_file=str(token_file)) as relay:
            assert (await relay.get("/health"))[0] == 200

    async def test_reload(self, token_file: Path) -> None:
        """After a reload only the new token opens codes; present sides stay."""
        async with running(token_file=str(token_file)) as relay:
            await relay.join("code&token=s3cret")
            renew(token_file, "other")
            await relay.refused(*TOKEN_NEEDED, "/?pair=new&token=other")
            assert relay.handle.reload_token() is True
            await relay.refused(*TOKEN_NEEDED, "/?pair=new&token=s3cret")
            await expect_admitted(relay, "/?pair=new&token=other")
            assert relay.table_sizes.waiting == 1

    @pytest.mark.parametrize("content", [None, "", " \n"])
    async def test_failing_reload(self, token_file: Path, content: str | None) -> None:
        """A reload of a missing or empty file fails, and the old token stays in force."""
        async with running(token_file=str(token_file)) as relay:
            renew(token_file, content)
            with pytest.raises((OSError, ValueError), match=str(token_file)):
                relay.handle.reload_token()
            await relay.refused(*TOKEN_NEEDED)
            await expect_admitted(relay, "/?pair=code&token=s3cret")

    async def test_no_token_by_default(self) -> None:
        """By default any client opens codes with any token, and there is no token to reload."""
        async with running() as relay:
            await expect_admitted(relay, "/?pair=code&token=any")
            assert relay.handle.reload_token() is False
            parsed = relay.inside.respond(request_of(upgrade_request("/?pair=code&token=any")))
            assert isinstance(parsed, Handshake)
            assert parsed.token is None  # it is not even read

    @pytest.mark.parametrize(
        ("content", "error"),
        [
            (None, FileNotFoundError),
            ("", ValueError),
            ("\n \n", ValueError),
            ("x" * (MAX_TOKEN + 1), ValueError),
        ],
    )
    async def test_no_token_at_the_start(
        self, content: str | None, error: type[Exception], tmp_path: Path
    ) -> None:
        """A file that is missing, empty or too long stops the start, and the error names it."""
        path = tmp_path / "token"
        path.touch()
        renew(path, content)
        listener = MemoryListener()
        settings = RelaySettings(token_file=str(path))
        serve = partial(serve_relay, listeners=[listener], settings=settings)
        async with trio.open_nursery() as nursery:
            with pytest.raises(error, match=str(path)):
                await nursery.start(serve)
        with pytest.raises(error, match=str(path)):
            await serve()
        with pytest.raises(trio.ClosedResourceError):
            await listener.accept()
