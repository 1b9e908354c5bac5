"""Events for observers, and statistics of the handle."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio
import trio.testing

from relay import (
    Event,
    Outcome,
    PairEnded,
    PairJoined,
    RelayStatistics,
    RelayStopping,
    RequestRefused,
    SideWaiting,
    TakeoverChecked,
)
from tests.support.raw_client import TEXT, encode, encode_close, upgrade_request
from tests.support.running_relay import exchange, running

CODE = "canary-code"


class Failing:
    """Observer that raises an exception for each event."""

    def __init__(self) -> None:
        self.events_of = 0

    def on_event(self, event: Event) -> None:
        """Raise an exception whose message is secret."""
        self.events_of += 1
        raise ValueError(CODE)


class TestEvents:
    """Event records."""

    async def test_a_life(self, autojump_clock: trio.testing.MockClock) -> None:
        """The events of a relay's life, in order, from the first pair to the stop."""
        async with running(takeover_timeout=2.0) as relay:
            a = await relay.join("code")
            await trio.sleep(2.5)
            b = await relay.join("code")
            new_client = await relay.connect()
            await new_client.send(upgrade_request("/?pair=code"))
            await trio.testing.wait_all_tasks_blocked()
            for client in (a, b):
                await client.send(encode(0xA))
            assert (await new_client.response()).status == 409
            await a.send(encode_close(1000))
            await relay.wait_for_connections(2)
            await relay.handle.stop()
        waiting, joined, probed, refused, ended, stopping = relay.events
        assert isinstance(joined, PairJoined)
        assert joined.wait_time == pytest.approx(2.5)
        assert isinstance(ended, PairEnded)
        assert ended.outcome is Outcome.CLOSED
        assert waiting == SideWaiting(joined.pair)
        assert ended.pair == joined.pair
        assert probed == TakeoverChecked(joined.pair, answered=True)
        assert refused == RequestRefused(409, "pair is full", pair=joined.pair)
        assert stopping == RelayStopping(0, 0)

    @pytest.mark.parametrize(
        ("head", "status", "reason"),
        [
            (b"GET /nowhere HTTP/1.1\r\nHost: relay\r\n\r\n", 404, "not found: "),
            (b"PUT /health HTTP/1.1\r\nHost: relay\r\n\r\n", 405, "method not allowed"),
            (b"nonsense\r\n\r\n", 400, "not a valid HTTP request"),
            (b"GET /", 408, "head did not arrive in time"),
            (b"GET /" + bytes(20_000), 431, "head is larger than 16384 bytes"),
            (upgrade_request("/"), 400, "missing or invalid pair code"),
            (upgrade_request("/", sec_websocket_version="8"), 426, "only WebSocket version 13 "),
        ],
    )
    async def test_refused(
        self, head: bytes, status: int, reason: str, autojump_clock: trio.testing.MockClock
    ) -> None:
        """Each refusal has an event with its status, and a reason without data of the client."""
        async with running() as relay:
            client = await relay.connect()
            await client.send(head)
            assert (await client.response()).status == status
            (event,) = relay.events
            assert isinstance(event, RequestRefused)
            assert event.status == status
            assert event.reason.startswith(reason)
            assert relay.handle.statistics().requests_refused == {(status, event.reason): 1}

    async def test_health_is_no_refusal(self, autojump_clock: trio.testing.MockClock) -> None:
        """A health check has no event of a refusal, even if the relay is full or stops."""
        async with running(max_connections=1, drain_delay=10.0) as relay:
            await relay.join("code")
            assert (await relay.get("/ready"))[0] == 503
            await relay.disconnect(await relay.connect())
            async with trio.open_nursery() as nursery:
                nursery.start_soon(relay.handle.stop)
                await trio.sleep(1)
                assert (await relay.get("/health"))[0] == 503
            assert not relay.events_of(RequestRefused)


