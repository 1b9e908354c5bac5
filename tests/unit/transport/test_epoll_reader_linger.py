"""Lingering of the epoll reader: it skips the trio loop while messages need no other task."""

from __future__ import annotations

import select
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise

import pytest
import trio
import trio.testing

from relay.transport import epoll_reader
from relay.transport.epoll_reader import LINGER, QUIET_TURNS, SHORT_POLL, EpollReader
from relay.transport.read_size import ReadSize


class RecordingEpoll:
    """An epoll set that records the timeout of each call of `poll`."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self.timeouts: list[float] = []
        self.close = self._epoll.close
        self.fileno = self._epoll.fileno
        self.register = self._epoll.register
        self.unregister = self._epoll.unregister

    def poll(self, timeout: float, maxevents: int) -> list[tuple[int, int]]:
        """Record the timeout and poll."""
        self.timeouts.append(timeout)
        return self._epoll.poll(timeout, maxevents)


class Clock:
    """A clock that only a test advances."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Give the epoll reader a clock that only the test advances."""
    clock = Clock()
    monkeypatch.setattr(epoll_reader, "perf_counter", clock)
    return clock


@pytest.fixture
def epoll() -> Iterator[RecordingEpoll]:
    """Return an epoll set that records its calls."""
    opened = RecordingEpoll()
    yield opened
    opened.close()


@pytest.fixture
async def reader(epoll: RecordingEpoll, clock: Clock) -> AsyncIterator[EpollReader]:
    """Return a running epoll reader."""
    opened = EpollReader(epoll)  # type: ignore[arg-type] # it has the methods
    async with trio.open_nursery() as nursery:
        nursery.start_soon(opened.run)
        yield opened
        nursery.cancel_scope.cancel()


@contextmanager
def endless_messages(
    clock: Clock, wake_at: int = 0
) -> Iterator[tuple[int, Callable[[bytes], bool], list[int]]]:
    """Yield a descriptor, and a function that sends the next message to it for each one read.

    The function returns True, to wake its task, at the message with number ``wake_at``. Each
    message takes a tenth of `LINGER`.
    """
    ours, theirs = socket.socketpair()
    numbers: list[int] = []
    with ours, theirs:
        ours.setblocking(False)
        theirs.send(b"message")

        def take(data: bytes) -> bool:
            clock.now += LINGER / 10
            numbers.append(len(numbers))
            theirs.send(data)
            return numbers[-1] == wake_at > 0

        yield ours.fileno(), take, numbers


async def run_until(numbers: list[int], count: int) -> None:
    """Let other tasks run until a number of messages was read."""
    with trio.fail_after(10):
        while len(numbers) < count:
            await trio.lowlevel.checkpoint()


async def test_quiet_turns(
    epoll: RecordingEpoll, reader: EpollReader, nursery: trio.Nursery, clock: Clock
) -> None:
    """After a few turns that woke no task, the reader polls again instead of returning to trio."""
    with endless_messages(clock) as (fd, take, numbers):
        nursery.start_soon(reader.read_until, fd, take, 100, ReadSize())
        await run_until(numbers, 100)
        nursery.cancel_scope.cancel()
    first, then = epoll.timeouts[: QUIET_TURNS + 1], epoll.timeouts[QUIET_TURNS + 1 :]
    assert first == [0] * (QUIET_TURNS + 1)
    assert set(then) == {SHORT_POLL, 0}
    returns = [index for index, timeout in enumerate(then) if not timeout]
    # One message more after each return to trio, and one less or more by rounding.
    assert {later - earlier for earlier, later in pairwise(returns)} <= {10, 11, 12}


async def test_woken_task(
    epoll: RecordingEpoll, reader: EpollReader, nursery: trio.Nursery, clock: Clock
) -> None:
    """A turn that wakes a task ends the lingering, and the next turns return to trio as well."""
    woken_at = 20
    with endless_messages(clock, wake_at=woken_at) as (fd, take, numbers):
        await reader.read_until(fd, take, 100, ReadSize())
        calls = len(epoll.timeouts)
        assert epoll.timeouts[-1] == SHORT_POLL
        assert numbers[-1] == woken_at
        nursery.start_soon(reader.read_until, fd, take, 100, ReadSize())
        await run_until(numbers, woken_at + QUIET_TURNS + 10)
        nursery.cancel_scope.cancel()
    after = epoll.timeouts[calls:]
    assert after[: QUIET_TURNS + 3] == [*[0] * (QUIET_TURNS + 1), SHORT_POLL, SHORT_POLL]


async def test_silence(epoll: RecordingEpoll, reader: EpollReader, nursery: trio.Nursery) -> None:
    """A poll without a result ends the lingering: an idle relay does not poll."""
    ours, theirs = socket.socketpair()
    received: list[bytes] = []

    def take(data: bytes) -> bool:
        received.append(data)
        return False

    with ours, theirs:
        ours.setblocking(False)
        nursery.start_soon(reader.read_until, ours.fileno(), take, 1, ReadSize())
        theirs.send(bytes(QUIET_TURNS + 1))
        await trio.testing.wait_all_tasks_blocked(0.01)
        nursery.cancel_scope.cancel()
    assert len(received) == QUIET_TURNS + 1
    assert epoll.timeouts == [*[0] * (QUIET_TURNS + 1), SHORT_POLL]
