"""A relay that stops accepting still serves its accepted connections."""

from __future__ import annotations

from contextlib import suppress
from functools import partial

import pytest
import trio
import trio.testing

from relay import Event, PairEnded, RelaySettings, RelayStopping, RequestRefused, serve_relay
from tests.support.raw_client import Client, upgrade_request
from tests.support.relay_fixtures import MemoryRelay

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


async def test_head_on_its_way(
    memory_relay: MemoryRelay, autojump_clock: trio.testing.MockClock
) -> None:
    """The relay waits for the rest of a head that has begun."""
    client = await memory_relay.connect()
    await client.send(REQUEST[:20])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(memory_relay.handle.stop, close_listeners=True))
        await trio.sleep(4)
        await client.send(REQUEST[20:])
        await expect_served(client)


async def test_nothing_comes(
    memory_relay: MemoryRelay, autojump_clock: trio.testing.MockClock
) -> None:
    """A silent connection delays the stop no longer than a closing handshake may take."""
    client = await memory_relay.connect()
    await trio.testing.wait_all_tasks_blocked()
    began = trio.current_time()
    await memory_relay.handle.stop(close_listeners=True)
    assert trio.current_time() - began == 5
    assert await client.rest() == b""


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
