"""A second client finds out whether a waiting side that was long silent is alive."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from relay import RelaySettings
from relay.pairing.alive_check import SILENCE_BEFORE_CHECK
from tests.support.auto_client import AutoClient
from tests.support.raw_client import BINARY, PING, PONG, TEXT, encode, encode_close
from tests.support.running_relay import exchange
from tests.support.takeover_fixtures import OpenRelay, relay, settings

__all__ = ["relay", "settings"]

PROBE_TIMEOUT = (1011, "takeover timeout")
TIMEOUT = RelaySettings().takeover_timeout

SAID = {
    "message": encode(BINARY, b"data"),
    "fragment": encode(BINARY, bytes(1000))[:100],
    "text": encode(TEXT, b"text"),
    "ping": encode(PING),
    "pong": encode(PONG),
}


async def test_silent_for_long(
    relay: OpenRelay, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """A side that was silent for over 5 s is pinged; once it answers, the second client joins."""
    a = AutoClient(await relay.join("code"), nursery)
    await trio.sleep(SILENCE_BEFORE_CHECK + 0.01)
    since = trio.current_time()
    b, _ = await relay.upgrade()
    assert trio.current_time() == since
    assert a.pings == 1
    assert relay.results == [True]
    await b.send_message(b"here I am")
    await trio.testing.wait_all_tasks_blocked()
    assert a.payload == b"here I am"


async def test_silent_for_less(relay: OpenRelay, autojump_clock: MockClock) -> None:
    """A side that was silent for less is not pinged, and need not answer."""
    a = await relay.join("code")
    await trio.sleep(SILENCE_BEFORE_CHECK)
    b, _ = await relay.upgrade()
    await exchange(a, b)
    assert relay.results == []


@pytest.mark.parametrize("said", SAID.values(), ids=SAID)
async def test_said_something(relay: OpenRelay, autojump_clock: MockClock, said: bytes) -> None:
    """Any data of the side ends its silence."""
    a = await relay.join("code")
    await trio.sleep(100)
    await a.send(said)
    await trio.sleep(SILENCE_BEFORE_CHECK)
    await relay.upgrade()
    assert relay.results == []


async def test_slow_head(relay: OpenRelay, autojump_clock: MockClock) -> None:
    """A slow request head does not count as silence."""
    a = await relay.connect()
    await trio.sleep(9)
    await a.upgrade("/?pair=code")
    b, _ = await relay.upgrade()
    await exchange(a, b)
    assert relay.results == []


async def test_dead_side(relay: OpenRelay, autojump_clock: MockClock) -> None:
    """A side that does not answer in time is evicted, and the client waits in its place."""
    dead = await relay.join("code")
    await trio.sleep(100)
    since = trio.current_time()
    a, _ = await relay.upgrade()
    assert trio.current_time() == since + TIMEOUT
    assert relay.results == [False]
    assert (await dead.frame()).opcode == PING
    assert await dead.closed() == PROBE_TIMEOUT
    await exchange(a, await relay.join("code"))


@pytest.mark.parametrize("said", SAID.values(), ids=SAID)
async def test_says_something(relay: OpenRelay, autojump_clock: MockClock, said: bytes) -> None:
    """Any data during the check is an answer, and the second client joins at once."""
    a = await relay.join("code")
    await trio.sleep(100)
    since = trio.current_time()
    async with trio.open_nursery() as joining:
        joining.start_soon(relay.upgrade, 101)
        assert (await a.frame()).opcode == PING
        await a.send(said)
    assert trio.current_time() == since
    assert relay.results == [True]
    assert relay.relay.pairs.waiting == 0


async def test_leaves_meanwhile(relay: OpenRelay, autojump_clock: MockClock) -> None:
    """If the side leaves during the check, the client waits in its place at once."""
    a = await relay.join("code")
    await trio.sleep(100)
    since = trio.current_time()
    async with trio.open_nursery() as joining:
        joining.start_soon(relay.upgrade, 101)
        assert (await a.frame()).opcode == PING
        await a.send(encode_close(1000))
    assert trio.current_time() == since
    assert relay.results == []
    assert relay.relay.pairs.waiting == 1


async def test_clients_share_a_check(
    relay: OpenRelay, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """Of several clients during a check one joins, the others are refused, with one ping."""
    a = await relay.join("code")
    await trio.sleep(100)
    statuses = []

    async def join() -> None:
        client = await relay.connect()
        statuses.append((await client.upgrade("/?pair=code")).status)

    async with trio.open_nursery() as joining:
        for _ in range(4):
            joining.start_soon(join)
        await trio.sleep(TIMEOUT / 2)
        assert relay.checks == 1
        auto_client = AutoClient(a, nursery)
    assert sorted(statuses) == [101, 409, 409, 409]
    assert auto_client.pings == 1
    assert relay.results == [True]
