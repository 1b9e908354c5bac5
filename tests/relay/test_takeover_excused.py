"""A side that cannot answer the check is not evicted; a relay that stops waits for no check."""

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
from tests.support.auto_client import AutoClient
from tests.support.raw_client import PING, encode, upgrade_request
from tests.support.relay_fixtures import MemoryRelay
from tests.support.running_relay import exchange
from tests.support.takeover_fixtures import OpenRelay, relay, settings

__all__ = ["relay", "settings"]

TIMEOUT = RelaySettings().takeover_timeout
STOPPING = (1001, "relay stopping")
CHUNK = bytes(100_000)

DEAD = AckState(seconds_since_ack=TIMEOUT, unacked_probes=1)
SLOW = AckState(seconds_since_ack=TIMEOUT - 0.01, unacked_probes=1)


def kernel_reports(monkeypatch: pytest.MonkeyPatch, ack_state: AckState) -> None:
    """Make the kernel report this state for every client."""
    monkeypatch.setattr(Transport, "ack_state", ack_state)


class TestExcused:
    """Sides whose pong cannot arrive in time."""

    @pytest.mark.parametrize(("ack_state", "status"), [(AckState(), 409), (SLOW, 409), (DEAD, 101)])
    async def test_data_waits(
        self,
        relay: OpenRelay,
        autojump_clock: MockClock,
        monkeypatch: pytest.MonkeyPatch,
        ack_state: AckState,
        status: int,
    ) -> None:
        """A sender that is not read and a slow reader only need a live kernel."""
        a = await relay.join("code")
        b = await relay.join("code", lockstep=True)
        await a.send_message(CHUNK)
        await trio.testing.wait_all_tasks_blocked()
        kernel_reports(monkeypatch, ack_state)
        await relay.upgrade(status)
        assert relay.results == [status == 409]
        if status == 409:
            assert await b.message() == CHUNK
            assert (await a.frame()).opcode == PING

    async def test_answer_was_not_read(
        self, relay: OpenRelay, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A side whose pong may be unread, because the relay is behind, is not evicted."""
        await relay.pair()
        monkeypatch.setattr(Transport, "pending", 1)
        await relay.upgrade(409)
        monkeypatch.setattr(Transport, "pending", 0)
        await relay.upgrade(101)

    async def test_unread_bytes_prove_nothing(
        self, relay: OpenRelay, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Data sent before the relay stopped reading a side does not show the side to be alive."""
        a = await relay.join("code")
        await relay.join("code", lockstep=True)
        await a.send_message(CHUNK)
        await trio.testing.wait_all_tasks_blocked()
        monkeypatch.setattr(Transport, "pending", 1)
        kernel_reports(monkeypatch, DEAD)
        await relay.upgrade(101)

    async def test_data_is_on_its_way(
        self, relay: OpenRelay, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A side to which the relay's kernel still sends data is not evicted."""
        a, b = await relay.pair()
        monkeypatch.setattr(Transport, "unsent_bytes", 1)
        await relay.upgrade(409)
        kernel_reports(monkeypatch, DEAD)
        await relay.upgrade(101)
        assert relay.results == [True, False]
        for client in (a, b):
            assert (await client.frame()).opcode == PING

    @pytest.mark.parametrize(("ack_state", "answered"), [(AckState(), True), (DEAD, False)])
    async def test_held_full(
        self,
        relay: OpenRelay,
        autojump_clock: MockClock,
        monkeypatch: pytest.MonkeyPatch,
        ack_state: AckState,
        answered: bool,
    ) -> None:
        """A waiting side with too much early data is not evicted."""
        a = await relay.join("code")
        await a.send_message(bytes(EARLY_DATA_LIMIT))
        await trio.sleep(100)
        kernel_reports(monkeypatch, ack_state)
        b, _ = await relay.upgrade()
        assert relay.results == [answered]
        assert (relay.relay.pairs.waiting == 0) is answered
        if answered:
            assert await b.message() == bytes(EARLY_DATA_LIMIT)

    async def test_peer_is_not_excused(self, relay: OpenRelay, autojump_clock: MockClock) -> None:
        """An excuse for one side is no excuse for its peer."""
        a, _ = await relay.pair()
        pair = relay.relay.pairs.find("code")
        assert pair is not None
        pair.a.reading_paused = True
        async with trio.open_nursery() as joining:
            joining.start_soon(relay.upgrade, 101)
            assert (await a.frame()).opcode == PING
        assert relay.results == [False]


class TestEnding:
    """Pairs that end by themselves."""

    async def test_relay_stops(
        self,
        memory_relay: MemoryRelay,
        autojump_clock: MockClock,
        nursery: trio.Nursery,
    ) -> None:
        """A relay that stops does not wait for a takeover check."""
        clients = await memory_relay.pair()
        new_client = await memory_relay.connect()
        since = trio.current_time()
        async with trio.open_nursery() as tasks:
            tasks.start_soon(new_client.upgrade, "/?pair=code")
            for client in clients:
                assert (await client.frame()).opcode == PING
            tasks.start_soon(memory_relay.handle.stop)
            for client in clients:
                assert await client.closed() == STOPPING
            await trio.testing.wait_all_tasks_blocked()
            await trio.aclose_forcefully(new_client.stream)
        assert trio.current_time() - since < TIMEOUT
        assert memory_relay.handle.statistics().takeover_checks == 0

    async def test_cancelled_connection(self, relay: OpenRelay, autojump_clock: MockClock) -> None:
        """A connection that is cancelled during a takeover check is closed without a response."""
        await relay.pair()
        new_client = await relay.connect()
        await new_client.send(upgrade_request("/?pair=code"))
        await trio.testing.wait_all_tasks_blocked()
        for connection in relay.relay.connections:
            connection.cancel()
        assert await new_client.stream.receive_some() == b""
        assert len(relay.relay.pairs) == 1
        assert relay.results == []

    async def test_ended_pair(self, relay: OpenRelay, autojump_clock: MockClock) -> None:
        """A pair that ended is not pinged any more, though its sides are still being closed."""
        ours, theirs = trio.testing.memory_stream_pair()
        async with trio.open_nursery() as nursery:
            transport, pairs = StreamTransport(ours, nursery), relay.relay.pairs
            for _ in range(2):
                side = Side(transport, RelaySettings())
                pair = pairs.join("code", side, trio.current_time())
                await side.accept(b"accepted")
            pair.end(Outcome.OVER_BYTES)
            await trio.sleep(1000)
            check_pair(RelaySettings(), pair)
            await evict_dead(relay.relay, "code", 0)
            await trio.testing.wait_all_tasks_blocked()
            await transport.aclose()
            assert await theirs.receive_some() == b"accepted" * 2
            assert await theirs.receive_some() == b""
        assert relay.results == []


class TestOff:
    """Clients that cause no check."""

    @pytest.fixture
    def settings(self) -> RelaySettings:
        """Return settings in which nothing ends a side."""
        return RelaySettings(ping_interval=0, stall_timeout=0, takeover_timeout=0)

    async def test_no_check(
        self, relay: OpenRelay, autojump_clock: MockClock, nursery: trio.Nursery
    ) -> None:
        """With takeover_timeout 0 a full pair refuses, and a silent side is joined."""
        a = await relay.join("code")
        await trio.sleep(100)
        b, _ = await relay.upgrade(101)
        await relay.upgrade(409)
        await exchange(a, b)
        assert relay.results == []


class TestTimeout:
    """Another timeout."""

    @pytest.fixture
    def settings(self) -> RelaySettings:
        """Return settings with a longer timeout."""
        return RelaySettings(ping_interval=0, stall_timeout=0, takeover_timeout=9)

    async def test_effect(
        self, relay: OpenRelay, autojump_clock: MockClock, nursery: trio.Nursery
    ) -> None:
        """A side may take takeover_timeout to answer."""
        a, b = await relay.pair()
        AutoClient(a, nursery)
        async with trio.open_nursery() as joining:
            joining.start_soon(relay.upgrade, 409)
            await trio.sleep(8.9)
            await b.send(encode(PING))
        since = trio.current_time()
        await relay.upgrade(101)
        assert trio.current_time() == since + 9
