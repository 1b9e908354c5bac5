"""The hash of a code: the same in the response to a client and in the events of its pair."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from relay import PairEnded, RequestRefused, SideWaiting
from tests.support.raw_client import Response, upgrade_request
from tests.support.requests import plain
from tests.support.running_relay import WatchedRelay, running

HEADER = "arc-relay-pair"


async def ask(relay: WatchedRelay, head: bytes) -> Response:
    """Return the response to a request."""
    client = await relay.connect()
    await client.send(head)
    return await client.response()


async def test_response_names_the_pair(autojump_clock: trio.testing.MockClock) -> None:
    """Both sides and a refused third client get the hash that the events have."""
    async with running() as relay:
        responses = [await ask(relay, upgrade_request("/?pair=code")) for _ in range(3)]
        assert [response.status for response in responses] == [101, 101, 409]
        other = await ask(relay, upgrade_request("/?pair=other"))
        await relay.disconnect_all()
        (pair,) = {response.headers[HEADER] for response in responses}
        assert re.fullmatch("[0-9a-f]{10}", pair)
        assert other.headers[HEADER] != pair
        assert [each.pair for each in relay.events_of(SideWaiting)] == [pair, other.headers[HEADER]]
        assert [each.pair for each in relay.events_of(RequestRefused)] == [pair]
        assert {each.pair for each in relay.events_of(PairEnded)} == {pair, other.headers[HEADER]}


@pytest.mark.parametrize(
    ("head", "status", "settings"),
    [
        (upgrade_request("/?pair=c%6Fde"), 400, {"strict_codes": True}),
        (upgrade_request("/?pair=code", sec_websocket_key="x"), 400, {}),
        (
            upgrade_request("/?pair=code", origin="https://b"),
            403,
            {"allowed_origins": ["https://a"]},
        ),
        (plain("/?pair=code"), 404, {}),
        (plain("/health?pair=code", "POST"), 405, {}),
        (upgrade_request("/?pair=code", upgrade=None), 426, {}),
        (upgrade_request("/?pair=code"), 503, {"max_connections": 1}),
        (upgrade_request("/?pair=code"), 503, {"max_waiting": 1}),
        (upgrade_request("/?pair=code"), 429, {"max_connects_per_minute": 1}),
    ],
)
async def test_refusal_names_the_pair(
    head: bytes, status: int, settings: dict[str, Any], autojump_clock: trio.testing.MockClock
) -> None:
    """Every refusal of a request with a valid code has its hash."""
    async with running(**settings) as relay:
        if "allowed_origins" not in settings:
            await relay.join("other")
        response = await ask(relay, head)
        (refused,) = relay.events_of(RequestRefused)
        assert response.status == refused.status == status
        assert response.headers[HEADER] == refused.pair == relay.handle.hash_code("code")


@pytest.mark.parametrize(
    "head",
    [
        upgrade_request("/"),
        upgrade_request("/?pair="),
        upgrade_request("/?pair=code" + "&" * 100),
        plain("/"),
        plain("/health?pair=code"),
        b"nonsense\r\n\r\n",
    ],
)
async def test_response_without_a_hash(head: bytes, autojump_clock: trio.testing.MockClock) -> None:
    """A request without a valid code gets no hash, and neither does one for the health."""
    async with running() as relay:
        assert HEADER not in (await ask(relay, head)).headers
        assert not any(each.pair for each in relay.events_of(RequestRefused))


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("", "no token"),
        ("&token=", "no token"),
        ("&token=wrong", "wrong token"),
        ("&token=" + "x" * 5000, "wrong token"),
    ],
)
@pytest.mark.parametrize("waiting", [False, True])
async def test_cause_of_a_401(
    query: str,
    detail: str,
    waiting: bool,
    tmp_path: Path,
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The event says if the token was missing or wrong; the response does not."""
    path = tmp_path / "token"
    path.write_text("right")
    async with running(token_file=str(path)) as relay:
        if waiting:
            await relay.join("code&token=right")
            path.write_text("new")
            relay.handle.reload_token()
        response = await ask(relay, upgrade_request(f"/?pair=code{query}"))
        (refused,) = relay.events_of(RequestRefused)
        assert response.status == refused.status == 401
        assert refused.detail == detail
        assert detail.encode() not in response.body
        assert detail not in str(response.headers)