class TestFailingObserver:
    """Observers that raise an exception."""

    async def test_pairs_go_on(
        self, autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Pairs go on after any exception, the relay counts and stops, and its log has the kind."""
        observer = Failing()
        async with running(observer=observer, max_waiting=1) as relay:
            a, b = await relay.pair()
            third = await relay.connect()
            assert (await third.upgrade("/?pair=code")).status == 409
            await exchange(a, b)
            await relay.disconnect(a)
            assert await b.closed() == (1000, "peer disconnected")
            await exchange(*await relay.pair())
            statistics = relay.handle.statistics()
            assert statistics.requests_refused == {(409, "pair is full"): 1}
            assert statistics.pairs_ended == {Outcome.ENDED: 1}
            await relay.disconnect_all()
            await relay.handle.stop()
        assert observer.events_of == 8
        assert caplog.messages == ["the observer failed: ValueError"] * 8
        assert CODE not in caplog.text


class TestStatistics:
    """Statistics snapshot."""

    async def test_sums(self, autojump_clock: trio.testing.MockClock) -> None:
        """Traffic is counted for live pairs and for ended pairs, in each direction."""
        async with running() as relay:
            for number in range(3):
                a, b = await relay.pair(f"{number}")
                await a.send_message(b"x" * 98)
                await a.send(encode(TEXT, b"text"))
                assert len(await b.message()) == 98
                for _ in range(2):
                    await b.send_message(b"x" * 998)
                    await a.message()
            await relay.join("waiting")
            expected = relay.handle.statistics()
            assert expected == RelayStatistics(
                pairs=4,
                waiting=1,
                connections=7,
                admitted=7,
                connections_accepted=7,
                bytes=(300, 2 * 3 * 1002),
                messages=(3, 6),
                text_messages_dropped=(3, 0),
            )
            await relay.disconnect(a)
            await b.closed()
            await relay.wait_for_connections(5)
            after = relay.handle.statistics()
            assert (after.bytes, after.messages, after.text_messages_dropped) == (
                expected.bytes,
                expected.messages,
                expected.text_messages_dropped,
            )
            assert (after.pairs, after.connections, after.connections_accepted) == (3, 5, 7)
            assert after.pairs_ended == {Outcome.ENDED: 1}
            await relay.disconnect_all()
            assert relay.handle.statistics().bytes == expected.bytes
            assert relay.handle.statistics().pairs_ended == {Outcome.ENDED: 3}
            assert relay.handle.statistics().waiting_ended == {Outcome.ENDED: 1}

    async def test_statistics_never_decrease(self, autojump_clock: trio.testing.MockClock) -> None:
        """No counter ever decreases, also between the end of a pair and the end of its task."""
        seen: list[RelayStatistics] = []
        async with running(max_pair_bytes=100, pair_ttl=50.0, sweep_interval=1.0) as relay:
            look: Callable[[], Any] = relay.handle.statistics
            instrument = Looking(lambda: seen.append(look()))
            trio.lowlevel.add_instrument(instrument)
            waiting = await relay.join("waiting")
            await waiting.send_message(b"x" * 58)
            a, b = await relay.pair()
            await a.send_message(b"x" * 98)
            await b.message()
            await trio.sleep(60)
            trio.lowlevel.remove_instrument(instrument)
            assert relay.handle.statistics().pairs_ended == {Outcome.OVER_BYTES: 1}
            assert relay.handle.statistics().waiting_ended == {Outcome.EXPIRED: 1}
        moved = [statistics.bytes[0] for statistics in seen]
        assert moved == sorted(moved)
        assert moved[-1] == 100  # nobody got what the lone side sent

    async def test_takeover_checks(self, autojump_clock: trio.testing.MockClock) -> None:
        """Takeover checks are counted, and evictions."""
        async with running(takeover_timeout=2.0) as relay:
            await relay.pair()
            await relay.join("code")
            statistics = relay.handle.statistics()
            assert (statistics.takeover_checks, statistics.evictions) == (1, 1)
            (answered,) = relay.events_of(TakeoverChecked)
            assert not answered.answered


class Looking(trio.abc.Instrument):
    """Instrument that calls a function before each step of any task."""

    def __init__(self, look: Callable[[], None]) -> None:
        self._look = look

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self._look()
