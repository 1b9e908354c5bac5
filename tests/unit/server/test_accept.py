"""Accepting waits in the epoll reader, so that lingering of the reader does not delay it."""

from __future__ import annotations

import errno
import socket
from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing

from relay.server.accept import MAX_BURST, AcceptErrors, accept, accept_available
from relay.transport.accepted_socket import Accepted, AcceptedSocket
from relay.transport.backlog import Backlog
from relay.transport.epoll_reader import open_epoll_reader
from tests.support.relay_fixtures import MemoryListener


class RecordingReader:
    """An epoll reader that records the descriptors waited for, and fails if it is ``full``."""

    def __init__(self, *, full: bool = False) -> None:
        self.waited: list[int] = []
        self._full = full

    async def wait_readable(self, fd: int) -> None:
        """Wait until a descriptor is readable."""
        self.waited.append(fd)
        if self._full:
            raise OSError(errno.ENOSPC, "no space left in the epoll set")
        await trio.lowlevel.wait_readable(fd)


@pytest.fixture
async def listener() -> AsyncIterator[trio.SocketListener]:
    """Return a listener on loopback."""
    [opened] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with opened:
        yield opened


@pytest.mark.parametrize("full", [False, True])
async def test_socket(listener: trio.SocketListener, nursery: trio.Nursery, *, full: bool) -> None:
    """The reader waits for each connection. If its set is full, the listener itself waits."""
    reader, accepted = RecordingReader(full=full), list[trio.abc.Stream]()
    fd, port = listener.socket.fileno(), listener.socket.getsockname()[1]
    await nursery.start(accept, [listener], accepted.append, reader)
    for count in (1, 2):
        async with await trio.open_tcp_stream("127.0.0.1", port):
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert len(accepted) == count
            await accepted[-1].aclose()
    assert reader.waited == [fd] * 3
    nursery.cancel_scope.cancel()


async def test_other_listeners(nursery: trio.Nursery) -> None:
    """A listener without a socket waits itself."""
    reader, accepted = RecordingReader(), list[trio.abc.Stream]()
    listener = MemoryListener()
    await nursery.start(accept, [listener], accepted.append, reader)
    await listener.connect(trio.testing.memory_stream_pair)
    await trio.testing.wait_all_tasks_blocked()
    assert len(accepted) == 1
    assert not reader.waited
    nursery.cancel_scope.cancel()


async def test_wait_readable(listener: trio.SocketListener, nursery: trio.Nursery) -> None:
    """Waiting for a connection does not accept it, and may be cancelled and repeated."""
    fd, port = listener.socket.fileno(), listener.socket.getsockname()[1]
    with open_epoll_reader() as reader:
        assert reader is not None
        nursery.start_soon(reader.run)
        with trio.move_on_after(0.01) as timeout:
            await reader.wait_readable(fd)
        assert timeout.cancelled_caught
        async with await trio.open_tcp_stream("127.0.0.1", port):
            for _ in range(2):
                with trio.fail_after(5):
                    await reader.wait_readable(fd)
        nursery.cancel_scope.cancel()


async def test_backlog(listener: trio.SocketListener, nursery: trio.Nursery) -> None:
    """Connections that are in the backlog already are accepted without waiting."""
    reader, accepted = RecordingReader(), list[trio.abc.Stream]()
    port = listener.socket.getsockname()[1]
    clients = [await trio.open_tcp_stream("127.0.0.1", port) for _ in range(3)]
    await nursery.start(accept, [listener], accepted.append, reader)
    await trio.testing.wait_all_tasks_blocked(0.01)
    assert len(accepted) == 3
    assert len(reader.waited) == 1
    for stream in (*accepted, *clients):
        await stream.aclose()
    nursery.cancel_scope.cancel()


class LongBacklog(Backlog):
    """A backlog that always has a connection."""

    def __init__(self) -> None:
        self.sockets: list[AcceptedSocket] = []

    def accept(self) -> AcceptedSocket:
        self.sockets.append(AcceptedSocket(socket.socket()))
        return self.sockets[-1]


async def test_burst() -> None:
    """Other tasks run after each burst of connections from a long backlog."""
    backlog, accepted = LongBacklog(), list[Accepted]()
    with trio.testing.assert_checkpoints(), open_epoll_reader() as reader:
        assert reader is not None
        assert await accept_available(backlog, accepted.append, reader)
    assert accepted == backlog.sockets
    assert len(accepted) == MAX_BURST
    for stream in accepted:
        await stream.aclose()


async def test_failed_accept(
    listener: trio.SocketListener, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a failed accept, the listener itself accepts, because it knows which errors matter."""
    accepted, errors = list[trio.abc.Stream](), AcceptErrors()
    monkeypatch.setattr(socket.socket, "accept", fail)
    port = listener.socket.getsockname()[1]
    async with await trio.open_tcp_stream("127.0.0.1", port):
        await nursery.start(accept, [listener], accepted.append, RecordingReader(), errors)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert len(accepted) == 1
        assert not errors.count
        await accepted[0].aclose()
    nursery.cancel_scope.cancel()


def fail(_: socket.socket) -> tuple[socket.socket, object]:
    """Fail like an accept of a connection that was aborted."""
    raise ConnectionAbortedError
