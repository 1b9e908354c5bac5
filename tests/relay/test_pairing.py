"""Two sides with one code are joined, and their messages arrive."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Final

import pytest
import trio
import trio.testing

from relay import Event, PairJoined, RelayHandle, RelaySettings, serve_relay
from relay.pairing.early_data import EARLY_DATA_LIMIT
from relay.protocol.reframer import MAX_CONTROLS as MAX_PINGS
from relay.server.shutdown import end_pairs
from relay.transport import epoll_reader
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
    """Each side gets the messages of the other, empty messages too."""
    a, b = await memory_relay.pair()
    await a.send_message(b"to b")
    await a.send_message(b"")
    await b.send_message(b"to a" * 100_000)
    assert await b.message() == b"to b"
    assert await b.message() == b""
    assert await a.message() == b"to a" * 100_000


async def test_both_ways_at_once(memory_relay: MemoryRelay) -> None:
    """Neither direction waits for the other, also without any buffer in between."""
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
    """A text message is dropped, whole or in fragments, with control frames between them."""
    a, b = await memory_relay.pair()
    await a.send(encode(TEXT, b"x" * 200_000))
    await a.send(encode(TEXT, b"frag", fin=False) + encode(PING, b"in between"))
    await a.send(encode(CONTINUATION, b"", fin=False) + encode(CONTINUATION, b"ment"))
    await a.send_message(b"binary")
    assert await b.message() == b"binary"
    assert await a.frame() == Frame(fin=True, opcode=PONG, payload=b"in between")


@pytest.mark.parametrize("settings", [RelaySettings(max_message_size=2**20)])
async def test_text_has_no_limit(memory_relay: MemoryRelay) -> None:
    """The message limit applies only to messages that are forwarded."""
    a, b = await memory_relay.pair()
    await a.send(encode(TEXT, length=2 * 2**20, length_size=8))
    for _ in range(2):
        await a.send(bytes(2**20))
    await a.send_message(b"after it")
    assert await b.message() == b"after it"


async def test_cut_through(memory_relay: MemoryRelay) -> None:
    """A long message is forwarded as it arrives, before its end."""
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
    """The path of an upgrade and its other parameters are ignored."""
    a, b = await memory_relay.connect(), await memory_relay.connect()
    assert (await a.upgrade("/health?x=1&pair=c%6Fde&pair=other")).status == 101
    assert (await b.upgrade("//some/where?pair=code#top")).status == 101
    await a.send_message(b"hello")
    assert await b.message() == b"hello"


async def test_third_is_refused(memory_relay: MemoryRelay) -> None:
    """A third client gets 409, and the pair goes on."""
    a, b = await memory_relay.pair()
    third = await memory_relay.connect()
    response = await third.upgrade("/?pair=code")
    assert (response.status, response.body) == (409, b"pair is full")
    assert response.headers["connection"] == "close"
    await a.send_message(b"still here")
    assert await b.message() == b"still here"
    assert memory_relay.handle.statistics().pairs == 1


async def test_statistics(memory_relay: MemoryRelay) -> None:
    """Statistics and the health response count waiting and joined pairs."""
    await memory_relay.pair("joined")
    await memory_relay.join("waiting")
    statistics = memory_relay.handle.statistics()
    assert (statistics.pairs, statistics.waiting, statistics.connections) == (2, 1, 3)
    client = await memory_relay.connect()
    response = await client.get("/health")
    assert (response.status, response.body) == (200, b'{"ok":true,"pairs":2}')
    assert response.headers["content-type"] == "application/json"


async def test_held(memory_relay: MemoryRelay) -> None:
    """Data that A sends before B has joined is delivered first, in order; later data follows."""
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
async def test_early_data_is_cut(memory_relay: MemoryRelay, *, lockstep: bool) -> None:
    """A message that is cut at any byte when B joins arrives as one message."""
    frame = encode(BINARY, b"cut in two")
    for cut in range(len(frame) + 1):
        a = await memory_relay.join(f"code{cut}", lockstep=lockstep)
        if cut:
            await a.send(frame[:cut])
        b = await memory_relay.join(f"code{cut}")
        if cut < len(frame):
            await a.send(frame[cut:])
        assert await b.message() == b"cut in two"


async def test_limit_of_early_data(memory_relay: MemoryRelay) -> None:
    """At the limit the relay stops reading A; when B joins, all data arrives."""
    a = await memory_relay.join("code", lockstep=True)
    payload = bytes(3 * EARLY_DATA_LIMIT)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(a.send_message, payload)
        await trio.testing.wait_all_tasks_blocked()
        assert len(nursery.child_tasks) == 1  # still sending
        b = await memory_relay.join("code")
        assert await b.message() == payload


async def test_tiny_early_messages(memory_relay: MemoryRelay) -> None:
    """Early data in tiny messages is held like any other."""
    a = await memory_relay.join("code", lockstep=True)
    for _ in range(1000):
        await a.send_message(b"")
    await a.send_message(b"end")
    b = await memory_relay.join("code")
    for _ in range(1000):
        assert await b.message() == b""
    assert await b.message() == b"end"


async def test_ping_while_alone(memory_relay: MemoryRelay) -> None:
    """Pings of a waiting A are answered, also between early data."""
    a = await memory_relay.join("code")
    await a.send(encode(BINARY, b"ear", fin=False) + encode(PING, b"there?"))
    assert await a.frame() == Frame(fin=True, opcode=PONG, payload=b"there?")
    await a.send(encode(CONTINUATION, b"ly"))
    b = await memory_relay.join("code")
    assert await b.message() == b"early"


async def test_pings_are_answered_and_not_forwarded(memory_relay: MemoryRelay) -> None:
    """The relay answers every ping of a joined side, and forwards no control frame."""
    a, b = await memory_relay.pair()
    for number in range(MAX_PINGS):
        await a.send(encode(PING, b"%d" % number) + encode(PONG, b"unasked"))
    await a.send_message(b"data")
    for number in range(MAX_PINGS):
        assert await a.frame() == Frame(fin=True, opcode=PONG, payload=b"%d" % number)
    assert await b.frame() == Frame(fin=True, opcode=BINARY, payload=b"data")


async def test_ping_flood(memory_relay: MemoryRelay) -> None:
    """A client that does not read pongs gets the latest ones, and data goes on."""
    a, b = await memory_relay.join("code", lockstep=True), await memory_relay.join("code")
    await a.send(b"".join(encode(PING, b"%d" % number) for number in range(1000)))
    await a.send_message(b"behind the flood")
    assert await b.message() == b"behind the flood"
    pongs = [int((await a.frame()).payload) for _ in range(MAX_PINGS)]
    assert pongs == list(range(1000 - MAX_PINGS, 1000))


async def test_bytes_behind_the_head(memory_relay: MemoryRelay) -> None:
    """Frames in one piece with an upgrade request are forwarded, from A and from B."""
    for code, (first, second) in {"a": (b"from a", b""), "b": (b"", b"from b")}.items():
        clients = [await memory_relay.connect(), await memory_relay.connect()]
        for client, early in zip(clients, (first, second), strict=True):
            await client.send(upgrade_with(code, early))
            assert (await client.response()).status == 101
        a, b = clients
        assert await (b if first else a).message() == first + second


def upgrade_with(code: str, early: bytes) -> bytes:
    """Return an upgrade request with a message behind it, if there is early data."""
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
    """A side A that sent early data and left frees its code."""
    a = await memory_relay.join("code")
    await a.send_message(b"early")
    await a.send(encode_close(1000, "bye"))
    assert await a.close_frame() == (1000, "bye")
    assert memory_relay.handle.statistics().pairs == 0
    b, c = await memory_relay.pair()
    await b.send_message(b"fresh")
    assert await c.message() == b"fresh"


async def test_leaving_is_seen_past_the_limit(tcp_relay: TcpRelay) -> None:
    """A side A that sent too much early data and left frees its code at once."""
    a = await tcp_relay.join("code")
    await a.send_message(bytes(2 * EARLY_DATA_LIMIT))
    await trio.testing.wait_all_tasks_blocked(0.05)  # the relay has stopped reading
    await a.stream.aclose()
    with trio.fail_after(5):
        while tcp_relay.handle.statistics().pairs:
            await trio.sleep(0.001)


async def test_leaving_is_seen_behind_full_buffers() -> None:
    """A side A that filled the buffers of both kernels and left is found dead by the next ping."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with running(listeners=listeners, ping_interval=0.5) as relay:
        a = await relay.connect_from("127.0.0.1")
        await a.upgrade("/?pair=code")
        with trio.move_on_after(0.2) as blocked:
            await a.send_message(bytes(100 * 2**20))
        assert blocked.cancelled_caught
        await a.stream.aclose()
        with trio.fail_after(5):
            while relay.table_sizes.connections:
                await trio.sleep(0.01)


