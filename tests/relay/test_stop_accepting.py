"""Stop of a relay whose listening sockets go on to the next relay: it serves what it accepted."""

from __future__ import annotations

from contextlib import suppress
from functools import partial

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from relay import (
    Event,
    Outcome,
    PairEnded,
    PairJoined,
    RelaySettings,
    RelayStopping,
    RequestRefused,
    serve_relay,
)
from tests.support.raw_client import Client, upgrade_request
from tests.support.relay_fixtures import MemoryRelay
from tests.support.running_relay import running
from tests.support.shutdown import STOPPING_CLOSE, expect_stopping, stop_accepting, stopped_within

REQUEST = upgrade_request("/?pair=code")


async def expect_served(client: Client) -> None:
    """Expect a 101 response, and then the close frame of the stop."""
    assert (await client.response()).status == 101
    assert await client.closed() == (1001, "relay stopping")


async def pass_ticks(count: int) -> None:
    """Let the other tasks run this number of times."""
    for _ in range(count):
        await trio.lowlevel.checkpoint()


@pytest.mark.parametrize("ticks", range(-5, 6))
async def test_accepted_just_now(
    memory_relay: MemoryRelay, autojump_clock: trio.testing.MockClock, ticks: int
) -> None:
    """A client that is accepted about then is served, or left to the next relay."""
    await trio.testing.wait_all_tasks_blocked()
    clients: list[Client] = []

    async def connect() -> None:
        await pass_ticks(-ticks)
        with suppress(trio.BrokenResourceError):  # nobody listens any more
            clients.append(await memory_relay.connect())

    async def stop() -> None:
        await pass_ticks(ticks)
        await memory_relay.handle.stop(close_listeners=True)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(connect)
        nursery.start_soon(stop)
        await trio.testing.wait_all_tasks_blocked()
        if memory_relay.listener.accepted:
            [client] = clients
            await client.send(REQUEST)
            await expect_served(client)


class Events(list[Event]):
    """Observer that records its events."""

    on_event = list.append


@pytest.mark.parametrize("ticks", range(-5, 6))
async def test_code_of_a_pair_that_ends(
    settings: RelaySettings, autojump_clock: trio.testing.MockClock, ticks: int
) -> None:
    """A pair that ends with the relay causes no refusal of its code."""
    relay, events = MemoryRelay(), Events()
    serve = partial(serve_relay, listeners=[relay.listener], settings=settings, observer=events)

    async def ask() -> None:
        await pass_ticks(-ticks)
        await new_client.send(REQUEST)
        await new_client.response()

    async with trio.open_nursery() as nursery:
        relay.handle = await nursery.start(serve)
        await relay.pair()
        new_client = await relay.connect()
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(ask)
        await pass_ticks(ticks)
        await relay.handle.stop(close_listeners=True)
    assert isinstance(events.pop(), PairEnded)
    since = [type(event) for event in events]
    assert RequestRefused not in since[since.index(RelayStopping) :]


class TestTakeoverCheck:
    """A pair whose sides do not answer."""

    @pytest.fixture
    def settings(self) -> RelaySettings:
        """Return settings with takeover checks."""
        return RelaySettings(ping_interval=0, stall_timeout=0)

    async def test_newcomers(
        self, memory_relay: MemoryRelay, autojump_clock: trio.testing.MockClock
    ) -> None:
        """Clients that wait for the takeover check get a slot, and wait no longer."""
        await memory_relay.pair()
        new_clients = [await memory_relay.connect() for _ in range(3)]
        for new_client in new_clients:
            await new_client.send(REQUEST)
        await trio.sleep(1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(memory_relay.handle.stop, close_listeners=True))
            for new_client in new_clients:
                nursery.start_soon(expect_served, new_client)
            await trio.sleep(0.1)
            assert len(nursery.child_tasks) == 1  # it waits for those that do not answer


DELAY = 30.0
CLOSE = 5.0
HEAD = upgrade_request("/?pair=code")


async def test_delay_is_skipped(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    """The drain delay is skipped, and the stop only waits for the sides."""
    async with running(drain_delay=DELAY) as relay:
        clients = [*await relay.pair(), await relay.join("waiting")]
        for client in clients:
            nursery.start_soon(expect_stopping, client)
        start = trio.current_time()
        await relay.handle.stop(close_listeners=True)
        assert trio.current_time() == start


async def test_nothing_is_accepted(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    """The listener is closed at once, during the closing handshakes of the sides."""
    async with running(close_timeout=CLOSE) as relay:
        await relay.join("silent")
        nursery.start_soon(stop_accepting, relay)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(trio.ClosedResourceError):
            await relay.listener.accept()
        with pytest.raises(trio.BrokenResourceError):
            await relay.connect()
        await stopped_within(relay, CLOSE)


@pytest.mark.parametrize("sent", [b"", HEAD[:8], HEAD[:-1]])
@pytest.mark.parametrize("after", [0.0, 1.0, CLOSE - 0.1])
async def test_heads_that_come_later(
    sent: bytes, after: float, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """A client accepted before the stop joins once its head is complete, then gets 1001."""
    async with running(close_timeout=CLOSE) as relay:
        client = await relay.connect()
        await client.send(sent)
        nursery.start_soon(stop_accepting, relay)
        await trio.sleep(after)
        await client.send(HEAD[len(sent) :])
        assert (await client.response()).status == 101
        await expect_stopping(client)
        await stopped_within(relay, 0)
        assert not relay.events_of(RequestRefused)


@pytest.mark.parametrize("count", [2, 3, 10])
async def test_heads_that_share_a_code(
    count: int, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """All sides with the same code join, and none of them is refused."""
    async with running(close_timeout=CLOSE) as relay:
        await relay.pair()
        clients = [await relay.connect() for _ in range(count)]
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(stop_accepting, relay)
        async with trio.open_nursery() as late:
            for client in clients:
                late.start_soon(client.send, HEAD)
        for client in clients:
            assert (await client.response()).status == 101
            assert await client.close_frame() == STOPPING_CLOSE
        await relay.handle.stop()
        assert not relay.events_of(RequestRefused)
        assert {event.outcome for event in relay.events_of(PairEnded)} == {Outcome.STOPPED}
        assert len(relay.events_of(PairJoined)) == 1


async def test_limits_of_waiting_sides(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    """Sides in their closing handshake do not count as waiting sides."""
    async with running(close_timeout=CLOSE, max_waiting=1) as relay:
        await relay.join("silent")
        client = await relay.connect()
        nursery.start_soon(stop_accepting, relay)
        await trio.sleep(1)
        assert (await client.upgrade("/?pair=other")).status == 101
        await expect_stopping(client)
        await relay.handle.stop()


async def test_silent_connections(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    """Silent and unresponsive clients delay the stop for close_timeout at most."""
    async with running(close_timeout=CLOSE) as relay:
        silent = [await relay.connect() for _ in range(3)]
        await silent[0].send(b"GET /")
        await relay.join("silent")
        nursery.start_soon(stop_accepting, relay)
        await trio.testing.wait_all_tasks_blocked()
        await stopped_within(relay, CLOSE)
        for client in silent:
            assert await client.rest() == b""


async def test_health(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    """A request for the health on a connection accepted before the stop learns of the stop."""
    async with running(close_timeout=CLOSE) as relay:
        client = await relay.connect()
        await client.send(b"GET /hea")
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(stop_accepting, relay)
        await trio.sleep(1)
        await client.send(b"lth HTTP/1.1\r\nHost: relay\r\n\r\n")
        response = await client.response()
        assert (response.status, response.body[:27]) == (503, b'{"ok":false,"draining":true')
