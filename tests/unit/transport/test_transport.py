"""A transport loses no bytes, mixes no writers, and never uses a descriptor of another owner."""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

import pytest
import trio
import trio.testing

from relay.transport import socket_transport as wires_module
from relay.transport.accepted_socket import AcceptedSocket
from relay.transport.base import Transport
from relay.transport.epoll_reader import EpollReader, open_epoll_reader
from relay.transport.socket_transport import SocketTransport
from relay.transport.stream_transport import StreamTransport
from relay.transport.tls_transport import TLSTransport
from relay.transport.wrap import wrap_stream
from tests.support.tls_peers import over_tls, server_context

BLOCK = bytes(range(256)) * 4096  # 1 MiB, more than a socket takes at once

Ends = tuple[SocketTransport, trio.abc.Stream]


@pytest.fixture(params=["plain", "TLS"])
async def sockets(request: pytest.FixtureRequest, nursery: trio.Nursery) -> AsyncIterator[Ends]:
    """Return a transport over a real socket, plain or with TLS, and the other end."""
    ours, theirs = (trio.SocketStream(end) for end in trio.socket.socketpair())
    async with ours, theirs:
        if request.param == "TLS":
            yield await over_tls(ours, theirs, nursery)
        else:
            yield SocketTransport(ours.socket, nursery), theirs


async def receive_exactly(stream: trio.abc.ReceiveStream, size: int) -> bytes:
    """Receive size bytes."""
    data = bytearray()
    while len(data) < size:
        data += await stream.receive_some(size - len(data))
    return bytes(data)


async def test_transport_of_a_stream(nursery: trio.Nursery) -> None:
    """A socket gets a SocketTransport, any other stream a StreamTransport."""
    ours, theirs = (trio.SocketStream(end) for end in trio.socket.socketpair())
    async with ours, theirs:
        assert isinstance(wrap_stream(ours, nursery), SocketTransport)
        assert isinstance(
            wrap_stream(AcceptedSocket(ours.socket, server_context()), nursery), TLSTransport
        )
    assert isinstance(wrap_stream(trio.testing.memory_stream_pair()[0], nursery), StreamTransport)


async def test_push_back(sockets: Ends) -> None:
    """Data that was pushed back is received first, in pieces of the requested size."""
    transport, theirs = sockets
    await theirs.send_all(b"behind")
    transport.push_back(b"before")
    assert await transport.receive_some(4) == b"befo"
    transport.push_back(b"be")
    assert await transport.receive_some(100) == b"bere"
    assert await transport.receive_some(100) == b"behind"


async def test_backpressure(sockets: Ends) -> None:
    """Data that the socket does not accept at once is sent as the socket gets room."""
    transport, theirs = sockets
    async with trio.open_nursery() as nursery:
        nursery.start_soon(transport.send_all, BLOCK)
        await trio.testing.wait_all_tasks_blocked()
        assert len(nursery.child_tasks) == 1
        assert await receive_exactly(theirs, len(BLOCK)) == BLOCK


async def test_cancelled_writer(sockets: Ends) -> None:
    """The rest of a cancelled writer's bytes is sent before the next writer's bytes."""
    transport, theirs = sockets
    with trio.move_on_after(0):
        await transport.send_all(BLOCK)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(transport.send_all, b"next")
        assert await receive_exactly(theirs, len(BLOCK) + 4) == BLOCK + b"next"


async def test_several_writers(sockets: Ends) -> None:
    """The bytes of concurrent writers are not mixed."""
    transport, theirs = sockets
    async with trio.open_nursery() as nursery:
        nursery.start_soon(transport.send_all, BLOCK)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(transport.send_all, b"2" * 10)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(transport.send_all, b"3" * 10)
        await trio.testing.wait_all_tasks_blocked()
        expected = BLOCK + b"2" * 10 + b"3" * 10
        assert await receive_exactly(theirs, len(expected)) == expected


async def test_reset(sockets: Ends) -> None:
    """After a failed write, the transport is broken and accepts nothing."""
    transport, theirs = sockets
    await theirs.aclose()
    with pytest.raises(trio.BrokenResourceError):
        await transport.send_all(BLOCK)
    assert transport.broken
    with pytest.raises(trio.BrokenResourceError):
        await transport.send_all(b"x")
    await transport.drain_and_wait_eof()


async def test_reset_while_waiting(sockets: Ends) -> None:
    """A writer that waits for room gets the error of a broken transport."""
    transport, theirs = sockets
    async with trio.open_nursery() as nursery:
        nursery.start_soon(expect_broken, transport)
        await trio.testing.wait_all_tasks_blocked()
        await theirs.aclose()


async def expect_broken(transport: Transport) -> None:
    """Send until it fails."""
    with pytest.raises(trio.BrokenResourceError):
        await transport.send_all(BLOCK)


async def test_closed(sockets: Ends) -> None:
    """A closed transport drops its descriptor, whose number may be reused."""
    transport, _ = sockets
    await transport.aclose()
    with pytest.raises(trio.ClosedResourceError):
        await transport.receive_some(100)
    with pytest.raises(trio.ClosedResourceError):
        await transport.send_all(b"x")


