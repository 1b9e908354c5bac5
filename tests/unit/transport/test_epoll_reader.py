"""One task reads for all waiting tasks, and wakes a task when its function returns True."""

from __future__ import annotations

import gc
import os
import select
import socket
import struct
import weakref
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import pytest
import trio
import trio.testing

from relay.transport import epoll_reader as epoll_module
from relay.transport.epoll_reader import TURN, EpollReader, open_epoll_reader
from relay.transport.read_size import MIN_READ, READ_SIZE, READ_TIME, ReadSize
from relay.transport.wrap import wrap_stream

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
async def reader() -> AsyncIterator[EpollReader]:
    """Return an epoll reader that runs."""
    with open_epoll_reader() as opened:
        assert opened is not None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(opened.run)
            yield opened
            nursery.cancel_scope.cancel()


class Taker:
    """Function that collects data until it has enough."""

    def __init__(self, enough: bytes = b"enough") -> None:
        self.taken: list[bytes] = []
        self._enough = enough

    def __call__(self, data: bytes) -> bool:
        self.taken.append(data)
        return data == self._enough


async def test_until_enough(reader: EpollReader, nursery: trio.Nursery) -> None:
    """Received data is passed to the function; the task sleeps until the function returns True."""
    taker, woken = Taker(), trio.Event()

    async def wait(fd: int) -> None:
        await reader.read_until(fd, taker, SIZE, ReadSize())
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


async def test_max_bytes(reader: EpollReader) -> None:
    """No more than max_bytes is read at once, and the rest with the next call."""
    taker = Taker(b"cc")
    with connected() as (fd, theirs):
        theirs.send(b"aabbcc")
        await reader.read_until(fd, taker, 2, ReadSize())
    assert taker.taken == [b"aa", b"bb", b"cc"]


async def test_again(reader: EpollReader) -> None:
    """A task that was woken may wait for the same descriptor again."""
    taker = Taker()
    with connected() as (fd, theirs):
        for _ in range(3):
            theirs.send(b"enough")
            await reader.read_until(fd, taker, SIZE, ReadSize())
    assert taker.taken == [b"enough"] * 3


async def test_end_of_the_stream(reader: EpollReader) -> None:
    """The end of a stream is passed to the function as no bytes."""
    taker = Taker(b"")
    with connected() as (fd, theirs):
        theirs.send(b"last")
        theirs.close()
        await reader.read_until(fd, taker, SIZE, ReadSize())
    assert taker.taken == [b"last", b""]


async def test_cancelled(reader: EpollReader) -> None:
    """A cancelled wait loses no data, calls no function, and can be repeated."""
    taker = Taker(b"late")
    with connected() as (fd, theirs):
        with trio.move_on_after(0.01) as scope:
            await reader.read_until(fd, taker, SIZE, ReadSize())
        assert scope.cancelled_caught
        theirs.send(b"late")
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert taker.taken == []
        await reader.read_until(fd, taker, SIZE, ReadSize())
    assert taker.taken == [b"late"]


async def test_one_ends_another(reader: EpollReader) -> None:
    """A function may end the wait for another descriptor that is ready in the same moment."""
    called = []
    with connected() as (one, ones), connected() as (two, twos):
        async with trio.open_nursery() as nursery:

            def take(data: bytes) -> bool:
                called.append(data)
                nursery.cancel_scope.cancel()
                return False

            for fd in (one, two):
                nursery.start_soon(reader.read_until, fd, take, SIZE, ReadSize())
            await trio.testing.wait_all_tasks_blocked()
            ones.send(b"something")
            twos.send(b"something")
    assert called == [b"something"]


async def test_a_call_that_raises(reader: EpollReader) -> None:
    """An exception of the function is raised in the waiting task, and the epoll reader goes on."""

    def fail(_: bytes) -> bool:
        raise ZeroDivisionError

    with connected() as (fd, theirs):
        theirs.send(b"enough")
        with pytest.raises(ZeroDivisionError):
            await reader.read_until(fd, fail, SIZE, ReadSize())
        theirs.send(b"enough")
        await reader.read_until(fd, Taker(), SIZE, ReadSize())


