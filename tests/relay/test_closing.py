"""Ends of a pair, and the close frames of both sides."""

from __future__ import annotations

import gc
from contextlib import suppress

import pytest
import trio
import trio.testing

from relay import RelaySettings
from relay.pairing.side import Side
from tests.support.raw_client import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    TEXT,
    Client,
    encode,
    encode_close,
    upgrade_request,
)
from tests.support.relay_fixtures import MemoryRelay, TcpRelay

PEER_DISCONNECTED = "peer disconnected"

VIOLATIONS = {
    "unmasked": encode(BINARY, b"x", mask=False),
    "reserved bit": encode(BINARY, b"x", reserved=4),
    "unknown opcode": encode(0x3, b"x"),
    "unknown control opcode": encode(0xB),
    "fragmented control frame": encode(PING, fin=False),
    "control frame too long": encode(PING, bytes(126)),
    "stray continuation": encode(CONTINUATION, b"x"),
    "message inside a message": encode(BINARY, b"x", fin=False) + encode(TEXT, b"x"),
    "length not minimal": encode(BINARY, b"x", length_size=2),
    "length negative": encode(BINARY, length=2**63, length_size=8),
    "close code invalid": encode_close(1005),
    "close frame of one byte": encode(CLOSE, b"x"),
}


@pytest.mark.parametrize(("leaver", "stayer"), [(0, 1), (1, 0)])
async def test_close(memory_relay: MemoryRelay, leaver: int, stayer: int) -> None:
    """A side that closes gets its close frame echoed, its peer 1000; the code is free."""
    clients = await memory_relay.pair()
    await clients[leaver].send_message(b"last words")
    await clients[leaver].send(encode_close(4001, "my reason"))
    assert await clients[leaver].close_frame() == (4001, "my reason")
    assert await clients[leaver].rest() == b""
    assert memory_relay.handle.statistics().pairs == 0
    assert await clients[stayer].message() == b"last words"
    assert await clients[stayer].closed() == (1000, PEER_DISCONNECTED)


async def test_close_without_a_code(memory_relay: MemoryRelay) -> None:
    """An empty close frame is echoed empty."""
    a, b = await memory_relay.pair()
    await a.send(encode(CLOSE))
    assert await a.close_frame() == (1005, "")
    assert await b.closed() == (1000, PEER_DISCONNECTED)


async def test_both_close_at_once(memory_relay: MemoryRelay) -> None:
    """Two sides that close at the same moment get one close frame each."""
    a, b = await memory_relay.pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(a.send, encode_close(4001))
        nursery.start_soon(b.send, encode_close(4002))
    for client, code in ((a, 4001), (b, 4002)):
        assert (await client.close_frame())[0] in {code, 1000}
        assert await client.rest() == b""


@pytest.mark.parametrize(("leaver", "stayer"), [(0, 1), (1, 0)])
async def test_end_of_stream(memory_relay: MemoryRelay, leaver: int, stayer: int) -> None:
    """A stream that ends, even inside a message, ends the pair as a close frame does."""
    clients = await memory_relay.pair()
    half = bytes(100_000)
    await clients[leaver].send(encode(BINARY, half, fin=False))
    await clients[leaver].stream.aclose()
    frame = await clients[stayer].frame()
    assert not frame.fin
    assert half.startswith(frame.payload)
    assert await clients[stayer].closed() == (1000, PEER_DISCONNECTED)


async def test_half_close(tcp_relay: TcpRelay) -> None:
    """A client that ends its own direction is disconnected."""
    a, b = await tcp_relay.pair()
    assert isinstance(a.stream, trio.SocketStream)
    await a.send_message(b"last words")
    await a.stream.send_eof()
    assert await b.message() == b"last words"
    assert await b.closed() == (1000, PEER_DISCONNECTED)
    assert await a.rest() == b""


@pytest.mark.parametrize("frames", VIOLATIONS.values(), ids=VIOLATIONS.keys())
async def test_violation(memory_relay: MemoryRelay, frames: bytes) -> None:
    """A side that violates a framing rule gets 1002, its peer 1011; other pairs go on."""
    bystander_a, bystander_b = await memory_relay.pair("bystanders")
    a, b = await memory_relay.pair()
    await a.send_message(b"good")
    await a.send(frames)
    code, reason = await a.closed()
    assert code == 1002
    assert reason
    assert await b.message() == b"good"
    frame = await b.frame()
    while frame.opcode != CLOSE:  # a fragment that was good
        assert not frame.fin
        frame = await b.frame()
    assert frame.payload == b"\x03\xf3" + PEER_DISCONNECTED.encode()
    await bystander_a.send_message(b"nothing happened")
    assert await bystander_b.message() == b"nothing happened"


