"""A client whose network drops every packet: the relay gets no notice."""

from __future__ import annotations

from contextlib import suppress

import pytest
import trio

from relay import RelaySettings
from relay.outcomes import Outcome
from tests.support.auto_client import AutoClient
from tests.support.network_namespaces import NearRelay, namespaces, near_relay

__all__ = ["namespaces", "near_relay"]

INTERVAL = TIMEOUT = 0.5
MARGIN = 10.0
"""Additional seconds for a busy machine."""
PEER_DISCONNECTED = (1011, "peer disconnected")

BULK = bytes(2**20)


async def keep_sending(client: AutoClient, payload: bytes, pause: float) -> None:
    """Send the same message again and again, until that fails."""
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        while True:
            await client.send_message(payload)
            await trio.sleep(pause)


class TestKeepalive:
    """No other client connects with the code."""

    @pytest.fixture
    def settings(self) -> RelaySettings:
        """Return settings with short times."""
        return RelaySettings(ping_interval=INTERVAL, ping_timeout=TIMEOUT, close_timeout=0.2)

    async def test_waiting_side(self, near_relay: NearRelay, nursery: trio.Nursery) -> None:
        """The code of a dead waiting side is free in time."""
        a = AutoClient(await near_relay.join_far("code"), nursery)
        while not a.pings:
            await trio.sleep(0.01)
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
        """The code of a pair is free in time, and its other side is closed, also while it sends."""
        a = AutoClient(await near_relay.join_far("code"), nursery)
        b = AutoClient(await near_relay.join("code"), nursery)
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


class TestTakeover:
    """Another client connects with the code, long before keepalive ends the dead side."""

    @pytest.fixture
    def settings(self) -> RelaySettings:
        """Return settings with a short takeover check."""
        return RelaySettings(takeover_timeout=TIMEOUT, close_timeout=0.2)

    @pytest.mark.parametrize("payload", [None, b"", BULK], ids=["silent", "small", "bulk"])
    async def test_pair(
        self, near_relay: NearRelay, nursery: trio.Nursery, payload: bytes | None
    ) -> None:
        """The other client gets the code of a pair in time, although data was unacknowledged."""
        AutoClient(await near_relay.join_far("code"), nursery)
        b = AutoClient(await near_relay.join("code"), nursery)
        if payload is not None:
            nursery.start_soon(keep_sending, b, payload, 0.0)
        await trio.sleep(0.3)
        near_relay.namespaces.go_dead()
        with trio.fail_after(TIMEOUT + MARGIN):
            await near_relay.join("code")
            assert await b.closed() == PEER_DISCONNECTED
        assert near_relay.handle.statistics().pairs_ended == {Outcome.EVICTED: 1}

    async def test_waiting_side(
        self, near_relay: NearRelay, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The other client gets the code of a waiting side in time."""
        monkeypatch.setattr("relay.pairing.alive_check.SILENCE_BEFORE_CHECK", 0.2)
        AutoClient(await near_relay.join_far("code"), nursery)
        await trio.sleep(0.3)
        near_relay.namespaces.go_dead()
        with trio.fail_after(TIMEOUT + MARGIN):
            await near_relay.join("code")
        statistics = near_relay.handle.statistics()
        assert (statistics.evictions, statistics.waiting) == (1, 1)


class TestSlow:
    """Live clients that read slowly, or not at all."""

    @pytest.fixture
    def settings(self) -> RelaySettings:
        """Return settings with short times, except stall_timeout."""
        return RelaySettings(
            ping_interval=INTERVAL,
            ping_timeout=TIMEOUT,
            stall_timeout=60,
            takeover_timeout=2 * TIMEOUT,
            close_timeout=0.2,
        )

    @pytest.mark.parametrize("chunk", [0, 2**19])
    async def test_slow(self, near_relay: NearRelay, nursery: trio.Nursery, chunk: int) -> None:
        """Neither the slow reader nor its silent sender is ended."""
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