async def test_unread_sides_take_one_descriptor_each() -> None:
    """A waiting side that is not read takes only its own descriptor."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with running(listeners=listeners) as relay:
        before = len(list(DESCRIPTORS.iterdir()))
        for number in range(20):
            a = await relay.connect_from("127.0.0.1")
            await a.upgrade(f"/?pair={number}")
            await a.send_message(bytes(EARLY_DATA_LIMIT + 1))
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert all(pair.a.reading_paused for pair in relay.inside.pairs)
        assert len(list(DESCRIPTORS.iterdir())) - before == 2 * 20  # of both ends


async def test_held_in_all() -> None:
    """Early data and an incomplete message have one common limit."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with running(listeners=listeners) as relay:
        a = await relay.connect_from("127.0.0.1")
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


class StopAtJoin:
    """Observer that stops its relay when side B joins."""

    relay: WatchedRelay

    def on_event(self, event: Event) -> None:
        """Record an event."""
        if isinstance(event, PairJoined):
            end_pairs(self.relay.inside)


async def test_early_data_of_a_pair_that_ends_as_b_joins() -> None:
    """A side B that joins as the relay stops gets the early data of A, then its close frame."""
    observer = StopAtJoin()
    async with running(observer=observer) as relay:
        observer.relay = relay
        a = await relay.join("code")
        await a.send_message(b"early")
        b = await relay.join("code")
        assert await b.message() == b"early"
        assert await b.closed() == (1001, "relay stopping")


