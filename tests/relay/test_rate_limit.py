"""Each direction of a pair keeps to max_bytes_per_second, by delays between reads."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
import trio
import trio.testing

from tests.support.raw_client import BINARY, CLOSE, PING, PONG, TEXT, Client, encode, encode_close
from tests.support.running_relay import running

KIB, MIB = 2**10, 2**20
GONE = (trio.EndOfChannel, trio.BrokenResourceError)


async def take(client: Client, size: int) -> float:
    """Receive this number of bytes in frames; return the seconds that it took."""
    start = trio.current_time()
    while size > 0:
        data = await client.stream.receive_some(size)
        assert data
        size -= len(data)
    return trio.current_time() - start


def messages(size: int, each: int = 1000) -> bytes:
    """Return client messages with this number of bytes in all, or a few more."""
    return encode(BINARY, bytes(each)) * (size // each + 1)


async def live(client: Client) -> int:
    """Answer pings until the relay closes; return the number of bytes in messages."""
    size = 0
    while (frame := await client.frame()).opcode != CLOSE:
        size += len(frame.payload)
        if frame.opcode == PING:
            await client.send(encode(PONG, frame.payload))
    await client.send(encode(CLOSE, frame.payload))
    return size


@pytest.mark.parametrize(
    ("each", "rate"),
    [
        *((10, rate) for rate in (100, 1000, 8 * KIB, 100_000)),
        *((1000, rate) for rate in (100, 1000, 8 * KIB, 100_000, 2 * MIB)),
        *((300_000, rate) for rate in (100, 1000, 8 * KIB, 100_000, 2 * MIB)),
    ],
)
async def test_accuracy(rate: int, each: int, autojump_clock: trio.testing.MockClock) -> None:
    """Over a long transfer, the sender's bytes per second are the rate, to 2 %."""
    size = 10 * max(rate, 8 * KIB)
    sent = messages(size, each)
    async with running(max_bytes_per_second=rate) as relay:
        a = await relay.join("code", lockstep=True)
        b = await relay.join("code")
        start = trio.current_time()
        await a.send(sent)
        assert len(sent) / (trio.current_time() - start) == pytest.approx(rate, rel=0.02)
        await take(b, size)


async def test_directions_are_apart(autojump_clock: trio.testing.MockClock) -> None:
    """Each direction has the full rate, whatever the other direction uses."""
    async with running(max_bytes_per_second=100_000) as relay:
        a, b = await relay.pair()
        for client in (a, b):
            await client.send(messages(1_000_000))
        taken: dict[Client, float] = {}

        async def measure(client: Client) -> None:
            taken[client] = await take(client, 1_000_000)

        async with trio.open_nursery() as nursery:
            for client in (a, b):
                nursery.start_soon(measure, client)
        assert list(taken.values()) == pytest.approx([10, 10], rel=0.02)


async def test_one_direction_waits_for_itself(autojump_clock: trio.testing.MockClock) -> None:
    """A delayed direction does not delay a message in the other direction."""
    async with running(max_bytes_per_second=1000) as relay:
        a, b = await relay.pair()
        await a.send(messages(100_000))
        for _ in range(5):
            start = trio.current_time()
            await b.send_message(b"at once")
            assert await a.message() == b"at once"
            assert trio.current_time() == start
            await trio.sleep(10)


async def test_pairs_are_apart(autojump_clock: trio.testing.MockClock) -> None:
    """Each pair has the full rate."""
    async with running(max_bytes_per_second=10_000) as relay:
        pairs = [await relay.pair(f"{number}") for number in range(5)]
        for a, _ in pairs:
            await a.send(messages(100_000))
        start = trio.current_time()
        for _, b in pairs:
            await take(b, 100_000)
        assert trio.current_time() - start == pytest.approx(10, rel=0.02)


async def test_by_delaying_reads(autojump_clock: trio.testing.MockClock) -> None:
    """A sender that is too fast is not read, so that TCP flow control slows it down."""
    async with running(max_bytes_per_second=10_000) as relay:
        a = await relay.join("code", lockstep=True)
        b = await relay.join("code")
        start = trio.current_time()
        await a.send(messages(200_000))
        assert trio.current_time() - start == pytest.approx(20, rel=0.02)
        await take(b, 200_000)


async def test_a_side_that_waits(autojump_clock: trio.testing.MockClock) -> None:
    """Early data is read at the rate, and delivered at once when side B joins."""
    async with running(max_bytes_per_second=1000) as relay:
        a = await relay.join("code", lockstep=True)
        start = trio.current_time()
        await a.send(messages(50_000))
        assert trio.current_time() - start == pytest.approx(51, rel=0.05)
        b = await relay.join("code")
        assert await take(b, 50_000) == 0


