"""Stop of a relay: service until the end, close frames, and duration."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from relay import PairEnded, RelaySettings, RelayStopping
from relay.server.state import Phase, RelayState
from tests.support.raw_client import BINARY, Client, encode, encode_close, upgrade_request
from tests.support.running_relay import WatchedRelay, exchange, running
from tests.support.shutdown import (
    STOPPING_CLOSE,
    Stop,
    expect_stopping,
    stop,
    stop_accepting,
    stopped_within,
)

REFUSED = (503, "relay is stopping")
DELAY = 30.0
CLOSE = 5.0


class TestDrainDelay:
    """Time in which a relay only refuses new sides."""

    async def test_new_clients_are_refused(
        self, nursery: trio.Nursery, autojump_clock: MockClock
    ) -> None:
        """Health, readiness and upgrades report the stop, also to a client with a waiting code."""
        async with running(drain_delay=DELAY) as relay:
            a, _ = await relay.pair()
            await relay.join("waiting")
            nursery.start_soon(stop, relay)
            await trio.sleep(1)
            health = (503, b'{"ok":false,"draining":true,"pairs":2}')
            assert await relay.get("/health") == await relay.get("/ready") == health
            assert relay.handle.statistics().draining
            for target in ("/?pair=new", "/?pair=waiting"):
                response = await relay.refused(*REFUSED, target)
                assert response.headers["retry-after"] == "5"
            await relay.disconnect(a)

    async def test_pairs_go_on(self, nursery: trio.Nursery, autojump_clock: MockClock) -> None:
        """Pairs exchange messages until the delay is over; then all sides are closed."""
        async with running(drain_delay=DELAY) as relay:
            a, b = await relay.pair()
            waiting = await relay.join("waiting")
            nursery.start_soon(stop, relay)
            for _ in range(10):
                await exchange(a, b)
                await trio.sleep(DELAY / 10 - 0.001)
            for client in (a, b, waiting):
                nursery.start_soon(expect_stopping, client)
            await stopped_within(relay, 0.01)

    async def test_delay_is_kept_without_sides(
        self, nursery: trio.Nursery, autojump_clock: MockClock
    ) -> None:
        """Without sides the delay is not shorter, so that a balancer notices the drain."""
        async with running(drain_delay=DELAY) as relay:
            a, b = await relay.pair()
            nursery.start_soon(stop, relay)
            await trio.sleep(10)
            await relay.disconnect(a, b)
            assert (await relay.get("/health"))[0] == 503
            await stopped_within(relay, DELAY - 10)

    async def test_waiting_side_expires(
        self, nursery: trio.Nursery, autojump_clock: MockClock
    ) -> None:
        """A waiting side still expires during the drain."""
        async with running(drain_delay=DELAY, pair_ttl=10.0, sweep_interval=1.0) as relay:
            waiting = await relay.join("waiting")
            nursery.start_soon(stop, relay)
            assert await waiting.closed() == (1001, "pair expired")
            await relay.handle.stop()

    async def test_unresponsive_clients(
        self, nursery: trio.Nursery, autojump_clock: MockClock
    ) -> None:
        """Clients that do not answer add close_timeout, and new clients are refused meanwhile."""
        async with running(drain_delay=DELAY, close_timeout=CLOSE) as relay:
            await relay.pair()
            nursery.start_soon(stop, relay)
            await trio.sleep(DELAY + CLOSE - 0.5)
            await relay.refused(*REFUSED)
            await stopped_within(relay, 0.5)


class TestNoDelay:
    """Default: no drain delay."""

    async def test_new_clients_during_the_closing_handshakes(
        self, nursery: trio.Nursery, autojump_clock: MockClock
    ) -> None:
        """New clients get the response of a stopping relay while a client has not answered."""
        async with running(close_timeout=CLOSE) as relay:
            await relay.join("silent")
            pairs = [await relay.pair(f"{number}") for number in range(3)]
            unfinished = await relay.connect()
            nursery.start_soon(stop, relay)
            async with trio.open_nursery() as polite:
                for client in (client for pair in pairs for client in pair):
                    polite.start_soon(expect_stopping, client)
            for _ in range(4):
                await trio.sleep(1)
                await relay.refused(*REFUSED)
                assert (await relay.get("/health"))[0] == 503
                assert (await relay.get("/ready"))[0] == 503
            await unfinished.send(upgrade_request("/?pair=mute"))
            assert (await unfinished.response()).status == 503
            await stopped_within(relay, CLOSE - 4)

    async def test_only_unresponsive_clients(
        self, nursery: trio.Nursery, autojump_clock: MockClock
    ) -> None:
        """The stop takes close_timeout for any number of unresponsive clients."""
        async with running(close_timeout=CLOSE) as relay:
            for number in range(5):
                await relay.pair(f"{number}")
            nursery.start_soon(stop, relay)
            await trio.sleep(CLOSE - 0.5)
            await relay.refused(*REFUSED)
            await stopped_within(relay, 0.5)

    async def test_silent_connections(self, autojump_clock: MockClock) -> None:
        """A connection that has sent nothing does not delay the stop."""
        async with running(close_timeout=CLOSE) as relay:
            silent = [await relay.connect() for _ in range(3)]
            await silent[0].send(b"GET /")
            await trio.testing.wait_all_tasks_blocked()
            await stopped_within(relay, 0)
            for client in silent:
                assert await client.rest() == b""

    async def test_order(self, nursery: trio.Nursery, autojump_clock: MockClock) -> None:
        """Waiting sides are closed first, then pairs."""
        order: list[str] = []

        async def come(relay: WatchedRelay, code: str) -> None:
            near, far = trio.testing.memory_stream_pair()
            deliver = far.send_stream.send_all_hook
            assert deliver is not None

            async def note() -> None:
                if relay.inside.phase >= Phase.STOPPING:
                    order.append(code.partition("-")[0])
                await deliver()

            far.send_stream.send_all_hook = note
            await relay.listener.connect(lambda: (near, far))
            client = Client(near)
            assert (await client.upgrade(f"/?pair={code}")).status == 101
            nursery.start_soon(expect_stopping, client)

        for _ in range(10):  # tasks run in any order
            async with running() as relay:
                for number in range(3):
                    for code in (f"pair-{number}", f"waiting-{number}", f"pair-{number}"):
                        await come(relay, code)
                await relay.handle.stop()
            assert order == ["waiting"] * 3 + ["pair"] * 6
            order.clear()

    async def test_what_was_received_is_delivered(
        self, nursery: trio.Nursery, autojump_clock: MockClock
    ) -> None:
        """Frames that were received for a slow side arrive, whole, before its close frame."""
        async with running(close_timeout=CLOSE) as relay:
            a, b = await relay.join("code", lockstep=True), await relay.join("code")
            payloads = [bytes((number,)) * 1000 for number in range(5)]
            await b.send(b"".join(encode(BINARY, payload) for payload in payloads))
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(stop, relay)
            assert await b.closed() == STOPPING_CLOSE
            for payload in payloads:
                assert await a.message() == payload
            await expect_stopping(a)
            await relay.handle.stop()
            (ended,) = relay.events_of(PairEnded)
            assert ended.messages == (0, 5)

    async def test_a_stop_that_is_cancelled(
        self, nursery: trio.Nursery, autojump_clock: MockClock
    ) -> None:
        """A cancelled wait for the stop does not cancel the stop."""
        async with running(close_timeout=CLOSE) as relay:
            await relay.join("silent")
            with trio.move_on_after(1) as given_up:
                await relay.handle.stop()
            assert given_up.cancelled_caught
            await stopped_within(relay, CLOSE - 1)


class TestCancelled:
    """Relay whose nursery is cancelled."""

    @pytest.mark.parametrize("first", [None, stop])
    async def test_delay_is_skipped(self, first: Stop | None, autojump_clock: MockClock) -> None:
        """All sides are closed at once, also during a drain; there is one event."""
        settings: dict[str, Any] = {"drain_delay": DELAY, "close_timeout": CLOSE}
        async with trio.open_nursery() as clients, running(**settings) as relay:
            for client in (*await relay.pair(), await relay.join("waiting")):
                clients.start_soon(expect_stopping, client)
            if first is not None:
                clients.start_soon(first, relay)
                await trio.sleep(1)
            start = trio.current_time()
            relay.scope.cancel()
            await stopped_within(relay, 0)
            assert trio.current_time() == start
            assert relay.events_of(RelayStopping) == [RelayStopping(2, 1)]


@pytest.mark.parametrize("by", [stop, stop_accepting])
async def test_stopping_is_noticed_once(
    by: Stop, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """A relay that is stopped several times has one event, before its pairs end."""
    async with running(close_timeout=CLOSE) as relay:
        a, _ = await relay.pair()
        await relay.join("waiting")
        for _ in range(3):
            nursery.start_soon(by, relay)
        await a.send(encode_close(1000))
        await relay.handle.stop()
        assert relay.events_of(RelayStopping) == [RelayStopping(pairs=2, waiting=1)]
        names = [type(event).__name__ for event in relay.events]
        assert names[:3] == ["SideWaiting", "PairJoined", "SideWaiting"]
        assert names[3:] == ["RelayStopping", "PairEnded", "PairEnded"]


class TestTwoStops:
    """Two stops of different kinds, of which the first decides."""

    @pytest.mark.parametrize("accepting", [True, False])
    def test_first_decides(self, accepting: bool) -> None:
        """The first stop decides, also if both happen in the same step."""
        state = RelayState(RelaySettings())
        state.request_stop(close_listeners=not accepting)
        state.request_stop(close_listeners=accepting)
        assert state.close_listeners is not accepting

    async def test_accepting(self, nursery: trio.Nursery, autojump_clock: MockClock) -> None:
        """Connections are still accepted, and refused, until the delay is over."""
        async with running(drain_delay=DELAY, close_timeout=CLOSE) as relay:
            nursery.start_soon(stop, relay)
            await trio.sleep(1)
            nursery.start_soon(stop_accepting, relay)
            await trio.sleep(DELAY - 2)
            await relay.refused(*REFUSED)
            await stopped_within(relay, 1)

    async def test_not_accepting(self, nursery: trio.Nursery, autojump_clock: MockClock) -> None:
        """The stop waits for a client that was accepted before, and skips the delay."""
        request = upgrade_request("/?pair=late")
        async with running(drain_delay=DELAY, close_timeout=CLOSE) as relay:
            waiting, late = await relay.join("waiting"), await relay.connect()
            await late.send(request[:20])
            nursery.start_soon(stop_accepting, relay)
            await trio.sleep(1)
            nursery.start_soon(stop, relay)
            await trio.sleep(1)
            await expect_stopping(waiting)
            await trio.sleep(1)
            await late.send(request[20:])
            assert (await late.response()).status == 101
            await expect_stopping(late)
            await stopped_within(relay, 0)
