"""Every ended connection is freed at once, without the cyclic garbage collector.

A reference cycle would keep a refused head of 16 KiB until the collector runs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

import pytest
import trio
from trio.testing import MockClock

from relay.protocol.request import RequestParser
from tests.support.cycles import LARGE, no_cycles
from tests.support.raw_client import upgrade_request
from tests.support.requests import UPGRADE, plain, with_lines
from tests.support.running_relay import WatchedRelay, running

FILLER: Final = f"Filler: {'x' * 8000}"
STATUSES: Final = {400, 401, 403, 404, 405, 408, 409, 426, 429, 431, 503}


HEADS: Final = {
    "not-http": (400, b"hello\r\n"),
    "bad-for-h11": (400, with_lines(UPGRADE, FILLER, "no colon")),
    "two-hosts": (400, with_lines(UPGRADE, FILLER, "Host: other")),
    "bad-length": (400, with_lines(UPGRADE, FILLER, "Content-Length: some")),
    "nul": (400, with_lines(UPGRADE, FILLER, "X: \0")),
    "proxy-protocol": (400, b"PROXY UNKNOWN\r\n"),
    "bad-key": (400, with_lines(upgrade_request("/?pair=new", sec_websocket_key="x"), FILLER)),
    "bad-code": (400, with_lines(upgrade_request("/?pair=%ff&token=s3cret"), FILLER)),
    "no-code": (400, with_lines(upgrade_request("/?token=s3cret"), FILLER)),
    "no-token": (401, with_lines(upgrade_request("/?pair=new"), FILLER)),
    "origin": (403, with_lines(upgrade_request("/?pair=new"), FILLER, "Origin: http://there")),
    "unknown-path": (404, plain("/", "GET", FILLER)),
    "method": (405, plain("/health", "POST", FILLER)),
    "slow": (408, with_lines(UPGRADE, FILLER)[:-1]),
    "full": (409, with_lines(upgrade_request("/?pair=code"), FILLER)),
    "version": (426, upgrade_request("/?pair=new", sec_websocket_version="8")),
    "no-upgrade": (426, with_lines(upgrade_request("/?pair=new", upgrade=None), FILLER)),
    "too-big": (431, b"GET /" + b"x" * 17_000),
    "too-many": (431, with_lines(UPGRADE, *["X: y"] * 200)),
    "health": (200, plain("/health", "GET", FILLER)),
    "head": (200, plain("/health", "HEAD", FILLER)),
    "h11": (200, plain("/health", "GET", FILLER).replace(b"\r\n", b"\n")),
    "silent": (0, b""),
}


async def request(relay: WatchedRelay, status: int, head: bytes) -> None:
    """Send a head, and disconnect after the response."""
    client = await relay.connect()
    if head:
        await client.send(head)
    said = await client.rest()
    assert said[:13] == (f"HTTP/1.1 {status} ".encode() if status else b"")
    await relay.disconnect(client)


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[WatchedRelay]:
    """Run a relay with a token and a joined pair."""
    token = tmp_path / "token"
    token.write_text("s3cret")
    async with running(
        token_file=str(token), allowed_origins=("https://here",), handshake_timeout=1.0
    ) as relay:
        await relay.pair("code&token=s3cret")
        yield relay


@pytest.mark.parametrize(("status", "head"), HEADS.values(), ids=HEADS)
async def test_refusals(
    relay: WatchedRelay, autojump_clock: MockClock, status: int, head: bytes
) -> None:
    """A response to any head leaves no object of the head or of its connection."""
    with no_cycles():
        for _ in range(3):
            await request(relay, status, head)


async def test_refusals_on_tcp(time_limit: None) -> None:
    """A refusal on a socket leaves no object either."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with running(listeners=listeners, handshake_timeout=1) as relay:
        for name in ("not-http", "bad-for-h11", "unknown-path", "slow", "too-big", "silent"):
            status, head = HEADS[name]
            with no_cycles():
                client = await relay.connect_from("127.0.0.1")
                await client.send(head)
                said = await client.rest()
                await trio.aclose_forcefully(client.stream)
                await relay.wait_for_connections(0)
            assert said[:13] == (f"HTTP/1.1 {status} ".encode() if status else b"")


async def test_refusals_for_limits(autojump_clock: MockClock) -> None:
    """A refusal at a limit, or by a relay that stops, leaves no object."""
    head = with_lines(upgrade_request("/?pair=code"), FILLER)
    async with running(max_connects_per_minute=1) as relay:
        await relay.join("code")
        with no_cycles():
            await request(relay, 429, head)
    async with running(max_connections=1, drain_delay=10.0) as relay:
        await relay.join("code")
        with no_cycles():
            await request(relay, 503, head)


async def test_eviction(autojump_clock: MockClock) -> None:
    """An eviction leaves no object of the client that caused the check."""
    head = with_lines(upgrade_request("/?pair=code"), FILLER)
    async with running(takeover_timeout=2.0) as relay:
        await relay.pair()
        with no_cycles():
            client = await relay.connect()
            await client.send(head)
            assert (await client.response()).status == 101
            await relay.disconnect(client)


def test_every_status_is_tried() -> None:
    """The tests cover every status that the relay sends."""
    assert {status for status, _ in HEADS.values()} | {429, 503} == STATUSES | {200, 0}


@pytest.mark.parametrize("make", [RequestParser, lambda: b"x" * (LARGE + 1)])
def test_a_cycle_is_found(make: Callable[[], object]) -> None:
    """The check finds a cycle that holds an object of the relay or a large value."""

    def leave_cycle() -> None:
        cycle = [make()]
        cycle.append(cycle)

    with pytest.raises(AssertionError), no_cycles():
        leave_cycle()