@pytest.mark.parametrize("opcode", [TEXT, PING])
async def test_flood_of_a_side_that_waits(
    opcode: int, autojump_clock: trio.testing.MockClock
) -> None:
    """The rate limits a waiting side too, even if the relay holds none of its data."""
    async with running(max_bytes_per_second=1000, pair_ttl=10_000) as relay:
        a = await relay.join("code", lockstep=True)
        start = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(live, a)
            await a.send(encode(opcode, bytes(94)) * 1000)
            nursery.cancel_scope.cancel()
        assert trio.current_time() - start == pytest.approx(100, rel=0.05)


@pytest.mark.parametrize("opcode", [TEXT, PING])
async def test_tiny_messages_hide_nothing(
    opcode: int, autojump_clock: trio.testing.MockClock
) -> None:
    """Text and pings are charged, also between binary messages."""
    flood = (encode(opcode, bytes(100)) * 9 + encode(BINARY, b"x")) * 100
    async with running(max_bytes_per_second=1000) as relay:
        a = await relay.join("code", lockstep=True)
        await relay.join("code")
        start = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(live, a)
            await a.send(flood)
            nursery.cancel_scope.cancel()
        assert trio.current_time() - start == pytest.approx(len(flood) / 1000, rel=0.05)


async def test_idle_time_is_not_saved_up(autojump_clock: trio.testing.MockClock) -> None:
    """A pair that was idle for long has no more than its rate."""
    async with running(max_bytes_per_second=10_000) as relay:
        a, b = await relay.pair()
        await trio.sleep(1000)
        await a.send(messages(100_000))
        assert await take(b, 100_000) == pytest.approx(10, rel=0.02)


async def test_keepalive_spares_a_delayed_side(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A delayed side stays, although the delay is longer than a ping may take.

    It answers no ping while it is delayed. Once all of its data is read, it is found dead.
    """
    times: dict[str, Any] = {"ping_interval": 20.0, "ping_timeout": 20.0, "stall_timeout": 60.0}
    async with running(max_bytes_per_second=500, **times) as relay:
        start = trio.current_time()
        a = await relay.join("code")
        await a.send(messages(100_000))
        b = await relay.join("code")
        assert await live(b) >= 100_000
        assert 200 < trio.current_time() - start < 250


async def test_close_of_a_delayed_side(autojump_clock: trio.testing.MockClock) -> None:
    """All data that a side sent before its close frame arrives before the relay's close frame."""
    async with running(max_bytes_per_second=1000) as relay:
        a, b = await relay.pair()
        await a.send(messages(10_000) + encode_close(1000))
        assert await live(b) == 11_000
        with suppress(*GONE):
            await live(a)


async def test_peer_of_a_delayed_side(autojump_clock: trio.testing.MockClock) -> None:
    """A side whose peer is delayed can leave at once."""
    async with running(max_bytes_per_second=1000) as relay:
        a, b = await relay.pair()
        await a.send(messages(100_000))
        start = trio.current_time()
        await b.send(encode_close(1000))
        assert await a.closed() == (1000, "peer disconnected")
        assert trio.current_time() == start


async def test_discarded_data_is_delayed(autojump_clock: trio.testing.MockClock) -> None:
    """A side that sends data behind its close frame is read no faster than its rate."""
    async with running(max_bytes_per_second=1000, close_timeout=5) as relay:
        a = await relay.join("code", lockstep=True)
        b = await relay.join("code")
        await b.send(encode_close(1000))
        assert (await a.close_frame())[0] == 1000
        sent = 0
        with suppress(*GONE):
            while True:
                await a.send(encode(TEXT, bytes(1000)))
                sent += 1000
        assert sent == pytest.approx(MIB, rel=0.1)


async def test_no_rate_by_default(autojump_clock: trio.testing.MockClock) -> None:
    """By default no direction is delayed."""
    async with running() as relay:
        a, b = await relay.pair()
        await a.send(messages(10 * MIB))
        assert await take(b, 10 * MIB) == 0


async def test_dropped_text_is_delayed(autojump_clock: trio.testing.MockClock) -> None:
    """A side that sends text, which is dropped, has no higher rate than another."""
    async with running(max_bytes_per_second=1000) as relay:
        a, b = await relay.pair()
        text = encode(TEXT, bytes(94)) * 100
        start = trio.current_time()
        await a.send(text + encode(BINARY, b"behind it"))
        assert await b.message() == b"behind it"
        assert trio.current_time() - start == pytest.approx(len(text) / 1000, rel=0.1)
