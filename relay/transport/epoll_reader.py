"""Read the sockets of all pairs in a single task.

It costs more CPU time to wake a task than to forward a message. So the task of a pump does not
read. It registers the descriptor of its source together with a function, and sleeps. The reader
task waits for an epoll set of all registered descriptors, reads each ready descriptor, and calls
the function with the bytes. The function forwards the bytes without waiting. It returns True if the
task of the pump has to continue, because the sink is blocked or the source ended. Only then does
the reader task wake the task of the pump. If a stream has no descriptor, such as a stream from an
embedding program, the task of the pump reads the stream.

A turn is a series of reads, during which no other task runs. Clients choose the number of bytes and
the CPU time per byte, so a turn is bounded in time and not in reads. After `TURN`, every other task
runs before the next read. The next turn begins with the ready sockets that the last turn did not
reach, so every ready socket is read.

It also costs more CPU time to return to the trio loop than to forward a message. So after several
turns that woke no task, the reader task lingers: it waits in its own epoll call before it returns.
Lingering delays other tasks by at most `LINGER`, `SHORT_POLL` and a turn. A new connection, a
response or a write that becomes blocked wakes a task, which ends the lingering.
"""

from __future__ import annotations

import select
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from time import perf_counter
from typing import Any, Final

import trio

from .epoll_registration import EventRegistration, Read, Registration, Take
from .read_size import READ_SIZE, READ_TIME, ReadSize

TURN: Final = 0.01
"""Maximum duration, in seconds, of a turn. After a turn, every other task of the relay runs."""

LINGER: Final = 0.0005
"""Seconds for which the reader task polls its epoll set before it returns to the trio loop.

With four times this value, one pair in ping-pong needs 6 % less CPU time per message, but the other
tasks of an embedding program run 1 ms later at the median.
"""

SHORT_POLL: Final = 0.001
"""Timeout, in seconds, of an epoll call while the reader task lingers.

It is the shortest nonzero timeout that epoll supports.
"""

QUIET_TURNS: Final = 4
"""Number of consecutive turns that must wake no task before the reader task lingers.

A woken task may wake other tasks. For example, an accepted connection needs several turns of the
trio loop until its response is sent.
"""

BATCH: Final = 1024
"""Maximum number of ready descriptors that one epoll call returns. The next call returns more."""


@contextmanager
def open_epoll_reader() -> Iterator[EpollReader | None]:
    """Yield an epoll reader, or None on a platform without epoll.

    No task may wait for the epoll reader when the context ends. Raises OSError if the descriptor
    limit is reached.
    """
    if not hasattr(select, "epoll"):
        yield None
        return
    with select.epoll() as epoll:
        yield EpollReader(epoll)