async def test_nothing_to_read_after_all(
    reader: EpollReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ready descriptor without data does not call the function."""
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
        await reader.read_until(fd, taker, SIZE, ReadSize())
    assert taker.taken == [b"enough"]


async def test_a_failure_keeps_nobody(reader: EpollReader) -> None:
    """A raised exception is freed with the waiting task, without the cyclic garbage collector."""

    class Fails:
        def __call__(self, data: bytes) -> bool:
            raise ZeroDivisionError

    fails = Fails()
    reference = weakref.ref(fails)
    gc.disable()
    try:
        with connected() as (fd, theirs):
            theirs.send(b"something")
            with pytest.raises(ZeroDivisionError):
                await reader.read_until(fd, fails, SIZE, ReadSize())
            del fails
            assert reference() is None
    finally:
        gc.enable()


async def test_last_registration_is_freed(reader: EpollReader) -> None:
    """The registration that was read last is not kept until the next event."""
    taker = Taker()
    reference = weakref.ref(taker)
    with connected() as (fd, theirs):
        theirs.send(b"enough")
        await reader.read_until(fd, taker, SIZE, ReadSize())
        del taker
        assert reference() is None


async def test_closed_descriptor(reader: EpollReader, nursery: trio.Nursery) -> None:
    """A descriptor number that the kernel gave to another socket is that socket's."""
    first, second, scope = Taker(), Taker(), trio.CancelScope()

    async def wait(fd: int) -> None:
        with scope:
            await reader.read_until(fd, first, SIZE, ReadSize())

    with connected() as (fd, _):
        nursery.start_soon(wait, fd)
        await trio.testing.wait_all_tasks_blocked()
        with connected() as (another, theirs):
            os.dup2(another, fd)
            nursery.start_soon(reader.read_until, fd, second, SIZE, ReadSize())
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
            theirs.send(b"enough")
            await trio.testing.wait_all_tasks_blocked(0.01)
    assert (first.taken, second.taken) == ([], [b"enough"])


async def test_closed_and_cancelled(reader: EpollReader) -> None:
    """A wait for a closed descriptor can be cancelled like any other."""
    with trio.CancelScope() as scope, connected() as (fd, _):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(reader.read_until, fd, Taker(), SIZE, ReadSize())
            await trio.testing.wait_all_tasks_blocked()
            os.dup2(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC), fd)
            scope.cancel()
    assert scope.cancelled_caught


async def test_copy_of_a_closed_descriptor(reader: EpollReader) -> None:
    """Data for a descriptor that another owner replaced disturbs no other wait."""
    with connected() as (fd, theirs), connected() as (other, others):
        copy = os.dup(fd)  # the set keeps its entry as long as there is a copy
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(reader.read_until, fd, Taker(), SIZE, ReadSize())
                await trio.testing.wait_all_tasks_blocked()
                os.dup2(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC), fd)
                nursery.cancel_scope.cancel()
            theirs.send(b"for nobody")
            others.send(b"enough")
            taker = Taker()
            with trio.fail_after(5):
                await reader.read_until(other, taker, SIZE, ReadSize())
        finally:
            os.close(copy)
    assert taker.taken == [b"enough"]


async def test_reader_ends_first() -> None:
    """If the epoll reader fails, the waiting tasks are cancelled, without another exception."""
    with open_epoll_reader() as opened, connected() as (fd, theirs):
        assert opened is not None

        def interrupt(_: bytes) -> bool:
            raise KeyboardInterrupt

        async def run() -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(opened.run)
                nursery.start_soon(opened.read_until, fd, interrupt, SIZE, ReadSize())

        theirs.send(b"something")
        with pytest.raises(BaseExceptionGroup) as caught:
            await run()
        assert caught.group_contains(KeyboardInterrupt)


class Clock:
    """Clock that a test advances."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(epoll_module, "perf_counter", lambda: self.now)


async def test_time_bounds_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tasks run after each turn, and the next turn starts with the remaining sockets."""
    clock, reads, most, turns = Clock(monkeypatch), list[int](), 0, 0
    with open_epoll_reader() as opened, ExitStack() as stack:
        assert opened is not None
        async with trio.open_nursery() as nursery:

            def take(number: int, _: bytes) -> bool:
                reads.append(number)
                clock.now += TURN / 4
                return False

            for number in range(11):
                fd, theirs = stack.enter_context(connected())
                theirs.send(bytes(10 * SIZE))
                nursery.start_soon(opened.read_until, fd, partial(take, number), 1, ReadSize())
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(opened.run)
            while len(reads) < 33:
                before = len(reads)
                await trio.lowlevel.checkpoint()
                most, turns = max(most, len(reads) - before), turns + 1
            nursery.cancel_scope.cancel()
    assert (
        most <= 2 * 4
    )  # two turns, if trio ran the reader last in one round and first in the next
    assert turns >= 4
    for start in (0, 11, 22):
        assert sorted(reads[start : start + 11]) == list(range(11))