async def test_bad_utf8_in_a_close_reason(memory_relay: MemoryRelay) -> None:
    """A close reason that is not UTF-8 gets 1007, the peer 1011."""
    a, b = await memory_relay.pair()
    await a.send(encode(CLOSE, b"\x03\xe8\xff"))
    assert (await a.closed())[0] == 1007
    assert await b.closed() == (1011, PEER_DISCONNECTED)


async def test_violation_by_side_b(memory_relay: MemoryRelay) -> None:
    """A violation by side B is answered like a violation by side A."""
    a, b = await memory_relay.pair()
    await b.send(encode(CONTINUATION))
    assert await b.closed() == (1002, "continuation without a message")
    assert await a.closed() == (1011, PEER_DISCONNECTED)


async def test_violation_while_alone(memory_relay: MemoryRelay) -> None:
    """A waiting side that violates a rule gets 1002, and its code is free."""
    a = await memory_relay.join("code")
    await a.send(encode(BINARY, mask=False))
    assert await a.closed() == (1002, "frame is not masked")
    assert memory_relay.handle.statistics().pairs == 0


async def test_flood_of_empty_fragments(memory_relay: MemoryRelay) -> None:
    """The first empty fragment above the limit gets 1008."""
    a, b = await memory_relay.pair()
    await a.send(encode(BINARY, fin=False) + encode(CONTINUATION, fin=False) * 1024)
    assert await a.closed() == (1008, "too many empty fragments")
    assert await b.closed() == (1011, PEER_DISCONNECTED)


class TestLimit:
    """Limit on the size of a message."""

    @pytest.fixture
    def settings(self) -> RelaySettings:
        """Return settings with a small limit."""
        return RelaySettings(max_message_size=1000)

    @pytest.mark.parametrize(
        "frames",
        [
            encode(BINARY, bytes(1001)),
            encode(BINARY, bytes(1000), fin=False) + encode(CONTINUATION, b"x"),
        ],
        ids=["at once", "in fragments"],
    )
    async def test_over(self, memory_relay: MemoryRelay, frames: bytes) -> None:
        """A message above the limit gets 1009; its end never reaches the peer."""
        a, b = await memory_relay.pair()
        await a.send_message(bytes(1000))
        await a.send(frames)
        assert await a.closed() == (1009, "message too big")
        assert await b.message() == bytes(1000)
        frame = await b.frame()
        if frame.opcode == BINARY:
            assert not frame.fin
            frame = await b.frame()
        assert frame.payload[:2] == b"\x03\xf3"

    async def test_before_it_is_sent(self, memory_relay: MemoryRelay) -> None:
        """The header alone suffices to refuse a message."""
        a, _ = await memory_relay.pair()
        await a.send(encode(BINARY, length=2**40, length_size=8))
        assert await a.closed() == (1009, "message too big")


async def test_close_waits_for_what_was_sent_before(memory_relay: MemoryRelay) -> None:
    """Data sent before a close frame reaches a slow reader before the close frame does."""
    a, b = await memory_relay.join("code"), await memory_relay.join("code", lockstep=True)
    payload = bytes(range(256)) * 1000
    await a.send_message(payload)
    await a.send(encode_close(1000))
    assert await b.message() == payload
    assert await b.close_frame() == (1000, PEER_DISCONNECTED)


async def test_close_frame_never_inside_another_frame(memory_relay: MemoryRelay) -> None:
    """A side that leaves during a write of the relay gets the whole frame, then its echo."""
    a, b = await memory_relay.join("code", lockstep=True), await memory_relay.join("code")
    await b.send_message(bytes(300_000))
    await trio.testing.wait_all_tasks_blocked()  # the relay is blocked inside a frame to a
    await a.send(encode_close(1000))
    frame = await a.frame()
    assert frame.opcode == BINARY
    while frame.opcode != CLOSE:
        frame = await a.frame()
    assert frame.payload == b"\x03\xe8"
    assert await b.closed() == (1000, PEER_DISCONNECTED)


async def test_data_and_pings_during_the_closing_handshake(memory_relay: MemoryRelay) -> None:
    """Data during the closing handshake is discarded, and disturbs no other client."""
    a, b = await memory_relay.pair()
    await b.send(encode_close(1000))
    assert await a.close_frame() == (1000, PEER_DISCONNECTED)
    await a.send(encode(PING, b"late") + encode(BINARY, bytes(70_000)) + encode(TEXT, b"x"))
    await a.send(encode_close(1000))
    assert await a.rest() == b""


