"""A second client finds out whether the one that waits is still there, if it was long silent."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from relay import RelaySettings
from relay.pairing.alive_check import SILENCE_BEFORE_CHECK
from tests.support.auto_client import Lively
from tests.support.raw_client import BINARY, PING, PONG, TEXT, encode, encode_close
from tests.support.takeover_fixtures import OpenRelay, relay, settings, work

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
    """A side that was silent for over 5 s is pinged; as soon as it answers, the second joins."""
    a = Lively(await relay.join("code"), nursery)
    await trio.sleep(SILENCE_BEFORE_CHECK + 0.01)
    since = trio.current_time()
    b, _ = await relay.ask()
    assert trio.current_time() == since
    assert a.pings == 1
    assert relay.probed == [True]
    await b.send_message(b"here I am")
    await trio.testing.wait_all_tasks_blocked()
    assert a.payload == b"here I am"


async def test_silent_for_less(relay: OpenRelay, autojump_clock: MockClock) -> None:
    """One that was silent for less is not pinged, and need not answer."""
    a = await relay.join("code")
    await trio.sleep(SILENCE_BEFORE_CHECK)
    b, _ = await relay.ask()
    await work(a, b)
    assert relay.probed == []


@pytest.mark.parametrize("said", SAID.values(), ids=SAID)
async def test_said_something(relay: OpenRelay, autojump_clock: MockClock, said: bytes) -> None:
    """Anything that it says ends its silence."""
    a = await relay.join("code")
    await trio.sleep(100)
    await a.send(said)
    await trio.sleep(SILENCE_BEFORE_CHECK)
    await relay.ask()
    assert relay.probed == []


async def test_slow_head(relay: OpenRelay, autojump_clock: MockClock) -> None:
    """A client that took long over its request was not silent for that long."""
    a = await relay.connect()
    await trio.sleep(9)
    await a.upgrade("/?pair=code")
    b, _ = await relay.ask()
    await work(a, b)
    assert relay.probed == []


async def test_ghost(relay: OpenRelay, autojump_clock: MockClock) -> None:
    """If it does not answer in time, it is ended, and the second client waits in its place."""
    ghost = await relay.join("code")
    await trio.sleep(100)
    since = trio.current_time()
    a, _ = await relay.ask()
    assert trio.current_time() == since + TIMEOUT
    assert relay.probed == [False]
    assert (await ghost.frame()).opcode == PING
    assert await ghost.closed() == PROBE_TIMEOUT
    await work(a, await relay.join("code"))


@pytest.mark.parametrize("said", SAID.values(), ids=SAID)
async def test_says_something(relay: OpenRelay, autojump_clock: MockClock, said: bytes) -> None:
    """Anything that it says meanwhile is an answer, and the second joins at once."""
    a = await relay.join("code")
    await trio.sleep(100)
    since = trio.current_time()
    async with trio.open_nursery() as newcomers:
        newcomers.start_soon(relay.ask, 101)
        assert (await a.frame()).opcode == PING
        await a.send(said)
    assert trio.current_time() == since
    assert relay.probed == [True]
    assert relay.relay.pairs.waiting == 0


async def test_leaves_meanwhile(relay: OpenRelay, autojump_clock: MockClock) -> None:
    """If it leaves meanwhile, the second client waits in its place at once."""
    a = await relay.join("code")
    await trio.sleep(100)
    since = trio.current_time()
    async with trio.open_nursery() as newcomers:
        newcomers.start_soon(relay.ask, 101)
        assert (await a.frame()).opcode == PING
        await a.send(encode_close(1000))
    assert trio.current_time() == since
    assert relay.probed == []
    assert relay.relay.pairs.waiting == 1


async def test_newcomers_share_a_probe(
    relay: OpenRelay, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """Of several that come meanwhile one joins, and the others are refused, with one ping."""
    a = await relay.join("code")
    await trio.sleep(100)
    statuses = []

    async def come() -> None:
        client = await relay.connect()
        statuses.append((await client.upgrade("/?pair=code")).status)

    async with trio.open_nursery() as newcomers:
        for _ in range(4):
            newcomers.start_soon(come)
        await trio.sleep(TIMEOUT / 2)
        assert relay.checks == 1
        lively = Lively(a, nursery)
    assert sorted(statuses) == [101, 409, 409, 409]
    assert lively.pings == 1
    assert relay.probed == [True]
