"""Who cannot answer a probe is not taken for a ghost; a relay that stops waits for none."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from relay import RelaySettings
from relay.outcomes import Outcome
from relay.pairing.early_data import EARLY_DATA_LIMIT
from relay.pairing.side import Side
from relay.pairing.sweeper import check_pair
from relay.server.takeover import evict_dead
from relay.transport.base import Transport
from relay.transport.socket_info import AckState
from relay.transport.stream_transport import StreamTransport
from tests.support.auto_client import Lively
from tests.support.raw_client import PING, encode
from tests.support.relay_fixtures import MemoryRelay
from tests.support.takeover_fixtures import OpenRelay, relay, settings, work

__all__ = ["relay", "settings"]

TIMEOUT = RelaySettings().takeover_timeout
STOPPING = (1001, "relay stopping")
CHUNK = bytes(100_000)

DEAD = AckState(seconds_since_ack=TIMEOUT, unacked_probes=1)
SLOW = AckState(seconds_since_ack=TIMEOUT - 0.01, unacked_probes=1)


def system_says(monkeypatch: pytest.MonkeyPatch, uptake: AckState) -> None:
    """Have the system say this of every client."""
    monkeypatch.setattr(Transport, "ack_state", uptake)


class TestExcused:
    """Sides of which no pong can come in time."""

    @pytest.mark.parametrize(("uptake", "status"), [(AckState(), 409), (SLOW, 409), (DEAD, 101)])
    async def test_data_waits(
        self,
        relay: OpenRelay,
        autojump_clock: MockClock,
        monkeypatch: pytest.MonkeyPatch,
        uptake: AckState,
        status: int,
    ) -> None:
        """A sender that is not read, and a receiver that is slow, need a live system alone."""
        a = await relay.join("code")
        b = await relay.join("code", lockstep=True)
        await a.send_message(CHUNK)
        await trio.testing.wait_all_tasks_blocked()
        system_says(monkeypatch, uptake)
        await relay.ask(status)
        assert relay.probed == [status == 409]
        if status == 409:
            assert await b.message() == CHUNK
            assert (await a.frame()).opcode == PING

    async def test_answer_was_not_read(
        self, relay: OpenRelay, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nor is one gone whose answer may be there, because the relay is behind with reading."""
        await relay.pair()
        monkeypatch.setattr(Transport, "pending", 1)
        await relay.ask(409)
        monkeypatch.setattr(Transport, "pending", 0)
        await relay.ask(101)

    async def test_unread_bytes_prove_nothing(
        self, relay: OpenRelay, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Data sent before the relay stopped reading a side does not show the side to be alive."""
        a = await relay.join("code")
        await relay.join("code", lockstep=True)
        await a.send_message(CHUNK)
        await trio.testing.wait_all_tasks_blocked()
        monkeypatch.setattr(Transport, "pending", 1)
        system_says(monkeypatch, DEAD)
        await relay.ask(101)

    async def test_data_is_on_its_way(
        self, relay: OpenRelay, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """So does one to which the system of the relay is still sending."""
        a, b = await relay.pair()
        monkeypatch.setattr(Transport, "unsent_bytes", 1)
        await relay.ask(409)
        system_says(monkeypatch, DEAD)
        await relay.ask(101)
        assert relay.probed == [True, False]
        for client in (a, b):
            assert (await client.frame()).opcode == PING

    @pytest.mark.parametrize(("uptake", "probed"), [(AckState(), True), (DEAD, False)])
    async def test_held_full(
        self,
        relay: OpenRelay,
        autojump_clock: MockClock,
        monkeypatch: pytest.MonkeyPatch,
        uptake: AckState,
        probed: bool,
    ) -> None:
        """So does a side that waits, and is not read because it sent more than is held."""
        a = await relay.join("code")
        await a.send_message(bytes(EARLY_DATA_LIMIT))
        await trio.sleep(100)
        system_says(monkeypatch, uptake)
        b, _ = await relay.ask()
        assert relay.probed == [probed]
        assert (relay.relay.pairs.waiting == 0) is probed
        if probed:
            assert await b.message() == bytes(EARLY_DATA_LIMIT)

    async def test_the_others_are_not(self, relay: OpenRelay, autojump_clock: MockClock) -> None:
        """That one side is excused does not excuse the other."""
        a, _ = await relay.pair()
        pair = relay.relay.pairs.find("code")
        assert pair is not None
        pair.a.reading_paused = True
        async with trio.open_nursery() as newcomers:
            newcomers.start_soon(relay.ask, 101)
            assert (await a.frame()).opcode == PING
        assert relay.probed == [False]


class TestEnding:
    """Pairs that end by themselves."""

    async def test_relay_stops(
        self,
        memory_relay: MemoryRelay,
        autojump_clock: MockClock,
        nursery: trio.Nursery,
    ) -> None:
        """A relay that stops does not wait for the answers to a probe."""
        clients = await memory_relay.pair()
        newcomer = await memory_relay.connect()
        since = trio.current_time()
        async with trio.open_nursery() as tasks:
            tasks.start_soon(newcomer.upgrade, "/?pair=code")
            for client in clients:
                assert (await client.frame()).opcode == PING
            tasks.start_soon(memory_relay.handle.stop)
            for client in clients:
                assert await client.closed() == STOPPING
            await trio.testing.wait_all_tasks_blocked()
            await trio.aclose_forcefully(newcomer.stream)
        assert trio.current_time() - since < TIMEOUT
        assert memory_relay.handle.statistics().takeover_checks == 0

    async def test_ended_pair(self, relay: OpenRelay, autojump_clock: MockClock) -> None:
        """A pair that ended is not pinged any more, though its sides are still being closed."""
        ours, theirs = trio.testing.memory_stream_pair()
        async with trio.open_nursery() as nursery:
            transport, pairs = StreamTransport(ours, nursery), relay.relay.pairs
            for _ in range(2):
                side = Side(transport, RelaySettings(), trio.CancelScope())
                pair = pairs.join("code", side, trio.current_time())
                await side.accept(b"accepted")
            pair.end(Outcome.OVER_BYTES)
            await trio.sleep(1000)
            check_pair(pair, RelaySettings(), trio.current_time())
            await evict_dead(relay.relay, "code", 0)
            await trio.testing.wait_all_tasks_blocked()
            await transport.aclose()
            assert await theirs.receive_some() == b"accepted" * 2
            assert await theirs.receive_some() == b""
        assert relay.probed == []


class TestOff:
    """Newcomers that probe nobody."""

    @pytest.fixture
    def settings(self) -> RelaySettings:
        """Return settings in which nothing ends a side."""
        return RelaySettings(ping_interval=0, stall_timeout=0, takeover_timeout=0)

    async def test_full(
        self, relay: OpenRelay, autojump_clock: MockClock, nursery: trio.Nursery
    ) -> None:
        """With takeover_timeout 0 a full pair is full, and a silent side is joined."""
        a = await relay.join("code")
        await trio.sleep(100)
        b, _ = await relay.ask(101)
        await relay.ask(409)
        await work(a, b)
        assert relay.probed == []


class TestTimeout:
    """Another timeout."""

    @pytest.fixture
    def settings(self) -> RelaySettings:
        """Return settings in which an answer may take longer."""
        return RelaySettings(ping_interval=0, stall_timeout=0, takeover_timeout=9)

    async def test_effect(
        self, relay: OpenRelay, autojump_clock: MockClock, nursery: trio.Nursery
    ) -> None:
        """A side may take takeover_timeout to answer."""
        a, b = await relay.pair()
        Lively(a, nursery)
        async with trio.open_nursery() as newcomers:
            newcomers.start_soon(relay.ask, 409)
            await trio.sleep(8.9)
            await b.send(encode(PING))
        since = trio.current_time()
        await relay.ask(101)
        assert trio.current_time() == since + 9