async def test_expensive_reads_become_small(
    reader: EpollReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A side whose data is expensive gets smaller reads, and larger ones afterwards."""
    clock, sizes, size = Clock(monkeypatch), list[int](), ReadSize()
    cost = 1e-6

    def take(data: bytes) -> bool:
        sizes.append(len(data))
        clock.now += cost * len(data)
        return len(sizes) == 5

    with connected() as (fd, theirs):
        theirs.send(bytes(100_000))
        await reader.read_until(fd, take, 20_000, size)
        assert sizes == [16 * 1024, 1024, 1024, 1024, 1024]
        sizes.clear()
        cost = 1e-9
        await reader.read_until(fd, take, READ_SIZE, size)
    assert sizes == [MIN_READ * 2**n for n in range(5)]


async def test_more_than_the_descriptor_has(reader: EpollReader) -> None:
    """A source with more data is read on, in turn with others, without a further event."""
    order, left = list[str](), [b"two", b"three", b"enough"]

    with connected() as (one, ones), connected() as (two, twos):

        def read(max_bytes: int) -> bytes:
            return left.pop(0) if len(left) < 3 else os.read(one, max_bytes) and left.pop(0)

        def take(name: str, data: bytes) -> bool:
            order.append(name)
            return data == b"enough"

        ones.send(b"one")
        twos.send(b"12enough")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                partial(
                    reader.read_until,
                    one,
                    partial(take, "one"),
                    SIZE,
                    ReadSize(),
                    read=read,
                    has_more=lambda: bool(left),
                )
            )
            nursery.start_soon(reader.read_until, two, partial(take, "two"), 1, ReadSize())
            await trio.sleep(0.05)
            nursery.cancel_scope.cancel()
    assert order.count("one") == 3
    assert order.index("two") < 2


def test_read_size_has_bounds() -> None:
    """No read is smaller than `MIN_READ` or larger than `READ_SIZE`, whatever its cost."""
    size = ReadSize()
    size.adapt(3600.0)
    assert size.bytes == MIN_READ
    size.adapt(READ_TIME * 0.7)
    assert size.bytes == MIN_READ
    for _ in range(20):
        size.adapt(0.0)
    assert size.bytes == READ_SIZE


async def test_hangup(reader: EpollReader) -> None:
    """The end of a stream is noticed behind unread data, and not before it arrives."""
    with connected() as (fd, theirs):
        theirs.send(b"unread")
        with trio.move_on_after(0.01) as early:
            await reader.wait_hangup(fd)
        assert early.cancelled_caught
        theirs.shutdown(socket.SHUT_WR)
        assert not await reader.wait_hangup(fd)
        assert os.read(fd, SIZE) == b"unread"


async def test_reset(reader: EpollReader) -> None:
    """A reset and an end are told apart."""
    ours, theirs = await pair_of_streams()
    async with ours:
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        await theirs.aclose()
        assert await reader.wait_hangup(ours.socket.fileno())


async def test_data_is_no_hangup(monkeypatch: pytest.MonkeyPatch) -> None:
    """An event from before the wait does not end the wait."""
    with open_epoll_reader() as opened, connected() as (one, ones), connected() as (two, twos):
        assert opened is not None
        clock, taken = Clock(monkeypatch), list[int]()

        def take(fd: int, data: bytes) -> bool:
            taken.append(fd)
            clock.now += TURN
            scopes[one + two - fd].cancel()  # the other one, whose event is in the same batch
            return True

        async def wait(fd: int) -> None:
            with scopes[fd]:
                await opened.read_until(fd, partial(take, fd), SIZE, ReadSize())
            if fd not in taken:
                with trio.move_on_after(0.05) as scope:
                    await opened.wait_hangup(fd)
                assert scope.cancelled_caught

        scopes = {fd: trio.CancelScope() for fd in (one, two)}
        for end in (ones, twos):
            end.send(b"something")
        async with trio.open_nursery() as nursery:
            for fd in (one, two):
                nursery.start_soon(wait, fd)
            await trio.testing.wait_all_tasks_blocked()
            async with trio.open_nursery() as inner:
                inner.start_soon(opened.run)
                await trio.sleep(0.1)
                inner.cancel_scope.cancel()
        assert len(taken) == 1


async def test_without_epoll(monkeypatch: pytest.MonkeyPatch) -> None:
    """A platform without epoll has no epoll reader."""
    monkeypatch.delattr(select, "epoll")
    with open_epoll_reader() as opened:
        assert opened is None


async def pair_of_streams() -> tuple[trio.SocketStream, trio.SocketStream]:
    """Return two ends of a TCP connection, which can be reset."""
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        theirs = await trio.open_tcp_stream("127.0.0.1", listener.socket.getsockname()[1])
        return await listener.accept(), theirs


@pytest.mark.parametrize("watched", [True, False])
async def test_transport(reader: EpollReader, nursery: trio.Nursery, *, watched: bool) -> None:
    """A transport returns pushed-back data first, with and without an epoll reader."""
    ours, theirs = await pair_of_streams()
    async with ours, theirs:
        transport = wrap_stream(ours, nursery, reader if watched else None)
        taker = Taker(b"ack")
        transport.push_back(b"put back")
        await theirs.send_all(b"ack")
        await transport.receive_until(taker, 5)
        assert taker.taken == [b"put b", b"ack"]
        await transport.receive_until(taker, 5)
        assert taker.taken == [b"put b", b"ack", b"ack"]


@pytest.mark.parametrize("watched", [True, False])
async def test_transport_that_breaks(
    reader: EpollReader, nursery: trio.Nursery, *, watched: bool
) -> None:
    """A reset raises trio's BrokenResourceError, and is recorded."""
    ours, theirs = await pair_of_streams()
    async with ours:
        transport = wrap_stream(ours, nursery, reader if watched else None)
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        await theirs.aclose()
        with pytest.raises(trio.BrokenResourceError):
            await transport.receive_until(Taker(), SIZE)
        assert transport.broken
    with pytest.raises(trio.BrokenResourceError):
        await transport.send_all(b"gone")
