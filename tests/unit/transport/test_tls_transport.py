"""TLS in the socket transport: records, ends, and buffers."""

from __future__ import annotations

import os
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import trio
import trio.testing

from relay.transport.accepted_socket import AcceptedSocket
from relay.transport.epoll_reader import EpollReader, open_epoll_reader
from relay.transport.socket_transport import SocketTransport
from relay.transport.tls_failure import TlsFailure
from relay.transport.tls_transport import MAX_REPLIES, TLSTransport
from tests.support.certificates import client_context
from tests.support.tls_peers import APPLICATION_DATA, Forger, OldForger, TlsPeer, server_context

BLOCK = bytes(range(256)) * 16384  # 4 MiB, more than a socket takes at once

CONTEXT = server_context()

pytestmark = pytest.mark.usefixtures("time_limit")


async def connected() -> tuple[trio.SocketStream, trio.SocketStream]:
    """Return both ends of a TCP connection."""
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        theirs = await trio.open_tcp_stream("127.0.0.1", listener.socket.getsockname()[1])
        return await listener.accept(), theirs


@asynccontextmanager
async def over_tls_pair(
    nursery: trio.Nursery,
    *,
    reader: EpollReader | None = None,
    behind: bytes = b"",
    context: ssl.SSLContext | None = None,
) -> AsyncIterator[tuple[TLSTransport, TlsPeer]]:
    """Return a transport and its client, after their handshake."""
    ours, theirs = await connected()
    peer = TlsPeer(theirs, context)
    async with theirs, TLSTransport(ours.socket, CONTEXT, nursery, reader) as transport:
        async with trio.open_nursery() as shaking:
            shaking.start_soon(peer.shake_hands, behind)
            await transport.handshake()
        yield transport, peer


@pytest.fixture(params=["own task", "epoll reader"])
async def reader(
    request: pytest.FixtureRequest, nursery: trio.Nursery
) -> AsyncIterator[EpollReader | None]:
    """Read by the waiting task, or by the epoll reader."""
    if request.param == "own task":
        yield None
        return
    with open_epoll_reader() as reader:
        assert reader is not None
        nursery.start_soon(reader.run)
        yield reader
        nursery.cancel_scope.cancel()


class Taken:
    """Function that collects data from a transport, up to a size or the end."""

    def __init__(self, size: int) -> None:
        self._size = size
        self.pieces: list[bytes] = []

    def __call__(self, data: bytes) -> bool:
        self.pieces.append(data)
        return not data or len(b"".join(self.pieces)) >= self._size


async def receive(transport: TLSTransport, size: int, max_bytes: int = 1 << 20) -> list[bytes]:
    """Return the pieces in which so many bytes, or the end, were received."""
    taken = Taken(size)
    with trio.fail_after(5):
        await transport.receive_until(taken, max_bytes)
    return taken.pieces


async def test_behind_the_handshake(nursery: trio.Nursery, reader: EpollReader | None) -> None:
    """Data in the segment of the last handshake message is found without a readable descriptor."""
    async with over_tls_pair(nursery, reader=reader, behind=b"request") as (transport, _):
        assert await receive(transport, 1) == [b"request"]
    async with over_tls_pair(nursery, reader=reader, behind=b"request") as (transport, _):
        with trio.fail_after(5):
            assert await transport.receive_some(3) == b"req"
            assert await transport.receive_some(9) == b"uest"


async def test_no_room_for_the_handshake(nursery: trio.Nursery) -> None:
    """The handshake waits for room, like all sent data."""
    ours, theirs = await connected()
    filling = 0
    with suppress(BlockingIOError):
        while True:
            filling += os.write(ours.socket.fileno(), bytes(65536))
    peer = TlsPeer(theirs)
    async with theirs, TLSTransport(ours.socket, CONTEXT, nursery) as transport:
        async with trio.open_nursery() as shaking:
            shaking.start_soon(transport.handshake)
            await peer.send_hello()
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert transport.write_blocked
            while filling:
                filling -= len(await theirs.receive_some(min(filling, 65536)))
            await peer.shake_hands()
        assert transport.handshake_done


async def test_several_records(nursery: trio.Nursery, reader: EpollReader | None) -> None:
    """All records of one read are returned in one piece, up to the limit."""
    async with over_tls_pair(nursery, reader=reader) as (transport, peer):
        await peer.stream.send_all(peer.records(b"one", b"two", b"three"))
        assert await receive(transport, 11) == [b"onetwothree"]
        await peer.stream.send_all(peer.records(b"one", b"two", b"three"))
        assert await receive(transport, 11, 400) == [b"onetwothree"]
        await peer.stream.send_all(peer.records(bytes(1000)))
        assert [len(piece) for piece in await receive(transport, 1000, 400)] == [400, 400, 200]
        await peer.stream.send_all(peer.records(b"x" * 1000))
        assert await receive(transport, 1, 400) == [b"x" * 400]  # and is not asked any more
        assert await transport.receive_some(1000) == b"x" * 600


