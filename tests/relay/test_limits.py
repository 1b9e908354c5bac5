"""Limits on all sides: new clients are refused at a limit, and present sides stay."""

from __future__ import annotations

import resource

import pytest
import trio
import trio.testing

from relay.transport.socket_info import descriptor_limit
from tests.support.raw_client import Client, encode_close
from tests.support.running_relay import WatchedRelay, exchange, running

FULL = (503, "relay is full")
TOO_MANY_WAITING = (503, "too many waiting sides")
LIMIT = "relay.limits.admission.descriptor_limit"


async def crowd(relay: WatchedRelay, count: int) -> list[Client]:
    """Let so many sides in, each with a code of its own."""
    return [await relay.join(f"{number}") for number in range(count)]


class TestMaxConnections:
    """Places for sides."""

    async def test_newcomers_are_refused(self) -> None:
        """Past the limit upgrades get 503, whichever code they ask for; who is there stays."""
        async with running(max_connections=3) as relay:
            a, b = await relay.pair()
            waiting = await relay.join("waiting")
            for target in ("/?pair=newcomer", "/?pair=waiting", "/?pair=code"):
                response = await relay.refused(*FULL, target)
                assert response.headers["retry-after"] == "5"
            await exchange(a, b)
            await relay.gone(a)
            assert await b.closed() == (1000, "peer disconnected")
            await exchange(waiting, await relay.join("waiting"))

    async def test_health_of_a_full_relay(self) -> None:
        """A full relay is healthy, but not ready, until one side is gone."""
        async with running(max_connections=2) as relay:
            assert await relay.get("/ready") == (200, b'{"ok":true,"pairs":0}')
            side, _ = await crowd(relay, 2)
            assert await relay.get("/health") == (200, b'{"ok":true,"pairs":2}')
            assert await relay.get("/ready") == (503, b'{"ok":false,"full":true,"pairs":2}')
            await relay.gone(side)
            assert await relay.get("/ready") == (200, b'{"ok":true,"pairs":1}')

    async def test_plain_requests_take_no_slot(self) -> None:
        """Connections without a handshake, plain requests and refused requests hold no slot."""
        async with running(max_connections=3) as relay:
            at_the_door = [await relay.connect() for _ in range(5)]
            for client in at_the_door:
                await client.send(b"GET /")
            await relay.pair()
            await relay.refused(409, "pair is full", "/?pair=code")
            await relay.refused(400, "missing or invalid pair code", "/")
            lingering = await relay.connect()
            assert (await lingering.upgrade("/?pair=code")).status == 409
            await relay.join("last")
            await relay.refused(*FULL)

    async def test_a_place_is_kept_until_the_connection_is_closed(
        self, autojump_clock: trio.testing.MockClock
    ) -> None:
        """A side that is being closed has its place until it answers, or close_timeout is over."""
        async with running(max_connections=2, close_timeout=3.0) as relay:
            a, b = await relay.pair()
            await a.send(encode_close(1000))
            assert await a.close_frame() == (1000, "")
            assert await a.rest() == b""
            assert await b.close_frame() == (1000, "peer disconnected")
            await relay.join("one")
            await relay.refused(*FULL)
            await trio.sleep(3.1)
            await relay.join("two")

    @pytest.mark.parametrize(("descriptors", "places"), [(5, 4), (20, 18)])
    async def test_by_default(
        self, descriptors: int, places: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """There are places for 90 % of the descriptors that the process may have."""
        monkeypatch.setattr(LIMIT, lambda: descriptors)
        async with running() as relay:
            await crowd(relay, places)
            await relay.refused(*FULL)

    async def test_default_is_the_limit_of_this_process(self) -> None:
        """The limit of descriptors is the one of this process."""
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        assert descriptor_limit() == limit
        async with running() as relay:
            assert relay.inside.admission.max_connections == limit * 9 // 10

    @pytest.mark.parametrize(("setting", "descriptors"), [(0, 5), (None, 0)])
    async def test_off(
        self, setting: int | None, descriptors: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With 0, or by default where descriptors are not limited, there is a place for all."""
        monkeypatch.setattr(LIMIT, lambda: descriptors)
        async with running(max_connections=setting) as relay:
            await crowd(relay, 50)
            assert (await relay.get("/ready"))[0] == 200


class TestMaxWaiting:
    """Codes with one side."""

    async def test_newcomers_are_refused(self) -> None:
        """Past the limit no new code is opened; one that waits is still joined, and makes room."""
        async with running(max_waiting=2) as relay:
            sides = await crowd(relay, 2)
            response = await relay.refused(*TOO_MANY_WAITING)
            assert response.headers["retry-after"] == "5"
            await exchange(sides[0], await relay.join("0"))
            third = await relay.join("third")
            await relay.refused(*TOO_MANY_WAITING)
            await exchange(third, await relay.join("third"))

    async def test_place_is_freed(self) -> None:
        """A waiting side that is gone makes room for another."""
        async with running(max_waiting=1) as relay:
            (side,) = await crowd(relay, 1)
            await relay.refused(*TOO_MANY_WAITING)
            await relay.gone(side)
            await relay.join("newcomer")

    async def test_a_waiting_side_is_not_evicted(
        self, autojump_clock: trio.testing.MockClock
    ) -> None:
        """Whoever came first waits its full time, however many are refused meanwhile."""
        async with running(max_waiting=1, pair_ttl=300.0, sweep_interval=30.0) as relay:
            start = trio.current_time()
            (side,) = await crowd(relay, 1)
            while trio.current_time() < start + 290:
                await relay.refused(*TOO_MANY_WAITING)
                await trio.sleep(10)
            await exchange(side, await relay.join("0"))

    async def test_off(self) -> None:
        """By default any number may wait, and the relay is ready all the same with a limit."""
        async with running(max_waiting=0) as relay:
            await crowd(relay, 50)
        async with running(max_waiting=1) as relay:
            await crowd(relay, 1)
            assert (await relay.get("/ready"))[0] == 200
