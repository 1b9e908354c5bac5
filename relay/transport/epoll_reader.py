"""Read the sockets of all pairs from a single task.

Waking a task for each message costs more CPU time than forwarding the message. So the task of a
pump does not read. It registers the descriptor of its source with a function, and sleeps. The
reader task waits for an epoll set of all registered descriptors, reads, and calls the function with
the bytes. The function forwards them without waiting. It returns True if its task has to continue,
because the sink is blocked or the source ended; only then does the reader wake that task. Streams
without a descriptor, such as those of an embedding program, are read by the waiting task itself.

The reader delays all other tasks of the thread between two checkpoints. Clients choose the number
of bytes and the CPU time per byte. So a turn is bounded in time, not in reads: after `TURN`, every
other task runs before the next read. Ready sockets that a turn did not reach are read first in the
next one, so no socket starves.

A wake of the trio loop costs more than forwarding a message as well. So after several turns that
woke no task, the reader task lingers: it sleeps in its own epoll call instead of returning to trio.
While it lingers, other tasks do not run, for at most `LINGER`, `SHORT_POLL` and a turn. A new
connection, a response or a write that becomes blocked wakes a task, which ends the lingering.
"""

from __future__ import annotations

import os
import select
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from time import perf_counter
from typing import Final

import trio

from .read_size import READ_SIZE, READ_TIME, ReadSize
from .registration import EventRegistration, Read, Registration, Take

TURN: Final = 0.01
"""Seconds of reading after which every other task of the relay runs."""

LINGER: Final = 0.0005
"""Seconds for which the reader task goes on in its own epoll call, instead of the trio loop.

A wake of the trio loop costs more CPU time than forwarding a message. Longer times save no more.
"""

SHORT_POLL: Final = 0.001
"""Seconds of one such epoll call, in which the thread sleeps: the shortest timeout of epoll."""

QUIET_TURNS: Final = 4
"""Number of turns that woke no task, after which the reader task lingers.

A task that was woken wakes others: an accepted connection needs several turns of the trio loop
until its response is sent.
"""

BATCH: Final = 1024
"""Maximum number of ready descriptors of one epoll call. The next call returns the others."""


@contextmanager
def open_epoll_reader() -> Iterator[EpollReader | None]:
    """Yield an epoll reader, or None on a platform without epoll.

    No task may wait in the reader after the context ends. Raises OSError if the descriptor limit is
    reached.
    """
    if not hasattr(select, "epoll"):
        yield None
        return
    with select.epoll() as epoll:
        yield EpollReader(epoll)


class EpollReader:
    """Reader of all registered descriptors; `run` is its task."""

    def __init__(self, epoll: select.epoll) -> None:
        self._epoll = epoll
        self._registrations: dict[int, Registration] = {}
        self._ready: deque[tuple[Registration, int]] = deque()

    async def run(self) -> None:
        """Read ready descriptors and call their functions, until cancelled."""
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
        """Go on reading until the time ``end``; return False if a task was woken."""
        while not self._ready and perf_counter() < end and self._poll(SHORT_POLL):
            if self._take_turn():
                return False
        return True

    def _poll(self, seconds: float) -> bool:
        """Wait until descriptors are ready, and queue them; return False if there are none."""
        for fd, mask in self._epoll.poll(seconds, BATCH):
            # A closed descriptor of which a copy is still in the set has no registration.
            if (found := self._registrations.get(fd)) is not None:
                self._ready.append((found, mask))
        return bool(self._ready)

    def _take_turn(self) -> bool:
        """Read ready sockets until all are read or `TURN` is over; return True if a task woke."""
        ready, registrations, woke = self._ready, self._registrations, False
        now = perf_counter()
        end = now + TURN
        while ready and now < end:
            registration, mask = ready.popleft()
            if registrations.get(registration.fd) is not registration:
                continue  # an earlier callback removed the registration
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
        return woke

    async def read_until(  # noqa: PLR0913 - two calls, two bounds, two kinds of source
        self,
        fd: int,
        take: Take,
        max_bytes: int,
        size: ReadSize,
        *,
        read: Read | None = None,
        has_more: Callable[[], bool] | None = None,
    ) -> None:
        """Sleep while the reader task calls ``take`` with the bytes read, until it returns True.

        Args:
            fd: The descriptor. Only one task at a time may wait for it, and must be cancelled
                before the descriptor is closed.
            take: A function that must not wait. b"" is the end of the stream.
            max_bytes: The maximum size of one read.
            size: A second maximum, which is adapted to the time that ``take`` needs.
            read: Reads at most the given number of bytes, by default with `os.read`. It raises
                BlockingIOError if there are none.
            has_more: Returns True if ``read`` has bytes although the descriptor is not readable.

        Exceptions of ``take`` and ``read`` are raised here. Cancellation loses no bytes.
        """
        registration = Registration(
            fd, size, take, max_bytes, read or partial(os.read, fd), has_more
        )
        await self._wait(registration, select.EPOLLIN)

    async def wait_hangup(self, fd: int) -> bool:
        """Wait without reading until the peer of a socket closes it; return True after a reset."""
        registration = EventRegistration(fd)
        await self._wait(registration, select.EPOLLRDHUP)
        return bool(registration.events & select.EPOLLERR)

    async def wait_readable(self, fd: int) -> None:
        """Wait until a descriptor is readable, without reading it.

        Unlike `trio.lowlevel.wait_readable`, this does not wait for the end of lingering.
        """
        await self._wait(EventRegistration(fd), select.EPOLLIN)

    async def _wait(self, registration: Registration, events: int) -> None:
        registration.task = trio.lowlevel.current_task()
        self._epoll.register(registration.fd, events)
        self._registrations[registration.fd] = registration

        def abort(_: object) -> trio.lowlevel.Abort:
            self._end(registration)
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)
        # Its traceback refers to the registration and to this stack frame. A reference from either
        # would be a cycle that keeps the pair in memory.
        failure, registration.failure = registration.failure, None
        try:
            if failure is not None:
                raise failure
        finally:
            del failure

    def _end(self, registration: Registration) -> None:
        # A new connection may have the number already, if the descriptor was closed meanwhile.
        if self._registrations.get(registration.fd) is registration:
            del self._registrations[registration.fd]
            with suppress(OSError):
                self._epoll.unregister(registration.fd)
