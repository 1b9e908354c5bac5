"""One task reads for whoever left it a call, and wakes them when the call says so."""

from __future__ import annotations

import gc
import os
import select
import socket
import struct
import weakref
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest
import trio
import trio.testing

from relay.lookout import Lookout, open_lookout
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
    with open_lookout() as opened:
        assert opened is not None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(opened.watch)
            yield opened
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


async def test_a_failure_keeps_nobody(lookout: Lookout) -> None:
    """What was raised is gone with whoever waited, without the cyclic garbage collector."""

    class Fails:
        def __call__(self, data: bytes) -> bool:
            raise ZeroDivisionError

    fails = Fails()
    gone = weakref.ref(fails)
    gc.disable()
    try:
        with connected() as (fd, theirs):
            theirs.send(b"something")
            with pytest.raises(ZeroDivisionError):
                await lookout.read_until(fd, fails, SIZE)
            del fails
            assert gone() is None
    finally:
        gc.enable()


async def test_the_last_one_is_forgotten(lookout: Lookout) -> None:
    """Whoever was read last is not kept until something else comes."""
    taker = Taker()
    gone = weakref.ref(taker)
    with connected() as (fd, theirs):
        theirs.send(b"enough")
        await lookout.read_until(fd, taker, SIZE)
        del taker
        assert gone() is None


async def test_closed_by_somebody_else(lookout: Lookout, nursery: trio.Nursery) -> None:
    """A number that the system gave to another one is that one's, and the first can be ended."""
    first, second, scope = Taker(), Taker(), trio.CancelScope()

    async def wait(fd: int) -> None:
        with scope:
            await lookout.read_until(fd, first, SIZE)

    with connected() as (fd, _):
        nursery.start_soon(wait, fd)
        await trio.testing.wait_all_tasks_blocked()
        with connected() as (another, theirs):
            os.dup2(another, fd)
            nursery.start_soon(lookout.read_until, fd, second, SIZE)
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
            theirs.send(b"enough")
            await trio.testing.wait_all_tasks_blocked(0.01)
    assert (first.taken, second.taken) == ([], [b"enough"])


async def test_closed_and_cancelled(lookout: Lookout) -> None:
    """Whoever waits for a descriptor that is closed already can be cancelled like any other."""
    with trio.CancelScope() as scope, connected() as (fd, _):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lookout.read_until, fd, Taker(), SIZE)
            await trio.testing.wait_all_tasks_blocked()
            os.dup2(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC), fd)
            scope.cancel()
    assert scope.cancelled_caught


async def test_it_ends_first() -> None:
    """If the lookout fails, whoever waits in it is cancelled, and nothing else comes of it."""
    with open_lookout() as opened, connected() as (fd, theirs):
        assert opened is not None

        def interrupt(_: bytes) -> bool:
            raise KeyboardInterrupt

        async def run() -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(opened.watch)
                nursery.start_soon(opened.read_until, fd, interrupt, SIZE)

        theirs.send(b"something")
        with pytest.raises(BaseExceptionGroup) as caught:
            await run()
        assert caught.group_contains(KeyboardInterrupt)


async def test_without_epoll(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system has no epoll there is no lookout."""
    monkeypatch.delattr(select, "epoll")
    with open_lookout() as opened:
        assert opened is None


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
