"""Limits on all sides: new clients are refused at a limit, and present sides stay."""

from __future__ import annotations

import resource

import pytest
import trio
import trio.testing

from relay.transport.descriptor_limit import descriptor_limit
from tests.support.raw_client import Client, encode_close
from tests.support.running_relay import WatchedRelay, exchange, running

FULL = (503, "relay is full")
TOO_MANY_WAITING = (503, "too many waiting sides")
LIMIT = "relay.server.state.descriptor_limit"


async def join_many(relay: WatchedRelay, count: int) -> list[Client]:
    """Join this number of sides, each with a code of its own."""
    return [await relay.join(f"{number}") for number in range(count)]


class TestMaxConnections:
    """Slots for sides."""

    async def test_new_clients_are_refused(self) -> None:
        """At the limit every upgrade gets 503, whatever its code; present sides stay."""
        async with running(max_connections=3) as relay:
            a, b = await relay.pair()
            waiting = await relay.join("waiting")
            for target in ("/?pair=new", "/?pair=waiting", "/?pair=code"):
                response = await relay.refused(*FULL, target)
                assert response.headers["retry-after"] == "5"
            await exchange(a, b)
            await relay.disconnect(a)
            assert await b.closed() == (1000, "peer disconnected")
            await exchange(waiting, await relay.join("waiting"))

    async def test_health_of_a_full_relay(self) -> None:
        """A full relay is healthy, but not ready until a side has left."""
        async with running(max_connections=2) as relay:
            assert await relay.get("/ready") == (200, b'{"ok":true,"pairs":0}')
            side, _ = await join_many(relay, 2)
            assert await relay.get("/health") == (200, b'{"ok":true,"pairs":2}')
            assert await relay.get("/ready") == (503, b'{"ok":false,"full":true,"pairs":2}')
            await relay.disconnect(side)
            assert await relay.get("/ready") == (200, b'{"ok":true,"pairs":1}')

    async def test_plain_requests_take_no_slot(self) -> None:
        """Connections without a handshake, plain requests and refused requests hold no slot."""
        async with running(max_connections=3) as relay:
            unfinished = [await relay.connect() for _ in range(5)]
            for client in unfinished:
                await client.send(b"GET /")
            await relay.pair()
            await relay.refused(409, "pair is full", "/?pair=code")
            await relay.refused(400, "missing or invalid pair code", "/")
            lingering = await relay.connect()
            assert (await lingering.upgrade("/?pair=code")).status == 409
            await relay.join("last")
            await relay.refused(*FULL)

    async def test_slot_is_held_until_the_connection_is_closed(
        self, autojump_clock: trio.testing.MockClock
    ) -> None:
        """A side in its closing handshake holds its slot until its connection is closed."""
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

    @pytest.mark.parametrize(("descriptors", "slots"), [(5, 4), (20, 18)])
    async def test_by_default(
        self, descriptors: int, slots: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The default limit is 90 % of the descriptors that the process may have."""
        monkeypatch.setattr(LIMIT, lambda: descriptors)
        async with running() as relay:
            await join_many(relay, slots)
            await relay.refused(*FULL)

    async def test_default_is_the_limit_of_this_process(self) -> None:
        """The default follows the descriptor limit of this process."""
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        assert descriptor_limit() == limit
        async with running() as relay:
            assert relay.inside.admission.max_connections == limit * 9 // 10

    @pytest.mark.parametrize(("setting", "descriptors"), [(0, 5), (None, 0)])
    async def test_no_limit(
        self, setting: int | None, descriptors: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With 0, or by default without a descriptor limit, every side gets a slot."""
        monkeypatch.setattr(LIMIT, lambda: descriptors)
        async with running(max_connections=setting) as relay:
            await join_many(relay, 50)
            assert (await relay.get("/ready"))[0] == 200


class TestMaxWaiting:
    """Codes with one side."""

    async def test_new_codes_are_refused(self) -> None:
        """At the limit no new code is opened; a waiting code can be joined, which makes room."""
        async with running(max_waiting=2) as relay:
            sides = await join_many(relay, 2)
            response = await relay.refused(*TOO_MANY_WAITING)
            assert response.headers["retry-after"] == "5"
            await exchange(sides[0], await relay.join("0"))
            third = await relay.join("third")
            await relay.refused(*TOO_MANY_WAITING)
            await exchange(third, await relay.join("third"))

    async def test_departed_side_frees_its_place(self) -> None:
        """A waiting side that leaves makes room for another."""
        async with running(max_waiting=1) as relay:
            (side,) = await join_many(relay, 1)
            await relay.refused(*TOO_MANY_WAITING)
            await relay.disconnect(side)
            await relay.join("new")

    async def test_a_waiting_side_is_not_evicted(
        self, autojump_clock: trio.testing.MockClock
    ) -> None:
        """A waiting side stays for its full time, however many clients are refused meanwhile."""
        async with running(max_waiting=1, pair_ttl=300.0, sweep_interval=30.0) as relay:
            start = trio.current_time()
            (side,) = await join_many(relay, 1)
            while trio.current_time() < start + 290:
                await relay.refused(*TOO_MANY_WAITING)
                await trio.sleep(10)
            await exchange(side, await relay.join("0"))

    async def test_no_limit_by_default(self) -> None:
        """By default any number of sides may wait; at a limit the relay stays ready."""
        async with running(max_waiting=0) as relay:
            await join_many(relay, 50)
        async with running(max_waiting=1) as relay:
            await join_many(relay, 1)
            assert (await relay.get("/ready"))[0] == 200
