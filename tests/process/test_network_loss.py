"""A client whose network drops everything from now on, for real: nothing tells the relay."""

from __future__ import annotations

from contextlib import suppress

import pytest
import trio

from relay import RelaySettings
from relay.outcomes import Outcome
from tests.support.auto_client import Lively
from tests.support.network_namespaces import NearRelay, namespaces, near_relay

__all__ = ["namespaces", "near_relay"]

INTERVAL = TIMEOUT = 0.5
MARGIN = 2.0
"""Seconds more that a busy machine may take."""
PEER_DISCONNECTED = (1011, "peer disconnected")

BULK = bytes(2**20)


async def keep_sending(client: Lively, payload: bytes, pause: float) -> None:
    """Send the same message again and again, until that fails."""
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        while True:
            await client.send_message(payload)
            await trio.sleep(pause)


class TestKeepalive:
    """No newcomer asks for the code."""

    @pytest.fixture
    def settings(self) -> RelaySettings:
        """Return settings with short times."""
        return RelaySettings(ping_interval=INTERVAL, ping_timeout=TIMEOUT, close_timeout=0.2)

    async def test_alone(self, near_relay: NearRelay, nursery: trio.Nursery) -> None:
        """The code of a side that waited is free in time."""
        a = Lively(await near_relay.join_far("code"), nursery)
        await trio.sleep(1.2 * INTERVAL)
        assert a.pings
        near_relay.namespaces.go_dead()
        with trio.fail_after(INTERVAL + TIMEOUT + MARGIN):
            while near_relay.handle.statistics().pairs:
                await trio.sleep(0.01)
        await near_relay.pair("code")

    @pytest.mark.parametrize(
        ("payload", "pause"),
        [(b"", INTERVAL / 3), (b"", 0.0), (BULK, 0.0)],
        ids=["now and then", "small messages", "bulk"],
    )
    async def test_pair(
        self, near_relay: NearRelay, nursery: trio.Nursery, payload: bytes, pause: float
    ) -> None:
        """So is that of a pair, whose other side is told, also where it sends all the time."""
        a = Lively(await near_relay.join_far("code"), nursery)
        b = Lively(await near_relay.join("code"), nursery)
        nursery.start_soon(keep_sending, b, payload, pause)
        await trio.sleep(INTERVAL)
        assert not a.ended.is_set()
        near_relay.namespaces.go_dead()
        with trio.fail_after(INTERVAL + TIMEOUT + MARGIN):
            assert await b.closed() == PEER_DISCONNECTED
        statistics = near_relay.handle.statistics()
        assert statistics.pairs_ended == {Outcome.UNRESPONSIVE: 1}
        assert statistics.pairs == 0
        await near_relay.pair("code")


class TestNewcomer:
    """A newcomer asks for the code, long before keepalive would end the side that is gone."""

    @pytest.fixture
    def settings(self) -> RelaySettings:
        """Return settings in which a probe is short."""
        return RelaySettings(takeover_timeout=TIMEOUT, close_timeout=0.2)

    @pytest.mark.parametrize("payload", [None, b"", BULK], ids=["silent", "small", "bulk"])
    async def test_pair(
        self, near_relay: NearRelay, nursery: trio.Nursery, payload: bytes | None
    ) -> None:
        """The newcomer has the code of a pair in time, though data was on its way."""
        Lively(await near_relay.join_far("code"), nursery)
        b = Lively(await near_relay.join("code"), nursery)
        if payload is not None:
            nursery.start_soon(keep_sending, b, payload, 0.0)
        await trio.sleep(0.3)
        near_relay.namespaces.go_dead()
        with trio.fail_after(TIMEOUT + MARGIN):
            await near_relay.join("code")
            assert await b.closed() == PEER_DISCONNECTED
        assert near_relay.handle.statistics().pairs_ended == {Outcome.EVICTED: 1}

    async def test_alone(
        self, near_relay: NearRelay, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """So it has that of a side that waited."""
        monkeypatch.setattr("relay.pairing.takeover.SILENCE_BEFORE_CHECK", 0.2)
        Lively(await near_relay.join_far("code"), nursery)
        await trio.sleep(0.3)
        near_relay.namespaces.go_dead()
        with trio.fail_after(TIMEOUT + MARGIN):
            await near_relay.join("code")
        statistics = near_relay.handle.statistics()
        assert (statistics.evictions, statistics.waiting) == (1, 1)


class TestSlow:
    """Clients that are there, and take what they are sent slowly, or not at all."""

    @pytest.fixture
    def settings(self) -> RelaySettings:
        """Return settings with short times, but for the one that is about taking nothing."""
        return RelaySettings(
            ping_interval=INTERVAL,
            ping_timeout=TIMEOUT,
            stall_timeout=60,
            takeover_timeout=2 * TIMEOUT,
            close_timeout=0.2,
        )

    @pytest.mark.parametrize("chunk", [0, 2**19])
    async def test_slow(self, near_relay: NearRelay, nursery: trio.Nursery, chunk: int) -> None:
        """It is not ended, nor its silent sender, whom the relay does not read meanwhile."""
        a = await near_relay.join_far("code")
        b = await near_relay.join("code")
        nursery.start_soon(b.send_message, bytes(48 * 2**20))  # more than all buffers take

        async def read_on() -> None:
            while chunk:
                await trio.sleep(0.3)
                await a.read(chunk // 2)

        nursery.start_soon(read_on)
        await trio.sleep(1.8)
        refused = await (await near_relay.connect()).upgrade("/?pair=code")
        assert refused.status == 409
        assert near_relay.handle.statistics().pairs_ended == {}
