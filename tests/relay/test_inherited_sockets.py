"""Stop of a relay whose listening sockets go on to the next relay."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from relay import Outcome, PairEnded, PairJoined, RequestRefused
from tests.support.raw_client import upgrade_request
from tests.support.running_relay import running
from tests.support.shutdown import STOPPING_CLOSE, expect_stopping, stop_accepting, stopped_within

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
