"""How a relay stops: whom it still serves, whom it tells what, and how long that takes."""

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
from tests.support.shutdown import TOLD, Stop, expect_told, stop, stop_accepting, stopped_within

REFUSED = (503, "relay is stopping")
DELAY = 30.0
CLOSE = 5.0


class TestDrainDelay:
    """The time in which a relay only refuses newcomers."""

    async def test_newcomers_are_refused(
        self, nursery: trio.Nursery, autojump_clock: MockClock
    ) -> None:
        """Health, readiness and upgrades say that it stops, also to who would join a code."""
        async with running(drain_delay=DELAY) as relay:
            a, _ = await relay.pair()
            await relay.join("waiting")
            nursery.start_soon(stop, relay)
            await trio.sleep(1)
            health = (503, b'{"ok":false,"draining":true,"pairs":2}')
            assert await relay.get("/health") == await relay.get("/ready") == health
            assert relay.handle.statistics().draining
            for target in ("/?pair=newcomer", "/?pair=waiting"):
                response = await relay.refused(*REFUSED, target)
                assert response.headers["retry-after"] == "5"
            await relay.gone(a)

    async def test_pairs_go_on(self, nursery: trio.Nursery, autojump_clock: MockClock) -> None:
        """Pairs exchange messages until the delay is over; then all are told, and it returns."""
        async with running(drain_delay=DELAY) as relay:
            a, b = await relay.pair()
            waiting = await relay.join("waiting")
            nursery.start_soon(stop, relay)
            for _ in range(10):
                await exchange(a, b)
                await trio.sleep(DELAY / 10 - 0.001)
            for client in (a, b, waiting):
                nursery.start_soon(expect_told, client)
            await stopped_within(relay, 0.01)

    async def test_delay_is_kept_without_sides(
        self, nursery: trio.Nursery, autojump_clock: MockClock
    ) -> None:
        """A balancer gets its time to notice, also if nobody is there, or all leave."""
        async with running(drain_delay=DELAY) as relay:
            a, b = await relay.pair()
            nursery.start_soon(stop, relay)
            await trio.sleep(10)
            await relay.gone(a, b)
            assert (await relay.get("/health"))[0] == 503
            await stopped_within(relay, DELAY - 10)

    async def test_who_was_let_in_before(
        self, nursery: trio.Nursery, autojump_clock: MockClock
    ) -> None:
        """A side that waits is still looked after: it expires in time."""
        async with running(drain_delay=DELAY, pair_ttl=10.0, sweep_interval=1.0) as relay:
            waiting = await relay.join("waiting")
            nursery.start_soon(stop, relay)
            assert await waiting.closed() == (1001, "pair expired")
            await relay.handle.stop()

    async def test_mute_clients(self, nursery: trio.Nursery, autojump_clock: MockClock) -> None:
        """Clients that do not answer come on top, with close_timeout, and newcomers are refused."""
        async with running(drain_delay=DELAY, close_timeout=CLOSE) as relay:
            await relay.pair()
            nursery.start_soon(stop, relay)
            await trio.sleep(DELAY + CLOSE - 0.5)
            await relay.refused(*REFUSED)
            await stopped_within(relay, 0.5)


class TestNoDelay:
    """The default."""

    async def test_newcomers_while_clients_are_mute(
        self, nursery: trio.Nursery, autojump_clock: MockClock
    ) -> None:
        """As long as one mute client holds the stop up, newcomers learn that the relay stops."""
        async with running(close_timeout=CLOSE) as relay:
            await relay.join("mute")
            pairs = [await relay.pair(f"{number}") for number in range(3)]
            at_the_door = await relay.connect()
            nursery.start_soon(stop, relay)
            async with trio.open_nursery() as polite:
                for client in (client for pair in pairs for client in pair):
                    polite.start_soon(expect_told, client)
            for _ in range(4):
                await trio.sleep(1)
                await relay.refused(*REFUSED)
                assert (await relay.get("/health"))[0] == 503
                assert (await relay.get("/ready"))[0] == 503
            await at_the_door.send(upgrade_request("/?pair=mute"))
            assert (await at_the_door.response()).status == 503
            await stopped_within(relay, CLOSE - 4)

    async def test_mute_clients_alone(
        self, nursery: trio.Nursery, autojump_clock: MockClock
    ) -> None:
        """The last polite client makes no difference, nor how many are mute."""
        async with running(close_timeout=CLOSE) as relay:
            for number in range(5):
                await relay.pair(f"{number}")
            nursery.start_soon(stop, relay)
            await trio.sleep(CLOSE - 0.5)
            await relay.refused(*REFUSED)
            await stopped_within(relay, 0.5)

    async def test_silent_at_the_door(self, autojump_clock: MockClock) -> None:
        """Who has said nothing yet does not hold the stop up at all."""
        async with running(close_timeout=CLOSE) as relay:
            silent = [await relay.connect() for _ in range(3)]
            await silent[0].send(b"GET /")
            await trio.testing.wait_all_tasks_blocked()
            await stopped_within(relay, 0)
            for client in silent:
                assert await client.rest() == b""

    async def test_order(self, nursery: trio.Nursery, autojump_clock: MockClock) -> None:
        """Waiting sides are told first, then pairs."""
        told: list[str] = []

        async def come(relay: WatchedRelay, code: str) -> None:
            near, far = trio.testing.memory_stream_pair()
            deliver = far.send_stream.send_all_hook
            assert deliver is not None

            async def note() -> None:
                if relay.inside.phase >= Phase.STOPPING:
                    told.append(code.partition("-")[0])
                await deliver()

            far.send_stream.send_all_hook = note
            await relay.listener.connect(lambda: (near, far))
            client = Client(near)
            assert (await client.upgrade(f"/?pair={code}")).status == 101
            nursery.start_soon(expect_told, client)

        for _ in range(10):  # tasks run in any order
            async with running() as relay:
                for number in range(3):
                    for code in (f"pair-{number}", f"waiting-{number}", f"pair-{number}"):
                        await come(relay, code)
                await relay.handle.stop()
            assert told == ["waiting"] * 3 + ["pair"] * 6
            told.clear()

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
            assert await b.closed() == TOLD
            for payload in payloads:
                assert await a.message() == payload
            await expect_told(a)
            await relay.handle.stop()
            (ended,) = relay.told(PairEnded)
            assert ended.messages == (0, 5)

    async def test_a_stop_that_is_cancelled(
        self, nursery: trio.Nursery, autojump_clock: MockClock
    ) -> None:
        """Who waits for the stop may give up; the relay stops all the same."""
        async with running(close_timeout=CLOSE) as relay:
            await relay.join("mute")
            with trio.move_on_after(1) as given_up:
                await relay.handle.stop()
            assert given_up.cancelled_caught
            await stopped_within(relay, CLOSE - 1)


