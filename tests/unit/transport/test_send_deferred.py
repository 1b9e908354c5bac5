"""Deferred bytes are sent between frames, and only the latest ones."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
import trio
import trio.testing

from relay.transport.base import Transport
from relay.transport.wrap import wrap_stream
from tests.support.tls_peers import over_tls

BLOCK = bytes(range(256)) * 4096  # 1 MiB, more than a socket takes at once

Ends = tuple[Transport, trio.abc.Stream]


@pytest.fixture(params=["socket", "TLS", "memory"])
async def ends(request: pytest.FixtureRequest, nursery: trio.Nursery) -> AsyncIterator[Ends]:
    """Return a transport, and the other end of its stream, which does not read by itself."""
    ours: trio.abc.Stream
    theirs: trio.abc.Stream
    if request.param == "memory":
        ours, theirs = trio.testing.lockstep_stream_pair()
        transport = wrap_stream(ours, nursery)
    elif request.param == "socket":
        ours, theirs = sockets()
        transport = wrap_stream(ours, nursery)
    else:
        transport, theirs = await over_tls(*sockets(), nursery)
    async with theirs:
        yield transport, theirs
        await trio.aclose_forcefully(transport)


def sockets() -> tuple[trio.SocketStream, trio.SocketStream]:
    """Return both ends of a connection."""
    ours, theirs = trio.socket.socketpair()
    return trio.SocketStream(ours), trio.SocketStream(theirs)


async def receive(stream: trio.abc.ReceiveStream, size: int) -> bytes:
    """Receive so many bytes."""
    data = b""
    while len(data) < size:
        data += await stream.receive_some(size - len(data))
    return data


async def test_room(ends: Ends) -> None:
    """A socket with room gets the bytes at once, and the transport is not blocked."""
    transport, theirs = ends
    assert not transport.write_blocked
    transport.send_deferred(b"first")
    transport.send_deferred(b"second")
    assert await receive(theirs, 11) == b"firstsecond"
    await trio.testing.wait_all_tasks_blocked()
    assert not transport.write_blocked


async def test_latest(ends: Ends) -> None:
    """Deferred bytes wait behind pending data, and a later call replaces them."""
    transport, theirs = ends
    async with trio.open_nursery() as nursery:
        nursery.start_soon(transport.send_all, BLOCK)
        await trio.testing.wait_all_tasks_blocked()
        assert transport.write_blocked
        transport.send_deferred(b"first")
        transport.send_deferred(b"latest")
        assert await receive(theirs, len(BLOCK) + 6) == BLOCK + b"latest"
    await trio.testing.wait_all_tasks_blocked()
    assert not transport.write_blocked
    await expect_nothing(theirs)


async def test_between_writers(ends: Ends) -> None:
    """Deferred bytes precede the data of later writers."""
    transport, theirs = ends
    async with trio.open_nursery() as nursery:
        nursery.start_soon(transport.send_all, BLOCK)
        await trio.testing.wait_all_tasks_blocked()
        transport.send_deferred(b"soon")
        nursery.start_soon(transport.send_all, b"later")
        assert await receive(theirs, len(BLOCK) + 9) == BLOCK + b"soonlater"


async def test_no_room(nursery: trio.Nursery) -> None:
    """A socket without room gets the bytes as soon as it has room, although no writer waits."""
    ours, theirs = sockets()
    async with ours, theirs:
        transport, size = wrap_stream(ours, nursery), 0
        with suppress(BlockingIOError):
            while True:
                size += os.write(ours.socket.fileno(), b"x")
        transport.send_deferred(b"soon")
        assert transport.write_blocked
        transport.send_deferred(b"latest")
        assert await receive(theirs, size + 10) == b"x" * size + b"soonlatest"
        assert not transport.write_blocked


async def test_queued(nursery: trio.Nursery) -> None:
    """A transport knows the unsent bytes of its socket; for a memory stream it knows none."""
    ours, theirs = sockets()
    async with ours, theirs:
        await wrap_stream(ours, nursery).send_all(b"on its way")
        assert wrap_stream(ours, nursery).unsent_bytes > 0
    assert wrap_stream(trio.testing.memory_stream_pair()[0], nursery).unsent_bytes == 0


async def test_broken(ends: Ends) -> None:
    """A failed write raises nothing."""
    transport, theirs = ends
    await trio.aclose_forcefully(theirs)
    transport.send_deferred(b"in vain")
    await trio.testing.wait_all_tasks_blocked()
    assert transport.broken
    transport.send_deferred(b"in vain")
    await trio.testing.wait_all_tasks_blocked()


async def test_closed(ends: Ends) -> None:
    """A closed transport raises nothing either, also if it is closed while bytes wait."""
    transport, _ = ends
    async with trio.open_nursery() as nursery:
        nursery.start_soon(fail, transport)
        await trio.testing.wait_all_tasks_blocked()
        transport.send_deferred(b"in vain")
        await trio.aclose_forcefully(transport)
    transport.send_deferred(b"in vain")
    await trio.testing.wait_all_tasks_blocked()


async def fail(transport: Transport) -> None:
    """Send until the transport is closed."""
    with suppress(trio.ClosedResourceError, trio.BrokenResourceError):
        await transport.send_all(BLOCK)


async def expect_nothing(stream: trio.abc.ReceiveStream) -> None:
    """Assert that nothing more is sent."""
    with trio.move_on_after(0) as nothing:
        await stream.receive_some(1)
    assert nothing.cancelled_caught
