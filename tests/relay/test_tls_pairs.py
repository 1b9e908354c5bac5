"""Pairs over the relay's own TLS behave like pairs over plain sockets."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
import trio
import trio.testing

from relay.outcomes import Outcome
from relay.pairing.early_data import EARLY_DATA_LIMIT
from tests.support.raw_client import BINARY, CLOSE, PING, PONG, TEXT, Client, encode
from tests.support.running_relay import exchange
from tests.support.tls_relays import connect, join, pair, running_tls

BROKEN = (1011, "peer disconnected")

pytestmark = pytest.mark.usefixtures("time_limit")


async def send_messages(client: Client, count: int, size: int) -> None:
    """Send numbered messages."""
    for number in range(count):
        await client.send_message(number.to_bytes(4) + bytes(size - 4))


async def expect_messages(client: Client, count: int, size: int) -> None:
    """Receive those messages, in their order."""
    for number in range(count):
        message = await client.message()
        assert message == number.to_bytes(4) + bytes(size - 4)


@pytest.mark.parametrize(("count", "size"), [(500, 4), (100, 16384), (50, 65536), (1, 2**23)])
async def test_both_ways(tmp_path: Path, count: int, size: int) -> None:
    """Messages of every size cross in both directions at once, whole and in order."""
    async with running_tls(tmp_path) as relay:
        a, b = await pair(relay)
        async with trio.open_nursery() as nursery:
            for source, sink in ((a, b), (b, a)):
                nursery.start_soon(send_messages, source, count, size)
                nursery.start_soon(expect_messages, sink, count, size)


async def test_held(tmp_path: Path) -> None:
    """Early data above the limit stays with its sender, and all of it is delivered."""
    async with running_tls(tmp_path) as relay:
        a = await join(relay)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_messages, a, 50, EARLY_DATA_LIMIT)
            await trio.testing.wait_all_tasks_blocked(0.05)
            assert nursery.child_tasks  # it is not read any more
            await expect_messages(await join(relay), 50, EARLY_DATA_LIMIT)


async def test_request_and_data_in_one_record(tmp_path: Path) -> None:
    """Data in the TLS record of the request belongs to the pair."""
    async with running_tls(tmp_path) as relay:
        a, b = await connect(relay), await connect(relay)
        head = (
            b"GET /?pair=code HTTP/1.1\r\nHost: relay\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        for client in (a, b):
            await client.send(head + encode(BINARY, b"early"))
            assert (await client.response()).status == 101
        for client in (a, b):
            assert await client.message() == b"early"
        await exchange(a, b)


async def test_pings_and_texts(tmp_path: Path) -> None:
    """Pings are answered at once, and text messages are dropped."""
    async with running_tls(tmp_path) as relay:
        a, b = await pair(relay)
        await a.send(encode(PING, b"there?") + encode(TEXT, b"dropped"))
        pong = await a.frame()
        assert (pong.opcode, pong.payload) == (PONG, b"there?")
        await exchange(a, b)


async def test_pings_of_a_client_that_reads_nothing(tmp_path: Path) -> None:
    """Deferred pongs are encrypted when they are written, between whole frames."""
    async with running_tls(tmp_path) as relay:
        a, b = await pair(relay)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_messages, b, 100, 2**18)
            await trio.testing.wait_all_tasks_blocked(0.05)  # the relay is blocked inside a frame
            for number in range(100):
                await a.send(encode(PING, bytes((number,))))
            await trio.testing.wait_all_tasks_blocked(0.05)
            data, pongs = bytearray(), list[bytes]()
            while len(data) < 100 * 2**18:
                frame = await a.frame()
                if frame.opcode == PONG:
                    pongs.append(frame.payload)
                else:
                    data += frame.payload
        assert pongs
        assert pongs[-1] == b"\x63"
        await exchange(a, b)


async def test_keepalive(tmp_path: Path) -> None:
    """A side that answers pings stays, and a side that does not is ended."""
    async with running_tls(tmp_path, ping_interval=0.2, ping_timeout=1) as relay:
        a, b = await pair(relay)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer_pings, a)
            frame = await b.frame()
            assert (frame.opcode, frame.payload) == (PING, b"relay")
            assert await b.close_frame() == (1011, "keepalive timeout")
            nursery.cancel_scope.cancel()
        await relay.disconnect_all()
        assert relay.handle.statistics().pairs_ended == {Outcome.UNRESPONSIVE: 1}


async def answer_pings(client: Client) -> None:
    """Answer every ping."""
    while True:
        frame = await client.frame()
        if frame.opcode == PING:
            await client.send(encode(PONG, frame.payload))


async def test_stall(tmp_path: Path) -> None:
    """A side that accepts nothing is ended, and its peer gets a close frame."""
    async with running_tls(tmp_path, stall_timeout=0.5, close_timeout=0.2) as relay:
        _, b = await pair(relay)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_until_closed, b)
            assert await b.close_frame() == BROKEN
        assert relay.handle.statistics().pairs_ended == {Outcome.STALLED: 1}


async def send_until_closed(client: Client) -> None:
    """Send without end, until the relay does not read any more."""
    with suppress(trio.BrokenResourceError):
        while True:
            await client.send_message(bytes(2**18))


async def test_takeover(tmp_path: Path) -> None:
    """A client takes the place of a side that does not answer."""
    async with running_tls(tmp_path, takeover_timeout=1) as relay:
        a, b = await pair(relay)
        await trio.sleep(0.1)  # for their systems to acknowledge what they were sent
        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer_pings_until_closed, a)
            new_client = await join(relay)
            assert (await b.frame()).opcode == PING
            assert await b.close_frame() == (1011, "takeover timeout")
        await exchange(new_client, await join(relay))


async def answer_pings_until_closed(client: Client) -> None:
    """Answer pings up to the close frame."""
    while (frame := await client.frame()).opcode != CLOSE:
        await client.send(encode(PONG, frame.payload))


async def test_max_rate(tmp_path: Path) -> None:
    """The rate of a pair is limited, with records larger than one read may be."""
    async with running_tls(tmp_path, max_bytes_per_second=200_000) as relay:
        a, b = await pair(relay)
        since = trio.current_time()
        await send_messages(a, 3, 50_000)
        await expect_messages(b, 3, 50_000)
        assert trio.current_time() - since > 0.5


async def test_max_pair_bytes(tmp_path: Path) -> None:
    """A pair above its quota is ended, and both sides get a close frame."""
    async with running_tls(tmp_path, max_pair_bytes=100_000) as relay:
        a, b = await pair(relay)
        await send_messages(a, 3, 50_000)
        frame = await b.frame()
        while frame.opcode != CLOSE:
            frame = await b.frame()
        assert frame.payload == b"\x03\xf0pair sent too much"


async def test_leaving_past_the_limit(tmp_path: Path) -> None:
    """The relay notices that a side left although it does not read the side any more."""
    async with running_tls(tmp_path) as relay:
        a = await join(relay)
        await a.send_message(bytes(2 * EARLY_DATA_LIMIT))
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert relay.table_sizes.waiting == 1
        await relay.disconnect(a)