class EpollReader:
    """Reader of all registered descriptors. One task, the reader task, must call `run`."""

    def __init__(self, epoll: select.epoll) -> None:
        self._epoll = epoll
        self._registrations: dict[int, Registration] = {}
        self._ready: deque[tuple[Registration, int]] = deque()
        self._turn_end = 0.0

    async def run(self) -> None:
        """Read ready descriptors and call their registered functions, until cancelled."""
        quiet_turns = 0
        while True:
            if self._ready:
                await trio.lowlevel.checkpoint()
            else:
                # An epoll descriptor is readable while one of its descriptors is ready.
                await trio.lowlevel.wait_readable(self._epoll.fileno())
                self._poll(0)
            linger_end = perf_counter() + LINGER
            quiet_turns = 0 if self._take_turn() else quiet_turns + 1
            if quiet_turns > QUIET_TURNS and not self._linger(linger_end):
                quiet_turns = 0

    def _linger(self, end: float) -> bool:
        """Poll and read until the time ``end``. Return False as soon as a task is woken."""
        while not self._ready and self._turn_end < end and self._poll(SHORT_POLL):
            if self._take_turn():
                return False
        return True

    def _poll(self, seconds: float) -> bool:
        """Queue descriptors that become ready within ``seconds``. Return True if any is queued."""
        for fd, mask in self._epoll.poll(seconds, BATCH):
            # A closed descriptor stays in the set, without a registration, while a copy is open.
            if (found := self._registrations.get(fd)) is not None:
                self._ready.append((found, mask))
        return bool(self._ready)

    def _take_turn(self) -> bool:
        """Read the ready sockets, for at most `TURN` seconds. Return True if a task was woken."""
        ready, registrations, woke = self._ready, self._registrations, False
        now = perf_counter()
        end = now + TURN
        while ready and now < end:
            registration, mask = ready.popleft()
            if registrations.get(registration.fd) is not registration:
                continue  # an earlier call in this turn removed the registration
            over = registration.read_once(mask)
            began, now = now, perf_counter()
            if over is None:
                continue
            size = registration.size
            if now - began > READ_TIME or size.bytes < READ_SIZE:
                size.adapt(now - began)
            if over:
                woke = True
                self._end(registration)
                trio.lowlevel.reschedule(registration.task)
            elif registration.has_more is not None and registration.has_more():
                ready.append((registration, mask))
        self._turn_end = now
        return woke

    def read_until(  # noqa: PLR0913 - two calls, two bounds, two kinds of source
        self,
        fd: int,
        take: Take,
        max_bytes: int,
        size: ReadSize,
        *,
        read: Read | None = None,
        has_more: Callable[[], bool] | None = None,
    ) -> Coroutine[Any, Any, None]:
        """Sleep while the reader task reads ``fd`` and calls ``take``, until ``take`` returns True.

        Args:
            fd: The descriptor. Only one task at a time may wait for a descriptor. The task must be
                cancelled before the descriptor is closed.
            take: A function that the reader task calls with the bytes of each read; b"" is the end
                of the stream. The function must not wait.
            max_bytes: The maximum number of bytes in one read.
            size: A second maximum number of bytes, which adapts to the time that ``take`` needs.
            read: A function that reads at most the given number of bytes. It raises BlockingIOError
                if no bytes are available. None to read ``fd`` with `os.read`.
            has_more: A function that returns True if ``read`` has bytes although the descriptor is
                not readable.

        This method raises the exceptions of ``take`` and ``read``. Cancellation loses no bytes.
        """
        # Return the coroutine without awaiting it, so that an idle side keeps fewer coroutines.
        registration = Registration(fd, size, take, max_bytes, read, has_more)
        return self._wait(registration, select.EPOLLIN)

    async def wait_hangup(self, fd: int) -> bool:
        """Wait, without reading, until the client ends its stream. Return True after a reset."""
        registration = EventRegistration(fd)
        await self._wait(registration, select.EPOLLRDHUP)
        return bool(registration.events & select.EPOLLERR)

    async def wait_readable(self, fd: int) -> None:
        """Wait until a descriptor is readable, without reading it.

        `trio.lowlevel.wait_readable` would delay the task while the reader task lingers. This
        method does not.
        """
        await self._wait(EventRegistration(fd), select.EPOLLIN)

    async def _wait(self, registration: Registration, events: int) -> None:
        registration.task = trio.lowlevel.current_task()
        self._epoll.register(registration.fd, events)
        self._registrations[registration.fd] = registration
        await trio.lowlevel.wait_task_rescheduled(partial(self._abort, registration))
        # The traceback of the failure refers to the registration and to this stack frame. If one of
        # them kept a reference to the failure, the cycle would keep the pair in memory.
        failure, registration.failure = registration.failure, None
        try:
            if failure is not None:
                raise failure
        finally:
            del failure

    def _abort(self, registration: Registration, _: object) -> trio.lowlevel.Abort:
        self._end(registration)
        return trio.lowlevel.Abort.SUCCEEDED

    def _end(self, registration: Registration) -> None:
        # If the descriptor was closed in the meantime, a new connection may have the same number.
        if self._registrations.get(registration.fd) is registration:
            del self._registrations[registration.fd]
            with suppress(OSError):
                self._epoll.unregister(registration.fd)
