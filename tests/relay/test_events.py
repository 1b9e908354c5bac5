"""What a relay tells whoever observes it, and whoever asks its handle."""

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
    TakeoverChecked,
)
from tests.support.raw_client import TEXT, encode, encode_close, upgrade_request
from tests.support.running_relay import exchange, running

CODE = "canary-code"


class Failing:
    """An observer that fails whenever it is told something."""

    def __init__(self) -> None:
        self.told = 0

    def on_event(self, event: Event) -> None:
        """Fail, with a message that holds what nobody should read."""
        self.told += 1
        raise ValueError(CODE)


class TestEvents:
    """The records."""

    async def test_a_life(self, autojump_clock: trio.testing.MockClock) -> None:
        """What is told, and in which order, from a pair's beginning to the end of the relay."""
        async with running(takeover_timeout=2.0) as relay:
            a = await relay.join("code")
            await trio.sleep(2.5)
            b = await relay.join("code")
            newcomer = await relay.connect()
            await newcomer.send(upgrade_request("/?pair=code"))
            await trio.testing.wait_all_tasks_blocked()
            for client in (a, b):
                await client.send(encode(0xA))
            assert (await newcomer.response()).status == 409
            await a.send(encode_close(1000))
            await relay.until_left(2)
            await relay.handle.stop()
        joined, probed, refused, ended, stopping = relay.events
        assert isinstance(joined, PairJoined)
        assert joined.wait_time == pytest.approx(2.5)
        assert isinstance(ended, PairEnded)
        assert ended.outcome is Outcome.CLOSED
        assert probed == TakeoverChecked(joined.pair, answered=True)
        assert refused == RequestRefused(409, "pair is full")
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
        """Each error is told with its status, and a reason that is nothing of the client's."""
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
        """Nor is it one if the relay is full, or stops, or somebody leaves without a word."""
        async with running(max_connections=1, drain_delay=10.0) as relay:
            await relay.join("code")
            assert (await relay.get("/ready"))[0] == 503
            await relay.gone(await relay.connect())
            async with trio.open_nursery() as nursery:
                nursery.start_soon(relay.handle.stop)
                await trio.sleep(1)
                assert (await relay.get("/health"))[0] == 503
            assert not relay.told(RequestRefused)


class TestFailingObserver:
    """An observer that raises."""

    async def test_it_disturbs_nobody(
        self, autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Whatever it does, pairs go on, the relay counts, and stops; the log says what it was."""
        observer = Failing()
        async with running(observer=observer, max_waiting=1) as relay:
            a, b = await relay.pair()
            third = await relay.connect()
            assert (await third.upgrade("/?pair=code")).status == 409
            await exchange(a, b)
            await relay.gone(a)
            assert await b.closed() == (1000, "peer disconnected")
            await exchange(*await relay.pair())
            statistics = relay.handle.statistics()
            assert statistics.requests_refused == {(409, "pair is full"): 1}
            assert statistics.pairs_ended == {Outcome.ENDED: 1}
            await relay.all_gone()
            await relay.handle.stop()
        assert observer.told == 6
        assert caplog.messages == ["the observer failed: ValueError"] * 6
        assert CODE not in caplog.text


class TestStatistics:
    """The snapshot."""

    async def test_sums(self, autojump_clock: trio.testing.MockClock) -> None:
        """What passed is counted for pairs that are there and for those that ended, each way."""
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
            await relay.gone(a)
            await b.closed()
            await relay.until_left(5)
            after = relay.handle.statistics()
            assert (after.bytes, after.messages, after.text_messages_dropped) == (
                expected.bytes,
                expected.messages,
                expected.text_messages_dropped,
            )
            assert (after.pairs, after.connections, after.connections_accepted) == (3, 5, 7)
            assert after.pairs_ended == {Outcome.ENDED: 1}
            await relay.all_gone()
            assert relay.handle.statistics().bytes == expected.bytes
            assert relay.handle.statistics().pairs_ended == {Outcome.ENDED: 3}
            assert relay.handle.statistics().waiting_ended == {Outcome.ENDED: 1}

    async def test_nothing_is_ever_taken_back(self, autojump_clock: trio.testing.MockClock) -> None:
        """Also between the end of a pair by the relay and what its task makes of that."""
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

    async def test_probes(self, autojump_clock: trio.testing.MockClock) -> None:
        """Probes are counted, and those that found a ghost."""
        async with running(takeover_timeout=2.0) as relay:
            await relay.pair()
            await relay.join("code")
            statistics = relay.handle.statistics()
            assert (statistics.takeover_checks, statistics.evictions) == (1, 1)
            (probed,) = relay.told(TakeoverChecked)
            assert not probed.answered


class Looking(trio.abc.Instrument):
    """Looks at something before each step of any task."""

    def __init__(self, look: Callable[[], None]) -> None:
        self._look = look

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self._look()