async def test_closed_while_waiting(sockets: Ends) -> None:
    """A task that waits for a closed transport is woken."""
    transport, _ = sockets
    async with trio.open_nursery() as nursery:
        nursery.start_soon(expect_closed, partial(transport.receive_some, 100))
        nursery.start_soon(expect_closed, partial(transport.send_all, BLOCK))
        await trio.testing.wait_all_tasks_blocked()
        await transport.aclose()


async def expect_closed(use: Callable[[], Awaitable[object]]) -> None:
    """Use a transport until it is closed."""
    with pytest.raises(trio.ClosedResourceError):
        await use()


async def test_spurious_readiness(sockets: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket that is readable, and then has no data, is waited for again."""
    transport, theirs = sockets
    surprises = [BlockingIOError()]

    class Os:
        """System calls, the first of which finds no data."""

        @staticmethod
        def read(descriptor: int, size: int) -> bytes:
            if surprises:
                raise surprises.pop()
            return os.read(descriptor, size)

    monkeypatch.setattr(wires_module, "os", Os)
    await theirs.send_all(b"there")
    assert await transport.receive_some(100) == b"there"


async def test_read_fails(sockets: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read that the kernel refuses breaks the transport."""
    transport, theirs = sockets

    class Os:
        """System calls on a connection that was reset."""

        @staticmethod
        def read(descriptor: int, size: int) -> bytes:
            raise ConnectionResetError(errno.ECONNRESET, "reset")

    monkeypatch.setattr(wires_module, "os", Os)
    await theirs.send_all(b"lost")
    with pytest.raises(trio.BrokenResourceError):
        await transport.receive_some(100)
    assert transport.broken


@pytest.mark.parametrize("watched", [True, False])
async def test_hangup(nursery: trio.Nursery, autojump_clock: object, *, watched: bool) -> None:
    """A hang-up is noticed behind unread data, or never without epoll."""
    ours, theirs = (trio.SocketStream(end) for end in trio.socket.socketpair())
    async with ours, theirs:
        with open_epoll_reader() as reader:
            assert reader is not None
            transport = wrap_stream(ours, nursery, reader if watched else None)
            await theirs.send_all(b"unread")
            await theirs.aclose()
            async with trio.open_nursery() as watching:
                watching.start_soon(reader.run)
                with trio.move_on_after(1000) as scope:
                    await transport.wait_hangup()
                watching.cancel_scope.cancel()
        assert scope.cancelled_caught is not watched
        assert not transport.broken
        assert transport.look(100) == b"unread"


async def test_hangup_beyond_the_limit_of_epoll(
    nursery: trio.Nursery, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the kernel refuses to watch another socket, a hang-up goes unnoticed without a failure."""

    async def refuse(self: EpollReader, fd: int) -> bool:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(EpollReader, "wait_hangup", refuse)
    ours, theirs = (trio.SocketStream(end) for end in trio.socket.socketpair())
    async with ours, theirs:
        with open_epoll_reader() as reader:
            transport = wrap_stream(ours, nursery, reader)
            with trio.move_on_after(1000) as scope:
                await transport.wait_hangup()
    assert scope.cancelled_caught
    assert not transport.broken


async def test_stream_transport(nursery: trio.Nursery) -> None:
    """Over any stream, a cancelled writer's bytes arrive whole and first."""
    ours, theirs = trio.testing.lockstep_stream_pair()
    transport = StreamTransport(ours, nursery)
    nursery.start_soon(transport.send_all, b"first")
    await trio.testing.wait_all_tasks_blocked()
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as writers:
            writers.start_soon(transport.send_all, b"second")
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
    nursery.start_soon(transport.send_all, b"third")
    assert await receive_exactly(theirs, 16) == b"firstsecondthird"


async def test_stream_transport_breaks(nursery: trio.Nursery) -> None:
    """Over any stream, a failed write breaks the transport, and the wait for the end returns."""
    ours, theirs = trio.testing.memory_stream_pair()
    transport = StreamTransport(ours, nursery)
    await theirs.aclose()
    await expect_broken(transport)
    assert transport.broken
    await trio.aclose_forcefully(transport)
    await transport.drain_and_wait_eof()


async def test_broken_keeps_nothing(sockets: Ends) -> None:
    """Data for a broken transport is not kept, however much was sent before."""
    transport, theirs = sockets
    assert not transport.try_send(BLOCK)
    await theirs.aclose()
    for _ in range(3):
        with pytest.raises(trio.BrokenResourceError):
            transport.try_send(BLOCK)
        assert not transport.write_blocked


async def test_two_writers_of_a_broken_transport(
    sockets: Ends,
) -> None:
    """Each of several waiting writers gets the error of a broken transport."""
    transport, theirs = sockets
    async with trio.open_nursery() as nursery:
        nursery.start_soon(expect_broken, transport)
        nursery.start_soon(expect_broken, transport)
        await trio.testing.wait_all_tasks_blocked()
        await theirs.aclose()
