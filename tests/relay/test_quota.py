"""Limits on the duration and the bytes of one pair."""

from __future__ import annotations

import math

import pytest
import trio
import trio.testing

from relay import Outcome, PairEnded
from tests.support.raw_client import BINARY, CLOSE, CONTINUATION, Client, encode
from tests.support.running_relay import WatchedRelay, exchange, running

TOO_LONG = (1008, "pair lasted too long")
TOO_MUCH = (1008, "pair sent too much")
PAYLOAD = bytes(range(250)) * 4
FRAME_SIZE = len(PAYLOAD) + 4
"""Bytes of a frame with PAYLOAD from the relay to the peer."""


async def both_closed(relay: WatchedRelay, a: Client, b: Client, why: tuple[int, str]) -> PairEnded:
    """Receive and answer the close frames of both sides; return the event of the pair."""
    start = trio.current_time()
    for client in (a, b):
        assert await client.closed() == why
    assert trio.current_time() == start
    await relay.wait_for_connections(0)
    (ended,) = relay.events_of(PairEnded)
    return ended


class TestMaxPairSeconds:
    """Duration of a pair."""

    async def test_end(self, autojump_clock: trio.testing.MockClock) -> None:
        """Both sides are closed once the time since B joined is over."""
        async with running(max_pair_seconds=60.0) as relay:
            a = await relay.join("code")
            await trio.sleep(50)
            b = await relay.join("code")
            await trio.sleep(59.9)
            await exchange(a, b)
            await trio.sleep(0.1)
            ended = await both_closed(relay, a, b, TOO_LONG)
            assert ended.outcome is Outcome.OVER_TIME
            assert ended.duration == pytest.approx(60, abs=0.1)

    async def test_waiting_side(self, autojump_clock: trio.testing.MockClock) -> None:
        """The time of a waiting side does not count."""
        async with running(max_pair_seconds=60.0) as relay:
            a = await relay.join("code")
            await trio.sleep(200)
            await exchange(a, await relay.join("code"))

    async def test_what_was_received_is_delivered(
        self, autojump_clock: trio.testing.MockClock
    ) -> None:
        """A frame that has begun is completed before the close frame."""
        async with running(max_pair_seconds=60.0) as relay:
            a = await relay.join("code")
            b = await relay.join("code", lockstep=True)
            await a.send_message(PAYLOAD)
            await trio.sleep(61)
            assert await b.message() == PAYLOAD
            assert await b.closed() == TOO_LONG
            assert await a.closed() == TOO_LONG

    async def test_busy_pair(self, autojump_clock: trio.testing.MockClock) -> None:
        """A pair that is never idle does not last longer."""
        async with running(max_pair_seconds=60.0, max_bytes_per_second=1000) as relay:
            a, b = await relay.pair()
            await a.send(encode(BINARY, bytes(100_000)))
            start, size = trio.current_time(), 0
            while (frame := await b.frame()).opcode != CLOSE:
                size += len(frame.payload)
            assert frame.payload == b"\x03\xf0pair lasted too long"
            assert trio.current_time() - start == pytest.approx(60)
            assert size == pytest.approx(60_000, rel=0.02)

    async def test_no_time_limit_by_default(self, autojump_clock: trio.testing.MockClock) -> None:
        """By default a pair may last for ever."""
        async with running() as relay:
            a, b = await relay.pair()
            await trio.sleep(8000)
            await exchange(a, b)