async def test_violation_during_the_closing_handshake(memory_relay: MemoryRelay) -> None:
    """A client that violates a rule during the closing handshake is disconnected."""
    a, b = await memory_relay.pair()
    await b.send(encode_close(1000))
    assert await a.close_frame() == (1000, PEER_DISCONNECTED)
    await a.send(encode(CONTINUATION))
    assert await a.rest() == b""


async def test_data_behind_a_violation_during_the_closing_handshake(tcp_relay: TcpRelay) -> None:
    """The relay reads what follows the violation, so that no reset destroys its close frame."""
    a, b = await tcp_relay.pair()
    await b.send(encode_close(1000))
    assert await b.close_frame() == (1000, "")
    await a.send(encode(CONTINUATION) + bytes(2**20))
    assert await a.close_frame() == (1000, PEER_DISCONNECTED)
    assert await a.rest() == b""


async def test_no_pong_behind_the_close_frame(memory_relay: MemoryRelay) -> None:
    """Pings behind data that the client does not read are answered before the close frame."""
    a, b = await memory_relay.join("code", lockstep=True), await memory_relay.join("code")
    await a.send(encode(PING, b"1"))
    await trio.testing.wait_all_tasks_blocked()  # the relay is blocked inside the first pong
    await a.send(encode(PING, b"2"))
    await a.send(encode(PING, b"3"))
    await trio.testing.wait_all_tasks_blocked()
    await b.send(encode_close(1000))
    assert await b.close_frame() == (1000, "")
    assert (await a.frame()).payload == b"1"
    assert (await a.frame()).payload == b"3"  # the latest of those that had to wait
    assert await a.closed() == (1000, PEER_DISCONNECTED)


@pytest.mark.parametrize("lockstep", [False, True])
async def test_unresponsive_client(
    memory_relay: MemoryRelay, autojump_clock: trio.testing.MockClock, *, lockstep: bool
) -> None:
    """A client that neither reads nor answers its close frame is dropped after the timeout."""
    a, b = await memory_relay.join("code", lockstep=lockstep), await memory_relay.join("code")
    await b.send(encode_close(1000))
    start = trio.current_time()
    assert await b.close_frame() == (1000, "")
    await trio.testing.wait_all_tasks_blocked()
    while memory_relay.handle.statistics().connections:
        await trio.sleep(0.1)
    assert trio.current_time() - start == pytest.approx(RelaySettings().close_timeout, abs=0.2)
    assert await a.close_frame() == (1000, PEER_DISCONNECTED)
    assert await a.rest() == b""


async def test_late_end_leaves_the_newer_pair_alone(memory_relay: MemoryRelay) -> None:
    """The late end of an old pair does not disturb a newer pair with the same code."""
    old_a, old_b = await memory_relay.pair()
    await old_a.send(encode_close(1000))
    assert await old_b.close_frame() == (1000, PEER_DISCONNECTED)
    new_a, new_b = await memory_relay.pair()
    await old_b.send(encode_close(1000))
    assert await old_b.rest() == b""
    assert memory_relay.handle.statistics().pairs == 1
    await new_a.send_message(b"undisturbed")
    assert await new_b.message() == b"undisturbed"


async def test_leaving_frees_the_code(memory_relay: MemoryRelay) -> None:
    """A waiting side that leaves, with or without a close frame, frees its code at once."""
    a = await memory_relay.join("code")
    await a.send(encode_close(1000))
    assert await a.close_frame() == (1000, "")
    a = await memory_relay.join("code")
    await a.stream.aclose()
    await trio.testing.wait_all_tasks_blocked()
    assert memory_relay.handle.statistics().pairs == 0


async def test_writer_finds_the_peer_gone(tcp_relay: TcpRelay) -> None:
    """A side whose peer was reset while data was on its way to it gets 1011."""
    a, b = await tcp_relay.pair()
    await reset(b)
    with trio.fail_after(10):
        frame = None
        while frame is None or frame.opcode != CLOSE:
            await a.send_message(b"anybody there?")
            frame = await a.frame()
    assert frame.payload == b"\x03\xf3" + PEER_DISCONNECTED.encode()


async def reset(client: Client) -> None:
    """Close the client's socket so that the relay gets a reset."""
    stream = client.stream
    assert isinstance(stream, trio.SocketStream)
    stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    await stream.aclose()


async def test_close_frame_of_a_peer_that_reads_nothing(tcp_relay: TcpRelay) -> None:
    """A peer that sent a close frame has closed, even if a write to it fails first."""
    a, b = await tcp_relay.pair()
    await b.send(encode_close(1000))
    await b.stream.aclose()
    frame = await a.frame()
    assert (frame.opcode, frame.payload[:2]) == (CLOSE, b"\x03\xe8")


