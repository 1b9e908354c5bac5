"""Sides that waited too long are told so, and no others."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from relay import RelaySettings
from tests.support.raw_client import encode_close
from tests.support.relay_fixtures import MemoryRelay

EXPIRED = (1001, "pair expired")


async def test_expired(memory_relay: MemoryRelay, autojump_clock: trio.testing.MockClock) -> None:
    """A lone side gets 1001 between its time to live and the sweep after that."""
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
    """A side that sent more than is held expires as any other."""
    a = await memory_relay.join("code")
    await a.send_message(bytes(200_000))
    assert await a.closed() == EXPIRED


async def test_joined(memory_relay: MemoryRelay, autojump_clock: trio.testing.MockClock) -> None:
    """A pair lives on, however long it is silent."""
    a, b = await memory_relay.pair()
    await trio.sleep(80_000)
    await a.send_message(b"still here")
    assert await b.message() == b"still here"


async def test_joined_in_time(
    memory_relay: MemoryRelay, autojump_clock: trio.testing.MockClock
) -> None:
    """A side that found its peer in time is not swept later, nor is a new one with its code."""
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


async def test_mute(memory_relay: MemoryRelay, autojump_clock: trio.testing.MockClock) -> None:
    """The code of an expired side is free at once, also while that one is still being closed."""
    await memory_relay.join("code", lockstep=True)
    settings = RelaySettings()
    await trio.sleep(settings.pair_ttl + settings.sweep_interval + 0.1)
    assert memory_relay.handle.statistics().connections == 1
    assert memory_relay.handle.statistics().pairs == 0
    a, b = await memory_relay.pair()
    await a.send_message(b"fresh")
    assert await b.message() == b"fresh"


class TestSettings:
    """The settings of the sweeper."""

    @pytest.fixture
    def settings(self) -> RelaySettings:
        """Return other times."""
        return RelaySettings(pair_ttl=10, sweep_interval=1)

    async def test_effect(
        self, memory_relay: MemoryRelay, autojump_clock: trio.testing.MockClock
    ) -> None:
        """The time to live and the interval between two sweeps are what was set."""
        start = trio.current_time()
        a = await memory_relay.join("code")
        assert await a.closed() == EXPIRED
        assert 10 < trio.current_time() - start <= 11
