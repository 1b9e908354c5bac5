"""Sides that are dead are ended, and no others."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from relay import RelaySettings
from relay.outcomes import Outcome
from tests.support.auto_client import AutoClient
from tests.support.raw_client import PING, PONG, TEXT, Frame, encode
from tests.support.relay_fixtures import MemoryRelay

PEER_DISCONNECTED = (1011, "peer disconnected")
KEEPALIVE_TIMEOUT = (1011, "keepalive timeout")
STALL_TIMEOUT = (1011, "stall timeout")

INTERVAL, TIMEOUT, STALL = 20.0, 20.0, 60.0
"""Default values."""
LONG = 4000.0
CHUNK = bytes(127 * 1024)
"""About the number of bytes that the relay reads at once."""


@pytest.fixture
def settings(request: pytest.FixtureRequest) -> RelaySettings:
    """Return the settings of the test, with a long time to live for waiting sides."""
    return RelaySettings(**{"pair_ttl": 10 * LONG, **getattr(request, "param", {})})


class TestSilence:
    """Sides that send nothing."""

    async def test_pinged(self, memory_relay: MemoryRelay, autojump_clock: MockClock) -> None:
        """A silent side is pinged after 0.75 to 1.0 of ping_interval."""
        a = await memory_relay.join("code")
        since = trio.current_time()
        assert await a.frame() == Frame(fin=True, opcode=PING, payload=b"relay")
        assert 0.75 * INTERVAL <= trio.current_time() - since <= INTERVAL

    async def test_slow_head(self, memory_relay: MemoryRelay, autojump_clock: MockClock) -> None:
        """A slow request head does not make the first ping earlier."""
        client = await memory_relay.connect()
        await trio.sleep(9)
        await client.upgrade("/?pair=code")
        since = trio.current_time()
        assert (await client.frame()).opcode == PING
        assert 0.75 * INTERVAL <= trio.current_time() - since <= INTERVAL

    async def test_answers(
        self, memory_relay: MemoryRelay, autojump_clock: MockClock, nursery: trio.Nursery
    ) -> None:
        """Sides that answer pings stay, although they send nothing else."""
        sides = [AutoClient(client, nursery) for client in await memory_relay.pair()]
        sides.append(AutoClient(await memory_relay.join("lone"), nursery))
        await trio.sleep(LONG)
        for side in sides:
            assert LONG / INTERVAL <= side.pings <= LONG / (0.75 * INTERVAL)
            assert not side.ended.is_set()
        await sides[0].send_message(b"still here")
        await trio.testing.wait_all_tasks_blocked()
        assert sides[1].payload == b"still here"

    @pytest.mark.parametrize(
        "said", [encode(PONG), encode(TEXT, b"{}"), encode(PING)], ids=["pong", "text", "ping"]
    )
    async def test_says_something(
        self,
        memory_relay: MemoryRelay,
        autojump_clock: MockClock,
        nursery: trio.Nursery,
        said: bytes,
    ) -> None:
        """A side that sends any data in time is not pinged."""
        a, b = (AutoClient(client, nursery) for client in await memory_relay.pair())
        for _ in range(100):
            await trio.sleep(0.75 * INTERVAL - INTERVAL / 16)
            await a.client.send(said)
        assert a.pings == 0
        assert b.pings > 0
        assert not b.ended.is_set()

    @pytest.mark.parametrize("silent", [0, 1])
    async def test_gone(
        self,
        memory_relay: MemoryRelay,
        autojump_clock: MockClock,
        nursery: trio.Nursery,
        silent: int,
    ) -> None:
        """An unresponsive side is ended in time, its peer is closed, and the code is free."""
        clients = await memory_relay.pair()
        since = trio.current_time()
        peer = AutoClient(clients[1 - silent], nursery)
        assert await peer.closed() == PEER_DISCONNECTED
        assert 0.75 * INTERVAL + TIMEOUT <= trio.current_time() - since <= INTERVAL + TIMEOUT
        assert memory_relay.handle.statistics().pairs == 0
        assert memory_relay.handle.statistics().pairs_ended == {Outcome.UNRESPONSIVE: 1}
        assert (await clients[silent].frame()).opcode == PING
        assert await clients[silent].closed() == KEEPALIVE_TIMEOUT
        fresh_a, fresh_b = await memory_relay.pair()
        await fresh_a.send_message(b"fresh")
        assert await fresh_b.message() == b"fresh"

    async def test_gone_after_it_spoke(
        self, memory_relay: MemoryRelay, autojump_clock: MockClock, nursery: trio.Nursery
    ) -> None:
        """The time counts from the last received byte."""
        a, b = await memory_relay.pair()
        peer = AutoClient(b, nursery)
        await trio.sleep(33.3)  # pinged already
        await a.send_message(b"last words")
        since = trio.current_time()
        assert await peer.closed() == PEER_DISCONNECTED
        assert 0.75 * INTERVAL + TIMEOUT <= trio.current_time() - since <= INTERVAL + TIMEOUT

    async def test_lone_side_is_gone(
        self, memory_relay: MemoryRelay, autojump_clock: MockClock
    ) -> None:
        """An unresponsive waiting side is ended too."""
        a = await memory_relay.join("code")
        since = trio.current_time()
        assert (await a.frame()).opcode == PING
        assert await a.closed() == KEEPALIVE_TIMEOUT
        assert trio.current_time() - since <= INTERVAL + TIMEOUT
        assert memory_relay.handle.statistics().waiting == 0

    async def test_many(
        self, memory_relay: MemoryRelay, autojump_clock: MockClock, nursery: trio.Nursery
    ) -> None:
        """The sweeper checks every side, although it lets other tasks run in between."""
        clients = [await memory_relay.join(f"code-{number}") for number in range(250)]
        for client in clients:
            assert (await client.frame()).opcode == PING
        await clients[120].send(encode(PONG))
        await trio.sleep(TIMEOUT + 1)
        assert memory_relay.handle.statistics().pairs == 1


class TestBackpressure:
    """Sides that the relay does not read, or that read slowly."""

    @pytest.mark.parametrize("pause", [STALL - 5, 7.0])
    async def test_slow_transfer(
        self, memory_relay: MemoryRelay, autojump_clock: MockClock, pause: float
    ) -> None:
        """A slow reader survives, and so does its sender, which is silent and not read."""
        a = await memory_relay.join("code")
        b = await memory_relay.join("code", lockstep=True)
        await a.send_message(bytes(100 * len(CHUNK)))
        for _ in range(100):
            await trio.sleep(pause)
            await b.read(len(CHUNK))
        assert memory_relay.handle.statistics().pairs == 1
        assert memory_relay.handle.statistics().takeover_checks == 0

    async def test_held_full(self, memory_relay: MemoryRelay, autojump_clock: MockClock) -> None:
        """A side with too much early data is not read, and not ended for its silence."""
        a = await memory_relay.join("code")
        await a.send_message(bytes(200_000))
        await trio.sleep(LONG)
        b = await memory_relay.join("code")
        assert await b.message() == bytes(200_000)
        assert (await a.frame()).opcode == PING  # it is read again, and silent


class TestSettings:
    """Settings of keepalive, by their effect."""

    @pytest.mark.parametrize("settings", [{"ping_interval": 4, "ping_timeout": 30}], indirect=True)
    async def test_interval(self, memory_relay: MemoryRelay, autojump_clock: MockClock) -> None:
        """The ping and the end have the times of ping_interval and ping_timeout."""
        a = await memory_relay.join("code")
        since = trio.current_time()
        assert (await a.frame()).opcode == PING
        assert 3 <= trio.current_time() - since <= 4
        assert await a.closed() == KEEPALIVE_TIMEOUT
        assert 33 <= trio.current_time() - since <= 34

    @pytest.mark.parametrize("settings", [{"ping_interval": 0}], indirect=True)
    async def test_no_pings(
        self, memory_relay: MemoryRelay, autojump_clock: MockClock, nursery: trio.Nursery
    ) -> None:
        """With ping_interval 0 no side is pinged, and no side is ended for its silence."""
        sides = [AutoClient(client, nursery) for client in await memory_relay.pair()]
        await memory_relay.pair("silent")
        await trio.sleep(LONG)
        assert memory_relay.handle.statistics().pairs == 2
        assert [side.pings for side in sides] == [0, 0]

    @pytest.mark.parametrize(
        "settings",
        [{"max_bytes_per_second": 1000, "ping_interval": 4, "ping_timeout": 4}],
        indirect=True,
    )
    async def test_rate_limited_side_stays(
        self, memory_relay: MemoryRelay, autojump_clock: MockClock, nursery: trio.Nursery
    ) -> None:
        """A side that max_bytes_per_second slows down is not ended as unresponsive."""
        a = await memory_relay.join("code")
        b = AutoClient(await memory_relay.join("code"), nursery)
        await a.send_message(bytes(1_000_000))
        await trio.sleep(990)
        assert 980_000 <= len(b.payload) < 1_000_000
        assert not b.ended.is_set()
