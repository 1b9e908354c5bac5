"""A newcomer to a full pair finds out whether those who have its place are still there."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from relay import RelaySettings
from relay.events import PairEnded, TakeoverChecked
from relay.outcomes import Outcome
from tests.support.auto_client import Lively
from tests.support.raw_client import BINARY, PING, PONG, TEXT, encode, encode_close
from tests.support.takeover_fixtures import OpenRelay, relay, settings, work

__all__ = ["relay", "settings"]

PEER_DISCONNECTED = (1011, "peer disconnected")
PROBE_TIMEOUT = (1011, "takeover timeout")
TIMEOUT = RelaySettings().takeover_timeout


async def test_alive(relay: OpenRelay, autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """Both sides are pinged, and once both answered, the third is refused: they notice no more."""
    a, b = (Lively(client, nursery) for client in await relay.pair())
    since = trio.current_time()
    _, refused = await relay.ask(409)
    assert refused.body == b"pair is full"
    assert int(refused.headers["retry-after"]) > 0
    assert trio.current_time() == since
    assert (a.pings, b.pings) == (1, 1)
    assert relay.probed == [True]
    await trio.sleep(100)
    await a.send_message(b"undisturbed")
    await trio.testing.wait_all_tasks_blocked()
    assert b.payload == b"undisturbed"


@pytest.mark.parametrize("mute", [(0,), (1,), (0, 1)])
async def test_ghost(
    relay: OpenRelay, autojump_clock: MockClock, nursery: trio.Nursery, mute: tuple[int, ...]
) -> None:
    """If one does not answer in time, its pair is ended, and the newcomer opens a new one."""
    clients = await relay.pair()
    lively = [Lively(clients[side], nursery) for side in (0, 1) if side not in mute]
    since = trio.current_time()
    fresh, _ = await relay.ask()
    assert trio.current_time() == since + TIMEOUT
    assert relay.probed == [False]
    for side in lively:
        assert await side.closed() == PEER_DISCONNECTED
    ghost = clients[mute[0]]
    assert (await ghost.frame()).opcode == PING
    assert await ghost.closed() == PROBE_TIMEOUT
    for other in mute[1:]:
        assert (await clients[other].frame()).opcode == PING
        assert await clients[other].closed() == PEER_DISCONNECTED
    assert relay.relay.statistics().pairs_ended == {Outcome.EVICTED: 1}
    assert relay.relay.pairs.waiting == 1
    await work(fresh, await relay.join("code"))


async def test_events(relay: OpenRelay, autojump_clock: MockClock) -> None:
    """The event has the name of the pair in public, as the event of its end has."""
    await relay.pair()
    await relay.ask()
    probed = [event for event in relay.events if isinstance(event, TakeoverChecked)]
    ended = [event for event in relay.events if isinstance(event, PairEnded)]
    assert probed == [TakeoverChecked(relay.relay.pair_id("code"), answered=False)]
    assert [event.pair for event in ended] == [probed[0].pair]


@pytest.mark.parametrize(
    "said", [encode(BINARY, b"data"), encode(TEXT, b"text")], ids=["binary", "text"]
)
async def test_data_is_an_answer(
    relay: OpenRelay, autojump_clock: MockClock, nursery: trio.Nursery, said: bytes
) -> None:
    """Whatever a side sends after the ping shows that it is there."""
    a, b = await relay.pair()
    Lively(a, nursery)
    async with trio.open_nursery() as newcomers:
        newcomers.start_soon(relay.ask, 409)
        assert (await b.frame()).opcode == PING
        await b.send(said)
    assert relay.probed == [True]


async def test_answer_among_data(
    relay: OpenRelay, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """An answer is seen at once, also among data."""
    a, b = await relay.pair()
    Lively(a, nursery)
    since = trio.current_time()
    async with trio.open_nursery() as newcomers:
        newcomers.start_soon(relay.ask, 409)
        assert (await b.frame()).opcode == PING
        await b.send(encode(BINARY, b"data") + encode(PONG))
    assert trio.current_time() == since


async def test_data_before_is_no_answer(
    relay: OpenRelay, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """What a side sent before does not show that it is still there."""
    a, b = await relay.pair()
    Lively(a, nursery)
    await b.send(encode(BINARY, b"last words") + encode(PONG))
    await trio.testing.wait_all_tasks_blocked()
    await relay.ask(101)
    assert relay.probed == [False]


async def test_newcomers_share_a_probe(
    relay: OpenRelay, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """For all newcomers that come meanwhile there is one ping for each side, and one result."""
    a, b = await relay.pair()
    lively = Lively(a, nursery)
    async with trio.open_nursery() as newcomers:
        for _ in range(3):
            for _ in range(3):
                newcomers.start_soon(relay.ask, 409)
            await trio.sleep(TIMEOUT / 4)
        assert relay.checks == 1
        assert (await b.frame()).opcode == PING
        await b.send(encode(PONG))
    assert relay.probed == [True]
    assert relay.checks == 0
    assert lively.pings == 1
    await a.send_message(b"no other ping came")
    assert await b.message() == b"no other ping came"


async def test_newcomers_and_a_ghost(
    relay: OpenRelay, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """Where the probe finds a ghost, the first two newcomers are a pair, a third is refused."""
    await relay.pair()
    statuses = []

    async def come() -> None:
        client = await relay.connect()
        response = await client.upgrade("/?pair=code")
        statuses.append(response.status)
        if response.status == 101:
            Lively(client, nursery)

    async with trio.open_nursery() as newcomers:
        for _ in range(3):
            newcomers.start_soon(come)
    assert sorted(statuses) == [101, 101, 409]
    assert relay.probed == [False, True]
    assert len(relay.relay.pairs) == 1
    assert relay.relay.pairs.waiting == 0


@pytest.mark.parametrize("leaver", [0, 1])
async def test_side_leaves_meanwhile(
    relay: OpenRelay, autojump_clock: MockClock, leaver: int
) -> None:
    """If a side leaves meanwhile, the newcomer has the code at once, and nobody is evicted."""
    clients = await relay.pair()
    since = trio.current_time()
    async with trio.open_nursery() as newcomers:
        newcomers.start_soon(relay.ask, 101)
        for client in clients:
            assert (await client.frame()).opcode == PING
        await clients[leaver].send(encode_close(1000))
    assert trio.current_time() == since
    assert relay.probed == []
    assert await clients[1 - leaver].closed() == (1000, "peer disconnected")
    assert relay.relay.pairs.waiting == 1


async def test_newcomer_leaves_meanwhile(relay: OpenRelay, autojump_clock: MockClock) -> None:
    """Also if the newcomer does not wait for it, the probe has its result."""
    a, b = await relay.pair()
    newcomer = await relay.connect()
    with trio.move_on_after(TIMEOUT / 2):
        await newcomer.upgrade("/?pair=code")
    await trio.aclose_forcefully(newcomer.stream)
    await trio.sleep(TIMEOUT)
    assert relay.probed == [False]
    assert len(relay.relay.pairs) == 0
    assert (await a.frame()).opcode == PING
    assert await a.closed() == PROBE_TIMEOUT
    assert (await b.frame()).opcode == PING
    assert await b.closed() == PEER_DISCONNECTED