async def test_side_b_gone_before_its_handshake(memory_relay: MemoryRelay) -> None:
    """A side B that does not read its 101 response ends the pair; the outcome is broken."""
    a = await memory_relay.join("code")
    b = await memory_relay.connect(lockstep=True)
    await b.send(upgrade_request("/?pair=code"))
    await trio.testing.wait_all_tasks_blocked()
    await b.stream.aclose()
    assert await a.closed() == (1011, PEER_DISCONNECTED)


async def test_101_not_taken(
    memory_relay: MemoryRelay, autojump_clock: trio.testing.MockClock
) -> None:
    """A client that does not read its 101 response in time is dropped."""
    a = await memory_relay.connect(lockstep=True)
    await a.send(upgrade_request("/?pair=code"))
    await trio.sleep(RelaySettings().close_timeout + 0.1)
    assert memory_relay.handle.statistics().connections == 0


@pytest.mark.parametrize("early", [b"", b"last words"])
async def test_side_a_leaves_while_b_comes(memory_relay: MemoryRelay, early: bytes) -> None:
    """A side B that joins as A leaves gets the early data of A, and its close code."""
    a = await memory_relay.join("code")
    if early:
        await a.send_message(early)
    b = await memory_relay.connect(lockstep=True)
    await b.send(upgrade_request("/?pair=code"))
    await trio.testing.wait_all_tasks_blocked()  # b has its place, but not yet its 101
    await a.send(encode_close(1000))
    assert (await b.response()).status == 101
    if early:
        assert await b.message() == early
    assert await b.close_frame() == (1000, PEER_DISCONNECTED)
    assert await a.close_frame() == (1000, "")


@pytest.mark.parametrize("settings", [RelaySettings(ping_interval=0, close_timeout=0.5)])
async def test_peer_breaks_while_nothing_is_read(
    tcp_relay: TcpRelay, settings: RelaySettings
) -> None:
    """A sender that reads nothing gets its close frame in bounded time after its peer broke."""
    a, b = await tcp_relay.pair()
    bulk = encode(BINARY, bytes(32 * 2**20))
    async with trio.open_nursery() as nursery:
        with trio.move_on_after(0.2):
            await b.send(bulk)  # until the relay is blocked in sending to a
        await reset(b)
        nursery.start_soon(send_until_it_fails, a, bulk)
        with trio.fail_after(20):
            while tcp_relay.handle.statistics().pairs:
                await trio.sleep(0.05)
        nursery.cancel_scope.cancel()


async def send_until_it_fails(client: Client, data: bytes) -> None:
    """Send data until sending fails."""
    with suppress(trio.BrokenResourceError):
        while True:
            await client.send(data)


BROKEN = (1011, "peer disconnected")


def sides() -> int:
    """Return the number of sides in memory, without a search for cycles."""
    return sum(type(each) is Side for each in gc.get_objects())


async def test_memory(tcp_relay: TcpRelay) -> None:
    """A pair with a broken side is freed without the cyclic garbage collector."""
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            a, b = await tcp_relay.pair()
            await a.send_message(b"last words")
            assert await b.message() == b"last words"
            await a.reset()
            assert await b.closed() == BROKEN
            while tcp_relay.handle.statistics().connections:
                await trio.sleep(0.01)
        assert sides() == 0
    finally:
        gc.enable()


class Breaking(trio.abc.ReceiveStream):
    """Stream that breaks in place of its end."""

    def __init__(self, stream: trio.abc.ReceiveStream) -> None:
        self._stream = stream

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        data = await self._stream.receive_some(max_bytes)
        if not data:
            raise trio.BrokenResourceError
        return bytes(data)

    async def aclose(self) -> None:
        await self._stream.aclose()


def breaking_pair() -> tuple[trio.abc.Stream, trio.abc.Stream]:
    """Return the client's end and the relay's end of a stream that breaks."""
    client, server = trio.testing.memory_stream_pair()
    return client, trio.StapledStream(server.send_stream, Breaking(server.receive_stream))


@pytest.mark.parametrize("settings", [RelaySettings(max_bytes_per_second=10, ping_interval=0)])
async def test_message_is_charged_once(
    memory_relay: MemoryRelay, autojump_clock: trio.testing.MockClock
) -> None:
    """The last message of a broken side is charged once, and does not delay the end of the pair."""
    async with Client(await memory_relay.listener.connect(breaking_pair)) as a:
        await a.upgrade("/?pair=code")
        b = await memory_relay.join("code")
        await a.send_message(bytes(100))
        assert len(await b.message()) == 100
        await trio.sleep(60)
        start = trio.current_time()
        await a.stream.aclose()
        assert await b.closed() == BROKEN
        assert trio.current_time() == start
