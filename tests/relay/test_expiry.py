"""Sides that waited too long get a close frame, and no other sides do."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from relay import RelaySettings
from tests.support.raw_client import encode_close
from tests.support.relay_fixtures import MemoryRelay

EXPIRED = (1001, "pair expired")


async def test_expired(memory_relay: MemoryRelay, autojump_clock: trio.testing.MockClock) -> None:
    """A waiting side gets 1001 between its time to live and the next sweep."""
    start = trio.current_time()
    a = await memory_relay.join("code")
    await a.send_message(b"early")
    assert await a.closed() == EXPIRED
    settings = RelaySettings()
    waited = trio.current_time() - start
    assert settings.pair_ttl < waited <= settings.pair_ttl + settings.sweep_interval
    assert memory_relay.handle.statistics().pairs == 0


async def test_not_read_any_more(
    memory_relay: MemoryRelay, autojump_clock: trio.testing.MockClock
) -> None:
    """A side with too much early data expires like any other."""
    a = await memory_relay.join("code")
    await a.send_message(bytes(200_000))
    assert await a.closed() == EXPIRED


async def test_joined(memory_relay: MemoryRelay, autojump_clock: trio.testing.MockClock) -> None:
    """A joined pair goes on, however long it is silent."""
    a, b = await memory_relay.pair()
    await trio.sleep(20 * RelaySettings().pair_ttl)
    await a.send_message(b"still here")
    assert await b.message() == b"still here"


async def test_joined_in_time(
    memory_relay: MemoryRelay, autojump_clock: trio.testing.MockClock
) -> None:
    """A joined side is not expired later, and neither is a new side with its code."""
    a = await memory_relay.join("code")
    await trio.sleep(RelaySettings().pair_ttl - 1)
    b = await memory_relay.join("code")
    await a.send(encode_close(1000))
    assert await b.close_frame() == (1000, "peer disconnected")
    c = await memory_relay.join("code")
    await trio.sleep(RelaySettings().pair_ttl - 1)
    d = await memory_relay.join("code")
    await c.send_message(b"in time")
    assert await d.message() == b"in time"


async def test_unresponsive(
    memory_relay: MemoryRelay, autojump_clock: trio.testing.MockClock
) -> None:
    """The code of an expired side is free at once, also during the closing handshake."""
    await memory_relay.join("code", lockstep=True)
    settings = RelaySettings()
    await trio.sleep(settings.pair_ttl + settings.sweep_interval + 0.1)
    assert memory_relay.handle.statistics().connections == 1
    assert memory_relay.handle.statistics().pairs == 0
    a, b = await memory_relay.pair()
    await a.send_message(b"fresh")
    assert await b.message() == b"fresh"


class TestSettings:
    """Settings of the sweeper, by their effect."""

    @pytest.fixture
    def settings(self) -> RelaySettings:
        """Return other times."""
        return RelaySettings(pair_ttl=10, sweep_interval=1)

    async def test_effect(
        self, memory_relay: MemoryRelay, autojump_clock: trio.testing.MockClock
    ) -> None:
        """The time to live and the sweep interval have the configured values."""
        start = trio.current_time()
        a = await memory_relay.join("code")
        assert await a.closed() == EXPIRED
        assert 10 < trio.current_time() - start <= 11
