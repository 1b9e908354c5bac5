"""What a wire sends without being waited for lands at a frame border, and the latest counts."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
import trio
import trio.testing

from relay.transport.base import Wire
from relay.transport.wrap import open_wire
from tests.support.tls_peers import over_tls

BLOCK = bytes(range(256)) * 4096  # 1 MiB, more than a socket takes at once

Ends = tuple[Wire, trio.abc.Stream]


@pytest.fixture(params=["socket", "TLS", "memory"])
async def ends(request: pytest.FixtureRequest, nursery: trio.Nursery) -> AsyncIterator[Ends]:
    """Return a wire, and the other end of its stream, which takes nothing by itself."""
    ours: trio.abc.Stream
    theirs: trio.abc.Stream
    if request.param == "memory":
        ours, theirs = trio.testing.lockstep_stream_pair()
        wire = open_wire(ours, nursery)
    elif request.param == "socket":
        ours, theirs = sockets()
        wire = open_wire(ours, nursery)
    else:
        wire, theirs = await over_tls(*sockets(), nursery)
    async with theirs:
        yield wire, theirs
        await trio.aclose_forcefully(wire)


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
    """Where there is room it goes out at once, and nothing is blocked afterwards."""
    wire, theirs = ends
    assert not wire.blocked
    wire.send_soon(b"first")
    wire.send_soon(b"second")
    assert await receive(theirs, 11) == b"firstsecond"
    await trio.testing.wait_all_tasks_blocked()
    assert not wire.blocked


async def test_latest(ends: Ends) -> None:
    """While data waits, it is kept for behind that, and a later call replaces it."""
    wire, theirs = ends
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wire.send_all, BLOCK)
        await trio.testing.wait_all_tasks_blocked()
        assert wire.blocked
        wire.send_soon(b"first")
        wire.send_soon(b"latest")
        assert await receive(theirs, len(BLOCK) + 6) == BLOCK + b"latest"
    await trio.testing.wait_all_tasks_blocked()
    assert not wire.blocked
    await expect_nothing(theirs)


async def test_between_writers(ends: Ends) -> None:
    """It comes before what others send later."""
    wire, theirs = ends
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wire.send_all, BLOCK)
        await trio.testing.wait_all_tasks_blocked()
        wire.send_soon(b"soon")
        nursery.start_soon(wire.send_all, b"later")
        assert await receive(theirs, len(BLOCK) + 9) == BLOCK + b"soonlater"


async def test_no_room(nursery: trio.Nursery) -> None:
    """Where there is no room though nobody waits, it goes out as soon as there is."""
    ours, theirs = sockets()
    async with ours, theirs:
        wire, size = open_wire(ours, nursery), 0
        with suppress(BlockingIOError):
            while True:
                size += os.write(ours.socket.fileno(), b"x")
        wire.send_soon(b"soon")
        assert wire.blocked
        wire.send_soon(b"latest")
        assert await receive(theirs, size + 10) == b"x" * size + b"soonlatest"
        assert not wire.blocked


async def test_queued(nursery: trio.Nursery) -> None:
    """A wire tells what its socket has not got rid of; of memory nothing is known."""
    ours, theirs = sockets()
    async with ours, theirs:
        await open_wire(ours, nursery).send_all(b"on its way")
        assert open_wire(ours, nursery).queued > 0
    assert open_wire(trio.testing.memory_stream_pair()[0], nursery).queued == 0


async def test_broken(ends: Ends) -> None:
    """What goes wrong is not its matter."""
    wire, theirs = ends
    await trio.aclose_forcefully(theirs)
    wire.send_soon(b"in vain")
    await trio.testing.wait_all_tasks_blocked()
    assert wire.broken
    wire.send_soon(b"in vain")
    await trio.testing.wait_all_tasks_blocked()


async def test_closed(ends: Ends) -> None:
    """Nor is that the wire is closed, also while it waits."""
    wire, _ = ends
    async with trio.open_nursery() as nursery:
        nursery.start_soon(fail, wire)
        await trio.testing.wait_all_tasks_blocked()
        wire.send_soon(b"in vain")
        await trio.aclose_forcefully(wire)
    wire.send_soon(b"in vain")
    await trio.testing.wait_all_tasks_blocked()


async def fail(wire: Wire) -> None:
    """Send until the wire is closed."""
    with suppress(trio.ClosedResourceError, trio.BrokenResourceError):
        await wire.send_all(BLOCK)


async def expect_nothing(stream: trio.abc.ReceiveStream) -> None:
    """See to it that nothing more is sent."""
    with trio.move_on_after(0) as nothing:
        await stream.receive_some(1)
    assert nothing.cancelled_caught
