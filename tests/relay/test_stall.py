"""Sides that accept none of their data are ended; until then their pings are answered."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from relay import RelaySettings
from relay.outcomes import Outcome
from tests.support.auto_client import AutoClient
from tests.support.raw_client import BINARY, CONTINUATION, PING, PONG, Client, Frame, encode
from tests.support.relay_fixtures import MemoryRelay

PEER_DISCONNECTED = (1011, "peer disconnected")
STALL_TIMEOUT = (1011, "stall timeout")

STALL = 240.0
"""Default value."""
LONG = 4000.0
CHUNK = bytes(127 * 1024)
"""About the number of bytes that the relay reads at once."""


@pytest.fixture
def settings(request: pytest.FixtureRequest) -> RelaySettings:
    """Return the settings of the test, with a long time to live for waiting sides."""
    return RelaySettings(**{"pair_ttl": 10 * LONG, **getattr(request, "param", {})})


class TestStall:
    """Sides that accept nothing."""

    @pytest.mark.parametrize("stalled", [0, 1])
    async def test_stalled(
        self, memory_relay: MemoryRelay, autojump_clock: MockClock, stalled: int
    ) -> None:
        """A stalled side is ended between frames, and so is its peer."""
        clients = [await memory_relay.join("code", lockstep=side == stalled) for side in (0, 1)]
        await clients[1 - stalled].send_message(CHUNK)
        since = trio.current_time()
        assert await clients[1 - stalled].closed() == PEER_DISCONNECTED
        assert STALL <= trio.current_time() - since <= STALL * 18 / 16
        assert memory_relay.handle.statistics().pairs == 0
        assert memory_relay.handle.statistics().pairs_ended == {Outcome.STALLED: 1}
        *data, close = await clients[stalled].last_frames()
        assert sum(len(frame.payload) for frame in data) <= len(CHUNK)
        assert close.payload[2:] == STALL_TIMEOUT[1].encode()

    async def test_never_takes_its_close_frame(
        self, memory_relay: MemoryRelay, autojump_clock: MockClock, nursery: trio.Nursery
    ) -> None:
        """A stalled side that does not read its close frame is dropped after close_timeout."""
        await memory_relay.join("code", lockstep=True)
        a = AutoClient(await memory_relay.join("code"), nursery)
        await a.send_message(CHUNK)
        assert await a.closed() == PEER_DISCONNECTED
        assert memory_relay.handle.statistics().connections == 2
        await trio.sleep(RelaySettings().close_timeout + 0.1)
        assert memory_relay.handle.statistics().connections == 0


class TestPongs:
    """The relay's answers to pings while data waits."""

    async def test_the_latest(self, memory_relay: MemoryRelay, autojump_clock: MockClock) -> None:
        """The latest pings of a side that accepts no data are answered behind that data."""
        a = await memory_relay.join("code")
        b = await memory_relay.join("code", lockstep=True)
        await self.block(a)
        for number in range(5):
            await b.send(encode(PING, bytes((number,))))
        await trio.sleep(STALL - 5)
        await self.expect(b, Frame(fin=True, opcode=PONG, payload=b"\x04"))

    async def test_ping_does_not_replace_a_pong(
        self, memory_relay: MemoryRelay, autojump_clock: MockClock
    ) -> None:
        """A ping of the relay does not replace a deferred pong."""
        a = await memory_relay.join("code")
        b = await memory_relay.join("code", lockstep=True)
        await self.block(a)
        await b.send(encode(PING, b"mine"))
        new_client = await memory_relay.connect()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(new_client.upgrade, "/?pair=code")
            assert (await a.frame()).opcode == PING
            await a.send(encode(PONG))
        await self.expect(b, Frame(fin=True, opcode=PONG, payload=b"mine"))

    @staticmethod
    async def block(sender: Client) -> None:
        """Send a message in two frames, which the other side does not read."""
        await sender.send(
            encode(BINARY, CHUNK[:1000], fin=False) + encode(CONTINUATION, CHUNK[:1000])
        )
        await trio.testing.wait_all_tasks_blocked()

    @staticmethod
    async def expect(client: Client, control: Frame) -> None:
        """Receive that message, a control frame behind it, and then a ping of the relay."""
        assert await client.message() == CHUNK[:2000]
        assert await client.frame() == control
        assert await client.frame() == Frame(fin=True, opcode=PING, payload=b"relay")


class TestSettings:
    """Setting stall_timeout, by its effect."""

    @pytest.mark.parametrize("settings", [{"stall_timeout": 5}], indirect=True)
    async def test_stall_timeout(
        self, memory_relay: MemoryRelay, autojump_clock: MockClock
    ) -> None:
        """A side that accepts nothing is ended after stall_timeout."""
        a = await memory_relay.join("code")
        await memory_relay.join("code", lockstep=True)
        await a.send_message(CHUNK)
        since = trio.current_time()
        assert await a.closed() == PEER_DISCONNECTED
        assert 5 <= trio.current_time() - since <= 5 * 18 / 16

    @pytest.mark.parametrize("settings", [{"stall_timeout": 0}], indirect=True)
    async def test_no_stall_timeout(
        self, memory_relay: MemoryRelay, autojump_clock: MockClock
    ) -> None:
        """With stall_timeout 0 a side may accept nothing for any time."""
        a = await memory_relay.join("code")
        b = await memory_relay.join("code", lockstep=True)
        await a.send_message(CHUNK)
        await trio.sleep(LONG)
        assert await b.message() == CHUNK
