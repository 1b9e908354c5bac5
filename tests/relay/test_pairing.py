"""Two endpoints with one code are joined, and what they send arrives."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest
import trio
import trio.testing

from relay import Event, PairJoined, RelaySettings
from relay.pairing.early_data import EARLY_DATA_LIMIT
from relay.protocol.reframer import MAX_CONTROLS as MAX_PINGS
from relay.server.shutdown import end_pairs
from relay.transport.read_size import MIN_READ
from tests.support.raw_client import (
    BINARY,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Client,
    Frame,
    encode,
    encode_close,
    upgrade_request,
)
from tests.support.relay_fixtures import MemoryRelay, TcpRelay
from tests.support.running_relay import WatchedRelay, running

DESCRIPTORS: Final = Path("/proc/self/fd")


async def test_both_ways(memory_relay: MemoryRelay) -> None:
    """Each side gets what the other one sends, message for message, empty ones too."""
    a, b = await memory_relay.pair()
    await a.send_message(b"to b")
    await a.send_message(b"")
    await b.send_message(b"to a" * 100_000)
    assert await b.message() == b"to b"
    assert await b.message() == b""
    assert await a.message() == b"to a" * 100_000


async def test_both_ways_at_once(memory_relay: MemoryRelay) -> None:
    """Neither direction waits for the other, also where nothing is buffered in between."""
    a, b = await memory_relay.pair(lockstep=True)
    payload = bytes(range(256)) * 4000
    async with trio.open_nursery() as nursery:
        nursery.start_soon(a.send_message, payload)
        nursery.start_soon(b.send_message, payload[::-1])
        nursery.start_soon(expect, a, payload[::-1])
        nursery.start_soon(expect, b, payload)


async def expect(client: Client, payload: bytes) -> None:
    """Receive one message, which must have this payload."""
    assert await client.message() == payload


async def test_text_is_dropped(memory_relay: MemoryRelay) -> None:
    """A text message reaches nobody, whole or in fragments, whatever stands between them."""
    a, b = await memory_relay.pair()
    await a.send(encode(TEXT, b"x" * 200_000))
    await a.send(encode(TEXT, b"frag", fin=False) + encode(PING, b"in between"))
    await a.send(encode(CONTINUATION, b"", fin=False) + encode(CONTINUATION, b"ment"))
    await a.send_message(b"binary")
    assert await b.message() == b"binary"
    assert await a.frame() == Frame(fin=True, opcode=PONG, payload=b"in between")


async def test_text_has_no_limit(memory_relay: MemoryRelay) -> None:
    """The limit of messages is for those that are passed on."""
    a, b = await memory_relay.pair()
    await a.send(encode(TEXT, length=200 * 2**20, length_size=8))
    for _ in range(200):
        await a.send(bytes(2**20))
    await a.send_message(b"after it")
    assert await b.message() == b"after it"


async def test_cut_through(memory_relay: MemoryRelay) -> None:
    """A long message is passed on as it arrives, without waiting for its end."""
    a, b = await memory_relay.pair()
    payload = bytes(range(256)) * 1024
    frame = encode(BINARY, payload)
    await a.send(frame[:-4])
    fragments = [await b.frame()]
    assert fragments[0].opcode == BINARY
    await a.send(frame[-4:])
    while not fragments[-1].fin:
        fragments.append(await b.frame())
    assert len(fragments) > 1
    assert b"".join(fragment.payload for fragment in fragments) == payload


@pytest.mark.parametrize("fragments", [1, 2, 1000])
async def test_one_frame(memory_relay: MemoryRelay, fragments: int) -> None:
    """A message of up to 64 KiB arrives in one frame, however it was fragmented and cut."""
    a, b = await memory_relay.pair()
    payload = bytes(range(256)) * 256
    size = -(-len(payload) // fragments)
    frames = b"".join(
        encode(CONTINUATION if start else BINARY, payload[start : start + size], fin=False)
        for start in range(0, len(payload), size)
    ) + encode(CONTINUATION)
    for start in range(0, len(frames), 1000):
        await a.send(frames[start : start + 1000])
    assert await b.frame() == Frame(fin=True, opcode=BINARY, payload=payload)


async def test_any_path(memory_relay: MemoryRelay) -> None:
    """The path of an upgrade is not interpreted, and neither are other parameters."""
    a, b = await memory_relay.connect(), await memory_relay.connect()
    assert (await a.upgrade("/health?x=1&pair=c%6Fde&pair=other")).status == 101
    assert (await b.upgrade("//some/where?pair=code#top")).status == 101
    await a.send_message(b"hello")
    assert await b.message() == b"hello"


async def test_third_is_refused(memory_relay: MemoryRelay) -> None:
    """A third endpoint gets 409, and the pair does not notice."""
    a, b = await memory_relay.pair()
    third = await memory_relay.connect()
    response = await third.upgrade("/?pair=code")
    assert (response.status, response.body) == (409, b"pair is full")
    assert response.headers["connection"] == "close"
    await a.send_message(b"still here")
    assert await b.message() == b"still here"
    assert memory_relay.handle.statistics().pairs == 1


async def test_statistics(memory_relay: MemoryRelay) -> None:
    """Statistics and the health answer tell who waits and who is joined."""
    await memory_relay.pair("joined")
    await memory_relay.join("waiting")
    statistics = memory_relay.handle.statistics()
    assert (statistics.pairs, statistics.waiting, statistics.connections) == (2, 1, 3)
    client = await memory_relay.connect()
    response = await client.get("/health")
    assert (response.status, response.body) == (200, b'{"ok":true,"pairs":2}')
    assert response.headers["content-type"] == "application/json"


async def test_held(memory_relay: MemoryRelay) -> None:
    """What A sends before B is there is delivered first, in order; what came later, after it."""
    a = await memory_relay.join("code")
    for number in range(100):
        await a.send_message(b"%d" % number)
    await trio.testing.wait_all_tasks_blocked()
    b = await memory_relay.join("code")
    await a.send_message(b"later")
    for number in range(100):
        assert await b.message() == b"%d" % number
    assert await b.message() == b"later"


@pytest.mark.parametrize("lockstep", [False, True])
async def test_held_partly(memory_relay: MemoryRelay, *, lockstep: bool) -> None:
    """A message that B's coming cuts in two, at whatever byte, arrives as one."""
    frame = encode(BINARY, b"cut in two")
    for cut in range(len(frame) + 1):
        a = await memory_relay.join(f"code{cut}", lockstep=lockstep)
        if cut:
            await a.send(frame[:cut])
        b = await memory_relay.join(f"code{cut}")
        if cut < len(frame):
            await a.send(frame[cut:])
        assert await b.message() == b"cut in two"