class TestMaxPairBytes:
    """Bytes of a pair."""

    @pytest.mark.parametrize("sources", ["aaa", "bbb", "aba"])
    async def test_end(self, sources: str, autojump_clock: trio.testing.MockClock) -> None:
        """Both sides are closed once frames of the limit passed, in both directions together."""
        async with running(max_pair_bytes=3 * FRAME_SIZE) as relay:
            a, b = await relay.pair()
            sides = {"a": (a, b), "b": (b, a)}
            for name in sources:
                source, sink = sides[name]
                await trio.testing.wait_all_tasks_blocked()
                assert relay.table_sizes.pairs == 1
                await source.send_message(PAYLOAD)
                assert await sink.message() == PAYLOAD
            ended = await both_closed(relay, a, b, TOO_MUCH)
            assert ended.outcome is Outcome.OVER_BYTES
            assert ended.bytes == tuple(FRAME_SIZE * sources.count(name) for name in "ab")

    async def test_just_below(self, autojump_clock: trio.testing.MockClock) -> None:
        """One byte less is within the limit, and dropped text does not count."""
        async with running(max_pair_bytes=3 * FRAME_SIZE + 1) as relay:
            a, b = await relay.pair()
            for _ in range(3):
                await a.send(encode(1, bytes(10_000)))
                await a.send_message(PAYLOAD)
                assert await b.message() == PAYLOAD
            await trio.sleep(1000)
            assert relay.table_sizes.pairs == 1
            await b.send_message(b"")
            assert await a.message() == b""
            await both_closed(relay, a, b, TOO_MUCH)

    async def test_what_was_received_is_delivered(
        self, autojump_clock: trio.testing.MockClock
    ) -> None:
        """A complete message that is larger than the rest of the quota is delivered."""
        async with running(max_pair_bytes=10) as relay:
            a, b = await relay.pair()
            await a.send_message(bytes(10_000))
            assert await b.message() == bytes(10_000)
            await both_closed(relay, a, b, TOO_MUCH)

    async def test_in_the_middle_of_a_message(self, autojump_clock: trio.testing.MockClock) -> None:
        """Of a message that never ends, whole fragments arrive, and then the close frame."""
        async with running(max_pair_bytes=1_000_000) as relay:
            a, b = await relay.pair()
            await a.send(encode(BINARY, bytes(3_000_000)))
            *fragments, last = await b.last_frames()
            assert {fragment.opcode for fragment in fragments} == {BINARY, CONTINUATION}
            assert not any(fragment.fin for fragment in fragments)
            size = sum(len(fragment.payload) for fragment in fragments)
            assert 1_000_000 <= size < 1_200_000
            assert last.payload == b"\x03\xf0pair sent too much"
            assert await a.closed() == TOO_MUCH

    async def test_held_data_is_counted(self, autojump_clock: trio.testing.MockClock) -> None:
        """Early data of side A is delivered, and counts towards the limit."""
        async with running(max_pair_bytes=2 * FRAME_SIZE) as relay:
            a = await relay.join("code")
            for _ in range(3):
                await a.send_message(PAYLOAD)
            await trio.testing.wait_all_tasks_blocked()
            assert relay.table_sizes.pairs == 1
            b = await relay.join("code")
            for _ in range(3):
                assert await b.message() == PAYLOAD
            await both_closed(relay, a, b, TOO_MUCH)

    @pytest.mark.parametrize("sent", [1, 5_000_000])
    async def test_no_byte_limit_by_default(self, sent: int) -> None:
        """By default any amount may pass, also with another limit set."""
        async with running(max_pair_bytes=0, max_bytes_per_second=10**9 * (sent > 1)) as relay:
            a, b = await relay.pair()
            await a.send_message(bytes(sent))
            assert len(await b.message()) == sent
            assert relay.table_sizes.pairs == 1


async def test_both_limits(autojump_clock: trio.testing.MockClock) -> None:
    """A pair that keeps to its rate ends at its byte limit, without waiting for its rate."""
    async with running(
        max_pair_bytes=10_000, max_bytes_per_second=1000, max_pair_seconds=1000.0
    ) as relay:
        a, b = await relay.pair()
        await a.send(encode(BINARY, bytes(100_000)))
        start = trio.current_time()
        *fragments, last = await b.last_frames()
        assert trio.current_time() - start == pytest.approx(10, rel=0.1)
        assert math.isclose(sum(len(each.payload) for each in fragments), 10_000, rel_tol=0.06)
        assert last.payload == b"\x03\xf0pair sent too much"
        assert await a.closed() == TOO_MUCH