async def test_settings_reach_the_reframer(memory_relay: MemoryRelay) -> None:
    """A message of a waiting side above the limit gets 1009."""
    limit = RelaySettings().max_message_size
    a = await memory_relay.join("code")
    await a.send(encode(BINARY, length=limit + 1, length_size=8))
    assert await a.close_frame() == (1009, "message too big")


async def test_pair_without_epoll(monkeypatch: pytest.MonkeyPatch, time_limit: None) -> None:
    """Without epoll, each transport waits for its own socket, and pairs work as before."""
    monkeypatch.setattr(epoll_reader, "select", SimpleNamespace())
    async with trio.open_nursery() as nursery:
        handle: RelayHandle = await nursery.start(partial(serve_relay, host="127.0.0.1", port=0))
        async with (
            Client(await trio.open_tcp_stream(handle.host, handle.port)) as a,
            Client(await trio.open_tcp_stream(handle.host, handle.port)) as b,
        ):
            for side in (a, b):
                assert (await side.upgrade("/?pair=code")).status == 101
            await a.send_message(b"there")
            assert await b.message() == b"there"
            await b.send_message(b"and back")
            assert await a.message() == b"and back"
        await handle.stop()


async def test_tasks_of_a_pair(tcp_relay: TcpRelay) -> None:
    """A waiting side has one task, and a pair has three: side A and two pumps, none for side B."""

    def tasks() -> int:
        return trio.lowlevel.current_statistics().tasks_living

    before = tasks()
    a = await tcp_relay.join("code")
    assert tasks() - before == 1
    b = await tcp_relay.join("code")
    await a.send_message(b"there")
    assert await b.message() == b"there"
    assert tasks() - before == 3
    await a.stream.aclose()
    await b.closed()
    while tcp_relay.handle.statistics().connections:
        await trio.sleep(0.01)
    assert tasks() == before