async def test_partial_record(nursery: trio.Nursery, reader: EpollReader | None) -> None:
    """A record is delivered once its last byte has arrived."""
    async with over_tls_pair(nursery, reader=reader) as (transport, peer):
        record = peer.records(b"whole")
        async with trio.open_nursery() as reading:
            taken = Taken(5)
            reading.start_soon(transport.receive_until, taken, 1000)
            for at in range(len(record)):
                assert not taken.pieces
                await peer.stream.send_all(record[at : at + 1])
                await trio.testing.wait_all_tasks_blocked()
        assert taken.pieces == [b"whole"]


async def test_large(nursery: trio.Nursery, reader: EpollReader | None) -> None:
    """Data that the socket does not accept at once is sent as it gets room, in both directions."""
    async with over_tls_pair(nursery, reader=reader) as (transport, peer):
        async with trio.open_nursery() as sending:
            sending.start_soon(transport.send_all, BLOCK)
            assert await peer.receive_exactly(len(BLOCK)) == BLOCK
        async with trio.open_nursery() as sending:
            sending.start_soon(peer.stream.send_all, peer.records(BLOCK))
            pieces = await receive(transport, len(BLOCK), 100_000)
        assert b"".join(pieces) == BLOCK
        assert max(map(len, pieces)) <= 100_000


@pytest.mark.parametrize("notify", [True, False])
async def test_end(nursery: trio.Nursery, reader: EpollReader | None, *, notify: bool) -> None:
    """The end of TLS and the end of TCP end the stream, behind the earlier data."""
    async with over_tls_pair(nursery, reader=reader) as (transport, peer):
        last = peer.records(b"last")
        await peer.stream.send_all(last + (peer.close_notify() if notify else b""))
        if not notify:
            await peer.stream.send_eof()
        assert await receive(transport, 1) == [b"last"]
        assert await receive(transport, 1) == [b""]
        assert await transport.receive_some(1) == b""
        assert not transport.broken


async def test_end_with_data(nursery: trio.Nursery, reader: EpollReader | None) -> None:
    """Data and the end in one read are both delivered at once."""
    async with over_tls_pair(nursery, reader=reader) as (transport, peer):
        await peer.stream.send_all(peer.records(b"last") + peer.close_notify() + b"ignored")
        assert await receive(transport, 100) == [b"last", b""]


async def test_forged_record(nursery: trio.Nursery, reader: EpollReader | None) -> None:
    """A forged record breaks the transport, and the client gets an alert."""
    async with over_tls_pair(nursery, reader=reader) as (transport, peer):
        record = bytearray(peer.records(b"forged"))
        record[-1] ^= 1
        await peer.stream.send_all(record)
        with pytest.raises(trio.BrokenResourceError):
            await receive(transport, 1)
        assert transport.broken
        with pytest.raises(trio.BrokenResourceError):
            transport.try_send(b"x")
        with pytest.raises(ssl.SSLError, match="BAD_RECORD_MAC"):
            await peer.receive()


async def test_alert(nursery: trio.Nursery) -> None:
    """A fatal alert of the client breaks the transport."""
    async with over_tls_pair(nursery) as (transport, peer):
        await peer.stream.send_all(peer.alert())
        with pytest.raises(trio.BrokenResourceError):
            await transport.receive_some(1)
        assert transport.broken


@pytest.mark.parametrize("lingering", [True, False])
async def test_close_notify(nursery: trio.Nursery, *, lingering: bool) -> None:
    """The relay ends TLS behind the last frame, and reads on until the client leaves."""
    async with over_tls_pair(nursery) as (transport, peer):
        await transport.send_all(b"last")
        if lingering:
            async with trio.open_nursery() as leaving:
                leaving.start_soon(transport.drain_and_wait_eof)
                assert await peer.receive() == b"last"
                assert await peer.receive() == b""
                assert await peer.stream.receive_some(1) == b""  # TCP is ended as well
                # The client may still send, though nothing is made of it.
                await peer.stream.send_all(peer.records(b"still"))
                await trio.testing.wait_all_tasks_blocked(0.01)
                assert leaving.child_tasks
                await peer.stream.send_all(peer.close_notify())
            with pytest.raises(trio.BrokenResourceError):
                await transport.send_all(b"behind the end")
        await transport.aclose()
        if not lingering:
            assert await peer.receive() == b"last"
            assert await peer.receive() == b""
        assert await peer.stream.receive_some(1) == b""
        await transport.aclose()


