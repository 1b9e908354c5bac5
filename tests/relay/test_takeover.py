"""A third client finds out whether the sides of a pair are alive."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from relay import RelaySettings
from relay.events import PairEnded, TakeoverChecked
from relay.outcomes import Outcome
from tests.support.auto_client import AutoClient
from tests.support.raw_client import BINARY, PING, PONG, TEXT, encode, encode_close
from tests.support.running_relay import exchange
from tests.support.takeover_fixtures import OpenRelay, relay, settings

__all__ = ["relay", "settings"]

PEER_DISCONNECTED = (1011, "peer disconnected")
PROBE_TIMEOUT = (1011, "takeover timeout")
TIMEOUT = RelaySettings().takeover_timeout


async def test_alive(relay: OpenRelay, autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """Both sides are pinged; once both answered, the client is refused, and the pair goes on."""
    a, b = (AutoClient(client, nursery) for client in await relay.pair())
    since = trio.current_time()
    _, refused = await relay.upgrade(409)
    assert refused.body == b"pair is full"
    assert int(refused.headers["retry-after"]) > 0
    assert trio.current_time() == since
    assert (a.pings, b.pings) == (1, 1)
    assert relay.results == [True]
    await trio.sleep(100)
    await a.send_message(b"undisturbed")
    await trio.testing.wait_all_tasks_blocked()
    assert b.payload == b"undisturbed"


@pytest.mark.parametrize("silent", [(0,), (1,), (0, 1)])
async def test_dead_side(
    relay: OpenRelay, autojump_clock: MockClock, nursery: trio.Nursery, silent: tuple[int, ...]
) -> None:
    """If a side does not answer in time, its pair is ended, and the client opens a new one."""
    clients = await relay.pair()
    auto_client = [AutoClient(clients[side], nursery) for side in (0, 1) if side not in silent]
    since = trio.current_time()
    fresh, _ = await relay.upgrade()
    assert trio.current_time() == since + TIMEOUT
    assert relay.results == [False]
    for side in auto_client:
        assert await side.closed() == PEER_DISCONNECTED
    dead = clients[silent[0]]
    assert (await dead.frame()).opcode == PING
    assert await dead.closed() == PROBE_TIMEOUT
    for other in silent[1:]:
        assert (await clients[other].frame()).opcode == PING
        assert await clients[other].closed() == PEER_DISCONNECTED
    assert relay.relay.statistics().pairs_ended == {Outcome.EVICTED: 1}
    assert relay.relay.pairs.waiting == 1
    await exchange(fresh, await relay.join("code"))


async def test_events(relay: OpenRelay, autojump_clock: MockClock) -> None:
    """The event of the check has the same pair hash as the event of the pair's end."""
    await relay.pair()
    await relay.upgrade()
    probed = [event for event in relay.events if isinstance(event, TakeoverChecked)]
    ended = [event for event in relay.events if isinstance(event, PairEnded)]
    assert probed == [TakeoverChecked(relay.relay.hash_code("code"), answered=False)]
    assert [event.pair for event in ended] == [probed[0].pair]


@pytest.mark.parametrize(
    "said", [encode(BINARY, b"data"), encode(TEXT, b"text")], ids=["binary", "text"]
)
async def test_data_is_an_answer(
    relay: OpenRelay, autojump_clock: MockClock, nursery: trio.Nursery, said: bytes
) -> None:
    """Any data that a side sends after the ping shows that it is alive."""
    a, b = await relay.pair()
    AutoClient(a, nursery)
    async with trio.open_nursery() as joining:
        joining.start_soon(relay.upgrade, 409)
        assert (await b.frame()).opcode == PING
        await b.send(said)
    assert relay.results == [True]


async def test_answer_among_data(
    relay: OpenRelay, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """A pong is found at once, also among data."""
    a, b = await relay.pair()
    AutoClient(a, nursery)
    since = trio.current_time()
    async with trio.open_nursery() as joining:
        joining.start_soon(relay.upgrade, 409)
        assert (await b.frame()).opcode == PING
        await b.send(encode(BINARY, b"data") + encode(PONG))
    assert trio.current_time() == since


async def test_data_before_is_no_answer(
    relay: OpenRelay, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """Data that a side sent before the check does not show that it is alive."""
    a, b = await relay.pair()
    AutoClient(a, nursery)
    await b.send(encode(BINARY, b"last words") + encode(PONG))
    await trio.testing.wait_all_tasks_blocked()
    await relay.upgrade(101)
    assert relay.results == [False]


async def test_clients_share_a_check(
    relay: OpenRelay, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """All clients that arrive during a check share one ping per side, and one result."""
    a, b = await relay.pair()
    auto_client = AutoClient(a, nursery)
    async with trio.open_nursery() as joining:
        for _ in range(3):
            for _ in range(3):
                joining.start_soon(relay.upgrade, 409)
            await trio.sleep(TIMEOUT / 4)
        assert relay.checks == 1
        assert (await b.frame()).opcode == PING
        await b.send(encode(PONG))
    assert relay.results == [True]
    assert relay.checks == 0
    assert auto_client.pings == 1
    await a.send_message(b"no other ping came")
    assert await b.message() == b"no other ping came"


async def test_check_of_a_dead_side_is_shared(
    relay: OpenRelay, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """After a failed check, the first two waiting clients are a pair, and a third is refused."""
    await relay.pair()
    statuses = []

    async def join() -> None:
        client = await relay.connect()
        response = await client.upgrade("/?pair=code")
        statuses.append(response.status)
        if response.status == 101:
            AutoClient(client, nursery)

    async with trio.open_nursery() as joining:
        for _ in range(3):
            joining.start_soon(join)
    assert sorted(statuses) == [101, 101, 409]
    assert relay.results == [False, True]
    assert len(relay.relay.pairs) == 1
    assert relay.relay.pairs.waiting == 0


@pytest.mark.parametrize("leaver", [0, 1])
async def test_side_leaves_meanwhile(
    relay: OpenRelay, autojump_clock: MockClock, leaver: int
) -> None:
    """If a side leaves during the check, the client has the code at once, without an eviction."""
    clients = await relay.pair()
    since = trio.current_time()
    async with trio.open_nursery() as joining:
        joining.start_soon(relay.upgrade, 101)
        for client in clients:
            assert (await client.frame()).opcode == PING
        await clients[leaver].send(encode_close(1000))
    assert trio.current_time() == since
    assert relay.results == []
    assert await clients[1 - leaver].closed() == (1000, "peer disconnected")
    assert relay.relay.pairs.waiting == 1


async def test_client_leaves_meanwhile(relay: OpenRelay, autojump_clock: MockClock) -> None:
    """The check has a result even if its client leaves."""
    a, b = await relay.pair()
    new_client = await relay.connect()
    with trio.move_on_after(TIMEOUT / 2):
        await new_client.upgrade("/?pair=code")
    await trio.aclose_forcefully(new_client.stream)
    await trio.sleep(TIMEOUT)
    assert relay.results == [False]
    assert len(relay.relay.pairs) == 0
    assert (await a.frame()).opcode == PING
    assert await a.closed() == PROBE_TIMEOUT
    assert (await b.frame()).opcode == PING
    assert await b.closed() == PEER_DISCONNECTED