class TestCancelled:
    """A relay whose nursery is cancelled."""

    @pytest.mark.parametrize("first", [None, stop])
    async def test_delay_is_skipped(self, first: Stop | None, autojump_clock: MockClock) -> None:
        """Everybody is told at once, also if the relay was draining; it says so once."""
        settings: dict[str, Any] = {"drain_delay": DELAY, "close_timeout": CLOSE}
        async with trio.open_nursery() as clients, running(**settings) as relay:
            for client in (*await relay.pair(), await relay.join("waiting")):
                clients.start_soon(expect_told, client)
            if first is not None:
                clients.start_soon(first, relay)
                await trio.sleep(1)
            start = trio.current_time()
            relay.scope.cancel()
            await stopped_within(relay, 0)
            assert trio.current_time() == start
            assert relay.told(RelayStopping) == [RelayStopping(2, 1)]


@pytest.mark.parametrize("by", [stop, stop_accepting])
async def test_stopping_is_noticed_once(
    by: Stop, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """However often it is told to stop, the relay says once that it does, before its pairs end."""
    async with running(close_timeout=CLOSE) as relay:
        a, _ = await relay.pair()
        await relay.join("waiting")
        for _ in range(3):
            nursery.start_soon(by, relay)
        await a.send(encode_close(1000))
        await relay.handle.stop()
        assert relay.told(RelayStopping) == [RelayStopping(pairs=2, waiting=1)]
        names = [type(event).__name__ for event in relay.events]
        assert names[:3] == ["SideWaiting", "PairJoined", "SideWaiting"]
        assert names[3:] == ["RelayStopping", "PairEnded", "PairEnded"]


class TestTwoStops:
    """A relay that is told to stop in one way and then in the other: the first one decides."""

    @pytest.mark.parametrize("accepting", [True, False])
    def test_first_decides(self, accepting: bool) -> None:
        """That holds also if the relay could not act between the two."""
        state = RelayState(RelaySettings())
        state.request_stop(close_listeners=not accepting)
        state.request_stop(close_listeners=accepting)
        assert state.close_listeners is not accepting

    async def test_accepting(self, nursery: trio.Nursery, autojump_clock: MockClock) -> None:
        """Newcomers are still accepted, and refused, until the delay is over."""
        async with running(drain_delay=DELAY, close_timeout=CLOSE) as relay:
            nursery.start_soon(stop, relay)
            await trio.sleep(1)
            nursery.start_soon(stop_accepting, relay)
            await trio.sleep(DELAY - 2)
            await relay.refused(*REFUSED)
            await stopped_within(relay, 1)

    async def test_not_accepting(self, nursery: trio.Nursery, autojump_clock: MockClock) -> None:
        """A client that was accepted before is waited for, and the delay is skipped."""
        request = upgrade_request("/?pair=late")
        async with running(drain_delay=DELAY, close_timeout=CLOSE) as relay:
            waiting, late = await relay.join("waiting"), await relay.connect()
            await late.send(request[:20])
            nursery.start_soon(stop_accepting, relay)
            await trio.sleep(1)
            nursery.start_soon(stop, relay)
            await trio.sleep(1)
            await expect_told(waiting)
            await trio.sleep(1)
            await late.send(request[20:])
            assert (await late.response()).status == 101
            await expect_told(late)
            await stopped_within(relay, 0)