async def test_held_limit(memory_relay: MemoryRelay) -> None:
    """Past the limit A is not read any more; when B comes, all of it arrives."""
    a = await memory_relay.join("code", lockstep=True)
    payload = bytes(3 * EARLY_DATA_LIMIT)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(a.send_message, payload)
        await trio.testing.wait_all_tasks_blocked()
        assert len(nursery.child_tasks) == 1  # still sending
        b = await memory_relay.join("code")
        assert await b.message() == payload


async def test_tiny_early_messages(memory_relay: MemoryRelay) -> None:
    """Early data in very small messages is held as any other, however it arrives."""
    a = await memory_relay.join("code", lockstep=True)
    for _ in range(1000):
        await a.send_message(b"")
    await a.send_message(b"end")
    b = await memory_relay.join("code")
    for _ in range(1000):
        assert await b.message() == b""
    assert await b.message() == b"end"


async def test_ping_while_alone(memory_relay: MemoryRelay) -> None:
    """A waiting A gets its pings answered, also between early data."""
    a = await memory_relay.join("code")
    await a.send(encode(BINARY, b"ear", fin=False) + encode(PING, b"there?"))
    assert await a.frame() == Frame(fin=True, opcode=PONG, payload=b"there?")
    await a.send(encode(CONTINUATION, b"ly"))
    b = await memory_relay.join("code")
    assert await b.message() == b"early"


async def test_pings_are_answered_and_stay_here(memory_relay: MemoryRelay) -> None:
    """Every ping of a joined side is answered by the relay; no control frame crosses it."""
    a, b = await memory_relay.pair()
    for number in range(MAX_PINGS):
        await a.send(encode(PING, b"%d" % number) + encode(PONG, b"unasked"))
    await a.send_message(b"data")
    for number in range(MAX_PINGS):
        assert await a.frame() == Frame(fin=True, opcode=PONG, payload=b"%d" % number)
    assert await b.frame() == Frame(fin=True, opcode=BINARY, payload=b"data")


async def test_ping_flood(memory_relay: MemoryRelay) -> None:
    """Of pings whose pongs are not taken, the latest are answered, and data goes on."""
    a, b = await memory_relay.join("code", lockstep=True), await memory_relay.join("code")
    await a.send(b"".join(encode(PING, b"%d" % number) for number in range(1000)))
    await a.send_message(b"behind the flood")
    assert await b.message() == b"behind the flood"
    pongs = [int((await a.frame()).payload) for _ in range(MAX_PINGS)]
    assert pongs == list(range(1000 - MAX_PINGS, 1000))


async def test_bytes_behind_the_head(memory_relay: MemoryRelay) -> None:
    """Frames that come in one piece with an upgrade request are relayed, from A and from B."""
    for code, (first, second) in {"a": (b"from a", b""), "b": (b"", b"from b")}.items():
        clients = [await memory_relay.connect(), await memory_relay.connect()]
        for client, early in zip(clients, (first, second), strict=True):
            await client.send(upgrade_with(code, early))
            assert (await client.response()).status == 101
        a, b = clients
        assert await (b if first else a).message() == first + second


