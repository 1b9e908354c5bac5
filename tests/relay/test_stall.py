"""Sides that take nothing of what waits for them are ended; until then they are answered."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from relay import RelaySettings
from relay.outcomes import Outcome
from tests.support.auto_client import Lively
from tests.support.raw_client import BINARY, CONTINUATION, PING, PONG, Client, Frame, encode
from tests.support.relay_fixtures import MemoryRelay

PEER_DISCONNECTED = (1011, "peer disconnected")
STALL_TIMEOUT = (1011, "stall timeout")

STALL = 240.0
"""The default."""
LONG = 20_000.0
CHUNK = bytes(127 * 1024)
"""About what the relay takes at once."""


@pytest.fixture
def settings(request: pytest.FixtureRequest) -> RelaySettings:
    """Return the settings that a test asks for, with which a side may wait for long."""
    return RelaySettings(**{"pair_ttl": 10 * LONG, **getattr(request, "param", {})})


class TestStall:
    """Sides that take nothing."""

    @pytest.mark.parametrize("mute", [0, 1])
    async def test_stalled(
        self, memory_relay: MemoryRelay, autojump_clock: MockClock, mute: int
    ) -> None:
        """A side that takes nothing while data waits is ended, between frames, and its peer."""
        clients = [await memory_relay.join("code", lockstep=side == mute) for side in (0, 1)]
        await clients[1 - mute].send_message(CHUNK)
        since = trio.current_time()
        assert await clients[1 - mute].closed() == PEER_DISCONNECTED
        assert STALL <= trio.current_time() - since <= STALL * 18 / 16
        assert memory_relay.handle.statistics().pairs == 0
        assert memory_relay.handle.statistics().pairs_ended == {Outcome.STALLED: 1}
        *data, close = await clients[mute].last_frames()
        assert sum(len(frame.payload) for frame in data) <= len(CHUNK)
        assert close.payload[2:] == STALL_TIMEOUT[1].encode()

    async def test_never_takes_its_close_frame(
        self, memory_relay: MemoryRelay, autojump_clock: MockClock, nursery: trio.Nursery
    ) -> None:
        """One that does not take its close frame either is dropped after close_timeout."""
        await memory_relay.join("code", lockstep=True)
        a = Lively(await memory_relay.join("code"), nursery)
        await a.send_message(CHUNK)
        assert await a.closed() == PEER_DISCONNECTED
        assert memory_relay.handle.statistics().connections == 2
        await trio.sleep(RelaySettings().close_timeout + 0.1)
        assert memory_relay.handle.statistics().connections == 0


class TestPongs:
    """The relay's answers to pings while data waits."""

    async def test_the_latest(self, memory_relay: MemoryRelay, autojump_clock: MockClock) -> None:
        """Pings of a side that takes no data are answered behind it: the latest ones."""
        a = await memory_relay.join("code")
        b = await memory_relay.join("code", lockstep=True)
        await self.block(a)
        for number in range(5):
            await b.send(encode(PING, bytes((number,))))
        await trio.sleep(STALL - 5)
        await self.expect(b, Frame(fin=True, opcode=PONG, payload=b"\x04"))

    async def test_newcomer(self, memory_relay: MemoryRelay, autojump_clock: MockClock) -> None:
        """A ping of the relay does not take the place of a pong."""
        a = await memory_relay.join("code")
        b = await memory_relay.join("code", lockstep=True)
        await self.block(a)
        await b.send(encode(PING, b"mine"))
        newcomer = await memory_relay.connect()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(newcomer.upgrade, "/?pair=code")
            assert (await a.frame()).opcode == PING
            await a.send(encode(PONG))
        await self.expect(b, Frame(fin=True, opcode=PONG, payload=b"mine"))

    @staticmethod
    async def block(sender: Client) -> None:
        """Send a message in two frames, which the other side does not take."""
        await sender.send(
            encode(BINARY, CHUNK[:1000], fin=False) + encode(CONTINUATION, CHUNK[:1000])
        )
        await trio.testing.wait_all_tasks_blocked()

    @staticmethod
    async def expect(client: Client, control: Frame) -> None:
        """Receive that message, and a control frame behind it, and then a ping of the relay."""
        assert await client.message() == CHUNK[:2000]
        assert await client.frame() == control
        assert await client.frame() == Frame(fin=True, opcode=PING, payload=b"relay")


class TestSettings:
    """The setting, by its effect."""

    @pytest.mark.parametrize("settings", [{"stall_timeout": 5}], indirect=True)
    async def test_stall_timeout(
        self, memory_relay: MemoryRelay, autojump_clock: MockClock
    ) -> None:
        """A side that takes nothing is ended when stall_timeout says."""
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
        """With stall_timeout 0 a side may take nothing for as long as it likes."""
        a = await memory_relay.join("code")
        b = await memory_relay.join("code", lockstep=True)
        await a.send_message(CHUNK)
        await trio.sleep(LONG)
        assert await b.message() == CHUNK
