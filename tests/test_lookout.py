"""One task reads for whoever left it a call, and wakes them when the call says so."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest
import trio
import trio.testing

from relay.lookout import Lookout
from relay.wires import open_wire

SIZE = 100
RESET = struct.pack("ii", 1, 0)
"""Linger for no time: closing resets the connection."""


@contextmanager
def connected() -> Iterator[tuple[int, socket.socket]]:
    """Yield a descriptor to be read, and the socket at its other end."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        yield ours.fileno(), theirs


@pytest.fixture
async def lookout() -> AsyncIterator[Lookout]:
    """Return a lookout that watches."""
    async with trio.open_nursery() as nursery:
        watching = Lookout()
        nursery.start_soon(watching.watch)
        yield watching
        nursery.cancel_scope.cancel()


class Taker:
    """Takes what comes, and has enough of it at a word."""

    def __init__(self, enough: bytes = b"enough") -> None:
        self.taken: list[bytes] = []
        self._enough = enough

    def __call__(self, data: bytes) -> bool:
        self.taken.append(data)
        return data == self._enough


async def test_until_enough(lookout: Lookout, nursery: trio.Nursery) -> None:
    """What comes is given to the call; its task sleeps until the call returns True."""
    taker, woken = Taker(), trio.Event()

    async def wait(fd: int) -> None:
        await lookout.read_until(fd, taker, SIZE)
        woken.set()

    with connected() as (fd, theirs):
        nursery.start_soon(wait, fd)
        for data in (b"one", b"two"):
            theirs.send(data)
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert taker.taken[-1] == data
            assert not woken.is_set()
        theirs.send(b"enough")
        await woken.wait()
        theirs.send(b"more")
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert taker.taken == [b"one", b"two", b"enough"]
        assert os.read(fd, SIZE) == b"more"


async def test_max_bytes(lookout: Lookout) -> None:
    """No more than max_bytes is read at once, and the rest with the next call."""
    taker = Taker(b"cc")
    with connected() as (fd, theirs):
        theirs.send(b"aabbcc")
        await lookout.read_until(fd, taker, 2)
    assert taker.taken == [b"aa", b"bb", b"cc"]


async def test_again(lookout: Lookout) -> None:
    """Whoever was woken may wait for the same descriptor again."""
    taker = Taker()
    with connected() as (fd, theirs):
        for _ in range(3):
            theirs.send(b"enough")
            await lookout.read_until(fd, taker, SIZE)
    assert taker.taken == [b"enough"] * 3


async def test_end_of_the_stream(lookout: Lookout) -> None:
    """The end of a stream is given to the call as no bytes."""
    taker = Taker(b"")
    with connected() as (fd, theirs):
        theirs.send(b"last")
        theirs.close()
        await lookout.read_until(fd, taker, SIZE)
    assert taker.taken == [b"last", b""]


async def test_cancelled(lookout: Lookout) -> None:
    """Whoever is cancelled loses nothing, is called no more, and may wait again."""
    taker = Taker(b"late")
    with connected() as (fd, theirs):
        with trio.move_on_after(0.01) as scope:
            await lookout.read_until(fd, taker, SIZE)
        assert scope.cancelled_caught
        theirs.send(b"late")
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert taker.taken == []
        await lookout.read_until(fd, taker, SIZE)
    assert taker.taken == [b"late"]


async def test_one_ends_another(lookout: Lookout) -> None:
    """A call may end the wait for a descriptor that has something to read in the same moment."""
    called = []
    with connected() as (one, ones), connected() as (two, twos):
        async with trio.open_nursery() as nursery:

            def take(data: bytes) -> bool:
                called.append(data)
                nursery.cancel_scope.cancel()
                return False

            for fd in (one, two):
                nursery.start_soon(lookout.read_until, fd, take, SIZE)
            await trio.testing.wait_all_tasks_blocked()
            ones.send(b"something")
            twos.send(b"something")
    assert called == [b"something"]


async def test_a_call_that_raises(lookout: Lookout) -> None:
    """What a call raises is raised where somebody waits for it, and the lookout goes on."""

    def fail(_: bytes) -> bool:
        raise ZeroDivisionError

    with connected() as (fd, theirs):
        theirs.send(b"enough")
        with pytest.raises(ZeroDivisionError):
            await lookout.read_until(fd, fail, SIZE)
        theirs.send(b"enough")
        await lookout.read_until(fd, Taker(), SIZE)


async def test_nothing_to_read_after_all(lookout: Lookout, monkeypatch: pytest.MonkeyPatch) -> None:
    """That there is something to read is a hint; the call is for what there is."""
    taker, reads, really_read = Taker(), 0, os.read

    def read(fd: int, size: int) -> bytes:
        nonlocal reads
        reads += 1
        if reads == 1:
            raise BlockingIOError
        return really_read(fd, size)

    with connected() as (fd, theirs):
        monkeypatch.setattr(os, "read", read)
        theirs.send(b"enough")
        await lookout.read_until(fd, taker, SIZE)
    assert taker.taken == [b"enough"]


async def pair_of_streams() -> tuple[trio.SocketStream, trio.SocketStream]:
    """Return two ends of a connection on TCP, which can be reset."""
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        theirs = await trio.open_tcp_stream("127.0.0.1", listener.socket.getsockname()[1])
        return await listener.accept(), theirs


@pytest.mark.parametrize("watched", [True, False])
async def test_wire(lookout: Lookout, nursery: trio.Nursery, *, watched: bool) -> None:
    """A wire gives first what was put back, and does the same with a lookout and without."""
    ours, theirs = await pair_of_streams()
    async with ours, theirs:
        wire = open_wire(ours, nursery, lookout if watched else None)
        taker = Taker(b"ack")
        wire.unread(b"put back")
        await theirs.send_all(b"ack")
        await wire.receive_until(taker, 5)
        assert taker.taken == [b"put b", b"ack"]
        await wire.receive_until(taker, 5)
        assert taker.taken == [b"put b", b"ack", b"ack"]


@pytest.mark.parametrize("watched", [True, False])
async def test_wire_that_breaks(lookout: Lookout, nursery: trio.Nursery, *, watched: bool) -> None:
    """A reset is trio's BrokenResourceError, and noted."""
    ours, theirs = await pair_of_streams()
    async with ours:
        wire = open_wire(ours, nursery, lookout if watched else None)
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        await theirs.aclose()
        with pytest.raises(trio.BrokenResourceError):
            await wire.receive_until(Taker(), SIZE)
        assert wire.broken
    with pytest.raises(trio.BrokenResourceError):
        await wire.send_all(b"gone")