def upgrade_with(code: str, early: bytes) -> bytes:
    """Return an upgrade request with a message behind it, if early is one."""
    return upgrade_request(f"/?pair={code}") + (encode(BINARY, early) if early else b"")


async def test_race_for_a_code(tcp_relay: TcpRelay) -> None:
    """Of ten connections that race for one code exactly two are joined."""
    clients = [await tcp_relay.connect() for _ in range(10)]
    statuses: list[int] = []

    async def race(client: Client) -> None:
        response = await client.upgrade("/?pair=code")
        statuses.append(response.status)

    async with trio.open_nursery() as nursery:
        for client in clients:
            nursery.start_soon(race, client)
    assert sorted(statuses) == [101] * 2 + [409] * 8
    assert tcp_relay.handle.statistics().pairs == 1


async def test_close_behind_early_data_frees_the_code(memory_relay: MemoryRelay) -> None:
    """An A that sent early data and then left is not waited for."""
    a = await memory_relay.join("code")
    await a.send_message(b"early")
    await a.send(encode_close(1000, "bye"))
    assert await a.close_frame() == (1000, "bye")
    assert memory_relay.handle.statistics().pairs == 0
    b, c = await memory_relay.pair()
    await b.send_message(b"fresh")
    assert await c.message() == b"fresh"


async def test_leaving_is_seen_past_the_limit(tcp_relay: TcpRelay) -> None:
    """An A that left more than is held, and then went away, frees its code at once."""
    a = await tcp_relay.join("code")
    await a.send_message(bytes(2 * EARLY_DATA_LIMIT))
    await trio.testing.wait_all_tasks_blocked(0.05)  # the relay has stopped reading
    await a.stream.aclose()
    with trio.fail_after(5):
        while tcp_relay.handle.statistics().pairs:
            await trio.sleep(0.001)


async def test_leaving_is_seen_behind_full_buffers() -> None:
    """An A that left more than the systems hold is found gone by the next ping."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with running(listeners=listeners, ping_interval=0.5) as relay:
        a = await relay.come_from("127.0.0.1")
        await a.upgrade("/?pair=code")
        with trio.move_on_after(0.2) as blocked:
            await a.send_message(bytes(100 * 2**20))
        assert blocked.cancelled_caught
        await a.stream.aclose()
        with trio.fail_after(5):
            while relay.kept.connections:
                await trio.sleep(0.01)


async def test_unread_sides_take_one_descriptor_each() -> None:
    """A side that waits and is not read takes no descriptor but its own."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with running(listeners=listeners) as relay:
        before = len(list(DESCRIPTORS.iterdir()))
        for number in range(20):
            a = await relay.come_from("127.0.0.1")
            await a.upgrade(f"/?pair={number}")
            await a.send_message(bytes(EARLY_DATA_LIMIT + 1))
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert all(pair.a.reading_paused for pair in relay.inside.pairs)
        assert len(list(DESCRIPTORS.iterdir())) - before == 2 * 20  # of both ends


async def test_held_in_all() -> None:
    """Early data and the part of a message that is still arriving have one bound."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with running(listeners=listeners) as relay:
        a = await relay.come_from("127.0.0.1")
        await a.upgrade("/?pair=code")
        await a.send_message(bytes(EARLY_DATA_LIMIT - 200))
        with trio.move_on_after(0.2):
            await a.send(encode(BINARY, bytes(EARLY_DATA_LIMIT - 100), fin=False))
        (pair,) = relay.inside.pairs
        with trio.fail_after(5):
            while not pair.a.reading_paused:
                await trio.sleep(0.001)
        held = len(pair.early_data.take()) + pair.a.reframer.buffered
        assert EARLY_DATA_LIMIT <= held <= EARLY_DATA_LIMIT + MIN_READ


class StopsAsTheyMeet:
    """An observer that stops its relay in the moment in which side B comes."""

    relay: WatchedRelay

    def on_event(self, event: Event) -> None:
        """Take note of an event."""
        if isinstance(event, PairJoined):
            end_pairs(self.relay.inside)


async def test_early_data_of_a_pair_that_ends_as_b_comes() -> None:
    """A B that comes as the relay stops gets what A sent before, and then its close frame."""
    observer = StopsAsTheyMeet()
    async with running(observer=observer) as relay:
        observer.relay = relay
        a = await relay.join("code")
        await a.send_message(b"early")
        b = await relay.join("code")
        assert await b.message() == b"early"
        assert await b.closed() == (1001, "relay stopping")


async def test_settings_reach_the_splitter(memory_relay: MemoryRelay) -> None:
    """Without a peer, too, a message over the limit is refused with 1009."""
    limit = RelaySettings().max_message_size
    a = await memory_relay.join("code")
    await a.send(encode(BINARY, length=limit + 1, length_size=8))
    assert await a.close_frame() == (1009, "message too big")