async def test_close_with_unread_data(nursery: trio.Nursery) -> None:
    """A client that ended TLS in time gets the end of TCP, and no reset."""
    async with over_tls_pair(nursery) as (transport, peer):
        await peer.stream.send_all(peer.close_notify())
        await trio.sleep(0.01)
        await transport.aclose()
        assert await peer.receive() == b""
        assert await peer.stream.receive_some(1) == b""
        await peer.stream.send_all(b"x")
    assert transport.write_blocked is False


async def test_no_close_notify_inside_a_record(nursery: trio.Nursery) -> None:
    """A transport that is closed while frames wait stops there, without close_notify."""
    async with over_tls_pair(nursery) as (transport, peer):
        assert not transport.try_send(BLOCK)
        await transport.aclose()
        with pytest.raises(ssl.SSLEOFError):
            await peer.receive_exactly(len(BLOCK))


async def test_nothing_after_a_reset(nursery: trio.Nursery) -> None:
    """A connection that was reset is closed without another write."""
    async with over_tls_pair(nursery) as (transport, peer):
        peer.stream.setsockopt(
            trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
        await peer.stream.aclose()
        with pytest.raises(trio.BrokenResourceError):
            await transport.receive_some(1)
        assert transport.broken
        await transport.drain_and_wait_eof()
        await transport.aclose()
        with pytest.raises(trio.BrokenResourceError):
            transport.try_send(b"")


async def test_nothing_before_the_handshake(nursery: trio.Nursery) -> None:
    """Frames are not sent before the handshake is complete, not even in clear text."""
    ours, theirs = await connected()
    async with theirs:
        transport = TLSTransport(ours.socket, CONTEXT, nursery)
        with pytest.raises(trio.BrokenResourceError):
            transport.try_send(b"HTTP/1.1 408 ")
        await transport.aclose()
        assert await theirs.receive_some(1000) == b""
    ours, theirs = await connected()
    async with theirs:
        await AcceptedSocket(ours.socket, CONTEXT).aclose()
        assert await theirs.receive_some(1000) == b""


async def test_waiting_frames_are_plaintext(nursery: trio.Nursery) -> None:
    """Frames that wait are encrypted in the order in which they are written."""
    async with over_tls_pair(nursery) as (transport, peer):
        assert not transport.try_send(BLOCK)
        transport.send_deferred(b"first pong")
        assert not transport.try_send(b"frame")
        transport.send_deferred(b"second pong")
        transport.send_deferred(b"latest pong")
        async with trio.open_nursery() as flushing:
            flushing.start_soon(transport.flush)
            whole = BLOCK + b"first pong" + b"frame" + b"latest pong"
            assert await peer.receive_exactly(len(whole)) == whole
        assert not transport.write_blocked


@pytest.fixture
def key_log(tmp_path: Path) -> ssl.SSLContext:
    """Return a context of a client that logs its secrets."""
    context = client_context()
    context.keylog_filename = str(tmp_path / "keys")
    return context


async def test_key_update(nursery: trio.Nursery, key_log: ssl.SSLContext) -> None:
    """A client that requests new keys gets them with the next data."""
    async with over_tls_pair(nursery, context=key_log) as (transport, peer):
        forger = Forger(Path(key_log.keylog_filename))
        await peer.stream.send_all(
            forger.key_update() + forger.record(APPLICATION_DATA, b"with new keys")
        )
        assert await transport.receive_some(100) == b"with new keys"
        await transport.send_all(b"with new keys, too")
        assert await peer.receive() == b"with new keys, too"


async def test_key_update_behind_frames(nursery: trio.Nursery, key_log: ssl.SSLContext) -> None:
    """While frames wait, the reply is sent behind their records."""
    async with over_tls_pair(nursery, context=key_log) as (transport, peer):
        forger = Forger(Path(key_log.keylog_filename))
        assert not transport.try_send(BLOCK)
        await peer.stream.send_all(
            forger.key_update() + forger.record(APPLICATION_DATA, b"with new keys")
        )
        assert await transport.receive_some(100) == b"with new keys"
        async with trio.open_nursery() as flushing:
            flushing.start_soon(transport.flush)
            assert await peer.receive_exactly(len(BLOCK)) == BLOCK
        await transport.send_all(b"behind")
        assert await peer.receive() == b"behind"


@pytest.fixture
def old_key_log(key_log: ssl.SSLContext) -> ssl.SSLContext:
    """Return a context of a client of TLS 1.2 that logs its secrets."""
    key_log.maximum_version = ssl.TLSVersion.TLSv1_2
    key_log.set_ciphers("ECDHE-ECDSA-AES256-GCM-SHA384")
    return key_log


async def test_renegotiation(nursery: trio.Nursery, old_key_log: ssl.SSLContext) -> None:
    """A client that begins another handshake gets the refusal at once."""
    async with over_tls_pair(nursery, context=old_key_log) as (transport, peer):
        forger = OldForger(Path(old_key_log.keylog_filename), peer.server_random)
        async with trio.open_nursery() as reading:
            reading.start_soon(transport.receive_some, 100)
            await peer.stream.send_all(forger.hello())
            with pytest.raises(ssl.SSLError, match="NO_RENEGOTIATION"):
                await peer.receive()
            await peer.stream.send_eof()


async def test_renegotiation_behind_frames(
    nursery: trio.Nursery, old_key_log: ssl.SSLContext
) -> None:
    """While frames wait, the reply is sent behind their records, without further data."""
    async with over_tls_pair(nursery, context=old_key_log) as (transport, peer):
        forger = OldForger(Path(old_key_log.keylog_filename), peer.server_random)
        assert not transport.try_send(BLOCK)
        await peer.stream.send_all(forger.hello())
        with trio.move_on_after(0.01):
            await transport.receive_some(100)
        async with trio.open_nursery() as flushing:
            flushing.start_soon(transport.flush)
            assert await peer.receive_exactly(len(BLOCK)) == BLOCK
        with pytest.raises(ssl.SSLError, match="NO_RENEGOTIATION"):
            await peer.receive()


async def test_renegotiation_without_end(
    nursery: trio.Nursery, old_key_log: ssl.SSLContext
) -> None:
    """A client that requests more than it reads is disconnected; no reply is buffered for it."""
    async with over_tls_pair(nursery, context=old_key_log) as (transport, peer):
        forger = OldForger(Path(old_key_log.keylog_filename), peer.server_random)
        assert not transport.try_send(BLOCK)
        hellos = b"".join(forger.hello() for _ in range(MAX_REPLIES // 20))
        async with trio.open_nursery() as sending:
            sending.start_soon(peer.stream.send_all, hellos)
            with trio.fail_after(5), pytest.raises(trio.BrokenResourceError):
                await transport.receive_some(100)
        assert transport.broken
        assert not transport.write_blocked


async def reset_before_a_byte() -> trio.SocketStream:
    """Return the relay's end of a connection that its client reset without a byte."""
    ours, theirs = await connected()
    theirs.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, struct.pack("ii", 1, 0))
    await theirs.aclose()
    with trio.fail_after(5):
        await trio.lowlevel.wait_readable(ours.socket)
    return ours


async def test_reset_before_a_byte(nursery: trio.Nursery) -> None:
    """A reset before the first read is found by that read, and is no end."""
    async with TLSTransport((await reset_before_a_byte()).socket, CONTEXT, nursery) as transport:
        with pytest.raises(trio.BrokenResourceError):
            await transport.handshake()
        assert transport.failure.kind is TlsFailure.RESET
    async with SocketTransport((await reset_before_a_byte()).socket, nursery) as plain:
        with pytest.raises(trio.BrokenResourceError):
            plain.look(100)
        assert plain.broken


async def fill(transport: TLSTransport) -> None:
    """Send until the socket is full."""
    while transport.try_send(bytes(5000)):
        await trio.lowlevel.checkpoint()


async def test_forceful_close_with_a_frame_behind(nursery: trio.Nursery) -> None:
    """A close while frames are unsent raises nothing, though TLS is shut down before them."""
    async with over_tls_pair(nursery) as (transport, peer):
        await fill(transport)
        assert not transport.try_send(b"close frame")
        with trio.move_on_after(0.5):  # until there is room for the record and the frame behind it
            await discard(peer.stream)
        await trio.aclose_forcefully(transport)
        assert transport.broken


async def test_flush_after_a_failure(nursery: trio.Nursery) -> None:
    """A deferred pong that cannot be encrypted any more breaks the transport."""
    async with over_tls_pair(nursery) as (transport, peer):
        await fill(transport)
        transport.send_deferred(b"pong")
        bad_record = struct.pack("!BHH", APPLICATION_DATA, 0x0303, 32) + bytes(32)
        await peer.stream.send_all(peer.records(b"data") + bad_record)
        assert await receive(transport, 4) == [b"data"]
        async with trio.open_nursery() as reading:
            reading.start_soon(discard, peer.stream)
            with pytest.raises(trio.BrokenResourceError):
                await transport.flush()
            reading.cancel_scope.cancel()
        assert transport.broken


async def discard(stream: trio.SocketStream) -> None:
    """Receive and discard until cancelled."""
    while await stream.receive_some(1 << 16):
        pass
    await trio.sleep_forever()
